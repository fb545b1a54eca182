//! SQL text cut into words, as each database cuts it, and what its words mean.
//!
//! Where a server's settings decide (`sql_mode`, `standard_conforming_strings`), their defaults are assumed.

use sea_orm::DbBackend;

/// A piece of SQL text; blanks and comments are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// A keyword, a bare name or a number.
    Word(&'a str),
    /// What stands in quotes that may hold a name.
    Quoted(&'a str),
    /// What stands in a string.
    Text(&'a str),
    /// What stands in a dollar-quoted string: code more often than not.
    Code(&'a str),
    Symbol(u8),
}

impl Token<'_> {
    pub(crate) fn is(&self, word: &str) -> bool {
        matches!(self, Self::Word(other) if other.eq_ignore_ascii_case(word))
    }

    pub(crate) fn is_any(&self, words: &[&str]) -> bool {
        matches!(self, Self::Word(other) if is_any(other, words))
    }

    pub(crate) fn is_symbol(&self, symbol: u8) -> bool {
        *self == Self::Symbol(symbol)
    }
}

pub(crate) fn is_any(word: &str, words: &[&str]) -> bool {
    words.iter().any(|known| known.eq_ignore_ascii_case(word))
}

/// The tokens of a text, one after the other, in one pass and without memory of their own.
#[derive(Debug, Clone)]
pub(crate) struct Tokens<'a> {
    sql: &'a str,
    at: usize,
    dialect: Dialect,
    /// PostgreSQL: the last token was a string with escapes, which the next line may continue.
    escaped: bool,
    /// MySQL: inside a comment that is run.
    in_run: bool,
    uncertain: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Postgres,
    MySql,
    Sqlite,
}

impl<'a> Tokens<'a> {
    pub(crate) fn new(backend: DbBackend, sql: &'a str) -> Self {
        let dialect = match backend {
            DbBackend::Postgres => Dialect::Postgres,
            DbBackend::MySql => Dialect::MySql,
            _ => Dialect::Sqlite,
        };
        Self { sql, at: 0, dialect, escaped: false, in_run: false, uncertain: false }
    }

    /// Whether the text so far can be understood in more than one way: a quote or a comment without an end, or SQL in
    /// a comment that only some servers run.
    pub(crate) fn is_uncertain(&self) -> bool {
        self.uncertain
    }

    /// The token after this one.
    pub(crate) fn peek(&self) -> Option<Token<'a>> {
        self.clone().next()
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.sql.as_bytes().get(self.at + ahead).copied()
    }

    fn slice(&self, start: usize, end: usize) -> &'a str {
        self.sql.get(start..end).unwrap_or_default()
    }

    /// The rest was not understood.
    fn give_up(&mut self) {
        self.uncertain = true;
        self.at = self.sql.len();
    }

    fn skip_blanks_and_comments(&mut self) {
        while let Some(byte) = self.byte(0) {
            match byte {
                b' ' | b'\n' | b'\t' | b'\r' | 0x0b | 0x0c => self.at += 1,
                b'-' if self.byte(1) == Some(b'-') && self.dashes_begin_a_comment() => self.skip_line(),
                b'#' if self.dialect == Dialect::MySql => self.skip_line(),
                b'/' if self.byte(1) == Some(b'*') => self.skip_comment(),
                b'*' if self.in_run && self.byte(1) == Some(b'/') => {
                    self.in_run = false;
                    self.at += 2;
                }
                // SQLite takes a byte order mark for a blank.
                0xef if self.dialect == Dialect::Sqlite
                    && self.sql.get(self.at..self.at + 3) == Some("\u{feff}") =>
                {
                    self.at += 3;
                }
                _ => return,
            }
        }
        if self.in_run {
            self.uncertain = true;
        }
    }

    /// For MySQL `1--1` is a sum.
    fn dashes_begin_a_comment(&self) -> bool {
        self.dialect != Dialect::MySql || self.byte(2).is_none_or(|byte| byte <= b' ' || byte == 0x7f)
    }

    fn skip_line(&mut self) {
        let ends = |byte: &u8| *byte == b'\n' || (*byte == b'\r' && self.dialect == Dialect::Postgres);
        let line = self.sql.as_bytes().get(self.at..).unwrap_or_default();
        self.at += line.iter().position(ends).unwrap_or(line.len());
    }

    fn skip_comment(&mut self) {
        if self.dialect == Dialect::MySql {
            let marker = match (self.byte(2), self.byte(3)) {
                (Some(b'!'), _) => 3,
                (Some(b'M'), Some(b'!')) => 4,
                _ => 0,
            };
            if marker > 0 {
                return self.enter_run_comment(marker);
            }
        }
        let bytes = self.sql.as_bytes();
        let (mut at, mut depth) = (self.at + 2, 1);
        while depth > 0 {
            match (bytes.get(at), bytes.get(at + 1)) {
                (Some(b'*'), Some(b'/')) => {
                    depth -= 1;
                    at += 2;
                }
                (Some(b'/'), Some(b'*')) if self.dialect == Dialect::Postgres => {
                    depth += 1;
                    at += 2;
                }
                (Some(_), _) => at += 1,
                (None, _) => return self.give_up(),
            }
        }
        self.at = at;
    }

    /// `/*!50000 .. */` and `/*M! .. */` are run, by servers of that version. What a hint says changes no meaning.
    fn enter_run_comment(&mut self, marker: usize) {
        const LONGEST_HINT: usize = 64;
        self.at += marker;
        while self.byte(0).is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        let bytes = self.sql.as_bytes().get(self.at..).unwrap_or_default();
        let near = &bytes[..bytes.len().min(LONGEST_HINT)];
        if let Some(length) = near.windows(2).position(|pair| pair == b"*/") {
            let mut words = self.slice(self.at, self.at + length).split_ascii_whitespace();
            if words.all(|word| is_any(word, HINTS)) {
                self.at += length + 2;
                return;
            }
        }
        self.uncertain = true;
        self.in_run = true;
    }

    /// What stands between two quotes; doubled, a quote stands for itself.
    fn quoted(&mut self, quote: u8, escapes: bool) -> &'a str {
        let bytes = self.sql.as_bytes();
        let start = self.at + 1;
        let mut at = start;
        loop {
            match bytes.get(at) {
                Some(b'\\') if escapes => at += 2,
                Some(&byte) if byte == quote && bytes.get(at + 1) == Some(&quote) && quote != b']' => at += 2,
                Some(&byte) if byte == quote => break,
                Some(_) => at += 1,
                None => {
                    self.give_up();
                    return self.slice(start, self.sql.len());
                }
            }
        }
        self.at = at + 1;
        self.slice(start, at)
    }

    /// `$tag$ .. $tag$`, or the sign of a parameter.
    fn dollar(&mut self) -> Token<'a> {
        let is_tag = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80;
        let rest = self.slice(self.at, self.sql.len());
        let tag = rest.bytes().skip(1).take_while(is_tag).count();
        let delimiter =
            rest.get(..tag + 2).filter(|it| it.ends_with('$') && !rest.as_bytes()[1].is_ascii_digit());
        let Some(delimiter) = delimiter else {
            self.at += 1;
            return Token::Symbol(b'$');
        };
        let start = self.at + delimiter.len();
        let Some(length) = self.slice(start, self.sql.len()).find(delimiter) else {
            self.give_up();
            return Token::Code(self.slice(start, self.sql.len()));
        };
        self.at = start + length + delimiter.len();
        Token::Code(self.slice(start, start + length))
    }

    /// SQLite's variables may have parentheses, in which anything but blanks may stand: `$a(')`.
    fn variable(&mut self) -> Token<'a> {
        let sign = self.byte(0).unwrap_or_default();
        let mut length = 0;
        self.at += 1;
        while let Some(byte) = self.byte(0) {
            if is_word(byte) {
                length += 1;
                self.at += 1;
            } else if byte == b':' && self.byte(1) == Some(b':') {
                self.at += 2;
            } else if byte == b'(' && length > 0 {
                let inside = |byte: &u8| *byte != b')' && !byte.is_ascii_whitespace() && *byte != 0x0b;
                let rest = self.sql.as_bytes().get(self.at..).unwrap_or_default();
                self.at += rest.iter().take_while(|byte| inside(byte)).count();
                match self.byte(0) {
                    Some(b')') => self.at += 1,
                    _ => self.uncertain = true,
                }
                break;
            } else {
                break;
            }
        }
        Token::Symbol(sign)
    }

    /// MySQL reads `1e5into` and `1.into` as a number and a word, but `1into` as a name.
    fn number(&mut self) {
        self.digits();
        if self.exponent() {
            return;
        }
        if self.byte(0) == Some(b'.') {
            self.at += 1;
            self.digits();
            self.exponent();
            return;
        }
        // No `$` for PostgreSQL: `1$$` begins a string.
        let continues = |byte: u8| is_word(byte) && (byte != b'$' || self.dialect != Dialect::Postgres);
        let rest = self.sql.as_bytes().get(self.at..).unwrap_or_default();
        self.at += rest.iter().take_while(|byte| continues(**byte)).count();
    }

    fn digits(&mut self) {
        while self.byte(0).is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
    }

    fn exponent(&mut self) -> bool {
        let sign = usize::from(matches!(self.byte(1), Some(b'+' | b'-')));
        let found = matches!(self.byte(0), Some(b'e' | b'E'))
            && self.byte(1 + sign).is_some_and(|byte| byte.is_ascii_digit());
        if found {
            self.at += 1 + sign;
            self.digits();
        }
        found
    }

    /// Whether a dot at this place begins a number: not behind a name.
    fn dot_begins_a_number(&self) -> bool {
        let before = self.at.checked_sub(1).and_then(|at| self.sql.as_bytes().get(at));
        let behind_name = before.is_some_and(|byte| is_word(*byte) || matches!(byte, b'"' | b'`' | b']'));
        !behind_name && self.byte(1).is_some_and(|byte| byte.is_ascii_digit())
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        use Dialect::{MySql, Postgres, Sqlite};
        self.skip_blanks_and_comments();
        let continues_escaped = std::mem::take(&mut self.escaped);
        let start = self.at;
        Some(match (self.byte(0)?, self.dialect) {
            (b'\'', dialect) => {
                self.escaped = continues_escaped;
                Token::Text(self.quoted(b'\'', dialect == MySql || continues_escaped))
            }
            // Names or strings on MySQL and SQLite, as it comes.
            (b'"', dialect) => Token::Quoted(self.quoted(b'"', dialect == MySql)),
            (b'`', MySql | Sqlite) => Token::Quoted(self.quoted(b'`', false)),
            (b'[', Sqlite) => Token::Quoted(self.quoted(b']', false)),
            (b'$', Postgres) => self.dollar(),
            (b'$' | b'@' | b'#' | b':', Sqlite) => self.variable(),
            (b'?', Sqlite) => {
                self.at += 1;
                self.digits();
                Token::Symbol(b'?')
            }
            (b'0'..=b'9', _) => {
                self.number();
                Token::Word(self.slice(start, self.at))
            }
            (b'.', _) if self.dot_begins_a_number() => {
                self.at += 1;
                self.digits();
                self.exponent();
                Token::Word(self.slice(start, self.at))
            }
            (byte, dialect) if is_word(byte) => {
                while self.byte(0).is_some_and(is_word) {
                    self.at += 1;
                }
                let word = self.slice(start, self.at);
                if dialect == Postgres && matches!(word, "e" | "E") && self.byte(0) == Some(b'\'') {
                    self.escaped = true;
                    return Some(Token::Text(self.quoted(b'\'', true)));
                }
                Token::Word(word)
            }
            (byte, _) => {
                self.at += 1;
                Token::Symbol(byte)
            }
        })
    }
}

