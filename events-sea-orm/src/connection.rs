//! `EventConnection`: a context on a pool.

use std::{future::Future, pin::Pin};

use events_core::Context;
use sea_orm::{
    AccessMode, ConnectionTrait, DbBackend, DbErr, ExecResult, IsolationLevel, QueryResult, Statement,
    StatementBuilder, TransactionError, TransactionOptions, TransactionTrait,
};

use crate::{
    events::Events,
    transaction::{EventTransaction, check_on_pool, inspect, inspect_text, run_callback},
};

/// For whom, on the application's pool. Make one per request; it costs no query.
///
/// Reads go to the pool, and so do writes of untracked tables. [`begin`](TransactionTrait::begin) makes a unit of work.
/// `ActiveModelEx` saves are units of their own. A plain save of a tracked model is refused with the name of the call
/// that does it, as is any other write that could change tracked rows.
#[derive(Debug, Clone)]
pub struct EventConnection {
    events: Events,
    context: Context,
}

impl EventConnection {
    pub(crate) fn new(events: Events, context: Context) -> Self {
        Self { events, context }
    }

    /// For whom.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The log behind it.
    pub fn events(&self) -> &Events {
        &self.events
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for EventConnection {
    fn get_database_backend(&self) -> DbBackend {
        self.backend()
    }

    async fn execute_raw(&self, stmt: Statement) -> Result<ExecResult, DbErr> {
        self.check_text(&stmt.sql)?;
        self.events.pool().execute_raw(stmt).await
    }

    async fn execute<S: StatementBuilder>(&self, stmt: &S) -> Result<ExecResult, DbErr> {
        self.events.pool().execute_raw(self.check(stmt)?).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.check_text(sql)?;
        self.events.pool().execute_unprepared(sql).await
    }

    async fn query_one_raw(&self, stmt: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.check_text(&stmt.sql)?;
        self.events.pool().query_one_raw(stmt).await
    }

    async fn query_one<S: StatementBuilder>(&self, stmt: &S) -> Result<Option<QueryResult>, DbErr> {
        self.events.pool().query_one_raw(self.check(stmt)?).await
    }

    async fn query_all_raw(&self, stmt: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.check_text(&stmt.sql)?;
        self.events.pool().query_all_raw(stmt).await
    }

    async fn query_all<S: StatementBuilder>(&self, stmt: &S) -> Result<Vec<QueryResult>, DbErr> {
        self.events.pool().query_all_raw(self.check(stmt)?).await
    }
}

impl EventConnection {
    fn backend(&self) -> DbBackend {
        self.events.pool().get_database_backend()
    }

    /// The statement as it will be sent, if it may go to the pool: nothing is announced there.
    fn check<S: StatementBuilder>(&self, statement: &S) -> Result<Statement, DbErr> {
        let (inspected, built) = inspect(statement, self.backend());
        check_on_pool(&inspected)?;
        Ok(built)
    }

    fn check_text(&self, sql: &str) -> Result<(), DbErr> {
        check_on_pool(&inspect_text(sql, self.backend()))
    }
}

#[async_trait::async_trait]
impl TransactionTrait for EventConnection {
    type Transaction = EventTransaction;

    async fn begin(&self) -> Result<EventTransaction, DbErr> {
        self.events.begin(self.context.clone()).await
    }

    async fn begin_with_config(
        &self,
        isolation_level: Option<IsolationLevel>,
        access_mode: Option<AccessMode>,
    ) -> Result<EventTransaction, DbErr> {
        let defaults = self.events.options();
        let options = TransactionOptions {
            isolation_level: isolation_level.or(defaults.isolation_level),
            access_mode: access_mode.or(defaults.access_mode),
            ..defaults
        };
        self.begin_with_options(options).await
    }

    async fn begin_with_options(&self, options: TransactionOptions) -> Result<EventTransaction, DbErr> {
        let (events, context) = (self.events.clone(), self.context.clone());
        EventTransaction::start(events, context, self.events.pool(), options).await
    }

    async fn transaction<F, T, E>(&self, callback: F) -> Result<T, TransactionError<E>>
    where
        F: for<'c> FnOnce(&'c EventTransaction) -> Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>>
            + Send,
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
        F: for<'c> FnOnce(&'c EventTransaction) -> Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>>
            + Send,
        T: Send,
        E: std::fmt::Display + std::fmt::Debug + Send,
    {
        let txn = self.begin_with_config(isolation_level, access_mode).await?;
        run_callback(txn, callback).await
    }
}

#[cfg(feature = "stream")]
impl sea_orm::StreamTrait for EventConnection {
    type Stream<'a> = <sea_orm::DatabaseConnection as sea_orm::StreamTrait>::Stream<'a>;

    fn get_database_backend(&self) -> DbBackend {
        self.backend()
    }

    fn stream<'a, S: StatementBuilder + Sync>(
        &'a self,
        stmt: &S,
    ) -> Pin<Box<dyn Future<Output = Result<Self::Stream<'a>, DbErr>> + 'a + Send>> {
        match self.check(stmt) {
            Ok(built) => sea_orm::StreamTrait::stream_raw(self.events.pool(), built),
            Err(refused) => Box::pin(std::future::ready(Err(refused))),
        }
    }

    fn stream_raw<'a>(
        &'a self,
        stmt: Statement,
    ) -> Pin<Box<dyn Future<Output = Result<Self::Stream<'a>, DbErr>> + 'a + Send>> {
        match self.check_text(&stmt.sql) {
            Ok(()) => sea_orm::StreamTrait::stream_raw(self.events.pool(), stmt),
            Err(refused) => Box::pin(std::future::ready(Err(refused))),
        }
    }
}
