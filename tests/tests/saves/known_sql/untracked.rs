//! The one door: what passes it, and what stays closed behind it.

use std::sync::Arc;

use sea_orm::{ConnectionTrait, DbBackend};
use tests::{TestDb, context};

use super::*;

tests::conformance! {
    nothing_in_untracked_ends_the_transaction,
    one_statement_at_a_time,
}

mod only_postgres {
    use super::code_in_untracked_is_counted;
    tests::on_postgres! { code_in_untracked_is_counted }
}

async fn nothing_in_untracked_ends_the_transaction(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    run(&db.db, "CREATE TABLE free (id integer)").await;
    match backend(&db) {
        DbBackend::MySql => {
            run(&db.db, "CREATE PROCEDURE ends() COMMIT").await;
        }
        DbBackend::Postgres => {
            run(&db.db, "CREATE PROCEDURE ends() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$").await;
        }
        _ => {}
    }
    let before = state(&db).await;
    for sql in [
        "COMMIT",
        "commit work",
        "ROLLBACK",
        "BEGIN",
        "START TRANSACTION",
        "END",
        "EXECUTE IMMEDIATE 'COMMIT'",
        "PREPARE x FROM 'COMMIT'",
        "CALL ends()",
        "BACKUP STAGE START",
        "XA START 'x'",
        "LOCK TABLES plain WRITE",
        "UNLOCK TABLES",
        "SET autocommit = 1",
        "CREATE TABLE other (id integer)",
        "ALTER TABLE plain ADD x integer",
        "TRUNCATE plain",
        "DROP TABLE plain",
        "ANALYZE TABLE plain",
        "FLUSH TABLES",
        "GRANT SELECT ON plain TO nobody",
        "INSERT INTO plain VALUES (9, 'x'); COMMIT",
        "DO $$ BEGIN COMMIT; END $$",
        "RELEASE SAVEPOINT events_untracked",
        "VACUUM",
    ] {
        let txn = events.begin(context()).await.unwrap();
        new_campaign("gone").insert(&txn).await.unwrap();
        let inside = txn
            .untracked("x", async |txn| {
                txn.execute_unprepared("INSERT INTO free VALUES (1)").await?;
                txn.execute_unprepared(sql).await
            })
            .await;
        assert!(inside.is_err(), "{sql}");
        txn.rollback().await.unwrap();
        assert_eq!(state(&db).await, before, "{sql}");
        assert!(ask(&db, "SELECT id FROM free").await.is_empty(), "{sql}");
    }
}

async fn one_statement_at_a_time(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let txn = events.begin(context()).await.unwrap();
    let two = "UPDATE plain SET note = 'x'; UPDATE campaigns SET name = 'x'";
    let refused = txn.untracked("x", async |txn| txn.execute_unprepared(two).await).await;
    assert_unknown(refused, two);
    txn.untracked("x", async |txn| {
        for sql in two.split("; ") {
            txn.execute_unprepared(sql).await?;
        }
        Ok::<_, DbErr>(())
    })
    .await
    .unwrap();
    txn.commit().await.unwrap();
    let last = db.log().await.pop().unwrap();
    assert_eq!(last.event_data["tables"]["campaigns"]["rows"], 2);
    assert_eq!(last.event_data["tables"]["plain"]["rows"], 2);
}

/// A DO block may write anything but the tables of the library, and leaves role and team as they are.
async fn code_in_untracked_is_counted(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    run(&db.db, "ALTER TABLE events DISABLE TRIGGER ALL").await; // so that nothing else keeps it
    let before = state(&db).await;
    for sql in [
        "DO $$ BEGIN EXECUTE 'DELETE FROM ' || 'eve' || 'nts'; END $$",
        "DO $$ BEGIN EXECUTE 'UPDATE eve' || 'nts SET team_id = ''x'''; END $$",
        "DO $$ BEGIN PERFORM set_config('role', 'pg_monitor', true); END $$",
    ] {
        let txn = events.begin(context()).await.unwrap();
        let inside = txn.untracked("x", async |txn| txn.execute_unprepared(sql).await).await;
        let error: DbErr = inside.unwrap_err();
        assert!(matches!(Refused::of(&error), Some(Refused::HiddenWrite { .. })), "{sql}: {error}");
        txn.commit().await.unwrap();
        assert_eq!(state(&db).await, before, "{sql}");
    }
    let txn = events.begin(context()).await.unwrap();
    let sql = "DO $$ BEGIN UPDATE campaigns SET name = 'x'; END $$";
    txn.untracked("x", async |txn| txn.execute_unprepared(sql).await).await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(db.log().await.pop().unwrap().event_type, "untracked_write");
}
