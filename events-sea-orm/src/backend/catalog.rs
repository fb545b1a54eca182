//! What the database's catalog says of tables: three statements, however many tables.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, Statement, Value};
use serde_json::json;

/// A table as an entity names it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TableName<'a> {
    pub(crate) schema: Option<&'a str>,
    pub(crate) table: &'a str,
}

/// What there is of the tables that were asked for, each by its place among them.
#[derive(Debug)]
pub(crate) struct Catalog {
    pub(crate) backend: DbBackend,
    columns: BTreeMap<usize, Vec<String>>,
    pub(crate) foreign_keys: Vec<ForeignKey>,
    /// The columns of what is unique in each table, by its name; of views there is nothing.
    unique: BTreeMap<usize, BTreeMap<String, Vec<String>>>,
}

/// A foreign key whose rules change rows of the table that has it.
#[derive(Debug)]
pub(crate) struct ForeignKey {
    pub(crate) table: usize,
    /// SQLite does not tell.
    pub(crate) name: Option<String>,
    pub(crate) columns: Vec<String>,
    pub(crate) parent: String,
    pub(crate) on_delete: Option<Action>,
    pub(crate) on_update: Option<Action>,
}

/// What the database itself does to the rows that refer to a row that is deleted or gets another key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Cascade,
    SetNull,
    SetDefault,
}

impl Action {
    fn of(text: &str) -> Option<Self> {
        match text {
            "c" | "CASCADE" => Some(Self::Cascade),
            "n" | "SET NULL" => Some(Self::SetNull),
            "d" | "SET DEFAULT" => Some(Self::SetDefault),
            _ => None,
        }
    }
}

