//! Ways around a policy by SQL of one's own: what each shows is decided here, and told in the module `security`.

use std::sync::Arc;

use events_sea_orm::threads::message;
use futures_util::TryStreamExt;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, Statement, TransactionTrait};
use tests::{
    TestDb,
    roles::{quoted, run},
};

use crate::isolation::{
    as_team, insert_event, texts,
    world::{A, B, World, says_nothing_of},
};

tests::on_postgres! {
    every_way_to_read_a_table_is_held_by_the_policy,
    conditions_and_functions_are_not_shown_other_rows,
    unique_keys_tell_of_existence_and_nothing_else,
    every_unique_key_of_several_columns_holds_the_team,
    foreign_keys_tell_of_existence_and_nothing_else,
    sequences_and_statistics_are_closed,
    an_estimate_is_of_the_whole_table,
    an_estimate_tells_of_a_value_of_others,
    the_application_may_set_another_team_by_sql_of_its_own,
    errors_of_the_database_name_nothing_of_another_team,
}

/// What these statements of team B answer, as text.
async fn ask(db: &DatabaseConnection, sql: &str) -> Result<Vec<String>, DbErr> {
    let txn = db.begin().await?;
    let set = "SELECT set_config('app.team_id', $1, true)";
    txn.execute_raw(Statement::from_sql_and_values(sea_orm::DbBackend::Postgres, set, [B.into()])).await?;
    let rows = txn.query_all_raw(Statement::from_string(sea_orm::DbBackend::Postgres, sql)).await?;
    rows.iter().map(|row| Ok(row.try_get_by_index::<Option<String>>(0)?.unwrap_or_default())).collect()
}

async fn every_way_to_read_a_table_is_held_by_the_policy(db: Arc<TestDb>) {
    let world = World::open(db).await;
    world.fill(A).await;
    for sql in [
        "SELECT e::text FROM events e",
        "SELECT t::text FROM (TABLE events) t",
        "SELECT t::text FROM events t TABLESAMPLE BERNOULLI (100)",
        "WITH t AS MATERIALIZED (SELECT * FROM events) SELECT t::text FROM t",
        "SELECT x::text FROM threads t RIGHT JOIN thread_messages x ON true",
        "SELECT min(team_id)::text FROM events",
        "SELECT string_agg(event_data::text, '') FROM events",
        "SELECT query_to_xml('SELECT * FROM events', true, false, '')::text",
        "SELECT table_to_xml('events', true, false, '')::text",
        "SELECT database_to_xml(true, false, '')::text",
        "SELECT (SELECT e FROM events e LIMIT 1)::text",
        "SELECT e.*::text FROM deals d, LATERAL (SELECT * FROM events) e",
        "SELECT ctid::text FROM events WHERE ctid = '(0,1)'",
        "DELETE FROM notification_preferences RETURNING team_id::text",
        "UPDATE notifications SET read_at = now() RETURNING team_id::text",
    ] {
        let found = ask(&world.pool, sql).await.unwrap_or_else(|error| panic!("{error}: {sql}"));
        assert!(found.iter().all(|row| !row.contains(A)), "{sql}: {found:?}");
    }
    // A copy made with one's own right is of one's own rows.
    let copied = as_team(&world.pool, B, "CREATE TEMPORARY TABLE mine AS TABLE events").await.unwrap();
    assert_eq!(copied, 0);
    for sql in ["COPY events TO STDOUT", "COPY (SELECT * FROM thread_messages) TO STDOUT"] {
        assert_eq!(copy_out(&world.pool, B, sql).await, "");
        assert!(copy_out(&world.pool, A, sql).await.contains(A));
    }
    world.close().await;
}

/// What COPY answers this team.
async fn copy_out(db: &DatabaseConnection, team: &str, sql: &str) -> String {
    use sea_orm::sqlx;
    let mut connection = db.get_postgres_connection_pool().acquire().await.unwrap();
    let set = format!("SET app.team_id = '{team}'");
    sqlx::Executor::execute(&mut *connection, sqlx::AssertSqlSafe(set)).await.unwrap();
    let copied: Vec<_> = connection.copy_out_raw(sql).await.unwrap().try_collect().await.unwrap();
    sqlx::Executor::execute(&mut *connection, "RESET app.team_id").await.unwrap();
    copied.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
}

