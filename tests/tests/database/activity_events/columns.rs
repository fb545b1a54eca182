//! Which column is what.

use std::sync::Arc;

use events_sea_orm::migration::activity_events::{self, ActivityEvents, ActivityEventsError};
use serde_json::json;
use tests::TestDb;

use crate::activity_events::tables::{migrate, migrated, one_of, run, separate, single};
use sea_orm::DbBackend;

tests::conformance! {
    columns_without_a_place_are_asked_for,
    columns_with_odd_names_are_named_by_the_caller,
    what_is_missing_is_named,
    rows_without_a_team_need_one,
    key_that_is_not_unique_is_refused,
}

async fn error(db: &TestDb, old: &ActivityEvents) -> ActivityEventsError {
    let error = activity_events::migrate(&db.db, old, |_| ()).await.unwrap_err();
    assert_eq!(db.log().await, []);
    error
}

async fn columns_without_a_place_are_asked_for(db: Arc<TestDb>) {
    single(&db, "activity_events").await;
    run(&db.db, "ALTER TABLE activity_events ADD COLUMN ip_address varchar(40)").await;
    run(&db.db, "ALTER TABLE activity_events ADD COLUMN thread_id integer").await;
    run(&db.db, "ALTER TABLE activity_events ADD COLUMN metadata varchar(400)").await;
    run(&db.db, "INSERT INTO activity_events (id, team_id, event_type, object_type, object_id, event_data, created_at, ip_address, thread_id, metadata) VALUES (1, 7, 'x', 'campaign', 'c', '{}', '2025-05-01 10:00:00', '10.0.0.1', 5, '{\"a\": 1}')").await;
    let old = ActivityEvents::default();
    let asked = error(&db, &old).await;
    let ActivityEventsError::UnknownColumns { columns, .. } = &asked else { panic!("{asked}") };
    assert_eq!(columns, &["ip_address", "thread_id"]);
    let old = old.ignore_column("thread_id").context_column("ip_address");
    let log = migrated(&db, &old).await;
    assert_eq!(
        log[0].context["imported"]["columns"],
        json!({"ip_address": "10.0.0.1", "metadata": {"a": 1}})
    );
}

/// Quotes, spaces, upper case, words of SQL, a letter that is none of ASCII.
async fn columns_with_odd_names_are_named_by_the_caller(db: Arc<TestDb>) {
    events_sea_orm::migration::up(&db.db).await.unwrap();
    let mark = if db.db.get_database_backend() == DbBackend::MySql { '`' } else { '"' };
    let name = |name: &str| format!("{mark}{}{mark}", name.replace(mark, &mark.to_string().repeat(2)));
    let odd = ["The Key", "order", "Größe", "it's \"so\" `it` is", "SELECT", "When?"];
    let [key, team, kind, data, object, at] = odd.map(name);
    let table = name("old `log\" of 'it");
    run(&db.db, &format!(
        "CREATE TABLE {table} ({key} varchar(40) NOT NULL, {team} varchar(10), {kind} varchar(10), {data} {}, {object} varchar(10), object_type varchar(10), {at} {} NOT NULL)",
        one_of(&db.db, ["jsonb", "longtext", "text"]), one_of(&db.db, ["timestamptz", "timestamp(6)", "text"]),
    )).await;
    for n in 1..=5 {
        run(&db.db, &format!("INSERT INTO {table} VALUES ('key {}', '7', 'x', '{{\"n\":{n}}}', 'o', 't', '2025-05-01 10:00:0{n}')", 9 - n)).await;
    }
    let old = ActivityEvents::from_table("old `log\" of 'it")
        .id_column(odd[0])
        .team_column(odd[1])
        .type_column(odd[2])
        .event_data_column(odd[3])
        .object_id_column(odd[4])
        .created_at_column(odd[5])
        .batch(2);
    let log = migrated(&db, &old).await;
    let data: Vec<_> = log.iter().map(|row| row.event_data["n"].clone()).collect();
    assert_eq!(data, [1, 2, 3, 4, 5]);
    assert_eq!(log[0].context["imported"]["key"], json!("key 8"));
    activity_events::finish(&db.db, &old).await.unwrap();
    assert_eq!(migrate(&db, &old).await.copied, 0);
}

