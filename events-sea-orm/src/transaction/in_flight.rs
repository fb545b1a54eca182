//! What is on its way to the database, and is not left half way.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, Statement, TransactionOptions,
    TransactionTrait,
};

/// Work that is finished even if nobody waits for it any more.
///
/// A driver's future that is dropped between a request and its answer may leave the connection out of step: sqlx for
/// MySQL then takes the answer to one statement for that to the next, or waits for one that never comes; and a BEGIN
/// that is dropped before its answer is undone by nobody. So a statement whose caller goes away is read to its end in
/// the background. Without a Tokio runtime it is dropped: what it holds must say then what is to become of it.
pub(crate) struct InFlight<T: Send + 'static>(Option<Pin<Box<dyn Future<Output = T> + Send>>>);

impl<T: Send + 'static> InFlight<T> {
    pub(crate) fn new(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Some(Box::pin(work)))
    }
}

impl<T: Send + 'static> Future for InFlight<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        // Taken out while it runs: after a panic in it there is nothing left that could be polled again.
        let Some(mut work) = self.0.take() else { return Poll::Pending };
        let polled = work.as_mut().poll(cx);
        if polled.is_pending() {
            self.0 = Some(work);
        }
        polled
    }
}

impl<T: Send + 'static> Drop for InFlight<T> {
    fn drop(&mut self) {
        let Some(work) = self.0.take() else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            drop(runtime.spawn(async move { drop(work.await) }));
        }
    }
}

/// Begins a transaction, and runs this statement in it. To the end, even if the caller goes away: it is rolled back then,
/// and its connection goes back to the pool as it was.
pub(crate) async fn begin(
    pool: &DatabaseConnection,
    options: TransactionOptions,
    first: Option<Statement>,
) -> Result<DatabaseTransaction, DbErr> {
    let pool = pool.clone();
    let begun = async move {
        let txn = pool.begin_with_options(options).await.inspect_err(warn_of_the_pool)?;
        if let Some(first) = first {
            txn.execute_raw(first).await?; // dropped, it is rolled back
        }
        Ok(txn)
    };
    InFlight::new(begun).await
}

/// Says why a pool may have no connection left: the error alone says only that it has none.
fn warn_of_the_pool(error: &DbErr) {
    if matches!(error, DbErr::ConnectionAcquire(_)) {
        tracing::warn!(
            %error,
            "no connection: a request that holds a unit of work and reads on the `EventConnection` beside it takes two; \
             let it read on the unit, or make the pool larger"
        );
    }
}

/// Commits, even if the caller goes away.
pub(crate) async fn commit(txn: DatabaseTransaction) -> Result<(), DbErr> {
    InFlight::new(txn.commit()).await
}
