//! Tracked verbs of an entity: SeaORM's calls for one row and for many, each with an event for every row that it changes.
//!
//! The keys of the rows are fixed first, under lock and in key order; the rows are then written by their keys, chunk by
//! chunk, and each chunk says what its rows held before and after. So a condition that the write itself makes false, or
//! true of more rows, does what it said when it began.

mod at_once;
mod call;
mod delete;
mod insert;
mod insert_one;
mod keys;
mod one;
mod try_insert;
mod update;
mod upsert;

use sea_orm::{
    ActiveModelTrait, Condition, DbBackend, DbErr, EntityTrait, IntoActiveModel, PrimaryKeyTrait,
    StatementBuilder,
    sea_query::{ConditionalStatement, IntoCondition, LogicalChainOper, Query},
};

pub use self::{
    delete::DeleteMany,
    insert::InsertMany,
    insert_one::InsertOne,
    one::{DeleteOne, UpdateOne},
    try_insert::TryInsert,
    update::UpdateMany,
};
use crate::{backend::tokens::Tokens, error::Refused, record::SaveOptions, tracked::Tracked};

/// The model of an active model's entity.
type Model<A> = <<A as ActiveModelTrait>::Entity as EntityTrait>::Model;

/// What SeaORM takes the key of such a row for.
type Key<A> = <<<A as ActiveModelTrait>::Entity as EntityTrait>::PrimaryKey as PrimaryKeyTrait>::ValueType;

/// How many rows are written at once.
pub(crate) const CHUNK: usize = 5_000;

/// What one statement binds at most; SQLite's limit is the lowest, 32,766.
const MAX_BINDS: usize = 30_000;

/// The calls of a tracked entity that write without an active model's hooks: SeaORM's names with `_with_events`.
///
/// They are built and answer as SeaORM's own, and are run by `exec(&db)`, `exec_with_returning(&db)` and the like on an
/// [`EventTransaction`](crate::EventTransaction), or on an [`EventConnection`](crate::EventConnection), where each is a
/// unit of work of its own. As with SeaORM's own, hooks of the model do not run. Those that return rows do so on MariaDB and
/// MySQL too.
///
/// The context's team is part of every filter: rows of other teams are not touched, not counted and not locked. Memory does not grow with the number of rows beyond their keys, since events are written chunk
/// by chunk; only in a nested unit whose parent has events of its own in wait are they kept until those are written.
///
/// # Examples
/// ```no_run
/// # mod campaign {
/// #     use events_sea_orm::Tracked;
/// #     use sea_orm::entity::prelude::*;
/// #     #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
/// #     #[sea_orm(table_name = "campaigns")]
/// #     #[tracked(object_type = "campaign", team = "team_id", all)]
/// #     pub struct Model { #[sea_orm(primary_key)] pub id: i32, pub team_id: i32, pub status: String, pub budget: i64 }
/// #     #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
/// #     pub enum Relation {}
/// # }
/// use events_sea_orm::EntityEvents;
/// use sea_orm::{ColumnTrait, ExprTrait, QueryFilter, sea_query::Expr};
///
/// # async fn example(db: events_sea_orm::EventConnection) -> Result<(), sea_orm::DbErr> {
/// let updated = campaign::Entity::update_many_with_events()
///     .col_expr(campaign::Column::Budget, Expr::col(campaign::Column::Budget).mul(2))
///     .filter(campaign::Column::Status.eq("live"))
///     .reason("doubled for the season")
///     .exec(&db)
///     .await?;
/// assert!(updated.rows_affected > 0);
/// # Ok(()) }
/// ```
pub trait EntityEvents: EntityTrait
where
    Self::Model: Tracked,
{
    /// Inserts this row; a CREATED.
    fn insert_with_events<A>(model: A) -> InsertOne<A>
    where
        A: ActiveModelTrait<Entity = Self>,
        Self::Model: IntoActiveModel<A>,
    {
        InsertOne::new(model)
    }

    /// Updates the row of this key; what changed.
    fn update_with_events<A>(model: A) -> UpdateOne<A>
    where
        A: ActiveModelTrait<Entity = Self>,
    {
        UpdateOne::new(model)
    }

    /// Deletes the row of this key, if it is there; a DELETED.
    fn delete_with_events<A>(model: A) -> DeleteOne<Self>
    where
        A: ActiveModelTrait<Entity = Self>,
    {
        DeleteOne::new(&model)
    }

    /// Inserts these rows; a CREATED for each.
    fn insert_many_with_events<A, I>(models: I) -> InsertMany<A>
    where
        A: ActiveModelTrait<Entity = Self>,
        I: IntoIterator<Item = A>,
    {
        InsertMany::new(models.into_iter().collect())
    }

    /// Updates the rows that match; what changed for each, nothing for those that did not change.
    fn update_many_with_events() -> UpdateMany<Self> {
        UpdateMany::new()
    }

    /// Deletes the rows that match; a DELETED for each.
    fn delete_many_with_events() -> DeleteMany<Self> {
        DeleteMany::new()
    }

    /// Deletes the row of this key, if it is there.
    fn delete_by_id_with_events<T>(key: T) -> DeleteOne<Self>
    where
        T: Into<<Self::PrimaryKey as PrimaryKeyTrait>::ValueType>,
    {
        DeleteOne::of_key(key.into())
    }
}

