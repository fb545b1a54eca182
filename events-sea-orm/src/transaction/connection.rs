//! What SeaORM sees: the connection, stream and transaction traits.

use std::{future::Future, pin::Pin, sync::Arc};

use events_core::TeamScope;
use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, ExecResult, IsolationLevel,
    QueryResult, Statement, StatementBuilder, TransactionError, TransactionOptions, TransactionSession,
    TransactionTrait, Value, sea_query::UpdateStatement,
};

use super::{
    Announcement, Busy, EventTransaction, Kind, ended,
    in_flight::InFlight,
    level::Doubt,
    statement::{self, Inspected},
};
use crate::{
    backend::{self, Lock},
    error::Refused,
    record::{self, Change},
    store,
    tracked::{OLD, RowImage},
    typed::downcast_ref,
    withhold::withhold,
};

/// How a statement is sent, and what came back.
#[derive(Clone, Copy)]
enum Verb {
    Execute,
    ExecuteUnprepared,
    QueryOne,
    QueryAll,
}

enum Reply {
    Executed(ExecResult),
    One(Option<QueryResult>),
    All(Vec<QueryResult>),
}

impl EventTransaction {
    fn inner(&self) -> Result<&Arc<DatabaseTransaction>, Refused> {
        self.inner.as_ref().ok_or_else(ended)
    }

    async fn send(&self, busy: &Busy, verb: Verb, statement: Statement) -> Result<Reply, DbErr> {
        let (inner, unit, busy) = (Arc::clone(self.inner()?), Arc::clone(&self.unit), Arc::clone(busy));
        let answer = InFlight::new(async move {
            let answer = match verb {
                Verb::Execute => inner.execute_raw(statement).await.map(Reply::Executed),
                Verb::ExecuteUnprepared => {
                    inner.execute_unprepared(&statement.sql).await.map(Reply::Executed)
                }
                Verb::QueryOne => inner.query_one_raw(statement).await.map(Reply::One),
                Verb::QueryAll => inner.query_all_raw(statement).await.map(Reply::All),
            };
            // In this order: a transaction that was dropped meanwhile goes with the unit, its connection being free.
            drop((inner, unit));
            drop(busy);
            answer
        });
        answer.await.inspect_err(|_| self.level.poison("the database reported an error"))
    }

    /// Sends a statement of the library's own: no consumer and no hook has a say in it.
    pub(super) async fn send_own(&self, statement: Statement) -> Result<(), DbErr> {
        let busy = self.unit.busy().await;
        let doubt = self.level.doubt("writing the events was cancelled");
        let sent = self.send(&busy, Verb::Execute, statement).await;
        doubt.settle();
        sent.map(drop)
    }

    /// Every statement comes through here.
    ///
    /// Announcements are taken before the first await: SeaORM sends a statement in the very poll in which its hook
    /// returned, so what is announced then belongs to it, and what it does not use is stale.
    async fn dispatch(
        &self,
        verb: Verb,
        inspected: Inspected,
        statement: Statement,
        update: Option<&UpdateStatement>,
    ) -> Result<Reply, DbErr> {
        if inspected.kind == Kind::Read {
            self.level.check_healthy()?;
            let busy = self.unit.busy().await;
            self.level.check_healthy()?;
            return self.send(&busy, verb, statement).await;
        }
        let mut announced = std::mem::take(&mut self.level.state().announced);
        self.check_write(&inspected)?;
        announced.retain(|announcement| belongs(announcement, &inspected, &statement));
        let busy = self.unit.busy().await;
        self.level.check_writable()?;
        let doubt = self.level.doubt("a write was cancelled half way");
        if announced.is_empty() {
            let reply = self.send(&busy, verb, statement).await;
            doubt.settle();
            return reply;
        }
        let redacts = announced.iter().any(|announcement| announcement.definition().redacts());
        let reply = match update.and_then(|update| self.with_old(update, &announced)) {
            Some(both) => self.tracked_update(&busy, &announced, both, verb, statement, doubt).await,
            None => self.tracked_write(&busy, &announced, verb, statement, doubt).await,
        };
        if redacts { reply.map_err(withhold) } else { reply }
    }

    fn check_write(&self, inspected: &Inspected) -> Result<(), Refused> {
        self.level.check_writable()?;
        if inspected.kind == Kind::Schema {
            return Err(Refused::Schema);
        }
        match inspected.written.iter().find(|table| store::is_own_table(table)) {
            Some(table) => Err(Refused::OwnTable { table: table.clone() }),
            None => Ok(()),
        }
    }

