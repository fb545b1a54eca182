//! What row-level security costs on PostgreSQL: the same role and rights, with and without the policies, in turns.

use std::time::Instant;

use events_sea_orm::Events;
use sea_orm::{ActiveModelTrait, DatabaseConnection, EntityTrait, IntoActiveModel, Set};
use tests::{
    TestDb, context,
    entities::campaign,
    new_campaign,
    roles::run,
    secured::{secured, unsecured},
};

use super::median;

const ROUNDS: usize = 41;
const TURNS: usize = 50;

/// A connection of the application's role, and a row to read and change.
struct App {
    pool: DatabaseConnection,
    events: Events,
    id: i32,
}

#[derive(Clone, Copy)]
enum Job {
    /// Units of so many inserts.
    Insert(usize),
    /// Units of so many changes, each after a read.
    Update(usize),
    /// A row by its key, from the pool.
    Read,
}

const JOBS: [(&str, Job); 5] = [
    ("unit of one insert", Job::Insert(1)),
    ("unit of ten inserts", Job::Insert(10)),
    ("unit of one update", Job::Update(1)),
    ("unit of ten updates", Job::Update(10)),
    ("read of the pool", Job::Read),
];

impl App {
    async fn open(db: &TestDb, role: &str) -> Self {
        let pool = db.open_as(role, 1).await;
        let events = Events::builder(pool.clone()).without_registered_consumers().start_despite_dangers();
        let events = events.build().await.expect("built");
        let campaign = new_campaign(&uuid::Uuid::new_v4().to_string());
        let txn = events.begin(context()).await.expect("begin");
        let id = campaign.insert(&txn).await.expect("insert").id;
        txn.commit().await.expect("commit");
        Self { pool, events, id }
    }

    /// Microseconds a unit, or a read.
    async fn microseconds(&self, job: Job) -> f64 {
        let names: Vec<_> = (0..10 * TURNS).map(|_| uuid::Uuid::new_v4().to_string()).collect();
        let mut names = names.iter();
        let start = Instant::now();
        for turn in 0..TURNS {
            self.run(job, turn, &mut names).await;
        }
        start.elapsed().as_nanos() as f64 / 1e3 / TURNS as f64
    }

    async fn run(&self, job: Job, turn: usize, names: &mut impl Iterator<Item = &String>) {
        let saves = match job {
            Job::Read => {
                let connection = self.events.connection(context());
                let row = campaign::Entity::find_by_id(self.id).one(&connection).await.expect("read");
                assert!(row.is_some());
                return;
            }
            Job::Insert(saves) | Job::Update(saves) => saves,
        };
        let txn = self.events.begin(context()).await.expect("begin");
        for save in 0..saves {
            if let Job::Insert(_) = job {
                new_campaign(names.next().expect("a name")).insert(&txn).await.expect("insert");
                continue;
            }
            let row = campaign::Entity::find_by_id(self.id).one(&txn).await.expect("read").expect("a row");
            let budget = row.budget + 1 + (turn + save) as i64;
            let mut active = row.into_active_model();
            active.budget = Set(budget);
            active.update(&txn).await.expect("update");
        }
        txn.commit().await.expect("commit");
    }
}

/// What a commit waits for the disk varies by more than what is looked for.
const NO_WAIT: &str = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$";

pub(super) async fn measure(db: TestDb, other: TestDb) {
    for db in [&db, &other] {
        run(&db.db, NO_WAIT).await;
    }
    let on = App::open(&db, &secured(&db).await.app).await;
    let off = App::open(&other, &unsecured(&other).await.app).await;
    for (name, job) in JOBS {
        let (mut with, mut without, mut added) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..=ROUNDS {
            // Who is first takes turns too.
            let (on, off) = if round % 2 == 0 {
                let on = on.microseconds(job).await;
                (on, off.microseconds(job).await)
            } else {
                let off = off.microseconds(job).await;
                (on.microseconds(job).await, off)
            };
            // The first round fills the statement cache.
            if round > 0 {
                with.push(on);
                without.push(off);
                added.push(on - off);
            }
        }
        println!(
            "PostgreSQL {name:<20} {:>6.0} us without row-level security, {:>6.0} us with it, {:>5.0} us more",
            median(without),
            median(with),
            median(added)
        );
    }
    for app in [on, off] {
        app.pool.close().await.expect("closed");
    }
    db.drop().await;
    other.drop().await;
}
