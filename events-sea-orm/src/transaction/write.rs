//! A statement on its way through the unit of work: looked at, sent, and, if it is a tracked write, recorded.

use std::sync::{Arc, atomic::Ordering};

use events_core::TeamScope;
use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbErr, ExecResult, QueryResult, Statement, StatementBuilder, Value,
    sea_query::UpdateStatement,
};
use tracing::{Instrument, Span};

use super::{
    Announcement, Busy, EventTransaction, Kind,
    end::ended,
    guard,
    in_flight::InFlight,
    level::{Doubt, Unread},
    links, on_conflict, relations,
    statement::{Care, Inspected},
    watched::{Watch, watches},
};
use crate::{
    backend::{self, Lock},
    error::Refused,
    observe,
    record::{self, Change, Recorder, SaveOptions},
    row_level_security::new_team,
    tracked::{Definition, OLD, RowImage},
    withhold::{Sent, withhold},
};

/// Why a unit is poisoned whose statement failed.
pub(super) const DATABASE_ERROR: &str = "the database reported an error";

/// How a statement is sent, and what came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Execute,
    ExecuteUnprepared,
    QueryOne,
    QueryAll,
}

pub(crate) enum Reply {
    Executed(ExecResult),
    One(Option<QueryResult>),
    All(Vec<QueryResult>),
}

impl Reply {
    /// How many rows it tells of.
    pub(super) fn rows(&self) -> u64 {
        match self {
            Self::Executed(result) => result.rows_affected(),
            Self::One(row) => u64::from(row.is_some()),
            Self::All(rows) => rows.len() as u64,
        }
    }
}

impl EventTransaction {
    pub(super) fn inner(&self) -> Result<&Arc<DatabaseTransaction>, Refused> {
        self.inner.as_ref().ok_or_else(ended)
    }

    pub(super) async fn send(&self, busy: &Busy, verb: Verb, statement: Statement) -> Result<Reply, DbErr> {
        self.send_unless(busy, Watch::Nothing, verb, statement, |_| false).await
    }

    /// Sends a statement. An error poisons the unit, unless it is one that undoes its statement alone and was expected.
    async fn send_unless(
        &self,
        busy: &Busy,
        watch: Watch,
        verb: Verb,
        statement: Statement,
        expected: fn(&DbErr) -> bool,
    ) -> Result<Reply, DbErr> {
        self.before_sending(busy).await?;
        self.send_now(busy, watch, verb, statement, expected).await
    }

    /// As `send_unless`, without a look at the counts before.
    pub(super) async fn send_now(
        &self,
        busy: &Busy,
        watch: Watch,
        verb: Verb,
        statement: Statement,
        expected: fn(&DbErr) -> bool,
    ) -> Result<Reply, DbErr> {
        let (inner, unit, busy) = (Arc::clone(self.inner()?), Arc::clone(&self.unit), Arc::clone(busy));
        let level = Arc::clone(&self.level);
        let enter = self.enter_new_team()?;
        let answer = InFlight::new(async move {
            // In here, not by the caller, who may be gone when the answer comes: MariaDB ends the whole transaction with
            // some errors, and what came after would commit by itself.
            let doubt = level.doubt("a statement was cancelled half way");
            let answer = answer(&inner, enter, &watch, verb, statement).await;
            if let Err(error) = &answer
                && !expected(error)
            {
                level.poison_by(DATABASE_ERROR, Some(error));
                let ended = matches!(Refused::of(error), Some(Refused::TransactionEnded));
                unit.ended.fetch_or(ended, Ordering::Relaxed);
            }
            doubt.settle();
            // In this order: a transaction that was dropped meanwhile goes with the unit, its connection being free.
            drop((inner, unit, level));
            drop(busy);
            answer
        });
        answer.await
    }

    /// Tells the database, before the next statement, of the team that this unit has made.
    pub(super) fn enter_new_team(&self) -> Result<Option<Statement>, Refused> {
        let mut state = self.level.state();
        if !std::mem::take(&mut state.team_is_new) {
            return Ok(None);
        }
        self.unit.events.enter(&state.team)
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
        let answer = self.dispatch_unless_refused(verb, inspected, statement, update).await;
        self.level.answered(answer)
    }

