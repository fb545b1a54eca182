//! A team's feed and an object's timeline: events, read for the team of the context.

use std::fmt::Display;

use chrono::{DateTime, Utc};
use events_core::{EventType, Subject, TeamScope, error::check_identifier};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, Order, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect, QueryTrait, Select,
    sea_query::{Expr, ExprTrait, Func},
};

use crate::{
    backend,
    connection::EventConnection,
    error::Refused,
    saves::Target,
    store::event::{Column, Entity, Model},
    store::stored_object_id,
    transaction::EventTransaction,
};

/// The most events that one call answers.
const MAX_LIMIT: u64 = 10_000;

/// A query of events, made by [`EventConnection::feed`] and [`EventConnection::timeline`], or by the calls of the same names
/// on an [`EventTransaction`].
///
/// The team of the context is part of every query, on every database: the events of another team are as good as none. A
/// context that spans all teams reads all.
///
/// The newest event comes first unless [`oldest_first`](Self::oldest_first) is said. Page by `seq`: the last one that you have
/// is where the next page begins, with [`before`](Self::before) or, oldest first, [`after`](Self::after). Numbers are drawn
/// before the commit, so **an event can appear below one that was read already**: fine for people who page through what has
/// happened, not for a program that must miss none. For that there are consumers: one in the transaction of the change
/// ([`Subscription::in_transaction`](crate::Subscription::in_transaction)) is given every event, and what it writes commits with
/// it.
///
/// A team's events, and those of an object of a team, are found by an index; within them types, actors and times are looked for
/// one by one, from the end that comes first; what an actor did is found by an index after the step `migration::actor_index`. Without a team the timeline of an `ObjectRef` looks through the whole log.
///
/// # Errors
/// Of all that reads: [`Refused::NoTeam`] where the context names none, [`Refused::OtherTeam`] for the timeline of a model of
/// another team, [`Refused::Identifier`] for an actor or object that cannot be stored; else the database's.
///
/// # Examples
/// ```
/// use events_sea_orm::{Context, Event, Events, ObjectRef, migration};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut options = sea_orm::ConnectOptions::new("sqlite::memory:");
/// # options.max_connections(1);
/// # let pool = sea_orm::Database::connect(options).await?;
/// # migration::up(&pool).await?;
/// let events = Events::builder(pool).build().await?;
/// let campaign = ObjectRef::new("campaign", 12);
/// let txn = events.begin(Context::team(7).actor("user:42")).await?;
/// txn.emit(Event::custom("launch_approved").about(campaign.clone())).await?;
/// txn.emit(Event::custom("month_closed")).await?;
/// txn.commit().await?;
///
/// let db = events.connection(Context::team(7));
/// let page = db.feed().actor("user:42").limit(1).all().await?;
/// assert_eq!(page[0].event_type, "month_closed");
/// let next = db.feed().before(page[0].seq).all().await?;
/// assert_eq!(next[0].event_type, "launch_approved");
/// assert_eq!(db.timeline(campaign.clone()).count().await?, 1);
///
/// let other = events.connection(Context::team(8));
/// assert_eq!(other.timeline(campaign).all().await?, []);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is read until `all`, `one` or `count`"]
pub struct Feed<'a> {
    db: Target<'a>,
    about: Option<Subject>,
    event_types: Vec<EventType>,
    object_types: Vec<String>,
    actor: Option<String>,
    recorded_since: Option<DateTime<Utc>>,
    recorded_before: Option<DateTime<Utc>>,
    after: Option<i64>,
    before: Option<i64>,
    current_life: bool,
    order: Order,
    limit: u64,
}

impl EventConnection {
    /// What has happened in the team of the context.
    pub fn feed(&self) -> Feed<'_> {
        Feed::new(self, None)
    }

    /// What has happened to an object: `&model` of a tracked entity, or an [`ObjectRef`](crate::ObjectRef).
    ///
    /// Where the context spans all teams, a model's own team is read, and an `ObjectRef` of any.
    pub fn timeline(&self, object: impl Into<Subject>) -> Feed<'_> {
        Feed::new(self, Some(object.into()))
    }
}

impl EventTransaction {
    /// What has happened in the team of this unit of work. Its own events are there once they are written, which is at
    /// commit, before consumers run.
    pub fn feed(&self) -> Feed<'_> {
        Feed::new(self, None)
    }

    /// What has happened to an object, as [`EventConnection::timeline`]; of this unit's own events as
    /// [`feed`](Self::feed).
    pub fn timeline(&self, object: impl Into<Subject>) -> Feed<'_> {
        Feed::new(self, Some(object.into()))
    }
}

impl<'a> Feed<'a> {
    fn new(db: impl Into<Target<'a>>, about: Option<Subject>) -> Self {
        Self {
            db: db.into(),
            about,
            event_types: Vec::new(),
            object_types: Vec::new(),
            actor: None,
            recorded_since: None,
            recorded_before: None,
            after: None,
            before: None,
            current_life: false,
            order: Order::Desc,
            limit: 100,
        }
    }

    /// Events of this type, beside those that were named before.
    pub fn event_type(mut self, event_type: EventType) -> Self {
        self.event_types.push(event_type);
        self
    }

    /// Events about objects of this type, beside those that were named before.
    pub fn object_type(mut self, object_type: impl Into<String>) -> Self {
        self.object_types.push(object_type.into());
        self
    }

    /// What this actor did.
    pub fn actor(mut self, actor: impl Display) -> Self {
        self.actor = Some(actor.to_string());
        self
    }

