//! `update_with_events`, `delete_with_events`, `delete_by_id_with_events`: the verbs for many rows, of one key.

use events_core::TeamScope;
use sea_orm::{
    ActiveModelTrait, ActiveValue, ColumnTrait, Condition, DbErr, DeleteResult, EntityTrait, IdenStatic,
    Iterable, PrimaryKeyToColumn, PrimaryKeyTrait, QueryFilter, UpdateResult, Value,
    sea_query::{Expr, IntoValueTuple},
};

use super::{
    DeleteMany, Filter, Model, UpdateMany,
    call::{Wanted, Written},
    check_options,
};
use crate::{
    hooks,
    saves::Target,
    tracked::{self, TeamSource, Tracked},
    transaction::{EventTransaction, Kind},
};

/// The condition of the row of this model, as long as its key is set.
fn is_row<A: ActiveModelTrait>(active: &A, context: &'static str) -> Result<Condition, DbErr>
where
    Model<A>: Tracked,
{
    let key = tracked::key_of(active).ok_or(DbErr::PrimaryKeyNotSet { ctx: context })?;
    Ok(Model::<A>::definition().has_key(&key))
}

/// A tracked `Entity::update`, made by [`EntityEvents`](super::EntityEvents).
#[derive(Clone)]
#[must_use = "nothing is updated until it is run"]
pub struct UpdateOne<A: ActiveModelTrait> {
    active: A,
    update: UpdateMany<A::Entity>,
}

impl<A: ActiveModelTrait> std::fmt::Debug for UpdateOne<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the model: it may hold redacted values.
        f.debug_struct("UpdateOne").finish_non_exhaustive()
    }
}

impl<A: ActiveModelTrait> QueryFilter for UpdateOne<A> {
    type QueryStatement = Filter;

    fn query(&mut self) -> &mut Filter {
        self.update.query()
    }
}

impl<A: ActiveModelTrait> UpdateOne<A>
where
    Model<A>: Tracked,
{
    pub(super) fn new(active: A) -> Self {
        Self { active, update: UpdateMany::new() }
    }

    /// As [`UpdateMany::track_fields`].
    pub fn track_fields<S: Into<String>>(mut self, fields: impl IntoIterator<Item = S>) -> Self {
        self.update = self.update.track_fields(fields);
        self
    }

    /// As [`UpdateMany::reason`].
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.update = self.update.reason(reason);
        self
    }

    /// Itself, if the key is set: SeaORM's own needs it before a filter.
    ///
    /// # Errors
    /// [`DbErr::PrimaryKeyNotSet`].
    pub fn validate(self) -> Result<Self, DbErr> {
        is_row(&self.active, "UpdateOne").map(|_| self)
    }

    /// Updates, and answers the row as it is now. With nothing set it is read.
    ///
    /// # Errors
    /// [`DbErr::RecordNotUpdated`] if there is no such row, or the filter does not let it pass;
    /// [`DbErr::PrimaryKeyNotSet`]. A [`Refused`](crate::Refused) for a row of another team and for values that cannot be
    /// recorded, before anything is updated; else the database's, and the unit of work is poisoned.
    pub async fn exec<'a>(self, db: impl Into<Target<'a>>) -> Result<Model<A>, DbErr> {
        let is_row = is_row(&self.active, "UpdateOne")?;
        let unit = db.into().open().await?;
        let updated = self.exec_in(is_row, unit.transaction()).await;
        unit.close(updated).await
    }

    /// Updates, and tells how many rows there were: one. With nothing set nothing is sent.
    ///
    /// # Errors
    /// As [`exec`](Self::exec).
    pub async fn exec_without_returning<'a>(self, db: impl Into<Target<'a>>) -> Result<UpdateResult, DbErr> {
        let is_row = is_row(&self.active, "UpdateOne")?;
        let unit = db.into().open().await?;
        let updated = self.update_in(is_row, unit.transaction(), Wanted::Nothing).await.map(|row| {
            let mut result = UpdateResult::default();
            result.rows_affected = u64::from(row.is_some());
            result
        });
        unit.close(updated).await
    }

    async fn exec_in(self, is_row: Condition, txn: &EventTransaction) -> Result<Model<A>, DbErr> {
        if let Some(updated) = self.update_in(is_row.clone(), txn, Wanted::Rows).await? {
            return updated.models::<A::Entity>()?.into_iter().next().ok_or(DbErr::RecordNotUpdated);
        }
        let missing = || DbErr::RecordNotFound("Failed to find updated item".to_owned());
        A::Entity::find().filter(is_row).one(txn).await?.ok_or_else(missing)
    }

    /// The row as it is now; none if nothing is set.
    async fn update_in(
        mut self,
        is_row: Condition,
        txn: &EventTransaction,
        wanted: Wanted,
    ) -> Result<Option<Written>, DbErr> {
        let definition = Model::<A>::definition();
        check_options::<Model<A>>(&self.update.options)?;
        hooks::check_values(&self.active, definition, Kind::Update)?;
        hooks::check_years(&self.active, definition, txn.backend())?;
        hooks::check_team(&self.active, definition, Kind::Update, &tracked::key_of(&self.active), txn)?;
        // It was compared with the context's just now, and so will the row's be.
        let says_its_team = |column: &'static str| {
            definition.team() == TeamSource::Column(column) && matches!(txn.team_scope(), TeamScope::Team(_))
        };
        for column in <A::Entity as EntityTrait>::Column::iter() {
            let is_key = <A::Entity as EntityTrait>::PrimaryKey::from_column(column).is_some();
            if let ActiveValue::Set(value) = self.active.get(column)
                && !is_key
                && !says_its_team(column.as_str())
            {
                self.update = self.update.col_expr(column, column.save_as(Expr::val(value)));
            }
        }
        if self.update.sets_nothing() {
            return Ok(None);
        }
        let updated = self.update.filter(is_row).update_in(txn, wanted).await?;
        if updated.count == 0 { Err(DbErr::RecordNotUpdated) } else { Ok(Some(updated)) }
    }
}