    async fn dispatch_unless_refused(
        &self,
        verb: Verb,
        inspected: Inspected,
        statement: Statement,
        update: Option<&UpdateStatement>,
    ) -> Result<Reply, DbErr> {
        if inspected.kind == Kind::Read {
            guard::check_values(&statement)?;
            self.level.check_healthy()?;
            let busy = self.busy().await;
            self.level.check_healthy()?;
            let asked = (verb == Verb::QueryOne).then_some(&statement);
            if let Some(answer) = self.catch_up(&busy, asked).await? {
                return Ok(answer);
            }
            let watch = self.watch(inspected.care);
            // One prepared statement: the server refuses a second one.
            let verb = if verb == Verb::ExecuteUnprepared { Verb::Execute } else { verb };
            return self.send_unless(&busy, watch, verb, statement, |_| false).await;
        }
        let announced = guard::claim(&mut self.level.state().announced, &inspected, &statement);
        self.level.check_writable()?;
        guard::check_never(&inspected, self.unit.backend)?;
        if inspected.kind != Kind::Unknown {
            guard::check_values(&statement)?; // what adoption lets pass may be several statements
        }
        if let Some(save) = self.open_save().await? {
            let written = save.write(verb, inspected, statement, update, announced).await;
            return save.close_save(written).await;
        }
        self.write(verb, inspected, statement, update, announced).await
    }

    async fn write(
        &self,
        verb: Verb,
        inspected: Inspected,
        statement: Statement,
        update: Option<&UpdateStatement>,
        announced: Vec<Announcement>,
    ) -> Result<Reply, DbErr> {
        if announced.is_empty() {
            return self.unannounced_write(verb, inspected, statement).await;
        }
        let span = announced
            .first()
            .map(|first| observe::save_span(&self.unit.span, first.definition(), first.kind));
        let save = self.announced_write(verb, statement, update, announced);
        save.instrument(span.unwrap_or_else(Span::none)).await
    }

    async fn announced_write(
        &self,
        verb: Verb,
        statement: Statement,
        update: Option<&UpdateStatement>,
        announced: Vec<Announcement>,
    ) -> Result<Reply, DbErr> {
        let (busy, doubt) = self.begin_write().await?;
        let redacts = announced.iter().any(|announcement| announcement.definition().redacts());
        let reply = match update.and_then(|update| self.with_old(update, &announced)) {
            Some(both) => self.tracked_update(&busy, announced, both, verb, statement, doubt).await,
            None => self.tracked_write(&busy, announced, verb, statement, doubt).await,
        };
        if redacts { reply.map_err(withhold) } else { reply }
    }

    /// A write that no hook announced: of an untracked table, inside `untracked`, or of links, which SeaORM removes
    /// with their parent and without hooks.
    async fn unannounced_write(
        &self,
        verb: Verb,
        mut inspected: Inspected,
        statement: Statement,
    ) -> Result<Reply, DbErr> {
        let tally = self.level.tally.as_ref();
        if tally.is_none() {
            if let (Verb::Execute, Kind::Delete, [table]) =
                (verb, inspected.kind, inspected.written.as_slice())
                && let Some(links) = links::of(table, &statement, self.unit.backend)
            {
                return self.delete_links(links, statement).await;
            }
            guard::check_unannounced(&inspected, self.unit.events.adoption())?;
        } else {
            guard::check_untracked(&inspected, self.unit.backend)?;
        }
        let watch = match tally {
            Some(_) => self.watch_untracked(&inspected),
            None => Watch::Nothing,
        };
        // Only what adoption lets pass may be several statements.
        let verb = match verb {
            Verb::ExecuteUnprepared if inspected.kind != Kind::Unknown => Verb::Execute,
            verb => verb,
        };
        let (busy, doubt) = self.begin_write().await?;
        if let Err(error) = self.complete(&busy, &mut inspected).await {
            doubt.settle(); // nothing was written
            return Err(error);
        }
        let reply = self.send_unless(&busy, watch, verb, statement, |_| false).await;
        doubt.settle();
        let reply = reply?;
        if let Some(tally) = tally {
            tally.count(&inspected.written, reply.rows());
        }
        Ok(reply)
    }

