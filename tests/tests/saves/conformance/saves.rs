//! Which events a save leaves.

use events_sea_orm::EntityEvents;
use sea_orm::{RuntimeErr, SqlErr, sqlx};

use super::*;

tests::conformance! {
    saves_leave_events,
    unchanged_and_missing_rows_leave_none,
    old_is_what_the_database_held,
    update_without_returning_leaves_the_same_event,
    one_event_for_plain_fields_and_one_for_each_state,
    reason_and_track_fields,
    state_transition_with_reason,
    own_hooks_run_in_order,
    composite_key_and_new_format,
    redacted_values_are_nowhere,
    a_withheld_error_says_what_it_is,
    save_decides_by_the_key,
    order_is_kept_where_nothing_is_returned,
    large_and_odd_payloads_are_kept,
    fields_are_chosen_by_either_name,
    reason_with_nul_is_refused_before_it_is_sent,
    reason_is_for_the_save_that_was_given_it,
    names_and_identifiers_go_to_their_limits,
    a_long_key_names_its_object,
    null_is_a_value,
    hook_that_writes_is_part_of_the_unit,
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

/// Handlers of an application ask the error what it is: SeaORM's `sql_err`, or the driver's own type. They still find it.
async fn a_withheld_error_says_what_it_is(db: Arc<TestDb>) {
    const SECRET: &str = "s3cr3t-that-is-taken";
    let events = set_up(&db).await;
    db.db
        .execute_unprepared(
            "CREATE TABLE badges (api_key varchar(50), FOREIGN KEY (api_key) REFERENCES campaigns (api_key))",
        )
        .await
        .unwrap();
    let connection = events.connection(context());
    let model = campaign::ActiveModel { api_key: Set(SECRET.to_owned()), ..new_campaign("a") };
    let model = model.create_with_event(&connection).await.unwrap();
    let badge = format!("INSERT INTO badges (api_key) VALUES ('{SECRET}')");
    db.db.execute_unprepared(&badge).await.unwrap();

    let double = || campaign::ActiveModel { api_key: Set(SECRET.to_owned()), ..new_campaign("b") };
    let txn = events.begin(context()).await.unwrap();
    let in_a_unit = double().insert(&txn).await.unwrap_err();
    txn.rollback().await.unwrap();
    let taken = [
        in_a_unit,
        double().create_with_event(&connection).await.unwrap_err(),
        campaign::Entity::insert_many_with_events([double()]).exec(&connection).await.unwrap_err(),
    ];
    for error in taken {
        let said = format!("{error} {error:?} {:?}", error.sql_err());
        let found = matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(text)) if text.contains("api_key"));
        assert!(found && !said.contains(SECRET), "{said}");
        assert!(is_of_the_driver(&error), "{said}");
    }

    let error = model.into_active_model().delete_with_event(&connection).await.unwrap_err();
    let said = format!("{error} {error:?} {:?}", error.sql_err());
    assert!(matches!(error.sql_err(), Some(SqlErr::ForeignKeyConstraintViolation(_))), "{said}");
    assert!(!said.contains(SECRET), "{said}");
}

/// Whether a downcast finds the driver's own error, its code or number with it.
fn is_of_the_driver(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) = error
    else {
        return false;
    };
    let error = error.as_database_error().expect("the database's");
    let postgres = error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>();
    let mysql = error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>();
    let sqlite = error.try_downcast_ref::<sqlx::sqlite::SqliteError>();
    postgres.is_some_and(|error| error.code() == "23505")
        || mysql.is_some_and(|error| error.number() == 1062)
        || sqlite.is_some_and(|_| error.code().as_deref() == Some("2067"))
}

/// `save` inserts where a key column is not set, and updates where all are: SeaORM's rule.
async fn save_decides_by_the_key(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let txn = events.begin(context()).await.unwrap();
    let mut active = new_campaign("a").save(&txn).await.unwrap();
    active.budget = Set(5);
    active.save(&txn).await.unwrap();
    // A key that the client assigned counts as an update; there is no row, and nothing is poisoned.
    let price = |cents| price::ActiveModel {
        item: Set(1),
        lang: Set("en".to_owned()),
        r#type: Set("list".to_owned()),
        cents: Set(cents),
        internal: Set(None),
    };
    assert!(matches!(price(1).save(&txn).await, Err(DbErr::RecordNotUpdated)));
    price(1).insert(&txn).await.unwrap();
    price(2).save(&txn).await.unwrap();
    txn.commit().await.unwrap();
    let log = db.log().await;
    assert_eq!(types(&log), ["CREATED", "UPDATED", "CREATED", "UPDATED"]);
    assert_eq!(log[3].event_data, json!({"changes": {"cents_value": {"old": 1, "new": 2}}}));
}

