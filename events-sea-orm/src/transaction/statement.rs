//! What a statement is, found out before it is sent.

use sea_orm::{
    DbBackend, Statement, StatementBuilder,
    sea_query::{
        DeleteStatement, ForeignKeyCreateStatement, ForeignKeyDropStatement, IndexCreateStatement,
        IndexDropStatement, InsertStatement, SelectStatement, TableAlterStatement, TableCreateStatement,
        TableDropStatement, TableName, TableRenameStatement, TableTruncateStatement, UpdateStatement,
        WithQuery,
        audit::{AccessType, AuditTrait},
        extension::postgres::{TypeAlterStatement, TypeCreateStatement, TypeDropStatement},
    },
};

use super::{
    on_conflict,
    sql::{self, Does, Table, Words},
};
use crate::{backend, store, typed::downcast_ref};

/// What a statement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Read,
    Insert,
    /// An insert that may change rows that are there.
    Upsert,
    Update,
    Delete,
    /// A statement that writes in its common table expressions.
    With,
    /// Text that writes, or that nobody can tell.
    Raw,
    Schema,
}

impl Kind {
    /// As spans name it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Insert => "insert",
            Self::Upsert => "upsert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::With => "with",
            Self::Raw => "raw",
            Self::Schema => "schema",
        }
    }
}

/// A statement's kind and the tables it writes.
#[derive(Debug)]
pub(crate) struct Inspected {
    pub(crate) kind: Kind,
    pub(crate) written: Vec<Table>,
}

impl From<&TableName> for Table {
    fn from(TableName(schema, name): &TableName) -> Self {
        Self { schema: schema.as_ref().map(|schema| schema.1.to_string()), name: name.to_string() }
    }
}

/// Builds a typed statement and looks at it, and at the text as well: custom expressions are in the text alone.
pub(crate) fn inspect<S: StatementBuilder>(statement: &S, backend: DbBackend) -> (Inspected, Statement) {
    if is_schema(statement) {
        // Not built: sea-query panics on what a database does not have, such as TRUNCATE on SQLite.
        let inspected = Inspected { kind: Kind::Schema, written: Vec::new() };
        return (inspected, Statement::from_string(backend, ""));
    }
    let built = statement.build(&backend);
    (inspect_built(statement, &built, backend), built)
}

fn inspect_built<S: StatementBuilder>(statement: &S, built: &Statement, backend: DbBackend) -> Inspected {
    if let Some(select) = downcast_ref::<SelectStatement, _>(statement) {
        typed(Kind::Read, select, built, backend)
    } else if let Some(insert) = downcast_ref::<InsertStatement, _>(statement) {
        let kind = if on_conflict::changes_rows(&built.sql) { Kind::Upsert } else { Kind::Insert };
        typed(kind, insert, built, backend)
    } else if let Some(update) = downcast_ref::<UpdateStatement, _>(statement) {
        typed(Kind::Update, update, built, backend)
    } else if let Some(delete) = downcast_ref::<DeleteStatement, _>(statement) {
        typed(Kind::Delete, delete, built, backend)
    } else if let Some(with) = downcast_ref::<WithQuery, _>(statement) {
        typed(Kind::With, with, built, backend)
    } else {
        inspect_text(&built.sql, backend)
    }
}

fn typed(kind: Kind, statement: &impl AuditTrait, built: &Statement, backend: DbBackend) -> Inspected {
    // A target that is no plain table, or a second statement behind the first.
    let (Ok(audit), true) =
        (statement.audit(), sql::is_one_statement(&built.sql, kind == Kind::Read, backend))
    else {
        return Inspected { kind: Kind::Raw, written: sql::classify(&built.sql, backend).written };
    };
    let reads_may_be_written = kind == Kind::Update && backend::joined_update_may_write_any(backend);
    let writes = audit
        .requests
        .iter()
        .filter(|request| reads_may_be_written || request.access_type != AccessType::Select);
    let mut written: Vec<Table> = writes.map(|request| Table::from(&request.schema_table)).collect();
    if kind != Kind::Read && built.sql.starts_with("WITH ") {
        // A custom expression may end one part of it and begin another, of which the audit knows nothing.
        let words = sql::classify(&built.sql, backend);
        for table in words.written {
            if !written.contains(&table) {
                written.push(table);
            }
        }
        if written.is_empty() && words.does != Does::Read {
            return Inspected { kind: Kind::Raw, written };
        }
    }
    let kind = match (kind, written.len()) {
        (Kind::Read | Kind::With, 0) => Kind::Read,
        (Kind::Insert | Kind::Upsert | Kind::Update | Kind::Delete, 1) => kind,
        _ => Kind::With,
    };
    Inspected { kind, written }
}

/// Looks at text.
pub(crate) fn inspect_text(text: &str, backend: DbBackend) -> Inspected {
    let Words { does, mut written, .. } = sql::classify(text, backend);
    let kind = match does {
        Does::Read => Kind::Read,
        Does::Write => Kind::Raw,
        Does::Schema => Kind::Schema,
    };
    // Code that nobody looks into, such as a DO block: that it names a table of ours is enough.
    if kind == Kind::Raw && written.is_empty() {
        let own = store::own_tables().find(|own| sql::mentions(text, backend, own));
        written.extend(own.map(|own| Table { schema: None, name: own.to_owned() }));
    }
    Inspected { kind, written }
}

fn is_schema<S: StatementBuilder>(statement: &S) -> bool {
    macro_rules! any {
        ($($statement:ty),* $(,)?) => { $(downcast_ref::<$statement, _>(statement).is_some())||* };
    }
    any!(
        TableCreateStatement,
        TableDropStatement,
        TableAlterStatement,
        TableRenameStatement,
        TableTruncateStatement,
        IndexCreateStatement,
        IndexDropStatement,
        ForeignKeyCreateStatement,
        ForeignKeyDropStatement,
        TypeAlterStatement,
        TypeCreateStatement,
        TypeDropStatement,
    )
}
