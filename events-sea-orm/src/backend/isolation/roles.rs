//! The roles, and the statements that let each do its part with a table of ours and no more.

use super::{
    TEAM_SETTING,
    access::Access,
    catalog::Relation,
    policy::{self, Command, Kind, team_condition},
    sql::identifier,
};

/// The roles of an application, and the setting that the policies compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RoleNames {
    pub(crate) app: String,
    pub(crate) owner: Option<String>,
    pub(crate) delivery: Option<String>,
    pub(crate) auditor: Option<String>,
    pub(crate) setting: String,
}

impl RoleNames {
    /// Of the application alone.
    pub(crate) fn app(name: impl Into<String>) -> Self {
        let (app, setting) = (name.into(), TEAM_SETTING.to_owned());
        Self { app, owner: None, delivery: None, auditor: None, setting }
    }

    /// Who is what. The owner of a table counts as the owner if no other was named.
    pub(crate) fn named<'a>(&'a self, owner: &'a str) -> Vec<(Kind, &'a str)> {
        let owner = self.owner.as_deref().unwrap_or(owner);
        let all = [
            Some((Kind::App, self.app.as_str())),
            self.delivery.as_deref().map(|role| (Kind::Delivery, role)),
            self.auditor.as_deref().map(|role| (Kind::Auditor, role)),
            Some((Kind::Owner, owner)),
        ];
        all.into_iter().flatten().collect()
    }

    /// Those that are granted rights.
    pub(crate) fn granted(&self) -> Vec<&str> {
        let roles = [Some(&self.app), self.delivery.as_ref(), self.auditor.as_ref()];
        roles.into_iter().flatten().map(String::as_str).collect()
    }

    /// What isolates a table. Run again it leaves the same.
    pub(crate) fn isolate(&self, relation: &Relation) -> Vec<String> {
        let table = &relation.name;
        let Some(access) = relation.access() else { return Vec::new() };
        let mut statements = self.take_rights(relation);
        statements.extend(policy::drop_all(table));
        // A partition is reached through its parent, whose rights and policies count then. By its own name, by nobody.
        if !relation.is_partition {
            let named = self.named(&relation.owner);
            statements.extend(named.iter().flat_map(|(kind, role)| self.grant(table, access, *kind, role)));
        }
        statements.extend(policy::force(table));
        if let Some(owner) = self.owner.as_ref().filter(|owner| **owner != relation.owner) {
            statements.push(format!("ALTER TABLE {table} OWNER TO {}", identifier(owner)));
        }
        statements
    }

    /// The rights and policies of one role.
    fn grant(&self, table: &str, access: &Access, kind: Kind, role: &str) -> Vec<String> {
        let rights = access.rights(kind);
        let grant = format!("GRANT {} ON {table} TO {}", rights.join(", "), identifier(role));
        let grant = (!rights.is_empty()).then_some(grant);
        let policies =
            access.commands(kind).into_iter().map(|command| self.policy(table, kind, command, role));
        grant.into_iter().chain(policies).collect()
    }

    /// The statement that makes a policy of a table of ours.
    pub(crate) fn policy(&self, table: &str, kind: Kind, command: Command, role: &str) -> String {
        policy::create(table, kind, command, role, &team_condition("team_id", &self.setting, ""))
    }

    /// What takes all of that back, except the owner.
    #[cfg(feature = "migration")]
    pub(crate) fn open(&self, relation: &Relation) -> Vec<String> {
        let table = &relation.name;
        let mut statements = policy::open(table);
        statements.extend(self.take_rights(relation));
        if self.owner.as_ref() == Some(&relation.owner) {
            statements.push(format!("ALTER TABLE {table} OWNER TO CURRENT_USER"));
        }
        statements
    }

    /// All rights of everybody whom these statements grant some, and of everybody else together.
    fn take_rights(&self, relation: &Relation) -> Vec<String> {
        let roles: Vec<_> = self.granted().into_iter().map(identifier).collect();
        let roles = format!("PUBLIC, {}", roles.join(", "));
        let table = format!("REVOKE ALL ON {} FROM {roles}", relation.name);
        // An identity column needs none; who may read its sequence could count the rows of all teams.
        let sequences =
            relation.sequences().map(|name| format!("REVOKE ALL ON SEQUENCE {name} FROM {roles}"));
        std::iter::once(table).chain(sequences).collect()
    }
}
