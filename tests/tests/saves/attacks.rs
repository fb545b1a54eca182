//! Attacks from outside: texts and expressions that try to write unseen, to leave something on a connection, or to read
//! as another team.

use std::sync::Arc;

use events_sea_orm::{Context, EntityEvents, Events, Refused};
use futures_util::StreamExt;
use sea_orm::{
    ActiveModelTrait, ConnectionTrait, DatabaseConnection, DbBackend, DbErr, EntityTrait, QueryFilter,
    QueryOrder, Set, Statement, StreamTrait,
    sea_query::{Expr, Query},
};
use tests::{TestDb, context, entities::campaign, new_campaign};

tests::conformance! {
    nothing_of_an_attack_passes,
    what_passes_changes_nothing,
    a_unit_that_the_database_ended_commits_nothing,
    values_that_have_no_place_hang_nothing,
}

mod only_postgres {
    tests::on_postgres! { errors_of_tables_that_nobody_named_quote_no_secret }
    use super::errors_of_tables_that_nobody_named_quote_no_secret;
}

/// A door and what is sent through it.
type Attack = (&'static str, &'static str);

/// Refused, and nothing of it is left anywhere.
const POSTGRES: &[Attack] = &[
    // A function behind parentheses that are no alias's.
    ("text", "SELECT ('a') OPERATOR(pg_catalog.||) set_config('app.team_id', '8', false)"),
    ("stream", "SELECT ('a') OPERATOR(pg_catalog.||) set_config('app.team_id', '8', false)"),
    ("select", "('a') OPERATOR(pg_catalog.||) set_config('app.team_id', '8', false)"),
    ("select", "('a') OPERATOR(pg_catalog.||) set_config('role', 'pg_monitor', false)"),
    ("select", "('a') OPERATOR(pg_catalog.||) writes()"),
    ("select", "('a') OPERATOR(pg_catalog.||) pg_advisory_lock(7)::text"),
    ("select", "(note) operator(pg_catalog.||) writes()"),
    ("set", "('a') OPERATOR(pg_catalog.||) writes()"),
    ("where", "(note) OPERATOR(pg_catalog.<>) writes()"),
    ("verb", "('a') OPERATOR(pg_catalog.||) writes()"),
    ("filter", "(name) OPERATOR(pg_catalog.<>) writes()"),
    // A function behind a comma that names no table expression.
    (
        "text",
        "WITH x AS (SELECT 1) (SELECT 'a' AS a FROM plain) ORDER BY a, set_config('search_path', 'evil', false)",
    ),
    ("run", "WITH x AS (SELECT 1) (SELECT 'a' AS a FROM plain) ORDER BY a, pg_advisory_lock(7)::text"),
    (
        "text",
        "WITH x AS (SELECT 1) (SELECT 'a' AS a FROM plain FOR UPDATE) ORDER BY a, pg_advisory_lock(7)::text",
    ),
    ("text", "WITH x AS (SELECT 1), y AS (SELECT 2) (SELECT 'a' AS a FROM plain) ORDER BY a, writes()"),
    // Names that are keywords elsewhere.
    ("select", "against(note)"),
    ("text", "SELECT minus(note) FROM plain"),
    ("text", "SELECT * FROM plain TABLESAMPLE writes(1)"),
    ("text", "SELECT \"values\"(1)"),
    ("text", "SELECT u&\"\\0073et_config\"('a.b', 'c', false)"),
    ("text", "SELECT * FROM plain WHERE note LIKE 'a' ESCAPE set_config('a.b', 'c', false)"),
    (
        "text",
        "WITH RECURSIVE x(i) AS (SELECT 1) CYCLE i SET c TO set_config('a.b', 'c', false) DEFAULT 'n' USING p SELECT 1",
    ),
    // A second statement, or one inside.
    ("text", "SET LOCAL statement_timeout = '0'; DELETE FROM campaigns"),
    ("text", "SHOW search_path; DELETE FROM campaigns"),
    ("text", "LOCK TABLE campaigns; DELETE FROM campaigns"),
    ("text", "EXPLAIN (ANALYZE) (WITH x AS (DELETE FROM campaigns RETURNING 1) SELECT * FROM x)"),
    ("text", "EXPLAIN ANALYZE CREATE TABLE y AS SELECT 1"),
    ("text", "EXPLAIN ANALYZE EXECUTE q"),
    ("text", "EXPLAIN ANALYZE DECLARE c CURSOR WITH HOLD FOR SELECT 1"),
    ("text", "SELECT 'a'\n'\\'; DELETE FROM campaigns; --'"),
    ("text", "SELECT E'a'\n'\\''; DELETE FROM campaigns; --'"),
    ("text", "SELECT N'\\'; DELETE FROM campaigns; --'"),
    ("text", "SELECT B'\\'; DELETE FROM campaigns; --'"),
    ("text", "SELECT 1 --\r; DELETE FROM campaigns"),
    ("text", "WITH x AS (SELECT 1), y AS NOT MATERIALIZED (DELETE FROM campaigns RETURNING 1) SELECT 1"),
    // Tables of the library by other names.
    ("untracked", "UPDATE EV SET removed = 5"),
    ("untracked", "INSERT INTO kid DEFAULT VALUES"),
    // Code that alters them, or where they are found.
    (
        "untracked",
        "DO $$ BEGIN EXECUTE 'ALTER TABLE eve' || 'nts DISABLE TRIGGER ALL'; EXECUTE 'TRUNCATE eve' || 'nts'; END $$",
    ),
    ("untracked", "DO $$ BEGIN EXECUTE 'ALTER TABLE eve' || 'nts DISABLE TRIGGER ALL'; END $$"),
    ("untracked", "DO $$ BEGIN EXECUTE 'DROP TABLE event_' || 'purges CASCADE'; END $$"),
    ("untracked", "DO $$ BEGIN PERFORM set_config('search_path', 'evil', false); END $$"),
    ("untracked", "DO $$ BEGIN PERFORM set_config('search_path', 'evil', true); END $$"),
    ("untracked", "DO $$ BEGIN PERFORM set_config('role', 'pg_monitor', false); END $$"),
    ("untracked", "DO $$ BEGIN EXECUTE 'CREATE TEMP TABLE campaigns (LIKE public.campaigns)'; END $$"),
    ("untracked", "INSERT INTO plain SELECT 9, set_config('search_path', 'evil', false)"),
    (
        "untracked",
        "INSERT INTO plain VALUES (9, ('a') OPERATOR(pg_catalog.||) set_config('search_path', 'evil', false))",
    ),
];

