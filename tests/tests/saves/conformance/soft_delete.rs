//! Rows that are marked as deleted and stay.

use chrono::{DateTime, Duration, SubsecRound, Utc};
use sea_orm::prelude::TimeDateTimeWithTimeZone;
use tests::{
    entities::{document, order, page},
    new_order,
};

use super::*;

tests::conformance! {
    setting_the_mark_is_deleted_and_clearing_it_restored,
    other_changes_come_first,
    another_time_is_no_event_unless_tracked,
    a_bool_marks_as_well,
    inserted_with_the_mark,
    a_marked_row_that_goes_is_deleted_once_more,
    helpers_set_the_column_and_save,
    soft_deleting_twice_keeps_the_time,
    helpers_in_units_and_savepoints,
    marks_without_returning,
    marks_in_a_scope,
    marks_of_another_team,
    last_of_three_tells_whether_it_is_there,
    many_at_once,
}

async fn order(events: &Events, name: &str) -> order::Model {
    new_order(name).create_with_event(&events.connection(context())).await.unwrap()
}

fn at(seconds: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(1_700_000_000 + seconds, 0)
}

fn marked(id: i32, gone: Option<DateTime<Utc>>) -> order::ActiveModel {
    order::ActiveModel { id: Unchanged(id), gone: Set(gone), ..Default::default() }
}

const VALUES: &str = r#"{"name": "a", "status": "open", "approval": null}"#;

fn values() -> Value {
    serde_json::from_str(VALUES).unwrap()
}

async fn setting_the_mark_is_deleted_and_clearing_it_restored(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let id = order(&events, "a").await.id;
    marked(id, at(0)).update_with_event(&connection).reason("out").await.unwrap();
    marked(id, at(0)).update_with_event(&connection).await.unwrap();
    marked(id, None).update_with_event(&connection).reason("back").await.unwrap();
    marked(id, None).update_with_event(&connection).await.unwrap();
    let log = db.log().await;
    assert_eq!(types(&log), ["CREATED", "DELETED", "RESTORED"]);
    let deleted = json!({"final_values": values(), "redacted": ["card"], "reason": "out"});
    assert_eq!(log[1].event_data, deleted);
    let restored = json!({"initial_values": values(), "redacted": ["card"], "reason": "back"});
    assert_eq!(log[2].event_data, restored);
    assert_eq!(log[2].context["reason"], "back");
    let data: events_sea_orm::RestoredEventData = log[2].to_event().unwrap().data().unwrap();
    assert_eq!(data.redacted, ["card"]);
}

async fn other_changes_come_first(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let id = order(&events, "a").await.id;
    let change = |name: &str, status, card: &str, gone| order::ActiveModel {
        name: Set(name.to_owned()),
        status: Set(status),
        card: Set(card.to_owned()),
        ..marked(id, gone)
    };
    change("b", order::Status::Paid, "1", at(0)).update_with_event(&connection).await.unwrap();
    change("c", order::Status::Sent, "2", None).update_with_event(&connection).await.unwrap();
    // Only what the caller wants: the mark's event is there all the same.
    marked(id, at(0)).update_with_event(&connection).track_fields(["name"]).await.unwrap();
    let log = db.log().await;
    assert_eq!(
        types(&log)[1..],
        ["UPDATED", "STATE_CHANGED", "DELETED", "UPDATED", "STATE_CHANGED", "RESTORED", "DELETED"]
    );
    let changed = json!({"changes": {"name": {"old": "a", "new": "b"}}, "redacted": ["card"]});
    assert_eq!(log[1].event_data, changed);
    assert_eq!(log[3].event_data["final_values"], json!({"name": "b", "status": "paid", "approval": null}));
    assert_eq!(log[6].event_data["initial_values"], json!({"name": "c", "status": "sent", "approval": null}));
    assert_eq!(log[7].event_data, json!({"final_values": {"name": "c"}}));
    assert!(!format!("{log:?}").contains("card-a"));
}