    /// Finds out what the tables that a statement writes stand for, and whether it may pass with that.
    pub(super) async fn complete(&self, busy: &Busy, inspected: &mut Inspected) -> Result<(), DbErr> {
        let catalog = relations::Catalog::Unit(self, busy);
        let added = relations::complete(&self.unit.events, inspected, catalog).await?;
        match self.level.tally {
            None => Ok(guard::check_tables(&added, inspected.kind, self.unit.events.adoption())?),
            Some(_) => Ok(()),
        }
    }

    /// What is sent around a read.
    pub(super) fn watch(&self, care: Care) -> Watch {
        let watches = watches(self.unit.backend, care) && !self.unit.events.pool().is_mock_connection();
        if watches { Watch::of(care) } else { Watch::Nothing }
    }

    /// What is sent around a write that leaves no events of its rows.
    fn watch_untracked(&self, inspected: &Inspected) -> Watch {
        if self.unit.events.pool().is_mock_connection() {
            return Watch::Nothing;
        }
        let security = self.unit.events.row_level_security();
        let setting = security.map(|security| security.team_setting.clone()).unwrap_or_default();
        Watch::Marked { opaque: inspected.is_opaque(), setting }
    }

    /// The connection, and a doubt until the write that follows is settled.
    pub(super) async fn begin_write(&self) -> Result<(Busy, Doubt), DbErr> {
        let busy = self.busy().await;
        self.level.check_writable()?;
        self.catch_up(&busy, None).await?;
        Ok((busy, self.level.doubt("a write was cancelled half way")))
    }

    /// Whether a write can bring back the old rows too. A mock answers what it was told to, and to nothing else.
    pub(crate) fn reads_with_write(&self) -> bool {
        backend::updates_with_old(self.unit.backend) && !self.unit.events.pool().is_mock_connection()
    }

    /// The update in a form that brings back the old row too, where the database has one.
    fn with_old(&self, update: &UpdateStatement, announced: &[Announcement]) -> Option<Statement> {
        let ([announcement], true) = (announced, self.reads_with_write()) else { return None };
        let state = self.level.state();
        let team = match &state.team {
            TeamScope::Team(team) => Some(team.as_str()),
            TeamScope::All => None,
            _ => return None, // refused, and the long way tells why
        };
        let update = announcement.definition.update_with_old(update, announcement.key.as_ref()?, team)?;
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
        let old = announced[0].definition.image(row, OLD);
        let recorded = match old {
            Ok(old) => self.record_reply(&announced, &[Some(old)], &reply),
            Err(error) => Err(error),
        };
        self.settle(recorded, doubt).map(|()| reply)
    }

    /// Ends a write: its events are in the buffer, or nothing may be committed any more.
    pub(super) fn settle(&self, recorded: Result<(), DbErr>, doubt: Doubt) -> Result<(), DbErr> {
        if let Err(error) = &recorded {
            self.level.poison_by("a row was written and its event could not be recorded", Some(error));
        }
        doubt.settle();
        recorded
    }

    /// Reads the old rows under lock, sends the statement, and records what changed: one step under the gate.
    async fn tracked_write(
        &self,
        busy: &Busy,
        announced: Vec<Announcement>,
        verb: Verb,
        statement: Statement,
        doubt: Doubt,
    ) -> Result<Reply, DbErr> {
        let mut old_rows = Vec::with_capacity(announced.len());
        for announcement in &announced {
            let old = match self.old_row(busy, announcement).await.and_then(|old| {
                announcement.check_size(old.as_ref(), self.unit.events.event_limit())?;
                Ok(old)
            }) {
                Ok(old) => old,
                Err(error) => {
                    doubt.settle(); // nothing was written
                    return self.as_of_no_row(verb, &announced, error);
                }
            };
            old_rows.push(old);
        }
        let enters = self.enter_team_to_be(busy, &announced).await?;
        let written = self.write_announced(busy, announced, old_rows, verb, statement, doubt).await;
        if enters {
            // Whatever became of the insert, the database hears before the next statement whose unit this is.
            self.level.state().team_is_new = true;
        }
        written
    }

