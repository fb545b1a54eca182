//! What goes wrong, by what the caller can do about it.
//!
//! SeaORM's hooks and generic services speak [`DbErr`]. A refusal of this library travels inside one and is had back
//! with [`Refused::of`], so that a web handler can answer 403, 409 or 500.

use std::{fmt, sync::Arc};

use events_core::{IdentifierError, ObjectRef, error::write_message};
use sea_orm::DbErr;
use uuid::Uuid;

use crate::{consumer::ConsumerFailure, value::ValueError};

/// A write, commit or event that this library did not let through.
///
/// Before anything was sent to the database the unit of work stays healthy; [`Refused::is_final`] tells the others.
///
/// `Debug` writes the message, as with every error of this library: what to do stands in it, and `unwrap` prints it.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// A tracked model was saved where no context can be found.
    #[error(
        "`{object_type}` is tracked: save it through `events.connection(..)` or inside `events.scope(..)`; a task made by `tokio::spawn` needs the `Context` handed to it"
    )]
    NoContext {
        /// The model's object type.
        object_type: &'static str,
    },
    /// A plain save on an [`EventConnection`](crate::EventConnection), which has no transaction to put the event into.
    #[error(
        "`{object_type}` is tracked: on an `EventConnection` call `.{call}(&db)`{}, or `db.begin()` a unit of work first",
        for_save(.call)
    )]
    NeedsUnit {
        /// The model's object type.
        object_type: &'static str,
        /// The call that does it in one.
        call: &'static str,
    },
    /// Inside a scope, a connection that is no transaction.
    #[error(
        "`{object_type}` is tracked: inside `events.scope(..)` save it on a transaction, not on `{connection}`, or the row and its event would commit apart"
    )]
    NotATransaction {
        /// The model's object type.
        object_type: &'static str,
        /// The type that was used.
        connection: &'static str,
    },
    /// An after-hook whose before-hook did not run, in this scope or at all.
    #[error(
        "`{object_type}` was saved without its before-hook: the old row is unknown, so no event can be written"
    )]
    NoBeforeHook {
        /// The model's object type.
        object_type: &'static str,
    },
    /// What [`Events::try_scope`](crate::Events::try_scope) answers where
    /// [`ScopeError::Unfinished`](crate::ScopeError::Unfinished) is the answer of a scope.
    #[error("{}", crate::scope::Unfinished(.objects, .cause))]
    Unfinished {
        /// The objects that were saved.
        objects: Vec<String>,
        /// Why the first of their events could not be written, if that was tried.
        #[source]
        cause: Option<DbErr>,
    },
    /// The context names no team.
    #[error(
        "no team: make the context with `Context::team(..)`, or build with `.single_team(..)` if the application has no tenants"
    )]
    NoTeam,
    /// Under row-level security, work for all teams takes a role that may see them.
    #[error(
        "row-level security is on: work for all teams needs a role that may see them, named by `.all_teams_role(\"..\")` when `Events` is built"
    )]
    NoAllTeamsRole,
    /// Under `all_teams` or `new_team`, nothing says which team an event belongs to.
    #[error("the team of {what} cannot be told: {hint}")]
    UnknownTeam {
        /// What was saved or emitted.
        what: String,
        /// What to do.
        hint: &'static str,
    },
    /// The row belongs to another team than the context.
    ///
    /// Answered where the caller has named the other team itself: in the row that it inserts, in the subject of an event, in a
    /// thread or an inbox. A save of a row that the database holds as another team's answers word for word what it
    /// answers of a row that is not there, such as [`DbErr::RecordNotUpdated`], and this stands in the log; only a delete inside
    /// a scope, which cannot be answered so, is refused with it.
    #[error("{} is not of the context's team", Shown(.object))]
    OtherTeam {
        /// The object; its team is not told.
        object: ObjectRef,
    },
    /// An upsert that met a row which is not the context's: its unique key is taken. Neither the row nor its team is named,
    /// since any INSERT would say no more.
    #[error("a row of this unique key is there already and cannot be updated: use another key")]
    KeyTaken,
    /// A save that would move a row to another team.
    #[error("the team of {} cannot be changed: delete it and create it anew", Shown(.object))]
    TeamChanged {
        /// The object.
        object: ObjectRef,
    },
    /// A state went where the model does not let it, by `#[track(state, transitions(..), enforce)]`.
    ///
    /// Found by comparing the row before and after the save, so the row is written by then: the unit of work can only
    /// be rolled back. A save that may fail on it goes into a nested unit of its own. In a scope, where nothing can be
    /// poisoned, it is found before the save is sent, by the values that the caller set.
    #[error(transparent)]
    Transition(Box<UndeclaredTransition>),
    /// A row without a team.
    #[error("`{object_type}` has no team: column `{column}` is NULL or not set")]
    NullTeam {
        /// The model's object type.
        object_type: &'static str,
        /// Its team column.
        column: &'static str,
    },
    /// A team, object, actor or event name that cannot be stored.
    #[error(transparent)]
    Identifier(#[from] IdentifierError),
    /// A value that cannot be recorded.
    #[error("field `{field}` of `{object_type}` cannot be recorded: {source}")]
    Value {
        /// What was saved or emitted.
        object_type: String,
        /// The recorded field.
        field: String,
        /// Why.
        source: ValueError,
    },
    /// `track_fields` or `track_state_transition` named a field that is not tracked, or no state.
    #[error("`{field}` is no {kind} of `{object_type}`: it has {expected}")]
    UnknownField {
        /// The model's object type.
        object_type: &'static str,
        /// The name given.
        field: String,
        /// `tracked field` or `state field`.
        kind: &'static str,
        /// The names there are.
        expected: String,
    },
    /// An earlier error or a cancelled write left the unit of work in doubt: only a rollback is possible.
    #[error("the unit of work can only be rolled back: {cause}{}", FirstError(.source.as_deref()))]
    Poisoned {
        /// What happened first.
        cause: Arc<str>,
        /// The error that it came by, as the caller was answered; without the database's words where nobody was.
        source: Option<Arc<DbErr>>,
    },
    /// A statement ended the transaction of the unit of work, or the database did: what was written before that may be
    /// committed without its events, and a rollback does not undo it.
    #[error(
        "the transaction of the unit of work was ended by a statement in it: what was written before that may stay, without its events; take what commits out of the unit"
    )]
    TransactionEnded,
    /// A strict unit in which the database counted other rows of a tracked table than the unit recorded.
    #[error(
        "rows of `{table}` were changed without an event ({} inserted, {} updated, {} deleted more than were recorded): a trigger, cascade, function or partition did it, so write them by tracked saves, or inside `.untracked(\"reason\", ..)`",
        .unseen[0], .unseen[1], .unseen[2]
    )]
    UnseenChange {
        /// The table.
        table: String,
        /// Inserted, updated and deleted rows that were counted and not recorded.
        unseen: [i64; 3],
    },
    /// A nested unit of work is open.
    #[error("a nested unit of work is open: commit it or roll it back first")]
    NestedOpen,
    /// An isolation level for a nested unit of work. It is the whole transaction's, and set before its first statement.
    #[error(
        "a nested unit of work has the isolation level of the unit around it: name it where that begins, by `begin_with_config(..)` on an `EventConnection`"
    )]
    NestedIsolation,
    /// Changing the schema inside a unit of work.
    #[error(
        "a unit of work does not change the schema or control transactions: MariaDB would commit it silently; do it outside"
    )]
    Schema,
    /// A write to a table of this library.
    #[error("table `{table}` is written by this library alone: use {}", crate::store::own_calls(.table))]
    OwnTable {
        /// The table.
        table: String,
    },
    /// A write to a tracked table that no save announced, so that its rows would change without events.
    #[error(
        "{} on the tracked table `{table}` would leave no events: use {}, or `.untracked(\"reason\", ..)`", Calls(.calls), Calls(.verbs)
    )]
    Unannounced {
        /// The table.
        table: &'static str,
        /// The calls of SeaORM that send such a statement.
        calls: &'static [&'static str],
        /// For each the call that answers the same and leaves events.
        verbs: &'static [&'static str],
    },
    /// A bulk update of a column that says which object a row is, or whose.
    #[error(
        "column `{column}` of `{object_type}` says which object a row is, or whose, and cannot be set by an update"
    )]
    FixedColumn {
        /// The model's object type.
        object_type: &'static str,
        /// The column.
        column: &'static str,
    },
    /// An upsert that does not name the columns by which a row is found to be there.
    #[error(
        "an upsert of `{object_type}` needs columns, set in every row, by which a row is found to be there: `OnConflict::columns([..])`"
    )]
    ConflictColumns {
        /// The model's object type.
        object_type: &'static str,
    },
    /// An upsert whose `OnConflict` is for a unique index of some rows alone, by `target_and_where` or the like.
    #[error(
        "an `on_conflict` of `{object_type}` has a condition (`target_and_where`), and which rows are in a unique index of some rows alone only the database knows: insert without `on_conflict`, in a nested `begin()`, and update the row that is there where `DbErr::sql_err()` is a `UniqueConstraintViolation`"
    )]
    ConflictCondition {
        /// The model's object type.
        object_type: &'static str,
    },
    /// Two rows of one upsert that would meet each other.
    #[error("two rows of one upsert of `{object_type}` have the same conflict columns: leave one")]
    RepeatedRow {
        /// The model's object type.
        object_type: &'static str,
    },
    /// SQL text that writes.
    #[error(
        "raw SQL that writes could change tracked rows without events: write it with SeaORM's builders, or inside `.untracked(\"reason\", ..)`, which leaves an event"
    )]
    RawSql,
    /// SQL of which it is not known what it does. What may pass is listed: one query that calls known functions alone, and a few statements
    /// that ask; inside `untracked` also one INSERT, UPDATE, DELETE, REPLACE or MERGE.
    #[error(
        "it is not known what this SQL does: {why}. Ask with SeaORM's builders or plain SQL, write with a tracked verb or inside `.untracked(\"reason\", ..)`, bind values instead of quoting them, and name functions of your own that only read by `.reading_functions([..])` when `Events` is built"
    )]
    UnknownSql {
        /// What is not known.
        why: String,
    },
    /// A statement wrote what its text does not show, through a function, an operator or a view.
    #[error("{what}: the unit of work can only be rolled back")]
    HiddenWrite {
        /// What was found.
        what: &'static str,
    },
    /// The row that a save brought back is not the one that was announced.
    #[error("a save of `{object_type}` brought back another row than the one it named")]
    UnexpectedRow {
        /// The model's object type.
        object_type: &'static str,
    },
    /// A date or time that the database does not hold, or that no event may have. Nothing was sent.
    #[error("{what} is a date or time out of range: it can be of the years {first} to 9999")]
    DateOutOfRange {
        /// Where it was found, such as the place of a value among those of its statement.
        what: String,
        /// The first year that is held.
        first: i32,
    },
    /// The key of a save of one row is that of several in its table, which has no unique key on these columns alone.
    ///
    /// Where that is found out before anything is written the unit of work can go on; else it is poisoned.
    #[error(
        "the key of a save of `{object_type}` matches several rows: its table needs a primary key or a unique index on the model's key columns alone"
    )]
    SeveralRows {
        /// The model's object type.
        object_type: &'static str,
    },
    /// A consumer refused the unit of work.
    #[error("consumer `{consumer}` failed on {event_type}: {failure}")]
    Consumer {
        /// Its name.
        consumer: Arc<str>,
        /// The type of the event.
        event_type: String,
        /// How.
        failure: ConsumerFailure,
    },
    /// Consumers kept adding events.
    #[error(
        "consumers added events {rounds} times over, lastly consumer `{consumer}`: a loop, or raise the limit with `.consumer_rounds(..)`"
    )]
    ConsumerLoop {
        /// The consumer that added last.
        consumer: Arc<str>,
        /// The limit.
        rounds: usize,
    },
}

