//! One nesting level of a unit of work: its buffer, its announcements, and whether it is poisoned.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use events_core::{Event, TeamScope};
use sea_orm::{Statement, Value};

use super::Kind;
use crate::{
    error::Refused,
    record::SaveOptions,
    tracked::{Definition, RowImage, Rows},
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
    pub(crate) rows: &'static dyn Rows,
    /// The row's key; absent where the database makes it.
    pub(crate) key: Option<Vec<Value>>,
    pub(crate) options: SaveOptions,
}

impl Announcement {
    pub(crate) fn definition(&self) -> &'static Definition {
        self.rows.definition()
    }

    /// Whether both are of the same row and kind, and by the same caller.
    pub(super) fn is_of(&self, other: &Self) -> bool {
        self.by == other.by
            && self.kind == other.kind
            && self.key == other.key
            && std::ptr::eq(self.definition(), other.definition())
    }
}

/// A row that was written and has yet to be read, because the database returned none.
pub(super) struct Unread {
    pub(super) announcement: Announcement,
    /// The row as it was, if this was an update.
    pub(super) old: Option<RowImage>,
    pub(super) select: Statement,
}

pub(super) struct Level {
    pub(super) parent: Option<Arc<Self>>,
    state: Mutex<State>,
}

pub(super) struct State {
    pub(super) buffer: Vec<Event>,
    pub(super) announced: Vec<Announcement>,
    pub(super) unread: Option<Unread>,
    pub(super) poison: Option<Arc<str>>,
    pub(super) nested_open: bool,
    /// The context's team, or the one that this unit has made.
    pub(super) team: TeamScope,
}

impl Level {
    pub(super) fn root(team: TeamScope) -> Self {
        Self::new(None, team)
    }

    fn new(parent: Option<Arc<Self>>, team: TeamScope) -> Self {
        let state = State {
            buffer: Vec::new(),
            announced: Vec::new(),
            unread: None,
            poison: None,
            nested_open: false,
            team,
        };
        Self { parent, state: Mutex::new(state) }
    }

    /// Opens a nested level; refused while another is open.
    pub(super) fn open_nested(self: &Arc<Self>) -> Result<Arc<Self>, Refused> {
        self.check_writable()?;
        let mut state = self.state();
        state.nested_open = true;
        Ok(Arc::new(Self::new(Some(Arc::clone(self)), state.team.clone())))
    }

    pub(super) fn close_nested(&self) {
        self.state().nested_open = false;
    }

    /// Takes what a committed nested level holds.
    pub(super) fn take_over(&self, nested: &Self) {
        let mut nested = nested.state();
        let mut state = self.state();
        state.buffer.append(&mut nested.buffer);
        state.team = nested.team.clone();
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Only the first cause is kept: what follows from it would hide it.
    pub(super) fn poison(&self, cause: &str) {
        self.state().poison.get_or_insert_with(|| cause.into());
    }

    pub(super) fn is_poisoned(&self) -> bool {
        self.check_healthy().is_err()
    }

    /// Refuses in a poisoned unit of work; an outer level's poison counts.
    pub(super) fn check_healthy(&self) -> Result<(), Refused> {
        if let Some(cause) = &self.state().poison {
            return Err(Refused::Poisoned { cause: Arc::clone(cause) });
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
pub(super) struct Doubt {
    level: Option<Arc<Level>>,
    cause: &'static str,
}

impl Doubt {
    pub(super) fn settle(mut self) {
        self.level = None;
    }
}

impl Drop for Doubt {
    fn drop(&mut self) {
        if let Some(level) = self.level.take() {
            level.poison(self.cause);
        }
    }
}

/// Locks a mutex that no panic can leave half-written: every critical section is a few assignments.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
