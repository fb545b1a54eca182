//! What each database is asked in its own words, and nowhere else.

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, RuntimeErr, Statement};
use serde::Serialize;

/// What there is to say of a database before anything is examined.
#[derive(Debug, Serialize)]
pub(crate) struct Facts {
    pub(crate) database: String,
    /// As whom we are connected. An embedded database knows of nobody.
    pub(crate) role: Option<String>,
    /// Whether the database itself keeps teams apart. Only PostgreSQL can.
    pub(crate) row_level_security: bool,
    /// About how many there are, if the database has an idea.
    pub(crate) events: Option<i64>,
}

pub(crate) async fn facts(db: &DatabaseConnection) -> Result<Facts, DbErr> {
    let backend = db.get_database_backend();
    // A count would read the whole table: servers have an estimate. SQLite has none, its last number is one.
    let sql = match backend {
        DbBackend::Postgres => {
            "SELECT 'PostgreSQL ' || current_setting('server_version') AS version, current_user::text AS role,
             (SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass('events')) AS events,
             coalesce((SELECT relrowsecurity FROM pg_class WHERE oid = to_regclass('events')), false) AS guarded"
        }
        DbBackend::Sqlite => {
            "SELECT 'SQLite ' || sqlite_version() AS version, NULL AS role, false AS guarded, NULL AS events"
        }
        _ => {
            "SELECT concat(if(version() LIKE '%MariaDB%', 'MariaDB ', 'MySQL '), version()) AS version,
             current_user() AS role, false AS guarded, (SELECT CAST(table_rows AS signed)
                FROM information_schema.tables WHERE table_schema = database() AND table_name = 'events') AS events"
        }
    };
    let row = db.query_one_raw(Statement::from_string(backend, sql)).await?;
    let row = row.ok_or_else(|| DbErr::RecordNotFound("the database does not say what it is".to_owned()))?;
    let mut events: Option<i64> = row.try_get("", "events")?;
    if backend == DbBackend::Sqlite && !present(db, &["events"]).await?.is_empty() {
        let last = Statement::from_string(backend, "SELECT max(seq) AS last FROM events");
        let last: Option<Option<i64>> =
            db.query_one_raw(last).await?.map(|row| row.try_get("", "last")).transpose()?;
        events = last.map(Option::unwrap_or_default);
    }
    Ok(Facts {
        database: row.try_get("", "version")?,
        role: row.try_get("", "role")?,
        row_level_security: row.try_get("", "guarded")?,
        events: events.filter(|events| *events >= 0), // PostgreSQL: -1 until it is analyzed
    })
}

/// Whether the role that is connected sees the events of every team although row-level security is on.
pub(crate) async fn sees_all_teams(db: &DatabaseConnection) -> Result<bool, DbErr> {
    let backend = db.get_database_backend();
    if backend != DbBackend::Postgres {
        return Ok(true); // nothing else has policies
    }
    let sql = "SELECT rolsuper OR rolbypassrls OR EXISTS (
            SELECT FROM pg_policy WHERE polrelid = to_regclass('events') AND polcmd IN ('r', '*')
            AND pg_get_expr(polqual, polrelid) = 'true'
            AND EXISTS (SELECT FROM unnest(polroles) AS role WHERE role = 0 OR pg_has_role(role, 'USAGE'))
        ) FROM pg_roles WHERE rolname = current_user";
    let row = db.query_one_raw(Statement::from_string(backend, sql)).await?;
    row.map_or(Ok(false), |row| row.try_get_by_index(0))
}

/// Which of these tables are there.
pub(crate) async fn present(db: &DatabaseConnection, tables: &[&str]) -> Result<Vec<String>, DbErr> {
    let backend = db.get_database_backend();
    let mut present = Vec::new();
    for table in tables {
        let sql = match backend {
            DbBackend::Postgres => "SELECT 1 WHERE to_regclass($1) IS NOT NULL",
            DbBackend::Sqlite => "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?",
            _ => "SELECT 1 FROM information_schema.tables WHERE table_schema = database() AND table_name = ?",
        };
        let statement = Statement::from_sql_and_values(backend, sql, [(*table).into()]);
        if db.query_one_raw(statement).await?.is_some() {
            present.push((*table).to_owned());
        }
    }
    Ok(present)
}

/// Whether a statement failed because a table is not there.
pub(crate) fn is_missing_table(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) = error
    else {
        return false;
    };
    // PostgreSQL's code, MariaDB's and MySQL's; SQLite has a general one and says it in words.
    error.as_database_error().is_some_and(|error| {
        matches!(error.code().as_deref(), Some("42P01" | "42S02"))
            || error.message().starts_with("no such table")
    })
}
