//! SQL text cut into words, as each database cuts it.
//!
//! Where a setting of the server or of the session decides (`sql_mode`, `standard_conforming_strings`, the character
//! set of the client), a text is uncertain unless every reading cuts it alike: a session may change its settings later.

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
    uncertain: bool,
    commented: bool,
}

/// What a backslash in quotes does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Backslash {
    Plain,
    Escapes,
    /// As a setting says.
    Either,
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
        Self { sql, at: 0, dialect, escaped: false, uncertain: sql.contains('\0'), commented: false }
    }

    /// Whether the text so far can be understood in more than one way: a quote or a comment without an end, SQL in a
    /// comment that only some servers run, or quotes that settings end at different places.
    pub(crate) fn is_uncertain(&self) -> bool {
        self.uncertain
    }

    /// Whether a comment was passed over so far.
    pub(crate) fn has_comment(&self) -> bool {
        self.commented
    }

    /// Whether each parenthesis of the rest closes one that the rest opened, and none stays open.
    pub(crate) fn parentheses_match(mut self) -> bool {
        let mut depth = 0_usize;
        for token in self.by_ref() {
            let next = match token {
                Token::Symbol(b'(') => depth.checked_add(1),
                Token::Symbol(b')') => depth.checked_sub(1),
                _ => Some(depth),
            };
            match next {
                Some(next) => depth = next,
                None => return false,
            }
        }
        depth == 0 && !self.uncertain
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
                // SQLite takes a byte order mark for a blank.
                0xef if self.dialect == Dialect::Sqlite
                    && self.sql.get(self.at..self.at + 3) == Some("\u{feff}") =>
                {
                    self.at += 3;
                }
                _ => return,
            }
        }
    }

    /// For MySQL `1--1` is a sum.
    fn dashes_begin_a_comment(&self) -> bool {
        self.dialect != Dialect::MySql || self.byte(2).is_none_or(|byte| byte <= b' ' || byte == 0x7f)
    }

    fn skip_line(&mut self) {
        self.commented = true;
        let ends = |byte: &u8| *byte == b'\n' || (*byte == b'\r' && self.dialect == Dialect::Postgres);
        let line = self.sql.as_bytes().get(self.at..).unwrap_or_default();
        self.at += line.iter().position(ends).unwrap_or(line.len());
    }

    fn skip_comment(&mut self) {
        self.commented = true;
        if self.dialect == Dialect::MySql {
            let marker = match (self.byte(2), self.byte(3)) {
                (Some(b'!'), _) => 3,
                (Some(b'M'), Some(b'!')) => 4,
                _ => 0,
            };
            if marker > 0 {
                return self.skip_hint(marker);
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
    fn skip_hint(&mut self, marker: usize) {
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
        self.give_up();
    }

    /// What stands between two quotes; doubled, a quote stands for itself.
    fn quoted(&mut self, quote: u8, backslash: Backslash) -> &'a str {
        let start = self.at + 1;
        let Some(end) = self.end_of_quoted(start, quote, backslash == Backslash::Escapes) else {
            self.give_up();
            return self.slice(start, self.sql.len());
        };
        let inside = self.sql.as_bytes().get(start..end).unwrap_or_default();
        if backslash != Backslash::Plain && inside.contains(&b'\\') {
            // In some character sets the byte before a backslash takes it for its own second half.
            let behind_a_letter = inside.windows(2).any(|pair| pair[0] >= 0x80 && pair[1] == b'\\');
            let ends_elsewhere =
                backslash == Backslash::Either && self.end_of_quoted(start, quote, true) != Some(end);
            self.uncertain |= behind_a_letter || ends_elsewhere;
        }
        self.at = end + 1;
        self.slice(start, end)
    }

    fn end_of_quoted(&self, start: usize, quote: u8, escapes: bool) -> Option<usize> {
        let bytes = self.sql.as_bytes();
        let mut at = start;
        loop {
            match *bytes.get(at)? {
                b'\\' if escapes => at += 2,
                byte if byte == quote && bytes.get(at + 1) == Some(&quote) && quote != b']' => at += 2,
                byte if byte == quote => return Some(at),
                _ => at += 1,
            }
        }
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
        let more = rest.iter().take_while(|byte| continues(**byte)).count();
        let is_number =
            |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b'x' | b'X' | b'o' | b'O' | b'_');
        // PostgreSQL before 15 reads `1into` as a number and a word.
        self.uncertain |= self.dialect != Dialect::MySql && !rest[..more].iter().all(is_number);
        self.at += more;
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
                let backslash = match dialect {
                    Sqlite => Backslash::Plain,
                    _ if continues_escaped => Backslash::Escapes,
                    _ => Backslash::Either,
                };
                Token::Text(self.quoted(b'\'', backslash))
            }
            // Names or strings on MySQL and SQLite, as it comes.
            (b'"', MySql) => Token::Quoted(self.quoted(b'"', Backslash::Either)),
            (b'"', _) => Token::Quoted(self.quoted(b'"', Backslash::Plain)),
            (b'`', MySql | Sqlite) => Token::Quoted(self.quoted(b'`', Backslash::Plain)),
            (b'[', Sqlite) => Token::Quoted(self.quoted(b']', Backslash::Plain)),
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
                    return Some(Token::Text(self.quoted(b'\'', Backslash::Escapes)));
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