const MYSQL: &[Attack] = &[
    ("text", "WITH x AS (SELECT 1) (SELECT 1 AS a FROM plain) ORDER BY a, get_lock('x', 1)"),
    ("run", "WITH x AS (SELECT 1) (SELECT 1 AS a FROM plain) ORDER BY a, release_all_locks()"),
    ("text", "SHOW TABLES WHERE get_lock('x', 1)"),
    ("text", "DESC plain; DELETE FROM campaigns"),
    ("text", "ANALYZE FORMAT=JSON SELECT get_lock('x', 1)"),
    ("text", "SELECT 1 FROM plain WHERE (1) DIV get_lock('x', 1)"),
    ("text", "SELECT 1 /*!99999 ; DELETE FROM campaigns */"),
    ("text", "SELECT `a\\`; DELETE FROM campaigns -- `"),
    ("text", "TABLE plain INTO OUTFILE '/tmp/x'"),
    ("text", "WITH x AS (SELECT 1) SELECT * FROM x FOR UPDATE INTO @a"),
    ("text", "SELECT last_insert_id(99)"),
    ("untracked", "UPDATE plain SET note = last_insert_id(7) WHERE id = 1"),
    ("text", "BEGIN NOT ATOMIC DELETE FROM campaigns; END"),
    ("text", "IF 1 THEN DELETE FROM campaigns; END IF"),
    ("text", "KILL 1"),
    ("text", "SIGNAL SQLSTATE '45000'"),
    ("text", "GET DIAGNOSTICS @a = NUMBER"),
    ("text", "CHECKSUM TABLE campaigns"),
    ("select", "ilike(1)"),
    ("untracked", "UPDATE EV SET removed = 5"),
    ("untracked", "INSERT INTO ev () VALUES ()"),
    ("untracked", "DELETE HISTORY FROM event_purges"),
    ("untracked", "DELETE event_purges FROM event_purges"),
    ("untracked", "UPDATE plain p JOIN event_purges e ON 1=1 SET e.removed = 1"),
    ("untracked", "UPDATE plain PARTITION (p0), event_purges SET removed = 1"),
    ("untracked", "INSERT INTO .event_purges () VALUES ()"),
    ("untracked", "BEGIN NOT ATOMIC COMMIT; END"),
    ("untracked", "SET STATEMENT max_statement_time = 1 FOR UPDATE event_purges SET removed = 1"),
    ("untracked", "INSERT INTO plain SELECT 9, get_lock('x', 1)"),
    ("untracked", "INSERT INTO plain VALUES (9, @a := 1)"),
    // What a comment cuts off.
    ("set", "'z', plain.note = 'q' WHERE 1 = 1 -- "),
    ("where", "1 = 1 # "),
    ("verb", "'z' WHERE id = 1 + ? -- "),
    ("verb", "'z' WHERE id = 1 + ? # "),
];

