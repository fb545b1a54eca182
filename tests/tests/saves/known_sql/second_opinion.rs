//! What `sqlparser` says of a text that passes. Used by the fuzz target too.

use std::ops::ControlFlow;

use events_sea_orm::__private::{look_at_text, written_tables};
use sea_orm::DbBackend;
use sqlparser::{
    ast::{
        Expr, FromTable, ObjectName, Query, Select, SetExpr, Statement, TableFactor, TableObject,
        TableWithJoins, Visit, Visitor,
    },
    dialect::{Dialect, MySqlDialect, PostgreSqlDialect, SQLiteDialect},
    parser::Parser,
};

/// Functions that must never be called by what passes for a read.
const NEVER: &[&str] = &[
    "dblink",
    "get_lock",
    "load_extension",
    "load_file",
    "lo_import",
    "nextval",
    "pg_advisory_lock",
    "query_to_xml",
    "set_config",
    "setval",
    "writefile",
];

/// What PostgreSQL's operators are made of.
const OPERATORS: &[char] =
    &['+', '-', '*', '/', '<', '>', '=', '~', '!', '@', '#', '%', '^', '&', '|', '`', '?'];

/// Compares both opinions on a text. Answers whether there was a second one.
///
/// # Errors
/// What passes although the second opinion says that it writes, steers, or is more than one statement.
pub fn compare(sql: &str, backend: DbBackend) -> Result<bool, String> {
    let reads = look_at_text(sql, backend);
    let writes = written_tables(sql, backend);
    if !reads && writes.is_none() {
        return Ok(false);
    }
    // It takes both for a part of the operator before them; PostgreSQL, always for a comment.
    let is_comment = |at: usize| sql[at..].starts_with("--") || sql[at..].starts_with("/*");
    if backend == DbBackend::Postgres
        && sql.match_indices(OPERATORS).any(|(at, operator)| is_comment(at + operator.len()))
    {
        return Ok(false);
    }
    let dialect: &dyn Dialect = match backend {
        DbBackend::Postgres => &PostgreSqlDialect {},
        DbBackend::MySql => &MySqlDialect {},
        _ => &SQLiteDialect {},
    };
    let Ok(statements) = Parser::parse_sql(dialect, sql) else { return Ok(false) };
    let fail = |why: &str| Err(format!("{backend:?}: {why}: {sql}"));
    if statements.len() > 1 {
        return fail("more than one statement");
    }
    let mut found = Found {
        backend,
        written: Vec::new(),
        steers: false,
        into: false,
        never: Vec::new(),
        explains: false,
    };
    let _ = statements.visit(&mut found);
    // A write may draw numbers.
    if let Some(function) = found.never.iter().find(|name| writes.is_none() || *name != "nextval") {
        return fail(&format!("calls {function}"));
    }
    match writes {
        None if found.steers => fail("does more than read"),
        None if found.into => fail("writes by INTO"),
        None if !found.written.is_empty() => fail("writes"),
        Some(_) if found.steers => fail("is no plain write"),
        Some((names, several)) if !several => {
            let is_known = |name: &String| names.iter().any(|known| known.eq_ignore_ascii_case(name));
            if found.written.iter().all(is_known) {
                Ok(true)
            } else {
                fail("writes a table that was not seen")
            }
        }
        _ => Ok(true),
    }
}

struct Found {
    backend: DbBackend,
    written: Vec<String>,
    steers: bool,
    into: bool,
    never: Vec<String>,
    explains: bool,
}

impl Found {
    fn name(&mut self, name: &ObjectName) {
        let part = name.0.last().and_then(|part| part.as_ident());
        self.written.extend(part.map(|ident| ident.value.clone()));
    }

    fn tables(&mut self, tables: &[TableWithJoins]) {
        for table in tables {
            if let TableFactor::Table { name, .. } = &table.relation {
                self.name(name);
            }
        }
    }

    fn select(&mut self, select: &Select) {
        self.into |= select.into.is_some();
    }
}

impl Visitor for Found {
    type Break = ();

    fn pre_visit_statement(&mut self, statement: &Statement) -> ControlFlow<()> {
        match statement {
            Statement::Query(_) => {}
            Statement::Insert(insert) => match &insert.table {
                TableObject::TableName(name) => self.name(name),
                _ => self.steers = true,
            },
            Statement::Update(update) => self.tables(std::slice::from_ref(&update.table)),
            Statement::Delete(delete) => match &delete.from {
                FromTable::WithFromKeyword(tables) | FromTable::WithoutKeyword(tables)
                    if delete.tables.is_empty() =>
                {
                    self.tables(tables);
                }
                _ => {}
            },
            Statement::Merge(merge) => {
                if let TableFactor::Table { name, .. } = &merge.table {
                    self.name(name);
                }
            }
            Statement::Explain { .. } => self.explains = true,
            Statement::ExplainTable { .. }
            | Statement::Pragma { .. }
            | Statement::NOTIFY { .. }
            | Statement::Set(_)
            | Statement::Lock(_)
            | Statement::ShowColumns { .. }
            | Statement::ShowCollation { .. }
            | Statement::ShowCreate { .. }
            | Statement::ShowDatabases { .. }
            | Statement::ShowFunctions { .. }
            | Statement::ShowSchemas { .. }
            | Statement::ShowStatus { .. }
            | Statement::ShowTables { .. }
            | Statement::ShowVariable { .. }
            | Statement::ShowVariables { .. }
            | Statement::ShowViews { .. } => {}
            // What follows is a query to MariaDB, and to this parser the name of a table.
            Statement::Analyze(analyze) if self.backend == DbBackend::MySql && !analyze.has_table_keyword => {
            }
            // MariaDB explains queries and writes alone: any other word is the name of a table to it.
            _ if self.explains && self.backend == DbBackend::MySql => {}
            _ => self.steers = true,
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if let SetExpr::Select(select) = &*query.body {
            self.select(select);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr {
            let name = function.name.0.last().and_then(|part| part.as_ident());
            let name = name.map(|ident| ident.value.to_ascii_lowercase()).unwrap_or_default();
            if NEVER.contains(&name.as_str()) {
                self.never.push(name);
            }
        }
        ControlFlow::Continue(())
    }
}
