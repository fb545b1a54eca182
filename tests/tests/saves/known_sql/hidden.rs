//! What the words of a text do not show, and the database refuses or tells of.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use sea_orm::{
    ConnectionTrait, DbBackend, QuerySelect, StreamTrait, TransactionTrait,
    sea_query::{Expr, Query},
};
use tests::{TestDb, context, proxy::Proxy};

use super::*;

tests::conformance! {
    reads_of_text_leave_the_connection_as_it_was,
    builders_pay_nothing_and_text_does,
    functions_of_the_application_pass_if_it_says_so,
}

mod only_postgres {
    tests::on_postgres! {
        functions_that_write_are_refused_by_the_database,
        settings_that_a_function_left_are_undone,
        locks_last_and_writes_beside_them_are_counted,
        text_that_locks_leaves_the_team_and_the_tables,
    }
    use super::{
        functions_that_write_are_refused_by_the_database, locks_last_and_writes_beside_them_are_counted,
        settings_that_a_function_left_are_undone, text_that_locks_leaves_the_team_and_the_tables,
    };
}

async fn reads_of_text_leave_the_connection_as_it_was(db: Arc<TestDb>) {
    set_up(&db).await;
    let pool = TestDb::open_with(&db.url, 1).await;
    let events = Events::builder(pool.clone()).build().await.unwrap();
    let connection = events.connection(context());
    let numbers = text(
        &db,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) SELECT i FROM n",
    );
    let writes = async || {
        let txn = events.begin(context()).await.unwrap();
        new_campaign("w").insert(&txn).await.unwrap();
        txn.rollback().await.unwrap();
    };
    // Read to the end, half way, dropped on its way, and with an error.
    assert_eq!(connection.stream_raw(numbers.clone()).await.unwrap().count().await, 500);
    writes().await;
    let mut rows = connection.stream_raw(numbers.clone()).await.unwrap();
    rows.next().await.unwrap().unwrap();
    drop(rows);
    writes().await;
    for micros in [0, 50, 200, 1_000] {
        let _ =
            tokio::time::timeout(Duration::from_micros(micros), connection.query_all_raw(numbers.clone()))
                .await;
        writes().await;
    }
    connection.query_all_raw(text(&db, "SELECT nosuch FROM campaigns")).await.unwrap_err();
    writes().await;
    // The same in a unit of work, which goes on writing.
    let txn = events.begin(context()).await.unwrap();
    assert_eq!(txn.stream_raw(numbers.clone()).await.unwrap().count().await, 500);
    let mut rows = txn.stream_raw(numbers.clone()).await.unwrap();
    rows.next().await.unwrap().unwrap();
    drop(rows);
    new_campaign("x").insert(&txn).await.unwrap();
    assert_eq!(txn.query_all_raw(numbers.clone()).await.unwrap().len(), 500);
    let nested = txn.begin().await.unwrap();
    assert_eq!(nested.query_all_raw(numbers.clone()).await.unwrap().len(), 500);
    new_campaign("y").insert(&nested).await.unwrap();
    nested.commit().await.unwrap();
    txn.commit().await.unwrap();
    // An error in it poisons, as any error of the database, and not the connection.
    let txn = events.begin(context()).await.unwrap();
    txn.query_all_raw(text(&db, "SELECT nosuch FROM campaigns")).await.unwrap_err();
    txn.commit().await.unwrap_err();
    writes().await;
    assert_eq!((count(&db).await, db.log().await.len()), (4, 4));
    drop((connection, events));
    pool.close().await.unwrap();
}

/// What PostgreSQL sees around a read: nothing for a builder, and what watches over it for text.
async fn builders_pay_nothing_and_text_does(db: Arc<TestDb>) {
    if backend(&db) == DbBackend::Sqlite {
        return; // nothing is seen on a wire there
    }
    set_up(&db).await;
    let proxy = Proxy::to(&db.url).await;
    let pool = TestDb::open_with(&proxy.url, 1).await;
    let events = Events::builder(pool.clone()).build().await.unwrap();
    let txn = events.begin(context()).await.unwrap();
    let select = Query::select()
        .expr(Expr::cust("count(*) FILTER (WHERE coalesce(name, 'x') = 'a')"))
        .from(campaign::Entity)
        .to_owned();
    let plain = "SELECT name FROM campaigns";
    txn.query_all_raw(text(&db, plain)).await.unwrap();
    proxy.take_statements();
    if backend(&db) == DbBackend::Postgres {
        txn.query_all(&select).await.unwrap();
        assert_eq!(proxy.take_statements().len(), 1);
        let locked = campaign::Entity::find().lock_exclusive().all(&txn).await.unwrap();
        assert_eq!((locked.len(), proxy.take_statements().len()), (2, 1));
    }
    txn.query_all_raw(text(&db, plain)).await.unwrap();
    let seen = proxy.take_statements();
    match backend(&db) {
        DbBackend::Postgres => {
            assert_eq!(seen.len(), 3, "{seen:?}");
            assert!(seen[0].starts_with("SAVEPOINT") && seen[2].starts_with("ROLLBACK TO"), "{seen:?}");
        }
        _ => assert_eq!(seen, [plain]),
    }
    txn.commit().await.unwrap();
    pool.close().await.unwrap();
}