const SQLITE: &[Attack] = &[
    (
        "verb",
        "'z' WHERE id = 2 AND 1 = ? RETURNING 1 AS id, 7 AS team_id, 'a' AS name, 'draft' AS status, 100 AS budget, \
         'key-a' AS api_key, NULL AS notes -- ",
    ),
    ("verb", "'z' WHERE id = 1 + ? RETURNING * -- "),
    ("text", "PRAGMA query_only(0)"),
    ("text", "PRAGMA integrity_check; DELETE FROM campaigns"),
    ("text", "EXPLAIN DELETE FROM campaigns"),
    ("text", "WITH x AS (SELECT 1) INSERT OR ROLLBACK INTO campaigns SELECT * FROM campaigns"),
    ("text", "SELECT :::a('); DELETE FROM campaigns --')"),
    ("text", "SELECT x'' ; DELETE FROM campaigns"),
    ("untracked", "INSERT OR REPLACE INTO event_purges (id) VALUES (1)"),
    ("untracked", "INSERT INTO sqlite_sequence VALUES ('events', 5)"),
    ("untracked", "UPDATE main.sqlite_master SET sql = ''"),
    ("untracked", "INSERT INTO temp.events DEFAULT VALUES"),
    ("untracked", "UPDATE 'event_purges' SET removed = 1"),
    ("untracked", "DELETE FROM [event_purges]"),
    ("untracked", "PRAGMA writable_schema = 1"),
];

const EVERYWHERE: &[Attack] = &[
    ("verb", "'z' WHERE id = 2 -- "),
    ("verb", "'z' /* "),
    ("verb", "'z' /**/"),
    ("verb", "'z', team_id = 8"),
    ("verb", "'z', id = id + 10"),
    ("filter", "1 = 1 -- "),
    ("filter", "1 = 1 /*"),
    ("filter", "1 = 1) OR (1 = 1"),
    ("filter", "api_key = 'key-other') OR (api_key = 'key-other'"),
    ("delete", "1 = 1) OR (1 = 1"),
    ("delete", "1 = 1 -- "),
    ("where", "1 = 1 /* */"),
    ("set", "'z' -- "),
];

/// Passes or fails, and changes nothing.
const HARMLESS: &[Attack] = &[
    ("text", ""),
    ("text", ";"),
    ("text", "-- x"),
    ("run", "/* x */ ;"),
    ("text", "SELECT 1 -- x"),
    ("select", "1 /* x */"),
    ("filter", "id IN (SELECT id FROM campaigns WHERE team_id = 8)"),
];

const HARMLESS_POSTGRES: &[Attack] = &[
    ("text", "SELECT (plain).touch FROM plain"),
    ("text", "SELECT lower(plain) FROM plain"),
    ("text", "SELECT 1 AS a$$; DELETE FROM campaigns; --$$"),
    ("text", "SET CONSTRAINTS ALL IMMEDIATE"),
    ("text", "SET LOCAL TIME ZONE 'Asia/Tokyo'"),
];

