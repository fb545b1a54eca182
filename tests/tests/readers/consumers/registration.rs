//! Which consumers there are.

use super::*;

tests::conformance! {
    two_of_one_name_are_refused,
    one_that_is_left_out_does_not_run,
    unusable_names_are_refused,
}

fn builder(db: &TestDb) -> EventsBuilder {
    Events::builder(db.db.clone()).without_registered_consumers()
}

async fn idle(_: &EventTransaction, _: &Event) -> Result<(), ConsumerError> {
    Ok(())
}

async fn idle_after(_: &EventConnection, _: &Event) -> Result<(), ConsumerError> {
    Ok(())
}

async fn two_of_one_name_are_refused(db: Arc<TestDb>) {
    let error = builder(&db).consumer(idle).consumer(idle).build().await.unwrap_err();
    assert!(matches!(&error, BuildError::DuplicateConsumer { name } if name == "idle"), "{error}");
    // Of two kinds as well.
    let after = || Subscription::after_commit(idle_after);
    let error = builder(&db).consumer(idle).subscribe(after().named("idle")).build().await.unwrap_err();
    assert!(error.to_string().contains("`idle`"), "{error}");
    let events = builder(&db).consumer(idle).subscribe(after()).build().await.unwrap();
    let names: Vec<_> = events.consumer_stats().iter().map(|stats| stats.name.to_string()).collect();
    assert_eq!(names, ["idle", "idle_after"]);
}

async fn one_that_is_left_out_does_not_run(db: Arc<TestDb>) {
    let trace = Trace::default();
    db.with_tables().await;
    let builder = builder(&db).consumer(trace.writer("a")).consumer(trace.writer("b"));
    let events = builder.without_consumer("a").build().await.unwrap();
    emit(&events, "x").await;
    assert_eq!(trace.take(), ["b x"]);
    let error =
        Events::builder(db.db.clone()).consumer(idle).without_consumer("b").build().await.unwrap_err();
    assert!(error.to_string().contains("`b`") && error.to_string().contains("idle"), "{error}");
}

async fn unusable_names_are_refused(db: Arc<TestDb>) {
    let custom = Subscription::in_transaction(idle).on_custom("Launch approved");
    let error = builder(&db).subscribe(custom).build().await.unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(error.to_string().contains("`idle`") && source.contains("Launch approved"), "{error}: {source}");
    let empty = Subscription::in_transaction(idle).named("");
    assert!(matches!(builder(&db).subscribe(empty).build().await, Err(BuildError::Identifier(_))));
}