async fn functions_of_the_application_pass_if_it_says_so(db: Arc<TestDb>) {
    let events = set_up_with(&db, |builder| builder.reading_functions(["plus_one"])).await;
    let (create, sql) = match backend(&db) {
        DbBackend::Postgres => (
            "CREATE FUNCTION plus_one(int) RETURNS int LANGUAGE sql AS 'SELECT $1 + 1'",
            "SELECT plus_one(1) AS n",
        ),
        DbBackend::MySql => (
            "CREATE FUNCTION plus_one(i int) RETURNS int DETERMINISTIC RETURN i + 1",
            "SELECT plus_one(1) AS n",
        ),
        _ => return, // its functions are made in Rust
    };
    run(&db.db, create).await;
    let txn = events.begin(context()).await.unwrap();
    let typed = Query::select().expr_as(Expr::cust("plus_one(2)"), "n").to_owned();
    assert_eq!(txn.query_one_raw(text(&db, sql)).await.unwrap().unwrap().try_get::<i32>("", "n").unwrap(), 2);
    assert_eq!(txn.query_one(&typed).await.unwrap().unwrap().try_get::<i32>("", "n").unwrap(), 3);
    txn.commit().await.unwrap();
    let others = Events::builder(db.db.clone()).build().await.unwrap();
    assert_unknown(others.connection(context()).query_one(&typed).await, "plus_one");
    assert_unknown(others.connection(context()).query_one_raw(text(&db, sql)).await, "plus_one");
}

const WRITES: &str = "CREATE FUNCTION sneaky() RETURNS int LANGUAGE plpgsql AS \
    $$ BEGIN DELETE FROM campaigns; RETURN 1; END $$; \
    CREATE FUNCTION sneaky_of(int, int) RETURNS int LANGUAGE sql AS 'SELECT sneaky()'; \
    CREATE OPERATOR ### (LEFTARG = int, RIGHTARG = int, FUNCTION = sneaky_of); \
    CREATE VIEW sneaky_view AS SELECT sneaky() AS n";

async fn functions_that_write_are_refused_by_the_database(db: Arc<TestDb>) {
    let events = set_up_with(&db, |builder| builder.reading_functions(["sneaky"])).await;
    run(&db.db, WRITES).await;
    let before = state(&db).await;
    for sql in ["SELECT sneaky()", "SELECT 1 ### 2", "SELECT n FROM sneaky_view", "TABLE sneaky_view"] {
        let connection = events.connection(context());
        let error = connection.query_all_raw(text(&db, sql)).await.unwrap_err().to_string();
        assert!(error.contains("25006") || error.contains("read-only"), "{sql}: {error}");
        let rows: Vec<_> = connection.stream_raw(text(&db, sql)).await.unwrap().collect().await;
        assert!(rows.iter().any(Result::is_err), "{sql}");
        let txn = events.begin(context()).await.unwrap();
        let error = txn.execute_unprepared(sql).await.unwrap_err().to_string();
        assert!(error.contains("25006") || error.contains("read-only"), "{sql}: {error}");
        assert!(matches!(
            Refused::of(&txn.commit().await.unwrap_err().into()),
            Some(Refused::Poisoned { .. })
        ));
    }
    // Typed, where it calls what only the application knows.
    let txn = events.begin(context()).await.unwrap();
    txn.query_all(&Query::select().expr(Expr::cust("sneaky()")).to_owned()).await.unwrap_err();
    drop(txn);
    assert_eq!(state(&db).await, before);
}

async fn settings_that_a_function_left_are_undone(db: Arc<TestDb>) {
    set_up(&db).await;
    let pool = TestDb::open_with(&db.url, 1).await;
    // Named by mistake: it changes who reads.
    let events = Events::builder(pool.clone()).reading_functions(["set_config"]).build().await.unwrap();
    let setting = async || -> String {
        let sql = "SELECT coalesce(current_setting('app.team_id', true), '') AS s";
        pool.query_one_raw(text(&db, sql)).await.unwrap().unwrap().try_get("", "s").unwrap()
    };
    for local in [true, false] {
        let sql = format!("SELECT set_config('app.team_id', '8', {local})");
        events.connection(context()).query_all_raw(text(&db, &sql)).await.unwrap();
        assert_eq!(setting().await, "");
        let txn = events.begin(context()).await.unwrap();
        txn.query_all_raw(text(&db, &sql)).await.unwrap();
        let now = txn
            .query_one_raw(text(&db, "SELECT coalesce(current_setting('app.team_id', true), '') AS s"))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(now.try_get::<String>("", "s").unwrap(), "");
        txn.commit().await.unwrap();
        assert_eq!(setting().await, "");
    }
    pool.close().await.unwrap();
}