const HARMLESS_MYSQL: &[Attack] = &[
    ("text", "SELECT 1 --\u{1}; DELETE FROM campaigns"),
    ("text", "SELECT last_insert_id()"),
    ("text", "SELECT 1 /*+ SET_VAR(sql_mode='ANSI') */"),
];

const HARMLESS_SQLITE: &[Attack] = &[
    ("text", "SELECT * FROM pragma_optimize"),
    ("text", "SELECT * FROM pragma_journal_mode"),
    ("text", "PRAGMA main.query_only"),
    ("text", "PRAGMA defer_foreign_keys = 1"),
];

async fn run(db: &DatabaseConnection, sql: &str) {
    db.execute_unprepared(sql).await.unwrap_or_else(|error| panic!("{error}: {sql}"));
}

async fn rows(db: &DatabaseConnection, sql: &str) -> Vec<String> {
    let backend = db.get_database_backend();
    let found = db.query_all_raw(Statement::from_string(backend, sql)).await;
    found
        .unwrap_or_else(|error| panic!("{error}: {sql}"))
        .iter()
        .map(|row| row.try_get_by_index::<String>(0).unwrap_or_default())
        .collect()
}

/// Everything that an attack may not change, and what a session may not keep.
async fn state(db: &DatabaseConnection) -> Vec<String> {
    let mut all = Vec::new();
    for row in campaign::Entity::find().order_by_asc(campaign::Column::Id).all(db).await.unwrap() {
        all.push(format!("{row:?}"));
    }
    let texts: &[&str] = match db.get_database_backend() {
        DbBackend::Postgres => &[
            "SELECT id::text || coalesce(note, '-') FROM plain ORDER BY id",
            "SELECT seq::text || event_type FROM events ORDER BY seq",
            "SELECT 'purge ' || count(*)::text || coalesce(sum(removed), 0)::text FROM event_purges",
            "SELECT 'session ' || current_user || current_setting('search_path') || coalesce(current_setting('app.team_id', true), '')",
            "SELECT 'cursor ' || name FROM pg_cursors",
            "SELECT 'prepared ' || statement FROM pg_prepared_statements WHERE from_sql",
            "SELECT 'temp ' || relname::text FROM pg_class WHERE relnamespace = pg_my_temp_schema()",
            "SELECT 'lock ' || objid::text FROM pg_locks WHERE locktype = 'advisory' \
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            "SELECT 'listen ' || x FROM pg_listening_channels() x",
        ],
        DbBackend::MySql => &[
            "SELECT concat(id, coalesce(note, '-')) FROM plain ORDER BY id",
            "SELECT concat(seq, event_type) FROM events ORDER BY seq",
            "SELECT concat('purge ', count(*), coalesce(sum(removed), 0)) FROM event_purges",
            "SELECT concat('session ', @@sql_mode, @@autocommit, coalesce(@a, ''), coalesce(is_used_lock('x'), ''))",
        ],
        _ => &[
            "SELECT id || coalesce(note, '-') FROM plain ORDER BY id",
            "SELECT seq || event_type FROM events ORDER BY seq",
            "SELECT 'purge ' || count(*) || coalesce(sum(removed), 0) FROM event_purges",
            "SELECT 'query_only ' || query_only FROM pragma_query_only",
            "SELECT 'temp ' || name FROM sqlite_temp_schema",
        ],
    };
    for text in texts {
        all.extend(rows(db, text).await);
    }
    all
}

fn said<T>(result: Result<T, DbErr>) -> String {
    match result {
        Ok(_) => "passed".to_owned(),
        Err(error) => match Refused::of(&error) {
            Some(refused) => format!("refused {refused:?}").chars().take(90).collect(),
            None => format!("failed {error} {error:?}").chars().take(160).collect(),
        },
    }
}

