//! The application's own tracked tables: whether each lets a role of one team read and write the rows of that team alone.

use std::fmt;

use super::{Found, IsolationFinding, joined, policies::is_of_one_team};
use crate::{
    backend::isolation::{
        Command, Kind, RoleNames,
        expression::setting_compared,
        policy::{drop_one, force},
        sql::identifier,
        tables::{Named, TablePolicy, TeamTable},
    },
    tracked::{Definition, TeamSource},
};

/// What is wrong with a tracked table of the application's own.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TableProblem {
    /// Row-level security is off.
    Off,
    /// Row-level security does not hold for the table's owner.
    NotForced,
    /// No policy is for the role: it sees and writes nothing.
    NoPolicy,
    /// A policy lets the role see or write rows of other teams, or of teams that nobody has compared.
    Policy {
        /// The policy.
        policy: String,
    },
    /// A policy compares another setting than the one that is set.
    OtherSetting {
        /// The policy.
        policy: String,
        /// The setting that it compares.
        setting: String,
    },
    /// The role may empty the table: no policy stops a TRUNCATE.
    Truncate,
    /// The role owns the table, or can become its owner, who can let itself see everything.
    Owner {
        /// The owner.
        owner: String,
    },
    /// The role may read or write a partition by its own name, past the policies of the table.
    Partition,
}

impl fmt::Display for TableProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("row-level security is off for it: make its policies, with `Roles::team_policies`"),
            Self::NotForced => f.write_str("row-level security does not hold for its owner: force it"),
            Self::NoPolicy => f.write_str("no policy lets it see or write any row: make them, with `Roles::team_policies`"),
            Self::Policy { policy } => {
                write!(f, "the policy `{policy}` does not compare the row's team with the one that is set: take it off")
            }
            Self::OtherSetting { policy, setting } => write!(
                f,
                "the policy `{policy}` compares the setting `{setting}`, which is not the one that is set here: make it again, or \
                 name that setting with `team_setting`"
            ),
            Self::Truncate => f.write_str("it may TRUNCATE the rows of all teams, which no policy stops: take that right away"),
            Self::Owner { owner } => write!(
                f,
                "it is its owner `{owner}`, or can become it, and an owner can let itself see everything: give the table another owner"
            ),
            Self::Partition => f.write_str(
                "it is a partition that can be asked by its own name, past the policies of its table: take the rights on it away",
            ),
        }
    }
}

/// Those of these models whose rows say their team.
pub(super) fn named(tracked: &[&'static Definition]) -> Vec<(&'static Definition, Named<'static>)> {
    let named = |definition: &&'static Definition| match definition.team() {
        TeamSource::Column(column) => {
            let (schema, table) = (definition.schema(), definition.table());
            Some((*definition, Named { schema, table, column }))
        }
        TeamSource::Context => None,
    };
    tracked.iter().filter_map(named).collect()
}

pub(super) fn findings(
    found: &Found,
    named: &[(&'static Definition, Named<'static>)],
    tables: &[TeamTable],
    setting: &str,
) -> Vec<IsolationFinding> {
    let mut findings = Vec::new();
    for table in tables.iter().filter(|table| is_of_one_team(found, &table.role)) {
        let Some((definition, Named { column, .. })) = named.get(table.place) else { continue };
        for (problem, statements) in problems(found, table, column, definition.is_team(), setting) {
            findings.push(IsolationFinding::Table {
                object_type: definition.object_type(),
                table: table.name.clone(),
                role: table.role.clone(),
                problem,
                is_team: definition.is_team(),
                mend: joined(statements),
            });
        }
    }
    findings
}

/// What is wrong with one table for one role, each with the statements that put it right.
fn problems(
    found: &Found,
    table: &TeamTable,
    column: &str,
    is_team: bool,
    setting: &str,
) -> Vec<(TableProblem, Vec<String>)> {
    let (name, role) = (&table.name, identifier(&table.role));
    if table.is_partition {
        let revoke = vec![format!("REVOKE ALL ON {name} FROM {role}")];
        let is_open = !table.is_enabled || !table.policies.is_empty();
        return is_open.then_some((TableProblem::Partition, revoke)).into_iter().collect();
    }
    let mut problems = Vec::new();
    if table.is_own {
        let app = found.role(Kind::App);
        let owner = if table.owner == table.role {
            vec![format!("ALTER TABLE {name} OWNER TO CURRENT_USER")]
        } else {
            found.memberships.leave(&table.role, &table.owner, app)
        };
        problems.push((TableProblem::Owner { owner: table.owner.clone() }, owner));
    }
    if table.may_truncate && !table.is_own {
        problems.push((TableProblem::Truncate, vec![format!("REVOKE TRUNCATE ON {name} FROM {role}")]));
    }
    let roles = found
        .roles(setting)
        .unwrap_or_else(|| RoleNames { setting: Some(setting.to_owned()), ..RoleNames::app(&table.role) });
    let anew = || roles.team_policies(name, column, &table.column_type, &table.owner);
    if !table.is_enabled {
        problems.push((TableProblem::Off, anew()));
        return problems;
    }
    if !table.is_forced {
        problems.push((TableProblem::NotForced, force(name).to_vec()));
    }
    if !table.policies.iter().any(|policy| policy.is_permissive) {
        problems.push((TableProblem::NoPolicy, anew()));
    }
    for policy in table.policies.iter().filter(|policy| is_wide(table, policy, column, is_team, setting)) {
        let is_ours = Kind::of_policy(&policy.name);
        let conditions = policy.using_rows.iter().chain(&policy.check_rows);
        let other = conditions
            .filter_map(|condition| setting_compared(condition, column))
            .find(|other| other != setting);
        let policy_name = policy.name.clone();
        // One for all teams, which this role inherits, is as it should be.
        let inherited = policy.roles.iter().flatten().find(|other| **other != table.role);
        problems.push(match (other, is_ours, inherited) {
            (Some(setting), Some(_), _) => {
                (TableProblem::OtherSetting { policy: policy_name, setting }, anew())
            }
            (Some(setting), None, _) => {
                let drop = vec![drop_one(name, &policy_name)];
                (TableProblem::OtherSetting { policy: policy_name, setting }, drop)
            }
            (None, Some((kind, _)), Some(inherited)) if kind != Kind::App => {
                let app = found.role(Kind::App);
                let stop = found.memberships.stop_inheriting(&table.role, inherited, app);
                (TableProblem::Policy { policy: policy_name }, stop)
            }
            (None, Some((Kind::App, _)), _) => (TableProblem::Policy { policy: policy_name }, anew()),
            (None, _, _) => {
                let drop = vec![drop_one(name, &policy_name)];
                (TableProblem::Policy { policy: policy_name }, drop)
            }
        });
    }
    problems
}

/// Whether a policy lets through more than the rows of the team that is set, and no other policy narrows it.
fn is_wide(table: &TeamTable, policy: &TablePolicy, column: &str, is_team: bool, setting: &str) -> bool {
    let compares = |condition: &str| setting_compared(condition, column).as_deref() == Some(setting);
    let is_narrowed = |command: Command| {
        let narrow = table.policies.iter().filter(|other| !other.is_permissive);
        narrow
            .map(|other| other.conditions(command))
            .any(|all| !all.is_empty() && all.into_iter().all(compares))
    };
    // Whoever signs up makes a row of a team that is not there yet.
    let commands = Command::ALL.into_iter().filter(|command| !(is_team && *command == Command::Insert));
    policy.is_permissive
        && commands.into_iter().any(|command| {
            policy.conditions(command).iter().any(|all| !compares(all)) && !is_narrowed(command)
        })
}
