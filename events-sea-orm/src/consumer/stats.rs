//! How consumers fare, in numbers.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::{Subscription, run::ConsumerFailure};
use crate::observe;

/// When a consumer runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delivery {
    /// Inside the unit of work, at its commit.
    InTransaction,
    /// After the commit, in this process, at best effort.
    AfterCommit,
}

impl Delivery {
    /// As spans and counters name it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::InTransaction => "in_transaction",
            Self::AfterCommit => "after_commit",
        }
    }
}

/// How a consumer has fared since the application's [`Events`](crate::Events) were built. Counted in events.
///
/// In a transaction that is rolled back afterwards, handled events are counted all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerStats {
    /// Its name.
    pub name: Arc<str>,
    /// When it runs.
    pub delivery: Delivery,
    /// Handled without an error.
    pub handled: u64,
    /// Answered by an error.
    pub failed: u64,
    /// Answered by a panic.
    pub panicked: u64,
    /// Not handled within the time budget.
    pub timed_out: u64,
    /// Never handed to it: its queue was full or shut down, or the event came of a loop of after-commit consumers.
    pub dropped: u64,
    /// Units of work that wait for it now.
    pub waiting: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    handled: AtomicU64,
    failed: AtomicU64,
    panicked: AtomicU64,
    timed_out: AtomicU64,
    dropped: AtomicU64,
}

impl Counters {
    fn read(&self, name: &Arc<str>, delivery: Delivery, waiting: usize) -> ConsumerStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ConsumerStats {
            name: Arc::clone(name),
            delivery,
            handled: read(&self.handled),
            failed: read(&self.failed),
            panicked: read(&self.panicked),
            timed_out: read(&self.timed_out),
            dropped: read(&self.dropped),
            waiting,
        }
    }
}

impl Subscription {
    /// Counts events by what became of the call with them.
    pub(super) fn count_call(&self, result: Result<&(), &ConsumerFailure>, events: usize) {
        let counters = &self.counters;
        let (counter, outcome) = match result {
            Ok(()) => (&counters.handled, "handled"),
            Err(ConsumerFailure::Error(_)) => (&counters.failed, "failed"),
            Err(ConsumerFailure::Panicked { .. }) => (&counters.panicked, "panicked"),
            Err(ConsumerFailure::TimeBudget { .. }) => (&counters.timed_out, "timed_out"),
        };
        self.count(counter, outcome, events);
    }

    /// Counts events that it is not handed.
    pub(super) fn count_dropped(&self, events: usize) {
        self.count(&self.counters.dropped, "dropped", events);
    }

    fn count(&self, counter: &AtomicU64, outcome: &'static str, events: usize) {
        counter.fetch_add(events as u64, Ordering::Relaxed);
        observe::consumed(self, outcome, events);
    }

    pub(crate) fn stats(&self, waiting: usize) -> ConsumerStats {
        self.counters.read(&self.name, self.delivery(), waiting)
    }
}
