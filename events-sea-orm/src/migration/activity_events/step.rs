//! All of it as one step of a `Migrator`.

use sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use super::{ActivityEvents, check, finish, migrate, sql, undo};

struct Step(ActivityEvents);

/// A step that copies, compares and renames; to stand after those of [`migration::steps`](crate::migration::steps).
///
/// A database without the old table, such as a new one, needs nothing done, and the step does nothing. It runs outside
/// the migrator's transaction, so that an interrupted one goes on where it was. Taken back, the old table has its name
/// again; events stay.
///
/// # Examples
/// ```
/// use events_sea_orm::migration::{self, activity_events::{self, ActivityEvents}};
///
/// let mut steps = migration::steps();
/// steps.push(activity_events::step(ActivityEvents::from_table("activity_events").default_team("main")));
/// ```
pub fn step(old: ActivityEvents) -> Box<dyn MigrationTrait> {
    Box::new(Step(old))
}

impl MigrationName for Step {
    fn name(&self) -> &'static str {
        "events_from_activity_events"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Step {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let (db, old) = (manager.get_connection(), &self.0);
        if sql::columns(db, &old.table).await?.is_empty() {
            return Ok(());
        }
        let report = |progress| tracing::info!(table = %old.table, "{progress}");
        migrate(db, old, report).await?;
        let checked = check(db, old).await?;
        tracing::info!(table = %old.table, "{checked}");
        finish(db, old).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        undo(manager.get_connection(), &self.0).await.map_err(DbErr::from)
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(false)
    }
}
