//! One nesting level of a unit of work: its buffer, its announcements, and whether it is poisoned.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use events_core::TeamScope;
use sea_orm::{DbErr, Value};
use uuid::Uuid;

use super::{Kind, unread::Unread, untracked::Tally};
use crate::{
    error::Refused,
    record::{Recorded, SaveOptions, Sizes},
    tracked::{Definition, RowImage},
    withhold::withhold,
};

/// Who runs a hook, and the statement after it: on other threads others may save on the same unit of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    /// What a task joins is polled by turns, and a turn reaches from the hook to the statement.
    Task(tokio::task::Id),
    Thread(std::thread::ThreadId),
}

impl Caller {
    pub(crate) fn current() -> Self {
        tokio::task::try_id().map_or_else(|| Self::Thread(std::thread::current().id()), Self::Task)
    }
}

/// What a hook said about the statement that follows.
pub(crate) struct Announcement {
    pub(crate) by: Caller,
    pub(crate) kind: Kind,
    pub(crate) definition: &'static Definition,
    /// The row's key; absent where the database makes it.
    pub(crate) key: Option<Vec<Value>>,
    /// How many values the statement of this row alone binds.
    pub(crate) bound: usize,
    pub(crate) options: SaveOptions,
    /// Of new values that are large.
    pub(crate) sizes: Sizes,
}

impl Announcement {
    pub(crate) fn definition(&self) -> &'static Definition {
        self.definition
    }

    /// Refuses an event that no statement can carry.
    pub(super) fn check_size(&self, old: Option<&RowImage>, limit: usize) -> Result<(), Refused> {
        self.sizes.check(self.definition, self.kind, old, limit)
    }

    /// Whether both are of the same row and kind, and by the same caller.
    pub(super) fn is_of(&self, other: &Self) -> bool {
        self.by == other.by
            && self.kind == other.kind
            && self.key == other.key
            && std::ptr::eq(self.definition(), other.definition())
    }
}

/// Why nothing may be sent any more.
pub(super) struct Poison {
    cause: Arc<str>,
    /// The error by which it came, if it was one.
    source: Option<Arc<DbErr>>,
    /// Whether `source` is what the caller was answered, and not that without the database's words.
    is_answered: bool,
}

pub(super) struct Level {
    pub(super) parent: Option<Arc<Self>>,
    /// Inside `untracked`: where its writes are counted.
    pub(super) tally: Option<Arc<Tally>>,
    state: Mutex<State>,
}

pub(super) struct State {
    pub(super) buffer: Vec<Recorded>,
    /// Events that are in the table already, by their ids: bulk writes do not keep theirs.
    pub(super) written: Vec<Uuid>,
    pub(super) announced: Vec<Announcement>,
    pub(super) unread: Option<Unread>,
    pub(super) poison: Option<Poison>,
    pub(super) nested_open: bool,
    /// The context's team, or the one that this unit has made.
    pub(super) team: TeamScope,
    /// Whether the database has yet to be told of the team that this unit has made.
    pub(super) team_is_new: bool,
}

impl Level {
    pub(super) fn root(team: TeamScope) -> Self {
        Self::new(None, None, team)
    }

    fn new(parent: Option<Arc<Self>>, tally: Option<Arc<Tally>>, team: TeamScope) -> Self {
        let state = State {
            buffer: Vec::new(),
            written: Vec::new(),
            announced: Vec::new(),
            unread: None,
            poison: None,
            nested_open: false,
            team,
            team_is_new: false,
        };
        Self { parent, tally, state: Mutex::new(state) }
    }

    /// Opens a nested level; refused while another is open. Its writes are counted here, or where those of its parent
    /// are.
    pub(super) fn open_nested(self: &Arc<Self>, tally: Option<Arc<Tally>>) -> Result<Arc<Self>, Refused> {
        let nested = self.open_save(tally)?;
        self.state().nested_open = true;
        Ok(nested)
    }

