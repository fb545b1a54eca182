//! The `events` table and its guards as numbered migration steps, to be used inside the application's own `Migrator`.
//!
//! ```
//! use events_sea_orm::migration;
//! use sea_orm_migration::prelude::*;
//!
//! struct Migrator;
//!
//! #[async_trait::async_trait]
//! impl MigratorTrait for Migrator {
//!     fn migrations() -> Vec<Box<dyn MigrationTrait>> {
//!         let mut steps = migration::steps();
//!         // steps.push(Box::new(m20260101_000001_create_campaigns::Migration));
//!         steps
//!     }
//! }
//! assert_eq!(Migrator::migrations().len(), 2);
//! ```
//!
//! The steps know SQLite, PostgreSQL and MariaDB, and MySQL as a MariaDB with another collation: no test runs them there.

pub mod activity_events;
pub mod actor_index;
#[cfg(feature = "analytics")]
pub mod analytics;
pub mod isolation;
mod m0001_events;
#[cfg(feature = "threads")]
mod m0002_threads;
#[cfg(feature = "notifications")]
mod m0003_notifications;
#[cfg(feature = "analytics")]
mod m0004_analytics;
mod m0005_guards;
mod m0006_retention;
#[cfg(feature = "threads")]
mod m0007_thread_keys;
mod m0008_actor_index;
#[cfg(feature = "notifications")]
pub mod notifications;
pub mod retention;
mod seeds;
#[cfg(feature = "threads")]
pub mod threads;

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr};
use sea_orm_migration::{MigrationTrait, SchemaManager};

pub use self::seeds::{seed, seed_unrecorded, seed_with_team_setting};

/// Every step, in order. New versions of this library only ever add to the end.
pub fn steps() -> Vec<Box<dyn MigrationTrait>> {
    vec![Box::new(m0001_events::Migration), Box::new(m0005_guards::Migration)]
}

/// Runs every step, for applications without a `Migrator`. Safe to run again.
///
/// # Errors
/// The database's.
pub async fn up(db: &DatabaseConnection) -> Result<(), DbErr> {
    run(db, steps()).await
}

/// Takes every step back. **The events are gone.**
///
/// # Errors
/// The database's.
pub async fn down(db: &DatabaseConnection) -> Result<(), DbErr> {
    take_back(db, steps()).await
}

async fn run(db: &DatabaseConnection, steps: Vec<Box<dyn MigrationTrait>>) -> Result<(), DbErr> {
    let manager = SchemaManager::new(db);
    for step in steps {
        step.up(&manager).await?;
    }
    Ok(())
}

/// Makes what is not there yet.
async fn create(
    db: &impl ConnectionTrait,
    tables: impl IntoIterator<Item = String>,
    indexes: &[&str],
) -> Result<(), DbErr> {
    for table in tables {
        db.execute_unprepared(&table).await?;
    }
    // MySQL has no IF NOT EXISTS for an index, and makes it with the table.
    let indexes = if db.get_database_backend() == DbBackend::MySql { &[] } else { indexes };
    for index in indexes {
        db.execute_unprepared(index).await?;
    }
    Ok(())
}

/// Drops what is there.
async fn drop_tables(manager: &SchemaManager<'_>, tables: &[&str]) -> Result<(), DbErr> {
    for table in tables {
        manager.get_connection().execute_unprepared(&format!("DROP TABLE IF EXISTS {table}")).await?;
    }
    Ok(())
}

async fn take_back(db: &DatabaseConnection, steps: Vec<Box<dyn MigrationTrait>>) -> Result<(), DbErr> {
    let manager = SchemaManager::new(db);
    for step in steps.iter().rev() {
        step.down(&manager).await?;
    }
    Ok(())
}
