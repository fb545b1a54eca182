//! `Events`: the handle an application builds once.

mod builder;
mod start;

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use events_core::{Context, Event, TeamScope};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, EntityTrait,
    PaginatorTrait, QueryFilter, StatementBuilder, TransactionOptions,
};
use uuid::Uuid;

pub(crate) use self::start::within;
pub use self::{builder::EventsBuilder, start::BuildError};
#[cfg(feature = "migration")]
use self::{builder::find_schema, start::DEADLINE};
#[cfg(feature = "migration")]
use crate::row_level_security::{self, TEAM_SETTING};
use crate::{
    adoption::Adoption,
    backend,
    connection::EventConnection,
    consumer::{ConsumerStats, Subscription, after_commit::Queue},
    error::{Outcome, Refused, UnknownCommit},
    row_level_security::RowLevelSecurity,
    scope::{self, ScopeError},
    store,
    transaction::{self, EventTransaction, InFlight, relations::Relations},
};

/// The event log of an application. Built once; cheap to clone.
///
/// # Examples
/// ```no_run
/// # use events_sea_orm::{Context, Events};
/// # async fn example(pool: sea_orm::DatabaseConnection) -> Result<(), Box<dyn std::error::Error>> {
/// let events = Events::builder(pool).build().await?;
/// let db = events.connection(Context::team(7).actor("user:42")); // one per request
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Events(Arc<Inner>);

struct Inner {
    pool: DatabaseConnection,
    single_team: Option<String>,
    /// In the order in which they run.
    in_transaction: Vec<Subscription>,
    after_commit: Vec<Arc<Queue>>,
    consumer_rounds: usize,
    scope_on_pool: bool,
    reading_functions: Vec<String>,
    relations: Relations,
    /// Where the log is, if its statements say.
    schema: Option<String>,
    /// The highest number of an event that came back, where the database tells.
    highest: AtomicU64,
    savepoint_each_save: bool,
    strict: bool,
    /// How long each question of the self-check may take.
    deadline: std::time::Duration,
    options: TransactionOptions,
    /// By which PostgreSQL's policies know the team, whether or not it is set.
    team_setting: String,
    /// Where it is on.
    row_level_security: Option<RowLevelSecurity>,
    adoption: Option<Arc<Adoption>>,
    backend: DbBackend,
    /// How large an event can be.
    event_limit: usize,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let consumers: Vec<_> = self.subscriptions().map(|subscription| &subscription.name).collect();
        f.debug_struct("Events").field("consumers", &consumers).finish_non_exhaustive()
    }
}

impl Events {
    /// Starts building on this pool.
    pub fn builder(pool: DatabaseConnection) -> EventsBuilder {
        EventsBuilder::new(pool)
    }

    /// The context on the pool: the main way in, one per request.
    pub fn connection(&self, context: Context) -> EventConnection {
        EventConnection::new(self.clone(), context)
    }

    /// Begins a unit of work: short for `connection(context).begin()`.
    ///
    /// # Errors
    /// A [`Refused`] for a context without a team or with an identifier that cannot be stored; else the database's.
    pub async fn begin(&self, context: Context) -> Result<EventTransaction, DbErr> {
        EventTransaction::start(self.clone(), context, self.pool(), self.0.options).await
    }

    /// Runs `work` in a unit of its own: commits if it answers `Ok`, rolls back if `Err`.
    ///
    /// # Errors
    /// What `work` answers; what `begin` and `commit` answer, as a [`DbErr`].
    pub async fn transaction<T, E, F>(&self, context: Context, work: F) -> Result<T, E>
    where
        F: AsyncFnOnce(&EventTransaction) -> Result<T, E>,
        E: From<DbErr>,
    {
        transaction::run(self.begin(context).await?, work).await
    }

    /// Runs code that keeps plain [`DatabaseTransaction`](sea_orm::DatabaseTransaction)s and cannot be edited: tracked
    /// saves in it find the context and write each event at once, on the connection of the save.
    ///
    /// # Errors
    /// [`ScopeError::Refused`] for an unusable context, before anything ran. [`ScopeError::Unfinished`] with the
    /// output, if a save's after-hook never came: `update_without_returning`, or a save that failed.
    pub async fn scope<F: Future>(
        &self,
        context: Context,
        work: F,
    ) -> Result<F::Output, ScopeError<F::Output>> {
        scope::run(self.clone(), context, work).await
    }

