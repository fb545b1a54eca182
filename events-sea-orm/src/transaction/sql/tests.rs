use super::{
    Does::{Code, Read, ReadLasting, Schema, Steer, Unknown},
    *,
};

mod refused;

const POSTGRES: DbBackend = DbBackend::Postgres;
const MYSQL: DbBackend = DbBackend::MySql;
const SQLITE: DbBackend = DbBackend::Sqlite;
const ALL: &[DbBackend] = &[POSTGRES, MYSQL, SQLITE];

#[track_caller]
fn check(backends: &[DbBackend], does: Does, texts: &[&str]) {
    for (backend, sql) in backends.iter().flat_map(|backend| texts.iter().map(move |sql| (*backend, sql))) {
        let words = classify(sql, backend, &[]);
        assert_eq!(words.does, does, "{backend:?}: {sql}: {}", words.why);
    }
}

/// Whether it is sent as something that only reads.
fn passes(does: Does) -> bool {
    matches!(does, Read | ReadLasting | Steer)
}

/// Known or not: they do not pass for reads, whatever else.
#[track_caller]
fn check_refused(backends: &[DbBackend], texts: &[&str]) {
    for (backend, sql) in backends.iter().flat_map(|backend| texts.iter().map(move |sql| (*backend, sql))) {
        let words = classify(sql, backend, &[]);
        assert!(!passes(words.does), "{backend:?}: {sql}: {:?}", words.does);
    }
}

/// `None` if the text is no write of known form.
#[track_caller]
fn check_written(backends: &[DbBackend], sql: &str, expected: Option<&[&str]>) {
    for backend in backends {
        let words = classify(sql, *backend, &[]);
        let name = |table: Table| match table.schema {
            Some(schema) => format!("{schema}.{}", table.name),
            None => table.name,
        };
        let is_write = matches!(words.does, Does::Write(_));
        let written: Vec<String> = words.written.into_iter().map(name).collect();
        assert_eq!(
            is_write.then_some(written.as_slice()).map(<[String]>::to_vec),
            expected.map(|names| names.iter().map(|name| (*name).to_owned()).collect()),
            "{backend:?}: {sql}: {}",
            words.why
        );
    }
}

