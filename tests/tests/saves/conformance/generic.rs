//! Code that knows SeaORM's traits and nothing of this library.

use futures_util::TryStreamExt;
use sea_orm::{DatabaseBackend, DatabaseExecutor, MockDatabase, StreamTrait, TransactionError};
use tests::entities::{project, task};

use super::*;

tests::conformance! {
    services_over_the_traits_need_no_change,
    callback_transactions_commit_and_roll_back,
    nested_active_models_are_one_unit,
    rows_are_streamed,
    error_in_a_stream_poisons,
    executors_are_accepted_in_a_scope,
    spawned_task_has_no_context,
}

/// A row that a mock answers.
fn answered() -> campaign::Model {
    campaign::Model {
        id: 1,
        team_id: Some(TEAM),
        name: "a".to_owned(),
        status: campaign::Status::Draft,
        budget: 100,
        api_key: "key-a".to_owned(),
        notes: None,
    }
}

#[tokio::test]
async fn hooks_are_inert_on_a_mock_database() {
    let row = answered();
    let mock = MockDatabase::new(DatabaseBackend::Postgres).append_query_results([[row.clone()]]);
    assert_eq!(new_campaign("a").insert(&mock.into_connection()).await.unwrap(), row);
}

/// The mock answers the locked row and the row that SeaORM's own statement returns: no columns of the library's own.
#[tokio::test]
async fn a_unit_on_a_mock_asks_for_nothing_of_its_own() {
    let old = answered();
    let new = campaign::Model { budget: 200, ..old.clone() };
    for backend in [DatabaseBackend::Postgres, DatabaseBackend::Sqlite] {
        let written = sea_orm::MockExecResult { last_insert_id: 0, rows_affected: 1 };
        let mock = MockDatabase::new(backend)
            .append_query_results([[old.clone()], [new.clone()]])
            .append_exec_results([written]);
        let events = Events::builder(mock.into_connection()).build().await.unwrap();
        let txn = events.begin(context()).await.unwrap();
        let mut active = old.clone().into_active_model();
        active.budget = Set(200);
        assert_eq!(active.update(&txn).await.unwrap(), new);
        txn.commit().await.unwrap();
    }
}

/// SeaORM says of no transaction that it is a mock's. So a save in a plain one is refused as on any database, before it uses up
/// an answer of the mock; a unit of work and a scope record it, and the mock answers what they send.
#[tokio::test]
async fn transactions_of_a_mock_need_a_context() {
    let row = answered();
    let written = sea_orm::MockExecResult { last_insert_id: 0, rows_affected: 1 };
    let mock = || {
        MockDatabase::new(DatabaseBackend::Postgres)
            .append_query_results([[row.clone()], [row.clone()]])
            .append_exec_results([written.clone()])
            .into_connection()
    };
    let plain = mock().begin().await.unwrap();
    assert!(!plain.is_mock_connection());
    let error = new_campaign("a").insert(&plain).await.unwrap_err();
    assert!(matches!(refusal(&error), Refused::NoContext { .. }), "{error}");
    assert_eq!(
        campaign::Entity::find().one(&plain).await.unwrap(),
        Some(row.clone()),
        "no answer is used up"
    );

    let db = mock();
    let events = Events::builder(db.clone()).build().await.unwrap();
    let txn = events.connection(context()).begin().await.unwrap();
    assert_eq!(new_campaign("a").insert(&txn).await.unwrap(), row);
    txn.commit().await.unwrap();
    assert!(format!("{:?}", db.into_transaction_log()).contains("INSERT INTO \\\"events\\\""));

    let db = mock();
    let events = Events::builder(db.clone()).build().await.unwrap();
    let saved = events.scope(context(), async {
        let txn = db.begin().await?;
        let saved = new_campaign("a").insert(&txn).await?; // and the row is read for its event
        txn.commit().await?;
        Ok::<_, DbErr>(saved)
    });
    assert_eq!(saved.await.unwrap().unwrap(), row);
    assert!(format!("{:?}", db.into_transaction_log()).contains("INSERT INTO \\\"events\\\""));
}

async fn raise(db: &impl ConnectionTrait, id: i32, budget: i64) -> Result<campaign::Model, DbErr> {
    let mut active = campaign::Entity::find_by_id(id).one(db).await?.unwrap().into_active_model();
    active.budget = Set(budget);
    active.update(db).await
}

/// What a service does that opens its own transaction.
async fn raise_twice<C: TransactionTrait>(db: &C, id: i32) -> Result<(), DbErr>
where
    C::Transaction: ConnectionTrait + sea_orm::TransactionSession,
{
    let txn = db.begin().await?;
    raise(&txn, id, 1).await?;
    raise(&txn, id, 2).await?;
    sea_orm::TransactionSession::commit(txn).await
}

async fn services_over_the_traits_need_no_change(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let id = insert(&events, "a").await.id;
    let connection = events.connection(context());
    raise_twice(&connection, id).await.unwrap();
    let txn = connection.begin().await.unwrap();
    raise_twice(&txn, id).await.unwrap(); // a nested unit
    events_sea_orm::emit_event(
        &txn,
        events_sea_orm::EventType::custom("raised").unwrap(),
        events_sea_orm::ObjectRef::new("campaign", id),
        json!({"times": 2}),
    )
    .await
    .unwrap();
    txn.commit().await.unwrap();
    assert_eq!(types(&db.log().await), ["CREATED", "UPDATED", "UPDATED", "UPDATED", "UPDATED", "raised"]);
    let refused = raise(&connection, id, 3).await.unwrap_err();
    assert!(refused.to_string().contains("update_with_event"), "{refused}");
}

