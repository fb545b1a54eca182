//! Units of work: rollback, savepoints, poison, outcome.

use futures_util::FutureExt;

use super::*;

tests::conformance! {
    rollback_and_drop_discard_events,
    savepoints_keep_the_events_of_kept_levels,
    parent_waits_for_its_nested_unit,
    database_error_poisons,
    error_in_a_savepoint_leaves_the_parent_healthy,
    savepoint_dropped_after_an_error_poisons,
    veto_before_the_save_does_not_poison,
    failed_after_hook_poisons,
    missing_row_does_not_poison,
    text_with_nul_is_refused_before_it_is_sent,
    schema_changes_and_own_table_are_refused,
    outcome_is_found_out,
    dropped_commit_is_all_or_nothing,
    panic_in_a_consumer_rolls_back,
}

async fn rollback_and_drop_discard_events(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let txn = events.begin(context()).await.unwrap();
    new_campaign("a").insert(&txn).await.unwrap();
    txn.rollback().await.unwrap();
    let txn = events.begin(context()).await.unwrap();
    new_campaign("b").insert(&txn).await.unwrap();
    drop(txn);
    assert!(db.log().await.is_empty());
    assert_eq!(campaign::Entity::find().count(&db.db).await.unwrap(), 0);
}

async fn savepoints_keep_the_events_of_kept_levels(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let txn = events.begin(context()).await.unwrap();
    new_campaign("one").insert(&txn).await.unwrap();
    let two = txn.begin().await.unwrap();
    new_campaign("two").insert(&two).await.unwrap();
    let three = two.begin().await.unwrap();
    new_campaign("three").insert(&three).await.unwrap();
    three.rollback().await.unwrap();
    two.commit().await.unwrap();
    let dropped = txn.begin().await.unwrap();
    new_campaign("dropped").insert(&dropped).await.unwrap();
    drop(dropped);
    new_campaign("four").insert(&txn).await.unwrap();
    txn.commit().await.unwrap();
    let names = |value: &Value| value["initial_values"]["name"].as_str().unwrap().to_owned();
    let log: Vec<_> = db.log().await.iter().map(|row| names(&row.event_data)).collect();
    assert_eq!(log, ["one", "two", "four"]);
    assert_eq!(campaign::Entity::find().count(&db.db).await.unwrap(), 3);
}

async fn parent_waits_for_its_nested_unit(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let txn = events.begin(context()).await.unwrap();
    let nested = txn.begin().await.unwrap();
    let error = new_campaign("a").insert(&txn).await.unwrap_err();
    assert!(matches!(refusal(&error), Refused::NestedOpen));
    assert!(matches!(refusal(&txn.begin().await.unwrap_err()), Refused::NestedOpen));
    assert!(txn.emit(Event::custom("x")).await.is_err());
    assert_eq!(campaign::Entity::find().count(&txn).await.unwrap(), 0, "reads pass");
    nested.commit().await.unwrap();
    new_campaign("a").insert(&txn).await.unwrap();
    let nested = txn.begin().await.unwrap();
    assert!(matches!(txn.commit().await, Err(CommitError::Refused(Refused::NestedOpen))));
    drop(nested);
    assert!(db.log().await.is_empty());
}

async fn database_error_poisons(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    insert(&events, "a").await;
    let txn = events.begin(context()).await.unwrap();
    new_campaign("b").insert(&txn).await.unwrap();
    assert!(new_campaign("a").insert(&txn).await.is_err(), "api_key is unique");
    let error = new_campaign("c").insert(&txn).await.unwrap_err();
    assert!(matches!(refusal(&error), Refused::Poisoned { .. }));
    assert!(campaign::Entity::find().count(&txn).await.is_err(), "not even reads");
    assert!(matches!(txn.commit().await, Err(CommitError::Refused(Refused::Poisoned { .. }))));
    assert_eq!(types(&db.log().await), ["CREATED"]);
    assert_eq!(campaign::Entity::find().count(&db.db).await.unwrap(), 1);
}

async fn error_in_a_savepoint_leaves_the_parent_healthy(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    insert(&events, "a").await;
    let txn = events.begin(context()).await.unwrap();
    let nested = txn.begin().await.unwrap();
    assert!(new_campaign("a").insert(&nested).await.is_err());
    nested.rollback().await.unwrap();
    new_campaign("b").insert(&txn).await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(types(&db.log().await), ["CREATED", "CREATED"]);
}

async fn savepoint_dropped_after_an_error_poisons(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    insert(&events, "a").await;
    let txn = events.begin(context()).await.unwrap();
    let nested = txn.begin().await.unwrap();
    assert!(new_campaign("a").insert(&nested).await.is_err());
    drop(nested);
    assert!(matches!(txn.commit().await, Err(CommitError::Refused(Refused::Poisoned { .. }))));
}

async fn veto_before_the_save_does_not_poison(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let txn = events.begin(context()).await.unwrap();
    let mut active = <note::ActiveModel as sea_orm::ActiveModelBehavior>::new();
    active.text = Set("veto".to_owned());
    assert!(active.insert(&txn).await.is_err());
    let mut active = <note::ActiveModel as sea_orm::ActiveModelBehavior>::new();
    active.text = Set("fine".to_owned());
    active.insert(&txn).await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(types(&db.log().await), ["CREATED"]);
}

