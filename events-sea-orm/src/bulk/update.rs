//! `update_many_with_events`.

use sea_orm::{
    ActiveModelTrait, ActiveValue, ColumnTrait, DbErr, EntityTrait, IdenStatic, Iterable, QueryFilter,
    StatementBuilder, UpdateResult, Value,
    sea_query::{Expr, UpdateStatement},
};

use super::{
    Filter, at_once,
    call::{Call, Row, Wanted, Written},
    check_options,
    keys::{Locked, by_object},
    options,
};
use crate::{
    backend::Lock,
    error::Refused,
    hooks,
    record::{SaveOptions, Sizes},
    saves::Target,
    tracked::{self, RowImage, TeamSource, Tracked},
    transaction::{EventTransaction, Kind},
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

    /// Updates, and tells how many rows matched. With nothing set nothing is sent. Rows that the model cannot read are
    /// updated like any other.
    ///
    /// # Errors
    /// [`Refused::FixedColumn`] for a column that names the object or its team, [`Refused::Value`] for a value that cannot
    /// be recorded, [`Refused::UnknownSql`] for a filter whose parentheses do not match, before anything is updated; else the database's, and the unit of work is poisoned.
    pub async fn exec<'a>(self, db: impl Into<Target<'a>>) -> Result<UpdateResult, DbErr> {
        self.check()?;
        let mut result = UpdateResult::default();
        if !self.values.is_empty() {
            let unit = db.into().open().await?;
            let updated = self.update_in(unit.transaction(), Wanted::Nothing).await;
            result.rows_affected = unit.close(updated).await?.count;
        }
        Ok(result)
    }

    /// Updates, and answers the rows as they are now, in key order. They are all held in memory.
    ///
    /// # Errors
    /// As [`exec`](Self::exec); SeaORM's if a row is no model. In a unit of work the rows are updated and recorded then,
    /// and the unit can go on; on a connection nothing is updated.
    pub async fn exec_with_returning<'a>(self, db: impl Into<Target<'a>>) -> Result<Vec<E::Model>, DbErr> {
        self.check()?;
        if self.values.is_empty() {
            return Ok(Vec::new());
        }
        let unit = db.into().open().await?;
        let updated = self.update_in(unit.transaction(), Wanted::Rows).await;
        unit.close(updated.and_then(Written::models::<E>)).await
    }

    fn check(&self) -> Result<(), DbErr> {
        check_options::<E::Model>(&self.options)?;
        let definition = E::Model::definition();
        let is_fixed = |column: &E::Column| {
            definition.key_columns().contains(&column.as_str())
                || definition.team() == TeamSource::Column(column.as_str())
        };
        for (column, expr) in &self.values {
            if let Some(value) = plain_value(expr) {
                hooks::check_value(definition, column.as_str(), value)?;
            }
        }
        match self.values.iter().find(|(column, _)| is_fixed(column)) {
            Some((column, _)) => {
                let object_type = definition.object_type();
                Err(Refused::FixedColumn { object_type, column: column.as_str() }.into())
            }
            None => Ok(()),
        }
    }

    /// Updates in this unit of work.
    pub(super) async fn update_in(&self, txn: &EventTransaction, wanted: Wanted) -> Result<Written, DbErr> {
        self.check()?;
        let definition = E::Model::definition();
        tracked::know(definition);
        let mut sizes = Sizes::default();
        for (column, expr) in &self.values {
            if let Some(value) = plain_value(expr) {
                sizes.add(definition, column.as_str(), value);
            }
        }
        sizes.check(definition, Kind::Update, None, txn.events().event_limit())?;
        self.filter.check(txn.backend())?;
        let mut update = UpdateStatement::new();
        update.table(definition.table_ref());
        for (column, expr) in &self.values {
            update.value(*column, expr.clone());
        }
        txn.check_years(&StatementBuilder::build(&update, &txn.backend()))?;
        let busy = txn.begin_bulk().await?;
        let call = Call { txn, busy: &busy, definition, options: &self.options, wanted };
        update_all(&call, &self.filter, update).await
    }
}