async fn callback_transactions_commit_and_roll_back(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let id = insert(&events, "a").await.id;
    let connection = events.connection(context());
    connection
        .transaction::<_, _, DbErr>(|txn| Box::pin(async move { raise(txn, id, 5).await }))
        .await
        .unwrap();
    let failed = connection.transaction::<_, (), DbErr>(|txn| {
        Box::pin(async move {
            raise(txn, id, 6).await?;
            Err(DbErr::Custom("no".to_owned()))
        })
    });
    assert!(matches!(failed.await, Err(TransactionError::Transaction(_))));
    let result: Result<(), DbErr> = events
        .transaction(context(), async |txn| {
            raise(txn, id, 7).await?;
            Err(DbErr::Custom("no".to_owned()))
        })
        .await;
    result.unwrap_err();
    events.transaction(context(), async |txn| raise(txn, id, 8).await).await.unwrap();
    let log = db.log().await;
    assert_eq!(types(&log), ["CREATED", "UPDATED", "UPDATED"]);
    assert_eq!(log[2].event_data["changes"]["budget"], json!({"old": 5, "new": 8}));
}

async fn nested_active_models_are_one_unit(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let saved = project::ActiveModel::builder()
        .set_team_id(TEAM)
        .set_name("garden")
        .add_task(task::ActiveModel::builder().set_title("dig"))
        .add_task(task::ActiveModel::builder().set_title("sow"))
        .insert(&connection)
        .await
        .unwrap();
    let log = db.log().await;
    assert_eq!(types(&log), ["CREATED", "CREATED", "CREATED"]);
    assert!(log.iter().all(|row| row.unit_id == log[0].unit_id));
    let objects: Vec<_> = log.iter().map(|row| row.object_type.as_deref().unwrap()).collect();
    assert_eq!(objects, ["project", "task", "task"]);
    assert_eq!(log[1].event_data["initial_values"], json!({"project_id": saved.id, "title": "dig"}));

    let txn = connection.begin().await.unwrap();
    let mut active = saved.into_active_model();
    active.name = Set("orchard".to_owned());
    active.tasks[0].title = Set("plant".to_owned());
    active.save(&txn).await.unwrap();
    txn.commit().await.unwrap();
    let log = db.log().await;
    assert_eq!(types(&log[3..]), ["UPDATED", "UPDATED"]);
    assert_eq!(log[4].event_data["changes"]["title"], json!({"old": "dig", "new": "plant"}));
}

async fn rows_are_streamed(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let txn = events.begin(context()).await.unwrap();
    for name in ["a", "b", "c"] {
        new_campaign(name).insert(&txn).await.unwrap();
    }
    let stream = campaign::Entity::find().stream(&txn).await.unwrap();
    let rows: Vec<campaign::Model> = stream.try_collect().await.unwrap();
    assert_eq!(rows.len(), 3);
    let mut stream = campaign::Entity::find().stream(&txn).await.unwrap();
    stream.try_next().await.unwrap().unwrap();
    drop(stream); // half read
    new_campaign("d").insert(&txn).await.unwrap();
    txn.commit().await.unwrap();
    let connection = events.connection(context());
    let stream = campaign::Entity::find().stream(&connection).await.unwrap();
    assert_eq!(stream.try_collect::<Vec<_>>().await.unwrap().len(), 4);
    assert_eq!(db.log().await.len(), 4);
}

async fn error_in_a_stream_poisons(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let txn = events.begin(context()).await.unwrap();
    let backend = ConnectionTrait::get_database_backend(&txn);
    let missing = Statement::from_string(backend, "SELECT * FROM no_such_table");
    let failed = match txn.stream_raw(missing).await {
        Ok(stream) => stream.try_collect::<Vec<_>>().await.is_err(),
        Err(_) => true,
    };
    assert!(failed);
    assert!(matches!(txn.commit().await, Err(CommitError::Refused(Refused::Poisoned { .. }))));
}

async fn executors_are_accepted_in_a_scope(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let pool = &db.db;
    let scope = events.scope(context(), async {
        let txn = pool.begin().await.unwrap();
        new_campaign("a").insert(&DatabaseExecutor::from(&txn)).await.unwrap();
        txn.commit().await.unwrap();
        new_campaign("b").insert(&DatabaseExecutor::from(pool)).await.unwrap_err()
    });
    let error = scope.await.unwrap();
    assert!(matches!(refusal(&error), Refused::NotATransaction { .. }));
    assert_eq!(types(&db.log().await), ["CREATED"]);
}

async fn spawned_task_has_no_context(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let pool = db.db.clone();
    let scope = events.scope(context(), async {
        tokio::spawn(async move {
            let txn = pool.begin().await.unwrap();
            new_campaign("a").insert(&txn).await.unwrap_err()
        })
        .await
        .unwrap()
    });
    let error = scope.await.unwrap();
    assert!(matches!(refusal(&error), Refused::NoContext { .. }));
    assert!(error.to_string().contains("tokio::spawn"), "{error}");
    assert_eq!(campaign::Entity::find().count(&db.db).await.unwrap(), 0);
}
