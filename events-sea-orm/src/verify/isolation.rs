//! Whether the database keeps teams apart from the role that is connected.

mod all_teams;
mod policies;
mod rights;
mod tables;

use std::{collections::BTreeSet, fmt};

use sea_orm::{DatabaseConnection, DbErr};

pub use self::{all_teams::AllTeamsProblem, tables::TableProblem};
use super::Severity;
use crate::{
    backend::isolation::{
        EVENTS, Kind, Relation, RoleNames, has_row_level_security,
        inspect::{self, Policy, Right, Session},
        memberships::Memberships,
        policy, read_relations, role_of,
        sql::identifier,
        tables::{known_by_policies, read as read_tables},
    },
    tracked::Definition,
};

/// What lets a team see or write what is of another, or keeps it from its own.
///
/// `mend` are the statements that mend it; most need the rights of the table's owner.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum IsolationFinding {
    /// Row-level security is off: nothing but the application's own queries keeps teams apart.
    Off,
    /// The role that is connected is none of the application's: neither its role, as the policies name it, nor a login that
    /// is a member of it. What that role itself is and may do is not looked at.
    NotTheApplication {
        /// The role that is connected.
        role: String,
        /// The application's, as the policies name it. Where they name none, whoever is a superuser or a member of the tables'
        /// owner counts as none of the application's.
        app: Option<String>,
    },
    /// The application is, or can become, a role that no policy stops.
    PowerfulRole {
        /// The role.
        role: String,
        /// What it may: `is a superuser`.
        power: String,
        /// See above; none for a superuser, which an application should not be.
        mend: Option<String>,
    },
    /// The application is, or can become, the owner of a table of ours. An owner can let itself see everything.
    OwnedTable {
        /// The application's role, or its login.
        role: String,
        /// The owner.
        owner: String,
        /// The table.
        table: String,
        /// See above; none for the owner itself.
        mend: Option<String>,
    },
    /// The application is, or can become, the owner of the schema of our tables, who may drop them.
    OwnedSchema {
        /// The application's role, or its login.
        role: String,
        /// The schema.
        schema: String,
        /// See above.
        mend: String,
    },
    /// Row-level security is off for a table of ours or a partition of one, or does not hold for its owner.
    NotForced {
        /// The table.
        table: String,
        /// Whether the application can reach it: a partition on which it has no right it can only reach through its parent.
        is_reached: bool,
        /// See above; none for a table without policies, which nobody could use then.
        mend: Option<String>,
    },
    /// Row-level security is on, and there is no policy for anybody: after a restore without the roles, for one.
    NoPolicies,
    /// A tracked table of the application's own lets a role of one team see or write more, or nothing at all.
    Table {
        /// The model's object type; none where the table's policies alone tell of it.
        object_type: Option<&'static str>,
        /// The table, or a partition of it.
        table: String,
        /// The role that may read or write it.
        role: String,
        /// What is wrong.
        problem: TableProblem,
        /// Whether it is the table of the teams themselves, which an application may need before it knows a team.
        is_team: bool,
        /// See above.
        mend: String,
    },
    /// The role that `all_teams_role` names cannot do what it is for.
    AllTeamsRole {
        /// The role.
        role: String,
        /// What is wrong.
        problem: AllTeamsProblem,
        /// See above.
        mend: Option<String>,
    },
    /// A table of ours is not covered by the steps: it was made after they ran.
    NotIsolated {
        /// The table.
        table: String,
        /// See above: what the steps would do.
        mend: String,
    },
    /// A policy is missing: the role does not see, or cannot write, what is its own.
    MissingPolicy {
        /// The table.
        table: String,
        /// The policy.
        policy: String,
        /// See above.
        mend: String,
    },
    /// A policy does not say what it should.
    AlteredPolicy {
        /// The table.
        table: String,
        /// The policy.
        policy: String,
        /// See above.
        mend: String,
    },
    /// No policy compares the setting that is set: it was named wrongly. All else is compared with the one that they compare.
    WrongSetting {
        /// The setting that is set.
        setting: String,
        /// The one that the policies compare.
        compared: String,
    },
    /// A policy compares another setting than the one that is set.
    OtherSetting {
        /// The table.
        table: String,
        /// The policy.
        policy: String,
        /// The setting that it compares.
        setting: String,
        /// See above.
        mend: String,
    },
    /// Beside the policies of one team there is one that lets the role see or write more.
    WiderPolicy {
        /// The table.
        table: String,
        /// The policy.
        policy: String,
        /// Whom it lets.
        role: String,
        /// See above.
        mend: String,
    },
    /// The connection sees all teams by its policies: a login of the role for all teams, or of an auditor. No service must.
    AllTeams {
        /// The role that is connected.
        role: String,
    },
    /// No policy is for the role that is connected: it sees and writes nothing.
    NoPolicy {
        /// The role that is connected.
        role: String,
        /// See above; none if the application's role is not known.
        mend: Option<String>,
    },
    /// Somebody has a right that only the owner should have.
    Right {
        /// The table or sequence.
        table: String,
        /// Who; `PUBLIC` for everybody.
        role: String,
        /// The right, with the column if it is of one: `INSERT (seq)`.
        right: String,
        /// Whether the application has it, or can get it.
        is_reached: bool,
        /// See above.
        mend: String,
    },
    /// A view of events, or of a tracked table, reads it as its owner, who sees all teams.
    View {
        /// The view.
        view: String,
        /// The owner.
        owner: String,
        /// Who may read it.
        role: String,
        /// See above.
        mend: String,
    },
    /// A team is set before anybody has set one: whoever forgets to set one is of that team.
    TeamLeftSet {
        /// The setting.
        setting: String,
        /// See above.
        mend: String,
    },
    /// The statements of a transaction do not meet one session.
    Pooler,
}

