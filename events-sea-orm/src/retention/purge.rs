//! The purge itself.

use std::{fmt, time::Duration};

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, QueryResult, Value};
use uuid::Uuid;

use super::holds;
use crate::{
    backend::{
        self,
        retention::{now, statement, time},
    },
    transaction::InFlight,
};

type OnBatch = Box<dyn FnMut(&Purged) + Send + Sync>;

/// What is to be removed, why, and by whom.
#[must_use = "nothing is removed until it is given to `retention::purge`"]
pub struct Purge {
    cut: Option<DateTime<Utc>>,
    reason: String,
    by: String,
    batch: u32,
    wait: Duration,
    longest: Option<Duration>,
    on_batch: Option<OnBatch>,
}

/// What a purge did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Purged {
    /// Stands in each of its rows in `event_purges`, as `purge_id`.
    pub id: Uuid,
    /// How many events were removed.
    pub events: u64,
    /// In how many transactions.
    pub batches: u64,
    /// How many more could go, but for a [`hold`](super::hold).
    pub kept_by_hold: u64,
    /// How many were recorded before the cut, but are not known to have been committed or rolled back by then.
    pub kept_in_flight: u64,
    /// Up to when events were removed: no later than the cut.
    pub recorded_until: DateTime<Utc>,
    /// Whether a new mark was drawn. Not if a writer stayed open: find it if that goes on.
    pub marked: bool,
    /// The first cut at which something that was kept in flight can be removed, if it is known already.
    pub next_cut: Option<DateTime<Utc>>,
}

/// Why a purge ended early. What earlier batches removed is gone and recorded.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum PurgeError {
    /// The step was not run: the guard has no door.
    #[error("nothing can be removed before the steps of `events_sea_orm::migration::retention` were run")]
    NotInstalled {
        /// What the database said.
        source: DbErr,
    },
    /// The cut lies in the future of the database's clock.
    #[error("the cut {cut} lies in the future of the database's clock")]
    FutureCut {
        /// The cut.
        cut: DateTime<Utc>,
    },
    /// A purge says why it was run and by whom, and removes at least one event at a time.
    #[error("a purge needs `{missing}(..)`: it is recorded")]
    Incomplete {
        /// `reason`, `by` or `batch`.
        missing: &'static str,
    },
    /// Others changed the table meanwhile; this batch was rolled back.
    #[error("{expected} events were to go and {removed} did: the batch was rolled back, run the purge again")]
    Changed {
        /// How many there were.
        expected: u64,
        /// How many went.
        removed: u64,
    },
    /// The database's error; this batch was rolled back.
    #[error("the purge stopped at a database error")]
    Database(#[from] DbErr),
}

impl Purge {
    /// Events recorded before this time, by the database's clock.
    pub fn recorded_before(cut: DateTime<Utc>) -> Self {
        Self::new(Some(cut))
    }

    /// All events recorded so far, as far as their transactions have ended.
    pub fn recorded_until_now() -> Self {
        Self::new(None)
    }

    fn new(cut: Option<DateTime<Utc>>) -> Self {
        let wait = Duration::from_secs(5);
        Self {
            cut,
            reason: String::new(),
            by: String::new(),
            batch: 5_000,
            wait,
            longest: None,
            on_batch: None,
        }
    }

    /// Why: it stands in the record.
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }

    /// By whom: it stands in the record.
    pub fn by(mut self, by: impl Into<String>) -> Self {
        self.by = by.into();
        self
    }

    /// How many events a transaction removes: 5,000 if nothing is said.
    pub fn batch(mut self, events: u32) -> Self {
        self.batch = events;
        self
    }

    /// How long to wait for open writers when the mark is drawn: 5 s if nothing is said. If they are open for longer, an
    /// earlier mark has to do.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Takes it for certain that no transaction stayed open for longer than this after it had recorded an event, so that
    /// what is so much older than the cut can go where no mark tells: for a log that is older than the step.
    ///
    /// If one did, its events may go although it was open at the cut. It is kept as a mark of that cut, by which later
    /// purges go too. Without this, marks that were drawn alone tell.
    pub fn assume_ended_within(mut self, longest: Duration) -> Self {
        self.longest = Some(longest);
        self
    }

    /// Is told after each transaction what was done so far.
    pub fn on_batch(mut self, tell: impl FnMut(&Purged) + Send + Sync + 'static) -> Self {
        self.on_batch = Some(Box::new(tell));
        self
    }

    fn check(&self) -> Result<(), PurgeError> {
        let complete = [
            ("reason", !self.reason.trim().is_empty()),
            ("by", !self.by.trim().is_empty()),
            ("batch", self.batch > 0),
        ];
        match complete.iter().find(|(_, said)| !said) {
            Some((missing, _)) => Err(PurgeError::Incomplete { missing }),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Purge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Purge")
            .field("cut", &self.cut)
            .field("reason", &self.reason)
            .field("by", &self.by)
            .field("batch", &self.batch)
            .finish_non_exhaustive()
    }
}

