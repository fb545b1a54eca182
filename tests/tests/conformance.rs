//! What the library promises, each case once, on every database.

use std::sync::Arc;

use events_sea_orm::{
    ActiveModelEvents, Actor, CommitError, ConsumerError, Context, Event, EventTransaction, Events, Outcome,
    Refused, ScopeError, Tracked, UnknownCommit, event,
};
use sea_orm::{
    ActiveModelTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel, ModelTrait, PaginatorTrait, Set,
    Statement, TransactionTrait, Unchanged,
};
use serde_json::{Value, json};
use tests::{
    TEAM, TestDb, context,
    entities::{campaign, note, price, tenant},
    new_campaign, refusal, types,
};

tests::conformance! {
    saves_leave_events,
    unchanged_and_missing_rows_leave_none,
    old_is_what_the_database_held,
    update_without_returning_leaves_the_same_event,
    one_event_for_plain_fields_and_one_for_each_state,
    rollback_and_drop_discard_events,
    savepoints_keep_the_events_of_kept_levels,
    parent_waits_for_its_nested_unit,
    database_error_poisons,
    error_in_a_savepoint_leaves_the_parent_healthy,
    savepoint_dropped_after_an_error_poisons,
    veto_before_the_save_does_not_poison,
    failed_after_hook_poisons,
    missing_row_does_not_poison,
    other_team_is_refused,
    team_cannot_be_changed_or_missing,
    all_teams_takes_the_team_of_the_row,
    new_team_is_made_by_its_own_insert,
    single_team_needs_no_context,
    teams_are_compared_to_the_letter,
    save_without_context_is_refused,
    emit_checks_name_team_and_payload,
    many_events_are_written_in_order,
    redacted_values_are_nowhere,
    consumers_run_in_the_transaction,
    failing_consumer_refuses_the_commit,
    consumer_loop_is_named,
    reason_and_track_fields,
    state_transition_with_reason,
    own_hooks_run_in_order,
    composite_key_and_new_format,
    scope_records_on_the_connection_of_the_save,
    scope_reports_a_save_without_after_hook,
    scope_refuses_the_pool,
    schema_changes_and_own_table_are_refused,
    outcome_is_found_out,
    migration_runs_twice_and_back,
}

async fn set_up(db: &TestDb) -> Events {
    db.with_tables().await;
    Events::builder(db.db.clone()).build().await.unwrap()
}

async fn insert(events: &Events, name: &str) -> campaign::Model {
    let txn = events.begin(context()).await.unwrap();
    let model = new_campaign(name).insert(&txn).await.unwrap();
    txn.commit().await.unwrap();
    model
}

async fn saves_leave_events(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let txn = events.begin(context().reason("spring").request("ip", "203.0.113.9")).await.unwrap();
    let unit = txn.unit_id();
    let model = new_campaign("a").insert(&txn).await.unwrap();
    let id = model.id;
    let mut active = model.into_active_model();
    active.budget = Set(250);
    active.notes = Set(Some("not tracked".to_owned()));
    let model = active.update(&txn).await.unwrap();
    model.delete(&txn).await.unwrap();
    assert!(db.log().await.is_empty(), "nothing is seen before the commit");
    txn.commit().await.unwrap();

    let log = db.log().await;
    assert_eq!(types(&log), ["CREATED", "UPDATED", "DELETED"]);
    assert_eq!(
        log[0].event_data,
        json!({"initial_values": {"name": "a", "status": "draft", "budget": 100}, "redacted": ["api_key"]})
    );
    assert_eq!(log[1].event_data, json!({"changes": {"budget": {"old": 100, "new": 250}}}));
    assert_eq!(log[2].event_data["final_values"], json!({"name": "a", "status": "draft", "budget": 250}));
    for row in &log {
        assert_eq!((row.team_id.as_str(), row.unit_id, row.actor_id.as_deref()), ("7", unit, Some("ada")));
        assert_eq!(
            (row.object_type.as_deref(), row.object_id.clone()),
            (Some("campaign"), Some(id.to_string()))
        );
        assert_eq!(row.context, json!({"reason": "spring", "request": {"ip": "203.0.113.9"}}));
        assert!((row.recorded_at - row.occurred_at).num_seconds().abs() < 60);
    }
    assert_eq!(log[0].id, unit);
}

