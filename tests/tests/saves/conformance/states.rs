//! States: what is declared, what is refused, and what was when.

use chrono::TimeDelta;
use events_sea_orm::{EventType, StateChangedEventData, TimeInState, migration, retention};
use tests::{
    entities::{
        order::{self, Approval, Status},
        tenant,
    },
    new_order,
};

use super::*;

tests::conformance! {
    declared_transitions_pass_and_others_are_marked,
    enforced_transitions_are_refused,
    a_refused_transition_is_true_to_the_locked_row,
    a_refused_transition_in_a_savepoint,
    enforced_without_returning_and_with_other_fields,
    transitions_in_a_scope,
    many_transitions_at_once,
    first_value_and_same_value,
    transitions_are_read_in_order,
    transitions_of_another_team,
    transitions_across_a_delete,
    time_that_the_log_does_not_know_is_not_zero,
    transitions_are_read_in_pages,
    transitions_of_no_state,
}

async fn order(events: &Events) -> order::Model {
    new_order("a").create_with_event(&events.connection(context())).await.unwrap()
}

fn status(id: i32, status: Status) -> order::ActiveModel {
    order::ActiveModel { id: Unchanged(id), status: Set(status), ..Default::default() }
}

fn approval(id: i32, approval: Option<Approval>) -> order::ActiveModel {
    order::ActiveModel { id: Unchanged(id), approval: Set(approval), ..Default::default() }
}

async fn declared_transitions_pass_and_others_are_marked(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let id = order(&events).await.id;
    use Approval::{Asked, Denied, Given};
    for to in [Some(Asked), Some(Denied), Some(Asked), Some(Given), Some(Denied), None, Some(Given)] {
        approval(id, to).update_with_event(&connection).await.unwrap();
    }
    let log = db.log().await;
    assert!(types(&log)[1..].iter().all(|event_type| *event_type == "STATE_CHANGED"));
    // NULL -> asked is a first value. Given -> denied is not declared, nor is that the approval be taken away.
    let marks: Vec<_> = log[1..].iter().map(|row| row.event_data.get("undeclared").cloned()).collect();
    let yes = || Some(json!(true));
    assert_eq!(marks, [None, None, None, None, yes(), yes(), None]);
    assert_eq!(
        log[5].event_data,
        json!({"field": "approval", "state": {"old": 1, "new": 2}, "undeclared": true})
    );
    let data: StateChangedEventData = log[5].to_event().unwrap().data().unwrap();
    assert!(data.undeclared);
}

async fn enforced_transitions_are_refused(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let id = order(&events).await.id;
    let error = status(id, Status::Sent).update_with_event(&connection).await.unwrap_err();
    let Refused::Transition(refused) = refusal(&error) else { panic!("{error}") };
    assert_eq!(refused.object, events_sea_orm::ObjectRef::new("order", id));
    assert_eq!((refused.field, &refused.from, &refused.to), ("status", &json!("open"), &json!("sent")));
    assert_eq!(refused.allowed, [json!("paid"), json!("dropped")]);
    let text = format!(
        r#"`order` {id} cannot go from "open" to "sent" in `status`: declared from there is "paid", "dropped""#
    );
    assert_eq!(refusal(&error).to_string(), text);
    assert_eq!(events_sea_orm::status_of(&error), 409);
    let row = order::Entity::find_by_id(id).one(&db.db).await.unwrap().unwrap();
    assert_eq!(row.status, Status::Open, "the unit of the call was rolled back");
    for to in [Status::Paid, Status::Sent] {
        status(id, to).update_with_event(&connection).await.unwrap();
    }
    let error = status(id, Status::Open).update_with_event(&connection).await.unwrap_err();
    assert!(error.to_string().ends_with("declared from there is nothing"), "{error}");
    assert_eq!(types(&db.log().await), ["CREATED", "STATE_CHANGED", "STATE_CHANGED"]);
}

async fn a_refused_transition_is_true_to_the_locked_row(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let stale = order(&events).await; // still says open
    status(stale.id, Status::Paid).update_with_event(&events.connection(context())).await.unwrap();
    let txn = events.begin(context()).await.unwrap();
    let mut active = stale.into_active_model();
    active.status = Set(Status::Dropped); // declared from open, not from paid
    let error = active.update(&txn).await.unwrap_err();
    let refused = refusal(&error);
    assert!(matches!(refused, Refused::Transition(refused) if refused.from == json!("paid")), "{error}");
    // The row is written by then, so nothing of the unit may be committed.
    assert!(refused.is_final());
    assert!(
        matches!(txn.emit(Event::custom("x")).await, Err(error) if matches!(refusal(&error), Refused::Poisoned { .. }))
    );
    assert!(matches!(txn.commit().await, Err(CommitError::Refused(Refused::Poisoned { .. }))));
    assert_eq!(types(&db.log().await), ["CREATED", "STATE_CHANGED"]);
}

