//! `delete_many_with_events`.

use std::marker::PhantomData;

use sea_orm::{DbErr, DeleteResult, EntityTrait, QueryFilter, QueryTrait, StatementBuilder};

use super::{
    Filter, at_once, check_options,
    keys::{Locked, has_key, read, select_keys},
    options,
};
use crate::{
    backend::Lock,
    record::{Change, SaveOptions},
    saves::Target,
    tracked::{RowImage, Tracked},
    transaction::{Busy, EventTransaction},
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

    /// Deletes, and tells how many rows went.
    ///
    /// # Errors
    /// A [`Refused`](crate::Refused) for rows of another team, before anything is deleted; else the database's, and
    /// the unit of work is poisoned.
    pub async fn exec<'a>(self, db: impl Into<Target<'a>>) -> Result<DeleteResult, DbErr> {
        let mut result = DeleteResult::empty();
        let count = |rows: Vec<E::Model>| result.rows_affected += rows.len() as u64;
        self.delete(db.into(), count).await?;
        Ok(result)
    }

    /// Deletes, and answers the rows as they were. They are all held in memory.
    ///
    /// # Errors
    /// As [`exec`](Self::exec).
    pub async fn exec_with_returning<'a>(self, db: impl Into<Target<'a>>) -> Result<Vec<E::Model>, DbErr> {
        let mut gone = Vec::new();
        self.delete(db.into(), |rows| gone.extend(rows)).await?;
        Ok(gone)
    }

    async fn delete(self, target: Target<'_>, gone: impl FnMut(Vec<E::Model>)) -> Result<(), DbErr> {
        check_options::<E::Model>(&self.options)?;
        let unit = target.open().await?;
        let deleted = self.delete_in(unit.transaction(), gone).await;
        unit.close(deleted).await
    }

    async fn delete_in(&self, txn: &EventTransaction, gone: impl FnMut(Vec<E::Model>)) -> Result<(), DbErr> {
        let definition = E::Model::definition();
        let busy = txn.begin_bulk().await?;
        let doubt = txn.doubt_bulk();
        match at_once::delete::<E>(txn, &busy, &self.filter).await {
            Ok(None) => doubt.settle(),
            Ok(Some(old)) => {
                let recorded = self.record(txn, &busy, old, gone).await;
                return txn.end_bulk(definition, recorded, doubt);
            }
            Err(error) => return txn.end_bulk(definition, Err(error), doubt),
        }
        let locked = Locked::<E>::find(txn, &busy, &self.filter, Lock::ForDelete).await?;
        let doubt = txn.doubt_bulk();
        let written = self.write(txn, &busy, locked, gone).await;
        txn.end_bulk(definition, written, doubt)
    }

    async fn write(
        &self,
        txn: &EventTransaction,
        busy: &Busy,
        mut locked: Locked<E>,
        mut gone: impl FnMut(Vec<E::Model>),
    ) -> Result<(), DbErr> {
        let definition = E::Model::definition();
        for chunk in locked.chunks() {
            let old = match chunk.rows {
                Some(rows) => rows,
                None => read::<E>(txn, busy, &select_keys::<E>(txn, chunk.keys, Lock::ForDelete)).await?,
            };
            let delete = E::delete_many().filter(has_key::<E>(chunk.keys)).into_query();
            let delete = StatementBuilder::build(&delete, &txn.backend());
            txn.execute_own(busy, delete, old.len(), definition).await?;
            self.record(txn, busy, old, &mut gone).await?;
        }
        Ok(())
    }

    async fn record(
        &self,
        txn: &EventTransaction,
        busy: &Busy,
        old: Vec<E::Model>,
        mut gone: impl FnMut(Vec<E::Model>),
    ) -> Result<(), DbErr> {
        let recorder = txn.recorder(E::Model::definition(), &self.options)?;
        for row in &old {
            txn.record(&recorder, Change::Deleted(&RowImage::of(row)))?;
        }
        gone(old);
        txn.spill(busy).await
    }
}
