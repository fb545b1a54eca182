//! Only what really differs between the databases.
//!
//! SeaORM may add databases; `_` stands for SQLite, since the migration refuses any other.

#[cfg(feature = "analytics")]
pub(crate) mod analytics;
pub(crate) mod catalog;
pub(crate) mod cells;
pub(crate) mod counts;
pub(crate) mod guards;
pub(crate) mod isolation;
#[cfg(feature = "notifications")]
pub(crate) mod notifications;
pub(crate) mod relations;
pub(crate) mod retention;
pub(crate) mod text;
#[cfg(feature = "threads")]
pub(crate) mod threads;
pub(crate) mod tokens;
pub(crate) mod watch;
pub(crate) mod words;
pub(crate) mod years;

#[cfg(feature = "stream")]
pub(crate) use self::watch::loses_its_place;
pub(crate) use self::watch::{counts_values, counts_writes, is_servers_table};
use chrono::{DateTime, SecondsFormat, Utc};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, DbErr, ExecResult, IsolationLevel, RuntimeErr,
    SqliteTransactionMode, Statement, TransactionOptions, Value,
    sea_query::{Expr, ExprTrait, LockType, SelectStatement},
    sqlx,
};

/// Whether an error came up inside of a function or a trigger, in the database's own words: those of a RAISE are the application's.
pub(crate) fn failed_in_a_function(error: &dyn sqlx::error::DatabaseError) -> bool {
    #[cfg(feature = "postgres")]
    if let Some(error) = error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
        return error.r#where().is_some() && error.code() != "P0001";
    }
    let _ = error;
    false
}

/// Asks the database what it is called, so that two connections can be told to be of the same one. NULL, or empty for
/// any database in memory, where it has no name.
pub(crate) fn select_database(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => {
            "SELECT system_identifier::text || '/' || current_database() FROM pg_control_system()"
        }
        DbBackend::MySql => "SELECT CAST(CONCAT(@@hostname, ':', @@port, @@datadir, DATABASE()) AS CHAR)",
        _ => "SELECT file FROM pragma_database_list WHERE name = 'main'",
    }
}

/// What is about to happen to the row that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lock {
    ForUpdate,
    ForDelete,
}

/// How the old row is locked.
pub(crate) fn lock(backend: DbBackend, lock: Lock) -> Option<LockType> {
    match (backend, lock) {
        // A key never changes in a SeaORM update, so rows that refer to this one need not wait.
        (DbBackend::Postgres, Lock::ForUpdate) => Some(LockType::NoKeyUpdate),
        (DbBackend::Postgres, Lock::ForDelete) | (DbBackend::MySql, _) => Some(LockType::Update),
        // `IMMEDIATE` has locked the whole database.
        (_, _) => None,
    }
}

/// Locks the rows that a SELECT reads.
pub(crate) fn lock_rows(select: &mut SelectStatement, backend: DbBackend, kind: Lock) {
    if let Some(lock) = lock(backend, kind) {
        select.lock(lock);
    }
}

/// The same at the end of a SELECT that is text.
pub(crate) fn lock_words(backend: DbBackend, kind: Lock) -> &'static str {
    match lock(backend, kind) {
        Some(LockType::NoKeyUpdate) => " FOR NO KEY UPDATE",
        Some(_) => " FOR UPDATE",
        None => "",
    }
}

/// Whether the rest of an answer comes whether it is wanted or not.
#[cfg(feature = "stream")]
pub(crate) fn answers_run_on(backend: DbBackend) -> bool {
    matches!(backend, DbBackend::Postgres | DbBackend::MySql)
}

/// Whether an UPDATE can read and lock the old row in the same statement: over a network that saves a round trip.
pub(crate) fn updates_with_old(backend: DbBackend) -> bool {
    backend == DbBackend::Postgres
}

/// Whether an INSERT that does nothing about a row that is there counts it like one that came.
pub(crate) fn counts_what_is_there(backend: DbBackend) -> bool {
    backend == DbBackend::MySql
}

