//! How a database itself watches over what the words of a statement do not show.

use sea_orm::DbBackend;

/// What is sent before and after text that should only read: the database refuses its writes, and undoes what settings
/// and locks it leaves. MariaDB and MySQL have nothing of the kind inside a transaction.
pub(crate) fn read_only(backend: DbBackend) -> Option<(&'static str, &'static str)> {
    match backend {
        DbBackend::Postgres => Some((
            "SAVEPOINT events_read_only; SET LOCAL transaction_read_only = on",
            "ROLLBACK TO SAVEPOINT events_read_only; RELEASE SAVEPOINT events_read_only",
        )),
        DbBackend::MySql => None,
        _ => Some(("PRAGMA query_only = 1", "PRAGMA query_only = 0")),
    }
}

/// Whether the second part must be sent even if the text failed: the connection keeps what the first one set.
pub(crate) fn stays_read_only(backend: DbBackend) -> bool {
    backend == DbBackend::Sqlite
}

/// A mark inside the transaction, and what finds that it is there still, which it is not if the transaction ended.
pub(crate) const MARK: (&str, &str) = ("SAVEPOINT events_untracked", "RELEASE SAVEPOINT events_untracked");

/// Whether the driver must not be given a statement with more or fewer values than it has placeholders: sqlx-mysql 0.9 answers
/// with an error, and waits for ever for what it has not sent when the connection is used again.
pub(crate) fn counts_values(backend: DbBackend) -> bool {
    backend == DbBackend::MySql
}

/// Whether the driver loses its place on a connection when its future is dropped between a request and its answer: see
/// `InFlight`.
#[cfg(feature = "stream")]
pub(crate) fn loses_its_place(backend: DbBackend) -> bool {
    backend == DbBackend::MySql
}

/// Whether the database tells what a transaction has written.
pub(crate) fn counts_writes(backend: DbBackend) -> bool {
    backend == DbBackend::Postgres
}

/// How many rows the session has written, whoever the current role is, what a setting and the search path say, and what the
/// tables are: their files, which of their triggers fire, and the temporary tables that stand before others. Its
/// parameters are the tables that count, with what is inherited from them, and the setting. NULL is for all tables; with those of
/// the catalog, a TRUNCATE or whatever else alters a table is a write too. The first result is NULL where the server does not
/// count.
pub(crate) const WRITTEN: &str = "\
WITH RECURSIVE counted AS ( \
  SELECT c.oid FROM pg_catalog.pg_class c WHERE c.relname = ANY ($1) \
  UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN counted ON i.inhparent = counted.oid) \
SELECT CASE WHEN current_setting('track_counts') = 'on' THEN coalesce(sum(pg_stat_get_xact_tuples_inserted(c.oid) \
  + pg_stat_get_xact_tuples_updated(c.oid) + pg_stat_get_xact_tuples_deleted(c.oid)), 0)::bigint END AS written, \
  current_user::text AS role, coalesce(current_setting($2, true), '') AS setting, \
  current_setting('search_path') AS path, \
  (SELECT string_agg(c.oid::text || ':' || c.relfilenode::text, ',' ORDER BY c.oid) FROM pg_catalog.pg_class c \
    WHERE c.oid IN (SELECT oid FROM counted)) AS files, \
  (SELECT string_agg(t.oid::text || ':' || t.tgenabled::text, ',' ORDER BY t.oid) FROM pg_catalog.pg_trigger t \
    WHERE t.tgrelid IN (SELECT oid FROM counted)) AS triggers, \
  (SELECT string_agg(hiding.oid::text, ',' ORDER BY hiding.oid) FROM pg_catalog.pg_class hiding \
    WHERE hiding.relnamespace = pg_my_temp_schema() AND EXISTS (SELECT FROM pg_catalog.pg_class hidden \
      WHERE hidden.relname = hiding.relname AND hidden.relpersistence <> 't')) AS hiding \
FROM pg_catalog.pg_class c WHERE c.relkind = 'r' AND ($1::text[] IS NULL OR c.oid IN (SELECT oid FROM counted))";

/// Where the log's table is, as the application's connections find it; a temporary table does not count.
pub(crate) fn select_schema(backend: DbBackend) -> Option<&'static str> {
    (backend == DbBackend::Postgres).then_some(
        "SELECT n.nspname::text FROM unnest(current_schemas(false)) WITH ORDINALITY AS path(name, place) \
         JOIN pg_catalog.pg_namespace n ON n.nspname = path.name \
         JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = 'events' \
         WHERE c.relkind IN ('r', 'p') ORDER BY path.place LIMIT 1",
    )
}

/// The schema of the log where it needs no asking.
pub(crate) fn only_schema(backend: DbBackend) -> Option<&'static str> {
    (backend == DbBackend::Sqlite).then_some("main")
}

/// The highest number of an event, where numbers tell of a temporary table.
pub(crate) fn select_highest(backend: DbBackend) -> Option<&'static str> {
    (backend == DbBackend::MySql).then_some("SELECT max(seq) FROM events")
}

/// What shows whether `events` is a temporary table, on a database where that cannot be passed by.
pub(crate) fn show_events(backend: DbBackend) -> Option<&'static str> {
    (backend == DbBackend::MySql).then_some("SHOW CREATE TABLE events")
}

/// Whether a table is the database's own: what it says is the schema, or who may do what.
pub(crate) fn is_servers_table(backend: DbBackend, schema: Option<&str>, table: &str) -> bool {
    let begins = |with: &str| table.get(..with.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(with));
    let is_in = |schemas: &[&str]| {
        schema.is_some_and(|schema| schemas.iter().any(|known| known.eq_ignore_ascii_case(schema)))
    };
    match backend {
        DbBackend::Postgres => begins("pg_") || is_in(&["pg_catalog", "information_schema", "pg_toast"]),
        DbBackend::MySql => is_in(&["mysql", "sys", "performance_schema", "information_schema"]),
        _ => begins("sqlite_"),
    }
}
