//! A million rows through the tracked verbs: what the client holds in memory, and whether every row has its events.

use std::{
    process::{Command, Stdio},
    time::Instant,
};

use events_sea_orm::{Context, EntityEvents, Events};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, ExprTrait, QueryFilter, Schema, Set, Statement, sea_query::Expr,
};
use tests::TestDb;

use super::peak_megabytes;

mod stock {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "stock")]
    #[tracked(team = "team_id", all)]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub team_id: i32,
        pub name: String,
        pub amount: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

const ROWS: i64 = 1_000_000;
/// What the caller hands over at once.
const INPUT: i64 = 50_000;
const LIMIT: u64 = 200;
const STEPS: [&str; 3] = ["insert", "update", "delete"];

/// Each step is a unit of work in a process of its own, whose peak is the step's.
pub async fn run(name: &str, db: TestDb) {
    events_sea_orm::migration::up(&db.db).await.expect("events table");
    let table = Schema::new(db.db.get_database_backend()).create_table_from_entity(stock::Entity);
    db.db.execute(&table).await.expect("table");
    for step in STEPS {
        let child = Command::new(std::env::current_exe().expect("itself"))
            .args(["bulk", step, &db.url])
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .expect("a child");
        assert!(child.status.success(), "{name}: {step} failed");
        println!("{name:<10} {step} {}", String::from_utf8_lossy(&child.stdout).trim_end());
        check(name, &db, step).await;
    }
    println!("{name:<10} every row has its three events, and each says what was and what came");
    db.drop().await;
}

/// The child.
pub async fn step(step: &str, url: &str) {
    let db = TestDb::open_with(url, 1).await;
    let events = Events::builder(db).build().await.expect("built");
    let txn = events.begin(Context::team(1).actor("soak")).await.expect("begin");
    let start = Instant::now();
    let rows = match step {
        "insert" => {
            let mut rows = 0;
            for first in (0..ROWS).step_by(INPUT as usize) {
                let models = (first..first + INPUT).map(|n| stock::ActiveModel {
                    team_id: Set(1),
                    name: Set(format!("item {n}")),
                    amount: Set(n),
                    ..Default::default()
                });
                rows += stock::Entity::insert_many_with_events(models)
                    .exec_without_returning(&txn)
                    .await
                    .expect("insert");
            }
            rows
        }
        "update" => {
            let more = Expr::col(stock::Column::Amount).mul(2).add(1);
            let update = stock::Entity::update_many_with_events().col_expr(stock::Column::Amount, more);
            update.filter(stock::Column::TeamId.eq(1)).exec(&txn).await.expect("update").rows_affected
        }
        _ => stock::Entity::delete_many_with_events().exec(&txn).await.expect("delete").rows_affected,
    };
    let before_commit = start.elapsed();
    txn.commit().await.expect("commit");
    assert_eq!(rows, ROWS as u64);
    let seconds = start.elapsed().as_secs_f64();
    let commit = seconds - before_commit.as_secs_f64();
    let rate = ROWS as f64 / seconds;
    let peak = peak_megabytes();
    let memory = peak.map_or_else(|| "not measured".to_owned(), |peak| format!("{peak} MB"));
    println!(
        "of {ROWS} rows: {seconds:.0} s, {rate:.0} rows a second, commit {commit:.1} s, peak memory of the client {memory}"
    );
    assert!(peak.is_none_or(|peak| peak < LIMIT), "{step} took {memory}, more than {LIMIT} MB");
}

/// Counts and sums, by the database itself: `amount` was n, and became 2n + 1.
async fn check(name: &str, db: &TestDb, step: &str) {
    let (event_type, old, new) = match step {
        "insert" => ("CREATED", None, Some("initial_values.amount")),
        "update" => ("UPDATED", Some("changes.amount.old"), Some("changes.amount.new")),
        _ => ("DELETED", Some("final_values.amount"), None),
    };
    let backend = db.db.get_database_backend();
    let sum = |path: Option<&str>| match (path, backend) {
        (None, _) => "0".to_owned(),
        (Some(path), DbBackend::Postgres) => {
            format!("sum((event_data #>> '{{{}}}')::bigint)", path.replace('.', ","))
        }
        (Some(path), DbBackend::MySql) => format!("sum(CAST(JSON_VALUE(event_data, '$.{path}') AS SIGNED))"),
        (Some(path), _) => format!("sum(event_data ->> '$.{path}')"),
    };
    let integer = if backend == DbBackend::MySql { "SIGNED" } else { "bigint" };
    let sql = format!(
        "SELECT CAST(count(*) AS {integer}) AS events, CAST(count(DISTINCT object_id) AS {integer}) AS objects, \
         CAST({} AS {integer}) AS old, CAST({} AS {integer}) AS new, CAST(count(DISTINCT unit_id) AS {integer}) AS units \
         FROM events WHERE event_type = '{event_type}'",
        sum(old),
        sum(new),
    );
    let row = db.db.query_one_raw(Statement::from_string(backend, sql)).await.expect("an answer");
    let row = row.expect("one row");
    let number = |column: &str| row.try_get::<i64>("", column).expect("a number");
    let found = ["events", "objects", "old", "new", "units"].map(number);
    let first = ROWS * (ROWS - 1) / 2;
    let second = 2 * first + ROWS;
    let (old, new) = match step {
        "insert" => (0, first),
        "update" => (first, second),
        _ => (second, 0),
    };
    assert_eq!(
        found,
        [ROWS, ROWS, old, new, 1],
        "{name}: {step}: events, objects, sums of old and new, units"
    );
    let table =
        format!("SELECT CAST(count(*) AS {integer}), CAST(coalesce(sum(amount), 0) AS {integer}) FROM stock");
    let row = db.db.query_one_raw(Statement::from_string(backend, table)).await.expect("an answer");
    let row = row.expect("one row");
    let found = [0, 1].map(|column| row.try_get_by_index::<i64>(column).expect("a number"));
    assert_eq!(found, [if new == 0 { 0 } else { ROWS }, new], "{name}: the table after {step}");
}