impl Catalog {
    pub(crate) async fn read(db: &impl ConnectionTrait, tables: &[TableName<'_>]) -> Result<Self, DbErr> {
        let backend = db.get_database_backend();
        let mut catalog =
            Self { backend, columns: BTreeMap::new(), foreign_keys: Vec::new(), unique: BTreeMap::new() };
        for row in db.query_all_raw(select_columns(backend, tables)).await? {
            catalog.columns.entry(place(&row)?).or_default().push(row.try_get("", "column_name")?);
        }
        for row in db.query_all_raw(select_foreign_keys(backend, tables)).await? {
            catalog.add_column_of_key(&row)?;
        }
        catalog.foreign_keys.retain(|key| key.on_delete.is_some() || key.on_update.is_some());
        for row in db.query_all_raw(select_unique(backend, tables)).await? {
            catalog.add_column_of_unique(&row)?;
        }
        Ok(catalog)
    }

    /// One row for each column of a key, in order.
    fn add_column_of_key(&mut self, row: &QueryResult) -> Result<(), DbErr> {
        let name: Option<String> = row.try_get("", "name")?;
        let first = row.try_get::<i64>("", "place")? == 1;
        let column: String = row.try_get("", "column_name")?;
        match self.foreign_keys.last_mut() {
            Some(key) if !first => key.columns.push(column),
            _ => self.foreign_keys.push(ForeignKey {
                table: place(row)?,
                name,
                columns: vec![column],
                parent: row.try_get("", "parent")?,
                on_delete: Action::of(&row.try_get::<String>("", "on_delete")?),
                on_update: Action::of(&row.try_get::<String>("", "on_update")?),
            }),
        }
        Ok(())
    }

    /// One row for each column of what is unique; one without a name for a table that has nothing of the kind.
    fn add_column_of_unique(&mut self, row: &QueryResult) -> Result<(), DbErr> {
        if row.try_get::<String>("", "kind")?.eq_ignore_ascii_case("VIEW") {
            return Ok(());
        }
        let unique = self.unique.entry(place(row)?).or_default();
        if let Some(name) = row.try_get::<Option<String>>("", "name")? {
            // An expression has no name: it is none of a key's columns.
            let column: Option<String> = row.try_get("", "column_name")?;
            unique.entry(name).or_default().push(column.unwrap_or_default());
        }
        Ok(())
    }

    /// Whether no two rows of this table can have the same values in these columns, as far as that is known.
    pub(crate) fn is_unique(&self, table: usize, key: &[&str]) -> bool {
        let is_in_key = |column: &String| key.iter().any(|other| self.is_same_column(column, other));
        let Some(unique) = self.unique.get(&table) else { return true };
        unique.values().any(|columns| columns.iter().all(is_in_key))
    }

    pub(crate) fn has_table(&self, table: usize) -> bool {
        self.columns.contains_key(&table)
    }

    pub(crate) fn has_column(&self, table: usize, column: &str) -> bool {
        let columns = self.columns.get(&table).map(Vec::as_slice).unwrap_or_default();
        columns.iter().any(|other| self.is_same_column(other, column))
    }

    /// Only PostgreSQL tells upper from lower case in the names of columns.
    pub(crate) fn is_same_column(&self, a: &str, b: &str) -> bool {
        match self.backend {
            DbBackend::Postgres => a == b,
            _ => a.eq_ignore_ascii_case(b),
        }
    }
}

/// The place among the tables that were asked for.
fn place(row: &QueryResult) -> Result<usize, DbErr> {
    let place: i64 = row.try_get("", "n")?;
    usize::try_from(place).map_err(|error| DbErr::Type(error.to_string()))
}

/// The tables as an array of `{n, schema, table}`.
fn as_json<'a>(tables: impl Iterator<Item = (usize, &'a TableName<'a>)>) -> Value {
    let row =
        |(n, name): (usize, &TableName<'_>)| json!({"n": n, "schema": name.schema, "table": name.table});
    serde_json::Value::Array(tables.map(row).collect()).to_string().into()
}

fn select_columns(backend: DbBackend, tables: &[TableName<'_>]) -> Statement {
    match backend {
        DbBackend::Postgres => from_json(
            backend,
            tables,
            &format!(
                "SELECT w.n, a.attname::text AS column_name FROM {POSTGRES_TABLES} \
                 JOIN pg_catalog.pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped"
            ),
        ),
        DbBackend::MySql => mysql(
            tables,
            "SELECT w.n AS n, CAST(c.COLUMN_NAME AS CHAR) AS column_name FROM information_schema.COLUMNS c",
            "n",
        ),
        _ => from_json(
            backend,
            tables,
            &format!(
                "SELECT w.key AS n, c.name AS column_name FROM {SQLITE_TABLES} CROSS JOIN pragma_table_xinfo(w.t, w.s) c"
            ),
        ),
    }
}

/// One row for each column of each foreign key, in order.
fn select_foreign_keys(backend: DbBackend, tables: &[TableName<'_>]) -> Statement {
    match backend {
        DbBackend::Postgres => from_json(
            backend,
            tables,
            &format!(
                "SELECT w.n, c.conname::text AS name, k.place, a.attname::text AS column_name, \
                 c.confrelid::regclass::text AS parent, c.confdeltype::text AS on_delete, c.confupdtype::text AS on_update \
                 FROM {POSTGRES_TABLES} \
                 JOIN pg_catalog.pg_constraint c ON c.conrelid = r.oid AND c.contype = 'f' \
                 CROSS JOIN LATERAL unnest(c.conkey) WITH ORDINALITY AS k(attnum, place) \
                 JOIN pg_catalog.pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum \
                 ORDER BY w.n, c.conname, k.place"
            ),
        ),
        DbBackend::MySql => mysql(
            tables,
            "SELECT w.n AS n, CAST(c.CONSTRAINT_NAME AS CHAR) AS name, CAST(c.ORDINAL_POSITION AS SIGNED) AS place, \
             CAST(c.COLUMN_NAME AS CHAR) AS column_name, CAST(c.REFERENCED_TABLE_NAME AS CHAR) AS parent, \
             CAST(f.DELETE_RULE AS CHAR) AS on_delete, CAST(f.UPDATE_RULE AS CHAR) AS on_update \
             FROM information_schema.KEY_COLUMN_USAGE c JOIN information_schema.REFERENTIAL_CONSTRAINTS f \
             ON f.CONSTRAINT_SCHEMA = c.CONSTRAINT_SCHEMA AND f.CONSTRAINT_NAME = c.CONSTRAINT_NAME \
             AND f.TABLE_NAME = c.TABLE_NAME",
            "n, name, place",
        ),
        _ => from_json(
            backend,
            tables,
            &format!(
                "SELECT w.key AS n, NULL AS name, c.seq + 1 AS place, c.\"from\" AS column_name, c.\"table\" AS parent, \
                 c.on_delete AS on_delete, c.on_update AS on_update \
                 FROM {SQLITE_TABLES} CROSS JOIN pragma_foreign_key_list(w.t, w.s) c ORDER BY w.key, c.id, c.seq"
            ),
        ),
    }
}

/// One row for each column of each primary key and unique index, and one at least for each table. A table from which others
/// inherit has nothing that is unique: their rows are rows of it, and not in its indexes.
fn select_unique(backend: DbBackend, tables: &[TableName<'_>]) -> Statement {
    match backend {
        DbBackend::Postgres => from_json(
            backend,
            tables,
            &format!(
                "SELECT w.n, 'TABLE' AS kind, i.indexrelid::text AS name, a.attname::text AS column_name FROM {POSTGRES_TABLES} \
                 LEFT JOIN pg_catalog.pg_index i ON i.indrelid = r.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL \
                 AND NOT (t.relkind = 'r' AND EXISTS (SELECT 1 FROM pg_catalog.pg_inherits h WHERE h.inhparent = r.oid)) \
                 LEFT JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place) ON k.place <= i.indnkeyatts \
                 LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = r.oid AND a.attnum = k.attnum \
                 WHERE t.relkind IN ('r', 'p')"
            ),
        ),
        DbBackend::MySql => mysql(
            tables,
            "SELECT w.n AS n, CAST(c.TABLE_TYPE AS CHAR) AS kind, CAST(i.INDEX_NAME AS CHAR) AS name, \
             CAST(i.COLUMN_NAME AS CHAR) AS column_name FROM information_schema.TABLES c \
             LEFT JOIN information_schema.STATISTICS i ON i.TABLE_SCHEMA = {schema} AND i.TABLE_NAME = c.TABLE_NAME \
             AND CAST(i.TABLE_NAME AS BINARY) = CAST(c.TABLE_NAME AS BINARY) AND i.NON_UNIQUE = 0",
            "n",
        ),
        _ => from_json(
            backend,
            tables,
            &format!(
                "WITH w AS (SELECT w.key AS n, w.t, w.s FROM {SQLITE_TABLES}) \
                 SELECT w.n, l.type AS kind, NULL AS name, NULL AS column_name FROM w CROSS JOIN pragma_table_list l \
                 WHERE l.name = w.t COLLATE NOCASE AND (w.s IS NULL OR l.schema = w.s COLLATE NOCASE) AND l.type = 'table' \
                 UNION ALL SELECT w.n, 'table', ' ', c.name FROM w CROSS JOIN pragma_table_xinfo(w.t, w.s) c WHERE c.pk > 0 \
                 UNION ALL SELECT w.n, 'table', i.name, c.name FROM w CROSS JOIN pragma_index_list(w.t, w.s) i \
                 CROSS JOIN pragma_index_info(i.name, w.s) c WHERE i.\"unique\" AND NOT i.partial"
            ),
        ),
    }
}

/// A name without a schema is looked up as the connection's search path says. Not by `to_regclass`: that is an error where the
/// role may not use the schema.
const POSTGRES_TABLES: &str = "json_to_recordset($1::text::json) AS w(n bigint, schema text, \"table\" text) \
     CROSS JOIN LATERAL (SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relname = w.\"table\" AND CASE WHEN w.schema IS NULL THEN n.nspname = ANY (current_schemas(true)) ELSE n.nspname = w.schema END \
     ORDER BY array_position(current_schemas(true), n.nspname) LIMIT 1) r \
     JOIN pg_catalog.pg_class t ON t.oid = r.oid AND t.relkind IN ('r', 'p', 'v', 'm', 'f')";

/// To ask of a database that is not attached would be an error.
const SQLITE_TABLES: &str = "(SELECT key, value ->> 'table' AS t, value ->> 'schema' AS s FROM json_each(?) \
     WHERE s IS NULL OR s IN (SELECT name COLLATE NOCASE FROM pragma_database_list)) w";

fn from_json(backend: DbBackend, tables: &[TableName<'_>], sql: &str) -> Statement {
    Statement::from_sql_and_values(backend, sql, [as_json(tables.iter().enumerate())])
}

/// What stands for the schema in a SELECT for `mysql`.
const SCHEMA: &str = "{schema}";

/// One part for each schema: MariaDB opens the tables of one schema if a constant names it, else those of all.
fn mysql(tables: &[TableName<'_>], select: &str, order: &str) -> Statement {
    let schemas: BTreeSet<Option<&str>> = tables.iter().map(|table| table.schema).collect();
    let (mut parts, mut values) = (Vec::new(), Vec::new());
    for schema in schemas {
        let named = select.matches(SCHEMA).flat_map(|_| schema.map(Value::from));
        values.extend(named);
        values.push(as_json(tables.iter().enumerate().filter(|(_, table)| table.schema == schema)));
        values.extend(schema.map(Value::from));
        let schema = if schema.is_some() { "?" } else { "DATABASE()" };
        let select = select.replace(SCHEMA, schema);
        // Names of tables are compared as the server compares them.
        parts.push(format!(
            "{select} JOIN JSON_TABLE(?, '$[*]' COLUMNS (n BIGINT PATH '$.n', t VARCHAR(64) CHARACTER SET utf8mb4 PATH '$.table')) w \
             ON IF(@@lower_case_table_names = 0, CAST(w.t AS BINARY) = CAST(c.TABLE_NAME AS BINARY), \
             CAST(LOWER(w.t) AS BINARY) = CAST(LOWER(c.TABLE_NAME) AS BINARY)) WHERE c.TABLE_SCHEMA = {schema}"
        ));
    }
    let sql = format!("SELECT * FROM ({}) AS found ORDER BY {order}", parts.join(" UNION ALL "));
    Statement::from_sql_and_values(DbBackend::MySql, sql, values)
}
