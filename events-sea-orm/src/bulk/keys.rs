//! The rows that a bulk call writes, fixed before it writes.

use std::collections::HashMap;

use sea_orm::{
    ColumnTrait, Condition, DbErr, EntityTrait, ExprTrait, FromQueryResult, Iterable, PrimaryKeyToColumn,
    QueryFilter, QueryOrder, QuerySelect, QueryTrait, StatementBuilder, Value,
    sea_query::{Expr, SelectStatement, ValueTuple},
};

use super::{CHUNK, Filter, MAX_BINDS};
use crate::{
    backend::{self, Lock},
    record,
    tracked::{RowImage, Tracked},
    transaction::{Busy, EventTransaction},
    withhold::withhold_for,
};

/// How many pages of rows are kept from the search until they are written.
const KEPT: usize = 4;

/// Locked rows, in key order: their keys, and what the first of them hold.
pub(super) struct Locked<E: EntityTrait> {
    /// One key after the other.
    keys: Vec<Value>,
    /// The first pages. They need not be read again; more would cost memory.
    rows: Vec<Vec<E::Model>>,
}

/// Some of them, to be written at once.
pub(super) struct Chunk<'a, E: EntityTrait> {
    pub(super) keys: &'a [Value],
    pub(super) rows: Option<Vec<E::Model>>,
}

pub(super) fn key_columns<E: EntityTrait>() -> impl Iterator<Item = E::Column> {
    E::PrimaryKey::iter().map(PrimaryKeyToColumn::into_column)
}

pub(super) fn arity<E: EntityTrait>() -> usize {
    E::PrimaryKey::iter().count()
}

/// How many rows one statement can name; pages of the search are of the same size.
fn chunk_size<E: EntityTrait>() -> usize {
    CHUNK.min(MAX_BINDS / arity::<E>())
}

impl<E: EntityTrait> Locked<E>
where
    E::Model: Tracked,
{
    /// Locks the rows that match, page by page, and keeps their keys. Refuses rows of another team: nothing is written
    /// yet.
    pub(super) async fn find(
        txn: &EventTransaction,
        busy: &Busy,
        filter: &Filter,
        lock: Lock,
    ) -> Result<Self, DbErr> {
        // The filter and the rows may hold redacted values, and errors quote both.
        withhold_for(E::Model::definition(), Self::find_all(txn, busy, filter, lock).await)
    }

    async fn find_all(
        txn: &EventTransaction,
        busy: &Busy,
        filter: &Filter,
        lock: Lock,
    ) -> Result<Self, DbErr> {
        let definition = E::Model::definition();
        let team = txn.team_scope();
        let mut locked = Self { keys: Vec::new(), rows: Vec::new() };
        loop {
            let page = Self::page(txn, filter, locked.last(), lock);
            let rows = read::<E>(txn, busy, &page).await?;
            for row in &rows {
                let row = RowImage::of(row);
                record::team_of(definition, &row, &team)?;
                locked.keys.extend(row.key);
            }
            let is_last = rows.len() < chunk_size::<E>();
            if locked.rows.len() < KEPT {
                locked.rows.push(rows);
            }
            if is_last {
                return Ok(locked);
            }
        }
    }

    fn page(txn: &EventTransaction, filter: &Filter, after: Option<&[Value]>, lock: Lock) -> SelectStatement {
        let mut select =
            E::find().filter(Condition::all().add(filter.0.clone())).limit(chunk_size::<E>() as u64);
        if let Some(key) = after {
            select = select.filter(is_after::<E>(key));
        }
        for column in key_columns::<E>() {
            select = select.order_by_asc(column);
        }
        let mut select = select.into_query();
        if let Some(lock) = backend::lock(txn.backend(), lock) {
            select.lock(lock);
        }
        select
    }

    fn last(&self) -> Option<&[Value]> {
        self.keys.len().checked_sub(arity::<E>()).map(|start| &self.keys[start..])
    }

    /// The rows in chunks of a size that one statement can name.
    pub(super) fn chunks(&mut self) -> impl Iterator<Item = Chunk<'_, E>> {
        let mut rows = std::mem::take(&mut self.rows).into_iter();
        let keys = self.keys.chunks(chunk_size::<E>() * arity::<E>());
        keys.map(move |keys| Chunk { keys, rows: rows.next() })
    }
}

/// The condition of rows that come after this key.
fn is_after<E: EntityTrait>(key: &[Value]) -> Condition {
    let columns: Vec<E::Column> = key_columns::<E>().collect();
    let mut any = Condition::any();
    for (i, last) in key.iter().enumerate() {
        let before = columns[..i].iter().zip(key).map(|(column, value)| column.eq(value.clone()));
        let all = before.fold(Condition::all(), Condition::add);
        any = any.add(all.add(columns[i].gt(last.clone())));
    }
    any
}

/// The condition of the rows of these keys.
pub(super) fn has_key<E: EntityTrait>(keys: &[Value]) -> Condition {
    let columns: Vec<E::Column> = key_columns::<E>().collect();
    let condition = Condition::all();
    if let [column] = columns.as_slice() {
        return condition.add(column.is_in(keys.iter().cloned()));
    }
    let tuple = Expr::tuple(columns.iter().map(|column| Expr::col(column.as_column_ref())));
    let keys = keys.chunks(columns.len()).map(|key| ValueTuple::Many(key.to_vec()));
    condition.add(tuple.in_tuples(keys))
}

/// What the rows of this SELECT hold.
pub(super) async fn read<E: EntityTrait>(
    txn: &EventTransaction,
    busy: &Busy,
    select: &SelectStatement,
) -> Result<Vec<E::Model>, DbErr> {
    let rows = txn.query_own(busy, StatementBuilder::build(select, &txn.backend())).await?;
    rows.iter().map(|row| E::Model::from_query_result(row, "")).collect()
}

/// Rows by the identifiers of their objects: databases answer in any order.
pub(super) fn by_object<M: Tracked>(rows: Vec<M>) -> HashMap<String, M> {
    rows.into_iter().map(|row| (row.object().object_id, row)).collect()
}

/// The rows of these keys, which are locked already; a locking read is one of now, whatever the isolation level.
pub(super) fn select_keys<E: EntityTrait>(
    txn: &EventTransaction,
    keys: &[Value],
    lock: Lock,
) -> SelectStatement {
    let mut select = E::find().filter(has_key::<E>(keys)).into_query();
    if let Some(lock) = backend::lock(txn.backend(), lock) {
        select.lock(lock);
    }
    select
}