async fn what_is_missing_is_named(db: Arc<TestDb>) {
    events_sea_orm::migration::up(&db.db).await.unwrap();
    let missing = error(&db, &ActivityEvents::default()).await;
    assert_eq!(
        missing.to_string(),
        "there is no table `activity_events`: name it with `ActivityEvents::from_table(..)`"
    );
    run(&db.db, "CREATE TABLE trail (id integer PRIMARY KEY, tenant_id integer, account_id integer, created_at varchar(40), object_id integer, kind varchar(9))").await;
    let old = ActivityEvents::from_table("trail");
    let several = error(&db, &old).await.to_string();
    assert!(several.starts_with("`trail` has several columns for the team, `tenant_id`, `account_id`: say which with `.team_column(\"..\")`"), "{several}");
    let old = old.team_column("tenant_id").ignore_column("account_id");
    let half = error(&db, &old).await.to_string();
    assert_eq!(
        half,
        "`trail` has no column for the object's type: name it with `.object_type_column(\"..\")`"
    );
    let wrong = error(&db, &old.clone().actor_column("nobody")).await.to_string();
    assert_eq!(wrong, "`trail` has no column for the actor, `nobody`: name it with `.actor_column(\"..\")`");
    let wrong = error(&db, &old.context_column("nothing")).await.to_string();
    assert!(wrong.contains("`nothing`"), "{wrong}");
    run(&db.db, "DROP TABLE trail").await;
}

async fn rows_without_a_team_need_one(db: Arc<TestDb>) {
    separate(&db).await;
    run(&db.db, &format!(
        "INSERT INTO activity_events VALUES ('{}', NULL, 'CREATED', NULL, NULL, NULL, NULL, NULL, NULL, '2025-05-01 10:00:00')",
        crate::activity_events::tables::uuid(1)
    )).await;
    let refused = error(&db, &ActivityEvents::default()).await.to_string();
    assert!(
        refused.contains("column `team_id`: it has no team: give those rows one with `.default_team(..)`"),
        "{refused}"
    );
    let log = migrated(&db, &ActivityEvents::default().default_team("main")).await;
    assert_eq!(log[0].team_id, "main");
}

async fn key_that_is_not_unique_is_refused(db: Arc<TestDb>) {
    single(&db, "activity_events").await;
    crate::activity_events::tables::fill(&db.db, "activity_events", 1..=4).await;
    let old = ActivityEvents::default().id_column("team_id").ignore_column("id").default_team("t");
    let refused = error(&db, &old).await;
    assert!(
        matches!(&refused, ActivityEventsError::RepeatedKey { column, key, .. } if column == "team_id" && key == "1"),
        "{refused}"
    );
    run(
        &db.db,
        "CREATE TABLE loose (id varchar(9), team_id integer, kind varchar(9), created_at varchar(40))",
    )
    .await;
    run(&db.db, "INSERT INTO loose VALUES ('a', 1, 'x', '2025-05-01'), (NULL, 1, 'x', '2025-05-01'), ('b', 1, 'x', NULL)").await;
    let refused = error(&db, &ActivityEvents::from_table("loose")).await.to_string();
    assert_eq!(refused, "1 rows of `loose` have no `id`, by which the copy goes: fill it in");
    run(&db.db, "UPDATE loose SET id = 'c' WHERE id IS NULL").await;
    let refused = error(&db, &ActivityEvents::from_table("loose")).await.to_string();
    assert_eq!(refused, "1 rows of `loose` have no `created_at`, by which the copy goes: fill it in");
}
