//! Strict units: what the unit has recorded of each tracked table against what the database has counted.

use std::sync::{Mutex, atomic::Ordering};

use sea_orm::{DbErr, Statement};

use super::{
    Busy, EventTransaction,
    level::lock,
    watched::Watch,
    write::{Reply, Verb},
};
use crate::{
    backend::counts::{self, Counted, Rows},
    error::Refused,
    record::Change,
    tracked::{self, Definition},
};

/// The counts of one unit of work.
pub(super) struct Strict {
    /// The names of the tracked tables, and as the database reads them.
    tables: Vec<String>,
    quoted: Vec<String>,
    state: Mutex<State>,
}

struct State {
    /// What was counted before the unit wrote anything.
    before: Vec<Rows>,
    /// What it recorded since, also of what was rolled back: the database counts that too.
    recorded: Vec<Rows>,
    /// Whether something was sent since the last look.
    is_stale: bool,
    /// Whether the counts are to be taken as they are before anything else is sent.
    is_new: bool,
}

impl Strict {
    /// Of the tables of every tracked entity that is known by now.
    pub(super) fn new() -> Self {
        let mut tables: Vec<(String, String)> = tracked::known()
            .into_iter()
            .map(|known| (known.full_table(), counts::quoted(known.schema(), known.table())))
            .collect();
        tables.sort_unstable();
        tables.dedup();
        let (tables, quoted): (Vec<_>, Vec<_>) = tables.into_iter().unzip();
        let nothing = vec![[0; 3]; tables.len()];
        let state = State { before: nothing.clone(), recorded: nothing, is_stale: false, is_new: true };
        Self { tables, quoted, state: Mutex::new(state) }
    }

    pub(super) fn is_stale(&self) -> bool {
        lock(&self.state).is_stale
    }

    fn is_new(&self) -> bool {
        lock(&self.state).is_new
    }

    /// What was counted since the last look is undone, or not to be recorded.
    pub(super) fn forget(&self) {
        let mut state = lock(&self.state);
        (state.is_new, state.is_stale) = (true, false);
    }

    /// A row was recorded.
    pub(super) fn record(&self, definition: &Definition, change: &Change<'_>) {
        let place = match change {
            Change::Created(_) => 0,
            Change::Updated(..) => 1,
            Change::Deleted(_) => 2,
        };
        let table = definition.full_table();
        if let Some(found) = self.tables.iter().position(|known| *known == table) {
            lock(&self.state).recorded[found][place] += 1;
        }
    }

    /// From here on, what is counted now is what was recorded.
    fn set(&self, counted: &[Counted]) {
        let mut state = lock(&self.state);
        let State { before, recorded, is_new, .. } = &mut *state;
        *is_new = false;
        for ((before, recorded), counted) in before.iter_mut().zip(recorded).zip(counted) {
            *before = std::array::from_fn(|kind| counted.rows[kind] - recorded[kind]);
        }
    }

    /// Refuses if the database has counted anything else.
    fn check(&self, counted: &[Counted]) -> Result<(), Refused> {
        let mut state = lock(&self.state);
        state.is_stale = false;
        for (place, counted) in counted.iter().enumerate() {
            let unseen: Rows = std::array::from_fn(|kind| {
                counted.rows[kind] - state.before[place][kind] - state.recorded[place][kind]
            });
            let [inserted, updated, deleted] = unseen;
            let has_moved = counted.has_parts && inserted > 0 && inserted == deleted && updated == -inserted;
            if unseen != [0; 3] && !has_moved {
                return Err(Refused::UnseenChange { table: self.tables[place].clone(), unseen });
            }
        }
        Ok(())
    }
}

impl EventTransaction {
    /// Takes the counts as they are before something is sent: at the begin, and where what was written is undone or not to
    /// be recorded.
    pub(super) async fn before_sending(&self, busy: &Busy) -> Result<(), DbErr> {
        let Some(strict) = &self.unit.strict else { return Ok(()) };
        if strict.is_new() {
            // They stay to be taken until they are: this may be dropped on its way.
            let ask = counts::ask(&strict.quoted);
            if let Reply::All(rows) =
                self.send_now(busy, Watch::Nothing, Verb::QueryAll, ask, |_| false).await?
            {
                strict.set(&counts::read(&rows)?);
            }
        }
        lock(&strict.state).is_stale = true;
        Ok(())
    }

    /// Refuses a unit in which a tracked table was written unseen.
    pub(super) async fn check_counts(&self, busy: &Busy) -> Result<(), DbErr> {
        let Some(strict) = self.unit.strict.as_ref().filter(|strict| strict.is_stale()) else {
            return Ok(());
        };
        let rows = self.query_own(busy, counts::ask(&strict.quoted)).await?;
        self.compare(strict, &counts::read(&rows)?)
    }

    /// Writes events, and looks in the same statement whether they tell of all that was written.
    pub(super) async fn write_events(
        &self,
        busy: &Busy,
        insert: Statement,
        is_last: bool,
    ) -> Result<Reply, DbErr> {
        let flushes = self.unit.flushing.load(Ordering::Relaxed);
        let Some(strict) = self.unit.strict.as_ref().filter(|_| is_last && flushes) else {
            return self.send(busy, Verb::Execute, insert).await;
        };
        let insert = counts::insert_and_ask(insert, &strict.quoted);
        let reply = self.send(busy, Verb::QueryAll, insert).await?;
        if let Reply::All(rows) = &reply {
            self.compare(strict, &counts::read(rows)?)?;
        }
        Ok(reply)
    }

    fn compare(&self, strict: &Strict, counted: &[Counted]) -> Result<(), DbErr> {
        strict.check(counted).map_err(|refused| {
            self.level.poison(&refused.to_string());
            refused.into()
        })
    }
}
