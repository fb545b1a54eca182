//! `EventTransaction`: the unit of work.

mod bulk;
mod connection;
mod guard;
mod in_flight;
mod level;
mod links;
mod on_conflict;
mod sql;
mod statement;
mod untracked;
mod write;

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use events_core::{Context, Event, EventType, NewEvent, Subject};
use futures_util::lock::{Mutex as Gate, OwnedMutexGuard};
use sea_orm::{
    ActiveModelBehavior, ActiveModelTrait, ConnectionTrait, DatabaseConnection, DatabaseTransaction,
    DbBackend, DbErr, EntityTrait, IdenStatic, IntoActiveModel, TransactionOptions, TransactionTrait, Value,
};
use tokio::sync::mpsc;
use tracing::Instrument;
use uuid::Uuid;

#[cfg(feature = "stream")]
pub use self::connection::EventStream;
use self::level::{Level, lock};
pub(crate) use self::{
    connection::run_callback,
    guard::check_on_pool,
    level::{Announcement, Caller},
    sql::Table,
    statement::{Kind, inspect, inspect_text},
};
use crate::{
    backend,
    consumer::after_commit::{self, Committed, CommittedEvents},
    error::{CommitError, Refused, UnknownCommit},
    events::Events,
    observe::{self, UnitEnd},
    record::{self, SaveOptions},
    saves,
    tracked::Tracked,
    value,
    withhold::withhold_at_end,
};

/// A unit of work: a database transaction that knows for whom it is and records an event for every tracked save.
///
/// It goes wherever SeaORM takes a connection. Rows and events commit together or not at all. Dropping it rolls back.
///
/// A database error, a write that was dropped half way, or a failing consumer *poisons* it: it sends nothing more and
/// `commit` refuses. What may fail goes into a nested [`begin`](TransactionTrait::begin), whose rollback leaves the
/// parent healthy.
///
/// # Examples
/// ```no_run
/// # use events_sea_orm::{Context, Event, Events};
/// # async fn example(events: Events) -> Result<(), Box<dyn std::error::Error>> {
/// let txn = events.begin(Context::team(7).actor("user:42")).await?;
/// // .. tracked saves on `&txn` ..
/// txn.emit(Event::custom("month_closed")).await?;
/// txn.commit().await?;
/// # Ok(()) }
/// ```
pub struct EventTransaction {
    /// Taken by commit, rollback and drop; shared with a statement that is on its way.
    inner: Option<Arc<DatabaseTransaction>>,
    unit: Arc<Unit>,
    level: Arc<Level>,
}

/// What all nesting levels of a unit of work share.
struct Unit {
    id: Uuid,
    events: Events,
    context: Context,
    backend: DbBackend,
    /// Held while the connection is in use, so that a tracked save is one step and a drop knows.
    gate: Arc<Gate<()>>,
    /// What its saves and its commit are traced in.
    span: tracing::Span,
    /// How many after-commit consumers led to this unit, one through the other. None in a scope, whose COMMIT nobody
    /// here sees.
    depth: Option<usize>,
    /// Whether the commit has begun, and consumers run.
    flushing: AtomicBool,
    /// Transactions dropped while the connection was in use: SeaORM panics on that, so they wait here.
    dropped_busy: std::sync::Mutex<Vec<Arc<DatabaseTransaction>>>,
}

/// What a commit has written before it commits.
struct Flushed {
    event_ids: Vec<Uuid>,
    /// For after-commit consumers, if there are any.
    kept: Option<CommittedEvents>,
}

/// The connection in use: held from the first statement of a step to the last answer, whoever reads that.
pub(crate) type Busy = Arc<OwnedMutexGuard<()>>;

impl Unit {
    async fn busy(&self) -> Busy {
        Arc::new(Arc::clone(&self.gate).lock_owned().await)
    }
}

impl std::fmt::Debug for EventTransaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventTransaction")
            .field("unit_id", &self.unit.id)
            .field("nested", &self.level.parent.is_some())
            .finish_non_exhaustive()
    }
}

