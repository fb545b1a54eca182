//! MariaDB and MySQL: triggers guard against UPDATE, DELETE, REPLACE and upserts. TRUNCATE and cascades fire none.

use sea_orm::{ConnectionTrait, DbErr, Statement};

use super::{PURGES_REFUSED, REFUSED, create_index, missing_indexes, open_purges, problem};
use crate::verify::{GuardFinding, GuardProblem};

/// A trigger: its table, its name, when it fires, and the one statement that it is.
struct Trigger {
    table: &'static str,
    name: &'static str,
    when: &'static str,
    body: String,
}

fn triggers(with_purges: bool) -> Vec<Trigger> {
    let trigger = |table, name, when, body: &str| Trigger { table, name, when, body: body.to_owned() };
    let refuse = format!("SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{REFUSED}'");
    // The row stays in the connection's name after its transaction, but by then it says what was removed.
    let door = format!(
        "IF NOT EXISTS (SELECT 1 FROM event_purges p WHERE p.removed IS NULL AND p.connection = connection_id() \
         AND OLD.seq BETWEEN p.first_seq AND p.last_seq AND OLD.recorded_at <= p.recorded_until) THEN {refuse}; END IF"
    );
    let refuse_delete = if with_purges { &door } else { &refuse };
    let mut triggers = vec![
        trigger("events", "events_no_update", "BEFORE UPDATE", &refuse),
        trigger("events", "events_no_delete", "BEFORE DELETE", refuse_delete),
        // With 0 the server counts on, whatever was given.
        trigger(
            "events",
            "events_recorded_at",
            "BEFORE INSERT",
            "SET NEW.recorded_at = utc_timestamp(6), NEW.seq = 0",
        ),
    ];
    if with_purges {
        let refuse = format!("SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{PURGES_REFUSED}'");
        let closed = format!("IF OLD.removed IS NOT NULL THEN {refuse}; END IF");
        triggers.extend([
            trigger("event_purges", "event_purges_no_update", "BEFORE UPDATE", &closed),
            trigger("event_purges", "event_purges_no_delete", "BEFORE DELETE", &refuse),
            // Whoever opens one does so for itself.
            trigger(
                "event_purges",
                "event_purges_connection",
                "BEFORE INSERT",
                "SET NEW.connection = connection_id()",
            ),
        ]);
    }
    triggers
}

/// MySQL has no CREATE OR REPLACE.
fn create(trigger: &Trigger) -> String {
    let Trigger { table, name, when, body } = trigger;
    format!("DROP TRIGGER IF EXISTS {name};\nCREATE TRIGGER {name} {when} ON {table} FOR EACH ROW {body};")
}

/// All of them, for a user that cannot see which are there.
#[cfg(feature = "migration")]
pub(super) async fn all(db: &impl ConnectionTrait) -> Result<Vec<String>, DbErr> {
    let found = read(db).await?;
    Ok(triggers(has_purges(&found)).iter().map(create).collect())
}

#[cfg(feature = "migration")]
pub(super) fn remove() -> Vec<String> {
    triggers(false).iter().map(|trigger| format!("DROP TRIGGER IF EXISTS {}", trigger.name)).collect()
}

const CATALOG: &str = "SELECT 'table' AS kind, CAST(TABLE_TYPE AS CHAR) AS name, CAST(DATABASE() AS CHAR) AS state, \
     CAST(CONCAT(CURRENT_USER(), ' ', VERSION()) AS CHAR) AS definition \
     FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'events' \
     UNION ALL SELECT 'purges', CAST(TABLE_NAME AS CHAR), '', NULL \
     FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'event_purges' \
     UNION ALL SELECT 'trigger', CAST(TRIGGER_NAME AS CHAR), CAST(CONCAT(ACTION_TIMING, ' ', EVENT_MANIPULATION) AS CHAR), \
     CAST(ACTION_STATEMENT AS CHAR) FROM information_schema.TRIGGERS \
     WHERE EVENT_OBJECT_SCHEMA = DATABASE() AND EVENT_OBJECT_TABLE IN ('events', 'event_purges') \
     UNION ALL SELECT 'index', CAST(INDEX_NAME AS CHAR), CAST(MAX(NON_UNIQUE) AS CHAR), \
     CAST(GROUP_CONCAT(COLUMN_NAME ORDER BY SEQ_IN_INDEX) AS CHAR) FROM information_schema.STATISTICS \
     WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'events' GROUP BY INDEX_NAME";