async fn locks_last_and_writes_beside_them_are_counted(db: Arc<TestDb>) {
    let events = set_up_with(&db, |builder| builder.reading_functions(["sneaky"])).await;
    run(&db.db, WRITES).await;
    let before = state(&db).await;
    let txn = events.begin(context()).await.unwrap();
    txn.query_all_raw(text(&db, "SELECT id FROM campaigns FOR UPDATE")).await.unwrap();
    txn.query_all_raw(text(&db, "SELECT pg_advisory_xact_lock(7)::text")).await.unwrap();
    let other = db.db.query_all_raw(text(&db, "SELECT id FROM campaigns FOR UPDATE NOWAIT")).await;
    assert!(other.unwrap_err().to_string().contains("could not obtain lock"), "the rows are locked");
    let free = ask(&db, "SELECT pg_try_advisory_xact_lock(7) AS free").await;
    assert!(!free[0].try_get::<bool>("", "free").unwrap());
    new_campaign("c").insert(&txn).await.unwrap(); // its own writes are counted before
    txn.query_all_raw(text(&db, "SELECT id FROM campaigns FOR SHARE")).await.unwrap();
    txn.rollback().await.unwrap();
    for sql in ["SELECT id, sneaky() FROM campaigns FOR UPDATE", "SELECT id ### 1 FROM campaigns FOR SHARE"] {
        let txn = events.begin(context()).await.unwrap();
        let error = txn.query_all_raw(text(&db, sql)).await.unwrap_err();
        assert!(matches!(Refused::of(&error), Some(Refused::HiddenWrite { .. })), "{error}");
        txn.commit().await.unwrap_err();
        let error = events.connection(context()).query_all_raw(text(&db, sql)).await.unwrap_err();
        assert!(matches!(Refused::of(&error), Some(Refused::HiddenWrite { .. })), "{error}");
    }
    assert_eq!(state(&db).await, before);
}

/// What locks cannot be undone by a savepoint, so what else a view did beside it must be found.
async fn text_that_locks_leaves_the_team_and_the_tables(db: Arc<TestDb>) {
    set_up(&db).await;
    let does = [
        ("team", "PERFORM set_config('app.team_id', '8', true)"),
        ("session", "PERFORM set_config('app.team_id', '8', false)"),
        ("path", "PERFORM set_config('search_path', 'pg_temp, public', true)"),
        ("empties", "TRUNCATE visits"),
        ("alters", "ALTER TABLE visits ADD COLUMN more int"),
        ("makes", "CREATE TABLE made (id int)"),
        ("rights", "GRANT SELECT ON campaigns TO PUBLIC"),
    ];
    for (name, body) in does {
        let function = format!(
            "CREATE FUNCTION does_{name}() RETURNS int LANGUAGE plpgsql AS $$ BEGIN {body}; RETURN 1; END $$; \
             CREATE VIEW view_{name} AS SELECT does_{name}() AS n"
        );
        run(&db.db, &function).await;
    }
    let pool = TestDb::open_with(&db.url, 1).await;
    let events = Events::builder(pool.clone()).row_level_security(true).start_despite_dangers().build();
    let events = events.await.unwrap();
    let before = state(&db).await;
    let hides = |error: &sea_orm::DbErr| matches!(Refused::of(error), Some(Refused::HiddenWrite { .. }));
    for (name, _) in does {
        for sql in [
            format!("SELECT n, pg_advisory_xact_lock(1)::text FROM view_{name}"),
            format!("SELECT v.n FROM view_{name} v, campaigns FOR UPDATE OF campaigns"),
        ] {
            let connection = events.connection(context());
            let error = connection.query_all_raw(text(&db, &sql)).await.unwrap_err();
            assert!(hides(&error), "{sql}: {error}");
            let txn = events.begin(context()).await.unwrap();
            let error = txn.query_all_raw(text(&db, &sql)).await.unwrap_err();
            assert!(hides(&error), "{sql}: {error}");
            txn.commit().await.unwrap_err();
            let left = pool.query_all_raw(text(
                &db,
                "SELECT coalesce(current_setting('app.team_id', true), '') AS team",
            ));
            let left = left.await.unwrap();
            assert_eq!(left[0].try_get::<String>("", "team").unwrap(), "", "{sql}");
        }
    }
    assert_eq!(state(&db).await, before);
    pool.close().await.unwrap();
}
