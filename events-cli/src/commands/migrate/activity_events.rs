//! `events migrate activity-events`: the rows of an earlier table become events.

use clap::{Args, ValueEnum};
use events_sea_orm::migration::activity_events::{
    self, ActivityEvents, ActivityEventsError, Phase, Progress,
};
use indicatif::{ProgressBar, ProgressStyle};
use sea_orm::DatabaseConnection;

use crate::{failure::Failure, output, parse};

/// Make the rows of an earlier table into events
///
/// Copies in batches and then compares both tables. Interrupted, it goes on where it was when it is run again; the old table
/// may be written to meanwhile. Say --finish to rename the old table in the end; it is never dropped.
#[derive(Debug, Args)]
pub(super) struct FromActivityEvents {
    /// The earlier table
    #[arg(long, default_value = "activity_events", value_name = "TABLE")]
    table: String,
    /// What a column is that is not found by its name, such as actor=performed_by; may be repeated
    #[arg(long = "column", value_parser = column, value_name = "PART=COLUMN")]
    columns: Vec<(Part, String)>,
    /// Keep a column that has no place of its own, in the event's context; may be repeated
    #[arg(long = "keep-column", value_name = "COLUMN")]
    kept: Vec<String>,
    /// Leave a column out; may be repeated
    #[arg(long = "ignore-column", value_name = "COLUMN")]
    ignored: Vec<String>,
    /// What rows of a type become, such as Launch=launch_approved; may be repeated
    #[arg(long = "event-type", value_parser = parse::pair, value_name = "OLD=NEW")]
    event_types: Vec<(String, String)>,
    /// The team of rows that have none
    #[arg(long, value_name = "TEAM")]
    default_team: Option<String>,
    /// Leave out rows that cannot be stored, and list them in events_import_skipped
    #[arg(long)]
    skip_unstorable: bool,
    /// How many rows a transaction copies, 10,000 at most
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    batch: u64,
    /// In the end, if both tables agree, give the old one another name
    #[arg(long)]
    finish: bool,
    /// That name; the old one followed by _old unless it is said
    #[arg(long, value_name = "TABLE", requires = "finish")]
    rename_to: Option<String>,
}

/// What a column of the earlier table can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Part {
    Id,
    CreatedAt,
    Team,
    Type,
    ObjectType,
    ObjectId,
    Actor,
    OldValues,
    NewValues,
    Field,
    EventData,
    Unit,
    Reason,
}

fn column(text: &str) -> Result<(Part, String), String> {
    let (part, column) = parse::pair(text)?;
    let names = || {
        let names = Part::value_variants().iter().filter_map(Part::to_possible_value);
        names.map(|name| name.get_name().to_owned()).collect::<Vec<_>>().join(", ")
    };
    let part = Part::from_str(&part, false).map_err(|_| format!("`{part}` is none of {}", names()))?;
    Ok((part, column))
}

impl FromActivityEvents {
    pub(super) async fn run(&self, db: &DatabaseConnection) -> Result<(), Failure> {
        let old = self.old();
        tokio::select! {
            copied = self.copy(db, &old) => copied.map_err(failure),
            _ = tokio::signal::ctrl_c() => {
                Err(Failure::failed("interrupted: run the same command again, it goes on where it was"))
            }
        }
    }

    async fn copy(&self, db: &DatabaseConnection, old: &ActivityEvents) -> Result<(), Stopped> {
        let bar = ProgressBar::new(0);
        // A template that is wrong would show the default one.
        if let Ok(style) =
            ProgressStyle::with_template("{msg}  {bar:40} {human_pos} of {human_len}  {eta} left")
        {
            bar.set_style(style);
        }
        let migrated = activity_events::migrate(db, old, |progress| show(&bar, progress)).await?;
        bar.finish_and_clear();
        output::line(&format!("{} rows copied, {} left out", migrated.copied, migrated.skipped))?;
        match activity_events::check(db, old).await {
            Ok(checked) => output::line(&checked.to_string())?,
            // The copy would have said so, unless it was finished.
            Err(ActivityEventsError::NoTable { .. }) => {
                return Ok(output::line(&format!("{} was renamed: nothing is left to be done", self.table))?);
            }
            Err(error) => return Err(error.into()),
        }
        if self.finish {
            activity_events::finish(db, old).await?;
            output::line(&format!("{} has another name now; it is not dropped", self.table))?;
        } else {
            output::line("run it again with --finish when nobody writes to the old table any more")?;
        }
        Ok(())
    }

