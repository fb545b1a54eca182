//! Immediate mode: code that keeps plain transactions.

use super::*;

tests::conformance! {
    scope_records_on_the_connection_of_the_save,
    scope_reports_a_save_without_after_hook,
    scope_refuses_the_pool,
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
