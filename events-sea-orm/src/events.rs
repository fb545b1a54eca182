//! `Events`: the handle an application builds once.

mod start;

use std::{
    collections::HashMap,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use events_core::{Context, Event, TeamScope};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseConnection, DatabaseConnectionType, DatabaseTransaction, DbBackend,
    DbErr, EntityTrait, PaginatorTrait, QueryFilter, RuntimeErr, Statement, StatementBuilder,
    TransactionOptions,
};
use uuid::Uuid;

pub use self::start::BuildError;
pub(crate) use self::start::{DEADLINE, within};
use crate::{
    adoption::Adoption,
    backend::{self, isolation::has_row_level_security, watch},
    connection::EventConnection,
    consumer::{self, Consumer, ConsumerStats, Delivery, Subscription, after_commit::Queue},
    error::{Outcome, Refused, UnknownCommit},
    row_level_security::{self, RowLevelSecurity, TEAM_SETTING},
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
    /// How large an event can be, once the database was asked.
    event_limit: std::sync::OnceLock<usize>,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let consumers: Vec<_> = self.subscriptions().map(|subscription| &subscription.name).collect();
        f.debug_struct("Events").field("consumers", &consumers).finish_non_exhaustive()
    }
}

/// What `Events` is built from.
#[derive(Debug)]
#[must_use = "`build` makes the handle"]
pub struct EventsBuilder {
    pool: DatabaseConnection,
    single_team: Option<String>,
    subscriptions: Vec<Subscription>,
    without: Vec<String>,
    with_registered: bool,
    after_commit_queue: usize,
    consumer_rounds: usize,
    scope_on_pool: bool,
    adopting: bool,
    reading_functions: Vec<String>,
    savepoint_each_save: bool,
    strict: bool,
    deadline: std::time::Duration,
    options: TransactionOptions,
    row_level_security: Option<bool>,
    team_setting: Option<String>,
    all_teams_role: Option<String>,
    start_despite_dangers: bool,
}

impl EventsBuilder {
    /// Adds an in-transaction consumer that wants every event: an `async fn(&EventTransaction, &Event)`, or an impl of
    /// [`Consumer`]. Short for [`subscribe`](Self::subscribe).
    pub fn consumer(self, consumer: impl Consumer) -> Self {
        self.subscribe(Subscription::in_transaction(consumer))
    }

    /// Adds a consumer. Those of `#[event_consumer]` are there without it.
    pub fn subscribe(mut self, subscription: Subscription) -> Self {
        self.subscriptions.push(subscription);
        self
    }

    /// Leaves out the consumer of this name, wherever it was registered: for a test, or a process that is not to run it.
    pub fn without_consumer(mut self, name: impl Into<String>) -> Self {
        self.without.push(name.into());
        self
    }

    /// Leaves out all consumers of `#[event_consumer]`.
    pub fn without_registered_consumers(mut self) -> Self {
        self.with_registered = false;
        self
    }

    /// How many units of work may wait for each after-commit consumer: 1,024 unless said. What comes when so many
    /// wait is dropped for that consumer, counted and logged.
    pub fn after_commit_queue(mut self, units: usize) -> Self {
        self.after_commit_queue = units;
        self
    }

    /// How often consumers may add events to one unit of work before it is taken for a loop. 16 unless said.
    pub fn consumer_rounds(mut self, rounds: usize) -> Self {
        self.consumer_rounds = rounds;
        self
    }

    /// For an application without tenants: contexts that name no team are of this one.
    pub fn single_team(mut self, team: impl Into<String>) -> Self {
        self.single_team = Some(team.into());
        self
    }

    /// Names functions of the database's that only read, besides those that it brings: queries with text that calls any other
    /// are refused, since a function may write.
    ///
    /// On PostgreSQL and SQLite a query that calls one of them is sent so that the database refuses a write in it; on
    /// MariaDB and MySQL this list alone keeps tracked rows from changing without events. Name none that changes
    /// a setting, such as the team, or runs text.
    pub fn reading_functions<I>(mut self, names: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.reading_functions.extend(names.into_iter().map(Into::into));
        self
    }

    /// Lets tracked saves inside [`Events::scope`] run on a pool connection as well.
    ///
    /// What is lost: the row and its event are two commits. If the second fails, the row stands without its event, and
    /// the old row was read without a lock. In-transaction consumers run in a third.
    pub fn scope_on_pool(mut self, allowed: bool) -> Self {
        self.scope_on_pool = allowed;
        self
    }