/// The key that the database counted up to. PostgreSQL tells it by RETURNING alone, and SeaORM panics when asked.
pub(crate) fn last_insert_id(backend: DbBackend, result: &ExecResult) -> Option<u64> {
    (backend != DbBackend::Postgres).then(|| result.last_insert_id())
}

/// Why the self-check could not be made, and what to do about it where that is known.
pub(crate) fn not_checked(error: &DbErr) -> String {
    format!("the database could not be checked: {error}{}", advice_on_pooler(error))
}

/// What to do about a pooler that does not let the statements of one client or transaction meet one session, if this error of
/// the database comes from one; empty for any other error.
pub fn advice_on_pooler(error: &DbErr) -> &'static str {
    if error.to_string().contains("statement pooling mode") {
        return ". A pooler hands out connections by the statement: let it do so by the transaction or the session";
    }
    let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) = error
    else {
        return "";
    };
    let code = error.as_database_error().and_then(|error| error.code());
    let is_of_another =
        error.as_database_error().is_some_and(|error| error.message().contains("prepared statement"));
    match (code.as_deref(), is_of_another) {
        // A statement of that name is there already, or is not, or is another one.
        (Some("42P05" | "26000" | "08P01"), true) => {
            ". A pooler hands out connections by the transaction, or by the statement, and does not know prepared statements: let it hand \
             them out by the session, or by the transaction with PgBouncer 1.21 or later and `max_prepared_statements` above 0"
        }
        _ => "",
    }
}

/// What a statement that finds no row answers. None without the database's driver.
pub(crate) fn nothing_executed(backend: DbBackend) -> Option<ExecResult> {
    match backend {
        #[cfg(feature = "postgres")]
        DbBackend::Postgres => Some(sea_orm::sqlx::postgres::PgQueryResult::default().into()),
        #[cfg(feature = "mysql")]
        DbBackend::MySql => Some(sea_orm::sqlx::mysql::MySqlQueryResult::default().into()),
        #[cfg(feature = "sqlite")]
        DbBackend::Sqlite => Some(sea_orm::sqlx::sqlite::SqliteQueryResult::default().into()),
        _ => None,
    }
}

/// What tells of a row that an upsert answers whether it was inserted.
pub(crate) const WAS_INSERTED: &str = "__inserted";

/// The expression for it. On PostgreSQL a row that was updated has a deleter, and others may insert between a read and
/// the upsert; SQLite has locked the whole database.
pub(crate) fn was_inserted(backend: DbBackend) -> Option<Expr> {
    (backend == DbBackend::Postgres).then(|| Expr::cust(format!("(xmax = 0) AS \"{WAS_INSERTED}\"")))
}

/// How a unit of work begins, where the caller did not say.
pub(crate) fn begin_options(backend: DbBackend, mut options: TransactionOptions) -> TransactionOptions {
    match backend {
        // A deferred transaction that turns into a writer fails if another wrote in between.
        DbBackend::Sqlite => {
            options.sqlite_transaction_mode.get_or_insert(SqliteTransactionMode::Immediate);
        }
        // REPEATABLE READ takes gap locks, and with them fifty times the retries.
        DbBackend::MySql => {
            options.isolation_level.get_or_insert(IsolationLevel::ReadCommitted);
        }
        _ => {}
    }
    options
}

/// Text that is JSON, as a value for a column of JSON.
pub(crate) fn json_text(backend: DbBackend, json: impl Into<Value>) -> Expr {
    let text = Expr::val(json);
    if backend == DbBackend::Postgres { text.cast_as("jsonb") } else { text }
}

/// Whether a parameter has a number, by which it can stand in several places.
pub(crate) fn numbers_parameters(backend: DbBackend) -> bool {
    backend != DbBackend::MySql
}

