//! The `notifications` of users, and the `notification_preferences` that say which they want.

use sea_orm::{ConnectionTrait, DbBackend, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use super::{
    create, drop_tables,
    m0001_events::{mysql_collation, unknown_database},
};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "events_0003_notifications"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        create(db, tables(db).await?, &INDEXES).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(manager, &["notification_preferences", "notifications"]).await
    }
}

/// A user's list, page by page, and what of it is unread.
const INDEXES: [&str; 2] = [
    "CREATE INDEX IF NOT EXISTS notifications_user ON notifications (team_id, user_id, id)",
    "CREATE INDEX IF NOT EXISTS notifications_unread ON notifications (team_id, user_id, id) WHERE read_at IS NULL",
];

/// What a preference is about is never NULL: a unique key takes several NULLs for different. The empty text is "every".
async fn tables(db: &impl ConnectionTrait) -> Result<[String; 2], DbErr> {
    const NOTIFICATION: &str = "UNIQUE (user_id, team_id, event_id), CHECK (length(team_id) > 0), CHECK (length(user_id) > 0), \
         CHECK ((object_type IS NULL) = (object_id IS NULL))";
    const PREFERENCE: &str = "CHECK (length(team_id) > 0), CHECK (length(user_id) > 0), CHECK (object_id = '' OR object_type <> '')";
    const TOPIC: &str = "UNIQUE (team_id, user_id, event_type, object_type, object_id)";
    Ok(match db.get_database_backend() {
        DbBackend::Postgres => [
            format!(
                r#"CREATE TABLE IF NOT EXISTS notifications (
                    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                    team_id varchar(191) COLLATE "C" NOT NULL,
                    user_id varchar(191) COLLATE "C" NOT NULL,
                    event_id uuid NOT NULL,
                    event_type varchar(63) COLLATE "C" NOT NULL,
                    object_type varchar(191) COLLATE "C",
                    object_id varchar(191) COLLATE "C",
                    actor_id varchar(191) COLLATE "C",
                    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
                    read_at timestamptz,
                    {NOTIFICATION}
                )"#
            ),
            format!(
                r#"CREATE TABLE IF NOT EXISTS notification_preferences (
                    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                    team_id varchar(191) COLLATE "C" NOT NULL,
                    user_id varchar(191) COLLATE "C" NOT NULL,
                    event_type varchar(63) COLLATE "C" NOT NULL DEFAULT '',
                    object_type varchar(191) COLLATE "C" NOT NULL DEFAULT '',
                    object_id varchar(191) COLLATE "C" NOT NULL DEFAULT '',
                    wanted boolean NOT NULL,
                    {TOPIC}, {PREFERENCE}
                )"#
            ),
        ],
        DbBackend::Sqlite => [
            format!(
                "CREATE TABLE IF NOT EXISTS notifications (
                    id integer PRIMARY KEY AUTOINCREMENT,
                    team_id text NOT NULL CHECK (length(team_id) <= 191),
                    user_id text NOT NULL CHECK (length(user_id) <= 191),
                    event_id blob NOT NULL,
                    event_type text NOT NULL,
                    object_type text CHECK (length(object_type) <= 191),
                    object_id text CHECK (length(object_id) <= 191),
                    actor_id text CHECK (length(actor_id) <= 191),
                    created_at text NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')),
                    read_at text,
                    {NOTIFICATION}
                )"
            ),
            format!(
                "CREATE TABLE IF NOT EXISTS notification_preferences (
                    id integer PRIMARY KEY AUTOINCREMENT,
                    team_id text NOT NULL CHECK (length(team_id) <= 191),
                    user_id text NOT NULL CHECK (length(user_id) <= 191),
                    event_type text NOT NULL DEFAULT '',
                    object_type text NOT NULL DEFAULT '' CHECK (length(object_type) <= 191),
                    object_id text NOT NULL DEFAULT '' CHECK (length(object_id) <= 191),
                    wanted boolean NOT NULL,
                    {TOPIC}, {PREFERENCE}
                )"
            ),
        ],
        DbBackend::MySql => {
            let collation = mysql_collation(db).await?;
            let options = format!("ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE {collation}");
            [
                format!(
                    "CREATE TABLE IF NOT EXISTS notifications (
                        id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
                        team_id varchar(191) NOT NULL,
                        user_id varchar(191) NOT NULL,
                        event_id binary(16) NOT NULL,
                        event_type varchar(63) NOT NULL,
                        object_type varchar(191),
                        object_id varchar(191),
                        actor_id varchar(191),
                        created_at datetime(6) NOT NULL DEFAULT (utc_timestamp(6)),
                        read_at datetime(6),
                        {NOTIFICATION},
                        KEY notifications_user (team_id, user_id, id),
                        KEY notifications_unread (team_id, user_id, read_at, id)
                    ) {options}"
                ),
                // The five columns are longer than a key may be here, so their digest is unique. No identifier has a NUL.
                format!(
                    "CREATE TABLE IF NOT EXISTS notification_preferences (
                        id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
                        team_id varchar(191) NOT NULL,
                        user_id varchar(191) NOT NULL,
                        event_type varchar(63) NOT NULL DEFAULT '',
                        object_type varchar(191) NOT NULL DEFAULT '',
                        object_id varchar(191) NOT NULL DEFAULT '',
                        wanted boolean NOT NULL,
                        topic binary(32) AS (unhex(sha2(concat_ws(x'00', team_id, user_id, event_type, object_type, object_id), 256))) STORED,
                        UNIQUE (topic),
                        KEY notification_preferences_user (team_id, user_id),
                        {PREFERENCE}
                    ) {options}"
                ),
            ]
        }
        other => return Err(unknown_database(other)),
    })
}