/// What MySQL's dumps and query builders put in comments that are run, without a meaning for what is read or written.
const HINTS: &[&str] = &[
    "sql_no_cache",
    "sql_cache",
    "sql_calc_found_rows",
    "sql_big_result",
    "sql_small_result",
    "sql_buffer_result",
    "straight_join",
    "high_priority",
];

/// What the first word of a statement says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lead {
    /// A read, if no other word of it writes.
    Query,
    /// A read, whatever follows.
    Read,
    /// A write whose table follows.
    Write,
    /// A write of text or code that nobody sees.
    Unseen,
    /// The schema, the transaction or the session.
    Schema,
    /// Another statement, which is run only if ANALYZE follows.
    Explain,
    /// Another statement, which is run.
    Run,
    /// Settings, and then another statement behind FOR.
    RunFor,
    /// SQLite's settings and questions.
    Pragma,
    /// `SET`, a read where only variables of the user's are set.
    SetVariables,
    /// `SET LOCAL`, a read where the setting passes.
    SetLocal,
}

/// What a statement does that begins with `word`, which `next` follows. Unknown words write.
pub(crate) fn lead(backend: DbBackend, word: &str, next: Option<Token<'_>>) -> Lead {
    let next_is = |words: &[&str]| next.is_some_and(|next| next.is_any(words));
    if is_any(word, &["select", "with", "values", "table"]) {
        return Lead::Query;
    }
    if is_any(word, &["insert", "update", "delete", "replace", "merge", "copy", "load"]) {
        return Lead::Write;
    }
    match backend {
        DbBackend::Postgres => {
            // A lock, a cursor over a SELECT and a notification change no row and end with the transaction.
            if is_any(word, &["show", "lock", "declare", "fetch", "move", "close", "notify"]) {
                return Lead::Read;
            }
            if is_any(word, &["prepare"]) && next_is(&["transaction"]) {
                return Lead::Schema;
            }
            if is_any(word, &["set"]) && next_is(&["constraints"]) {
                return Lead::Read;
            }
            if is_any(word, &["set"]) && next_is(&["local"]) {
                return Lead::SetLocal;
            }
        }
        DbBackend::MySql => {
            if is_any(word, &["show", "help"]) {
                return Lead::Read;
            }
            if is_any(word, &["describe", "desc"]) {
                return Lead::Explain;
            }
            if is_any(word, &["analyze"]) && !next_is(&["table", "local", "no_write_to_binlog"]) {
                return Lead::Run;
            }
            if is_any(word, &["set"]) {
                return if next_is(&["statement"]) { Lead::RunFor } else { Lead::SetVariables };
            }
        }
        _ => {
            if is_any(word, &["pragma"]) {
                return Lead::Pragma;
            }
        }
    }
    if is_any(word, &["explain"]) {
        Lead::Explain
    } else if is_any(word, SCHEMA) {
        Lead::Schema
    } else {
        Lead::Unseen
    }
}

