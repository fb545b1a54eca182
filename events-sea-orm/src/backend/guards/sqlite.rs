//! SQLite: `INSERT OR REPLACE` removes a row without a DELETE trigger, so what is there already is refused before.

use sea_orm::{ConnectionTrait, DbErr, Statement};

use super::{PURGES_REFUSED, REFUSED, THERE_ALREADY, create_index, missing_indexes, open_purges, problem};
use crate::verify::{GuardFinding, GuardProblem};

/// A trigger: its table, its name, and its text as SQLite keeps it.
type Trigger = (&'static str, &'static str, String);

fn triggers(with_purges: bool) -> Vec<Trigger> {
    let refuse = |message: &str| format!("BEGIN SELECT RAISE(ABORT, '{message}'); END");
    let door = match with_purges {
        false => String::new(),
        true => "WHEN NOT EXISTS (SELECT 1 FROM event_purges WHERE removed IS NULL \
                 AND OLD.seq BETWEEN first_seq AND last_seq AND OLD.recorded_at <= recorded_until) "
            .to_owned(),
    };
    let mut triggers = vec![
        ("events", "events_no_update", format!("BEFORE UPDATE ON events {}", refuse(REFUSED))),
        ("events", "events_no_delete", format!("BEFORE DELETE ON events {door}{}", refuse(REFUSED))),
        // A number that is not given is -1 here. Within a statement 'now' is one moment, so a given time is another.
        (
            "events",
            "events_no_replace",
            format!(
                "BEFORE INSERT ON events \
                 WHEN NEW.seq <> -1 OR NEW.recorded_at IS NOT strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now') \
                 OR EXISTS (SELECT 1 FROM events WHERE id = NEW.id) \
                 BEGIN SELECT CASE WHEN EXISTS (SELECT 1 FROM events WHERE id = NEW.id) THEN RAISE(ABORT, '{THERE_ALREADY}') \
                 ELSE RAISE(ABORT, 'events are append-only: seq and recorded_at are given by the database') END; END"
            ),
        ),
        // -1 may have been given all the same.
        (
            "events",
            "events_no_seq",
            format!(
                "AFTER INSERT ON events WHEN NEW.seq < 1 {}",
                refuse("events are append-only: seq is given by the database")
            ),
        ),
    ];
    if with_purges {
        let refuse = refuse(PURGES_REFUSED);
        triggers.extend([
            (
                "event_purges",
                "event_purges_no_update",
                format!("BEFORE UPDATE ON event_purges WHEN OLD.removed IS NOT NULL {refuse}"),
            ),
            ("event_purges", "event_purges_no_delete", format!("BEFORE DELETE ON event_purges {refuse}")),
            (
                "event_purges",
                "event_purges_no_replace",
                format!(
                    "BEFORE INSERT ON event_purges WHEN EXISTS (SELECT 1 FROM event_purges WHERE id = NEW.id) {refuse}"
                ),
            ),
        ]);
    }
    triggers
        .into_iter()
        .map(|(table, name, body)| (table, name, format!("CREATE TRIGGER {name} {body}")))
        .collect()
}

const CATALOG: &str = "SELECT type AS kind, name, coalesce(sql, '') AS definition, 0 AS is_unique FROM sqlite_schema \
     WHERE lower(tbl_name) IN ('events', 'event_purges') AND type IN ('table', 'view', 'trigger') \
     UNION ALL SELECT 'index', name, (SELECT group_concat(name) FROM (SELECT i.name FROM pragma_index_info(l.name) i ORDER BY i.seqno)), \
     \"unique\" FROM pragma_index_list('events') l WHERE NOT partial";

pub(super) async fn findings(db: &impl ConnectionTrait) -> Result<Vec<GuardFinding>, DbErr> {
    let rows = db.query_all_raw(Statement::from_string(db.get_database_backend(), CATALOG)).await?;
    let mut found: Vec<(String, String, String, bool)> = Vec::new();
    for row in rows {
        found.push((
            row.try_get("", "kind")?,
            row.try_get("", "name")?,
            row.try_get::<Option<String>>("", "definition")?.unwrap_or_default(),
            row.try_get::<i64>("", "is_unique")? != 0,
        ));
    }
    let finding = |problem, table: &str, name: &str, mend| GuardFinding {
        problem,
        table: table.to_owned(),
        name: name.to_owned(),
        hardened: false,
        mend,
    };
    let is_table = |wanted: &str| {
        let mut tables = found.iter().filter(|(kind, ..)| kind == "table" || kind == "view");
        tables.find(|(_, name, ..)| name.eq_ignore_ascii_case(wanted)).map(|(kind, ..)| kind == "table")
    };
    match is_table("events") {
        None => return Ok(Vec::new()),
        Some(false) => return Ok(vec![finding(GuardProblem::NotATable, "events", "events", None)]),
        Some(true) => {}
    }
    let with_purges = is_table("event_purges") == Some(true);
    let mut findings = Vec::new();
    for (table, name, sql) in triggers(with_purges) {
        let there = found.iter().find(|(kind, other, ..)| kind == "trigger" && other == name);
        if let Some(problem) = problem(&sql, there.map(|(_, _, definition, _)| &**definition)) {
            let mend = format!("DROP TRIGGER IF EXISTS {name};\n{sql};");
            findings.push(finding(problem, table, name, Some(mend)));
        }
    }
    let indexes: Vec<(&str, bool)> = found
        .iter()
        .filter(|(kind, ..)| kind == "index")
        .map(|(_, _, columns, unique)| (&**columns, *unique))
        .collect();
    for (columns, unique) in missing_indexes(&indexes) {
        let (name, sql) = create_index("events", columns, unique);
        let mend = format!("DROP INDEX IF EXISTS {name};\n{sql};");
        findings.push(finding(GuardProblem::MissingIndex, "events", columns, Some(mend)));
    }
    if with_purges {
        findings.extend(open_purges(db).await?);
    }
    Ok(findings)
}

#[cfg(feature = "migration")]
pub(super) fn remove() -> Vec<String> {
    triggers(false).iter().map(|(_, name, _)| format!("DROP TRIGGER IF EXISTS {name}")).collect()
}
