//! The unique key of `thread_messages` holds the team: where the table was made before it did, the key is made anew.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, SchemaManagerConnection};

use super::m0002_threads;

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "events_0007_thread_keys"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        match manager.get_database_backend() {
            DbBackend::Postgres => postgres(manager).await,
            DbBackend::MySql => mysql(manager).await,
            _ => sqlite(manager).await,
        }
    }

    /// The tables go with the step that makes them.
    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Ok(())
    }

    /// Outside of a transaction PostgreSQL makes the key while others write.
    fn use_transaction(&self) -> Option<bool> {
        Some(false)
    }
}

/// What was asked of the catalog, as text; empty for nothing.
async fn ask(manager: &SchemaManager<'_>, sql: &str) -> Result<Option<String>, DbErr> {
    let statement = Statement::from_string(manager.get_database_backend(), sql);
    let row = manager.get_connection().query_one_raw(statement).await?;
    row.map_or(Ok(None), |row| row.try_get_by_index(0))
}

async fn run(manager: &SchemaManager<'_>, sql: &str) -> Result<(), DbErr> {
    manager.get_connection().execute_unprepared(sql).await.map(drop)
}

async fn postgres(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    const KEY: &str = "SELECT 'there' FROM pg_catalog.pg_index i WHERE i.indrelid = to_regclass('thread_messages')::oid AND i.indisunique AND i.indisvalid \
         AND (SELECT array_agg(a.attname::text ORDER BY a.attname) FROM pg_catalog.pg_attribute a WHERE a.attrelid = i.indrelid \
         AND a.attnum = ANY (i.indkey)) = '{event_id,team_id,thread_id}' LIMIT 1";
    const OLD: &str = "SELECT quote_ident(c.conname) FROM pg_catalog.pg_constraint c WHERE c.conrelid = to_regclass('thread_messages')::oid AND c.contype = 'u' \
         AND (SELECT array_agg(a.attname::text ORDER BY a.attname) FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.conrelid \
         AND a.attnum = ANY (c.conkey)) = '{event_id,thread_id}' LIMIT 1";
    if ask(manager, KEY).await?.is_none() {
        let alone = matches!(manager.get_connection(), SchemaManagerConnection::Connection(_));
        let concurrently = if alone { "CONCURRENTLY " } else { "" };
        // One that was broken off is left behind, and is no key.
        run(manager, &format!("DROP INDEX {concurrently}IF EXISTS thread_messages_event")).await?;
        let columns = "thread_messages (team_id, thread_id, event_id)";
        run(manager, &format!("CREATE UNIQUE INDEX {concurrently}thread_messages_event ON {columns}"))
            .await?;
    }
    if let Some(old) = ask(manager, OLD).await? {
        run(manager, &format!("ALTER TABLE thread_messages DROP CONSTRAINT {old}")).await?;
    }
    Ok(())
}

async fn mysql(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let key = |columns: &str| {
        format!(
            "SELECT CAST(INDEX_NAME AS CHAR) FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = DATABASE() \
             AND TABLE_NAME = 'thread_messages' AND NON_UNIQUE = 0 GROUP BY INDEX_NAME \
             HAVING GROUP_CONCAT(COLUMN_NAME ORDER BY COLUMN_NAME) = '{columns}'"
        )
    };
    let mut changes = Vec::new();
    if ask(manager, &key("event_id,team_id,thread_id")).await?.is_none() {
        changes.push("ADD UNIQUE KEY thread_messages_event (team_id, thread_id, event_id)".to_owned());
    }
    if let Some(old) = ask(manager, &key("event_id,thread_id")).await? {
        changes.push(format!("DROP KEY `{}`", old.replace('`', "``")));
    }
    if changes.is_empty() {
        return Ok(());
    }
    let changes = changes.join(", ");
    run(manager, &format!("ALTER TABLE thread_messages {changes}, ALGORITHM = INPLACE, LOCK = NONE")).await
}

/// SQLite drops no key: the table is made anew.
async fn sqlite(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    const OLD: &str = "SELECT 'old' FROM sqlite_master WHERE type = 'table' AND name = 'thread_messages' \
         AND sql LIKE '%UNIQUE (thread_id, event_id)%'";
    const COLUMNS: &str = "id, thread_id, team_id, event_id, kind, author_id, body, data, created_at";
    if ask(manager, OLD).await?.is_none() {
        return Ok(());
    }
    let transaction = manager.begin().await?;
    let db = transaction.get_connection();
    let [_, table] = m0002_threads::tables(db).await?;
    let copy =
        format!("INSERT INTO thread_messages ({COLUMNS}) SELECT {COLUMNS} FROM thread_messages_before");
    // The next number is the one that it would have been.
    let number = "UPDATE sqlite_sequence SET seq = (SELECT seq FROM sqlite_sequence WHERE name = 'thread_messages_before') \
                  WHERE name = 'thread_messages'";
    let statements = [
        "ALTER TABLE thread_messages RENAME TO thread_messages_before",
        "DROP INDEX IF EXISTS thread_messages_thread_id",
        &table,
        &copy,
        number,
        "DROP TABLE thread_messages_before",
        m0002_threads::INDEX,
    ];
    for sql in statements {
        db.execute_unprepared(sql).await?;
    }
    transaction.commit().await
}