impl EventTransaction {
    pub(crate) async fn start(
        events: Events,
        context: Context,
        pool: &DatabaseConnection,
        options: TransactionOptions,
    ) -> Result<Self, DbErr> {
        let context = events.check_context(context)?;
        let options = backend::begin_options(pool.get_database_backend(), options);
        let team = context.team_scope().clone();
        let enter = events.enter(&team)?;
        let inner = pool.begin_with_options(options).await?;
        if let Some(enter) = enter {
            inner.execute_raw(enter).await?;
        }
        Ok(Self::over(inner, events, context, team, Some(after_commit::depth())))
    }

    /// A unit of work of this team over a transaction (or savepoint) that is open already.
    pub(crate) fn over(
        inner: DatabaseTransaction,
        events: Events,
        context: Context,
        team: events_core::TeamScope,
        depth: Option<usize>,
    ) -> Self {
        let backend = inner.get_database_backend();
        let id = Uuid::now_v7();
        Self {
            inner: Some(Arc::new(inner)),
            level: Arc::new(Level::root(team)),
            unit: Arc::new(Unit {
                id,
                span: observe::unit_span(id),
                events,
                context,
                backend,
                gate: Arc::default(),
                depth,
                flushing: AtomicBool::new(false),
                dropped_busy: std::sync::Mutex::default(),
            }),
        }
    }

    /// The unit's id, stored with each of its events and known before the commit.
    pub fn unit_id(&self) -> Uuid {
        self.unit.id
    }

    /// For whom this unit of work is done.
    pub fn context(&self) -> &Context {
        &self.unit.context
    }

    /// Records an event by hand. It is written at commit, after the events recorded before it.
    ///
    /// # Errors
    /// A [`Refused`] for an unusable name, identifier or payload, for a subject of another team, in a poisoned unit
    /// or while a nested one is open. The unit stays healthy.
    pub async fn emit(&self, event: NewEvent) -> Result<(), DbErr> {
        self.level.check_writable()?;
        self.caught_up().await?;
        let event = self.check_emit(event)?;
        self.level.state().buffer.push(event.into());
        Ok(())
    }

    /// The event as it will be written, if it can be.
    fn check_emit(&self, event: NewEvent) -> Result<Event, DbErr> {
        Ok(record::emitted(event, &self.team_scope(), &self.unit.context, self.unit.id)?)
    }

    /// Moves a state field to `new` and records why.
    ///
    /// # Errors
    /// [`Refused::UnknownField`] if the column is not marked `#[track(state)]`; else what the save answers, such as
    /// [`Refused::Transition`].
    pub async fn track_state_transition<A>(
        &self,
        mut active: A,
        column: <A::Entity as EntityTrait>::Column,
        new: impl Into<Value>,
        reason: impl Into<String>,
    ) -> Result<<A::Entity as EntityTrait>::Model, DbErr>
    where
        A: ActiveModelTrait + ActiveModelBehavior + Send,
        <A::Entity as EntityTrait>::Model: Tracked + IntoActiveModel<A>,
    {
        let definition = <<A::Entity as EntityTrait>::Model as Tracked>::definition();
        let is_state = |f: &&crate::Field| f.column() == column.as_str() && f.is_state();
        if !definition.fields().iter().any(|field| is_state(&field)) {
            return Err(definition.unknown_field(column.as_str(), "state field").into());
        }
        active.set(column, new.into());
        let options = SaveOptions { track_fields: None, reason: Some(reason.into()) };
        options.check(definition)?;
        saves::with_options(definition, options, active.update(self)).await
    }

    /// Commits rows and events together.
    ///
    /// Writes the events, runs the in-transaction consumers (whose own saves and events are part of the unit), then
    /// commits, and hands the events to the after-commit consumers without waiting for them. On a nested unit it hands
    /// rows and events to the parent.
    ///
    /// # Errors
    /// [`CommitError::Refused`] and [`CommitError::Failed`]: nothing was committed. [`CommitError::Unknown`]: the
    /// connection broke on the way; [`Events::outcome`] finds out. No after-commit consumer runs in any of these.
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
            let committed = self.commit_level().await;
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

