//! PostgreSQL: a session that plays a replica, COPY, and rules.

use std::sync::Arc;

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend};
use tests::TestDb;

use super::{bytes, run, set_up};

mod postgres {
    #[test]
    fn a_session_that_plays_a_replica_is_refused() {
        tests::run(
            "a_session_that_plays_a_replica_is_refused",
            Some("POSTGRES_URL"),
            super::a_session_that_plays_a_replica_is_refused,
        );
    }

    #[test]
    fn copy_adds_and_cannot_set_the_time() {
        tests::run(
            "copy_adds_and_cannot_set_the_time",
            Some("POSTGRES_URL"),
            super::copy_adds_and_cannot_set_the_time,
        );
    }

    #[test]
    fn a_rule_swallows_in_silence() {
        tests::run("a_rule_swallows_in_silence", Some("POSTGRES_URL"), super::a_rule_swallows_in_silence);
    }
}

async fn refused(db: &DatabaseConnection, sql: &str) {
    let error = db.execute_unprepared(sql).await.expect_err(sql).to_string();
    assert!(error.contains("append-only"), "{sql}: {error}");
}

async fn a_session_that_plays_a_replica_is_refused(db: Arc<TestDb>) {
    set_up(&db).await;
    let before = bytes(&db.db).await;
    let one = TestDb::open_with(&db.url, 1).await;
    run(&one, "SET session_replication_role = replica").await;
    for sql in ["UPDATE events SET team_id = 'x'", "DELETE FROM events", "TRUNCATE events"] {
        refused(&one, sql).await;
    }
    assert_eq!(bytes(&db.db).await, before);
    one.close().await.unwrap();
}

async fn copy_adds_and_cannot_set_the_time(db: Arc<TestDb>) {
    set_up(&db).await;
    let before = bytes(&db.db).await;
    let copy = |id: &str| {
        format!(
            "COPY events (id, team_id, event_type, unit_id, event_data, context, occurred_at, recorded_at) FROM PROGRAM \
             'printf ''{id},7,x,{id},{{}},{{}},2001-01-01,2001-01-01\\n''' WITH (FORMAT csv)"
        )
    };
    run(&db.db, &copy("00000000-0000-0000-0000-000000000001")).await;
    let log = db.log().await;
    assert_eq!(log.len(), 5);
    assert!((chrono::Utc::now() - log[4].recorded_at).num_seconds() < 60, "{:?}", log[4]);
    assert_eq!(bytes(&db.db).await[..4], before);
    db.db.execute_unprepared(&copy(&log[0].id.to_string())).await.unwrap_err();
    assert_eq!(bytes(&db.db).await[..4], before);
}

/// Nothing is changed, but nobody is told either: the self-check asks for the rule to go.
async fn a_rule_swallows_in_silence(db: Arc<TestDb>) {
    set_up(&db).await;
    assert_eq!(db.db.get_database_backend(), DbBackend::Postgres);
    let before = bytes(&db.db).await;
    run(&db.db, "CREATE RULE quiet AS ON DELETE TO events DO INSTEAD NOTHING").await;
    run(&db.db, "DELETE FROM events").await;
    refused(&db.db, "UPDATE events SET team_id = 'x'").await;
    assert_eq!(bytes(&db.db).await, before);
}