impl IsolationFinding {
    pub(super) fn severity(&self) -> Severity {
        match self {
            Self::Off | Self::NotForced { is_reached: false, .. } | Self::Table { is_team: true, .. } => {
                Severity::Warning
            }
            Self::MissingPolicy { .. }
            | Self::OwnedSchema { .. }
            | Self::Right { is_reached: false, .. }
            | Self::Table { problem: TableProblem::AllTeams { is_named: false }, .. } => Severity::Error,
            _ => Severity::Danger,
        }
    }

    pub(super) fn mend(&self) -> Option<String> {
        let mend = match self {
            Self::Off
            | Self::NotTheApplication { .. }
            | Self::WrongSetting { .. }
            | Self::AllTeams { .. }
            | Self::NoPolicies
            | Self::Pooler => None,
            Self::PowerfulRole { mend, .. }
            | Self::OwnedTable { mend, .. }
            | Self::NotForced { mend, .. }
            | Self::NoPolicy { mend, .. }
            | Self::AllTeamsRole { mend, .. } => mend.clone(),
            Self::OwnedSchema { mend, .. }
            | Self::Table { mend, .. }
            | Self::NotIsolated { mend, .. }
            | Self::MissingPolicy { mend, .. }
            | Self::AlteredPolicy { mend, .. }
            | Self::OtherSetting { mend, .. }
            | Self::WiderPolicy { mend, .. }
            | Self::Right { mend, .. }
            | Self::View { mend, .. }
            | Self::TeamLeftSet { mend, .. } => Some(mend.clone()),
        };
        mend.filter(|mend| !mend.is_empty())
    }
}

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
            Self::NoPolicies => f.write_str(
                "row-level security is on for `events`, and no policy is there, so that nobody sees anything: a database that was \
                 restored before its roles were made is like that. Make the roles, with what `Roles::create_sql` or `events migrate roles` \
                 prints, then run the steps of `migration::isolation` again, or `events migrate up --app-role ..`, and \
                 `Roles::team_policies` for your own tables",
            ),
            Self::Table { object_type, table, role, problem, is_team, .. } => {
                write!(f, "of the table `{table}`")?;
                if let Some(object_type) = object_type {
                    write!(f, " of `{object_type}`")?;
                }
                write!(f, ", which `{role}` may read or write: {problem}")?;
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
            Self::WiderPolicy { table, policy, role, .. } => write!(
                f,
                "the policy `{policy}` on `{table}` lets `{role}` see or write more than one team: take it off"
            ),
            Self::AllTeams { role } => write!(
                f,
                "the role `{role}` sees all teams, whoever asks: {CONNECT}, and let work for all teams take its role for one \
                 transaction, named with `all_teams_role`"
            ),
            Self::NoPolicy { role, .. } => {
                write!(f, "no policy is for the role `{role}`, which sees and writes nothing: {CONNECT}, or a member that inherits from it")
            }
            Self::Right { table, role, right, .. } => {
                write!(f, "`{role}` has the right {right} on `{table}`, which only its owner should have: take it away")
            }
            Self::View { view, owner, role, .. } => write!(
                f,
                "the view `{view}` shows `{role}` the rows of all teams, as its owner `{owner}` sees them: let it ask as its \
                 reader, or take it away"
            ),
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

/// What the checks are made of.
struct Found {
    relations: Vec<Relation>,
    policies: Vec<Policy>,
    rights: Vec<Right>,
    memberships: Memberships,
    session: Session,
}

impl Found {
    fn relation(&self, oid: i64) -> Option<&Relation> {
        self.relations.iter().find(|relation| relation.oid == oid)
    }

    /// All of them, as far as the policies tell.
    fn roles(&self, setting: &str) -> Option<RoleNames> {
        let roles = RoleNames::of_policies(&self.policies)?;
        Some(RoleNames { setting: Some(setting.to_owned()), ..roles })
    }

    /// Whether there is no policy of ours on this table, though there are on others.
    fn is_left_out(&self, relation: &Relation) -> bool {
        let is_ours = |policy: &&Policy| Kind::of_policy(&policy.name).is_some();
        let mut ours = self.policies.iter().filter(is_ours).peekable();
        ours.peek().is_some() && !relation.is_partition && ours.all(|policy| policy.oid != relation.oid)
    }

    fn role(&self, kind: Kind) -> Option<&str> {
        role_of(&self.policies, kind)
    }

    /// Whether a role that is looked at has a right on this table itself.
    fn is_reached(&self, relation: &Relation) -> bool {
        let of_table = |right: &&Right| right.oid == relation.oid && right.sequence.is_none();
        relation.is_own && !self.session.is_foreign
            || self.rights.iter().filter(of_table).any(|right| right.is_reached)
    }
}

/// Who asks, and of what.
pub(super) struct Asked<'a> {
    /// The setting that tells the team.
    pub(super) setting: &'a str,
    /// The role that work for all teams takes.
    pub(super) all_teams_role: Option<&'a str>,
    /// The models whose tables are looked at.
    pub(super) tracked: &'a [&'static Definition],
    /// Whether tables are looked at too that the policies alone tell of.
    pub(super) by_policies: bool,
}

