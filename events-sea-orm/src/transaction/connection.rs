//! What SeaORM sees: the connection, stream and transaction traits.

use std::{future::Future, pin::Pin, sync::Arc};

use sea_orm::{
    AccessMode, ConnectionTrait, DbBackend, DbErr, ExecResult, IsolationLevel, QueryResult, Statement,
    StatementBuilder, TransactionError, TransactionOptions, TransactionSession, TransactionTrait,
};

use super::{
    Busy, EventTransaction,
    callbacks::run_callback,
    in_flight::InFlight,
    level::Level,
    statement::{self, Inspected},
    untracked::Tally,
    write::{DATABASE_ERROR, Reply, Verb},
};
use crate::{error::Refused, typed::downcast_ref, withhold::withhold_at_end};

#[async_trait::async_trait]
impl ConnectionTrait for EventTransaction {
    fn get_database_backend(&self) -> DbBackend {
        self.unit.backend
    }

    async fn execute_raw(&self, stmt: Statement) -> Result<ExecResult, DbErr> {
        executed(self.dispatch(Verb::Execute, self.inspect_text(&stmt.sql), stmt, None).await?)
    }

    async fn execute<S: StatementBuilder>(&self, stmt: &S) -> Result<ExecResult, DbErr> {
        let (inspected, statement) = self.inspect(stmt);
        executed(self.dispatch(Verb::Execute, inspected, statement, None).await?)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let statement = Statement::from_string(self.unit.backend, sql);
        executed(self.dispatch(Verb::ExecuteUnprepared, self.inspect_text(sql), statement, None).await?)
    }

    async fn query_one_raw(&self, stmt: Statement) -> Result<Option<QueryResult>, DbErr> {
        one(self.dispatch(Verb::QueryOne, self.inspect_text(&stmt.sql), stmt, None).await?)
    }

    async fn query_one<S: StatementBuilder>(&self, stmt: &S) -> Result<Option<QueryResult>, DbErr> {
        let (inspected, statement) = self.inspect(stmt);
        one(self.dispatch(Verb::QueryOne, inspected, statement, downcast_ref(stmt)).await?)
    }

    async fn query_all_raw(&self, stmt: Statement) -> Result<Vec<QueryResult>, DbErr> {
        all(self.dispatch(Verb::QueryAll, self.inspect_text(&stmt.sql), stmt, None).await?)
    }

    async fn query_all<S: StatementBuilder>(&self, stmt: &S) -> Result<Vec<QueryResult>, DbErr> {
        let (inspected, statement) = self.inspect(stmt);
        all(self.dispatch(Verb::QueryAll, inspected, statement, None).await?)
    }
}

impl EventTransaction {
    pub(super) fn inspect<S: StatementBuilder>(&self, statement: &S) -> (Inspected, Statement) {
        statement::inspect(statement, self.unit.backend, self.unit.events.reading_functions())
    }

    pub(super) fn inspect_text(&self, sql: &str) -> Inspected {
        statement::inspect_text(sql, self.unit.backend, self.unit.events.reading_functions())
    }

    /// A nested unit; with a tally, one that lets untracked writes pass.
    pub(super) async fn nest(
        &self,
        options: TransactionOptions,
        tally: Option<Arc<Tally>>,
    ) -> Result<Self, DbErr> {
        let busy = self.busy_to_nest().await?;
        // With all that is awaited behind it: a begin that is cancelled before leaves nothing open.
        let level = self.level.open_nested(tally)?;
        self.begin_savepoint(&busy, level, options).await
    }

    /// The connection, with nothing left to be read or compared: what a savepoint undoes is counted all the same, and how much
    /// that is cannot be known after an error in it.
    async fn busy_to_nest(&self) -> Result<Busy, DbErr> {
        self.level.check_writable()?;
        let busy = self.busy().await;
        self.catch_up(&busy, None).await?;
        self.check_counts(&busy).await?;
        Ok(busy)
    }

