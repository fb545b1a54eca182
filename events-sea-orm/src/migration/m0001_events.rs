//! The `events` table with the indexes of a team's feed, an object's timeline and a unit's events.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use super::{create, drop_tables};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "events_0001_events"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        create(db, [table(db).await?], &INDEXES).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(manager, &["events"]).await
    }
}

/// `(team_id, seq)` is a team's feed; the other an object's timeline. An actor's feed has a step of its own.
const INDEXES: [&str; 2] = [
    "CREATE INDEX IF NOT EXISTS events_team_seq ON events (team_id, seq)",
    "CREATE INDEX IF NOT EXISTS events_object_seq ON events (team_id, object_type, object_id, seq)",
];

/// Text as it is: teams 'a', 'A', 'a ' and 'á' see nothing of each other.
async fn table(db: &impl ConnectionTrait) -> Result<String, DbErr> {
    const CHECKS: &str = "CHECK (length(team_id) > 0), CHECK ((object_type IS NULL) = (object_id IS NULL))";
    Ok(match db.get_database_backend() {
        DbBackend::Postgres => format!(
            r#"CREATE TABLE IF NOT EXISTS events (
                seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                id uuid NOT NULL UNIQUE,
                team_id varchar(191) COLLATE "C" NOT NULL,
                event_type varchar(63) COLLATE "C" NOT NULL
                    CHECK (event_type IN ('CREATED', 'UPDATED', 'STATE_CHANGED', 'DELETED', 'RESTORED') OR event_type ~ '^[a-z][a-z0-9_.]*$'),
                object_type varchar(191) COLLATE "C",
                object_id varchar(191) COLLATE "C",
                actor_id varchar(191) COLLATE "C",
                unit_id uuid NOT NULL,
                event_data jsonb NOT NULL,
                context jsonb NOT NULL,
                occurred_at timestamptz NOT NULL,
                recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
                {CHECKS}
            )"#
        ),
        DbBackend::Sqlite => format!(
            "CREATE TABLE IF NOT EXISTS events (
                seq integer PRIMARY KEY AUTOINCREMENT,
                id blob NOT NULL UNIQUE,
                team_id text NOT NULL CHECK (length(team_id) <= 191),
                event_type text NOT NULL
                    CHECK (event_type IN ('CREATED', 'UPDATED', 'STATE_CHANGED', 'DELETED', 'RESTORED') OR event_type NOT GLOB '*[^a-z0-9_.]*'),
                object_type text CHECK (length(object_type) <= 191),
                object_id text CHECK (length(object_id) <= 191),
                actor_id text CHECK (length(actor_id) <= 191),
                unit_id blob NOT NULL,
                event_data text NOT NULL CHECK (json_valid(event_data)),
                context text NOT NULL CHECK (json_valid(context)),
                occurred_at text NOT NULL,
                recorded_at text NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')),
                {CHECKS}
            )"
        ),
        DbBackend::MySql => {
            let collation = mysql_collation(db).await?;
            // `longtext`, not `json`: MariaDB takes no JSON deeper than 32 levels, MySQL none deeper than 100, and a
            // value from the user's own column stands a few levels deeper in an event. Their JSON functions read both.
            format!(
                "CREATE TABLE IF NOT EXISTS events (
                    seq bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
                    id binary(16) NOT NULL UNIQUE,
                    team_id varchar(191) NOT NULL,
                    event_type varchar(63) NOT NULL
                        CHECK (event_type IN ('CREATED', 'UPDATED', 'STATE_CHANGED', 'DELETED', 'RESTORED') OR event_type REGEXP '^[a-z][a-z0-9_.]*$'),
                    object_type varchar(191),
                    object_id varchar(191),
                    actor_id varchar(191),
                    unit_id binary(16) NOT NULL,
                    event_data longtext NOT NULL,
                    context longtext NOT NULL,
                    occurred_at datetime(6) NOT NULL,
                    recorded_at datetime(6) NOT NULL DEFAULT (utc_timestamp(6)),
                    {CHECKS},
                    KEY events_team_seq (team_id, seq),
                    KEY events_object_seq (team_id, object_type, object_id, seq)
                ) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE {collation}"
            )
        }
        other => return Err(unknown_database(other)),
    })
}

pub(super) fn unknown_database(other: DbBackend) -> DbErr {
    DbErr::Custom(format!("no tables for {other:?}: expected PostgreSQL, SQLite, MariaDB or MySQL"))
}

/// MariaDB's `utf8mb4_bin` pads: 'a' would find the rows of 'a '. MySQL has the like under another name.
pub(super) async fn mysql_collation(db: &impl ConnectionTrait) -> Result<&'static str, DbErr> {
    let version = Statement::from_string(DbBackend::MySql, "SELECT version() AS version");
    let row = db.query_one_raw(version).await?;
    let version: String = row.map_or(Ok(String::new()), |row| row.try_get("", "version"))?;
    Ok(if version.contains("MariaDB") { "utf8mb4_nopad_bin" } else { "utf8mb4_0900_bin" })
}