/// `SET` is here for settings that stay with the pooled connection, or say who acts and how.
const SCHEMA: &[&str] = &[
    "create",
    "alter",
    "drop",
    "truncate",
    "rename",
    "grant",
    "revoke",
    "comment",
    "reindex",
    "vacuum",
    "analyze",
    "analyse",
    "cluster",
    "refresh",
    "attach",
    "detach",
    "begin",
    "start",
    "commit",
    "rollback",
    "savepoint",
    "release",
    "end",
    "abort",
    "xa",
    "flush",
    "optimize",
    "repair",
    "check",
    "lock",
    "unlock",
    "set",
    "reset",
    "discard",
    "deallocate",
    "use",
    "listen",
    "unlisten",
    "checkpoint",
    "security",
    "reassign",
    "import",
    "install",
    "uninstall",
    "kill",
    "shutdown",
    "purge",
];

/// The words with which the statement behind EXPLAIN may begin.
pub(crate) const EXPLAINED: &[&str] = &[
    "select", "with", "values", "table", "insert", "update", "delete", "replace", "merge", "execute",
    "declare", "create", "refresh",
];

/// Whether `SET LOCAL` of this setting passes: it ends with the transaction. Not if it changes who writes, which triggers
/// fire, or how text is read.
pub(crate) fn is_local_setting(setting: &str) -> bool {
    const OTHERS: &[&str] = &[
        "role",
        "session",
        "session_replication_role",
        "standard_conforming_strings",
        "transaction",
        "transaction_isolation",
        "transaction_read_only",
        "transaction_deferrable",
    ];
    !is_any(setting, OTHERS)
}

