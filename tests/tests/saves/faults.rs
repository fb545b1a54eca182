//! Connections that break, clients that go away, locks that are not had: nothing half-happens.

use std::{sync::Arc, time::Duration};

use events_sea_orm::{ActiveModelEvents, CommitError, EventTransaction, Events, Outcome, Refused};
use futures_util::FutureExt;
use sea_orm::{
    ActiveModelTrait, ConnectionTrait, DatabaseConnection, DbBackend, EntityTrait, IntoActiveModel,
    PaginatorTrait, Set, TransactionTrait, Unchanged,
};
use tests::{
    TestDb, context,
    entities::campaign,
    new_campaign,
    proxy::{Fault, Proxy},
};

tests::on_servers! {
    commit_that_never_arrived_is_unknown_then_rolled_back,
    commit_that_was_cut_off_is_unknown_then_found_out,
    commit_whose_reply_was_lost_is_unknown_then_committed,
    commit_that_arrives_late_is_waited_for,
    connection_of_a_dropped_save_serves_the_next,
    deadlock_victim_leaves_nothing,
    lock_that_is_not_had_leaves_nothing,
    deadlock_in_a_nested_unit_does_not_outlive_it,
}

mod dropped {
    use super::*;

    tests::conformance! {
        save_dropped_at_any_await_leaves_nothing,
        insert_dropped_at_any_await_is_all_or_nothing,
        delete_dropped_at_any_await_is_all_or_nothing,
        runtime_that_ends_half_way_leaves_nothing,
    }
}

async fn events_on(pool: DatabaseConnection) -> Events {
    Events::builder(pool).build().await.unwrap()
}

/// Commits a unit of two saves while this fault strikes; answers what `outcome` found out.
async fn commit_under(db: &TestDb, fault: Fault) -> Outcome {
    db.with_tables().await;
    let proxy = Proxy::to(&db.url).await;
    let events = events_on(TestDb::open(&proxy.url).await).await;
    let txn = events.begin(context()).await.unwrap();
    let unit = txn.unit_id();
    let model = new_campaign("a").insert(&txn).await.unwrap();
    let mut active = model.into_active_model();
    active.budget = Set(5);
    active.update(&txn).await.unwrap();
    proxy.strike(fault);
    let error = txn.commit().await.unwrap_err();
    let CommitError::Unknown(unknown) = &error else { panic!("{error:?}") };
    assert_eq!((unknown.unit_id, unknown.event_ids.len(), unknown.event_ids[0]), (unit, 2, unit));
    let outcome = events.outcome(unknown).await.unwrap();
    // Through generic code the same can be had back from a `DbErr`.
    let error = sea_orm::DbErr::from(error);
    assert_eq!(CommitError::unknown(&error).unwrap().unit_id, unit);

    let (log, rows) = (db.log().await, campaign::Entity::find().count(&db.db).await.unwrap());
    match outcome {
        Outcome::Committed => assert_eq!((log.len(), rows), (2, 1)),
        Outcome::RolledBack => assert_eq!((log.len(), rows), (0, 0)),
    }
    assert_eq!(events.outcome_of(unit).await.unwrap(), outcome, "asked again, the answer stands");
    outcome
}

async fn commit_that_never_arrived_is_unknown_then_rolled_back(db: Arc<TestDb>) {
    assert_eq!(commit_under(&db, Fault::CutBefore).await, Outcome::RolledBack);
}

async fn commit_that_was_cut_off_is_unknown_then_found_out(db: Arc<TestDb>) {
    // Whether the server acts on it before it notices the cut is its own affair; the answer must fit what is there.
    commit_under(&db, Fault::CutDuring).await;
}

async fn commit_whose_reply_was_lost_is_unknown_then_committed(db: Arc<TestDb>) {
    assert_eq!(commit_under(&db, Fault::SwallowReply).await, Outcome::Committed);
}

/// The question is asked while the transaction is still open: a mere look-up would answer "rolled back".
async fn commit_that_arrives_late_is_waited_for(db: Arc<TestDb>) {
    let late = Duration::from_millis(1_500);
    assert_eq!(commit_under(&db, Fault::ArriveLate(late)).await, Outcome::Committed);
}

/// Drops an update after so many polls; answers whether it had finished, and whether the unit was committed.
async fn drop_update_after(polls: usize, events: &Events, id: i32) -> (bool, bool) {
    let txn = events.begin(context()).await.unwrap();
    let active =
        campaign::ActiveModel { id: Unchanged(id), budget: Set(100 + polls as i64), ..Default::default() };
    let mut save = active.update(&txn).boxed();
    let mut left = polls;
    let finished = std::future::poll_fn(|cx| {
        if left == 0 {
            return std::task::Poll::Ready(false);
        }
        left -= 1;
        save.as_mut().poll(cx).map(|result| result.is_ok())
    })
    .await;
    drop(save);
    match txn.commit().await {
        Ok(()) => (finished, true),
        Err(CommitError::Refused(Refused::Poisoned { .. })) => (finished, false),
        Err(other) => panic!("after {polls} polls: {other:?}"),
    }
}