impl<E: EntityTrait> EntityEvents for E where E::Model: Tracked {}

/// The condition of a bulk call.
///
/// Its own type rather than a statement: sea-query panics where `and_where` and `cond_where` meet on one.
#[derive(Clone)]
pub struct Filter(Condition);

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the condition: it may hold redacted values.
        f.debug_struct("Filter").finish_non_exhaustive()
    }
}

impl Filter {
    /// Of the context's team.
    fn of_team(&self, call: &call::Call<'_>) -> Condition {
        let all = Condition::all().add(self.0.clone());
        match call.definition.is_of_team(&call.txn.team_scope(), call.txn.backend()) {
            Some(team) => all.add(team),
            None => all,
        }
    }

    /// Refuses SQL of the application's that ends the parentheses around it: neither the team's condition nor a key's
    /// would hold for what comes after.
    fn check(&self, backend: DbBackend) -> Result<(), Refused> {
        let alone = StatementBuilder::build(Query::select().cond_where(self.0.clone()), &backend);
        if Tokens::new(backend, &alone.sql).parentheses_match() {
            return Ok(());
        }
        Err(Refused::UnknownSql { why: "the parentheses of a filter do not match".to_owned() })
    }
}

impl Default for Filter {
    fn default() -> Self {
        Self(Condition::all())
    }
}

impl ConditionalStatement for Filter {
    fn and_or_where(&mut self, condition: LogicalChainOper) -> &mut Self {
        let so_far = std::mem::replace(&mut self.0, Condition::all());
        self.0 = match condition {
            LogicalChainOper::And(expr) => so_far.add(expr),
            LogicalChainOper::Or(expr) => Condition::any().add(so_far).add(expr),
        };
        self
    }

    fn cond_where<C: IntoCondition>(&mut self, condition: C) -> &mut Self {
        let so_far = std::mem::replace(&mut self.0, Condition::all());
        self.0 = so_far.add(condition.into_condition());
        self
    }
}

/// The methods that the verbs share.
macro_rules! options {
    () => {
        /// Records these tracked fields only, by their recorded or column names. A change of any other tracked field is
        /// written and *not* recorded.
        pub fn track_fields<S: Into<String>>(mut self, fields: impl IntoIterator<Item = S>) -> Self {
            self.options.track_fields = Some(fields.into_iter().map(Into::into).collect());
            self
        }

        /// Why. Stands in the events' context, and in their data where they are transitions or deletes.
        pub fn reason(mut self, reason: impl Into<String>) -> Self {
            self.options.reason = Some(reason.into());
            self
        }
    };
}
use options;

/// Refuses what could not be recorded, before anything is sent.
fn check_options<M: Tracked>(options: &SaveOptions) -> Result<(), DbErr> {
    Ok(options.check(M::definition())?)
}