    /// For the days in which an application is made tracked, not beyond: writes that would be refused since they leave no
    /// event pass, each entity is warned about once, and [`Events::unrecorded_writes`] counts them.
    ///
    /// That holds as long as this `Events` lives: for its connections, units of work and streams, and for saves on plain
    /// connections and transactions to the same database. A plain connection does not say whose it is, so each such save asks
    /// the database for its name first; SQLite databases in memory have none, and count as one. The connections of another
    /// `Events`, and other databases, are as strict as ever. A scope is too.
    pub fn adopting(mut self, adopting: bool) -> Self {
        self.adopting = adopting;
        self
    }

    /// Puts each write of a unit of work into a savepoint of its own: a save, a statement that writes, a bulk call. One that
    /// fails is rolled back and answers its error, and the unit goes on, on every database alike: "insert, and look it up if
    /// it is there" then works in one unit. It costs two statements a write; a nested
    /// [`begin`](sea_orm::TransactionTrait::begin) around what may fail costs them there alone.
    ///
    /// Reads that fail, a connection that is lost, and errors with which the database ends the whole transaction (a
    /// deadlock on MariaDB and MySQL) poison the unit as ever; so does a write that was dropped on its way.
    ///
    /// # Examples
    /// ```no_run
    /// # use events_sea_orm::{Context, EventTransaction, Events};
    /// # use sea_orm::{ActiveModelTrait, ActiveModelBehavior, EntityTrait, IntoActiveModel, SqlErr};
    /// # async fn example<A>(pool: sea_orm::DatabaseConnection, active: A) -> Result<(), Box<dyn std::error::Error>>
    /// # where A: ActiveModelTrait + ActiveModelBehavior + Send, <A::Entity as EntityTrait>::Model: IntoActiveModel<A> {
    /// let events = Events::builder(pool).savepoint_each_save().build().await?;
    /// let txn = events.begin(Context::team(7)).await?;
    /// match active.insert(&txn).await {
    ///     Err(error) if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) => {} // look it up
    ///     inserted => drop(inserted?),
    /// }
    /// txn.commit().await?;
    /// # Ok(()) }
    /// ```
    pub fn savepoint_each_save(mut self) -> Self {
        self.savepoint_each_save = true;
        self
    }

    /// Compares what each unit of work has recorded with what PostgreSQL itself has counted for every tracked table, in the
    /// statement that writes the events: what a trigger, a cascade, a function or a write to a partition changed without an
    /// event refuses the commit, as [`Refused::UnseenChange`].
    ///
    /// One statement more at the begin of a unit, two around a nested one, and one at the commit of a unit whose last
    /// statement was not that of its events. PostgreSQL alone, and only while its setting `track_counts` is on.
    ///
    /// Not seen: what a trigger writes into the very row that is saved, which its event tells of; deferred triggers, which
    /// run inside COMMIT; a table whose entity was not known when the unit began; what runs inside
    /// [`untracked`](EventTransaction::untracked), and scopes. An upsert that meets another in the very moment may be
    /// refused without need: try again.
    pub fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// How long each question that `build` and [`Events::verify`] ask the database may take: 30 s unless said. After that
    /// they say which one got no answer, rather than wait with a pooler that has no connection left.
    pub fn check_deadline(mut self, limit: std::time::Duration) -> Self {
        self.deadline = limit;
        self
    }

    /// Isolation level and access mode of units of work that do not say otherwise.
    ///
    /// Without it: `IMMEDIATE` on SQLite, READ COMMITTED on MariaDB and MySQL, the database's own on PostgreSQL.
    pub fn transaction_options(mut self, options: TransactionOptions) -> Self {
        self.options = options;
        self
    }

    /// Whether the database keeps teams apart by row-level security. Without it that is found out: it is on if it is
    /// on for the table of events. Say `true` to have the team set for policies of
    /// your own alone. Only PostgreSQL has it.
    pub fn row_level_security(mut self, on: bool) -> Self {
        self.row_level_security = Some(on);
        self
    }

    /// The setting by which the policies tell the team. Unless it is said, it is the one that the policies of the table of events
    /// compare, and `app.team_id` if they compare none; one that is said and that they do not compare is refused. It is set with
    /// each transaction and ends with it, so that policies which an application already has may compare the same one.
    pub fn team_setting(mut self, name: impl Into<String>) -> Self {
        self.team_setting = Some(name.into());
        self
    }

