//! What SQL text does, as far as its words tell.
//!
//! What cannot be told counts as a write. Not seen are functions that write, triggers, rules and cascades. A
//! `set_config(..)` passes as the read that it looks like.

use sea_orm::DbBackend;

use crate::backend::tokens::{self, Lead, Token, Tokens};

/// What a text does: the strongest of what its statements do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Does {
    Read,
    Write,
    /// Changes the schema, or ends or steers the transaction or the session.
    Schema,
}

/// A text's words.
#[derive(Debug)]
pub(super) struct Words {
    pub(super) does: Does,
    /// Whether it is one statement, beyond doubt.
    pub(super) is_one: bool,
    /// The tables that it names as written; nothing for code that nobody sees, as a `CALL`.
    pub(super) written: Vec<Table>,
}

/// A table as a statement names it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) schema: Option<String>,
    pub(crate) name: String,
}

/// Looks at every statement of a text.
pub(super) fn classify(sql: &str, backend: DbBackend) -> Words {
    let mut reader = Reader {
        backend,
        tokens: Tokens::new(backend, sql),
        words: Words { does: Does::Read, is_one: false, written: Vec::new() },
        statements: 0,
        place: Place::Start,
        last: Token::Symbol(b';'),
        with: false,
        update: false,
        names: Names::default(),
    };
    while let Some(token) = reader.tokens.next() {
        reader.read(token);
        reader.last = token;
    }
    reader.end_statement();
    if reader.tokens.is_uncertain() {
        reader.found(Does::Write);
    }
    reader.words.is_one = reader.statements == 1 && !reader.tokens.is_uncertain();
    if reader.words.does == Does::Read {
        reader.words.written.clear();
    }
    reader.words
}

/// Whether the text of a typed statement is that one statement, and reads if it should: a custom expression can hold
/// any text.
pub(super) fn is_one_statement(sql: &str, read: bool, backend: DbBackend) -> bool {
    if !sql.contains(';') && (!read || is_plain_select(sql)) {
        return true;
    }
    let words = classify(sql, backend);
    words.is_one && (!read || words.does == Does::Read)
}

/// Whether a single SELECT has not even the letters of INTO and WITH, without which it cannot write: almost all.
fn is_plain_select(sql: &str) -> bool {
    const LOWER: u32 = 0x2020_2020;
    let (into, with) = (u32::from_ne_bytes(*b"into"), u32::from_ne_bytes(*b"with"));
    let found = |four: &[u8; 4]| {
        let four = u32::from_ne_bytes(*four) | LOWER;
        four == into || four == with
    };
    let bytes = sql.as_bytes();
    bytes.starts_with(b"SELECT ") && !bytes.array_windows::<4>().any(found)
}

/// Whether a text names this table, or anything else of that name, outside strings and comments.
pub(super) fn mentions(sql: &str, backend: DbBackend, name: &str) -> bool {
    let mut tokens = Tokens::new(backend, sql);
    let mut last = [Token::Symbol(b';'); 2];
    for token in tokens.by_ref() {
        let found = match token {
            Token::Word(word) => word.eq_ignore_ascii_case(name),
            // `U&"\0065vents"` may be any name.
            Token::Quoted(quoted) => {
                quoted.eq_ignore_ascii_case(name) || (last[0].is("u") && last[1].is_symbol(b'&'))
            }
            Token::Code(code) => code.to_ascii_lowercase().contains(&name.to_ascii_lowercase()),
            Token::Text(_) | Token::Symbol(_) => false,
        };
        if found {
            return true;
        }
        last = [last[1], token];
    }
    tokens.is_uncertain()
}

struct Reader<'a> {
    backend: DbBackend,
    tokens: Tokens<'a>,
    words: Words,
    statements: usize,
    place: Place<'a>,
    last: Token<'a>,
    /// WITH was seen: other statements may stand inside this one.
    with: bool,
    /// An UPDATE was seen where a statement may begin: it is one if SET follows.
    update: bool,
    names: Names,
}

