//! Writes that pass without an event: in the first days of an application, and seeds.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use sea_orm::{ConnectionTrait, DatabaseExecutor, DbErr, Statement};

use crate::{backend, error::Refused, observe, typed::downcast_ref};

/// What an [`Events`](crate::Events) built with [`adopting`](crate::EventsBuilder::adopting) let pass.
#[derive(Debug)]
pub(crate) struct Adoption {
    /// The database whose plain connections are let pass, as it names itself; none if it does not.
    database: Option<String>,
    unrecorded: AtomicU64,
    warned: Mutex<HashSet<&'static str>>,
}

/// Those that live. A hook on a plain connection has nothing else to find them by.
static LIVING: Mutex<Vec<Weak<Adoption>>> = Mutex::new(Vec::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn living() -> Vec<Arc<Adoption>> {
    let mut living = lock(&LIVING);
    living.retain(|adoption| adoption.strong_count() > 0);
    living.iter().filter_map(Weak::upgrade).collect()
}

impl Adoption {
    pub(crate) async fn begin(pool: &impl ConnectionTrait) -> Result<Arc<Self>, DbErr> {
        let database = name_of(pool).await?;
        let adoption = Arc::new(Self { database, unrecorded: AtomicU64::new(0), warned: Mutex::default() });
        lock(&LIVING).push(Arc::downgrade(&adoption));
        Ok(adoption)
    }

    pub(crate) fn unrecorded(&self) -> u64 {
        self.unrecorded.load(Ordering::Relaxed)
    }

    fn let_pass(&self, what: &'static str, refused: &Refused) {
        self.unrecorded.fetch_add(1, Ordering::Relaxed);
        observe::unrecorded(what);
        if lock(&self.warned).insert(what) {
            tracing::warn!(object_type = what, %refused, "a tracked write leaves no event");
        }
    }
}

/// What the database behind a connection calls itself, so that two connections can be told to be of the same one: SeaORM
/// shows of no connection which pool it is of.
async fn name_of(db: &impl ConnectionTrait) -> Result<Option<String>, DbErr> {
    if db.is_mock_connection() {
        return Ok(None);
    }
    let backend = db.get_database_backend();
    let row = db.query_one_raw(Statement::from_string(backend, backend::select_database(backend))).await?;
    row.map_or(Ok(None), |row| row.try_get_by_index(0))
}

/// Refuses, unless this application is being adopted. `what` is warned about once.
pub(crate) fn refuse(
    adoption: Option<&Adoption>,
    what: &'static str,
    refused: Refused,
) -> Result<(), Refused> {
    let adoption = adoption.ok_or_else(|| refused.clone())?;
    adoption.let_pass(what, &refused);
    Ok(())
}

/// The same on a connection that no `Events` made: refuses unless one of this very database is being adopted.
pub(crate) async fn refuse_on<C: ConnectionTrait>(
    db: &C,
    what: &'static str,
    refused: Refused,
) -> Result<(), Refused> {
    let living = living();
    // Nothing is asked where nothing is adopted, which is every day but the first.
    let name = if living.is_empty() { None } else { name_of(db).await.ok().flatten() };
    let is_here = |adoption: &&Arc<Adoption>| name.is_some() && adoption.database == name;
    refuse(living.iter().find(is_here).map(Arc::as_ref), what, refused)
}

/// Whether an after-hook on a plain connection has nothing to find: its before-hook let the save pass, or refused it.
pub(crate) fn may_have_passed<C: ConnectionTrait>(db: &C) -> bool {
    is_seed(db) || !living().is_empty()
}

tokio::task_local! {
    static SEEDS: ();
}

/// Lets saves on a migration's own connection pass for as long as this future is polled.
#[cfg(feature = "migration")]
pub(crate) fn unrecorded<F: std::future::Future>(seeds: F) -> impl std::future::Future<Output = F::Output> {
    SEEDS.scope((), seeds)
}

/// Whether this is such a save.
pub(crate) fn is_seed<C: ConnectionTrait>(db: &C) -> bool {
    SEEDS.try_with(|()| ()).is_ok() && downcast_ref::<DatabaseExecutor<'static>, C>(db).is_some()
}
