//! Consumers after the commit.

use tokio::sync::Semaphore;

use super::*;

tests::conformance! {
    they_run_after_the_commit_alone,
    they_run_after_a_commit_that_nobody_waits_for,
    the_caller_does_not_wait_unless_asked,
    they_are_given_their_team,
    failures_are_counted_and_the_next_runs,
    what_does_not_fit_the_queue_is_dropped_and_counted,
    one_that_is_slow_does_not_hold_up_another,
    a_shutdown_works_off_what_waits,
    a_shutdown_that_takes_too_long_says_what_is_left,
    loops_end,
    bulk_writes_are_read_back,
}

/// Connections to a server end with the runtime that opened them.
mod sqlite_only {
    #[test]
    fn a_runtime_that_ends_is_survived() {
        tests::run("a_runtime_that_ends_is_survived", None, super::a_runtime_that_ends_is_survived);
    }
}

mod servers {
    use super::an_unknown_outcome_runs_none;

    tests::on_servers! { an_unknown_outcome_runs_none }
}

async fn they_run_after_the_commit_alone(db: Arc<TestDb>) {
    let trace = Trace::default();
    let after = Subscription::after_commit(trace.writer("after")).on([EventType::Created]).on_custom("x");
    let refuse = Subscription::in_transaction(refuse_bad).on_custom("bad");
    let events = builder(&db).await.subscribe(after).subscribe(refuse).build().await.unwrap();
    let txn = events.begin(context()).await.unwrap();
    let campaign = new_campaign("a").insert(&txn).await.unwrap();
    // A savepoint is no commit.
    let nested = txn.begin().await.unwrap();
    nested.emit(Event::custom("x")).await.unwrap();
    nested.commit().await.unwrap();
    let undone = txn.begin().await.unwrap();
    undone.emit(Event::custom("x")).await.unwrap();
    undone.rollback().await.unwrap();
    events.drain().await;
    assert!(trace.take().is_empty());
    txn.commit().await.unwrap();
    events.drain().await;
    assert_eq!(trace.take(), ["after CREATED", "after x"]);

    let txn = events.begin(context()).await.unwrap();
    txn.emit(Event::custom("x")).await.unwrap();
    txn.rollback().await.unwrap();
    let txn = events.begin(context()).await.unwrap();
    txn.emit(Event::custom("x")).await.unwrap();
    drop(txn);
    let txn = events.begin(context()).await.unwrap();
    txn.emit(Event::custom("x")).await.unwrap();
    txn.emit(Event::custom("bad")).await.unwrap();
    txn.commit().await.unwrap_err();
    let txn = events.begin(context()).await.unwrap();
    txn.emit(Event::custom("x")).await.unwrap();
    new_campaign("a").insert(&txn).await.unwrap_err();
    txn.commit().await.unwrap_err();
    let txn = events.begin(context()).await.unwrap();
    campaign.into_active_model().update(&txn).await.unwrap(); // nothing changed
    txn.commit().await.unwrap();
    events.drain().await;
    assert!(trace.take().is_empty());
}

async fn they_run_after_a_commit_that_nobody_waits_for(db: Arc<TestDb>) {
    let trace = Trace::default();
    let after = Subscription::after_commit(trace.writer("after")).on_custom("x");
    let events = builder(&db).await.subscribe(after).build().await.unwrap();
    let (mut finished, before) = (0, db.log().await.len());
    for turn in 0..120 {
        let txn = events.begin(context()).await.unwrap();
        txn.emit(Event::custom("x")).await.unwrap();
        let mut commit = std::pin::pin!(txn.commit());
        let mut left = 1 + turn % 12;
        finished += std::future::poll_fn(|cx| {
            left -= 1;
            match commit.as_mut().poll(cx) {
                Poll::Ready(committed) => Poll::Ready(usize::from(committed.is_ok())),
                Poll::Pending if left == 0 => Poll::Ready(0),
                Poll::Pending => Poll::Pending,
            }
        })
        .await;
    }
    let mut seen = 0;
    for _ in 0..100 {
        events.drain().await;
        seen += trace.take().len();
        tokio::time::sleep(Duration::from_millis(20)).await;
        if seen == db.log().await.len() - before && seen > finished {
            break;
        }
    }
    assert_eq!(seen, db.log().await.len() - before, "each that was committed");
    assert!(seen > finished, "none of those that were dropped was committed: {finished}");
}

async fn refuse_bad(_: &EventTransaction, _: &Event) -> Result<(), ConsumerError> {
    Err("bad".into())
}

/// Waits to be let on.
#[derive(Clone)]
struct Gate(Arc<Semaphore>, Trace);

impl Gate {
    fn new() -> Self {
        Self(Arc::new(Semaphore::new(0)), Trace::default())
    }

    fn open(&self, times: usize) {
        self.0.add_permits(times);
    }
}