async fn conditions_and_functions_are_not_shown_other_rows(db: Arc<TestDb>) {
    let world = World::open(db).await;
    world.fill(A).await;
    // Each would fail on a row of team A, or say what is in it.
    for sql in [
        format!("SELECT id::text FROM events WHERE 1 / (CASE WHEN team_id = '{A}' THEN 0 ELSE 1 END) = 1"),
        "SELECT id::text FROM events WHERE (event_data ->> 'x' || 'x')::int = 1".to_owned(),
        "SELECT id::text FROM events ORDER BY (actor_id)::int".to_owned(),
        "SELECT count(*)::text FROM events GROUP BY (team_id)::int".to_owned(),
    ] {
        assert_eq!(ask(&world.pool, &sql).await.unwrap(), Vec::<String>::new(), "{sql}");
    }
    // As cheap as a function can say that it is, it is called after the policy: nothing says that it is leakproof.
    let leak = "CREATE FUNCTION pg_temp.leak(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS \
                $$ BEGIN RAISE EXCEPTION 'leaked %', $1; END $$";
    let txn = world.pool.begin().await.unwrap();
    run(&txn, &format!("SELECT set_config('app.team_id', '{B}', true)")).await;
    run(&txn, leak).await;
    assert_eq!(
        texts(&txn, "SELECT id::text FROM events WHERE pg_temp.leak(team_id)").await,
        Vec::<String>::new()
    );
    let leakproof =
        txn.execute_unprepared("ALTER FUNCTION pg_temp.leak(text) LEAKPROOF").await.unwrap_err().to_string();
    assert!(leakproof.contains("only superuser can define a leakproof function"), "{leakproof}");
    drop(txn);
    world.close().await;
}

async fn unique_keys_tell_of_existence_and_nothing_else(db: Arc<TestDb>) {
    let world = World::open(db).await;
    world.fill(A).await;
    let id = texts(&world.db.db, "SELECT id::text FROM events LIMIT 1").await.remove(0);
    // Numbers of events are random enough not to be guessed; whoever knows one learns that it is taken.
    let probe = |id: &str| {
        format!(
            "INSERT INTO events (id, team_id, event_type, unit_id, event_data, context, occurred_at) \
             VALUES ('{id}', '{B}', 'probe', '{id}', '{{}}', '{{}}', now())"
        )
    };
    let taken = as_team(&world.pool, B, &probe(&id)).await.unwrap_err().to_string();
    says_nothing_of(A, &taken);
    // Keys of the other tables begin with the team, or hold it: nothing of another team collides.
    for sql in [
        format!(
            "INSERT INTO threads (team_id, object_type, object_id, scope) SELECT '{B}', object_type, object_id, scope FROM threads"
        ),
        format!("INSERT INTO threads (team_id, object_type, object_id) VALUES ('{B}', 'deal', '1')"),
        format!(
            "INSERT INTO notifications (team_id, user_id, event_id, event_type) VALUES ('{B}', 'user', '{id}', 'CREATED')"
        ),
        format!(
            "INSERT INTO notification_preferences (team_id, user_id, wanted) VALUES ('{B}', 'user', true)"
        ),
        format!(
            "INSERT INTO event_daily_counts (team_id, day, event_type, object_type, count) VALUES ('{B}', current_date, 'CREATED', 'deal', 1)"
        ),
    ] {
        as_team(&world.pool, B, &sql).await.unwrap_or_else(|error| panic!("{error}: {sql}"));
    }
    world.close().await;
}

/// What one team has written must not keep out what another writes. Numbers that the database draws are all teams' together, and so
/// is an event's id, by which the outcome of a commit is found.
async fn every_unique_key_of_several_columns_holds_the_team(db: Arc<TestDb>) {
    crate::isolation::with_all_tables(&db).await;
    events_sea_orm::migration::retention::up(&db.db).await.unwrap();
    let keys = texts(
        &db.db,
        "SELECT c.relname || ' ' || (SELECT string_agg(a.attname, ',' ORDER BY a.attname) FROM pg_attribute a \
         WHERE a.attrelid = c.oid AND a.attnum = ANY (i.indkey)) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid \
         WHERE i.indisunique AND (c.relname LIKE 'event%' OR c.relname LIKE 'thread%' OR c.relname LIKE 'notification%') ORDER BY 1",
    )
    .await;
    let without: Vec<_> = keys.iter().filter(|key| !key.contains("team_id")).map(String::as_str).collect();
    let numbers = [
        "event_holds name",
        "event_marks id",
        "event_purges id",
        "events id",
        "events seq",
        "notification_preferences id",
        "notifications id",
        "thread_messages id",
        "threads id",
    ];
    assert_eq!(without, numbers, "{keys:?}");
}

async fn foreign_keys_tell_of_existence_and_nothing_else(db: Arc<TestDb>) {
    let world = World::open(db).await;
    world.fill(A).await;
    let before = world.all_of(A).await;
    let thread = texts(&world.db.db, "SELECT id::text FROM threads LIMIT 1").await.remove(0);
    let into = |thread: &str| {
        format!(
            "INSERT INTO thread_messages (thread_id, team_id, kind, body, data) VALUES ({thread}, '{B}', 'user', 'x', '{{}}')"
        )
    };
    // The key is checked by the owner, so a message may name another team's thread. It is and stays B's.
    as_team(&world.pool, B, &into(&thread)).await.unwrap();
    let missing = as_team(&world.pool, B, &into("999999")).await.unwrap_err().to_string();
    assert!(missing.contains("foreign key"), "{missing}");
    assert_eq!(world.all_of(A).await, before);
    let a = world.team(A);
    let shown = message::Entity::find().all(&a).await.unwrap();
    assert!(shown.iter().all(|message| message.team_id == A), "{shown:?}");
    world.close().await;
}

