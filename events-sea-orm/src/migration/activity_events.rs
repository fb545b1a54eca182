//! An existing `activity_events` table, the earlier shape of an event log, made into `events`: rows are kept, copied in
//! batches, and compared; an interrupted copy goes on where it was.
//!
//! Three calls, in this order, by the role that owns the tables: [`migrate`] copies, [`check`] compares both tables,
//! [`finish`] renames the old one to `activity_events_old`, which this library never drops. The application may go on
//! writing to the old table until `finish`: run `migrate` again for what came meanwhile, and `check` after it. [`step`]
//! is all three as one step of a `Migrator`.
//!
//! ```no_run
//! use events_sea_orm::migration::activity_events::{self, ActivityEvents};
//!
//! # async fn example(db: sea_orm::DatabaseConnection) -> Result<(), activity_events::ActivityEventsError> {
//! let old = ActivityEvents::from_table("activity_events").actor_column("performed_by");
//! let migrated = activity_events::migrate(&db, &old, |progress| println!("{progress}")).await?;
//! let checked = activity_events::check(&db, &old).await?;
//! println!("{} copied; {checked}", migrated.copied);
//! activity_events::finish(&db, &old).await?;
//! # Ok(()) }
//! ```
//!
//! # What becomes of a row
//!
//! Columns are found by their names, or named by a setter of [`ActivityEvents`]. A column that has no place is an error:
//! keep it with [`context_column`](ActivityEvents::context_column), or leave it out with
//! [`ignore_column`](ActivityEvents::ignore_column).
//!
//! | of the old table | found as | in `events` |
//! |---|---|---|
//! | key | `id`, `event_id`, `uuid` | `id`: a UUID is kept; any other key gets an id made of `created_at` and a hash of table and key, the same each time |
//! | time | `created_at`, `occurred_at`, `timestamp`, `event_time`, `inserted_at` | `occurred_at`; without a zone it is taken as UTC, an integer as seconds, milliseconds or microseconds since 1970 |
//! | team | `team_id`, `tenant_id`, `organization_id`, `account_id`, `workspace_id` | `team_id`; NULL is refused unless a [`default_team`](ActivityEvents::default_team) is given |
//! | type | `event_type`, `activity_type`, `type`, `action`, `kind` | `event_type`: `created`, `CREATED` and so on are the built-in ones; else a name of the caller's map, else the name in lower case with `_` for what is neither letter, digit nor dot. A name that changed stands in `context.imported.event_type` |
//! | object | `object_type` and `object_id`; `entity_`, `subject_`, `target_`, `resource_` likewise | the same |
//! | actor | `actor_id`, `user_id`, `performed_by`, `created_by` | `actor_id`; empty is none |
//! | old values | `old_values`, `old_value`, `old_data`, `before` | `event_data`, see below |
//! | new values | `new_values`, `new_value`, `new_data`, `after` | `event_data`, see below |
//! | field | `field`, `field_name` | the field that a pair of single values is of |
//! | one value for all | `event_data`, `data`, `payload`, `details` | `event_data`, see below |
//! | transaction | `unit_id`, `transaction_id` | `unit_id`: a UUID is kept, other text gets one of its own; without such a column, or NULL, the event is a unit of its own |
//! | reason | `reason` | `context.reason`; beside it in `event_data` where the type has it |
//! | others kept | `metadata`, `context` | `context.imported.columns` |
//!
//! `seq` rises in the order of an integer key, else of the time and then the key (an index `events_import_..` on both is
//! made on the old table for as long as that takes). Rows that were committed late, and are found by a second run, come
//! after the others. `recorded_at` is the database's clock when the row was copied: it is never forged. Every event that
//! came so has `context.imported.from`, and `context.imported.key` where the id is not the old one.
//!
//! | type | of old and new values | of one value |
//! |---|---|---|
//! | CREATED, RESTORED | `initial_values`: the new ones | as it is if it has `initial_values`; else it becomes them |
//! | UPDATED | `changes: {field: {old, new}}` of the fields that differ | as it is if it has `changes`; `{field: {old, new}}` becomes them |
//! | DELETED | `final_values`: the old ones, or the new ones if there are none | as it is if it has `final_values`; else it becomes them |
//! | STATE_CHANGED | `field` and `state: {old, new}` if one field differs, else `state` with both whole | as it is if it has `state`; `{old, new}` or `{field: {old, new}}` becomes it |
//! | custom | `old_values`, `new_values` | as it is |
//!
//! A value that fits none of these is kept beside them under the old column's kind: `old_values`, `new_values` or
//! `event_data`. Digits of numbers are kept as far as the database keeps them.
//!
//! # What cannot be stored
//!
//! NUL characters, identifiers of more than 191 characters, JSON that does not parse or is nested too deeply, names that
//! cannot be an event's, times that cannot be read. All rows are looked at before the first is written, and the error
//! names each row, column and reason ([`Problem`]; values are not quoted). Or they are left out and listed in the table
//! `events_import_skipped`: [`skip_unstorable`](ActivityEvents::skip_unstorable). A later run tries those again.
//!
//! # Interruption
//!
//! Every batch is one transaction, together with how far the copy is (table `events_imports`). So a copy that is killed
//! leaves whole batches and goes on after the last; several at once take turns. Rows that are there already are found by
//! their id, whatever became of `events_imports`. [`undo`] gives the old table its name back; events stay, since
//! `events` gives none away, and another run takes what is new.

