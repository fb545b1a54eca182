//! `delete_many_with_events`.

use std::marker::PhantomData;

use sea_orm::{DbErr, DeleteResult, EntityTrait, QueryFilter, sea_query::Query};

use super::{
    Filter, at_once,
    call::{Call, Row, Wanted, Written},
    check_options,
    keys::Locked,
    options,
};
use crate::{
    backend::Lock,
    record::{Change, SaveOptions},
    saves::{Target, Unit},
    tracked::{self, Tracked},
    transaction::EventTransaction,
};

/// A tracked `delete_many`, made by [`EntityEvents`](super::EntityEvents).
#[derive(Debug, Clone)]
#[must_use = "nothing is deleted until it is run"]
pub struct DeleteMany<E> {
    filter: Filter,
    options: SaveOptions,
    entity: PhantomData<fn() -> E>,
}

impl<E> QueryFilter for DeleteMany<E> {
    type QueryStatement = Filter;

    fn query(&mut self) -> &mut Filter {
        &mut self.filter
    }
}

impl<E: EntityTrait> DeleteMany<E>
where
    E::Model: Tracked,
{
    options!();

    pub(super) fn new() -> Self {
        Self { filter: Filter::default(), options: SaveOptions::default(), entity: PhantomData }
    }

    /// Deletes, and tells how many rows went. Rows that the model cannot read go like any other.
    ///
    /// # Errors
    /// [`Refused::UnknownSql`](crate::Refused::UnknownSql) for a filter whose parentheses do not match, before anything is deleted;
    /// else the database's, and the unit of work is poisoned.
    pub async fn exec<'a>(self, db: impl Into<Target<'a>>) -> Result<DeleteResult, DbErr> {
        let unit = self.open(db).await?;
        let deleted = self.delete_in(unit.transaction(), Wanted::Nothing).await;
        let gone = unit.close(deleted).await?;
        let mut result = DeleteResult::empty();
        result.rows_affected = gone.count;
        Ok(result)
    }

    /// Deletes, and answers the rows as they were. They are all held in memory.
    ///
    /// # Errors
    /// As [`exec`](Self::exec); SeaORM's if a row is no model. In a unit of work the rows are deleted and recorded then,
    /// and the unit can go on; on a connection nothing is deleted.
    pub async fn exec_with_returning<'a>(self, db: impl Into<Target<'a>>) -> Result<Vec<E::Model>, DbErr> {
        let unit = self.open(db).await?;
        let deleted = self.delete_in(unit.transaction(), Wanted::Rows).await;
        unit.close(deleted.and_then(Written::models::<E>)).await
    }

    async fn open<'a>(&self, db: impl Into<Target<'a>>) -> Result<Unit<'a>, DbErr> {
        check_options::<E::Model>(&self.options)?;
        db.into().open().await
    }

    async fn delete_in(&self, txn: &EventTransaction, wanted: Wanted) -> Result<Written, DbErr> {
        let definition = E::Model::definition();
        tracked::know(definition);
        self.filter.check(txn.backend())?;
        let busy = txn.begin_bulk().await?;
        delete_all(&Call { txn, busy: &busy, definition, options: &self.options, wanted }, &self.filter).await
    }
}

async fn delete_all(call: &Call<'_>, filter: &Filter) -> Result<Written, DbErr> {
    let (txn, definition) = (call.txn, call.definition);
    let mut gone = Written::default();
    let doubt = txn.doubt_bulk();
    match at_once::delete(call, filter).await {
        Ok(None) => doubt.settle(),
        Ok(Some(old)) => {
            let recorded = record(call, old, &mut gone).await;
            return txn.end_bulk(definition, recorded, doubt).map(|()| gone);
        }
        Err(error) => return txn.end_bulk(definition, Err(error), doubt).map(|()| gone),
    }
    let locked = Locked::find(call, filter, Lock::ForDelete).await?;
    let doubt = txn.doubt_bulk();
    let written = write(call, locked, &mut gone).await;
    txn.end_bulk(definition, written, doubt).map(|()| gone)
}

async fn write(call: &Call<'_>, mut locked: Locked, gone: &mut Written) -> Result<(), DbErr> {
    for chunk in locked.chunks() {
        let old = match chunk.rows {
            Some(rows) => rows,
            None => call.rows(call.query(&call.select_keys(chunk.keys, Lock::ForDelete)).await?)?,
        };
        let mut delete = Query::delete();
        delete.from_table(call.definition.table_ref()).cond_where(call.definition.has_key(chunk.keys));
        call.txn.execute_own(call.busy, call.build(&delete), old.len(), call.definition).await?;
        record(call, old, gone).await?;
    }
    Ok(())
}

async fn record(call: &Call<'_>, old: Vec<Row>, gone: &mut Written) -> Result<(), DbErr> {
    let recorder = call.recorder()?;
    for row in old {
        call.txn.record(&recorder, Change::Deleted(&row.image))?;
        gone.push(row, call.wanted);
    }
    call.txn.spill(call.busy).await
}