async fn sequences_and_statistics_are_closed(db: Arc<TestDb>) {
    let world = World::open(db).await;
    world.fill(A).await;
    run(&world.db.db, "ANALYZE").await;
    for sequence in [
        "events_seq_seq",
        "threads_id_seq",
        "thread_messages_id_seq",
        "notifications_id_seq",
        "notification_preferences_id_seq",
    ] {
        for sql in [
            format!("SELECT last_value::text FROM {sequence}"),
            format!("SELECT nextval('{sequence}')::text"),
            format!("SELECT setval('{sequence}', 1)::text"),
        ] {
            let refused = ask(&world.pool, &sql).await.unwrap_err().to_string();
            assert!(refused.contains("permission denied"), "{sql}: {refused}");
        }
    }
    let values = "SELECT most_common_vals::text FROM pg_stats WHERE tablename IN ('events', 'threads', 'notifications', 'event_daily_counts')";
    assert_eq!(ask(&world.pool, values).await.unwrap(), Vec::<String>::new());
    world.close().await;
}

/// How large the tables are, and so how much all teams do together, can be read from the catalog by any role.
async fn an_estimate_is_of_the_whole_table(db: Arc<TestDb>) {
    let world = World::open(db).await;
    world.fill(A).await;
    run(&world.db.db, "ANALYZE").await;
    let rows =
        ask(&world.pool, "SELECT reltuples::bigint::text FROM pg_class WHERE oid = 'events'::regclass")
            .await
            .unwrap();
    assert_eq!(rows, ["3"]);
    // The plan of a query shows rows that a filter removed, and never what is in them.
    let plan = ask(
        &world.pool,
        "EXPLAIN (ANALYZE, VERBOSE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT * FROM events",
    )
    .await
    .unwrap();
    says_nothing_of(A, &plan.join("\n"));
    world.close().await;
}

/// What cannot be closed: the planner's estimate of a condition is made of the values of all teams.
async fn an_estimate_tells_of_a_value_of_others(db: Arc<TestDb>) {
    let world = World::open(db).await;
    for (team, actor) in [(A, "only of A"), (B, "writer")] {
        run(
            &world.db.db,
            &format!(
                "INSERT INTO events (id, team_id, event_type, actor_id, unit_id, event_data, context, occurred_at) \
                 SELECT gen_random_uuid(), '{team}', 'x', '{actor}', gen_random_uuid(), '{{}}', '{{}}', now() FROM generate_series(1, 500)"
            ),
        )
        .await;
    }
    run(&world.db.db, "ANALYZE").await;
    let plan = async |actor: &str| {
        ask(&world.pool, &format!("EXPLAIN SELECT 1 FROM events WHERE actor_id = '{actor}'"))
            .await
            .unwrap()
            .join("\n")
    };
    let rows =
        |plan: &str| plan.split("rows=").nth(1).unwrap().split(' ').next().unwrap().parse::<u32>().unwrap();
    let (theirs, nobody) = (plan("only of A").await, plan("nobody").await);
    assert!(rows(&theirs) > 10 * rows(&nobody), "{theirs} {nobody}");
    // Not a row, nor what is in one.
    says_nothing_of(A, &theirs);
    let counted =
        ask(&world.pool, "SELECT count(*)::text FROM events WHERE actor_id = 'only of A'").await.unwrap();
    assert_eq!(counted, ["0"]);
    world.close().await;
}

/// The setting is the application's to make: it holds against a forgotten condition, not against SQL that somebody slips in.
async fn the_application_may_set_another_team_by_sql_of_its_own(db: Arc<TestDb>) {
    let world = World::open(db).await;
    world.fill(A).await;
    assert_eq!(as_team(&world.pool, A, "SELECT * FROM events").await.unwrap(), 3);
    let roles = world.roles.as_ref().unwrap();
    let txn = world.pool.begin().await.unwrap();
    run(&txn, &format!("SET LOCAL ROLE {}", quoted(&roles.delivery))).await;
    assert_eq!(texts(&txn, "SELECT count(*)::text FROM events").await, ["3"]);
    drop(txn);
    // What it cannot do even so is to change the past.
    let error = as_team(&world.pool, A, "DELETE FROM events").await.unwrap_err().to_string();
    assert!(error.contains("permission denied"), "{error}");
    world.close().await;
}

async fn errors_of_the_database_name_nothing_of_another_team(db: Arc<TestDb>) {
    let world = World::open(db).await;
    world.fill(A).await;
    for sql in [
        insert_event(A).replace(A, "somebody else"),
        "INSERT INTO thread_messages (thread_id, team_id, kind, body, data) VALUES (1, 'x', 'user', 'x', '{}')".to_owned(),
        "SELECT * FROM events FOR UPDATE".to_owned(),
        "INSERT INTO event_daily_counts (team_id, day, event_type, count) VALUES ('x', current_date, 'x', 1)".to_owned(),
    ] {
        let error = as_team(&world.pool, B, &sql).await.unwrap_err();
        says_nothing_of(A, &format!("{error} {error:?}"));
    }
    world.close().await;
}