async fn large_and_odd_payloads_are_kept(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let nested = (0..100).fold(json!(1), |inner, _| json!([inner]));
    let payload = json!({
        "large": "\u{1F980}x".repeat(200_000), // 1 MB
        "deep": nested,
        "numbers": [u64::MAX, i64::MIN, 9_007_199_254_740_993_u64, 1e-300, -0.5],
        "": {"null": null, "quotes": "\"'`\\", "newline": "\r\n\t"},
    });
    for count in [1, 6] {
        let txn = events.begin(context()).await.unwrap();
        for _ in 0..count {
            txn.emit(Event::custom("imported").json(payload.clone())).await.unwrap();
        }
        txn.commit().await.unwrap();
    }
    let log = db.log().await;
    assert_eq!(log.len(), 7);
    assert!(log.iter().all(|row| row.event_data == payload));
    let txn = events.begin(context()).await.unwrap();
    let nul = txn.emit(Event::custom("imported").json(json!({"a": ["b\0"]}))).await.unwrap_err();
    assert!(matches!(refusal(&nul), Refused::Value { .. }), "{nul}");
    txn.rollback().await.unwrap();
    // Long ago, far ahead, in another zone, finer than is stored.
    for (at, stored) in [
        ("1999-12-31T23:59:59.123456789+05:30", "1999-12-31T18:29:59.123456+00:00"),
        ("1901-02-03T04:05:06.000007Z", "1901-02-03T04:05:06.000007+00:00"),
        ("2138-01-19T03:14:08Z", "2138-01-19T03:14:08+00:00"),
    ] {
        let at = chrono::DateTime::parse_from_rfc3339(at).unwrap().to_utc();
        // As values, as one statement for all, and as rows of values.
        for count in [1, 6, 1_000] {
            let txn = events.begin(context()).await.unwrap();
            for _ in 0..count {
                txn.emit(Event::custom("imported").occurred_at(at)).await.unwrap();
            }
            txn.commit().await.unwrap();
            let log = db.log().await;
            let of_unit: Vec<_> = log.iter().rev().take(count).collect();
            assert!(of_unit.iter().all(|row| row.occurred_at.to_rfc3339() == stored), "{count} of {at}");
        }
    }
}

/// `update_without_returning` brings no row back: the library reads it before anything else happens.
async fn order_is_kept_where_nothing_is_returned(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let id = insert(&events, "a").await.id;
    let budget =
        |budget| campaign::ActiveModel { id: Unchanged(id), budget: Set(budget), ..Default::default() };
    let txn = events.begin(context()).await.unwrap();
    budget(1).update_without_returning(&txn).await.unwrap();
    txn.emit(Event::custom("between")).await.unwrap();
    budget(2).update_without_returning(&txn).await.unwrap();
    assert_eq!(campaign::Entity::find_by_id(id).one(&txn).await.unwrap().unwrap().budget, 2);
    budget(3).update_without_returning(&txn).await.unwrap();
    let nested = txn.begin().await.unwrap();
    budget(4).update_without_returning(&nested).await.unwrap();
    nested.commit().await.unwrap();
    let lost = txn.begin().await.unwrap();
    budget(5).update_without_returning(&lost).await.unwrap();
    lost.rollback().await.unwrap();
    budget(6).update_without_returning(&txn).await.unwrap();
    txn.commit().await.unwrap();
    let log = db.log().await;
    let news: Vec<_> =
        log[1..].iter().map(|row| row.event_data["changes"]["budget"]["new"].clone()).collect();
    assert_eq!(news, [json!(1), Value::Null, json!(2), json!(3), json!(4), json!(6)]);
    assert_eq!(log[2].event_type, "between");
}

async fn fields_are_chosen_by_either_name(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let price = |item| price::ActiveModel {
        item: Set(item),
        lang: Set("en".to_owned()),
        r#type: Set("list".to_owned()),
        cents: Set(1),
        internal: Set(None),
    };
    price(1).create_with_event(&connection).track_fields(["cents_value"]).await.unwrap();
    let unknown = price(2).create_with_event(&connection).track_fields(["cents_value", "internal"]).await;
    let unknown = unknown.unwrap_err();
    assert!(matches!(refusal(&unknown), Refused::UnknownField { .. }), "a skipped field is not tracked");
    assert!(unknown.to_string().contains("cents_value"), "what there is is told: {unknown}");
    let mut active = price(1);
    active.cents = Set(2);
    active.update_with_event(&connection).track_fields(Vec::<String>::new()).await.unwrap();
    let missing = price(3).update_with_event(&connection).reason("nobody is there").await;
    assert!(matches!(missing, Err(DbErr::RecordNotUpdated)));
    let log = db.log().await;
    assert_eq!(log.len(), 1);
    assert_eq!(log[0].event_data, json!({"initial_values": {"cents_value": 1}}));
    assert_eq!(price::Entity::find().one(&db.db).await.unwrap().unwrap().cents, 2);
}

