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
mod tests {
    use Does::{Read, Schema, Write};

    use super::*;

    const POSTGRES: DbBackend = DbBackend::Postgres;
    const MYSQL: DbBackend = DbBackend::MySql;
    const SQLITE: DbBackend = DbBackend::Sqlite;
    const ALL: &[DbBackend] = &[POSTGRES, MYSQL, SQLITE];

    #[track_caller]
    fn check(backends: &[DbBackend], does: Does, texts: &[&str]) {
        for (backend, sql) in backends.iter().flat_map(|backend| texts.iter().map(move |sql| (*backend, sql)))
        {
            assert_eq!(classify(sql, backend).does, does, "{backend:?}: {sql}");
        }
    }

    #[track_caller]
    fn check_written(backend: DbBackend, sql: &str, expected: &[&str]) {
        let words = classify(sql, backend);
        let name = |table: Table| match table.schema {
            Some(schema) => format!("{schema}.{}", table.name),
            None => table.name,
        };
        let written: Vec<String> = words.written.into_iter().map(name).collect();
        assert_eq!(written, expected, "{sql}");
    }

    #[test]
    fn reads() {
        check(
            ALL,
            Read,
            &[
                "",
                " \n\t",
                ";",
                ";;",
                "-- nothing",
                "/* nothing */",
                "SELECT 1",
                "select 1;",
                "SELECT 1; SELECT 2",
                "(SELECT 1)",
                "((SELECT 1) UNION (SELECT 2))",
                "(SELECT 1) UNION SELECT 2 ORDER BY 1",
                "VALUES (1, 2)",
                "SELECT * FROM a WHERE b = 'delete from c'",
                "SELECT * FROM a WHERE b = 'it''s; delete from c'",
                "SELECT 1 -- ; delete from c",
                "SELECT 1 /* ; delete from c */",
                "/* delete from c */ SELECT 1",
                "-- delete\nSELECT 1",
                "SELECT * FROM a FOR UPDATE",
                "SELECT replace(a, 'x', 'y'), insert(a, 1, 2, 'z') FROM b",
                "SELECT a.update, a.delete, a.into FROM a",
                "SELECT a AS into_b, set_at, deleted FROM updates",
                "SELECT \"update\", \"into\", \"delete from\" FROM \"a;b\"",
                "WITH a AS (SELECT 1) SELECT * FROM a",
                "WITH RECURSIVE a(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM a) SELECT n FROM a",
                "WITH a AS (SELECT replace(b, 'x', (insert(c, 1, 1, 'y'))) FROM d) SELECT * FROM a",
                "WITH a AS (SELECT 1) SELECT * FROM b FOR UPDATE",
                "WITH a AS (SELECT 1) SELECT (replace(x, 'a', 'b')) FROM a",
                "EXPLAIN SELECT 1",
                "EXPLAIN DELETE FROM a",
                "EXPLAIN ANALYZE SELECT 1",
                "EXPLAIN ANALYZE WITH a AS (SELECT 1) SELECT * FROM a",
                "SELECT 0x1f, 1e5, 1.5e-3, .5, 1.",
                "SELECT 'größe', naïve, \u{fc}ber FROM stra\u{df}e",
            ],
        );
        check(
            &[POSTGRES],
            Read,
            &[
                "TABLE a",
                "SHOW search_path",
                "SELECT update, delete, insert FROM a",
                "WITH a AS (SELECT delete FROM b) SELECT * FROM a",
                "WITH a AS (SELECT DISTINCT delete FROM b) SELECT count(update), (update IS NULL) FROM a",
                "SELECT 1 AS into",
                "SELECT * FROM a FOR NO KEY UPDATE",
                "WITH a AS (SELECT 1) SELECT * FROM b FOR NO KEY UPDATE",
                "SELECT $1, $2::text, a[(SELECT 1)] FROM b WHERE c = ANY($3)",
                "SELECT $$; delete from a$$",
                "SELECT $a$; delete $b$ from $$ a$a$",
                "SELECT a$$b$$c",
                "SELECT E'\\'; delete from a'",
                "SELECT E'a'\n'\\'; delete from a'",
                "SELECT U&'\\0061; delete'",
                "SELECT U&\"\\0061; delete\"",
                "/* a /* ; delete */ from b */ SELECT 1",
                "EXPLAIN (FORMAT json) UPDATE a SET b = 1",
                "EXPLAIN (ANALYZE, BUFFERS) SELECT 1",
                "EXPLAIN (ANALYZE) (SELECT 1)",
                "SET LOCAL lock_timeout = '1s'",
                "SET LOCAL TIME ZONE 'UTC'",
                "SET CONSTRAINTS ALL DEFERRED",
                "SELECT set_config('app.x', 'y', true)",
                "LOCK TABLE a IN SHARE MODE",
                "DECLARE c CURSOR FOR SELECT 1",
                "FETCH 10 FROM c",
                "NOTIFY a, 'b'",
                "SELECT ` FROM a",
            ],
        );
        check(
            &[MYSQL],
            Read,
            &[
                "TABLE a",
                "SHOW TABLES",
                "DESCRIBE a",
                "DESC a b",
                "SELECT `update`, `into;` FROM `a``b`",
                "SELECT 1 # ; delete from a",
                "SELECT 'it\\'s; delete from a'",
                "SELECT \"it\\\"s; delete from a\"",
                "SELECT /*!40001 SQL_NO_CACHE */ * FROM a",
                "SELECT /*! STRAIGHT_JOIN */ 1",
                "SELECT /*+ MAX_EXECUTION_TIME(1) */ 1",
                "SELECT 1 INTO @a",
                "SELECT a, b FROM c INTO @a, @b",
                "SET @a = 1, @b := CONCAT('x', 'y')",
                "SET @set = 1",
                "ANALYZE SELECT 1",
                "ANALYZE FORMAT=JSON SELECT 1",
                "SET STATEMENT max_statement_time = 1 FOR SELECT 1",
                "SELECT * FROM a LOCK IN SHARE MODE",
                "EXPLAIN FORMAT=JSON DELETE FROM a",
                "SELECT _utf8mb4'a', x'00', N'b'",
                "SELECT 1--1",
            ],
        );
        check(
            &[SQLITE],
            Read,
            &[
                "SELECT [update], [a;b] FROM [c d]",
                "SELECT `a;b`",
                "SELECT ?1, :a, @b, $c, #d",
                "EXPLAIN QUERY PLAN DELETE FROM a",
                "PRAGMA table_info(a)",
                "PRAGMA main.table_info('a')",
                "PRAGMA table_xinfo = a",
                "PRAGMA user_version",
                "PRAGMA foreign_keys;",
                "PRAGMA foreign_key_check",
                "PRAGMA defer_foreign_keys = ON",
                "SELECT /* a /* b */ 1",
                "\u{feff}SELECT 1",
            ],
        );
    }