/// What SQLite's pragmas do.
pub(crate) fn pragma_reads(name: &str, with_argument: bool) -> bool {
    const ASK: &[&str] = &[
        "table_info",
        "table_xinfo",
        "table_list",
        "index_list",
        "index_info",
        "index_xinfo",
        "foreign_key_list",
        "foreign_key_check",
        "integrity_check",
        "quick_check",
    ];
    const ASK_WITHOUT_ARGUMENT: &[&str] = &[
        "application_id",
        "auto_vacuum",
        "busy_timeout",
        "cache_size",
        "collation_list",
        "compile_options",
        "data_version",
        "database_list",
        "defer_foreign_keys",
        "encoding",
        "foreign_keys",
        "freelist_count",
        "function_list",
        "journal_mode",
        "locking_mode",
        "max_page_count",
        "mmap_size",
        "module_list",
        "page_count",
        "page_size",
        "pragma_list",
        "query_only",
        "recursive_triggers",
        "schema_version",
        "secure_delete",
        "synchronous",
        "temp_store",
        "user_version",
        "wal_autocheckpoint",
    ];
    is_any(name, ASK)
        || (with_argument && is_any(name, &["defer_foreign_keys"])) // ends with the transaction
        || (!with_argument && is_any(name, ASK_WITHOUT_ARGUMENT))
}

