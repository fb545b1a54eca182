//! A thread, as people read it and write into it.

use std::fmt::Display;

use events_core::{ObjectRef, ThreadRef};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, sea_query::Query,
};

use super::{
    message,
    store::{self, Key},
    thread,
};
use crate::{
    error::Refused,
    saves::Target,
    team,
    tracked::{self, Tracked},
    transaction::EventTransaction,
};

/// The most bytes of a user's own message.
pub const MAX_BODY: usize = 64 << 10;

/// The messages about an object, of one team and in one scope or in none.
///
/// Team and scope are part of what a thread is, so they are in every query: the thread of an object in another team or
/// another scope is another thread, and one that nobody has written to has no messages.
///
/// # Examples
/// ```no_run
/// # use events_sea_orm::{EventConnection, ObjectRef, threads::Thread};
/// # async fn example(db: EventConnection) -> Result<(), Box<dyn std::error::Error>> {
/// let thread = Thread::of(7, ObjectRef::new("customer", 148)).scoped("spring");
/// thread.post(&db, "She called, and wants it in blue.").await?;
/// for message in thread.messages().limit(20).all(&db).await? {
///     println!("{}", message.body);
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Thread {
    key: Key,
}

/// Why a user's own message was not posted.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum PostError {
    /// Nothing to be read in it.
    #[error("the message is empty")]
    Empty,
    /// More than [`MAX_BODY`].
    #[error("the message has {bytes} bytes: at most {MAX_BODY} can be posted")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// PostgreSQL cannot store it.
    #[error("the message holds a NUL character, which cannot be stored")]
    Nul,
    /// A user's message has an author.
    #[error("nobody posts it: name an actor in the context")]
    NoAuthor,
    /// The unit of work does not let it pass: another team's thread, or a unit that can only be rolled back.
    #[error(transparent)]
    Refused(Refused),
    /// The database's.
    #[error(transparent)]
    Database(DbErr),
}

impl From<DbErr> for PostError {
    fn from(error: DbErr) -> Self {
        Refused::of(&error).cloned().map_or(Self::Database(error), Self::Refused)
    }
}

impl From<Refused> for PostError {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// For code that speaks [`DbErr`]. A refusal survives, through [`Refused::of`].
impl From<PostError> for DbErr {
    fn from(error: PostError) -> Self {
        match error {
            PostError::Refused(refused) => refused.into(),
            PostError::Database(error) => error,
            other => {
                Self::TryIntoErr { from: "this text", into: "a message", source: std::sync::Arc::new(other) }
            }
        }
    }
}

/// The thread of this row of the `threads` table.
impl From<thread::Model> for Thread {
    fn from(row: thread::Model) -> Self {
        Self { key: Key::of_row(row) }
    }
}

impl Thread {
    /// The thread of this object of this team, in no scope.
    pub fn of(team: impl Display, object: ObjectRef) -> Self {
        Self { key: Key::of(&team.to_string(), &ThreadRef::of(object)) }
    }

    /// The thread in which the events of this row are told, by its model's `#[tracked(thread = ..)]`; none if the model
    /// has no thread, or the row points to nothing.
    pub fn of_row<M: Tracked>(team: impl Display, row: &M) -> Option<Self> {
        let source = M::definition().thread()?;
        let thread =
            if source.is_own() { ThreadRef::of(row.object()) } else { tracked::subject(row).thread? };
        Some(Self { key: Key::of(&team.to_string(), &thread) })
    }

    /// The same object's thread in this scope. The empty text is no scope.
    #[must_use]
    pub fn scoped(mut self, scope: impl Display) -> Self {
        self.key.scope = scope.to_string();
        self
    }

    /// Its messages.
    pub fn messages(&self) -> Messages {
        Messages { key: self.key.clone(), after: None, before: None, limit: 50 }
    }