    #[test]
    fn writes() {
        check(
            ALL,
            Write,
            &[
                "INSERT INTO a VALUES (1)",
                "insert into a select * from b",
                "UPDATE a SET b = 1",
                "DELETE FROM a",
                "REPLACE INTO a VALUES (1)",
                "MERGE INTO a USING b ON true WHEN MATCHED THEN DELETE",
                "  /* a */ -- b\n DELETE FROM a",
                "SELECT 1; DELETE FROM a",
                "SELECT 1;;;DELETE FROM a",
                "(SELECT 1); DELETE FROM a",
                "SELECT ';' ; DELETE FROM a",
                "SELECT 1 INTO a",
                "SELECT * INTO a FROM b",
                "SELECT 1.INTO a",
                "WITH a AS (SELECT 1) DELETE FROM b",
                "WITH a AS (SELECT 1), b AS (SELECT 2) INSERT INTO c SELECT 1",
                "WITH a AS (SELECT 1) UPDATE b SET c = 1",
                "WITH a AS (SELECT 1)DELETE FROM b",
                "WITH a AS (SELECT 1)/**/DELETE FROM b",
                "EXPLAIN ANALYZE DELETE FROM a",
                "explain analyze update a set b = 1",
                "EXPLAIN ANALYZE WITH a AS (SELECT 1) DELETE FROM b",
                "EXPLAIN ANALYZE",
                "CALL a()",
                "DO 1",
                "EXECUTE a",
                "PREPARE a FROM 'delete from b'",
                "COPY a FROM STDIN",
                "FROBNICATE a",
                "HANDLER a OPEN",
                "'DELETE'",
                "\"DELETE\" FROM a",
                "1",
                ")SELECT 1",
                "SELECT 'a",
                "SELECT \"a",
                "SELECT 1 /* a",
                "SELECT 1;\u{feff}FROBNICATE",
                "DELETE\u{a0}FROM a",
            ],
        );
        check(
            &[POSTGRES],
            Write,
            &[
                "WITH a AS (DELETE FROM b RETURNING *) SELECT * FROM a",
                "WITH a AS MATERIALIZED (UPDATE b SET c = 1 RETURNING *) SELECT * FROM a",
                "WITH a AS NOT MATERIALIZED (INSERT INTO b VALUES (1) RETURNING *) SELECT * FROM a",
                "(WITH a AS (DELETE FROM b RETURNING *) SELECT * FROM a)",
                "WITH a AS (MERGE INTO b USING c ON true WHEN MATCHED THEN DELETE RETURNING *) SELECT 1",
                "WITH a AS (UPDATE ONLY b SET c = 1 RETURNING *) SELECT 1",
                "WITH RECURSIVE a AS (SELECT 1) SEARCH DEPTH FIRST BY b SET c DELETE FROM d",
                "WITH RECURSIVE a AS (SELECT 1) CYCLE b SET c USING d UPDATE e SET f = 1",
                "EXPLAIN (ANALYZE, BUFFERS) DELETE FROM a",
                "EXPLAIN (ANALYSE) DELETE FROM a",
                "EXPLAIN ANALYSE VERBOSE DELETE FROM a",
                "SELECT * INTO TEMP a FROM b",
                "DO $$ BEGIN DELETE FROM a; END $$",
                "SELECT '\\'; DELETE FROM t --'",
                "SELECT E'\\\\'; DELETE FROM t --'",
                "SELECT E'a'\n'\\' , ' ; DELETE FROM t --'",
                "SELECT $1;delete from a",
                "SELECT $a$ $b$ $a$; DELETE FROM t --$a$",
                "SELECT 1$$ ' $$ ; DELETE FROM t --'",
                "SELECT $a$",
                "SELECT $a$ ; delete $A$",
                "/* a /* b */ SELECT 1",
                "/* /* */ */ DELETE FROM a",
                "SELECT 1 -- a\rINTO b",
                "SELECT a[']'] ; DELETE FROM t",
                "SELECT ` ; DELETE FROM t --`",
                "SELECT U&'\\'; DELETE FROM t --'",
            ],
        );
        check(
            &[MYSQL],
            Write,
            &[
                "/*!50000 DELETE */ FROM a",
                "/*!50000 DELETE FROM a */",
                "/*M!100100 DELETE FROM a */",
                "SELECT 1 /*! INTO OUTFILE '/tmp/a' */",
                "SELECT 1 /*!99999 ' */ ; DELETE FROM t -- '",
                "SELECT /*! 1",
                "SELECT 1 INTO OUTFILE '/tmp/a'",
                "SELECT 1 INTO DUMPFILE '/tmp/a'",
                "SELECT 1e5INTO OUTFILE '/tmp/a'",
                "SELECT 1 --1 INTO OUTFILE '/tmp/a'",
                "SELECT '\\\\'; DELETE FROM t -- '",
                "SELECT \"\\\\\"; DELETE FROM t -- \"",
                "SELECT `\\`; DELETE FROM t -- `",
                "SELECT [a; DELETE FROM t -- ]",
                "SELECT 1 /* /* */ ; DELETE FROM t -- */",
                "LOAD DATA INFILE 'a' INTO TABLE b",
                "ANALYZE DELETE FROM a",
                "ANALYZE FORMAT=JSON UPDATE a SET b = 1",
                "SET STATEMENT max_statement_time = 1 FOR DELETE FROM a",
                "WITH a AS (SELECT 1) DELETE b FROM b JOIN a",
                "WITH a AS (SELECT 1) UPDATE (b JOIN a) SET c = 1",
                "DESC ANALYZE DELETE FROM a",
                "EXECUTE IMMEDIATE 'delete from a'",
                "SELECT $$; DELETE FROM t -- $$",
            ],
        );
        check(
            &[SQLITE],
            Write,
            &[
                "SELECT '\\'; DELETE FROM t --'",
                "SELECT \"\\\"; DELETE FROM t --\"",
                "SELECT $a(') ; DELETE FROM t --'",
                "SELECT $a::b(\") ; DELETE FROM t --\"",
                "SELECT [a'] ; DELETE FROM t --'",
                "SELECT 1 /* /* */ ; DELETE FROM t -- */",
                "WITH a AS (SELECT 1)\u{feff}DELETE FROM b",
                "WITH a AS (SELECT 1) REPLACE INTO b VALUES (1)",
                "WITH a AS (SELECT 1) INSERT OR IGNORE INTO b VALUES (1)",
                "SELECT [a",
            ],
        );
    }

