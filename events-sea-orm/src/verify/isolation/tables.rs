//! The application's own tracked tables: whether each lets a role of one team read and write the rows of that team alone.

use std::fmt;

use super::{
    Found, IsolationFinding, joined,
    policies::{is_of_one_team, withdraw},
    revoke,
};
use crate::{
    backend::isolation::{
        Command, Kind, RoleNames,
        expression::setting_compared,
        policy::{create, drop_one, force, is_all_teams, team_condition},
        sql::{TEAM_TYPES, identifier},
        tables::{Known, Named, Part, TablePolicy, TeamTable},
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
    /// No policy shows the role for all teams any row, though it may read the table: work for all teams finds nothing there.
    AllTeams {
        /// Whether the application names the role with `all_teams_role`. Otherwise the policies of the log say that it is one.
        is_named: bool,
    },
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
    /// The role may read or write a table that the tracked one is a partition of or inherits to, past the policies of that.
    Parent,
    /// What the model names is a materialized view, a foreign table, or a view of tables without row-level security: no policy can
    /// be on it.
    NotATable,
    /// The team's column is of a collation that takes different texts for the same: different teams are one to the policies.
    Collation {
        /// The collation.
        collation: String,
    },
    /// The team's column is of a type whose comparison with a team's text is not known to keep teams apart, and no policy is
    /// known to hold the table.
    ColumnType {
        /// The type.
        column_type: String,
    },
    /// The role has rights that come to nothing, as no policy is for these commands.
    NoPolicyFor {
        /// The commands: `INSERT, DELETE`.
        commands: String,
    },
    /// The role has rights on the table, and may not use its schema: every statement is refused.
    NoUsage {
        /// The schema.
        schema: String,
    },
}

impl fmt::Display for TableProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("row-level security is off for it: switch it on, with the policies of `Roles::team_policies`"),
            Self::NotForced => f.write_str("row-level security does not hold for its owner: force it"),
            Self::NoPolicy => f.write_str("no policy lets it see or write any row: make them, with `Roles::team_policies`"),
            Self::AllTeams { .. } => f.write_str(
                "no policy shows it any row, so that work for all teams finds nothing there: make its policies, or take its rights away",
            ),
            Self::Policy { policy } => {
                write!(f, "the policy `{policy}` does not compare the row's team with the one that is set")
            }
            Self::OtherSetting { policy, setting } => write!(
                f,
                "the policy `{policy}` compares the setting `{setting}`, which is not the one that the policies of the log compare: take it off, \
                 or make it again with theirs"
            ),
            Self::Truncate => f.write_str("it may TRUNCATE the rows of all teams, which no policy stops: take that right away"),
            Self::Owner { owner } => write!(
                f,
                "it is its owner `{owner}`, or can become it, and an owner can let itself see everything: give the table another owner, and \
                 the application what it needs, USAGE on the sequence of a `serial` key too"
            ),
            Self::Partition => f.write_str(
                "it is a partition that can be asked by its own name, past the policies of its table: take the rights on it away",
            ),
            Self::Parent => f.write_str(
                "the tracked table is a partition of it or inherits from it, so that its rows are shown there too, past the policies of \
                 the tracked table: take the rights on it away",
            ),
            Self::NotATable => f.write_str(
                "it is no table, so that no policy can keep teams apart in it: track the table with the rows, or a view that asks as its \
                 reader (`security_invoker`) a table with policies, or take the rights on it away",
            ),
            Self::Collation { collation } => write!(
                f,
                "its column of the team has the collation `{collation}`, which takes different texts for the same, such as `a` and `A`, so that \
                 different teams are one to its policies: in one transaction take the policies off (`team_policies(..).down`), \
                 `ALTER COLUMN .. TYPE .. COLLATE \"C\"`, and make them again (`team_policies(..).up`)"
            ),
            Self::ColumnType { column_type } => write!(
                f,
                "its column of the team is of the type `{column_type}`, of which it is not known that two teams never compare as one: make it one of {}, \
                 then its policies, with `Roles::team_policies`",
                TEAM_TYPES.join(", ")
            ),
            Self::NoPolicyFor { commands } => write!(
                f,
                "it has the rights to {commands}, and no policy lets it do so with any row: make the policies, or take the rights away"
            ),
            Self::NoUsage { schema } => write!(
                f,
                "it may not use the schema `{schema}`, so that each of its statements there is refused: grant it USAGE"
            ),
        }
    }
}

/// A table of the application's own that is looked at.
pub(super) struct Own<'a> {
    /// None where its policies alone tell of it.
    definition: Option<&'static Definition>,
    pub(super) named: Named<'a>,
}