    /// Posts a user's own message; its author is the actor of the context. On an `EventConnection` in a unit of its own,
    /// in a unit of work as part of it. It is no event.
    ///
    /// The thread is locked until the commit, as for every message: a unit that posts early makes others wait.
    ///
    /// # Errors
    /// [`PostError`], by what is to be done about it.
    pub async fn post<'a>(
        &self,
        db: impl Into<Target<'a>>,
        body: impl Into<String>,
    ) -> Result<message::Model, PostError> {
        let body = body.into();
        check_body(&body)?;
        self.key.check()?;
        let target = db.into();
        let context = match &target {
            Target::Connection(db) => db.context(),
            Target::Transaction(txn) => txn.context(),
        };
        let author = context.actor_id().ok_or(PostError::NoAuthor)?.to_owned();
        let unit = target.open().await?;
        let posted = self.post_in(unit.transaction(), &author, &body).await;
        Ok(unit.close(posted).await?)
    }

    async fn post_in(
        &self,
        txn: &EventTransaction,
        author: &str,
        body: &str,
    ) -> Result<message::Model, DbErr> {
        check_team(txn, &self.key)?;
        let busy = txn.begin_bulk().await?;
        let numbers = store::lock(txn, &busy, &[self.key.clone()].into()).await?;
        let number = numbers.get(&self.key).copied().unwrap_or_default();
        store::insert_own(txn, &busy, number, &self.key, author, body).await
    }
}

/// Refuses the thread of another team than the connection is for.
fn check_team<C: ConnectionTrait>(db: &C, key: &Key) -> Result<(), Refused> {
    team::check_named(db, &key.team_id, || ObjectRef::new(&key.object_type, &key.object_id))
}

fn check_body(body: &str) -> Result<(), PostError> {
    if body.trim().is_empty() {
        Err(PostError::Empty)
    } else if body.len() > MAX_BODY {
        Err(PostError::TooLong { bytes: body.len() })
    } else if body.contains('\0') {
        Err(PostError::Nul)
    } else {
        Ok(())
    }
}

/// A query of a thread's messages, made by [`Thread::messages`].
#[derive(Debug, Clone)]
#[must_use = "nothing is read until `all`"]
pub struct Messages {
    key: Key,
    after: Option<i64>,
    before: Option<i64>,
    limit: u64,
}

impl Messages {
    /// Those that came after this one, the first of them first: to read on.
    pub fn after(mut self, id: i64) -> Self {
        self.after = Some(id);
        self
    }

    /// The last ones before this one: to page backwards.
    pub fn before(mut self, id: i64) -> Self {
        self.before = Some(id);
        self
    }

    /// The last ones there are: where a reader begins.
    pub fn latest(self) -> Self {
        self.before(i64::MAX)
    }

    /// At most so many: 50 unless said, 1,000 at most.
    pub fn limit(mut self, limit: u64) -> Self {
        self.limit = limit.min(1_000);
        self
    }

    /// Reads them. Whichever they are, they come in the order in which they were posted.
    ///
    /// # Errors
    /// [`Refused::OtherTeam`] on an `EventConnection` or `EventTransaction` of another team than the thread's;
    /// [`Refused::Identifier`] for a thread that cannot be stored; else the database's.
    pub async fn all(self, db: &impl ConnectionTrait) -> Result<Vec<message::Model>, DbErr> {
        use message::Column;
        check_team(db, &self.key)?;
        self.key.check()?;
        let thread = Query::select()
            .column(thread::Column::Id)
            .from(thread::Entity)
            .cond_where(self.key.condition())
            .to_owned();
        let mut select = message::Entity::find()
            .filter(Column::ThreadId.in_subquery(thread))
            .filter(Column::TeamId.eq(self.key.team_id.as_str()))
            .limit(self.limit);
        if let Some(id) = self.after {
            select = select.filter(Column::Id.gt(id));
        }
        let Some(id) = self.before else {
            return select.order_by_asc(Column::Id).all(db).await;
        };
        let mut messages = select.filter(Column::Id.lt(id)).order_by_desc(Column::Id).all(db).await?;
        messages.reverse();
        Ok(messages)
    }
}
