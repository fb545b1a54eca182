//! What is said of each finding.

use std::fmt;

use super::{IsolationFinding, TableProblem};
use crate::backend::isolation::sql::identifier;

impl fmt::Display for IsolationFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const CONNECT: &str = "connect as the role of `migration::isolation::Roles::app`";
        match self {
            Self::Off => f.write_str(
                "row-level security is off: only the application's own queries keep teams apart; add the steps of \
                 `migration::isolation`, and see the module `security`",
            ),
            Self::NotTheApplication { role, app: Some(app) } => write!(
                f,
                "the role `{role}` is connected, which is not the application's role `{app}` nor a member of it: connect as `{app}`, \
                 or as a login that inherits from it; work for all teams takes its role by itself, named with `all_teams_role`"
            ),
            Self::NotTheApplication { role, app: None } => write!(
                f,
                "the role `{role}` is connected, which is a superuser or a member of the owner of `events`, so that no policy stops it: \
                 connect as a role of the application's own that is neither"
            ),
            Self::PowerfulRole { role, power, .. } => {
                write!(f, "the role `{role}` {power}, so that no policy stops the application: {CONNECT}")
            }
            Self::OwnedTable { role, owner, table, .. } => {
                const OWNER: &str = "give our tables another owner, with the steps of `migration::isolation` and `Roles::owner`";
                let (owns, what) =
                    if role == owner { ("owns", OWNER) } else { ("can become the owner of", CONNECT) };
                write!(f, "the role `{role}` {owns} `{table}`, and an owner can let itself see everything: {what}")
            }
            Self::OwnedSchema { role, schema, .. } => write!(
                f,
                "the role `{role}` owns the schema `{schema}`, or can become its owner, who may drop the tables in it"
            ),
            Self::NotForced { table, mend: None, .. } => write!(
                f,
                "row-level security is off for `{table}`, which has no policy: make one as that of `events`, or run the steps of \
                 `migration::isolation`, before it is switched on"
            ),
            Self::NotForced { table, is_reached, .. } => {
                write!(f, "row-level security is off for `{table}`, or does not hold for its owner: switch it on")?;
                match is_reached {
                    true => Ok(()),
                    false => f.write_str("; the application reaches this partition through its parent alone, as it has no right on it"),
                }
            }
            Self::LogNotFound { table, schema, .. } => {
                write!(
                    f,
                    "the table `events` is not on the search path, so that nothing is looked at, though policies keep teams apart here, such as \
                     those of `{table}`: "
                )?;
                match schema {
                    Some(schema) => write!(
                        f,
                        "the log seems to be in the schema `{schema}`; put that on the `search_path` of whoever connects, who needs USAGE on it"
                    ),
                    None => f.write_str("run the steps of `events_sea_orm::migration`, or put the schema of the log on the `search_path`"),
                }
            }
            Self::NoPolicies => f.write_str(
                "row-level security is on for `events`, and no policy is there, so that nobody sees anything: a database that was \
                 restored before its roles were made is like that. Make the roles, with what `Roles::create_sql` or `events migrate roles` \
                 prints, then run the steps of `migration::isolation` again, or `events migrate up --app-role ..`, and \
                 `Roles::team_policies` for your own tables",
            ),
            Self::Table { object_type, table, role, problem, is_team, mend } => {
                write!(f, "of the table `{table}`")?;
                if let Some(object_type) = object_type {
                    write!(f, " of `{object_type}`")?;
                }
                write!(f, ", which `{role}` may read or write: {problem}")?;
                if let TableProblem::Policy { .. } = problem {
                    write!(f, ": {}", withdrawal(mend))?;
                }
                match is_team {
                    true => f.write_str("; of the table of the teams themselves this may be meant"),
                    false => Ok(()),
                }
            }
            Self::AllTeamsRole { role, problem, .. } => write!(f, "the role `{role}`, named by `all_teams_role`, {problem}"),
            Self::NotIsolated { table, .. } => {
                write!(f, "`{table}` is not isolated: run the steps of `migration::isolation` again, now that it is there")
            }
            Self::MissingPolicy { table, policy, .. } => {
                write!(f, "the policy `{policy}` on `{table}` is missing, so nothing is let through: make it again")
            }
            Self::AlteredPolicy { table, policy, .. } => {
                write!(f, "the policy `{policy}` on `{table}` does not say what it should: make it again")
            }
            Self::WrongSetting { setting, compared } => write!(
                f,
                "the setting `{setting}` is set here, which no policy compares: they compare the setting `{compared}`, so name that \
                 with `team_setting`, or none"
            ),
            Self::OtherSetting { table, policy, setting, .. } => write!(
                f,
                "the policy `{policy}` on `{table}` compares the setting `{setting}`, which nobody sets here: name it with \
                 `team_setting` when `Events` is built, or make the policy again"
            ),
            Self::WiderPolicy { table, policy, role, mend } => write!(
                f,
                "the policy `{policy}` on `{table}` lets `{role}` see or write more than one team: {}",
                withdrawal(mend)
            ),
            Self::AllTeams { role } => write!(
                f,
                "the role `{role}` sees all teams, whoever asks: {CONNECT}, and let work for all teams take its role for one \
                 transaction, named with `all_teams_role`"
            ),
            Self::NoPolicy { role, mend: None } => write!(
                f,
                "no policy of `events` is for the role `{role}`, which sees and writes nothing: make the policies that are missing, or {CONNECT}"
            ),
            Self::NoPolicy { role, .. } => {
                write!(f, "no policy is for the role `{role}`, which sees and writes nothing: {CONNECT}, or a member that inherits from it")
            }
            Self::Right { table, role, right, .. } => {
                write!(f, "`{role}` has the right {right} on `{table}`, which only its owner should have: take it away")
            }
            Self::View { view, owner, role, is_of_part, needs, .. } => {
                write!(
                    f,
                    "the view `{view}` lets `{role}` read or write the rows of all teams, as its owner `{owner}` may: "
                )?;
                if *is_of_part {
                    return f.write_str(
                        "it asks a partition or a parent of a table, past the policies of that: let it ask the table, as its reader, or take \
                         the rights on it away",
                    );
                }
                f.write_str("let it ask as its reader (`security_invoker`), or take it away")?;
                match needs.as_slice() {
                    [] => Ok(()),
                    needs => {
                        let needs = needs.join(", ");
                        let role = identifier(role);
                        write!(f, "; as its reader it asks no more than that may, which has no right on {needs}: if it is to go on, GRANT SELECT ON {needs} TO {role}")
                    }
                }
            }
            Self::TeamLeftSet { setting, .. } => write!(
                f,
                "the setting `{setting}` has a value before a team is set, so whoever forgets to set one is of that team: \
                 reset it, and never set it for a session"
            ),
            Self::Pooler => f.write_str(
                "the statements of a transaction do not reach one session of the database: let the pooler hand out connections \
                 by the transaction or the session, not by the statement",
            ),
        }
    }
}

/// What the statements do that withdraw a policy from a role.
fn withdrawal(mend: &str) -> &'static str {
    match mend.starts_with("DROP POLICY") || mend.starts_with("ALTER POLICY") {
        true => "take it off",
        false => "let it not inherit from the role that the policy is for",
    }
}
