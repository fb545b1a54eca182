//! The one door for writes that leave no events of their rows.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use events_core::{Event, NewEvent};
use sea_orm::{DbErr, TransactionOptions, TransactionTrait};
use serde_json::json;

use super::{EventTransaction, level::lock, sql::Table};
use crate::connection::EventConnection;

/// The type of the event that tells of untracked writes.
const EVENT: &str = "untracked_write";

/// What was written past the log: statements and rows of each table.
#[derive(Default)]
pub(super) struct Tally(Mutex<BTreeMap<String, (u64, u64)>>);

impl Tally {
    pub(super) fn count(&self, written: &[Table], rows: u64) {
        let mut tables = lock(&self.0);
        // Text of which nobody can tell: its rows count all the same.
        let unknown = || vec!["(unknown)".to_owned()];
        let mut names: Vec<String> = written.iter().map(|table| table.name.clone()).collect();
        names.dedup();
        for name in if names.is_empty() { unknown() } else { names } {
            let (statements, total) = tables.entry(name).or_default();
            *statements += 1;
            *total += rows;
        }
    }

    fn event(&self, reason: &str) -> NewEvent {
        let tables = lock(&self.0);
        let tables: BTreeMap<&String, _> = tables
            .iter()
            .map(|(name, (statements, rows))| (name, json!({"statements": statements, "rows": rows})))
            .collect();
        Event::custom(EVENT).json(json!({"reason": reason, "tables": tables}))
    }
}

impl EventTransaction {
    /// Runs `work` in a nested unit that lets raw SQL and bulk writes to tracked tables pass. Its rows leave no events
    /// of their own; one event `untracked_write` tells the reason, the tables, and how many statements and rows.
    ///
    /// For seeds, repairs and data migrations. Tracked saves in it are recorded as ever. Text is one INSERT, UPDATE, DELETE,
    /// REPLACE or MERGE at a time; on PostgreSQL also `DO` and `CALL`, whose rows count under `(unknown)`. The schema, this library's own
    /// tables and the end of the transaction stay closed: each statement is followed by a look whether the transaction is still
    /// the same, and after code whether it wrote to a table of this library. What a statement writes is known by its words: triggers and
    /// cascades are not looked into.
    ///
    /// # Errors
    /// What `work` answers, and then nothing of it is left; else as [`emit`](Self::emit) and
    /// [`begin`](TransactionTrait::begin). Across teams, [`Context::home_team`](events_core::Context::home_team) says
    /// whose log tells of it.
    ///
    /// # Examples
    /// ```no_run
    /// # use events_sea_orm::{EventTransaction, sea_orm::{ConnectionTrait, DbErr}};
    /// # async fn example(txn: EventTransaction) -> Result<(), DbErr> {
    /// txn.untracked("repair of ticket 881", async |txn| {
    ///     txn.execute_unprepared("UPDATE campaigns SET name = trim(name)").await
    /// })
    /// .await?;
    /// # Ok(()) }
    /// ```
    pub async fn untracked<T, E, F>(&self, reason: impl Into<String>, work: F) -> Result<T, E>
    where
        F: AsyncFnOnce(&EventTransaction) -> Result<T, E>,
        E: From<DbErr>,
    {
        let reason = reason.into();
        let tally = Arc::new(Tally::default());
        // Refused now rather than when the work is done: whose log will tell of it?
        self.check_emit(tally.event(&reason))?;
        let nested = self.nest(TransactionOptions::default(), Some(Arc::clone(&tally))).await?;
        super::run(nested, async |txn| {
            let value = work(txn).await?;
            txn.emit(tally.event(&reason)).await?;
            Ok(value)
        })
        .await
    }
}

impl EventConnection {
    /// As [`EventTransaction::untracked`], in a unit of its own.
    ///
    /// # Errors
    /// As there; and as [`begin`](TransactionTrait::begin) and commit.
    pub async fn untracked<T, E, F>(&self, reason: impl Into<String>, work: F) -> Result<T, E>
    where
        F: AsyncFnOnce(&EventTransaction) -> Result<T, E>,
        E: From<DbErr>,
    {
        super::run(self.begin().await?, async |txn| txn.untracked(reason, work).await).await
    }
}