    /// The role that work for all teams takes under row-level security, for as long as its transaction: one that may
    /// see every team, and of which the role that connects is a member; the self-check looks whether it is so. Without it such work
    /// is refused.
    pub fn all_teams_role(mut self, role: impl Into<String>) -> Self {
        self.all_teams_role = Some(role.into());
        self
    }

    /// Starts even if the self-check finds a danger, and logs it as an error instead: for tools that run as the owner
    /// of the tables. In a service a team may then see or change what is of another.
    pub fn start_despite_dangers(mut self) -> Self {
        self.start_despite_dangers = true;
        self
    }

    /// Makes the handle, after a look at the database: [`Events::verify`] is run, what it finds is logged, and a danger
    /// is refused. A `MockDatabase` is not asked.
    ///
    /// # Errors
    /// [`BuildError`] naming what two parts have in common, the part that cannot be stored, or what the database has not;
    /// [`BuildError::SelfCheck`] if the database does not answer; [`BuildError::Danger`] with what was found.
    pub async fn build(self) -> Result<Events, BuildError> {
        let subscriptions = consumer::select(self.subscriptions, self.with_registered, &self.without)?;
        let is_inside = |subscription: &Subscription| subscription.delivery() == Delivery::InTransaction;
        let (in_transaction, after_commit): (Vec<_>, Vec<_>) = subscriptions.into_iter().partition(is_inside);
        let queue = |subscription| Arc::new(Queue::new(subscription, self.after_commit_queue));
        if let Some(team) = &self.single_team {
            events_core::error::check_identifier("team", team)?;
        }
        one_object_type_a_table(crate::tracked::registered())?;
        if matches!(self.pool.inner, DatabaseConnectionType::Disconnected) {
            // Most calls of SeaORM panic on it.
            let never = RuntimeErr::Internal("the pool was never connected".to_owned());
            return Err(BuildError::SelfCheck(DbErr::Conn(never)));
        }
        let is_mock = self.pool.is_mock_connection();
        if self.strict {
            start::counts_are_kept(&self.pool, self.deadline).await?;
        }
        let is_on = match self.row_level_security {
            Some(true) if !has_row_level_security(self.pool.get_database_backend()) => {
                return Err(BuildError::NoRowLevelSecurity);
            }
            Some(on) => on,
            None if is_mock => false,
            None => {
                let asked = row_level_security::is_on(&self.pool);
                let asked = within(self.deadline, "whether row-level security is on", asked).await;
                asked.map_err(BuildError::SelfCheck)?
            }
        };
        let adoption = match self.adopting {
            true => {
                let begun = within(self.deadline, "which database it is", Adoption::begin(&self.pool)).await;
                Some(begun.map_err(BuildError::SelfCheck)?)
            }
            false => None,
        };
        let found = match &self.team_setting {
            None if !is_mock => {
                let asked = row_level_security::setting_of_policies(&self.pool);
                let asked = within(self.deadline, "which setting the policies compare", asked).await;
                asked.map_err(BuildError::SelfCheck)?
            }
            _ => None,
        };
        let team_setting = self.team_setting.or(found).unwrap_or_else(|| TEAM_SETTING.to_owned());
        let schema = if is_mock {
            None
        } else {
            let asked = within(self.deadline, "which schema the log is in", find_schema(&self.pool)).await;
            asked.map_err(BuildError::SelfCheck)?
        };
        let highest = if is_mock {
            AtomicU64::default()
        } else {
            let asked = async { Ok(find_highest(&self.pool).await) };
            within(self.deadline, "which number is the highest", asked)
                .await
                .map_err(BuildError::SelfCheck)?
        };
        let security =
            RowLevelSecurity { team_setting: team_setting.clone(), all_teams_role: self.all_teams_role };
        let events = Events(Arc::new(Inner {
            backend: self.pool.get_database_backend(),
            pool: self.pool,
            single_team: self.single_team,
            in_transaction,
            after_commit: after_commit.into_iter().map(queue).collect(),
            consumer_rounds: self.consumer_rounds,
            scope_on_pool: self.scope_on_pool,
            reading_functions: self.reading_functions,
            relations: Relations::default(),
            schema,
            highest,
            savepoint_each_save: self.savepoint_each_save,
            strict: self.strict,
            deadline: self.deadline,
            options: self.options,
            team_setting,
            row_level_security: is_on.then_some(security),
            adoption,
            event_limit: std::sync::OnceLock::new(),
        }));
        if !is_mock {
            let asked = backend::event_limit(events.pool());
            let asked = within(events.check_deadline(), "what the largest packet is", asked).await;
            let limit = asked.map_err(BuildError::SelfCheck)?;
            events.0.event_limit.get_or_init(|| limit);
            let report = events.verify().await.map_err(BuildError::SelfCheck)?;
            if !self.start_despite_dangers && report.dangers().next().is_some() {
                return Err(BuildError::Danger { report });
            }
            report.log();
        }
        Ok(events)
    }
}