/// Notes that all transactions which have written events so far have ended, if they end within `wait`. Says whether they
/// did. A [`purge`] does so first; on its own it is for days without one.
///
/// # Errors
/// The database's, and outside of a Tokio runtime.
pub async fn mark(db: &DatabaseConnection, wait: Duration) -> Result<bool, DbErr> {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return Err(DbErr::Custom("a mark is drawn inside a Tokio runtime: call it from one".to_owned()));
    };
    let db = db.clone();
    // Finished even if nobody waits for it: a connection that locks tables must not get back into the pool.
    let marked = runtime.spawn(async move { backend::retention::mark(&db, wait).await });
    marked.await.map_err(|error| DbErr::Custom(format!("the mark was not drawn: {error}")))?
}

/// Removes events, as [`Purge`] says.
///
/// Only the owner of the tables may. An event is removed if it was recorded before the cut, no [`hold`](super::hold) keeps
/// it, and its transaction had ended by the cut: see the [module](super) for how that is known, and
/// [`Purged::kept_in_flight`] for what was kept.
///
/// # Errors
/// [`PurgeError`]. Whatever it is, batches before it are removed and recorded, and it can be run again.
///
/// # Examples
/// ```no_run
/// use chrono::{Duration, Utc};
/// use events_sea_orm::retention::{self, Purge};
/// # async fn example(owner: sea_orm::DatabaseConnection) -> Result<(), events_sea_orm::retention::PurgeError> {
/// let purge = Purge::recorded_before(Utc::now() - Duration::days(730))
///     .reason("two years, as our policy says")
///     .by("ops:ada")
///     .on_batch(|so_far| println!("{} events", so_far.events));
/// let purged = retention::purge(&owner, purge).await?;
/// println!("{} events removed, {} kept", purged.events, purged.kept_in_flight + purged.kept_by_hold);
/// # Ok(()) }
/// ```
pub async fn purge(db: &DatabaseConnection, mut purge: Purge) -> Result<Purged, PurgeError> {
    purge.check()?;
    let backend = db.get_database_backend();
    if let Some(cut) = purge.cut {
        let years =
            backend::years::check(backend, [&time(backend, cut)], |_| "the cut of a purge".to_owned());
        years.map_err(DbErr::from)?;
    }
    let known = statement(backend, "SELECT max(id) AS id FROM event_marks", []);
    db.query_one_raw(known).await.map_err(|source| PurgeError::NotInstalled { source })?;
    if let Some(cut) = purge.cut {
        let sql = format!("SELECT 1 AS one FROM event_marks WHERE ? > {} LIMIT 1", now(backend));
        if db.query_one_raw(statement(backend, &sql, [time(backend, cut)])).await?.is_some() {
            return Err(PurgeError::FutureCut { cut });
        }
    }
    let marked = mark(db, purge.wait).await?;
    if let (Some(cut), Some(longest)) = (purge.cut, purge.longest) {
        backend::retention::assume_mark(db, cut, longest).await?;
    }
    let marks = Marks::read(db, purge.cut).await?;
    let mut purged = Purged {
        id: Uuid::now_v7(),
        events: 0,
        batches: 0,
        kept_by_hold: 0,
        kept_in_flight: 0,
        recorded_until: marks.newest.recorded_until,
        marked,
        next_cut: marks.next,
    };
    let mut last = i64::MIN;
    while let Some((seq, removed)) = batch(db, &purge, &marks.newest, purged.id, last).await? {
        last = seq;
        purged.events += removed;
        purged.batches += 1;
        if let Some(tell) = &mut purge.on_batch {
            tell(&purged);
        }
    }
    purged.count_kept(db, &marks.newest, purge.cut).await?;
    Ok(purged)
}

#[derive(Clone)]
struct Mark {
    id: i64,
    seq: i64,
    recorded_until: DateTime<Utc>,
    at: DateTime<Utc>,
}

struct Marks {
    /// The newest one that is no later than the cut.
    newest: Mark,
    /// When the one after it was drawn.
    next: Option<DateTime<Utc>>,
}

impl Marks {
    async fn read(db: &DatabaseConnection, cut: Option<DateTime<Utc>>) -> Result<Self, DbErr> {
        let backend = db.get_database_backend();
        let newest = match cut {
            Some(cut) => {
                let sql = "SELECT id, seq, recorded_until, at FROM event_marks WHERE at <= ? ORDER BY recorded_until DESC, seq DESC, id DESC LIMIT 1";
                statement(backend, sql, [time(backend, cut)])
            }
            None => {
                let sql = "SELECT id, seq, recorded_until, at FROM event_marks ORDER BY recorded_until DESC, seq DESC, id DESC LIMIT 1";
                statement(backend, sql, [])
            }
        };
        let newest = match db.query_one_raw(newest).await? {
            Some(row) => Mark::of(&row)?,
            None => Mark { id: 0, seq: 0, recorded_until: DateTime::UNIX_EPOCH, at: DateTime::UNIX_EPOCH },
        };
        let sql = "SELECT id, seq, recorded_until, at FROM event_marks WHERE at > ? ORDER BY at LIMIT 1";
        let next =
            db.query_one_raw(statement(backend, sql, [time(backend, cut.unwrap_or(newest.at))])).await?;
        let next = next.map(|row| row.try_get("", "at")).transpose()?;
        Ok(Self { newest, next })
    }
}