    fn old(&self) -> ActivityEvents {
        let mut old = ActivityEvents::from_table(&self.table).batch(self.batch);
        for (part, column) in &self.columns {
            let column = column.as_str();
            old = match part {
                Part::Id => old.id_column(column),
                Part::CreatedAt => old.created_at_column(column),
                Part::Team => old.team_column(column),
                Part::Type => old.type_column(column),
                Part::ObjectType => old.object_type_column(column),
                Part::ObjectId => old.object_id_column(column),
                Part::Actor => old.actor_column(column),
                Part::OldValues => old.old_values_column(column),
                Part::NewValues => old.new_values_column(column),
                Part::Field => old.field_column(column),
                Part::EventData => old.event_data_column(column),
                Part::Unit => old.unit_column(column),
                Part::Reason => old.reason_column(column),
            };
        }
        for column in &self.kept {
            old = old.context_column(column);
        }
        for column in &self.ignored {
            old = old.ignore_column(column);
        }
        for (before, after) in &self.event_types {
            old = old.event_type(before, after);
        }
        if let Some(team) = &self.default_team {
            old = old.default_team(team);
        }
        if let Some(name) = &self.rename_to {
            old = old.rename_to(name);
        }
        if self.skip_unstorable { old.skip_unstorable() } else { old }
    }
}

fn show(bar: &ProgressBar, progress: Progress) {
    bar.set_length(progress.total);
    bar.set_position(progress.rows);
    bar.set_message(match progress.phase {
        Phase::Looking => "looking",
        Phase::Copying => "copying",
        _ => "comparing",
    });
}

/// Why it stopped.
enum Stopped {
    Copy(ActivityEventsError),
    Output(std::io::Error),
}

impl From<ActivityEventsError> for Stopped {
    fn from(error: ActivityEventsError) -> Self {
        Self::Copy(error)
    }
}

impl From<std::io::Error> for Stopped {
    fn from(error: std::io::Error) -> Self {
        Self::Output(error)
    }
}

fn failure(stopped: Stopped) -> Failure {
    match stopped {
        Stopped::Output(error) => error.into(),
        Stopped::Copy(ActivityEventsError::Database(error)) => error.into(),
        Stopped::Copy(error) => Failure::Failed(as_options(&error.to_string())),
    }
}

/// The library's advice names its calls; here they are options.
fn as_options(advice: &str) -> String {
    let mut advice = advice
        .replace("`ActivityEvents::from_table(..)`", "`--table ..`")
        .replace("`.ignore_column(\"..\")`", "`--ignore-column ..`")
        .replace("`.context_column(\"..\")`", "`--keep-column ..`")
        .replace("`.skip_unstorable()`", "`--skip-unstorable`")
        .replace("`.rename_to(\"..\")`", "`--rename-to ..`");
    for part in Part::value_variants().iter().filter_map(Part::to_possible_value) {
        let part = part.get_name();
        advice = advice.replace(&format!("`.{part}_column(\"..\")`"), &format!("`--column {part}=..`"));
    }
    advice
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_named_by_what_they_are() {
        assert_eq!(column("actor=performed_by"), Ok((Part::Actor, "performed_by".to_owned())));
        assert_eq!(column("old_values=a=b"), Ok((Part::OldValues, "a=b".to_owned())));
        for wrong in ["actor", "actor=", "=x", "colour=x"] {
            assert!(column(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn advice_is_given_in_options() {
        let advice = ActivityEventsError::NoColumn {
            table: "old".to_owned(),
            what: "the team".to_owned(),
            setter: "team_column",
        };
        assert_eq!(
            as_options(&advice.to_string()),
            "`old` has no column for the team: name it with `--column team=..`"
        );
        let columns = vec!["thread_id".to_owned()];
        let advice = ActivityEventsError::UnknownColumns { table: "old".to_owned(), columns }.to_string();
        assert!(!as_options(&advice).contains("(\""), "{}", as_options(&advice));
    }
}
