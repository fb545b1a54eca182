//! `insert_many_with_events(..).on_conflict(..)`: rows that are there already are kept, or updated.
//!
//! The rows that are there are read under lock before the statement, so that each row it answers is told to be new or
//! changed, and from what.

use std::collections::{HashMap, HashSet};

use sea_orm::{
    ActiveModelTrait, ColumnTrait, DbBackend, DbErr, EntityName, EntityTrait, ExprTrait, FromQueryResult,
    IdenStatic, Iterable, ModelTrait, QueryFilter, QueryTrait, StatementBuilder, Value,
    sea_query::{Condition, Expr, InsertStatement, OnConflict, Query, ValueTuple},
};
use serde_json::Value as Json;

use super::keys::{key_columns, read};
use crate::{
    backend::{self, Lock},
    error::Refused,
    record,
    tracked::{RowImage, Tracked},
    transaction::{Busy, EventTransaction},
    value,
};

type Model<A> = <<A as ActiveModelTrait>::Entity as EntityTrait>::Model;
type Column<A> = <<A as ActiveModelTrait>::Entity as EntityTrait>::Column;

/// A row that was written, and what was there before.
pub(super) struct Written<M> {
    pub(super) old: Option<M>,
    pub(super) new: M,
}

/// What an upsert does about rows that are there.
pub(super) struct Action<A: ActiveModelTrait> {
    on_conflict: OnConflict,
    /// The columns by which a row is found to be there.
    columns: Vec<Column<A>>,
    updates: bool,
}

/// A value of the conflict columns, as text; None where one is NULL or made by the database: that is never there.
type Place = Option<String>;

