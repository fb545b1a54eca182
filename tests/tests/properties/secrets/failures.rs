//! What goes wrong.

use std::task::Poll;

use events_sea_orm::{
    ActiveModelEvents, ConsumerError, Context, EntityEvents, Event, EventTransaction, Events, ScopeError,
};
use futures_util::{FutureExt, TryStreamExt};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, IntoActiveModel,
    ModelTrait, QueryFilter, QueryResult, Set, Statement, StreamTrait, TransactionSession, TransactionTrait,
    sea_query::{Expr, OnConflict},
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
    assert_eq!(stored.delete(&txn).await.unwrap().rows_affected, 0, "as of a row that is not there");
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

/// The database refuses the commit itself and may quote the row, whichever call wrote it. MariaDB has nothing that waits
/// so long.
pub async fn commit(world: &World) {
    let taken = world.stored().await.late;
    let (postgres, connection) = (world.backend() == DbBackend::Postgres, world.events.connection(context()));
    for way in WAYS.into_iter().filter(|way| postgres || *way == "save") {
        let other = world.stored().await;
        let bad = async |txn: &EventTransaction| -> Result<(), DbErr> {
            if !postgres {
                txn.execute_unprepared("PRAGMA defer_foreign_keys = ON").await?;
                let unknown = ActiveModel { owner_key: Set(Some(world.secret())), ..world.vault() };
                return unknown.insert(txn).await.map(drop);
            }
            break_late(way, txn, &other, taken.clone(), world).await
        };
        let txn = world.begin().await;
        bad(&txn).await.unwrap();
        world.failed(txn.commit().await);
        let txn = world.begin().await;
        let nested = txn.begin().await.unwrap();
        bad(&nested).await.unwrap();
        nested.commit().await.unwrap();
        world.failed(TransactionSession::commit(txn).await);
        world.failed(world.events.transaction(context(), bad).await);
        if postgres {
            let txn = world.begin().await;
            bad(&txn).await.unwrap();
            let now = txn
                .untracked("now", async |txn| txn.execute_unprepared("SET CONSTRAINTS ALL IMMEDIATE").await);
            world.failed(now.await);
            world.failed(txn.commit().await);
        }
    }
    if postgres {
        let double = || ActiveModel { late: Set(taken.clone()), ..world.vault() };
        world.failed(double().create_with_event(&connection).await);
        world.failed(vault::Entity::insert_many_with_events([double()]).exec(&connection).await);
        let consumer = Events::builder(world.db.db.clone()).consumer(breaks_late).build().await.unwrap();
        let txn = consumer.begin(context()).await.unwrap();
        world.stored().await; // what it takes the value from
        world.vault().insert(&txn).await.unwrap();
        world.failed(txn.commit().await);
    }
}

/// The calls that can write a row.
const WAYS: [&str; 6] = ["save", "update", "insert_many", "update_many", "upsert", "untracked"];

/// Gives a row, in one of these ways, a value that another has. It is found out when the transaction ends.
async fn break_late(
    way: &str,
    txn: &EventTransaction,
    other: &vault::Model,
    taken: Option<String>,
    world: &World,
) -> Result<(), DbErr> {
    let double = ActiveModel { late: Set(taken.clone()), ..world.vault() };
    match way {
        "save" => double.insert(txn).await.map(drop),
        "update" => {
            let mut active = other.clone().into_active_model();
            active.late = Set(taken);
            active.update(txn).await.map(drop)
        }
        "insert_many" => vault::Entity::insert_many_with_events([double]).exec(txn).await.map(drop),
        "update_many" => {
            let update = vault::Entity::update_many_with_events().col_expr(Column::Late, Expr::val(taken));
            update.filter(Column::Id.eq(other.id)).exec(txn).await.map(drop)
        }
        "upsert" => {
            let again = ActiveModel { late: Set(taken), ..other.clone().into_active_model().reset_all() };
            let action = OnConflict::column(Column::Id).update_column(Column::Late).to_owned();
            vault::Entity::insert_many_with_events([again]).on_conflict(action).exec(txn).await.map(drop)
        }
        _ => {
            let set = "UPDATE vaults SET late = $1 WHERE id = $2";
            let values = [taken.into(), other.id.into()];
            let set = Statement::from_sql_and_values(world.backend(), set, values);
            txn.untracked("repair", async |txn| txn.execute_raw(set).await).await.map(drop)
        }
    }
}

