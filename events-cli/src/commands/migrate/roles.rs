//! The roles by which PostgreSQL keeps teams apart.

use clap::Args;
use events_sea_orm::migration::isolation::{self, Roles};
use sea_orm::{DatabaseConnection, DbBackend};

use crate::{failure::Failure, output, parse};

/// Roles that are there, or are to be made.
#[derive(Debug, Args)]
pub(super) struct RoleNames {
    /// PostgreSQL: keep teams apart by row-level security; the role that the application connects as
    #[arg(long, value_name = "ROLE")]
    app_role: Option<String>,
    #[command(flatten)]
    others: Others,
}

/// As [`RoleNames`], where they must be said.
#[derive(Debug, Args)]
pub(super) struct Named {
    /// The role that the application connects as
    #[arg(long, value_name = "ROLE")]
    app_role: String,
    #[command(flatten)]
    others: Others,
}

#[derive(Debug, Args)]
struct Others {
    /// The role that owns the tables; without it they keep their owner. This role and the next two are remembered: run again
    /// without them, the policies for them stay
    #[arg(long, value_name = "ROLE", requires = "app_role")]
    owner_role: Option<String>,
    /// The role of work for all teams, which the application takes for it
    #[arg(long, value_name = "ROLE", requires = "app_role")]
    delivery_role: Option<String>,
    /// The role that reads the rows of every team and writes none
    #[arg(long, value_name = "ROLE", requires = "app_role")]
    auditor_role: Option<String>,
    /// The setting that tells the team; unless it is said, the one that the policies compare, `app.team_id` the first time
    #[arg(long, value_name = "NAME", requires = "app_role")]
    team_setting: Option<String>,
}

/// Tables of the application's own.
#[derive(Debug, Args)]
pub(super) struct TeamTables {
    /// A table of the application's own, and its column that holds the team, such as campaigns=team_id; may be repeated
    #[arg(long = "team-table", value_parser = parse::pair, value_name = "TABLE=COLUMN", requires = "app_role")]
    tables: Vec<(String, String)>,
}

impl Named {
    /// Prints what makes the roles: who may create roles reads it and runs it.
    pub(super) fn print_sql(&self) -> Result<(), Failure> {
        Ok(output::line(self.others.roles(&self.app_role).create_sql().trim_end())?)
    }
}

impl RoleNames {
    pub(super) fn is_named(&self) -> bool {
        self.app_role.is_some()
    }

    /// The library does nothing where there are no such roles; who names them expects something.
    pub(super) fn check(&self, db: &DatabaseConnection) -> Result<(), Failure> {
        if self.is_named() && db.get_database_backend() != DbBackend::Postgres {
            return Err(Failure::usage("only PostgreSQL keeps teams apart by roles: leave --app-role out"));
        }
        Ok(())
    }

    /// Turns row-level security on. Nothing if no role is named.
    pub(super) async fn up(&self, db: &DatabaseConnection, own: &TeamTables) -> Result<(), Failure> {
        let Some(app) = &self.app_role else { return Ok(()) };
        let roles = self.others.roles(app);
        isolation::up(db, &roles).await?;
        let by = self.others.team_setting.as_ref().map(|setting| format!(", by the setting {setting}"));
        output::line(&format!("row-level security: on for the tables of the log{}", by.unwrap_or_default()))?;
        for (table, column) in &own.tables {
            roles.team_policies(table, column).up(db).await?;
            output::line(&format!("row-level security: on for {table}, by {column}"))?;
        }
        Ok(())
    }

    /// Turns it off. Nothing if no role is named.
    pub(super) async fn down(&self, db: &DatabaseConnection, own: &TeamTables) -> Result<(), Failure> {
        let Some(app) = &self.app_role else { return Ok(()) };
        let roles = self.others.roles(app);
        for (table, column) in &own.tables {
            roles.team_policies(table, column).down(db).await?;
            output::line(&format!("row-level security: off for {table}"))?;
        }
        isolation::down(db, &roles).await?;
        output::line("row-level security: off for the tables of the log")?;
        Ok(())
    }
}

impl Others {
    fn roles(&self, app: &str) -> Roles {
        let mut roles = Roles::app(app);
        if let Some(owner) = &self.owner_role {
            roles = roles.owner(owner);
        }
        if let Some(delivery) = &self.delivery_role {
            roles = roles.delivery(delivery);
        }
        if let Some(auditor) = &self.auditor_role {
            roles = roles.auditor(auditor);
        }
        match &self.team_setting {
            Some(setting) => roles.team_setting(setting),
            None => roles,
        }
    }
}