mod check;
mod columns;
mod convert;
mod copy;
mod error;
mod finish;
mod options;
mod payload;
mod sql;
mod step;

use std::fmt;

use sea_orm::{ConnectionTrait, TransactionTrait};

pub use self::{
    check::{Checked, Difference},
    error::{ActivityEventsError, Problem},
    options::ActivityEvents,
    step::step,
};

/// How far a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub phase: Phase,
    /// Rows that this call has done in this phase.
    pub rows: u64,
    /// Rows in the old table when the call began.
    pub total: u64,
}

/// What a copy does at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Looks at every row, and writes nothing.
    Looking,
    /// Copies.
    Copying,
    /// Looks for rows that came later with an earlier key.
    CatchingUp,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = match self.phase {
            Phase::Looking => "looked at",
            Phase::Copying => "copied",
            Phase::CatchingUp => "compared",
        };
        write!(f, "{phase} {} of {} rows", self.rows, self.total)
    }
}

/// What a call of [`migrate`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Migrated {
    /// Events that this call wrote.
    pub copied: u64,
    /// Rows that are left out, by this call or one before; they stand in `events_import_skipped`.
    pub skipped: u64,
}

/// Copies the rows of the old table that are not in `events` yet; see the [module](self).
///
/// Rows are read and written `batch` at a time, so memory does not grow with the table. `progress` is called after each
/// batch. Where everything has been copied, and where the old table has been renamed by [`finish`], nothing happens.
///
/// # Errors
/// [`ActivityEventsError`]. An error about columns or rows comes before anything was written, unless the row came when the
/// copy had begun; batches that are committed stay, and the next call goes on after them.
pub async fn migrate<C: ConnectionTrait + TransactionTrait>(
    db: &C,
    old: &ActivityEvents,
    mut progress: impl FnMut(Progress) + Send,
) -> Result<Migrated, ActivityEventsError> {
    copy::run(db, old, &mut progress).await
}

/// Compares both tables: for each team and type the number of rows and a checksum of all that was copied.
///
/// The old table is read and converted anew, `events` is read as it stands; neither is kept in memory. It only compares
/// what is there while it reads: let nobody write to the old table meanwhile.
///
/// # Errors
/// [`ActivityEventsError::Different`] naming the teams and types that differ.
pub async fn check<C: ConnectionTrait>(db: &C, old: &ActivityEvents) -> Result<Checked, ActivityEventsError> {
    check::run(db, old).await
}

/// Renames the old table to the name of [`rename_to`](ActivityEvents::rename_to), `activity_events_old` unless said.
///
/// It waits for transactions that still write to the old table, and refuses if rows came since [`check`].
///
/// # Errors
/// [`ActivityEventsError::Unchecked`], and the database's; the old table then has the name that it had.
pub async fn finish<C: ConnectionTrait + TransactionTrait>(
    db: &C,
    old: &ActivityEvents,
) -> Result<(), ActivityEventsError> {
    finish::rename(db, old).await
}

/// Gives the old table its name back. Events that were copied stay: `events` is append-only.
///
/// # Errors
/// The database's.
pub async fn undo<C: ConnectionTrait>(db: &C, old: &ActivityEvents) -> Result<(), ActivityEventsError> {
    finish::rename_back(db, old).await
}
