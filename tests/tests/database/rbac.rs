//! A scope over SeaORM's role-based access control.

use std::sync::Arc;

use events_sea_orm::{
    ActiveModelEvents, ConsumerError, Event, EventTransaction, Events, Refused, ScopeError, Tracked,
    stored_object_id,
};
use sea_orm::{
    ActiveModelTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel, Set, TransactionTrait,
    rbac::{RbacContext, RbacUserId},
    sea_query::Expr,
};
use tests::{
    TestDb, context,
    entities::{campaign, price},
    new_campaign, refusal, types,
};

tests::conformance! {
    restricted_transactions_are_recorded,
    long_keys_are_recorded_by_their_digests,
    role_that_may_not_write_events_saves_nothing,
    consumers_need_a_plain_transaction,
    restricted_bulk_calls_are_not_seen,
    access_control_is_written_anywhere,
}

/// User 1 may insert and update campaigns, and events if so said.
async fn set_up(db: &TestDb, events_too: bool) -> Events {
    db.with_tables().await;
    sea_orm::rbac::schema::create_tables(&db.db, Default::default()).await.unwrap();
    let mut rbac = RbacContext::load(&db.db).await.unwrap();
    rbac.add_tables(&db.db, &["campaigns", "prices", "events"]).await.unwrap();
    rbac.add_crud_permissions(&db.db).await.unwrap();
    rbac.add_roles(&db.db, &["editor"]).await.unwrap();
    rbac.assign_user_role(&db.db, &[(1, "editor")]).await.unwrap();
    let actions = ["select", "insert", "update"];
    rbac.add_role_permissions(&db.db, "editor", &actions, &["campaigns", "prices"]).await.unwrap();
    if events_too {
        rbac.add_role_permissions(&db.db, "editor", &["insert"], &["events"]).await.unwrap();
    }
    db.db.load_rbac().await.unwrap();
    Events::builder(db.db.clone()).build().await.unwrap()
}

async fn restricted_transactions_are_recorded(db: Arc<TestDb>) {
    let events = set_up(&db, true).await;
    let work = async {
        let txn = db.db.restricted_for(RbacUserId(1))?.begin().await?;
        let mut active = new_campaign("a").insert(&txn).await?.into_active_model();
        active.budget = Set(5);
        let model = active.update(&txn).await?;
        let denied = model.into_active_model().delete(&txn).await.unwrap_err();
        assert!(matches!(denied, DbErr::AccessDenied { .. }), "{denied}");
        txn.commit().await
    };
    let unfinished = events.scope(context(), work).await.unwrap_err();
    assert!(unfinished.to_string().contains("campaign"), "the delete that was denied: {unfinished}");
    assert_eq!(types(&db.log().await), ["CREATED", "UPDATED"]);
}

