//! PostgreSQL: triggers that fire in every session, replicas' included. A statement trigger is not handed down to
//! partitions, so each has its own.

use sea_orm::{ConnectionTrait, DbErr, QueryResult, Statement};

use super::{REFUSED, create_index, missing_indexes};
use crate::verify::{GuardFinding, GuardProblem};

/// A trigger of ours.
struct Guard {
    name: &'static str,
    /// As PostgreSQL writes it, without the names of table and function.
    definition: &'static str,
    function: &'static str,
    body: String,
    /// Also where a replica applies what happened elsewhere.
    always: bool,
}

/// What they all say: names are looked up among PostgreSQL's own alone, whatever the caller's search path.
const CONFIG: &str = "search_path=pg_catalog";

fn guards() -> [Guard; 3] {
    let refuse = format!(
        "BEGIN RAISE EXCEPTION '% on \"%\" refused: {REFUSED}', TG_OP, TG_TABLE_NAME USING ERRCODE = '55000'; END"
    );
    [
        Guard {
            name: "events_no_change",
            definition: "BEFORE DELETE OR UPDATE FOR EACH ROW",
            function: "events_refuse_change",
            body: refuse.clone(),
            always: true,
        },
        Guard {
            name: "events_no_truncate",
            definition: "BEFORE TRUNCATE FOR EACH STATEMENT",
            function: "events_refuse_change",
            body: refuse,
            always: true,
        },
        // The condition costs nothing that could be measured, a call for each event a fifth of the INSERT. A replica
        // keeps the times of where the events were recorded.
        Guard {
            name: "events_recorded_at",
            definition: "BEFORE INSERT FOR EACH ROW WHEN (new.recorded_at < statement_timestamp() OR new.recorded_at > clock_timestamp())",
            function: "events_set_recorded_at",
            body: "BEGIN NEW.recorded_at := clock_timestamp(); RETURN NEW; END".to_owned(),
            always: false,
        },
    ]
}

impl Guard {
    fn create(&self, table: &Table) -> String {
        let Self { name, definition, function, body, .. } = self;
        let (when, each) = definition.split_once(" FOR EACH ").unwrap_or((definition, "ROW"));
        let function = format!("{}.{function}", table.schema);
        format!(
            "CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql SET {CONFIG} AS $${body}$$;\n\
             CREATE OR REPLACE TRIGGER {name} {when} ON {table} FOR EACH {each} EXECUTE FUNCTION {function}();\n{enable}",
            table = table.full_name(),
            enable = self.enable(table)
        )
    }

    fn enable(&self, table: &Table) -> String {
        let always = if self.always { "ALWAYS " } else { "" };
        format!("ALTER TABLE {} ENABLE {always}TRIGGER {};", table.full_name(), self.name)
    }

    /// A row trigger of the parent stands for those of its partitions.
    fn is_handed_down(&self) -> bool {
        self.definition.contains("FOR EACH ROW")
    }

    fn problem(&self, found: Option<&Found>) -> Option<GuardProblem> {
        let Some(found) = found else {
            return Some(GuardProblem::Missing);
        };
        let same = found.definition == self.definition
            && found.body == self.body
            && found.config == CONFIG
            && found.language == "plpgsql";
        if !same {
            return Some(GuardProblem::Altered);
        }
        let fires = found.enabled == "A" || (!self.always && found.enabled == "O");
        (!fires).then_some(GuardProblem::Disabled)
    }
}

#[cfg(feature = "migration")]
pub(super) fn remove() -> Vec<String> {
    let functions = ["events_refuse_change", "events_set_recorded_at"];
    functions.iter().map(|name| format!("DROP FUNCTION IF EXISTS {name}() CASCADE")).collect()
}

/// `events` or a partition of it, names quoted.
struct Table {
    oid: i64,
    schema: String,
    name: String,
    is_partition: bool,
}

impl Table {
    fn full_name(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }
}

/// What the catalog says that a table has.
struct Found {
    kind: String,
    table: i64,
    name: String,
    definition: String,
    enabled: String,
    body: String,
    config: String,
    language: String,
}

