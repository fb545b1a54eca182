//! What SQL text does: one statement of a known form, or nothing that may pass.
//!
//! A text reads if it is one query in which no word can begin or make a write (each grammar has few of them) and no function is called
//! but those that are known to read. Whatever else it says is for the database to understand. Not seen are views,
//! operators and casts that call functions, triggers, rules and cascades.

mod steer;
mod write;

use sea_orm::DbBackend;

use crate::backend::{
    tokens::{Token, Tokens, is_any},
    words,
};

/// What a text does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Does {
    /// It reads rows, and does nothing else.
    Read,
    /// It reads, and takes locks or sends notices that last until the transaction ends.
    ReadLasting,
    /// It asks for or sets something that ends with the transaction and touches no rows.
    Steer,
    /// It writes the tables that it names.
    Write(Verb),
    /// It runs code that nobody sees.
    Code,
    /// It changes the schema, or ends or steers the transaction or the session.
    Schema,
    /// It is not known what it does.
    Unknown,
}

/// How a text writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Insert,
    /// `REPLACE`.
    Replace,
    Update,
    Delete,
    Merge,
}

/// A text's words.
#[derive(Debug)]
pub(crate) struct Words {
    pub(crate) does: Does,
    /// The tables that it writes.
    pub(crate) written: Vec<Table>,
    /// It may write any table that it names anywhere.
    pub(crate) writes_what_it_names: bool,
    /// A function that is not known to read, the first one.
    pub(crate) calls: Option<String>,
    /// A function that the application says reads.
    pub(crate) calls_application: bool,
    /// It holds a comment.
    pub(crate) has_comment: bool,
    /// Why it is not known what it does.
    pub(crate) why: &'static str,
}

/// A table as a statement names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Table {
    pub(crate) schema: Option<String>,
    pub(crate) name: String,
}

/// Looks at a text. `reads` are the functions that the application says read.
pub(crate) fn classify(sql: &str, backend: DbBackend, reads: &[String]) -> Words {
    let mut tokens = Tokens::new(backend, sql);
    let next = tokens.next();
    let mut parser = Parser {
        backend,
        reads,
        tokens,
        last: [START; 3],
        next,
        levels: vec![Level::default()],
        does: None,
        words: Words {
            does: Does::Steer,
            written: Vec::new(),
            writes_what_it_names: false,
            calls: None,
            calls_application: false,
            has_comment: false,
            why: "",
        },
        lasting: false,
        closed_behind_on: false,
    };
    let parsed = parser.statement().and_then(|does| parser.end().map(|()| does));
    let uncertain = parser.tokens.is_uncertain();
    let has_comment = parser.tokens.has_comment();
    let (does, lasting, mut words) = (parsed, parser.lasting, parser.words);
    words.has_comment = has_comment;
    words.does = match does {
        _ if uncertain => {
            words.why = "settings of the session decide how it is read, or a quote or comment has no end";
            Does::Unknown
        }
        Err(why) => {
            words.why = why;
            Does::Unknown
        }
        Ok(Does::Read) if lasting => Does::ReadLasting,
        Ok(does) => does,
    };
    if let (Some(_), Does::Read | Does::ReadLasting | Does::Steer) = (&words.calls, words.does) {
        words.why = "it calls a function that is not known to only read";
        words.does = Does::Unknown;
    }
    words
}

/// What stands before the first token.
const START: Token<'_> = Token::Symbol(b';');

type Parsed<T> = Result<T, &'static str>;

struct Parser<'a> {
    backend: DbBackend,
    reads: &'a [String],
    tokens: Tokens<'a>,
    /// The tokens before, the latest first.
    last: [Token<'a>; 3],
    next: Option<Token<'a>>,
    /// What the parentheses that are open hold, outermost first.
    levels: Vec<Level>,
    /// What the outermost statement does.
    does: Option<Does>,
    words: Words,
    lasting: bool,
    /// The parenthesis that was closed last opened behind ON.
    closed_behind_on: bool,
}

/// What stands between two parentheses, or around all of them.
#[derive(Debug, Default)]
struct Level {
    /// How the statement in it writes.
    verb: Option<Verb>,
    /// A token of it was seen.
    begun: bool,
    /// WITH was seen, and the statement that it belongs to was not.
    with: bool,
    /// It is the query of a common table expression.
    is_cte: bool,
    /// It opened behind ON.
    behind_on: bool,
}

