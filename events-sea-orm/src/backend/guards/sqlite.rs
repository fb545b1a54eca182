//! SQLite: `INSERT OR REPLACE` removes a row without a DELETE trigger, so what is there already is refused before.

use sea_orm::{ConnectionTrait, DbErr, Statement};

use super::{REFUSED, THERE_ALREADY, create_index, missing_indexes, problem};
use crate::verify::{GuardFinding, GuardProblem};

/// Triggers by name, each as SQLite keeps its text.
fn triggers() -> [(&'static str, String); 4] {
    let refuse = |message: &str| format!("BEGIN SELECT RAISE(ABORT, '{message}'); END");
    [
        ("events_no_update", format!("BEFORE UPDATE ON events {}", refuse(REFUSED))),
        ("events_no_delete", format!("BEFORE DELETE ON events {}", refuse(REFUSED))),
        // A number that is not given is -1 here. Within a statement 'now' is one moment, so a given time is another.
        (
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
            "events_no_seq",
            format!(
                "AFTER INSERT ON events WHEN NEW.seq < 1 {}",
                refuse("events are append-only: seq is given by the database")
            ),
        ),
    ]
    .map(|(name, body)| (name, format!("CREATE TRIGGER {name} {body}")))
}

const CATALOG: &str = "SELECT type AS kind, name, coalesce(sql, '') AS definition, 0 AS is_unique FROM sqlite_schema \
     WHERE lower(tbl_name) = 'events' AND type IN ('table', 'view', 'trigger') \
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
    let finding = |problem, name: &str, mend| GuardFinding {
        problem,
        table: "events".to_owned(),
        name: name.to_owned(),
        hardened: false,
        mend,
    };
    match found.iter().find(|(kind, ..)| kind == "table" || kind == "view") {
        None => return Ok(Vec::new()),
        Some((kind, ..)) if kind == "view" => {
            return Ok(vec![finding(GuardProblem::NotATable, "events", None)]);
        }
        Some(_) => {}
    }
    let mut findings = Vec::new();
    for (name, sql) in triggers() {
        let there = found.iter().find(|(kind, other, ..)| kind == "trigger" && other == name);
        if let Some(problem) = problem(&sql, there.map(|(_, _, definition, _)| &**definition)) {
            let mend = format!("DROP TRIGGER IF EXISTS {name};\n{sql};");
            findings.push(finding(problem, name, Some(mend)));
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
        findings.push(finding(GuardProblem::MissingIndex, columns, Some(mend)));
    }
    Ok(findings)
}

#[cfg(feature = "migration")]
pub(super) fn remove() -> Vec<String> {
    triggers().iter().map(|(name, _)| format!("DROP TRIGGER IF EXISTS {name}")).collect()
}
