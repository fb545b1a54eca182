//! Many rows at once, what the guard refuses, and what passes it untracked.

use events_sea_orm::{Context, EntityEvents, EventTransaction, UpdateMany};
use futures_util::StreamExt;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, DbBackend, DbErr, EntityTrait, ExprTrait,
    IntoActiveModel, QueryFilter, QuerySelect, QueryTrait, Set, Statement, StatementBuilder, StreamTrait,
    TransactionTrait,
    sea_query::{CaseStatement, Expr, OnConflict, Query},
};
use serde_json::json;

use super::world::{TEAM, World, context};
use crate::vault::{self, ActiveModel, Column, FORBIDDEN, Model, link};

/// Two rows that are there.
async fn two(world: &World) -> [Model; 2] {
    let models = [world.vault(), world.vault()];
    let insert = vault::Entity::insert_many_with_events(models).reason("two");
    world.show(&insert);
    let rows = insert.exec_with_returning(&world.events.connection(context())).await.unwrap();
    rows.try_into().unwrap()
}

/// The condition of these rows, by what nobody may see.
fn at(rows: &[Model]) -> Condition {
    let keys = || rows.iter().map(|row| row.api_key.clone());
    let open = Condition::any().add(Column::ApiKey.is_in(keys())).add(Column::Pin.is_in(keys()));
    Condition::all().add(open).add(Column::TeamId.eq(TEAM))
}

/// Sets these rows, by value and by expression.
fn update(world: &World, rows: &[Model]) -> UpdateMany<vault::Entity> {
    let either = |column: Column| -> (Column, Expr) {
        let case = CaseStatement::new().case(Column::Id.eq(rows[0].id), Expr::val(world.secret()));
        (column, case.finally(world.secret()).into())
    };
    let values = ActiveModel {
        pin: Set(Some(world.secret())),
        doc: Set(Some(json!({ world.secret(): 1 }))),
        ..Default::default()
    };
    let update = vault::Entity::update_many_with_events().set(values).reason("why").filter(at(rows));
    let update = [Column::ApiKey, Column::Must, Column::Late]
        .map(either)
        .into_iter()
        .fold(update, |update, (column, expr)| update.col_expr(column, expr));
    world.show(&update);
    update
}

pub async fn insert_many(world: &World) {
    let rows = two(world).await;
    let txn = world.begin().await;
    vault::Entity::insert_many_with_events([world.vault()]).exec(&txn).await.unwrap();
    // Rows that are there: changed, and kept.
    let there = || ActiveModel { must: Set(Some(world.secret())), ..again(&rows[0]) };
    let mut on_conflict = OnConflict::column(Column::ApiKey);
    let upsert = vault::Entity::insert_many_with_events([there(), world.vault()])
        .on_conflict(on_conflict.update_column(Column::Must).to_owned());
    world.show(&upsert);
    upsert.exec(&txn).await.unwrap();
    let keep = OnConflict::column(Column::ApiKey).do_nothing().to_owned();
    let keep = vault::Entity::insert_many_with_events([there()]).on_conflict(keep);
    keep.exec_without_returning(&txn).await.unwrap();
    world.show(&txn);
    txn.commit().await.unwrap();
}

/// The row once more, to be inserted.
fn again(row: &Model) -> ActiveModel {
    ActiveModel { id: sea_orm::NotSet, ..row.clone().into_active_model().reset_all() }
}

pub async fn update_many(world: &World) {
    let rows = two(world).await;
    let connection = world.events.connection(context());
    let changed = update(world, &rows).exec_with_returning(&connection).await.unwrap();
    assert_eq!(changed.len(), 2);
    let txn = world.begin().await;
    let few = update(world, &changed).track_fields(["api_key"]);
    assert_eq!(few.exec(&txn).await.unwrap().rows_affected, 2);
    world.show(&txn);
    txn.commit().await.unwrap();
}

pub async fn delete_many(world: &World) {
    let rows = two(world).await;
    let by_id = world.stored().await.id;
    let delete = vault::Entity::delete_many_with_events().filter(at(&rows)).reason("why");
    world.show(&delete);
    let gone = delete.exec_with_returning(&world.events.connection(context())).await.unwrap();
    assert_eq!(gone.len(), 2);
    let txn = world.begin().await;
    let delete = vault::Entity::delete_by_id_with_events(by_id);
    world.show(&delete);
    assert_eq!(delete.exec(&txn).await.unwrap().rows_affected, 1);
    txn.commit().await.unwrap();
}

