//! `events tail`: the last events, and those that come.

mod follow;

use std::time::Duration;

use clap::Args;
use events_sea_orm::{EventConnection, EventType, Feed, event};

use crate::{
    Ended,
    connect::Connect,
    failure::Failure,
    output::{self, Lines},
    parse,
    whose::Whose,
};

/// Show the last events of a team, or of all, and those that come
#[derive(Debug, Args)]
pub(crate) struct Tail {
    #[command(flatten)]
    whose: Whose,
    /// So many events to begin with
    #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(0..=10_000))]
    limit: u64,
    /// Go on, and show what comes until interrupted
    ///
    /// An event gets its number before its transaction commits, so one can appear below a number that was shown already.
    /// It is shown then, out of its order, if its transaction took no longer than `--late`.
    #[arg(short, long)]
    follow: bool,
    /// With --follow: for how long to look for events below the newest number; as long as your longest transaction
    #[arg(long, default_value = "60s", value_parser = parse::duration, value_name = "DURATION")]
    late: Duration,
    /// With --follow: how often to look
    #[arg(long, default_value = "1s", value_parser = parse::duration, value_name = "DURATION")]
    every: Duration,
    /// Only events of this type, such as CREATED or launch_approved; may be repeated
    #[arg(long = "type", value_name = "TYPE")]
    event_types: Vec<EventType>,
    /// Only events about this kind of object; may be repeated
    #[arg(long = "object-type", value_name = "TYPE")]
    object_types: Vec<String>,
    /// Only what this actor did
    #[arg(long, value_name = "ACTOR")]
    actor: Option<String>,
    /// One JSON object a line, with the columns of the table `events`
    #[arg(long)]
    json: bool,
}

impl Tail {
    pub(crate) async fn run(&self, connect: &Connect) -> Result<Ended, Failure> {
        let db = self.whose.connection(connect.open().await?).await?;
        let mut lines = Lines::new(self.json, self.whose.is_all());
        if self.follow {
            follow::follow(self, &db, &mut lines).await?;
        } else {
            let last = self.last(&db).await?;
            if last.is_empty() && self.limit > 0 && !self.json {
                output::note("there are none");
            }
            lines.print(&last)?;
        }
        Ok(Ended::Fine)
    }

    /// The last events, the oldest of them first.
    async fn last(&self, db: &EventConnection) -> Result<Vec<event::Model>, Failure> {
        let mut last = self.feed(db).limit(self.limit).all().await?;
        last.reverse();
        Ok(last)
    }

    /// What was asked for, the newest first.
    fn feed<'a>(&self, db: &'a EventConnection) -> Feed<'a> {
        let mut feed = db.feed();
        for event_type in &self.event_types {
            feed = feed.event_type(event_type.clone());
        }
        for object_type in &self.object_types {
            feed = feed.object_type(object_type);
        }
        match &self.actor {
            Some(actor) => feed.actor(actor),
            None => feed,
        }
    }
}