/// What the next token of a statement may be.
enum Place<'a> {
    /// Its first word.
    Start,
    /// Anything; a query writes by INTO as well.
    Body {
        query: bool,
    },
    /// The first word of what EXPLAIN is asked about.
    Explained {
        runs: bool,
    },
    /// The FOR behind which another statement begins.
    For,
    Pragma {
        name: &'a str,
    },
    /// What `SET` sets; a comma outside parentheses begins the next.
    SetVariables {
        depth: usize,
        next: bool,
    },
    /// The setting behind `SET LOCAL`.
    SetLocal,
    /// Nothing that matters.
    Known,
}

/// Where the names of written tables are expected.
#[derive(Default)]
struct Names {
    /// The next name is one.
    next: bool,
    /// More may follow, behind a comma or JOIN.
    many: bool,
    /// The last one may go on behind a dot.
    open: bool,
}

const NO_MORE_NAMES: &[&str] = &["set", "where", "order", "limit", "returning", "values", "select"];

impl<'a> Reader<'a> {
    fn found(&mut self, does: Does) {
        self.words.does = self.words.does.max(does);
    }

    fn read(&mut self, token: Token<'a>) {
        if token.is_symbol(b';') {
            return self.end_statement();
        }
        match &mut self.place {
            Place::Start => self.begin(token),
            Place::Body { query } => {
                let query = *query;
                self.body(token, query);
            }
            Place::Explained { runs } => match token {
                _ if token.is_any(&["analyze", "analyse"]) => *runs = true,
                _ if token.is_any(tokens::EXPLAINED) => {
                    if *runs {
                        self.lead(token)
                    } else {
                        self.place = Place::Known
                    }
                }
                _ => {}
            },
            Place::For => {
                if token.is("for") {
                    self.place = Place::Start;
                }
            }
            Place::Pragma { name } => match token {
                Token::Word(word) | Token::Quoted(word) => *name = word,
                Token::Symbol(b'.') => {}
                _ => {
                    let name = *name;
                    self.end_pragma(name, true);
                }
            },
            Place::SetVariables { depth, next } => {
                let begins = std::mem::replace(next, *depth == 0 && token.is_symbol(b','));
                match token {
                    Token::Symbol(b'(') => *depth += 1,
                    Token::Symbol(b')') => *depth = depth.saturating_sub(1),
                    _ => {}
                }
                let is_variable = || self.tokens.peek().is_some_and(|next| !next.is_symbol(b'@'));
                if begins && !(token.is_symbol(b'@') && is_variable()) {
                    self.found(Does::Schema);
                }
            }
            Place::SetLocal if token.is("local") => {}
            Place::SetLocal => {
                self.place = Place::Known;
                match token {
                    Token::Word(name) | Token::Quoted(name) if tokens::is_local_setting(name) => {}
                    _ => self.found(Does::Schema),
                }
            }
            Place::Known => {}
        }
    }

    /// The first token of a statement.
    fn begin(&mut self, token: Token<'a>) {
        match token {
            Token::Symbol(b'(') => {}
            _ => self.lead(token),
        }
    }

    fn lead(&mut self, token: Token<'a>) {
        let Token::Word(word) = token else {
            self.place = Place::Known;
            return self.found(Does::Write);
        };
        // Most text: spare it the lookahead.
        let lead = if word.eq_ignore_ascii_case("select") {
            Lead::Query
        } else {
            tokens::lead(self.backend, word, self.tokens.peek())
        };
        self.place = match lead {
            Lead::Query => {
                self.with = word.eq_ignore_ascii_case("with");
                Place::Body { query: true }
            }
            Lead::Write => {
                self.begin_write(word);
                Place::Body { query: false }
            }
            Lead::Read => Place::Known,
            Lead::Unseen => {
                self.found(Does::Write);
                Place::Known
            }
            Lead::Schema => {
                self.found(Does::Schema);
                Place::Known
            }
            Lead::Explain => Place::Explained { runs: false },
            Lead::Run => Place::Explained { runs: true },
            Lead::RunFor => Place::For,
            Lead::Pragma => Place::Pragma { name: "" },
            Lead::SetVariables => Place::SetVariables { depth: 0, next: true },
            Lead::SetLocal => Place::SetLocal,
        };
    }

