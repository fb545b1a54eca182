//! What the catalog says that a name stands for.

use sea_orm::{DbBackend, DbErr, QueryResult, Statement, Value};

/// A table that a name stands for, or the definition that tells.
pub(crate) struct Relation {
    pub(crate) schema: Option<String>,
    pub(crate) name: Option<String>,
    /// Of a view; empty if it may not be read.
    pub(crate) definition: Option<String>,
}

/// Whether a name may stand for other tables without a trigger, which nobody here sees. SQLite's views are written by triggers
/// alone.
pub(crate) fn may_stand_for_others(backend: DbBackend) -> bool {
    matches!(backend, DbBackend::Postgres | DbBackend::MySql)
}

/// Whatever inherits from the table or is inherited by it, partitions included, and what its rules and those of views
/// name. Letters of either case count as the same, and without a schema all of them do: rather too much than too little.
const POSTGRES: &str = "\
WITH RECURSIVE relation AS ( \
  SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
  WHERE lower(c.relname) = lower($2) AND ($1::text IS NULL OR lower(n.nspname) = lower($1)) \
    AND c.relkind IN ('r', 'p', 'v', 'f', 'm') \
  UNION SELECT other.oid FROM relation r CROSS JOIN LATERAL ( \
    SELECT i.inhparent AS oid FROM pg_catalog.pg_inherits i WHERE i.inhrelid = r.oid \
    UNION ALL SELECT i.inhrelid FROM pg_catalog.pg_inherits i WHERE i.inhparent = r.oid \
    UNION ALL SELECT d.refobjid FROM pg_catalog.pg_rewrite w JOIN pg_catalog.pg_depend d \
      ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = w.oid \
      AND d.refclassid = 'pg_catalog.pg_class'::regclass WHERE w.ev_class = r.oid) other) \
SELECT n.nspname::text AS table_schema, c.relname::text AS name, NULL::text AS definition \
FROM relation r JOIN pg_catalog.pg_class c ON c.oid = r.oid \
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace";

const MYSQL: &str = "\
SELECT CAST(NULL AS CHAR) AS table_schema, CAST(NULL AS CHAR) AS name, v.view_definition AS definition \
FROM information_schema.tables t LEFT JOIN information_schema.views v \
  ON v.table_schema = t.table_schema AND v.table_name = t.table_name \
WHERE t.table_schema = coalesce(?, database()) AND lower(t.table_name) = lower(?)";

/// Asks what a name stands for.
pub(crate) fn select(backend: DbBackend, schema: Option<&str>, name: &str) -> Statement {
    let sql = if backend == DbBackend::Postgres { POSTGRES } else { MYSQL };
    let values: [Value; 2] = [schema.map(str::to_owned).into(), name.into()];
    Statement::from_sql_and_values(backend, sql, values)
}

/// Reads what it answers.
pub(crate) fn read(row: &QueryResult) -> Result<Relation, DbErr> {
    let (schema, name) = (row.try_get("", "table_schema")?, row.try_get("", "name")?);
    Ok(Relation { schema, name, definition: row.try_get("", "definition")? })
}