/// Rows that the database refuses, or that cannot be read back, in every bulk verb.
pub async fn refused_by_the_database(world: &World) {
    let taken = world.stored().await;
    let spoiled: [(Column, Option<String>); 6] = [
        (Column::ApiKey, Some(taken.api_key.clone())),
        (Column::Must, None),
        (Column::Pin, Some(format!("{FORBIDDEN}{}", world.secret()))),
        (Column::ApiKey, Some(world.secret().repeat(10))),
        (Column::OwnerKey, Some(world.secret())),
        (Column::Mode, Some(world.secret())), // no mode that there is
    ];
    let connection = world.events.connection(context());
    for (column, value) in spoiled {
        let rows = two(world).await;
        let spoil = || update(world, &rows[..1]).col_expr(column, Expr::val(value.clone()));
        if matches!(column, Column::Mode) {
            // The database takes it, and the model cannot read it. An active model holds none.
            world.show(&spoil().exec(&connection).await.unwrap());
            let txn = world.begin().await;
            let other = update(world, &rows[1..]).col_expr(column, Expr::val(value.clone()));
            world.failed(other.exec_with_returning(&txn).await);
            world.show(&txn);
            txn.commit().await.unwrap();
            continue;
        }
        world.failed(spoil().exec(&connection).await);
        let txn = world.begin().await;
        world.failed(spoil().exec_with_returning(&txn).await);
        world.show(&txn);
        world.failed(txn.commit().await);
        let insert = || {
            let mut bad = world.vault();
            bad.set(column, value.clone().into());
            vault::Entity::insert_many_with_events([world.vault(), bad])
        };
        world.failed(insert().exec(&connection).await);
        let txn = world.begin().await;
        world.failed(insert().exec_with_returning(&txn).await);
        world.failed(txn.commit().await);
        let do_update = OnConflict::column(Column::ApiKey).update_column(Column::Pin).to_owned();
        if value.as_ref() != Some(&taken.api_key) {
            world.failed(insert().on_conflict(do_update).exec(&connection).await);
        }
    }
    // Somebody refers to it by what nobody may see.
    let refer = format!("INSERT INTO vault_seals (api_key) VALUES ({})", literal(world, &taken.api_key));
    world.db.db.execute_unprepared(&refer).await.unwrap();
    let delete = || vault::Entity::delete_many_with_events().filter(at(std::slice::from_ref(&taken)));
    world.failed(delete().exec(&connection).await);
    let txn = world.begin().await;
    world.failed(vault::Entity::delete_by_id_with_events(taken.id).exec_with_returning(&txn).await);
    world.failed(txn.commit().await);
}

/// Rows that cannot be read, and filters that the database cannot make sense of.
pub async fn unreadable(world: &World) {
    let row = world.stored().await;
    let set = async |mode: String| {
        let mode = literal(world, &mode);
        let set = format!("UPDATE vaults SET mode = {mode} WHERE id = {}", row.id);
        world.db.db.execute_unprepared(&set).await.unwrap();
    };
    let connection = world.events.connection(context());
    let at_row = || at(std::slice::from_ref(&row));
    set(world.secret()).await;
    let txn = world.begin().await;
    world.failed(vault::Entity::delete_many_with_events().filter(at_row()).exec_with_returning(&txn).await);
    txn.rollback().await.unwrap();
    let txn = world.begin().await;
    world.failed(update(world, std::slice::from_ref(&row)).exec_with_returning(&txn).await);
    txn.rollback().await.unwrap();
    world.show(&update(world, std::slice::from_ref(&row)).exec(&connection).await.unwrap());
    set("shut".to_owned()).await;
    let no_number = || Expr::val(world.secret()).cast_as("integer").eq(1);
    for result in [
        vault::Entity::delete_many_with_events().filter(no_number()).exec(&connection).await.map(drop),
        update(world, std::slice::from_ref(&row)).filter(no_number()).exec(&connection).await.map(drop),
    ] {
        match world.backend() {
            DbBackend::Postgres => world.failed(result),
            _ => world.show(&result), // any text is some number
        }
    }
}

