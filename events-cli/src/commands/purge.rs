//! `events purge`: old events go, and that they did is recorded.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use events_sea_orm::retention::{self, Hold, PurgeError, Purged};
use indicatif::ProgressBar;
use serde_json::json;

use crate::{Ended, connect::Connect, failure::Failure, output, parse, words};

/// Remove old events, as the owner of the tables; what went, why and by whom is recorded in `event_purges`
///
/// Needs `events migrate up --retention`. An event goes if its transaction was known to have ended by the time that is given:
/// that is noted whenever a purge runs, so run one regularly. It goes on in batches; interrupted, run it again.
#[derive(Debug, Args)]
pub(crate) struct Purge {
    #[command(flatten)]
    cut: Cut,
    /// Why: it is recorded
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// By whom: it is recorded; the user who runs it unless it is said
    #[arg(long, env = "USER", hide_env = true, value_name = "NAME")]
    by: String,
    /// How many events a transaction removes
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// How long to wait for open writers, which would keep events from going
    #[arg(long, default_value = "5s", value_parser = parse::duration, value_name = "DURATION")]
    wait: Duration,
    /// For a log older than `migrate up --retention`: no transaction stayed open for longer than this, such as 1d
    ///
    /// What is so much older than the time that is given can go although nobody noted when its transaction ended.
    #[arg(long, value_parser = parse::duration, value_name = "DURATION")]
    assume_ended_within: Option<Duration>,
    /// Yes, these events may go for good
    #[arg(long)]
    yes: bool,
    /// What was done as one JSON object
    #[arg(long)]
    json: bool,
}

/// Which events are old.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Cut {
    /// What was recorded longer ago than this: 365d, 52w
    #[arg(long, value_parser = parse::duration, value_name = "DURATION")]
    older_than: Option<Duration>,
    /// What was recorded before this time: 2026-01-31, or 2026-01-31T12:00:00Z
    #[arg(long, value_parser = parse::time, value_name = "TIME")]
    before: Option<DateTime<Utc>>,
}

impl Cut {
    fn time(&self) -> Result<DateTime<Utc>, Failure> {
        if let Some(before) = self.before {
            return Ok(before);
        }
        let age = self.older_than.and_then(|age| TimeDelta::from_std(age).ok());
        let time = age.and_then(|age| Utc::now().checked_sub_signed(age));
        time.ok_or_else(|| Failure::usage("--older-than goes back beyond all time"))
    }
}

impl Purge {
    pub(crate) async fn run(&self, connect: &Connect) -> Result<Ended, Failure> {
        let cut = self.cut.time()?;
        if !self.yes {
            let cut = output::time(cut);
            return Err(Failure::usage(format!(
                "this removes what was recorded before {cut} UTC for good: say --yes"
            )));
        }
        let db = connect.open().await?;
        let bar = ProgressBar::new_spinner();
        let told = bar.clone();
        let mut purge = retention::Purge::recorded_before(cut)
            .reason(&self.reason)
            .by(&self.by)
            .batch(self.batch)
            .wait(self.wait)
            .on_batch(move |so_far| {
                told.set_position(so_far.events);
                told.set_message(format!("{} events removed", so_far.events));
            });
        if let Some(longest) = self.assume_ended_within {
            purge = purge.assume_ended_within(longest);
        }
        let purged = tokio::select! {
            purged = retention::purge(&db, purge) => purged.map_err(failure)?,
            _ = tokio::signal::ctrl_c() => {
                let events = bar.position();
                return Err(Failure::failed(format!("interrupted: {events} events were removed, and recorded; run it again to go on")));
            }
        };
        bar.finish_and_clear();
        if self.json {
            output::json(&as_json(&purged))?;
        } else {
            let holds = if purged.kept_by_hold > 0 { retention::holds(&db).await? } else { Vec::new() };
            in_words(&purged, &holds).iter().try_for_each(|line| output::line(line))?;
        }
        Ok(Ended::Fine)
    }
}

fn in_words(purged: &Purged, holds: &[Hold]) -> Vec<String> {
    let Purged { id, events, batches, kept_by_hold, kept_in_flight, .. } = purged;
    let mut lines = vec![format!("{events} events removed in {batches} batches, recorded as {id}")];
    if *kept_by_hold > 0 {
        let names: Vec<String> = holds.iter().map(|hold| words::plain(&hold.name)).collect();
        lines.push(format!("{kept_by_hold} kept: held by {}", names.join(", ")));
    }
    if *kept_in_flight > 0 {
        let next = purged.next_cut.map(output::time);
        let next =
            next.map_or("a later purge can".to_owned(), |next| format!("--before {next} UTC or later can"));
        lines.push(format!("{kept_in_flight} kept: their transactions are not known to have ended by then; {next} remove them"));
    }
    if !purged.marked {
        lines.push(
            "a writer stayed open for too long: what it wrote, and what came after, is kept".to_owned(),
        );
    }
    lines
}

fn as_json(purged: &Purged) -> serde_json::Value {
    json!({
        "purge_id": purged.id,
        "events": purged.events,
        "batches": purged.batches,
        "kept_by_hold": purged.kept_by_hold,
        "kept_in_flight": purged.kept_in_flight,
        "recorded_until": purged.recorded_until,
        "marked": purged.marked,
        "next_cut": purged.next_cut,
    })
}

fn failure(error: PurgeError) -> Failure {
    match error {
        PurgeError::Database(error) => error.into(),
        PurgeError::NotInstalled { .. } => {
            Failure::failed("nothing can be removed before `events migrate up --retention` was run")
        }
        other => Failure::failed(other.to_string()),
    }
}
