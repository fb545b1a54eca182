//! The database's own counts of what the running transaction has written to a table, on PostgreSQL.

use sea_orm::{DbBackend, DbErr, QueryResult, Statement, Value, sea_query::ArrayType};

/// Whether it counts.
pub(crate) const COUNTS: &str = "SELECT current_setting('track_counts')::bool AS counts";

/// Inserted, updated and deleted rows.
pub(crate) type Rows = [i64; 3];

/// What the database has counted for one table, its partitions and children with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) rows: Rows,
    /// Whether a row may move from one part to another, which counts as a delete and an insert.
    pub(crate) has_parts: bool,
}

/// Of the tables whose names are the parameter of this number. What earlier transactions of the session counted may be in
/// it, until that is flushed between two transactions: only differences tell.
fn select(parameter: usize) -> String {
    format!(
        "SELECT coalesce(sum(pg_stat_get_xact_tuples_inserted(part.oid)), 0)::bigint AS inserted, \
         coalesce(sum(pg_stat_get_xact_tuples_updated(part.oid)), 0)::bigint AS updated, \
         coalesce(sum(pg_stat_get_xact_tuples_deleted(part.oid)), 0)::bigint AS deleted, count(*) > 1 AS has_parts \
         FROM unnest(${parameter}::text[]) WITH ORDINALITY AS named (name, n) CROSS JOIN LATERAL (\
         WITH RECURSIVE parts (oid) AS (SELECT to_regclass(named.name)::oid UNION \
         SELECT i.inhrelid FROM parts JOIN pg_catalog.pg_inherits i ON i.inhparent = parts.oid) \
         SELECT oid FROM parts) AS part GROUP BY named.n ORDER BY named.n"
    )
}

fn names(tables: &[String]) -> Value {
    let names = tables.iter().map(|name| name.as_str().into()).collect();
    Value::Array(ArrayType::String, Some(Box::new(names)))
}

/// Asks for the counts of these tables, in their order.
pub(crate) fn ask(tables: &[String]) -> Statement {
    Statement::from_sql_and_values(DbBackend::Postgres, select(1), [names(tables)])
}

/// An INSERT that answers the counts.
pub(crate) fn insert_and_ask(insert: Statement, tables: &[String]) -> Statement {
    let mut values = insert.values.map(|values| values.0).unwrap_or_default();
    values.push(names(tables));
    let sql = format!("WITH written AS ({} RETURNING 1) {}", insert.sql, select(values.len()));
    Statement::from_sql_and_values(DbBackend::Postgres, sql, values)
}

/// The answer, a row for each table.
pub(crate) fn read(rows: &[QueryResult]) -> Result<Vec<Counted>, DbErr> {
    let counted = |row: &QueryResult| {
        let rows = [row.try_get("", "inserted")?, row.try_get("", "updated")?, row.try_get("", "deleted")?];
        Ok(Counted { rows, has_parts: row.try_get("", "has_parts")? })
    };
    rows.iter().map(counted).collect()
}

/// A table by its name, as the database reads it from text.
pub(crate) fn quoted(schema: Option<&str>, table: &str) -> String {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    match schema {
        Some(schema) => format!("{}.{}", quoted(schema), quoted(table)),
        None => quoted(table),
    }
}
