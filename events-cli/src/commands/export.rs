//! `events export`: the log in a file, however long it is.

mod file;
mod format;

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::Args;
use events_sea_orm::{EventConnection, Feed};
use indicatif::{ProgressBar, ProgressStyle};

use self::{
    file::{Destination, Unfinished},
    format::Format,
};
use crate::{Ended, connect::Connect, failure::Failure, parse, whose::Whose};

/// So many events are in memory at once.
const PAGE: u64 = 1_000;

/// Write events to a file or to standard output, the oldest first
///
/// Memory does not grow with the log. A file is written under the name FILE.part and gets its own name when it is complete;
/// an export that was interrupted says how to go on. What commits while it runs is not in it, nor is what commits later with
/// a lower number: to have all there is up to some time, export up to one that is past (`--to`).
#[derive(Debug, Args)]
pub(crate) struct Export {
    #[command(flatten)]
    whose: Whose,
    /// What was recorded at this time or later: 2026-01-31, or 2026-01-31T12:00:00Z
    #[arg(long, value_parser = parse::time, value_name = "TIME")]
    from: Option<DateTime<Utc>>,
    /// What was recorded before this time
    #[arg(long, value_parser = parse::time, value_name = "TIME")]
    to: Option<DateTime<Utc>>,
    /// Go on behind this number: that of the last event that an interrupted export wrote
    #[arg(long, value_name = "SEQ")]
    after: Option<i64>,
    /// One JSON object a line, or comma-separated values below a line of names
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    format: Format,
    /// Where to; standard output if it is not said
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace a file that is there
    #[arg(long, requires = "output")]
    force: bool,
}

impl Export {
    pub(crate) async fn run(&self, connect: &Connect) -> Result<Ended, Failure> {
        let mut destination = Destination::open(self)?;
        let db = self.whose.connection(connect.open().await?).await?;
        let mut last = self.after;
        let written = self.write(&db, &mut destination, &mut last).await;
        match written {
            Ok(rows) => destination.finish(rows)?,
            Err(Failure::BrokenPipe) => return Err(Failure::BrokenPipe),
            Err(failure) => return Err(destination.leave(Unfinished { failure, last })),
        }
        Ok(Ended::Fine)
    }

    /// Writes page by page, and notes the last event that is written whole. Answers how many were.
    async fn write(
        &self,
        db: &EventConnection,
        destination: &mut Destination,
        last: &mut Option<i64>,
    ) -> Result<u64, Failure> {
        let Some(newest) = self.feed(db).one().await? else { return Ok(0) };
        let (progress, mut rows) = (progress(newest.seq), 0);
        // One for all pages: it also remembers what comes while a page is written.
        let mut interrupted = Box::pin(tokio::signal::ctrl_c());
        loop {
            let page = self.feed(db).oldest_first().after(last.unwrap_or(i64::MIN)).before(newest.seq + 1);
            let page = tokio::select! {
                page = page.limit(PAGE).all() => page?,
                _ = &mut interrupted => return Err(Failure::failed("interrupted")),
            };
            let (Some(first), Some(end)) = (page.first(), page.last()) else { break };
            if rows == 0 {
                progress.set_position(position(first.seq));
                progress.reset_eta();
            }
            destination.write(&page)?;
            *last = Some(end.seq);
            rows += u64::try_from(page.len()).unwrap_or_default();
            progress.set_position(position(end.seq));
            progress.set_message(format!("{rows} events"));
        }
        progress.finish_and_clear();
        Ok(rows)
    }

    fn feed<'a>(&self, db: &'a EventConnection) -> Feed<'a> {
        let mut feed = db.feed();
        if let Some(from) = self.from {
            feed = feed.recorded_since(from);
        }
        if let Some(to) = self.to {
            feed = feed.recorded_before(to);
        }
        feed
    }
}

/// By the numbers: counting first would read the whole log twice. Shown on standard error, if that is a terminal.
fn progress(newest: i64) -> ProgressBar {
    let bar = ProgressBar::new(position(newest));
    // A template that is wrong would show the default one.
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {percent}%  {msg}  {eta} left") {
        bar.set_style(style);
    }
    bar
}

fn position(seq: i64) -> u64 {
    u64::try_from(seq).unwrap_or_default()
}
