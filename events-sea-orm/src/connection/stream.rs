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
    transaction::{HandedOver, send_rows},
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
    Transaction(HandedOver),
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
            Rows::Transaction(rows) => rows.poll_next_unpin(cx),
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
        let checked = self.check(stmt);
        Box::pin(async move { self.stream_checked(checked?).await })
    }

    fn stream_raw<'a>(
        &'a self,
        stmt: Statement,
    ) -> Pin<Box<dyn Future<Output = Result<ConnectionStream, DbErr>> + 'a + Send>> {
        let checked = self.check_text(&stmt.sql);
        Box::pin(async move {
            checked?;
            self.stream_checked(stmt).await
        })
    }
}

impl EventConnection {
    async fn stream_checked(&self, stmt: Statement) -> Result<ConnectionStream, DbErr> {
        let sent = Sent::of(&stmt);
        let rows = match self.open().await? {
            DatabaseExecutor::OwnedTransaction(txn) => {
                Rows::Transaction(HandedOver::by(|send| hand_over(txn, stmt, send)))
            }
            _ => {
                let rows = self.events.pool().stream_raw(stmt).await;
                Rows::Pool(rows.map_err(|error| sent.withhold(error))?)
            }
        };
        Ok(ConnectionStream { rows, sent })
    }
}

async fn hand_over(txn: DatabaseTransaction, stmt: Statement, send: mpsc::Sender<Row>) {
    let read = send_rows(&txn, stmt, &send, |_| ()).await;
    let ended = match read {
        Ok(()) => txn.commit().await.map_err(withhold_at_end),
        Err(_) => txn.rollback().await.map_err(withhold_at_end), // the rows hold the error
    };
    if let Err(error) = ended {
        let _ = send.send(Err(error)).await; // nobody reads any more
    }
}
