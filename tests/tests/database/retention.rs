//! Removing old events: what goes, what stays, what is on record, and that there is no other way.

mod door;
mod in_flight;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use events_sea_orm::{
    Event, Events, Finding, GuardFinding, GuardProblem, event, migration,
    retention::{self, Purge, PurgeError},
};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};
use tests::{TestDb, context};

tests::conformance! {
    a_purge_removes_what_is_old_in_batches_on_record,
    what_is_older_than_the_step_can_be_vouched_for,
    what_is_held_stays,
    a_purge_that_dies_between_batches_is_run_again,
    purges_and_writers_at_once,
    what_a_purge_must_say,
    the_step_runs_again_and_back,
}

async fn set_up(db: &TestDb) -> Events {
    db.with_tables().await;
    migration::retention::up(&db.db).await.unwrap();
    Events::builder(db.db.clone()).build().await.unwrap()
}

/// So many events, each in a unit of its own.
async fn record(events: &Events, count: usize) {
    for n in 0..count {
        let txn = events.begin(context()).await.unwrap();
        txn.emit(Event::custom("ticked").data(&n).unwrap()).await.unwrap();
        txn.commit().await.unwrap();
    }
}

/// A time that is later than all that was recorded so far, and earlier than all that will be: SQLite's clock has
/// milliseconds. All clocks are this machine's.
async fn now() -> DateTime<Utc> {
    tokio::time::sleep(Duration::from_millis(3)).await;
    let now = Utc::now();
    tokio::time::sleep(Duration::from_millis(3)).await;
    now
}

/// An event written past the library.
fn insert(backend: DbBackend, event_type: &str) -> String {
    let id = match backend {
        DbBackend::Postgres => "gen_random_uuid()",
        DbBackend::MySql => "unhex(replace(uuid(), '-', ''))",
        _ => "randomblob(16)",
    };
    let at = match backend {
        DbBackend::MySql => "2026-01-01 00:00:00",
        _ => "2026-01-01T00:00:00+00:00",
    };
    format!(
        "INSERT INTO events (id, team_id, event_type, unit_id, event_data, context, occurred_at) \
         VALUES ({id}, '7', '{event_type}', {id}, '{{}}', '{{}}', '{at}')"
    )
}

fn before(cut: DateTime<Utc>) -> Purge {
    Purge::recorded_before(cut).reason("old").by("ops:ada").wait(Duration::from_millis(300))
}

fn until_now() -> Purge {
    Purge::recorded_until_now().reason("old").by("ops:ada").wait(Duration::from_millis(300))
}

async fn numbers(db: &TestDb) -> Vec<i64> {
    db.log().await.iter().map(|event| event.seq).collect()
}

async fn run(db: &DatabaseConnection, sql: &str) {
    db.execute_unprepared(sql).await.unwrap_or_else(|error| panic!("{error}: {sql}"));
}

/// Of each batch: first and last number, how many went.
async fn on_record(db: &DatabaseConnection) -> Vec<(i64, i64, i64)> {
    let sql = "SELECT first_seq, last_seq, removed FROM event_purges WHERE reason = 'old' AND purged_by = 'ops:ada' ORDER BY first_seq";
    let rows = db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap();
    rows.iter()
        .map(|row| {
            let get = |column| row.try_get("", column).unwrap();
            (get("first_seq"), get("last_seq"), get("removed"))
        })
        .collect()
}

async fn guard_findings(db: &DatabaseConnection) -> Vec<GuardFinding> {
    let report = Events::builder(db.clone()).build().await.unwrap().verify().await.unwrap();
    let guards = report.findings().iter().filter_map(|finding| match finding {
        Finding::Guard(guard) if !matches!(guard.problem(), GuardProblem::MayRemove { .. }) => {
            Some(guard.clone())
        }
        _ => None,
    });
    guards.collect()
}