    /// The update in a form that brings back the old row too, where the database has one.
    fn with_old(&self, update: &UpdateStatement, announced: &[Announcement]) -> Option<Statement> {
        let ([announcement], true) = (announced, backend::updates_with_old(self.unit.backend)) else {
            return None;
        };
        let state = self.level.state();
        let team = match &state.team {
            TeamScope::Team(team) => Some(team.as_str()),
            _ => None,
        };
        let update = announcement.rows.update_with_old(update, announcement.key.as_ref()?, team)?;
        Some(StatementBuilder::build(&update, &self.unit.backend))
    }

    /// Old row, lock and update in one statement. If it finds no row, the long way tells why.
    async fn tracked_update(
        &self,
        busy: &Busy,
        announced: &[Announcement],
        both: Statement,
        verb: Verb,
        statement: Statement,
        doubt: Doubt,
    ) -> Result<Reply, DbErr> {
        let reply = self.send(busy, Verb::QueryOne, both).await?;
        let Reply::One(Some(row)) = &reply else {
            return self.tracked_write(busy, announced, verb, statement, doubt).await;
        };
        let old = announced[0].rows.image(row, OLD);
        let recorded = match old {
            Ok(old) => self.record_write(busy, announced, &[Some(old)], &reply).await,
            Err(error) => Err(error),
        };
        self.settle(recorded, doubt).map(|()| reply)
    }

    /// Ends a write: its events are in the buffer, or nothing may be committed any more.
    fn settle(&self, recorded: Result<(), DbErr>, doubt: Doubt) -> Result<(), DbErr> {
        if recorded.is_err() {
            self.level.poison("a row was written and its event could not be recorded");
        }
        doubt.settle();
        recorded
    }

    /// Reads the old rows under lock, sends the statement, and records what changed: one step under the gate.
    async fn tracked_write(
        &self,
        busy: &Busy,
        announced: &[Announcement],
        verb: Verb,
        statement: Statement,
        doubt: Doubt,
    ) -> Result<Reply, DbErr> {
        let mut old_rows = Vec::with_capacity(announced.len());
        for announcement in announced {
            let old = match self.old_row(busy, announcement).await {
                Ok(old) => old,
                Err(error) => {
                    doubt.settle(); // nothing was written
                    return Err(error);
                }
            };
            old_rows.push(old);
        }
        let reply = self.send(busy, verb, statement).await?;
        let recorded = self.record_write(busy, announced, &old_rows, &reply).await;
        self.settle(recorded, doubt).map(|()| reply)
    }

    /// The row as the database holds it, locked, and of a team that this context may touch.
    async fn old_row(&self, busy: &Busy, announcement: &Announcement) -> Result<Option<RowImage>, DbErr> {
        let (lock, Some(key)) = (
            match announcement.kind {
                Kind::Update => Lock::ForUpdate,
                Kind::Delete => Lock::ForDelete,
                _ => return Ok(None),
            },
            &announcement.key,
        ) else {
            return Ok(None);
        };
        let old = self.read_row(busy, announcement, key, Some(lock)).await?;
        if let Some(old) = &old {
            let team = self.level.state().team.clone();
            record::team_of(announcement.definition(), old, &team)?;
        }
        Ok(old)
    }

    async fn read_row(
        &self,
        busy: &Busy,
        announcement: &Announcement,
        key: &[Value],
        lock: Option<Lock>,
    ) -> Result<Option<RowImage>, DbErr> {
        let mut select = announcement.rows.select(key);
        if let Some(lock) = lock.and_then(|lock| backend::lock(self.unit.backend, lock)) {
            select.lock(lock);
        }
        let statement = StatementBuilder::build(&select, &self.unit.backend);
        match self.send(busy, Verb::QueryOne, statement).await? {
            Reply::One(Some(row)) => announcement.rows.image(&row, "").map(Some),
            _ => Ok(None),
        }
    }

