//! `events doctor`: what the library finds wrong with a database.

use clap::Args;
use events_sea_orm::{Report, Severity};
use serde::Serialize;
use serde_json::json;

use crate::{
    Ended,
    connect::Connect,
    database::{self, Facts},
    failure::Failure,
    output,
    whose::Setting,
};

/// Examine the database: are the tables there, are events guarded, are teams kept apart
///
/// Prints what is wrong and the SQL that puts it right. Exits with 1 if an error or a danger was found. It only reads. The
/// application's own models are not known to it: of their tables it looks at those whose policies compare the team, under row-level
/// security. At every one the application looks itself, when it starts and by `events.verify()`.
/// Under row-level security it looks at the role of the application. Who connects as another, such as the owner of the
/// tables or an auditor, is meant to be able to do more, and nothing is said of that: connect with the application's own URL to
/// have its login examined too.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    setting: Setting,
    /// One JSON object a line: first the database, then each finding
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub(crate) async fn run(&self, connect: &Connect) -> Result<Ended, Failure> {
        let pool = connect.open().await?;
        let facts = database::facts(&pool).await?;
        let events = self.setting.builder(pool).build().await?;
        let report = events.verify_without_models().await?;
        let operator = report.operator().map(str::to_owned);
        let report = report.of_the_application();
        if self.json {
            output::json(&Examined { facts: &facts, tables: report.tables() })?;
            for finding in report.findings() {
                let severity = finding.severity().to_string();
                let line =
                    json!({"severity": severity, "finding": finding.to_string(), "mend": finding.mend()});
                output::json(&line)?;
            }
        } else {
            output::line(&in_words(&facts))?;
            if let Some(role) = operator {
                output::line(&format!(
                    "{role} is not the application's role: what {role} itself may do is left out. With the application's URL its login \
                     is examined."
                ))?;
            }
            output::line(&of_own_tables(&facts, &report))?;
            if report.is_clean() {
                output::line("Nothing found.")?;
            } else {
                let mut table = output::table(&["severity", "finding"]);
                for finding in report.findings() {
                    table.add_row([finding.severity().to_string(), finding.to_string()]);
                }
                output::line(&table.to_string())?;
                // Outside the table, to be copied.
                let fixes = report.fixes();
                if !fixes.is_empty() {
                    output::line("What puts it right:")?;
                }
                fixes.iter().try_for_each(|mend| output::line(mend))?;
            }
        }
        let is_bad = report.findings().iter().any(|finding| finding.severity() >= Severity::Error);
        Ok(if is_bad { Ended::Unclean } else { Ended::Fine })
    }
}

fn in_words(facts: &Facts) -> String {
    let role = facts.role.as_ref().map(|role| format!(", as {role}")).unwrap_or_default();
    let events = match facts.events {
        Some(events) => format!("about {events} events"),
        None => "number of events unknown".to_owned(),
    };
    let security = if facts.row_level_security { "on" } else { "off" };
    format!("{}{role}: {events}, row-level security is {security}.", facts.database)
}

/// What was examined, for scripts.
#[derive(Serialize)]
struct Examined<'a> {
    #[serde(flatten)]
    facts: &'a Facts,
    /// The application's own tables that were looked at.
    tables: &'a [String],
}

/// Which tables of the application's own were looked at, so that nobody takes silence about the others for a pass.
fn of_own_tables(facts: &Facts, report: &Report) -> String {
    const OTHERS: &str = "when it starts and by `events.verify()`.";
    match report.tables() {
        [] if !facts.row_level_security => {
            format!("The tables of the application's own were not looked at: it does that {OTHERS}")
        }
        [] => format!(
            "No table of the application's own was looked at, as none that its role may use has a policy by the team: the application \
             looks at those of its models {OTHERS}"
        ),
        tables => format!(
            "Tables of the application's own that were looked at, as their policies are by the team: {}. The application looks at \
             those of all its models {OTHERS}",
            tables.join(", ")
        ),
    }
}