async fn a_purge_removes_what_is_old_in_batches_on_record(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    assert_eq!(guard_findings(&db.db).await, []);
    record(&events, 7).await;
    assert!(retention::mark(&db.db, Duration::from_secs(5)).await.unwrap());
    let cut = now().await;
    record(&events, 3).await;
    let rows: Vec<event::Model> = db.log().await;

    let (tell, told) = std::sync::mpsc::channel();
    let purge = before(cut).batch(3).on_batch(move |so_far| tell.send(so_far.events).unwrap());
    let purged = retention::purge(&db.db, purge).await.unwrap();
    assert_eq!((purged.events, purged.batches), (7, 3));
    assert_eq!((purged.kept_by_hold, purged.kept_in_flight, purged.marked), (0, 0, true));
    assert!(purged.recorded_until <= cut, "{purged:?}");
    assert_eq!(told.iter().collect::<Vec<_>>(), [3, 6, 7]);
    assert_eq!(db.log().await, rows[7..]);
    assert_eq!(on_record(&db.db).await, [(1, 3, 3), (4, 6, 3), (7, 7, 1)]);

    // Again: nothing more. Later: the rest. New numbers go on from there.
    let again = retention::purge(&db.db, before(cut)).await.unwrap();
    assert_eq!((again.events, again.batches), (0, 0));
    let rest = retention::purge(&db.db, until_now()).await.unwrap();
    assert_eq!((rest.events, rest.kept_in_flight), (3, 0));
    assert_eq!(db.log().await, []);
    assert_eq!(on_record(&db.db).await.len(), 4);
    record(&events, 1).await;
    assert_eq!(numbers(&db).await, [11]);
    assert_eq!(guard_findings(&db.db).await, []);
    let last = retention::purge(&db.db, until_now()).await.unwrap();
    assert_eq!(last.events, 1);
}

async fn what_is_older_than_the_step_can_be_vouched_for(db: Arc<TestDb>) {
    db.with_tables().await;
    let events = Events::builder(db.db.clone()).build().await.unwrap();
    record(&events, 3).await;
    let cut = now().await;
    record(&events, 2).await;
    migration::retention::up(&db.db).await.unwrap();

    // Nobody knows whether they had ended by then.
    let purged = retention::purge(&db.db, before(cut)).await.unwrap();
    assert_eq!((purged.events, purged.kept_in_flight), (0, 3));
    let hour = Duration::from_secs(3_600);
    let purged = retention::purge(&db.db, before(cut).assume_ended_within(hour)).await.unwrap();
    assert_eq!((purged.events, purged.kept_in_flight), (0, 3));
    let purged = retention::purge(&db.db, before(cut).assume_ended_within(Duration::MAX)).await.unwrap();
    assert_eq!(purged.events, 0);
    let instant = Duration::from_millis(1);
    let purged = retention::purge(&db.db, before(cut).assume_ended_within(instant)).await.unwrap();
    assert_eq!((purged.events, purged.kept_in_flight), (3, 0));
    assert_eq!(numbers(&db).await, [4, 5]);
    assert_eq!(on_record(&db.db).await, [(1, 3, 3)]);
    assert_eq!(guard_findings(&db.db).await, []);
}

async fn what_is_held_stays(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    record(&events, 10).await;
    retention::hold(&db.db, "consumer:search", 4).await.unwrap();
    retention::hold(&db.db, "legal:17", 8).await.unwrap();
    let purged = retention::purge(&db.db, until_now()).await.unwrap();
    assert_eq!((purged.events, purged.kept_by_hold, purged.kept_in_flight), (3, 7, 0));
    assert_eq!(numbers(&db).await, (4..=10).collect::<Vec<_>>());

    // The consumer gets on.
    retention::hold(&db.db, "consumer:search", 9).await.unwrap();
    let holds = retention::holds(&db.db).await.unwrap();
    let holds: Vec<_> = holds.iter().map(|hold| (hold.name.as_str(), hold.seq)).collect();
    assert_eq!(holds, [("legal:17", 8), ("consumer:search", 9)]);
    assert_eq!(retention::purge(&db.db, until_now()).await.unwrap().events, 4);
    assert!(retention::release(&db.db, "legal:17").await.unwrap());
    assert!(!retention::release(&db.db, "legal:17").await.unwrap());
    retention::release(&db.db, "consumer:search").await.unwrap();
    assert_eq!(retention::purge(&db.db, until_now()).await.unwrap().events, 3);
}