/// What was found.
pub(super) struct Checked {
    pub(super) findings: Vec<IsolationFinding>,
    /// The role that is connected, if it is none of the application's.
    pub(super) operator: Option<String>,
    /// Whether that role has a right to read events.
    pub(super) may_read: bool,
    /// The tables of the application's own that were looked at.
    pub(super) tables: Vec<String>,
}

/// Asks nine questions and begins a transaction where row-level security is on, asks two questions where it is not, and none
/// on other databases.
pub(super) async fn check(db: &DatabaseConnection, asked: Asked<'_>) -> Result<Checked, DbErr> {
    let without = |findings| Checked { findings, operator: None, may_read: true, tables: Vec::new() };
    if !has_row_level_security(db.get_database_backend()) {
        return Ok(without(Vec::new()));
    }
    let relations = read_relations(db).await?;
    if !relations.iter().any(|relation| relation.of == EVENTS) {
        return Ok(without(Vec::new()));
    }
    let policies = inspect::policies(db, &relations).await?;
    let is_ours = |policy: &Policy| Kind::of_policy(&policy.name).is_some();
    if !relations.iter().any(|relation| relation.is_enabled) && !policies.iter().any(is_ours) {
        return Ok(without(vec![IsolationFinding::Off]));
    }
    let compared = policies::named_wrongly(&policies, asked.setting);
    let setting = compared.as_deref().unwrap_or(asked.setting);
    let session = inspect::session(db, &relations, setting).await?;
    let powers = inspect::powers(db, &relations).await?;
    let owned = inspect::owned(db, &relations).await?;
    let rights = inspect::rights(db, &relations).await?;
    let memberships = Memberships::read(db, &relations).await?;
    let known = match asked.by_policies {
        true => known_by_policies(db, &relations, setting).await?,
        false => Vec::new(),
    };
    let own: Vec<_> = tables::tracked(asked.tracked).chain(known.iter().map(tables::known)).collect();
    let named: Vec<_> = own.iter().map(|own| own.named).collect();
    let views = inspect::views(db, &relations, &named).await?;
    let for_all: BTreeSet<_> =
        asked.all_teams_role.into_iter().chain(role_of(&policies, Kind::Delivery)).collect();
    let for_all: Vec<_> = for_all.into_iter().collect();
    let own_tables = read_tables(db, &relations, &named, &for_all).await?;
    let found = Found { relations, policies, rights, memberships, session };
    let mut findings = rights::of_roles(&found, &powers, &owned);
    findings.extend(found.relations.iter().filter_map(|relation| covered(&found, relation, setting)));
    findings.extend(policies::findings(&found, setting));
    findings.extend(found.rights.iter().filter_map(|right| rights::excess(&found, right)));
    findings.extend(views.iter().map(view));
    findings.extend(tables::findings(&found, &own, &own_tables, setting, asked.all_teams_role));
    findings.extend(team_left_set(&found.session, setting));
    if let Some(role) = asked.all_teams_role {
        findings.extend(all_teams::finding(db, &found, role, setting).await?);
    }
    if !inspect::keeps_transactions(db, setting).await? {
        findings.push(IsolationFinding::Pooler);
    }
    if let Some(compared) = &compared {
        let (setting, compared) = (asked.setting.to_owned(), compared.clone());
        findings.push(IsolationFinding::WrongSetting { setting, compared });
    }
    let operator = found.session.is_foreign.then(|| found.session.role.clone());
    if let Some(role) = &operator {
        // Statements that take what is its own from whoever migrates or audits would do harm.
        findings.retain(|finding| !finding.is_of(role));
        let app = found.role(Kind::App).map(str::to_owned);
        findings.insert(0, IsolationFinding::NotTheApplication { role: role.clone(), app });
    }
    let tables = tables::names(&own_tables);
    Ok(Checked { findings, operator, may_read: found.session.may_read, tables })
}

