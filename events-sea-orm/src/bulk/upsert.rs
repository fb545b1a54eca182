//! `insert_many_with_events(..).on_conflict(..)`: rows that are there already are kept, or updated.
//!
//! The rows that are there are read under lock before the statement, so that each row it answers is told to be new or
//! changed, and from what.

use std::collections::{HashMap, HashSet};

use sea_orm::{
    ActiveModelTrait, ColumnTrait, DbBackend, DbErr, EntityName, EntityTrait, ExprTrait, IdenStatic,
    Iterable, PrimaryKeyToColumn, QueryResult, QueryTrait, StatementBuilder, Value,
    sea_query::{Condition, Expr, InsertStatement, OnConflict},
};
use serde_json::Value as Json;

use super::{
    Model,
    call::{Call, Row, Wanted},
};
use crate::{
    backend::{self, Lock},
    error::Refused,
    record,
    tracked::{Definition, RowImage, Tracked},
    value,
};

type Column<A> = <<A as ActiveModelTrait>::Entity as EntityTrait>::Column;

/// A row that was written, and what was there before.
pub(super) struct Changed {
    pub(super) old: Option<RowImage>,
    pub(super) new: Row,
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
        let target = action.strip_prefix('(').and_then(|rest| rest.split_once(')'));
        // Whether a row that is not there yet would be in such an index nobody can tell but the database.
        if target.map_or(action, |(_, rest)| rest).trim_start().starts_with("WHERE ") {
            return Err(Refused::ConflictCondition { object_type });
        }
        let named = target.map(|(names, _)| names);
        let columns = match named {
            Some(names) => names
                .split(',')
                .map(|name| {
                    let name = name.trim().trim_matches('"');
                    Column::<A>::iter().find(|column| column.as_str() == name)
                })
                .collect::<Option<Vec<_>>>(),
            None if updates => None,
            None => Some(
                <A::Entity as EntityTrait>::PrimaryKey::iter().map(PrimaryKeyToColumn::into_column).collect(),
            ),
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

    /// Where a row of an answer is.
    fn place_in(&self, definition: &Definition, row: &Row) -> Place {
        self.place_of(|column| definition.value(row.answer.as_ref()?, column.as_str()).ok())
    }

    /// Writes one chunk.
    pub(super) async fn write(&self, call: &Call<'_>, models: Vec<A>) -> Result<Vec<Changed>, DbErr> {
        let definition = call.definition;
        // The columns by which rows are found to be there may be any.
        let whole = Call { wanted: Wanted::Rows, ..*call };
        let mut old_places = HashSet::new();
        let mut old_rows = HashMap::new();
        for old in self.read_places(&whole, &models).await? {
            if self.updates {
                // Which row of whom it is the caller must not learn. That the key is taken any INSERT would tell.
                record::team_of(definition, &old.image, &call.txn.team_scope()).map_err(taken)?;
            }
            old_places.extend(self.place_in(definition, &old));
            old_rows.insert(definition.object_id(&old.image.key), old);
        }
        let models = if self.updates { models } else { self.absent(models, &old_places) };
        if models.is_empty() {
            return Ok(Vec::new());
        }
        let new_rows = self.insert(&whole, models, &old_rows).await?;
        let mut written = Vec::with_capacity(new_rows.len());
        for mut new in new_rows {
            let old = old_rows.remove(&definition.object_id(&new.image.key)).map(|old| old.image);
            // An update that gives a row another key is none that can be told from an insert.
            if old.is_none() && self.place_in(definition, &new).is_some_and(|at| old_places.contains(&at)) {
                return Err(unexpected(call));
            }
            new.answer = new.answer.filter(|_| call.wanted != Wanted::Nothing);
            written.push(Changed { old, new });
        }
        Ok(written)
    }

    fn absent(&self, models: Vec<A>, places: &HashSet<String>) -> Vec<A> {
        let place = |model: &A| self.place_of(|column| model.get(column).into_value());
        models.into_iter().filter(|model| place(model).is_none_or(|place| !places.contains(&place))).collect()
    }

    fn values(&self, model: &A) -> Option<Vec<Value>> {
        self.columns.iter().map(|column| model.get(*column).into_value()).collect()
    }

    /// The rows that are where these would go, locked.
    async fn read_places(&self, call: &Call<'_>, models: &[A]) -> Result<Vec<Row>, DbErr> {
        let places: Vec<Vec<Value>> = models.iter().filter_map(|model| self.values(model)).collect();
        if places.is_empty() {
            return Ok(Vec::new());
        }
        let mut select = call.select();
        select.cond_where(self.is_at(places));
        backend::lock_rows(&mut select, call.txn.backend(), Lock::ForUpdate);
        call.rows(call.query(&select).await?)
    }

    fn is_at(&self, places: Vec<Vec<Value>>) -> Condition {
        if let [column] = self.columns.as_slice() {
            return Condition::all().add(column.is_in(places.into_iter().flatten()));
        }
        let tuple = Expr::tuple(self.columns.iter().map(|column| Expr::col(column.as_column_ref())));
        let saved = |place: Vec<Value>| {
            Expr::tuple(
                self.columns.iter().zip(place).map(|(column, value)| column.save_as(Expr::val(value))),
            )
        };
        Condition::all().add(tuple.is_in(places.into_iter().map(saved)))
    }

    /// Sends the statement, and answers the rows that it inserted or updated.
    async fn insert(
        &self,
        call: &Call<'_>,
        models: Vec<A>,
        old_rows: &HashMap<String, Row>,
    ) -> Result<Vec<Row>, DbErr> {
        let definition = call.definition;
        if !call.txn.backend().support_returning() {
            return self.insert_and_read(call, models, old_rows).await;
        }
        let mut insert = A::Entity::insert_many(models).into_query();
        insert.on_conflict(self.on_conflict.clone());
        let inserted = backend::was_inserted(call.txn.backend()).into_iter();
        insert.returning(definition.returning_all_and(inserted));
        let new_rows = call.rows(call.query(&insert).await?)?;
        for new in &new_rows {
            let was_there = old_rows.contains_key(&definition.object_id(&new.image.key));
            let is_new = |row: &QueryResult| row.try_get::<bool>("", backend::WAS_INSERTED).unwrap_or(true);
            // A row that came between the read and the statement was updated, and nobody knows from what.
            if !was_there && !new.answer.as_ref().is_none_or(is_new) {
                return Err(unexpected(call));
            }
        }
        Ok(new_rows)
    }

    /// Where nothing is returned the rows are read again by their places, and the count tells whether that is all.
    async fn insert_and_read(
        &self,
        call: &Call<'_>,
        models: Vec<A>,
        old_rows: &HashMap<String, Row>,
    ) -> Result<Vec<Row>, DbErr> {
        let definition = call.definition;
        let count = models.len();
        if !self.updates {
            return super::insert::write(call, models).await;
        }
        let places: Option<Vec<Vec<Value>>> = models.iter().map(|model| self.values(model)).collect();
        let places = places.ok_or(Refused::ConflictColumns { object_type: definition.object_type() })?;
        let mut insert = A::Entity::insert_many(models).into_query();
        insert.on_conflict(self.on_conflict.clone());
        let insert = call.build(&insert);
        call.txn.check_own(&insert)?;
        let affected = call.txn.execute_any(call.busy, insert).await?;
        let mut select = call.select();
        select.cond_where(self.is_at(places));
        let new_rows = call.rows(call.query(&select).await?)?;
        let changed = |new: &Row| {
            let old = old_rows.get(&definition.object_id(&new.image.key));
            old.and_then(|old| old.answer.as_ref()).zip(new.answer.as_ref()).is_some_and(|(old, new)| {
                let value = |row, column: &Column<A>| definition.value(row, column.as_str()).ok();
                let same = |column: Column<A>| {
                    value(old, &column)
                        .zip(value(new, &column))
                        .is_some_and(|(old, new)| value::same(&old, &new))
                };
                !Column::<A>::iter().all(same)
            })
        };
        // MySQL counts one for a row that came or stayed as it was, and two for one that changed.
        let expected = count + new_rows.iter().filter(|new| changed(new)).count();
        if new_rows.len() == count && affected == expected as u64 {
            Ok(new_rows)
        } else {
            Err(unexpected(call))
        }
    }
}

fn unexpected(call: &Call<'_>) -> DbErr {
    Refused::UnexpectedRow { object_type: call.definition.object_type() }.into()
}

/// The refusal of a row that is there, is another team's, and must not be known.
fn taken(refused: Refused) -> Refused {
    match refused {
        Refused::OtherTeam { .. } | Refused::NullTeam { .. } => Refused::KeyTaken,
        other => other,
    }
}