async fn a_purge_that_dies_between_batches_is_run_again(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    record(&events, 10).await;
    let purge = until_now().batch(2).on_batch(|so_far| assert!(so_far.batches < 3, "killed"));
    let pool = db.db.clone();
    let died = tokio::spawn(async move { retention::purge(&pool, purge).await }).await;
    assert!(died.unwrap_err().is_panic());
    assert_eq!(numbers(&db).await, [7, 8, 9, 10]);
    assert_eq!(on_record(&db.db).await, [(1, 2, 2), (3, 4, 2), (5, 6, 2)]);

    // Dropped anywhere: what is gone is on record.
    for polls in 1..60_u32 {
        let mut purge = Box::pin(retention::purge(&db.db, until_now().batch(1)));
        let mut left = polls;
        std::future::poll_fn(|cx| {
            left -= 1;
            match purge.as_mut().poll(cx) {
                std::task::Poll::Pending if left > 0 => std::task::Poll::Pending,
                _ => std::task::Poll::Ready(()),
            }
        })
        .await;
        drop(purge);
        // In one statement: what was dropped may still be committing.
        let integer = if db.db.get_database_backend() == DbBackend::MySql { "signed" } else { "bigint" };
        let sql = format!(
            "SELECT CAST((SELECT coalesce(sum(removed), 0) FROM event_purges) + (SELECT count(*) FROM events) AS {integer}) AS n"
        );
        let both = Statement::from_string(db.db.get_database_backend(), sql);
        let both: i64 = db.db.query_one_raw(both).await.unwrap().unwrap().try_get("", "n").unwrap();
        assert_eq!(both, 10, "after {polls} polls");
    }
    retention::purge(&db.db, until_now()).await.unwrap();
    assert_eq!(numbers(&db).await, [0_i64; 0]);
    assert_eq!(guard_findings(&db.db).await, []);
}

async fn purges_and_writers_at_once(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    record(&events, 30).await;
    let writers = (0..4).map(|_| {
        let events = events.clone();
        tokio::spawn(async move { record(&events, 15).await })
    });
    let writers: Vec<_> = writers.collect();
    let purges = (0..3).map(|_| {
        let pool = db.db.clone();
        tokio::spawn(async move {
            let mut removed = 0;
            for _ in 0..3 {
                removed += retention::purge(&pool, until_now().batch(4)).await.unwrap().events;
            }
            removed
        })
    });
    let purges: Vec<_> = purges.collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let mut removed = 0;
    for purge in purges {
        removed += purge.await.unwrap();
    }
    assert_eq!(removed as usize + db.log().await.len(), 90);
    let recorded: i64 = on_record(&db.db).await.iter().map(|(_, _, removed)| removed).sum();
    assert_eq!(recorded as u64, removed);
    retention::purge(&db.db, until_now()).await.unwrap();
    assert_eq!(db.log().await, []);
}

async fn what_a_purge_must_say(db: Arc<TestDb>) {
    db.with_tables().await;
    let error = retention::purge(&db.db, until_now()).await.unwrap_err();
    assert!(matches!(error, PurgeError::NotInstalled { .. }), "{error:?}");
    migration::retention::up(&db.db).await.unwrap();
    record(&Events::builder(db.db.clone()).build().await.unwrap(), 2).await;
    let purges = [
        (Purge::recorded_until_now().by("ada"), "reason"),
        (Purge::recorded_until_now().reason("old").by(" "), "by"),
        (until_now().batch(0), "batch"),
    ];
    for (purge, wanted) in purges {
        let error = retention::purge(&db.db, purge).await.unwrap_err();
        assert!(matches!(error, PurgeError::Incomplete { missing } if missing == wanted), "{error:?}");
    }
    let cut = Utc::now() + chrono::Duration::hours(1);
    let error = retention::purge(&db.db, before(cut)).await.unwrap_err();
    assert!(matches!(error, PurgeError::FutureCut { .. }), "{error:?}");
    assert_eq!(db.log().await.len(), 2);
    assert_eq!(on_record(&db.db).await, []);
}

async fn the_step_runs_again_and_back(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    record(&events, 2).await;
    migration::retention::up(&db.db).await.unwrap();
    assert_eq!(retention::purge(&db.db, until_now()).await.unwrap().events, 2);
    migration::retention::down(&db.db).await.unwrap();
    migration::retention::down(&db.db).await.unwrap();
    assert_eq!(guard_findings(&db.db).await, []);
    let error = retention::purge(&db.db, until_now()).await.unwrap_err();
    assert!(matches!(error, PurgeError::NotInstalled { .. }), "{error:?}");
    record(&events, 1).await;
    let refused = db.db.execute_unprepared("DELETE FROM events").await.unwrap_err().to_string();
    assert!(refused.contains("append-only"), "{refused}");
    migration::retention::up(&db.db).await.unwrap();
    migration::retention::down(&db.db).await.unwrap();
    migration::down(&db.db).await.unwrap();
    let of_postgres = db.db.get_database_backend() == DbBackend::Postgres;
    if of_postgres {
        let left = "SELECT count(*) AS n FROM pg_proc WHERE proname LIKE 'event%' AND pronamespace = 'public'::regnamespace";
        let row =
            db.db.query_one_raw(Statement::from_string(DbBackend::Postgres, left)).await.unwrap().unwrap();
        assert_eq!(row.try_get::<i64>("", "n").unwrap(), 0);
    }
}