/// A server's answers arrive a few bytes at a time, so that the save is dropped inside every one of them: prepared
/// statement, column definitions, rows.
async fn save_dropped_at_any_await_leaves_nothing(db: Arc<TestDb>) {
    db.with_tables().await;
    let direct = events_on(db.db.clone()).await;
    let model = new_campaign("a").create_with_event(&direct.connection(context())).await.unwrap();
    let mut polls = 1;
    loop {
        // A pool of its own each time: nothing is prepared on its one connection.
        let on_server = !db.url.starts_with("sqlite");
        let proxy = if on_server { Some(Proxy::to(&db.url).await) } else { None };
        let pool = TestDb::open_with(proxy.as_ref().map_or(&db.url, |proxy| &proxy.url), 1).await;
        let events = events_on(pool.clone()).await;
        if let Some(proxy) = &proxy {
            proxy.answer_in_pieces(29);
        }
        let (finished, committed) = drop_update_after(polls, &events, model.id).await;
        // The connection serves the next borrower: in step, without a transaction, without a lock.
        let row = campaign::Entity::find_by_id(model.id).one(&pool).await.unwrap().unwrap();
        let log = db.log().await;
        if committed {
            assert!(finished);
            assert_eq!((row.budget, log.len()), (100 + polls as i64, 2), "after {polls} polls");
            assert!(polls > 20 || !on_server, "the save was not taken apart: {polls} polls");
            return;
        }
        assert!(!finished, "a save that finished is committed");
        assert_eq!((row.budget, log.len()), (100, 1), "after {polls} polls");
        let mut active = row.into_active_model();
        active.notes = Set(Some(polls.to_string()));
        active.update_with_event(&events.connection(context())).await.unwrap();
        pool.close().await.unwrap();
        polls += if on_server { 3 } else { 1 };
    }
}

/// One connection, saves dropped by a time-out while they wait for a row lock: the next unit finds it clean.
async fn connection_of_a_dropped_save_serves_the_next(db: Arc<TestDb>) {
    db.with_tables().await;
    let direct = events_on(db.db.clone()).await;
    let model = new_campaign("a").create_with_event(&direct.connection(context())).await.unwrap();
    let pool = TestDb::open_with(&db.url, 1).await;
    let events = events_on(pool.clone()).await;
    for round in 0..5 {
        let holder = direct.begin(context()).await.unwrap();
        let active = campaign::ActiveModel { id: Unchanged(model.id), budget: Set(1), ..Default::default() };
        active.clone().update(&holder).await.unwrap();
        let txn = events.begin(context()).await.unwrap();
        let nested = if round % 2 == 0 { Some(txn.begin().await.unwrap()) } else { None };
        let save = active.update(nested.as_ref().unwrap_or(&txn));
        assert!(
            tokio::time::timeout(Duration::from_millis(100), save).await.is_err(),
            "it waits for the lock"
        );
        // Dropped, not rolled back: what is on its way must not be in the way of that.
        drop(nested);
        drop(txn);
        holder.rollback().await.unwrap();
        let txn = events.begin(context()).await.unwrap();
        let open = campaign::Entity::find_by_id(model.id).one(&txn).await.unwrap();
        assert!(open.is_some());
        new_campaign(&round.to_string()).insert(&txn).await.unwrap();
        txn.commit().await.unwrap();
    }
    assert_eq!(db.log().await.len(), 6);
    let row = campaign::Entity::find_by_id(model.id).one(&db.db).await.unwrap().unwrap();
    assert_eq!(row.budget, 100);
}