/// Those of these models whose rows say their team.
pub(super) fn tracked<'a>(tracked: &'a [&'static Definition]) -> impl Iterator<Item = Own<'a>> {
    tracked.iter().filter_map(|definition| match definition.team() {
        TeamSource::Column(column) => {
            let named = Named { schema: definition.schema(), table: definition.table(), column };
            Some(Own { definition: Some(definition), named })
        }
        TeamSource::Context => None,
    })
}

/// One that its policies tell of.
pub(super) fn known(known: &Known) -> Own<'_> {
    let Known { schema, table, column } = known;
    Own { definition: None, named: Named { schema: Some(schema), table, column } }
}

/// Those that were looked at, each once.
pub(super) fn names(tables: &[TeamTable]) -> Vec<String> {
    let mut names: Vec<_> = tables.iter().map(|table| table.name.clone()).collect();
    names.sort();
    names.dedup();
    names
}

pub(super) fn findings(
    found: &Found,
    own: &[Own<'_>],
    tables: &[TeamTable],
    setting: &str,
    all_teams_role: Option<&str>,
) -> Vec<IsolationFinding> {
    let mut findings = Vec::new();
    for table in tables {
        let Some(Own { definition, named }) = own.get(table.place) else { continue };
        let of_model = |other: &&TeamTable| {
            other.name == table.name && own.get(other.place).is_some_and(|own| own.definition.is_some())
        };
        if definition.is_none() && tables.iter().any(|other| of_model(&other)) {
            continue; // it is looked at by its model
        }
        let is_team = definition.is_some_and(Definition::is_team);
        let is_of_one_team = !table.is_for_all && is_of_one_team(found, &table.role);
        let model = Model { column: named.column, is_tracked: definition.is_some(), is_team };
        let mut problems = match table.part {
            _ if table.is_for_all => sees_nothing(table, named.column, all_teams_role).into_iter().collect(),
            _ if !is_of_one_team => Vec::new(),
            Part::Table => problems(found, table, &model, setting),
            part => past_the_table(table, part, &model, setting).into_iter().collect(),
        };
        if (is_of_one_team || table.is_for_all) && table.part == Part::Table && !table.may_use_schema {
            let grant = format!("GRANT USAGE ON SCHEMA {} TO {}", table.schema, identifier(&table.role));
            problems.push((TableProblem::NoUsage { schema: table.schema.clone() }, vec![grant]));
        }
        findings.extend(problems.into_iter().map(|(problem, statements)| IsolationFinding::Table {
            object_type: definition.map(Definition::object_type),
            table: table.name.clone(),
            role: table.role.clone(),
            problem,
            is_team,
            mend: joined(statements),
        }));
    }
    findings
}

/// Whether a role for all teams may read a table and is shown none of its rows. Whether it is shown some by a condition in other
/// words is not known.
fn sees_nothing(
    table: &TeamTable,
    column: &str,
    all_teams_role: Option<&str>,
) -> Option<(TableProblem, Vec<String>)> {
    let is_of_one_team = |condition: &str| setting_compared(condition, column).is_some();
    let shows = |policy: &TablePolicy| {
        policy.is_permissive
            && policy.conditions(Command::Select).iter().any(|condition| !is_of_one_team(condition))
    };
    if table.part != Part::Table
        || !table.is_enabled
        || !table.may(Command::Select)
        || table.policies.iter().any(shows)
    {
        return None;
    }
    let is_named = all_teams_role == Some(table.role.as_str());
    let commands = Command::ALL.into_iter();
    Some((
        TableProblem::AllTeams { is_named },
        commands.flat_map(|command| let_all(table, command)).collect(),
    ))
}

/// The statements that let a role for all teams do this. Another that may goes on as it is.
fn let_all(table: &TeamTable, command: Command) -> Vec<String> {
    let policy = Kind::Delivery.policy(command);
    let is_it = |there: &&TablePolicy| there.name == policy;
    let anew = create(&table.name, Kind::Delivery, command, &table.role, "");
    match (table.policies.iter().find(is_it), table.of_others.iter().find(is_it)) {
        (None, None) => vec![anew],
        (None, Some(there)) if lets_all(there, command) => {
            let roles = there.roles.iter().flatten().chain([&table.role]).map(|role| identifier(role));
            let roles = roles.collect::<Vec<_>>().join(", ");
            vec![format!("ALTER POLICY {policy} ON {} TO {roles}", table.name)]
        }
        (Some(there), _) if lets_all(there, command) => Vec::new(),
        _ => vec![drop_one(&table.name, &policy), anew],
    }
}

/// Whether this policy lets whomever it is for do this with every row.
fn lets_all(policy: &TablePolicy, command: Command) -> bool {
    let conditions = policy.conditions(command);
    policy.is_permissive && !conditions.is_empty() && conditions.into_iter().all(is_all_teams)
}

/// What is known of a table beside what the catalog says.
struct Model<'a> {
    column: &'a str,
    /// Whether a model names it, and not its policies alone.
    is_tracked: bool,
    is_team: bool,
}

