//! The `event_daily_counts`: how many events of each kind there were on each day.

use sea_orm::{ConnectionTrait, DbBackend, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use super::{
    create, drop_tables,
    m0001_events::{mysql_collation, unknown_database},
};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "events_0004_analytics"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        create(db, [table(db).await?], &[]).await?;
        if db.get_database_backend() == DbBackend::MySql {
            for sql in LOCK {
                db.execute_unprepared(sql).await?;
            }
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(manager, &["event_daily_counts_lock", "event_daily_counts"]).await
    }
}

/// One row, which whoever makes new counts locks: `backend::analytics::lock_new_counts` says why.
const LOCK: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS event_daily_counts_lock (id tinyint NOT NULL PRIMARY KEY) ENGINE = InnoDB",
    "INSERT IGNORE INTO event_daily_counts_lock (id) VALUES (1)",
];

/// An event about nothing has the empty text as its object type: a key holds no NULL.
async fn table(db: &impl ConnectionTrait) -> Result<String, DbErr> {
    const KEY: &str = "PRIMARY KEY (team_id, day, event_type, object_type), CHECK (length(team_id) > 0)";
    Ok(match db.get_database_backend() {
        DbBackend::Postgres => format!(
            r#"CREATE TABLE IF NOT EXISTS event_daily_counts (
                team_id varchar(191) COLLATE "C" NOT NULL,
                day date NOT NULL,
                event_type varchar(63) COLLATE "C" NOT NULL,
                object_type varchar(191) COLLATE "C" NOT NULL DEFAULT '',
                count bigint NOT NULL,
                {KEY}
            )"#
        ),
        DbBackend::Sqlite => format!(
            "CREATE TABLE IF NOT EXISTS event_daily_counts (
                team_id text NOT NULL CHECK (length(team_id) <= 191),
                day text NOT NULL,
                event_type text NOT NULL,
                object_type text NOT NULL DEFAULT '' CHECK (length(object_type) <= 191),
                count integer NOT NULL,
                {KEY}
            ) WITHOUT ROWID"
        ),
        DbBackend::MySql => {
            let collation = mysql_collation(db).await?;
            format!(
                "CREATE TABLE IF NOT EXISTS event_daily_counts (
                    team_id varchar(191) NOT NULL,
                    day date NOT NULL,
                    event_type varchar(63) NOT NULL,
                    object_type varchar(191) NOT NULL DEFAULT '',
                    count bigint NOT NULL,
                    {KEY}
                ) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE {collation}"
            )
        }
        other => return Err(unknown_database(other)),
    })
}
