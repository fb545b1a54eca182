//! What one writer does.

use std::{
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};

use events_sea_orm::{CommitError, EntityEvents, Events, Outcome};
use futures_util::StreamExt;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, DbErr, EntityTrait, QueryFilter, QuerySelect, Set, TransactionTrait,
    Unchanged,
};
use uuid::Uuid;

use super::{Counts, Dice, Left, Unit, World, doing, outcome};
use crate::{
    context,
    entities::{campaign, visit},
    new_campaign,
};

/// What a writer hands back.
#[derive(Default)]
pub(super) struct Done {
    pub(super) counts: Counts,
    pub(super) left: Vec<(Uuid, Left)>,
    /// Rows that were written outside of any unit of work.
    pub(super) alone: Vec<String>,
}

/// How many events there are at least and at most: a write that was dropped may have been done, with only its caller's
/// answer yet to come.
#[derive(Default, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) least: usize,
    pub(super) most: usize,
}

impl Range {
    fn exactly(events: usize) -> Self {
        Self { least: events, most: events }
    }

    /// What a write of so many events left that answered this.
    fn of(answer: Option<usize>, is_dropped: bool, most: usize) -> Self {
        match answer {
            Some(events) => Self::exactly(events),
            None => Self { least: 0, most: if is_dropped { most } else { 0 } },
        }
    }
}

impl std::ops::AddAssign for Range {
    fn add_assign(&mut self, other: Self) {
        self.least += other.least;
        self.most += other.most;
    }
}

/// How far a unit of work has come, for whoever drops it.
#[derive(Default, Clone, Copy)]
struct Progress {
    id: Option<Uuid>,
    events: Range,
    row: bool,
    /// Whether a commit may have been sent.
    commits: bool,
}

pub(super) async fn writer(world: Arc<World>, mut dice: Dice) -> Done {
    let mut done = Done::default();
    while let Some(number) = world.next() {
        done.counts.units += 1;
        let events = &world.events[dice.roll(3) as usize / 2];
        let progress = Mutex::new(Progress::default());
        let impatience = (dice.roll(12) == 0).then(|| Duration::from_micros(200 + dice.roll(8_000)));
        let ended = {
            let work = unit(&world, events, number, &mut dice, &progress);
            match impatience {
                Some(time) => tokio::time::timeout(time, work).await.ok(),
                None => Some(work.await),
            }
        };
        let progress = *progress.lock().expect("no panic");
        if let (Some(id), Some(left)) = (progress.id, left(&mut done.counts, events, progress, ended).await) {
            done.left.push((id, left));
        }
        between(&world, &mut dice, number, &mut done).await;
    }
    done
}

/// What a unit must have left that ended like this.
async fn left(
    counts: &mut Counts,
    events: &Events,
    progress: Progress,
    ended: Option<Result<(), CommitError>>,
) -> Option<Left> {
    let id = progress.id?;
    let everything = Left::Everything { events: progress.events, row: progress.row };
    let asked = match ended {
        Some(Ok(())) if progress.commits => {
            counts.committed += 1;
            return Some(everything);
        }
        Some(Ok(())) | Some(Err(CommitError::Refused(_) | CommitError::Failed(_))) => {
            counts.refused += 1;
            return Some(Left::Nothing);
        }
        Some(Err(CommitError::Unknown(unknown))) => {
            counts.unknown += 1;
            Some(unknown)
        }
        Some(Err(other)) => panic!("{other:?}"),
        None => {
            counts.dropped += 1;
            if !progress.commits {
                return Some(Left::Nothing);
            }
            None
        }
    };
    if progress.events.least == 0 {
        return Some(Left::Either { events: progress.events.most });
    }
    doing("a question for an outcome");
    Some(match outcome(events, id, asked.as_ref()).await {
        Outcome::Committed => everything,
        Outcome::RolledBack => Left::Nothing,
    })
}

/// One unit of work. `Ok` without `commits` is one that was rolled back.
async fn unit(
    world: &World,
    events: &Events,
    number: u64,
    dice: &mut Dice,
    progress: &Mutex<Progress>,
) -> Result<(), CommitError> {
    let note = |change: &dyn Fn(&mut Progress)| change(&mut progress.lock().expect("no panic"));
    doing("a begin");
    let Ok(txn) = events.begin(context()).await else { return Ok(()) };
    let id = txn.unit_id();
    note(&|progress| progress.id = Some(id));
    let own = visit::ActiveModel { what: Set(id.to_string()), ..Default::default() };
    doing("an insert of its own row");
    let row = own.insert(&txn).await.is_ok();
    note(&|progress| progress.row = row);
    for step in 0..1 + dice.roll(5) {
        let events = if dice.roll(5) == 0 {
            nested(world, &txn, number * 100 + step * 10, dice).await
        } else {
            self::step(world, &txn, number * 100 + step * 10, dice).await
        };
        note(&|progress| progress.events += events);
    }
    doing("an end");
    match dice.roll(12) {
        0 => drop(txn),
        1 => drop(txn.rollback().await),
        2 => drop(somewhere(dice, txn.rollback()).await),
        _ => {
            note(&|progress| progress.commits = true);
            return txn.commit().await;
        }
    }
    Ok(())
}

