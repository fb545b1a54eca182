//! Consumers inside the unit of work.

use super::*;

tests::conformance! {
    what_they_do_commits_with_the_change,
    they_run_in_declared_order,
    they_get_what_they_subscribed_to,
    rounds_go_on_until_nothing_is_added,
    an_error_refuses_the_commit,
    an_error_that_is_logged_undoes_its_savepoint_alone,
    a_database_error_that_was_swallowed_counts,
    a_veto_that_was_swallowed_does_not_poison,
    a_loop_is_named,
    a_panic_is_an_error,
    a_time_budget_is_kept,
    a_statement_that_is_cut_off_by_the_budget_is_undone,
    all_at_once_is_one_call,
    bulk_writes_of_a_consumer_reach_the_others,
    fields_are_had_in_their_types,
    scopes_run_them_too,
}

async fn greet(txn: &EventTransaction, _: &Event) -> Result<(), ConsumerError> {
    add_note(txn, "hello").await?;
    Ok(txn.emit(Event::custom("greeted")).await?)
}

fn greeter() -> Subscription {
    Subscription::in_transaction(greet).on([EventType::Created]).object::<campaign::Entity>()
}

async fn what_they_do_commits_with_the_change(db: Arc<TestDb>) {
    let events = builder(&db).await.subscribe(greeter()).build().await.unwrap();
    insert(&events, "a").await;
    let log = db.log().await;
    assert_eq!(types(&log), ["CREATED", "CREATED", "greeted"]);
    assert!(log.iter().all(|row| row.unit_id == log[0].unit_id && row.actor_id.as_deref() == Some("ada")));
    assert_eq!(notes(&db).await, ["hello"]);
    let txn = events.begin(context()).await.unwrap();
    new_campaign("b").insert(&txn).await.unwrap();
    txn.rollback().await.unwrap();
    assert_eq!(notes(&db).await, ["hello"]);
    assert_eq!(stats(&events, "greet").handled, 1);
}

async fn they_run_in_declared_order(db: Arc<TestDb>) {
    let trace = Trace::default();
    let subscription = |name, order| Subscription::in_transaction(trace.writer(name)).order(order);
    let events = builder(&db)
        .await
        .subscribe(subscription("late", 10))
        .subscribe(subscription("first of the equal", 0))
        .subscribe(subscription("early", -10))
        .subscribe(subscription("another of the equal", 0))
        .build()
        .await
        .unwrap();
    let txn = events.begin(context()).await.unwrap();
    txn.emit(Event::custom("x")).await.unwrap();
    txn.emit(Event::custom("y")).await.unwrap();
    assert!(trace.take().is_empty(), "not before the commit");
    txn.commit().await.unwrap();
    let expected = ["early", "first of the equal", "another of the equal", "late"]
        .iter()
        .flat_map(|name| [format!("{name} x"), format!("{name} y")]);
    assert_eq!(trace.take(), expected.collect::<Vec<_>>());
}

async fn they_get_what_they_subscribed_to(db: Arc<TestDb>) {
    let trace = Trace::default();
    let subscription = |name| Subscription::in_transaction(trace.writer(name));
    let events = builder(&db)
        .await
        .subscribe(subscription("approvals").on_custom("launch_approved"))
        .subscribe(
            subscription("deletions and approvals").on([EventType::Deleted]).on_custom("launch_approved"),
        )
        .subscribe(subscription("notes").object::<note::Entity>())
        .subscribe(
            subscription("changes of campaigns or notes")
                .on([EventType::Updated])
                .object::<campaign::Entity>()
                .object::<note::Entity>(),
        )
        .build()
        .await
        .unwrap();
    let campaign = insert(&events, "a").await;
    assert!(trace.take().is_empty());
    let txn = events.begin(context()).await.unwrap();
    let mut active = campaign.clone().into_active_model();
    active.name = Set("b".to_owned());
    active.status = Set(campaign::Status::Live);
    active.update(&txn).await.unwrap();
    add_note(&txn, "n").await.unwrap();
    txn.emit(Event::custom("launch_approved").about(&campaign)).await.unwrap();
    txn.emit(Event::custom("launch_refused")).await.unwrap();
    campaign.into_active_model().delete(&txn).await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(
        trace.take(),
        [
            "approvals launch_approved",
            "deletions and approvals launch_approved",
            "deletions and approvals DELETED",
            "notes CREATED",
            "changes of campaigns or notes UPDATED",
        ]
    );
}

