//! What SeaORM sees: the connection, stream and transaction traits.

use std::{future::Future, pin::Pin, sync::Arc};

use sea_orm::{
    AccessMode, ConnectionTrait, DbBackend, DbErr, ExecResult, IsolationLevel, QueryResult, Statement,
    StatementBuilder, TransactionError, TransactionOptions, TransactionSession, TransactionTrait,
};

use super::{
    EventTransaction,
    statement::{self, Inspected},
    untracked::Tally,
    write::{Reply, Verb},
};
use crate::{typed::downcast_ref, withhold::withhold_at_end};

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
    fn inspect<S: StatementBuilder>(&self, statement: &S) -> (Inspected, Statement) {
        statement::inspect(statement, self.unit.backend)
    }

    fn inspect_text(&self, sql: &str) -> Inspected {
        statement::inspect_text(sql, self.unit.backend)
    }

    /// A nested unit; with a tally, one that lets untracked writes pass.
    pub(super) async fn nest(
        &self,
        options: TransactionOptions,
        tally: Option<Arc<Tally>>,
    ) -> Result<Self, DbErr> {
        self.level.check_writable()?;
        let busy = self.unit.busy().await;
        self.catch_up(&busy, None).await?;
        // With the connection in hand: a begin that is cancelled while it waits leaves nothing open.
        let level = self.level.open_nested(tally)?;
        let doubt = self.level.doubt("the begin of a nested unit of work was cancelled");
        let begun = self.inner()?.begin_with_options(options).await;
        doubt.settle();
        match begun {
            Ok(inner) => Ok(Self { inner: Some(Arc::new(inner)), unit: self.unit.clone(), level }),
            Err(error) => {
                self.level.close_nested();
                self.level.poison("the database reported an error");
                Err(withhold_at_end(error))
            }
        }
    }
}

fn executed(reply: Reply) -> Result<ExecResult, DbErr> {
    match reply {
        Reply::Executed(result) => Ok(result),
        _ => Err(wrong_reply()),
    }
}

fn one(reply: Reply) -> Result<Option<QueryResult>, DbErr> {
    match reply {
        Reply::One(row) => Ok(row),
        _ => Err(wrong_reply()),
    }
}

fn all(reply: Reply) -> Result<Vec<QueryResult>, DbErr> {
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

/// SeaORM's callback form: commits on `Ok`, rolls back on `Err`.
pub(crate) async fn run_callback<F, T, E>(
    txn: EventTransaction,
    callback: F,
) -> Result<T, TransactionError<E>>
where
    F: for<'c> FnOnce(&'c EventTransaction) -> Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>> + Send,
    T: Send,
    E: std::fmt::Display + std::fmt::Debug + Send,
{
    match callback(&txn).await {
        Ok(value) => {
            TransactionSession::commit(txn).await?;
            Ok(value)
        }
        Err(error) => {
            txn.rollback().await?;
            Err(TransactionError::Transaction(error))
        }
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

#[cfg(feature = "stream")]
mod stream {
    use std::{
        future::Future,
        pin::Pin,
        sync::Arc,
        task::{Context, Poll},
    };

    use futures_util::Stream;
    use sea_orm::{
        DbBackend, DbErr, QueryResult, Statement, StatementBuilder, StreamTrait, TransactionStream,
    };

    use super::{EventTransaction, Verb};
    use crate::{
        transaction::{Busy, guard, level::Level, statement::Inspected},
        withhold::Sent,
    };

    /// Rows of a query on a unit of work. An error among them poisons it.
    pub struct EventStream<'a> {
        rows: TransactionStream<'a>,
        level: Arc<Level>,
        sent: Sent,
        _busy: Busy,
    }

    impl std::fmt::Debug for EventStream<'_> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_struct("EventStream").finish_non_exhaustive()
        }
    }

    impl Stream for EventStream<'_> {
        type Item = Result<QueryResult, DbErr>;

        fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            let item = Pin::new(&mut self.rows).poll_next(cx);
            if let Poll::Ready(Some(Err(_))) = &item {
                self.level.poison("the database reported an error");
            }
            item.map_err(|error| self.sent.withhold(error))
        }
    }

    impl StreamTrait for EventTransaction {
        type Stream<'a> = EventStream<'a>;

        fn get_database_backend(&self) -> DbBackend {
            self.unit.backend
        }

        fn stream<'a, S: StatementBuilder + Sync>(
            &'a self,
            stmt: &S,
        ) -> Pin<Box<dyn Future<Output = Result<Self::Stream<'a>, DbErr>> + 'a + Send>> {
            let (inspected, statement) = self.inspect(stmt);
            Box::pin(self.stream_of(inspected, statement))
        }

        fn stream_raw<'a>(
            &'a self,
            stmt: Statement,
        ) -> Pin<Box<dyn Future<Output = Result<Self::Stream<'a>, DbErr>> + 'a + Send>> {
            Box::pin(self.stream_of(self.inspect_text(&stmt.sql), stmt))
        }
    }

    impl EventTransaction {
        async fn stream_of(&self, inspected: Inspected, stmt: Statement) -> Result<EventStream<'_>, DbErr> {
            self.level.check_healthy()?;
            // No announcement is ever for a stream.
            guard::check_on_pool(&inspected)?;
            let busy = self.unit.busy().await;
            self.level.check_healthy()?;
            self.catch_up(&busy, None).await?;
            if let Some(enter) = self.enter_new_team()? {
                self.send(&busy, Verb::Execute, enter).await?;
            }
            let sent = Sent::of(&stmt);
            let rows = self.inner()?.stream_raw(stmt).await;
            let rows = rows.inspect_err(|_| self.level.poison("the database reported an error"));
            let rows = rows.map_err(|error| sent.withhold(error))?;
            Ok(EventStream { rows, level: Arc::clone(&self.level), sent, _busy: busy })
        }
    }
}

#[cfg(feature = "stream")]
pub use stream::EventStream;