#[test]
fn queries_read() {
    check(
        ALL,
        Read,
        &[
            "SELECT 1",
            "select 1;",
            "SELECT 1 ; ;",
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
            "SELECT replace(a, 'x', 'y') FROM b",
            "SELECT a.update, a.delete, a.into FROM a",
            "SELECT a AS into_b, set_at, deleted FROM updates",
            "WITH a AS (SELECT 1) SELECT * FROM a",
            "WITH a(x), b(y) AS (SELECT 1) SELECT * FROM a",
            "WITH a(x) AS (SELECT 1), b (y) AS (SELECT 2) SELECT count(*) FROM a, b",
            "WITH RECURSIVE a(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM a) SELECT n FROM a",
            "SELECT * FROM (WITH a(x) AS (SELECT 1) SELECT * FROM a) t",
            "WITH a AS (SELECT 1) SELECT (replace(x, 'a', 'b')) FROM a",
            "SELECT 0x1f, 1e5, 1.5e-3, .5, 1.",
            "SELECT 'größe', naïve, \u{fc}ber FROM stra\u{df}e",
            "SELECT count(*) FILTER (WHERE a IN (1, 2)), sum(b) OVER (PARTITION BY c ORDER BY d) FROM e JOIN f USING (g) ON (h)",
            "SELECT CASE WHEN (a) THEN (b) ELSE (c) END, CAST(d AS numeric(10, 2)), COALESCE(e, 0) FROM (VALUES (1)) AS t(x)",
            "SELECT a FROM b WHERE c LIKE '%\\%' ESCAPE '!'",
            "EXPLAIN SELECT 1",
        ],
    );
    check(
        &[POSTGRES],
        Read,
        &[
            "TABLE a",
            "SELECT \"update\", \"into\", \"delete from\" FROM \"a;b\"",
            "SELECT $1, $2::text, a[(SELECT 1)] FROM b WHERE c = ANY($3)",
            "SELECT a::numeric(10, 2), pg_catalog.lower(b) FROM c",
            "SELECT $$; delete from a$$",
            "SELECT $a$; delete $b$ from $$ a$a$",
            "SELECT a$$b$$c",
            "SELECT E'\\'; delete from a'",
            "SELECT E'a'\n'\\'; delete from a'",
            "SELECT '\\d+' FROM a",
            "/* a /* ; delete */ from b */ SELECT 1",
            "EXPLAIN (ANALYZE, BUFFERS, FORMAT json) SELECT 1",
            "EXPLAIN (ANALYZE) (SELECT 1)",
            "EXPLAIN ANALYZE VERBOSE WITH a AS (SELECT 1) SELECT * FROM a",
            "SELECT * FROM jsonb_to_recordset($1) x(a int, b numeric(3)), LATERAL unnest(c) WITH ORDINALITY AS u(d, e)",
            "SELECT DISTINCT ON (a) b FROM c ORDER BY a FETCH FIRST 1 ROWS WITH TIES",
            "SELECT now() AT TIME ZONE 'UTC', '2020-01-01'::timestamp(3) with time zone",
            "WITH RECURSIVE a(n) AS (SELECT 1) SEARCH DEPTH FIRST BY n SET o SELECT * FROM a",
            "SELECT substring(a FROM 1 FOR 2), extract(year FROM b), position('a' IN b) FROM c",
            "SELECT json_build_object('a', (SELECT jsonb_agg(b) FROM c)), current_setting('app.team_id', true)",
            "SELECT a FROM b WHERE to_tsvector(c) @@ websearch_to_tsquery($1) AND similarity(d, $2) > 0.3",
        ],
    );
    check(
        &[MYSQL],
        Read,
        &[
            "TABLE a",
            "SELECT `update`, `into;` FROM `a``b`",
            "SELECT 1 # ; delete from a",
            "SELECT /*!40001 SQL_NO_CACHE */ * FROM a",
            "SELECT /*! STRAIGHT_JOIN */ 1",
            "SELECT /*+ MAX_EXECUTION_TIME(1) */ 1",
            "ANALYZE SELECT 1",
            "ANALYZE FORMAT=JSON SELECT 1",
            "EXPLAIN FORMAT=JSON SELECT 1",
            "SET STATEMENT max_statement_time = 1.5 FOR SELECT 1",
            "SELECT _utf8mb4'a', x'00', N'b'",
            "SELECT 1--1",
            "SELECT insert(a, 1, 2, 'z'), if(b, 1, 2), @@version FROM c USE INDEX (d)",
            "SELECT MATCH (a) AGAINST ('b' IN NATURAL LANGUAGE MODE WITH QUERY EXPANSION) FROM c",
            "SELECT * FROM JSON_TABLE(?, '$[*]' COLUMNS (a INT PATH '$.a', b VARCHAR(3) PATH '$.b')) AS t",
            "SELECT a, value, count(*) FROM b GROUP BY a WITH ROLLUP",
        ],
    );
    check(
        &[SQLITE],
        Read,
        &[
            "SELECT [update], [a;b] FROM [c d]",
            "SELECT `a;b`, \"into\"",
            "SELECT ?1, :a, @b, $c, #d",
            "EXPLAIN QUERY PLAN SELECT 1",
            "SELECT /* a /* b */ 1",
            "\u{feff}SELECT 1",
            "SELECT * FROM json_each(?), pragma_table_info('a') WHERE a MATCH 'b' AND c GLOB ('d')",
            "SELECT 'a\\' FROM b",
        ],
    );
}

#[test]
fn locks_and_notices_last() {
    check(
        &[POSTGRES, MYSQL],
        ReadLasting,
        &["SELECT * FROM a FOR UPDATE", "SELECT * FROM a FOR SHARE SKIP LOCKED"],
    );
    check(&[MYSQL], ReadLasting, &["SELECT * FROM a LOCK IN SHARE MODE"]);
    check(
        &[POSTGRES],
        ReadLasting,
        &[
            "SELECT * FROM a FOR NO KEY UPDATE NOWAIT",
            "SELECT * FROM a FOR KEY SHARE OF b",
            "WITH a AS (SELECT 1) SELECT * FROM b FOR NO KEY UPDATE",
            "SELECT * FROM (SELECT * FROM a FOR UPDATE) b",
            "SELECT pg_advisory_xact_lock(1), pg_try_advisory_xact_lock(2)",
            "SELECT pg_notify('a', 'b')",
        ],
    );
}

