//! A tracked write: the old rows are read under lock, the statement is sent, and what changed is recorded.

use events_core::TeamScope;
use sea_orm::{
    ConnectionTrait, DbErr, QueryResult, Statement, StatementBuilder, Value, sea_query::UpdateStatement,
};

use super::{
    Announcement, Busy, EventTransaction, Kind,
    level::Doubt,
    on_conflict,
    watched::Watch,
    write::{Reply, Verb},
};
use crate::{
    backend::{self, Lock},
    error::Refused,
    observe,
    record::{self, Change, Recorder, SaveOptions},
    row_level_security::new_team,
    tracked::{Definition, OLD, RowImage},
    withhold::withhold,
};

impl EventTransaction {
    pub(super) async fn announced_write(
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
        let reply = self.send(busy, Verb::QueryAll, both).await?;
        let Some(row) = reply.first() else {
            return self.tracked_write(busy, announced, verb, statement, doubt).await;
        };
        let old = announced[0].definition.image(row, OLD);
        let recorded = match old {
            Ok(old) => self.record_reply(&announced, &[Some(old)], &reply),
            Err(error) => Err(error),
        };
        self.settle(recorded, doubt).map(|()| reply.of(verb))
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
        // All rows of an update are asked for, or nobody would learn of a second one.
        let asked = match (announced[0].kind, verb) {
            (Kind::Update, Verb::QueryOne) => Verb::QueryAll,
            _ => verb,
        };
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
            None => self.send(busy, asked, statement).await?,
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
        self.settle(recorded, doubt).map(|()| reply.of(verb))
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
        let mut select = announcement.definition.select_row(key);
        backend::lock_rows(&mut select, self.unit.backend, lock);
        let statement = StatementBuilder::build(&select, &self.unit.backend);
        let rows = self.query_own(busy, statement).await?;
        record::only_row(announcement.definition(), &rows, &self.team_scope())
    }

    /// Records what a reply says of the rows that were written.
    pub(super) fn record_reply(
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
                if rows.len() > 1 {
                    return Err(several(first));
                }
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

fn announcement_of<'a>(announced: &'a [Announcement], row: &RowImage) -> Result<&'a Announcement, DbErr> {
    if let [only] = announced {
        return Ok(only); // whatever the database made of its key
    }
    let fits = |announcement: &&Announcement| announcement.key.as_ref().is_none_or(|key| row.has_key(key));
    announced.iter().rev().find(fits).ok_or_else(|| unexpected(&announced[0]))
}

pub(super) fn unexpected(announcement: &Announcement) -> DbErr {
    Refused::UnexpectedRow { object_type: announcement.definition().object_type() }.into()
}

/// More rows were updated than the one that was announced.
fn several(announcement: &Announcement) -> DbErr {
    Refused::SeveralRows { object_type: announcement.definition().object_type() }.into()
}
