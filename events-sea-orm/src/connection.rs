//! `EventConnection`: a context on a pool.

use std::{future::Future, pin::Pin};

use events_core::{Context, TeamScope};
use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseExecutor, DatabaseTransaction, DbBackend, DbErr, ExecResult,
    IsolationLevel, QueryResult, Statement, StatementBuilder, TransactionError, TransactionOptions,
    TransactionTrait,
};

use crate::{
    error::Refused,
    events::Events,
    row_level_security::close,
    transaction::{
        self, EventTransaction, InFlight, Inspected, Kind, Reply, Verb, Watch, all, check_on_pool,
        check_tables, check_values, executed, inspect, inspect_text, one, relations, run_callback, send,
        watches,
    },
    withhold::{Sent, withhold_at_end},
};

/// For whom, on the application's pool. Make one per request; it costs no query.
///
/// Reads go to the pool, and so do writes of untracked tables; under row-level security each in a transaction of its own,
/// which is told the team. [`begin`](TransactionTrait::begin) makes a unit of work.
/// `ActiveModelEx` saves are units of their own. A plain save of a tracked model is refused with the name of the call
/// that does it, as is any other write that could change tracked rows.
///
/// Each of its calls takes a connection of the pool. A request that holds a unit of work and reads here beside it needs two at
/// once: where as many such requests run as the pool has connections, each waits for another and all of them end with
/// [`DbErr::ConnectionAcquire`]. Read on the unit of work instead, or make the pool larger than the number of requests.
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
        executed(self.answer(Verb::Execute, self.inspect_text(&stmt.sql), stmt).await?)
    }

    async fn execute<S: StatementBuilder>(&self, stmt: &S) -> Result<ExecResult, DbErr> {
        let (inspected, stmt) = self.inspect(stmt);
        executed(self.answer(Verb::Execute, inspected, stmt).await?)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let stmt = Statement::from_string(self.backend(), sql);
        executed(self.answer(Verb::ExecuteUnprepared, self.inspect_text(sql), stmt).await?)
    }

    async fn query_one_raw(&self, stmt: Statement) -> Result<Option<QueryResult>, DbErr> {
        one(self.answer(Verb::QueryOne, self.inspect_text(&stmt.sql), stmt).await?)
    }

    async fn query_one<S: StatementBuilder>(&self, stmt: &S) -> Result<Option<QueryResult>, DbErr> {
        let (inspected, stmt) = self.inspect(stmt);
        one(self.answer(Verb::QueryOne, inspected, stmt).await?)
    }

    async fn query_all_raw(&self, stmt: Statement) -> Result<Vec<QueryResult>, DbErr> {
        all(self.answer(Verb::QueryAll, self.inspect_text(&stmt.sql), stmt).await?)
    }

    async fn query_all<S: StatementBuilder>(&self, stmt: &S) -> Result<Vec<QueryResult>, DbErr> {
        let (inspected, stmt) = self.inspect(stmt);
        all(self.answer(Verb::QueryAll, inspected, stmt).await?)
    }
}

impl EventConnection {
    fn backend(&self) -> DbBackend {
        self.events.pool().get_database_backend()
    }

    async fn open(&self) -> Result<DatabaseExecutor<'_>, DbErr> {
        self.events.open(&self.events.team_to_read(&self.context)).await
    }

    /// A transaction for what is watched over.
    async fn begin_watched(&self) -> Result<DatabaseTransaction, DbErr> {
        let enter = self.events.enter(&self.events.team_to_read(&self.context))?;
        transaction::begin(self.events.pool(), TransactionOptions::default(), enter).await
    }

    /// What is watched over is sent in a transaction of its own, and finished even if its caller goes away: the connection
    /// may have been told to read only.
    async fn watched(&self, watch: Watch, verb: Verb, stmt: Statement) -> Result<Reply, DbErr> {
        let txn = self.begin_watched().await?;
        InFlight::new(async move {
            let sent = Sent::of(&stmt);
            let reply = watch.answer(&txn, verb, stmt).await.map_err(|error| sent.withhold(error))?;
            let ended = if watch.undoes() { txn.rollback().await } else { txn.commit().await };
            ended.map_err(withhold_at_end).map(|()| reply)
        })
        .await
    }

    /// Every statement but those of streams comes through here.
    async fn answer(&self, verb: Verb, inspected: Inspected, stmt: Statement) -> Result<Reply, DbErr> {
        // Only what adoption lets pass may be several statements: the server refuses a second one where it is prepared.
        let verb = verb.prepared_unless(inspected.kind == Kind::Unknown);
        let watch = self.check(inspected, &stmt, verb).await?;
        if watch != Watch::Nothing {
            return self.watched(watch, verb, stmt).await;
        }
        let sent = Sent::of(&stmt);
        match self.open().await? {
            // Finished even if its caller goes away: see `InFlight`.
            DatabaseExecutor::Connection(pool) => {
                let pool = pool.clone();
                let reply = InFlight::new(async move { send(&pool, verb, stmt).await }).await;
                reply.map_err(|error| sent.withhold(error))
            }
            db => {
                let reply = send(&db, verb, stmt).await.map_err(|error| sent.withhold(error))?;
                close(db).await.map(|()| reply)
            }
        }
    }

    fn inspect<S: StatementBuilder>(&self, statement: &S) -> (Inspected, Statement) {
        inspect(statement, self.backend(), self.events.reading_functions())
    }

    fn inspect_text(&self, sql: &str) -> Inspected {
        inspect_text(sql, self.backend(), self.events.reading_functions())
    }

    /// How a statement is sent, if it may go to the pool: nothing is announced there.
    async fn check(&self, mut inspected: Inspected, stmt: &Statement, verb: Verb) -> Result<Watch, DbErr> {
        let backend = self.backend();
        check_on_pool(&inspected, backend, self.events.adoption())?;
        if verb != Verb::ExecuteUnprepared {
            check_values(stmt)?;
        }
        if inspected.kind == Kind::Read {
            let watches = watches(backend, inspected.care) && !self.events.pool().is_mock_connection();
            return Ok(if watches { Watch::of(inspected.care, &self.events) } else { Watch::Nothing });
        }
        let catalog = relations::Catalog::Pool(self.events.pool());
        let added = relations::complete(&self.events, &mut inspected, catalog).await?;
        check_tables(&added, inspected.kind, self.events.adoption())?;
        Ok(Watch::Nothing)
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
