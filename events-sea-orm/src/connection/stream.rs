//! Rows of a query on an `EventConnection`, one by one.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::{Stream, StreamExt};
use sea_orm::{
    DatabaseExecutor, DatabaseTransaction, DbBackend, DbErr, QueryResult, QueryStream, Statement,
    StatementBuilder, StreamTrait,
};
use tokio::sync::mpsc;

use super::EventConnection;
use crate::{
    backend,
    transaction::{HandedOver, Inspected, Verb, Watch, send_rows},
    withhold::{Sent, withhold_at_end},
};

type Row = Result<QueryResult, DbErr>;

/// Rows of a query on the pool; under row-level security, of one in a transaction of its own, which ends with them.
pub struct ConnectionStream {
    rows: Rows,
    sent: Sent,
}

enum Rows {
    Pool(QueryStream),
    HandedOver(HandedOver),
}

impl std::fmt::Debug for ConnectionStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectionStream").finish_non_exhaustive()
    }
}

impl Stream for ConnectionStream {
    type Item = Row;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Row>> {
        let row = match &mut self.rows {
            Rows::Pool(rows) => rows.poll_next_unpin(cx),
            Rows::HandedOver(rows) => rows.poll_next_unpin(cx),
        };
        row.map_err(|error| self.sent.withhold(error))
    }
}

impl StreamTrait for EventConnection {
    type Stream<'a> = ConnectionStream;

    fn get_database_backend(&self) -> DbBackend {
        self.backend()
    }

    fn stream<'a, S: StatementBuilder + Sync>(
        &'a self,
        stmt: &S,
    ) -> Pin<Box<dyn Future<Output = Result<ConnectionStream, DbErr>> + 'a + Send>> {
        let (inspected, stmt) = self.inspect(stmt);
        Box::pin(self.stream_checked(inspected, stmt))
    }

    fn stream_raw<'a>(
        &'a self,
        stmt: Statement,
    ) -> Pin<Box<dyn Future<Output = Result<ConnectionStream, DbErr>> + 'a + Send>> {
        Box::pin(self.stream_checked(self.inspect_text(&stmt.sql), stmt))
    }
}

impl EventConnection {
    async fn stream_checked(&self, inspected: Inspected, stmt: Statement) -> Result<ConnectionStream, DbErr> {
        let watch = self.check(inspected, &stmt, Verb::QueryAll).await?;
        let sent = Sent::of(&stmt);
        let opened = match watch {
            Watch::Nothing => self.open().await?,
            _ => DatabaseExecutor::OwnedTransaction(self.begin_watched().await?),
        };
        let rows = match opened {
            DatabaseExecutor::OwnedTransaction(txn) => {
                Rows::HandedOver(HandedOver::by(|send| hand_over(watch, txn, stmt, send)))
            }
            _ if backend::loses_its_place(self.backend()) => {
                let pool = self.events.pool().clone();
                Rows::HandedOver(HandedOver::by(|send| async move {
                    let _ = send_rows(&pool, stmt, &send, |_| ()).await; // the rows hold the error
                }))
            }
            _ => {
                let rows = self.events.pool().stream_raw(stmt).await;
                Rows::Pool(rows.map_err(|error| sent.withhold(error))?)
            }
        };
        Ok(ConnectionStream { rows, sent })
    }
}

async fn hand_over(watch: Watch, txn: DatabaseTransaction, stmt: Statement, send: mpsc::Sender<Row>) {
    let read = watch.hand_over(&txn, stmt, &send, |_| ()).await;
    let ended = match read {
        Ok(()) if !watch.undoes() => txn.commit().await.map_err(withhold_at_end),
        _ => txn.rollback().await.map_err(withhold_at_end), // the rows hold the error
    };
    if let Err(error) = ended {
        let _ = send.send(Err(error)).await; // nobody reads any more
    }
}
