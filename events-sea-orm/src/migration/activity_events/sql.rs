//! The statements on the old table, and on the tables that say how far its copy is.
//!
//! Every value is read as text, whatever its type, with a letter in front: `b` for bytes in hex, `i` for an integer where
//! columns have no fixed type, else `t`. So the next page can ask for what comes after in the column's own type.

use std::collections::BTreeSet;

use sea_orm::{
    ConnectionTrait, DbBackend, DbErr, ExprTrait, IsolationLevel, Statement, TransactionOptions, Value,
    sea_query::Expr,
};

use super::{columns::Mapping, error::Problem};
use crate::{backend, migration::m0001_events::mysql_collation};

/// A column of the old table.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: String,
    /// As the catalog spells it, in lower case.
    sql_type: String,
    backend: DbBackend,
}

/// Where a page ended: the values of the columns by which rows are read.
pub(super) type Position = Vec<String>;

impl Column {
    /// Only PostgreSQL tells upper from lower case in the names of columns.
    pub(super) fn is(&self, name: &str) -> bool {
        match self.backend {
            DbBackend::Postgres => self.name == name,
            _ => self.name.eq_ignore_ascii_case(name),
        }
    }

    pub(super) fn is_integer(&self) -> bool {
        match self.backend {
            DbBackend::Postgres => ["smallint", "integer", "bigint"].contains(&self.sql_type.as_str()),
            _ => self.sql_type.contains("int") && !self.sql_type.contains("point"),
        }
    }

    fn is_binary(&self) -> bool {
        ["binary", "blob", "bytea"].iter().any(|binary| self.sql_type.contains(binary))
    }

    pub(super) fn quoted(&self) -> String {
        quote(self.backend, &self.name)
    }

