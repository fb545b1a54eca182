//! Whose events a command reads.

use clap::Args;
use events_sea_orm::{Context, EventConnection, Events, EventsBuilder, Finding, IsolationFinding};
use sea_orm::DatabaseConnection;

use crate::{database, failure::Failure};

/// One team's events, or those of all: it must be said.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Team {
    /// The events of this team
    #[arg(long, value_name = "TEAM")]
    team: Option<String>,
    /// The events of every team
    #[arg(long)]
    all_teams: bool,
}

/// By which setting PostgreSQL's policies know the team.
#[derive(Debug, Args)]
pub(crate) struct Setting {
    /// The setting that row-level security compares; the policies say it, unless they compare several
    #[arg(long, value_name = "NAME")]
    team_setting: Option<String>,
}

/// Whose events, and how PostgreSQL is told where it keeps teams apart itself.
#[derive(Debug, Args)]
pub(crate) struct Whose {
    #[command(flatten)]
    team: Team,
    #[command(flatten)]
    setting: Setting,
    /// With --all-teams, under row-level security: the role that may see every team, unless the one that connects may
    #[arg(long, value_name = "ROLE", conflicts_with = "team")]
    all_teams_role: Option<String>,
}

impl Setting {
    /// Nothing of an application's own is linked into this program. It also runs as the owner of the tables, of which
    /// the library says that a service must not.
    pub(crate) fn builder(&self, pool: DatabaseConnection) -> EventsBuilder {
        let builder = Events::builder(pool).without_registered_consumers().start_despite_dangers();
        match &self.team_setting {
            Some(setting) => builder.team_setting(setting),
            None => builder,
        }
    }

    /// Refuses a setting that no policy compares: the database would show nothing, and nobody would know why.
    async fn check(&self, events: &Events) -> Result<(), Failure> {
        let Some(named) = &self.team_setting else { return Ok(()) };
        let report = events.verify().await?;
        let compared = report.findings().iter().find_map(|finding| match finding {
            Finding::Isolation(IsolationFinding::WrongSetting { compared, .. }) => Some(compared),
            _ => None,
        });
        compared.map_or(Ok(()), |compared| {
            Err(Failure::failed(format!(
                "no policy of `events` compares the setting {named}, so nothing would be shown: they compare {compared}; leave \
                 --team-setting out, or name that one"
            )))
        })
    }
}

impl Whose {
    /// A connection that reads what was asked for.
    pub(crate) async fn connection(&self, pool: DatabaseConnection) -> Result<EventConnection, Failure> {
        let mut builder = self.setting.builder(pool.clone());
        let is_of_team = self.team.team.is_some();
        let context = match &self.team.team {
            Some(team) => Context::team(team),
            None => {
                if let Some(role) = self.role_for_all(&pool).await? {
                    builder = builder.all_teams_role(role);
                }
                Context::all_teams("events-cli", "reading the log")
            }
        };
        let events = builder.build().await?;
        if is_of_team {
            self.setting.check(&events).await?;
        }
        Ok(events.connection(context))
    }

    /// The role that sees every team. Without it the database would show nothing, and nobody would know why.
    async fn role_for_all(&self, pool: &DatabaseConnection) -> Result<Option<String>, Failure> {
        if self.all_teams_role.is_some() {
            return Ok(self.all_teams_role.clone());
        }
        let facts = database::facts(pool).await?;
        if facts.row_level_security && !database::sees_all_teams(pool).await? {
            let role = facts.role.unwrap_or_default();
            return Err(Failure::failed(format!(
                "row-level security is on and {role} does not see every team: connect as a role that does, or name one \
                 with --all-teams-role"
            )));
        }
        Ok(facts.role)
    }

    /// Whether it must be shown whose an event is.
    pub(crate) fn is_all(&self) -> bool {
        self.team.all_teams
    }
}
