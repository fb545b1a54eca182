//! One call of a consumer: bounded in time, its panics caught.

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use events_core::Event;
use futures_util::FutureExt;

use super::{Consumer, ConsumerFuture, Subscription};

/// How a consumer failed.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ConsumerFailure {
    /// It answered this error.
    #[error("{0}")]
    Error(Arc<dyn std::error::Error + Send + Sync>),
    /// It panicked.
    #[error("panicked: {message}")]
    Panicked {
        /// What it said.
        message: String,
    },
    /// It took too long, and was cancelled.
    #[error("took longer than its time budget of {budget:?}")]
    TimeBudget {
        /// How long it might have taken.
        budget: Duration,
    },
}

/// Events that are handed over in one call.
pub(super) type Call<'a> = &'a [&'a Event];

/// Runs a consumer's own future, which is boxed and so stays where it is.
async fn bounded(future: ConsumerFuture<'_>, budget: Duration) -> Result<(), ConsumerFailure> {
    let caught = AssertUnwindSafe(future).catch_unwind();
    let outcome = if tokio::runtime::Handle::try_current().is_ok() {
        let outcome = tokio::time::timeout(budget, caught).await;
        outcome.map_err(|_| ConsumerFailure::TimeBudget { budget })?
    } else {
        caught.await
    };
    match outcome {
        Ok(result) => result.map_err(|error| ConsumerFailure::Error(Arc::from(error))),
        Err(panic) => Err(panicked(panic.as_ref())),
    }
}

fn panicked(panic: &(dyn Any + Send)) -> ConsumerFailure {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    ConsumerFailure::Panicked { message: text.unwrap_or("no message").to_owned() }
}

impl Subscription {
    /// Calls the consumer with all of `events` at once if it does that.
    pub(super) async fn call_with_all<C: 'static>(
        &self,
        consumer: &dyn Consumer<C>,
        db: &C,
        events: Call<'_>,
    ) -> Option<Result<(), ConsumerFailure>> {
        // Making the future is the consumer's own code too.
        match std::panic::catch_unwind(AssertUnwindSafe(|| consumer.handle_all(db, events))) {
            Ok(Some(future)) => Some(bounded(future, self.time_budget).await),
            Ok(None) => None,
            Err(panic) => Some(Err(panicked(panic.as_ref()))),
        }
    }

    /// Calls the consumer with one event.
    pub(super) async fn call<C: 'static>(
        &self,
        consumer: &dyn Consumer<C>,
        db: &C,
        event: &Event,
    ) -> Result<(), ConsumerFailure> {
        match std::panic::catch_unwind(AssertUnwindSafe(|| consumer.handle(db, event))) {
            Ok(future) => bounded(future, self.time_budget).await,
            Err(panic) => Err(panicked(panic.as_ref())),
        }
    }
}