impl<A: ActiveModelTrait> Action<A>
where
    Model<A>: Tracked,
{
    /// sea-query lets nobody read an `OnConflict`, so its text is read.
    pub(super) fn new(on_conflict: &OnConflict) -> Result<Self, Refused> {
        let object_type = Model::<A>::definition().object_type();
        let mut insert = InsertStatement::new();
        insert.into_table(A::Entity::default().table_ref()).on_conflict(on_conflict.clone());
        let text = StatementBuilder::build(&insert, &DbBackend::Sqlite).sql;
        let action = text.split_once(" ON CONFLICT ").map(|(_, action)| action).unwrap_or_default();
        let updates = !action.contains("DO NOTHING");
        let named = action.strip_prefix('(').and_then(|rest| rest.split_once(')')).map(|(names, _)| names);
        let columns = match named {
            Some(names) => names
                .split(',')
                .map(|name| {
                    let name = name.trim().trim_matches('"');
                    Column::<A>::iter().find(|column| column.as_str() == name)
                })
                .collect::<Option<Vec<_>>>(),
            None if updates => None,
            None => Some(key_columns::<A::Entity>().collect()),
        };
        let columns = columns.ok_or(Refused::ConflictColumns { object_type })?;
        Ok(Self { on_conflict: on_conflict.clone(), columns, updates })
    }

    fn place_of(&self, get: impl Fn(Column<A>) -> Option<Value>) -> Place {
        let json = |column: &Column<A>| match value::to_json(&get(*column)?) {
            Ok(Json::Null) | Err(_) => None,
            Ok(json) => Some(json),
        };
        let values = self.columns.iter().map(json).collect::<Option<Vec<_>>>()?;
        Some(Json::Array(values).to_string())
    }

    /// Leaves out, or refuses, rows of one call that would meet each other.
    pub(super) fn check(&self, models: Vec<A>) -> Result<Vec<A>, Refused> {
        let object_type = Model::<A>::definition().object_type();
        let mut places = HashSet::new();
        let mut kept = Vec::with_capacity(models.len());
        for model in models {
            match self.place_of(|column| model.get(column).into_value()) {
                Some(place) if places.contains(&place) => {
                    if self.updates {
                        return Err(Refused::RepeatedRow { object_type });
                    }
                }
                place => {
                    places.extend(place);
                    kept.push(model);
                }
            }
        }
        Ok(kept)
    }

    /// Where nothing is returned, rows are found again by their places: each must have one.
    pub(super) fn check_places(&self, backend: DbBackend, models: &[A]) -> Result<(), Refused> {
        let place = |model: &A| self.place_of(|column| model.get(column).into_value());
        if self.updates && !backend.support_returning() && models.iter().any(|model| place(model).is_none()) {
            return Err(Refused::ConflictColumns { object_type: Model::<A>::definition().object_type() });
        }
        Ok(())
    }

    /// Writes one chunk.
    pub(super) async fn write(
        &self,
        txn: &EventTransaction,
        busy: &Busy,
        models: Vec<A>,
    ) -> Result<Vec<Written<Model<A>>>, DbErr> {
        let definition = Model::<A>::definition();
        let unexpected = || DbErr::from(Refused::UnexpectedRow { object_type: definition.object_type() });
        let there = self.read_places(txn, busy, &models).await?;
        let mut old_places = HashSet::new();
        let mut old_rows = HashMap::new();
        for row in there {
            record::team_of(definition, &RowImage::of(&row), &txn.team_scope())?;
            old_places.extend(self.place_of(|column| Some(row.get(column))));
            old_rows.insert(row.object().object_id, row);
        }
        let models = if self.updates { models } else { self.absent(models, &old_places) };
        if models.is_empty() {
            return Ok(Vec::new());
        }
        let new_rows = self.insert(txn, busy, models, &old_rows).await?;
        let mut written = Vec::with_capacity(new_rows.len());
        for new in new_rows {
            let old = old_rows.remove(&new.object().object_id);
            // An update that gives a row another key is none that can be told from an insert.
            if old.is_none()
                && self.place_of(|column| Some(new.get(column))).is_some_and(|at| old_places.contains(&at))
            {
                return Err(unexpected());
            }
            written.push(Written { old, new });
        }
        Ok(written)
    }

    fn absent(&self, models: Vec<A>, places: &HashSet<String>) -> Vec<A> {
        let place = |model: &A| self.place_of(|column| model.get(column).into_value());
        models.into_iter().filter(|model| place(model).is_none_or(|place| !places.contains(&place))).collect()
    }

    /// The rows that are where these would go, locked.
    async fn read_places(
        &self,
        txn: &EventTransaction,
        busy: &Busy,
        models: &[A],
    ) -> Result<Vec<Model<A>>, DbErr> {
        let values = |model: &A| {
            let values = self.columns.iter().map(|column| model.get(*column).into_value());
            values.collect::<Option<Vec<Value>>>()
        };
        let places: Vec<Vec<Value>> = models.iter().filter_map(values).collect();
        if places.is_empty() {
            return Ok(Vec::new());
        }
        let mut select = A::Entity::find().filter(self.is_at(places)).into_query();
        if let Some(lock) = backend::lock(txn.backend(), Lock::ForUpdate) {
            select.lock(lock);
        }
        read::<A::Entity>(txn, busy, &select).await
    }

    fn is_at(&self, places: Vec<Vec<Value>>) -> Condition {
        if let [column] = self.columns.as_slice() {
            return Condition::all().add(column.is_in(places.into_iter().flatten()));
        }
        let tuple = Expr::tuple(self.columns.iter().map(|column| Expr::col(column.as_column_ref())));
        Condition::all().add(tuple.in_tuples(places.into_iter().map(ValueTuple::Many)))
    }

    /// Sends the statement, and answers the rows that it inserted or updated.
    async fn insert(
        &self,
        txn: &EventTransaction,
        busy: &Busy,
        models: Vec<A>,
        old_rows: &HashMap<String, Model<A>>,
    ) -> Result<Vec<Model<A>>, DbErr> {
        let object_type = Model::<A>::definition().object_type();
        let unexpected = || DbErr::from(Refused::UnexpectedRow { object_type });
        if !txn.backend().support_returning() {
            return self.insert_and_read(txn, busy, models, old_rows).await;
        }
        let mut insert = A::Entity::insert_many(models).into_query();
        insert.on_conflict(self.on_conflict.clone());
        let columns = Column::<A>::iter().map(|column| column.select_as(Expr::col(column.as_column_ref())));
        let inserted = backend::was_inserted(txn.backend()).into_iter();
        insert.returning(Query::returning().exprs(columns.chain(inserted)));
        let rows = txn.query_own(busy, StatementBuilder::build(&insert, &txn.backend())).await?;
        let mut new_rows = Vec::with_capacity(rows.len());
        for row in &rows {
            let new = Model::<A>::from_query_result(row, "")?;
            let was_there = old_rows.contains_key(&new.object().object_id);
            // A row that came between the read and the statement was updated, and nobody knows from what.
            if !was_there && row.try_get::<bool>("", backend::WAS_INSERTED).is_ok_and(|inserted| !inserted) {
                return Err(unexpected());
            }
            new_rows.push(new);
        }
        Ok(new_rows)
    }

    /// Where nothing is returned the rows are read again by their places, and the count tells whether that is all.
    async fn insert_and_read(
        &self,
        txn: &EventTransaction,
        busy: &Busy,
        models: Vec<A>,
        old_rows: &HashMap<String, Model<A>>,
    ) -> Result<Vec<Model<A>>, DbErr> {
        let definition = Model::<A>::definition();
        let count = models.len();
        if !self.updates {
            return super::insert::write(txn, busy, models).await;
        }
        let unexpected = || DbErr::from(Refused::UnexpectedRow { object_type: definition.object_type() });
        let values = |model: &A| self.columns.iter().map(|column| model.get(*column).into_value()).collect();
        let places: Option<Vec<Vec<Value>>> = models.iter().map(values).collect();
        let places = places.ok_or(Refused::ConflictColumns { object_type: definition.object_type() })?;
        let mut insert = A::Entity::insert_many(models).into_query();
        insert.on_conflict(self.on_conflict.clone());
        let insert = StatementBuilder::build(&insert, &txn.backend());
        let affected = txn.execute_any(busy, insert).await?;
        let select = A::Entity::find().filter(self.is_at(places)).into_query();
        let new_rows = read::<A::Entity>(txn, busy, &select).await?;
        let changed = |new: &Model<A>| {
            old_rows.get(&new.object().object_id).is_some_and(|old| {
                Column::<A>::iter().any(|column| !value::same(&old.get(column), &new.get(column)))
            })
        };
        // MySQL counts one for a row that came or stayed as it was, and two for one that changed.
        let expected = count + new_rows.iter().filter(|new| changed(new)).count();
        if new_rows.len() == count && affected == expected as u64 { Ok(new_rows) } else { Err(unexpected()) }
    }
}