async fn a_refused_transition_in_a_savepoint(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let id = order(&events).await.id;
    let txn = events.begin(context()).await.unwrap();
    let nested = txn.begin().await.unwrap();
    status(id, Status::Sent).update(&nested).await.unwrap_err();
    nested.rollback().await.unwrap();
    let saved =
        txn.track_state_transition(status(id, Status::Paid), order::Column::Status, Status::Paid, "cash");
    saved.await.unwrap();
    txn.commit().await.unwrap();
    let log = db.log().await;
    assert_eq!(types(&log), ["CREATED", "STATE_CHANGED"]);
    assert_eq!(log[1].event_data["reason"], "cash");
}

async fn enforced_without_returning_and_with_other_fields(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let id = order(&events).await.id;
    let txn = events.begin(context()).await.unwrap();
    status(id, Status::Paid).update_without_returning(&txn).await.unwrap();
    let unread = status(id, Status::Open).update_without_returning(&txn).await;
    // Where nothing is returned the row is read before the next statement, or at the latest by the commit.
    let error = match unread {
        Err(error) => error,
        Ok(_) => txn.emit(Event::custom("x")).await.unwrap_err(),
    };
    assert!(matches!(refusal(&error), Refused::Transition(_)), "{error}");
    assert!(txn.commit().await.is_err());
    let txn = events.begin(context()).await.unwrap();
    let _ = status(id, Status::Sent).update_without_returning(&txn).await;
    assert!(txn.commit().await.is_err());
    // That the caller does not want the field recorded does not allow it.
    let mut active = status(id, Status::Sent);
    active.name = Set("b".to_owned());
    let connection = events.connection(context());
    let save = active.update_with_event(&connection).track_fields(["name"]);
    assert!(matches!(refusal(&save.await.unwrap_err()), Refused::Transition(_)));
    assert_eq!(types(&db.log().await), ["CREATED"]);
    assert_eq!(order::Entity::find_by_id(id).one(&db.db).await.unwrap().unwrap().status, Status::Open);
}

async fn transitions_in_a_scope(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let pool = &db.db;
    let work = async {
        let txn = pool.begin().await?;
        let id = new_order("a").insert(&txn).await?.id;
        approval(id, Some(Approval::Given)).update(&txn).await?;
        approval(id, Some(Approval::Asked)).update(&txn).await?;
        status(id, Status::Paid).update(&txn).await?;
        // Refused before it is sent: the application's own transaction goes on and may be committed.
        let refused = status(id, Status::Open).update(&txn).await.unwrap_err();
        txn.commit().await?;
        Ok::<_, DbErr>(refused)
    };
    let refused = events.scope(context(), work).await.unwrap().unwrap();
    assert!(matches!(refusal(&refused), Refused::Transition(_)), "{refused}");
    let log = db.log().await;
    assert_eq!(types(&log), ["CREATED", "STATE_CHANGED", "STATE_CHANGED", "STATE_CHANGED"]);
    assert_eq!(log[2].event_data["undeclared"], true);
    assert_eq!(order::Entity::find().one(pool).await.unwrap().unwrap().status, Status::Paid);
}

async fn first_value_and_same_value(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    // An insert begins anywhere.
    let mut active = new_order("a");
    active.status = Set(Status::Sent);
    let id = active.create_with_event(&connection).await.unwrap().id;
    for _ in 0..2 {
        status(id, Status::Sent).update_with_event(&connection).await.unwrap();
        approval(id, Some(Approval::Denied)).update_with_event(&connection).await.unwrap();
    }
    let log = db.log().await;
    assert_eq!(types(&log), ["CREATED", "STATE_CHANGED"]);
    let first = json!({"field": "approval", "state": {"old": null, "new": 2}});
    assert_eq!(log[1].event_data, first);
}