async fn reason_with_nul_is_refused_before_it_is_sent(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let active = insert(&events, "a").await.into_active_model();
    let txn = events.begin(context()).await.unwrap();
    let live = campaign::Status::Live;
    for error in [
        active.clone().delete_with_event(&txn).reason("a\0b").await.map(drop).unwrap_err(),
        txn.track_state_transition(active.clone(), campaign::Column::Status, live, "\0")
            .await
            .map(drop)
            .unwrap_err(),
    ] {
        assert!(matches!(refusal(&error), Refused::Value { .. }), "{error}");
        assert!(error.to_string().contains("`reason`"), "{error}");
    }
    active.delete_with_event(&txn).reason("it's \"over\"\\ \u{1F980}").await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(db.log().await[1].event_data["reason"], "it's \"over\"\\ \u{1F980}");
}

/// The hook saves another row of the same entity before the one that was given the reason.
async fn reason_is_for_the_save_that_was_given_it(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let folder = |name: &str, parent| folder::ActiveModel {
        parent: Set(parent),
        name: Set(Some(name.to_owned())),
        touched: Set(0),
        ..Default::default()
    };
    let top = folder("top", None).create_with_event(&connection).await.unwrap();
    let active = folder("below", Some(top.id));
    let below = active.create_with_event(&connection).track_fields(["name"]).reason("filed").await.unwrap();
    let log = db.log().await;
    assert_eq!(types(&log), ["CREATED", "UPDATED", "CREATED"]);
    assert_eq!(
        (log[1].event_data.clone(), &log[1].context["reason"]),
        (json!({"changes": {"touched": {"old": 0, "new": 1}}}), &Value::Null)
    );
    assert_eq!(log[2].event_data, json!({"initial_values": {"name": "below"}}));
    assert_eq!(
        (log[2].object_id.clone(), &log[2].context["reason"]),
        (Some(below.id.to_string()), &json!("filed"))
    );
}

