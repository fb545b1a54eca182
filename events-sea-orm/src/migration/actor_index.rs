//! An index for [`feed().actor(..)`](crate::Feed::actor), for applications that ask what somebody did: after those of
//! [`migration`](super). It costs each event's INSERT an index more.
//!
//! On PostgreSQL it is built `CONCURRENTLY`, so that nobody who writes waits for it; in a transaction, or where `events` is
//! partitioned, that cannot be, and writers wait until it is built. One that was not finished is built anew by running the step again.
//! MariaDB and MySQL build it while others write, SQLite while they wait.
//!
//! ```
//! use events_sea_orm::migration;
//!
//! let mut steps = migration::steps();
//! steps.extend(migration::actor_index::steps());
//! ```

use sea_orm::{DatabaseConnection, DbErr};
use sea_orm_migration::MigrationTrait;

/// Every step, in order. New versions of this library only ever add to the end.
pub fn steps() -> Vec<Box<dyn MigrationTrait>> {
    vec![Box::new(super::m0008_actor_index::Migration)]
}

/// Runs every step, for applications without a `Migrator`. Safe to run again.
///
/// # Errors
/// The database's.
pub async fn up(db: &DatabaseConnection) -> Result<(), DbErr> {
    super::run(db, steps()).await
}

/// Drops the index.
///
/// # Errors
/// The database's.
pub async fn down(db: &DatabaseConnection) -> Result<(), DbErr> {
    super::take_back(db, steps()).await
}