/// Gives the row that it is told of the value of another, in bulk.
async fn breaks_late(txn: &EventTransaction, event: &Event) -> Result<(), ConsumerError> {
    if let Some(object) = event.object.as_ref().filter(|object| object.object_type == "vault") {
        let id: i32 = object.object_id.parse()?;
        let other = vault::Entity::find().filter(Column::Id.ne(id)).filter(Column::Late.is_not_null());
        let taken = other.one(txn).await?.ok_or("it is gone")?.late;
        let update = vault::Entity::update_many_with_events().col_expr(Column::Late, Expr::val(taken));
        update.filter(Column::Id.eq(id)).exec(txn).await?;
    }
    Ok(())
}

/// PostgreSQL quotes what it cannot convert, of rows that are only read.
pub async fn reads(world: &World) {
    if world.backend() != DbBackend::Postgres {
        return;
    }
    world.stored().await;
    let connection = world.events.connection(context());
    let typed = || vault::Entity::find().filter(Expr::cust("CAST(api_key AS integer) = 1"));
    let text = || Statement::from_string(world.backend(), "SELECT CAST(api_key AS integer) AS n FROM vaults");
    world.failed(typed().all(&connection).await);
    world.failed(typed().one(&connection).await);
    world.failed(connection.query_all_raw(text()).await);
    world.failed(connection.query_one_raw(text()).await);
    world.failed(connection.execute_raw(text()).await);
    world.failed(connection.execute_unprepared(&text().sql).await);
    world.failed(all(connection.stream_raw(text()).await).await);
    let in_a_unit = async |read: &str| {
        let txn = world.begin().await;
        match read {
            "typed" => world.failed(typed().all(&txn).await),
            "text" => world.failed(txn.query_all_raw(text()).await),
            "one" => world.failed(txn.query_one_raw(text()).await),
            _ => world.failed(all(txn.stream_raw(text()).await).await),
        }
        world.show(&txn);
        world.failed(vault::Entity::find().all(&txn).await); // poisoned
        world.failed(txn.commit().await);
    };
    for read in ["typed", "text", "one", "stream"] {
        in_a_unit(read).await;
    }
}

/// The first error of a stream, or of opening it.
async fn all<S>(stream: Result<S, DbErr>) -> Result<(), DbErr>
where
    S: futures_util::Stream<Item = Result<QueryResult, DbErr>>,
{
    std::pin::pin!(stream?).try_for_each(async |_| Ok(())).await
}

/// What another table's trigger writes, which the statement does not name, and code in which it stands.
pub async fn by_code_of_the_database(world: &World) {
    if world.backend() != DbBackend::Postgres {
        return;
    }
    let stored = world.stored().await;
    for sql in [
        "CREATE TABLE IF NOT EXISTS vault_doors (n integer)",
        "INSERT INTO vault_doors VALUES (1)",
        "CREATE OR REPLACE FUNCTION double_vault() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            UPDATE vaults SET api_key = (SELECT min(api_key) FROM vaults); RETURN NEW; END $$",
        "CREATE OR REPLACE TRIGGER double_vault BEFORE UPDATE ON vault_doors FOR EACH ROW EXECUTE FUNCTION double_vault()",
        "CREATE TABLE IF NOT EXISTS halls (n integer)",
        "CREATE OR REPLACE FUNCTION look_up() RETURNS int LANGUAGE sql AS 'SELECT min(api_key)::int FROM vaults'",
        "CREATE OR REPLACE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            PERFORM look_up(); RETURN NEW; END $$",
        "CREATE OR REPLACE TRIGGER look BEFORE INSERT ON halls FOR EACH ROW EXECUTE FUNCTION look()",
    ] {
        world.db.db.execute_unprepared(sql).await.unwrap();
    }
    world.stored().await;
    let connection = world.events.connection(context());
    world.failed(connection.execute_unprepared("UPDATE vault_doors SET n = 2").await);
    world.failed(connection.execute_unprepared("INSERT INTO halls VALUES (1)").await);
    let double = format!(
        "DO $$ BEGIN EXECUTE 'UPDATE vaults SET api_key = ' || quote_literal((SELECT api_key FROM vaults WHERE id = {})); END $$",
        stored.id
    );
    for sql in ["UPDATE vault_doors SET n = 2", &double, &format!("UPDATE vault_doors SET n = 3; {double}")] {
        let txn = world.begin().await;
        world.failed(txn.untracked("code", async |txn| txn.execute_unprepared(sql).await).await);
        world.show(&txn.commit().await);
    }
}

/// Somebody wrote into the column what the model cannot read: SeaORM's own error about it would quote that.
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
    let txn = world.begin().await;
    world.show(&active.clone().update_without_returning(&txn).await.unwrap());
    world.show(&active.delete_with_event(&txn).await.unwrap());
    txn.rollback().await.unwrap();
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