async fn another_time_is_no_event_unless_tracked(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let id = order(&events, "a").await.id;
    marked(id, at(0)).update_with_event(&connection).await.unwrap();
    marked(id, at(60)).update_with_event(&connection).await.unwrap();
    assert_eq!(types(&db.log().await), ["CREATED", "DELETED"]);

    let hidden =
        |seconds: i64| TimeDateTimeWithTimeZone::from_unix_timestamp(1_700_000_000 + seconds).unwrap();
    let page = page::ActiveModel { title: Set("p".to_owned()), ..Default::default() };
    let page = page.create_with_event(&connection).await.unwrap();
    for seconds in [Some(0), Some(60), None] {
        let mut active = page.clone().into_active_model();
        active.hidden_at = Set(seconds.map(hidden));
        active.update_with_event(&connection).await.unwrap();
    }
    let log = db.log().await;
    assert_eq!(types(&log)[2..], ["CREATED", "DELETED", "UPDATED", "RESTORED"]);
    let (first, second) = ("2023-11-14T22:13:20.000000Z", "2023-11-14T22:14:20.000000Z");
    // The mark's own change stands in one event only: in the values of DELETED and RESTORED.
    assert_eq!(log[3].event_data, json!({"final_values": {"title": "p", "hidden": first}}));
    assert_eq!(log[4].event_data, json!({"changes": {"hidden": {"old": first, "new": second}}}));
    assert_eq!(log[5].event_data, json!({"initial_values": {"title": "p", "hidden": null}}));
}

async fn a_bool_marks_as_well(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let new = document::ActiveModel { title: Set("d".to_owned()), ..Default::default() };
    let document = new.create_with_event(&connection).await.unwrap();
    assert_eq!(document.removed, None);
    // NULL and false alike mean that it is there.
    for removed in [Some(false), Some(true), Some(true), None, Some(true), Some(false)] {
        let mut active = document.clone().into_active_model();
        active.removed = Set(removed);
        active.update_with_event(&connection).await.unwrap();
    }
    let document = document.into_active_model().soft_delete_with_event(&connection).await.unwrap();
    assert_eq!(document.removed, Some(true));
    let document = document.into_active_model().restore_with_event(&connection).await.unwrap();
    assert_eq!(document.removed, Some(false));
    let passages = ["DELETED", "RESTORED", "DELETED", "RESTORED", "DELETED", "RESTORED"];
    assert_eq!(types(&db.log().await)[1..], passages);
}

async fn inserted_with_the_mark(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let mut active = new_order("a");
    active.gone = Set(at(0));
    let txn = events.begin(context()).await.unwrap();
    active.insert(&txn).await.unwrap();
    txn.commit().await.unwrap();
    let log = db.log().await;
    assert_eq!(types(&log), ["CREATED", "DELETED"]);
    assert_eq!(log[0].event_data["initial_values"], values());
    assert_eq!(log[1].event_data["final_values"], values());
    assert_eq!(log[0].unit_id, log[1].unit_id);
}

async fn a_marked_row_that_goes_is_deleted_once_more(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let model = order(&events, "a").await;
    let model = model.into_active_model().soft_delete_with_event(&connection).await.unwrap();
    model.into_active_model().delete_with_event(&connection).await.unwrap();
    assert_eq!(types(&db.log().await), ["CREATED", "DELETED", "DELETED"]);
    assert_eq!(order::Entity::find().count(&db.db).await.unwrap(), 0);
}

async fn helpers_set_the_column_and_save(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let model = order(&events, "a").await;
    let before = Utc::now().trunc_subsecs(0) - Duration::seconds(1);
    let mut active = model.into_active_model();
    active.name = Set("b".to_owned());
    active.gone = Set(at(0)); // what the caller set there does not count
    let model = active.soft_delete_with_event(&connection).reason("out").await.unwrap();
    let gone = model.gone.unwrap();
    assert!(before <= gone && gone <= Utc::now() + Duration::seconds(1), "{gone}");
    assert_eq!(gone.timestamp_subsec_nanos() % 1_000, 0);
    let stored = order::Entity::find_by_id(model.id).one(&db.db).await.unwrap().unwrap();
    assert_eq!(stored, model);
    let model = model.into_active_model().restore_with_event(&connection).reason("back").await.unwrap();
    assert_eq!(model.gone, None);
    model.into_active_model().restore_with_event(&connection).await.unwrap(); // it is there already
    let log = db.log().await;
    assert_eq!(types(&log), ["CREATED", "UPDATED", "DELETED", "RESTORED"]);
    assert_eq!((&log[2].event_data["reason"], &log[3].event_data["reason"]), (&json!("out"), &json!("back")));
    let missing = || order::ActiveModel { id: Set(9_999), ..Default::default() };
    for error in [
        missing().soft_delete_with_event(&connection).await.unwrap_err(),
        missing().restore_with_event(&connection).await.unwrap_err(),
    ] {
        assert!(matches!(error, DbErr::RecordNotUpdated), "{error}");
    }
    assert!(missing().soft_delete_with_event(&connection).track_fields(["nothing"]).await.is_err());
    assert_eq!(db.log().await.len(), 4);
}