    #[test]
    fn schema_transactions_and_sessions() {
        check(
            ALL,
            Schema,
            &[
                "CREATE TABLE a (b int)",
                "create index a on b (c)",
                "ALTER TABLE a ADD b int",
                "DROP TABLE a",
                "TRUNCATE a",
                "RENAME TABLE a TO b",
                "GRANT SELECT ON a TO b",
                "REVOKE SELECT ON a FROM b",
                "COMMENT ON TABLE a IS 'b'",
                "REINDEX TABLE a",
                "VACUUM",
                "CLUSTER a",
                "REFRESH MATERIALIZED VIEW a",
                "ATTACH 'a' AS b",
                "DETACH b",
                "BEGIN",
                "START TRANSACTION",
                "COMMIT",
                "ROLLBACK TO a",
                "SAVEPOINT a",
                "RELEASE a",
                "END",
                "ABORT",
                "XA START 'a'",
                "FLUSH TABLES",
                "OPTIMIZE TABLE a",
                "UNLOCK TABLES",
                "ANALYZE TABLE a",
                "SET autocommit = 1",
                "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
                "SET SESSION AUTHORIZATION a",
                "SET ROLE a",
                "RESET ALL",
                "USE a",
                "SELECT 1; COMMIT",
                "COMMIT; SELECT 1",
                "DELETE FROM a; DROP TABLE a",
                "/* a */commit;",
                "CREATE TRIGGER a AFTER DELETE ON b BEGIN DELETE FROM c; END",
            ],
        );
        check(
            &[POSTGRES],
            Schema,
            &[
                "ANALYZE a",
                "PREPARE TRANSACTION 'a'",
                "SET search_path = a",
                "SET SESSION lock_timeout = 1",
                "SET LOCAL ROLE a",
                "SET LOCAL SESSION AUTHORIZATION a",
                "SET LOCAL \"session_replication_role\" = replica",
                "SET LOCAL standard_conforming_strings = off",
                "EXPLAIN ANALYZE CREATE TABLE a AS SELECT 1",
                "SELECT '\\'; COMMIT --'",
                "DISCARD ALL",
                "LISTEN a",
            ],
        );
        check(
            &[MYSQL],
            Schema,
            &[
                "LOCK TABLES a WRITE",
                "SET @a = 1, autocommit = 0",
                "SET @@session.sql_mode = ''",
                "SET NAMES utf8mb4",
                "/*!40000 ALTER TABLE a DISABLE KEYS */",
                "SELECT 1 /*! ; COMMIT */",
                "ANALYZE LOCAL TABLE a",
            ],
        );
        check(
            &[SQLITE],
            Schema,
            &[
                "ANALYZE a",
                "PRAGMA foreign_keys = OFF",
                "PRAGMA foreign_keys(0)",
                "PRAGMA user_version = 3",
                "PRAGMA main.journal_mode = DELETE",
                "PRAGMA optimize",
                "PRAGMA wal_checkpoint",
                "PRAGMA",
            ],
        );
    }

