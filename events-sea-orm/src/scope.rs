//! Immediate mode, for code that keeps plain transactions.
//!
//! The before-hook reads the old row under lock and keeps it here; the after-hook inserts the event on the very
//! connection of the save, so that it commits or rolls back with the row, savepoints included.

use std::{
    future::Future,
    sync::{Arc, Mutex},
};

use events_core::{Context, Event, TeamScope};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseExecutor, DatabaseTransaction, DbErr, TransactionTrait,
    Value,
};
use uuid::Uuid;

use crate::{
    backend::{self, Lock},
    error::Refused,
    events::Events,
    observe,
    record::{self, Change, Recorded, Recorder, Sizes},
    row_level_security::new_team,
    store,
    tracked::{self, Definition, RowImage, TeamSource},
    transaction::{EventTransaction, Kind},
    typed::downcast_ref,
    withhold::withhold_for,
};

tokio::task_local! {
    static SCOPE: Arc<Scope>;
}

struct Scope {
    events: Events,
    context: Context,
    unit_id: Uuid,
    state: Mutex<State>,
}

struct State {
    team: TeamScope,
    /// Saves whose after-hook is awaited.
    saves: Vec<Begun>,
}

struct Begun {
    definition: &'static Definition,
    kind: Kind,
    key: Option<Vec<Value>>,
    old: Option<RowImage>,
    /// Why its event could not be written, if that was tried.
    cause: Option<DbErr>,
}

/// Why a scope did not end well.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum ScopeError<T> {
    /// The context cannot be used; nothing ran.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Saves were begun and their events are missing: `update_without_returning` calls no after-hook, nor does a save
    /// that failed; the event itself could not be written; or two saves of one row were joined.
    #[error("{}", Unfinished(.objects, .cause))]
    Unfinished {
        /// What the code in the scope answered.
        output: T,
        /// The objects that were saved.
        objects: Vec<String>,
        /// Why the first of their events could not be written, if that was tried.
        #[source]
        cause: Option<DbErr>,
    },
}

/// What [`ScopeError::Unfinished`] and [`Refused::Unfinished`] say.
pub(crate) struct Unfinished<'a>(pub(crate) &'a [String], pub(crate) &'a Option<DbErr>);

impl std::fmt::Display for Unfinished<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(objects, cause) = self;
        write!(f, "saves without an event: {}; roll back, or use a unit of work", objects.join(", "))?;
        match cause {
            Some(cause) => write!(f, ": {cause}"),
            None => Ok(()),
        }
    }
}

pub(crate) async fn run<F: Future>(
    events: Events,
    context: Context,
    work: F,
) -> Result<F::Output, ScopeError<F::Output>> {
    let context = events.check_context(context)?;
    let state = State { team: context.team_scope().clone(), saves: Vec::new() };
    let scope = Arc::new(Scope { events, context, unit_id: Uuid::now_v7(), state: Mutex::new(state) });
    let output = SCOPE.scope(Arc::clone(&scope), work).await;
    let state = scope.state();
    if state.saves.is_empty() {
        return Ok(output);
    }
    let objects = state.saves.iter().map(Begun::object).collect();
    let cause = state.saves.iter().find_map(|begun| begun.cause.clone());
    Err(ScopeError::Unfinished { output, objects, cause })
}

/// As `run`, for work that answers a `Result`: its own error, or this one.
pub(crate) async fn try_run<T, E: From<DbErr>>(
    events: Events,
    context: Context,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    run(events, context, work).await.unwrap_or_else(|error| {
        let refused = match error {
            ScopeError::Refused(refused) => refused,
            // The work knows what happened to it.
            ScopeError::Unfinished { output: Err(error), .. } => return Err(error),
            ScopeError::Unfinished { output: Ok(_), objects, cause } => {
                Refused::Unfinished { objects, cause }
            }
        };
        Err(DbErr::from(refused).into())
    })
}

impl Begun {
    fn has_key(&self, key: &Option<Vec<Value>>) -> bool {
        match (&self.key, key) {
            (Some(own), Some(key)) => tracked::same_key(own, key),
            (own, key) => own.is_none() == key.is_none(),
        }
    }

    fn object(&self) -> String {
        match &self.key {
            Some(key) => {
                let object = self.definition.object(key);
                format!("`{}` {}", object.object_type, object.object_id)
            }
            None => format!("a new `{}`", self.definition.object_type()),
        }
    }
}