/// Emits `a`, then `b`, then nothing more.
async fn chain(txn: &EventTransaction, event: &Event) -> Result<(), ConsumerError> {
    match event.event_type.as_str() {
        "start" => txn.emit(Event::custom("a")).await?,
        "a" => txn.emit(Event::custom("b")).await?,
        _ => {}
    }
    Ok(())
}

async fn rounds_go_on_until_nothing_is_added(db: Arc<TestDb>) {
    let trace = Trace::default();
    let chained = Subscription::in_transaction(chain);
    let builder = builder(&db).await.subscribe(chained).consumer(trace.writer("w")).consumer_rounds(2);
    let events = builder.build().await.unwrap();
    emit(&events, "start").await;
    assert_eq!(types(&db.log().await), ["start", "a", "b"]);
    assert_eq!(trace.take(), ["w start", "w a", "w b"]);
    // One round less is not enough, and says so.
    let one =
        Events::builder(db.db.clone()).without_registered_consumers().consumer(chain).consumer_rounds(1);
    let one = one.build().await.unwrap();
    let txn = one.begin(context()).await.unwrap();
    txn.emit(Event::custom("start")).await.unwrap();
    let error = txn.commit().await.unwrap_err();
    assert!(matches!(&error, CommitError::Refused(Refused::ConsumerLoop { rounds: 1, .. })), "{error}");
    assert_eq!(db.log().await.len(), 3);
}

async fn refuse_all(_: &EventTransaction, _: &Event) -> Result<(), ConsumerError> {
    Err("not today".into())
}

async fn an_error_refuses_the_commit(db: Arc<TestDb>) {
    let trace = Trace::default();
    let builder =
        builder(&db).await.subscribe(greeter()).consumer(refuse_all).consumer(trace.writer("after"));
    let events = builder.build().await.unwrap();
    let txn = events.begin(context()).await.unwrap();
    new_campaign("a").insert(&txn).await.unwrap();
    let error = txn.commit().await.unwrap_err();
    let CommitError::Refused(Refused::Consumer { consumer, failure: ConsumerFailure::Error(source), .. }) =
        &error
    else {
        panic!("{error:?}")
    };
    assert_eq!((&**consumer, source.to_string().as_str()), ("refuse_all", "not today"));
    assert_eq!(error.to_string(), "consumer `refuse_all` failed on CREATED: not today");
    assert!(db.log().await.is_empty() && notes(&db).await.is_empty());
    assert_eq!(campaign::Entity::find().count(&db.db).await.unwrap(), 0);
    assert!(trace.take().is_empty(), "none runs after it");
    assert_eq!(stats(&events, "refuse_all").failed, 1);
}

/// Writes and emits, then fails on every event but those named `good`.
async fn half_way(txn: &EventTransaction, event: &Event) -> Result<(), ConsumerError> {
    add_note(txn, event.event_type.as_str()).await?;
    if event.event_type.as_str() == "good" { Ok(()) } else { Err("half way".into()) }
}

async fn an_error_that_is_logged_undoes_its_savepoint_alone(db: Arc<TestDb>) {
    let trace = Trace::default();
    let events = builder(&db)
        .await
        .subscribe(
            Subscription::in_transaction(half_way).on_custom("good").on_custom("bad").on_error(OnError::Log),
        )
        .consumer(trace.writer("w"))
        .build()
        .await
        .unwrap();
    let txn = events.begin(context()).await.unwrap();
    new_campaign("a").insert(&txn).await.unwrap();
    for name in ["good", "bad", "good"] {
        txn.emit(Event::custom(name)).await.unwrap();
    }
    txn.commit().await.unwrap();
    assert_eq!(notes(&db).await, ["good", "good"]);
    assert_eq!(types(&db.log().await), ["CREATED", "good", "bad", "good", "CREATED", "CREATED"]);
    assert_eq!(trace.take().len(), 6, "the others run on everything");
    let stats = stats(&events, "half_way");
    assert_eq!((stats.handled, stats.failed), (2, 1));
}