impl Consumer<EventConnection> for Gate {
    fn handle<'a>(&'a self, _: &'a EventConnection, event: &'a Event) -> ConsumerFuture<'a> {
        Box::pin(async move {
            self.0.acquire().await?.forget();
            self.1.add(event.event_type.to_string());
            Ok(())
        })
    }
}

async fn the_caller_does_not_wait_unless_asked(db: Arc<TestDb>) {
    let gate = Gate::new();
    let events =
        builder(&db).await.subscribe(Subscription::after_commit(gate.clone())).build().await.unwrap();
    emit(&events, "a").await;
    assert_eq!(stats(&events, "Gate").waiting, 1);
    let txn = events.begin(context()).await.unwrap();
    txn.emit(Event::custom("b")).await.unwrap();
    let waiting = tokio::spawn(txn.commit_and_wait());
    gate.open(1);
    while stats(&events, "Gate").handled < 1 {
        tokio::task::yield_now().await;
    }
    assert!(!waiting.is_finished(), "that was the other's");
    gate.open(1);
    waiting.await.unwrap().unwrap();
    assert_eq!(gate.1.take(), ["a", "b"]);
    // With nothing to wait for it does not.
    let txn = events.begin(context()).await.unwrap();
    txn.commit_and_wait().await.unwrap();
}

async fn record_team(db: &EventConnection, event: &Event) -> Result<(), ConsumerError> {
    assert_eq!(db.context().actor_id(), Some("ada"));
    let txn = db.begin().await?;
    txn.emit(Event::custom("seen").json(serde_json::json!({"team": event.team_id}))).await?;
    // Another team's row is out of reach.
    let error = new_campaign("x").insert(&txn).await;
    assert_eq!(error.is_ok(), event.team_id == "7");
    Ok(txn.commit().await?)
}

async fn they_are_given_their_team(db: Arc<TestDb>) {
    let after = Subscription::after_commit(record_team).on_custom("x");
    let events = builder(&db).await.subscribe(after).build().await.unwrap();
    let txn = events.begin(Context::all_teams("ada", "a job").home_team("8")).await.unwrap();
    txn.emit(Event::custom("x").team(7)).await.unwrap();
    txn.emit(Event::custom("x").team(8)).await.unwrap();
    txn.commit().await.unwrap();
    events.drain().await;
    let log = db.log().await;
    let seen: Vec<_> = log.iter().filter(|row| row.event_type == "seen").collect();
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|row| row.event_data["team"] == row.team_id.as_str()));
    assert_eq!(stats(&events, "record_team").handled, 2);
}

async fn fail_on_some(_: &EventConnection, event: &Event) -> Result<(), ConsumerError> {
    match event.event_type.as_str() {
        "error" => Err("it failed".into()),
        "panic" => panic!("a consumer's own mistake"),
        "slow" => std::future::pending().await,
        _ => Ok(()),
    }
}

async fn failures_are_counted_and_the_next_runs(db: Arc<TestDb>) {
    let after = Subscription::after_commit(fail_on_some).time_budget(Duration::from_millis(50));
    let events = builder(&db).await.subscribe(after).build().await.unwrap();
    let txn = events.begin(context()).await.unwrap();
    for name in ["fine", "error", "panic", "slow", "fine"] {
        txn.emit(Event::custom(name)).await.unwrap();
    }
    txn.commit().await.unwrap();
    emit(&events, "fine").await;
    events.drain().await;
    let stats = stats(&events, "fail_on_some");
    assert_eq!((stats.handled, stats.failed, stats.panicked, stats.timed_out), (3, 1, 1, 1));
    assert_eq!((stats.dropped, stats.waiting), (0, 0));
    assert_eq!(db.log().await.len(), 6);
}

async fn what_does_not_fit_the_queue_is_dropped_and_counted(db: Arc<TestDb>) {
    let gate = Gate::new();
    let after = Subscription::after_commit(gate.clone());
    let events = builder(&db).await.subscribe(after).after_commit_queue(2).build().await.unwrap();
    emit(&events, "first").await;
    // Taken from the queue, so that it takes two more.
    while gate.0.available_permits() == 0 && stats(&events, "Gate").waiting != 1 {
        tokio::task::yield_now().await;
    }
    tokio::time::timeout(tests::PATIENCE, async {
        for name in ["a", "b", "c", "d", "e"] {
            emit(&events, name).await;
        }
    })
    .await
    .expect("a full queue keeps nobody waiting");
    gate.open(10);
    events.drain().await;
    let seen = gate.1.take();
    let stats = stats(&events, "Gate");
    assert_eq!((stats.handled + stats.dropped, stats.handled), (6, seen.len() as u64));
    assert!(stats.dropped >= 3, "{stats:?}");
    assert_eq!(seen[..2], ["first", "a"]);
    assert_eq!(db.log().await.len(), 6, "the log has them all");
}