    async fn commit_level(&mut self) -> Result<Option<mpsc::Receiver<()>>, CommitError> {
        if let Err(refused) = self.level.check_writable() {
            self.undo(&refused).await;
            return Err(refused.into());
        }
        match self.level.parent.clone() {
            Some(parent) => self.commit_nested(&parent).await.map(|()| None),
            None => self.commit_root().await,
        }
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
    /// The database's, if even that failed; a parent is poisoned then.
    pub async fn rollback(mut self) -> Result<(), DbErr> {
        self.count_end(UnitEnd::RolledBack);
        self.end_by_rollback().await
    }

    async fn commit_root(&mut self) -> Result<Option<mpsc::Receiver<()>>, CommitError> {
        let span = observe::flush_span();
        let Flushed { event_ids, kept } = match self.flush().instrument(span.clone()).await {
            Ok(flushed) => {
                span.record("events", flushed.event_ids.len());
                flushed
            }
            Err(error) => {
                let refused = Refused::of(&error).cloned();
                let cause = refused
                    .clone()
                    .unwrap_or(Refused::Poisoned { cause: "writing the events failed".into() });
                self.undo(&cause).await;
                return Err(refused.map_or(CommitError::Failed(error), CommitError::Refused));
            }
        };
        let _busy = self.unit.busy().await;
        if let Err(error) = self.end()?.commit().await {
            let error = withhold_at_end(error);
            return Err(if backend::commit_is_unknown(self.unit.backend, &error) {
                UnknownCommit { unit_id: self.unit.id, event_ids, source: error }.into()
            } else {
                CommitError::Failed(error)
            });
        }
        Ok(self.unit.depth.zip(kept).map(|(depth, events)| {
            let (context, team) = (self.unit.context.clone(), self.team_scope());
            let unit = Committed { unit_id: self.unit.id, context, team, depth, events };
            after_commit::dispatch(&self.unit.events, unit)
        }))
    }

    async fn commit_nested(&mut self, parent: &Arc<Level>) -> Result<(), CommitError> {
        if let Err(error) = self.caught_up().await {
            let refused = Refused::of(&error).cloned();
            self.undo(&Refused::Poisoned { cause: "reading what was written failed".into() }).await;
            return Err(refused.map_or(CommitError::Failed(error), CommitError::Refused));
        }
        let _busy = self.unit.busy().await;
        let inner = self.end()?;
        // Released or not: if this future is dropped half way, nobody knows.
        let doubt = parent.doubt("the commit of a nested unit of work was cancelled");
        let committed = inner.commit().await;
        doubt.settle();
        parent.close_nested();
        match committed {
            Ok(()) => {
                parent.take_over(&self.level);
                Ok(())
            }
            Err(error) => {
                parent.poison("the commit of a nested unit of work failed");
                Err(CommitError::Failed(withhold_at_end(error)))
            }
        }
    }

    /// Rolls back for a commit that was refused; the refusal is what the caller hears.
    async fn undo(&mut self, why: &Refused) {
        self.level.poison(&why.to_string());
        if let Err(error) = self.end_by_rollback().await {
            tracing::warn!(unit_id = %self.unit.id, %error, "rolling back a refused unit of work failed");
        }
    }

    async fn end_by_rollback(&mut self) -> Result<(), DbErr> {
        let _busy = self.unit.busy().await;
        let inner = self.end()?;
        let Some(parent) = &self.level.parent else {
            return inner.rollback().await.map_err(withhold_at_end);
        };
        // A grandchild left open makes the savepoints unequal to what the levels say.
        let settled = !self.level.state().nested_open;
        let doubt = parent.doubt("the rollback of a nested unit of work was cancelled");
        let result = inner.rollback().await;
        doubt.settle();
        parent.close_nested();
        if result.is_err() || !settled {
            parent.poison("the rollback of a nested unit of work failed");
        }
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
        self.caught_up().await?;
        self.unit.flushing.store(true, Ordering::Relaxed);
        let spilled = self.level.has_written();
        self.consume_written().await?;
        let mut kept = Vec::new();
        for _ in 0..=limit {
            let busy = self.unit.busy().await;
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

    fn flushed(&self, event_ids: Vec<Uuid>, kept: Vec<Event>, spilled: bool) -> Flushed {
        let kept = match (self.has_after_commit(), event_ids.len()) {
            (false, _) | (true, 0) => None,
            (true, count) if spilled => Some(CommittedEvents::Stored { count }),
            _ => Some(CommittedEvents::Here(kept)),
        };
        Flushed { event_ids, kept }
    }

    fn has_after_commit(&self) -> bool {
        self.unit.depth.is_some() && !self.unit.events.after_commit().is_empty()
    }

    pub(crate) fn events(&self) -> &Events {
        &self.unit.events
    }

    /// How many events wait to be written.
    pub(crate) fn buffered(&self) -> usize {
        self.level.state().buffer.len()
    }

    /// What waits to be written on this level and those around it, outermost first.
    #[cfg(feature = "testing")]
    pub(crate) fn all_buffered(&self) -> Vec<Event> {
        let mut levels = vec![Arc::clone(&self.level)];
        while let Some(parent) = levels.last().and_then(|level| level.parent.clone()) {
            levels.push(parent);
        }
        let buffered = levels.iter().rev().flat_map(|level| level.state().buffer.clone());
        buffered.filter_map(|event| event.to_event().ok()).collect()
    }

    /// To be armed before a consumer is called.
    pub(crate) fn doubt_consumer(&self) -> level::Doubt {
        self.level.doubt("a consumer was cancelled")
    }

    /// What a consumer left to be done. One that swallowed a database error must not let the unit go on.
    pub(crate) async fn settle_consumer(&self) -> Result<(), DbErr> {
        self.caught_up().await?;
        Ok(self.level.check_writable()?)
    }

    pub(crate) fn announce(&self, announcement: Announcement) -> Result<(), Refused> {
        self.level.check_writable()?;
        let mut state = self.level.state();
        // A save that is tried again takes the place of one that a hook refused after this.
        state.announced.retain(|other| announcement.key.is_none() || !other.is_of(&announcement));
        state.announced.push(announcement);
        Ok(())
    }

    /// The team that saves must be of.
    pub(crate) fn team_scope(&self) -> events_core::TeamScope {
        self.level.state().team.clone()
    }

    pub(crate) fn poison(&self, cause: &str) {
        self.level.poison(cause);
    }
}

/// For the reader's peace: only calls that own `self` end a unit of work.
fn ended() -> Refused {
    Refused::Poisoned { cause: "the unit of work has ended".into() }
}

impl Drop for EventTransaction {
    fn drop(&mut self) {
        let Some(inner) = self.inner.take() else { return };
        self.count_end(UnitEnd::RolledBack);
        let idle = self.unit.gate.try_lock();
        let in_doubt = idle.is_none() || self.level.is_poisoned() || self.level.state().nested_open;
        if let Some(parent) = &self.level.parent {
            parent.close_nested();
            if in_doubt {
                parent.poison("a nested unit of work was dropped after an error in it");
            }
        }
        self.level.poison("the unit of work was dropped");
        if idle.is_some() {
            drop(inner); // queues the rollback
        } else {
            lock(&self.unit.dropped_busy).push(inner);
        }
    }
}

/// Records an event by its parts, as [`EventTransaction::emit`] does.
///
/// # Errors
/// As `emit`.
pub async fn emit_event(
    txn: &EventTransaction,
    event_type: EventType,
    object: impl Into<Subject> + Send,
    event_data: impl Into<serde_json::Value> + Send,
) -> Result<(), DbErr> {
    txn.emit(Event::of(event_type).about(object).json(event_data.into())).await
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

/// Refuses a context whose parts cannot be stored.
pub(crate) fn check_context(context: &Context) -> Result<(), Refused> {
    context.check()?;
    value::check_json(&context.to_json()).map_err(|source| Refused::Value {
        object_type: "context".to_owned(),
        field: "context".to_owned(),
        source,
    })
}

/// The future of a hook.
pub(crate) type HookFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = Result<T, DbErr>> + Send + 'a>>;
