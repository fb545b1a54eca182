//! What the database itself refuses to each role, whatever SQL it sends.

use std::sync::Arc;

use sea_orm::{DatabaseConnection, TransactionTrait};
use tests::{
    TestDb,
    roles::{quoted, run},
};

use crate::isolation::{as_team, insert_event, isolated, texts};

tests::on_postgres! {
    the_application_cannot_forge_an_event,
    the_application_cannot_change_or_remove_an_event,
    without_a_team_nothing_is_seen_or_written,
    delivery_and_audit_see_all_teams_and_change_no_event,
    the_owner_is_held_by_the_policies_too,
    teams_that_look_alike_are_others,
}

/// What the database says of it.
#[track_caller]
fn refused(done: Result<u64, sea_orm::DbErr>, said: &str) {
    match done {
        Ok(rows) => panic!("{rows} rows"),
        Err(error) => assert!(error.to_string().contains(said), "{error}"),
    }
}

const NO_RIGHT: &str = "permission denied";
const NO_POLICY: &str = "violates row-level security policy";

async fn the_application_cannot_forge_an_event(db: Arc<TestDb>) {
    let roles = isolated(&db).await;
    let app = db.open_as(&roles.app, 2).await;
    as_team(&app, "a", &insert_event("a")).await.unwrap();

    refused(as_team(&app, "b", &insert_event("a")).await, NO_POLICY);
    refused(as_team(&app, "b", &(insert_event("a") + " ON CONFLICT DO NOTHING")).await, NO_POLICY);
    let forged = |column: &str, value: &str| {
        let columns = insert_event("a").replacen("(id,", &format!("({column}, id,"), 1);
        columns.replacen("VALUES (", &format!("VALUES ({value}, "), 1)
    };
    refused(as_team(&app, "a", &forged("recorded_at", "now() - interval '1 year'")).await, NO_RIGHT);
    refused(
        as_team(&app, "a", &forged("seq", "1000")).await,
        "cannot insert a non-DEFAULT value into column \"seq\"",
    );
    refused(as_team(&app, "a", &forged("seq", "DEFAULT")).await, NO_RIGHT);
    let overriding = forged("seq", "1000").replacen(" VALUES", " OVERRIDING SYSTEM VALUE VALUES", 1);
    refused(as_team(&app, "a", &overriding).await, NO_RIGHT);
    let overriding = insert_event("a").replacen(" VALUES", " OVERRIDING SYSTEM VALUE VALUES", 1);
    as_team(&app, "a", &overriding).await.unwrap(); // and overrides nothing
    refused(
        as_team(&app, "a", "COPY events (team_id) FROM STDIN").await,
        "COPY FROM not supported with row-level security",
    );
    let merge = "MERGE INTO events USING (VALUES (1)) v(x) ON false WHEN NOT MATCHED THEN INSERT (seq) OVERRIDING SYSTEM VALUE VALUES (1)";
    refused(as_team(&app, "a", merge).await, NO_RIGHT);
    refused(as_team(&app, "a", "SELECT setval('events_seq_seq', 1000)").await, NO_RIGHT);
    refused(as_team(&app, "a", "SELECT last_value FROM events_seq_seq").await, NO_RIGHT);
    app.close().await.unwrap();
    assert_eq!(texts(&db.db, "SELECT seq::text FROM events ORDER BY seq").await.len(), 2);
}

