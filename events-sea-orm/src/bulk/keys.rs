//! The rows that a bulk call writes, fixed before it writes.

use std::collections::HashMap;

use sea_orm::{
    DbErr, Value,
    sea_query::{Order, SelectStatement},
};

use super::{
    CHUNK, Filter, MAX_BINDS,
    call::{Call, Row},
};
use crate::{
    backend::{self, Lock},
    record,
    tracked::Definition,
    withhold::withhold_for,
};

/// How many pages of rows are kept from the search until they are written.
const KEPT: usize = 4;

/// Locked rows, in key order: their keys, and what the first of them hold.
pub(super) struct Locked {
    /// One key after the other.
    keys: Vec<Value>,
    /// How many parts a key has.
    arity: usize,
    /// The first pages. They need not be read again; more would cost memory.
    rows: Vec<Vec<Row>>,
}

/// Some of them, to be written at once.
pub(super) struct Chunk<'a> {
    pub(super) keys: &'a [Value],
    pub(super) rows: Option<Vec<Row>>,
}

/// How many rows one statement can name; pages of the search are of the same size.
fn chunk_size(arity: usize) -> usize {
    CHUNK.min(MAX_BINDS / arity.max(1))
}

impl Locked {
    /// Locks the rows of the context's team that match, page by page, and keeps their keys.
    pub(super) async fn find(call: &Call<'_>, filter: &Filter, lock: Lock) -> Result<Self, DbErr> {
        // The filter and the rows may hold redacted values, and errors quote both.
        withhold_for(call.definition, Self::find_all(call, filter, lock).await)
    }

    async fn find_all(call: &Call<'_>, filter: &Filter, lock: Lock) -> Result<Self, DbErr> {
        let team = call.txn.team_scope();
        let arity = call.definition.key_columns().len();
        let mut locked = Self { keys: Vec::new(), arity, rows: Vec::new() };
        loop {
            let page = page(call, filter, locked.last(), lock);
            let rows = call.rows(call.query(&page).await?)?;
            for row in &rows {
                record::team_of(call.definition, &row.image, &team)?;
                locked.keys.extend(row.image.key.iter().cloned());
            }
            let is_last = rows.len() < chunk_size(arity);
            if locked.rows.len() < KEPT {
                locked.rows.push(rows);
            }
            if is_last {
                return Ok(locked);
            }
        }
    }

    fn last(&self) -> Option<&[Value]> {
        self.keys
            .len()
            .checked_sub(self.arity)
            .filter(|_| !self.keys.is_empty())
            .map(|start| &self.keys[start..])
    }

    /// The rows in chunks of a size that one statement can name.
    pub(super) fn chunks(&mut self) -> impl Iterator<Item = Chunk<'_>> {
        let mut rows = std::mem::take(&mut self.rows).into_iter();
        let keys = self.keys.chunks((chunk_size(self.arity) * self.arity).max(1));
        keys.map(move |keys| Chunk { keys, rows: rows.next() })
    }
}

fn page(call: &Call<'_>, filter: &Filter, after: Option<&[Value]>, lock: Lock) -> SelectStatement {
    let definition = call.definition;
    let mut select = call.select();
    select.cond_where(filter.of_team(call)).limit(chunk_size(definition.key_columns().len()) as u64);
    if let Some(key) = after {
        select.cond_where(definition.is_after(key));
    }
    for key in definition.key_exprs() {
        select.order_by_expr(key, Order::Asc);
    }
    backend::lock_rows(&mut select, call.txn.backend(), lock);
    select
}

/// Rows by the identifiers of their objects: databases answer in any order.
pub(super) fn by_object(definition: &Definition, rows: Vec<Row>) -> HashMap<String, Row> {
    rows.into_iter().map(|row| (definition.object_id(&row.image.key), row)).collect()
}