/// Whether rows of the table can be had past its policies: as those of a partition, of a parent, or of what is no table.
fn past_the_table(
    table: &TeamTable,
    part: Part,
    model: &Model<'_>,
    setting: &str,
) -> Option<(TableProblem, Vec<String>)> {
    let is_wide = |policy: &TablePolicy| is_wide(table, policy, model, setting);
    let is_held = table.is_enabled && (!table.is_own || table.is_forced);
    let (problem, is_open) = match part {
        Part::Partition => (TableProblem::Partition, !table.is_enabled || !table.policies.is_empty()),
        Part::Parent => {
            let is_open = !is_held || table.may_truncate || table.policies.iter().any(is_wide);
            (TableProblem::Parent, is_open)
        }
        Part::Table | Part::Other => (TableProblem::NotATable, true),
    };
    let grantees: Vec<_> = table.grantees.iter().map(Option::as_deref).collect();
    is_open.then(|| (problem, vec![revoke("ALL", &table.name, &grantees, &table.role)]))
}

/// What is wrong with one table for one role, each with the statements that put it right.
fn problems(
    found: &Found,
    table: &TeamTable,
    model: &Model<'_>,
    setting: &str,
) -> Vec<(TableProblem, Vec<String>)> {
    let name = &table.name;
    let grantees: Vec<_> = table.grantees.iter().map(Option::as_deref).collect();
    let roles = found
        .roles(setting)
        .unwrap_or_else(|| RoleNames { setting: Some(setting.to_owned()), ..RoleNames::app(&table.role) });
    // The policies of an owner show every team: the application that is the owner itself gets none of them.
    let is_owner = table.owner == table.role || table.owner == roles.app;
    let owner = match is_owner {
        true => roles.owner.as_deref(),
        false => Some(table.owner.as_str()),
    };
    let anew = || roles.team_policies(name, model.column, &table.column_type, owner);
    let mut problems = Vec::new();
    if table.is_own {
        let statements = match is_owner {
            true => give_away(table, owner),
            false => found.memberships.leave(&table.role, &table.owner, found.role(Kind::App)),
        };
        problems.push((TableProblem::Owner { owner: table.owner.clone() }, statements));
    }
    if table.may_truncate && !table.is_own {
        problems.push((TableProblem::Truncate, vec![revoke("TRUNCATE", name, &grantees, &table.role)]));
    }
    let is_wide = |policy: &&TablePolicy| is_wide(table, policy, model, setting);
    let has_policy = table.policies.iter().any(|policy| policy.is_permissive);
    let has_wide = table.policies.iter().any(|policy| is_wide(&policy));
    // Policies that the library makes would be none that it knows.
    if !TEAM_TYPES.contains(&table.column_type.as_str()) && (!table.is_enabled || !has_policy || has_wide) {
        problems.push((TableProblem::ColumnType { column_type: table.column_type.clone() }, Vec::new()));
        return problems;
    }
    let condition = team_condition(model.column, roles.setting(), &format!("::{}", table.column_type));
    let restore = |command: &Command| {
        [
            drop_one(name, &Kind::App.policy(*command)),
            create(name, Kind::App, *command, &roles.app, &condition),
        ]
    };
    let unsaid = without_policy(
        table,
        &table.policies.iter().filter(|policy| policy.is_permissive).collect::<Vec<_>>(),
    );
    if !table.is_enabled {
        let is_in_order = has_policy && !has_wide;
        let in_order = || force(name).into_iter().chain(unsaid.iter().flat_map(restore)).collect();
        problems.push((TableProblem::Off, if is_in_order { in_order() } else { anew() }));
        return problems;
    }
    if !table.is_forced {
        problems.push((TableProblem::NotForced, force(name).to_vec()));
    }
    if let Some(collation) = &table.loose_collation {
        problems.push((TableProblem::Collation { collation: collation.clone() }, Vec::new()));
    }
    if !has_policy {
        problems.push((TableProblem::NoPolicy, anew()));
        return problems;
    }
    let is_ours =
        |policy: &TablePolicy| Kind::of_policy(&policy.name).is_some_and(|(kind, _)| kind == Kind::App);
    let is_reported = |policy: &&TablePolicy| {
        let mut conditions = policy.using_rows.iter().chain(&policy.check_rows);
        // What an untracked table shows by words of the application's own may be meant.
        is_wide(policy)
            && (model.is_tracked || is_ours(policy) || conditions.any(|condition| is_all_teams(condition)))
    };
    // Those commands of which no policy is left when all that are wide are taken off.
    let remaining = |policy: &&TablePolicy| policy.is_permissive && (is_ours(policy) || !is_reported(policy));
    let missing = without_policy(table, &table.policies.iter().filter(remaining).collect::<Vec<_>>());
    if !unsaid.is_empty() {
        let commands = unsaid.iter().map(|command| command.keyword()).collect::<Vec<_>>().join(", ");
        problems.push((TableProblem::NoPolicyFor { commands }, unsaid.iter().flat_map(restore).collect()));
    }
    for policy in table.policies.iter().filter(is_reported) {
        let mut conditions = policy.using_rows.iter().chain(&policy.check_rows);
        let other = conditions
            .find_map(|condition| setting_compared(condition, model.column).filter(|other| other != setting));
        let named: Vec<_> = policy.roles.iter().map(Option::as_deref).collect();
        let statements = match is_ours(policy) {
            true => anew(),
            false => {
                let withdrawn = withdraw(found, name, &policy.name, &named, &table.role);
                withdrawn.into_iter().chain(missing.iter().flat_map(restore)).collect()
            }
        };
        let policy = policy.name.clone();
        let problem = match other {
            Some(setting) => TableProblem::OtherSetting { policy, setting },
            None => TableProblem::Policy { policy },
        };
        problems.push((problem, statements));
    }
    problems
}