/// Breaks a unique key and looks away.
async fn swallow(txn: &EventTransaction, event: &Event) -> Result<(), ConsumerError> {
    if event.event_type == EventType::Created && event.new_value("name") == Some(&"a".into()) {
        let _ = new_campaign("a").insert(txn).await;
    }
    Ok(())
}

async fn a_database_error_that_was_swallowed_counts(db: Arc<TestDb>) {
    let events = builder(&db).await.consumer(swallow).build().await.unwrap();
    let txn = events.begin(context()).await.unwrap();
    new_campaign("a").insert(&txn).await.unwrap();
    assert!(matches!(txn.commit().await, Err(CommitError::Refused(Refused::Poisoned { .. }))));
    assert!(db.log().await.is_empty());
    let logged = Subscription::in_transaction(swallow).on_error(OnError::Log);
    let events = Events::builder(db.db.clone())
        .without_registered_consumers()
        .subscribe(logged)
        .build()
        .await
        .unwrap();
    insert(&events, "a").await;
    assert_eq!(types(&db.log().await), ["CREATED"]);
    let stats = stats(&events, "swallow");
    assert_eq!((stats.handled, stats.failed), (0, 1));
}

/// Does what is refused before it is sent, and looks away.
async fn disregard(txn: &EventTransaction, _: &Event) -> Result<(), ConsumerError> {
    let refused = txn.execute_unprepared("DELETE FROM campaigns").await;
    assert!(refused.is_err());
    Ok(())
}

async fn a_veto_that_was_swallowed_does_not_poison(db: Arc<TestDb>) {
    let events = builder(&db).await.consumer(disregard).build().await.unwrap();
    insert(&events, "a").await;
    assert_eq!(types(&db.log().await), ["CREATED"]);
}

async fn echo(txn: &EventTransaction, _: &Event) -> Result<(), ConsumerError> {
    Ok(txn.emit(Event::custom("echo")).await?)
}

/// Changes the very row that it hears of.
async fn raise(txn: &EventTransaction, event: &Event) -> Result<(), ConsumerError> {
    let id = event.object.as_ref().map(|object| object.object_id.parse::<i32>()).unwrap()?;
    let campaign = campaign::Entity::find_by_id(id).one(txn).await?.unwrap();
    let budget = campaign.budget + 1;
    let mut active = campaign.into_active_model();
    active.budget = Set(budget);
    active.update(txn).await?;
    Ok(())
}

async fn a_loop_is_named(db: Arc<TestDb>) {
    let events = builder(&db).await.consumer(echo).consumer_rounds(4).build().await.unwrap();
    let txn = events.begin(context()).await.unwrap();
    txn.emit(Event::custom("x")).await.unwrap();
    let error = txn.commit().await.unwrap_err().to_string();
    assert!(error.contains("`echo`") && error.contains("4 times"), "{error}");
    let tracked = Subscription::in_transaction(raise).object::<campaign::Entity>();
    let builder = Events::builder(db.db.clone()).without_registered_consumers();
    let events = builder.subscribe(tracked).build().await.unwrap();
    let txn = events.begin(context()).await.unwrap();
    new_campaign("a").insert(&txn).await.unwrap();
    let error = txn.commit().await.unwrap_err().to_string();
    assert!(error.contains("`raise`") && error.contains("16 times"), "{error}");
    assert!(db.log().await.is_empty());
    assert_eq!(campaign::Entity::find().count(&db.db).await.unwrap(), 0);
}

async fn stumble(txn: &EventTransaction, _: &Event) -> Result<(), ConsumerError> {
    add_note(txn, "before the panic").await?;
    panic!("a consumer's own mistake")
}

/// Panics before it has a future.
struct Stumbler;

impl Consumer for Stumbler {
    fn handle<'a>(&'a self, _: &'a EventTransaction, _: &'a Event) -> ConsumerFuture<'a> {
        panic!("before anything")
    }
}

