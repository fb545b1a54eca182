//! Measurements, each against bare SeaORM in the same run where there is something to compare with.
//!
//! `saves`: create, load-modify-save and delete on each database, with 1 and 10 saves a unit; the two kinds alternate,
//! and the figure is the median of the paired ratios. `diff`: what a save computes, without a database. `bytes`: what
//! an event takes with its indexes. `bulk`: 10,000 rows at once. `guard`: what each statement's way through it costs.
//! `consumers`: what consumers that do nothing add to a unit of work. `isolation`: what row-level security adds.

mod bulk;
mod consumers;
mod guard;
mod isolation;

use std::time::Instant;

use events_sea_orm::{Context, EventTransaction, Events, event};
use sea_orm::{
    ActiveModelTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QuerySelect,
    Schema, Set, TransactionTrait,
};
use tests::TestDb;

mod tracked {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "tracked")]
    #[tracked(object_type = "bench", team = context)]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i64,
        #[track]
        pub name: String,
        #[track]
        pub status: String,
        #[track]
        pub budget: i64,
        #[track]
        pub starts_at: DateTimeUtc,
        #[track]
        pub notes: Option<String>,
        pub updated_at: DateTimeUtc,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

mod bare {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "bare")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i64,
        pub name: String,
        pub status: String,
        pub budget: i64,
        pub starts_at: DateTimeUtc,
        pub notes: Option<String>,
        pub updated_at: DateTimeUtc,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

const ROUNDS: i64 = 15;
const UNITS: i64 = 100;

/// Twelve tracked fields of the usual types.
mod wide {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "wide")]
    #[tracked(object_type = "wide", team = context, all)]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i64,
        pub name: String,
        pub status: String,
        pub city: String,
        pub notes: Option<String>,
        pub budget: i64,
        pub spent: Decimal,
        pub rank: i32,
        pub score: f64,
        pub active: bool,
        pub owner: Uuid,
        pub starts_at: DateTimeUtc,
        pub ends_at: Option<DateTimeUtc>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

fn wide_row(n: i64) -> wide::Model {
    let at = chrono::DateTime::from_timestamp(1_700_000_000 + n, 0).expect("a time");
    wide::Model {
        id: 1,
        name: format!("Spring sale {n}"),
        status: format!("status {n}"),
        city: format!("Lyon {n}"),
        notes: Some(format!("{}{n}", "x".repeat(100))),
        budget: n,
        spent: sea_orm::prelude::Decimal::new(1_050 + n, 2),
        rank: n as i32,
        score: n as f64 + 0.5,
        active: n % 2 == 0,
        owner: uuid::Uuid::from_u128(n as u128),
        starts_at: at,
        ends_at: Some(at),
    }
}

/// Nanoseconds from two rows to the payload of their difference.
fn diff() {
    let old = wide_row(0);
    let all = wide_row(1);
    let two = wide::Model { budget: 1, status: "status 1".to_owned(), ..old.clone() };
    for (changes, new) in [(0, &old.clone()), (2, &two), (12, &all)] {
        let runs: u32 = 100_000;
        let mut medians = Vec::new();
        for _ in 0..9 {
            let start = Instant::now();
            for _ in 0..runs {
                let payloads =
                    events_sea_orm::__private::diff(std::hint::black_box(&old), std::hint::black_box(new));
                assert_eq!(std::hint::black_box(payloads).expect("recordable"), usize::from(changes > 0));
            }
            medians.push(start.elapsed().as_nanos() as f64 / f64::from(runs));
        }
        println!("diff of 12 fields, {changes:>2} changed: {:.0} ns", median(medians));
    }
}

/// What an event takes on disk with its indexes: 2,000 creates, updates of two fields, and deletes.
async fn bytes(name: &str, db: TestDb) {
    let events = set_up(&db).await;
    let mut before = 0;
    for job in [Job::Create, Job::Update, Job::Delete] {
        tracked_seconds(&events, job, 0, 2_000 / UNITS).await;
        let size = size_of_events(&db).await;
        println!(
            "{name:<12} {:<8} {} bytes an event",
            format!("{job:?}").to_lowercase(),
            (size - before) / 2_000
        );
        before = size;
    }
    db.drop().await;
}

