//! Batches of old rows, written as events.

use std::collections::BTreeSet;

use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect, TransactionSession,
    TransactionTrait,
};
use uuid::Uuid;

use super::{
    Migrated, Phase, Progress,
    columns::Mapping,
    convert::{Converter, Row},
    error::{ActivityEventsError, Problem},
    options::ActivityEvents,
    sql::{self, Position},
};
use crate::{
    record::Recorded,
    store::{self, event},
};

/// So many rows are named in an error.
const NAMED: usize = 20;

type Report<'a> = &'a mut (dyn FnMut(Progress) + Send);

/// Which rows a batch takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// Those after the noted position.
    Forward,
    /// Any that are not there yet: those that were committed late, and those that were left out before.
    Missing,
}

/// What a batch did.
struct Batch {
    rows: u64,
    copied: u64,
    /// Where it ended; none at the end of the table.
    end: Option<Position>,
}

/// The rows of a page, as events or as what is wrong with them.
pub(super) struct Page {
    pub(super) events: Vec<(String, Recorded)>,
    pub(super) problems: Vec<Problem>,
    pub(super) rows: u64,
    pub(super) end: Option<Position>,
}

struct Copy<'a> {
    converter: Converter<'a>,
    old: &'a ActivityEvents,
    total: u64,
    /// Some rows are events already: the notes may have been lost, so every row is looked up.
    resumed: bool,
}

pub(super) async fn run<C: ConnectionTrait + TransactionTrait>(
    db: &C,
    old: &ActivityEvents,
    report: Report<'_>,
) -> Result<Migrated, ActivityEventsError> {
    if sql::columns(db, &old.table).await?.is_empty() && !sql::columns(db, &old.renamed).await?.is_empty() {
        let skipped =
            if sql::has_tables(db).await? { sql::skipped(db, &old.table).await?.len() } else { 0 } as u64;
        return Ok(Migrated { copied: 0, skipped });
    }
    let mapping = Mapping::read(db, old, &old.table).await?;
    check_key(db, old, &mapping).await?;
    sql::prepare(db, &old.table, &mapping).await?;
    sql::begin_import(db, &old.table).await?;
    let before = sql::skipped(db, &old.table).await?;
    let total = sql::count(db, &old.table, None).await?;
    let resumed = event::Entity::find()
        .filter(sql::is_from(db.get_database_backend(), &old.table))
        .select_only()
        .column(event::Column::Seq)
        .into_tuple::<i64>()
        .one(db)
        .await?
        .is_some();
    let copy = Copy { converter: Converter { old, mapping: &mapping }, old, total, resumed };
    let begun = sql::import(db, &old.table, false).await?.is_some_and(|import| import.position.is_some());
    if !old.skip && !begun {
        copy.look(db, report).await?;
    }
    let mut copied = copy.pass(db, Pass::Forward, report).await?;
    if !before.is_empty() || copy.misses_rows(db).await? {
        copied += copy.pass(db, Pass::Missing, report).await?;
    }
    let skipped = sql::skipped(db, &old.table).await?.len() as u64;
    Ok(Migrated { copied, skipped })
}

/// Refuses a key by which rows could be missed or taken twice.
async fn check_key(
    db: &impl ConnectionTrait,
    old: &ActivityEvents,
    mapping: &Mapping,
) -> Result<(), ActivityEventsError> {
    for column in [mapping.id(), mapping.time()] {
        let rows = sql::count(db, &old.table, Some(column)).await?;
        if rows > 0 {
            return Err(ActivityEventsError::NullOrder {
                table: old.table.clone(),
                column: column.name.clone(),
                rows,
            });
        }
    }
    let repeated = sql::repeated_key(db.get_database_backend(), &old.table, mapping.id());
    match db.query_one_raw(repeated).await? {
        None => Ok(()),
        Some(row) => Err(ActivityEventsError::RepeatedKey {
            table: old.table.clone(),
            column: mapping.id().name.clone(),
            key: row.try_get("", "k")?,
        }),
    }
}

impl Converter<'_> {
    /// The next rows.
    pub(super) async fn page(
        &self,
        db: &impl ConnectionTrait,
        after: Option<&Position>,
    ) -> Result<Page, DbErr> {
        let statement =
            sql::page(db.get_database_backend(), &self.old.table, self.mapping, after, self.old.batch);
        let rows = db.query_all_raw(statement).await?;
        let mut page = Page {
            events: Vec::with_capacity(rows.len()),
            problems: Vec::new(),
            rows: rows.len() as u64,
            end: None,
        };
        for row in &rows {
            let row = Row::read(row, self.mapping);
            match self.event(&row) {
                Ok(event) => page.events.push(event),
                Err(problem) => page.problems.push(problem),
            }
            page.end = Some(row.position(self.mapping));
        }
        Ok(page)
    }
}

