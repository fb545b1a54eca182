//! What the database refuses to whoever may write to the `events` table, and what it cannot refuse.

mod grants;
mod partitions;
mod removed;
mod replica;

use std::sync::Arc;

use events_sea_orm::{Event, Events, Finding, GuardFinding, GuardProblem, migration};
use sea_orm::{
    ActiveModelTrait, ConnectionTrait, DatabaseConnection, DbBackend, DbErr, IntoActiveModel, Set,
};
use sea_orm_migration::SchemaManager;
use tests::{TestDb, context, new_campaign};

tests::conformance! {
    statements_that_change_events_are_refused,
    what_the_database_gives_cannot_be_forged,
    an_id_cannot_be_taken_twice,
    a_foreign_key_cannot_take_events_along,
    guards_come_to_a_table_with_rows,
}

/// Four events of three objects.
async fn set_up(db: &TestDb) -> Events {
    db.with_tables().await;
    let events = Events::builder(db.db.clone()).build().await.unwrap();
    record(&events).await;
    events
}

async fn record(events: &Events) {
    let txn = events.begin(context()).await.unwrap();
    for name in ["a", "b"] {
        new_campaign(name).insert(&txn).await.unwrap();
    }
    let mut last = new_campaign("c").insert(&txn).await.unwrap().into_active_model();
    last.budget = Set(5);
    last.update(&txn).await.unwrap();
    txn.commit().await.unwrap();
}

/// Every column of every row, as the database holds it.
async fn bytes(db: &DatabaseConnection) -> Vec<String> {
    let columns = [
        "seq",
        "id",
        "team_id",
        "event_type",
        "object_type",
        "object_id",
        "actor_id",
        "unit_id",
        "event_data",
        "context",
        "occurred_at",
        "recorded_at",
    ];
    let row = match db.get_database_backend() {
        DbBackend::Postgres => "events::text".to_owned(),
        DbBackend::Sqlite => columns.map(|column| format!("quote({column})")).join(" || "),
        _ => format!(
            "concat_ws('|', {})",
            columns.map(|column| format!("hex({column}), {column} IS NULL")).join(", ")
        ),
    };
    let sql = format!("SELECT {row} AS bytes FROM events ORDER BY seq");
    let rows =
        db.query_all_raw(sea_orm::Statement::from_string(db.get_database_backend(), sql)).await.unwrap();
    rows.iter().map(|row| row.try_get("", "bytes").unwrap()).collect()
}

async fn run(db: &DatabaseConnection, sql: &str) {
    db.execute_unprepared(sql).await.unwrap_or_else(|error| panic!("{error}: {sql}"));
}

/// An INSERT of one event with these columns set besides those that it needs.
fn insert(backend: DbBackend, verb: &str, id: &str, more: &[(&str, &str)]) -> String {
    let (names, values): (Vec<_>, Vec<_>) = more.iter().copied().unzip();
    let (names, values) = (names.join(", "), values.join(", "));
    let comma = if more.is_empty() { "" } else { ", " };
    let unit = uuid(backend, "00000000-0000-0000-0000-0000000000ff");
    format!(
        "{verb} INTO events (id, team_id, event_type, unit_id, event_data, context, occurred_at{comma}{names}) \
         {overriding}VALUES ({id}, 'forged', 'x', {unit}, '{{}}', '{{}}', '2026-01-01 00:00:00'{comma}{values})",
        overriding = if backend == DbBackend::Postgres { "OVERRIDING SYSTEM VALUE " } else { "" }
    )
}

fn uuid(backend: DbBackend, text: &str) -> String {
    match backend {
        DbBackend::Postgres => format!("'{text}'"),
        _ => format!("x'{}'", text.replace('-', "")),
    }
}