    async fn record_write(
        &self,
        busy: &Busy,
        announced: &[Announcement],
        old_rows: &[Option<RowImage>],
        reply: &Reply,
    ) -> Result<(), DbErr> {
        let first = &announced[0];
        match first.kind {
            Kind::Insert => {
                for row in self.inserted_rows(busy, announced, reply).await? {
                    let announcement = announcement_of(announced, &row)?;
                    self.record(announcement, Change::Created(&row))?;
                }
            }
            Kind::Update => {
                let (Some(old), Some(key)) = (&old_rows[0], &first.key) else { return Ok(()) };
                if let Some(new) = self.updated_row(busy, first, key, reply).await? {
                    if new.key != *key {
                        return Err(unexpected(first));
                    }
                    record::same_team(first.definition(), old, &new)?;
                    self.record(first, Change::Updated(old, &new))?;
                }
            }
            Kind::Delete => {
                let gone = match reply {
                    Reply::Executed(result) => result.rows_affected() > 0,
                    Reply::One(row) => row.is_some(),
                    Reply::All(rows) => !rows.is_empty(),
                };
                let olds = old_rows.iter().filter(|_| gone);
                for (announcement, old) in announced.iter().zip(olds) {
                    if let Some(old) = old {
                        self.record(announcement, Change::Deleted(old))?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    async fn inserted_rows(
        &self,
        busy: &Busy,
        announced: &[Announcement],
        reply: &Reply,
    ) -> Result<Vec<RowImage>, DbErr> {
        let first = &announced[0];
        match reply {
            Reply::One(row) => row.iter().map(|row| first.rows.image(row, "")).collect(),
            Reply::All(rows) => rows.iter().map(|row| first.rows.image(row, "")).collect(),
            Reply::Executed(result) if result.rows_affected() == 0 => Ok(Vec::new()),
            // Without RETURNING: the row is read by its key, which the caller gave or the database counted up.
            Reply::Executed(result) => {
                let mut rows = Vec::new();
                for announcement in announced {
                    let counted = || vec![Value::from(result.last_insert_id())];
                    let key = announcement.key.clone().unwrap_or_else(counted);
                    rows.extend(self.read_row(busy, announcement, &key, None).await?);
                }
                Ok(rows)
            }
        }
    }

    async fn updated_row(
        &self,
        busy: &Busy,
        announcement: &Announcement,
        key: &[Value],
        reply: &Reply,
    ) -> Result<Option<RowImage>, DbErr> {
        match reply {
            Reply::One(row) => row.as_ref().map(|row| announcement.rows.image(row, "")).transpose(),
            Reply::All(rows) => rows.first().map(|row| announcement.rows.image(row, "")).transpose(),
            Reply::Executed(result) if result.rows_affected() == 0 => Ok(None),
            Reply::Executed(_) => self.read_row(busy, announcement, key, None).await,
        }
    }

    fn record(&self, announcement: &Announcement, change: Change<'_>) -> Result<(), Refused> {
        let definition = announcement.definition();
        let mut state = self.level.state();
        let row = match change {
            Change::Created(row) | Change::Updated(_, row) | Change::Deleted(row) => row,
        };
        let team = record::team_of(definition, row, &state.team)?;
        if matches!(state.team, events_core::TeamScope::New) {
            state.team = events_core::TeamScope::Team(team.clone());
        }
        let options = &announcement.options;
        let mut events =
            record::events(definition, change, options, &team, &self.unit.context, self.unit.id)?;
        state.buffer.append(&mut events);
        Ok(())
    }
}

/// Whether the announcement is for this very statement: kind, table and key.
fn belongs(announcement: &Announcement, inspected: &Inspected, statement: &Statement) -> bool {
    let table = announcement.definition().table();
    if announcement.kind != inspected.kind || inspected.written.iter().all(|written| written != table) {
        return false;
    }
    let (Kind::Update | Kind::Delete, Some(key)) = (announcement.kind, &announcement.key) else {
        return true;
    };
    // The key stands in the condition, which comes last.
    let values = statement.values.as_ref().map(|values| values.0.as_slice()).unwrap_or_default();
    if announcement.kind == Kind::Update {
        values.ends_with(key)
    } else {
        key.iter().all(|part| values.contains(part))
    }
}

fn announcement_of<'a>(announced: &'a [Announcement], row: &RowImage) -> Result<&'a Announcement, DbErr> {
    let fits = |announcement: &&Announcement| announcement.key.as_ref().is_none_or(|key| *key == row.key);
    announced.iter().find(fits).ok_or_else(|| unexpected(&announced[0]))
}

fn unexpected(announcement: &Announcement) -> DbErr {
    Refused::UnexpectedRow { object_type: announcement.definition().object_type() }.into()
}

/// A raw statement is taken for what its first word says.
fn inspect_raw(sql: &str) -> Inspected {
    let kind = if statement::is_raw_schema(sql) {
        Kind::Schema
    } else if statement::is_raw_read(sql) {
        Kind::Read
    } else {
        Kind::Other
    };
    Inspected { kind, written: Vec::new() }
}

#[async_trait::async_trait]
impl ConnectionTrait for EventTransaction {
    fn get_database_backend(&self) -> DbBackend {
        self.unit.backend
    }

    async fn execute_raw(&self, stmt: Statement) -> Result<ExecResult, DbErr> {
        executed(self.dispatch(Verb::Execute, inspect_raw(&stmt.sql), stmt, None).await?)
    }

    async fn execute<S: StatementBuilder>(&self, stmt: &S) -> Result<ExecResult, DbErr> {
        let (inspected, statement) = (statement::inspect(stmt), stmt.build(&self.unit.backend));
        executed(self.dispatch(Verb::Execute, inspected, statement, None).await?)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let statement = Statement::from_string(self.unit.backend, sql);
        executed(self.dispatch(Verb::ExecuteUnprepared, inspect_raw(sql), statement, None).await?)
    }

    async fn query_one_raw(&self, stmt: Statement) -> Result<Option<QueryResult>, DbErr> {
        one(self.dispatch(Verb::QueryOne, inspect_raw(&stmt.sql), stmt, None).await?)
    }

    async fn query_one<S: StatementBuilder>(&self, stmt: &S) -> Result<Option<QueryResult>, DbErr> {
        let (inspected, statement) = (statement::inspect(stmt), stmt.build(&self.unit.backend));
        one(self.dispatch(Verb::QueryOne, inspected, statement, downcast_ref(stmt)).await?)
    }

    async fn query_all_raw(&self, stmt: Statement) -> Result<Vec<QueryResult>, DbErr> {
        all(self.dispatch(Verb::QueryAll, inspect_raw(&stmt.sql), stmt, None).await?)
    }

    async fn query_all<S: StatementBuilder>(&self, stmt: &S) -> Result<Vec<QueryResult>, DbErr> {
        let (inspected, statement) = (statement::inspect(stmt), stmt.build(&self.unit.backend));
        all(self.dispatch(Verb::QueryAll, inspected, statement, None).await?)
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
        let level = self.level.open_nested()?;
        let _busy = self.unit.busy().await;
        let doubt = self.level.doubt("the begin of a nested unit of work was cancelled");
        let begun = self.inner()?.begin_with_options(options).await;
        doubt.settle();
        match begun {
            Ok(inner) => Ok(Self { inner: Some(Arc::new(inner)), unit: self.unit.clone(), level }),
            Err(error) => {
                self.level.close_nested();
                self.level.poison("the database reported an error");
                Err(error)
            }
        }
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
    use sea_orm::{DbBackend, DbErr, QueryResult, Statement, StreamTrait, TransactionStream};

    use super::{Busy, EventTransaction, Kind, inspect_raw};
    use crate::{error::Refused, transaction::level::Level};

    /// Rows of a query on a unit of work. An error among them poisons it.
    pub struct EventStream<'a> {
        rows: TransactionStream<'a>,
        level: Arc<Level>,
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
            item
        }
    }

    impl StreamTrait for EventTransaction {
        type Stream<'a> = EventStream<'a>;

        fn get_database_backend(&self) -> DbBackend {
            self.unit.backend
        }

        fn stream_raw<'a>(
            &'a self,
            stmt: Statement,
        ) -> Pin<Box<dyn Future<Output = Result<Self::Stream<'a>, DbErr>> + 'a + Send>> {
            Box::pin(async move {
                if inspect_raw(&stmt.sql).kind == Kind::Schema {
                    return Err(Refused::Schema.into());
                }
                self.level.check_healthy()?;
                let busy = self.unit.busy().await;
                self.level.check_healthy()?;
                let rows = self.inner()?.stream_raw(stmt).await;
                let rows = rows.inspect_err(|_| self.level.poison("the database reported an error"))?;
                Ok(EventStream { rows, level: Arc::clone(&self.level), _busy: busy })
            })
        }
    }
}

#[cfg(feature = "stream")]
pub use stream::EventStream;
