//! There is no way past the guard but a purge: by hand, with a forged record, as the application.

use std::sync::Arc;

use events_sea_orm::{Context, Event, Events, Finding, GuardProblem, Severity, migration, retention};
use sea_orm::{ConnectionTrait, DbBackend, TransactionTrait};
use tests::{
    TestDb,
    roles::{TestRoles, quoted},
};

use super::{guard_findings, insert, numbers, on_record, record, run, set_up, until_now};

tests::conformance! {
    without_the_step_there_is_no_door,
    nothing_goes_by_hand,
    a_purge_that_was_left_open_is_reported,
    the_record_of_purges_stays,
    a_door_that_is_altered_is_reported_and_mended,
}

mod postgres_alone {
    #[test]
    fn the_application_cannot_and_the_owner_can_under_row_level_security() {
        let name = "the_application_cannot_and_the_owner_can_under_row_level_security";
        tests::run(
            name,
            Some("POSTGRES_URL"),
            super::the_application_cannot_and_the_owner_can_under_row_level_security,
        );
    }
}

/// A row of `event_purges` that covers everything, open or closed.
fn forged(backend: DbBackend, removed: &str) -> String {
    let id = match backend {
        DbBackend::Postgres => "gen_random_uuid()",
        DbBackend::MySql => "unhex(replace(uuid(), '-', ''))",
        _ => "randomblob(16)",
    };
    format!(
        "INSERT INTO event_purges (id, purge_id, cut, recorded_until, first_seq, last_seq, reason, purged_by, removed) \
         VALUES ({id}, {id}, '2100-01-01 00:00:00', '2100-01-01 00:00:00', 0, 1000000, 'forged', 'eve', {removed})"
    )
}

async fn without_the_step_there_is_no_door(db: Arc<TestDb>) {
    db.with_tables().await;
    run(&db.db, &insert(db.db.get_database_backend(), "x")).await;
    let refused = db.db.execute_unprepared("DELETE FROM events").await.unwrap_err().to_string();
    assert!(refused.contains("append-only"), "{refused}");
    assert_eq!(db.log().await.len(), 1);
}

async fn nothing_goes_by_hand(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    record(&events, 3).await;
    retention::purge(&db.db, until_now()).await.unwrap();
    record(&events, 3).await;
    let backend = db.db.get_database_backend();
    let refused = async |sql: &str| {
        let error = db.db.execute_unprepared(sql).await.expect_err(sql).to_string();
        assert!(error.contains("append-only"), "{error}");
        assert_eq!(numbers(&db).await, [4, 5, 6]);
    };
    refused("DELETE FROM events").await;
    run(&db.db, &forged(backend, "3")).await;
    refused("DELETE FROM events").await;
    refused("UPDATE events SET actor_id = 'x'").await;
    // Outside its bounds a purge is no door either.
    let txn = db.db.begin().await.unwrap();
    let narrow = forged(backend, "NULL").replace("0, 1000000", "0, 5");
    txn.execute_unprepared(&narrow).await.unwrap();
    let error = txn.execute_unprepared("DELETE FROM events WHERE seq = 6").await.unwrap_err().to_string();
    assert!(error.contains("append-only"), "{error}");
    txn.rollback().await.unwrap();
    let txn = db.db.begin().await.unwrap();
    txn.execute_unprepared(&forged(backend, "NULL").replace("2100", "2001")).await.unwrap();
    let error = txn.execute_unprepared("DELETE FROM events").await.unwrap_err().to_string();
    assert!(error.contains("append-only"), "{error}");
    txn.rollback().await.unwrap();
    // It is one for DELETE alone.
    let txn = db.db.begin().await.unwrap();
    txn.execute_unprepared(&forged(backend, "NULL")).await.unwrap();
    let error = txn.execute_unprepared("UPDATE events SET actor_id = 'x'").await.unwrap_err().to_string();
    assert!(error.contains("append-only"), "{error}");
    txn.rollback().await.unwrap();
    assert_eq!(numbers(&db).await, [4, 5, 6]);
}

/// Whoever may write to `event_purges` and delete events can open the door: that is the table's owner. A row that was
/// committed open is no door on PostgreSQL, and on MariaDB one for its connection alone.
async fn a_purge_that_was_left_open_is_reported(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    record(&events, 2).await;
    let backend = db.db.get_database_backend();
    let other = TestDb::open_with(&db.url, 1).await;
    run(&other, &forged(backend, "NULL")).await;
    let by_hand = db.db.execute_unprepared("DELETE FROM events WHERE seq = 1").await;
    match backend {
        DbBackend::Sqlite => assert!(by_hand.is_ok(), "not refused: any connection sees it open"),
        _ => {
            let error = by_hand.unwrap_err().to_string();
            assert!(error.contains("append-only"), "{error}");
        }
    }
    let by_hand = other.execute_unprepared("DELETE FROM events WHERE seq = 2").await;
    assert_eq!(by_hand.is_ok(), backend != DbBackend::Postgres);
    other.close().await.unwrap();

    let findings = guard_findings(&db.db).await;
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(*findings[0].problem(), GuardProblem::OpenPurge);
    let finding = Finding::Guard(findings[0].clone());
    assert_eq!(finding.severity(), Severity::Error);
    run(&db.db, &finding.mend().unwrap()).await;
    assert_eq!(guard_findings(&db.db).await, []);
}

