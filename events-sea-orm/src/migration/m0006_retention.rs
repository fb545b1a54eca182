//! What a purge needs: its record, holds, marks, and the door in the guard of `events`.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DbBackend, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use super::{
    create, drop_tables,
    m0001_events::{mysql_collation, unknown_database},
    m0005_guards,
};
use crate::backend;

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "events_0006_retention"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        let (tables, indexes) = tables(db).await?;
        create(db, tables, indexes).await?;
        // The guard of `events` is another now.
        m0005_guards::make(db).await?;
        // A mark that covers nothing, so that there is a row to lock.
        db.execute_unprepared(&first_mark(db.get_database_backend())).await?;
        // If a writer stays open, the first purge draws one.
        backend::retention::mark(db, Duration::from_secs(5)).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(manager, &["event_purges", "event_holds", "event_marks"]).await?;
        let db = manager.get_connection();
        for sql in backend::guards::remove_of_purges(db.get_database_backend()) {
            db.execute_unprepared(&sql).await?;
        }
        m0005_guards::make(db).await
    }
}

fn first_mark(backend: DbBackend) -> String {
    let epoch = match backend {
        DbBackend::MySql => "1970-01-01 00:00:00",
        _ => "1970-01-01T00:00:00.000000+00:00",
    };
    format!(
        "INSERT INTO event_marks (seq, recorded_until, at) SELECT 0, '{epoch}', '{epoch}' FROM (SELECT 1 AS one) AS one \
         WHERE NOT EXISTS (SELECT 1 FROM event_marks)"
    )
}

async fn tables(db: &impl ConnectionTrait) -> Result<([String; 3], &'static [&'static str]), DbErr> {
    const BOUNDS: &str = "CHECK (first_seq <= last_seq), CHECK (removed >= 0)";
    Ok(match db.get_database_backend() {
        DbBackend::Postgres => (
            [
                format!(
                    r#"CREATE TABLE IF NOT EXISTS event_purges (
                        id uuid PRIMARY KEY,
                        purge_id uuid NOT NULL,
                        cut timestamptz NOT NULL,
                        recorded_until timestamptz NOT NULL,
                        first_seq bigint NOT NULL,
                        last_seq bigint NOT NULL,
                        removed bigint,
                        reason text NOT NULL,
                        purged_by varchar(191) COLLATE "C" NOT NULL,
                        at timestamptz NOT NULL DEFAULT clock_timestamp(),
                        xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
                        {BOUNDS}
                    )"#
                ),
                r#"CREATE TABLE IF NOT EXISTS event_holds (
                    name varchar(191) COLLATE "C" PRIMARY KEY,
                    seq bigint NOT NULL,
                    since timestamptz NOT NULL DEFAULT clock_timestamp()
                )"#
                .to_owned(),
                "CREATE TABLE IF NOT EXISTS event_marks (
                    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                    seq bigint NOT NULL,
                    recorded_until timestamptz NOT NULL,
                    at timestamptz NOT NULL
                )"
                .to_owned(),
            ],
            &["CREATE INDEX IF NOT EXISTS event_purges_open ON event_purges (xid) WHERE removed IS NULL"],
        ),
        DbBackend::Sqlite => (
            [
                format!(
                    "CREATE TABLE IF NOT EXISTS event_purges (
                        id blob PRIMARY KEY,
                        purge_id blob NOT NULL,
                        cut text NOT NULL,
                        recorded_until text NOT NULL,
                        first_seq integer NOT NULL,
                        last_seq integer NOT NULL,
                        removed integer,
                        reason text NOT NULL,
                        purged_by text NOT NULL,
                        at text NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')),
                        {BOUNDS}
                    )"
                ),
                "CREATE TABLE IF NOT EXISTS event_holds (
                    name text PRIMARY KEY NOT NULL,
                    seq integer NOT NULL,
                    since text NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now'))
                )"
                .to_owned(),
                "CREATE TABLE IF NOT EXISTS event_marks (
                    id integer PRIMARY KEY AUTOINCREMENT,
                    seq integer NOT NULL,
                    recorded_until text NOT NULL,
                    at text NOT NULL
                )"
                .to_owned(),
            ],
            &[
                "CREATE INDEX IF NOT EXISTS event_purges_open ON event_purges (first_seq) WHERE removed IS NULL",
            ],
        ),
        DbBackend::MySql => {
            let collation = mysql_collation(db).await?;
            let options = format!("ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE {collation}");
            (
                [
                    format!(
                        "CREATE TABLE IF NOT EXISTS event_purges (
                            id binary(16) NOT NULL PRIMARY KEY,
                            purge_id binary(16) NOT NULL,
                            cut datetime(6) NOT NULL,
                            recorded_until datetime(6) NOT NULL,
                            first_seq bigint NOT NULL,
                            last_seq bigint NOT NULL,
                            removed bigint,
                            reason text NOT NULL,
                            purged_by varchar(191) NOT NULL,
                            at datetime(6) NOT NULL DEFAULT (utc_timestamp(6)),
                            connection bigint NOT NULL DEFAULT (connection_id()),
                            KEY event_purges_open (removed, connection),
                            {BOUNDS}
                        ) {options}"
                    ),
                    format!(
                        "CREATE TABLE IF NOT EXISTS event_holds (
                            name varchar(191) NOT NULL PRIMARY KEY,
                            seq bigint NOT NULL,
                            since datetime(6) NOT NULL DEFAULT (utc_timestamp(6))
                        ) {options}"
                    ),
                    format!(
                        "CREATE TABLE IF NOT EXISTS event_marks (
                            id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
                            seq bigint NOT NULL,
                            recorded_until datetime(6) NOT NULL,
                            at datetime(6) NOT NULL
                        ) {options}"
                    ),
                ],
                &[],
            )
        }
        other => return Err(unknown_database(other)),
    })
}
