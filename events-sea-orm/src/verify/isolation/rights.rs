//! Who can do more than it should: the role that is connected, and what others were granted.

use std::collections::BTreeSet;

use super::{Found, IsolationFinding, joined};
use crate::backend::isolation::{
    Access, EVENTS, Kind,
    inspect::{Power, Right},
    sql::identifier,
};

/// What the role that is connected is or can become.
pub(super) fn of_roles(found: &Found, powers: &[Power]) -> Vec<IsolationFinding> {
    let role = &found.session.role;
    let mut findings: Vec<_> = powers.iter().map(|power| powerful(power, role)).collect();
    if found.session.is_superuser {
        return findings; // and so the owner of everything
    }
    let mut owners = BTreeSet::new();
    for relation in found.relations.iter().filter(|relation| relation.is_own) {
        if owners.insert(&relation.owner) {
            let revoke = format!("REVOKE {} FROM {};", identifier(&relation.owner), identifier(role));
            findings.push(IsolationFinding::OwnedTable {
                role: role.clone(),
                owner: relation.owner.clone(),
                table: relation.name.clone(),
                mend: (relation.owner != *role).then_some(revoke),
            });
        }
    }
    // An owner of the tables may drop them anyhow.
    let owned = found.relations.iter().find(|relation| relation.is_in_own_schema && !relation.is_own);
    findings.extend(owned.map(|relation| IsolationFinding::OwnedSchema {
        role: role.clone(),
        schema: relation.schema.clone(),
        mend: format!("ALTER SCHEMA {} OWNER TO {};", relation.schema, identifier(&relation.owner)),
    }));
    findings
}

fn powerful(power: &Power, connected: &str) -> IsolationFinding {
    let Power { role, is_self, attribute } = power;
    let may = match attribute.as_deref() {
        Some("SUPERUSER") => "is a superuser".to_owned(),
        Some("BYPASSRLS") => "bypasses row-level security".to_owned(),
        Some("CREATEROLE") => "may create roles, and so make itself a member of the owner".to_owned(),
        Some("REPLICATION") => "may replicate, and so copy the whole database".to_owned(),
        Some(other) => format!("is {other}"),
        None => "reaches all data or the server's files".to_owned(),
    };
    let mend = match (is_self, attribute.as_deref()) {
        (true, Some("SUPERUSER")) => None,
        (true, Some(attribute)) => Some(format!("ALTER ROLE {} NO{attribute};", identifier(role))),
        _ => Some(format!("REVOKE {} FROM {};", identifier(role), identifier(connected))),
    };
    match is_self {
        true => IsolationFinding::PowerfulRole { role: role.clone(), power: may, mend },
        false => IsolationFinding::PowerfulRole {
            role: connected.to_owned(),
            power: format!("can become `{role}`, which {may}"),
            mend,
        },
    }
}

/// A right that somebody other than the owner should not have.
pub(super) fn excess(found: &Found, right: &Right) -> Option<IsolationFinding> {
    let relation = found.relation(right.oid)?;
    let is_events = relation.of == EVENTS;
    // Of what was purged: whoever writes there could open the guards.
    let is_records = relation.access().is_some_and(Access::is_records);
    let is_excess = match right.right.as_str() {
        // Past every policy, or a way to learn of keys, or to run one's own code as another.
        "TRUNCATE" | "REFERENCES" | "TRIGGER" => true,
        "UPDATE" | "DELETE" => is_events || is_records,
        "INSERT" => {
            is_records || is_events && matches!(right.column.as_deref(), None | Some("seq" | "recorded_at"))
        }
        _ => false,
    };
    let is_everybody = right.grantee.is_none();
    if !(is_excess || is_everybody || relation.is_partition || right.sequence.is_some()) {
        return None;
    }
    let table = right.sequence.as_ref().unwrap_or(&relation.name);
    let role = right.grantee.as_deref().map_or_else(|| "PUBLIC".to_owned(), identifier);
    let of_column =
        right.column.as_deref().map(|column| format!(" ({})", identifier(column))).unwrap_or_default();
    let sequence = if right.sequence.is_some() { "SEQUENCE " } else { "" };
    let revoke = format!("REVOKE {}{of_column} ON {sequence}{table} FROM {role}", right.right);
    // A right on the table goes with those on its columns: those that are granted come back.
    let again = again(found, right).map(|rights| format!("GRANT {rights} ON {table} TO {role}"));
    Some(IsolationFinding::Right {
        table: table.clone(),
        role: right.grantee.clone().unwrap_or_else(|| "PUBLIC".to_owned()),
        right: format!(
            "{}{}",
            right.right,
            right.column.as_deref().map(|column| format!(" ({column})")).unwrap_or_default()
        ),
        // Who reads or writes only what a policy lets through is stopped by it; a sequence tells how many rows there are.
        is_reached: right.is_reached && is_excess && right.sequence.is_none(),
        mend: joined(std::iter::once(revoke).chain(again)),
    })
}

/// The rights on columns that go if this one on the table is taken away, and should stay.
fn again(found: &Found, right: &Right) -> Option<String> {
    let relation = found.relation(right.oid).filter(|relation| !relation.is_partition)?;
    if right.column.is_some() || right.sequence.is_some() {
        return None;
    }
    let kind = Kind::ALL.into_iter().find(|kind| found.role(*kind) == right.grantee.as_deref())?;
    let rights = relation.access()?.rights(kind);
    rights.into_iter().find(|granted| granted.starts_with(&format!("{} (", right.right)))
}
