//! Marks: moments by which every event up to a number is known to be of a transaction that had ended.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::{
    ConnectionTrait, DbBackend, DbErr, IsolationLevel, Statement, TransactionOptions, TransactionSession,
    TransactionTrait, Value,
};

/// Draws a mark, unless a writer of events stays open for longer than `wait`. Says whether it did.
///
/// It holds of each event with a number and a `recorded_at` up to the mark's that its transaction had ended at the mark's
/// time.
pub(crate) async fn mark(
    db: &(impl ConnectionTrait + TransactionTrait),
    wait: Duration,
) -> Result<bool, DbErr> {
    match db.get_database_backend() {
        DbBackend::Postgres => postgres(db, wait).await,
        DbBackend::MySql => mysql(db, wait).await,
        _ => sqlite(db).await,
    }
}

/// A mark that somebody vouches for: what was recorded `longest` before it had ended.
pub(crate) async fn assume_mark(
    db: &impl ConnectionTrait,
    at: DateTime<Utc>,
    longest: Duration,
) -> Result<(), DbErr> {
    const NEWEST: &str = "SELECT max(seq) AS seq FROM event_marks";
    let backend = db.get_database_backend();
    let Some(until) =
        chrono::TimeDelta::from_std(longest).ok().and_then(|longest| at.checked_sub_signed(longest))
    else {
        return Ok(()); // nothing is as old as that
    };
    if super::years::check(backend, [&time(backend, until)], |_| String::new()).is_err() {
        return Ok(()); // nor as this
    }
    let seq: i64 = match db.query_one_raw(statement(backend, NEWEST, [])).await? {
        Some(row) => row.try_get("", "seq")?,
        None => return Ok(()),
    };
    let sql = "INSERT INTO event_marks (seq, recorded_until, at) VALUES (?, ?, ?)";
    let values = [seq.into(), time(backend, until), time(backend, at)];
    db.execute_raw(statement(backend, sql, values)).await.map(drop)
}

/// One writer at a time: who writes the mark is the only one.
async fn sqlite(db: &impl ConnectionTrait) -> Result<bool, DbErr> {
    const NOW: &str = "strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')";
    let sql = format!(
        "INSERT INTO event_marks (seq, recorded_until, at) SELECT coalesce(max(seq), 0), {NOW}, {NOW} FROM events"
    );
    db.execute_unprepared(&sql).await?;
    Ok(true)
}