impl Scope {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

pub(crate) fn is_active() -> bool {
    SCOPE.try_with(|_| ()).is_ok()
}

fn current(object_type: &'static str) -> Result<Arc<Scope>, Refused> {
    SCOPE.try_with(Arc::clone).map_err(|_| Refused::NoContext { object_type })
}

/// The transaction behind `db`, where there is one to be had; refuses what is none.
fn transaction<'a, C: ConnectionTrait>(
    db: &'a C,
    scope: &Scope,
    object_type: &'static str,
) -> Result<Option<&'a DatabaseTransaction>, Refused> {
    if let Some(txn) = downcast_ref::<DatabaseTransaction, C>(db) {
        return Ok(Some(txn));
    }
    let mut on_pool = downcast_ref::<DatabaseConnection, C>(db).is_some();
    if let Some(executor) = downcast_ref::<DatabaseExecutor<'static>, C>(db) {
        match executor {
            DatabaseExecutor::Transaction(txn) => return Ok(Some(txn)),
            DatabaseExecutor::OwnedTransaction(txn) => return Ok(Some(txn)),
            DatabaseExecutor::Connection(_) => on_pool = true,
        }
    }
    #[cfg(feature = "rbac")]
    if downcast_ref::<sea_orm::RestrictedTransaction, C>(db).is_some()
        && scope.events.in_transaction().is_empty()
    {
        return Ok(None);
    }
    // A team that is set for a transaction is lost on the pool before the next statement.
    if on_pool && scope.events.scope_on_pool() && !scope.events.is_row_level_secure() {
        return Ok(None);
    }
    Err(Refused::NotATransaction { object_type, connection: std::any::type_name::<C>() })
}

/// The team that saves in this scope must be of.
pub(crate) fn team(definition: &Definition) -> Result<TeamScope, Refused> {
    Ok(current(definition.object_type())?.state().team.clone())
}

/// The key of a new team's row, if the database's policies will ask for it before the row is there.
pub(crate) async fn draw_team_key<C: ConnectionTrait>(
    definition: &'static Definition,
    db: &C,
) -> Result<Option<Value>, DbErr> {
    let scope = current(definition.object_type())?;
    if !scope.events.is_row_level_secure() {
        return Ok(None);
    }
    let found = db.query_all_raw(new_team::select(definition)).await?;
    let Some(draw) = new_team::Draw::of(&found)? else { return Ok(None) };
    draw.key(definition, &db.query_all_raw(draw.statement.clone()).await?)
}

pub(crate) async fn before<C: ConnectionTrait>(
    definition: &'static Definition,
    kind: Kind,
    key: Option<Vec<Value>>,
    set_team: Option<Value>,
    set_states: &[(usize, Value)],
    sizes: &Sizes,
    db: &C,
) -> Result<(), DbErr> {
    let scope = current(definition.object_type())?;
    transaction(db, &scope, definition.object_type())?;
    let team = scope.state().team.clone();
    let said = RowImage::said(key.as_deref(), set_team.clone());
    let mut entered = team.clone();
    match kind {
        Kind::Insert if set_team.is_some() || definition.team() == TeamSource::Context => {
            let own = record::team_of_insert(definition, &said, &team)?;
            // The policies of the tenants' own table compare the key that is about to be made.
            if team == TeamScope::New {
                entered = TeamScope::Team(own);
            }
        }
        Kind::Insert => {}
        _ if team == TeamScope::New || definition.team() == TeamSource::Context => {
            record::team_of(definition, &said, &team)?;
        }
        _ => {}
    }
    enter(&scope, &entered, db).await?;
    let old = old_row(definition, kind, key.as_deref(), &team, db).await?;
    sizes.check(definition, kind, old.as_ref(), scope.events.event_limit())?;
    if let (Kind::Update, Some(old)) = (kind, &old) {
        // Found out after the save it would be too late: a transaction of the application's own cannot be poisoned.
        if let (Some(team), false) = (set_team, definition.is_team()) {
            record::same_team(definition, old, &RowImage::said(Some(&old.key), Some(team)))?;
        }
        for (place, to) in set_states {
            record::transition_is_allowed(definition, *place, old, to)?;
        }
    }
    let mut state = scope.state();
    // One slot a key: a save that is tried again takes the place of the one that failed.
    state.saves.retain(|begun| {
        begun.key.is_none() || !begun.has_key(&key) || !std::ptr::eq(begun.definition, definition)
    });
    state.saves.push(Begun { definition, kind, key, old, cause: None });
    Ok(())
}

