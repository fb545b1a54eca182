//! A statement on its way through the unit of work: looked at, sent, and, if it is a tracked write, recorded.

use std::sync::Arc;

use events_core::TeamScope;
use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbErr, ExecResult, QueryResult, Statement, StatementBuilder, Value,
    sea_query::UpdateStatement,
};

use super::{
    Announcement, Busy, Caller, EventTransaction, Kind, ended,
    in_flight::InFlight,
    level::{Doubt, Unread},
    statement::Inspected,
};
use crate::{
    backend::{self, Lock},
    error::Refused,
    record::{self, Change},
    store,
    tracked::{OLD, RowImage},
    withhold::withhold,
};

/// How a statement is sent, and what came back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Execute,
    ExecuteUnprepared,
    QueryOne,
    QueryAll,
}

pub(super) enum Reply {
    Executed(ExecResult),
    One(Option<QueryResult>),
    All(Vec<QueryResult>),
}

impl EventTransaction {
    pub(super) fn inner(&self) -> Result<&Arc<DatabaseTransaction>, Refused> {
        self.inner.as_ref().ok_or_else(ended)
    }

    async fn send(&self, busy: &Busy, verb: Verb, statement: Statement) -> Result<Reply, DbErr> {
        let (inner, unit, busy) = (Arc::clone(self.inner()?), Arc::clone(&self.unit), Arc::clone(busy));
        let answer = InFlight::new(async move {
            let answer = match verb {
                Verb::Execute => inner.execute_raw(statement).await.map(Reply::Executed),
                Verb::ExecuteUnprepared => {
                    inner.execute_unprepared(&statement.sql).await.map(Reply::Executed)
                }
                Verb::QueryOne => inner.query_one_raw(statement).await.map(Reply::One),
                Verb::QueryAll => inner.query_all_raw(statement).await.map(Reply::All),
            };
            // In this order: a transaction that was dropped meanwhile goes with the unit, its connection being free.
            drop((inner, unit));
            drop(busy);
            answer
        });
        answer.await.inspect_err(|_| self.level.poison("the database reported an error"))
    }

    /// Sends a statement of the library's own: no consumer and no hook has a say in it.
    pub(super) async fn send_own(&self, statement: Statement) -> Result<(), DbErr> {
        let busy = self.unit.busy().await;
        let doubt = self.level.doubt("writing the events was cancelled");
        let sent = self.send(&busy, Verb::Execute, statement).await;
        doubt.settle();
        sent.map(drop)
    }

    /// Every statement comes through here.
    ///
    /// Announcements are taken before the first await: SeaORM sends a statement in the very poll in which its hook
    /// returned, so what is announced then belongs to it, and what it does not use is stale.
    pub(super) async fn dispatch(
        &self,
        verb: Verb,
        inspected: Inspected,
        statement: Statement,
        update: Option<&UpdateStatement>,
    ) -> Result<Reply, DbErr> {
        if inspected.kind == Kind::Read {
            self.level.check_healthy()?;
            let busy = self.unit.busy().await;
            self.level.check_healthy()?;
            let asked = (verb == Verb::QueryOne).then_some(&statement);
            if let Some(answer) = self.catch_up(&busy, asked).await? {
                return Ok(answer);
            }
            return self.send(&busy, verb, statement).await;
        }
        let announced = self.take_announced(verb, &inspected, &statement);
        self.check_write(&inspected)?;
        let busy = self.unit.busy().await;
        self.level.check_writable()?;
        self.catch_up(&busy, None).await?;
        let doubt = self.level.doubt("a write was cancelled half way");
        if announced.is_empty() {
            let reply = self.send(&busy, verb, statement).await;
            doubt.settle();
            return reply;
        }
        let redacts = announced.iter().any(|announcement| announcement.definition().redacts());
        let reply = match update.and_then(|update| self.with_old(update, &announced)) {
            Some(both) => self.tracked_update(&busy, announced, both, verb, statement, doubt).await,
            None => self.tracked_write(&busy, announced, verb, statement, doubt).await,
        };
        if redacts { reply.map_err(withhold) } else { reply }
    }

