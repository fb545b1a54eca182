//! `EventTransaction`: the unit of work.

mod bulk;
mod callbacks;
mod connection;
mod end;
mod guard;
mod in_flight;
mod level;
mod links;
mod on_conflict;
pub(crate) mod relations;
mod save;
mod sql;
mod statement;
#[cfg(feature = "stream")]
mod stream;
mod strict;
mod unread;
mod untracked;
mod watched;
mod write;

use std::{
    future::Future,
    sync::{Arc, atomic::AtomicBool},
};

use events_core::{Context, Event, EventType, NewEvent, Subject};
use futures_util::lock::{Mutex as Gate, OwnedMutexGuard};
use sea_orm::{
    ActiveModelBehavior, ActiveModelTrait, ConnectionTrait, DatabaseConnection, DatabaseTransaction,
    DbBackend, DbErr, EntityTrait, IdenStatic, IntoActiveModel, TransactionOptions, Value,
};
use uuid::Uuid;

use self::level::Level;
#[cfg(feature = "stream")]
pub use self::stream::EventStream;
#[cfg(feature = "stream")]
pub(crate) use self::stream::{HandedOver, send_rows};
pub(crate) use self::{
    callbacks::run_callback,
    connection::{all, executed, one},
    end::run,
    guard::{check_on_pool, check_tables, check_values},
    in_flight::{InFlight, begin, commit},
    level::{Announcement, Caller},
    sql::Table,
    statement::{Inspected, Kind, inspect, inspect_text},
    watched::{Watch, send, watches},
    write::{Reply, Verb},
};
use crate::{
    backend,
    consumer::after_commit,
    error::Refused,
    events::Events,
    observe,
    record::{self, SaveOptions},
    saves,
    tracked::Tracked,
    value,
};

/// A unit of work: a database transaction that knows for whom it is and records an event for every tracked save.
///
/// It goes wherever SeaORM takes a connection. Rows and events commit together or not at all. Dropping it rolls back.
///
/// A database error, a write that was dropped half way, or a failing consumer *poisons* it: it sends nothing more and
/// `commit` refuses. What may fail goes into a nested [`begin`](sea_orm::TransactionTrait::begin), whose rollback leaves the
/// parent healthy; an isolation level for it is refused, since that is the whole transaction's.
///
/// A stream on it has its connection until it has been read to its end or is dropped: another statement that the code awaits
/// while it holds the stream open, such as a save of each row, waits for ever. Collect the rows first.
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
    /// The connection, where this is the savepoint of one save and has it to its end.
    held: Option<Busy>,
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
    /// Whether the transaction turned out to be another than the one that was begun.
    ended: AtomicBool,
    /// Where the database's own counts are compared.
    strict: Option<strict::Strict>,
    /// Transactions dropped while the connection was in use: SeaORM panics on that, so they wait here.
    dropped_busy: std::sync::Mutex<Vec<Arc<DatabaseTransaction>>>,
}

/// The connection in use: held from the first statement of a step to the last answer, whoever reads that.
pub(crate) type Busy = Arc<OwnedMutexGuard<()>>;

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
        let inner = begin(pool, options, enter).await?;
        let unit = Self::over(inner, events, context, team, Some(after_commit::depth()));
        if unit.unit.strict.is_some() {
            let busy = unit.busy().await;
            unit.before_sending(&busy).await?;
        }
        Ok(unit)
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
        // In a scope nobody here sees what else is written.
        let is_strict = depth.is_some() && events.is_strict();
        Self {
            inner: Some(Arc::new(inner)),
            level: Arc::new(Level::root(team)),
            held: None,
            unit: Arc::new(Unit {
                id,
                span: observe::unit_span(id),
                events,
                context,
                backend,
                gate: Arc::default(),
                depth,
                flushing: AtomicBool::new(false),
                ended: AtomicBool::new(false),
                strict: is_strict.then(strict::Strict::new),
                dropped_busy: std::sync::Mutex::default(),
            }),
        }
    }

    /// The connection, once nothing else is on its way.
    async fn busy(&self) -> Busy {
        match &self.held {
            Some(busy) => Arc::clone(busy),
            None => Arc::new(Arc::clone(&self.unit.gate).lock_owned().await),
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
        let limit = self.unit.events.event_limit();
        Ok(record::emitted(event, &self.team_scope(), &self.unit.context, self.unit.id, limit)?)
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

    /// What the caller of a bulk verb is answered: see [`Level::answered`].
    pub(crate) fn answered<T>(&self, answer: Result<T, DbErr>) -> Result<T, DbErr> {
        self.level.answered(answer)
    }

    pub(crate) fn poison(&self, cause: &str) {
        self.level.poison(cause);
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