impl Copy<'_> {
    /// Reads all rows before the first is copied, and refuses them as a whole if some cannot be stored.
    async fn look(&self, db: &impl ConnectionTrait, report: Report<'_>) -> Result<(), ActivityEventsError> {
        let (mut problems, mut wrong, mut rows, mut after) = (Vec::new(), 0, 0, None);
        loop {
            let page = self.converter.page(db, after.as_ref()).await?;
            wrong += page.problems.len() as u64;
            problems.extend(page.problems.into_iter().take(NAMED - problems.len()));
            rows += page.rows;
            let Some(end) = page.end else { break };
            report(Progress { phase: Phase::Looking, rows, total: self.total });
            after = Some(end);
        }
        self.refuse(problems, wrong)
    }

    fn refuse(&self, problems: Vec<Problem>, total: u64) -> Result<(), ActivityEventsError> {
        if total == 0 {
            return Ok(());
        }
        Err(ActivityEventsError::Rows { table: self.old.table.clone(), problems, total })
    }

    async fn pass<C: ConnectionTrait + TransactionTrait>(
        &self,
        db: &C,
        pass: Pass,
        report: Report<'_>,
    ) -> Result<u64, ActivityEventsError> {
        let phase = if pass == Pass::Forward { Phase::Copying } else { Phase::CatchingUp };
        let (mut rows, mut copied, mut after) = (0, 0, None);
        loop {
            // A transaction that is dropped is rolled back.
            let txn = db.begin_with_options(sql::batch_options(db.get_database_backend())).await?;
            let batch = self.batch(&txn, pass, after.as_ref()).await?;
            txn.commit().await?;
            rows += batch.rows;
            copied += batch.copied;
            let Some(end) = batch.end else { return Ok(copied) };
            report(Progress { phase, rows, total: self.total });
            after = Some(end);
        }
    }

    async fn batch(
        &self,
        txn: &impl ConnectionTrait,
        pass: Pass,
        after: Option<&Position>,
    ) -> Result<Batch, ActivityEventsError> {
        // Copies that run at once take turns by this lock, and go on from where the other was.
        let import = sql::import(txn, &self.old.table, true).await?.unwrap_or_default();
        let after = if pass == Pass::Forward { import.position.as_ref() } else { after };
        let page = self.converter.page(txn, after).await?;
        let mut events = page.events;
        if pass == Pass::Missing {
            let skipped = sql::skipped(txn, &self.old.table).await?;
            for (key, _) in events.iter().filter(|(key, _)| skipped.contains(key)) {
                sql::forget_skipped(txn, &self.old.table, key).await?;
            }
        }
        if pass == Pass::Missing || self.resumed {
            let there = there(txn, &events).await?;
            events.retain(|(_, event)| !there.contains(&event.id));
        }
        if self.old.skip {
            for problem in &page.problems {
                sql::note_skipped(txn, &self.old.table, problem).await?;
            }
        } else {
            let total = page.problems.len() as u64;
            self.refuse(page.problems.into_iter().take(NAMED).collect(), total)?;
        }
        let copied = events.len() as u64;
        let events = events.into_iter().map(|(_, event)| event).collect();
        for statement in store::insert_statements(txn.get_database_backend(), events) {
            txn.execute_raw(statement).await?;
        }
        match (pass, &page.end) {
            (Pass::Forward, Some(end)) => sql::note_position(txn, &self.old.table, end).await?,
            (Pass::Missing, Some(_)) => sql::note_checked(txn, &self.old.table, None).await?,
            (_, None) => {}
        }
        Ok(Batch { rows: page.rows, copied, end: page.end })
    }

    /// Whether there are rows that are neither copied nor left out.
    async fn misses_rows(&self, db: &impl ConnectionTrait) -> Result<bool, DbErr> {
        let events = event::Entity::find().select_only().expr_as(event::Column::Id.count(), "n");
        let events = events.filter(sql::is_from(db.get_database_backend(), &self.old.table));
        let events: Option<i64> = events.into_tuple().one(db).await?;
        let skipped = sql::skipped(db, &self.old.table).await?.len() as u64;
        let rows = sql::count(db, &self.old.table, None).await?;
        Ok(u64::try_from(events.unwrap_or_default()).unwrap_or_default() + skipped != rows)
    }
}

/// Those of these events that are in the table.
async fn there(db: &impl ConnectionTrait, events: &[(String, Recorded)]) -> Result<BTreeSet<Uuid>, DbErr> {
    if events.is_empty() {
        return Ok(BTreeSet::new());
    }
    let ids = events.iter().map(|(_, event)| event.id);
    let ids =
        event::Entity::find().select_only().column(event::Column::Id).filter(event::Column::Id.is_in(ids));
    Ok(ids.into_tuple::<Uuid>().all(db).await?.into_iter().collect())
}
