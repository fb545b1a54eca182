//! Threads: what people read of an object's history, and what they write beside it.

use std::{collections::HashMap, sync::Arc};

use events_sea_orm::{
    ActiveModelEvents, Actor, ConsumerError, Context, EntityEvents, Event, EventTransaction, Events,
    ObjectRef, Refused, Subscription, event, migration,
    threads::{PostError, Thread, Threads, message, thread},
};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, PaginatorTrait,
    QueryFilter, Set, TransactionTrait, sea_query::Expr,
};
use tests::{TEAM, TestDb, context, refusal};

mod entities;
mod keys;
mod long_keys;
mod messages;
mod own;
mod posting;
mod scopes;
mod simultaneous;

use entities::{customer, deal, line, new_customer, new_rental, rental, shelf, shelf_tag, tag};

/// Everything that the cases need, told in threads.
async fn set_up(db: &TestDb) -> Events {
    entities::tables(db).await;
    Events::builder(db.db.clone()).consumer(Threads::new().actor_names(names)).build().await.unwrap()
}

/// People as the application knows them: read on the unit of work itself.
async fn names(txn: &EventTransaction, ids: &[String]) -> Result<HashMap<String, String>, ConsumerError> {
    let known = entities::person::Entity::find()
        .filter(entities::person::Column::Id.is_in(ids.iter().map(String::as_str)))
        .all(txn)
        .await?;
    Ok(known.into_iter().map(|person| (person.id, person.name)).collect())
}

async fn bodies(db: &TestDb, thread: &Thread) -> Vec<String> {
    let messages = thread.messages().limit(1_000).all(&db.db).await.unwrap();
    messages.into_iter().map(|message| message.body).collect()
}

async fn count(db: &TestDb) -> (u64, u64) {
    let threads = thread::Entity::find().count(&db.db).await.unwrap();
    (threads, message::Entity::find().count(&db.db).await.unwrap())
}

fn of(object_type: &str, id: impl std::fmt::Display) -> Thread {
    Thread::of(TEAM, ObjectRef::new(object_type, id))
}
