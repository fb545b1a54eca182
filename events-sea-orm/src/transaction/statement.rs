//! What a statement is, found out before it is sent.

use sea_orm::{
    DbBackend, Statement, StatementBuilder,
    sea_query::{
        DeleteStatement, ForeignKeyCreateStatement, ForeignKeyDropStatement, IndexCreateStatement,
        IndexDropStatement, InsertStatement, SelectStatement, TableAlterStatement, TableCreateStatement,
        TableDropStatement, TableRenameStatement, TableTruncateStatement, UpdateStatement, WithQuery,
        extension::postgres::{TypeAlterStatement, TypeCreateStatement, TypeDropStatement},
    },
};

use super::{
    on_conflict,
    sql::{self, Does, Table, Verb, Words},
};
use crate::{
    backend::tokens::{Token, Tokens},
    store, tracked,
    typed::downcast_ref,
};

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
    /// Text that writes the tables that it names.
    Raw,
    /// Code that nobody looks into, as a DO block.
    Code,
    /// It is not known what it does.
    Unknown,
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
            Self::Raw | Self::Code | Self::Unknown => "raw",
            Self::Schema => "schema",
        }
    }
}

/// How a read is sent, so that the database refuses or tells of what its words do not show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Care {
    /// As it is: all of it is known.
    Plain,
    /// As text whose functions, views and operators may write: read only, and with its effects undone.
    ReadOnly,
    /// As text whose locks must last: what it writes is counted.
    Counted,
}

/// What a statement was found to do.
#[derive(Debug)]
pub(crate) struct Inspected {
    pub(crate) kind: Kind,
    /// The tables that it writes.
    pub(crate) written: Vec<Table>,
    pub(crate) care: Care,
    /// All that it names, where it may write any of that.
    pub(crate) named: Vec<Table>,
    /// A function that is not known to read, where it writes.
    pub(crate) calls: Option<String>,
    /// It holds a comment.
    pub(crate) has_comment: bool,
    /// Why it is not known what it does.
    pub(crate) why: &'static str,
    /// A table of this library that code or an unknown text names.
    pub(crate) mentions: Option<&'static str>,
}

impl Inspected {
    fn of(kind: Kind, words: Words) -> Self {
        let Words { written, calls, has_comment, why, .. } = words;
        Self { kind, written, named: Vec::new(), care: Care::Plain, calls, has_comment, why, mentions: None }
    }

    /// Whether it does what its words do not show.
    pub(crate) fn is_opaque(&self) -> bool {
        self.kind == Kind::Code || self.calls.is_some()
    }
}

/// Builds a typed statement and looks at what was built: custom expressions can hold any text. `reads` are the
/// functions that the application says read.
pub(crate) fn inspect<S: StatementBuilder>(
    statement: &S,
    backend: DbBackend,
    reads: &[String],
) -> (Inspected, Statement) {
    if is_schema(statement) {
        // Not built: sea-query panics on what a database does not have, such as TRUNCATE on SQLite.
        let inspected = Inspected { kind: Kind::Schema, ..inspect_text("", backend, reads) };
        return (inspected, Statement::from_string(backend, ""));
    }
    let built = statement.build(&backend);
    let expected = if downcast_ref::<SelectStatement, _>(statement).is_some() {
        Kind::Read
    } else if downcast_ref::<InsertStatement, _>(statement).is_some() {
        if on_conflict::changes_rows(&built.sql) { Kind::Upsert } else { Kind::Insert }
    } else if downcast_ref::<UpdateStatement, _>(statement).is_some() {
        Kind::Update
    } else if downcast_ref::<DeleteStatement, _>(statement).is_some() {
        Kind::Delete
    } else if downcast_ref::<WithQuery, _>(statement).is_some() {
        Kind::With
    } else {
        return (inspect_text(&built.sql, backend, reads), built);
    };
    (typed(expected, &built.sql, backend, reads), built)
}