async fn size_of_events(db: &TestDb) -> i64 {
    use sea_orm::{DbBackend, Statement};
    let backend = db.db.get_database_backend();
    let (refresh, sql) = match backend {
        DbBackend::Postgres => ("VACUUM ANALYZE events", "SELECT pg_total_relation_size('events') AS size"),
        DbBackend::MySql => (
            "ANALYZE TABLE events",
            "SELECT CAST(data_length + index_length AS SIGNED) AS size FROM information_schema.tables WHERE table_schema = database() AND table_name = 'events'",
        ),
        _ => ("PRAGMA wal_checkpoint", "SELECT sum(pgsize) AS size FROM dbstat WHERE name LIKE '%events%'"),
    };
    db.db.execute_unprepared(refresh).await.expect("refreshed");
    let row = db.db.query_one_raw(Statement::from_string(backend, sql)).await.expect("a size");
    row.expect("one row").try_get("", "size").expect("a number")
}

#[derive(Clone, Copy, Debug)]
enum Job {
    Create,
    Update,
    Delete,
}

fn at() -> chrono::DateTime<chrono::Utc> {
    chrono::DateTime::from_timestamp(1_790_000_000, 0).expect("a time")
}

macro_rules! saves {
    ($name:ident, $module:ident, $txn:ty) => {
        async fn $name(txn: &$txn, job: Job, id: i64) {
            if let Job::Create = job {
                let active = $module::ActiveModel {
                    id: Set(id),
                    name: Set("Spring sale of the northern shops".to_owned()),
                    status: Set("draft".to_owned()),
                    budget: Set(1_000),
                    starts_at: Set(at()),
                    notes: Set(Some("x".repeat(127))),
                    updated_at: Set(at()),
                };
                active.insert(txn).await.expect("insert");
                return;
            }
            let model = $module::Entity::find_by_id(id).one(txn).await.expect("read").expect("a row");
            let mut active = model.into_active_model();
            if let Job::Delete = job {
                active.delete(txn).await.expect("delete");
            } else {
                active.status = Set("live".to_owned());
                active.budget = Set(2_000);
                active.update(txn).await.expect("update");
            }
        }
    };
}

saves!(save_tracked, tracked, EventTransaction);
saves!(save_bare, bare, DatabaseTransaction);

async fn tracked_seconds(events: &Events, job: Job, first: i64, saves: i64) -> f64 {
    let start = Instant::now();
    for unit in 0..UNITS {
        let txn = events.begin(Context::team(1).actor("user:42")).await.expect("begin");
        for save in 0..saves {
            save_tracked(&txn, job, first + unit * saves + save).await;
        }
        txn.commit().await.expect("commit");
    }
    start.elapsed().as_secs_f64()
}

async fn bare_seconds(db: &TestDb, job: Job, first: i64, saves: i64, naive: bool) -> f64 {
    let start = Instant::now();
    for unit in 0..UNITS {
        let txn = db.db.begin().await.expect("begin");
        for save in 0..saves {
            let id = first + unit * saves + save;
            if naive && !matches!(job, Job::Create) {
                let lock = bare::Entity::find_by_id(id).lock_exclusive();
                lock.one(&txn).await.expect("read").expect("a row");
            }
            save_bare(&txn, job, id).await;
            if naive {
                write_by_hand(&txn, job, id).await;
            }
        }
        txn.commit().await.expect("commit");
    }
    start.elapsed().as_secs_f64()
}

