//! Tables by other names: other spellings, text in typed statements, partitions and views; temporary tables before ours.

use std::sync::Arc;

use events_sea_orm::{EntityEvents, Outcome};
use sea_orm::{
    ConnectionTrait, DbBackend, QueryFilter,
    sea_query::{Alias, Expr, Query},
};
use tests::{TestDb, context};

use super::*;

tests::conformance! {
    expressions_cannot_make_a_statement_another,
    expressions_cannot_make_a_tracked_verb_another,
    no_spelling_opens_a_table_of_the_library,
    partitions_and_views_count_as_what_they_stand_for,
    temporary_tables_do_not_stand_before_the_log,
}

/// Typed statements whose custom expressions add a table, a statement, or a function.
async fn expressions_cannot_make_a_statement_another(db: Arc<TestDb>) {
    async fn refuse<C: ConnectionTrait>(db: &C) {
        let update = |value: &'static str, condition: &'static str| {
            Query::update()
                .table("plain")
                .value("note", Expr::cust(value))
                .cond_where(Expr::cust(condition))
                .to_owned()
        };
        let from =
            |value: &'static str, condition: &'static str| update(value, condition).from("plain2").to_owned();
        let delete = |condition: &'static str| {
            Query::delete().from_table("plain").cond_where(Expr::cust(condition)).to_owned()
        };
        for statement in [
            update("'z'; DELETE FROM campaigns", "1=1"),
            update("'z'", "1=1; DELETE FROM campaigns"),
            update("'z'", "1=1; DELETE FROM campaigns; --"),
            update("'z' DELETE FROM campaigns", "1=1"),
            update("(WITH x AS (DELETE FROM campaigns RETURNING 1) SELECT 'z' FROM x)", "1=1"),
            update("nosuch(note)", "1=1"),
            update("'z'", "nosuch(1) = 1"),
        ] {
            assert_unknown(db.execute(&statement).await, "an update");
        }
        if db.get_database_backend() == DbBackend::MySql {
            for statement in [
                from("'z', c.name='x'", "1=1 JOIN campaigns c ON 1=1"),
                from("'z', campaigns.name='x'", "1=1 JOIN campaigns ON 1=1"),
                from("'z', `c`.name='x'", "1=1 JOIN `campaigns` `c` ON 1=1"),
            ] {
                assert_unknown(db.execute(&statement).await, "a joined update");
            }
        }
        for statement in [
            delete("1=1; DELETE FROM campaigns"),
            delete("id IN (SELECT 1); UPDATE campaigns SET name = 'x'"),
            delete("nosuch(id)"),
        ] {
            assert_unknown(db.execute(&statement).await, "a delete");
        }
        for select in ["1; DELETE FROM campaigns", "1 INTO copies", "nosuch(1)", "(DELETE FROM campaigns)"] {
            let select = Query::select().expr(Expr::cust(select)).from("plain").to_owned();
            assert_unknown(db.query_all(&select).await, "a select");
        }
        let insert = Query::insert()
            .into_table("plain")
            .columns(["id", "note"])
            .values_panic([Expr::val(9), Expr::cust("'x'); DELETE FROM campaigns; --")])
            .to_owned();
        assert_unknown(db.execute(&insert).await, "an insert");
        // The same without an attack.
        let harmless = update("upper(note)", "id IN (SELECT id FROM campaigns WHERE lower(name) = 'nobody')");
        db.execute(&harmless).await.unwrap();
    }
    let events = set_up(&db).await;
    let before = state(&db).await;
    let txn = events.begin(context()).await.unwrap();
    refuse(&txn).await;
    txn.commit().await.unwrap();
    refuse(&events.connection(context())).await;
    assert_eq!(state(&db).await, before);
}

async fn expressions_cannot_make_a_tracked_verb_another(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let before = state(&db).await;
    for expression in [
        "'z'; DELETE FROM events",
        "'z' WHERE 1 = 1; DELETE FROM campaigns; --",
        "nosuch(name)",
        "(WITH x AS (DELETE FROM campaigns RETURNING 1) SELECT 'z' FROM x)",
    ] {
        let txn = events.begin(context()).await.unwrap();
        let updated = campaign::Entity::update_many_with_events()
            .col_expr(campaign::Column::Name, Expr::cust(expression))
            .exec(&txn)
            .await;
        assert_unknown(updated.map(drop), expression);
        txn.rollback().await.unwrap();
    }
    for condition in
        ["1 = 1; DELETE FROM campaigns", "nosuch(1) = 1", "1 = 1) OR (1 = 1; DELETE FROM events; --"]
    {
        let txn = events.begin(context()).await.unwrap();
        let deleted =
            campaign::Entity::delete_many_with_events().filter(Expr::cust(condition)).exec(&txn).await;
        assert_unknown(deleted.map(drop), condition);
        txn.rollback().await.unwrap();
    }
    assert_eq!(state(&db).await, before);
}

