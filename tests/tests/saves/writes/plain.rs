//! Saves of plain active models, where there is nothing to save or nothing to find.

use std::sync::Arc;

use events_sea_orm::{ActiveModelEvents, EventTransaction, Refused, ScopeError};
use sea_orm::{
    ActiveModelBehavior, ActiveModelTrait, ActiveValue, ColumnTrait, ConnectionTrait, DbErr, EntityTrait,
    IntoActiveModel, ModelTrait, QueryFilter, Set, TransactionTrait, Unchanged, sea_query::Expr,
};
use serde_json::json;
use tests::{TestDb, context, entities::campaign, new_campaign, refusal};

use crate::writes::{assert_unannounced, entities::tick, log_after, set_up, told};

tests::conformance! {
    saves_on_a_connection_name_the_call,
    saves_outside_are_refused,
    saves_with_nothing_set,
    saves_of_missing_rows,
    inserts_that_the_database_refuses,
    announced_saves_hide_no_other_rows,
    hooks_called_by_hand,
}

fn assert_needs_unit<T: std::fmt::Debug>(result: Result<T, DbErr>, wanted: &str) {
    let error = result.unwrap_err();
    match refusal(&error) {
        Refused::NeedsUnit { object_type: "campaign", call } => assert_eq!(*call, wanted),
        other => panic!("{other}"),
    }
}

async fn saves_on_a_connection_name_the_call(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let model = new_campaign("a").create_with_event(&connection).await.unwrap();
    let mut changed = model.clone().into_active_model();
    changed.budget = Set(9);
    assert_needs_unit(new_campaign("b").insert(&connection).await, "create_with_event");
    assert_needs_unit(new_campaign("b").save(&connection).await, "create_with_event");
    assert_needs_unit(changed.clone().update(&connection).await, "update_with_event");
    assert_needs_unit(changed.clone().save(&connection).await, "update_with_event");
    assert_needs_unit(changed.clone().update_without_returning(&connection).await, "update_with_event");
    assert_needs_unit(changed.clone().delete(&connection).await, "delete_with_event");
    assert_needs_unit(model.clone().delete(&connection).await, "delete_with_event");
    changed.update_with_event(&connection).await.unwrap();
    model.into_active_model().delete_with_event(&connection).await.unwrap();
    assert_eq!(told(&db.log().await), ["CREATED campaign", "UPDATED campaign", "DELETED campaign"]);
}

/// On the pool or a plain transaction, without a scope.
async fn saves_outside_are_refused(db: Arc<TestDb>) {
    async fn refuse<C: ConnectionTrait>(db: &C, model: &campaign::Model) {
        let mut changed = model.clone().into_active_model();
        changed.budget = Set(9);
        for error in [
            new_campaign("b").insert(db).await.unwrap_err(),
            new_campaign("b").save(db).await.unwrap_err(),
            changed.clone().update(db).await.unwrap_err(),
            changed.clone().update_without_returning(db).await.unwrap_err(),
            changed.clone().delete(db).await.unwrap_err(),
            model.clone().delete(db).await.unwrap_err(),
        ] {
            assert!(matches!(refusal(&error), Refused::NoContext { .. }), "{error}");
        }
    }
    let events = set_up(&db).await;
    let model = new_campaign("a").create_with_event(&events.connection(context())).await.unwrap();
    refuse(&db.db, &model).await;
    let txn = db.db.begin().await.unwrap();
    refuse(&txn, &model).await;
    txn.commit().await.unwrap();
    assert_eq!(campaign::Entity::find().one(&db.db).await.unwrap().unwrap(), model);
}

fn empty() -> tick::ActiveModel {
    tick::ActiveModel { id: ActiveValue::NotSet, label: ActiveValue::NotSet }
}

/// An insert writes a row of defaults; an update reads, or sends nothing at all.
async fn saves_with_nothing_set(db: Arc<TestDb>) {
    async fn save<C: ConnectionTrait>(db: &C) {
        let inserted = empty().insert(db).await.unwrap();
        let saved = empty().save(db).await.unwrap();
        saved.clone().save(db).await.unwrap();
        saved.update_without_returning(db).await.unwrap();
        inserted.into_active_model().update(db).await.unwrap();
    }
    let events = set_up(&db).await;
    let txn = events.begin(context()).await.unwrap();
    save(&txn).await;
    txn.commit().await.unwrap();
    let log = db.log().await;
    assert_eq!(told(&log), ["CREATED tick", "CREATED tick"]);
    assert_eq!(log[0].event_data, json!({"initial_values": {"label": null}}));

    empty().create_with_event(&events.connection(context())).await.unwrap();
    assert_eq!(told(&log_after(&db, 2).await), ["CREATED tick"]);

    // SeaORM calls no after-hook for `update_without_returning`, not even where it sends nothing.
    let scope = events.scope(context(), async {
        let txn = db.db.begin().await.unwrap();
        save(&txn).await;
        txn.commit().await.unwrap();
    });
    let Err(ScopeError::Unfinished { objects, .. }) = scope.await else { panic!("must be an error") };
    assert_eq!(objects.len(), 1, "{objects:?}");
    assert_eq!(told(&log_after(&db, 3).await), ["CREATED tick", "CREATED tick"]);
}

