//! The `threads` of objects and the `thread_messages` in them.

use sea_orm::{ConnectionTrait, DbBackend, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use super::{
    create, drop_tables,
    m0001_events::{mysql_collation, unknown_database},
};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "events_0002_threads"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        create(db, tables(db).await?, &[INDEX]).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(manager, &["thread_messages", "threads"]).await
    }
}

/// An event is told once in a thread. The team is part of the key, as of every unique key here: what one team has written
/// must not keep another's message out.
const MESSAGE_KEY: &str = "UNIQUE (team_id, thread_id, event_id)";

/// The messages of a thread, page by page.
pub(super) const INDEX: &str =
    "CREATE INDEX IF NOT EXISTS thread_messages_thread_id ON thread_messages (thread_id, id)";

/// The scope is never NULL: a unique key takes several NULLs for different. Without one it is the empty text.
pub(super) async fn tables(db: &impl ConnectionTrait) -> Result<[String; 2], DbErr> {
    const OBJECT: &str = "(team_id, object_type, object_id, scope), CHECK (length(team_id) > 0), CHECK (length(object_id) > 0)";
    const KIND: &str =
        "CHECK (kind IN ('system', 'user')), CHECK ((kind = 'system') = (event_id IS NOT NULL))";
    Ok(match db.get_database_backend() {
        DbBackend::Postgres => [
            format!(
                r#"CREATE TABLE IF NOT EXISTS threads (
                    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                    team_id varchar(191) COLLATE "C" NOT NULL,
                    object_type varchar(191) COLLATE "C" NOT NULL,
                    object_id varchar(191) COLLATE "C" NOT NULL,
                    scope varchar(191) COLLATE "C" NOT NULL DEFAULT '',
                    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
                    UNIQUE {OBJECT}
                )"#
            ),
            format!(
                r#"CREATE TABLE IF NOT EXISTS thread_messages (
                    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                    thread_id bigint NOT NULL REFERENCES threads (id),
                    team_id varchar(191) COLLATE "C" NOT NULL,
                    event_id uuid,
                    kind varchar(16) COLLATE "C" NOT NULL,
                    author_id varchar(191) COLLATE "C",
                    body text NOT NULL,
                    data jsonb NOT NULL,
                    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
                    {MESSAGE_KEY}, {KIND}
                )"#
            ),
        ],
        DbBackend::Sqlite => [
            format!(
                "CREATE TABLE IF NOT EXISTS threads (
                    id integer PRIMARY KEY AUTOINCREMENT,
                    team_id text NOT NULL CHECK (length(team_id) <= 191),
                    object_type text NOT NULL CHECK (length(object_type) <= 191),
                    object_id text NOT NULL CHECK (length(object_id) <= 191),
                    scope text NOT NULL DEFAULT '' CHECK (length(scope) <= 191),
                    created_at text NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')),
                    UNIQUE {OBJECT}
                )"
            ),
            format!(
                "CREATE TABLE IF NOT EXISTS thread_messages (
                    id integer PRIMARY KEY AUTOINCREMENT,
                    thread_id integer NOT NULL REFERENCES threads (id),
                    team_id text NOT NULL CHECK (length(team_id) <= 191),
                    event_id blob,
                    kind text NOT NULL,
                    author_id text CHECK (length(author_id) <= 191),
                    body text NOT NULL,
                    data text NOT NULL CHECK (json_valid(data)),
                    created_at text NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')),
                    {MESSAGE_KEY}, {KIND}
                )"
            ),
        ],
        DbBackend::MySql => {
            let collation = mysql_collation(db).await?;
            let options = format!("ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE {collation}");
            [
                // By the object, not the number: of a key that is not the primary one, InnoDB locks the gap before it as
                // well, and units that make neighbours would wait for one another in a circle.
                format!(
                    "CREATE TABLE IF NOT EXISTS threads (
                        id bigint NOT NULL AUTO_INCREMENT UNIQUE,
                        team_id varchar(191) NOT NULL,
                        object_type varchar(191) NOT NULL,
                        object_id varchar(191) NOT NULL,
                        scope varchar(191) NOT NULL DEFAULT '',
                        created_at datetime(6) NOT NULL DEFAULT (utc_timestamp(6)),
                        PRIMARY KEY {OBJECT}
                    ) {options}"
                ),
                // `mediumtext`: a message of 64 KiB is one byte too long for `text`.
                format!(
                    "CREATE TABLE IF NOT EXISTS thread_messages (
                        id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
                        thread_id bigint NOT NULL,
                        team_id varchar(191) NOT NULL,
                        event_id binary(16),
                        kind varchar(16) NOT NULL,
                        author_id varchar(191),
                        body mediumtext NOT NULL,
                        data longtext NOT NULL,
                        created_at datetime(6) NOT NULL DEFAULT (utc_timestamp(6)),
                        {MESSAGE_KEY}, {KIND},
                        KEY thread_messages_thread_id (thread_id, id),
                        FOREIGN KEY (thread_id) REFERENCES threads (id)
                    ) {options}"
                ),
            ]
        }
        other => return Err(unknown_database(other)),
    })
}