async fn long_keys_are_recorded_by_their_digests(db: Arc<TestDb>) {
    let events = set_up(&db, true).await;
    let row =
        price::Model { item: 1, lang: "x".repeat(190), r#type: "net".to_owned(), cents: 7, internal: None };
    let work = async {
        let txn = db.db.restricted_for(RbacUserId(1))?.begin().await?;
        row.clone().into_active_model().insert(&txn).await?;
        txn.commit().await
    };
    events.try_scope(context(), work).await.unwrap();
    let whole = row.object().object_id;
    let stored = db.log().await[0].object_id.clone().unwrap();
    assert_eq!(stored, stored_object_id(&whole));
    assert_ne!(stored, whole);
    assert_eq!(events.connection(context()).timeline(row.object()).count().await.unwrap(), 1);
}

async fn role_that_may_not_write_events_saves_nothing(db: Arc<TestDb>) {
    let events = set_up(&db, false).await;
    let work = async {
        let txn = db.db.restricted_for(RbacUserId(1))?.begin().await?;
        new_campaign("a").insert(&txn).await?;
        txn.commit().await
    };
    // The row was written by then: whoever caught the error of the save must not take the rest for a success.
    let Err(ScopeError::Unfinished { output, objects, .. }) = events.scope(context(), work).await else {
        panic!("must be an error")
    };
    assert!(matches!(output, Err(DbErr::AccessDenied { .. })), "{output:?}");
    assert_eq!(objects, ["a new `campaign`"]);
    assert!(db.log().await.is_empty());
}

async fn idle(_: &EventTransaction, _: &Event) -> Result<(), ConsumerError> {
    Ok(())
}

async fn consumers_need_a_plain_transaction(db: Arc<TestDb>) {
    set_up(&db, true).await;
    let events = Events::builder(db.db.clone()).consumer(idle).build().await.unwrap();
    let work = async {
        let txn = db.db.restricted_for(RbacUserId(1)).unwrap().begin().await.unwrap();
        new_campaign("a").insert(&txn).await.unwrap_err()
    };
    let error = events.scope(context(), work).await.unwrap();
    assert!(matches!(refusal(&error), Refused::NotATransaction { .. }), "{error}");
}

/// They are beside every unit of work, and a scope sees by hooks alone.
async fn restricted_bulk_calls_are_not_seen(db: Arc<TestDb>) {
    let events = set_up(&db, true).await;
    let model = new_campaign("a").create_with_event(&events.connection(context())).await.unwrap();
    let restricted = db.db.restricted_for(RbacUserId(1)).unwrap();
    let rename =
        |name: &str| campaign::Entity::update_many().col_expr(campaign::Column::Name, Expr::value(name));
    let error = new_campaign("b").insert(&restricted).await.unwrap_err();
    assert!(matches!(refusal(&error), Refused::NoContext { .. }), "{error}");
    rename("x").exec(&restricted).await.unwrap();
    let scope = events.scope(context(), async {
        let error = new_campaign("b").insert(&restricted).await.unwrap_err();
        assert!(matches!(refusal(&error), Refused::NotATransaction { .. }), "{error}");
        rename("y").exec(&restricted).await.unwrap();
        let txn = restricted.begin().await.unwrap();
        rename("z").exec(&txn).await.unwrap();
        txn.commit().await.unwrap();
    });
    scope.await.unwrap();
    let now = campaign::Entity::find_by_id(model.id).one(&db.db).await.unwrap().unwrap();
    assert_eq!((now.name.as_str(), types(&db.log().await)), ("z", vec!["CREATED"]));
}

/// SeaORM's own tables of users and roles are like any that nobody tracks; making them is a change of the schema.
async fn access_control_is_written_anywhere(db: Arc<TestDb>) {
    async fn refuse<C: ConnectionTrait>(db: &C) {
        let error = sea_orm::rbac::schema::create_tables(db, Default::default()).await.unwrap_err();
        assert!(matches!(refusal(&error), Refused::Schema), "{error}");
    }
    async fn write<C: TransactionTrait>(mut rbac: RbacContext, db: &C, role: &'static str) {
        rbac.add_tables(db, &[role]).await.unwrap();
        rbac.add_roles(db, &[role]).await.unwrap();
        rbac.assign_user_role(db, &[(2, role)]).await.unwrap();
        rbac.add_role_permissions(db, role, &["select", "delete"], &[role]).await.unwrap();
        rbac.remove_role_permissions(db, role, &["delete"], &[role]).await.unwrap();
        rbac.add_role_hierarchy(db, &[sea_orm::rbac::RbacAddRoleHierarchy { super_role: "editor", role }])
            .await
            .unwrap();
    }
    let events = set_up(&db, true).await;
    refuse(&events.connection(context())).await;
    let load = async || RbacContext::load(&events.connection(context())).await.unwrap();
    write(load().await, &events.connection(context()), "one").await;
    let loaded = load().await;
    let txn = events.begin(context()).await.unwrap();
    refuse(&txn).await;
    write(loaded, &txn, "two").await;
    txn.commit().await.unwrap();
    let loaded = load().await;
    let scope = events.scope(context(), async {
        let txn = db.db.begin().await.unwrap();
        write(loaded, &txn, "three").await;
        txn.commit().await.unwrap();
    });
    scope.await.unwrap();
    assert!(db.log().await.is_empty());
}
