//! Statements that ask or steer.

use super::{Does, EXPLAINS, Parsed, Parser, QUERIES, WRITES};
use crate::backend::{
    tokens::{Token, is_any},
    words,
};
use sea_orm::DbBackend;

impl Parser<'_> {
    pub(super) fn other(&mut self, lead: &str) -> Parsed<Does> {
        if is_any(lead, words::SCHEMA) {
            return self.opaque(Does::Schema);
        }
        Err("its first word is not one of those that are known")
    }

    /// What is not looked into, up to the end of the statement.
    pub(super) fn opaque(&mut self, does: Does) -> Parsed<Does> {
        while self.next.is_some_and(|next| !next.is_symbol(b';')) {
            self.advance();
        }
        Ok(does)
    }

    /// Words, values and commas, up to the end of the statement; `values` are symbols besides.
    pub(super) fn simple(&mut self, values: &[u8], does: Does) -> Parsed<Does> {
        while let Some(next) = self.next {
            match next {
                Token::Symbol(b';') => break,
                Token::Symbol(b',' | b'.' | b'=' | b'-' | b'+' | b'%') => {}
                Token::Symbol(symbol) if values.contains(&symbol) => {}
                Token::Symbol(_) | Token::Code(_) => return Err("it holds more than names and values"),
                Token::Word(_) | Token::Quoted(_) | Token::Text(_) => {}
            }
            self.advance();
        }
        Ok(does)
    }

    pub(super) fn set_local(&mut self) -> Parsed<Does> {
        self.advance();
        let known = match self.advance() {
            Some(Token::Word(first)) if first.eq_ignore_ascii_case("time") => self.skip("zone"),
            Some(Token::Word(name)) => {
                is_any(name, words::LOCAL_SETTINGS) && (self.skip_symbol(b'=') || self.skip("to"))
            }
            _ => false,
        };
        if known { self.simple(&[], Does::Steer) } else { self.opaque(Does::Schema) }
    }

    /// `SET STATEMENT max_statement_time = 1 FOR SELECT ..`.
    pub(super) fn set_statement(&mut self) -> Parsed<Does> {
        self.advance();
        let number = |token: Option<Token<'_>>| matches!(token, Some(Token::Word(word)) if word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'));
        if self.skip("max_statement_time")
            && self.skip_symbol(b'=')
            && number(self.advance())
            && self.skip("for")
        {
            return self.query();
        }
        Err("SET STATEMENT may set `max_statement_time` alone, to a number, and be for a query alone")
    }

    /// Of a query; where the word is one for DESCRIBE as well, of a table.
    pub(super) fn explain(&mut self, describes: bool) -> Parsed<Does> {
        let options: &[&str] = match self.backend {
            DbBackend::Postgres => &["analyze", "analyse", "verbose"],
            DbBackend::MySql => &["analyze", "extended", "partitions"],
            _ => &["query", "plan"],
        };
        while self.next_is_any(options) {
            self.advance();
        }
        if self.backend == DbBackend::Postgres && self.next_is_symbol(b'(') {
            return self.explain_options();
        }
        if self.is_mysql() && self.skip("format") {
            let is_known = self.skip_symbol(b'=') && matches!(self.advance(), Some(Token::Word(_)));
            if !is_known {
                return Err("EXPLAIN has an option that is not known");
            }
        }
        match self.next {
            // To somebody `select.a` may be a table.
            Some(_) if self.next_after().is_some_and(|after| after.is_symbol(b'.')) && !describes => {
                Err(EXPLAINS)
            }
            Some(next) if next.is_any(QUERIES) || next.is_symbol(b'(') => self.query(),
            Some(Token::Word(word)) if describes && !is_any(word, WRITES) && !is_any(word, &["execute"]) => {
                self.describe()
            }
            Some(Token::Quoted(_)) if describes => self.describe(),
            _ => Err(EXPLAINS),
        }
    }

    /// A table, and maybe a column or a pattern.
    fn describe(&mut self) -> Parsed<Does> {
        self.table()?;
        if matches!(self.next, Some(Token::Word(_) | Token::Quoted(_) | Token::Text(_))) {
            self.advance();
        }
        match self.next {
            None | Some(Token::Symbol(b';')) => Ok(Does::Steer),
            Some(_) => Err(EXPLAINS),
        }
    }

    /// `EXPLAIN (ANALYZE, FORMAT json) SELECT ..`, or `EXPLAIN (SELECT ..)`.
    fn explain_options(&mut self) -> Parsed<Does> {
        const OPTIONS: &[&str] = &[
            "analyze",
            "analyse",
            "buffers",
            "costs",
            "false",
            "format",
            "generic_plan",
            "json",
            "memory",
            "none",
            "off",
            "on",
            "serialize",
            "settings",
            "summary",
            "text",
            "timing",
            "true",
            "verbose",
            "wal",
            "xml",
            "yaml",
        ];
        let begins_query = |token: &Token<'_>| token.is_any(QUERIES) || token.is_symbol(b'(');
        if self.next_after().as_ref().is_some_and(begins_query) {
            return self.query();
        }
        self.advance();
        while let Some(token) = self.advance() {
            match token {
                Token::Symbol(b')') => {
                    return if self.next_is_any(QUERIES) || self.next_is_symbol(b'(') {
                        self.query()
                    } else {
                        Err(EXPLAINS)
                    };
                }
                Token::Symbol(b',') => {}
                Token::Word(word) if is_any(word, OPTIONS) => {}
                _ => break,
            }
        }
        Err("EXPLAIN has an option that is not known")
    }

    pub(super) fn pragma(&mut self) -> Parsed<Does> {
        let mut name = match self.advance() {
            Some(Token::Word(name)) => name,
            _ => return Err("PRAGMA has no plain name"),
        };
        if self.skip_symbol(b'.') {
            name = match self.advance() {
                Some(Token::Word(name)) => name,
                _ => return Err("PRAGMA has no plain name"),
            };
        }
        let with_argument = self.next.is_some_and(|next| !next.is_symbol(b';'));
        if !words::pragma_reads(name, with_argument) {
            return self.opaque(Does::Schema);
        }
        self.simple(b"()", Does::Steer)
    }
}
