//! Texts that write, steer or leave something behind, each through every door: refused before anything is sent.

use std::sync::Arc;

use sea_orm::{ConnectionTrait, DbBackend, StreamTrait};
use tests::{TestDb, context};

use super::*;

tests::conformance! {
    texts_that_are_not_known_to_read_are_refused,
    texts_that_are_known_to_read_pass,
    texts_that_settings_read_differently_are_refused,
    errors_say_what_to_do,
}

const EVERYWHERE: &[&str] = &[
    "DELETE FROM campaigns",
    "DELETE FROM campaigns RETURNING id",
    "INSERT INTO visits (what) VALUES ('x')",
    "UPDATE campaigns SET name = 'x'",
    "SELECT 1; DELETE FROM campaigns",
    "SELECT 1; SELECT 2",
    "(SELECT 1); DELETE FROM campaigns",
    ";DELETE FROM campaigns",
    "/**/DELETE/**/FROM campaigns",
    "-- x\nDELETE FROM campaigns",
    "WITH x AS (SELECT 1) DELETE FROM campaigns",
    "WITH x AS (SELECT 1), y AS (SELECT 2) UPDATE campaigns SET name = 'x'",
    "EXPLAIN ANALYZE DELETE FROM campaigns",
    "SELECT * INTO copies FROM campaigns",
    "CREATE TABLE copies AS SELECT * FROM campaigns",
    "CREATE TEMP TABLE events (id int)",
    "DROP TABLE campaigns",
    "TRUNCATE campaigns",
    "COMMIT",
    "ROLLBACK",
    "BEGIN",
    "SAVEPOINT x",
    "PREPARE x FROM 'DELETE FROM campaigns'",
    "EXECUTE x",
    "DECLARE c CURSOR WITH HOLD FOR SELECT * FROM events",
    "FETCH ALL FROM c",
    "LISTEN x",
    "COPY campaigns FROM STDIN",
    "SET SESSION x = 1",
    "CALL p()",
    "DO 1",
    "SELECT nosuch(1)",
    "SELECT load_extension('x')",
    "SELECT 'a'; DELETE FROM campaigns; -- '",
    "SELECT '\\'; DELETE FROM campaigns; -- '",
    "SELECT 1 WHERE 'x' = 'x' UNION DELETE FROM campaigns",
    "SELECT name FROM campaigns FOR NO KEY UPDATE; DELETE FROM campaigns",
];

const POSTGRES: &[&str] = &[
    "EXPLAIN (\"analyze\") DELETE FROM campaigns",
    "EXPLAIN (analyze true, verbose) DELETE FROM campaigns",
    "EXPLAIN (U&\"\\0061nalyze\") DELETE FROM campaigns",
    "WITH RECURSIVE x(id) AS (SELECT 1) SEARCH DEPTH FIRST BY id SET key DELETE FROM campaigns",
    "WITH RECURSIVE x(id) AS (SELECT 1) SEARCH BREADTH FIRST BY id SET do UPDATE campaigns SET name = 'x'",
    "WITH RECURSIVE x(id) AS (SELECT 1) CYCLE id SET is_cycle USING key DELETE FROM campaigns",
    "WITH x AS (DELETE FROM campaigns RETURNING id) SELECT * FROM x",
    "WITH x AS MATERIALIZED (UPDATE campaigns SET name = 'x' RETURNING id) SELECT * FROM x",
    "WITH x AS (INSERT INTO campaigns SELECT * FROM campaigns RETURNING id) SELECT * FROM x",
    "WITH x AS (MERGE INTO campaigns USING plain ON true WHEN MATCHED THEN DELETE RETURNING 1) SELECT * FROM x",
    "MERGE INTO campaigns USING plain ON true WHEN MATCHED THEN DELETE",
    "TABLE campaigns; DELETE FROM campaigns",
    "VALUES (1); DELETE FROM campaigns",
    "DO $$ BEGIN DELETE FROM campaigns; END $$",
    "SELECT $$a$$; DELETE FROM campaigns",
    "SELECT $x$ $$ $x$; DELETE FROM campaigns --$x$",
    "SELECT E'\\\\'; DELETE FROM campaigns --'",
    "SELECT U&'\\'; DELETE FROM campaigns --'",
    "SET LOCAL U&\"\\0072ole\" TO postgres",
    "SET LOCAL ROLE postgres",
    "SET LOCAL search_path = pg_temp",
    "SET LOCAL session_replication_role = replica",
    "SET LOCAL app.team_id = '8'",
    "SET \"role\" TO postgres",
    "RESET ROLE",
    "SELECT set_config('app.team_id', '8', true)",
    "SELECT set_config('app.team_id', '8', false) FROM campaigns",
    "SELECT pg_catalog.set_config('role', 'postgres', true)",
    "SELECT \"set_config\"('role', 'postgres', true)",
    "SELECT U&\"\\0073et_config\"('role', 'postgres', true)",
    "WITH x AS MATERIALIZED (SELECT set_config('app.team_id', '8', true)) SELECT * FROM x, campaigns",
    "SELECT DISTINCT ON (name) set_config('app.team_id', '8', true) FROM campaigns",
    "SELECT (SELECT set_config('app.team_id', '8', true)) || name FROM campaigns",
    "SELECT lower(set_config('app.team_id', '8', true))",
    "SELECT * FROM ROWS FROM (set_config('app.team_id', '8', true))",
    "SELECT query_to_xml('SELECT set_config(''app.team_id'', ''8'', true)', true, true, '')",
    "SELECT ts_stat('SELECT to_tsvector(name) FROM campaigns')",
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_try_advisory_lock(1)",
    "SELECT nextval('campaigns_id_seq')",
    "SELECT setval('campaigns_id_seq', 1)",
    "SELECT lo_import('/etc/passwd')",
    "SELECT lo_create(0)",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT * FROM dblink('', 'DELETE FROM campaigns') AS t(x int)",
    "SELECT pg_terminate_backend(pg_backend_pid())",
    "SELECT pg_export_snapshot()",
    "SELECT 1 INTO TEMP x",
    "COPY (DELETE FROM campaigns RETURNING id) TO STDOUT",
    "CREATE TABLE x AS EXECUTE y",
    "PREPARE TRANSACTION 'x'",
    "DISCARD ALL",
    "REFRESH MATERIALIZED VIEW x",
];