/// Whoever has written an event holds a lock on the table until its transaction ends, also a prepared one; the lock is
/// there before the event's number and time are. Nobody is kept waiting but the caller.
async fn postgres(db: &impl ConnectionTrait, wait: Duration) -> Result<bool, DbErr> {
    const WRITERS: &str = "SELECT DISTINCT l.virtualtransaction AS writer FROM pg_catalog.pg_locks l \
         WHERE l.locktype = 'relation' AND l.granted AND l.mode = 'RowExclusiveLock' \
         AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()) \
         AND l.relation IN (SELECT to_regclass('events')::oid UNION SELECT relid::oid FROM pg_partition_tree(to_regclass('events')))";
    let backend = db.get_database_backend();
    let now = "SELECT coalesce(max(seq), 0) AS seq, clock_timestamp() AS recorded_until FROM events";
    let Some(row) = db.query_one_raw(Statement::from_string(backend, now)).await? else {
        return Ok(false);
    };
    let (seq, recorded_until): (i64, DateTime<Utc>) =
        (row.try_get("", "seq")?, row.try_get("", "recorded_until")?);
    let writers = async || {
        let rows = db.query_all_raw(Statement::from_string(backend, WRITERS)).await?;
        rows.iter().map(|row| row.try_get::<String>("", "writer")).collect::<Result<Vec<_>, _>>()
    };
    let mut open = writers().await?;
    let give_up = tokio::time::Instant::now() + wait;
    while !open.is_empty() {
        if tokio::time::Instant::now() >= give_up {
            return Ok(false);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        let now = writers().await?;
        open.retain(|writer| now.contains(writer)); // who came since is no matter
    }
    let sql = "INSERT INTO event_marks (seq, recorded_until, at) VALUES ($1, $2, clock_timestamp())";
    db.execute_raw(Statement::from_sql_and_values(backend, sql, [seq.into(), recorded_until.into()])).await?;
    Ok(true)
}

/// MariaDB's and MySQL's number for it.
const LOCK_WAIT_TIMEOUT: u16 = 1205;

/// Nothing in SQL tells of open transactions. A lock on the table waits for all of its writers, and new ones wait for it:
/// for `wait` at most.
async fn mysql(db: &impl TransactionTrait, wait: Duration) -> Result<bool, DbErr> {
    // For its connection: locking tables ends the transaction.
    let connection = db.begin().await?;
    let seconds = wait.as_secs().max(1);
    let sql = format!("SET @events_wait = @@lock_wait_timeout, lock_wait_timeout = {seconds}");
    connection.execute_unprepared(&sql).await?;
    let locked = connection.execute_unprepared("LOCK TABLES events READ, event_marks WRITE").await;
    let marked = match locked {
        Ok(_) => connection
            .execute_unprepared(
                "INSERT INTO event_marks (seq, recorded_until, at) SELECT coalesce(max(seq), 0), utc_timestamp(6), utc_timestamp(6) FROM events",
            )
            .await
            .map(|_| true),
        Err(error) if super::mysql_number(&error) == Some(LOCK_WAIT_TIMEOUT) => Ok(false),
        Err(error) => Err(error),
    };
    let unlocked = connection.execute_unprepared("UNLOCK TABLES").await;
    connection.execute_unprepared("SET lock_wait_timeout = @events_wait").await?;
    connection.commit().await?;
    unlocked?;
    marked
}

/// A statement with `?` for its parameters.
pub(crate) fn statement(backend: DbBackend, sql: &str, values: impl IntoIterator<Item = Value>) -> Statement {
    let mut parts = sql.split('?');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for (n, part) in parts.enumerate() {
        match backend {
            DbBackend::Postgres => text.push_str(&format!("${}", n + 1)),
            _ => text.push('?'),
        }
        text.push_str(part);
    }
    Statement::from_sql_and_values(backend, text, values)
}

/// A time as it compares with `recorded_at`. On SQLite that is text, always with six digits.
pub(crate) fn time(backend: DbBackend, at: DateTime<Utc>) -> Value {
    match backend {
        DbBackend::Sqlite => at.format("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string().into(),
        _ => super::time(backend, at),
    }
}

/// The database's clock.
pub(crate) fn now(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => "clock_timestamp()",
        DbBackend::MySql => "utc_timestamp(6)",
        _ => "strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')",
    }
}

/// How a batch begins: it must see what was committed while it waited for a lock.
pub(crate) fn begin_options(backend: DbBackend) -> TransactionOptions {
    let mut options = super::begin_options(backend, TransactionOptions::default());
    if backend == DbBackend::Postgres {
        options.isolation_level = Some(IsolationLevel::ReadCommitted);
    }
    options
}

/// Purges and holds wait for one another at this row; SQLite has locked the whole database.
pub(crate) fn lock_marks(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Sqlite => "SELECT id FROM event_marks ORDER BY id LIMIT 1",
        _ => "SELECT id FROM event_marks ORDER BY id LIMIT 1 FOR UPDATE",
    }
}

/// Sets where a hold is, whether it was there or not.
pub(crate) fn upsert_hold(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::MySql => {
            "INSERT INTO event_holds (name, seq) VALUES (?, ?) ON DUPLICATE KEY UPDATE seq = VALUES(seq)"
        }
        _ => {
            "INSERT INTO event_holds (name, seq) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET seq = excluded.seq"
        }
    }
}

/// Deletes these events: what is `covered` from the first to the last of them.
pub(crate) fn delete(
    backend: DbBackend,
    covered: &str,
    first: i64,
    last: i64,
    mark: i64,
    numbers: Vec<i64>,
) -> Statement {
    match backend {
        // By key: a range is locked up to the event behind it, and that may be one that is being written.
        DbBackend::MySql => statement(
            backend,
            "DELETE e FROM JSON_TABLE(?, '$[*]' COLUMNS (seq BIGINT PATH '$')) AS d STRAIGHT_JOIN events e ON e.seq = d.seq",
            [serde_json::Value::from(numbers).to_string().into()],
        ),
        _ => {
            let sql = format!("DELETE FROM events WHERE seq >= ? AND {covered}");
            statement(backend, &sql, [first.into(), last.into(), mark.into()])
        }
    }
}
