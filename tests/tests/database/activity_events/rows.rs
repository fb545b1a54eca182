//! What becomes of rows.

use std::sync::Arc;

use events_sea_orm::migration::activity_events::{self, ActivityEvents, ActivityEventsError};
use sea_orm::DbBackend;
use serde_json::{Value, json};
use tests::{TestDb, types};
use uuid::Uuid;

use crate::activity_events::tables::{check, migrate, migrated, number, one_of, run, separate, single, uuid};

tests::conformance! {
    separate_values_with_uuid_keys,
    one_value_with_counted_keys,
    rows_of_a_transaction_stay_together,
    seq_rises_in_the_order_of_time,
    binary_keys_are_uuids,
    one_row_for_each_field,
    rows_that_cannot_be_stored_are_named_before_anything_is_written,
    rows_that_cannot_be_stored_are_left_out_and_tried_again,
    large_values_and_numbers_are_kept,
}

async fn separate_values_with_uuid_keys(db: Arc<TestDb>) {
    separate(&db).await;
    let (team, object, ada) = (uuid(7), uuid(8), uuid(9));
    for (n, kind, old, new, reason) in [
        (1, "CREATED", "NULL", r#"'{"name": "a", "budget": 1}'"#, "NULL"),
        (2, "UPDATED", r#"'{"name": "a", "budget": 1}'"#, r#"'{"name": "b", "budget": 1}'"#, "NULL"),
        (3, "STATE_CHANGED", r#"'{"status": "draft"}'"#, r#"'{"status": "live"}'"#, "'launch'"),
        (4, "Launch-Approved", "NULL", r#"'{"by": "it''s me"}'"#, "NULL"),
        (5, "DELETED", r#"'{"name": "b"}'"#, "NULL", "'done'"),
    ] {
        let actor = if n == 1 { "NULL".to_owned() } else { format!("'{ada}'") };
        run(&db.db, &format!(
            "INSERT INTO activity_events VALUES ('{}', '{team}', '{kind}', 'campaign', '{object}', {actor}, {old}, {new}, {reason}, '2025-05-01 10:00:0{n}.123456')",
            uuid(n)
        )).await;
    }
    let log = migrated(&db, &ActivityEvents::default()).await;
    assert_eq!(types(&log), ["CREATED", "UPDATED", "STATE_CHANGED", "launch_approved", "DELETED"]);
    let data: Vec<&Value> = log.iter().map(|row| &row.event_data).collect();
    assert_eq!(
        data,
        [
            &json!({"initial_values": {"name": "a", "budget": 1}}),
            &json!({"changes": {"name": {"old": "a", "new": "b"}}}),
            &json!({"field": "status", "state": {"old": "draft", "new": "live"}, "reason": "launch"}),
            &json!({"new_values": {"by": "it's me"}}),
            &json!({"final_values": {"name": "b"}, "reason": "done"}),
        ]
    );
    for (n, row) in (1..).zip(&log) {
        assert_eq!((row.id, row.unit_id), (uuid(n), uuid(n)), "the ids are kept");
        assert_eq!(row.team_id, team.to_string());
        assert_eq!(row.object_id, Some(object.to_string()));
        assert_eq!(row.actor_id.is_some(), n > 1);
        assert_eq!(row.occurred_at.to_rfc3339(), format!("2025-05-01T10:00:0{n}.123456+00:00"));
        assert!(row.recorded_at > row.occurred_at, "the clock of the copy");
    }
    assert_eq!(log[2].context, json!({"reason": "launch", "imported": {"from": "activity_events"}}));
    assert_eq!(
        log[3].context,
        json!({"imported": {"from": "activity_events", "event_type": "Launch-Approved"}})
    );
    // As readers take it.
    let change = log[1].to_event().unwrap();
    assert_eq!((change.old_value("name"), change.new_value("name")), (Some(&json!("a")), Some(&json!("b"))));
}

async fn one_value_with_counted_keys(db: Arc<TestDb>) {
    single(&db, "activity_events").await;
    for (n, kind, data) in [
        (10, "created", r#"{"initial_values": {"name": "a"}}"#),
        (9, "UPDATED", r#"{"changes": {"name": {"old": "a", "new": "b"}}}"#),
        (11, "Payment received", r#"[1, {"b": 2, "a": 1.50}]"#),
        (12, "deleted", r#"{"name": "b"}"#),
    ] {
        run(&db.db, &format!("INSERT INTO activity_events VALUES ({n}, 7, '{kind}', 'campaign', 'c', '{data}', '2025-05-01 10:00:00')")).await;
    }
    let log = migrated(&db, &ActivityEvents::default()).await;
    assert_eq!(types(&log), ["UPDATED", "CREATED", "payment_received", "DELETED"], "in the order of the key");
    assert_eq!(log[2].event_data, json!([1, {"a": 1.5, "b": 2}]));
    assert_eq!(log[3].event_data, json!({"final_values": {"name": "b"}}));
    assert_eq!(
        log[2].context["imported"],
        json!({"from": "activity_events", "key": "11", "event_type": "Payment received"})
    );
    for row in &log {
        assert_eq!(row.id.get_version_num(), 7);
        assert_eq!(row.id.get_timestamp().unwrap().to_unix().0, 1_746_093_600);
        assert_eq!(row.unit_id, row.id);
        assert_eq!(row.actor_id, None);
    }
    // The same ids on every database and in every run: a change here would copy old tables twice.
    let ids: Vec<String> = log.iter().map(|row| row.id.to_string()).collect();
    assert_eq!(ids, IDS);
}

const IDS: [&str; 4] = [
    "01968b49-ed00-7f13-9c98-c0f18f62f75c",
    "01968b49-ed00-722b-9bbe-58790f0882ff",
    "01968b49-ed00-7fb0-aa78-b31f4e09cdf0",
    "01968b49-ed00-73a7-8c2c-6e1a23f60a1c",
];

async fn rows_of_a_transaction_stay_together(db: Arc<TestDb>) {
    single(&db, "activity_events").await;
    run(&db.db, "ALTER TABLE activity_events ADD COLUMN transaction_id varchar(40)").await;
    let known = uuid(1);
    for (n, unit) in [(1, "'tx-9'"), (2, "'tx-9'"), (3, "NULL"), (4, "'tx-10'")] {
        run(&db.db, &format!("INSERT INTO activity_events (id, team_id, event_type, object_type, object_id, event_data, created_at, transaction_id) VALUES ({n}, 7, 'x', 'campaign', 'c', '{{}}', '2025-05-01 10:00:00', {unit})")).await;
    }
    run(&db.db, &format!("INSERT INTO activity_events (id, team_id, event_type, object_type, object_id, event_data, created_at, transaction_id) VALUES (5, 7, 'x', 'campaign', 'c', '{{}}', '2025-05-01 10:00:00', '{known}')")).await;
    let log = migrated(&db, &ActivityEvents::default()).await;
    let unit: Vec<Uuid> = log.iter().map(|row| row.unit_id).collect();
    assert_eq!(unit[0], unit[1]);
    assert_ne!(unit[0], unit[3]);
    assert_eq!(unit[2], log[2].id);
    assert_eq!(unit[4], known);
}

/// Random keys say nothing of time; pages of two, several rows of one time.
async fn seq_rises_in_the_order_of_time(db: Arc<TestDb>) {
    separate(&db).await;
    for n in [5, 3, 9, 1, 7, 2, 8, 4, 6] {
        run(&db.db, &format!(
            "INSERT INTO activity_events VALUES ('{}', '{}', 'CREATED', NULL, NULL, NULL, NULL, NULL, NULL, '2025-05-01 10:00:0{}')",
            Uuid::new_v4(), uuid(7), n / 3
        )).await;
    }
    let log = migrated(&db, &ActivityEvents::default().batch(2)).await;
    assert_eq!(log.len(), 9);
    assert!(log.is_sorted_by_key(|row| row.occurred_at));
    let indexes = match db.db.get_database_backend() {
        DbBackend::Postgres => {
            "SELECT count(*) FROM pg_indexes WHERE indexname = 'events_import_activity_events'"
        }
        DbBackend::MySql => {
            "SELECT count(DISTINCT INDEX_NAME) FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = database() AND INDEX_NAME = 'events_import_activity_events'"
        }
        _ => "SELECT count(*) FROM sqlite_schema WHERE name = 'events_import_activity_events'",
    };
    assert_eq!(number(&db.db, indexes).await, 1);
    activity_events::finish(&db.db, &ActivityEvents::default()).await.unwrap();
    assert_eq!(number(&db.db, indexes).await, 0, "it goes when it is not needed");
    activity_events::undo(&db.db, &ActivityEvents::default()).await.unwrap();
    assert_eq!(check(&db, &ActivityEvents::default()).await.rows, 9);
}

async fn binary_keys_are_uuids(db: Arc<TestDb>) {
    events_sea_orm::migration::up(&db.db).await.unwrap();
    let bytes = one_of(&db.db, ["bytea", "binary(16)", "blob"]);
    run(&db.db, &format!(
        "CREATE TABLE old_log (uuid {bytes} NOT NULL, tenant_id {bytes}, kind varchar(20), entity_type varchar(20), entity_id {bytes}, \
         payload {}, occurred_at bigint NOT NULL)",
        one_of(&db.db, ["text", "blob", "blob"])
    )).await;
    for n in 1..=5 {
        let hex = |n| {
            let hex = uuid(n).simple().to_string();
            if db.db.get_database_backend() == DbBackend::Postgres {
                format!("'\\x{hex}'")
            } else {
                format!("x'{hex}'")
            }
        };
        run(
            &db.db,
            &format!(
                "INSERT INTO old_log VALUES ({}, {}, 'made', 'thing', {}, '{{\"n\":{n}}}', {})",
                hex(n),
                hex(7),
                hex(100 + n),
                1_746_093_600_000 - (n as i64)
            ),
        )
        .await;
    }
    let old = ActivityEvents::from_table("old_log").batch(2);
    let log = migrated(&db, &old).await;
    let ids: Vec<Uuid> = log.iter().map(|row| row.id).collect();
    assert_eq!(ids, [5, 4, 3, 2, 1].map(uuid));
    assert_eq!(log[0].team_id, uuid(7).to_string());
    assert_eq!(log[0].object_id, Some(uuid(105).to_string()));
    assert_eq!(log[0].event_data, json!({"n": 5}));
    assert_eq!(log[0].occurred_at.to_rfc3339(), "2025-05-01T09:59:59.995+00:00");
}

async fn one_row_for_each_field(db: Arc<TestDb>) {
    events_sea_orm::migration::up(&db.db).await.unwrap();
    let key = one_of(&db.db, ["bigint", "bigint unsigned", "integer"]);
    run(&db.db, &format!(
        "CREATE TABLE changes (id {key} PRIMARY KEY, account_id integer, action varchar(20), field_name varchar(40), old_value text, new_value text, created_at varchar(40) NOT NULL)"
    )).await;
    run(&db.db, "INSERT INTO changes VALUES (1, 7, 'updated', 'status', 'draft', 'live', '2025-05-01T12:00:00+02:00'), \
        (2, 7, 'updated', 'budget', NULL, '12', '2025-05-01')").await;
    let log = migrated(&db, &ActivityEvents::from_table("changes")).await;
    assert_eq!(log[0].event_data, json!({"changes": {"status": {"old": "draft", "new": "live"}}}));
    assert_eq!(log[1].event_data, json!({"changes": {"budget": {"old": null, "new": 12}}}));
    assert_eq!(log[0].occurred_at.to_rfc3339(), "2025-05-01T10:00:00+00:00");
    assert_eq!(log[0].object_id, None);
}

/// Five rows of which the second to fifth cannot be stored, for four reasons.
async fn with_bad_rows(db: &TestDb) {
    single(db, "activity_events").await;
    let bad_json = match db.db.get_database_backend() {
        DbBackend::Postgres => r#"{"a": "\u0000"}"#, // its JSON columns hold nothing else that is wrong
        DbBackend::MySql => r#"{"a": "\\u0000"}"#,
        _ => "{",
    };
    for (n, kind, object, data) in [
        (1, "CREATED", "a".to_owned(), "{}"),
        (2, "CREATED", "a".to_owned(), bad_json),
        (3, "Größe", "a".to_owned(), "{}"),
        (4, "CREATED", "x".repeat(192), "{}"),
        (5, "state_changed", "a".to_owned(), "{}"),
        (6, "CREATED", "b".to_owned(), "{}"),
    ] {
        run(&db.db, &format!("INSERT INTO activity_events VALUES ({n}, 7, '{kind}', 'campaign', '{object}', '{data}', '2025-05-01 10:00:00')")).await;
    }
}

async fn rows_that_cannot_be_stored_are_named_before_anything_is_written(db: Arc<TestDb>) {
    with_bad_rows(&db).await;
    let error =
        activity_events::migrate(&db.db, &ActivityEvents::default().batch(1), |_| ()).await.unwrap_err();
    let ActivityEventsError::Rows { problems, total, .. } = &error else { panic!("{error}") };
    let named: Vec<(&str, &str)> =
        problems.iter().map(|problem| (problem.key.as_str(), problem.column.as_str())).collect();
    assert_eq!(named, [("2", "event_data"), ("3", "event_type"), ("4", "object_id"), ("5", "event_data")]);
    assert_eq!(*total, 4);
    let text = error.to_string();
    assert!(
        text.contains("row 4, column `object_id`: object id has 192 characters: at most 191 can be stored"),
        "{text}"
    );
    assert!(!text.contains("xxx") && !text.contains("Größe"), "values are not quoted: {text}");
    assert_eq!(db.log().await, []);
}

async fn rows_that_cannot_be_stored_are_left_out_and_tried_again(db: Arc<TestDb>) {
    with_bad_rows(&db).await;
    let old = ActivityEvents::default().skip_unstorable().batch(2);
    let migrated = migrate(&db, &old).await;
    assert_eq!((migrated.copied, migrated.skipped), (2, 4));
    let checked = check(&db, &old).await;
    assert_eq!((checked.rows, checked.skipped), (2, 4));
    assert_eq!(
        number(
            &db.db,
            "SELECT count(*) FROM events_import_skipped WHERE old_key = '4' AND column_name = 'object_id'"
        )
        .await,
        1
    );
    // Two are mended, one by the caller's map.
    run(&db.db, "UPDATE activity_events SET object_id = 'short' WHERE id = 4").await;
    let old = old.event_type("Größe", "size_told");
    let migrated = migrate(&db, &old).await;
    assert_eq!((migrated.copied, migrated.skipped), (2, 2));
    let again = migrate(&db, &old).await;
    assert_eq!((again.copied, again.skipped), (0, 2));
    assert_eq!(check(&db, &old).await.rows, 4);
    activity_events::finish(&db.db, &old).await.unwrap();
    assert_eq!(migrate(&db, &old).await.skipped, 2);
}

async fn large_values_and_numbers_are_kept(db: Arc<TestDb>) {
    single(&db, "activity_events").await;
    let long = "ü'\\\"\u{1F600}".replace('\'', "''").repeat(300_000);
    let long_json = serde_json::to_string(&long.replace("''", "'")).unwrap().replace('\'', "''");
    let long_json = if db.db.get_database_backend() == DbBackend::MySql {
        long_json.replace('\\', "\\\\")
    } else {
        long_json
    };
    for n in 1..=4 {
        run(&db.db, &format!("INSERT INTO activity_events VALUES ({n}, 7, 'x', 'campaign', 'c', '{{\"a\": {long_json}}}', '2025-05-01 10:00:00')")).await;
    }
    let digits = "123456789012345678901234567890.1234567890";
    run(&db.db, &format!("INSERT INTO activity_events VALUES (5, 7, 'x', 'campaign', 'c', '{{\"a\": {digits}}}', '2025-05-01 10:00:00')")).await;
    let log = migrated(&db, &ActivityEvents::default()).await;
    assert_eq!(log[3].event_data["a"], json!(long.replace("''", "'")));
    let text = one_of(&db.db, ["event_data::text", "event_data", "event_data"]);
    assert_eq!(
        number(&db.db, &format!("SELECT count(*) FROM events WHERE {text} LIKE '%{digits}%'")).await,
        1
    );
}
