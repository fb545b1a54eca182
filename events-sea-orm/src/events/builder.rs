//! What `Events` is built from, and how.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, atomic::AtomicU64},
};

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseConnectionType, DbErr, RuntimeErr, Statement,
    TransactionOptions,
};

use super::{
    BuildError, Events, Inner,
    start::{self, DEADLINE, within},
};
use crate::{
    adoption::Adoption,
    backend::{self, EVENT_LIMIT, isolation::has_row_level_security, watch},
    consumer::{self, Consumer, Delivery, Subscription, after_commit::Queue},
    row_level_security::{self, RowLevelSecurity, TEAM_SETTING},
    transaction::relations::Relations,
};

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
    pub(super) fn new(pool: DatabaseConnection) -> Self {
        Self {
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
    /// deadlock on MariaDB and MySQL) poison the unit as ever; so does a write that was dropped on its way. So does an
    /// `after_save` or `after_delete` of the model's own that fails: SeaORM calls it once the savepoint is closed. That of
    /// [`create_with_event`](crate::ActiveModelEvents::create_with_event) and the like is around the hooks as well, and undoes the save.
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
    /// event refuses the commit, as [`Refused::UnseenChange`](crate::Refused::UnseenChange).
    ///
    /// One statement more at the begin of a unit, two around a nested one, and one at the commit of a unit whose last
    /// statement was not that of its events. PostgreSQL alone, and only while its setting `track_counts` is on.
    ///
    /// Not seen: what a trigger writes into the very row that is saved, which its event holds; deferred triggers, which
    /// run inside COMMIT; a table whose entity was not known when the unit began; what runs inside
    /// [`untracked`](crate::EventTransaction::untracked), and scopes. An upsert that meets another in the very moment may be
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
    pub async fn build(mut self) -> Result<Events, BuildError> {
        let subscriptions = std::mem::take(&mut self.subscriptions);
        let subscriptions = consumer::select(subscriptions, self.with_registered, &self.without)?;
        let is_inside = |subscription: &Subscription| subscription.delivery() == Delivery::InTransaction;
        let (in_transaction, after_commit): (Vec<_>, Vec<_>) = subscriptions.into_iter().partition(is_inside);
        let queue = |subscription| Arc::new(Queue::new(subscription, self.after_commit_queue));
        let after_commit = after_commit.into_iter().map(queue).collect();
        if let Some(team) = &self.single_team {
            events_core::error::check_identifier("team", team)?;
        }
        one_object_type_a_table(crate::tracked::registered())?;
        if matches!(self.pool.inner, DatabaseConnectionType::Disconnected) {
            // Most calls of SeaORM panic on it.
            let never = RuntimeErr::Internal("the pool was never connected".to_owned());
            return Err(BuildError::SelfCheck(DbErr::Conn(never)));
        }
        if self.strict {
            start::counts_are_kept(&self.pool, self.deadline).await?;
        }
        let is_on = self.is_row_level_secure().await?;
        let adoption = match self.adopting {
            true => Some(self.ask("which database it is", Adoption::begin(&self.pool)).await?),
            false => None,
        };
        let team_setting = self.find_team_setting().await?;
        let is_mock = self.pool.is_mock_connection();
        let (mut schema, mut highest, mut event_limit) = (None, AtomicU64::default(), EVENT_LIMIT);
        if !is_mock {
            schema = self.ask("which schema the log is in", find_schema(&self.pool)).await?;
            highest = self.ask("which number is the highest", find_highest(&self.pool)).await?;
            event_limit = self.ask("what the largest packet is", backend::event_limit(&self.pool)).await?;
        }
        let security =
            RowLevelSecurity { team_setting: team_setting.clone(), all_teams_role: self.all_teams_role };
        let events = Events(Arc::new(Inner {
            backend: self.pool.get_database_backend(),
            pool: self.pool,
            single_team: self.single_team,
            in_transaction,
            after_commit,
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
            event_limit,
        }));
        if !is_mock {
            let report = events.verify().await.map_err(BuildError::SelfCheck)?;
            if !self.start_despite_dangers && report.dangers().next().is_some() {
                return Err(BuildError::Danger { report });
            }
            report.log();
        }
        Ok(events)
    }

    /// Asks the database, for as long as a question may take.
    async fn ask<T>(
        &self,
        what: &str,
        asked: impl Future<Output = Result<T, DbErr>>,
    ) -> Result<T, BuildError> {
        within(self.deadline, what, asked).await.map_err(BuildError::SelfCheck)
    }

    /// Whether the policies keep teams apart: as was said, or as it is found.
    async fn is_row_level_secure(&self) -> Result<bool, BuildError> {
        match self.row_level_security {
            Some(true) if !has_row_level_security(self.pool.get_database_backend()) => {
                Err(BuildError::NoRowLevelSecurity)
            }
            Some(on) => Ok(on),
            None if self.pool.is_mock_connection() => Ok(false),
            None => self.ask("whether row-level security is on", row_level_security::is_on(&self.pool)).await,
        }
    }

    /// By which setting the policies know the team: as was said, or as it is found.
    async fn find_team_setting(&self) -> Result<String, BuildError> {
        let found = match &self.team_setting {
            Some(named) => Some(named.clone()),
            None if self.pool.is_mock_connection() => None,
            None => {
                let asked = row_level_security::setting_of_policies(&self.pool);
                self.ask("which setting the policies compare", asked).await?
            }
        };
        Ok(found.unwrap_or_else(|| TEAM_SETTING.to_owned()))
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

/// The schema of the log, where its statements name one.
pub(super) async fn find_schema(pool: &impl ConnectionTrait) -> Result<Option<String>, DbErr> {
    let backend = pool.get_database_backend();
    let Some(sql) = watch::select_schema(backend) else {
        return Ok(watch::only_schema(backend).map(str::to_owned));
    };
    let row = pool.query_one_raw(Statement::from_string(backend, sql)).await?;
    row.map(|row| row.try_get_by_index(0)).transpose()
}

/// The highest number of an event, where numbers show whether another table hides the log. None if the log is missing.
async fn find_highest(pool: &DatabaseConnection) -> Result<AtomicU64, DbErr> {
    let backend = pool.get_database_backend();
    let Some(sql) = watch::select_highest(backend) else { return Ok(AtomicU64::default()) };
    let row = pool.query_one_raw(Statement::from_string(backend, sql)).await.ok().flatten();
    let highest: Option<i64> = row.and_then(|row| row.try_get_by_index(0).ok());
    Ok(AtomicU64::new(highest.and_then(|seq| u64::try_from(seq).ok()).unwrap_or_default()))
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