async fn attack(events: &Events, pool: &DatabaseConnection, door: &str, sql: &str) -> String {
    let backend = pool.get_database_backend();
    let text = || Statement::from_string(backend, sql);
    let sql = sql.to_owned();
    let update = |value: &str, condition: &str| {
        Query::update()
            .table("plain")
            .value("note", Expr::cust(value.to_owned()))
            .cond_where(Expr::cust(condition.to_owned()))
            .to_owned()
    };
    let select = || Query::select().expr(Expr::cust(sql.clone())).from("plain").to_owned();
    let connection = events.connection(context());
    let txn = match events.begin(context()).await {
        Ok(txn) => txn,
        Err(error) => return format!("begin: {error}"),
    };
    let result = match door {
        "text" => said(txn.query_all_raw(text()).await),
        "run" => said(txn.execute_unprepared(&sql).await),
        "stream" => match txn.stream_raw(text()).await {
            Ok(mut rows) => {
                let mut last = Ok(());
                while let Some(row) = rows.next().await {
                    last = row.map(drop);
                }
                said(last)
            }
            Err(error) => said(Err::<(), _>(error)),
        },
        "untracked" => said(txn.untracked("x", async |txn| txn.execute_unprepared(&sql).await).await),
        "select" => said(txn.query_all(&select()).await),
        "set" => said(txn.execute(&update(&sql, "id = 1")).await),
        "where" => said(txn.execute(&update("'z'", &sql)).await),
        "verb" => said(
            campaign::Entity::update_many_with_events()
                .col_expr(campaign::Column::Name, Expr::cust(sql.clone()))
                .filter(Expr::cust("id = 1"))
                .exec(&txn)
                .await,
        ),
        "filter" => said(
            campaign::Entity::update_many_with_events()
                .col_expr(campaign::Column::Name, Expr::val("z"))
                .filter(Expr::cust(sql.clone()))
                .exec(&txn)
                .await,
        ),
        "delete" => {
            said(campaign::Entity::delete_many_with_events().filter(Expr::cust(sql.clone())).exec(&txn).await)
        }
        _ => panic!("{door}"),
    };
    let end = if result.starts_with("passed") {
        txn.commit().await.map_err(DbErr::from)
    } else {
        txn.rollback().await
    };
    let pooled = match door {
        "text" | "run" | "stream" => said(connection.query_all_raw(text()).await),
        "select" => said(connection.query_all(&select()).await),
        "set" => said(connection.execute(&update(&sql, "id = 1")).await),
        "where" => said(connection.execute(&update("'z'", &sql)).await),
        _ => String::new(),
    };
    format!("{result} | {} | {pooled}", said(end))
}

async fn set_up(db: &TestDb) {
    db.with_tables().await;
    events_sea_orm::migration::retention::up(&db.db).await.unwrap();
    run(&db.db, "CREATE TABLE plain (id integer PRIMARY KEY, note varchar(100) UNIQUE)").await;
    run(&db.db, "INSERT INTO plain VALUES (1, 'a'), (2, 'b')").await;
    let events = Events::builder(db.db.clone()).build().await.unwrap();
    for (team, name) in [(7, "a"), (7, "b"), (8, "other")] {
        let txn = events.begin(Context::team(team)).await.unwrap();
        let campaign = campaign::ActiveModel { team_id: Set(Some(team)), ..new_campaign(name) };
        campaign.insert(&txn).await.unwrap();
        txn.commit().await.unwrap();
    }
    let also: &[&str] = match db.db.get_database_backend() {
        DbBackend::Postgres => &[
            "CREATE FUNCTION writes() RETURNS text LANGUAGE plpgsql AS $$ \
             BEGIN UPDATE campaigns SET budget = budget + 1; RETURN 'x'; END $$",
            "CREATE FUNCTION against(x text) RETURNS text LANGUAGE sql AS 'SELECT writes()'",
            "CREATE FUNCTION minus(x text) RETURNS text LANGUAGE sql AS 'SELECT writes()'",
            "CREATE FUNCTION touch(plain) RETURNS text LANGUAGE sql AS 'SELECT writes()'",
            "CREATE FUNCTION lower(plain) RETURNS text LANGUAGE sql AS 'SELECT writes()'",
            "CREATE VIEW ev AS SELECT * FROM event_purges",
            "CREATE TABLE kid () INHERITS (event_purges)",
        ],
        DbBackend::MySql => &[
            "CREATE VIEW ev AS SELECT * FROM event_purges",
            "CREATE FUNCTION ilike(x int) RETURNS int BEGIN UPDATE campaigns SET budget = budget + 1; RETURN 1; END",
        ],
        _ => &[],
    };
    for sql in also {
        run(&db.db, sql).await;
    }
}

