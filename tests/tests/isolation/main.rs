//! No team reads, receives or causes what is of another; where the database keeps them apart, it is asked as the role of the
//! application.

mod connections;
mod docs;
mod migration;
mod plans;
mod pooler;
mod rights;
mod side_channels;
mod startup;
mod surface;
mod verify;
mod world;

use events_sea_orm::migration as steps;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, Statement};
use tests::{TestDb, roles::TestRoles};

/// Every table of ours, and the entities'.
async fn with_all_tables(db: &TestDb) {
    db.with_tables().await;
    steps::threads::up(&db.db).await.unwrap();
    steps::notifications::up(&db.db).await.unwrap();
    steps::analytics::up(&db.db).await.unwrap();
}

/// The same, isolated.
async fn isolated(db: &TestDb) -> TestRoles {
    with_all_tables(db).await;
    let roles = TestRoles::create(db).await;
    steps::isolation::up(&db.db, &roles.roles()).await.unwrap();
    roles
}

/// The first column of every row, as text.
async fn texts(db: &impl ConnectionTrait, sql: &str) -> Vec<String> {
    let rows = db.query_all_raw(Statement::from_string(DbBackend::Postgres, sql)).await;
    let rows = rows.unwrap_or_else(|error| panic!("{error}: {sql}"));
    rows.iter().map(|row| row.try_get_by_index::<Option<String>>(0).unwrap().unwrap_or_default()).collect()
}

/// Statements of one transaction of this team; the last one's error, or the rows that it answered or changed.
async fn as_team(db: &DatabaseConnection, team: &str, sql: &str) -> Result<u64, DbErr> {
    use sea_orm::TransactionTrait;
    let txn = db.begin().await?;
    let set = "SELECT set_config('app.team_id', $1, true)";
    txn.execute_raw(Statement::from_sql_and_values(DbBackend::Postgres, set, [team.into()])).await?;
    let done = txn.execute_raw(Statement::from_string(DbBackend::Postgres, sql)).await?;
    txn.commit().await?;
    Ok(done.rows_affected())
}

/// An event of a team, to be written by SQL.
fn insert_event(team: &str) -> String {
    let id = uuid::Uuid::now_v7();
    format!(
        "INSERT INTO events (id, team_id, event_type, object_type, object_id, unit_id, event_data, context, occurred_at) \
         VALUES ('{id}', '{team}', 'CREATED', 'campaign', '1', '{id}', '{{}}', '{{}}', now())"
    )
}