/// What stands for `save`, of which a hook hears as an insert or an update.
fn for_save(call: &str) -> &'static str {
    if call == "delete_with_event" { "" } else { " (for `save`: `.save_with_event(&db)`)" }
}

/// Calls as errors list them.
struct Calls<'a>(&'a [&'static str]);

impl fmt::Display for Calls<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, call) in self.0.iter().enumerate() {
            write!(f, "{}`{call}`", if i == 0 { "" } else { " or " })?;
        }
        Ok(())
    }
}

/// The error that poisoned a unit of work, and what keeps the next one from it.
struct FirstError<'a>(Option<&'a DbErr>);

impl std::fmt::Display for FirstError<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(error) = self.0 else { return Ok(()) };
        write!(
            f,
            ": {error}; what may fail goes into a nested `begin()`, or build with `.savepoint_each_save()`"
        )
    }
}

/// An object as errors name it.
struct Shown<'a>(&'a ObjectRef);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` {}", self.0.object_type, self.0.object_id)
    }
}

/// A transition that the model does not declare, and refuses.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} cannot go from {from} to {to} in `{field}`: declared from there is {}", Shown(.object), Listed(.allowed))]
#[non_exhaustive]
pub struct UndeclaredTransition {
    /// The object.
    pub object: ObjectRef,
    /// The state field, as it is recorded.
    pub field: &'static str,
    /// What the database held, as it would be recorded.
    pub from: serde_json::Value,
    /// What was saved.
    pub to: serde_json::Value,
    /// Where it may go from there.
    pub allowed: Vec<serde_json::Value>,
}

/// Values as errors list them.
struct Listed<'a>(&'a [serde_json::Value]);

impl std::fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return f.write_str("nothing");
        }
        for (i, value) in self.0.iter().enumerate() {
            write!(f, "{}{value}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl Refused {
    /// The refusal inside a SeaORM error, if it is one of ours.
    ///
    /// # Examples
    /// ```
    /// use events_sea_orm::Refused;
    /// use sea_orm::DbErr;
    ///
    /// let error = DbErr::from(Refused::NoTeam);
    /// assert!(matches!(Refused::of(&error), Some(Refused::NoTeam)));
    /// ```
    pub fn of(error: &DbErr) -> Option<&Self> {
        match error {
            DbErr::TryIntoErr { source, .. } => source.downcast_ref(),
            _ => None,
        }
    }

    /// Whether the unit of work can now only be rolled back.
    ///
    /// `false` is no promise: what only the row that was written can tell (its team, a key that the database made, what
    /// a `with` function answered) poisons as well, and the next call says so.
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Poisoned { .. }
                | Self::TransactionEnded
                | Self::UnseenChange { .. }
                | Self::Transition(_)
                | Self::UnexpectedRow { .. }
                | Self::HiddenWrite { .. }
                | Self::Consumer { .. }
                | Self::ConsumerLoop { .. }
        )
    }
}