    #[test]
    fn written_tables() {
        for backend in [POSTGRES, MYSQL, SQLITE] {
            check_written(backend, "INSERT INTO a (b) SELECT c FROM d", &["a"]);
            check_written(backend, "insert into s.a values (1)", &["s.a"]);
            check_written(backend, "INSERT INTO d.s.a VALUES (1)", &["s.a"]);
            check_written(backend, "INSERT INTO \"s\" . \"A b\" VALUES (1)", &["s.A b"]);
            check_written(backend, "UPDATE a SET b = (SELECT c FROM d)", &["a"]);
            check_written(backend, "DELETE FROM a WHERE b IN (SELECT c FROM d)", &["a"]);
            check_written(backend, "DELETE FROM a; UPDATE b SET c = 1; SELECT * FROM d", &["a", "b"]);
            check_written(backend, "REPLACE INTO a VALUES (1)", &["a"]);
            check_written(backend, "INSERT INTO data VALUES (1)", &["data"]);
            check_written(backend, "WITH a AS (SELECT 1) DELETE FROM b", &["b"]);
            check_written(backend, "EXPLAIN ANALYZE DELETE FROM a", &["a"]);
            check_written(backend, "SELECT * FROM a", &[]);
            check_written(backend, "CALL a()", &[]);
        }
        check_written(POSTGRES, "UPDATE ONLY a AS b SET c = 1 FROM d, e", &["a"]);
        check_written(POSTGRES, "DELETE FROM ONLY a USING b", &["a"]);
        check_written(POSTGRES, "MERGE INTO a USING b ON true WHEN MATCHED THEN UPDATE SET c = 1", &["a"]);
        check_written(POSTGRES, "COPY a FROM STDIN", &["a"]);
        check_written(
            POSTGRES,
            "WITH x AS (DELETE FROM a RETURNING *), y AS (UPDATE b SET c = 1 RETURNING *) INSERT INTO s.d SELECT * FROM x",
            &["a", "b", "s.d"],
        );
        check_written(
            POSTGRES,
            "WITH x AS (SELECT 1) INSERT INTO a SELECT 1 ON CONFLICT (b) DO UPDATE SET c = 1",
            &["a"],
        );
        check_written(SQLITE, "INSERT OR REPLACE INTO a VALUES (1)", &["a"]);
        check_written(SQLITE, "UPDATE OR FAIL [a b] SET c = 1", &["a b"]);
        check_written(MYSQL, "INSERT LOW_PRIORITY IGNORE a VALUES (1)", &["a"]);
        check_written(MYSQL, "UPDATE a JOIN s.b ON a.x = b.x, `c` SET b.y = 1", &["a", "s.b", "c"]);
        check_written(MYSQL, "UPDATE (a, b) SET a.c = 1", &["a", "b"]);
        check_written(
            MYSQL,
            "DELETE x, y.* FROM a AS x LEFT JOIN b AS y ON x.c = y.c",
            &["x", "y", "a", "b"],
        );
        check_written(MYSQL, "DELETE LOW_PRIORITY QUICK FROM a", &["a"]);
        check_written(
            MYSQL,
            "LOAD DATA LOCAL INFILE 'x' REPLACE INTO TABLE s.a FIELDS TERMINATED BY ','",
            &["s.a"],
        );
    }