/// Two units take two rows in opposite order; the database ends one of them, which must not go on.
async fn deadlock_victim_leaves_nothing(db: Arc<TestDb>) {
    db.with_tables().await;
    let events = events_on(db.db.clone()).await;
    let connection = events.connection(context());
    let a = new_campaign("a").create_with_event(&connection).await.unwrap().id;
    let b = new_campaign("b").create_with_event(&connection).await.unwrap().id;
    let budget =
        |id, budget| campaign::ActiveModel { id: Unchanged(id), budget: Set(budget), ..Default::default() };
    let (one, two) = (events.begin(context()).await.unwrap(), events.begin(context()).await.unwrap());
    budget(a, 1).update(&one).await.unwrap();
    budget(b, 2).update(&two).await.unwrap();
    let (first, second) = tokio::join!(budget(b, 1).update(&one), budget(a, 2).update(&two));
    assert!(first.is_ok() != second.is_ok(), "one is the victim: {first:?} {second:?}");
    let (victim, survivor, value) = if first.is_ok() { (two, one, 1) } else { (one, two, 2) };
    // After a deadlock MariaDB has rolled back: a write now would commit by itself.
    let late = budget(a, 99).update(&victim).await.unwrap_err();
    assert!(matches!(tests::refusal(&late), Refused::Poisoned { .. }));
    assert!(matches!(victim.commit().await, Err(CommitError::Refused(Refused::Poisoned { .. }))));
    survivor.commit().await.unwrap();
    let log = db.log().await;
    assert_eq!(log.len(), 4);
    for row in campaign::Entity::find().all(&db.db).await.unwrap() {
        assert_eq!(row.budget, value);
    }
    for row in &log[2..] {
        assert_eq!(row.event_data["changes"]["budget"], serde_json::json!({"old": 100, "new": value}));
    }
}

/// After a lock time-out MariaDB keeps the transaction open, the failed statement undone: no event without its change.
async fn lock_that_is_not_had_leaves_nothing(db: Arc<TestDb>) {
    db.with_tables().await;
    let events = events_on(db.db.clone()).await;
    let model = new_campaign("a").create_with_event(&events.connection(context())).await.unwrap();
    let holder = events.begin(context()).await.unwrap();
    let active = campaign::ActiveModel { id: Unchanged(model.id), budget: Set(1), ..Default::default() };
    active.clone().update(&holder).await.unwrap();

    let pool = TestDb::open_with(&db.url, 1).await;
    let setting = match pool.get_database_backend() {
        DbBackend::Postgres => "SET lock_timeout = '300ms'",
        _ => "SET innodb_lock_wait_timeout = 1",
    };
    pool.execute_unprepared(setting).await.unwrap();
    let events = events_on(pool.clone()).await;
    let txn = events.begin(context()).await.unwrap();
    new_campaign("b").insert(&txn).await.unwrap();
    assert!(active.clone().update(&txn).await.is_err());
    assert!(matches!(txn.commit().await, Err(CommitError::Refused(Refused::Poisoned { .. }))));
    // In a nested unit it costs that one only.
    let txn = events.begin(context()).await.unwrap();
    new_campaign("c").insert(&txn).await.unwrap();
    let nested = txn.begin().await.unwrap();
    assert!(active.update(&nested).await.is_err());
    nested.rollback().await.unwrap();
    txn.commit().await.unwrap();
    holder.rollback().await.unwrap();
    let log = db.log().await;
    assert_eq!(log.len(), 2);
    assert_eq!(log[1].event_data["initial_values"]["name"], "c");
    assert_eq!(campaign::Entity::find().count(&db.db).await.unwrap(), 2);
}

/// Polls so many times, then drops; answers whether it had finished.
async fn dropped_after<T>(polls: usize, work: impl Future<Output = T> + Send) -> bool {
    let mut work = work.boxed();
    let mut left = polls;
    std::future::poll_fn(|cx| {
        if left == 0 {
            return std::task::Poll::Ready(false);
        }
        left -= 1;
        work.as_mut().poll(cx).map(|_| true)
    })
    .await
}

/// Saves on a unit, drops the save after ever more polls, and commits. Once it was dropped the commit is refused, or
/// what was written has its event.
async fn dropped_at_any_await<F>(db: &TestDb, save: impl Fn(Arc<EventTransaction>, i32) -> F)
where
    F: Future<Output = ()> + Send,
{
    db.with_tables().await;
    let on_server = !db.url.starts_with("sqlite");
    let direct = events_on(db.db.clone()).await;
    let mut polls = 1;
    loop {
        let name = format!("before {polls}");
        let model = new_campaign(&name).create_with_event(&direct.connection(context())).await.unwrap();
        let before = (campaign::Entity::find().count(&db.db).await.unwrap(), db.log().await.len());
        let proxy = if on_server { Some(Proxy::to(&db.url).await) } else { None };
        let pool = TestDb::open_with(proxy.as_ref().map_or(&db.url, |proxy| &proxy.url), 1).await;
        let events = events_on(pool.clone()).await;
        let txn = events.begin(context()).await.unwrap();
        if let Some(proxy) = &proxy {
            proxy.answer_in_pieces(29);
        }
        let txn = Arc::new(txn);
        let finished = dropped_after(polls, save(Arc::clone(&txn), model.id)).await;
        let committed = Arc::into_inner(txn).unwrap().commit().await;
        let rows = campaign::Entity::find().count(&pool).await.unwrap();
        let after = (rows, db.log().await.len());
        match committed {
            Ok(()) => {
                assert_eq!((after.0.abs_diff(before.0), after.1 - before.1), (1, 1), "after {polls} polls")
            }
            Err(CommitError::Refused(Refused::Poisoned { .. })) => {
                assert!(!finished, "a save that finished is committed");
                assert_eq!(after, before, "after {polls} polls");
            }
            Err(other) => panic!("after {polls} polls: {other:?}"),
        }
        new_campaign(&format!("after {polls}"))
            .create_with_event(&events.connection(context()))
            .await
            .unwrap();
        pool.close().await.unwrap();
        if finished {
            return;
        }
        polls += if on_server { 3 } else { 1 };
    }
}

