//! SeaORM's calls with `_with_events`: they answer as its own.

use events_sea_orm::EntityEvents;
use sea_orm::{ColumnTrait, QueryFilter, TryInsertResult, sea_query::OnConflict};

use super::*;

tests::conformance! {
    inserts_answer_as_seaorms_do,
    inserts_of_rows_that_are_there_answer_as_seaorms_do,
    inserts_of_many_answer_as_seaorms_do,
    updates_of_one_row_answer_as_seaorms_do,
    deletes_of_one_row_answer_as_seaorms_do,
    saves_answer_active_models,
    drop_ins_refuse_what_saves_refuse,
}

fn price(item: i32, cents: i64) -> price::ActiveModel {
    price::ActiveModel {
        item: Set(item),
        lang: Set("en".to_owned()),
        r#type: Set("list".to_owned()),
        cents: Set(cents),
        internal: Set(None),
    }
}

fn key(item: i32) -> (i32, String) {
    (item, "en".to_owned())
}

async fn inserts_answer_as_seaorms_do(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let id = campaign::Entity::insert_with_events(new_campaign("a")).exec(&connection).await.unwrap();
    let found = campaign::Entity::find_by_id(id.last_insert_id).one(&connection).await.unwrap().unwrap();
    assert_eq!(found.name, "a");
    // A key that the application makes, of two columns.
    let id = price::Entity::insert_with_events(price(1, 10)).exec(&connection).await.unwrap();
    assert_eq!(id.last_insert_id, key(1));
    // Part of a unit.
    let txn = events.begin(context()).await.unwrap();
    let insert = || campaign::Entity::insert_with_events(new_campaign("b")).reason("asked");
    let model = insert().exec_with_returning(&txn).await.unwrap();
    assert_eq!((model.name.as_str(), model.budget), ("b", 100));
    let c = campaign::Entity::insert_with_events(new_campaign("c"));
    assert_eq!(c.exec_without_returning(&txn).await.unwrap(), 1);
    txn.commit().await.unwrap();
    let log = db.log().await;
    assert_eq!(types(&log), ["CREATED"; 4]);
    assert_eq!(log[2].context["reason"], "asked");
    assert_eq!(log[2].event_data["initial_values"]["name"], "b");
    assert_eq!(log[1].object_id.as_deref(), Some("[1,\"en\"]"));
    // What SeaORM makes of a violated key, and the connection goes on.
    let twice = price::Entity::insert_with_events(price(1, 20)).exec(&connection).await.unwrap_err();
    assert!(twice.sql_err().is_some(), "{twice}");
    price::Entity::insert_with_events(price(2, 20)).exec(&connection).await.unwrap();
}

async fn inserts_of_rows_that_are_there_answer_as_seaorms_do(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let insert = |cents| price::Entity::insert_with_events(price(1, cents));
    let by_key = || OnConflict::columns([price::Column::Item, price::Column::Lang]);
    let update = || by_key().update_column(price::Column::Cents).to_owned();
    let first = insert(1).on_conflict(update()).exec(&connection).await.unwrap();
    assert_eq!(first.last_insert_id, key(1));
    let second = insert(2).on_conflict(update()).exec(&connection).await.unwrap();
    assert_eq!(second.last_insert_id, key(1));
    let third = insert(3).on_conflict(update()).exec_with_returning(&connection).await.unwrap();
    assert_eq!(third.cents, 3);
    let kept = insert(4).on_conflict(by_key().do_nothing().to_owned());
    assert!(matches!(kept.exec(&connection).await, Err(DbErr::RecordNotInserted)));
    let kept = insert(4).on_conflict_do_nothing().exec(&connection).await.unwrap();
    assert!(matches!(kept, TryInsertResult::Conflicted));
    let columns = [price::Column::Item, price::Column::Lang];
    let kept = insert(4).on_conflict_do_nothing_on(columns).exec_with_returning(&connection).await.unwrap();
    assert!(matches!(kept, TryInsertResult::Conflicted));
    let came = price::Entity::insert_with_events(price(2, 4)).on_conflict_do_nothing();
    let TryInsertResult::Inserted(came) = came.exec(&connection).await.unwrap() else { panic!("must come") };
    assert_eq!(came.last_insert_id, key(2));
    assert_eq!(types(&db.log().await), ["CREATED", "UPDATED", "UPDATED", "CREATED"]);
}