#[test]
fn what_asks_and_steers() {
    check(ALL, Steer, &["", " \n\t", ";", ";;", "-- nothing", "/* nothing */"]);
    check(
        &[POSTGRES],
        Steer,
        &[
            "SHOW search_path",
            "SHOW app.team_id",
            "SET LOCAL lock_timeout = '1s'",
            "SET LOCAL work_mem TO '8MB'",
            "SET LOCAL TIME ZONE 'UTC'",
            "SET CONSTRAINTS ALL DEFERRED",
            "SET CONSTRAINTS a, \"b\".c IMMEDIATE",
            "LOCK TABLE a, ONLY b.c IN SHARE MODE NOWAIT",
            "NOTIFY a, 'b'",
        ],
    );
    check(
        &[MYSQL],
        Steer,
        &[
            "SHOW TABLES",
            "SHOW CREATE TABLE a",
            "SHOW INDEX FROM a WHERE key_name = 'b'",
            "DESCRIBE a",
            "DESC `a` b",
            "EXPLAIN a",
        ],
    );
    check(
        &[SQLITE],
        Steer,
        &[
            "PRAGMA table_info(a)",
            "PRAGMA main.table_info('a')",
            "PRAGMA table_xinfo = a",
            "PRAGMA user_version",
            "PRAGMA foreign_keys;",
            "PRAGMA foreign_key_check",
            "PRAGMA defer_foreign_keys = ON",
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
            "CREATE TEMP TABLE events (a int)",
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
            "/* a */commit;",
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
            "SET LOCAL U&\"\\0072ole\" TO a",
            "SET LOCAL \"lock_timeout\" = 1",
            "SET LOCAL search_path = a",
            "SET LOCAL app.team_id = 'b'",
            "SET LOCAL row_security = off",
            "SET LOCAL SESSION AUTHORIZATION a",
            "SET LOCAL session_replication_role = replica",
            "SET LOCAL standard_conforming_strings = off",
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
            "ANALYZE LOCAL TABLE a",
            "BACKUP STAGE START",
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
            "PRAGMA query_only = 0",
            "PRAGMA writable_schema = 1",
            "PRAGMA optimize",
            "PRAGMA wal_checkpoint",
        ],
    );
    check(&[POSTGRES, MYSQL], Code, &["CALL a()", "DO $$ BEGIN END $$"]);
    check(
        &[POSTGRES],
        Unknown,
        &[
            "SET LOCAL lock_timeout = (SELECT 1)",
            "SET LOCAL lock_timeout = U&'a'",
            "LOCK TABLE f(1)",
            "SHOW U&\"a\"",
        ],
    );
    check(
        ALL,
        Unknown,
        &["SELECT 1; COMMIT", "COMMIT; SELECT 1", "DELETE FROM a; DROP TABLE b", "CALL a(); COMMIT"],
    );
}

#[test]
fn written_tables() {
    let one = |sql: &str, table: &str| check_written(ALL, sql, Some(&[table]));
    one("INSERT INTO a (b) SELECT c FROM d", "a");
    one("insert into s.a values (1)", "s.a");
    one("INSERT INTO d.s.a VALUES (1)", "s.a");
    one("UPDATE a SET b = (SELECT c FROM d)", "a");
    one("DELETE FROM a WHERE b IN (SELECT c FROM d)", "a");
    one("INSERT INTO data VALUES (1);", "data");
    one("WITH a AS (SELECT 1) DELETE FROM b", "b");
    check_written(&[POSTGRES, SQLITE], "INSERT INTO \"s\" . \"A b\" VALUES (1)", Some(&["s.A b"]));
    check_written(&[MYSQL, SQLITE], "REPLACE INTO a VALUES (1)", Some(&["a"]));
    check_written(
        &[POSTGRES, SQLITE],
        "INSERT INTO a SELECT 1 ON CONFLICT (b) DO UPDATE SET c = 1",
        Some(&["a"]),
    );
    check_written(&[POSTGRES], "UPDATE ONLY a AS b SET c = 1 FROM d, e", Some(&["a"]));
    check_written(&[POSTGRES], "DELETE FROM ONLY a USING b", Some(&["a"]));
    check_written(
        &[POSTGRES],
        "MERGE INTO a USING b ON true WHEN MATCHED THEN UPDATE SET c = 1 WHEN NOT MATCHED THEN INSERT VALUES (1)",
        Some(&["a"]),
    );
    check_written(
        &[POSTGRES],
        "WITH x AS (DELETE FROM a RETURNING *), y AS (UPDATE b SET c = 1 RETURNING *) INSERT INTO s.d SELECT * FROM x",
        Some(&["a", "b", "s.d"]),
    );
    check_written(&[POSTGRES], "WITH x(a) AS (DELETE FROM a RETURNING *) SELECT * FROM x", Some(&["a"]));
    check_written(&[SQLITE], "INSERT OR REPLACE INTO a VALUES (1)", Some(&["a"]));
    check_written(&[SQLITE], "UPDATE OR FAIL [a b] SET c = 1", Some(&["a b"]));
    check_written(
        &[MYSQL],
        "INSERT LOW_PRIORITY IGNORE a VALUES (1) ON DUPLICATE KEY UPDATE b = VALUES(b)",
        Some(&["a"]),
    );
    check_written(&[MYSQL], "DELETE LOW_PRIORITY QUICK FROM a", Some(&["a"]));
    // Names that other readings make others.
    for sql in [
        "INSERT INTO 'events' VALUES (1)",
        "DELETE FROM 'events'",
        "UPDATE 'event_purges' SET removed = 0",
        "UPDATE u&\"\\0065vents\" SET a = 1",
        "DELETE FROM \"a\"\"b\"",
        "DELETE FROM \"events \"",
        "DELETE FROM \"\"",
        "DELETE FROM (a)",
        "INSERT INTO a.b.'c' VALUES (1)",
        "UPDATE a SET b = 1; DELETE FROM a",
        "UPDATE a SET b = '; DELETE FROM a",
        "UPDATE a SET b = 1 DELETE FROM c",
        "INSERT INTO a SELECT 1 INTO b",
        "INSERT a SELECT (DELETE FROM b)",
        "DELETE FROM `#mysql50#events`",
        "INSERT INTO visit@s (what) VALUES (1)",
        "DELETE FROM a*",
        "UPDATE a:b SET c = 1",
    ] {
        check_written(ALL, sql, None);
    }
    for sql in ["DELETE FROM a b, c", "DELETE FROM a b c", "UPDATE a SELECT 1", "MERGE INTO a b c"] {
        check_written(&[POSTGRES, SQLITE], sql, None);
    }
    for sql in ["DELETE FROM a AS b WHERE c = 1", "DELETE FROM a b", "DELETE FROM a;", "UPDATE a b SET c = 1"]
    {
        check_written(&[POSTGRES, SQLITE], sql, Some(&["a"]));
    }
    let long = format!("DELETE FROM \"{}\"", "x".repeat(64));
    check_written(ALL, &long, None);
}