async fn insert_dropped_at_any_await_is_all_or_nothing(db: Arc<TestDb>) {
    dropped_at_any_await(&db, |txn, id| async move {
        new_campaign(&format!("dropped {id}")).insert(&*txn).await.unwrap();
    })
    .await;
}

async fn delete_dropped_at_any_await_is_all_or_nothing(db: Arc<TestDb>) {
    dropped_at_any_await(&db, |txn, id| async move {
        campaign::ActiveModel { id: Unchanged(id), ..Default::default() }.delete(&*txn).await.unwrap();
    })
    .await;
}

/// A runtime of one thread that is shut down while a save is on its way; another goes on with the same database.
async fn runtime_that_ends_half_way_leaves_nothing(db: Arc<TestDb>) {
    db.with_tables().await;
    let direct = events_on(db.db.clone()).await;
    let id = new_campaign("a").create_with_event(&direct.connection(context())).await.unwrap().id;
    for polls in 1..8 {
        let url = db.url.clone();
        let ended = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let events = events_on(TestDb::open_with(&url, 1).await).await;
                let txn = events.begin(context()).await.unwrap();
                let active =
                    campaign::ActiveModel { id: Unchanged(id), budget: Set(1), ..Default::default() };
                dropped_after(polls, active.update(&txn)).await;
                drop(txn);
            });
            drop(runtime);
        });
        tokio::task::spawn_blocking(|| ended.join().unwrap()).await.unwrap();
        let active = campaign::ActiveModel {
            id: Unchanged(id),
            notes: Set(Some(polls.to_string())),
            ..Default::default()
        };
        let saved = active.update_with_event(&direct.connection(context())).await.unwrap();
        assert_eq!((saved.budget, db.log().await.len()), (100, 1), "after {polls} polls");
    }
}

/// The victim's nested unit is undone. PostgreSQL undoes no more; MariaDB has rolled back the whole transaction, so that
/// its parent cannot go on either.
async fn deadlock_in_a_nested_unit_does_not_outlive_it(db: Arc<TestDb>) {
    db.with_tables().await;
    let events = events_on(db.db.clone()).await;
    let connection = events.connection(context());
    let a = new_campaign("a").create_with_event(&connection).await.unwrap().id;
    let b = new_campaign("b").create_with_event(&connection).await.unwrap().id;
    let budget =
        |id, budget| campaign::ActiveModel { id: Unchanged(id), budget: Set(budget), ..Default::default() };
    let (one, two) = (events.begin(context()).await.unwrap(), events.begin(context()).await.unwrap());
    for (n, txn) in [&one, &two].into_iter().enumerate() {
        new_campaign(&format!("outer {n}")).insert(txn).await.unwrap();
    }
    let (in_one, in_two) = (one.begin().await.unwrap(), two.begin().await.unwrap());
    budget(a, 1).update(&in_one).await.unwrap();
    budget(b, 2).update(&in_two).await.unwrap();
    let (in_one, in_two) =
        tokio::join!(async { (budget(b, 1).update(&in_one).await.is_ok(), in_one) }, async {
            (budget(a, 2).update(&in_two).await.is_ok(), in_two)
        },);
    assert!(in_one.0 != in_two.0, "one is the victim");
    for (txn, (saved, nested)) in [(one, in_one), (two, in_two)] {
        if saved {
            nested.commit().await.unwrap();
            txn.commit().await.unwrap();
            continue;
        }
        let undone = nested.rollback().await;
        match db.db.get_database_backend() {
            DbBackend::Postgres => {
                undone.unwrap();
                txn.commit().await.unwrap();
            }
            _ => {
                assert!(undone.is_err());
                let late = new_campaign("late").insert(&txn).await.unwrap_err();
                assert!(matches!(tests::refusal(&late), Refused::Poisoned { .. }), "{late}");
                assert!(matches!(txn.commit().await, Err(CommitError::Refused(Refused::Poisoned { .. }))));
            }
        }
    }
    let created = db.log().await.iter().filter(|row| row.event_type == "CREATED").count() as u64;
    assert_eq!(created, campaign::Entity::find().count(&db.db).await.unwrap());
    assert_eq!(db.log().await.iter().filter(|row| row.event_type == "UPDATED").count(), 2);
}
