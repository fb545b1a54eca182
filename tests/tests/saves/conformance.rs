//! What the library promises, each case once, on every database.

use std::sync::Arc;

use events_sea_orm::{
    ActiveModelEvents, Actor, CommitError, ConsumerError, Context, Event, EventTransaction, Events, Outcome,
    Refused, ScopeError, Tracked, UnknownCommit, event,
};
use sea_orm::{
    ActiveModelBehavior, ActiveModelTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel, ModelTrait,
    PaginatorTrait, Set, Statement, TransactionSession, TransactionTrait, Unchanged,
};
use serde_json::{Value, json};
use tests::{
    TEAM, TestDb, context,
    entities::{campaign, folder, note, price, tenant, visit},
    new_campaign, refusal, types,
};

mod adoption;
mod advice;
mod drop_ins;
mod generic;
mod links;
mod lives;
mod log;
mod saves;
mod scope;
mod sizes;
mod soft_delete;
mod states;
mod teams;
mod units;

async fn set_up(db: &TestDb) -> Events {
    db.with_tables().await;
    Events::builder(db.db.clone()).build().await.unwrap()
}

async fn insert(events: &Events, name: &str) -> campaign::Model {
    let txn = events.begin(context()).await.unwrap();
    let model = new_campaign(name).insert(&txn).await.unwrap();
    txn.commit().await.unwrap();
    model
}
