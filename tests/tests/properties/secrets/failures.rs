//! What goes wrong.

use std::task::Poll;

use events_sea_orm::{
    ActiveModelEvents, ConsumerError, Context, Event, EventTransaction, Events, ScopeError,
};
use futures_util::FutureExt;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, IntoActiveModel, ModelTrait,
    QueryFilter, Set, Statement, TransactionTrait,
};

use super::world::{TEAM, World, context};
use crate::vault::{self, ActiveModel, Column, FORBIDDEN, Status};

/// A row that the database refuses, in every way of saving it.
async fn refused(world: &World, spoil: impl Fn(&mut ActiveModel)) {
    let connection = world.events.connection(context());
    let spoiled = |mut active: ActiveModel| {
        spoil(&mut active);
        active
    };
    let changed = spoiled(world.changed().await);
    let new = || spoiled(world.vault());

    let txn = world.begin().await;
    let nested = txn.begin().await.unwrap();
    world.failed(new().insert(&nested).await);
    world.show(&nested);
    nested.rollback().await.unwrap();
    let nested = txn.begin().await.unwrap();
    world.failed(changed.clone().update(&nested).await);
    world.failed(nested.commit().await);
    let nested = txn.begin().await.unwrap();
    world.failed(changed.clone().update_without_returning(&nested).await);
    nested.rollback().await.unwrap();
    let nested = txn.begin().await.unwrap();
    world.failed(new().save(&nested).await);
    drop(nested);
    world.failed(txn.commit().await);

    world.failed(new().create_with_event(&connection).reason("why").await);
    world.failed(changed.clone().update_with_event(&connection).track_fields(["api_key"]).await);
    let txn = world.begin().await;
    world.failed(txn.track_state_transition(changed, Column::Status, Status::Live, "why").await);
    world.failed(txn.commit().await);
    let work = async |txn: &EventTransaction| new().insert(txn).await;
    world.failed(world.events.transaction(context(), work).await);
    let (new, txn) = (new(), world.begin().await);
    world.failed(txn.transaction(|txn| async move { new.insert(txn).await }.boxed()).await);
    txn.commit().await.unwrap(); // the savepoint was rolled back
}

pub async fn undeclared_transition(world: &World) {
    let mut active = world.changed().await;
    active.status = Set(Status::Live);
    let connection = world.events.connection(context());
    active.update_with_event(&connection).await.unwrap();
    let back = || async {
        let live = vault::Entity::find().filter(Column::Status.eq(Status::Live)).one(&world.db.db).await;
        let id = live.unwrap().unwrap().id;
        ActiveModel { id: Set(id), ..world.vault() }
    };
    world.failed(back().await.update_with_event(&connection).await);
    world.failed(back().await.soft_delete_with_event(&connection).await);
    let txn = world.begin().await;
    world.failed(back().await.update(&txn).await);
    world.show(&txn);
    world.failed(txn.commit().await);
    let work = async {
        let txn = world.db.db.begin().await.unwrap();
        world.failed(back().await.update(&txn).await);
        txn.rollback().await.unwrap();
    };
    world.events.scope(context(), work).await.unwrap();
}

pub async fn unique(world: &World) {
    let taken = world.stored().await.api_key;
    refused(world, |active| active.api_key = Set(taken.clone())).await;
}

pub async fn not_null(world: &World) {
    refused(world, |active| active.must = Set(None)).await;
}

pub async fn check(world: &World) {
    let forbidden = format!("{FORBIDDEN}{}", world.secret());
    refused(world, |active| active.pin = Set(Some(forbidden.clone()))).await;
}

pub async fn too_long(world: &World) {
    refused(world, |active| active.api_key = Set(world.secret().repeat(10))).await;
}

pub async fn foreign_key(world: &World) {
    refused(world, |active| active.owner_key = Set(Some(world.secret()))).await;
}

/// A redacted value is recorded nowhere, so it may be anything that the database takes; PostgreSQL takes no NUL.
pub async fn nul(world: &World) {
    let nul = |active: &mut ActiveModel| active.api_key = Set(format!("{}\0", world.secret()));
    if world.backend() == DbBackend::Postgres {
        return refused(world, nul).await;
    }
    let mut active = world.changed().await;
    nul(&mut active);
    active.update_with_event(&world.events.connection(context())).await.unwrap();
}