async fn inserts_of_many_answer_as_seaorms_do(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let many = |items: &[i32]| {
        price::Entity::insert_many_with_events(items.iter().map(|item| price(*item, 1)).collect::<Vec<_>>())
    };
    let none = price::Entity::insert_many_with_events::<price::ActiveModel, _>([]);
    assert_eq!(none.exec(&connection).await.unwrap().last_insert_id, None);
    assert_eq!(many(&[1, 2]).exec(&connection).await.unwrap().last_insert_id, Some(key(2)));
    let keys = many(&[3, 4]).exec_with_returning_keys(&connection).await.unwrap();
    assert_eq!(keys, [key(3), key(4)]);
    assert_eq!(many(&[5, 6]).exec_without_returning(&connection).await.unwrap(), 2);
    let empty = many(&[]).on_conflict_do_nothing().exec(&connection).await.unwrap();
    assert!(matches!(empty, TryInsertResult::Empty));
    let kept = many(&[1, 2]).on_conflict_do_nothing().exec(&connection).await.unwrap();
    assert!(matches!(kept, TryInsertResult::Conflicted));
    let some = many(&[1, 7]).on_conflict_do_nothing().exec(&connection).await.unwrap();
    let TryInsertResult::Inserted(some) = some else { panic!("must come") };
    assert_eq!(some.last_insert_id, key(7));
    let some = many(&[1, 8]).on_conflict_do_nothing().exec_with_returning_keys(&connection).await.unwrap();
    assert!(matches!(some, TryInsertResult::Inserted(keys) if keys == [key(8)]));
    assert_eq!(types(&db.log().await), ["CREATED"; 8]);
    // A key that the database makes.
    let campaigns = ["a", "b"].map(new_campaign);
    let last = campaign::Entity::insert_many_with_events(campaigns).exec(&connection).await.unwrap();
    let last = campaign::Entity::find_by_id(last.last_insert_id.unwrap()).one(&connection).await.unwrap();
    assert_eq!(last.unwrap().name, "b");
}

async fn updates_of_one_row_answer_as_seaorms_do(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let model = insert(&events, "a").await;
    let budget = |budget| campaign::ActiveModel {
        // As an application sets them that takes a row from a form.
        id: Set(model.id),
        team_id: Set(Some(TEAM)),
        budget: Set(budget),
        ..Default::default()
    };
    let update = |cents| campaign::Entity::update_with_events(budget(cents));
    let updated = update(1).reason("asked").exec(&connection).await.unwrap();
    assert_eq!((updated.id, updated.budget), (model.id, 1));
    let updated = update(2).exec_without_returning(&connection).await.unwrap();
    assert_eq!(updated.rows_affected, 1);
    let draft = campaign::Column::Status.eq(campaign::Status::Draft);
    let live = campaign::Column::Status.eq(campaign::Status::Live);
    update(3).validate().unwrap().filter(draft).exec(&connection).await.unwrap();
    let missed = update(4).filter(live).exec(&connection).await;
    assert!(matches!(missed, Err(DbErr::RecordNotUpdated)), "{missed:?}");
    let missing = campaign::ActiveModel { id: Set(-1), budget: Set(1), ..Default::default() };
    let missing = campaign::Entity::update_with_events(missing).exec_without_returning(&connection).await;
    assert!(matches!(missing, Err(DbErr::RecordNotUpdated)), "{missing:?}");
    let keyless = campaign::ActiveModel { budget: Set(1), ..Default::default() };
    let keyless = campaign::Entity::update_with_events(keyless).exec(&connection).await;
    assert!(matches!(keyless, Err(DbErr::PrimaryKeyNotSet { .. })), "{keyless:?}");
    let nothing = campaign::ActiveModel { id: Unchanged(model.id), ..Default::default() };
    let same = campaign::Entity::update_with_events(nothing.clone()).exec(&connection).await.unwrap();
    assert_eq!(same.budget, 3);
    let none = campaign::Entity::update_with_events(nothing).exec_without_returning(&connection).await;
    assert_eq!(none.unwrap().rows_affected, 0);
    let log = db.log().await;
    assert_eq!(types(&log), ["CREATED", "UPDATED", "UPDATED", "UPDATED"]);
    assert_eq!(log[1].context["reason"], "asked");
    assert_eq!(log[3].event_data, json!({"changes": {"budget": {"old": 2, "new": 3}}}));
}