    /// Begins a savepoint, to its end: if the caller goes away it is rolled back.
    pub(super) async fn begin_savepoint(
        &self,
        busy: &Busy,
        level: Arc<Level>,
        options: TransactionOptions,
    ) -> Result<Self, DbErr> {
        let (inner, unit, busy) = (Arc::clone(self.inner()?), Arc::clone(&self.unit), Arc::clone(busy));
        let (parent, held) = (Arc::clone(&self.level), self.held.clone());
        let begun = InFlight::new(async move {
            let doubt = parent.doubt("the begin of a nested unit of work was cancelled");
            let begun = inner.begin_with_options(options).await;
            if let Err(error) = &begun {
                parent.poison_by(DATABASE_ERROR, Some(error));
                parent.close_nested();
            }
            doubt.settle();
            drop((inner, parent));
            drop(busy);
            begun.map(|inner| Self { inner: Some(Arc::new(inner)), unit, level, held })
        });
        let begun = begun.await.map_err(withhold_at_end);
        self.level.answered(begun)
    }

    /// The savepoint of one write, where each has one. It has the connection until it is closed.
    pub(crate) async fn open_save(&self) -> Result<Option<Self>, DbErr> {
        if self.held.is_some() || !self.unit.events.savepoint_each_save() {
            return Ok(None);
        }
        let busy = self.busy_to_nest().await?;
        let level = self.level.open_save(None)?;
        let mut save = self.begin_savepoint(&busy, level, TransactionOptions::default()).await?;
        save.held = Some(busy);
        Ok(Some(save))
    }

    /// Keeps what a write did, or undoes it and leaves the unit healthy, if the transaction is still there.
    pub(crate) async fn close_save<T>(mut self, written: Result<T, DbErr>) -> Result<T, DbErr> {
        let Some(parent) = self.level.parent.clone() else { return written };
        if written.is_ok() {
            self.commit_nested(&parent).await?;
        } else {
            let busy = self.busy().await;
            if let Err(error) = self.end_by_rollback(&busy).await {
                tracing::warn!(unit_id = %self.unit.id, %error, "rolling back a failed write failed");
            }
        }
        written
    }
}

pub(crate) fn executed(reply: Reply) -> Result<ExecResult, DbErr> {
    match reply {
        Reply::Executed(result) => Ok(result),
        _ => Err(wrong_reply()),
    }
}

pub(crate) fn one(reply: Reply) -> Result<Option<QueryResult>, DbErr> {
    match reply {
        Reply::One(row) => Ok(row),
        _ => Err(wrong_reply()),
    }
}

pub(crate) fn all(reply: Reply) -> Result<Vec<QueryResult>, DbErr> {
    match reply {
        Reply::All(rows) => Ok(rows),
        _ => Err(wrong_reply()),
    }
}

/// `send` answers each verb with its own reply.
fn wrong_reply() -> DbErr {
    DbErr::Custom("a statement was answered with the reply to another verb".to_owned())
}

#[async_trait::async_trait]
impl TransactionTrait for EventTransaction {
    type Transaction = Self;

    async fn begin(&self) -> Result<Self, DbErr> {
        self.begin_with_options(TransactionOptions::default()).await
    }

    async fn begin_with_config(
        &self,
        isolation_level: Option<IsolationLevel>,
        access_mode: Option<AccessMode>,
    ) -> Result<Self, DbErr> {
        let options = TransactionOptions { isolation_level, access_mode, ..Default::default() };
        self.begin_with_options(options).await
    }

    async fn begin_with_options(&self, options: TransactionOptions) -> Result<Self, DbErr> {
        if options.isolation_level.is_some() {
            return Err(Refused::NestedIsolation.into()); // the database's error would end the unit
        }
        self.nest(options, None).await
    }

    async fn transaction<F, T, E>(&self, callback: F) -> Result<T, TransactionError<E>>
    where
        F: for<'c> FnOnce(&'c Self) -> Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>> + Send,
        T: Send,
        E: std::fmt::Display + std::fmt::Debug + Send,
    {
        let txn = self.begin().await?;
        run_callback(txn, callback).await
    }

    async fn transaction_with_config<F, T, E>(
        &self,
        callback: F,
        isolation_level: Option<IsolationLevel>,
        access_mode: Option<AccessMode>,
    ) -> Result<T, TransactionError<E>>
    where
        F: for<'c> FnOnce(&'c Self) -> Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>> + Send,
        T: Send,
        E: std::fmt::Display + std::fmt::Debug + Send,
    {
        let txn = self.begin_with_config(isolation_level, access_mode).await?;
        run_callback(txn, callback).await
    }
}

#[async_trait::async_trait]
impl TransactionSession for EventTransaction {
    async fn commit(self) -> Result<(), DbErr> {
        Ok(Self::commit(self).await?)
    }

    async fn rollback(self) -> Result<(), DbErr> {
        Self::rollback(self).await
    }
}