/// Each on a connection of its own: what the result of it is, once it was seen that nothing has changed.
async fn unchanged(db: &TestDb, (door, sql): Attack) -> String {
    let pool = TestDb::open_with(&db.url, 1).await;
    let events = Events::builder(pool.clone()).build().await.unwrap();
    let before = state(&pool).await;
    let limit = std::time::Duration::from_secs(60);
    let outcome = tokio::time::timeout(limit, attack(&events, &pool, door, sql)).await;
    let outcome = outcome.unwrap_or_else(|_| panic!("it hangs: {door} {sql}"));
    assert_eq!(state(&pool).await, before, "{door} {sql}: {outcome}");
    drop(events);
    pool.close().await.unwrap();
    outcome
}

async fn nothing_of_an_attack_passes(db: Arc<TestDb>) {
    set_up(&db).await;
    let own = match db.db.get_database_backend() {
        DbBackend::Postgres => POSTGRES,
        DbBackend::MySql => MYSQL,
        _ => SQLITE,
    };
    for attack in EVERYWHERE.iter().chain(own) {
        let outcome = unchanged(&db, *attack).await;
        let said: Vec<&str> = outcome.split(" | ").collect();
        assert!(said[0].starts_with("refused"), "in a unit: {attack:?}: {outcome}");
        assert!(
            said[2].is_empty() || said[2].starts_with("refused"),
            "on a connection: {attack:?}: {outcome}"
        );
    }
}

async fn what_passes_changes_nothing(db: Arc<TestDb>) {
    set_up(&db).await;
    let own = match db.db.get_database_backend() {
        DbBackend::Postgres => HARMLESS_POSTGRES,
        DbBackend::MySql => HARMLESS_MYSQL,
        _ => HARMLESS_SQLITE,
    };
    for attack in HARMLESS.iter().chain(own) {
        unchanged(&db, *attack).await;
    }
}

/// SQLite ends a whole transaction where a constraint, a statement or a trigger says ROLLBACK; elsewhere the statement fails.
async fn a_unit_that_the_database_ended_commits_nothing(db: Arc<TestDb>) {
    set_up(&db).await;
    let pool = TestDb::open_with(&db.url, 1).await;
    let events = Events::builder(pool.clone()).build().await.unwrap();
    let before = state(&pool).await;
    let txn = events.begin(context()).await.unwrap();
    new_campaign("gone").insert(&txn).await.unwrap();
    let sql = match pool.get_database_backend() {
        DbBackend::Sqlite => "INSERT OR ROLLBACK INTO plain VALUES (1, 'q')",
        _ => "INSERT INTO plain VALUES (1, 'q')",
    };
    txn.untracked("x", async |txn| txn.execute_unprepared(sql).await).await.unwrap_err();
    if pool.get_database_backend() == DbBackend::Sqlite {
        // Not by itself: there is no transaction any more.
        new_campaign("stays").insert(&txn).await.unwrap_err();
        txn.commit().await.unwrap_err();
    } else {
        txn.rollback().await.unwrap();
    }
    assert_eq!(state(&pool).await, before);
    // The connection begins and ends units as ever.
    let txn = events.begin(context()).await.unwrap();
    new_campaign("next").insert(&txn).await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(campaign::Entity::find().all(&pool).await.unwrap().len(), 4);
    drop(events);
    pool.close().await.unwrap();
}

