//! `update_many_with_events`.

use sea_orm::{
    ActiveModelTrait, ActiveValue, ColumnTrait, DbErr, EntityTrait, FromQueryResult, IdenStatic, Iterable,
    QueryFilter, QueryTrait, StatementBuilder, UpdateResult, Value,
    sea_query::{Expr, Query, UpdateStatement},
};

use super::{
    Filter, at_once, check_options,
    keys::{Locked, by_object, has_key, key_columns, read, select_keys},
    options,
};
use crate::{
    backend::Lock,
    error::Refused,
    record::{self, Change, Recorder, SaveOptions},
    saves::Target,
    tracked::{RowImage, TeamSource, Tracked},
    transaction::{Busy, EventTransaction},
};

/// A tracked `update_many`, made by [`EntityEvents`](super::EntityEvents).
#[derive(Clone)]
#[must_use = "nothing is updated until it is run"]
pub struct UpdateMany<E: EntityTrait> {
    filter: Filter,
    values: Vec<(E::Column, Expr)>,
    pub(super) options: SaveOptions,
}

impl<E: EntityTrait> std::fmt::Debug for UpdateMany<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the values and the filter: they may be redacted.
        let columns: Vec<_> = self.values.iter().map(|(column, _)| column.as_str()).collect();
        f.debug_struct("UpdateMany").field("columns", &columns).finish_non_exhaustive()
    }
}

impl<E: EntityTrait> QueryFilter for UpdateMany<E> {
    type QueryStatement = Filter;

    fn query(&mut self) -> &mut Filter {
        &mut self.filter
    }
}

