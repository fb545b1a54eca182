//! Writers on shared rows whose requests are dropped, killed and caught in deadlocks; and what must hold afterwards.
//!
//! Each unit of work also leaves a row in an untracked table under its own id, so that what became of it can be seen.

mod check;
mod kill;
mod unit;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use events_sea_orm::{ActiveModelEvents, EventTransaction, Events, Outcome, UnknownCommit};
use sea_orm::DatabaseConnection;
use uuid::Uuid;

use crate::{PATIENCE, TestDb, context, new_campaign};

/// How many rows everybody writes.
const ROWS: usize = 20;
const WRITERS: u64 = 8;

/// When it ends.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    Units(u64),
    Elapsed(Duration),
}

/// What was done, for people to see.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    pub units: u64,
    pub committed: u64,
    pub refused: u64,
    pub unknown: u64,
    pub dropped: u64,
    pub killed: u64,
    pub events: u64,
}

/// What a unit of work must have left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Nothing,
    /// So many events, and its own row if that was inserted.
    Everything {
        events: unit::Range,
        row: bool,
    },
    /// All or nothing: it may have had no event to ask for.
    Either {
        events: usize,
    },
}

/// A small generator: what a writer does follows from the seed; how the writers meet does not.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }
}

/// What the writers share.
struct World {
    pool: DatabaseConnection,
    /// Twice: as it comes, and with a savepoint for each save.
    events: [Events; 2],
    rows: Vec<i32>,
    until: Until,
    start: Instant,
    next: std::sync::atomic::AtomicU64,
}

impl World {
    /// The number of the next unit of work, if there is to be one.
    fn next(&self) -> Option<u64> {
        let number = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        match self.until {
            Until::Units(units) => number < units,
            Until::Elapsed(time) => self.start.elapsed() < time,
        }
        .then_some(number)
    }
}

/// Runs it on this database, and checks what is left. Panics at the first difference.
pub async fn run(db: Arc<TestDb>, seed: u64, until: Until) -> Counts {
    db.with_tables().await;
    let pool = kill::impatient_pool(&db).await;
    let events = [
        Events::builder(pool.clone()).build().await.expect("built"),
        Events::builder(pool.clone()).savepoint_each_save().build().await.expect("built"),
    ];
    let mut rows = Vec::new();
    for n in 0..ROWS {
        let row = new_campaign(&format!("shared {n}"));
        rows.push(row.create_with_event(&events[0].connection(context())).await.expect("a row").id);
    }
    let next = std::sync::atomic::AtomicU64::new(0);
    let world = Arc::new(World { pool, events, rows, until, start: Instant::now(), next });

    let mut doing = Vec::new();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let world = Arc::clone(&world);
        let dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(writer + 1) | 1);
        let what = Arc::new(Mutex::new("nothing yet"));
        doing.push(Arc::clone(&what));
        writers.spawn(DOING.scope(what, unit::writer(world, dice)));
    }
    let killer = tokio::spawn(kill::killer(Arc::clone(&db), Dice(seed | 1)));
    let (mut counts, mut left, mut alone) = (Counts::default(), Vec::new(), Vec::new());
    let limit = match until {
        Until::Elapsed(time) => time + PATIENCE,
        Until::Units(_) => 2 * PATIENCE,
    };
    let end = tokio::time::Instant::now() + limit;
    while let Some(done) = tokio::time::timeout_at(end, writers.join_next())
        .await
        .unwrap_or_else(|_| panic!("writers that hang: they do {doing:?}"))
    {
        let done = done.expect("a writer that does not panic");
        counts.add(&done.counts);
        left.extend(done.left);
        alone.extend(done.alone);
    }
    killer.abort();
    if let Err(error) = killer.await {
        assert!(error.is_cancelled(), "the killer failed: {error}");
    }
    let closed = tokio::time::timeout(PATIENCE, world.pool.close_by_ref()).await;
    closed.expect("every connection comes back to the pool").expect("closed");
    counts.killed = kill::killed();
    counts.events = check::check(&db, &left, &alone).await;
    counts
}

tokio::task_local! {
    static DOING: Arc<Mutex<&'static str>>;
}

/// Notes what a writer does, for whoever finds that it hangs.
fn doing(what: &'static str) {
    DOING.with(|doing| *doing.lock().expect("no panic") = what);
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.units += other.units;
        self.committed += other.committed;
        self.refused += other.refused;
        self.unknown += other.unknown;
        self.dropped += other.dropped;
    }
}

/// Asks until somebody answers: the connection that asks may be killed as well.
async fn outcome(events: &Events, unit_id: Uuid, unknown: Option<&UnknownCommit>) -> Outcome {
    for _ in 0..200 {
        let answer = match unknown {
            Some(unknown) => events.outcome(unknown).await,
            None => events.outcome_of(unit_id).await,
        };
        if let Ok(outcome) = answer {
            return outcome;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("nobody says what became of {unit_id}");
}

type Unit = EventTransaction;