async fn a_panic_is_an_error(db: Arc<TestDb>) {
    let pool = TestDb::open_with(&db.url, 1).await;
    db.with_tables().await;
    let with = async |subscription| {
        let builder = Events::builder(pool.clone()).without_registered_consumers();
        builder.subscribe(subscription).build().await.unwrap()
    };
    let creations = || Subscription::in_transaction(stumble).object::<campaign::Entity>();
    for subscription in [creations(), Subscription::in_transaction(Stumbler)] {
        let events = with(subscription).await;
        let txn = events.begin(context()).await.unwrap();
        new_campaign("a").insert(&txn).await.unwrap();
        let error = txn.commit().await.unwrap_err();
        assert!(matches!(
            &error,
            CommitError::Refused(Refused::Consumer { failure: ConsumerFailure::Panicked { .. }, .. })
        ));
        assert_eq!(events.consumer_stats()[0].panicked, 1);
    }
    // The one connection is free again and clean.
    let events = with(creations().on_error(OnError::Log)).await;
    insert(&events, "b").await;
    assert_eq!(types(&db.log().await), ["CREATED"]);
    assert!(notes(&db).await.is_empty());
    assert_eq!(events.consumer_stats()[0].panicked, 1);
}

async fn never(_: &EventTransaction, _: &Event) -> Result<(), ConsumerError> {
    std::future::pending().await
}

async fn a_time_budget_is_kept(db: Arc<TestDb>) {
    let pool = TestDb::open_with(&db.url, 1).await;
    db.with_tables().await;
    let slow = || Subscription::in_transaction(never).time_budget(Duration::from_millis(50));
    let with = async |subscription| {
        let builder = Events::builder(pool.clone()).without_registered_consumers();
        builder.subscribe(subscription).build().await.unwrap()
    };
    let events = with(slow()).await;
    let txn = events.begin(context()).await.unwrap();
    new_campaign("a").insert(&txn).await.unwrap();
    let error = txn.commit().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "consumer `never` failed on CREATED: took longer than its time budget of 50ms"
    );
    let events = with(slow().on_error(OnError::Log)).await;
    insert(&events, "b").await;
    assert_eq!(types(&db.log().await), ["CREATED"]);
    assert_eq!(events.consumer_stats()[0].timed_out, 1);
}

/// Writes, and is at a statement when its time is over.
async fn ponder(txn: &EventTransaction, _: &Event) -> Result<(), ConsumerError> {
    loop {
        add_note(txn, "pondered").await?;
    }
}

async fn a_statement_that_is_cut_off_by_the_budget_is_undone(db: Arc<TestDb>) {
    let pool = TestDb::open_with(&db.url, 1).await;
    db.with_tables().await;
    let subscription = || {
        let budget = Duration::from_millis(100);
        Subscription::in_transaction(ponder).object::<campaign::Entity>().time_budget(budget)
    };
    let with = async |subscription| {
        let builder = Events::builder(pool.clone()).without_registered_consumers();
        builder.subscribe(subscription).build().await.unwrap()
    };
    for round in 0..5 {
        let events = with(subscription()).await;
        let txn = events.begin(context()).await.unwrap();
        new_campaign("a").insert(&txn).await.unwrap();
        let error = txn.commit().await.unwrap_err().to_string();
        assert!(error.contains("time budget"), "{error}");
        assert!(notes(&db).await.is_empty());
        let events = with(subscription().on_error(OnError::Log)).await;
        let txn = events.begin(context()).await.unwrap();
        new_campaign(&format!("b{round}")).insert(&txn).await.unwrap();
        // Either the savepoint could be rolled back, or the unit is refused: never half of it.
        let committed = txn.commit().await.is_ok();
        let rows = campaign::Entity::find().count(&db.db).await.unwrap();
        assert!(notes(&db).await.is_empty());
        assert_eq!(db.log().await.len() as u64, rows);
        assert!(committed, "a savepoint outlives a statement that was cut off");
    }
}

struct AtOnce(Trace);

impl Consumer for AtOnce {
    fn handle<'a>(&'a self, _: &'a EventTransaction, _: &'a Event) -> ConsumerFuture<'a> {
        unreachable!("it takes them all at once")
    }

    fn handle_all<'a>(
        &'a self,
        txn: &'a EventTransaction,
        events: &'a [&'a Event],
    ) -> Option<ConsumerFuture<'a>> {
        self.0.add(format!("{} at once", events.len()));
        Some(Box::pin(async move {
            add_note(txn, "at once").await?;
            if events.iter().any(|event| event.event_type.as_str() == "bad") {
                Err("one is bad".into())
            } else {
                Ok(())
            }
        }))
    }
}