async fn the_application_cannot_change_or_remove_an_event(db: Arc<TestDb>) {
    let roles = isolated(&db).await;
    let app = db.open_as(&roles.app, 2).await;
    as_team(&app, "a", &insert_event("a")).await.unwrap();
    for sql in [
        "UPDATE events SET actor_id = 'eve'",
        "UPDATE events SET recorded_at = now()",
        "DELETE FROM events",
        "TRUNCATE events",
        "SELECT * FROM events FOR UPDATE",
        "SELECT * FROM events FOR KEY SHARE",
        "LOCK TABLE events IN EXCLUSIVE MODE",
        "INSERT INTO events (id, team_id, event_type, unit_id, event_data, context, occurred_at) \
         SELECT id, team_id, event_type, unit_id, event_data, context, occurred_at FROM events \
         ON CONFLICT (id) DO UPDATE SET actor_id = 'eve'",
        "MERGE INTO events USING (VALUES (1)) v(x) ON true WHEN MATCHED THEN DELETE",
        "CREATE TABLE spy (id uuid REFERENCES events (id))",
        "CREATE TRIGGER spy BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "CREATE RULE spy AS ON INSERT TO events DO INSTEAD NOTHING",
        "ALTER TABLE events DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE events NO FORCE ROW LEVEL SECURITY",
        "ALTER TABLE events DISABLE TRIGGER ALL",
        "CREATE POLICY spy ON events FOR SELECT USING (true)",
        "DROP POLICY events_app_select ON events",
        "DROP TABLE events",
        "SET session_replication_role = replica",
        &format!("SET ROLE {}", quoted(&roles.owner)),
        &format!("SET SESSION AUTHORIZATION {}", quoted(&roles.owner)),
    ] {
        let done = as_team(&app, "a", sql).await;
        let error = done.expect_err(sql).to_string();
        assert!(error.contains(NO_RIGHT) || error.contains("must be owner"), "{sql}: {error}");
    }
    // `off` is an error rather than a look at everything.
    let off = app.begin().await.unwrap();
    run(&off, "SET LOCAL row_security = off").await;
    let query = sea_orm::ConnectionTrait::execute_unprepared(&off, "SELECT * FROM events").await;
    assert!(query.unwrap_err().to_string().contains("would be affected by row-level security policy"));
    off.rollback().await.unwrap();
    app.close().await.unwrap();
    assert_eq!(texts(&db.db, "SELECT actor_id FROM events").await, [""]);
}

const TABLES: [&str; 6] = [
    "events",
    "threads",
    "thread_messages",
    "notifications",
    "notification_preferences",
    "event_daily_counts",
];

/// A row of each table for this team, beside its event.
async fn rows_of(db: &DatabaseConnection, team: &str) {
    let id = uuid::Uuid::now_v7();
    for sql in [
        insert_event(team),
        format!("INSERT INTO threads (team_id, object_type, object_id) VALUES ('{team}', 'campaign', '1')"),
        format!(
            "INSERT INTO thread_messages (thread_id, team_id, event_id, kind, body, data) \
             SELECT id, team_id, '{id}', 'system', 'x', '{{}}' FROM threads WHERE team_id = '{team}'"
        ),
        format!(
            "INSERT INTO notifications (team_id, user_id, event_id, event_type) VALUES ('{team}', 'u', '{id}', 'CREATED')"
        ),
        format!(
            "INSERT INTO notification_preferences (team_id, user_id, wanted) VALUES ('{team}', 'u', true)"
        ),
        format!(
            "INSERT INTO event_daily_counts (team_id, day, event_type, count) VALUES ('{team}', '2026-01-01', 'CREATED', 1)"
        ),
    ] {
        as_team(db, team, &sql).await.unwrap_or_else(|error| panic!("{error}: {sql}"));
    }
}

async fn without_a_team_nothing_is_seen_or_written(db: Arc<TestDb>) {
    let roles = isolated(&db).await;
    let app = db.open_as(&roles.app, 1).await;
    rows_of(&app, "a").await;
    for table in TABLES {
        // Of one connection: the setting of the transaction before reads as empty, not as missing.
        assert_eq!(
            texts(&app, &format!("SELECT team_id::text FROM {table}")).await,
            Vec::<String>::new(),
            "{table}"
        );
        assert_eq!(as_team(&app, "", &format!("SELECT * FROM {table}")).await.unwrap(), 0, "{table}");
        assert_eq!(as_team(&app, "b", &format!("SELECT * FROM {table}")).await.unwrap(), 0, "{table}");
        assert_eq!(as_team(&app, "a", &format!("SELECT * FROM {table}")).await.unwrap(), 1, "{table}");
    }
    refused(as_team(&app, "", &insert_event("a")).await, NO_POLICY);
    refused(as_team(&app, "", &insert_event("")).await, NO_POLICY);
    refused(
        as_team(&app, "", "INSERT INTO threads (team_id, object_type, object_id) VALUES ('a', 'x', '1')")
            .await,
        NO_POLICY,
    );
    for sql in [
        "UPDATE notifications SET read_at = now()",
        "UPDATE notification_preferences SET wanted = false",
        "DELETE FROM notification_preferences",
        "UPDATE event_daily_counts SET count = 0",
        "DELETE FROM event_daily_counts",
    ] {
        assert_eq!(as_team(&app, "b", sql).await.unwrap(), 0, "{sql}");
    }
    for sql in [
        "DELETE FROM threads",
        "DELETE FROM thread_messages",
        "UPDATE thread_messages SET body = ''",
        "UPDATE threads SET team_id = 'b'",
        "UPDATE notifications SET team_id = 'b'",
        "DELETE FROM notifications",
        "TRUNCATE notification_preferences",
    ] {
        refused(as_team(&app, "a", sql).await, NO_RIGHT);
    }
    app.close().await.unwrap();
    // A new connection has no such setting at all.
    let fresh = db.open_as(&roles.app, 1).await;
    assert_eq!(texts(&fresh, "SELECT team_id::text FROM events").await, Vec::<String>::new());
    fresh.close().await.unwrap();
}