async fn names_and_identifiers_go_to_their_limits(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let longest = "\u{1F980}".repeat(191);
    let too_long = format!("{longest}x");
    let object = |id: &str| events_sea_orm::ObjectRef::new("thing", id);
    let name = format!("a{}", "_.9".repeat(62 / 3)) + "zz";
    assert_eq!(name.len(), 63);
    for count in [1, 5] {
        let txn = events.begin(Context::team(&longest).actor(&longest)).await.unwrap();
        for _ in 0..count {
            txn.emit(Event::custom(&name).about(object(&longest))).await.unwrap();
        }
        // An object's identifier may be of any length.
        for id in ["", "a\0b"] {
            let error = txn.emit(Event::custom("x").about(object(id))).await.unwrap_err();
            assert!(matches!(refusal(&error), Refused::Identifier(_)), "{error}");
        }
        for object_type in ["", "a\0b", &too_long] {
            let nameless = events_sea_orm::ObjectRef::new(object_type, "1");
            assert!(txn.emit(Event::custom("x").about(nameless)).await.is_err());
        }
        txn.commit().await.unwrap();
    }
    for actor in ["", "a\0b", &too_long] {
        let error = events.begin(context().actor(actor)).await.unwrap_err();
        assert!(matches!(refusal(&error), Refused::Identifier(_)), "{error}");
    }
    let log = db.log().await;
    assert_eq!(log.len(), 6);
    for row in &log {
        assert_eq!((&row.team_id, row.event_type.as_str()), (&longest, name.as_str()));
        assert_eq!((row.object_id.as_ref(), row.actor_id.as_ref()), (Some(&longest), Some(&longest)));
    }
    // The key of a row is such an identifier too.
    let price = |lang: &str| price::ActiveModel {
        item: Set(1),
        lang: Set(lang.to_owned()),
        r#type: Set("list".to_owned()),
        cents: Set(1),
        internal: Set(None),
    };
    let txn = events.begin(context()).await.unwrap();
    price("it's \"odd\"\n\\").insert(&txn).await.unwrap();
    txn.commit().await.unwrap();
    let last = db.log().await.pop().unwrap();
    assert_eq!(last.object_id.as_deref(), Some(r#"[1,"it's \"odd\"\n\\"]"#));
}

async fn null_is_a_value(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let active =
        folder::ActiveModel { parent: Set(None), name: Set(None), touched: Set(0), ..Default::default() };
    let mut active = active.create_with_event(&connection).await.unwrap().into_active_model();
    active.name = Set(Some("named".to_owned()));
    let mut active = active.update_with_event(&connection).await.unwrap().into_active_model();
    active.name = Set(None);
    active.update_with_event(&connection).await.unwrap();
    let log = db.log().await;
    assert_eq!(log[0].event_data["initial_values"], json!({"name": null, "touched": 0}));
    assert_eq!(log[1].event_data["changes"]["name"], json!({"old": null, "new": "named"}));
    assert_eq!(log[2].event_data["changes"]["name"], json!({"old": "named", "new": null}));
}

async fn hook_that_writes_is_part_of_the_unit(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let txn = events.begin(context()).await.unwrap();
    let mut parent = None;
    for depth in 0..4 {
        let name = Set(Some(depth.to_string()));
        let active = folder::ActiveModel { parent: Set(parent), name, touched: Set(0), ..Default::default() };
        parent = Some(active.insert(&txn).await.unwrap().id);
    }
    let lost = txn.begin().await.unwrap();
    folder::ActiveModel { parent: Set(parent), name: Set(None), touched: Set(0), ..Default::default() }
        .insert(&lost)
        .await
        .unwrap();
    lost.rollback().await.unwrap();
    txn.commit().await.unwrap();
    let log = db.log().await;
    // Each insert touches all rows above it, the top one first.
    assert_eq!(
        types(&log),
        [
            "CREATED", "UPDATED", "CREATED", "UPDATED", "UPDATED", "CREATED", "UPDATED", "UPDATED",
            "UPDATED", "CREATED"
        ]
    );
    let touched: Vec<_> =
        folder::Entity::find().all(&db.db).await.unwrap().iter().map(|row| row.touched).collect();
    assert_eq!(touched, [3, 2, 1, 0]);
    assert_eq!(visit::Entity::find().count(&db.db).await.unwrap(), 0);
}

/// Keys of up to 500 characters: the column that is indexed holds the beginning and a digest, the event the whole.
async fn a_long_key_names_its_object(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let table =
        "CREATE TABLE files (path varchar(500) PRIMARY KEY, size integer NOT NULL, state varchar(20))";
    db.db.execute_unprepared(table).await.unwrap();
    let path = |end: &str| format!("{}{end}", "dir/".repeat(100));
    let connection = events.connection(context());
    let file =
        |path: String| file::ActiveModel { path: Set(path), size: Set(1), state: Set("new".to_owned()) };
    let first = file(path("a")).create_with_event(&connection).await.unwrap();
    let second = file(path("b")).create_with_event(&connection).await.unwrap();
    let long = [path("c"), path("d")].map(file);
    file::Entity::insert_many_with_events(long).exec(&connection).await.unwrap();
    let mut active = first.clone().into_active_model();
    active.state = Set("read".to_owned());
    let first = active.update_with_event(&connection).await.unwrap();
    // A short key in the form of a stored one is no other object's.
    let stored = events_sea_orm::stored_object_id(&first.path).into_owned();
    let forged = file(stored.clone()).create_with_event(&connection).await.unwrap();
    assert_eq!(stored.len(), 191);

    let timeline = connection.timeline(&first).oldest_first().all().await.unwrap();
    assert_eq!(types(&timeline), ["CREATED", "STATE_CHANGED"]);
    assert_eq!(timeline[0].object_id.as_deref(), Some(stored.as_str()));
    let event = timeline[0].to_event().unwrap();
    assert_eq!(event.object, Some(first.object()));
    assert_eq!(event.context.get("object_id"), None, "it stands in the object");
    let by_name = events_sea_orm::ObjectRef::new("file", &second.path);
    assert_eq!(connection.timeline(by_name).count().await.unwrap(), 1);
    assert_eq!(connection.timeline(&forged).count().await.unwrap(), 1);
    assert_eq!(connection.transitions(&first, file::Column::State).await.unwrap().len(), 2);

    let txn = connection.begin().await.unwrap();
    txn.emit(Event::custom("opened").about(&second)).await.unwrap();
    second.delete(&txn).await.unwrap();
    txn.commit().await.unwrap();
    file::Entity::delete_many_with_events().exec(&connection).await.unwrap();
    let log = db.log().await;
    let mut whole: Vec<_> = log.iter().map(|row| row.to_event().unwrap().object.unwrap().object_id).collect();
    assert_eq!(whole.len(), 12);
    whole.sort();
    whole.dedup();
    assert_eq!(whole.len(), 5);
    assert!(log.iter().all(|row| row.object_id.as_ref().is_some_and(|id| id.chars().count() == 191)));
}

mod file {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "files")]
    #[tracked(object_type = "file", team = context)]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub path: String,
        #[track]
        pub size: i32,
        #[track(state)]
        pub state: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}
