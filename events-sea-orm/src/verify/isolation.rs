//! Whether the database keeps teams apart from the role that is connected.

mod all_teams;
mod policies;
mod rights;
mod tables;
mod views;
mod words;

use std::collections::BTreeSet;

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
        views::read as read_views,
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
    /// The table of events is not on the search path, though policies keep teams apart in this database: nothing of the log can be
    /// looked at.
    LogNotFound {
        /// A table with such policies.
        table: String,
        /// The schema of a table of events that has some.
        schema: Option<String>,
        /// See above; none where the search path is to be changed.
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
        /// See above; none if it is the application's role itself, or that is not known.
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
    /// A view of events, or of a tracked table, reads or writes it as its owner, whom no team stops.
    View {
        /// The view.
        view: String,
        /// The owner.
        owner: String,
        /// Who may read it or write through it.
        role: String,
        /// Whether it asks a partition of the table, or a parent of it: with the rights that its reader would need to ask as itself,
        /// the reader could pass the policies of the table.
        is_of_part: bool,
        /// The tables and views below it on which the reader has no right: it can use the view no more once that asks as its reader.
        needs: Vec<String>,
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
            | Self::Table {
                problem:
                    TableProblem::AllTeams { is_named: false }
                    | TableProblem::NoPolicyFor { .. }
                    | TableProblem::NoUsage { .. },
                ..
            } => Severity::Error,
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
            | Self::LogNotFound { mend, .. }
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

/// Asks about ten questions, three of them in transactions, where row-level security is on, two or three where it is not, and
/// none on other databases.
pub(super) async fn check(db: &DatabaseConnection, asked: Asked<'_>) -> Result<Checked, DbErr> {
    let without = |findings| Checked { findings, operator: None, may_read: true, tables: Vec::new() };
    if !has_row_level_security(db.get_database_backend()) {
        return Ok(without(Vec::new()));
    }
    let relations = read_relations(db).await?;
    if !relations.iter().any(|relation| relation.of == EVENTS) {
        return Ok(without(log_not_found(db, asked.setting).await?.into_iter().collect()));
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
    let views = read_views(db, &relations, &named).await?;
    let for_all: BTreeSet<_> =
        asked.all_teams_role.into_iter().chain(role_of(&policies, Kind::Delivery)).collect();
    let for_all: Vec<_> = for_all.into_iter().collect();
    let own_tables = read_tables(db, &relations, &named, &for_all).await?;
    let found = Found { relations, policies, rights, memberships, session };
    let mut findings = rights::of_roles(&found, &powers, &owned);
    findings.extend(found.relations.iter().filter_map(|relation| covered(&found, relation, setting)));
    findings.extend(policies::findings(&found, setting));
    findings.extend(found.rights.iter().filter_map(|right| rights::excess(&found, right)));
    findings.extend(views.iter().map(views::finding));
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

/// Whether the log is somewhere else, as policies tell.
async fn log_not_found(db: &DatabaseConnection, setting: &str) -> Result<Option<IsolationFinding>, DbErr> {
    let found = inspect::log_elsewhere(db, setting).await?;
    Ok(found.map(|found| {
        let schema = found.is_log.then_some(found.schema);
        let mend = schema
            .as_ref()
            .filter(|_| !found.may_use)
            .map(|schema| format!("GRANT USAGE ON SCHEMA {schema} TO {};", identifier(&found.role)));
        IsolationFinding::LogNotFound { table: found.table, schema, mend }
    }))
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