async fn delivery_and_audit_see_all_teams_and_change_no_event(db: Arc<TestDb>) {
    let roles = isolated(&db).await;
    let app = db.open_as(&roles.app, 1).await;
    let delivery = db.open_as(&roles.delivery, 1).await;
    let auditor = db.open_as(&roles.auditor, 1).await;
    rows_of(&app, "a").await;
    rows_of(&app, "b").await;
    for table in TABLES {
        let all = format!("SELECT * FROM {table}");
        assert_eq!(as_team(&delivery, "", &all).await.unwrap(), 2, "{table}");
        assert_eq!(as_team(&auditor, "", &all).await.unwrap(), 2, "{table}");
        refused(as_team(&auditor, "a", &format!("DELETE FROM {table}")).await, NO_RIGHT);
        refused(as_team(&auditor, "a", &format!("TRUNCATE {table}")).await, NO_RIGHT);
    }
    as_team(&delivery, "", &insert_event("c")).await.unwrap();
    refused(as_team(&auditor, "a", &insert_event("a")).await, NO_RIGHT);
    for sql in ["UPDATE events SET actor_id = 'eve'", "DELETE FROM events", "TRUNCATE events"] {
        refused(as_team(&delivery, "a", sql).await, NO_RIGHT);
        refused(as_team(&auditor, "a", sql).await, NO_RIGHT);
    }
    assert_eq!(as_team(&delivery, "", "DELETE FROM event_daily_counts").await.unwrap(), 2);
    // The application takes the role for a transaction, and no longer.
    let txn = app.begin().await.unwrap();
    run(&txn, &format!("SET LOCAL ROLE {}", quoted(&roles.delivery))).await;
    assert_eq!(texts(&txn, "SELECT DISTINCT team_id::text FROM events ORDER BY 1").await, ["a", "b", "c"]);
    txn.commit().await.unwrap();
    assert_eq!(texts(&app, "SELECT team_id::text FROM events").await, Vec::<String>::new());
    for pool in [app, delivery, auditor] {
        pool.close().await.unwrap();
    }
}

async fn the_owner_is_held_by_the_policies_too(db: Arc<TestDb>) {
    let roles = isolated(&db).await;
    let app = db.open_as(&roles.app, 1).await;
    rows_of(&app, "a").await;
    let owner = db.open_as(&roles.owner, 1).await;
    assert_eq!(as_team(&owner, "", "SELECT * FROM events").await.unwrap(), 1);
    // It has the right and no policy; what it may remove is what the guards let it.
    assert_eq!(as_team(&owner, "", "UPDATE events SET actor_id = 'eve'").await.unwrap_or(0), 0);
    assert_eq!(as_team(&owner, "", "UPDATE notifications SET read_at = now()").await.unwrap(), 1);
    owner.close().await.unwrap();
    app.close().await.unwrap();
}

async fn teams_that_look_alike_are_others(db: Arc<TestDb>) {
    let roles = isolated(&db).await;
    let app = db.open_as(&roles.app, 1).await;
    let teams = ["a", "A", "a ", "á", " a", "a\u{301}"];
    for team in teams {
        rows_of(&app, team).await;
    }
    for team in teams {
        for table in TABLES {
            assert_eq!(
                as_team(&app, team, &format!("SELECT * FROM {table}")).await.unwrap(),
                1,
                "{team:?} {table}"
            );
        }
    }
    app.close().await.unwrap();
}