    #[test]
    fn mentioned_names() {
        #[track_caller]
        fn check(backend: DbBackend, sql: &str, expected: bool) {
            assert_eq!(mentions(sql, backend, "events"), expected, "{backend:?}: {sql}");
        }
        for backend in [POSTGRES, MYSQL, SQLITE] {
            check(backend, "DELETE FROM events", true);
            check(backend, "DELETE FROM s.EVENTS", true);
            check(backend, "DELETE FROM \"Events\"", true);
            check(backend, "SELECT 'events' -- events\n/* events */", false);
            check(backend, "SELECT my_events, events2 FROM a", false);
            check(backend, "SELECT 'events", true);
        }
        check(MYSQL, "DELETE FROM `events`", true);
        check(SQLITE, "DELETE FROM [events]", true);
        check(MYSQL, "SELECT 1 /*!50000 FROM events */", true);
        check(POSTGRES, "DELETE FROM U&\"\\0065vents\"", true);
        check(POSTGRES, "DO $$ BEGIN DELETE FROM events; END $$", true);
        check(POSTGRES, "SELECT a[events]", true);
    }

    #[test]
    fn one_statement() {
        for backend in [POSTGRES, MYSQL, SQLITE] {
            for (sql, read, expected) in [
                ("SELECT 1", true, true),
                ("SELECT ';'", true, true),
                ("SELECT 1;", true, true),
                ("SELECT 1; SELECT 2", true, false),
                ("SELECT 1 INTO a", true, false),
                ("DELETE FROM a", true, false),
                ("DELETE FROM a", false, true),
                ("UPDATE a SET b = ';'", false, true),
                ("UPDATE a SET b = 1; DELETE FROM a", false, false),
                ("UPDATE a SET b = '; DELETE FROM a", false, false),
                ("WITH a AS (SELECT 1) SELECT 1", true, true),
            ] {
                assert_eq!(is_one_statement(sql, read, backend), expected, "{backend:?}: {sql}");
            }
        }
    }