/// A statement that names no table with secrets, and an error that is of one: by a cascade, a trigger, or a constraint
/// that was deferred.
async fn errors_of_tables_that_nobody_named_quote_no_secret(db: Arc<TestDb>) {
    set_up(&db).await;
    for sql in [
        "ALTER TABLE campaigns ADD COLUMN parent integer",
        "CREATE TABLE parents (id integer PRIMARY KEY)",
        "INSERT INTO parents VALUES (1)",
        "UPDATE campaigns SET parent = 1, api_key = 's3cr3t' WHERE id = 1",
        "ALTER TABLE campaigns ADD FOREIGN KEY (parent) REFERENCES parents ON DELETE CASCADE",
        "CREATE TABLE keys (key varchar REFERENCES campaigns (api_key) DEFERRABLE)",
        "INSERT INTO keys VALUES ('s3cr3t')",
        "CREATE FUNCTION loud() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         RAISE EXCEPTION 'no % here', (SELECT api_key FROM campaigns WHERE id = 1); END $$",
        "CREATE FUNCTION louder() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         UPDATE campaigns SET notes = 'x' WHERE id = 1; RETURN NEW; END $$",
        "CREATE TRIGGER loud BEFORE UPDATE ON campaigns FOR EACH ROW EXECUTE FUNCTION loud()",
        "CREATE TRIGGER louder BEFORE UPDATE ON plain FOR EACH ROW EXECUTE FUNCTION louder()",
    ] {
        run(&db.db, sql).await;
    }
    let events = Events::builder(db.db.clone()).build().await.unwrap();
    let quiet = |error: DbErr| {
        let text = format!("{error} {error:?}");
        assert!(!text.contains("s3cr3t"), "{text}");
        assert!(text.contains("withheld"), "{text}");
    };
    let parent = Query::delete().from_table("parents").to_owned();
    let plain = Query::update().table("plain").value("note", "q").to_owned();
    for immediately in [true, false] {
        if !immediately {
            run(&db.db, "ALTER TABLE keys ALTER CONSTRAINT keys_key_fkey DEFERRABLE INITIALLY DEFERRED")
                .await;
        }
        let txn = events.begin(context()).await.unwrap();
        match txn.execute(&parent).await {
            Err(error) => quiet(error),
            Ok(_) => quiet(txn.execute_unprepared("SET CONSTRAINTS ALL IMMEDIATE").await.unwrap_err()),
        }
        let poisoned = txn.commit().await.unwrap_err();
        assert!(!format!("{poisoned} {poisoned:?}").contains("s3cr3t"), "{poisoned:?}");
        quiet(events.connection(context()).execute(&parent).await.unwrap_err());
    }
    let txn = events.begin(context()).await.unwrap();
    quiet(txn.execute(&plain).await.unwrap_err());
    txn.rollback().await.unwrap();
    quiet(events.connection(context()).execute(&plain).await.unwrap_err());
}

/// More or fewer values than placeholders: an error, and the connection goes on.
async fn values_that_have_no_place_hang_nothing(db: Arc<TestDb>) {
    set_up(&db).await;
    let backend = db.db.get_database_backend();
    let pool = TestDb::open_with(&db.url, 1).await;
    let events = Events::builder(pool.clone()).build().await.unwrap();
    let before = state(&pool).await;
    let connection = events.connection(context());
    let place = if backend == DbBackend::Postgres { "$1" } else { "?" };
    let too_few = Statement::from_string(backend, format!("SELECT note FROM plain WHERE note = {place}"));
    let too_many =
        Statement::from_sql_and_values(backend, "SELECT note FROM plain WHERE note = '?'", ["a".into()]);
    let update = |note: &'static str| {
        Query::update()
            .table("plain")
            .value("note", Expr::cust(note))
            .cond_where(Expr::cust("id = 1"))
            .to_owned()
    };
    for statement in [too_few, too_many] {
        // An error, or what a database makes of it.
        let txn = events.begin(context()).await.unwrap();
        let _ = txn.query_all_raw(statement.clone()).await;
        txn.rollback().await.unwrap();
        let txn = events.begin(context()).await.unwrap();
        if let Ok(rows) = txn.stream_raw(statement.clone()).await {
            rows.count().await;
        }
        txn.rollback().await.unwrap();
        let _ = connection.query_one_raw(statement.clone()).await;
        let _ = connection.execute_raw(statement.clone()).await;
        if let Ok(rows) = connection.stream_raw(statement).await {
            rows.count().await;
        }
    }
    if backend == DbBackend::MySql {
        let txn = events.begin(context()).await.unwrap();
        for refused in [txn.execute(&update("lower(?)")).await, connection.execute(&update("lower(?)")).await]
        {
            let said = said(refused);
            assert!(said.starts_with("refused"), "{said}");
        }
        txn.rollback().await.unwrap();
    }
    assert_eq!(state(&pool).await, before);
    drop(events);
    pool.close().await.unwrap();
}