pub async fn other_team(world: &World) {
    let rows = two(world).await;
    let other = world.events.connection(Context::team(TEAM + 1));
    let txn = other.begin().await.unwrap();
    let at_rows = || Column::ApiKey.is_in(rows.iter().map(|row| row.api_key.clone()));
    let values = ActiveModel { api_key: Set(world.secret()), ..Default::default() };
    let update = || vault::Entity::update_many_with_events().set(values.clone()).filter(at_rows());
    assert_eq!(update().exec(&txn).await.unwrap().rows_affected, 0);
    let delete = vault::Entity::delete_many_with_events().filter(at_rows());
    assert_eq!(delete.exec(&txn).await.unwrap().rows_affected, 0);
    world.failed(vault::Entity::insert_many_with_events([world.vault()]).exec(&txn).await);
    txn.rollback().await.unwrap(); // it holds locks
    assert_eq!(update().exec_with_returning(&other).await.unwrap(), []);
    let delete = vault::Entity::delete_by_id_with_events(rows[0].id);
    assert_eq!(delete.exec(&other).await.unwrap().rows_affected, 0);
    let do_update = OnConflict::column(Column::ApiKey).update_column(Column::Must).to_owned();
    let theirs = ActiveModel { team_id: Set(TEAM + 1), ..again(&rows[0]) };
    let upsert = vault::Entity::insert_many_with_events([theirs]).on_conflict(do_update);
    world.failed(upsert.exec(&other).await);
    let connection = world.events.connection(context());
    let fixed = vault::Entity::update_many_with_events().col_expr(Column::Id, Expr::val(world.secret()));
    world.failed(fixed.exec(&connection).await);
    let unknown = vault::Entity::delete_many_with_events().filter(at(&rows)).track_fields(["nothing"]);
    world.failed(unknown.exec(&connection).await);
}

/// SeaORM's own calls, with the secret among the values and in the filter.
async fn calls_of_seaorm<C: ConnectionTrait>(world: &World, db: &C) {
    let filter = || Column::ApiKey.eq(world.secret());
    let update = vault::Entity::update_many().col_expr(Column::Pin, Expr::val(world.secret()));
    let do_update = || OnConflict::column(Column::ApiKey).update_column(Column::Must).to_owned();
    world.failed(vault::Entity::insert(world.vault()).exec(db).await);
    world.failed(vault::Entity::insert(world.vault()).on_conflict(do_update()).exec(db).await);
    world.failed(vault::Entity::insert_many([world.vault(), world.vault()]).exec(db).await);
    world.failed(update.filter(filter()).exec(db).await);
    world.failed(vault::Entity::delete_many().filter(filter()).exec(db).await);
    world.failed(vault::Entity::delete_by_id(1).filter(filter()).exec(db).await);
    let mut own = Query::update();
    own.table(events_sea_orm::event::Entity);
    own.value(events_sea_orm::event::Column::ActorId, Expr::val(world.secret()));
    world.failed(db.execute(&own).await);
}

/// A value as it stands in text.
fn literal(world: &World, value: &str) -> String {
    let mut select = Query::select();
    select.expr(Expr::val(value));
    let text = StatementBuilder::build(&select, &world.backend()).to_string();
    text.strip_prefix("SELECT ").unwrap().to_owned()
}

/// Text that writes, with the secret in it, some of it made to look like the name of a table.
fn texts(world: &World) -> Vec<String> {
    let secret = || world.secret();
    let value = literal(world, &secret());
    let bait = literal(world, &format!("; UPDATE {0} SET x = 1; INSERT INTO {0} ", secret()));
    let mut texts = vec![
        format!("UPDATE vaults SET must = {value} WHERE id = 0"),
        format!("UPDATE vaults SET must = {bait} WHERE must = {value}"),
        format!("DELETE FROM vaults WHERE api_key = {bait} /* DELETE FROM {} */", secret()),
        format!(
            "INSERT INTO vaults (id, team_id, name, status, api_key, must) VALUES (0, 7, 'x', 'draft', {bait}, NULL)"
        ),
        format!(
            "INSERT INTO vaults (id, team_id, name, status, api_key, must, pin) VALUES (0, 7, 'x', 'draft', {value}, 'x', {})",
            literal(world, &format!("{FORBIDDEN}{}", secret()))
        ),
    ];
    if world.backend() == DbBackend::Postgres {
        texts.push(format!("UPDATE vaults SET must = $tag$ INSERT INTO {} $tag$ WHERE id = 0", secret()));
        texts.push(format!("DO $do$ BEGIN RAISE unique_violation USING MESSAGE = {bait}; END $do$"));
    }
    texts
}

pub async fn refused_by_the_guard(world: &World) {
    let connection = world.events.connection(context());
    let txn = world.begin().await;
    calls_of_seaorm(world, &connection).await;
    calls_of_seaorm(world, &txn).await;
    for text in texts(world) {
        let raw = || Statement::from_string(world.backend(), text.as_str());
        world.failed(txn.execute_unprepared(&text).await);
        world.failed(txn.execute_raw(raw()).await);
        world.failed(txn.query_one_raw(raw()).await);
        world.failed(txn.query_all_raw(raw()).await);
        world.failed(txn.stream_raw(raw()).await.map(drop));
        world.failed(connection.execute_unprepared(&text).await);
        world.failed(connection.query_all_raw(raw()).await);
    }
    let own = format!("UPDATE events SET actor_id = {}", literal(world, &world.secret()));
    world.failed(txn.execute_unprepared(&own).await);
    let schema = format!("CREATE TABLE copies AS SELECT {} AS x", literal(world, &world.secret()));
    world.failed(txn.execute_unprepared(&schema).await);
    world.show(&txn);
    txn.commit().await.unwrap();
}