    /// As [`scope`](Self::scope), for work that answers a `Result`: one `?` instead of two.
    ///
    /// # Errors
    /// What `work` answers, and what `scope` answers, as a [`DbErr`] with a [`Refused`] in it
    /// ([`Refused::Unfinished`] for [`ScopeError::Unfinished`]). Where both failed, `work`'s own error.
    ///
    /// # Examples
    /// ```no_run
    /// # use events_sea_orm::{Context, Events, sea_orm::{DatabaseConnection, DbErr, TransactionTrait}};
    /// # async fn old_code(db: &DatabaseConnection) -> Result<(), DbErr> { db.begin().await?.commit().await }
    /// # async fn example(events: Events, db: DatabaseConnection) -> Result<(), DbErr> {
    /// events.try_scope(Context::team(7), old_code(&db)).await?;
    /// # Ok(()) }
    /// ```
    pub async fn try_scope<T, E: From<DbErr>>(
        &self,
        context: Context,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        scope::try_run(self.clone(), context, work).await
    }

    /// Finds out what became of a commit whose reply never came.
    ///
    /// A look-up alone proves nothing while the broken connection's transaction still runs, so this tries to insert
    /// an event of the same id, which waits for that transaction to end, and takes it back.
    ///
    /// # Errors
    /// The database's, also when the other transaction did not end within ten seconds on
    /// PostgreSQL, or the server's own lock time-out elsewhere: ask again. [`DbErr::RecordNotFound`] if the unit had no events to look for.
    pub async fn outcome(&self, unknown: &UnknownCommit) -> Result<Outcome, DbErr> {
        if unknown.event_ids.is_empty() {
            return Err(DbErr::RecordNotFound("the unit of work had no events to look for".to_owned()));
        }
        self.outcome_of(unknown.unit_id).await
    }

    /// As [`outcome`](Self::outcome), for a commit future that was dropped: by the unit's id, known before the commit.
    ///
    /// A unit that recorded no event answers [`Outcome::RolledBack`], since it left nothing to be found.
    ///
    /// # Errors
    /// As `outcome`.
    pub async fn outcome_of(&self, unit_id: Uuid) -> Result<Outcome, DbErr> {
        if self.has_event(unit_id, self.pool()).await? {
            return Ok(Outcome::Committed);
        }
        let backend = self.pool().get_database_backend();
        let options = backend::begin_options(backend, TransactionOptions::default());
        // A unique key is unique across teams, also where none of them may be seen.
        let enter = self.enter(&TeamScope::Team(PROBE.to_owned()))?;
        let txn = transaction::begin(self.pool(), options, enter).await?;
        let probe = store::insert_built(backend, vec![probe(unit_id).into()]);
        let probe = store::in_schema(StatementBuilder::build(&probe, &backend), self.schema());
        let probe = async move {
            if let Some(sql) = backend::bound_lock_wait(backend) {
                txn.execute_unprepared(sql).await?;
            }
            let probe = txn.execute_raw(probe).await;
            txn.rollback().await?;
            Ok::<_, DbErr>(probe)
        };
        // To its end: it takes a lock, and must not keep it with a connection that nobody waits for.
        match InFlight::new(probe).await? {
            Ok(_) => Ok(Outcome::RolledBack),
            Err(error) if backend::guards::is_there_already(&error) => Ok(Outcome::Committed),
            Err(error) => Err(error),
        }
    }

    async fn has_event(&self, id: Uuid, db: &DatabaseConnection) -> Result<bool, DbErr> {
        let found = store::event::Entity::find().filter(store::event::Column::Id.eq(id));
        Ok(found.count(db).await? > 0)
    }

    /// How many bytes an event can have, or its row is not written.
    pub(crate) fn event_limit(&self) -> usize {
        self.0.event_limit
    }

    pub(crate) fn pool(&self) -> &DatabaseConnection {
        &self.0.pool
    }

    pub(crate) fn backend(&self) -> DbBackend {
        self.0.backend
    }

    pub(crate) fn adoption(&self) -> Option<&Adoption> {
        self.0.adoption.as_deref()
    }

    /// How many writes left no event because of [`EventsBuilder::adopting`].
    pub fn unrecorded_writes(&self) -> u64 {
        self.adoption().map_or(0, Adoption::unrecorded)
    }