/// What verify says of the guards, but for what the user of these tests may do.
async fn guard_findings(db: &DatabaseConnection) -> Vec<GuardFinding> {
    let events = Events::builder(db.clone()).start_despite_dangers().build().await.unwrap();
    let report = events.verify().await.unwrap();
    let guards = report.findings().iter().filter_map(|finding| match finding {
        Finding::Guard(guard) if !matches!(guard.problem(), GuardProblem::MayRemove { .. }) => {
            Some(guard.clone())
        }
        _ => None,
    });
    guards.collect()
}

async fn statements_that_change_events_are_refused(db: Arc<TestDb>) {
    set_up(&db).await;
    let backend = db.db.get_database_backend();
    let before = bytes(&db.db).await;
    let log = db.log().await;
    assert_eq!(log.len(), 4);
    let first = uuid(backend, &log[0].id.to_string());
    let mut attempts = vec![
        "UPDATE events SET team_id = 'x'".to_owned(),
        "UPDATE events SET seq = seq + 100 WHERE seq = 1".to_owned().replace(
            "seq = seq + 100",
            match backend {
                DbBackend::Postgres => "actor_id = NULL",
                _ => "seq = seq + 100",
            },
        ),
        "UPDATE events SET recorded_at = recorded_at".to_owned(),
        "DELETE FROM events".to_owned(),
        format!("DELETE FROM events WHERE id = {first}"),
    ];
    match backend {
        DbBackend::Postgres => attempts.extend([
            format!("{} ON CONFLICT (id) DO UPDATE SET team_id = 'x'", insert(backend, "INSERT", &first, &[])),
            format!("{} ON CONFLICT (seq) DO UPDATE SET team_id = 'x'", insert(backend, "INSERT", "gen_random_uuid()", &[("seq", "1")])),
            "MERGE INTO events e USING (VALUES (1)) AS v (seq) ON e.seq = v.seq WHEN MATCHED THEN UPDATE SET team_id = 'x'".to_owned(),
            "MERGE INTO events e USING (VALUES (1)) AS v (seq) ON e.seq = v.seq WHEN MATCHED THEN DELETE".to_owned(),
            "TRUNCATE events".to_owned(),
            "TRUNCATE events RESTART IDENTITY CASCADE".to_owned(),
            "WITH gone AS (DELETE FROM events RETURNING *) SELECT count(*) FROM gone".to_owned(),
            "DO $$ BEGIN DELETE FROM events; END $$".to_owned(),
        ]),
        DbBackend::Sqlite => attempts.extend([
            insert(backend, "INSERT OR REPLACE", &first, &[]),
            insert(backend, "REPLACE", &first, &[]),
            insert(backend, "INSERT OR REPLACE", "randomblob(16)", &[("seq", "1")]),
            insert(backend, "INSERT OR REPLACE", "randomblob(16)", &[("rowid", "1")]),
            insert(backend, "INSERT OR IGNORE", &first, &[]),
            format!("{} ON CONFLICT (id) DO UPDATE SET team_id = 'x'", insert(backend, "INSERT", &first, &[])),
            format!("{} ON CONFLICT (seq) DO UPDATE SET team_id = 'x'", insert(backend, "INSERT", "randomblob(16)", &[("seq", "1")])),
            "UPDATE OR REPLACE events SET seq = 2 WHERE seq = 1".to_owned(),
            format!("UPDATE OR REPLACE events SET id = {first} WHERE seq = 2"),
            "UPDATE OR IGNORE events SET team_id = 'x'".to_owned(),
            "INSERT OR REPLACE INTO events SELECT * FROM events".to_owned(),
        ]),
        _ => attempts.extend([
            insert(backend, "REPLACE", &first, &[]),
            format!("{} ON DUPLICATE KEY UPDATE team_id = 'x'", insert(backend, "INSERT", &first, &[])),
            "UPDATE IGNORE events SET team_id = 'x'".to_owned(),
            "DELETE IGNORE FROM events".to_owned(),
            "REPLACE INTO events SELECT * FROM events".to_owned(),
            "UPDATE events e JOIN campaigns c SET e.team_id = 'x', c.name = 'x'".to_owned(),
            "DELETE e FROM events e JOIN campaigns c".to_owned(),
        ]),
    }
    for sql in attempts {
        let refused = db.db.execute_unprepared(&sql).await;
        let error = refused.err().unwrap_or_else(|| panic!("not refused: {sql}")).to_string();
        assert!(error.contains("append-only"), "{sql}: {error}");
        assert_eq!(bytes(&db.db).await, before, "{sql}");
    }
    assert_eq!(db.log().await, log);
}