/// A tracked `Entity::delete` or `Entity::delete_by_id`, made by [`EntityEvents`](super::EntityEvents).
#[derive(Debug, Clone)]
#[must_use = "nothing is deleted until it is run"]
pub struct DeleteOne<E: EntityTrait> {
    delete: DeleteMany<E>,
    /// Whether it names a row.
    has_key: bool,
}

impl<E: EntityTrait> QueryFilter for DeleteOne<E> {
    type QueryStatement = Filter;

    fn query(&mut self) -> &mut Filter {
        self.delete.query()
    }
}

impl<E: EntityTrait> DeleteOne<E>
where
    E::Model: Tracked,
{
    pub(super) fn new<A: ActiveModelTrait<Entity = E>>(active: &A) -> Self {
        Self::of(tracked::key_of(active))
    }

    pub(super) fn of_key(key: <E::PrimaryKey as PrimaryKeyTrait>::ValueType) -> Self {
        Self::of(Some(key.into_value_tuple().into_iter().collect()))
    }

    fn of(key: Option<Vec<Value>>) -> Self {
        let delete = DeleteMany::new();
        match key {
            Some(key) => Self { delete: delete.filter(E::Model::definition().has_key(&key)), has_key: true },
            None => Self { delete, has_key: false },
        }
    }

    /// As [`DeleteMany::track_fields`].
    pub fn track_fields<S: Into<String>>(mut self, fields: impl IntoIterator<Item = S>) -> Self {
        self.delete = self.delete.track_fields(fields);
        self
    }

    /// As [`DeleteMany::reason`].
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.delete = self.delete.reason(reason);
        self
    }

    /// Itself, if the key is set: SeaORM's own needs it before a filter.
    ///
    /// # Errors
    /// [`DbErr::PrimaryKeyNotSet`].
    pub fn validate(self) -> Result<Self, DbErr> {
        if self.has_key { Ok(self) } else { Err(DbErr::PrimaryKeyNotSet { ctx: "DeleteOne" }) }
    }

    /// Deletes, and tells how many rows went: one, or none if it is not there.
    ///
    /// # Errors
    /// [`DbErr::PrimaryKeyNotSet`]; else as [`DeleteMany::exec`].
    pub async fn exec<'a>(self, db: impl Into<Target<'a>>) -> Result<DeleteResult, DbErr> {
        self.validate()?.delete.exec(db).await
    }

    /// Deletes, and answers the row as it was, if there was one.
    ///
    /// # Errors
    /// As [`exec`](Self::exec).
    pub async fn exec_with_returning<'a>(self, db: impl Into<Target<'a>>) -> Result<Option<E::Model>, DbErr> {
        Ok(self.validate()?.delete.exec_with_returning(db).await?.into_iter().next())
    }
}