    /// What a unit of work inside a migration needs: no consumers, and no pool, since there may be none at hand.
    #[cfg(feature = "migration")]
    pub(crate) async fn for_seeds(
        db: &impl ConnectionTrait,
        team_setting: Option<&str>,
    ) -> Result<Self, DbErr> {
        let is_on = row_level_security::is_on(db).await?;
        let found = match team_setting {
            Some(named) => Some(named.to_owned()),
            None => row_level_security::setting_of_policies(db).await?,
        };
        let team_setting = found.unwrap_or_else(|| TEAM_SETTING.to_owned());
        let security = RowLevelSecurity { team_setting: team_setting.clone(), all_teams_role: None };
        Ok(Self(Arc::new(Inner {
            backend: db.get_database_backend(),
            pool: DatabaseConnection::default(),
            single_team: None,
            in_transaction: Vec::new(),
            after_commit: Vec::new(),
            consumer_rounds: 0,
            scope_on_pool: false,
            reading_functions: Vec::new(),
            relations: Relations::default(),
            schema: find_schema(db).await?,
            highest: AtomicU64::default(),
            savepoint_each_save: false,
            strict: false,
            deadline: DEADLINE,
            options: TransactionOptions::default(),
            team_setting,
            row_level_security: is_on.then_some(security),
            adoption: None,
            event_limit: backend::EVENT_LIMIT,
        })))
    }

    /// How each consumer has fared so far.
    pub fn consumer_stats(&self) -> Vec<ConsumerStats> {
        let inside = self.0.in_transaction.iter().map(|subscription| subscription.stats(0));
        let after = self.0.after_commit.iter().map(|queue| queue.subscription().stats(queue.waiting()));
        inside.chain(after).collect()
    }

    fn subscriptions(&self) -> impl Iterator<Item = &Subscription> {
        self.0.in_transaction.iter().chain(self.0.after_commit.iter().map(|queue| queue.subscription()))
    }

    pub(crate) fn in_transaction(&self) -> &[Subscription] {
        &self.0.in_transaction
    }

    pub(crate) fn after_commit(&self) -> &[Arc<Queue>] {
        &self.0.after_commit
    }

    /// Whether anybody wants to see events.
    pub(crate) fn has_consumers(&self) -> bool {
        !(self.in_transaction().is_empty() && self.after_commit().is_empty())
    }

    pub(crate) fn consumer_rounds(&self) -> usize {
        self.0.consumer_rounds
    }

    /// The schema that the log was found in.
    pub(crate) fn schema(&self) -> Option<&str> {
        self.0.schema.as_deref()
    }

    /// What names of tables stand for that no model has.
    pub(crate) fn relations(&self) -> &Relations {
        &self.0.relations
    }

    /// Whether an event's number is higher than all that came back before it was asked for, as far as is known.
    pub(crate) fn rises(&self, seq: u64) -> bool {
        seq > self.0.highest.fetch_max(seq, Ordering::Relaxed)
    }

    /// Functions that the application says only read.
    pub(crate) fn reading_functions(&self) -> &[String] {
        &self.0.reading_functions
    }

    pub(crate) fn check_deadline(&self) -> std::time::Duration {
        self.0.deadline
    }

    pub(crate) fn is_strict(&self) -> bool {
        self.0.strict
    }

    pub(crate) fn savepoint_each_save(&self) -> bool {
        self.0.savepoint_each_save
    }

    pub(crate) fn scope_on_pool(&self) -> bool {
        self.0.scope_on_pool
    }

    /// A transaction that is no unit of work.
    pub(crate) async fn begin_plain(&self) -> Result<DatabaseTransaction, DbErr> {
        let options = backend::begin_options(self.pool().get_database_backend(), self.options());
        transaction::begin(self.pool(), options, None).await
    }

    pub(crate) fn team_setting(&self) -> &str {
        &self.0.team_setting
    }

    pub(crate) fn row_level_security(&self) -> Option<&RowLevelSecurity> {
        self.0.row_level_security.as_ref()
    }

    /// The team whose rows may be read in this context.
    pub(crate) fn team_to_read(&self, context: &Context) -> TeamScope {
        match (context.team_scope(), &self.0.single_team) {
            (TeamScope::Unset, Some(team)) => TeamScope::Team(team.clone()),
            (scope, _) => scope.clone(),
        }
    }

    pub(crate) fn options(&self) -> TransactionOptions {
        self.0.options
    }

    /// The context with the single team filled in, if it is usable.
    pub(crate) fn check_context(&self, context: Context) -> Result<Context, Refused> {
        let context = match &self.0.single_team {
            Some(team) => context.or_team(team),
            None => context,
        };
        transaction::check_context(&context)?;
        if *context.team_scope() == TeamScope::Unset { Err(Refused::NoTeam) } else { Ok(context) }
    }
}

/// The team of it.
const PROBE: &str = "probe";

/// The event that `outcome_of` inserts and takes back.
fn probe(id: Uuid) -> Event {
    Event {
        id,
        team_id: PROBE.to_owned(),
        event_type: events_core::EventType::Created,
        object: None,
        actor_id: None,
        unit_id: id,
        event_data: serde_json::Value::Null,
        context: serde_json::Value::Null,
        occurred_at: chrono::DateTime::UNIX_EPOCH,
    }
}
