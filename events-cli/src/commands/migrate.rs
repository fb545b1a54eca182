//! `events migrate`: the tables.

mod activity_events;
mod roles;

use clap::{Args, Subcommand};
use events_sea_orm::{analytics, event, migration, notifications, threads};
use sea_orm::{DatabaseConnection, DbErr, EntityName};
use serde_json::json;

use self::roles::{Named, RoleNames, TeamTables};
use crate::{Ended, connect::Connect, database, failure::Failure, output};

/// Make the tables of the log, take them away, or show which are there
///
/// For applications without a Migrator of their own; others list `events_sea_orm::migration::steps()` in theirs.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Migrate {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make what is not there yet; safe to run again
    ///
    /// With --app-role, PostgreSQL keeps teams apart by row-level security: `events migrate roles` prints the SQL that makes
    /// the roles. Run it again when tables were added.
    Up {
        #[command(flatten)]
        parts: Parts,
        #[command(flatten)]
        roles: RoleNames,
        #[command(flatten)]
        own: TeamTables,
    },
    /// Take the tables away, and what is in them; without a part, those of the log itself
    ///
    /// With --app-role alone only row-level security is turned off.
    Down {
        #[command(flatten)]
        parts: Parts,
        #[command(flatten)]
        roles: RoleNames,
        #[command(flatten)]
        own: TeamTables,
        /// Yes, what is in the tables may be lost
        #[arg(long)]
        yes: bool,
    },
    ActivityEvents(activity_events::FromActivityEvents),
    /// Print the SQL that makes the roles by which PostgreSQL keeps teams apart
    ///
    /// It is not run: that takes a role that may create roles. It asks no database.
    Roles(Named),
    /// Show which tables are there
    Status {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
}

/// What an application may have beside the log itself.
#[derive(Debug, Args)]
struct Parts {
    /// The tables of threads
    #[arg(long)]
    threads: bool,
    /// The tables of notifications
    #[arg(long)]
    notifications: bool,
    /// The table of daily counts
    #[arg(long)]
    analytics: bool,
    /// What `events purge` needs: the door through the guards, and the record of what went
    #[arg(long)]
    retention: bool,
}

/// A set of tables with its migration steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Log,
    Threads,
    Notifications,
    Analytics,
    Retention,
}

const ALL: [Part; 5] = [Part::Log, Part::Threads, Part::Notifications, Part::Analytics, Part::Retention];

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Threads => "threads",
            Self::Notifications => "notifications",
            Self::Analytics => "analytics",
            Self::Retention => "retention",
        }
    }

    fn tables(self) -> Vec<&'static str> {
        match self {
            Self::Log => vec![event::Entity.table_name()],
            Self::Threads => {
                vec![threads::thread::Entity.table_name(), threads::message::Entity.table_name()]
            }
            Self::Notifications => vec![
                notifications::notification::Entity.table_name(),
                notifications::preference::Entity.table_name(),
            ],
            Self::Analytics => vec![analytics::daily_count::Entity.table_name()],
            Self::Retention => vec!["event_purges", "event_holds", "event_marks"],
        }
    }

    async fn up(self, db: &DatabaseConnection) -> Result<(), DbErr> {
        match self {
            Self::Log => migration::up(db).await,
            Self::Threads => migration::threads::up(db).await,
            Self::Notifications => migration::notifications::up(db).await,
            Self::Analytics => migration::analytics::up(db).await,
            Self::Retention => migration::retention::up(db).await,
        }
    }

    async fn down(self, db: &DatabaseConnection) -> Result<(), DbErr> {
        match self {
            Self::Log => migration::down(db).await,
            Self::Threads => migration::threads::down(db).await,
            Self::Notifications => migration::notifications::down(db).await,
            Self::Analytics => migration::analytics::down(db).await,
            Self::Retention => migration::retention::down(db).await,
        }
    }

    async fn is_there(self, db: &DatabaseConnection) -> Result<bool, DbErr> {
        Ok(database::present(db, &self.tables()).await?.len() == self.tables().len())
    }
}

impl Parts {
    fn named(&self) -> Vec<Part> {
        let named = [
            (self.threads, Part::Threads),
            (self.notifications, Part::Notifications),
            (self.analytics, Part::Analytics),
            (self.retention, Part::Retention),
        ];
        named.into_iter().filter_map(|(is_named, part)| is_named.then_some(part)).collect()
    }
}

impl Migrate {
    pub(crate) async fn run(&self, connect: &Connect) -> Result<Ended, Failure> {
        match &self.command {
            Command::Up { parts, roles, own } => {
                let db = connect.open().await?;
                roles.check(&db)?;
                up(&db, parts).await?;
                roles.up(&db, own).await?;
            }
            Command::Down { parts, roles, own, yes } => {
                let mut parts = parts.named();
                if parts.is_empty() && !roles.is_named() {
                    parts.push(Part::Log);
                }
                if !yes {
                    return Err(Failure::usage(what_goes(&parts)));
                }
                let db = connect.open().await?;
                roles.check(&db)?;
                roles.down(&db, own).await?;
                down(&db, &parts).await?;
            }
            Command::ActivityEvents(from) => from.run(&connect.open().await?).await?,
            Command::Roles(named) => named.print_sql()?,
            Command::Status { json } => status(&connect.open().await?, *json).await?,
        }
        Ok(Ended::Fine)
    }
}

fn what_goes(parts: &[Part]) -> String {
    if parts.is_empty() {
        return "this lets every role that may read the tables see every team's rows: say --yes".to_owned();
    }
    let names: Vec<_> = parts.iter().map(|part| part.name()).collect();
    format!("this drops the tables of {}, and all that is in them: say --yes", names.join(", "))
}

/// The log itself is always among them: the other parts are made of its events.
async fn up(db: &DatabaseConnection, parts: &Parts) -> Result<(), Failure> {
    for part in [Part::Log].into_iter().chain(parts.named()) {
        let was_there = part.is_there(db).await?;
        part.up(db).await?;
        let done = if was_there { "up to date" } else { "made" };
        output::line(&format!("{}: {done} ({})", part.name(), part.tables().join(", ")))?;
    }
    Ok(())
}

async fn down(db: &DatabaseConnection, parts: &[Part]) -> Result<(), Failure> {
    for part in parts {
        part.down(db).await?;
        output::line(&format!("{}: dropped ({})", part.name(), part.tables().join(", ")))?;
    }
    Ok(())
}

async fn status(db: &DatabaseConnection, as_json: bool) -> Result<(), Failure> {
    let mut table = output::table(&["part", "tables", ""]);
    for part in ALL {
        let is_there = part.is_there(db).await?;
        if as_json {
            output::json(&json!({"part": part.name(), "tables": part.tables(), "present": is_there}))?;
        } else {
            let present = if is_there { "there" } else { "not there" };
            table.add_row([part.name(), &part.tables().join(", "), present]);
        }
    }
    let is_on = database::facts(db).await?.row_level_security;
    if as_json {
        output::json(&json!({"part": "row-level security", "tables": [], "present": is_on}))?;
    } else {
        table.add_row(["row-level security", "", if is_on { "on" } else { "off" }]);
        output::line(&table.to_string())?;
    }
    Ok(())
}