struct Row {
    kind: String,
    name: String,
    state: String,
    /// Of a trigger NULL if the user may not see it.
    definition: Option<String>,
}

async fn read(db: &impl ConnectionTrait) -> Result<Vec<Row>, DbErr> {
    let mut found = Vec::new();
    for row in db.query_all_raw(Statement::from_string(db.get_database_backend(), CATALOG)).await? {
        found.push(Row {
            kind: row.try_get("", "kind")?,
            name: row.try_get("", "name")?,
            state: row.try_get("", "state")?,
            definition: row.try_get("", "definition")?,
        });
    }
    Ok(found)
}

/// Whether the step of retention was run, as far as the user may see.
fn has_purges(found: &[Row]) -> bool {
    found.iter().any(|row| row.kind == "purges")
}

pub(super) async fn findings(db: &impl ConnectionTrait) -> Result<Vec<GuardFinding>, DbErr> {
    let found = read(db).await?;
    let Some(table) = found.iter().find(|row| row.kind == "table") else {
        return Ok(Vec::new());
    };
    if table.name != "BASE TABLE" {
        return Ok(vec![finding(GuardProblem::NotATable, "events", "events", None)]);
    }
    let mut grants: Vec<String> = Vec::new();
    for row in db.query_all_raw(Statement::from_string(db.get_database_backend(), "SHOW GRANTS")).await? {
        grants.push(row.try_get_by_index(0)?);
    }
    let mut findings = of_user(&found, table, &grants);
    let indexes: Vec<(&str, bool)> = found
        .iter()
        .filter(|row| row.kind == "index")
        .filter_map(|row| Some((row.definition.as_deref()?, row.state == "0")))
        .collect();
    for (columns, unique) in missing_indexes(&indexes) {
        let (_, sql) = create_index("events", columns, unique);
        findings.push(finding(GuardProblem::MissingIndex, "events", columns, Some(format!("{sql};"))));
    }
    if has_purges(&found) {
        findings.extend(open_purges(db).await?);
    }
    Ok(findings)
}

fn finding(problem: GuardProblem, table: &str, name: &str, mend: Option<String>) -> GuardFinding {
    GuardFinding { problem, table: table.to_owned(), name: name.to_owned(), hardened: false, mend }
}

/// The triggers, as far as the user may see them, and what its privileges allow.
fn of_user(found: &[Row], table: &Row, grants: &[String]) -> Vec<GuardFinding> {
    let (database, user_and_version) = (&table.state, table.definition.as_deref().unwrap_or_default());
    let (user, version) = user_and_version.split_once(' ').unwrap_or((user_and_version, ""));
    let holds = |privilege: &&str| grants.iter().any(|grant| grants_on_events(grant, privilege, database));
    let mut findings = Vec::new();
    // MariaDB shows the names to whoever may use the table, MySQL shows nothing.
    if holds(&"TRIGGER") || version.contains("MariaDB") {
        for trigger in triggers(has_purges(found)) {
            let Trigger { table, name, when, body } = &trigger;
            let there = found.iter().find(|row| row.kind == "trigger" && row.name == *name);
            let there =
                there.map(|row| format!("{} {}", row.state, row.definition.as_deref().unwrap_or(body)));
            if let Some(problem) = problem(&format!("{when} {body}"), there.as_deref()) {
                findings.push(finding(problem, table, name, Some(create(&trigger))));
            }
        }
    } else if ["UPDATE", "DELETE"].iter().any(holds) {
        findings.push(finding(GuardProblem::Unseen, "events", user, None));
    }
    let privileges: Vec<&'static str> = ["DROP", "ALTER", "TRIGGER"].into_iter().filter(holds).collect();
    if !privileges.is_empty() {
        findings.push(finding(GuardProblem::MayRemove { privileges }, "events", user, None));
    }
    findings
}

