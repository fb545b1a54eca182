//! Rows of a query, one by one.

use std::{
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{Stream, StreamExt};
use sea_orm::{DbBackend, DbErr, QueryResult, Statement, StatementBuilder, StreamTrait};
use tokio::sync::mpsc;

use super::{
    EventTransaction, guard,
    in_flight::InFlight,
    level::Level,
    statement::{Inspected, Kind},
    write::{DATABASE_ERROR, Verb},
};
use crate::{backend, withhold::Sent};

type Row = Result<QueryResult, DbErr>;

/// Rows that are handed over by what owns the transaction they are read in. Dropped half way, that is brought to its end in
/// the background.
pub(crate) struct HandedOver {
    received: mpsc::Receiver<Row>,
    /// None when it is done.
    sender: Option<InFlight<()>>,
}

impl HandedOver {
    pub(crate) fn by<F>(sender: impl FnOnce(mpsc::Sender<Row>) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        // Room for one row: the database is read no faster than the stream is.
        let (send, received) = mpsc::channel(1);
        Self { received, sender: Some(InFlight::new(sender(send))) }
    }
}

impl Stream for HandedOver {
    type Item = Row;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Row>> {
        if let Some(sender) = &mut self.sender
            && Pin::new(sender).poll(cx).is_ready()
        {
            self.sender = None;
        }
        self.received.poll_recv(cx)
    }
}

/// Sends the rows of a query, and reads them to their end if nobody wants them any more: their answer may still be an
/// error, which goes to `failed` too. SQLite answers no row that was not asked for.
pub(crate) async fn send_rows(
    db: &impl StreamTrait,
    statement: Statement,
    send: &mpsc::Sender<Row>,
    failed: impl Fn(&DbErr),
) -> Result<(), DbErr> {
    let runs_on = backend::answers_run_on(statement.db_backend);
    let rows = match db.stream_raw(statement).await {
        Ok(rows) => rows,
        Err(error) => {
            failed(&error);
            let _ = send.send(Err(error.clone())).await;
            return Err(error);
        }
    };
    let mut rows = std::pin::pin!(rows);
    while let Some(row) = rows.next().await {
        let end = row.as_ref().err().cloned();
        if let Some(error) = &end {
            failed(error);
        }
        if send.send(row).await.is_err() && !runs_on {
            break;
        }
        if let Some(error) = end {
            return Err(error);
        }
    }
    Ok(())
}

/// Rows of a query on a unit of work, whose connection they have until the stream has been read to its end or is dropped: a save
/// on the unit that is awaited while the stream is open waits for ever. An error among them poisons it, also if it comes once this was dropped.
pub struct EventStream<'a> {
    rows: HandedOver,
    level: Arc<Level>,
    sent: Sent,
    unit: PhantomData<&'a EventTransaction>,
}

impl std::fmt::Debug for EventStream<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventStream").finish_non_exhaustive()
    }
}

impl Stream for EventStream<'_> {
    type Item = Row;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Row>> {
        let item = self.rows.poll_next_unpin(cx);
        item.map(|item| item.map(|row| self.level.answered(row.map_err(|error| self.sent.withhold(error)))))
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
    async fn stream_of(&self, mut inspected: Inspected, stmt: Statement) -> Result<EventStream<'_>, DbErr> {
        self.level.check_healthy()?;
        // No announcement is ever for a stream.
        guard::check_on_pool(&inspected, self.unit.backend, self.unit.events.adoption())?;
        guard::check_values(&stmt)?;
        let busy = self.busy().await;
        self.level.check_healthy()?;
        self.catch_up(&busy, None).await?;
        if inspected.kind != Kind::Read {
            self.complete(&busy, &mut inspected).await?;
        }
        let watch = self.watch(inspected.care);
        self.before_sending(&busy).await?; // before the team is taken, which must not be dropped on its way
        if let Some(enter) = self.enter_new_team()? {
            self.send(&busy, Verb::Execute, enter).await?;
        }
        let sent = Sent::of(&stmt);
        let (inner, unit) = (Arc::clone(self.inner()?), Arc::clone(&self.unit));
        let (level, failed) = (Arc::clone(&self.level), Arc::clone(&self.level));
        let rows = HandedOver::by(|send| async move {
            let doubt = failed.doubt("a stream was cancelled half way");
            let poison = |error: &DbErr| failed.poison_by(DATABASE_ERROR, Some(error));
            // The rows hold the error as well.
            let _ = watch.hand_over(&inner, stmt, &send, poison).await;
            doubt.settle();
            drop((inner, unit, failed));
            drop(busy);
        });
        Ok(EventStream { rows, level, sent, unit: PhantomData })
    }
}