/// What passes the guard leaves its tables and counts, and no error of it quotes a value.
pub async fn untracked(world: &World) {
    let taken = world.stored().await;
    let connection = world.events.connection(context());
    let mut texts = texts(world);
    texts.push(format!("UPDATE vaults SET api_key = {}", literal(world, &taken.api_key)));
    for text in texts {
        let work = async |txn: &EventTransaction| {
            world.show(txn);
            txn.execute_unprepared(&text).await
        };
        match connection.untracked("repair", work).await {
            Ok(done) => world.show(&done),
            Err(error) => world.failed::<(), DbErr>(Err(error)),
        }
    }
    let typed = async |txn: &EventTransaction| {
        vault::Entity::insert_many([world.vault(), world.vault()]).exec(txn).await.map(drop)
    };
    connection.untracked("seed", typed).await.unwrap();
    let double = async |txn: &EventTransaction| {
        vault::Entity::insert_many([world.vault(), again(&taken)]).exec(txn).await.map(drop)
    };
    world.failed(connection.untracked("seed", double).await);
    let txn = world.begin().await;
    world.failed(txn.untracked("seed", double).await);
    world.show(&txn);
    txn.commit().await.unwrap(); // the nested unit was rolled back
    let own = async |txn: &EventTransaction| {
        let text = format!("UPDATE events SET actor_id = {}", literal(world, &world.secret()));
        txn.execute_unprepared(&text).await
    };
    world.failed(connection.untracked("no", own).await);
}

/// Links, which SeaORM removes with their parent in one plain DELETE.
pub async fn links(world: &World) {
    let [one, other] = two(world).await;
    let new =
        || link::ActiveModel { from_id: Set(one.id), to_id: Set(other.id), seal: Set(Some(world.secret())) };
    let delete = || link::Entity::delete_many().filter(link::Column::FromId.eq(one.id));
    let txn = world.begin().await;
    new().insert(&txn).await.unwrap();
    assert_eq!(delete().exec(&txn).await.unwrap().rows_affected, 1);
    let kept = new().insert(&txn).await.unwrap();
    txn.commit().await.unwrap();
    let refer =
        format!("INSERT INTO vault_seals (seal) VALUES ({})", literal(world, kept.seal.as_deref().unwrap()));
    world.db.db.execute_unprepared(&refer).await.unwrap();
    let txn = world.begin().await;
    let by_seal = link::Entity::delete_many().filter(link::Column::Seal.eq(world.secret()));
    world.failed(by_seal.exec(&txn).await);
    world.failed(delete().exec(&txn).await);
    world.failed(txn.commit().await);
}

/// Rows that come one by one.
pub async fn streams(world: &World) {
    let rows = two(world).await;
    let txn = world.begin().await;
    let select = vault::Entity::find().filter(at(&rows));
    let mut stream = select.clone().stream(&txn).await.unwrap();
    while let Some(row) = stream.next().await {
        row.unwrap();
    }
    drop(stream);
    let lock = select.lock_exclusive().into_query();
    let stream = StreamTrait::stream(&txn, &lock).await.unwrap();
    world.show(&stream);
    drop(stream);
    let write = vault::Entity::delete_many().filter(at(&rows)).into_query();
    world.failed(StreamTrait::stream(&txn, &write).await.map(drop));
    txn.commit().await.unwrap();
    // A query that fails is the caller's, and what is said of the unit after it is ours.
    let txn = world.begin().await;
    let sql = format!("SELECT nothing FROM vaults WHERE pin = {}", literal(world, &world.secret()));
    // A quote may be written in a way that not every session reads alike.
    let text = Statement::from_string(world.backend(), sql);
    let refused = Statement::from_string(world.backend(), "SELECT nothing FROM vaults");
    let stream = match txn.stream_raw(text).await {
        Ok(stream) => Ok(stream),
        Err(_) => txn.stream_raw(refused).await,
    };
    if let Ok(mut stream) = stream {
        while stream.next().await.is_some() {}
    }
    world.show(&txn);
    world.failed(world.vault().insert(&txn).await);
    world.failed(txn.commit().await);
}
