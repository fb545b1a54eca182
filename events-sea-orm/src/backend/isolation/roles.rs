//! The roles, and the statements that let each do its part with a table of ours and no more.

use std::collections::BTreeMap;

use super::{
    TEAM_SETTING,
    access::Access,
    catalog::Relation,
    expression::setting_compared,
    inspect::Policy,
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
    /// None: what the policies that are there compare, else [`TEAM_SETTING`].
    pub(crate) setting: Option<String>,
}

impl RoleNames {
    /// Of the application alone.
    pub(crate) fn app(name: impl Into<String>) -> Self {
        Self { app: name.into(), owner: None, delivery: None, auditor: None, setting: None }
    }

    /// The roles for which these policies were made, and the setting that they compare. None if they are none of ours.
    pub(crate) fn of_policies(policies: &[Policy]) -> Option<Self> {
        let role = |kind| role_of(policies, kind).map(str::to_owned);
        let (owner, delivery, auditor) = (role(Kind::Owner), role(Kind::Delivery), role(Kind::Auditor));
        let is_app =
            |policy: &&Policy| policy::Kind::of_policy(&policy.name).is_some_and(|of| of.0 == Kind::App);
        let conditions = policies
            .iter()
            .filter(is_app)
            .flat_map(|policy| policy.using_rows.iter().chain(&policy.check_rows));
        let setting =
            most_frequent(conditions.filter_map(|condition| setting_compared(condition, "team_id")));
        role(Kind::App).map(|app| Self { app, owner, delivery, auditor, setting })
    }

    /// What was not named is as it was the last time.
    #[cfg(feature = "migration")]
    pub(crate) fn or_as_before(mut self, policies: &[Policy]) -> Self {
        let Some(before) = Self::of_policies(policies) else { return self };
        let mut named: Vec<_> =
            [Some(&self.app), self.owner.as_ref(), self.delivery.as_ref(), self.auditor.as_ref()]
                .into_iter()
                .flatten()
                .cloned()
                .collect();
        let places = [
            (&mut self.owner, before.owner),
            (&mut self.delivery, before.delivery),
            (&mut self.auditor, before.auditor),
        ];
        for (place, role) in places {
            if let (None, Some(role)) = (&place, role.filter(|role| !named.contains(role))) {
                named.push(role.clone());
                *place = Some(role);
            }
        }
        self.setting = self.setting.or(before.setting);
        self
    }

    /// The setting that the policies compare.
    pub(crate) fn setting(&self) -> &str {
        self.setting.as_deref().unwrap_or(TEAM_SETTING)
    }

    /// The same policies for a table of the application's own. An owner that is not named gets none.
    pub(crate) fn team_policies(
        &self,
        table: &str,
        column: &str,
        column_type: &str,
        owner: Option<&str>,
    ) -> Vec<String> {
        let condition = team_condition(column, self.setting(), &format!("::{column_type}"));
        let roles = [
            Some((Kind::App, self.app.as_str())),
            owner.map(|role| (Kind::Owner, role)),
            self.delivery.as_deref().map(|role| (Kind::Delivery, role)),
        ];
        let policies = roles.into_iter().flatten().flat_map(|(kind, role)| {
            Command::ALL.map(|command| policy::create(table, kind, command, role, &condition))
        });
        policy::drop_all(table).chain(policies).chain(policy::force(table)).collect()
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
    pub(crate) fn grant(&self, table: &str, access: &Access, kind: Kind, role: &str) -> Vec<String> {
        let rights = access.rights(kind);
        let grant = format!("GRANT {} ON {table} TO {}", rights.join(", "), identifier(role));
        let grant = (!rights.is_empty()).then_some(grant);
        let policies =
            access.commands(kind).into_iter().map(|command| self.policy(table, kind, command, role));
        grant.into_iter().chain(policies).collect()
    }

    /// The statement that makes a policy of a table of ours.
    pub(crate) fn policy(&self, table: &str, kind: Kind, command: Command, role: &str) -> String {
        policy::create(table, kind, command, role, &team_condition("team_id", self.setting(), ""))
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

/// The role of this kind: most of its policies are for it.
pub(crate) fn role_of(policies: &[Policy], kind: Kind) -> Option<&str> {
    let of_kind =
        policies.iter().filter(|policy| Kind::of_policy(&policy.name).is_some_and(|of| of.0 == kind));
    most_frequent(of_kind.flat_map(Policy::roles).flatten())
}

fn most_frequent<T: Ord>(all: impl Iterator<Item = T>) -> Option<T> {
    let mut counts = BTreeMap::<T, usize>::new();
    all.for_each(|one| *counts.entry(one).or_default() += 1);
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(one, _)| one)
}