/// How many events a nested unit handed up.
async fn nested(world: &World, parent: &Unit, value: u64, dice: &mut Dice) -> Range {
    doing("a nested begin");
    let begun = match dice.roll(8) {
        0 => somewhere(dice, parent.begin()).await.and_then(Result::ok),
        _ => parent.begin().await.ok(),
    };
    let Some(txn) = begun else { return Range::default() };
    let mut events = Range::default();
    for step in 0..1 + dice.roll(3) {
        events += self::step(world, &txn, value + step, dice).await;
    }
    doing("a nested end");
    let committed = match dice.roll(8) {
        0 => {
            drop(txn);
            false
        }
        1 => {
            let _ = txn.rollback().await;
            false
        }
        // Whoever does not know is not let commit.
        2 => matches!(somewhere(dice, txn.commit()).await, Some(Ok(()))),
        _ => txn.commit().await.is_ok(),
    };
    if committed { events } else { Range::default() }
}

/// Drops this somewhere, if it is not done before.
async fn somewhere<T>(dice: &mut Dice, work: impl Future<Output = T>) -> Option<T> {
    if dice.roll(2) == 0 {
        let time = Duration::from_micros(dice.roll(3_000));
        return tokio::time::timeout(time, work).await.ok();
    }
    let mut work = std::pin::pin!(work);
    let mut left = 1 + dice.roll(5);
    std::future::poll_fn(|cx| {
        if left == 0 {
            return std::task::Poll::Ready(None);
        }
        left -= 1;
        work.as_mut().poll(cx).map(Some)
    })
    .await
}

/// One call on a unit; answers how many events it left, as far as its caller knows.
async fn step(world: &World, txn: &Unit, value: u64, dice: &mut Dice) -> Range {
    let row = world.rows[dice.roll(world.rows.len() as u64) as usize];
    let value = i64::try_from(value).expect("small") + 1_000;
    let is_dropped = dice.roll(6) == 0;
    match dice.roll(10) {
        0..4 => {
            doing("an update");
            let active =
                campaign::ActiveModel { id: Unchanged(row), budget: Set(value), ..Default::default() };
            let updated = succeeds(is_dropped, dice, active.update(txn)).await;
            Range::of(updated.map(|_| 1), is_dropped, 1)
        }
        4 => {
            doing("a read");
            let read = campaign::Entity::find_by_id(row);
            let read = if dice.roll(2) == 0 { read.lock_exclusive() } else { read };
            succeeds(is_dropped, dice, read.one(txn)).await;
            Range::default()
        }
        5 => {
            doing("a stream");
            let rows = async {
                let rows = campaign::Entity::find();
                let rows = if value % 2 == 0 { rows.lock_shared() } else { rows };
                let mut rows = rows.stream(txn).await?.take(if is_dropped { 3 } else { 1_000 });
                while let Some(row) = rows.next().await {
                    row?;
                }
                Ok(())
            };
            succeeds(is_dropped, dice, rows).await;
            Range::default()
        }
        6 => {
            doing("a bulk update");
            let update = campaign::Entity::update_many_with_events()
                .set(campaign::ActiveModel { budget: Set(value), ..Default::default() })
                .filter(campaign::Column::Id.is_in([row, world.rows[value as usize % world.rows.len()]]));
            let updated = succeeds(is_dropped, dice, update.exec(txn)).await;
            Range::of(updated.map(|updated| updated.rows_affected as usize), is_dropped, 2)
        }
        7 => {
            doing("an insert and a delete");
            let Ok(model) = new_campaign(&format!("new {value}")).insert(txn).await else {
                return Range::default();
            };
            let delete = campaign::Entity::delete_by_id_with_events(model.id);
            let deleted = succeeds(is_dropped, dice, delete.exec(txn)).await;
            let mut events = Range::exactly(1);
            events += Range::of(deleted.map(|deleted| deleted.rows_affected as usize), is_dropped, 1);
            events
        }
        8 => {
            doing("a bulk insert");
            let many = (0..3).map(|n| new_campaign(&format!("many {value} {n}")));
            let inserted = campaign::Entity::insert_many_with_events(many).exec_with_returning(txn);
            let inserted = succeeds(is_dropped, dice, inserted).await;
            Range::of(inserted.map(|rows| rows.len()), is_dropped, 3)
        }
        // Its key is there already: "insert, on duplicate look it up".
        _ => {
            doing("a duplicate");
            let twice =
                campaign::ActiveModel { api_key: Set("key-shared 0".to_owned()), ..new_campaign("twice") };
            assert!(twice.insert(txn).await.is_err(), "the key is unique");
            Range::default()
        }
    }
}

/// What the call answered, if it was let come to its end and succeeded.
async fn succeeds<T>(
    is_dropped: bool,
    dice: &mut Dice,
    work: impl Future<Output = Result<T, DbErr>>,
) -> Option<T> {
    if is_dropped { somewhere(dice, work).await?.ok() } else { work.await.ok() }
}

/// Between two units: reads and begins that are dropped, and a row that is written without any unit.
async fn between(world: &World, dice: &mut Dice, number: u64, done: &mut Done) {
    if dice.roll(4) == 0 {
        doing("a begin that is dropped");
        drop(somewhere(dice, world.events[0].begin(context())).await);
    }
    if dice.roll(4) == 0 {
        doing("a read of the pool");
        let connection = world.events[0].connection(context());
        drop(somewhere(dice, campaign::Entity::find().all(&connection)).await);
    }
    if dice.roll(4) == 0 {
        doing("a row without a unit");
        let what = format!("alone {number}");
        let row = visit::ActiveModel { what: Set(what.clone()), ..Default::default() };
        if row.insert(&world.pool).await.is_ok() {
            done.alone.push(what);
        }
    }
}