async fn unchanged_and_missing_rows_leave_none(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let model = insert(&events, "a").await;
    let txn = events.begin(context()).await.unwrap();
    model.clone().into_active_model().update(&txn).await.unwrap(); // nothing set
    let same = campaign::ActiveModel { id: Unchanged(model.id), budget: Set(100), ..Default::default() };
    same.update(&txn).await.unwrap(); // the same value
    let other =
        campaign::ActiveModel { id: Unchanged(model.id), notes: Set(Some("x".into())), ..Default::default() };
    other.update(&txn).await.unwrap(); // an untracked field
    let missing = campaign::ActiveModel { id: Set(9_999), ..Default::default() };
    assert_eq!(missing.delete(&txn).await.unwrap().rows_affected, 0);
    txn.commit().await.unwrap();
    assert_eq!(types(&db.log().await), ["CREATED"]);
}

async fn old_is_what_the_database_held(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let stale = insert(&events, "a").await;
    let fresh = campaign::ActiveModel { id: Unchanged(stale.id), budget: Set(500), ..Default::default() };
    fresh.update_with_event(&events.connection(context())).await.unwrap();
    let mut active = stale.into_active_model(); // still says 100
    active.budget = Set(900);
    active.update_with_event(&events.connection(context())).await.unwrap();
    assert_eq!(db.log().await[2].event_data["changes"]["budget"], json!({"old": 500, "new": 900}));
}

async fn update_without_returning_leaves_the_same_event(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let model = insert(&events, "a").await;
    let txn = events.begin(context()).await.unwrap();
    let active = campaign::ActiveModel { id: Unchanged(model.id), budget: Set(1), ..Default::default() };
    active.update_without_returning(&txn).await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(db.log().await[1].event_data, json!({"changes": {"budget": {"old": 100, "new": 1}}}));
}