async fn what_the_database_gives_cannot_be_forged(db: Arc<TestDb>) {
    set_up(&db).await;
    let backend = db.db.get_database_backend();
    let id = |n: u32| uuid(backend, &format!("00000000-0000-0000-0000-{n:012}"));
    let before = bytes(&db.db).await;
    let long_ago = ("recorded_at", "'2001-01-01 00:00:00'");
    let forged = [
        insert(backend, "INSERT", &id(1), &[long_ago]),
        insert(backend, "INSERT", &id(2), &[("recorded_at", "'2101-01-01 00:00:00'")]),
        insert(backend, "INSERT", &id(3), &[("seq", "1000000")]),
        insert(backend, "INSERT", &id(4), &[("seq", "-1")]),
        insert(backend, "INSERT", &id(5), &[("seq", "-5"), long_ago]),
    ];
    for sql in &forged {
        let result = db.db.execute_unprepared(sql).await;
        match backend {
            DbBackend::Sqlite => {
                let error = result.unwrap_err().to_string();
                assert!(error.contains("given by the database"), "{error}");
            }
            _ => assert!(result.is_ok(), "{sql}: {result:?}"),
        }
    }
    let log = db.log().await;
    for event in &log {
        let age = (chrono::Utc::now() - event.recorded_at).num_seconds();
        assert!((-60..60).contains(&age), "{event:?}");
    }
    let forged = log.iter().filter(|event| event.team_id == "forged").map(|event| event.seq);
    match backend {
        // SQLite cannot put another value in their place.
        DbBackend::Sqlite => assert_eq!(bytes(&db.db).await, before),
        // Whoever may write to the column `seq` may choose a free number: that is what column grants are for.
        DbBackend::Postgres => assert_eq!(forged.collect::<Vec<_>>(), [-5, -1, 5, 6, 1_000_000]),
        _ => assert!(forged.clone().all(|seq| seq > 4 && seq < 1_000), "{:?}", forged.collect::<Vec<_>>()),
    }
}

/// Before and after, `INSERT OR IGNORE` included, an id stands for one event.
async fn an_id_cannot_be_taken_twice(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let backend = db.db.get_database_backend();
    let before = bytes(&db.db).await;
    let id = uuid(backend, &db.log().await[2].id.to_string());
    db.db.execute_unprepared(&insert(backend, "INSERT", &id, &[])).await.unwrap_err();
    assert_eq!(bytes(&db.db).await, before);
    // Recording goes on.
    let txn = events.begin(context()).await.unwrap();
    txn.emit(Event::custom("still_there")).await.unwrap();
    txn.commit().await.unwrap();
    let after = bytes(&db.db).await;
    assert_eq!(after[..4], before);
    assert_eq!(after.len(), 5);
}

