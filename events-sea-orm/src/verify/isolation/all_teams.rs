//! The role that work for all teams takes.

use std::fmt;

use sea_orm::{DatabaseConnection, DbErr};

use super::{Found, IsolationFinding, joined};
use crate::backend::isolation::{Kind, RoleNames, inspect, sql::identifier};

/// Why work for all teams could not be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AllTeamsProblem {
    /// There is no such role.
    Missing,
    /// No policy stops it, or it owns the table of events or can become its owner: an application that may take it could let itself
    /// see and change everything.
    TooPowerful,
    /// It is the auditor's, which writes nothing.
    Auditor,
    /// The application's role, or its login that is connected, cannot take it.
    NotAMember,
    /// It does not see the events of every team.
    SeesNotAll,
}

impl fmt::Display for AllTeamsProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "is not there: make it, with what `Roles::create_sql` answers, or name another",
            Self::TooPowerful => {
                "owns the table of events, or can become its owner or what no policy stops: name the role of `Roles::delivery`"
            }
            Self::Auditor => "is the auditor's, which writes nothing: name the role of `Roles::delivery`",
            Self::NotAMember => "cannot be taken by the application: let its role be a member",
            Self::SeesNotAll => {
                "does not see the events of every team: run the steps of `migration::isolation` with it as `Roles::delivery`"
            }
        })
    }
}

pub(super) async fn finding(
    db: &DatabaseConnection,
    found: &Found,
    role: &str,
    setting: &str,
) -> Result<Option<IsolationFinding>, DbErr> {
    let connected = found.session.role.as_str();
    let app = found.role(Kind::App).unwrap_or(connected);
    // Whoever is none of the application's does not take it.
    let taker = if found.session.is_foreign { app } else { connected };
    let said = inspect::all_teams_role(db, role, taker).await?;
    let (problem, mend) = match (said.is_there, said.can_be_taken, said.sees_all) {
        (false, ..) => (AllTeamsProblem::Missing, None),
        // Nothing is granted that an application should not have.
        _ if said.is_powerful => (AllTeamsProblem::TooPowerful, None),
        _ if found.role(Kind::Auditor) == Some(role) => (AllTeamsProblem::Auditor, None),
        (_, false, _) => {
            let alone = if said.is_per_grant { " WITH INHERIT FALSE, SET TRUE" } else { "" };
            let grant = format!("GRANT {} TO {}{alone}", identifier(role), identifier(app));
            // Before PostgreSQL 16 whoever inherits would always see all teams.
            let keep = (!said.is_per_grant).then(|| format!("ALTER ROLE {} NOINHERIT", identifier(app)));
            (AllTeamsProblem::NotAMember, Some(joined(keep.into_iter().chain([grant]))))
        }
        (_, _, false) => {
            let roles = found.roles(setting).filter(|roles| roles.delivery.is_none() && roles.app != role);
            let anew = roles.map(|roles| RoleNames { delivery: Some(role.to_owned()), ..roles });
            let statements =
                anew.map(|roles| {
                    let whole = found.relations.iter().filter(|relation| !relation.is_partition);
                    let granted = whole.filter_map(|relation| Some((relation, relation.access()?)));
                    joined(granted.flat_map(|(relation, access)| {
                        roles.grant(&relation.name, access, Kind::Delivery, role)
                    }))
                });
            (AllTeamsProblem::SeesNotAll, statements)
        }
        _ => return Ok(None),
    };
    Ok(Some(IsolationFinding::AllTeamsRole { role: role.to_owned(), problem, mend }))
}