async fn all_at_once_is_one_call(db: Arc<TestDb>) {
    let trace = Trace::default();
    let at_once = Subscription::in_transaction(AtOnce(trace.clone())).on_custom("good").on_custom("bad");
    let events = builder(&db).await.subscribe(at_once.on_error(OnError::Log)).build().await.unwrap();
    for names in [["good", "good"], ["good", "bad"]] {
        let txn = events.begin(context()).await.unwrap();
        for name in names {
            txn.emit(Event::custom(name)).await.unwrap();
        }
        txn.commit().await.unwrap();
    }
    assert_eq!(trace.take(), ["2 at once", "2 at once"]);
    assert_eq!(notes(&db).await, ["at once"]);
    let stats = stats(&events, "AtOnce");
    assert_eq!((stats.handled, stats.failed), (2, 2));
}

/// Adds very many rows in one call.
async fn flood(txn: &EventTransaction, _: &Event) -> Result<(), ConsumerError> {
    let campaigns = (0..5_001).map(|i| new_campaign(&i.to_string()));
    campaign::Entity::insert_many_with_events(campaigns).exec(txn).await?;
    Ok(())
}

async fn bulk_writes_of_a_consumer_reach_the_others(db: Arc<TestDb>) {
    let trace = Trace::default();
    let writer = Subscription::in_transaction(trace.writer("w")).object::<campaign::Entity>();
    let flood = Subscription::in_transaction(flood).on_custom("start");
    let events = builder(&db).await.subscribe(flood).subscribe(writer).build().await.unwrap();
    emit(&events, "start").await;
    assert_eq!(trace.take().len(), 5_001);
    assert_eq!(db.log().await.len(), 5_002);
}

async fn watch(txn: &EventTransaction, event: &Event) -> Result<(), ConsumerError> {
    if let Some(change) = event.change::<i64>("budget")? {
        add_note(txn, &format!("budget {:?} {:?}", change.old, change.new)).await?;
    }
    if let Some(change) = event.change::<campaign::Status>("status")? {
        add_note(txn, &format!("status {:?} {:?}", change.old, change.new)).await?;
    }
    assert_eq!(event.change::<String>("api_key")?, None, "never recorded");
    Ok(())
}

async fn fields_are_had_in_their_types(db: Arc<TestDb>) {
    let watch = Subscription::in_transaction(watch).object::<campaign::Entity>();
    let events = builder(&db).await.subscribe(watch).build().await.unwrap();
    let campaign = insert(&events, "a").await;
    let txn = events.begin(context()).await.unwrap();
    let mut active = campaign.into_active_model();
    active.budget = Set(2_500);
    active.status = Set(campaign::Status::Live);
    active.api_key = Set("other".to_owned());
    active.update(&txn).await.unwrap().into_active_model().delete(&txn).await.unwrap();
    txn.commit().await.unwrap();
    let expected = [
        "budget None Some(100)",
        "budget Some(100) Some(2500)",
        "budget Some(2500) None",
        "status None Some(Draft)",
        "status Some(Draft) Some(Live)",
        "status Some(Live) None",
    ];
    assert_eq!(notes(&db).await, expected);
}

async fn scopes_run_them_too(db: Arc<TestDb>) {
    let trace = Trace::default();
    let half_way = Subscription::in_transaction(half_way).object::<campaign::Entity>().on_error(OnError::Log);
    let after = Subscription::after_commit(trace.writer("after"));
    let builder = builder(&db).await.subscribe(greeter()).subscribe(half_way).subscribe(after);
    let events = builder.consumer(trace.writer("w")).build().await.unwrap();
    events
        .scope(context(), async {
            let txn = db.db.begin().await.unwrap();
            new_campaign("a").insert(&txn).await.unwrap();
            assert_eq!(trace.take(), ["w CREATED", "w CREATED", "w greeted"]);
            txn.commit().await.unwrap();
        })
        .await
        .unwrap();
    assert_eq!(notes(&db).await, ["hello"]);
    events.drain().await;
    assert!(trace.take().is_empty(), "nobody sees the COMMIT of a scope");
}