/// Whether a line of SHOW GRANTS gives this privilege on `events`, to all of its columns or to some:
/// ``GRANT SELECT, UPDATE (team_id) ON `shop`.* TO `ada`@`%` ``.
fn grants_on_events(grant: &str, privilege: &str, database: &str) -> bool {
    let Some((privileges, rest)) = grant.strip_prefix("GRANT ").and_then(|rest| rest.split_once(" ON "))
    else {
        return false;
    };
    let Some((object, _)) = rest.split_once(" TO ") else {
        return false;
    };
    let among = privileges
        .split(", ")
        .any(|word| word == "ALL PRIVILEGES" || word.split(" (").next() == Some(privilege));
    among && covers_events(object, database)
}

fn covers_events(object: &str, database: &str) -> bool {
    let name = |text: &str| text.trim_matches('`').replace("``", "`");
    match object.rsplit_once('.') {
        Some(("*", "*")) => true,
        Some((schema, "*")) => is_like(&name(schema), database),
        Some((schema, table)) => name(schema) == database && name(table) == "events",
        None => false,
    }
}

/// In a grant on a database's tables `_` and `%` are wildcards unless they are escaped.
fn is_like(pattern: &str, text: &str) -> bool {
    let mut rest = pattern.chars();
    match rest.next() {
        None => text.is_empty(),
        Some('%') => text
            .char_indices()
            .map(|(at, _)| at)
            .chain([text.len()])
            .any(|at| is_like(rest.as_str(), &text[at..])),
        Some(first) => {
            let wanted = match first {
                '\\' => rest.next(),
                '_' => None,
                other => Some(other),
            };
            let mut text = text.chars();
            match (wanted, text.next()) {
                (_, None) => false,
                (Some(wanted), Some(found)) if wanted != found => false,
                _ => is_like(rest.as_str(), text.as_str()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Row, grants_on_events, of_user};
    use crate::verify::GuardProblem;

    #[track_caller]
    fn check(grant: &str, expected: bool) {
        assert_eq!(grants_on_events(grant, "DROP", "shop_1"), expected, "{grant}");
    }

    #[test]
    fn grants_are_read() {
        check("GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` WITH GRANT OPTION", true);
        check("GRANT USAGE ON *.* TO `ada`@`%`", false);
        check("GRANT SELECT, DROP ON `shop_1`.* TO `ada`@`%`", true);
        check("GRANT SELECT, DROP ON `shop\\_1`.* TO `ada`@`%`", true);
        check("GRANT SELECT, DROP ON `shop%`.* TO `ada`@`%`", true);
        check("GRANT SELECT, DROP ON `shop`.* TO `ada`@`%`", false);
        check("GRANT SELECT, DROP ON `shopX1`.* TO `ada`@`%`", false);
        check("GRANT DROP ON `shop_1`.`events` TO `ada`@`%`", true);
        check("GRANT DROP ON `shop_1`.`campaigns` TO `ada`@`%`", false);
        check("GRANT INSERT (id, team_id), DROP ON `shop_1`.`events` TO `ada`@`%`", true);
        check("GRANT DROP ROLE ON *.* TO `ada`@`%`", false);
        check("GRANT `writers` TO `ada`@`%`", false);
    }

    /// No server of this kind runs in the tests.
    #[test]
    fn on_mysql_triggers_cannot_be_seen() {
        let table = Row {
            kind: "table".to_owned(),
            name: "BASE TABLE".to_owned(),
            state: "shop_1".to_owned(),
            definition: Some("ada@% 8.4.2".to_owned()),
        };
        let problems = |grant: &str| -> Vec<GuardProblem> {
            let findings = of_user(&[], &table, &[grant.to_owned()]);
            findings.into_iter().map(|finding| finding.problem).collect()
        };
        assert_eq!(problems("GRANT SELECT, INSERT ON `shop_1`.* TO `ada`@`%`"), []);
        assert_eq!(problems("GRANT SELECT, UPDATE ON `shop_1`.* TO `ada`@`%`"), [GuardProblem::Unseen]);
        let all = problems("GRANT ALL PRIVILEGES ON `shop_1`.* TO `ada`@`%`");
        assert_eq!(all[..3], [GuardProblem::Missing, GuardProblem::Missing, GuardProblem::Missing]);
    }
}
