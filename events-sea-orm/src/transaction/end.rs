//! How a unit of work ends: commit, rollback, or dropped.

use std::{
    future::Future,
    sync::{Arc, atomic::Ordering},
};

use events_core::Event;
use sea_orm::{DatabaseTransaction, DbErr};
use tokio::sync::mpsc;
use tracing::Instrument;
use uuid::Uuid;

use super::{
    Busy, EventTransaction,
    in_flight::InFlight,
    level::{Level, lock},
};
use crate::{
    backend,
    consumer::after_commit::{self, Committed, CommittedEvents},
    error::{CommitError, Refused, UnknownCommit},
    observe::{self, UnitEnd},
    withhold::withhold_at_end,
};

/// What a commit has written before it commits.
struct Flushed {
    event_ids: Vec<Uuid>,
    /// For after-commit consumers, if there are any.
    kept: Option<CommittedEvents>,
}

impl EventTransaction {
    /// Commits rows and events together.
    ///
    /// Writes the events, runs the in-transaction consumers (whose own saves and events are part of the unit), then
    /// commits, and hands the events to the after-commit consumers without waiting for them. On a nested unit it hands
    /// rows and events to the parent.
    ///
    /// # Errors
    /// [`CommitError::Refused`] and [`CommitError::Failed`]: nothing was committed. [`CommitError::Unknown`]: the
    /// connection broke on the way; [`Events::outcome`](crate::Events::outcome) finds out. No after-commit consumer runs
    /// in any of these.
    ///
    /// A future of this that is dropped once its COMMIT was sent may have committed:
    /// [`Events::outcome_of`](crate::Events::outcome_of) finds out.
    pub async fn commit(self) -> Result<(), CommitError> {
        self.commit_and_dispatch().await.map(drop)
    }