async fn soft_deleting_twice_keeps_the_time(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let alive = order(&events, "a").await;
    marked(alive.id, at(0)).update_with_event(&connection).await.unwrap();
    // The caller's copy is stale and says that the row is alive.
    let model = alive.clone().into_active_model().soft_delete_with_event(&connection).await.unwrap();
    assert_eq!(model.gone, at(0));
    let mut active = alive.into_active_model();
    active.name = Set("b".to_owned()); // saved all the same
    let model = active.soft_delete_with_event(&connection).await.unwrap();
    assert_eq!((model.gone, model.name.as_str()), (at(0), "b"));
    assert_eq!(types(&db.log().await), ["CREATED", "DELETED", "UPDATED"]);
}

async fn helpers_in_units_and_savepoints(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let model = order(&events, "a").await;
    let txn = events.begin(context()).await.unwrap();
    let lost = txn.begin().await.unwrap();
    model.clone().into_active_model().soft_delete_with_event(&lost).await.unwrap();
    lost.rollback().await.unwrap();
    let kept = txn.begin().await.unwrap();
    let gone = model.clone().into_active_model().soft_delete_with_event(&kept).await.unwrap();
    let back = gone.into_active_model().restore_with_event(&kept).await.unwrap();
    kept.commit().await.unwrap();
    let gone = back.into_active_model().soft_delete_with_event(&txn).reason("end").await.unwrap();
    assert!(gone.gone.is_some());
    txn.commit().await.unwrap();
    let log = db.log().await;
    assert_eq!(types(&log), ["CREATED", "DELETED", "RESTORED", "DELETED"]);
    assert_eq!(log[3].event_data["reason"], "end");
    // At once from several sides: one of them deletes it.
    let other = order(&events, "b").await;
    let connection = events.connection(context());
    let saves =
        (0..8).map(|_| other.clone().into_active_model().soft_delete_with_event(&connection).into_future());
    for saved in futures_util::future::join_all(saves).await {
        saved.unwrap();
    }
    assert_eq!(types(&db.log().await)[4..], ["CREATED", "DELETED"]);
}

async fn marks_without_returning(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let id = order(&events, "a").await.id;
    let txn = events.begin(context()).await.unwrap();
    marked(id, at(0)).update_without_returning(&txn).await.unwrap();
    marked(id, at(60)).update_without_returning(&txn).await.unwrap();
    marked(id, None).update_without_returning(&txn).await.unwrap();
    txn.commit().await.unwrap();
    let log = db.log().await;
    assert_eq!(types(&log), ["CREATED", "DELETED", "RESTORED"]);
    assert_eq!(log[1].event_data["final_values"], values());
    assert_eq!(log[2].event_data["initial_values"], values());
}

async fn marks_in_a_scope(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let pool = &db.db;
    let work = async {
        let txn = pool.begin().await?;
        let mut model = new_order("a").insert(&txn).await?;
        for gone in [at(0), at(60), None] {
            let mut active = model.into_active_model();
            active.gone = Set(gone);
            model = active.update(&txn).await?;
        }
        let mut marked = new_order("b");
        marked.gone = Set(at(0));
        marked.insert(&txn).await?.delete(&txn).await?;
        txn.commit().await
    };
    events.scope(context(), work).await.unwrap().unwrap();
    let log = db.log().await;
    assert_eq!(types(&log), ["CREATED", "DELETED", "RESTORED", "CREATED", "DELETED", "DELETED"]);
    assert_eq!(log[2].event_data["initial_values"], values());
}

