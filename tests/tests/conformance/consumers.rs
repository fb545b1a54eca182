//! Consumers inside the unit of work.

use super::*;

tests::conformance! {
    consumers_run_in_the_transaction,
    failing_consumer_refuses_the_commit,
    consumer_loop_is_named,
}

async fn greet(txn: &EventTransaction, event: &Event) -> Result<(), ConsumerError> {
    if event.event_type.as_str() == "CREATED"
        && event.object.as_ref().is_some_and(|o| o.object_type == "campaign")
    {
        let mut active = <note::ActiveModel as sea_orm::ActiveModelBehavior>::new();
        active.text = Set("hello".to_owned());
        active.insert(txn).await?;
        txn.emit(Event::custom("greeted")).await?;
    }
    Ok(())
}

async fn consumers_run_in_the_transaction(db: Arc<TestDb>) {
    db.with_tables().await;
    let events = Events::builder(db.db.clone()).consumer(greet).build().await.unwrap();
    insert(&events, "a").await;
    assert_eq!(types(&db.log().await), ["CREATED", "CREATED", "greeted"]);
    assert_eq!(note::Entity::find().count(&db.db).await.unwrap(), 1);
    let twice = Events::builder(db.db.clone()).consumer(greet).consumer(greet).build().await;
    assert!(twice.unwrap_err().to_string().contains("greet"));
}

async fn refuse_all(_: &EventTransaction, _: &Event) -> Result<(), ConsumerError> {
    Err("not today".into())
}

async fn failing_consumer_refuses_the_commit(db: Arc<TestDb>) {
    db.with_tables().await;
    let events = Events::builder(db.db.clone()).consumer(refuse_all).build().await.unwrap();
    let txn = events.begin(context()).await.unwrap();
    new_campaign("a").insert(&txn).await.unwrap();
    let error = txn.commit().await.unwrap_err();
    assert!(matches!(&error, CommitError::Refused(Refused::Consumer { .. })));
    assert_eq!(error.to_string(), "consumer `refuse_all` failed on CREATED: not today");
    assert!(db.log().await.is_empty());
    assert_eq!(campaign::Entity::find().count(&db.db).await.unwrap(), 0);
}

async fn echo(txn: &EventTransaction, _: &Event) -> Result<(), ConsumerError> {
    Ok(txn.emit(Event::custom("echo")).await?)
}

async fn consumer_loop_is_named(db: Arc<TestDb>) {
    db.with_tables().await;
    let events = Events::builder(db.db.clone()).consumer(echo).consumer_rounds(4).build().await.unwrap();
    let txn = events.begin(context()).await.unwrap();
    txn.emit(Event::custom("x")).await.unwrap();
    let error = txn.commit().await.unwrap_err();
    assert!(error.to_string().contains("`echo`"), "{error}");
    assert!(db.log().await.is_empty());
}
