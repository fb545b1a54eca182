//! What a statement is, found out before it is sent.

use sea_orm::{
    StatementBuilder,
    sea_query::{
        DeleteStatement, ForeignKeyCreateStatement, ForeignKeyDropStatement, IndexCreateStatement,
        IndexDropStatement, InsertStatement, SelectStatement, TableAlterStatement, TableCreateStatement,
        TableDropStatement, TableRenameStatement, TableTruncateStatement, UpdateStatement, WithQuery,
        audit::{AccessType, AuditTrait, QueryAccessAudit},
        extension::postgres::{TypeAlterStatement, TypeCreateStatement, TypeDropStatement},
    },
};

use crate::typed::downcast_ref;

/// What a statement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Read,
    Insert,
    Update,
    Delete,
    /// Several of them, or text that nobody looked into.
    Other,
    Schema,
}

/// A statement's kind and the tables it writes.
pub(super) struct Inspected {
    pub(super) kind: Kind,
    pub(super) written: Vec<String>,
}

pub(super) fn inspect<S: StatementBuilder>(statement: &S) -> Inspected {
    if let Some(select) = downcast_ref::<SelectStatement, _>(statement) {
        audited(Kind::Read, select)
    } else if let Some(insert) = downcast_ref::<InsertStatement, _>(statement) {
        audited(Kind::Insert, insert)
    } else if let Some(update) = downcast_ref::<UpdateStatement, _>(statement) {
        audited(Kind::Update, update)
    } else if let Some(delete) = downcast_ref::<DeleteStatement, _>(statement) {
        audited(Kind::Delete, delete)
    } else if let Some(with) = downcast_ref::<WithQuery, _>(statement) {
        audited(Kind::Other, with)
    } else if is_schema(statement) {
        Inspected { kind: Kind::Schema, written: Vec::new() }
    } else {
        Inspected { kind: Kind::Other, written: Vec::new() }
    }
}

/// A read that writes in a common table expression is no read.
fn audited(kind: Kind, statement: &impl AuditTrait) -> Inspected {
    let Ok(QueryAccessAudit { requests, .. }) = statement.audit() else {
        let kind = if kind == Kind::Read { Kind::Read } else { Kind::Other };
        return Inspected { kind, written: Vec::new() };
    };
    let writes = requests.iter().filter(|request| request.access_type != AccessType::Select);
    let written: Vec<String> = writes.map(|request| request.schema_table.1.to_string()).collect();
    let kind = match kind {
        Kind::Read | Kind::Other if written.is_empty() => Kind::Read,
        Kind::Insert | Kind::Update | Kind::Delete if written.len() == 1 => kind,
        _ => Kind::Other,
    };
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

/// Whether raw SQL begins like a change of the schema or of the transaction itself.
pub(super) fn is_raw_schema(sql: &str) -> bool {
    const WORDS: [&str; 15] = [
        "create",
        "alter",
        "drop",
        "truncate",
        "rename",
        "grant",
        "revoke",
        "begin",
        "start",
        "commit",
        "rollback",
        "abort",
        "savepoint",
        "release",
        "end",
    ];
    let word = first_word(sql);
    WORDS.iter().any(|known| word.eq_ignore_ascii_case(known))
}

/// Whether raw SQL begins like a read.
pub(super) fn is_raw_read(sql: &str) -> bool {
    ["select", "show", "explain", "values", "pragma"]
        .iter()
        .any(|known| first_word(sql).eq_ignore_ascii_case(known))
}

/// The first word after blanks, empty statements and comments. What MariaDB runs inside of `/*! */` is no comment.
fn first_word(sql: &str) -> &str {
    let blank = |c: char| c.is_whitespace() || c == ';';
    let mut rest = sql.trim_start_matches(blank);
    loop {
        let after = if let Some(executed) = rest.strip_prefix("/*!").or_else(|| rest.strip_prefix("/*M!")) {
            Some(executed.trim_start_matches(|c: char| c.is_ascii_digit()))
        } else if let Some(line) = rest.strip_prefix("--").or_else(|| rest.strip_prefix('#')) {
            line.split_once('\n').map(|(_, after)| after)
        } else if let Some(block) = rest.strip_prefix("/*") {
            block.split_once("*/").map(|(_, after)| after)
        } else {
            break;
        };
        rest = after.unwrap_or_default().trim_start_matches(blank);
    }
    let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    &rest[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_do_not_hide_the_first_word() {
        for sql in [
            "DROP TABLE a",
            " -- x\n/* y */ drop table a",
            "/* a */commit;",
            "# x\ncommit",
            " ; commit",
            "/*!50000 COMMIT */",
            "/*M! commit */",
            "ABORT",
        ] {
            assert!(is_raw_schema(sql), "{sql}");
        }
        for sql in ["", "--", "/*", "select 'drop'", "insert into a values (1)"] {
            assert!(!is_raw_schema(sql), "{sql}");
        }
        assert!(is_raw_read("/* a */ SELECT 1") && !is_raw_read("with a as (delete from b) select 1"));
    }
}
