//! Connections of other types, and doors beside every connection.

use std::sync::Arc;

use events_sea_orm::{ActiveModelEvents, Refused};
use sea_orm::{
    ActiveModelTrait, ConnectionTrait, DatabaseExecutor, DbBackend, DbErr, EntityTrait, Set,
    TransactionTrait, sqlx,
};
use tests::{TestDb, context, refusal};

use crate::writes::{count, entities::tick, log_after, set_up, told};

tests::conformance! {
    executors_hold_no_unit,
    callbacks_of_the_pool_are_seen_in_a_scope,
    drivers_pools_are_not_seen,
}

fn new(label: &str) -> tick::ActiveModel {
    tick::ActiveModel { label: Set(Some(label.to_owned())), ..Default::default() }
}

/// A `DatabaseExecutor` is over the pool or over a plain transaction. Beside an open unit of work it is what it is
/// anywhere: saves need a scope, and the rest is not seen.
async fn executors_hold_no_unit(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let executor = DatabaseExecutor::from(&db.db);
    let txn = events.begin(context()).await.unwrap();
    let error = new("a").insert(&executor).await.unwrap_err();
    assert!(matches!(refusal(&error), Refused::NoContext { .. }), "{error}");
    txn.commit().await.unwrap();
    tick::Entity::insert(new("b")).exec(&executor).await.unwrap();
    executor.execute_unprepared("DELETE FROM ticks").await.unwrap();
    let plain = db.db.begin().await.unwrap();
    let scope = events.scope(context(), async {
        let executor = DatabaseExecutor::from(&plain);
        new("c").insert(&executor).await?;
        tick::Entity::insert(new("d")).exec(&executor).await?;
        Ok::<_, DbErr>(())
    });
    scope.await.unwrap().unwrap();
    plain.commit().await.unwrap();
    assert_eq!(told(&db.log().await), ["CREATED tick"]);
    assert_eq!(count::<tick::Entity>(&db).await, 2);
}

/// `transaction_async` is of the pool's own type, so only a scope meets it.
async fn callbacks_of_the_pool_are_seen_in_a_scope(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let scope = events.scope(context(), async {
        let insert = async |txn: &sea_orm::DatabaseTransaction| new("a").insert(txn).await.map(drop);
        db.db.transaction_async::<_, _, DbErr>(insert).await.unwrap();
        db.db.transaction_with_config_async::<_, _, DbErr>(insert, None, None).await.unwrap();
        let fails = async |txn: &sea_orm::DatabaseTransaction| {
            new("lost").insert(txn).await?;
            Err::<(), _>(DbErr::Custom("changed my mind".to_owned()))
        };
        db.db.transaction_async::<_, _, DbErr>(fails).await.unwrap_err();
        let boxed = db.db.transaction::<_, _, DbErr>(|txn| Box::pin(async { new("b").insert(txn).await }));
        boxed.await.unwrap();
    });
    scope.await.unwrap();
    assert_eq!(told(&db.log().await), ["CREATED tick"; 3]);
}

/// What the driver's own pool sends passes by all of this library, and so do callbacks of the connect options, proxies
/// and other programs.
async fn drivers_pools_are_not_seen(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    new("a").create_with_event(&events.connection(context())).await.unwrap();
    let sql = "DELETE FROM ticks";
    let gone = match db.db.get_database_backend() {
        DbBackend::Postgres => {
            let pool = db.db.get_postgres_connection_pool();
            sqlx::query(sql).execute(pool).await.unwrap().rows_affected()
        }
        DbBackend::MySql => {
            let pool = db.db.get_mysql_connection_pool();
            sqlx::query(sql).execute(pool).await.unwrap().rows_affected()
        }
        _ => {
            let pool = db.db.get_sqlite_connection_pool();
            sqlx::query(sql).execute(pool).await.unwrap().rows_affected()
        }
    };
    assert_eq!(gone, 1);
    assert_eq!(log_after(&db, 1).await.len(), 0);
}
