//! A transaction that is open for longer than the retention.

use std::{sync::Arc, time::Duration};

use events_sea_orm::retention;
use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbBackend, SqliteTransactionMode, TransactionOptions,
    TransactionTrait,
};
use tests::TestDb;

use super::{before, insert, now, record, set_up, until_now};

tests::conformance! { what_was_open_at_the_cut_is_not_removed }

mod waiting {
    use super::a_writer_that_ends_in_time_is_waited_for;

    tests::on_servers! { a_writer_that_ends_in_time_is_waited_for }
}

/// A transaction that has written an event of this type and stays open.
async fn open(db: &TestDb, event_type: &str) -> DatabaseTransaction {
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..Default::default()
    };
    let txn = db.db.begin_with_options(options).await.unwrap();
    let sql = insert(db.db.get_database_backend(), event_type);
    txn.execute_unprepared(&sql).await.unwrap();
    txn
}

async fn types(db: &TestDb) -> Vec<String> {
    db.log().await.into_iter().map(|event| event.event_type).collect()
}

async fn what_was_open_at_the_cut_is_not_removed(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    record(&events, 2).await;
    assert!(retention::mark(&db.db, Duration::from_secs(5)).await.unwrap());

    let long = open(&db, "long").await;
    let is_sqlite = db.db.get_database_backend() == DbBackend::Sqlite;
    if !is_sqlite {
        record(&events, 2).await; // others commit meanwhile, with higher numbers
    }
    let cut = now().await;
    let purge = {
        let pool = db.db.clone();
        tokio::spawn(async move { retention::purge(&pool, before(cut).wait(Duration::from_secs(1))).await })
    };
    let purged = if is_sqlite {
        // One writer at a time: the purge waits until this one has ended.
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!purge.is_finished());
        long.commit().await.unwrap();
        purge.await.unwrap().unwrap()
    } else {
        let purged = purge.await.unwrap().unwrap();
        assert!(!purged.marked);
        assert_eq!(purged.kept_in_flight, 2);
        long.commit().await.unwrap();
        purged
    };
    // What had ended by an earlier mark is gone, whoever is open now.
    assert_eq!(purged.events, 2);
    let left: &[&str] = if is_sqlite { &["long"] } else { &["long", "ticked", "ticked"] };
    assert_eq!(types(&db).await, left);

    // The same cut again, now that all of them are there to be seen.
    let purged = retention::purge(&db.db, before(cut)).await.unwrap();
    assert_eq!((purged.events, purged.kept_in_flight), (0, left.len() as u64));
    assert_eq!(types(&db).await, left);
    let next = purged.next_cut.expect("a mark was drawn since");
    assert!(next > cut, "{purged:?}");

    // A later cut.
    let purged = retention::purge(&db.db, before(now().await)).await.unwrap();
    assert_eq!((purged.events, purged.kept_in_flight), (left.len() as u64, 0));
    assert_eq!(types(&db).await, [""; 0]);
}

async fn a_writer_that_ends_in_time_is_waited_for(db: Arc<TestDb>) {
    set_up(&db).await;
    let (first, second) = (open(&db, "first").await, open(&db, "second").await);
    let pool = db.db.clone();
    let purge = tokio::spawn(async move { retention::purge(&pool, until_now().wait(tests::PATIENCE)).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    first.commit().await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!purge.is_finished());
    second.rollback().await.unwrap();
    let purged = purge.await.unwrap().unwrap();
    assert!(purged.marked);
    // Was the number of the first seen before it was committed? Then it goes now, else with the next mark.
    let rest = retention::purge(&db.db, until_now()).await.unwrap();
    assert_eq!(purged.events + rest.events, 1);
    // Writers are not kept waiting afterwards.
    open(&db, "third").await.commit().await.unwrap();
}