async fn failed_after_hook_poisons(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let txn = events.begin(context()).await.unwrap();
    let mut active = <note::ActiveModel as sea_orm::ActiveModelBehavior>::new();
    active.text = Set("after".to_owned());
    assert!(active.insert(&txn).await.is_err());
    assert!(matches!(txn.commit().await, Err(CommitError::Refused(Refused::Poisoned { .. }))));
    assert_eq!(note::Entity::find().count(&db.db).await.unwrap(), 0);
}

async fn missing_row_does_not_poison(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let txn = events.begin(context()).await.unwrap();
    let missing = campaign::ActiveModel { id: Unchanged(9_999), budget: Set(1), ..Default::default() };
    assert!(matches!(missing.update(&txn).await, Err(DbErr::RecordNotUpdated)));
    new_campaign("a").insert(&txn).await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(types(&db.log().await), ["CREATED"]);
}

async fn text_with_nul_is_refused_before_it_is_sent(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let mut active = insert(&events, "a").await.into_active_model();
    let txn = events.begin(context()).await.unwrap();
    active.name = Set("a\0b".to_owned());
    for error in [
        active.clone().update(&txn).await.unwrap_err(),
        active.clone().update_without_returning(&txn).await.unwrap_err(),
        new_campaign("c\0d").insert(&txn).await.unwrap_err(),
    ] {
        assert!(matches!(refusal(&error), Refused::Value { .. }), "{error}");
        assert!(error.to_string().contains("field `name` of `campaign` cannot be recorded"), "{error}");
    }
    active.name = Set("b".to_owned());
    active.update(&txn).await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(types(&db.log().await), ["CREATED", "UPDATED"]);
}

async fn schema_changes_and_own_table_are_refused(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    insert(&events, "a").await;
    let txn = events.begin(context()).await.unwrap();
    let schema = sea_orm::Schema::new(txn.get_database_backend());
    let error = txn.execute(&schema.create_table_from_entity(event::Entity)).await.unwrap_err();
    assert!(matches!(refusal(&error), Refused::Schema));
    for sql in ["DROP TABLE notes", " /* x */ commit", "-- a\nALTER TABLE notes ADD x int"] {
        assert!(matches!(refusal(&txn.execute_unprepared(sql).await.unwrap_err()), Refused::Schema));
        let raw = Statement::from_string(txn.get_database_backend(), sql);
        assert!(matches!(refusal(&txn.execute_raw(raw).await.unwrap_err()), Refused::Schema));
    }
    let error = event::Entity::delete_many().exec(&txn).await.unwrap_err();
    assert!(matches!(refusal(&error), Refused::OwnTable { .. }));
    new_campaign("b").insert(&txn).await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(db.log().await.len(), 2);
}

async fn outcome_is_found_out(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let txn = events.begin(context()).await.unwrap();
    let unit = txn.unit_id();
    new_campaign("a").insert(&txn).await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(events.outcome_of(unit).await.unwrap(), Outcome::Committed);
    let txn = events.begin(context()).await.unwrap();
    let unit_id = txn.unit_id();
    new_campaign("b").insert(&txn).await.unwrap();
    txn.rollback().await.unwrap();
    let unknown =
        UnknownCommit { unit_id, event_ids: vec![unit_id], source: DbErr::Custom("cut".to_owned()) };
    assert_eq!(events.outcome(&unknown).await.unwrap(), Outcome::RolledBack);
    assert_eq!(db.log().await.len(), 1, "the question leaves nothing behind");
}

/// A commit that nobody waits for: rows and events are there together or not at all, and `outcome_of` knows which.
async fn dropped_commit_is_all_or_nothing(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    for polls in 0..40 {
        let txn = events.begin(context()).await.unwrap();
        let unit = txn.unit_id();
        new_campaign(&polls.to_string()).insert(&txn).await.unwrap();
        let mut commit = txn.commit().boxed();
        let mut left = polls;
        let finished = std::future::poll_fn(|cx| {
            if left == 0 {
                return std::task::Poll::Ready(false);
            }
            left -= 1;
            commit.as_mut().poll(cx).map(|result| result.is_ok())
        })
        .await;
        drop(commit);
        let outcome = events.outcome_of(unit).await.unwrap();
        let rows = campaign::Entity::find().count(&db.db).await.unwrap();
        assert_eq!(rows, db.log().await.len() as u64, "after {polls} polls");
        let found = db.log().await.iter().any(|row| row.id == unit);
        assert_eq!(found, outcome == Outcome::Committed, "after {polls} polls");
        if finished {
            assert!(found);
            return;
        }
    }
    panic!("the commit never finished");
}

async fn panic_now(_: &EventTransaction, _: &Event) -> Result<(), ConsumerError> {
    panic!("a consumer's own mistake")
}

async fn panic_in_a_consumer_rolls_back(db: Arc<TestDb>) {
    db.with_tables().await;
    let pool = TestDb::open_with(&db.url, 1).await;
    let events = Events::builder(pool.clone()).consumer(panic_now).build().await.unwrap();
    let txn = events.begin(context()).await.unwrap();
    new_campaign("a").insert(&txn).await.unwrap();
    let committed = std::panic::AssertUnwindSafe(txn.commit()).catch_unwind().await;
    assert!(committed.is_err(), "the panic is the caller's to see");
    // The one connection is free again and clean.
    let events = Events::builder(pool).build().await.unwrap();
    insert(&events, "b").await;
    let log = db.log().await;
    assert_eq!(types(&log), ["CREATED"]);
    assert_eq!(log[0].event_data["initial_values"]["name"], "b");
    assert_eq!(campaign::Entity::find().count(&db.db).await.unwrap(), 1);
}