/// An INSERT of any number of events whose text does not vary: its parameter is a JSON array of rows. PostgreSQL takes
/// arrays instead.
///
/// A text column of JSON_TABLE that names no character set has the database's own, which may lack half of the text.
pub(crate) fn insert_events_from_json(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::MySql => {
            "INSERT INTO events (id, team_id, event_type, object_type, object_id, actor_id, unit_id, event_data, context, occurred_at) \
             SELECT UNHEX(r.id), r.team_id, r.event_type, r.object_type, r.object_id, r.actor_id, UNHEX(r.unit_id), r.event_data, r.context, r.occurred_at \
             FROM JSON_TABLE(?, '$[*]' COLUMNS (n FOR ORDINALITY, id CHAR(32) CHARACTER SET utf8mb4 PATH '$.id', team_id VARCHAR(191) CHARACTER SET utf8mb4 PATH '$.team_id', \
             event_type VARCHAR(63) CHARACTER SET utf8mb4 PATH '$.event_type', object_type VARCHAR(191) CHARACTER SET utf8mb4 PATH '$.object_type', object_id VARCHAR(191) CHARACTER SET utf8mb4 PATH '$.object_id', \
             actor_id VARCHAR(191) CHARACTER SET utf8mb4 PATH '$.actor_id', unit_id CHAR(32) CHARACTER SET utf8mb4 PATH '$.unit_id', event_data LONGTEXT CHARACTER SET utf8mb4 PATH '$.event_data', \
             context LONGTEXT CHARACTER SET utf8mb4 PATH '$.context', occurred_at DATETIME(6) PATH '$.occurred_at')) AS r ORDER BY r.n"
        }
        _ => {
            "INSERT INTO events (id, team_id, event_type, object_type, object_id, actor_id, unit_id, event_data, context, occurred_at) \
             SELECT unhex(value ->> 'id'), value ->> 'team_id', value ->> 'event_type', value ->> 'object_type', value ->> 'object_id', \
             value ->> 'actor_id', unhex(value ->> 'unit_id'), value ->> 'event_data', value ->> 'context', value ->> 'occurred_at' \
             FROM json_each(?) ORDER BY key"
        }
    }
}

/// How many rows of values an INSERT of many events has, where that is faster than a JSON array: twice as fast on SQLite
/// and MariaDB, which parse JSON once for each column. PostgreSQL takes arrays.
pub(crate) fn rows_of_values(backend: DbBackend) -> Option<usize> {
    match backend {
        DbBackend::Postgres => None,
        _ => Some(500), // ten values each: below SQLite's limit of 32,766
    }
}

/// A time as the column of that database takes it from text.
pub(crate) fn time_text(backend: DbBackend, at: DateTime<Utc>) -> String {
    match backend {
        DbBackend::MySql => at.format("%Y-%m-%d %H:%M:%S%.6f").to_string(),
        // As sqlx binds it, so that all rows read alike.
        _ => at.to_rfc3339_opts(SecondsFormat::AutoSi, false),
    }
}

/// A time as a parameter for that database.
pub(crate) fn time(backend: DbBackend, at: DateTime<Utc>) -> Value {
    match backend {
        // An aware time would be sent as a TIMESTAMP, which begins in 1970 and ends in 2038.
        DbBackend::MySql => at.naive_utc().into(),
        _ => at.into(),
    }
}

/// The condition that the data of a STATE_CHANGED may be of this field. Where JSON is text only its letters are looked at, as the
/// library writes them: MariaDB's functions read no JSON that is deeper than 32 levels.
pub(crate) fn is_state_change_of(backend: DbBackend, field: &str) -> Expr {
    match backend {
        DbBackend::Postgres => Expr::cust_with_values("event_data ->> 'field' = $1", [field]),
        DbBackend::MySql => Expr::cust_with_values("locate(?, event_data) > 0", [in_json(field)]),
        _ => Expr::cust_with_values("instr(event_data, ?) > 0", [in_json(field)]),
    }
}

/// A name as it stands in JSON.
fn in_json(name: &str) -> String {
    serde_json::Value::from(name).to_string()
}

