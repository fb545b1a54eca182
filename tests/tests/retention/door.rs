//! There is no way past the guard but a purge: by hand, with a forged record, as the application.

use std::{panic::AssertUnwindSafe, sync::Arc};

use events_sea_orm::{
    Finding, GuardProblem, Severity,
    retention::{self, Purge},
};
use futures_util::FutureExt;
use sea_orm::{ConnectionTrait, DbBackend, TransactionTrait};
use tests::TestDb;

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
    // Not even with a table of that name that nobody's step made.
    run(&db.db, "CREATE TABLE my_purges (removed int)").await;
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

/// Roles are the server's: they go even if the case panics.
async fn the_application_cannot_and_the_owner_can_under_row_level_security(db: Arc<TestDb>) {
    let suffix = uuid::Uuid::new_v4().simple().to_string();
    let (owner, app) = (format!("ev_owner_{suffix}"), format!("ev_app_{suffix}"));
    let (database, place) = (db.url.rsplit_once('/').unwrap().1, db.url.split_once('@').unwrap().1);
    for role in [&owner, &app] {
        run(&db.db, &format!("CREATE ROLE {role} LOGIN PASSWORD 'secret' NOSUPERUSER")).await;
    }
    run(
        &db.db,
        &format!("GRANT CREATE ON SCHEMA public TO {owner}; GRANT CONNECT ON DATABASE {database} TO {app}"),
    )
    .await;
    let case = AssertUnwindSafe(async {
        let as_owner = TestDb::open_with(&format!("postgres://{owner}:secret@{place}"), 3).await;
        events_sea_orm::migration::up(&as_owner).await.unwrap();
        events_sea_orm::migration::retention::up(&as_owner).await.unwrap();
        run(
            &as_owner,
            &format!(
                "ALTER TABLE events ENABLE ROW LEVEL SECURITY; ALTER TABLE events FORCE ROW LEVEL SECURITY; \
                 CREATE POLICY events_owner_select ON events FOR SELECT TO {owner} USING (true); \
                 CREATE POLICY events_owner_delete ON events FOR DELETE TO {owner} USING (true); \
                 CREATE POLICY events_app ON events FOR ALL TO {app} USING (true) WITH CHECK (true); \
                 GRANT SELECT, INSERT ON events TO {app}"
            ),
        )
        .await;
        let as_app = TestDb::open_with(&format!("postgres://{app}:secret@{place}"), 2).await;
        for n in 0..3 {
            run(&as_app, &insert(DbBackend::Postgres, &format!("x{n}"))).await;
        }
        let error = retention::purge(&as_app, until_now()).await.unwrap_err();
        assert!(matches!(error, retention::PurgeError::NotInstalled { .. }), "{error:?}");
        assert!(format!("{error:?}").contains("permission denied"), "{error:?}");
        // With all that an administrator might give it by mistake, but for the record of purges.
        run(&as_owner, &format!("GRANT DELETE ON events TO {app}; GRANT SELECT ON event_marks, event_holds, event_purges TO {app}")).await;
        for sql in ["DELETE FROM events", &forged(DbBackend::Postgres, "NULL")] {
            as_app.execute_unprepared(sql).await.unwrap_err();
        }
        assert_eq!(numbers(&db).await.len(), 3);

        let purge = Purge::recorded_until_now().reason("old").by("ops:ada");
        let purged = retention::purge(&as_owner, purge).await.unwrap();
        assert_eq!((purged.events, purged.kept_in_flight), (3, 0));
        assert_eq!(numbers(&db).await, [0_i64; 0]);
        as_app.close().await.unwrap();
        as_owner.close().await.unwrap();
    });
    let result = case.catch_unwind().await;
    for role in [&owner, &app] {
        run(&db.db, &format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    }
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}
