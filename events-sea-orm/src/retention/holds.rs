//! What must not be removed yet.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, Statement};

use crate::{
    backend::{self, retention::statement},
    transaction::{self, InFlight},
};

/// Keeps events: none with this number or a higher one is removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Whose hold it is: `consumer:search-index`, `legal:2026-17`.
    pub name: String,
    /// The first event that is kept.
    pub seq: i64,
    /// When it was first set.
    pub since: DateTime<Utc>,
}

/// Keeps every event with this number or a higher one, from when this returns. The same name again moves the hold.
///
/// What was removed before stays removed: ask for the lowest `seq` that there is, if that matters.
///
/// # Errors
/// The database's; among them that the retention step was not run.
///
/// # Examples
/// ```no_run
/// use events_sea_orm::retention;
/// # async fn example(db: sea_orm::DatabaseConnection) -> Result<(), sea_orm::DbErr> {
/// retention::hold(&db, "legal:2026-17", 1).await?;
/// assert_eq!(retention::holds(&db).await?[0].seq, 1);
/// retention::release(&db, "legal:2026-17").await?;
/// # Ok(()) }
/// ```
pub async fn hold(db: &DatabaseConnection, name: &str, seq: i64) -> Result<(), DbErr> {
    let backend = db.get_database_backend();
    let txn = begin(db).await?;
    let upsert = statement(backend, backend::retention::upsert_hold(backend), [name.into(), seq.into()]);
    let set = async move {
        txn.execute_raw(upsert).await?;
        txn.commit().await
    };
    InFlight::new(set).await
}

/// Gives up the hold of this name. Says whether there was one.
///
/// # Errors
/// The database's.
pub async fn release(db: &DatabaseConnection, name: &str) -> Result<bool, DbErr> {
    let backend = db.get_database_backend();
    let sql = "DELETE FROM event_holds WHERE name = ?";
    let result = db.execute_raw(statement(backend, sql, [name.into()])).await?;
    Ok(result.rows_affected() > 0)
}

/// Every hold, the one that keeps most first.
///
/// # Errors
/// The database's.
pub async fn holds(db: &DatabaseConnection) -> Result<Vec<Hold>, DbErr> {
    let sql = "SELECT name, seq, since FROM event_holds ORDER BY seq, name";
    let rows = db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await?;
    rows.iter()
        .map(|row| {
            Ok(Hold {
                name: row.try_get("", "name")?,
                seq: row.try_get("", "seq")?,
                since: row.try_get("", "since")?,
            })
        })
        .collect()
}

/// A transaction in which no other one changes a hold or purges.
pub(super) async fn begin(db: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    let backend = db.get_database_backend();
    let lock = Statement::from_string(backend, backend::retention::lock_marks(backend));
    transaction::begin(db, backend::retention::begin_options(backend), Some(lock)).await
}