/// Typed and as text, in a unit and in `untracked`.
async fn no_spelling_opens_a_table_of_the_library(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let before = state(&db).await;
    let mut texts = vec![
        "DELETE FROM events",
        "DELETE FROM EVENTS",
        "DELETE FROM Events WHERE 1 = 1",
        "UPDATE event_purges SET removed = 0",
        "INSERT INTO event_marks VALUES (1)",
        "DELETE FROM 'events'",
        "INSERT INTO 'events' (id) VALUES (1)",
        "UPDATE plain SET note = 'x'; DELETE FROM events",
        "WITH x AS (SELECT 1) DELETE FROM events",
        "DELETE FROM \"\"",
    ];
    texts.extend(match backend(&db) {
        DbBackend::Postgres => &[
            "DELETE FROM \"events\"",
            "DELETE FROM public.events",
            "DELETE FROM \"public\" . \"events\"",
            "DELETE FROM ONLY events",
            "DELETE FROM U&\"\\0065vents\"",
            "DELETE FROM u&\"!0065vents\" UESCAPE '!'",
            "WITH x AS (DELETE FROM events RETURNING 1) UPDATE plain SET note = 'x'",
            "WITH x AS (DELETE FROM events RETURNING 1) SELECT * FROM x",
            "UPDATE pg_settings SET setting = 'x' WHERE name = 'app.team_id'",
            "UPDATE pg_catalog.pg_class SET relname = 'x'",
            "DELETE FROM pg_trigger",
            "MERGE INTO events USING plain ON true WHEN MATCHED THEN DELETE",
            "DO $$ BEGIN DELETE FROM events; END $$",
            "DO $$ BEGIN EXECUTE 'DELETE FROM ' || 'eve' || 'nts'; END $$",
            "DO 'BEGIN DELETE FROM events; END'",
            "TRUNCATE events",
        ][..],
        DbBackend::MySql => &[
            "DELETE FROM `events`",
            "DELETE FROM `#mysql50#events`",
            "UPDATE plain JOIN events SET events.team_id = 'x'",
            "UPDATE plain, `events` e SET e.team_id = 'x'",
            "DELETE e FROM plain JOIN events e",
            "DELETE FROM plain, events USING plain JOIN events",
            "DELETE FROM mysql.user",
            "REPLACE events VALUES (1)",
            "CALL p()",
            "DO 1",
            "EXECUTE IMMEDIATE 'DELETE FROM events'",
        ],
        _ => &[
            "DELETE FROM [events]",
            "DELETE FROM `events`",
            "DELETE FROM main.events",
            "DELETE FROM \"main\".'events'",
            "INSERT OR REPLACE INTO 'events' (id) VALUES (1)",
            "UPDATE sqlite_sequence SET seq = 0",
            "DELETE FROM 'sqlite_sequence'",
            "UPDATE sqlite_master SET sql = ''",
            "UPDATE sqlite_schema SET sql = ''",
            "UPDATE main.sqlite_sequence SET seq = 0",
        ],
    });
    for sql in texts {
        let txn = events.begin(context()).await.unwrap();
        assert_unknown(txn.execute_unprepared(sql).await.map(drop), sql);
        let inside = txn.untracked("x", async |txn| txn.execute_unprepared(sql).await).await;
        match inside {
            Err(error) if matches!(Refused::of(&error), Some(Refused::HiddenWrite { .. })) => {}
            // The triggers of the log refuse what nobody could see coming.
            Err(error) if sql.contains("'eve'") => {
                assert!(error.to_string().contains("55000"), "{error}")
            }
            inside => assert_unknown(inside.map(drop), sql),
        }
        txn.commit().await.unwrap();
    }
    let mut names = vec!["events", "EVENTS", "event_purges"];
    if backend(&db) == DbBackend::Sqlite {
        names.extend(["sqlite_sequence", "sqlite_master"]);
    }
    for name in names {
        let update = Query::update().table(Alias::new(name)).value("seq", Expr::val(0)).to_owned();
        assert_unknown(events.connection(context()).execute(&update).await, name);
        let txn = events.begin(context()).await.unwrap();
        assert_unknown(txn.execute(&update).await, name);
        let inside = txn.untracked("x", async |txn| txn.execute(&update).await).await;
        assert_unknown(inside.map(drop), name);
        txn.commit().await.unwrap();
    }
    assert_eq!(state(&db).await, before);
}