    /// Tells the database the team that an insert is about to make: the policies of the tenants' table compare it.
    async fn enter_team_to_be(&self, busy: &Busy, announced: &[Announcement]) -> Result<bool, DbErr> {
        let [insert] = announced else { return Ok(false) };
        let key = insert.key.as_deref();
        if !new_team::makes_team(insert.definition(), insert.kind, &self.team_scope()) {
            return Ok(false);
        }
        let enter =
            new_team::team_to_be(key).map(|team| self.unit.events.enter(&team)).transpose()?.flatten();
        let Some(enter) = enter else { return Ok(false) };
        self.send(busy, Verb::Execute, enter).await?;
        Ok(true)
    }

    /// The key of a new team's row, if the database's policies will ask for it before the row is there.
    pub(crate) async fn draw_team_key(
        &self,
        definition: &'static Definition,
    ) -> Result<Option<Value>, DbErr> {
        if !self.unit.events.is_row_level_secure() {
            return Ok(None);
        }
        let busy = self.begin_bulk().await?;
        let found = self.query_own(&busy, new_team::select(definition)).await?;
        let Some(draw) = new_team::Draw::of(&found)? else { return Ok(None) };
        draw.key(definition, &self.query_own(&busy, draw.statement.clone()).await?)
    }

    /// Sends a tracked write whose old rows are read, and records what changed.
    async fn write_announced(
        &self,
        busy: &Busy,
        mut announced: Vec<Announcement>,
        mut old_rows: Vec<Option<RowImage>>,
        verb: Verb,
        statement: Statement,
        doubt: Doubt,
    ) -> Result<Reply, DbErr> {
        let plain =
            (announced[0].kind == Kind::Insert).then(|| on_conflict::plain_insert(&statement)).flatten();
        let reply = match plain {
            // MySQL counts a row that is there like one that came. A plain INSERT tells them apart.
            Some(plain) => {
                match self.send_unless(busy, Watch::Nothing, verb, plain, backend::is_unique_violation).await
                {
                    // Of several, nobody knows which one is there.
                    Err(error) if backend::is_unique_violation(&error) && announced.len() == 1 => {
                        doubt.settle();
                        return self.send(busy, verb, statement).await;
                    }
                    answer => answer?,
                }
            }
            None => self.send(busy, verb, statement).await?,
        };
        let recorded = match (&reply, announced.as_slice()) {
            (Reply::Executed(result), [first, ..]) if first.kind != Kind::Delete => {
                match (result.rows_affected(), announced.len()) {
                    (0, _) => Ok(()),
                    (1, 1) => {
                        let unread = announced.pop().zip(old_rows.pop());
                        unread.map_or(Ok(()), |(announcement, old)| {
                            self.leave_unread(announcement, old, result)
                        })
                    }
                    // Rows that nobody can name. A save writes one, and SeaORM has many of them returned.
                    _ => Err(unexpected(first)),
                }
            }
            _ => self.record_reply(&announced, &old_rows, &reply),
        };
        self.settle(recorded, doubt).map(|()| reply)
    }

