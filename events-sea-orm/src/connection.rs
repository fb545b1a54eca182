//! `EventConnection`: a context on a pool.

use std::{future::Future, pin::Pin};

use events_core::{Context, TeamScope};
use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseExecutor, DbBackend, DbErr, ExecResult, IsolationLevel, QueryResult,
    Statement, StatementBuilder, TransactionError, TransactionOptions, TransactionTrait,
};

use crate::{
    error::Refused,
    events::Events,
    row_level_security::close,
    transaction::{EventTransaction, check_on_pool, inspect, inspect_text, run_callback},
    withhold::Sent,
};

/// For whom, on the application's pool. Make one per request; it costs no query.
///
/// Reads go to the pool, and so do writes of untracked tables; under row-level security each in a transaction of its own,
/// which is told the team. [`begin`](TransactionTrait::begin) makes a unit of work.
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

    /// The team that it is for, if its context is usable.
    pub(crate) fn team_scope(&self) -> Result<TeamScope, Refused> {
        Ok(self.events.check_context(self.context.clone())?.team_scope().clone())
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for EventConnection {
    fn get_database_backend(&self) -> DbBackend {
        self.backend()
    }

    async fn execute_raw(&self, stmt: Statement) -> Result<ExecResult, DbErr> {
        self.check_text(&stmt.sql)?;
        self.execute_checked(stmt).await
    }

    async fn execute<S: StatementBuilder>(&self, stmt: &S) -> Result<ExecResult, DbErr> {
        self.execute_checked(self.check(stmt)?).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.check_text(sql)?;
        let sent = Sent::of(&Statement::from_string(self.backend(), sql));
        let db = self.open().await?;
        let result = db.execute_unprepared(sql).await.map_err(|error| sent.withhold(error))?;
        close(db).await.map(|()| result)
    }

    async fn query_one_raw(&self, stmt: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.check_text(&stmt.sql)?;
        self.query_one_checked(stmt).await
    }

    async fn query_one<S: StatementBuilder>(&self, stmt: &S) -> Result<Option<QueryResult>, DbErr> {
        self.query_one_checked(self.check(stmt)?).await
    }

    async fn query_all_raw(&self, stmt: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.check_text(&stmt.sql)?;
        self.query_all_checked(stmt).await
    }

    async fn query_all<S: StatementBuilder>(&self, stmt: &S) -> Result<Vec<QueryResult>, DbErr> {
        self.query_all_checked(self.check(stmt)?).await
    }
}

impl EventConnection {
    fn backend(&self) -> DbBackend {
        self.events.pool().get_database_backend()
    }

    async fn open(&self) -> Result<DatabaseExecutor<'_>, DbErr> {
        self.events.open(&self.events.team_to_read(&self.context)).await
    }

    async fn execute_checked(&self, stmt: Statement) -> Result<ExecResult, DbErr> {
        let (sent, db) = (Sent::of(&stmt), self.open().await?);
        let result = db.execute_raw(stmt).await.map_err(|error| sent.withhold(error))?;
        close(db).await.map(|()| result)
    }

    async fn query_one_checked(&self, stmt: Statement) -> Result<Option<QueryResult>, DbErr> {
        let (sent, db) = (Sent::of(&stmt), self.open().await?);
        let row = db.query_one_raw(stmt).await.map_err(|error| sent.withhold(error))?;
        close(db).await.map(|()| row)
    }

    async fn query_all_checked(&self, stmt: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let (sent, db) = (Sent::of(&stmt), self.open().await?);
        let rows = db.query_all_raw(stmt).await.map_err(|error| sent.withhold(error))?;
        close(db).await.map(|()| rows)
    }

    /// The statement as it will be sent, if it may go to the pool: nothing is announced there.
    fn check<S: StatementBuilder>(&self, statement: &S) -> Result<Statement, DbErr> {
        let (inspected, built) = inspect(statement, self.backend());
        check_on_pool(&inspected, self.events.adoption())?;
        Ok(built)
    }

    fn check_text(&self, sql: &str) -> Result<(), DbErr> {
        check_on_pool(&inspect_text(sql, self.backend()), self.events.adoption())
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
mod stream;
#[cfg(feature = "stream")]
pub use stream::ConnectionStream;
