//! Rows that a migration brings along.

use events_core::Context;
use sea_orm::{ConnectionTrait, DbErr, TransactionOptions, TransactionTrait};
use sea_orm_migration::{SchemaManager, SchemaManagerConnection};

use crate::{
    adoption, backend,
    events::Events,
    transaction::{self, EventTransaction},
};

/// Runs `work` in a unit of work inside a migration: tracked saves in it leave their events, as anywhere.
///
/// The unit is part of the migration's own transaction where there is one (PostgreSQL), and is committed by itself where
/// there is none. Consumers do not run: their tables may be made by later migrations. Under row-level security the team is
/// set in the setting that the policies of the table of events compare; where they compare several,
/// [`seed_with_team_setting`] says which.
///
/// # Errors
/// What `work` answers; [`DbErr::Migration`] if the table of events is not there yet: list [`steps`](super::steps) before,
/// or use [`seed_unrecorded`]; a [`Refused`](crate::Refused) for an unusable context.
///
/// # Examples
/// ```
/// use events_sea_orm::{Context, migration};
/// use sea_orm_migration::prelude::*;
/// # mod plan {
/// #     use events_sea_orm::Tracked;
/// #     use sea_orm::entity::prelude::*;
/// #     #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
/// #     #[sea_orm(table_name = "plans")]
/// #     #[tracked(team = context, all)]
/// #     pub struct Model { #[sea_orm(primary_key)] pub id: i32, pub name: String }
/// #     #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
/// #     pub enum Relation {}
/// # }
/// use sea_orm::{ActiveModelTrait, Set};
///
/// #[derive(DeriveMigrationName)]
/// struct Migration;
///
/// #[async_trait::async_trait]
/// impl MigrationTrait for Migration {
///     async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
///         let plan = plan::ActiveModel { name: Set("free".to_owned()), ..Default::default() };
///         // In place of `plan.insert(manager.get_connection()).await?`:
///         migration::seed(manager, Context::team("main"), async |db| plan.insert(db).await).await?;
///         Ok(())
///     }
/// }
/// ```
pub async fn seed<T, F>(manager: &SchemaManager<'_>, context: Context, work: F) -> Result<T, DbErr>
where
    F: AsyncFnOnce(&EventTransaction) -> Result<T, DbErr>,
{
    seed_by(manager, None, context, work).await
}

/// As [`seed`], where the policies compare several settings.
///
/// # Errors
/// As `seed`.
pub async fn seed_with_team_setting<T, F>(
    manager: &SchemaManager<'_>,
    team_setting: &str,
    context: Context,
    work: F,
) -> Result<T, DbErr>
where
    F: AsyncFnOnce(&EventTransaction) -> Result<T, DbErr>,
{
    seed_by(manager, Some(team_setting), context, work).await
}

async fn seed_by<T, F>(
    manager: &SchemaManager<'_>,
    team_setting: Option<&str>,
    context: Context,
    work: F,
) -> Result<T, DbErr>
where
    F: AsyncFnOnce(&EventTransaction) -> Result<T, DbErr>,
{
    if !manager.has_table("events").await? {
        return Err(DbErr::Migration(
            "the seeds leave events, and the table `events` is not there yet: list `events_sea_orm::migration::steps()` before this migration, or use `events_sea_orm::migration::seed_unrecorded(..)`"
                .to_owned(),
        ));
    }
    let db = manager.get_connection();
    let events = Events::for_seeds(db, team_setting).await?;
    let context = events.check_context(context)?;
    let team = context.team_scope().clone();
    let enter = events.enter(&team)?;
    let inner = match db {
        SchemaManagerConnection::Connection(pool) => {
            let options = backend::begin_options(events.backend(), TransactionOptions::default());
            transaction::begin(pool, options, enter).await?
        }
        transaction => {
            let inner = transaction.begin().await?;
            if let Some(enter) = enter {
                inner.execute_raw(enter).await?;
            }
            inner
        }
    };
    transaction::run(EventTransaction::over(inner, events, context, team, None), work).await
}

/// Lets tracked saves on this migration's connection pass without events, as if there were no library: for seeds that are
/// older than the log, and for those of which nobody needs to hear. Nothing says afterwards that they were written.
///
/// # Errors
/// What `work` answers.
///
/// # Examples
/// ```
/// use events_sea_orm::migration;
/// use sea_orm_migration::prelude::*;
///
/// # async fn example(manager: &SchemaManager<'_>, plan: impl sea_orm::ActiveModelTrait) -> Result<(), DbErr> {
/// migration::seed_unrecorded(manager, async |db| db.execute_unprepared("SELECT 1").await).await?;
/// # Ok(()) }
/// ```
pub async fn seed_unrecorded<T, F>(manager: &SchemaManager<'_>, work: F) -> Result<T, DbErr>
where
    F: AsyncFnOnce(&SchemaManagerConnection<'_>) -> Result<T, DbErr>,
{
    adoption::unrecorded(work(manager.get_connection())).await
}