async fn deletes_of_one_row_answer_as_seaorms_do(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let models = [insert(&events, "a").await, insert(&events, "b").await, insert(&events, "c").await];
    let active = |place: usize| models[place].clone().into_active_model();
    let gone = campaign::Entity::delete_with_events(active(0)).exec(&connection).await.unwrap();
    assert_eq!(gone.rows_affected, 1);
    let gone = campaign::Entity::delete_with_events(active(0)).exec(&connection).await.unwrap();
    assert_eq!(gone.rows_affected, 0);
    let live = campaign::Column::Status.eq(campaign::Status::Live);
    let kept = campaign::Entity::delete_by_id_with_events(models[1].id).filter(live);
    assert_eq!(kept.exec(&connection).await.unwrap().rows_affected, 0);
    let gone = campaign::Entity::delete_by_id_with_events(models[1].id).reason("asked");
    assert_eq!(gone.exec_with_returning(&connection).await.unwrap(), Some(models[1].clone()));
    let gone = campaign::Entity::delete_by_id_with_events(models[1].id).exec_with_returning(&connection);
    assert_eq!(gone.await.unwrap(), None);
    let keyless = campaign::Entity::delete_with_events(new_campaign("x")).exec(&connection).await;
    assert!(matches!(keyless, Err(DbErr::PrimaryKeyNotSet { .. })), "{keyless:?}");
    assert_eq!(types(&db.log().await), ["CREATED", "CREATED", "CREATED", "DELETED", "DELETED"]);
    assert_eq!(campaign::Entity::find().all(&connection).await.unwrap(), models[2..]);
}

async fn saves_answer_active_models(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let mut active = new_campaign("a").save_with_event(&connection).await.unwrap();
    assert!(matches!(active.id, Unchanged(_)));
    active.budget = Set(5);
    let active = active.save_with_event(&connection).reason("asked").await.unwrap();
    assert_eq!(active.budget, Unchanged(5));
    let txn = events.begin(context()).await.unwrap();
    let active = campaign::ActiveModel { budget: Set(6), ..active }.save_with_event(&txn).await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(active.budget, Unchanged(6));
    assert_eq!(types(&db.log().await), ["CREATED", "UPDATED", "UPDATED"]);
    let error = new_campaign("b").save(&connection).await.unwrap_err().to_string();
    assert!(error.contains("`.save_with_event(&db)`"), "{error}");
}

async fn drop_ins_refuse_what_saves_refuse(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let model = insert(&events, "a").await;
    let foreign = || campaign::ActiveModel { team_id: Set(Some(8)), ..new_campaign("b") };
    let moved = || campaign::ActiveModel {
        id: Unchanged(model.id),
        team_id: Set(Some(8)),
        budget: Set(1),
        ..Default::default()
    };
    let theirs = events.connection(Context::team(8));
    for error in [
        campaign::Entity::insert_with_events(foreign()).exec(&connection).await.map(drop),
        campaign::Entity::insert_with_events(foreign()).exec_with_returning(&connection).await.map(drop),
        campaign::Entity::update_with_events(moved()).exec(&connection).await.map(drop),
    ] {
        assert!(Refused::of(&error.unwrap_err()).is_some());
    }
    // What another team has is none of theirs.
    let budget = campaign::ActiveModel { team_id: sea_orm::NotSet, ..moved() };
    campaign::Entity::update_with_events(budget).exec(&theirs).await.unwrap_err();
    let deleted = campaign::Entity::delete_by_id_with_events(model.id).exec(&theirs).await;
    assert!(deleted.is_err() || deleted.unwrap().rows_affected == 0);
    assert_eq!(campaign::Entity::find().all(&db.db).await.unwrap(), [model]);
    assert_eq!(types(&db.log().await), ["CREATED"]);
}