pub async fn vetoed(world: &World) {
    let mut changed = world.changed().await;
    let txn = world.begin().await;
    for name in ["veto", "too late"] {
        changed.name = Set(name.to_owned());
        world.failed(changed.clone().update(&txn).await);
        world.failed(ActiveModel { name: Set(name.to_owned()), ..world.vault() }.insert(&txn).await);
    }
    world.failed(txn.commit().await);
}

pub async fn other_team(world: &World) {
    let (stored, changed) = (world.stored().await, world.changed().await);
    let connection = world.events.connection(Context::team(8));
    world.failed(changed.clone().update_with_event(&connection).await);
    let txn = world.events.begin(Context::team(8)).await.unwrap();
    world.failed(world.vault().insert(&txn).await);
    world.failed(changed.clone().update(&txn).await);
    world.failed(txn.emit(Event::custom("x").about(&stored)).await);
    world.failed(stored.delete(&txn).await);
    txn.commit().await.unwrap();
    let txn = world.events.begin(Context::all_teams("ada", "moves it")).await.unwrap();
    world.failed(ActiveModel { team_id: Set(8), ..changed }.update(&txn).await);
    world.failed(txn.commit().await);
}

pub async fn wrong_connection(world: &World) {
    let changed = world.changed().await;
    world.failed(world.vault().insert(&world.events.connection(context())).await);
    world.failed(changed.clone().update(&world.events.connection(context())).await);
    world.failed(world.vault().insert(&world.db.db).await);
    world.failed(changed.delete(&world.db.db).await);
    world.failed(world.events.begin(Context::default()).await);
}

pub async fn poisoned(world: &World) {
    let (stored, changed) = (world.stored().await, world.changed().await);
    let txn = world.begin().await;
    let nested = txn.begin().await.unwrap();
    world.failed(world.vault().insert(&txn).await); // the nested one is open
    world.failed(ActiveModel { api_key: Set(stored.api_key.clone()), ..world.vault() }.insert(&nested).await);
    drop(nested);
    world.show(&txn);
    world.failed(world.vault().insert(&txn).await);
    world.failed(changed.update(&txn).await);
    world.failed(txn.emit(Event::custom("x").about(&stored)).await);
    world.failed(vault::Entity::find().filter(Column::ApiKey.eq(world.secret())).all(&txn).await);
    world.failed(stored.delete(&txn).await);
    world.failed(txn.begin().await);
    world.failed(txn.commit().await);
}

/// A server keeps the save waiting for the row. SQLite locks no rows, and its thread may answer within the first poll.
pub async fn dropped(world: &World) {
    let sqlite = world.backend() == DbBackend::Sqlite;
    for _ in 0..20 {
        let changed = world.changed().await;
        let id = changed.id.clone().unwrap();
        let other = if sqlite { None } else { Some(world.db.db.begin().await.unwrap()) };
        if let Some(other) = &other {
            let lock = format!("UPDATE vaults SET name = 'locked' WHERE id = {id}");
            other.execute_unprepared(&lock).await.unwrap();
        }
        let txn = world.begin().await;
        // Without tokio's budget, so that what is waited for is the database.
        let mut save = tokio::task::unconstrained(changed.update(&txn)).boxed();
        let finished = std::future::poll_fn(|cx| Poll::Ready(save.as_mut().poll(cx).is_ready())).await;
        drop(save);
        if let Some(other) = other {
            other.rollback().await.unwrap();
        }
        if !finished {
            world.show(&txn);
            world.failed(world.vault().insert(&txn).await);
            world.failed(txn.commit().await);
            return;
        }
        txn.rollback().await.unwrap();
    }
    assert!(sqlite, "no save was dropped half way");
}

/// Saves the like of what it is told of, with a key that is taken, and passes the database's refusal on.
async fn saves_a_double(txn: &EventTransaction, event: &Event) -> Result<(), ConsumerError> {
    if let Some(object) = event.object.as_ref().filter(|object| object.object_type == "vault") {
        let id: i32 = object.object_id.parse()?;
        let model = vault::Entity::find_by_id(id).one(txn).await?.ok_or("it is gone")?;
        let double = ActiveModel { id: sea_orm::NotSet, ..model.into_active_model().reset_all() };
        double.insert(txn).await?;
    }
    Ok(())
}

async fn refuses(_: &EventTransaction, event: &Event) -> Result<(), ConsumerError> {
    Err(format!("not this one: {event:?}").into())
}