/// The row that a save is about, read under lock, if it is there and the context may touch it.
async fn old_row<C: ConnectionTrait>(
    definition: &'static Definition,
    kind: Kind,
    key: Option<&[Value]>,
    team: &TeamScope,
    db: &C,
) -> Result<Option<RowImage>, DbErr> {
    let Some(key) = key else { return Ok(None) };
    let lock = match kind {
        Kind::Update => Lock::ForUpdate,
        Kind::Delete => Lock::ForDelete,
        Kind::Insert if may_be_there(definition, db) => {
            // Asked without a lock first: a lock on a row that is not there makes others wait who insert beside it.
            let found = db.query_one(&definition.select_row(key)).await;
            match withhold_for(definition, found)? {
                Some(_) => Lock::ForUpdate,
                None => return Ok(None),
            }
        }
        _ => return Ok(None),
    };
    let mut select = definition.select_row(key);
    backend::lock_rows(&mut select, db.get_database_backend(), lock);
    let rows = withhold_for(definition, db.query_all(&select).await)?;
    withhold_for(definition, record::only_row(definition, &rows, team)).map_err(|error| {
        match Refused::of(&error) {
            // As of a row that is not there. A hook cannot answer that of a delete.
            Some(refused @ Refused::OtherTeam { .. }) if kind == Kind::Update => {
                observe::other_team(refused);
                DbErr::RecordNotUpdated
            }
            _ => error,
        }
    })
}

/// Tells the database the team, before each save: the application's transaction may be a new one, and a savepoint that
/// is rolled back takes the setting with it.
async fn enter<C: ConnectionTrait>(scope: &Scope, team: &TeamScope, db: &C) -> Result<(), DbErr> {
    match scope.events.enter(team)? {
        Some(enter) => db.execute_raw(enter).await.map(drop),
        None => Ok(()),
    }
}

/// Whether an after-hook may come for a row that was there before its insert: links are inserted unless they are there.
fn may_be_there<C: ConnectionTrait>(definition: &Definition, db: &C) -> bool {
    backend::counts_what_is_there(db.get_database_backend()) && definition.link_columns().is_some()
}

/// A save whose after-hook came and whose event is not written yet: awaited again if that fails or is cancelled.
struct Pending<'a> {
    scope: &'a Scope,
    begun: Option<Begun>,
}

impl Pending<'_> {
    fn recorded(mut self) {
        self.begun = None;
    }

    fn failed(mut self, error: DbErr) -> DbErr {
        if let Some(begun) = &mut self.begun {
            begun.cause = Some(error.clone());
        }
        error
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if let Some(begun) = self.begun.take() {
            self.scope.state().saves.push(begun);
        }
    }
}

pub(crate) async fn after<C: ConnectionTrait>(
    definition: &'static Definition,
    kind: Kind,
    key: &[Value],
    db: &C,
) -> Result<(), DbErr> {
    let object_type = definition.object_type();
    let scope = current(object_type)?;
    let txn = transaction(db, &scope, object_type)?;
    let begun = {
        let mut state = scope.state();
        let fits = |begun: &Begun| {
            begun.kind == kind
                && std::ptr::eq(begun.definition, definition)
                && begun.key.as_ref().is_none_or(|begun| tracked::same_key(begun, key))
        };
        let Some(found) = state.saves.iter().position(fits) else {
            // Such as the other of two joined saves of one row. Whoever catches the error hears of it again.
            state.saves.push(Begun { definition, kind, key: Some(key.to_vec()), old: None, cause: None });
            return Err(Refused::NoBeforeHook { object_type }.into());
        };
        state.saves.remove(found)
    };
    let pending = Pending { scope: &scope, begun: Some(begun) };
    let new = match kind {
        Kind::Delete => Ok(None),
        _ => withhold_for(definition, new_row(definition, key, db).await).map(Some),
    };
    let new = match new {
        Ok(new) => new,
        Err(error) => return Err(pending.failed(error)),
    };
    let old = pending.begun.as_ref().and_then(|begun| begun.old.as_ref());
    let seen = match record(&scope, definition, kind, old, new.as_ref(), db).await {
        Ok(seen) => seen,
        Err(error) => return Err(pending.failed(error)),
    };
    let consumed = match (seen.is_empty(), txn) {
        (true, _) => Ok(()),
        (false, Some(txn)) => scope.consume(txn.begin().await?, &seen).await,
        // On the pool there is nothing left to be part of.
        (false, None) => scope.consume(scope.events.begin_plain().await?, &seen).await,
    };
    pending.recorded(); // if this was cancelled before, the scope says so
    consumed
}