    /// Commits, and waits until the after-commit consumers are done with the events of this unit of work.
    ///
    /// What they answer is logged and counted, not returned: the commit stands. Inside an after-commit consumer it does
    /// not wait, for that could be for itself.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub async fn commit_and_wait(self) -> Result<(), CommitError> {
        let depth = self.unit.depth;
        let wait = self.commit_and_dispatch().await?;
        if let (Some(0), Some(mut wait)) = (depth, wait) {
            wait.recv().await; // nothing is ever sent: it ends when the last job does
        }
        Ok(())
    }

    async fn commit_and_dispatch(mut self) -> Result<Option<mpsc::Receiver<()>>, CommitError> {
        let span = observe::commit_span(&self.unit.span, self.unit.id);
        let commit = async move {
            let committed = match self.level.parent.clone() {
                Some(parent) => self.commit_nested(&parent).await.map(|()| None),
                None => self.commit_root().await,
            };
            self.count_end(match &committed {
                Ok(_) => UnitEnd::Committed,
                Err(CommitError::Refused(_)) => UnitEnd::Refused,
                Err(CommitError::Failed(_)) => UnitEnd::Failed,
                Err(CommitError::Unknown(_)) => UnitEnd::Unknown,
            });
            committed
        };
        commit.instrument(span).await
    }

    /// Counts how a unit of work ended: not a savepoint, and not what a scope wraps, whose COMMIT is the application's.
    fn count_end(&self, end: UnitEnd) {
        if self.level.parent.is_none() && self.unit.depth.is_some() {
            observe::unit_ended(end);
        }
    }

    /// Undoes everything since `begin`.
    ///
    /// # Errors
    /// The database's, if even that failed; a parent is poisoned then. [`Refused::TransactionEnded`] if there is something
    /// that cannot be undone.
    pub async fn rollback(mut self) -> Result<(), DbErr> {
        self.count_end(UnitEnd::RolledBack);
        let busy = self.busy().await;
        self.end_by_rollback(&busy).await
    }

    async fn commit_root(&mut self) -> Result<Option<mpsc::Receiver<()>>, CommitError> {
        let span = observe::flush_span();
        let Flushed { event_ids, kept } = match self.flush().instrument(span.clone()).await {
            Ok(flushed) => {
                span.record("events", flushed.event_ids.len());
                flushed
            }
            Err(error) => return Err(self.refuse(error, "writing the events failed").await),
        };
        let busy = match self.busy_to_commit().await {
            Ok(busy) => busy,
            Err(refused) => return Err(self.refuse(refused.into(), "").await),
        };
        if let Err(error) = self.check_counts(&busy).await {
            drop(busy);
            return Err(self.refuse(error, "the database's counts could not be read").await);
        }
        let committed = self.unit.depth.zip(kept).map(|(depth, events)| {
            let (context, team) = (self.unit.context.clone(), self.team_scope());
            Committed { unit_id: self.unit.id, context, team, depth, events }
        });
        let inner = self.end()?;
        let events = self.unit.events.clone();
        // The consumers get what was committed, even if nobody waits for the answer any more.
        let commit = async move {
            inner.commit().await?;
            Ok(committed.map(|unit| after_commit::dispatch(&events, unit)))
        };
        self.to_its_end(&busy, commit).await.map_err(|error| {
            let error = withhold_at_end(error);
            if backend::commit_is_unknown(self.unit.backend, &error) {
                UnknownCommit { unit_id: self.unit.id, event_ids, source: error }.into()
            } else {
                CommitError::Failed(error)
            }
        })
    }

    pub(super) async fn commit_nested(&mut self, parent: &Arc<Level>) -> Result<(), CommitError> {
        let busy = match self.busy_to_commit().await {
            Ok(busy) => busy,
            Err(refused) => return Err(self.refuse(refused.into(), "").await),
        };
        if let Err(error) = self.catch_up(&busy, None).await {
            drop(busy);
            return Err(self.refuse(error, "reading what was written failed").await);
        }
        let inner = self.end()?;
        // Released or not: if this future is dropped half way, nobody knows.
        let doubt = parent.doubt("the commit of a nested unit of work was cancelled");
        let committed = self.to_its_end(&busy, inner.commit()).await;
        doubt.settle();
        parent.close_nested();
        match committed {
            Ok(()) => {
                if self.level.tally.is_some() {
                    self.forget_counts();
                }
                parent.take_over(&self.level);
                Ok(())
            }
            Err(error) => {
                let error = withhold_at_end(error);
                parent.poison_by("the commit of a nested unit of work failed", Some(&error));
                Err(CommitError::Failed(error))
            }
        }
    }

    /// The connection, if what is in it may be committed: what was dropped on its way may have failed, and says so before
    /// the connection comes free.
    async fn busy_to_commit(&self) -> Result<Busy, Refused> {
        let busy = self.busy().await;
        self.level.check_writable()?;
        Ok(busy)
    }

    /// Rolls back, since a commit cannot be; the refusal is what the caller hears.
    async fn refuse(&mut self, error: DbErr, cause: &'static str) -> CommitError {
        let refused = Refused::of(&error).cloned();
        match &refused {
            Some(refused) => self.level.poison(&refused.to_string()),
            None => self.level.poison_by(cause, Some(&error)),
        }
        let busy = self.busy().await;
        if let Err(error) = self.end_by_rollback(&busy).await {
            tracing::warn!(unit_id = %self.unit.id, %error, "rolling back a refused unit of work failed");
        }
        refused.map_or(CommitError::Failed(error), CommitError::Refused)
    }

    pub(super) async fn end_by_rollback(&mut self, busy: &Busy) -> Result<(), DbErr> {
        let first_error = self.level.first_error();
        let inner = self.end()?;
        let Some(parent) = &self.level.parent else {
            let undone = self.to_its_end(busy, inner.rollback()).await.map_err(withhold_at_end);
            // What stood before a COMMIT that nobody asked for stays, and that must not look like an undone one.
            let ended = self.unit.ended.load(Ordering::Relaxed);
            return if ended { Err(Refused::TransactionEnded.into()) } else { undone };
        };
        // A grandchild left open makes the savepoints unequal to what the levels say.
        let settled = !self.level.state().nested_open;
        let doubt = parent.doubt("the rollback of a nested unit of work was cancelled");
        let result = self.to_its_end(busy, inner.rollback()).await;
        self.forget_counts();
        if result.is_err() || !settled {
            let first_error = first_error.as_deref().or(result.as_ref().err());
            parent.poison_by("the rollback of a nested unit of work failed", first_error);
        }
        doubt.settle();
        parent.close_nested();
        result.map_err(withhold_at_end)
    }

    /// The transaction, to be ended. Call with the connection in hand: no statement is on its way then.
    fn end(&mut self) -> Result<DatabaseTransaction, Refused> {
        lock(&self.unit.dropped_busy).clear(); // nested ones, whose rollback comes first
        // One that is still nested in it must not go on: its commit would be taken for that of this one.
        self.level.poison("the unit of work has ended");
        self.inner.take().and_then(Arc::into_inner).ok_or_else(ended)
    }

    /// Writes the buffered events and runs the consumers on them, until neither adds any.
    async fn flush(&self) -> Result<Flushed, DbErr> {
        let mut last_adder: Arc<str> = Arc::from("");
        let limit = self.unit.events.consumer_rounds();
        let busy = self.busy_to_commit().await?;
        self.catch_up(&busy, None).await?;
        drop(busy);
        self.unit.flushing.store(true, Ordering::Relaxed);
        let spilled = self.level.has_written();
        self.consume_written().await?;
        let mut kept = Vec::new();
        for _ in 0..=limit {
            let busy = self.busy_to_commit().await?;
            let mut batch = self.write_buffer(&busy).await?;
            drop(busy);
            if let Some(adder) = self.consume(&batch).await? {
                last_adder = adder;
            }
            if !spilled && self.has_after_commit() {
                kept.append(&mut batch);
            }
            if self.buffered() == 0 {
                let event_ids = std::mem::take(&mut self.level.state().written);
                return Ok(self.flushed(event_ids, kept, spilled));
            }
        }
        let refused = Refused::ConsumerLoop { consumer: last_adder, rounds: limit };
        self.level.poison(&refused.to_string());
        Err(refused.into())
    }

    /// What a nested unit has written is undone, or was written by `untracked`.
    fn forget_counts(&self) {
        if let Some(strict) = &self.unit.strict {
            strict.forget();
        }
    }

    /// Sends the end of a transaction, and reads the answer even if the caller goes away: the connection is in use until
    /// then.
    async fn to_its_end<T: Send + 'static>(
        &self,
        busy: &Busy,
        end: impl Future<Output = Result<T, DbErr>> + Send + 'static,
    ) -> Result<T, DbErr> {
        let (unit, busy) = (Arc::clone(&self.unit), Arc::clone(busy));
        InFlight::new(async move {
            let ended = end.await;
            // In this order: a transaction that was dropped meanwhile goes with the unit, its connection being free.
            drop(unit);
            drop(busy);
            ended
        })
        .await
    }

    fn flushed(&self, event_ids: Vec<Uuid>, kept: Vec<Event>, spilled: bool) -> Flushed {
        let kept = match (self.has_after_commit(), event_ids.len()) {
            (false, _) | (true, 0) => None,
            (true, count) if spilled => Some(CommittedEvents::Stored { count }),
            _ => Some(CommittedEvents::Here(kept)),
        };
        Flushed { event_ids, kept }
    }
}

