//! The tables of threads, for applications that have them: after those of [`migration`](super).
//!
//! ```
//! use events_sea_orm::migration;
//!
//! let mut steps = migration::steps();
//! steps.extend(migration::threads::steps());
//! assert_eq!(steps.len(), 4);
//! ```

use sea_orm::{DatabaseConnection, DbErr};
use sea_orm_migration::MigrationTrait;

/// Every step, in order. New versions of this library only ever add to the end.
pub fn steps() -> Vec<Box<dyn MigrationTrait>> {
    vec![Box::new(super::m0002_threads::Migration), Box::new(super::m0007_thread_keys::Migration)]
}

/// Runs every step, for applications without a `Migrator`. Safe to run again.
///
/// # Errors
/// The database's.
pub async fn up(db: &DatabaseConnection) -> Result<(), DbErr> {
    super::run(db, steps()).await
}

/// Takes every step back. **The messages are gone**, users' own too.
///
/// # Errors
/// The database's.
pub async fn down(db: &DatabaseConnection) -> Result<(), DbErr> {
    super::take_back(db, steps()).await
}