fn typed(expected: Kind, sql: &str, backend: DbBackend, reads: &[String]) -> Inspected {
    let mut words = sql::classify(sql, backend, reads);
    let kind = match (words.does, expected) {
        (Does::Write(_), _) if words.has_comment => {
            words.why = COMMENT;
            Kind::Unknown
        }
        (Does::Read, Kind::Read | Kind::With) => {
            // What the builders write and what is known needs nobody to watch over it.
            let care = if words.calls_application { Care::ReadOnly } else { Care::Plain };
            return Inspected { care, ..Inspected::of(Kind::Read, words) };
        }
        (Does::ReadLasting, Kind::Read | Kind::With) => {
            let care = if words.calls_application { Care::Counted } else { Care::Plain };
            return Inspected { care, ..Inspected::of(Kind::Read, words) };
        }
        (Does::Write(_), _) if words.writes_what_it_names => Kind::With,
        (Does::Write(verb), _) => match (verb, expected, words.written.len()) {
            (Verb::Insert | Verb::Replace, Kind::Insert | Kind::Upsert, 1)
            | (Verb::Update, Kind::Update, 1)
            | (Verb::Delete, Kind::Delete, 1) => expected,
            _ => Kind::With,
        },
        _ => Kind::Unknown,
    };
    found(kind, words, sql, backend)
}

/// Builders write no comments: one is from a custom expression, and may cut off what the builder wrote behind it.
pub(super) const COMMENT: &str = "an expression in it holds a comment, which may cut off what follows";

/// Looks at text.
pub(crate) fn inspect_text(text: &str, backend: DbBackend, reads: &[String]) -> Inspected {
    let words = sql::classify(text, backend, reads);
    let (kind, care) = match words.does {
        Does::Steer => (Kind::Read, Care::Plain),
        Does::Read => (Kind::Read, Care::ReadOnly),
        Does::ReadLasting => (Kind::Read, Care::Counted),
        Does::Write(_) => (Kind::Raw, Care::Plain),
        Does::Code => (Kind::Code, Care::Plain),
        Does::Schema => (Kind::Schema, Care::Plain),
        Does::Unknown => (Kind::Unknown, Care::Plain),
    };
    let mut inspected = Inspected { care, ..found(kind, words, text, backend) };
    if matches!(kind, Kind::Code | Kind::Unknown) {
        inspected.mentions = store::own_tables().find(|own| mentions(text, backend, own));
    }
    inspected
}

/// What a statement is that was looked at, with all that it may write.
fn found(kind: Kind, words: Words, sql: &str, backend: DbBackend) -> Inspected {
    let several = words.writes_what_it_names;
    let mut inspected = Inspected::of(kind, words);
    if several {
        for token in Tokens::new(backend, sql) {
            let (Token::Word(name) | Token::Quoted(name)) = token else { continue };
            let table = Table { schema: None, name: name.to_owned() };
            let list = match store::is_own_table(name) || tracked::find(&table).is_some() {
                true if inspected.written.iter().any(|known| known.name == table.name) => continue,
                true => &mut inspected.written,
                false => &mut inspected.named,
            };
            if !list.contains(&table) {
                list.push(table);
            }
        }
    }
    inspected
}

/// Whether a text names this table, or anything else of that name, outside comments.
fn mentions(sql: &str, backend: DbBackend, name: &str) -> bool {
    let mut tokens = Tokens::new(backend, sql);
    let mut last = [Token::Symbol(b';'); 2];
    for token in tokens.by_ref() {
        let escaped = last[0].is("u") && last[1].is_symbol(b'&'); // `U&"\0065vents"` may be any name
        let found = match token {
            Token::Word(word) => word.eq_ignore_ascii_case(name),
            Token::Quoted(quoted) => quoted.eq_ignore_ascii_case(name) || escaped,
            // A string may be run, and is a name to SQLite.
            Token::Text(code) | Token::Code(code) => {
                code.to_ascii_lowercase().contains(&name.to_ascii_lowercase())
            }
            Token::Symbol(_) => false,
        };
        if found {
            return true;
        }
        last = [last[1], token];
    }
    tokens.is_uncertain()
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
