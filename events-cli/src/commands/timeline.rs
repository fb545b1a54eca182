//! `events timeline`: the history of one object.

use clap::Args;
use events_sea_orm::ObjectRef;

use crate::{
    Ended,
    connect::Connect,
    failure::Failure,
    output::{self, Lines},
    whose::Whose,
    words,
};

/// Show what has happened to one object, the oldest first
#[derive(Debug, Args)]
pub(crate) struct Timeline {
    /// What kind of object, such as campaign
    object_type: String,
    /// Which one: its key; of several columns, as a JSON array such as [12,"en"]
    object_id: String,
    #[command(flatten)]
    whose: Whose,
    /// So many events, the newest there are
    #[arg(short = 'n', long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    limit: u64,
    /// One JSON object a line, with the columns of the table `events`
    #[arg(long)]
    json: bool,
}

impl Timeline {
    pub(crate) async fn run(&self, connect: &Connect) -> Result<Ended, Failure> {
        let db = self.whose.connection(connect.open().await?).await?;
        let object = ObjectRef::new(&self.object_type, &self.object_id);
        let mut events = db.timeline(object).limit(self.limit).all().await?;
        events.reverse();
        if self.json {
            Lines::new(true, true).print(&events)?;
        } else if events.is_empty() {
            output::note("nothing is known of this object in this log");
        } else {
            let mut header = vec!["#", "time (UTC)", "event", "who", "what"];
            if self.whose.is_all() {
                header.insert(2, "team");
            }
            let mut table = output::table(&header);
            for event in &events {
                let mut row = vec![event.seq.to_string(), output::time(event.occurred_at)];
                row.extend(self.whose.is_all().then(|| words::plain(&event.team_id)));
                row.extend([event.event_type.clone(), words::who(event), words::what(event)]);
                table.add_row(row);
            }
            output::line(&table.to_string())?;
        }
        Ok(Ended::Fine)
    }
}
