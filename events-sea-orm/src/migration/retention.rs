//! What [`retention`](crate::retention) needs, for applications that remove old events: after those of
//! [`migration`](super). Without this step nothing can be removed.
//!
//! ```
//! use events_sea_orm::migration;
//!
//! let mut steps = migration::steps();
//! steps.extend(migration::retention::steps());
//! assert_eq!(steps.len(), 3);
//! ```

use sea_orm::{DatabaseConnection, DbErr};
use sea_orm_migration::MigrationTrait;

/// Every step, in order. New versions of this library only ever add to the end.
pub fn steps() -> Vec<Box<dyn MigrationTrait>> {
    vec![Box::new(super::m0006_retention::Migration)]
}

/// Runs every step, for applications without a `Migrator`. Safe to run again.
///
/// # Errors
/// The database's.
pub async fn up(db: &DatabaseConnection) -> Result<(), DbErr> {
    super::run(db, steps()).await
}

/// Takes every step back: nothing can be removed any more. **The record of what was removed is gone.**
///
/// # Errors
/// The database's.
pub async fn down(db: &DatabaseConnection) -> Result<(), DbErr> {
    super::take_back(db, steps()).await
}
