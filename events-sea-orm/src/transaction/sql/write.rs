//! Statements that write, up to the name of their table.

use sea_orm::DbBackend;

use super::{Does, Parsed, Parser, Table, Verb};
use crate::{
    backend::tokens::{Token, is_any},
    tracked,
};

/// Words that are names in no database, but begin something.
const RESERVED: &[&str] = &[
    "as", "delete", "from", "insert", "into", "join", "lateral", "only", "or", "select", "set", "table",
    "update", "using", "values", "where", "with",
];

const NAME: &str = "it writes a table whose name is not plain or simply quoted";

impl Parser<'_> {
    pub(super) fn begin_write(&mut self, word: &str) -> Parsed<()> {
        let verb = match () {
            () if word.eq_ignore_ascii_case("insert") => Verb::Insert,
            () if word.eq_ignore_ascii_case("replace") => Verb::Replace,
            () if word.eq_ignore_ascii_case("update") => Verb::Update,
            () if word.eq_ignore_ascii_case("delete") => Verb::Delete,
            () => Verb::Merge,
        };
        self.level().verb = Some(verb);
        self.does = Some(Does::Write(verb));
        self.modifiers(verb);
        let expects = match verb {
            Verb::Insert | Verb::Merge => Some("into"),
            Verb::Delete => Some("from"),
            Verb::Replace | Verb::Update => None,
        };
        let found = match expects {
            Some(word) => self.skip(word),
            None => verb == Verb::Update || self.skip("into") || self.is_mysql(),
        };
        if !found && !self.is_mysql() {
            return Err("it does not name the table that it writes where that stands");
        }
        if self.backend == DbBackend::Postgres && !matches!(verb, Verb::Insert | Verb::Replace) {
            self.skip("only");
        }
        let table = self.table()?;
        self.words.written.push(table);
        if self.next_is_symbol(b',') && !self.is_mysql() {
            return Err("it names several tables");
        }
        if !self.is_mysql() {
            return self.behind_table(verb);
        }
        // MySQL writes several tables by one UPDATE or DELETE.
        let is_single = match verb {
            Verb::Update => {
                self.skip("as");
                if !self.next_is("set") && matches!(self.next, Some(Token::Word(_) | Token::Quoted(_))) {
                    self.advance();
                }
                self.next_is("set")
            }
            Verb::Delete => {
                found
                    && self.next.is_none_or(|next| {
                        next.is_symbol(b';') || next.is_any(&["where", "order", "limit", "returning"])
                    })
            }
            _ => true,
        };
        self.words.writes_what_it_names |= !is_single;
        Ok(())
    }

    /// What follows the table where a statement writes only one: maybe an alias, then a clause that is known.
    fn behind_table(&mut self, verb: Verb) -> Parsed<()> {
        let clauses: &[&str] = match verb {
            Verb::Update => &["set", "indexed", "not"],
            Verb::Delete => &["using", "where", "returning", "order", "limit", "indexed", "not"],
            Verb::Merge => &["using"],
            Verb::Insert | Verb::Replace => return Ok(()),
        };
        let is_name = |parser: &Self| matches!(parser.next, Some(Token::Word(_) | Token::Quoted(_)));
        if self.skip("as") || (is_name(self) && !self.next_is_any(clauses)) {
            self.advance();
        }
        let ends =
            verb == Verb::Delete && self.next.is_none_or(|next| next.is_symbol(b';') || next.is_symbol(b')'));
        if ends || self.next_is_any(clauses) {
            Ok(())
        } else {
            Err("what follows the table that it writes is not known")
        }
    }

    /// Words between a verb and the table.
    fn modifiers(&mut self, verb: Verb) {
        match self.backend {
            DbBackend::Postgres => {}
            DbBackend::MySql => {
                let words: &[&str] = match verb {
                    Verb::Delete => &["low_priority", "quick", "ignore"],
                    _ => &["low_priority", "delayed", "high_priority", "ignore"],
                };
                while self.next_is_any(words) {
                    self.advance();
                }
            }
            _ => {
                if self.skip("or") {
                    self.advance();
                }
            }
        }
    }

    /// The name of a table, in plain letters or simple quotes.
    pub(super) fn table(&mut self) -> Parsed<Table> {
        let mut parts = vec![self.name()?];
        while self.skip_symbol(b'.') {
            parts.push(self.name()?);
        }
        let name = parts.pop().unwrap_or_default();
        // Any other sign would make it another name, or is part of it to somebody: `U&"..."`, `visit@home`.
        let ends = match self.next {
            Some(Token::Symbol(symbol)) => matches!(symbol, b'(' | b')' | b',' | b';'),
            Some(Token::Code(_)) => false,
            Some(Token::Word(_) | Token::Quoted(_) | Token::Text(_)) | None => true,
        };
        if !ends {
            return Err(NAME);
        }
        Ok(Table { schema: parts.pop(), name })
    }

    fn name(&mut self) -> Parsed<String> {
        // PostgreSQL cuts longer names off, and then they are others.
        const LONGEST: usize = 63;
        let plain = |byte: char| byte.is_alphanumeric() || matches!(byte, '_' | '$');
        let (name, fits): (&str, fn(char) -> bool) = match self.advance() {
            Some(Token::Word(name)) if !is_any(name, RESERVED) => (name, |_| false),
            Some(Token::Quoted(name)) => (name, |byte| matches!(byte, '-' | ' ')),
            _ => return Err(NAME),
        };
        let is_known = !name.is_empty()
            && name.len() <= LONGEST
            && name.chars().all(|byte| plain(byte) || fits(byte))
            && !name.ends_with(' ');
        if is_known { Ok(name.to_owned()) } else { odd_name(name).ok_or(NAME) }
    }
}

/// A name of any signs, if a model has just this one for its table.
fn odd_name(quoted: &str) -> Option<String> {
    let meanings = [quoted.replace("\"\"", "\""), quoted.replace("``", "`")];
    let known = tracked::known();
    meanings.into_iter().find(|name| known.iter().any(|definition| definition.table() == name))
}