/// The commands to which the role has a right, and none of these policies is for.
fn without_policy(table: &TeamTable, policies: &[&TablePolicy]) -> Vec<Command> {
    let is_for = |policy: &&&TablePolicy, command: Command| {
        policy.command == "*" || policy.command == command.letter()
    };
    let is_without =
        |command: &Command| table.may(*command) && !policies.iter().any(|policy| is_for(&policy, *command));
    Command::ALL.into_iter().filter(is_without).collect()
}

/// The statements by which the application's role is the owner of its table no longer, and may do with it what it did. The next
/// owner gets its policies, where the table has those of the library.
fn give_away(table: &TeamTable, owner: Option<&str>) -> Vec<String> {
    let (name, role) = (&table.name, identifier(&table.owner));
    let next = owner.map_or_else(|| "CURRENT_USER".to_owned(), identifier);
    let give = [
        format!("ALTER TABLE {name} OWNER TO {next}"),
        format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO {role}"),
    ];
    let is_ours = |policy: &TablePolicy| Kind::of_policy(&policy.name).is_some();
    let has_ours = table.policies.iter().chain(&table.of_others).any(is_ours);
    let policies = owner.filter(|_| has_ours).into_iter().flat_map(|owner| {
        Command::ALL.into_iter().flat_map(move |command| {
            let drop = drop_one(name, &Kind::Owner.policy(command));
            [drop, create(name, Kind::Owner, command, owner, "")]
        })
    });
    give.into_iter().chain(policies).collect()
}

/// Whether a policy lets through more than the rows of the team that is set, and no other policy narrows it.
fn is_wide(table: &TeamTable, policy: &TablePolicy, model: &Model<'_>, setting: &str) -> bool {
    let compares = |condition: &str| setting_compared(condition, model.column).as_deref() == Some(setting);
    let is_narrowed = |command: Command| {
        let narrow = table.policies.iter().filter(|other| !other.is_permissive);
        narrow
            .map(|other| other.conditions(command))
            .any(|all| !all.is_empty() && all.into_iter().all(compares))
    };
    // Whoever signs up makes a row of a team that is not there yet. Where no model says which table is that of the teams, its
    // key does, and what is not the library's by name may be meant.
    let is_ours =
        |policy: &TablePolicy| Kind::of_policy(&policy.name).is_some_and(|(kind, _)| kind == Kind::App);
    let is_untold = !model.is_tracked && (table.is_key || !table.policies.iter().any(is_ours));
    let may_insert = model.is_team || is_untold;
    let commands = Command::ALL.into_iter().filter(|command| !(may_insert && *command == Command::Insert));
    policy.is_permissive
        && commands.into_iter().any(|command| {
            policy.conditions(command).iter().any(|all| !compares(all)) && !is_narrowed(command)
        })
}