/// What a hook written by hand would do for each save: an INSERT of the event, its payload made without effort.
async fn write_by_hand(txn: &DatabaseTransaction, job: Job, id: i64) {
    let (event_type, data) = match job {
        Job::Update => (
            "UPDATED",
            serde_json::json!({"changes": {"status": {"old": "draft", "new": "live"}, "budget": {"old": 1_000, "new": 2_000}}}),
        ),
        _ => (
            if let Job::Create = job { "CREATED" } else { "DELETED" },
            serde_json::json!({"values": {
                "name": "Spring sale of the northern shops", "status": "draft", "budget": 1_000, "starts_at": at(), "notes": "x".repeat(127),
            }}),
        ),
    };
    use event::Column;
    let (event_id, unit_id) = (uuid::Uuid::now_v7(), uuid::Uuid::now_v7());
    let mut insert = sea_orm::sea_query::Query::insert();
    insert.into_table(event::Entity).columns([
        Column::Id,
        Column::TeamId,
        Column::EventType,
        Column::ObjectType,
        Column::ObjectId,
        Column::ActorId,
        Column::UnitId,
        Column::EventData,
        Column::Context,
        Column::OccurredAt,
    ]);
    insert.values_panic([
        event_id.into(),
        "1".into(),
        event_type.into(),
        "bench".into(),
        id.to_string().into(),
        "user:42".into(),
        unit_id.into(),
        data.into(),
        serde_json::json!({}).into(),
        chrono::Utc::now().into(),
    ]);
    txn.execute(&insert).await.expect("an event");
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

async fn set_up(db: &TestDb) -> Events {
    events_sea_orm::migration::up(&db.db).await.expect("events table");
    let schema = Schema::new(db.db.get_database_backend());
    for table in
        [schema.create_table_from_entity(tracked::Entity), schema.create_table_from_entity(bare::Entity)]
    {
        db.db.execute(&table).await.expect("table");
    }
    Events::builder(db.db.clone()).build().await.expect("built")
}

async fn compare(name: &str, mut db: TestDb) {
    db.db = TestDb::open_with(&db.url, 1).await;
    let events = set_up(&db).await;
    for saves in [1, 10] {
        for (n, job) in [Job::Create, Job::Update, Job::Delete].into_iter().enumerate() {
            let (mut ratios, mut naive_ratios, mut micros) = (Vec::new(), Vec::new(), Vec::new());
            for round in 0..ROUNDS {
                // Keys of their own: naive saves are of the bare table too.
                let first = ((saves * ROUNDS) + round) * UNITS * 10;
                let naive_first = first + 10_000_000;
                let bare = bare_seconds(&db, job, first, saves, false).await;
                let tracked = tracked_seconds(&events, job, first, saves).await;
                let naive = bare_seconds(&db, job, naive_first, saves, true).await;
                // The first rounds fill the statement cache.
                if round > 1 || n > 0 {
                    ratios.push(tracked / bare);
                    naive_ratios.push(naive / bare);
                    micros.push(tracked * 1e6 / (UNITS * saves) as f64);
                }
            }
            println!(
                "{name:<10} {:<6} {saves:>2} a unit: {:.2} x bare SeaORM ({:.2} x by a hook written by hand), {:.0} us a save",
                format!("{job:?}").to_lowercase(),
                median(ratios),
                median(naive_ratios),
                median(micros),
            );
        }
    }
    db.drop().await;
}

#[tokio::main]
async fn main() {
    let only = std::env::args().nth(1);
    let wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
    if wanted("diff") {
        diff();
    }
    for (name, variable) in
        [("SQLite", None), ("PostgreSQL", Some("POSTGRES_URL")), ("MariaDB", Some("MYSQL_URL"))]
    {
        let url = variable.map(std::env::var);
        let new = async || match &url {
            None => Some(TestDb::sqlite().await),
            Some(Ok(url)) => Some(TestDb::server(url).await),
            Some(Err(_)) => None,
        };
        if wanted("saves") {
            match new().await {
                Some(db) => compare(name, db).await,
                None => println!("!! {name} left out: its URL is not set"),
            }
        }
        if wanted("bulk")
            && let Some(db) = new().await
        {
            bulk::compare(name, db).await;
        }
        if wanted("guard")
            && let Some(db) = new().await
        {
            guard::measure(name, db).await;
        }
        if wanted("consumers")
            && let Some(db) = new().await
        {
            consumers::measure(name, db).await;
        }
        if wanted("isolation")
            && variable == Some("POSTGRES_URL")
            && let (Some(db), Some(other)) = (new().await, new().await)
        {
            isolation::measure(db, other).await;
        }
        if wanted("bytes")
            && let Some(db) = new().await
        {
            bytes(name, db).await;
        }
    }
}
