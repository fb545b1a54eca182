//! Policies that are missing, altered, or let through more than they should.

use std::collections::BTreeMap;

use super::{Found, IsolationFinding, joined};
use crate::backend::isolation::{
    Command, EVENTS, Kind, Relation, RoleNames,
    expression::setting_compared,
    inspect::Policy,
    policy::{drop_one, is_all_teams, team_expression},
    sql::identifier,
};

pub(super) fn findings(found: &Found, setting: &str) -> Vec<IsolationFinding> {
    let mut findings = Vec::new();
    for kind in Kind::ALL {
        // An application may have policies of its own instead: those are only looked at for what they let through.
        let Some(role) = found.role(kind) else { continue };
        for relation in
            found.relations.iter().filter(|relation| !relation.is_partition && !found.is_left_out(relation))
        {
            let commands = relation.access().map(|access| access.commands(kind)).unwrap_or_default();
            let of_table = |command| expected(found, relation, kind, command, role, setting);
            findings.extend(commands.into_iter().filter_map(of_table));
        }
    }
    let wider = found.policies.iter().flat_map(|policy| wider(found, policy, setting));
    // What was found altered is mended already.
    let altered: Vec<_> = findings.iter().filter_map(altered_policy).collect();
    let wider: Vec<_> = wider.filter(|finding| !altered.contains(&wider_policy(finding))).collect();
    findings.extend(wider);
    findings.extend(of_connection(found, setting));
    findings
}

fn altered_policy(finding: &IsolationFinding) -> Option<(String, String)> {
    match finding {
        IsolationFinding::AlteredPolicy { table, policy, .. }
        | IsolationFinding::OtherSetting { table, policy, .. } => Some((table.clone(), policy.clone())),
        _ => None,
    }
}

fn wider_policy(finding: &IsolationFinding) -> (String, String) {
    match finding {
        IsolationFinding::WiderPolicy { table, policy, .. }
        | IsolationFinding::OtherSetting { table, policy, .. } => (table.clone(), policy.clone()),
        _ => Default::default(),
    }
}

/// What is wrong with a policy that there should be.
fn expected(
    found: &Found,
    relation: &Relation,
    kind: Kind,
    command: Command,
    role: &str,
    setting: &str,
) -> Option<IsolationFinding> {
    let (table, name) = (relation.name.clone(), kind.policy(command));
    let create = RoleNames { setting: Some(setting.to_owned()), ..RoleNames::app(role) }
        .policy(&table, kind, command, role);
    let there = found.policies.iter().find(|policy| policy.oid == relation.oid && policy.name == name);
    let Some(there) = there else {
        return Some(IsolationFinding::MissingPolicy { table, policy: name, mend: joined([create]) });
    };
    let mend = joined([drop_one(&table, &name), create]);
    let expression = if kind == Kind::App { team_expression(setting) } else { "true".to_owned() };
    let (using, check) = command.has();
    let says = |there: &Option<String>, has: bool| there.as_deref() == has.then_some(expression.as_str());
    let is_same = there.is_permissive
        && there.command == command.letter()
        && there.roles() == [Some(role)]
        && says(&there.using_rows, using)
        && says(&there.check_rows, check);
    if is_same {
        return None;
    }
    Some(match other_setting(there, setting).filter(|_| kind == Kind::App) {
        Some(setting) => IsolationFinding::OtherSetting { table, policy: name, setting, mend },
        None => IsolationFinding::AlteredPolicy { table, policy: name, mend },
    })
}

/// Whether a policy lets through what is not of the team that is set. Only narrower is no concern here.
fn is_wide(policy: &Policy, setting: &str) -> bool {
    let mut conditions = policy.using_rows.iter().chain(&policy.check_rows);
    let is_of_team = |condition: &str| setting_compared(condition, "team_id").as_deref() == Some(setting);
    policy.is_permissive && conditions.any(|condition| !is_of_team(condition))
}

/// The setting that a policy compares, if it is another.
fn other_setting(policy: &Policy, setting: &str) -> Option<String> {
    let mut conditions = policy.using_rows.iter().chain(&policy.check_rows);
    let compared = conditions.find_map(|condition| setting_compared(condition, "team_id"));
    compared.filter(|compared| compared != setting)
}