async fn one_event_for_plain_fields_and_one_for_each_state(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let mut active = insert(&events, "a").await.into_active_model();
    active.name = Set("b".to_owned());
    active.budget = Set(5);
    active.status = Set(campaign::Status::Live);
    active.update_with_event(&events.connection(context())).await.unwrap();
    let log = db.log().await;
    assert_eq!(types(&log), ["CREATED", "UPDATED", "STATE_CHANGED"]);
    assert_eq!(log[1].event_data["changes"].as_object().unwrap().len(), 2);
    assert_eq!(log[2].event_data, json!({"field": "status", "state": {"old": "draft", "new": "live"}}));
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

async fn other_team_is_refused(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let model = insert(&events, "a").await;
    let txn = events.begin(Context::team(8)).await.unwrap();
    let mut active = model.clone().into_active_model();
    active.budget = Set(0);
    for error in [
        active.update(&txn).await.unwrap_err(),
        model.clone().delete(&txn).await.unwrap_err(),
        new_campaign("b").insert(&txn).await.unwrap_err(),
        txn.emit(Event::custom("x").about(&model)).await.unwrap_err(),
    ] {
        assert!(matches!(refusal(&error), Refused::OtherTeam { .. }), "{error}");
        assert!(!error.to_string().contains('7'), "the other team is not told: {error}");
    }
    let mut own = new_campaign("c");
    own.team_id = Set(Some(8));
    own.insert(&txn).await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(types(&db.log().await), ["CREATED", "CREATED"]);
}

async fn team_cannot_be_changed_or_missing(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let model = insert(&events, "a").await;
    let txn = events.begin(Context::all_teams("job", "repair")).await.unwrap();
    let active =
        campaign::ActiveModel { id: Unchanged(model.id), team_id: Set(Some(8)), ..Default::default() };
    assert!(matches!(refusal(&active.update(&txn).await.unwrap_err()), Refused::TeamChanged { .. }));
    assert!(txn.commit().await.is_err());
    let txn = events.begin(context()).await.unwrap();
    let mut orphan = new_campaign("b");
    orphan.team_id = Set(None);
    assert!(matches!(refusal(&orphan.insert(&txn).await.unwrap_err()), Refused::NullTeam { .. }));
    txn.commit().await.unwrap();
    let row = campaign::Entity::find_by_id(model.id).one(&db.db).await.unwrap().unwrap();
    assert_eq!(row.team_id, Some(TEAM));
}

async fn all_teams_takes_the_team_of_the_row(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let txn = events.begin(Context::all_teams("job", "import")).await.unwrap();
    for team in [1, 2] {
        let mut active = new_campaign(&team.to_string());
        active.team_id = Set(Some(team));
        active.insert(&txn).await.unwrap();
    }
    let error = txn.emit(Event::custom("x")).await.unwrap_err();
    assert!(matches!(refusal(&error), Refused::UnknownTeam { .. }));
    txn.emit(Event::custom("x").team(3)).await.unwrap();
    txn.commit().await.unwrap();
    let teams: Vec<_> = db.log().await.into_iter().map(|row| row.team_id).collect();
    assert_eq!(teams, ["1", "2", "3"]);
}

async fn new_team_is_made_by_its_own_insert(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let txn = events.begin(Context::new_team().actor("ada")).await.unwrap();
    assert!(matches!(refusal(&txn.emit(Event::custom("x")).await.unwrap_err()), Refused::UnknownTeam { .. }));
    let row = tenant::ActiveModel { name: Set("acme".to_owned()), ..Default::default() };
    let row = row.insert(&txn).await.unwrap();
    let mut active = new_campaign("a");
    active.team_id = Set(Some(row.id));
    active.insert(&txn).await.unwrap();
    assert!(new_campaign("b").insert(&txn).await.is_err(), "team 7 is another");
    txn.commit().await.unwrap();
    let log = db.log().await;
    assert!(log.iter().all(|event| event.team_id == row.id.to_string()));
    assert_eq!(types(&log), ["CREATED", "CREATED"]);
}

async fn single_team_needs_no_context(db: Arc<TestDb>) {
    let plain = set_up(&db).await;
    assert!(matches!(refusal(&plain.begin(Context::default()).await.unwrap_err()), Refused::NoTeam));
    let events = Events::builder(db.db.clone()).single_team("main").build().await.unwrap();
    let txn = events.begin(Context::default()).await.unwrap();
    txn.emit(Event::custom("started")).await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(db.log().await[0].team_id, "main");
}

async fn teams_are_compared_to_the_letter(db: Arc<TestDb>) {
    use sea_orm::{ColumnTrait, QueryFilter};
    let events = set_up(&db).await;
    let teams = ["a", "A", "a ", "á"];
    for team in teams {
        let txn = events.begin(Context::team(team)).await.unwrap();
        txn.emit(Event::custom("x")).await.unwrap();
        txn.commit().await.unwrap();
    }
    for team in teams {
        let found = event::Entity::find().filter(event::Column::TeamId.eq(team)).all(&db.db).await.unwrap();
        assert_eq!(found.len(), 1, "{team:?}");
        assert_eq!(found[0].team_id, team);
    }
    for bad in ["", "a\0b", &"x".repeat(192)] {
        assert!(matches!(
            refusal(&events.begin(Context::team(bad)).await.unwrap_err()),
            Refused::Identifier(_)
        ));
    }
}

async fn save_without_context_is_refused(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let error = new_campaign("a").insert(&db.db).await.unwrap_err();
    assert!(matches!(refusal(&error), Refused::NoContext { .. }));
    let connection = events.connection(context());
    let error = new_campaign("a").insert(&connection).await.unwrap_err();
    assert!(error.to_string().contains("create_with_event"), "{error}");
    let spawned = events.scope(context(), async {
        let pool = db.db.clone();
        tokio::spawn(async move { new_campaign("a").insert(&pool.begin().await.unwrap()).await })
            .await
            .unwrap()
    });
    let error = spawned.await.unwrap().unwrap_err();
    assert!(matches!(refusal(&error), Refused::NoContext { .. }));
    assert_eq!(campaign::Entity::find().count(&connection).await.unwrap(), 0);
    new_campaign("a").create_with_event(&connection).await.unwrap();
    assert_eq!(types(&db.log().await), ["CREATED"]);
}

async fn emit_checks_name_team_and_payload(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let model = insert(&events, "a").await;
    let txn = events.begin(context()).await.unwrap();
    for name in ["", "Launch", "CREATED", "1a", &"a".repeat(64)] {
        assert!(matches!(refusal(&txn.emit(Event::custom(name)).await.unwrap_err()), Refused::Identifier(_)));
    }
    assert!(txn.emit(Event::custom("x").json(json!({"a": "b\0"}))).await.is_err());
    let payload = json!({"n": u64::MAX, "f": 0.1, "deep": [[[{"é": null}]]], "s": "\u{10ffff}\"\\\n"});
    txn.emit(Event::custom("launch.approved_2").about(&model).json(payload.clone())).await.unwrap();
    txn.emit(Event::custom("plain").json(json!("text"))).await.unwrap();
    txn.commit().await.unwrap();
    let log = db.log().await;
    assert_eq!((log[1].event_type.as_str(), &log[1].event_data), ("launch.approved_2", &payload));
    assert_eq!(log[2].event_data, json!("text"));
    assert_eq!(log[2].object_type, None);
}

async fn many_events_are_written_in_order(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let payload = json!({"n": u64::MAX, "f": 1.5e300, "s": "a'\"\\\u{1F980}", "list": [true, null, -0.5]});
    for count in [1, 2, 3, 4, 5, 40] {
        let before = db.log().await.len();
        let txn = events.begin(context().reason("it's \"quoted\"")).await.unwrap();
        for n in 0..count {
            let mut payload = payload.clone();
            payload["i"] = json!(n);
            txn.emit(Event::custom("x").about(events_sea_orm::ObjectRef::new("o'x", n)).json(payload))
                .await
                .unwrap();
        }
        txn.commit().await.unwrap();
        let log = db.log().await;
        assert_eq!(log.len(), before + count);
        for (n, row) in log[before..].iter().enumerate() {
            let mut payload = payload.clone();
            payload["i"] = json!(n);
            assert_eq!(row.event_data, payload);
            assert_eq!(
                (row.object_id.clone(), row.object_type.as_deref()),
                (Some(n.to_string()), Some("o'x"))
            );
            assert_eq!(row.context["reason"], "it's \"quoted\"");
            assert_eq!((row.team_id.as_str(), row.actor_id.as_deref()), ("7", Some("ada")));
            assert!((row.recorded_at - row.occurred_at).num_seconds().abs() < 60, "{row:?}");
        }
        assert_eq!(log[before].id, log[before].unit_id);
    }
}

async fn redacted_values_are_nowhere(db: Arc<TestDb>) {
    const SECRET: &str = "s3cr3t-in-no-table-of-ours";
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let mut active = new_campaign("a");
    active.api_key = Set(SECRET.to_owned());
    let model = active.create_with_event(&connection).await.unwrap();
    let txn = events.begin(context()).await.unwrap();
    let mut double = new_campaign("b");
    double.api_key = Set(SECRET.to_owned());
    let error = double.insert(&txn).await.unwrap_err();
    let mut shown = format!("{error} {error:?} {txn:?}");
    shown.push_str(&format!("{:?}", txn.commit().await));
    assert!(!shown.contains(SECRET), "{shown}");
    assert!(shown.contains("constraint"), "the constraint stays: {shown}");
    let mut active = model.into_active_model();
    active.api_key = Set("other".to_owned());
    let model = active.update_with_event(&connection).await.unwrap();
    assert!(
        !format!("{:?}", model.clone().into_active_model().delete_with_event(&connection)).contains("other")
    );
    model.into_active_model().delete_with_event(&connection).await.unwrap();
    let log = db.log().await;
    assert_eq!(types(&log), ["CREATED", "UPDATED", "DELETED"]);
    assert_eq!(log[1].event_data, json!({"changes": {}, "redacted": ["api_key"]}));
    assert!(!format!("{log:?}").contains(SECRET));
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

async fn reason_and_track_fields(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let mut active = insert(&events, "a").await.into_active_model();
    active.name = Set("b".to_owned());
    active.budget = Set(5);
    let save = active.clone().update_with_event(&connection).track_fields(["nothing"]);
    assert!(matches!(refusal(&save.await.unwrap_err()), Refused::UnknownField { .. }));
    let model = active.update_with_event(&connection).track_fields(["budget"]).reason("cut").await.unwrap();
    model.into_active_model().delete_with_event(&connection).reason("done").await.unwrap();
    let log = db.log().await;
    assert_eq!(log[1].event_data, json!({"changes": {"budget": {"old": 100, "new": 5}}}));
    assert_eq!(log[1].context["reason"], "cut");
    assert_eq!(log[2].event_data["reason"], "done");
}

async fn state_transition_with_reason(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let active = insert(&events, "a").await.into_active_model();
    let txn = events.begin(context()).await.unwrap();
    let wrong = txn.track_state_transition(active.clone(), campaign::Column::Budget, 5_i64, "no state");
    assert!(matches!(refusal(&wrong.await.unwrap_err()), Refused::UnknownField { .. }));
    let live = campaign::Status::Live;
    let model = txn.track_state_transition(active, campaign::Column::Status, live, "approved").await.unwrap();
    assert_eq!(model.status, campaign::Status::Live);
    txn.commit().await.unwrap();
    let expected = json!({"field": "status", "state": {"old": "draft", "new": "live"}, "reason": "approved"});
    assert_eq!(db.log().await[1].event_data, expected);
}

async fn own_hooks_run_in_order(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let txn = events.begin(context().actor(Actor::new("bot").on_behalf_of("ada"))).await.unwrap();
    let mut active = <note::ActiveModel as sea_orm::ActiveModelBehavior>::new();
    active.text = Set("four".to_owned());
    let model = active.insert(&txn).await.unwrap();
    txn.commit().await.unwrap();
    let log = db.log().await;
    assert_eq!(log[0].event_data["initial_values"], json!({"text": "four", "length": 4}));
    assert_eq!(log[0].object_id, Some(model.id.to_string()));
    assert_eq!(log[0].context["on_behalf_of"], "ada");
}

async fn composite_key_and_new_format(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let active = price::ActiveModel {
        item: Set(12),
        lang: Set("en".to_owned()),
        r#type: Set("list".to_owned()),
        cents: Set(999),
        internal: Set(Some("hidden".to_owned())),
    };
    let model = active.create_with_event(&connection).await.unwrap();
    assert_eq!(model.snapshot().unwrap()["cents_value"], json!(999));
    let mut active = model.into_active_model();
    active.cents = Set(1_099);
    active.update_with_event(&connection).await.unwrap();
    let log = db.log().await;
    assert_eq!(log[0].object_id.as_deref(), Some(r#"[12,"en"]"#));
    assert_eq!(log[0].event_data, json!({"initial_values": {"type": "list", "cents_value": 999}}));
    assert_eq!(log[1].event_data, json!({"changes": {"cents_value": {"old": 999, "new": 1099}}}));
}

async fn scope_records_on_the_connection_of_the_save(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let pool = &db.db;
    events
        .scope(context(), async {
            let txn = pool.begin().await?;
            let model = new_campaign("a").insert(&txn).await?;
            let nested = txn.begin().await?;
            new_campaign("lost").insert(&nested).await?;
            nested.rollback().await?;
            let mut active = model.into_active_model();
            active.budget = Set(3);
            active.status = Set(campaign::Status::Live);
            let model = active.update(&txn).await?;
            model.clone().into_active_model().update(&txn).await?; // nothing set
            model.delete(&txn).await?;
            txn.commit().await
        })
        .await
        .unwrap()
        .unwrap();
    let log = db.log().await;
    assert_eq!(types(&log), ["CREATED", "UPDATED", "STATE_CHANGED", "DELETED"]);
    assert_eq!(log[1].event_data, json!({"changes": {"budget": {"old": 100, "new": 3}}}));
    let foreign = events.scope(Context::team(8), async {
        let txn = pool.begin().await?;
        new_campaign("b").insert(&txn).await
    });
    assert!(matches!(refusal(&foreign.await.unwrap().unwrap_err()), Refused::OtherTeam { .. }));
}

async fn scope_reports_a_save_without_after_hook(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let model = insert(&events, "a").await;
    let scope = events.scope(context(), async {
        let txn = db.db.begin().await.unwrap();
        let active = campaign::ActiveModel { id: Unchanged(model.id), budget: Set(1), ..Default::default() };
        active.update_without_returning(&txn).await.unwrap();
        txn
    });
    let Err(ScopeError::Unfinished { output, objects }) = scope.await else { panic!("must be an error") };
    output.rollback().await.unwrap();
    assert_eq!(objects, [format!("`campaign` {}", model.id)]);
}

async fn scope_refuses_the_pool(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let error = events.scope(context(), new_campaign("a").insert(&db.db)).await.unwrap().unwrap_err();
    assert!(matches!(refusal(&error), Refused::NotATransaction { .. }));
    let events = Events::builder(db.db.clone()).scope_on_pool(true).build().await.unwrap();
    events.scope(context(), new_campaign("a").insert(&db.db)).await.unwrap().unwrap();
    assert_eq!(types(&db.log().await), ["CREATED"]);
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

async fn migration_runs_twice_and_back(db: Arc<TestDb>) {
    events_sea_orm::migration::up(&db.db).await.unwrap();
    events_sea_orm::migration::up(&db.db).await.unwrap();
    assert_eq!(db.log().await.len(), 0);
    events_sea_orm::migration::down(&db.db).await.unwrap();
    assert!(event::Entity::find().one(&db.db).await.is_err());
    events_sea_orm::migration::up(&db.db).await.unwrap();
    assert_eq!(db.log().await.len(), 0);
}