impl<'a> Parser<'a> {
    fn advance(&mut self) -> Option<Token<'a>> {
        let token = self.next.take()?;
        self.next = self.tokens.next();
        self.last = [token, self.last[0], self.last[1]];
        Some(token)
    }

    fn next_is(&self, word: &str) -> bool {
        self.next.is_some_and(|next| next.is(word))
    }

    fn next_is_any(&self, words: &[&str]) -> bool {
        self.next.is_some_and(|next| next.is_any(words))
    }

    fn next_is_symbol(&self, symbol: u8) -> bool {
        self.next.is_some_and(|next| next.is_symbol(symbol))
    }

    /// Passes over the next token if it is this word.
    fn skip(&mut self, word: &str) -> bool {
        let found = self.next_is(word);
        if found {
            self.advance();
        }
        found
    }

    fn skip_symbol(&mut self, symbol: u8) -> bool {
        let found = self.next_is_symbol(symbol);
        if found {
            self.advance();
        }
        found
    }

    fn is_mysql(&self) -> bool {
        self.backend == DbBackend::MySql
    }

    /// What follows the statement: nothing, as far as it says something.
    fn end(&mut self) -> Parsed<()> {
        while let Some(token) = self.advance() {
            if !token.is_symbol(b';') {
                return Err("it is more than one statement");
            }
        }
        Ok(())
    }

    fn statement(&mut self) -> Parsed<Does> {
        while self.skip_symbol(b';') {}
        let lead = match self.next {
            None => return Ok(Does::Steer),
            Some(Token::Symbol(b'(')) => return self.query_or_write(),
            Some(Token::Word(word)) => word,
            Some(_) => return Err("it does not begin with a word"),
        };
        if is_any(lead, QUERIES) || is_any(lead, WRITES) {
            return self.query_or_write();
        }
        self.advance();
        let is = |word: &str| lead.eq_ignore_ascii_case(word);
        match self.backend {
            _ if is("explain") => self.explain(self.backend == DbBackend::MySql),
            DbBackend::Postgres => match () {
                () if is("show") => self.simple(&[], Does::Steer),
                () if is("lock") => self.simple(&[], Does::Steer),
                () if is("notify") => self.simple(&[], Does::Steer),
                () if is("set") && self.next_is("local") => self.set_local(),
                () if is("set") && self.skip("constraints") => self.simple(&[], Does::Steer),
                () if is("prepare") && self.next_is("transaction") => self.opaque(Does::Schema),
                () if is("do") || is("call") => self.opaque(Does::Code),
                () => self.other(lead),
            },
            DbBackend::MySql => match () {
                () if is("show") => {
                    self.level().begun = true;
                    self.body()
                }
                () if is("describe") || is("desc") => self.explain(true),
                () if is("analyze") && !self.next_is_any(&["table", "local", "no_write_to_binlog"]) => {
                    self.explain(false)
                }
                () if is("set") && self.next_is("statement") => self.set_statement(),
                () if is("do") || is("call") => self.opaque(Does::Code),
                () => self.other(lead),
            },
            _ if is("pragma") => self.pragma(),
            _ => self.other(lead),
        }
    }

    /// The token after the next one.
    fn next_after(&self) -> Option<Token<'a>> {
        // `tokens` stand behind `next` already.
        self.tokens.clone().next()
    }

    fn query(&mut self) -> Parsed<Does> {
        match self.query_or_write()? {
            Does::Read => Ok(Does::Read),
            _ => Err(EXPLAINS),
        }
    }

    /// A query or a write, common table expressions included.
    fn query_or_write(&mut self) -> Parsed<Does> {
        let mut lead = self.next;
        let mut tokens = self.tokens.clone();
        while lead.is_some_and(|lead| lead.is_symbol(b'(')) {
            lead = tokens.next();
        }
        if lead.is_some_and(|lead| lead.is_any(QUERIES)) {
            self.does = Some(Does::Read);
        }
        self.body()?;
        self.does.ok_or("it is no query")
    }

    fn level(&mut self) -> &mut Level {
        // One is always there: the outermost is never taken away.
        if self.levels.is_empty() {
            self.levels.push(Level::default());
        }
        let at = self.levels.len() - 1;
        &mut self.levels[at]
    }

    /// Up to the end of the statement.
    fn body(&mut self) -> Parsed<Does> {
        let mut depth = 0_usize;
        while let Some(next) = self.next {
            match next {
                Token::Symbol(b';') if depth == 0 => break,
                Token::Symbol(b'(') => {
                    depth += 1;
                    self.open();
                }
                Token::Symbol(b')') => {
                    depth = depth.checked_sub(1).ok_or("a parenthesis closes that was not opened")?;
                    self.advance();
                    self.closed_behind_on = self.levels.pop().is_some_and(|level| level.behind_on);
                }
                Token::Symbol(symbol) => self.symbol(symbol)?,
                Token::Word(word) => self.word(word)?,
                Token::Quoted(name) => self.quoted(name)?,
                Token::Text(_) => {
                    self.advance();
                    if self.last[1].is_symbol(b'&') && self.last[2].is("u") {
                        return Err("it holds a string with escapes");
                    }
                    if self.next_is_symbol(b'(') {
                        return Err("a string stands where a function would");
                    }
                }
                Token::Code(_) => {
                    self.advance();
                }
            }
        }
        if depth > 0 {
            return Err("a parenthesis does not close");
        }
        Ok(self.does.unwrap_or(Does::Steer))
    }

    fn open(&mut self) {
        let behind = self.last[0];
        let level = self.level();
        let is_cte = level.with && behind.is_any(&["as", "materialized"]);
        // `WITH a AS (..) (SELECT ..) ORDER BY ..`: no more table expressions are named.
        level.with &= !behind.is_symbol(b')');
        level.begun = true;
        self.advance();
        self.levels.push(Level { is_cte, behind_on: behind.is("on"), ..Level::default() });
    }

    fn symbol(&mut self, symbol: u8) -> Parsed<()> {
        self.advance();
        self.level().begun = true;
        match symbol {
            b'=' if self.is_mysql() && self.last[1].is_symbol(b':') => {
                Err("a variable is set, which stays with the pooled connection")
            }
            b'[' | b']' if self.is_mysql() => Err("brackets are quotes to some servers"),
            b'`' | b'\\' => Err("a sign stands outside of quotes that has no meaning there"),
            symbol if symbol < b' ' || symbol == 0x7f => Err("it holds a control character"),
            _ => Ok(()),
        }
    }

    fn quoted(&mut self, name: &'a str) -> Parsed<()> {
        self.advance();
        if self.last[1].is_symbol(b'&') && self.last[2].is("u") {
            return Err("it holds a name with escapes");
        }
        if self.next_is_symbol(b'(') {
            self.call(name);
        }
        self.level().begun = true;
        Ok(())
    }

    fn word(&mut self, word: &'a str) -> Parsed<()> {
        let last = self.last[0];
        // Behind a dot it is part of a name, whatever it is.
        if !last.is_symbol(b'.') && self.keyword(word)? {
            return Ok(());
        }
        self.advance();
        if self.next_is_symbol(b'(') && (last.is_symbol(b'.') || !words::is_keyword(self.backend, word)) {
            self.call(word);
        }
        self.level().begun = true;
        Ok(())
    }

    /// Reads what begins with a word that may begin a statement or a write. Answers whether it did.
    fn keyword(&mut self, word: &str) -> Parsed<bool> {
        let is = |other: &str| word.eq_ignore_ascii_case(other);
        match word.len() {
            3 if is("for") => {
                self.advance();
                self.level().begun = true;
                self.locking()?;
                Ok(true)
            }
            4 if is("with") => self.with(),
            4 if is("into") => Err("INTO stands where it may write"),
            4 if is("lock") && self.is_mysql() => {
                self.advance();
                self.lasting |= self.next_is("in");
                Ok(true)
            }
            5 | 6 if is("table") || is("select") || is("values") => {
                self.level().with = false;
                Ok(false)
            }
            5..=7 if is_any(word, WRITES) => self.write(word),
            5 if is("value") && self.is_mysql() => {
                self.advance();
                if self.next_is("for") {
                    return Err("it draws a number from a sequence");
                }
                self.level().begun = true;
                if self.next_is_symbol(b'(') {
                    self.call("value");
                }
                Ok(true)
            }
            9 if is("procedure") && self.is_mysql() => Err("PROCEDURE runs code"),
            _ => Ok(false),
        }
    }

    /// `FOR UPDATE`, `FOR NO KEY UPDATE`, `FOR KEY SHARE`: a lock, if this is one.
    fn locking(&mut self) -> Parsed<()> {
        if self.skip("no") && !self.skip("key") {
            return Err("FOR NO stands alone");
        }
        self.skip("key");
        if self.skip("update") || self.skip("share") {
            self.lasting = true;
        }
        Ok(())
    }

    fn with(&mut self) -> Parsed<bool> {
        let first = !self.level().begun;
        let in_insert = matches!(self.level().verb, Some(Verb::Insert | Verb::Replace));
        self.advance();
        if first || (in_insert && !self.next_is_any(HARMLESS_WITH)) {
            let level = self.level();
            (level.with, level.begun) = (true, true);
            self.skip("recursive");
            return Ok(true);
        }
        if self.next_is_any(HARMLESS_WITH) {
            return Ok(true);
        }
        Err("WITH stands where no statement begins")
    }

    /// INSERT, UPDATE, DELETE, REPLACE or MERGE: a statement, a part of one, or a function.
    fn write(&mut self, word: &str) -> Parsed<bool> {
        let is = |other: &str| word.eq_ignore_ascii_case(other);
        let outermost = self.levels.len() == 1;
        let behind = self.last[0];
        let level = self.level();
        let verb = level.verb;
        let begins = level.with || (!level.begun && (outermost || level.is_cte));
        if begins {
            (level.with, level.begun) = (false, true);
            self.advance();
            return self.begin_write(word).map(|()| true);
        }
        if (is("insert") || is("replace")) && self.next_after().is_some_and(|next| next.is_symbol(b'(')) {
            return Ok(false); // a function
        }
        let continues = match verb {
            Some(Verb::Insert | Verb::Replace) => {
                is("update")
                    && (behind.is("do")
                        || (behind.is("key") && self.last[1].is("duplicate") && self.is_mysql()))
            }
            Some(Verb::Merge) => behind.is("then") && !is("merge") && !is("replace"),
            _ => false,
        };
        if !continues {
            return Err("a word of a write stands where no write can");
        }
        self.advance();
        Ok(true)
    }

    /// A name before a parenthesis: a function that is known, or a name that is given there.
    fn call(&mut self, name: &str) {
        let [_, behind, before] = self.last;
        // `(a) OPERATOR(pg_catalog.+) f(b)`: what follows its parentheses is no alias.
        let is_operator = self.backend == DbBackend::Postgres && name.eq_ignore_ascii_case("operator");
        let level = self.level();
        let names_cte = level.with && (behind.is_any(&["with", "recursive"]) || behind.is_symbol(b','));
        let names_type = behind.is_symbol(b':') && before.is_symbol(b':');
        // `f(x) AS t(a)`; `(SELECT ..) t(a)`, but not `DISTINCT ON (a) f(b)`.
        let names_alias = behind.is("as") || (behind.is_symbol(b')') && !self.closed_behind_on);
        if (names_cte || names_type || names_alias) && !is_operator {
            return;
        }
        let is_qualified = behind.is_symbol(b'.');
        let is_servers = matches!(before, Token::Word(schema) | Token::Quoted(schema) if words::is_own_schema(self.backend, schema));
        // With an argument it sets what the session answers next.
        let sets = name.eq_ignore_ascii_case("last_insert_id")
            && !self.next_after().is_some_and(|next| next.is_symbol(b')'));
        let may_be_known = (!is_qualified || is_servers) && !sets;
        let writes = matches!(self.does, Some(Does::Write(_)));
        if may_be_known && words::lasts(self.backend, name) {
            self.lasting = true;
        } else if may_be_known
            && (words::reads(self.backend, name) || (writes && words::is_drawn_in_writes(self.backend, name)))
        {
            // It changes nothing.
        } else if self.reads.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            self.words.calls_application = true;
        } else {
            self.words.calls.get_or_insert_with(|| name.to_owned());
        }
    }
}

const EXPLAINS: &str = "EXPLAIN may be of a query alone, which only reads";

/// How queries begin.
const QUERIES: &[&str] = &["select", "with", "values", "table"];

/// How writes begin.
const WRITES: &[&str] = &["insert", "update", "delete", "replace", "merge"];

/// What follows a WITH that names no table expressions.
const HARMLESS_WITH: &[&str] =
    &["ordinality", "ties", "time", "local", "rollup", "query", "unique", "without", "array", "wrapper"];

#[cfg(test)]
mod tests;