const MYSQL: &[&str] = &[
    "SET STATEMENT max_statement_time=0+length(substring('12' FROM 1 FOR (SELECT 1))) FOR DELETE FROM campaigns",
    "SET STATEMENT max_statement_time = 1 FOR DELETE FROM campaigns",
    "SET STATEMENT sql_mode = 'ANSI_QUOTES' FOR SELECT 1",
    "EXECUTE IMMEDIATE 'DELETE FROM campaigns'",
    "EXECUTE IMMEDIATE 'COMMIT'",
    "BACKUP STAGE START",
    "ANALYZE DELETE FROM campaigns",
    "ANALYZE FORMAT=JSON UPDATE campaigns SET name = 'x'",
    "EXPLAIN EXTENDED DELETE FROM campaigns",
    "/*!50000 DELETE */ FROM campaigns",
    "/*M!100100 DELETE FROM campaigns */",
    "SELECT 1 /*! INTO @a */",
    "SELECT 1 INTO @a",
    "SELECT @a := 1",
    "SET @a = 1",
    "SELECT 1 INTO OUTFILE '/tmp/x'",
    "SELECT NEXT VALUE FOR x",
    "SELECT get_lock('x', 1)",
    "SELECT release_all_locks()",
    "SELECT load_file('/etc/passwd')",
    "SELECT * FROM plain PROCEDURE ANALYSE()",
    "HANDLER campaigns OPEN",
    "LOAD DATA INFILE '/tmp/x' INTO TABLE campaigns",
    "LOCK TABLES campaigns WRITE",
    "XA START 'x'",
    "REPLACE INTO plain VALUES (1, 'x')",
    "SET NAMES gbk",
    "SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES'",
    "FLUSH TABLES",
    "RENAME TABLE plain TO plain3",
];

const SQLITE: &[&str] = &[
    "PRAGMA writable_schema = 1",
    "PRAGMA query_only = 0",
    "PRAGMA foreign_keys = OFF",
    "PRAGMA table_info(campaigns); DELETE FROM campaigns",
    "REPLACE INTO plain VALUES (1, 'x')",
    "INSERT OR REPLACE INTO plain VALUES (1, 'x')",
    "WITH x AS (SELECT 1) REPLACE INTO plain VALUES (1, 'x')",
    "ATTACH ':memory:' AS x",
    "VACUUM",
    "SELECT [a'] ; DELETE FROM campaigns --'",
    "SELECT $a(') ; DELETE FROM campaigns --'",
    "SELECT 1;\u{feff}DELETE FROM campaigns",
    "SELECT writefile('/tmp/x', 'y')",
    "SELECT fts3_tokenizer('x', x'00')",
    "SELECT * FROM 'pragma_table_info'('campaigns')",
    "EXPLAIN QUERY PLAN DELETE FROM campaigns",
];

fn of(backend: DbBackend) -> &'static [&'static str] {
    match backend {
        DbBackend::Postgres => POSTGRES,
        DbBackend::MySql => MYSQL,
        _ => SQLITE,
    }
}

async fn refuse<C: ConnectionTrait + StreamTrait + Send>(db: &C, sql: &str) {
    let statement = || Statement::from_string(ConnectionTrait::get_database_backend(db), sql);
    assert_unknown(db.execute_raw(statement()).await.map(drop), sql);
    assert_unknown(db.execute_unprepared(sql).await.map(drop), sql);
    assert_unknown(db.query_one_raw(statement()).await.map(drop), sql);
    assert_unknown(db.query_all_raw(statement()).await.map(drop), sql);
    assert_unknown(db.stream_raw(statement()).await.map(drop), sql);
}

async fn texts_that_are_not_known_to_read_are_refused(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let before = state(&db).await;
    let connection = events.connection(context());
    let txn = events.begin(context()).await.unwrap();
    for sql in EVERYWHERE.iter().chain(of(backend(&db))) {
        refuse(&txn, sql).await;
        refuse(&connection, sql).await;
    }
    txn.commit().await.unwrap(); // healthy
    assert_eq!(state(&db).await, before);
}

