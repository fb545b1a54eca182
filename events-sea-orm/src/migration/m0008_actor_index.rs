//! An index of what an actor did in a team.

use sea_orm::{ConnectionTrait, DatabaseExecutor, DbBackend, DbErr, Statement};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "events_0008_actor_index"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    /// PostgreSQL builds nothing `CONCURRENTLY` in one.
    fn use_transaction(&self) -> Option<bool> {
        Some(false)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        let found = find(db).await?;
        if found == Some(true) {
            return Ok(());
        }
        if found == Some(false) {
            drop_index(db).await?;
        }
        let concurrently = if can_be_concurrent(db).await? { "CONCURRENTLY " } else { "" };
        let sql = format!("CREATE INDEX {concurrently}events_actor_seq ON events (team_id, actor_id, seq)");
        db.execute_unprepared(&sql).await.map(drop)
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        if find(db).await?.is_some() { drop_index(db).await } else { Ok(()) }
    }
}

async fn drop_index(db: &DatabaseExecutor<'_>) -> Result<(), DbErr> {
    let sql = match db.get_database_backend() {
        DbBackend::MySql => "DROP INDEX events_actor_seq ON events",
        DbBackend::Postgres if can_be_concurrent(db).await? => "DROP INDEX CONCURRENTLY events_actor_seq",
        _ => "DROP INDEX events_actor_seq",
    };
    db.execute_unprepared(sql).await.map(drop)
}

/// Whether the index is there, and then whether it was built to its end.
async fn find(db: &DatabaseExecutor<'_>) -> Result<Option<bool>, DbErr> {
    let sql = match db.get_database_backend() {
        DbBackend::Postgres => {
            "SELECT i.indisvalid AS is_whole FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
             WHERE i.indrelid = to_regclass('events') AND c.relname = 'events_actor_seq'"
        }
        DbBackend::MySql => {
            "SELECT true AS is_whole FROM information_schema.statistics WHERE table_schema = database() \
             AND table_name = 'events' AND index_name = 'events_actor_seq' LIMIT 1"
        }
        _ => "SELECT true AS is_whole FROM sqlite_master WHERE type = 'index' AND name = 'events_actor_seq'",
    };
    let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await?;
    row.map(|row| row.try_get("", "is_whole")).transpose()
}

/// Only PostgreSQL has the word; not in a transaction, nor for a partitioned table.
async fn can_be_concurrent(db: &DatabaseExecutor<'_>) -> Result<bool, DbErr> {
    if db.get_database_backend() != DbBackend::Postgres || !matches!(db, DatabaseExecutor::Connection(_)) {
        return Ok(false);
    }
    let sql = "SELECT relkind = 'r' AS is_plain FROM pg_catalog.pg_class WHERE oid = to_regclass('events')";
    let row = db.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await?;
    row.map_or(Ok(false), |row| row.try_get("", "is_plain"))
}