async fn saves_of_missing_rows(db: Arc<TestDb>) {
    async fn save<C: ConnectionTrait>(db: &C) {
        let missing = || tick::ActiveModel { id: Unchanged(9_999), label: Set(Some("x".to_owned())) };
        assert!(matches!(missing().update(db).await, Err(DbErr::RecordNotUpdated)));
        assert!(matches!(missing().save(db).await, Err(DbErr::RecordNotUpdated)));
        assert!(matches!(missing().update_without_returning(db).await, Err(DbErr::RecordNotUpdated)));
        let unset = tick::ActiveModel { id: Unchanged(9_999), label: ActiveValue::NotSet };
        unset.update(db).await.unwrap_err();
        assert_eq!(missing().delete(db).await.unwrap().rows_affected, 0);
        assert_eq!(tick::Model { id: 9_999, label: None }.delete(db).await.unwrap().rows_affected, 0);
    }
    let events = set_up(&db).await;
    let txn = events.begin(context()).await.unwrap();
    save(&txn).await;
    empty().insert(&txn).await.unwrap();
    txn.commit().await.unwrap();
    let connection = events.connection(context());
    let missing = || tick::ActiveModel { id: Unchanged(9_999), label: Set(Some("x".to_owned())) };
    assert!(matches!(missing().update_with_event(&connection).await, Err(DbErr::RecordNotUpdated)));
    assert_eq!(missing().delete_with_event(&connection).await.unwrap().rows_affected, 0);
    assert_eq!(told(&db.log().await), ["CREATED tick"]);

    // A delete that finds the same row missing takes the place of the saves that failed.
    let scope = events.scope(context(), async {
        let txn = db.db.begin().await.unwrap();
        save(&txn).await;
        txn.commit().await.unwrap();
    });
    scope.await.unwrap();
    let scope = events.scope(context(), async {
        let txn = db.db.begin().await.unwrap();
        assert!(matches!(missing().update(&txn).await, Err(DbErr::RecordNotUpdated)));
    });
    assert!(matches!(scope.await, Err(ScopeError::Unfinished { .. })));
    assert_eq!(db.log().await.len(), 1);
}

/// A key that is taken: the unit goes, a scope names the save.
async fn inserts_that_the_database_refuses(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let taken = empty().create_with_event(&connection).await.unwrap();
    let again = || tick::ActiveModel { id: Set(taken.id), label: Set(None) };
    let txn = events.begin(context()).await.unwrap();
    again().insert(&txn).await.unwrap_err();
    assert!(txn.commit().await.is_err());
    again().create_with_event(&connection).await.unwrap_err();
    let scope = events.scope(context(), async {
        let txn = db.db.begin().await.unwrap();
        again().insert(&txn).await.unwrap_err();
    });
    assert!(matches!(scope.await, Err(ScopeError::Unfinished { .. })));
    assert_eq!(told(&db.log().await), ["CREATED tick"]);
}

/// Hooks that were called and whose save was not sent, as by a caller's own hand: a bulk call cannot pass for it.
async fn announced_saves_hide_no_other_rows(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let new = |label: &str| tick::ActiveModel { label: Set(Some(label.to_owned())), ..empty() };
    let announce = async |txn: &EventTransaction, label: &str| {
        <tick::ActiveModel as ActiveModelBehavior>::before_save(new(label), txn, true).await.unwrap();
    };
    let txn = events.begin(context()).await.unwrap();
    announce(&txn, "a").await;
    let many = tick::Entity::insert_many([new("a"), new("b")]);
    assert_unannounced(many.exec_without_returning(&txn).await);
    txn.commit().await.unwrap();

    let txn = events.begin(context()).await.unwrap();
    announce(&txn, "a").await;
    announce(&txn, "b").await;
    let many = tick::Entity::insert_many([new("a"), new("b")]).exec_without_returning(&txn).await;
    assert!(matches!(refusal(&many.unwrap_err()), Refused::UnexpectedRow { .. }));
    assert!(txn.commit().await.is_err());
    assert!(tick::Entity::find().one(&db.db).await.unwrap().is_none());

    let connection = events.connection(context());
    for label in ["a", "b"] {
        new(label).create_with_event(&connection).await.unwrap();
    }
    let txn = events.begin(context()).await.unwrap();
    let first = tick::ActiveModel { id: Unchanged(1), label: Set(Some("c".to_owned())) };
    <tick::ActiveModel as ActiveModelBehavior>::before_save(first, &txn, false).await.unwrap();
    let label = Expr::value(Some("c".to_owned()));
    let many =
        tick::Entity::update_many().col_expr(tick::Column::Label, label).filter(tick::Column::Id.gte(1));
    assert!(matches!(refusal(&many.exec(&txn).await.unwrap_err()), Refused::UnexpectedRow { .. }));
    assert!(txn.commit().await.is_err());
    assert_eq!(told(&db.log().await), ["CREATED tick", "CREATED tick"]);
}

/// After-hooks do nothing in a unit, where the statement was recorded, and refuse where nothing was.
async fn hooks_called_by_hand(db: Arc<TestDb>) {
    type Hooks = tick::ActiveModel;
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let model = empty().create_with_event(&connection).await.unwrap();
    let txn = events.begin(context()).await.unwrap();
    Hooks::after_save(model.clone(), &txn, false).await.unwrap();
    model.clone().into_active_model().after_delete(&txn).await.unwrap();
    txn.commit().await.unwrap();
    for error in [
        Hooks::after_save(model.clone(), &connection, false).await.unwrap_err(),
        model.clone().into_active_model().after_delete(&connection).await.unwrap_err(),
        Hooks::after_save(model.clone(), &db.db, false).await.unwrap_err(),
    ] {
        assert!(matches!(refusal(&error), Refused::NoBeforeHook { .. }), "{error}");
    }
    let error = model.into_active_model().before_delete(&connection).await.unwrap_err();
    assert!(matches!(refusal(&error), Refused::NeedsUnit { .. }), "{error}");
    assert_eq!(db.log().await.len(), 1);
}