impl Mark {
    fn of(row: &QueryResult) -> Result<Self, DbErr> {
        Ok(Self {
            id: row.try_get("", "id")?,
            seq: row.try_get("", "seq")?,
            recorded_until: row.try_get("", "recorded_until")?,
            at: row.try_get("", "at")?,
        })
    }
}

/// The events that a mark covers.
const COVERED: &str = "seq <= ? AND recorded_at <= (SELECT recorded_until FROM event_marks WHERE id = ?)";

/// Removes the next events after `last` and records that, in one transaction. Answers the last one and how many, if there
/// were any.
async fn batch(
    db: &DatabaseConnection,
    purge: &Purge,
    mark: &Mark,
    purge_id: Uuid,
    last: i64,
) -> Result<Option<(i64, u64)>, PurgeError> {
    let (db, mark) = (db.clone(), mark.clone());
    let (cut, size) = (purge.cut, purge.batch);
    let (reason, by) = (purge.reason.clone(), purge.by.clone());
    // To its end even if the caller goes away: it holds a lock that every purge takes.
    InFlight::new(async move { remove(&db, &mark, cut, size, [reason, by], purge_id, last).await }).await
}

async fn remove(
    db: &DatabaseConnection,
    mark: &Mark,
    cut: Option<DateTime<Utc>>,
    size: u32,
    [reason, by]: [String; 2],
    purge_id: Uuid,
    last: i64,
) -> Result<Option<(i64, u64)>, PurgeError> {
    let backend = db.get_database_backend();
    let txn = holds::begin(db).await?;
    let sql = format!(
        "SELECT seq FROM events WHERE seq > ? AND {COVERED} \
         AND seq < coalesce((SELECT min(seq) FROM event_holds), 9223372036854775807) ORDER BY seq LIMIT ?"
    );
    let values = [last.into(), mark.seq.into(), mark.id.into(), i64::from(size).into()];
    let rows = txn.query_all_raw(statement(backend, &sql, values)).await?;
    let numbers: Vec<i64> = rows.iter().map(|row| row.try_get("", "seq")).collect::<Result<_, _>>()?;
    let (Some(&first), Some(&last)) = (numbers.first(), numbers.last()) else {
        txn.rollback().await?;
        return Ok(None);
    };
    let id = Uuid::now_v7();
    let cut = time(backend, cut.unwrap_or(mark.at));
    let opened: [Value; 8] = [
        id.into(),
        purge_id.into(),
        cut,
        first.into(),
        last.into(),
        reason.into(),
        by.into(),
        mark.id.into(),
    ];
    txn.execute_raw(statement(backend, OPEN, opened)).await?;
    let expected = u64::try_from(numbers.len()).unwrap_or_default();
    let delete = backend::retention::delete(backend, COVERED, first, last, mark.id, numbers);
    let removed = txn.execute_raw(delete).await?.rows_affected();
    if removed != expected {
        txn.rollback().await?;
        return Err(PurgeError::Changed { expected, removed });
    }
    let closed = [i64::try_from(removed).unwrap_or(i64::MAX).into(), id.into()];
    txn.execute_raw(statement(backend, "UPDATE event_purges SET removed = ? WHERE id = ?", closed)).await?;
    txn.commit().await?;
    Ok(Some((last, removed)))
}

/// The row is open until it says how many were removed. Only this transaction sees it open.
const OPEN: &str = "INSERT INTO event_purges (id, purge_id, cut, recorded_until, first_seq, last_seq, reason, purged_by) \
     SELECT ?, ?, ?, recorded_until, ?, ?, ?, ? FROM event_marks WHERE id = ?";

impl Purged {
    async fn count_kept(
        &mut self,
        db: &DatabaseConnection,
        mark: &Mark,
        cut: Option<DateTime<Utc>>,
    ) -> Result<(), DbErr> {
        let backend = db.get_database_backend();
        let count = async |sql: &str, values: Vec<Value>| {
            let row = db.query_one_raw(statement(backend, sql, values)).await?;
            let events: i64 = row.map_or(Ok(0), |row| row.try_get("", "events"))?;
            Ok::<_, DbErr>(u64::try_from(events).unwrap_or_default())
        };
        let covered = || vec![mark.seq.into(), mark.id.into()];
        // Nothing but a hold keeps what is covered.
        let sql = format!("SELECT count(*) AS events FROM events WHERE {COVERED}");
        self.kept_by_hold = count(&sql, covered()).await?;
        let before = match cut {
            Some(_) => "recorded_at < ?".to_owned(),
            None => format!("recorded_at < {}", now(backend)),
        };
        let sql = format!("SELECT count(*) AS events FROM events WHERE {before} AND NOT ({COVERED})");
        let mut values: Vec<Value> = cut.map(|cut| time(backend, cut)).into_iter().collect();
        values.extend(covered());
        self.kept_in_flight = count(&sql, values).await?;
        Ok(())
    }
}