async fn transitions_are_read_in_order(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let model = order(&events).await;
    order(&events).await; // another object's states are not among them
    status(model.id, Status::Paid).update_with_event(&connection).reason("cash").await.unwrap();
    approval(model.id, Some(Approval::Given)).update_with_event(&connection).await.unwrap();
    let given = events.connection(Context::team(TEAM).actor("bot").reason("nightly"));
    approval(model.id, Some(Approval::Denied)).update_with_event(&given).await.unwrap();
    status(model.id, Status::Sent).update_with_event(&given).await.unwrap();

    let log = db.log().await;
    let found = connection.transitions(&model, order::Column::Status).await.unwrap();
    let told: Vec<_> = found
        .iter()
        .map(|t| (t.old.clone(), t.new.clone(), t.actor_id.as_deref(), t.reason.as_deref()))
        .collect();
    let (ada, bot) = (Some("ada"), Some("bot"));
    assert_eq!(
        told,
        [
            (None, json!("open"), ada, None),
            (Some(json!("open")), json!("paid"), ada, Some("cash")),
            (Some(json!("paid")), json!("sent"), bot, Some("nightly")),
        ]
    );
    assert!(found.iter().all(|transition| transition.field == "status" && !transition.undeclared));
    assert!(found.windows(2).all(|pair| pair[0].seq < pair[1].seq));
    assert_eq!(found[0].lasted, Some(found[1].occurred_at - found[0].occurred_at));
    assert_eq!((found[1].occurred_at, found[2].lasted), (log[2].occurred_at, None));

    let found = connection.transitions(&model, order::Column::Approval).await.unwrap();
    let told: Vec<_> = found.iter().map(|t| (t.old.clone(), t.new.clone(), t.undeclared)).collect();
    assert_eq!(
        told,
        [(None, Value::Null, false), (Some(Value::Null), json!(1), false), (Some(json!(1)), json!(2), true)]
    );

    let time = async |state| connection.time_in_state(&model, order::Column::Status, state).await.unwrap();
    assert_eq!(time(Status::Paid).await, TimeInState::Exactly(log[5].occurred_at - log[2].occurred_at));
    let sent = time(Status::Sent).await.exactly().expect("all of it is in the log");
    assert!(sent >= TimeDelta::zero() && sent < TimeDelta::minutes(5), "{sent}");
    assert_eq!(time(Status::Dropped).await, TimeInState::Exactly(TimeDelta::zero()));
}

async fn transitions_of_another_team(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let model = order(&events).await;
    status(model.id, Status::Paid).update_with_event(&events.connection(context())).await.unwrap();
    let foreign = events.connection(Context::team(8));
    let error = foreign.transitions(&model, order::Column::Status).await.unwrap_err();
    assert!(matches!(refusal(&error), Refused::OtherTeam { .. }), "{error}");
    // A model that pretends to be of the reader's team shows nothing of the other's events.
    let forged = order::Model { team_id: 8, ..model.clone() };
    assert_eq!(foreign.transitions(&forged, order::Column::Status).await.unwrap(), []);
    let every = events.connection(Context::all_teams("job", "report"));
    assert_eq!(every.transitions(&model, order::Column::Status).await.unwrap().len(), 2);
    let none = events.connection(Context::default());
    let error = none.transitions(&model, order::Column::Status).await.unwrap_err();
    assert!(matches!(refusal(&error), Refused::NoTeam), "{error}");
}

async fn transitions_across_a_delete(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let model = order(&events).await;
    let model = model.into_active_model().soft_delete_with_event(&connection).await.unwrap();
    let model = model.into_active_model().restore_with_event(&connection).reason("back").await.unwrap();
    model.clone().into_active_model().delete_with_event(&connection).await.unwrap();
    let log = db.log().await;
    let found = connection.transitions(&model, order::Column::Status).await.unwrap();
    let told: Vec<_> = found.iter().map(|t| (t.old.clone(), t.new.clone(), t.lasted)).collect();
    let lasted = |from: usize, to: usize| Some(log[to].occurred_at - log[from].occurred_at);
    assert_eq!(told, [(None, json!("open"), lasted(0, 1)), (None, json!("open"), lasted(2, 3))]);
    assert_eq!(found[1].reason.as_deref(), Some("back"));
    let open = connection.time_in_state(&model, order::Column::Status, Status::Open).await.unwrap();
    assert_eq!(open.exactly(), lasted(0, 1).zip(lasted(2, 3)).map(|(first, second)| first + second));
}

async fn time_that_the_log_does_not_know_is_not_zero(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    migration::retention::up(&db.db).await.unwrap();
    let connection = events.connection(context());
    let time = async |model: &order::Model, state| {
        connection.time_in_state(model, order::Column::Status, state).await.unwrap()
    };
    let unknown = TimeInState::AtLeast(TimeDelta::zero());

    // A row that was there before the log.
    let row = "INSERT INTO orders (team_id, name, status, card) VALUES (7, 'old', 'open', 'x')";
    db.db.execute_unprepared(row).await.unwrap();
    let model = order::Entity::find().one(&db.db).await.unwrap().unwrap();
    assert_eq!(time(&model, Status::Open).await, unknown);
    status(model.id, Status::Paid).update_with_event(&connection).await.unwrap();
    assert_eq!(time(&model, Status::Open).await, unknown);
    assert!(time(&model, Status::Paid).await.exactly().is_none(), "it may have been so before");
    assert!(time(&model, Status::Paid).await.at_least() >= TimeDelta::zero());

    // A change that left no event.
    let model = order(&events).await;
    assert!(time(&model, Status::Open).await.exactly().is_some());
    let txn = events.begin(context()).await.unwrap();
    let repair = format!("UPDATE orders SET status = 'paid' WHERE id = {}", model.id);
    txn.untracked("repair", async |txn| txn.execute_unprepared(&repair).await).await.unwrap();
    status(model.id, Status::Sent).update(&txn).await.unwrap();
    txn.commit().await.unwrap();
    assert!(time(&model, Status::Open).await.exactly().is_none());
    assert_eq!(time(&model, Status::Paid).await, unknown);

    // What the log had was purged.
    let model = order(&events).await;
    assert!(time(&model, Status::Open).await.exactly().is_some());
    let purge = retention::Purge::recorded_until_now().reason("old").by("ops:ada");
    retention::purge(&db.db, purge).await.unwrap();
    assert_eq!(db.log().await, []);
    assert_eq!(time(&model, Status::Open).await, unknown);
    status(model.id, Status::Paid).update_with_event(&connection).await.unwrap();
    assert_eq!(time(&model, Status::Open).await, unknown);
}