async fn partitions_and_views_count_as_what_they_stand_for(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let create: &[&str] = match backend(&db) {
        DbBackend::Postgres => &[
            "CREATE TABLE campaigns_old () INHERITS (campaigns)",
            "CREATE TABLE campaigns_oldest () INHERITS (campaigns_old)",
            "CREATE VIEW campaign_names AS SELECT id, name FROM campaigns",
            "CREATE VIEW campaign_names_again AS SELECT * FROM campaign_names",
            "CREATE VIEW log_view AS SELECT * FROM events",
            "CREATE VIEW plain_view AS SELECT * FROM plain",
            "CREATE TABLE ruled (name text)",
            "CREATE RULE ruled_insert AS ON UPDATE TO ruled DO ALSO UPDATE campaigns SET name = 'x'",
        ],
        DbBackend::MySql => &[
            "CREATE VIEW campaign_names AS SELECT id, name FROM campaigns",
            "CREATE VIEW campaign_names_again AS SELECT * FROM campaign_names",
            "CREATE VIEW log_view AS SELECT * FROM events",
            "CREATE VIEW plain_view AS SELECT * FROM plain",
        ],
        _ => return, // its views are written by triggers alone
    };
    for sql in create {
        run(&db.db, sql).await;
    }
    let before = state(&db).await;
    let rename =
        |table: &str| Query::update().table(Alias::new(table)).value("name", Expr::val("x")).to_owned();
    let mut others = vec!["campaign_names", "campaign_names_again", "CAMPAIGN_NAMES"];
    if backend(&db) == DbBackend::Postgres {
        others.extend(["campaigns_old", "campaigns_oldest", "ruled"]);
        others.retain(|name| *name != "CAMPAIGN_NAMES");
    }
    for table in others {
        for _ in 0..2 {
            // The second time from memory.
            let txn = events.begin(context()).await.unwrap();
            assert_unknown(txn.execute(&rename(table)).await, table);
            txn.commit().await.unwrap();
            assert_unknown(events.connection(context()).execute(&rename(table)).await, table);
        }
    }
    if backend(&db) == DbBackend::MySql {
        let joined = Query::update()
            .table("plain")
            .from("plain2")
            .value("note", Expr::cust("'z', v.name='x'"))
            .cond_where(Expr::cust("1=1 JOIN campaign_names v ON 1=1"))
            .to_owned();
        assert_unknown(events.connection(context()).execute(&joined).await, "a joined view");
    }
    let txn = events.begin(context()).await.unwrap();
    let log = Query::update().table("log_view").value("team_id", Expr::val("x")).to_owned();
    assert_unknown(txn.execute(&log).await, "log_view");
    let inside = txn.untracked("x", async |txn| txn.execute(&log).await).await;
    assert_unknown(inside.map(drop), "log_view");
    let note = Query::update().table("plain_view").value("note", Expr::cust("note")).to_owned();
    txn.execute(&note).await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(state(&db).await, before);
}

/// `CREATE TEMPORARY TABLE events` by the application's own SQL, on a connection that goes back to the pool.
async fn temporary_tables_do_not_stand_before_the_log(db: Arc<TestDb>) {
    set_up(&db).await;
    let pool = TestDb::open_with(&db.url, 1).await;
    let events = Events::builder(pool.clone()).build().await.unwrap();
    let create = match backend(&db) {
        DbBackend::Postgres => "CREATE TEMP TABLE events (LIKE public.events INCLUDING ALL)",
        DbBackend::MySql => "CREATE TEMPORARY TABLE shadow LIKE events; ALTER TABLE shadow RENAME TO events",
        _ => "CREATE TEMP TABLE events AS SELECT * FROM main.events WHERE false",
    };
    // So that a number is known, as in any service.
    let txn = events.begin(context()).await.unwrap();
    let unit_id = txn.unit_id();
    new_campaign("before").insert(&txn).await.unwrap();
    txn.commit().await.unwrap();
    run(&pool, create).await;
    if backend(&db) != DbBackend::MySql {
        assert_eq!(events.outcome_of(unit_id).await.unwrap(), Outcome::Committed);
    }
    for name in ["c", "d"] {
        let txn = events.begin(context()).await.unwrap();
        new_campaign(name).insert(&txn).await.unwrap();
        let committed = txn.commit().await;
        if backend(&db) == DbBackend::MySql {
            // There it cannot be passed by: it is noticed.
            let error = committed.unwrap_err();
            assert!(error.to_string().contains("temporary table"), "{error:?}");
        } else {
            committed.unwrap();
        }
    }
    let campaigns = count(&db).await;
    assert_eq!(db.log().await.len() as u64, campaigns);
    assert_eq!(campaigns, if backend(&db) == DbBackend::MySql { 3 } else { 5 });
    drop(events);
    pool.close().await.unwrap();
}