async fn marks_of_another_team(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let alive = order(&events, "a").await;
    let gone = order(&events, "b").await;
    let gone = gone.into_active_model().soft_delete_with_event(&events.connection(context())).await.unwrap();
    let foreign = events.connection(Context::team(8));
    for error in [
        alive.clone().into_active_model().soft_delete_with_event(&foreign).await.unwrap_err(),
        gone.clone().into_active_model().soft_delete_with_event(&foreign).await.unwrap_err(),
        gone.clone().into_active_model().restore_with_event(&foreign).await.unwrap_err(),
    ] {
        assert!(matches!(error, DbErr::RecordNotUpdated), "{error}");
    }
    assert_eq!(order::Entity::find_by_id(alive.id).one(&db.db).await.unwrap().unwrap(), alive);
    let every = events.connection(Context::all_teams("job", "tidy"));
    alive.into_active_model().soft_delete_with_event(&every).await.unwrap();
    let log = db.log().await;
    assert_eq!(types(&log), ["CREATED", "CREATED", "DELETED", "DELETED"]);
    assert!(log.iter().all(|row| row.team_id == TEAM.to_string()));
}

/// Random histories: whoever reads the last CREATED, DELETED or RESTORED of an object knows whether its row counts.
async fn last_of_three_tells_whether_it_is_there(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let mut random = 7_u64;
    let mut next = |n: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % n
    };
    let txn = sea_orm::TransactionTrait::begin(&connection).await.unwrap();
    let mut ids = Vec::new();
    for step in 0..120 {
        let gone = if next(2) == 0 { at(step) } else { None };
        if ids.is_empty() || next(4) == 0 {
            let mut active = new_order(&step.to_string());
            active.gone = Set(gone);
            ids.push(active.insert(&txn).await.unwrap().id);
            continue;
        }
        let id = ids[next(ids.len() as u64) as usize];
        match next(6) {
            0 => drop(order::ActiveModel { id: Set(id), ..Default::default() }.delete(&txn).await.unwrap()),
            1 => drop(marked(id, None).soft_delete_with_event(&txn).await),
            2 => drop(marked(id, None).restore_with_event(&txn).await),
            _ => drop(marked(id, gone).update(&txn).await),
        }
    }
    txn.commit().await.unwrap();
    let mut there = std::collections::BTreeMap::new();
    for row in db.log().await {
        let is_there = match row.event_type.as_str() {
            "CREATED" | "RESTORED" => true,
            "DELETED" => false,
            _ => continue,
        };
        there.insert(row.object_id.unwrap().parse::<i32>().unwrap(), is_there);
    }
    let rows = order::Entity::find().all(&db.db).await.unwrap();
    for id in ids {
        let row = rows.iter().find(|row| row.id == id);
        assert_eq!(there[&id], row.is_some_and(|row| row.gone.is_none()), "{id}");
    }
}

async fn many_at_once(db: Arc<TestDb>) {
    use events_sea_orm::EntityEvents;
    use sea_orm::{ColumnTrait, QueryFilter, sea_query::Expr};
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let new = [None, at(0), None].map(|gone| order::ActiveModel { gone: Set(gone), ..new_order("a") });
    order::Entity::insert_many_with_events(new).exec(&connection).await.unwrap();
    let mark = |gone: Option<DateTime<Utc>>| {
        order::Entity::update_many_with_events().col_expr(order::Column::Gone, Expr::val(gone))
    };
    mark(at(60)).filter(order::Column::Name.eq("a")).reason("all").exec(&connection).await.unwrap();
    mark(None).filter(order::Column::Gone.is_not_null()).exec(&connection).await.unwrap();
    let log = db.log().await;
    assert_eq!(
        types(&log),
        [
            "CREATED", "CREATED", "DELETED", "CREATED", "DELETED", "DELETED", "RESTORED", "RESTORED",
            "RESTORED"
        ]
    );
    assert_eq!(log[4].event_data, json!({"final_values": values(), "redacted": ["card"], "reason": "all"}));
}