/// Survives: the whole refusal, through [`Refused::of`].
impl From<Refused> for DbErr {
    fn from(refused: Refused) -> Self {
        // The one variant of `DbErr` that carries a typed error of another crate's. Its message begins "Error
        // converting `this call` into `events`".
        Self::TryIntoErr { from: "this call", into: "events", source: Arc::new(refused) }
    }
}

/// `Debug` by the message.
macro_rules! debug_is_the_message {
    ($($error:ty),* $(,)?) => {$(
        impl fmt::Debug for $error {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_message(self, f)
            }
        }
    )*};
}

debug_is_the_message!(
    Refused,
    UndeclaredTransition,
    CommitError,
    UnknownCommit,
    crate::consumer::ConsumerFailure,
    crate::consumer::Undelivered,
    crate::events::BuildError,
    crate::retention::PurgeError,
    crate::value::ValueError,
);
#[cfg(feature = "migration")]
debug_is_the_message!(crate::migration::activity_events::ActivityEventsError);
#[cfg(feature = "threads")]
debug_is_the_message!(crate::threads::PostError);

impl<T> fmt::Debug for crate::scope::ScopeError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_message(self, f)
    }
}

/// A commit that did not answer "committed".
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// Nothing was committed: the unit of work was rolled back, for a reason of this library's.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Nothing was committed: the database refused.
    #[error("the commit failed and was rolled back")]
    Failed(#[source] DbErr),
    /// The connection broke while the commit was on its way.
    #[error(transparent)]
    Unknown(#[from] UnknownCommit),
}

impl CommitError {
    /// The unknown outcome inside a SeaORM error that came out of generic code.
    pub fn unknown(error: &DbErr) -> Option<&UnknownCommit> {
        match error {
            DbErr::TryIntoErr { source, .. } => source.downcast_ref(),
            _ => None,
        }
    }
}

/// Survives: a refusal and an unknown outcome, through [`Refused::of`] and [`CommitError::unknown`]; a database error
/// as it is.
impl From<CommitError> for DbErr {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Refused(refused) => refused.into(),
            CommitError::Failed(error) => error,
            CommitError::Unknown(unknown) => {
                Self::TryIntoErr { from: "this commit", into: "an outcome", source: Arc::new(unknown) }
            }
        }
    }
}

/// A commit whose reply never came: [`Events::outcome`](crate::Events::outcome) finds out what became of it.
#[derive(Clone, thiserror::Error)]
#[error("whether unit of work {unit_id} was committed is unknown: ask `events.outcome(..)`")]
pub struct UnknownCommit {
    /// The unit of work.
    pub unit_id: Uuid,
    /// The events that it wrote, first the one that carries the unit's id.
    pub event_ids: Vec<Uuid>,
    /// How the connection broke.
    #[source]
    pub source: DbErr,
}

/// What became of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Rows and events are there.
    Committed,
    /// Neither is, nor will be.
    RolledBack,
}
