//! Every way in which SeaORM writes: in a unit of work, on a connection, in a scope. The table of them is in
//! `events-sea-orm/src/writes.md`.

use std::sync::Arc;

use events_sea_orm::{Events, event};
use sea_orm::{ConnectionTrait, DbErr, EntityTrait, Schema};
use tests::TestDb;

mod builders;
mod doors;
mod entities;
mod nested;
mod plain;
mod table;
mod text;

/// The events table, those of `tests::entities`, and those of this suite.
async fn set_up(db: &TestDb) -> Events {
    use entities::*;
    db.with_tables().await;
    let schema = Schema::new(db.db.get_database_backend());
    for table in [
        schema.create_table_from_entity(agent::Entity),
        schema.create_table_from_entity(author::Entity),
        schema.create_table_from_entity(profile::Entity),
        schema.create_table_from_entity(book::Entity),
        schema.create_table_from_entity(follow::Entity),
        schema.create_table_from_entity(reader::Entity),
        schema.create_table_from_entity(shelf::Entity),
        schema.create_table_from_entity(desk::Entity),
        schema.create_table_from_entity(shelf_card::Entity),
        schema.create_table_from_entity(desk_card::Entity),
        schema.create_table_from_entity(tick::Entity),
    ] {
        db.db.execute(&table).await.unwrap();
    }
    Events::builder(db.db.clone()).build().await.unwrap()
}

/// What was written since the log had so many rows.
async fn log_after(db: &TestDb, before: usize) -> Vec<event::Model> {
    db.log().await.split_off(before)
}

/// Events as `TYPE object_type`, in order.
fn told(log: &[event::Model]) -> Vec<String> {
    log.iter()
        .map(|row| format!("{} {}", row.event_type, row.object_type.as_deref().unwrap_or("-")))
        .collect()
}

/// Runs `$work(&db, tag)` on a unit of work, on a connection, and on a plain transaction in a scope, each of which must
/// end well; answers what each wrote into the log.
macro_rules! everywhere {
    ($db:expr, $events:expr, $work:ident) => {{
        use sea_orm::TransactionTrait;
        let before = $db.log().await.len();
        let txn = $events.begin(tests::context()).await.unwrap();
        $work(&txn, "unit").await.unwrap();
        txn.commit().await.unwrap();
        let unit = crate::writes::log_after(&$db, before).await;

        $work(&$events.connection(tests::context()), "connection").await.unwrap();
        let connection = crate::writes::log_after(&$db, before + unit.len()).await;

        let scope = $events.scope(tests::context(), async {
            let txn = $db.db.begin().await.unwrap();
            $work(&txn, "scope").await.unwrap();
            txn.commit().await.unwrap();
        });
        scope.await.unwrap();
        let scope = crate::writes::log_after(&$db, before + unit.len() + connection.len()).await;
        [unit, connection, scope]
    }};
}
use everywhere;

/// Whether a call was refused for want of a save that announced it.
#[track_caller]
fn assert_unannounced<T: std::fmt::Debug>(result: Result<T, DbErr>) {
    let error = result.unwrap_err();
    let refused = tests::refusal(&error);
    assert!(matches!(refused, events_sea_orm::Refused::Unannounced { .. }), "{error}");
}

/// The rows of a table, whatever they are.
async fn count<E: EntityTrait>(db: &Arc<TestDb>) -> usize {
    E::find().into_json().all(&db.db).await.unwrap().len()
}