async fn one_that_is_slow_does_not_hold_up_another(db: Arc<TestDb>) {
    let (gate, trace) = (Gate::new(), Trace::default());
    let slow = Subscription::after_commit(gate.clone());
    let fast = Subscription::after_commit(trace.writer("fast"));
    let events = builder(&db).await.subscribe(slow).subscribe(fast).build().await.unwrap();
    emit(&events, "x").await;
    while stats(&events, "fast").handled < 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(stats(&events, "Gate").handled, 0);
    gate.open(1);
    events.drain().await;
    assert_eq!(trace.take(), ["fast x"]);
}

async fn a_shutdown_works_off_what_waits(db: Arc<TestDb>) {
    let gate = Gate::new();
    let events =
        builder(&db).await.subscribe(Subscription::after_commit(gate.clone())).build().await.unwrap();
    for name in ["a", "b", "c"] {
        emit(&events, name).await;
    }
    gate.open(10);
    events.shutdown(Duration::from_secs(10)).await.unwrap();
    assert_eq!(gate.1.take(), ["a", "b", "c"]);
    emit(&events, "late").await;
    events.drain().await;
    assert!(gate.1.take().is_empty());
    assert_eq!(stats(&events, "Gate").dropped, 1);
    assert_eq!(db.log().await.len(), 4);
}

async fn a_shutdown_that_takes_too_long_says_what_is_left(db: Arc<TestDb>) {
    let gate = Gate::new();
    let events =
        builder(&db).await.subscribe(Subscription::after_commit(gate.clone())).build().await.unwrap();
    for name in ["a", "b", "c"] {
        emit(&events, name).await;
    }
    let error = events.shutdown(Duration::from_millis(50)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "after-commit consumers were not done in time: `Gate` had 3 units of work to do"
    );
    gate.open(10);
    events.drain().await;
    assert_eq!(gate.1.take(), ["a"], "what it was at; the rest was given up");
    assert_eq!(stats(&events, "Gate").dropped, 2);
}

async fn again(db: &EventConnection, _: &Event) -> Result<(), ConsumerError> {
    let txn = db.begin().await?;
    txn.emit(Event::custom("again")).await?;
    // Does not wait for itself.
    Ok(txn.commit_and_wait().await?)
}

async fn loops_end(db: Arc<TestDb>) {
    let after = Subscription::after_commit(again);
    let events = builder(&db).await.subscribe(after).consumer_rounds(3).build().await.unwrap();
    emit(&events, "start").await;
    events.drain().await;
    assert_eq!(types(&db.log().await), ["start", "again", "again", "again", "again"]);
    let stats = stats(&events, "again");
    assert_eq!((stats.handled, stats.dropped), (4, 1));
}

async fn bulk_writes_are_read_back(db: Arc<TestDb>) {
    let trace = Trace::default();
    let after = Subscription::after_commit(trace.writer("after")).object::<campaign::Entity>();
    let events = builder(&db).await.subscribe(after).build().await.unwrap();
    let txn = events.begin(context()).await.unwrap();
    txn.emit(Event::custom("first")).await.unwrap();
    let campaigns = (0..10_001).map(|i| new_campaign(&i.to_string()));
    campaign::Entity::insert_many_with_events(campaigns).exec(&txn).await.unwrap();
    txn.emit(Event::custom("last")).await.unwrap();
    txn.commit().await.unwrap();
    emit(&events, "of_another").await;
    events.drain().await;
    assert_eq!(trace.take().len(), 10_001);
    assert_eq!(stats(&events, "after").handled, 10_001);
}

async fn a_runtime_that_ends_is_survived(db: Arc<TestDb>) {
    let gate = Gate::new();
    let events =
        builder(&db).await.subscribe(Subscription::after_commit(gate.clone())).build().await.unwrap();
    let of_another_runtime = events.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            emit(&of_another_runtime, "a").await;
            emit(&of_another_runtime, "b").await;
            tokio::task::yield_now().await; // the worker is at `a`
        });
    })
    .join()
    .unwrap();
    gate.open(10);
    events.drain().await;
    assert_eq!(gate.1.take(), ["b"]);
    assert_eq!(stats(&events, "Gate").dropped, 1);
}

async fn an_unknown_outcome_runs_none(db: Arc<TestDb>) {
    let trace = Trace::default();
    db.with_tables().await;
    let proxy = tests::proxy::Proxy::to(&db.url).await;
    let after = Subscription::after_commit(trace.writer("after"));
    let builder = Events::builder(TestDb::open_with(&proxy.url, 1).await).without_registered_consumers();
    let events = builder.subscribe(after).build().await.unwrap();
    let txn = events.begin(context()).await.unwrap();
    new_campaign("a").insert(&txn).await.unwrap();
    proxy.strike(tests::proxy::Fault::SwallowReply);
    let error = txn.commit().await.unwrap_err();
    assert!(matches!(error, CommitError::Unknown(_)), "{error}");
    events.drain().await;
    assert!(trace.take().is_empty(), "best effort: it was committed, and nobody knew");
    assert_eq!(db.log().await.len(), 1);
}
