//! Who can do more than it should: the role that is connected, and what others were granted.

use std::collections::BTreeSet;

use super::{Found, IsolationFinding, joined};
use crate::backend::isolation::{
    Access, EVENTS, Kind,
    inspect::{Owned, Power, Right},
    sql::identifier,
};

/// What the roles that are looked at are or can become.
pub(super) fn of_roles(found: &Found, powers: &[Power], owned: &[Owned]) -> Vec<IsolationFinding> {
    let app = found.role(Kind::App);
    let mut findings: Vec<_> = powers.iter().map(|power| powerful(found, power)).collect();
    let mut seen = BTreeSet::new();
    for Owned { of, owner, name, is_schema, tables_owner } in owned {
        // A login of the application can become its role; that this one is the owner is said of itself.
        if app == Some(owner.as_str()) && of != owner {
            continue;
        }
        // One of a role's tables will do, and an owner of the tables may drop them anyhow.
        let is_first = seen.insert((of, owner, *is_schema));
        let owns_tables = owned.iter().any(|other| other.of == *of && !other.is_schema);
        if !is_first || *is_schema && owns_tables {
            continue;
        }
        let (role, owner) = (of.clone(), owner.clone());
        findings.push(match is_schema {
            true => IsolationFinding::OwnedSchema {
                role,
                schema: name.clone(),
                mend: format!("ALTER SCHEMA {name} OWNER TO {};", identifier(tables_owner)),
            },
            false => {
                let leave = (role != owner).then(|| joined(found.memberships.leave(&role, &owner, app)));
                IsolationFinding::OwnedTable { role, owner, table: name.clone(), mend: leave }
            }
        });
    }
    findings
}

fn powerful(found: &Found, power: &Power) -> IsolationFinding {
    let Power { of, role, is_self, attribute } = power;
    let may = match attribute.as_deref() {
        Some("SUPERUSER") => "is a superuser".to_owned(),
        Some("BYPASSRLS") => "bypasses row-level security".to_owned(),
        Some("CREATEROLE") => "may create roles, and so make itself a member of the owner".to_owned(),
        Some("REPLICATION") => "may replicate, and so copy the whole database".to_owned(),
        Some(other) => format!("is {other}"),
        None => "reaches all data or the server's files".to_owned(),
    };
    let is_meant = *is_self || found.role(Kind::App) == Some(role.as_str());
    let mend = match (is_meant, attribute.as_deref()) {
        (true, Some("SUPERUSER")) => None,
        (true, Some(attribute)) => Some(format!("ALTER ROLE {} NO{attribute};", identifier(role))),
        _ => Some(joined(found.memberships.leave(of, role, found.role(Kind::App)))),
    };
    match is_self {
        true => IsolationFinding::PowerfulRole { role: role.clone(), power: may, mend },
        false => IsolationFinding::PowerfulRole {
            role: of.clone(),
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
