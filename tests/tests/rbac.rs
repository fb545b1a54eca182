//! A scope over SeaORM's role-based access control.

use std::sync::Arc;

use events_sea_orm::{ConsumerError, Event, EventTransaction, Events, Refused, ScopeError};
use sea_orm::{
    ActiveModelTrait, DbErr, IntoActiveModel, Set, TransactionTrait,
    rbac::{RbacContext, RbacUserId},
};
use tests::{TestDb, context, new_campaign, refusal, types};

tests::conformance! {
    restricted_transactions_are_recorded,
    role_that_may_not_write_events_saves_nothing,
    consumers_need_a_plain_transaction,
}

/// User 1 may insert and update campaigns, and events if so said.
async fn set_up(db: &TestDb, events_too: bool) -> Events {
    db.with_tables().await;
    sea_orm::rbac::schema::create_tables(&db.db, Default::default()).await.unwrap();
    let mut rbac = RbacContext::load(&db.db).await.unwrap();
    rbac.add_tables(&db.db, &["campaigns", "events"]).await.unwrap();
    rbac.add_crud_permissions(&db.db).await.unwrap();
    rbac.add_roles(&db.db, &["editor"]).await.unwrap();
    rbac.assign_user_role(&db.db, &[(1, "editor")]).await.unwrap();
    let actions = ["select", "insert", "update"];
    rbac.add_role_permissions(&db.db, "editor", &actions, &["campaigns"]).await.unwrap();
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

async fn role_that_may_not_write_events_saves_nothing(db: Arc<TestDb>) {
    let events = set_up(&db, false).await;
    let work = async {
        let txn = db.db.restricted_for(RbacUserId(1))?.begin().await?;
        new_campaign("a").insert(&txn).await?;
        txn.commit().await
    };
    // The row was written by then: whoever caught the error of the save must not take the rest for a success.
    let Err(ScopeError::Unfinished { output, objects }) = events.scope(context(), work).await else {
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
