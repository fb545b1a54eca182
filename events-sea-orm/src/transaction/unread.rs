//! Rows that the database did not return when they were written: they are read by the next statement, or before it.

use sea_orm::{DbErr, ExecResult, Statement, StatementBuilder};

use super::{
    Announcement, Busy, EventTransaction,
    save::unexpected,
    write::{Reply, Verb},
};
use crate::{backend, tracked::RowImage, withhold::withhold};

/// A row that was written and has yet to be read, because the database returned none.
pub(super) struct Unread {
    announcement: Announcement,
    /// The row as it was, if this was an update.
    old: Option<RowImage>,
    select: Statement,
}

impl EventTransaction {
    /// Without RETURNING the new row must be read. SeaORM does so next, for its caller: that answer will do for both.
    pub(super) fn leave_unread(
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
}