async fn update_all(call: &Call<'_>, filter: &Filter, update: UpdateStatement) -> Result<Written, DbErr> {
    let (txn, definition) = (call.txn, call.definition);
    let mut updated = Written::default();
    let doubt = txn.doubt_bulk();
    match at_once::update(call, filter, update.clone()).await {
        Ok(None) => doubt.settle(),
        Ok(Some(changes)) => {
            let recorded = record_all(call, changes, &mut updated).await;
            return txn.end_bulk(definition, recorded, doubt).map(|()| updated);
        }
        Err(error) => return txn.end_bulk(definition, Err(error), doubt).map(|()| updated),
    }
    let locked = Locked::find(&call.of_images(), filter, Lock::ForUpdate).await?;
    let doubt = txn.doubt_bulk();
    let written = write_all(call, locked, &update, &mut updated).await;
    txn.end_bulk(definition, written, doubt).map(|()| updated)
}

async fn record_all(
    call: &Call<'_>,
    changes: Vec<(RowImage, Row)>,
    updated: &mut Written,
) -> Result<(), DbErr> {
    let recorder = call.recorder()?;
    for (old, new) in changes {
        call.record_update(&recorder, &old, &new.image)?;
        updated.push(new, call.wanted);
    }
    call.txn.spill(call.busy).await
}

async fn write_all(
    call: &Call<'_>,
    mut locked: Locked,
    update: &UpdateStatement,
    updated: &mut Written,
) -> Result<(), DbErr> {
    let before = call.of_images();
    for chunk in locked.chunks() {
        let old = match chunk.rows {
            Some(rows) => rows,
            None => before.rows(before.query(&before.select_keys(chunk.keys, Lock::ForUpdate)).await?)?,
        };
        let new = write(call, chunk.keys, update.clone()).await?;
        let changes = pairs(call, old, new)?;
        record_all(call, changes, updated).await?;
    }
    Ok(())
}

/// Writes the rows of these keys, and answers what they hold now.
async fn write(call: &Call<'_>, keys: &[Value], mut update: UpdateStatement) -> Result<Vec<Row>, DbErr> {
    let (txn, definition) = (call.txn, call.definition);
    update.cond_where(definition.has_key(keys));
    if txn.backend().support_returning() {
        update.returning(definition.returning(call.is_whole()));
        return call.rows(call.query(&update).await?);
    }
    let expected = keys.len() / definition.key_columns().len().max(1);
    let update = call.build(&update);
    txn.check_own(&update)?;
    txn.execute_own(call.busy, update, expected, definition).await?;
    // Without a lock: the rows are this unit's own, and a locking scan would wait for others' rows in between.
    let mut select = call.select();
    select.cond_where(definition.has_key(keys));
    call.rows(call.query(&select).await?)
}

/// What each row was, and what it is, in the order of the old ones.
fn pairs(call: &Call<'_>, old: Vec<Row>, new: Vec<Row>) -> Result<Vec<(RowImage, Row)>, DbErr> {
    let definition = call.definition;
    let unexpected = || DbErr::from(Refused::UnexpectedRow { object_type: definition.object_type() });
    if old.len() != new.len() {
        return Err(unexpected());
    }
    let count = new.len();
    let mut by_object = by_object(definition, new);
    if by_object.len() < count {
        return Err(Refused::SeveralRows { object_type: definition.object_type() }.into());
    }
    let pair = |old: Row| {
        let new = by_object.remove(&definition.object_id(&old.image.key)).ok_or_else(unexpected)?;
        Ok((old.image, new))
    };
    old.into_iter().map(pair).collect()
}

/// The value that an expression is, if it is nothing but one.
fn plain_value(expr: &Expr) -> Option<&Value> {
    match expr {
        Expr::Value(value) => Some(value),
        Expr::AsEnum(_, inner) => plain_value(inner),
        _ => None,
    }
}
