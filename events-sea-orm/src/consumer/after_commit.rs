//! Consumers after the commit: a bounded queue each, worked off by a task of this process.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use events_core::{Context, Event, TeamScope};
use tokio::sync::{Notify, mpsc};
use uuid::Uuid;

use super::{Consumer, ConsumerFailure, Subscription, run::Call, subscription::Handler};
use crate::{connection::EventConnection, events::Events, observe, store};

tokio::task_local! {
    static DEPTH: usize;
}

/// How many after-commit consumers led to what runs here, one through the other.
pub(crate) fn depth() -> usize {
    DEPTH.try_get().unwrap_or_default()
}

/// What a committed unit of work leaves to its after-commit consumers.
#[derive(Debug)]
pub(crate) struct Committed {
    pub(crate) unit_id: Uuid,
    pub(crate) context: Context,
    /// The context's team, or the one that the unit has made.
    pub(crate) team: TeamScope,
    /// How many after-commit consumers led to this unit, one through the other.
    pub(crate) depth: usize,
    pub(crate) events: CommittedEvents,
}

/// Where the events of a committed unit of work are.
#[derive(Debug)]
pub(crate) enum CommittedEvents {
    Here(Vec<Event>),
    /// In the table: bulk writes do not keep theirs in memory.
    Stored {
        count: usize,
    },
}

impl CommittedEvents {
    /// How many of them the consumer wants; of stored ones, how many there are.
    fn wanted(&self, subscription: &Subscription) -> usize {
        match self {
            Self::Here(events) => events.iter().filter(|event| subscription.filter.matches(event)).count(),
            Self::Stored { count } => *count,
        }
    }
}

struct Job {
    unit: Arc<Committed>,
    /// Dropped when the job is done with, whatever became of it: so a caller can wait.
    _done: mpsc::Sender<()>,
}

/// The queue of one after-commit consumer.
pub(crate) struct Queue {
    subscription: Subscription,
    capacity: usize,
    state: Mutex<State>,
    /// Told when the queue is empty, or its worker has gone.
    rest: Notify,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// Whether a worker is alive.
    working: bool,
    /// Whether it has a job in hand.
    busy: bool,
    closed: bool,
}

/// After-commit consumers that a shutdown did not wait for any longer. What was in wait for them is dropped, counted
/// and logged; the events themselves are in the log.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("after-commit consumers were not done in time: {}", .units.iter().map(|(name, units)| format!("`{name}` had {units} units of work to do")).collect::<Vec<_>>().join(", "))]
#[non_exhaustive]
pub struct Undelivered {
    /// For each consumer, how many units of work it had not done with.
    pub units: Vec<(Arc<str>, usize)>,
}

impl Queue {
    pub(crate) fn new(subscription: Subscription, capacity: usize) -> Self {
        Self { subscription, capacity, state: Mutex::default(), rest: Notify::new() }
    }

    pub(crate) fn subscription(&self) -> &Subscription {
        &self.subscription
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many units of work it has not done with.
    pub(crate) fn waiting(&self) -> usize {
        let state = self.state();
        state.jobs.len() + usize::from(state.busy)
    }

    /// Says and counts that events never reach the consumer.
    fn drop_events(&self, unit: &Committed, events: usize, why: &str) {
        self.subscription.count_dropped(events);
        tracing::error!(
            consumer = &*self.subscription.name,
            unit_id = %unit.unit_id,
            events,
            "an after-commit consumer was not handed events: {why}"
        );
    }

    fn push(self: &Arc<Self>, events: &Events, unit: &Arc<Committed>, done: &mpsc::Sender<()>) {
        let wanted = unit.events.wanted(&self.subscription);
        if wanted == 0 {
            return;
        }
        if unit.depth > events.consumer_rounds() {
            return self.drop_events(unit, wanted, "after-commit consumers lead to one another, a loop");
        }
        let refused = {
            let mut state = self.state();
            if state.closed {
                Some("its queue is shut down")
            } else if state.jobs.len() >= self.capacity {
                Some("its queue is full")
            } else {
                state.jobs.push_back(Job { unit: Arc::clone(unit), _done: done.clone() });
                None
            }
        };
        match refused {
            Some(why) => self.drop_events(unit, wanted, why),
            None => self.start(events),
        }
    }

    /// Starts the worker unless it is at work. Without a Tokio runtime the jobs wait for one.
    fn start(self: &Arc<Self>, events: &Events) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        {
            let mut state = self.state();
            if state.working || state.jobs.is_empty() {
                return;
            }
            state.working = true;
        }
        let mut worker = Worker { queue: Arc::clone(self), job: None, at_rest: false };
        let events = events.clone();
        runtime.spawn(async move {
            while let Some(unit) = worker.next() {
                worker.queue.run(&events, &unit).await;
            }
        });
    }

    async fn run(&self, events: &Events, unit: &Committed) {
        let Handler::AfterCommit(consumer) = &self.subscription.handler else { return };
        let count = match &unit.events {
            CommittedEvents::Here(batch) => {
                return self.hand_over(consumer.as_ref(), events, unit, batch).await;
            }
            CommittedEvents::Stored { count } => *count,
        };
        let mut pages = store::Pages::of_unit(unit.unit_id, unit.team.clone(), count);
        loop {
            let page = async { pages.next(&events.open(&unit.team).await?).await };
            match page.await {
                Ok(Some(batch)) => self.hand_over(consumer.as_ref(), events, unit, &batch).await,
                Ok(None) => return,
                Err(error) => {
                    tracing::error!(%error, "reading the events of a bulk write back failed");
                    return self.drop_events(unit, pages.left(), "they could not be read back");
                }
            }
        }
    }