async fn transitions_are_read_in_pages(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let model = order(&events).await;
    let txn = events.begin(context()).await.unwrap();
    let places = ["open", "paid"];
    for n in 0..2_500_usize {
        let (from, to) = (places[n % 2], places[(n + 1) % 2]);
        // One of this field, and one of another whose value looks like it.
        for (field, old, new) in [("status", json!(from), json!(to)), ("approval", json!("status"), json!(n))]
        {
            let data = json!({"field": field, "state": {"old": old, "new": new}});
            txn.emit(Event::of(EventType::StateChanged).about(&model).json(data)).await.unwrap();
        }
    }
    txn.commit().await.unwrap();
    let connection = events.connection(context());
    let found = connection.transitions(&model, order::Column::Status).await.unwrap();
    assert_eq!(found.len(), 2_501);
    assert!(found.windows(2).all(|pair| pair[1].old.as_ref() == Some(&pair[0].new)));
    assert!(found.windows(2).all(|pair| pair[0].lasted == Some(pair[1].occurred_at - pair[0].occurred_at)));
    let open = connection.time_in_state(&model, order::Column::Status, Status::Open).await.unwrap();
    let lasted = found.iter().filter(|step| step.new == json!("open")).filter_map(|step| step.lasted);
    assert!(open.exactly().expect("whole") >= lasted.sum());
}

async fn transitions_of_no_state(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let model = order(&events).await;
    let error = connection.transitions(&model, order::Column::Name).await.unwrap_err();
    assert!(
        error.to_string().contains("`name` is no state field of `order`: it has status, approval"),
        "{error}"
    );
    let row = tenant::ActiveModel { name: Set("acme".to_owned()), ..Default::default() };
    let row = row.create_with_event(&events.connection(Context::new_team().actor("ada"))).await.unwrap();
    let error = connection.transitions(&row, tenant::Column::Name).await.unwrap_err();
    assert!(error.to_string().ends_with("it has none"), "{error}");
    // What was emitted by hand in another form tells of no transition.
    let txn = events.begin(context()).await.unwrap();
    let odd = Event::of(events_sea_orm::EventType::StateChanged).about(&model).json(json!({"state": "odd"}));
    txn.emit(odd).await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(connection.transitions(&model, order::Column::Status).await.unwrap().len(), 1);
}

async fn many_transitions_at_once(db: Arc<TestDb>) {
    use events_sea_orm::EntityEvents;
    use sea_orm::{ActiveEnum, sea_query::Expr};
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let first = order(&events).await;
    order(&events).await;
    status(first.id, Status::Paid).update_with_event(&connection).await.unwrap();
    let all = |to: Status| {
        order::Entity::update_many_with_events().col_expr(order::Column::Status, Expr::val(to.to_value()))
    };
    // One of the rows may not go there, so none does.
    let error = all(Status::Dropped).exec(&connection).await.unwrap_err();
    assert!(
        matches!(refusal(&error), Refused::Transition(refused) if refused.from == json!("paid")),
        "{error}"
    );
    assert_eq!(types(&db.log().await), ["CREATED", "CREATED", "STATE_CHANGED"]);
    all(Status::Paid).exec(&connection).await.unwrap();
    all(Status::Sent).exec(&connection).await.unwrap();
    let asked = order::Entity::update_many_with_events()
        .col_expr(order::Column::Approval, Expr::val(Approval::Given.to_value()));
    asked.exec(&connection).await.unwrap();
    let asked = order::Entity::update_many_with_events()
        .col_expr(order::Column::Approval, Expr::val(Approval::Denied.to_value()));
    asked.exec(&connection).await.unwrap();
    let log = db.log().await;
    assert_eq!(log.len(), 10);
    assert!(log[8..].iter().all(|row| row.event_data["undeclared"] == true));
}