async fn texts_that_are_known_to_read_pass(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let before = state(&db).await;
    let connection = events.connection(context());
    let txn = events.begin(context()).await.unwrap();
    let mut texts = vec![
        "SELECT name FROM campaigns",
        "SELECT count(*) AS n FROM campaigns WHERE name LIKE '%a%' GROUP BY status HAVING count(*) > 0;",
        "WITH x(n) AS (SELECT 1), y AS (SELECT n FROM x) SELECT * FROM y",
        "SELECT row_number() OVER (ORDER BY id) AS n, coalesce(notes, '-') AS notes FROM campaigns",
        "SELECT 'DELETE FROM campaigns; --' AS name",
    ];
    texts.extend(match backend(&db) {
        DbBackend::Postgres => &[
            "TABLE campaigns",
            "VALUES (1), (2)",
            "SHOW search_path",
            "EXPLAIN (ANALYZE, FORMAT json) SELECT * FROM campaigns",
            "(SELECT 1) UNION (SELECT 2)",
            "SELECT name::varchar(3) FROM campaigns WHERE name ~ '^\\w+$'",
            "SELECT * FROM unnest(ARRAY[1, 2]) WITH ORDINALITY AS t(a, b), generate_series(1, 2) s(c)",
        ][..],
        DbBackend::MySql => &[
            "SHOW TABLES",
            "DESCRIBE campaigns",
            "EXPLAIN SELECT * FROM campaigns",
            "SET STATEMENT max_statement_time = 5 FOR SELECT 1",
            "SELECT /*!40001 SQL_NO_CACHE */ insert(name, 1, 1, 'x') FROM campaigns LOCK IN SHARE MODE",
        ],
        _ => &[
            "PRAGMA table_info(campaigns)",
            "EXPLAIN QUERY PLAN SELECT * FROM campaigns",
            "SELECT value FROM json_each('[1, 2]')",
            "SELECT name FROM pragma_table_info('campaigns') WHERE name GLOB 'n*'",
        ],
    });
    for sql in texts {
        assert!(!txn.query_all_raw(text(&db, sql)).await.expect(sql).is_empty(), "{sql}");
        assert!(!connection.query_all_raw(text(&db, sql)).await.expect(sql).is_empty(), "{sql}");
        txn.execute_unprepared(sql).await.expect(sql);
        connection.execute_raw(text(&db, sql)).await.expect(sql);
        assert!(connection.query_one_raw(text(&db, sql)).await.expect(sql).is_some(), "{sql}");
    }
    // Nothing of it keeps the unit from writing.
    new_campaign("c").insert(&txn).await.unwrap();
    txn.rollback().await.unwrap();
    assert_eq!(state(&db).await, before);
}

/// A session may be in any mode: what modes read differently does not pass in any.
async fn texts_that_settings_read_differently_are_refused(db: Arc<TestDb>) {
    let sessions: &[&str] = match backend(&db) {
        DbBackend::Postgres => &["SET standard_conforming_strings = off", "SET backslash_quote = on"],
        DbBackend::MySql => &[
            "SET sql_mode = 'NO_BACKSLASH_ESCAPES'",
            "SET sql_mode = 'ANSI_QUOTES'",
            "SET sql_mode = 'MSSQL'",
        ],
        _ => return,
    };
    set_up(&db).await;
    let before = state(&db).await;
    for session in sessions {
        let pool = TestDb::open_with(&db.url, 1).await;
        let events = Events::builder(pool.clone()).build().await.unwrap();
        run(&pool, session).await;
        let brackets =
            (backend(&db) == DbBackend::MySql).then_some("SELECT [']; DELETE FROM campaigns; -- ']");
        for sql in [
            "SELECT '\\'; DELETE FROM campaigns; -- '",
            "SELECT '\\'' ; DELETE FROM campaigns; --'",
            "SELECT \"\\\"; DELETE FROM campaigns; -- \"",
            "SELECT '\\'', (SELECT nosuch('\\'')) --'",
        ]
        .into_iter()
        .chain(brackets)
        {
            refuse(&events.connection(context()), sql).await;
            let txn = events.begin(context()).await.unwrap();
            refuse(&txn, sql).await;
            let inside = txn.untracked("x", async |txn| txn.execute_unprepared(sql).await).await;
            assert_unknown(inside, sql);
            txn.commit().await.unwrap();
        }
        pool.close().await.unwrap();
    }
    assert_eq!(state(&db).await, before);
}

async fn errors_say_what_to_do(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let error = connection.query_one_raw(text(&db, "SELECT my_search('a')")).await.unwrap_err();
    for part in ["`my_search`", "`.reading_functions([..])`", "`.untracked("] {
        assert!(error.to_string().contains(part), "{error}");
    }
    let error = connection.execute_unprepared("SELECT 1; SELECT 2").await.unwrap_err().to_string();
    assert!(error.contains("more than one statement"), "{error}");
}