/// What a call on a unit of work without a transaction is answered: none can be made, since what ends one owns it.
pub(super) fn ended() -> Refused {
    Refused::Poisoned { cause: "the unit of work has ended".into(), source: None }
}

/// Runs `work` in a unit of its own: commits on `Ok`, rolls back on `Err`.
pub(crate) async fn run<T, E, F>(txn: EventTransaction, work: F) -> Result<T, E>
where
    F: AsyncFnOnce(&EventTransaction) -> Result<T, E>,
    E: From<DbErr>,
{
    match work(&txn).await {
        Ok(value) => {
            txn.commit().await.map_err(|error| E::from(error.into()))?;
            Ok(value)
        }
        Err(error) => {
            if let Err(failure) = txn.rollback().await {
                tracing::warn!(error = %failure, "rolling back a failed unit of work failed");
            }
            Err(error)
        }
    }
}

impl Drop for EventTransaction {
    fn drop(&mut self) {
        let Some(inner) = self.inner.take() else { return };
        self.count_end(UnitEnd::RolledBack);
        let idle = self.unit.gate.try_lock();
        let in_doubt = idle.is_none() || self.level.is_poisoned() || self.level.state().nested_open;
        if let Some(parent) = &self.level.parent {
            // In this order: a commit that has the connection must not find neither.
            if in_doubt {
                parent.poison("a nested unit of work was dropped after an error in it");
            }
            self.forget_counts();
            parent.close_nested();
        }
        self.level.poison("the unit of work was dropped");
        if idle.is_some() {
            drop(inner); // queues the rollback
        } else {
            lock(&self.unit.dropped_busy).push(inner);
        }
    }
}
