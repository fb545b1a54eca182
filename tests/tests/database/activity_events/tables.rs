//! Old tables as they are met, and a look at what became of them.

use events_sea_orm::{
    event,
    migration::activity_events::{self, ActivityEvents, Checked, Migrated},
};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};
use tests::TestDb;
use uuid::Uuid;

pub async fn run(db: &DatabaseConnection, sql: &str) {
    db.execute_unprepared(sql).await.unwrap_or_else(|error| panic!("{error}: {sql}"));
}

/// The number that this question has for an answer.
pub async fn number(db: &DatabaseConnection, sql: &str) -> i64 {
    let row =
        db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}

/// A type by its names on PostgreSQL, MariaDB and SQLite.
pub fn one_of<'a>(db: &DatabaseConnection, [postgres, mysql, sqlite]: [&'a str; 3]) -> &'a str {
    match db.get_database_backend() {
        DbBackend::Postgres => postgres,
        DbBackend::MySql => mysql,
        _ => sqlite,
    }
}

/// The reference's table: UUIDs as keys, an enum as type, columns of old and new values.
pub async fn separate(db: &TestDb) {
    events_sea_orm::migration::up(&db.db).await.unwrap();
    let db = &db.db;
    if db.get_database_backend() == DbBackend::Postgres {
        run(db, "CREATE TYPE activity_type AS ENUM ('CREATED', 'UPDATED', 'DELETED', 'STATE_CHANGED', 'Launch-Approved')").await;
    }
    let uuid = one_of(db, ["uuid", "char(36)", "text"]);
    let json = one_of(db, ["jsonb", "json", "text"]);
    let kind = one_of(db, ["activity_type", "varchar(40)", "text"]);
    let time = one_of(db, ["timestamptz", "datetime(6)", "text"]);
    run(db, &format!(
        "CREATE TABLE activity_events (id {uuid} NOT NULL PRIMARY KEY, team_id {uuid}, event_type {kind} NOT NULL, \
         object_type varchar(50), object_id {uuid}, actor_id {uuid}, old_values {json}, new_values {json}, reason text, \
         created_at {time} NOT NULL)"
    )).await;
}

/// A table with a counted key and one column of data.
pub async fn single(db: &TestDb, table: &str) {
    events_sea_orm::migration::up(&db.db).await.unwrap();
    let db = &db.db;
    let key = one_of(db, ["bigint", "bigint", "integer"]);
    let json = one_of(db, ["json", "longtext CHARACTER SET utf8mb4", "text"]);
    let time = one_of(db, ["timestamp", "datetime", "text"]);
    run(db, &format!(
        "CREATE TABLE {table} (id {key} NOT NULL PRIMARY KEY, team_id integer NOT NULL, event_type varchar(80) NOT NULL, \
         object_type varchar(50) NOT NULL, object_id varchar(500) NOT NULL, event_data {json}, created_at {time} NOT NULL)"
    )).await;
}

/// Rows of such a table with these keys.
pub async fn fill(db: &DatabaseConnection, table: &str, keys: impl IntoIterator<Item = i64>) {
    let rows: Vec<String> = keys.into_iter().map(|n| {
        let (minute, second) = (n / 60 % 60, n % 60);
        format!(
            "({n}, {}, 'UPDATED', 'campaign', 'c{n}', '{{\"name\": {{\"old\": \"{n}\", \"new\": \"{}\"}}}}', '2025-05-01 10:{minute:02}:{second:02}')",
            n % 3, n + 1
        )
    }).collect();
    run(db, &format!(
        "INSERT INTO {table} (id, team_id, event_type, object_type, object_id, event_data, created_at) VALUES {}",
        rows.join(",")
    )).await;
}

pub async fn migrate(db: &TestDb, old: &ActivityEvents) -> Migrated {
    activity_events::migrate(&db.db, old, |_| ()).await.unwrap_or_else(|error| panic!("{error}"))
}

pub async fn check(db: &TestDb, old: &ActivityEvents) -> Checked {
    activity_events::check(&db.db, old).await.unwrap_or_else(|error| panic!("{error}"))
}

/// Copied and found alike; the log.
pub async fn migrated(db: &TestDb, old: &ActivityEvents) -> Vec<event::Model> {
    let migrated = migrate(db, old).await;
    let checked = check(db, old).await;
    assert_eq!((checked.rows, checked.skipped), (migrated.copied, migrated.skipped));
    db.log().await
}

pub fn uuid(n: u128) -> Uuid {
    Uuid::from_u128(0x1111_2222_3333_4444_8555_0000_0000_0000 + n)
}