impl IsolationFinding {
    /// Whether it is about this role and nothing else.
    pub(super) fn is_of(&self, connected: &str) -> bool {
        match self {
            Self::NotTheApplication { role, .. } | Self::Right { role, .. } => role == connected,
            _ => false,
        }
    }
}

/// Statements, one after the other.
fn joined(statements: impl IntoIterator<Item = String>) -> String {
    statements.into_iter().map(|statement| statement + ";").collect::<Vec<_>>().join("\n")
}

/// Whether row-level security holds for a table, and whether the steps know it.
fn covered(found: &Found, relation: &Relation, setting: &str) -> Option<IsolationFinding> {
    let table = relation.name.clone();
    if let Some(roles) = found.roles(setting).filter(|_| found.is_left_out(relation)) {
        return Some(IsolationFinding::NotIsolated { table, mend: joined(roles.isolate(relation)) });
    }
    if relation.is_enabled && relation.is_forced {
        return None;
    }
    let is_reached = !relation.is_partition || found.is_reached(relation);
    let has_policies = found.policies.iter().any(|policy| policy.oid == relation.oid);
    let can_be = relation.is_enabled || relation.is_partition || has_policies;
    let mend = can_be.then(|| joined(policy::force(&relation.name)));
    Some(IsolationFinding::NotForced { table, is_reached, mend })
}

fn view(view: &inspect::View) -> IsolationFinding {
    let inspect::View { name, owner, is_materialized, reader, .. } = view;
    let mend = match is_materialized {
        true => revoke("ALL", name, &view.grantees(), reader) + ";",
        false => format!("ALTER VIEW {name} SET (security_invoker = true);"),
    };
    IsolationFinding::View { view: name.clone(), owner: owner.clone(), role: reader.clone(), mend }
}

/// The statement that takes a right away from a role, from whomever it has it.
fn revoke(right: &str, table: &str, grantees: &[Option<&str>], role: &str) -> String {
    let from = |name: &Option<&str>| name.map_or_else(|| "PUBLIC".to_owned(), identifier);
    let from = match grantees {
        [] => identifier(role),
        grantees => grantees.iter().map(from).collect::<Vec<_>>().join(", "),
    };
    format!("REVOKE {right} ON {table} FROM {from}")
}

fn team_left_set(session: &Session, setting: &str) -> Option<IsolationFinding> {
    let resets = session.resets();
    let mend = match resets.as_slice() {
        // What is set for an operator alone is no matter of the application's.
        [] if !session.is_team_set || session.is_foreign => return None,
        [] => format!("RESET {setting};"),
        resets => joined(resets.iter().map(|reset| (*reset).to_owned())),
    };
    Some(IsolationFinding::TeamLeftSet { setting: setting.to_owned(), mend })
}