/// The table and its partitions, and what they have. A trigger is written without the names of table and function,
/// which depend on the search path.
const CATALOG: &str = r"WITH root AS (
        SELECT oid, relkind, relrowsecurity FROM pg_catalog.pg_class WHERE oid = to_regclass('events')::oid
    ), tree AS (
        SELECT oid FROM root UNION SELECT p.relid::oid FROM root CROSS JOIN LATERAL pg_partition_tree(root.oid::regclass) p
    )
    SELECT 'table' AS kind, c.oid::bigint AS table_oid, quote_ident(c.relname) AS name, quote_ident(n.nspname) AS definition,
        CASE WHEN c.relkind NOT IN ('r', 'p') THEN 'not a table' WHEN c.oid = root.oid THEN 'root' ELSE 'partition' END AS enabled,
        root.relrowsecurity::text AS body, '' AS config, '' AS language
    FROM tree JOIN pg_catalog.pg_class c USING (oid) JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace CROSS JOIN root
    UNION ALL
    SELECT 'trigger', t.tgrelid::bigint, t.tgname::text,
        regexp_replace(pg_get_triggerdef(t.oid, true), '^CREATE TRIGGER .*? (BEFORE|AFTER|INSTEAD OF) (.*?) ON .* FOR EACH (.*) EXECUTE FUNCTION .*$', '\1 \2 FOR EACH \3'),
        t.tgenabled::text, p.prosrc, array_to_string(coalesce(p.proconfig, '{}'), ','), l.lanname::text
    FROM tree JOIN pg_catalog.pg_trigger t ON t.tgrelid = tree.oid AND t.tgname LIKE 'events\_%'
    JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid JOIN pg_catalog.pg_language l ON l.oid = p.prolang
    UNION ALL
    SELECT 'rule', r.ev_class::bigint, quote_ident(r.rulename), '', '', '', '', ''
    FROM tree JOIN pg_catalog.pg_rewrite r ON r.ev_class = tree.oid AND r.rulename <> '_RETURN'
    UNION ALL
    SELECT 'index', i.indrelid::bigint, '', (SELECT string_agg(a.attname, ',' ORDER BY k.place)
        FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place) JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum),
        i.indisunique::text, '', '', ''
    FROM root JOIN pg_catalog.pg_index i ON i.indrelid = root.oid AND i.indisvalid AND i.indpred IS NULL";

pub(super) async fn findings(db: &impl ConnectionTrait) -> Result<Vec<GuardFinding>, DbErr> {
    let rows = db.query_all_raw(Statement::from_string(db.get_database_backend(), CATALOG)).await?;
    let (mut tables, mut found, mut hardened) = (Vec::new(), Vec::new(), false);
    for row in rows {
        let row = read(&row)?;
        if row.kind == "table" {
            if row.enabled == "not a table" {
                return Ok(vec![not_a_table()]);
            }
            hardened = row.body == "true";
            let is_partition = row.enabled == "partition";
            tables.push(Table { oid: row.table, schema: row.definition, name: row.name, is_partition });
        } else {
            found.push(row);
        }
    }
    let mut findings = Vec::new();
    for table in &tables {
        let has = |kind: &'static str| {
            found.iter().filter(move |row: &&Found| row.kind == kind && row.table == table.oid)
        };
        let mut add = |problem, name: &str, mend| {
            findings.push(GuardFinding {
                problem,
                table: if table.is_partition { table.full_name() } else { "events".to_owned() },
                name: name.to_owned(),
                hardened,
                mend: Some(mend),
            });
        };
        for guard in guards() {
            let there = has("trigger").find(|row| row.name == guard.name);
            let Some(problem) = guard.problem(there) else {
                continue;
            };
            let handed_down = table.is_partition && guard.is_handed_down();
            match problem {
                // Mended with the parent's.
                GuardProblem::Missing | GuardProblem::Altered if handed_down => {}
                GuardProblem::Disabled => add(problem, guard.name, guard.enable(table)),
                _ => add(problem, guard.name, guard.create(table)),
            }
        }
        for rule in has("rule") {
            let mend = format!("DROP RULE {} ON {};", rule.name, table.full_name());
            add(GuardProblem::Rule, &rule.name, mend);
        }
        if !table.is_partition {
            let indexes: Vec<(&str, bool)> =
                has("index").map(|row| (&*row.definition, row.enabled == "true")).collect();
            for (columns, unique) in missing_indexes(&indexes) {
                let (name, sql) = create_index(&table.full_name(), columns, unique);
                let mend = format!("DROP INDEX IF EXISTS {}.{name};\n{sql};", table.schema);
                add(GuardProblem::MissingIndex, columns, mend);
            }
        }
    }
    Ok(findings)
}

fn not_a_table() -> GuardFinding {
    GuardFinding {
        problem: GuardProblem::NotATable,
        table: "events".to_owned(),
        name: "events".to_owned(),
        hardened: false,
        mend: None,
    }
}

fn read(row: &QueryResult) -> Result<Found, DbErr> {
    let text = |column| Ok::<_, DbErr>(row.try_get::<Option<String>>("", column)?.unwrap_or_default());
    Ok(Found {
        kind: text("kind")?,
        table: row.try_get("", "table_oid")?,
        name: text("name")?,
        definition: text("definition")?,
        enabled: text("enabled")?,
        body: text("body")?,
        config: text("config")?,
        language: text("language")?,
    })
}