    /// As `open_nested`, for one write, which has the connection to its end: nobody else comes in between.
    pub(super) fn open_save(self: &Arc<Self>, tally: Option<Arc<Tally>>) -> Result<Arc<Self>, Refused> {
        self.check_writable()?;
        let state = self.state();
        let tally = tally.or_else(|| self.tally.clone());
        let nested = Self::new(Some(Arc::clone(self)), tally, state.team.clone());
        nested.state().team_is_new = state.team_is_new;
        Ok(Arc::new(nested))
    }

    pub(super) fn close_nested(&self) {
        self.state().nested_open = false;
    }

    /// Takes what a committed nested level holds.
    pub(super) fn take_over(&self, nested: &Self) {
        let mut nested = nested.state();
        let mut state = self.state();
        state.buffer.append(&mut nested.buffer);
        state.written.append(&mut nested.written);
        state.team = nested.team.clone();
        state.team_is_new = nested.team_is_new;
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Whether events of this unit, up to this level, are in the table already.
    pub(super) fn has_written(&self) -> bool {
        !self.state().written.is_empty() || self.parent.as_ref().is_some_and(|parent| parent.has_written())
    }

    /// Whether an outer level has events in wait: what is written before them would stand before them in the log.
    pub(super) fn parent_waits(&self) -> bool {
        self.parent.as_ref().is_some_and(|parent| !parent.state().buffer.is_empty() || parent.parent_waits())
    }

    /// Only the first cause is kept: what follows from it would hide it.
    pub(super) fn poison(&self, cause: &str) {
        self.poison_by(cause, None);
    }

    /// As `poison`, by this error. It is kept without the database's words, which may quote what is redacted, until
    /// [`answered`](Self::answered) says in which words the caller heard of it.
    pub(super) fn poison_by(&self, cause: &str, error: Option<&DbErr>) {
        self.state().poison.get_or_insert_with(|| Poison {
            cause: cause.into(),
            source: error.map(|error| Arc::new(withhold(error.clone()))),
            is_answered: false,
        });
    }

    /// What a caller is answered by a statement whose error poisoned this level.
    pub(super) fn answered<T>(&self, answer: Result<T, DbErr>) -> Result<T, DbErr> {
        if let Err(error) = &answer
            && Refused::of(error).is_none()
            && let Some(poison) = &mut self.state().poison
            && poison.source.is_some()
            && !poison.is_answered
        {
            (poison.source, poison.is_answered) = (Some(Arc::new(error.clone())), true);
        }
        answer
    }

    /// The error that poisoned this level.
    pub(super) fn first_error(&self) -> Option<Arc<DbErr>> {
        self.state().poison.as_ref().and_then(|poison| poison.source.clone())
    }

    pub(super) fn is_poisoned(&self) -> bool {
        self.check_healthy().is_err()
    }

    /// Refuses in a poisoned unit of work; an outer level's poison counts.
    pub(super) fn check_healthy(&self) -> Result<(), Refused> {
        if let Some(Poison { cause, source, .. }) = &self.state().poison {
            return Err(Refused::Poisoned { cause: Arc::clone(cause), source: source.clone() });
        }
        self.parent.as_ref().map_or(Ok(()), |parent| parent.check_healthy())
    }

    /// Refuses in a poisoned unit of work and while a nested one is open.
    pub(super) fn check_writable(&self) -> Result<(), Refused> {
        self.check_healthy()?;
        if self.state().nested_open { Err(Refused::NestedOpen) } else { Ok(()) }
    }

    /// Poisons this level unless it is settled before it is dropped.
    pub(super) fn doubt(self: &Arc<Self>, cause: &'static str) -> Doubt {
        Doubt { level: Some(Arc::clone(self)), cause }
    }
}

/// Armed before the first statement of a write, settled when its event is in the buffer.
pub(crate) struct Doubt {
    level: Option<Arc<Level>>,
    cause: &'static str,
}

impl Doubt {
    pub(crate) fn settle(mut self) {
        self.level = None;
    }
}

impl Drop for Doubt {
    fn drop(&mut self) {
        if let Some(level) = self.level.take() {
            level.poison(if std::thread::panicking() {
                "a statement panicked on its way"
            } else {
                self.cause
            });
        }
    }
}

/// Locks a mutex that no panic can leave half-written: every critical section is a few assignments.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
