//! The guards of the `events` table: the database itself refuses to change, remove or forge an event.

use sea_orm::{ConnectionTrait, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use crate::backend::guards;

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "events_0005_guards"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        make(manager.get_connection()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        for sql in guards::remove(db.get_database_backend()) {
            db.execute_unprepared(&sql).await?;
        }
        Ok(())
    }
}

/// Makes what the self-check misses: nothing, if all of it is there.
pub(super) async fn make(db: &impl ConnectionTrait) -> Result<(), DbErr> {
    for sql in guards::missing(db).await? {
        match db.execute_unprepared(&sql).await {
            Err(error) if guards::is_denied(db.get_database_backend(), &error) => {
                // An application without guards beats none at all. The self-check goes on reporting them.
                tracing::warn!(%error, %sql, "a guard of the events table could not be made: let an administrator run this statement");
            }
            result => {
                result?;
            }
        }
    }
    Ok(())
}
