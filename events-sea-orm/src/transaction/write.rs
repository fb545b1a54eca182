//! A statement on its way through the unit of work: looked at, and sent.

use std::sync::{Arc, atomic::Ordering};

use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbErr, ExecResult, QueryResult, Statement,
    sea_query::UpdateStatement,
};
use tracing::{Instrument, Span};

use super::{
    Announcement, Busy, EventTransaction, Kind,
    end::ended,
    guard,
    in_flight::InFlight,
    level::Doubt,
    links, relations,
    statement::{Care, Inspected},
    watched::{Watch, watches},
};
use crate::{error::Refused, observe, withhold::Sent};

/// Why a unit is poisoned whose statement failed.
pub(super) const DATABASE_ERROR: &str = "the database reported an error";

/// How a statement is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Execute,
    ExecuteUnprepared,
    QueryOne,
    QueryAll,
}

impl Verb {
    /// One prepared statement, so that the server refuses a second one, unless there may be several.
    pub(crate) fn prepared_unless(self, may_be_several: bool) -> Self {
        if self == Self::ExecuteUnprepared && !may_be_several { Self::Execute } else { self }
    }
}

/// What came back for a statement.
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

    /// The first row of an answer.
    pub(super) fn first(&self) -> Option<&QueryResult> {
        match self {
            Self::Executed(_) => None,
            Self::One(row) => row.as_ref(),
            Self::All(rows) => rows.first(),
        }
    }

    /// The reply to this verb, where all rows were asked for in place of one.
    pub(super) fn of(self, verb: Verb) -> Self {
        match (self, verb) {
            (Self::All(rows), Verb::QueryOne) => Self::One(rows.into_iter().next()),
            (reply, _) => reply,
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
    pub(super) async fn send_unless(
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
        guard::check_years(&statement)?; // the library's own too
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
            return self.send_unless(&busy, watch, verb.prepared_unless(false), statement, |_| false).await;
        }
        let announced = guard::claim(&mut self.level.state().announced, &inspected, &statement);
        self.level.check_writable()?;
        guard::check_never(&inspected, self.unit.backend)?;
        guard::check_years(&statement)?;
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
        let verb = verb.prepared_unless(inspected.kind == Kind::Unknown);
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
        if watches { Watch::of(care, &self.unit.events) } else { Watch::Nothing }
    }

    /// What is sent around a write that leaves no events of its rows.
    fn watch_untracked(&self, inspected: &Inspected) -> Watch {
        if self.unit.events.pool().is_mock_connection() {
            return Watch::Nothing;
        }
        Watch::Marked { opaque: inspected.is_opaque(), setting: self.unit.events.compared_setting() }
    }

    /// The connection, and a doubt until the write that follows is settled.
    pub(super) async fn begin_write(&self) -> Result<(Busy, Doubt), DbErr> {
        let busy = self.busy().await;
        self.level.check_writable()?;
        self.catch_up(&busy, None).await?;
        Ok((busy, self.level.doubt("a write was cancelled half way")))
    }

    /// Ends a write: its events are in the buffer, or nothing may be committed any more.
    pub(super) fn settle(&self, recorded: Result<(), DbErr>, doubt: Doubt) -> Result<(), DbErr> {
        if let Err(error) = &recorded {
            self.level.poison_by("a row was written and its event could not be recorded", Some(error));
        }
        doubt.settle();
        recorded
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
