//! Measurements: tracked saves against bare SeaORM in one run.
//!
//! For each database: create, load-modify-save and delete, with 1 and 10 saves a unit. The two kinds alternate; the
//! figure is the median of the paired ratios.

use std::time::Instant;

use events_sea_orm::{Context, EventTransaction, Events};
use sea_orm::{
    ActiveModelTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, Schema, Set,
    TransactionTrait,
};
use tests::TestDb;

mod tracked {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "tracked")]
    #[tracked(object_type = "campaign", team = context)]
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
const UNITS: i64 = 40;

#[derive(Clone, Copy, Debug)]
enum Job {
    Create,
    Update,
    Delete,
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
                    starts_at: Set(chrono::DateTime::UNIX_EPOCH),
                    notes: Set(Some("x".repeat(127))),
                    updated_at: Set(chrono::DateTime::UNIX_EPOCH),
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

async fn bare_seconds(db: &TestDb, job: Job, first: i64, saves: i64) -> f64 {
    let start = Instant::now();
    for unit in 0..UNITS {
        let txn = db.db.begin().await.expect("begin");
        for save in 0..saves {
            save_bare(&txn, job, first + unit * saves + save).await;
        }
        txn.commit().await.expect("commit");
    }
    start.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

async fn compare(name: &str, db: TestDb) {
    events_sea_orm::migration::up(&db.db).await.expect("events table");
    let schema = Schema::new(db.db.get_database_backend());
    for table in
        [schema.create_table_from_entity(tracked::Entity), schema.create_table_from_entity(bare::Entity)]
    {
        db.db.execute(&table).await.expect("table");
    }
    let events = Events::builder(db.db.clone()).build().await.expect("built");
    for saves in [1, 10] {
        let jobs = [Job::Create, Job::Update, Job::Delete];
        let mut figures = [const { (Vec::new(), Vec::new()) }; 3];
        for round in 0..ROUNDS {
            let first = (saves * ROUNDS + round) * UNITS * 10;
            for (job, (ratios, micros)) in jobs.iter().zip(&mut figures) {
                let bare = bare_seconds(&db, *job, first, saves).await;
                let tracked = tracked_seconds(&events, *job, first, saves).await;
                ratios.push(tracked / bare);
                micros.push(tracked * 1e6 / (UNITS * saves) as f64);
            }
        }
        for (job, (ratios, micros)) in jobs.iter().zip(figures) {
            println!(
                "{name:<12} {:<8} {saves:>2} a unit: {:.2} x bare SeaORM, {:.0} us a save",
                format!("{job:?}").to_lowercase(),
                median(ratios),
                median(micros),
            );
        }
    }
    db.drop().await;
}

#[tokio::main]
async fn main() {
    compare("SQLite", TestDb::sqlite().await).await;
    for (name, variable) in [("PostgreSQL", "POSTGRES_URL"), ("MariaDB", "MYSQL_URL")] {
        match std::env::var(variable) {
            Ok(url) => compare(name, TestDb::server(&url).await).await,
            Err(_) => println!("!! {name} left out: {variable} is not set"),
        }
    }
}