pub async fn consumer(world: &World) {
    for builder in [
        Events::builder(world.db.db.clone()).consumer(saves_a_double),
        Events::builder(world.db.db.clone()).consumer(refuses),
    ] {
        let events = builder.build().await.unwrap();
        let txn = events.begin(context()).await.unwrap();
        world.vault().insert(&txn).await.unwrap();
        world.failed(txn.commit().await);
        world.failed(world.vault().create_with_event(&events.connection(context())).await);
        let scoped = events.scope(context(), async {
            let txn = world.db.db.begin().await.unwrap();
            world.failed(world.vault().insert(&txn).await);
            txn.rollback().await.unwrap();
        });
        scoped.await.unwrap();
    }
}

/// The database's own error comes from SeaORM here and is the caller's; what the scope says of it is ours.
pub async fn in_a_scope(world: &World) {
    let (stored, changed) = (world.stored().await, world.changed().await);
    let work = async {
        let txn = world.db.db.begin().await.unwrap();
        changed.clone().update_without_returning(&txn).await.unwrap();
        txn.rollback().await.unwrap();
        let txn = world.db.db.begin().await.unwrap();
        let double = ActiveModel { api_key: Set(stored.api_key.clone()), ..world.vault() };
        double.insert(&txn).await.unwrap_err();
        txn.rollback().await.unwrap();
    };
    let result = world.events.scope(context(), work).await;
    assert!(matches!(&result, Err(ScopeError::Unfinished { objects, .. }) if objects.len() == 2));
    world.failed(result);
    let work = async {
        let txn = world.db.db.begin().await.unwrap();
        world.failed(world.vault().insert(&txn).await);
        world.failed(changed.update(&txn).await);
        txn.rollback().await.unwrap();
    };
    world.events.scope(Context::team(TEAM + 1), work).await.unwrap();
    let on_the_pool = world.events.scope(context(), world.vault().insert(&world.db.db)).await;
    world.failed(on_the_pool.unwrap());
    world.failed(world.events.scope(Context::default(), async {}).await);
}

/// The database refuses the commit itself and may quote the row. MariaDB has nothing that waits so long.
pub async fn commit(world: &World) {
    let taken = world.stored().await.late;
    let postgres = world.backend() == DbBackend::Postgres;
    let bad = async |txn: &EventTransaction| {
        if postgres {
            return ActiveModel { late: Set(taken.clone()), ..world.vault() }.insert(txn).await;
        }
        txn.execute_unprepared("PRAGMA defer_foreign_keys = ON").await?;
        ActiveModel { owner_key: Set(Some(world.secret())), ..world.vault() }.insert(txn).await
    };
    let txn = world.begin().await;
    bad(&txn).await.unwrap();
    world.failed(txn.commit().await);
    let txn = world.begin().await;
    bad(&txn).await.unwrap();
    world.failed(sea_orm::TransactionSession::commit(txn).await);
    world.failed(world.events.transaction(context(), bad).await);
    if postgres {
        let double = ActiveModel { late: Set(taken), ..world.vault() };
        world.failed(double.create_with_event(&world.events.connection(context())).await);
    }
}

/// Somebody wrote into the column what the model cannot read, and the error about it quotes that.
pub async fn unreadable(world: &World) {
    let changed = world.changed().await;
    let id = changed.id.clone().unwrap();
    let marker = match world.backend() {
        DbBackend::Postgres => "$1",
        _ => "?",
    };
    let set = format!("UPDATE vaults SET mode = {marker} WHERE id = {id}");
    let set = |mode: String| {
        let statement = Statement::from_sql_and_values(world.backend(), set.as_str(), [mode.into()]);
        world.db.db.execute_raw(statement)
    };
    set(world.secret()).await.unwrap();
    let mut active = changed;
    active.mode = sea_orm::NotSet;
    let connection = world.events.connection(context());
    world.failed(active.clone().update_with_event(&connection).await);
    world.failed(active.clone().delete_with_event(&connection).await);
    let txn = world.begin().await;
    world.failed(active.update_without_returning(&txn).await);
    world.show(&txn.commit().await); // refused only where the row was written before it was read
    set("shut".to_owned()).await.unwrap();
}

/// A field that is not tracked, or no state, with the secret as its value.
pub async fn wrong_field(world: &World) {
    let changed = world.changed().await;
    let txn = world.begin().await;
    let transition = txn.track_state_transition(changed.clone(), Column::ApiKey, world.secret(), "why");
    world.failed(transition.await);
    world.failed(changed.update_with_event(&txn).track_fields(["nothing"]).await);
    txn.rollback().await.unwrap();
}