    /// Pieces that mean something to one database or another, put together at random.
    #[test]
    fn any_text_is_classified() {
        const PIECES: &[&str] = &[
            "'",
            "\"",
            "`",
            "[",
            "]",
            "$",
            "$$",
            "$a$",
            "/*",
            "*/",
            "/*!",
            "/*M!5",
            "--",
            "#",
            "\\",
            ";",
            "(",
            ")",
            ".",
            "@",
            ":",
            "::",
            "?",
            ",",
            " ",
            "\n",
            "\r",
            "\0",
            "é",
            "\u{feff}",
            "\u{1f980}",
            "1",
            "1e",
            "e",
            "E'",
            "U&\"",
            "0x",
            "select",
            "delete from",
            "update",
            "set",
            "into",
            "with a as (",
            "explain analyze",
            "pragma",
            "set local",
            "set @a",
            "for",
            "table",
            "insert",
            "or",
            "load",
        ];
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move |below: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            usize::try_from(seed % below as u64).unwrap()
        };
        for _ in 0..20_000 {
            let text: String = (0..random(24)).map(|_| PIECES[random(PIECES.len())]).collect();
            for backend in [POSTGRES, MYSQL, SQLITE] {
                let words = classify(&text, backend);
                mentions(&text, backend, "events");
                // What follows is never taken for part of something harmless, if the text before was understood.
                if !text.is_empty() && words.is_one {
                    let more = format!("{text}\n;DELETE FROM a");
                    assert!(classify(&more, backend).does >= Write, "{backend:?}: {more}");
                }
            }
        }
    }

    #[test]
    fn long_and_deep_texts_take_linear_time() {
        let started = std::time::Instant::now();
        for piece in [
            "(",
            "/*",
            "/*!",
            "/*! a */",
            "$a$",
            "$a",
            "'",
            "[",
            "a,",
            "select ",
            "$a(",
            "with a as (",
            "set ",
        ] {
            let text = format!("SELECT {}", piece.repeat(200_000));
            for backend in [POSTGRES, MYSQL, SQLITE] {
                classify(&text, backend);
                mentions(&text, backend, "events");
            }
        }
        assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
    }
}
