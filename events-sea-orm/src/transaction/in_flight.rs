//! A statement on its way to the database.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// Work that is finished even if nobody waits for it any more.
///
/// A driver's future that is dropped between a request and its answer may leave the connection out of step: sqlx for
/// MySQL then takes the answer to one statement for that to the next, or waits for one that never comes. So a
/// statement whose caller goes away is read to its end in the background, where the runtime allows it.
pub(super) struct InFlight<T: Send + 'static>(Option<Pin<Box<dyn Future<Output = T> + Send>>>);

impl<T: Send + 'static> InFlight<T> {
    pub(super) fn new(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Some(Box::pin(work)))
    }
}

impl<T: Send + 'static> Future for InFlight<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let Some(work) = &mut self.0 else { return Poll::Pending };
        let polled = work.as_mut().poll(cx);
        if polled.is_ready() {
            self.0 = None;
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