/// Whether a COMMIT that failed with this may have happened all the same.
///
/// Only what the database is known to answer after it rolled back counts as a failure; the rest is unknown.
pub(crate) fn commit_is_unknown(backend: DbBackend, error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(error))
    | DbErr::Query(RuntimeErr::SqlxError(error))
    | DbErr::Conn(RuntimeErr::SqlxError(error))) = error
    else {
        return true;
    };
    let sqlx::Error::Database(error) = &**error else {
        return true;
    };
    let code = error.code().unwrap_or_default();
    match backend {
        // Integrity (deferred constraints), transaction state, serialization, and what triggers raise.
        DbBackend::Postgres => {
            let rolled_back = ["23", "25", "40", "P0", "22", "42", "0A", "55", "57014"];
            !rolled_back.iter().any(|class| code.starts_with(class))
        }
        DbBackend::MySql => !["23000", "40001", "25006"].contains(&&*code),
        // Everything but an I/O error leaves the transaction open, and its end rolls it back.
        _ => code.parse::<u32>().is_ok_and(|code| code & 0xff == 10),
    }
}

/// The condition that a column is this text, byte by byte: to a collation 'a' may be 'A', or 'a '.
pub(crate) fn is_exactly(backend: DbBackend, column: Expr, text: &str) -> Expr {
    match backend {
        DbBackend::Postgres => column.cast_as("text").eq(text),
        DbBackend::MySql => Expr::cust_with_exprs(
            "CAST(CONVERT(? USING utf8mb4) AS BINARY) = CAST(? AS BINARY)",
            [column.cast_as("char"), Expr::val(text)],
        ),
        _ => Expr::cust_with_exprs("CAST(? AS TEXT) COLLATE BINARY = ?", [column, Expr::val(text)]),
    }
}

/// How large an event can be: a JSON document of PostgreSQL has at most 256 MiB, a value of SQLite ten to the ninth bytes.
pub(crate) const EVENT_LIMIT: usize = 255 << 20;

/// The same of this database. MariaDB and MySQL take a statement with its values in one packet, which the server bounds.
pub(crate) async fn event_limit(db: &DatabaseConnection) -> Result<usize, DbErr> {
    if db.get_database_backend() != DbBackend::MySql {
        return Ok(EVENT_LIMIT);
    }
    let packet = Statement::from_string(DbBackend::MySql, "SELECT @@max_allowed_packet AS packet");
    let row = db.query_one_raw(packet).await?;
    let packet: Option<u64> = row.map(|row| row.try_get("", "packet")).transpose()?;
    Ok(packet.and_then(|packet| packet.try_into().ok()).unwrap_or(16 << 20))
}

/// Whether an INSERT failed because its unique key is there already.
pub(crate) fn is_unique_violation(error: &DbErr) -> bool {
    matches!(error.sql_err(), Some(sea_orm::SqlErr::UniqueConstraintViolation(_)))
}

/// MariaDB's and MySQL's own number of an error: many errors share an SQLSTATE. None without the feature `mysql`.
pub(crate) fn mysql_number(error: &DbErr) -> Option<u16> {
    #[cfg(feature = "mysql")]
    if let DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) = error {
        let error = error.as_database_error()?;
        return error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>().map(|error| error.number());
    }
    let _ = error;
    None
}

/// Bounds how long the rest of this transaction waits for somebody else's locks, where a setting can end with it: on
/// MariaDB it would stay with the pooled connection, whose own time-out (50 s by default) has to do.
pub(crate) fn bound_lock_wait(backend: DbBackend) -> Option<&'static str> {
    match backend {
        DbBackend::Postgres => Some("SET LOCAL lock_timeout = '10s'"),
        _ => None,
    }
}

/// Sets a parameter until the transaction ends. `SET LOCAL` would take no bound values.
pub(crate) const SET_FOR_TRANSACTION: &str = "SELECT set_config($1, $2, true)";

/// Asks whether the table of events is under row-level security.
pub(crate) fn select_row_level_security(backend: DbBackend) -> Option<&'static str> {
    isolation::has_row_level_security(backend)
        .then_some("SELECT relrowsecurity FROM pg_catalog.pg_class WHERE oid = to_regclass('events')")
}