    /// Its value as text.
    fn text(&self) -> String {
        let name = self.quoted();
        let type_is = |prefix: &str| self.sql_type.starts_with(prefix);
        match self.backend {
            DbBackend::Postgres if self.is_binary() => format!("'b' || encode({name}, 'hex')"),
            DbBackend::Postgres if type_is("timestamp") => {
                let utc = if self.sql_type.contains("without") { "" } else { " AT TIME ZONE 'UTC'" };
                format!("'t' || to_char({name}{utc}, 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
            }
            DbBackend::Postgres => format!("'t' || {name}::text"),
            DbBackend::MySql if self.is_binary() => format!("CONCAT('b', HEX({name}))"),
            DbBackend::MySql => format!("CONCAT('t', CAST({name} AS CHAR))"),
            _ => format!(
                "CASE typeof({name}) WHEN 'blob' THEN 'b' || hex({name}) WHEN 'integer' THEN 'i' || {name} ELSE 't' || {name} END"
            ),
        }
    }

    /// A parameter in its own type, for what `text` gave.
    fn parameter(&self, number: usize, text: &str) -> (String, Value) {
        let kind = text.chars().next().unwrap_or('t');
        let value = text.get(1..).unwrap_or_default().to_owned();
        let sql = match self.backend {
            DbBackend::Postgres if kind == 'b' => format!("decode(${number}::text, 'hex')"),
            DbBackend::Postgres => format!("${number}::text::{}", self.sql_type),
            DbBackend::MySql if kind == 'b' => "UNHEX(?)".to_owned(),
            DbBackend::MySql if self.sql_type.contains("unsigned") => "CAST(? AS UNSIGNED)".to_owned(),
            DbBackend::MySql if self.is_integer() => "CAST(? AS SIGNED)".to_owned(),
            DbBackend::MySql
                if self.sql_type.starts_with("datetime") || self.sql_type.starts_with("timestamp") =>
            {
                "CAST(? AS DATETIME(6))".to_owned()
            }
            DbBackend::MySql => "?".to_owned(),
            _ if kind == 'b' => format!("unhex(?{number})"),
            _ if kind == 'i' => format!("CAST(?{number} AS integer)"),
            _ => format!("?{number}"),
        };
        (sql, value.into())
    }
}

pub(super) fn quote(backend: DbBackend, name: &str) -> String {
    let mark = if backend == DbBackend::MySql { "`" } else { "\"" };
    format!("{mark}{}{mark}", name.replace(mark, &mark.repeat(2)))
}

/// The columns of a table, in order; none if there is no such table.
pub(super) async fn columns(db: &impl ConnectionTrait, table: &str) -> Result<Vec<Column>, DbErr> {
    let backend = db.get_database_backend();
    let sql = match backend {
        DbBackend::Postgres => {
            "SELECT attname::text AS name, format_type(atttypid, atttypmod) AS type FROM pg_catalog.pg_attribute \
             WHERE attrelid = to_regclass(quote_ident($1::text)) AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
        }
        DbBackend::MySql => {
            "SELECT CAST(COLUMN_NAME AS CHAR) AS name, CAST(COLUMN_TYPE AS CHAR) AS type FROM information_schema.COLUMNS \
             WHERE TABLE_SCHEMA = database() AND TABLE_NAME = ? ORDER BY ORDINAL_POSITION"
        }
        _ => "SELECT name, type FROM pragma_table_xinfo(?) ORDER BY cid",
    };
    let rows = db.query_all_raw(Statement::from_sql_and_values(backend, sql, [table.into()])).await?;
    let column = |row: &sea_orm::QueryResult| {
        let sql_type = row.try_get::<String>("", "type")?.to_lowercase();
        Ok(Column { name: row.try_get("", "name")?, sql_type, backend })
    };
    rows.iter().map(column).collect()
}

/// The rows after this position, in order.
pub(super) fn page(
    backend: DbBackend,
    table: &str,
    mapping: &Mapping,
    after: Option<&Position>,
    rows: u64,
) -> Statement {
    let columns: Vec<String> = mapping.columns.iter().map(Column::text).collect();
    let order = mapping.order();
    let names: Vec<String> = order.iter().map(|column| column.quoted()).collect();
    let mut values = Vec::new();
    let mut parameter = |(column, text): (&&Column, &String)| {
        let (sql, value) = column.parameter(values.len() + 1, text);
        values.push(value);
        sql
    };
    let condition = match (after, names.as_slice()) {
        (None, _) => String::new(),
        // MariaDB finds no range of an index by a comparison of rows.
        (Some(after), [at, key]) if backend == DbBackend::MySql => {
            let first: Vec<String> = order.iter().zip(after).take(1).map(&mut parameter).collect();
            let both: Vec<String> = order.iter().zip(after).map(&mut parameter).collect();
            format!(" WHERE {at} > {} OR ({at} = {} AND {key} > {})", first[0], both[0], both[1])
        }
        (Some(after), _) => {
            let places: Vec<String> = order.iter().zip(after).map(&mut parameter).collect();
            format!(" WHERE ({}) > ({})", names.join(", "), places.join(", "))
        }
    };
    // Else it may sort the whole table for each page.
    let index = match backend {
        DbBackend::MySql if order.len() > 1 => {
            format!(" FORCE INDEX ({})", quote(backend, &index_name(table)))
        }
        _ => String::new(),
    };
    let sql = format!(
        "SELECT {} FROM {}{index}{condition} ORDER BY {} LIMIT {rows}",
        columns.join(", "),
        quote(backend, table),
        names.join(", ")
    );
    Statement::from_sql_and_values(backend, sql, values)
}

/// Whether a key is there twice; answers it.
pub(super) fn repeated_key(backend: DbBackend, table: &str, key: &Column) -> Statement {
    let (name, table) = (key.quoted(), quote(backend, table));
    let text = match backend {
        DbBackend::MySql => format!("CAST({name} AS CHAR)"),
        _ => format!("CAST({name} AS text)"),
    };
    let sql = format!("SELECT {text} AS k FROM {table} GROUP BY {name} HAVING count(*) > 1 LIMIT 1");
    Statement::from_string(backend, sql)
}

/// The number of rows, all or those without a value in this column.
pub(super) async fn count(
    db: &impl ConnectionTrait,
    table: &str,
    null: Option<&Column>,
) -> Result<u64, DbErr> {
    let backend = db.get_database_backend();
    let condition = null.map_or_else(String::new, |column| format!(" WHERE {} IS NULL", column.quoted()));
    let sql = format!("SELECT count(*) AS n FROM {}{condition}", quote(backend, table));
    one_count(db, Statement::from_string(backend, sql)).await
}

pub(super) async fn one_count(db: &impl ConnectionTrait, statement: Statement) -> Result<u64, DbErr> {
    let row = db.query_one_raw(statement).await?;
    let count: i64 = row.map_or(Ok(0), |row| row.try_get("", "n"))?;
    u64::try_from(count).map_err(|error| DbErr::Type(error.to_string()))
}

/// Whether an event came from this table.
pub(super) fn is_from(backend: DbBackend, table: &str) -> Expr {
    let from = match backend {
        DbBackend::Postgres => "context #>> '{imported,from}'",
        DbBackend::MySql => "JSON_VALUE(context, '$.imported.from')",
        _ => "context ->> '$.imported.from'",
    };
    Expr::cust(from).eq(table)
}

fn index_name(table: &str) -> String {
    // Names have 63 characters on PostgreSQL.
    format!("events_import_{}", table.chars().take(40).collect::<String>())
}

/// Makes the tables that say how far a copy is, and an index to read by where the key gives no order.
pub(super) async fn prepare(db: &impl ConnectionTrait, table: &str, mapping: &Mapping) -> Result<(), DbErr> {
    let backend = db.get_database_backend();
    for sql in tables(db).await? {
        if db.execute_unprepared(&sql).await.is_err() {
            // Two that make a table at once may meet, in spite of IF NOT EXISTS.
            db.execute_unprepared(&sql).await?;
        }
    }
    let [at, key] = mapping.order()[..] else { return Ok(()) };
    if has_index(db, table).await? {
        return Ok(());
    }
    let (name, on) = (quote(backend, &index_name(table)), quote(backend, table));
    let sql = format!("CREATE INDEX {name} ON {on} ({}, {})", at.quoted(), key.quoted());
    match db.execute_unprepared(&sql).await {
        Err(_) if has_index(db, table).await? => Ok(()), // somebody else's copy made it
        made => made.map(drop),
    }
}

/// Drops that index.
pub(super) async fn drop_index(db: &impl ConnectionTrait, table: &str, now: &str) -> Result<(), DbErr> {
    let backend = db.get_database_backend();
    let name = quote(backend, &index_name(table));
    let sql = match backend {
        DbBackend::MySql => format!("DROP INDEX {name} ON {}", quote(backend, now)),
        _ => format!("DROP INDEX {name}"),
    };
    if has_index(db, table).await? {
        db.execute_unprepared(&sql).await?;
    }
    Ok(())
}

async fn has_index(db: &impl ConnectionTrait, table: &str) -> Result<bool, DbErr> {
    let backend = db.get_database_backend();
    let sql = match backend {
        DbBackend::Postgres => {
            "SELECT count(*) AS n FROM pg_catalog.pg_class WHERE oid = to_regclass(quote_ident($1::text))"
        }
        DbBackend::MySql => {
            "SELECT count(*) AS n FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = database() AND INDEX_NAME = ?"
        }
        _ => "SELECT count(*) AS n FROM sqlite_schema WHERE type = 'index' AND name = ?",
    };
    let statement = Statement::from_sql_and_values(backend, sql, [index_name(table).into()]);
    Ok(one_count(db, statement).await? > 0)
}

async fn tables(db: &impl ConnectionTrait) -> Result<[String; 2], DbErr> {
    let (text, suffix) = match db.get_database_backend() {
        DbBackend::Postgres => ("varchar(500) COLLATE \"C\"", String::new()),
        DbBackend::MySql => {
            let collation = mysql_collation(db).await?;
            ("varchar(500)", format!(" ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE {collation}"))
        }
        _ => ("text", String::new()),
    };
    Ok([
        format!(
            "CREATE TABLE IF NOT EXISTS events_imports (source varchar(191) NOT NULL PRIMARY KEY, \
             position {text}, position_key {text}, checked bigint){suffix}"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS events_import_skipped (source varchar(191) NOT NULL, old_key {text} NOT NULL, \
             column_name {text} NOT NULL, reason {text} NOT NULL, PRIMARY KEY (source, old_key)){suffix}"
        ),
    ])
}

/// How a batch begins: each statement must see what was committed before the lock that it waited for.
pub(super) fn batch_options(backend: DbBackend) -> TransactionOptions {
    let isolation_level = (backend == DbBackend::Postgres).then_some(IsolationLevel::ReadCommitted);
    backend::begin_options(backend, TransactionOptions { isolation_level, ..TransactionOptions::default() })
}

/// A row of `events_imports`.
#[derive(Debug, Default)]
pub(super) struct Import {
    pub(super) position: Option<Position>,
    pub(super) checked: Option<u64>,
}

/// Whether a copy was ever begun.
pub(super) async fn has_tables(db: &impl ConnectionTrait) -> Result<bool, DbErr> {
    Ok(!columns(db, "events_imports").await?.is_empty())
}

/// The row of this table, made if it is not there.
pub(super) async fn begin_import(db: &impl ConnectionTrait, table: &str) -> Result<(), DbErr> {
    let sql = match db.get_database_backend() {
        DbBackend::MySql => "INSERT IGNORE INTO events_imports (source) VALUES (?)",
        DbBackend::Postgres => "INSERT INTO events_imports (source) VALUES ($1) ON CONFLICT DO NOTHING",
        _ => "INSERT INTO events_imports (source) VALUES (?) ON CONFLICT DO NOTHING",
    };
    execute(db, sql, [table.into()]).await
}

/// The row of this table, locked if a copy is going to change it.
pub(super) async fn import(
    db: &impl ConnectionTrait,
    table: &str,
    locked: bool,
) -> Result<Option<Import>, DbErr> {
    let backend = db.get_database_backend();
    let lock = if locked { backend::lock_words(backend, backend::Lock::ForUpdate) } else { "" };
    let sql = format!(
        "SELECT position, position_key, checked FROM events_imports WHERE source = {}{lock}",
        places(backend, 1)
    );
    let row = db.query_one_raw(Statement::from_sql_and_values(backend, sql, [table.into()])).await?;
    row.map(|row| {
        let position: Option<String> = row.try_get("", "position")?;
        let key: Option<String> = row.try_get("", "position_key")?;
        let checked: Option<i64> = row.try_get("", "checked")?;
        Ok(Import {
            position: position.map(|first| std::iter::once(first).chain(key).collect()),
            checked: checked.and_then(|rows| u64::try_from(rows).ok()),
        })
    })
    .transpose()
}

/// Notes that a copy came so far.
pub(super) async fn note_position(
    db: &impl ConnectionTrait,
    table: &str,
    position: &Position,
) -> Result<(), DbErr> {
    let sql = match db.get_database_backend() {
        DbBackend::Postgres => {
            "UPDATE events_imports SET position = $1, position_key = $2, checked = NULL WHERE source = $3"
        }
        _ => "UPDATE events_imports SET position = ?, position_key = ?, checked = NULL WHERE source = ?",
    };
    let values = [position.first().cloned().into(), position.get(1).cloned().into(), table.into()];
    execute(db, sql, values).await
}

/// Notes that both tables agree on so many rows, or that it is not known.
pub(super) async fn note_checked(
    db: &impl ConnectionTrait,
    table: &str,
    rows: Option<u64>,
) -> Result<(), DbErr> {
    let sql = match db.get_database_backend() {
        DbBackend::Postgres => "UPDATE events_imports SET checked = $1 WHERE source = $2",
        _ => "UPDATE events_imports SET checked = ? WHERE source = ?",
    };
    let rows = rows.and_then(|rows| i64::try_from(rows).ok());
    execute(db, sql, [rows.into(), table.into()]).await
}

/// Forgets that this row was left out, and lists it if it still is.
pub(super) async fn note_skipped(
    db: &impl ConnectionTrait,
    table: &str,
    problem: &Problem,
) -> Result<(), DbErr> {
    forget_skipped(db, table, &problem.key).await?;
    let sql = format!(
        "INSERT INTO events_import_skipped (source, old_key, column_name, reason) VALUES ({})",
        places(db.get_database_backend(), 4)
    );
    let Problem { key, column, reason } = problem;
    execute(db, &sql, [table.into(), key.as_str().into(), column.as_str().into(), reason.as_str().into()])
        .await
}

pub(super) async fn forget_skipped(db: &impl ConnectionTrait, table: &str, key: &str) -> Result<(), DbErr> {
    let sql = match db.get_database_backend() {
        DbBackend::Postgres => "DELETE FROM events_import_skipped WHERE source = $1 AND old_key = $2",
        _ => "DELETE FROM events_import_skipped WHERE source = ? AND old_key = ?",
    };
    execute(db, sql, [table.into(), key.into()]).await
}

/// The keys of the rows that were left out.
pub(super) async fn skipped(db: &impl ConnectionTrait, table: &str) -> Result<BTreeSet<String>, DbErr> {
    let backend = db.get_database_backend();
    let sql = format!("SELECT old_key FROM events_import_skipped WHERE source = {}", places(backend, 1));
    let rows = db.query_all_raw(Statement::from_sql_and_values(backend, sql, [table.into()])).await?;
    rows.iter().map(|row| row.try_get("", "old_key")).collect()
}

fn places(backend: DbBackend, count: usize) -> String {
    let place = |n| if backend == DbBackend::Postgres { format!("${n}") } else { "?".to_owned() };
    (1..=count).map(place).collect::<Vec<_>>().join(", ")
}

async fn execute(
    db: &impl ConnectionTrait,
    sql: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<(), DbErr> {
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
    db.execute_raw(statement).await.map(drop)
}

/// Gives a table another name.
pub(super) async fn rename(db: &impl ConnectionTrait, from: &str, to: &str) -> Result<(), DbErr> {
    let backend = db.get_database_backend();
    let sql = format!("ALTER TABLE {} RENAME TO {}", quote(backend, from), quote(backend, to));
    db.execute_unprepared(&sql).await.map(drop)
}
