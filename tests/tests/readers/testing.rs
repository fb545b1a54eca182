//! The test kit.

use std::{sync::Arc, time::Duration};

use events_sea_orm::{
    ActiveModelEvents, Event, Events, EventsBuilder, Subscription, assert_events,
    testing::{self, Failing, Recorder, Slow, created, custom, updated},
};
use sea_orm::{ActiveModelTrait, IntoActiveModel, Set, TransactionTrait};
use tests::{TestDb, context, entities::campaign, new_campaign};

tests::conformance! {
    captures_what_was_committed_and_nothing_else,
    captures_scopes_and_what_consumers_add,
    shows_what_an_open_unit_has_recorded,
    consumers_to_order_do_as_they_are_told,
}

async fn builder(db: &TestDb) -> EventsBuilder {
    db.with_tables().await;
    Events::builder(db.db.clone()).without_registered_consumers()
}

async fn captures_what_was_committed_and_nothing_else(db: Arc<TestDb>) {
    let events = builder(&db).await.build().await.unwrap();
    let connection = events.connection(context());
    new_campaign("before").create_with_event(&connection).await.unwrap();
    let others = events.clone();
    let (id, captured) = testing::capture(&events, async {
        let campaign = new_campaign("a").create_with_event(&connection).await.unwrap();
        let id = campaign.id;
        let mut active = campaign.into_active_model();
        active.budget = Set(2_500);
        active.api_key = Set("other".to_owned());
        active.update_with_event(&connection).await.unwrap();
        let txn = events.begin(context()).await.unwrap();
        txn.emit(Event::custom("undone")).await.unwrap();
        txn.rollback().await.unwrap();
        tokio::spawn(async move {
            let connection = others.connection(context());
            new_campaign("of another task").create_with_event(&connection).await.unwrap();
        })
        .await
        .unwrap();
        id
    })
    .await
    .unwrap();
    assert_events!(
        captured,
        [
            created("campaign").id(id).value("name", "a").redacted("api_key").actor("ada").team(7),
            updated("campaign").change("budget", 100, 2_500).unchanged("name").redacted("api_key"),
        ]
    );
    let ((), captured) = testing::capture(&events, async {}).await.unwrap();
    assert_events!(captured, []);
    let panic = std::panic::catch_unwind(|| assert_events!(captured, [custom("x")])).unwrap_err();
    assert!(panic.downcast_ref::<String>().unwrap().contains("-  x   (missing)"));
}

async fn captures_scopes_and_what_consumers_add(db: Arc<TestDb>) {
    async fn greet(
        txn: &events_sea_orm::EventTransaction,
        _: &Event,
    ) -> Result<(), events_sea_orm::ConsumerError> {
        Ok(txn.emit(Event::custom("greeted")).await?)
    }
    let greet = Subscription::in_transaction(greet).object::<campaign::Entity>();
    let events = builder(&db).await.subscribe(greet).build().await.unwrap();
    let (_, captured) = testing::capture(&events, async {
        let scope = events.scope(context(), async {
            let txn = db.db.begin().await.unwrap();
            new_campaign("a").insert(&txn).await.unwrap();
            txn.commit().await.unwrap();
            let undone = db.db.begin().await.unwrap();
            new_campaign("b").insert(&undone).await.unwrap();
            undone.rollback().await.unwrap();
        });
        scope.await.unwrap();
    })
    .await
    .unwrap();
    assert_events!(captured, [created("campaign").value("name", "a"), custom("greeted")]);
    assert_events!(captured, [created("campaign")], ..);
}

async fn shows_what_an_open_unit_has_recorded(db: Arc<TestDb>) {
    let events = builder(&db).await.build().await.unwrap();
    let txn = events.begin(context()).await.unwrap();
    txn.emit(Event::custom("outer")).await.unwrap();
    let nested = txn.begin().await.unwrap();
    new_campaign("a").insert(&nested).await.unwrap();
    assert_events!(testing::recorded(&nested), [custom("outer"), created("campaign")]);
    nested.rollback().await.unwrap();
    assert_events!(testing::recorded(&txn), [custom("outer")]);
    txn.rollback().await.unwrap();
    assert!(db.log().await.is_empty());
}

async fn consumers_to_order_do_as_they_are_told(db: Arc<TestDb>) {
    let recorder = Recorder::new();
    let failing = Subscription::in_transaction(Failing::new("the third").after(2)).on_custom("x");
    let slow =
        Subscription::after_commit(Slow::new(Duration::from_secs(60))).time_budget(Duration::from_millis(20));
    let builder = builder(&db).await.subscribe(failing).subscribe(slow.on_custom("x"));
    let events = builder.subscribe(Subscription::after_commit(recorder.clone())).build().await.unwrap();
    for passes in [true, true, false] {
        let txn = events.begin(context()).await.unwrap();
        txn.emit(Event::custom("x")).await.unwrap();
        let committed = txn.commit().await;
        assert_eq!(committed.is_ok(), passes, "{committed:?}");
    }
    events.drain().await;
    assert_events!(recorder.take(), [custom("x"), custom("x")]);
    let stats = events.consumer_stats();
    let of = |name: &str| stats.iter().find(|stats| *stats.name == *name).unwrap();
    assert_eq!((of("Failing").handled, of("Failing").failed, of("Slow").timed_out), (2, 1, 2));
}
