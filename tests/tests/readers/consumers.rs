//! Consumers, in the transaction and after the commit.

use std::{
    sync::{Arc, Mutex},
    task::Poll,
    time::Duration,
};

use events_sea_orm::{
    BuildError, CommitError, Consumer, ConsumerError, ConsumerFailure, ConsumerFuture, ConsumerStats,
    Context, EntityEvents, Event, EventChanges, EventConnection, EventTransaction, EventType, Events,
    EventsBuilder, OnError, Refused, Subscription,
};
use sea_orm::{
    ActiveModelBehavior, ActiveModelTrait, ConnectionTrait, EntityTrait, IntoActiveModel, PaginatorTrait,
    Set, TransactionTrait,
};
use tests::{
    TestDb, context,
    entities::{campaign, note},
    new_campaign, types,
};

mod after_commit;
mod in_transaction;
mod registration;

async fn builder(db: &TestDb) -> EventsBuilder {
    db.with_tables().await;
    Events::builder(db.db.clone()).without_registered_consumers()
}

async fn insert(events: &Events, name: &str) -> campaign::Model {
    let txn = events.begin(context()).await.unwrap();
    let model = new_campaign(name).insert(&txn).await.unwrap();
    txn.commit().await.unwrap();
    model
}

async fn emit(events: &Events, name: &str) {
    let txn = events.begin(context()).await.unwrap();
    txn.emit(Event::custom(name)).await.unwrap();
    txn.commit().await.unwrap();
}

/// What consumers did, in order.
#[derive(Clone, Default)]
struct Trace(Arc<Mutex<Vec<String>>>);

impl Trace {
    fn add(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    /// A consumer that writes down what it gets.
    fn writer(&self, name: &'static str) -> Writer {
        Writer { name, trace: self.clone() }
    }
}

struct Writer {
    name: &'static str,
    trace: Trace,
}

impl Consumer for Writer {
    fn handle<'a>(&'a self, _: &'a EventTransaction, event: &'a Event) -> ConsumerFuture<'a> {
        self.write(event)
    }

    fn name(&self) -> String {
        self.name.to_owned()
    }
}

impl Consumer<EventConnection> for Writer {
    fn handle<'a>(&'a self, _: &'a EventConnection, event: &'a Event) -> ConsumerFuture<'a> {
        self.write(event)
    }

    fn name(&self) -> String {
        self.name.to_owned()
    }
}

impl Writer {
    fn write(&self, event: &Event) -> ConsumerFuture<'static> {
        self.trace.add(format!("{} {}", self.name, event.event_type));
        Box::pin(std::future::ready(Ok(())))
    }
}

async fn add_note(txn: &EventTransaction, text: &str) -> Result<note::Model, ConsumerError> {
    let mut active = <note::ActiveModel as ActiveModelBehavior>::new();
    active.text = Set(text.to_owned());
    Ok(active.insert(txn).await?)
}

async fn notes(db: &TestDb) -> Vec<String> {
    let notes = note::Entity::find().all(&db.db).await.unwrap();
    let mut texts: Vec<_> = notes.into_iter().map(|note| note.text).collect();
    texts.sort(); // their keys are random
    texts
}

fn stats(events: &Events, name: &str) -> ConsumerStats {
    events.consumer_stats().into_iter().find(|stats| *stats.name == *name).unwrap()
}
