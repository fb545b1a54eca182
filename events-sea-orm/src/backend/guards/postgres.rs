//! PostgreSQL: triggers that fire in every session, replicas' included. A statement trigger is not handed down to
//! partitions, so each has its own.

use sea_orm::{ConnectionTrait, DbErr, QueryResult, Statement};

use super::{PURGES_REFUSED, REFUSED, create_index, missing_indexes, open_purges};
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

/// `purges`: the schema of the record of purges, quoted, if there is one.
fn guards(purges: Option<&str>) -> [Guard; 3] {
    let door = purges.map_or_else(String::new, |schema| {
        format!(
            "IF TG_OP = 'DELETE' THEN IF EXISTS (SELECT FROM {schema}.event_purges p WHERE p.removed IS NULL AND p.xid = pg_current_xact_id() \
             AND OLD.seq BETWEEN p.first_seq AND p.last_seq AND OLD.recorded_at <= p.recorded_until) THEN RETURN OLD; END IF; END IF; "
        )
    });
    let refuse = format!(
        "BEGIN {door}RAISE EXCEPTION '% on \"%\" refused: {REFUSED}', TG_OP, TG_TABLE_NAME USING ERRCODE = '55000'; END"
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

/// Those of the record of purges: a row may say once how many events were removed.
fn guards_of_purges() -> [Guard; 2] {
    let refuse = format!(
        "BEGIN IF TG_OP = 'UPDATE' THEN IF OLD.removed IS NULL AND to_jsonb(OLD) - 'removed' = to_jsonb(NEW) - 'removed' THEN RETURN NEW; END IF; END IF; \
         RAISE EXCEPTION '% refused: {PURGES_REFUSED}', TG_OP USING ERRCODE = '55000'; END"
    );
    let guard = |name, definition| Guard {
        name,
        definition,
        function: "events_refuse_purge_change",
        body: refuse.clone(),
        always: true,
    };
    [
        guard("event_purges_no_change", "BEFORE DELETE OR UPDATE FOR EACH ROW"),
        guard("event_purges_no_truncate", "BEFORE TRUNCATE FOR EACH STATEMENT"),
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

#[cfg(feature = "migration")]
pub(super) fn remove_of_purges() -> Vec<String> {
    vec!["DROP FUNCTION IF EXISTS events_refuse_purge_change() CASCADE".to_owned()]
}

/// A table with names quoted.
struct Table {
    oid: i64,
    schema: String,
    name: String,
    role: Role,
    /// How it is divided, if it is.
    divided_by: Option<String>,
}

#[derive(PartialEq, Eq)]
enum Role {
    Events,
    Partition {
        /// Whether the connected user has a right on it that could lose events.
        is_reached: bool,
    },
    Purges,
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

/// The table, its partitions and the record of purges, and what they have. A trigger is written without the names of table
/// and function, which depend on the search path.
const CATALOG: &str = r"WITH events AS (
        SELECT c.oid, c.relrowsecurity, n.nspname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.oid = to_regclass('events')::oid
    ), tree AS (
        SELECT oid, 'events' AS role FROM events
        UNION ALL SELECT p.relid::oid, 'partition' FROM events CROSS JOIN LATERAL pg_partition_tree(events.oid::regclass) p WHERE p.relid <> events.oid
        UNION ALL SELECT to_regclass(format('%I.event_purges', nspname))::oid, 'purges' FROM events
    )
    SELECT 'table' AS kind, c.oid::bigint AS table_oid, quote_ident(c.relname) AS name, quote_ident(n.nspname) AS definition,
        CASE WHEN tree.role = 'partition' AND NOT has_table_privilege(c.oid, 'UPDATE, DELETE, TRUNCATE') THEN 'unreached' ELSE tree.role END AS enabled,
        (SELECT relrowsecurity::text FROM events) AS body, has_table_privilege(c.oid, 'SELECT')::text AS config,
        c.relkind::text || CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) ELSE '' END AS language
    FROM tree JOIN pg_catalog.pg_class c USING (oid) JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    UNION ALL
    SELECT 'trigger', t.tgrelid::bigint, t.tgname::text,
        regexp_replace(pg_get_triggerdef(t.oid, true), '^CREATE TRIGGER .*? (BEFORE|AFTER|INSTEAD OF) (.*?) ON .* FOR EACH (.*) EXECUTE FUNCTION .*$', '\1 \2 FOR EACH \3'),
        t.tgenabled::text, p.prosrc, array_to_string(coalesce(p.proconfig, '{}'), ','), l.lanname::text
    FROM tree JOIN pg_catalog.pg_trigger t ON t.tgrelid = tree.oid AND (NOT t.tgisinternal OR t.tgparentid <> 0)
    JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid JOIN pg_catalog.pg_language l ON l.oid = p.prolang
    UNION ALL
    SELECT 'rule', r.ev_class::bigint, quote_ident(r.rulename), '', '', '', '', ''
    FROM tree JOIN pg_catalog.pg_rewrite r ON r.ev_class = tree.oid AND r.rulename <> '_RETURN'
    UNION ALL
    SELECT 'index', i.indrelid::bigint, '', (SELECT string_agg(a.attname, ',' ORDER BY k.place)
        FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place) JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum),
        i.indisunique::text, '', '', ''
    FROM events JOIN pg_catalog.pg_index i ON i.indrelid = events.oid AND i.indisvalid AND i.indpred IS NULL";

pub(super) async fn findings(db: &impl ConnectionTrait) -> Result<Vec<GuardFinding>, DbErr> {
    let rows = db.query_all_raw(Statement::from_string(db.get_database_backend(), CATALOG)).await?;
    let (mut tables, mut found, mut hardened, mut reads_purges) = (Vec::new(), Vec::new(), false, false);
    for row in rows {
        let row = read(&row)?;
        if row.kind != "table" {
            found.push(row);
            continue;
        }
        let role = match &*row.enabled {
            "events" if !row.language.starts_with(['r', 'p']) => return Ok(vec![not_a_table()]),
            "events" => Role::Events,
            "purges" => Role::Purges,
            role => Role::Partition { is_reached: role != "unreached" },
        };
        hardened = row.body == "true";
        reads_purges |= role == Role::Purges && row.config == "true";
        let divided_by = row.language.strip_prefix('p').map(str::to_owned);
        tables.push(Table { oid: row.table, schema: row.definition, name: row.name, role, divided_by });
    }
    let purges = tables.iter().find(|table| table.role == Role::Purges).map(|table| &*table.schema);
    let mut findings = Vec::new();
    for table in &tables {
        let has = |kind: &'static str| {
            found.iter().filter(move |row: &&Found| row.kind == kind && row.table == table.oid)
        };
        let mut add = |problem, name: &str, mend: Option<String>| {
            let table = match table.role {
                Role::Partition { .. } => table.full_name(),
                _ => table.name.clone(),
            };
            findings.push(GuardFinding { problem, table, name: name.to_owned(), hardened, mend });
        };
        let guards: Vec<Guard> = match table.role {
            Role::Purges => guards_of_purges().into(),
            _ => guards(purges).into(),
        };
        for guard in guards {
            let there = has("trigger").find(|row| row.name == guard.name);
            let Some(problem) = guard.problem(there) else {
                continue;
            };
            let handed_down = matches!(table.role, Role::Partition { .. }) && guard.is_handed_down();
            let is_unreached = table.role == Role::Partition { is_reached: false };
            match problem {
                GuardProblem::Missing if is_unreached && !handed_down => {
                    add(GuardProblem::UnguardedPartition, guard.name, Some(guard.create(table)));
                }
                // Mended with the parent's.
                GuardProblem::Missing | GuardProblem::Altered if handed_down => {}
                GuardProblem::Disabled => add(problem, guard.name, Some(guard.enable(table))),
                _ => add(problem, guard.name, Some(guard.create(table))),
            }
        }
        for rule in has("rule") {
            let mend = format!("DROP RULE {} ON {};", rule.name, table.full_name());
            add(GuardProblem::Rule, &rule.name, Some(mend));
        }
        if table.role == Role::Events {
            let indexes: Vec<(&str, bool)> =
                has("index").map(|row| (&*row.definition, row.enabled == "true")).collect();
            for (columns, unique) in missing_indexes(&indexes) {
                // A unique key of a divided table holds the columns by which it is divided.
                if let (true, Some(divided_by)) = (unique, table.divided_by.as_deref())
                    && !divided_by.ends_with(&format!("({columns})"))
                {
                    add(GuardProblem::NoUniqueId, divided_by, None);
                    continue;
                }
                let (name, sql) = create_index(&table.full_name(), columns, unique);
                let mend = format!("DROP INDEX IF EXISTS {}.{name};\n{sql};", table.schema);
                add(GuardProblem::MissingIndex, columns, Some(mend));
            }
        }
    }
    if reads_purges {
        findings.extend(open_purges(db).await?);
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
