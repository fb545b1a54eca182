//! The tables are ours.

use super::*;

tests::conformance! {
    the_tables_stay_closed,
    the_steps_can_be_run_twice_and_taken_back,
}

async fn the_tables_stay_closed(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    of("customer", 1).post(&connection, "hi").await.unwrap();
    let stored = message::Entity::find().one(&connection).await.unwrap().unwrap();
    let of_thread = thread::Entity::find().one(&connection).await.unwrap().unwrap();
    assert_eq!((of_thread.scope.as_str(), of_thread.team_id.as_str()), ("", "7"));
    let mut active = stored.into_active_model();
    active.body = Set("forged".to_owned());
    for error in [
        active.clone().update(&connection).await.unwrap_err(),
        active.clone().update(&db.db).await.unwrap_err(),
        active.delete(&connection).await.unwrap_err(),
        of_thread.into_active_model().delete(&connection).await.unwrap_err(),
    ] {
        assert!(matches!(refusal(&error), Refused::OwnTable { .. }), "{error}");
    }
    let txn = events.begin(context()).await.unwrap();
    let error = message::Entity::delete_many().exec(&txn).await.unwrap_err();
    assert!(matches!(refusal(&error), Refused::OwnTable { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("`thread_messages` is written by this library alone: use `Thread::post`"),
        "{text}"
    );
    let inside =
        txn.untracked("repair", async |txn| thread::Entity::delete_many().exec(txn).await.map(|_| ())).await;
    let error = inside.unwrap_err();
    assert!(matches!(refusal(&error), Refused::OwnTable { .. }), "{error}");
    let inside = txn
        .untracked("repair", async |txn| {
            txn.execute_unprepared("UPDATE Thread_Messages SET body = 'forged'").await.map(|_| ())
        })
        .await;
    let error = inside.unwrap_err();
    assert!(matches!(refusal(&error), Refused::OwnTable { .. }), "{error}");
    txn.rollback().await.unwrap();
    assert_eq!(bodies(&db, &of("customer", 1)).await, ["hi"]);
}

async fn the_steps_can_be_run_twice_and_taken_back(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    of("customer", 1).post(&events.connection(context()), "hi").await.unwrap();
    migration::threads::up(&db.db).await.unwrap();
    assert_eq!(count(&db).await, (1, 1));
    migration::threads::down(&db.db).await.unwrap();
    message::Entity::find().all(&db.db).await.unwrap_err();
    migration::threads::down(&db.db).await.unwrap();
    assert_eq!(event::Entity::find().count(&db.db).await.unwrap(), 0); // the log is not theirs to take
    migration::threads::up(&db.db).await.unwrap();
    assert_eq!(count(&db).await, (0, 0));
    let names: Vec<_> = migration::steps()
        .into_iter()
        .chain(migration::threads::steps())
        .map(|step| step.name().to_owned())
        .collect();
    let expected =
        ["events_0001_events", "events_0005_guards", "events_0002_threads", "events_0007_thread_keys"];
    assert_eq!(names, expected);
}