    /// What was announced of this statement.
    ///
    /// An update is sent as it is announced, so what another write finds is stale. Rows of a junction table are announced
    /// together, with whatever their hooks save in between, and where none come back SeaORM inserts them one by one.
    fn take_announced(&self, verb: Verb, inspected: &Inspected, statement: &Statement) -> Vec<Announcement> {
        let caller = Caller::current();
        let mut state = self.level.state();
        let taken = std::mem::take(&mut state.announced);
        let (mut mine, mut others): (Vec<_>, Vec<_>) = taken.into_iter().partition(|announcement| {
            announcement.by == caller && belongs(announcement, inspected, statement)
        });
        let one_row =
            inspected.kind == Kind::Update || (inspected.kind == Kind::Insert && verb == Verb::Execute);
        if one_row {
            others.extend(mine.drain(..mine.len().saturating_sub(1)));
        }
        others.retain(|other| other.by != caller || other.kind != Kind::Update);
        state.announced = others;
        mine
    }

    fn check_write(&self, inspected: &Inspected) -> Result<(), Refused> {
        self.level.check_writable()?;
        if inspected.kind == Kind::Schema {
            return Err(Refused::Schema);
        }
        match inspected.written.iter().find(|table| store::is_own_table(table)) {
            Some(table) => Err(Refused::OwnTable { table: table.clone() }),
            None => Ok(()),
        }
    }

    /// The update in a form that brings back the old row too, where the database has one.
    fn with_old(&self, update: &UpdateStatement, announced: &[Announcement]) -> Option<Statement> {
        let ([announcement], true) = (announced, backend::updates_with_old(self.unit.backend)) else {
            return None;
        };
        let state = self.level.state();
        let team = match &state.team {
            TeamScope::Team(team) => Some(team.as_str()),
            TeamScope::All => None,
            _ => return None, // refused, and the long way tells why
        };
        let update = announcement.rows.update_with_old(update, announcement.key.as_ref()?, team)?;
        Some(StatementBuilder::build(&update, &self.unit.backend))
    }

    /// Old row, lock and update in one statement. If it finds no row, the long way tells why.
    async fn tracked_update(
        &self,
        busy: &Busy,
        announced: Vec<Announcement>,
        both: Statement,
        verb: Verb,
        statement: Statement,
        doubt: Doubt,
    ) -> Result<Reply, DbErr> {
        let reply = self.send(busy, Verb::QueryOne, both).await?;
        let Reply::One(Some(row)) = &reply else {
            return self.tracked_write(busy, announced, verb, statement, doubt).await;
        };
        let old = announced[0].rows.image(row, OLD);
        let recorded = match old {
            Ok(old) => self.record_reply(&announced, &[Some(old)], &reply),
            Err(error) => Err(error),
        };
        self.settle(recorded, doubt).map(|()| reply)
    }

    /// Ends a write: its events are in the buffer, or nothing may be committed any more.
    fn settle(&self, recorded: Result<(), DbErr>, doubt: Doubt) -> Result<(), DbErr> {
        if recorded.is_err() {
            self.level.poison("a row was written and its event could not be recorded");
        }
        doubt.settle();
        recorded
    }

    /// Reads the old rows under lock, sends the statement, and records what changed: one step under the gate.
    async fn tracked_write(
        &self,
        busy: &Busy,
        mut announced: Vec<Announcement>,
        verb: Verb,
        statement: Statement,
        doubt: Doubt,
    ) -> Result<Reply, DbErr> {
        let mut old_rows = Vec::with_capacity(announced.len());
        for announcement in &announced {
            let old = match self.old_row(busy, announcement, &statement).await {
                Ok(old) => old,
                Err(error) => {
                    doubt.settle(); // nothing was written
                    return Err(error);
                }
            };
            old_rows.push(old);
        }
        let reply = self.send(busy, verb, statement).await?;
        let recorded = match (&reply, announced.as_slice()) {
            (Reply::Executed(result), [only]) if only.kind != Kind::Delete => {
                let kept = only.kind == Kind::Insert && old_rows[0].is_some();
                if result.rows_affected() == 0 || kept {
                    Ok(())
                } else {
                    let unread = announced.pop().zip(old_rows.pop());
                    unread.map_or(Ok(()), |(announcement, old)| self.leave_unread(announcement, old, result))
                }
            }
            _ => self.record_reply(&announced, &old_rows, &reply),
        };
        self.settle(recorded, doubt).map(|()| reply)
    }