/// The row that was written. The hook is given a model, and what is recorded is the row.
async fn new_row<C: ConnectionTrait>(
    definition: &'static Definition,
    key: &[Value],
    db: &C,
) -> Result<RowImage, DbErr> {
    let object_type = definition.object_type();
    let rows = db.query_all(&definition.select_row(key)).await?;
    match rows.as_slice() {
        [] => Err(Refused::UnexpectedRow { object_type }.into()),
        [row] => definition.image(row, ""),
        _ => Err(Refused::SeveralRows { object_type }.into()),
    }
}

/// Writes the events of a save, and answers what consumers have yet to see of them.
async fn record<C: ConnectionTrait>(
    scope: &Scope,
    definition: &'static Definition,
    kind: Kind,
    old: Option<&RowImage>,
    new: Option<&RowImage>,
    db: &C,
) -> Result<Vec<Event>, DbErr> {
    let events = match (kind, old, new) {
        (Kind::Insert, Some(_), Some(_)) => Vec::new(), // a link that was there
        (Kind::Insert, None, Some(new)) => scope.events_of(definition, Change::Created(new))?,
        (Kind::Update, Some(old), Some(new)) => {
            record::same_team(definition, old, new)?;
            scope.events_of(definition, Change::Updated(old, new))?
        }
        (Kind::Delete, Some(old), _) => scope.events_of(definition, Change::Deleted(old))?,
        (Kind::Delete, None, _) => Vec::new(), // there was no row
        _ => return Err(Refused::NoBeforeHook { object_type: definition.object_type() }.into()),
    };
    let seen = record::seen(!scope.events.in_transaction().is_empty(), &events)?;
    if !events.is_empty() {
        let counted = observe::Written::of(&events);
        if *scope.context.team_scope() == TeamScope::New {
            let team = scope.state().team.clone(); // the one that this save has made
            enter(scope, &team, db).await?;
        }
        let backend = db.get_database_backend();
        if takes_text(db) {
            for statement in store::insert_statements(backend, events) {
                db.execute_raw(store::in_schema(statement, scope.events.schema())).await?;
            }
        } else {
            db.execute(&store::insert_built(backend, events)).await?;
        }
        counted.count();
        #[cfg(feature = "testing")]
        crate::testing::note_unit(scope.unit_id, scope.state().team.clone());
    }
    Ok(seen)
}

impl Scope {
    fn events_of(
        &self,
        definition: &'static Definition,
        change: Change<'_>,
    ) -> Result<Vec<Recorded>, Refused> {
        let mut state = self.state();
        let team = record::team_of_change(definition, change, &state.team)?;
        if state.team == TeamScope::New {
            state.team = TeamScope::Team(team.clone());
        }
        let options = record::SaveOptions::default();
        let recorder =
            Recorder::new(definition, &options, &self.context, self.unit_id, self.events.event_limit())?;
        Ok(recorder.events(change, &team)?.collect())
    }

    /// Runs the in-transaction consumers right now, in a savepoint: the one type that they ever get is a unit of work.
    async fn consume(&self, savepoint: DatabaseTransaction, events: &[Event]) -> Result<(), DbErr> {
        let team = self.state().team.clone(); // the one that this scope has made, if it made one
        let unit = EventTransaction::over(savepoint, self.events.clone(), self.context.clone(), team, None);
        // Boxed: a consumer may save tracked models, whose hooks are futures of this very kind.
        if let Err(error) = Box::pin(unit.consume(events)).await {
            // Not left to its drop, which panics while another save of this scope has the connection.
            if let Err(failure) = unit.rollback().await {
                tracing::warn!(error = %failure, "undoing a failed consumer failed");
            }
            return Err(error);
        }
        Ok(unit.commit().await?)
    }
}

/// Whether a connection takes a statement that is text: one under access control takes none.
fn takes_text<C: ConnectionTrait>(_db: &C) -> bool {
    #[cfg(feature = "rbac")]
    if downcast_ref::<sea_orm::RestrictedTransaction, C>(_db).is_some() {
        return false;
    }
    true
}