async fn the_record_of_purges_stays(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    record(&events, 3).await;
    retention::purge(&db.db, until_now()).await.unwrap();
    let mut attempts = vec![
        "UPDATE event_purges SET reason = 'another'",
        "UPDATE event_purges SET removed = 2",
        "UPDATE event_purges SET removed = NULL",
        "DELETE FROM event_purges",
    ];
    match db.db.get_database_backend() {
        DbBackend::Postgres => attempts.push("TRUNCATE event_purges"),
        DbBackend::Sqlite => attempts.push("INSERT OR REPLACE INTO event_purges SELECT * FROM event_purges"),
        _ => attempts.push("REPLACE INTO event_purges SELECT * FROM event_purges"),
    }
    for sql in attempts {
        let error = db.db.execute_unprepared(sql).await.expect_err(sql).to_string();
        assert!(error.contains("append-only"), "{error}");
        assert_eq!(on_record(&db.db).await, [(1, 3, 3)], "{sql}");
    }
}

async fn a_door_that_is_altered_is_reported_and_mended(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    record(&events, 2).await;
    let (names, altered) = match db.db.get_database_backend() {
        DbBackend::Postgres => (
            ["events_no_change", "event_purges_no_change"],
            [
                "CREATE OR REPLACE FUNCTION events_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN OLD; END$$",
                "DROP TRIGGER event_purges_no_change ON event_purges",
            ],
        ),
        DbBackend::MySql => (
            ["events_no_delete", "event_purges_no_delete"],
            [
                "DROP TRIGGER events_no_delete; CREATE TRIGGER events_no_delete BEFORE DELETE ON events FOR EACH ROW SET @x = 1",
                "DROP TRIGGER event_purges_no_delete",
            ],
        ),
        _ => (
            ["events_no_delete", "event_purges_no_delete"],
            [
                "DROP TRIGGER events_no_delete; CREATE TRIGGER events_no_delete BEFORE DELETE ON events WHEN false BEGIN SELECT 1; END",
                "DROP TRIGGER event_purges_no_delete",
            ],
        ),
    };
    for (name, sql) in names.into_iter().zip(altered) {
        run(&db.db, sql).await;
        let findings = guard_findings(&db.db).await;
        assert!(findings.iter().any(|finding| finding.name() == name), "{findings:?}");
        for mend in findings.iter().filter_map(|finding| Finding::Guard(finding.clone()).mend()) {
            run(&db.db, &mend).await;
        }
        assert_eq!(guard_findings(&db.db).await, []);
    }
    assert_eq!(retention::purge(&db.db, until_now()).await.unwrap().events, 2);
}

/// With the roles, grants and policies of the isolation steps, whichever came first.
async fn the_application_cannot_and_the_owner_can_under_row_level_security(db: Arc<TestDb>) {
    let roles = TestRoles::create(&db).await;
    migration::up(&db.db).await.unwrap();
    migration::isolation::up(&db.db, &roles.roles()).await.unwrap();
    migration::retention::up(&db.db).await.unwrap();
    migration::isolation::up(&db.db, &roles.roles()).await.unwrap();

    let app = db.open_as(&roles.app, 2).await;
    let events = Events::builder(app.clone()).build().await.unwrap();
    for team in ["a", "b", "c"] {
        let txn = events.begin(Context::team(team)).await.unwrap();
        txn.emit(Event::custom("ticked")).await.unwrap();
        txn.commit().await.unwrap();
    }
    let error = retention::purge(&app, until_now()).await.unwrap_err();
    assert!(matches!(error, retention::PurgeError::NotInstalled { .. }), "{error:?}");
    assert!(format!("{error:?}").contains("permission denied"), "{error:?}");
    let forged = forged(DbBackend::Postgres, "NULL");
    for sql in
        ["DELETE FROM events", "DELETE FROM event_purges", "INSERT INTO event_holds VALUES ('x', 1)", &forged]
    {
        let error = app.execute_unprepared(sql).await.unwrap_err().to_string();
        assert!(error.contains("permission denied"), "{error}");
    }
    // An administrator's mistake: without a record it is still refused.
    run(&db.db, &format!("GRANT DELETE ON events TO {}", quoted(&roles.app))).await;
    run(
        &db.db,
        &format!("CREATE POLICY mistake ON events FOR DELETE TO {} USING (true)", quoted(&roles.app)),
    )
    .await;
    let delete = "SELECT set_config('app.team_id', 'a', false); DELETE FROM events";
    app.execute_unprepared(delete).await.unwrap_err();
    assert_eq!(numbers(&db).await, [1, 2, 3]);

    let owner = db.open_as(&roles.owner, 3).await;
    retention::hold(&owner, "consumer:search", 3).await.unwrap();
    let purged = retention::purge(&owner, until_now()).await.unwrap();
    assert_eq!((purged.events, purged.kept_by_hold, purged.kept_in_flight), (2, 1, 0));
    assert_eq!(numbers(&db).await, [3]);
    let error = owner.execute_unprepared("DELETE FROM events").await.unwrap_err().to_string();
    assert!(error.contains("append-only"), "{error}");
    // The auditor reads the record.
    let auditor = db.open_as(&roles.auditor, 1).await;
    assert_eq!(on_record(&auditor).await, [(1, 2, 2)]);
    for pool in [app, owner, auditor] {
        pool.close().await.unwrap();
    }
}
