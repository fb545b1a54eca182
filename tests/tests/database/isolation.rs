//! No team reads, receives or causes what is of another; where the database keeps them apart, it is asked as the role of the
//! application.

mod connections;
mod docs;
mod migration;
mod new_team;
mod past_the_table;
mod plans;
mod pooler;
mod rights;
mod side_channels;
mod startup;
mod surface;
mod tables;
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

/// Whether a membership says itself what it is for.
async fn is_16(db: &TestDb) -> bool {
    texts(&db.db, "SELECT (current_setting('server_version_num')::int >= 160000)::text").await == ["true"]
}

/// A table of events that its owner divides.
const PARTITIONED: &str = "CREATE TABLE events (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id uuid NOT NULL, \
     team_id varchar(191) COLLATE \"C\" NOT NULL, event_type varchar(63) NOT NULL, object_type varchar(191), object_id varchar(191), \
     actor_id varchar(191), unit_id uuid NOT NULL, event_data jsonb NOT NULL, context jsonb NOT NULL, occurred_at timestamptz NOT NULL, \
     recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()) PARTITION BY RANGE (seq); \
     CREATE TABLE events_low PARTITION OF events FOR VALUES FROM (MINVALUE) TO (100)";