    async fn hand_over(
        &self,
        consumer: &dyn Consumer<EventConnection>,
        events: &Events,
        unit: &Committed,
        batch: &[Event],
    ) {
        let wanted: Vec<&Event> =
            batch.iter().filter(|event| self.subscription.filter.matches(event)).collect();
        for of_team in wanted.chunk_by(|a, b| a.team_id == b.team_id) {
            let context = unit.context.clone().for_team(&of_team[0].team_id);
            let db = events.connection(context);
            let span = observe::consumer_span(&self.subscription, unit.unit_id, of_team.len());
            let call = DEPTH.scope(unit.depth + 1, self.call(consumer, &db, of_team));
            tracing::Instrument::instrument(call, span).await;
        }
    }

    async fn call(&self, consumer: &dyn Consumer<EventConnection>, db: &EventConnection, events: Call<'_>) {
        if let Some(result) = self.subscription.call_with_all(consumer, db, events).await {
            return self.finish(result, events);
        }
        for event in events {
            self.finish(self.subscription.call(consumer, db, event).await, &[event]);
        }
    }

    fn finish(&self, result: Result<(), ConsumerFailure>, events: Call<'_>) {
        self.subscription.count_call(result.as_ref(), events.len());
        if let (Err(error), Some(first)) = (result, events.first()) {
            tracing::error!(
                consumer = &*self.subscription.name,
                event_id = %first.id,
                event_type = %first.event_type,
                events = events.len(),
                %error,
                "an after-commit consumer failed"
            );
        }
    }

    /// Waits until nothing is in wait.
    async fn drain(self: &Arc<Self>, events: &Events) {
        loop {
            let rest = self.rest.notified();
            tokio::pin!(rest);
            // Listening before looking: what happens between would be missed.
            rest.as_mut().enable();
            if self.waiting() == 0 {
                return;
            }
            self.start(events); // the runtime of the last worker may have gone
            rest.await;
        }
    }

    /// Takes nothing more.
    fn close(&self) {
        self.state().closed = true;
    }

    /// Drops what is in wait. Answers how many units of work were not done with.
    fn give_up(&self) -> usize {
        let waiting = self.waiting();
        let jobs = std::mem::take(&mut self.state().jobs);
        for job in jobs {
            let events = job.unit.events.wanted(&self.subscription);
            self.drop_events(&job.unit, events, "the shutdown did not wait any longer");
        }
        waiting
    }
}

/// Who works a queue off, until it is empty. Its task may end with its runtime at any await.
struct Worker {
    queue: Arc<Queue>,
    job: Option<Job>,
    at_rest: bool,
}

impl Worker {
    fn next(&mut self) -> Option<Arc<Committed>> {
        self.job = None; // whoever waits for it hears of it now
        let mut state = self.queue.state();
        self.job = state.jobs.pop_front();
        self.at_rest = self.job.is_none();
        state.working = !self.at_rest;
        state.busy = state.working;
        drop(state);
        if self.at_rest {
            self.queue.rest.notify_waiters();
        }
        self.job.as_ref().map(|job| Arc::clone(&job.unit))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if self.at_rest {
            return; // and another one may be at work already
        }
        {
            let mut state = self.queue.state();
            state.working = false;
            state.busy = false;
        }
        if let Some(job) = self.job.take() {
            let events = job.unit.events.wanted(&self.queue.subscription);
            self.queue.drop_events(&job.unit, events, "its runtime ended while it was at work");
        }
        self.queue.rest.notify_waiters();
    }
}

/// Hands a committed unit of work to the after-commit consumers. What is answered ends when all are done with it.
pub(crate) fn dispatch(events: &Events, unit: Committed) -> mpsc::Receiver<()> {
    let (done, wait) = mpsc::channel(1);
    let unit = Arc::new(unit);
    for queue in events.after_commit() {
        queue.push(events, &unit, &done);
    }
    wait
}

impl Events {
    /// Waits until the after-commit consumers have nothing more to do.
    ///
    /// Where units of work go on being committed, that may be never; [`shutdown`](Self::shutdown) takes no more.
    pub async fn drain(&self) {
        // A consumer's own unit of work may give another one something to do.
        while self.after_commit().iter().any(|queue| queue.waiting() > 0) {
            for queue in self.after_commit() {
                queue.drain(self).await;
            }
        }
    }

    /// Stops the after-commit consumers: what is committed from now on reaches none, what waits is done first.
    ///
    /// # Errors
    /// [`Undelivered`] if that took longer than `limit`. What waits then is dropped, counted and logged.
    pub async fn shutdown(&self, limit: Duration) -> Result<(), Undelivered> {
        for queue in self.after_commit() {
            queue.close();
        }
        if tokio::time::timeout(limit, self.drain()).await.is_ok() {
            return Ok(());
        }
        let left =
            self.after_commit().iter().map(|queue| (Arc::clone(&queue.subscription.name), queue.give_up()));
        Err(Undelivered { units: left.filter(|(_, units)| *units > 0).collect() })
    }
}
