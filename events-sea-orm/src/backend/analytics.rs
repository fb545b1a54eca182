//! Daily counts, as far as the databases differ.

use sea_orm::{DbBackend, IsolationLevel, TransactionOptions};

use super::begin_options;

/// What an upsert sets a count to.
pub(crate) fn sum_of_counts(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::MySql => "event_daily_counts.count + VALUES(count)",
        _ => "event_daily_counts.count + excluded.count",
    }
}

/// The day of an event in UTC.
pub(crate) fn day_of_occurred_at(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => "(occurred_at AT TIME ZONE 'UTC')::date",
        DbBackend::MySql => "date(occurred_at)", // stored in UTC
        _ => "substr(occurred_at, 1, 10)",       // text in UTC
    }
}

/// What a sum of counts is made into.
pub(crate) fn integer(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::MySql => "signed",
        _ => "bigint",
    }
}

/// What a unit of work locks before it makes counts that are not there yet.
///
/// On MariaDB and MySQL two that wait for a row somebody else is about to insert both keep the gap when that is rolled
/// back, and deadlock. So one at a time makes rows. Elsewhere they just go on.
pub(crate) fn lock_new_counts(backend: DbBackend) -> Option<&'static str> {
    (backend == DbBackend::MySql).then_some("SELECT id FROM event_daily_counts_lock FOR UPDATE")
}

/// The table of that row.
pub(crate) const LOCK_TABLE: &str = "event_daily_counts_lock";

/// What keeps others from making counts while they are counted anew; none where the transaction itself does.
pub(crate) fn lock_counts(backend: DbBackend) -> Option<&'static str> {
    match backend {
        DbBackend::Postgres => Some("LOCK TABLE event_daily_counts IN SHARE ROW EXCLUSIVE MODE"),
        _ => lock_new_counts(backend),
    }
}

/// How a transaction begins that counts anew: its statements must see what was committed before its lock.
pub(crate) fn rebuild_options(backend: DbBackend) -> TransactionOptions {
    let isolation_level = (backend == DbBackend::Postgres).then_some(IsolationLevel::ReadCommitted);
    begin_options(backend, TransactionOptions { isolation_level, ..TransactionOptions::default() })
}
