//! What may pass a unit of work, an `EventConnection` and a stream is listed, and the database watches over what its words
//! do not show.

mod attacks;
mod hidden;
mod names;
mod oracle;
mod untracked;

use std::sync::Arc;

use events_sea_orm::{Events, EventsBuilder, Refused};
use sea_orm::{
    ActiveModelTrait, ConnectionTrait, DatabaseConnection, DbBackend, DbErr, EntityTrait, PaginatorTrait,
    QueryResult, Statement,
};
use tests::{TestDb, context, entities::campaign, new_campaign};

/// Two campaigns, and a table that nobody tracks.
async fn set_up(db: &TestDb) -> Events {
    set_up_with(db, |builder| builder).await
}

async fn set_up_with(db: &TestDb, with: impl FnOnce(EventsBuilder) -> EventsBuilder) -> Events {
    db.with_tables().await;
    run(&db.db, "CREATE TABLE plain (id integer PRIMARY KEY, note varchar(100))").await;
    run(&db.db, "CREATE TABLE plain2 (id integer PRIMARY KEY, note varchar(100))").await;
    run(&db.db, "INSERT INTO plain VALUES (1, 'a'), (2, 'b')").await;
    run(&db.db, "INSERT INTO plain2 VALUES (1, 'a'), (2, 'b')").await;
    let events = with(Events::builder(db.db.clone())).build().await.unwrap();
    let txn = events.begin(context()).await.unwrap();
    new_campaign("a").insert(&txn).await.unwrap();
    new_campaign("b").insert(&txn).await.unwrap();
    txn.commit().await.unwrap();
    events
}

async fn run(db: &DatabaseConnection, sql: &str) {
    db.execute_unprepared(sql).await.unwrap_or_else(|error| panic!("{error}: {sql}"));
}

fn backend(db: &TestDb) -> DbBackend {
    db.db.get_database_backend()
}

fn text(db: &TestDb, sql: &str) -> Statement {
    Statement::from_string(backend(db), sql)
}

async fn ask(db: &TestDb, sql: &str) -> Vec<QueryResult> {
    db.db.query_all_raw(text(db, sql)).await.unwrap_or_else(|error| panic!("{error}: {sql}"))
}

/// What nobody may have changed: the rows, and what there is besides.
#[derive(Debug, PartialEq)]
struct State {
    campaigns: Vec<campaign::Model>,
    plain: Vec<(i32, Option<String>)>,
    events: usize,
}

async fn state(db: &TestDb) -> State {
    let read = async |table: &str| -> Vec<(i32, Option<String>)> {
        let rows = ask(db, &format!("SELECT id, note FROM {table} ORDER BY id")).await;
        rows.iter().map(|row| (row.try_get("", "id").unwrap(), row.try_get("", "note").unwrap())).collect()
    };
    let mut plain = read("plain").await;
    plain.extend(read("plain2").await);
    let campaigns = campaign::Entity::find().all(&db.db).await.unwrap();
    State { campaigns, plain, events: db.log().await.len() }
}

#[track_caller]
fn assert_unknown<T>(result: Result<T, DbErr>, what: &str) {
    let Err(error) = result else { panic!("must be refused: {what}") };
    let refused = Refused::of(&error);
    let is_known = matches!(
        refused,
        Some(
            Refused::UnknownSql { .. }
                | Refused::RawSql
                | Refused::Schema
                | Refused::OwnTable { .. }
                | Refused::Unannounced { .. }
        )
    );
    assert!(is_known, "{what}: {error}");
}

async fn count(db: &Arc<TestDb>) -> u64 {
    campaign::Entity::find().count(&db.db).await.unwrap()
}