/// Whether `verb`, at a place where a statement may begin, begins one. Where it is no reserved word it may be a column.
pub(crate) fn begins_write(backend: DbBackend, verb: &str, next: Option<Token<'_>>) -> bool {
    let Some(next) = next else { return false };
    match backend {
        DbBackend::MySql => matches!(next, Token::Word(_) | Token::Quoted(_)),
        _ if verb.eq_ignore_ascii_case("delete") => next.is("from"),
        _ => next.is_any(&["into", "or"]),
    }
}

/// Whether an UPDATE or DELETE may write several tables.
pub(crate) fn writes_many(backend: DbBackend) -> bool {
    backend == DbBackend::MySql
}

/// Whether a word between the verb and the table's name is no name itself, where `last` stands before it.
pub(crate) fn is_modifier(backend: DbBackend, word: &str, last: Token<'_>) -> bool {
    if is_any(word, &["into", "from"]) {
        return true;
    }
    match backend {
        DbBackend::Postgres => is_any(word, &["only"]),
        DbBackend::MySql => {
            is_any(word, &["ignore", "low_priority", "high_priority", "delayed"])
                || (is_any(word, &["quick"]) && last.is_any(&["delete", "low_priority"]))
        }
        // `INSERT OR REPLACE INTO t`, `UPDATE OR FAIL t`.
        _ => is_any(word, &["or"]) || last.is("or"),
    }
}

/// `INTO @a` fills a variable; any other INTO of a SELECT writes.
pub(crate) fn into_reads(backend: DbBackend, next: Option<Token<'_>>) -> bool {
    backend == DbBackend::MySql && next.is_some_and(|next| next.is_symbol(b'@'))
}