#[test]
fn writes_of_several_tables() {
    #[track_caller]
    fn check(sql: &str, several: bool) {
        let words = classify(sql, MYSQL, &[]);
        assert!(matches!(words.does, Does::Write(_)), "{sql}: {}", words.why);
        assert_eq!(words.writes_what_it_names, several, "{sql}");
    }
    for sql in [
        "UPDATE a SET b = 1",
        "UPDATE a AS b SET c = 1",
        "UPDATE a b SET c = 1 WHERE d IN (SELECT e FROM f JOIN g)",
        "DELETE FROM a WHERE b = 1",
        "DELETE FROM a",
        "INSERT INTO a SELECT * FROM b JOIN c",
    ] {
        check(sql, false);
    }
    for sql in [
        "UPDATE a JOIN s.b ON a.x = b.x, `c` SET b.y = 1",
        "UPDATE a, b SET c = 1",
        "UPDATE `plain` JOIN `plain2` ON 1=1 JOIN campaigns c ON 1=1 SET `note` = 'z', c.name='x'",
        "UPDATE a PARTITION (b) SET c = 1",
        "DELETE x FROM a AS x LEFT JOIN b AS y ON x.c = y.c",
        "DELETE FROM a USING a JOIN b",
        "DELETE a, b FROM a JOIN b",
        "WITH a AS (SELECT 1) DELETE b FROM b JOIN a",
    ] {
        check(sql, true);
    }
}

#[test]
fn functions_of_the_application() {
    let reads = ["my_search".to_owned()];
    let words = classify("SELECT My_Search(1), s.my_search(2)", POSTGRES, &reads);
    assert_eq!((words.does, words.calls_application), (Read, true));
    let words = classify("SELECT my_search(1), other(2), third(3)", POSTGRES, &reads);
    assert_eq!((words.does, words.calls.as_deref()), (Unknown, Some("other")));
    let words = classify("UPDATE a SET b = other(nextval('c'))", POSTGRES, &reads);
    assert_eq!((words.does, words.calls.as_deref()), (Does::Write(Verb::Update), Some("other")));
    assert_eq!(classify("INSERT INTO a VALUES (nextval('c'), now())", POSTGRES, &[]).calls, None);
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
            let words = classify(&text, backend, &[]);
            // What follows is never taken for part of something harmless, if the text before was understood.
            if passes(words.does) {
                let more = format!("{text}\n;DELETE FROM a");
                assert!(!passes(classify(&more, backend, &[]).does), "{backend:?}: {more}");
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
            classify(&text, backend, &[]);
        }
    }
    assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
}