    /// To whom it does not belong, a row of another team is not there: the save answers what it answers of a missing row,
    /// and the log alone tells why.
    fn as_of_no_row(&self, verb: Verb, announced: &[Announcement], error: DbErr) -> Result<Reply, DbErr> {
        let (Some(refused), [_]) = (Refused::of(&error), announced) else { return Err(error) };
        let reply = match verb {
            Verb::QueryOne => Some(Reply::One(None)),
            Verb::QueryAll => Some(Reply::All(Vec::new())),
            _ => backend::nothing_executed(self.unit.backend).map(Reply::Executed),
        };
        match (refused, reply) {
            (Refused::OtherTeam { .. }, Some(reply)) => {
                observe::other_team(refused);
                Ok(reply)
            }
            _ => Err(error),
        }
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
            None => backend::last_insert_id(self.unit.backend, result)
                .and_then(|id| announcement.definition.counted_key(id))
                .ok_or_else(|| unexpected(&announcement))?,
        };
        let mut select = announcement.definition.select_whole_row(&key);
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
            let busy = self.busy().await;
            self.catch_up(&busy, None).await?;
        }
        Ok(())
    }

    /// The row as the database holds it, locked, and of a team that this context may touch.
    async fn old_row(&self, busy: &Busy, announcement: &Announcement) -> Result<Option<RowImage>, DbErr> {
        let (lock, Some(key)) = (
            match announcement.kind {
                Kind::Update => Lock::ForUpdate,
                Kind::Delete => Lock::ForDelete,
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
        let mut select = announcement.definition.select_row(key);
        if let Some(lock) = lock.and_then(|lock| backend::lock(self.unit.backend, lock)) {
            select.lock(lock);
        }
        let statement = StatementBuilder::build(&select, &self.unit.backend);
        match self.send(busy, Verb::QueryOne, statement).await? {
            Reply::One(Some(row)) => announcement.definition.image(&row, "").map(Some),
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
        let image = |row: &QueryResult| first.definition.image(row, "");
        let rows: Vec<RowImage> = match reply {
            _ if first.kind == Kind::Delete => Vec::new(), // the old rows say all
            Reply::One(row) => row.iter().map(image).collect::<Result<_, _>>()?,
            Reply::All(rows) => rows.iter().map(image).collect::<Result<_, _>>()?,
            Reply::Executed(_) => Vec::new(),
        };
        match first.kind {
            Kind::Insert => {
                for row in rows {
                    let announcement = announcement_of(announced, &row)?;
                    self.record_announced(announcement, Change::Created(&row))?;
                }
            }
            Kind::Update => {
                let Some(new) = rows.first() else { return Ok(()) };
                // The old row was found by the announced key. Not compared with that: to a database 'en' may be 'EN'.
                let old = old_rows[0]
                    .as_ref()
                    .filter(|old| old.has_key(&new.key))
                    .ok_or_else(|| unexpected(first))?;
                record::same_team(first.definition(), old, new)?;
                self.record_announced(first, Change::Updated(old, new))?;
            }
            Kind::Delete => {
                let gone = announced.iter().zip(old_rows);
                let gone: Vec<_> = gone.filter_map(|(of, old)| Some((of, old.as_ref()?))).collect();
                match reply.rows() {
                    0 => return Ok(()), // no such row, or one that a trigger holds back
                    rows if rows != gone.len() as u64 => return Err(unexpected(first)),
                    _ => {}
                }
                for (announcement, old) in gone {
                    self.record_announced(announcement, Change::Deleted(old))?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// What makes the events of one call.
    pub(crate) fn recorder<'a>(
        &self,
        definition: &'static Definition,
        options: &'a SaveOptions,
    ) -> Result<Recorder<'a>, Refused> {
        Recorder::new(definition, options, &self.unit.context, self.unit.id, self.unit.events.event_limit())
    }

    /// The events of a change go into the buffer.
    pub(crate) fn record(&self, recorder: &Recorder<'_>, change: Change<'_>) -> Result<(), Refused> {
        let mut state = self.level.state();
        let team = record::team_of_change(recorder.definition(), change, &state.team)?;
        if matches!(state.team, TeamScope::New) {
            state.team = TeamScope::Team(team.clone());
            state.team_is_new = true;
        }
        if let Some(strict) = &self.unit.strict {
            strict.record(recorder.definition(), &change);
        }
        state.buffer.extend(recorder.events(change, &team)?);
        Ok(())
    }

    fn record_announced(&self, announcement: &Announcement, change: Change<'_>) -> Result<(), Refused> {
        self.record(&self.recorder(announcement.definition(), &announcement.options)?, change)
    }
}

async fn answer(
    inner: &DatabaseTransaction,
    enter: Option<Statement>,
    watch: &Watch,
    verb: Verb,
    statement: Statement,
) -> Result<Reply, DbErr> {
    if let Some(enter) = enter {
        inner.execute_raw(enter).await?;
    }
    let sent = Sent::of(&statement);
    watch.answer(inner, verb, statement).await.map_err(|error| sent.withhold(error))
}

fn announcement_of<'a>(announced: &'a [Announcement], row: &RowImage) -> Result<&'a Announcement, DbErr> {
    if let [only] = announced {
        return Ok(only); // whatever the database made of its key
    }
    let fits = |announcement: &&Announcement| announcement.key.as_ref().is_none_or(|key| row.has_key(key));
    announced.iter().rev().find(fits).ok_or_else(|| unexpected(&announced[0]))
}

fn unexpected(announcement: &Announcement) -> DbErr {
    Refused::UnexpectedRow { object_type: announcement.definition().object_type() }.into()
}