/// The roles of one team that this policy lets see more.
fn wider<'a>(found: &'a Found, policy: &'a Policy, setting: &str) -> Vec<IsolationFinding> {
    let Some(relation) = found.relation(policy.oid).filter(|_| is_wide(policy, setting)) else {
        return Vec::new();
    };
    let of_one_team = policy.reaches().into_iter().filter(|role| is_of_one_team(found, role));
    let finding = |role: &str| {
        let mend = withdraw(found, &relation.name, &policy.name, &policy.roles(), role);
        let (table, policy_name, mend) = (relation.name.clone(), policy.name.clone(), joined(mend));
        match other_setting(policy, setting) {
            Some(setting) => IsolationFinding::OtherSetting { table, policy: policy_name, setting, mend },
            None => IsolationFinding::WiderPolicy { table, policy: policy_name, role: role.to_owned(), mend },
        }
    };
    of_one_team.map(finding).collect()
}

/// The statements after which a policy does not reach this role. Others that it names keep it.
pub(super) fn withdraw(
    found: &Found,
    table: &str,
    policy: &str,
    named: &[Option<&str>],
    role: &str,
) -> Vec<String> {
    let app = found.role(Kind::App);
    let is_own = |name: &&str| *name == role || Some(*name) == app;
    let others: Vec<_> = named.iter().flatten().copied().filter(|name| !is_own(name)).collect();
    if named.contains(&None) || others.is_empty() {
        return vec![drop_one(table, policy)];
    }
    let names_own = named.iter().flatten().any(is_own);
    let alter = names_own.then(|| {
        let others: Vec<_> = others.iter().map(|name| identifier(name)).collect();
        format!("ALTER POLICY {} ON {table} TO {}", identifier(policy), others.join(", "))
    });
    let leave = others.iter().flat_map(|other| found.memberships.stop_inheriting(role, other, app));
    alter.into_iter().chain(leave).collect()
}

/// The setting that the policies of our tables compare most, if none compares the one that is set: that one is named wrongly.
pub(super) fn named_wrongly(policies: &[Policy], setting: &str) -> Option<String> {
    let conditions = policies.iter().flat_map(|policy| policy.using_rows.iter().chain(&policy.check_rows));
    let mut counts = BTreeMap::<String, usize>::new();
    for compared in conditions.filter_map(|condition| setting_compared(condition, "team_id")) {
        *counts.entry(compared).or_default() += 1;
    }
    if counts.contains_key(setting) {
        return None;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(compared, _)| compared)
}

/// Whether a role is the application's, or a member of it. One that has only policies for all teams is for such work.
pub(super) fn is_of_one_team(found: &Found, role: &str) -> bool {
    let reaching = || on_events(found).filter(|policy| policy.reaches().contains(&role));
    let kinds: Vec<_> = reaching().map(|policy| Kind::of_policy(&policy.name).map(|of| of.0)).collect();
    kinds.contains(&Some(Kind::App)) || !kinds.iter().any(|kind| kind.is_some())
}

fn on_events(found: &Found) -> impl Iterator<Item = &Policy> {
    let is_events = |policy: &&Policy| {
        found.relation(policy.oid).is_some_and(|relation| relation.of == EVENTS && !relation.is_partition)
    };
    found.policies.iter().filter(is_events)
}

/// Whether the role that is connected sees too much by right, or nothing at all.
fn of_connection(found: &Found, setting: &str) -> Option<IsolationFinding> {
    let role = found.session.role.clone();
    if found.policies.is_empty() {
        return Some(IsolationFinding::NoPolicies);
    }
    if found.session.is_superuser || found.session.is_foreign {
        return None;
    }
    let reaching: Vec<_> =
        on_events(found).filter(|policy| policy.reaches().contains(&role.as_str())).collect();
    if reaching.is_empty() {
        // Of the application's role itself the policies are missing, which is said with what makes them.
        let app = found.role(Kind::App).filter(|app| *app != role);
        let mend = app.map(|app| found.memberships.inherit(&role, app) + ";");
        return Some(IsolationFinding::NoPolicy { role, mend });
    }
    let sees_all = reaching
        .iter()
        .any(|policy| is_wide(policy, setting) && policy.using_rows.as_deref().is_some_and(is_all_teams));
    (sees_all && !is_of_one_team(found, &role)).then_some(IsolationFinding::AllTeams { role })
}