    fn end_statement(&mut self) {
        self.statements += usize::from(!matches!(self.place, Place::Start));
        match self.place {
            // What is run was not found.
            Place::Explained { runs: true } | Place::For => self.found(Does::Write),
            Place::Pragma { name } => self.end_pragma(name, false),
            _ => {}
        }
        self.place = Place::Start;
        self.with = false;
        self.update = false;
        self.names = Names::default();
    }

    fn end_pragma(&mut self, name: &str, with_argument: bool) {
        self.place = Place::Known;
        if !tokens::pragma_reads(name, with_argument) {
            self.found(Does::Schema);
        }
    }

    fn body(&mut self, token: Token<'a>, query: bool) {
        if self.names.next || self.names.many || self.names.open {
            self.name(token);
        }
        let Token::Word(word) = token else { return };
        // Behind a dot or AS any word is a name.
        if !matches!(word.len(), 3..=7) || self.last.is_symbol(b'.') || self.last.is("as") {
            return;
        }
        match word.len() {
            3 if self.update && token.is("set") => {
                self.update = false;
                self.found(Does::Write);
            }
            4 if token.is("with") => self.with = true,
            4 if query && token.is("into") && !tokens::into_reads(self.backend, self.tokens.peek()) => {
                self.found(Does::Write);
            }
            5 if !query && token.is("table") && self.last.is("into") => self.expect_names(false),
            6 if self.with && token.is("update") && self.may_begin_here() => {
                self.update = true;
                self.expect_names(true);
            }
            5..=7
                if self.with
                    && token.is_any(&["insert", "delete", "replace", "merge"])
                    && self.may_begin_here()
                    && tokens::begins_write(self.backend, word, self.tokens.peek()) =>
            {
                self.begin_write(word);
            }
            _ => {}
        }
    }

    /// Whether a statement may begin here: behind `AS (`, behind the last `)` of a WITH, or behind its SEARCH or CYCLE.
    fn may_begin_here(&self) -> bool {
        match self.last {
            Token::Symbol(symbol) => matches!(symbol, b'(' | b')'),
            // FOR UPDATE, FOR NO KEY UPDATE, ON UPDATE, DO UPDATE; columns.
            _ => !self
                .last
                .is_any(&["for", "key", "on", "do", "select", "distinct", "all", "by", "and", "or", "not"]),
        }
    }

    fn begin_write(&mut self, verb: &str) {
        self.found(Does::Write);
        // LOAD DATA has its table behind INTO TABLE.
        if verb.eq_ignore_ascii_case("load") {
            return;
        }
        self.expect_names(verb.eq_ignore_ascii_case("update") || verb.eq_ignore_ascii_case("delete"));
    }

    fn expect_names(&mut self, maybe_many: bool) {
        self.names = Names { next: true, many: maybe_many && tokens::writes_many(self.backend), open: false };
    }

    fn name(&mut self, token: Token<'a>) {
        match token {
            Token::Word(word) | Token::Quoted(word) if self.names.open && self.last.is_symbol(b'.') => {
                if let Some(table) = self.words.written.last_mut() {
                    let name = std::mem::replace(&mut table.name, word.to_owned());
                    table.schema = Some(name);
                }
            }
            Token::Symbol(b'.') => {}
            Token::Word(_) if token.is_any(NO_MORE_NAMES) => self.names = Names::default(),
            Token::Word(word) if self.names.next && tokens::is_modifier(self.backend, word, self.last) => {}
            Token::Word(word) | Token::Quoted(word) if self.names.next => {
                self.words.written.push(Table { schema: None, name: word.to_owned() });
                self.names.next = false;
                self.names.open = true;
            }
            Token::Symbol(b'(') => {
                self.names.open = false;
                self.names.next &= self.names.many;
            }
            _ => {
                self.names.open = false;
                let joins =
                    token.is_symbol(b',') || token.is_any(&["join", "straight_join", "from", "using"]);
                self.names.next = self.names.many && joins;
            }
        }
    }
}

#[cfg(test)]
mod tests;