/// One that an application made, against all advice. The row that it refers to stays where triggers fire.
async fn a_foreign_key_cannot_take_events_along(db: Arc<TestDb>) {
    run(&db.db, "CREATE TABLE people (name varchar(191) PRIMARY KEY)").await;
    run(&db.db, "INSERT INTO people VALUES ('ada')").await;
    set_up(&db).await;
    match db.db.get_database_backend() {
        DbBackend::Postgres => {
            run(&db.db, "ALTER TABLE people ALTER COLUMN name TYPE varchar(191) COLLATE \"C\"").await;
            run(&db.db, "ALTER TABLE events ADD CONSTRAINT events_actor FOREIGN KEY (actor_id) REFERENCES people (name) ON DELETE CASCADE ON UPDATE CASCADE").await;
        }
        DbBackend::MySql => {
            run(&db.db, "ALTER TABLE people CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin")
                .await;
            run(&db.db, "ALTER TABLE events ADD CONSTRAINT events_actor FOREIGN KEY (actor_id) REFERENCES people (name) ON DELETE CASCADE ON UPDATE CASCADE").await;
        }
        // Which SQLite can only with a column of its own, or by rewriting its schema.
        _ => {
            run(&db.db, "ALTER TABLE events ADD COLUMN person text REFERENCES people (name) ON DELETE CASCADE ON UPDATE CASCADE").await;
            run(&db.db, &insert(DbBackend::Sqlite, "INSERT", "randomblob(16)", &[("person", "'ada'")])).await;
        }
    }
    let before = bytes(&db.db).await;
    let findings = guard_findings(&db.db).await;
    let rules: Vec<_> = findings
        .iter()
        .map(|finding| match finding.problem() {
            GuardProblem::Cascade { rule } => *rule,
            other => panic!("{other:?}"),
        })
        .collect();
    match db.db.get_database_backend() {
        // No column that we write: only a row that goes counts.
        DbBackend::Sqlite => assert_eq!(rules, ["ON DELETE CASCADE"]),
        _ => assert_eq!(rules, ["ON DELETE CASCADE", "ON UPDATE CASCADE"]),
    }
    let changes = |sql: &'static str| db.db.execute_unprepared(sql);
    if db.db.get_database_backend() == DbBackend::MySql {
        // InnoDB fires no triggers for what a foreign key does: the events are lost, and verify has said so before.
        changes("UPDATE people SET name = 'eve'").await.unwrap();
        assert_ne!(bytes(&db.db).await, before);
        changes("DELETE FROM people").await.unwrap();
        assert_eq!(bytes(&db.db).await, [""; 0]);
    } else {
        for sql in ["UPDATE people SET name = 'eve'", "DELETE FROM people"] {
            let error = changes(sql).await.unwrap_err().to_string();
            assert!(error.contains("append-only"), "{sql}: {error}");
            assert_eq!(bytes(&db.db).await, before);
        }
    }
    if let Some(mend) = mends(&findings).first() {
        run(&db.db, mend).await;
        assert_eq!(guard_findings(&db.db).await, []);
    }
}

fn mends(findings: &[GuardFinding]) -> Vec<String> {
    findings.iter().filter_map(|finding| Finding::Guard(finding.clone()).mend()).collect()
}

async fn guards_come_to_a_table_with_rows(db: Arc<TestDb>) {
    let steps = migration::steps();
    let manager = SchemaManager::new(&db.db);
    let guards = steps.iter().find(|step| step.name() == "events_0005_guards").unwrap();
    set_up(&db).await;
    guards.down(&manager).await.unwrap();
    let missing = guard_findings(&db.db).await;
    assert!(missing.iter().all(|finding| *finding.problem() == GuardProblem::Missing), "{missing:?}");
    assert!(missing.len() >= 3);
    guards.down(&manager).await.unwrap();
    run(&db.db, "UPDATE events SET actor_id = 'grace' WHERE seq = 1").await;
    let before = bytes(&db.db).await;
    for _ in 0..2 {
        guards.up(&manager).await.unwrap();
        assert_eq!(guard_findings(&db.db).await, []);
        let refused: Result<_, DbErr> = db.db.execute_unprepared("UPDATE events SET actor_id = 'x'").await;
        refused.unwrap_err();
        assert_eq!(bytes(&db.db).await, before);
    }
    migration::down(&db.db).await.unwrap();
    migration::up(&db.db).await.unwrap();
    assert_eq!(guard_findings(&db.db).await, []);
}
