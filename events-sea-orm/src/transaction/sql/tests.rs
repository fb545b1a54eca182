use Does::{Read, Schema, Write};

use super::*;

const POSTGRES: DbBackend = DbBackend::Postgres;
const MYSQL: DbBackend = DbBackend::MySql;
const SQLITE: DbBackend = DbBackend::Sqlite;
const ALL: &[DbBackend] = &[POSTGRES, MYSQL, SQLITE];

#[track_caller]
fn check(backends: &[DbBackend], does: Does, texts: &[&str]) {
    for (backend, sql) in backends.iter().flat_map(|backend| texts.iter().map(move |sql| (*backend, sql))) {
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
    check_written(MYSQL, "DELETE x, y.* FROM a AS x LEFT JOIN b AS y ON x.c = y.c", &["x", "y", "a", "b"]);
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
    for piece in
        ["(", "/*", "/*!", "/*! a */", "$a$", "$a", "'", "[", "a,", "select ", "$a(", "with a as (", "set "]
    {
        let text = format!("SELECT {}", piece.repeat(200_000));
        for backend in [POSTGRES, MYSQL, SQLITE] {
            classify(&text, backend);
            mentions(&text, backend, "events");
        }
    }
    assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
}
