//! What bulk writes need of a unit of work: its connection for many statements, and a log that does not wait for the
//! commit.

use std::sync::atomic::Ordering;

use sea_orm::{ConnectionTrait, DbBackend, DbErr, ExecResult, QueryResult, Statement};
use uuid::Uuid;

use super::{
    Busy, EventTransaction, guard,
    level::Doubt,
    write::{Reply, Verb},
};
use crate::{
    backend::{self, watch},
    bulk::CHUNK,
    error::Refused,
    observe, record, store,
    tracked::Definition,
    withhold::withhold_for,
};

impl EventTransaction {
    pub(crate) fn backend(&self) -> DbBackend {
        self.unit.backend
    }

    /// The connection, for as long as the answer is held.
    pub(crate) async fn begin_bulk(&self) -> Result<Busy, DbErr> {
        self.level.check_writable()?;
        let (busy, doubt) = self.begin_write().await?;
        doubt.settle(); // nothing is written yet
        Ok(busy)
    }

    /// To be armed before the first write.
    pub(crate) fn doubt_bulk(&self) -> Doubt {
        self.level.doubt("a bulk write was cancelled half way")
    }

    /// Ends a bulk write: an error in it leaves the unit in no state to be committed.
    pub(crate) fn end_bulk(
        &self,
        definition: &'static Definition,
        written: Result<(), DbErr>,
        doubt: Doubt,
    ) -> Result<(), DbErr> {
        withhold_for(definition, self.settle(written, doubt))
    }

    /// Refuses a date or time that the database does not hold.
    pub(crate) fn check_years(&self, statement: &Statement) -> Result<(), Refused> {
        guard::check_years(statement)
    }

    /// Refuses a statement of a tracked verb that an expression of the application's made into another.
    pub(crate) fn check_own(&self, statement: &Statement) -> Result<(), Refused> {
        guard::check_values(statement)?;
        guard::check_tracked_verb(&self.inspect_text(&statement.sql))
    }

    /// Rows of a statement of the library's own.
    pub(crate) async fn query_own(
        &self,
        busy: &Busy,
        statement: Statement,
    ) -> Result<Vec<QueryResult>, DbErr> {
        match self.send(busy, Verb::QueryAll, statement).await? {
            Reply::All(rows) => Ok(rows),
            _ => Ok(Vec::new()),
        }
    }

    /// A write of the library's own, which must be of so many rows.
    pub(crate) async fn execute_own(
        &self,
        busy: &Busy,
        statement: Statement,
        rows: usize,
        definition: &'static Definition,
    ) -> Result<ExecResult, DbErr> {
        match self.send(busy, Verb::Execute, statement).await? {
            Reply::Executed(result) if result.rows_affected() == rows as u64 => Ok(result),
            _ => Err(Refused::UnexpectedRow { object_type: definition.object_type() }.into()),
        }
    }

    /// A write of the library's own of any number of rows. Answers how many the database counts.
    pub(crate) async fn execute_any(&self, busy: &Busy, statement: Statement) -> Result<u64, DbErr> {
        Ok(self.send(busy, Verb::Execute, statement).await?.rows())
    }

    /// Writes rows of a ready consumer's. `sql` takes them as its one parameter, a JSON array; it is sent as often as it
    /// must, since one statement carries only so much.
    #[cfg(any(feature = "threads", feature = "notifications"))]
    pub(crate) async fn insert_json_rows(
        &self,
        busy: &Busy,
        sql: &str,
        rows: impl Iterator<Item = String>,
    ) -> Result<(), DbErr> {
        let doubt = self.doubt_bulk();
        let send = async |rows: String| {
            let statement = Statement::from_sql_and_values(self.unit.backend, sql, [(rows + "]").into()]);
            self.execute_any(busy, statement).await.map(drop)
        };
        let (mut array, mut count) = (String::new(), 0);
        for row in rows {
            if count == store::CHUNK_EVENTS || array.len() + row.len() > store::CHUNK_BYTES {
                send(std::mem::take(&mut array)).await?;
                count = 0;
            }
            array.push(if array.is_empty() { '[' } else { ',' });
            array.push_str(&row);
            count += 1;
        }
        if !array.is_empty() {
            send(array).await?;
        }
        doubt.settle();
        Ok(())
    }

    /// Writes the buffered events now if they are many, so that memory does not grow with the rows of a bulk write.
    pub(crate) async fn spill(&self, busy: &Busy) -> Result<(), DbErr> {
        // What a consumer writes in bulk waits for its round, which is how other consumers get to see it.
        let flushing = self.unit.flushing.load(Ordering::Relaxed);
        // Consumers see what is in the buffer without reading it back.
        let many = if self.unit.events.has_consumers() { CHUNK } else { store::MANY };
        if self.level.state().buffer.len() >= many && !self.level.parent_waits() && !flushing {
            self.write_buffer(busy).await?;
        }
        Ok(())
    }

    /// Writes what is in the buffer, and answers what consumers have yet to see of it.
    pub(super) async fn write_buffer(&self, busy: &Busy) -> Result<Vec<events_core::Event>, DbErr> {
        let mut batch = std::mem::take(&mut self.level.state().buffer);
        let Some(first) = batch.first_mut() else { return Ok(Vec::new()) };
        if !self.level.has_written() {
            first.id = self.unit.id; // a unique key by which a unit can be looked for
        }
        let ids: Vec<Uuid> = batch.iter().map(|event| event.id).collect();
        let seen = record::seen(self.unit.events.has_consumers(), &batch)?;
        let counted = observe::Written::of(&batch);
        let doubt = self.level.doubt("writing the events was cancelled");
        let mut statements = store::insert_statements(self.unit.backend, batch).into_iter();
        while let Some(statement) = statements.next() {
            let statement = store::in_schema(statement, self.unit.events.schema());
            let reply = self.write_events(busy, statement, statements.len() == 0).await?;
            self.check_shadow(busy, &reply).await?;
        }
        doubt.settle();
        counted.count();
        #[cfg(feature = "testing")]
        crate::testing::note_unit(self.unit.id, self.team_scope());
        self.level.state().written.extend(ids);
        Ok(seen)
    }

    /// Where a temporary table cannot be passed by, the numbers of the events tell of one: its count begins anew.
    async fn check_shadow(&self, busy: &Busy, reply: &Reply) -> Result<(), DbErr> {
        let (Reply::Executed(result), Some(sql)) = (reply, watch::show_events(self.unit.backend)) else {
            return Ok(());
        };
        let first = backend::last_insert_id(self.unit.backend, result).unwrap_or_default();
        if self.unit.events.rises(first) || self.unit.events.pool().is_mock_connection() {
            return Ok(());
        }
        let shown = self.query_own(busy, Statement::from_string(self.unit.backend, sql)).await?;
        let created: Option<String> = shown.first().map(|row| row.try_get_by_index(1)).transpose()?;
        if created.is_none_or(|created| created.starts_with("CREATE TEMPORARY")) {
            let what = "a temporary table `events` of this connection stands before the log";
            return Err(Refused::HiddenWrite { what }.into());
        }
        Ok(())
    }

    /// Runs the consumers on events that were written before the commit, read back page by page.
    pub(super) async fn consume_written(&self) -> Result<(), DbErr> {
        let count = self.level.state().written.len();
        if self.unit.events.in_transaction().is_empty() {
            return Ok(());
        }
        let mut pages = store::Pages::of_unit(self.unit.id, self.team_scope(), count);
        while let Some(page) = pages.next(self).await? {
            self.consume(&page).await?;
        }
        Ok(())
    }
}