    /// Without RETURNING the new row must be read. SeaORM does so next, for its caller: that answer will do for both.
    fn leave_unread(
        &self,
        announcement: Announcement,
        old: Option<RowImage>,
        result: &ExecResult,
    ) -> Result<(), DbErr> {
        let key = match &announcement.key {
            Some(key) => key.clone(),
            None => announcement
                .rows
                .counted_key(result.last_insert_id())
                .ok_or_else(|| unexpected(&announcement))?,
        };
        let mut select = announcement.rows.select(&key);
        select.limit(1); // word for word as SeaORM asks
        let select = StatementBuilder::build(&select, &self.unit.backend);
        self.level.state().unread = Some(Unread { announcement, old, select });
        Ok(())
    }

    /// Reads and records the row that the write before left unread. Answers the row if it is what is asked for.
    pub(super) async fn catch_up(
        &self,
        busy: &Busy,
        asked: Option<&Statement>,
    ) -> Result<Option<Reply>, DbErr> {
        let Some(Unread { announcement, old, select }) = self.level.state().unread.take() else {
            return Ok(None);
        };
        let doubt = self.level.doubt("reading what was written was cancelled");
        let is_asked = asked.is_some_and(|asked| asked.sql == select.sql && asked.values == select.values);
        let redacts = announcement.definition().redacts();
        let reply = self.send(busy, Verb::QueryOne, select).await;
        let recorded = match &reply {
            Ok(Reply::One(None)) => Err(unexpected(&announcement)),
            Ok(row) => self.record_reply(&[announcement], &[old], row),
            Err(_) => Ok(()),
        };
        let result = self.settle(recorded, doubt).and(reply);
        let reply = if redacts { result.map_err(withhold) } else { result }?;
        Ok(is_asked.then_some(reply))
    }

    /// As [`catch_up`](Self::catch_up), where no statement follows.
    pub(super) async fn caught_up(&self) -> Result<(), DbErr> {
        if self.level.state().unread.is_some() {
            let busy = self.unit.busy().await;
            self.catch_up(&busy, None).await?;
        }
        Ok(())
    }

    /// The row as the database holds it, locked, and of a team that this context may touch.
    async fn old_row(
        &self,
        busy: &Busy,
        announcement: &Announcement,
        statement: &Statement,
    ) -> Result<Option<RowImage>, DbErr> {
        let (lock, Some(key)) = (
            match announcement.kind {
                Kind::Update => Lock::ForUpdate,
                Kind::Delete => Lock::ForDelete,
                Kind::Insert if backend::counts_kept_rows(&statement.sql) => Lock::ForUpdate,
                _ => return Ok(None),
            },
            &announcement.key,
        ) else {
            return Ok(None);
        };
        let old = self.read_row(busy, announcement, key, Some(lock)).await?;
        if let Some(old) = &old {
            let team = self.level.state().team.clone();
            record::team_of(announcement.definition(), old, &team)?;
        }
        Ok(old)
    }

    async fn read_row(
        &self,
        busy: &Busy,
        announcement: &Announcement,
        key: &[Value],
        lock: Option<Lock>,
    ) -> Result<Option<RowImage>, DbErr> {
        let mut select = announcement.rows.select(key);
        if let Some(lock) = lock.and_then(|lock| backend::lock(self.unit.backend, lock)) {
            select.lock(lock);
        }
        let statement = StatementBuilder::build(&select, &self.unit.backend);
        match self.send(busy, Verb::QueryOne, statement).await? {
            Reply::One(Some(row)) => announcement.rows.image(&row, "").map(Some),
            _ => Ok(None),
        }
    }