/// Each table is recorded as one object type, and each object type is of one table.
fn one_object_type_a_table(
    definitions: impl Iterator<Item = &'static crate::Definition>,
) -> Result<(), BuildError> {
    let (mut tables, mut object_types) = (HashMap::new(), HashMap::new());
    for definition in definitions {
        let (object_type, table) = (definition.object_type(), definition.full_table());
        let first = object_types.entry(object_type).or_insert_with(|| table.clone());
        if *first != table {
            return Err(BuildError::DuplicateObjectType { object_type, first: first.clone(), second: table });
        }
        let first = *tables.entry(table.clone()).or_insert(object_type);
        if first != object_type {
            return Err(BuildError::DuplicateTable { table, first, second: object_type });
        }
    }
    Ok(())
}

impl Events {
    /// Starts building on this pool.
    pub fn builder(pool: DatabaseConnection) -> EventsBuilder {
        EventsBuilder {
            pool,
            single_team: None,
            subscriptions: Vec::new(),
            without: Vec::new(),
            with_registered: true,
            after_commit_queue: 1_024,
            consumer_rounds: 16,
            scope_on_pool: false,
            adopting: false,
            reading_functions: Vec::new(),
            savepoint_each_save: false,
            strict: false,
            deadline: DEADLINE,
            options: TransactionOptions::default(),
            row_level_security: None,
            team_setting: None,
            all_teams_role: None,
            start_despite_dangers: false,
        }
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
        self.0.event_limit.get().copied().unwrap_or(backend::EVENT_LIMIT)
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
            event_limit: std::sync::OnceLock::new(),
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

/// The schema of the log, where its statements name one.
async fn find_schema(pool: &impl ConnectionTrait) -> Result<Option<String>, DbErr> {
    let backend = pool.get_database_backend();
    let Some(sql) = watch::select_schema(backend) else {
        return Ok(watch::only_schema(backend).map(str::to_owned));
    };
    let row = pool.query_one_raw(Statement::from_string(backend, sql)).await?;
    row.map(|row| row.try_get_by_index(0)).transpose()
}

/// The highest number of an event, where the numbers tell of a table that stands before the log. Without the log there is none.
async fn find_highest(pool: &DatabaseConnection) -> AtomicU64 {
    let backend = pool.get_database_backend();
    let Some(sql) = watch::select_highest(backend) else { return AtomicU64::default() };
    let row = pool.query_one_raw(Statement::from_string(backend, sql)).await.ok().flatten();
    let highest: Option<i64> = row.and_then(|row| row.try_get_by_index(0).ok());
    AtomicU64::new(highest.and_then(|seq| u64::try_from(seq).ok()).unwrap_or_default())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Definition, TeamSource};

    mod item {
        use sea_orm::entity::prelude::*;

        #[derive(Clone, Debug, PartialEq, DeriveEntityModel, crate::Tracked)]
        #[sea_orm(table_name = "items")]
        #[tracked(object_type = "item", team = context, crate = crate)]
        pub(crate) struct Model {
            #[sea_orm(primary_key)]
            pub(crate) id: i32,
            #[track]
            pub(crate) name: String,
        }

        #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
        pub(crate) enum Relation {}
    }

    fn recorded_as(object_type: &'static str) -> &'static Definition {
        Box::leak(Box::new(Definition::new::<item::Entity>(object_type, TeamSource::Context, Vec::new())))
    }

    #[test]
    fn a_table_is_recorded_as_one_object_type() {
        let twice = [recorded_as("item"), recorded_as("item")];
        assert!(one_object_type_a_table(twice.into_iter()).is_ok());
        let two = one_object_type_a_table([recorded_as("item"), recorded_as("article")].into_iter());
        let error = two.unwrap_err().to_string();
        assert!(["`items`", "`item`", "`article`"].iter().all(|name| error.contains(name)), "{error}");
    }
}