impl<E: EntityTrait> UpdateMany<E>
where
    E::Model: Tracked,
{
    options!();

    pub(super) fn new() -> Self {
        Self { filter: Filter::default(), values: Vec::new(), options: SaveOptions::default() }
    }

    pub(super) fn sets_nothing(&self) -> bool {
        self.values.is_empty()
    }

    /// Sets a column to an expression over the row as it was.
    pub fn col_expr(mut self, column: E::Column, expr: impl Into<Expr>) -> Self {
        self.values.push((column, expr.into()));
        self
    }

    /// Sets every column that is set in this model.
    pub fn set<A: ActiveModelTrait<Entity = E>>(mut self, model: A) -> Self {
        for column in E::Column::iter() {
            if let ActiveValue::Set(value) = model.get(column) {
                self.values.push((column, column.save_as(Expr::val(value))));
            }
        }
        self
    }

    /// Updates, and tells how many rows matched. With nothing set nothing is sent.
    ///
    /// # Errors
    /// [`Refused::FixedColumn`] for a column that names the object or its team, and a [`Refused`] for rows of another
    /// team, before anything is updated; else the database's, and the unit of work is poisoned.
    pub async fn exec<'a>(self, db: impl Into<Target<'a>>) -> Result<UpdateResult, DbErr> {
        let mut result = UpdateResult::default();
        let count = |rows: Vec<E::Model>| result.rows_affected += rows.len() as u64;
        self.update(db.into(), count).await?;
        Ok(result)
    }

    /// Updates, and answers the rows as they are now, in key order. They are all held in memory.
    ///
    /// # Errors
    /// As [`exec`](Self::exec).
    pub async fn exec_with_returning<'a>(self, db: impl Into<Target<'a>>) -> Result<Vec<E::Model>, DbErr> {
        let mut updated = Vec::new();
        self.update(db.into(), |rows| updated.extend(rows)).await?;
        Ok(updated)
    }

    fn check(&self) -> Result<(), DbErr> {
        check_options::<E::Model>(&self.options)?;
        let definition = E::Model::definition();
        let is_fixed = |column: &E::Column| {
            definition.key_columns().contains(&column.as_str())
                || definition.team() == TeamSource::Column(column.as_str())
        };
        match self.values.iter().find(|(column, _)| is_fixed(column)) {
            Some((column, _)) => {
                let object_type = definition.object_type();
                Err(Refused::FixedColumn { object_type, column: column.as_str() }.into())
            }
            None => Ok(()),
        }
    }

    async fn update(self, target: Target<'_>, updated: impl FnMut(Vec<E::Model>)) -> Result<(), DbErr> {
        self.check()?;
        if self.values.is_empty() {
            return Ok(());
        }
        let unit = target.open().await?;
        let done = self.update_in(unit.transaction(), updated).await;
        unit.close(done).await
    }

    async fn update_in(
        &self,
        txn: &EventTransaction,
        updated: impl FnMut(Vec<E::Model>),
    ) -> Result<(), DbErr> {
        let definition = E::Model::definition();
        let busy = txn.begin_bulk().await?;
        let doubt = txn.doubt_bulk();
        match at_once::update::<E>(txn, &busy, &self.filter, &self.values).await {
            Ok(None) => doubt.settle(),
            Ok(Some(changes)) => {
                let recorded = self.record_all(txn, &busy, changes, updated).await;
                return txn.end_bulk(definition, recorded, doubt);
            }
            Err(error) => return txn.end_bulk(definition, Err(error), doubt),
        }
        let locked = Locked::<E>::find(txn, &busy, &self.filter, Lock::ForUpdate).await?;
        let doubt = txn.doubt_bulk();
        let written = self.write_all(txn, &busy, locked, updated).await;
        txn.end_bulk(definition, written, doubt)
    }

    async fn record_all(
        &self,
        txn: &EventTransaction,
        busy: &Busy,
        changes: Vec<(E::Model, E::Model)>,
        mut updated: impl FnMut(Vec<E::Model>),
    ) -> Result<(), DbErr> {
        let recorder = txn.recorder(E::Model::definition(), &self.options)?;
        for (old, new) in &changes {
            record_one(txn, &recorder, old, new)?;
        }
        updated(changes.into_iter().map(|(_, new)| new).collect());
        txn.spill(busy).await
    }

    async fn write_all(
        &self,
        txn: &EventTransaction,
        busy: &Busy,
        mut locked: Locked<E>,
        mut updated: impl FnMut(Vec<E::Model>),
    ) -> Result<(), DbErr> {
        for chunk in locked.chunks() {
            let old = match chunk.rows {
                Some(rows) => rows,
                None => read::<E>(txn, busy, &select_keys::<E>(txn, chunk.keys, Lock::ForUpdate)).await?,
            };
            let new = self.write(txn, busy, chunk.keys).await?;
            let recorder = txn.recorder(E::Model::definition(), &self.options)?;
            updated(record_chunk(txn, &recorder, &old, new)?);
            txn.spill(busy).await?;
        }
        Ok(())
    }

    /// Writes the rows of these keys, and answers what they hold now.
    async fn write(
        &self,
        txn: &EventTransaction,
        busy: &Busy,
        keys: &[Value],
    ) -> Result<Vec<E::Model>, DbErr> {
        let mut update = UpdateStatement::new();
        update.table(E::default().table_ref()).cond_where(has_key::<E>(keys));
        for (column, expr) in &self.values {
            update.value(*column, expr.clone());
        }
        if txn.backend().support_returning() {
            let columns = E::Column::iter().map(|column| column.select_as(Expr::col(column.as_column_ref())));
            update.returning(Query::returning().exprs(columns));
            let rows = txn.query_own(busy, StatementBuilder::build(&update, &txn.backend())).await?;
            return rows.iter().map(|row| E::Model::from_query_result(row, "")).collect();
        }
        let expected = keys.len() / key_columns::<E>().count();
        let update = StatementBuilder::build(&update, &txn.backend());
        txn.execute_own(busy, update, expected, E::Model::definition()).await?;
        // Without a lock: the rows are this unit's own, and a locking scan would wait for others' rows in between.
        read::<E>(txn, busy, &E::find().filter(has_key::<E>(keys)).into_query()).await
    }
}

/// Records what changed, row by row, and answers the new rows in the order of the old ones.
fn record_chunk<M: Tracked>(
    txn: &EventTransaction,
    recorder: &Recorder<'_>,
    old: &[M],
    new: Vec<M>,
) -> Result<Vec<M>, DbErr> {
    let unexpected = || Refused::UnexpectedRow { object_type: M::definition().object_type() };
    if old.len() != new.len() {
        return Err(unexpected().into());
    }
    let mut by_object = by_object(new);
    let mut updated = Vec::with_capacity(old.len());
    for old in old {
        let new = by_object.remove(&old.object().object_id).ok_or_else(unexpected)?;
        record_one(txn, recorder, old, &new)?;
        updated.push(new);
    }
    Ok(updated)
}

fn record_one<M: Tracked>(
    txn: &EventTransaction,
    recorder: &Recorder<'_>,
    old: &M,
    new: &M,
) -> Result<(), Refused> {
    let (old, new) = (RowImage::of(old), RowImage::of(new));
    record::same_team(M::definition(), &old, &new)?;
    txn.record(recorder, Change::Updated(&old, &new))
}