    /// Records what a reply says of the rows that were written.
    fn record_reply(
        &self,
        announced: &[Announcement],
        old_rows: &[Option<RowImage>],
        reply: &Reply,
    ) -> Result<(), DbErr> {
        let first = &announced[0];
        let image = |row: &QueryResult| first.rows.image(row, "");
        let rows: Vec<RowImage> = match reply {
            Reply::One(row) => row.iter().map(image).collect::<Result<_, _>>()?,
            Reply::All(rows) => rows.iter().map(image).collect::<Result<_, _>>()?,
            Reply::Executed(_) => Vec::new(),
        };
        match first.kind {
            Kind::Insert => {
                for row in rows {
                    let announcement = announcement_of(announced, &row)?;
                    self.record(announcement, Change::Created(&row))?;
                }
            }
            Kind::Update => {
                let Some(new) = rows.first() else { return Ok(()) };
                // The old row was found by the announced key. Not compared with that: to a database 'en' may be 'EN'.
                let old =
                    old_rows[0].as_ref().filter(|old| old.key == new.key).ok_or_else(|| unexpected(first))?;
                record::same_team(first.definition(), old, new)?;
                self.record(first, Change::Updated(old, new))?;
            }
            Kind::Delete => {
                let gone = match reply {
                    Reply::Executed(result) => result.rows_affected(),
                    Reply::One(_) | Reply::All(_) => rows.len() as u64,
                };
                if gone == 0 {
                    return Ok(());
                }
                let were = announced.iter().zip(old_rows).filter_map(|(row, old)| Some((row, old.as_ref()?)));
                let were: Vec<_> = were.collect();
                if gone != were.len() as u64 {
                    return Err(unexpected(first));
                }
                for (announcement, old) in were {
                    self.record(announcement, Change::Deleted(old))?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn record(&self, announcement: &Announcement, change: Change<'_>) -> Result<(), Refused> {
        let definition = announcement.definition();
        let mut state = self.level.state();
        let row = match change {
            Change::Created(row) | Change::Updated(_, row) | Change::Deleted(row) => row,
        };
        let team = record::team_of(definition, row, &state.team)?;
        if matches!(state.team, events_core::TeamScope::New) {
            state.team = events_core::TeamScope::Team(team.clone());
        }
        let options = &announcement.options;
        let mut events =
            record::events(definition, change, options, &team, &self.unit.context, self.unit.id)?;
        state.buffer.append(&mut events);
        Ok(())
    }
}

/// Whether the announcement is for this very statement: kind, table and key.
fn belongs(announcement: &Announcement, inspected: &Inspected, statement: &Statement) -> bool {
    let table = announcement.definition().table();
    if announcement.kind != inspected.kind || inspected.written.iter().all(|written| written != table) {
        return false;
    }
    let Some(key) = &announcement.key else {
        return announcement.kind == Kind::Insert; // without a key SeaORM sends nothing else
    };
    let values = statement.values.as_ref().map(|values| values.0.as_slice()).unwrap_or_default();
    if announcement.kind == Kind::Update {
        // The key stands in the condition, which comes last.
        values.ends_with(key)
    } else {
        let count = |parts: &[Value], part: &Value| parts.iter().filter(|other| *other == part).count();
        key.iter().all(|part| count(values, part) >= count(key, part))
    }
}

fn announcement_of<'a>(announced: &'a [Announcement], row: &RowImage) -> Result<&'a Announcement, DbErr> {
    if let [only] = announced {
        return Ok(only); // whatever the database made of its key
    }
    let fits = |announcement: &&Announcement| announcement.key.as_ref().is_none_or(|key| *key == row.key);
    announced.iter().rev().find(fits).ok_or_else(|| unexpected(&announced[0]))
}

fn unexpected(announcement: &Announcement) -> DbErr {
    Refused::UnexpectedRow { object_type: announcement.definition().object_type() }.into()
}