    /// What was recorded at this time or later, by the database's clock.
    ///
    /// **Not a cursor for a program**: an event is recorded before its transaction commits, so one can appear later with a time that
    /// was passed already. [`Feed`] says what misses none.
    pub fn recorded_since(mut self, at: DateTime<Utc>) -> Self {
        self.recorded_since = Some(at);
        self
    }

    /// What was recorded earlier than this.
    pub fn recorded_before(mut self, at: DateTime<Utc>) -> Self {
        self.recorded_before = Some(at);
        self
    }

    /// Those with a higher `seq` than this, as the next page of what is there.
    ///
    /// **Not a cursor for a program**: numbers are drawn before the commit, so an event can appear later below a number that was
    /// passed already. [`Feed`] says what misses none.
    pub fn after(mut self, seq: i64) -> Self {
        self.after = Some(seq);
        self
    }

    /// Those with a lower `seq` than this.
    pub fn before(mut self, seq: i64) -> Self {
        self.before = Some(seq);
        self
    }

    /// Of a timeline, what has happened since the object was last created. A key that was deleted may be given to a new row, as
    /// SQLite does with the highest one, and the timeline of the key tells of both.
    pub fn current_life(mut self) -> Self {
        self.current_life = true;
        self
    }

    /// The oldest first, instead of the newest.
    pub fn oldest_first(mut self) -> Self {
        self.order = Order::Asc;
        self
    }

    /// At most so many: 100 unless said, 10,000 at most.
    pub fn limit(mut self, limit: u64) -> Self {
        self.limit = Ord::min(limit, MAX_LIMIT);
        self
    }

    /// Reads them.
    ///
    /// # Errors
    /// See [`Feed`].
    pub async fn all(self) -> Result<Vec<Model>, DbErr> {
        let find = self.find()?.order_by(Column::Seq, self.order).limit(self.limit);
        match self.db {
            Target::Connection(db) => find.all(db).await,
            Target::Transaction(txn) => find.all(txn).await,
        }
    }

    /// Reads the first of them.
    ///
    /// # Errors
    /// See [`Feed`].
    pub async fn one(self) -> Result<Option<Model>, DbErr> {
        Ok(self.limit(1).all().await?.pop())
    }

    /// How many there are, whatever the limit. The database counts them one by one.
    ///
    /// # Errors
    /// See [`Feed`].
    pub async fn count(self) -> Result<u64, DbErr> {
        let find = self.find()?;
        match self.db {
            Target::Connection(db) => find.count(db).await,
            Target::Transaction(txn) => find.count(txn).await,
        }
    }

    /// The query, without order and limit.
    fn find(&self) -> Result<Select<Entity>, Refused> {
        let mut find = Entity::find();
        if let Some(team) = self.team()? {
            find = find.filter(Column::TeamId.eq(team));
        }
        if let Some(Subject { object, .. }) = &self.about {
            object.check()?;
            find = find.filter(Column::ObjectType.eq(&*object.object_type));
            find = find.filter(Column::ObjectId.eq(&*stored_object_id(&object.object_id)));
            if self.current_life {
                let created = find.clone().filter(Column::EventType.eq(EventType::Created.as_str()));
                let mut began = created.into_query();
                began.clear_selects().expr(Expr::col(Column::Seq).max());
                let began = Expr::SubQuery(None, Box::new(began.into()));
                find =
                    find.filter(Expr::col((Entity, Column::Seq)).gte(Func::coalesce([began, Expr::val(0)])));
            }
        }
        if !self.object_types.is_empty() {
            self.object_types
                .iter()
                .try_for_each(|object_type| check_identifier("object type", object_type))?;
            find = find.filter(Column::ObjectType.is_in(self.object_types.iter().map(String::as_str)));
        }
        if !self.event_types.is_empty() {
            find = find.filter(Column::EventType.is_in(self.event_types.iter().map(EventType::as_str)));
        }
        if let Some(actor) = &self.actor {
            check_identifier("actor", actor)?;
            find = find.filter(Column::ActorId.eq(actor.as_str()));
        }
        let time = |at| backend::time(self.backend(), at);
        let conditions = [
            self.recorded_since.map(|at| Column::RecordedAt.gte(time(at))),
            self.recorded_before.map(|at| Column::RecordedAt.lt(time(at))),
            self.after.map(|seq| Column::Seq.gt(seq)),
            self.before.map(|seq| Column::Seq.lt(seq)),
        ];
        Ok(conditions.into_iter().flatten().fold(find, Select::filter))
    }

    fn backend(&self) -> sea_orm::DbBackend {
        match self.db {
            Target::Connection(db) => db.get_database_backend(),
            Target::Transaction(txn) => txn.backend(),
        }
    }

    /// Whose events; none for those of all teams. It stands in every query, also where the database itself keeps teams
    /// apart: without it the planner does not find the index.
    fn team(&self) -> Result<Option<String>, Refused> {
        let scope = match self.db {
            Target::Connection(db) => db.team_scope()?,
            Target::Transaction(txn) => txn.team_scope(),
        };
        let own = self.about.as_ref().and_then(|subject| Some((&subject.object, subject.team.as_ref()?)));
        match (scope, own) {
            (TeamScope::Team(team), Some((object, own))) if *own != team => {
                Err(Refused::OtherTeam { object: object.clone() })
            }
            (TeamScope::Team(team), _) => Ok(Some(team)),
            (TeamScope::All, own) => Ok(own.map(|(_, team)| team.clone())),
            _ => Err(Refused::NoTeam),
        }
    }
}
