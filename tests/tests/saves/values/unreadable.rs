//! Rows that the model cannot read, written by others: every verb changes and deletes them, and the events hold what was
//! there.

use std::sync::Arc;

use events_sea_orm::{
    ActiveModelEvents, Context, EntityEvents, EventChanges, EventConnection, Events, Tracked,
};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, FromJsonQueryResult, QueryFilter,
    Set, TransactionTrait, Unchanged, sea_query::Expr,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use tests::{TestDb, types};

tests::conformance! {
    json_keys_that_the_struct_lacks_are_recorded,
    json_that_no_value_holds_is_recorded_as_text,
    rows_that_the_model_cannot_read_are_updated_singly,
    rows_that_the_model_cannot_read_are_repaired,
    rows_that_the_model_cannot_read_are_deleted,
    rows_that_the_model_cannot_read_are_changed_in_bulk,
    a_scope_records_the_row_and_not_the_model,
    old_values_are_what_sql_reads,
}

mod sqlite_alone {
    #[test]
    fn cells_of_any_type_are_recorded_as_they_are() {
        tests::run("cells_of_any_type", None, super::cells_of_any_type);
    }
}

mod servers {
    #[test]
    fn values_that_no_rust_type_holds_are_recorded() {
        tests::run(
            "values_that_no_rust_type_holds",
            Some("POSTGRES_URL"),
            super::values_that_no_rust_type_holds,
        );
    }

    #[test]
    fn arrays_hold_what_no_rust_type_holds() {
        tests::run(
            "arrays_hold_what_no_rust",
            Some("POSTGRES_URL"),
            super::arrays_hold_what_no_rust_type_holds,
        );
    }

    #[test]
    fn bits_are_flags_and_hours_may_be_below_zero() {
        tests::run("bits_and_hours", Some("MYSQL_URL"), super::bits_are_flags_and_hours_may_be_below_zero);
    }

    #[test]
    fn dates_of_zero_are_recorded() {
        tests::run("dates_of_zero", Some("MYSQL_URL"), super::dates_of_zero);
    }
}

pub mod item {
    use super::*;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "items")]
    #[tracked(object_type = "item", team = "team_id", soft_delete = "gone_at")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i32,
        pub team_id: i32,
        #[track(state)]
        pub status: Status,
        #[track]
        pub mood: Mood,
        #[track]
        pub settings: Settings,
        #[track]
        #[sea_orm(column_type = "Json")]
        pub document: Json,
        #[track]
        pub title: String,
        #[track]
        pub size: i32,
        #[track]
        #[sea_orm(column_type = "Text")]
        pub note: String,
        #[track(digest)]
        #[sea_orm(column_type = "Text", nullable)]
        pub body: Option<String>,
        pub gone_at: Option<DateTimeUtc>,
    }

    #[derive(Clone, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
    #[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))", rename_all = "snake_case")]
    pub enum Status {
        Open,
        Done,
    }

    /// A native enum of PostgreSQL and MariaDB.
    #[derive(Clone, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
    #[sea_orm(rs_type = "String", db_type = "Enum", enum_name = "item_mood", rename_all = "snake_case")]
    pub enum Mood {
        Calm,
    }

    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, FromJsonQueryResult)]
    pub struct Settings {
        pub theme: String,
        pub size: Option<i32>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

use item::{Mood, Settings, Status};

/// A row that no `item::Model` holds: variants that are gone, a key that the struct lacks, NULL, and NUL where the
/// database takes one.
async fn insert_odd(db: &TestDb, id: i32) {
    let (note, nul) = match db.db.get_database_backend() {
        DbBackend::Sqlite => ("CAST(x'610062' AS text)", r"\u0000"),
        DbBackend::MySql => ("CAST(0x610062 AS char)", r"\\u0000"),
        _ => ("'a b'", r"\u0000"),
    };
    let sql = format!(
        "INSERT INTO items (id, team_id, status, mood, settings, document, title, size, note, body) \
         VALUES ({id}, 7, 'paused', 'gone', '{{\"theme\":\"dark\",\"beta\":true}}', '{{\"a\":\"{nul}\"}}', NULL, 5, {note}, 'body')"
    );
    db.db.execute_unprepared(&sql).await.unwrap();
}

/// What its events must hold.
fn odd(db: &TestDb) -> Json {
    let note = match db.db.get_database_backend() {
        DbBackend::Postgres => json!("a b"),
        _ => json!({"$text": "a\\0b"}),
    };
    json!({
        "status": "paused",
        "mood": "gone",
        "settings": {"theme": "dark", "beta": true},
        "document": {"$json": "{\"a\":\"\\u0000\"}"},
        "title": null,
        "size": 5,
        "note": note,
        "body": {"$sha256": "230d8358dc8e8890b4c58deeb62912ee2f20357ae92a5cc861b98e68fe31acb5", "length": 4},
    })
}

async fn set_up(db: &TestDb) -> EventConnection {
    db.with_tables().await;
    let (mood, json, time) = match db.db.get_database_backend() {
        DbBackend::Sqlite => ("text", "text", "timestamp_with_timezone_text"),
        DbBackend::MySql => ("ENUM('calm', 'gone')", "json", "timestamp NULL"),
        _ => {
            db.db.execute_unprepared("CREATE TYPE item_mood AS ENUM ('calm', 'gone')").await.unwrap();
            ("item_mood", "json", "timestamptz")
        }
    };
    let jsonb = if db.db.get_database_backend() == DbBackend::Postgres { "jsonb" } else { json };
    // Whatever the server takes where none is named.
    let any_text =
        if db.db.get_database_backend() == DbBackend::MySql { " CHARACTER SET utf8mb4" } else { "" };
    let sql = format!(
        "CREATE TABLE items (id integer PRIMARY KEY, team_id integer NOT NULL, status varchar(16), mood {mood}, settings {jsonb}, \
         document {json}, title varchar(191), size integer, note text, body text, gone_at {time}){any_text}"
    );
    db.db.execute_unprepared(&sql).await.unwrap();
    Events::builder(db.db.clone()).build().await.unwrap().connection(Context::team(7).actor("ada"))
}

fn active(id: i32) -> item::ActiveModel {
    item::ActiveModel { id: Unchanged(id), ..Default::default() }
}

/// One that every part of the model can read.
fn good() -> item::ActiveModel {
    item::ActiveModel {
        status: Set(Status::Open),
        mood: Set(Mood::Calm),
        settings: Set(Settings { theme: "light".to_owned(), size: None }),
        document: Set(json!({})),
        title: Set("title".to_owned()),
        note: Set("note".to_owned()),
        size: Set(6),
        ..active(1)
    }
}

async fn json_keys_that_the_struct_lacks_are_recorded(db: Arc<TestDb>) {
    let connection = set_up(&db).await;
    good().create_with_event_of(1, &connection).await;
    let settings = r#"UPDATE items SET settings = '{"theme":"dark","beta":true}'"#;
    db.db.execute_unprepared(settings).await.unwrap();
    let mut model: item::ActiveModel = item::Entity::find_by_id(1).one(&db.db).await.unwrap().unwrap().into();
    model.settings = Set(Settings { theme: "dark".to_owned(), size: None });
    model.update_with_event(&connection).await.unwrap();
    let log = db.log().await;
    assert_eq!(types(&log), ["CREATED", "UPDATED"]);
    let change = json!({"old": {"theme": "dark", "beta": true}, "new": {"theme": "dark", "size": null}});
    assert_eq!(log[1].event_data["changes"], json!({"settings": change}));
}

async fn json_that_no_value_holds_is_recorded_as_text(db: Arc<TestDb>) {
    let connection = set_up(&db).await;
    good().create_with_event_of(1, &connection).await;
    let digits = r#"{"n": 12345678901234567890123, "theme": "dark"}"#;
    let twice = r#"{"a": 1, "a": 0.10}"#;
    let sql = format!("UPDATE items SET settings = '{digits}', document = '{twice}'");
    db.db.execute_unprepared(&sql).await.unwrap();
    good().update_with_event(&connection).await.unwrap();
    db.db.execute_unprepared(&sql).await.unwrap();
    active(1).delete_with_event(&connection).await.unwrap();
    let log = db.log().await;
    assert_eq!(types(&log), ["CREATED", "UPDATED", "DELETED"]);
    let (changes, last) = (&log[1].event_data["changes"], &log[2].event_data["final_values"]);
    for (field, held) in [("settings", digits), ("document", twice)] {
        assert_eq!(changes[field]["old"], json!({"$json": held}));
        assert_eq!(last[field], json!({"$json": held}));
    }
}

trait CreateOf {
    async fn create_with_event_of(self, id: i32, connection: &EventConnection);
}

impl CreateOf for item::ActiveModel {
    async fn create_with_event_of(mut self, id: i32, connection: &EventConnection) {
        self.id = Set(id);
        self.team_id = Set(7);
        self.create_with_event(connection).await.unwrap();
    }
}

async fn rows_that_the_model_cannot_read_are_updated_singly(db: Arc<TestDb>) {
    let connection = set_up(&db).await;
    insert_odd(&db, 1).await;
    let txn = connection.begin().await.unwrap();
    item::ActiveModel { size: Set(6), ..active(1) }.update_without_returning(&txn).await.unwrap();
    // SeaORM answers no model; the row is written and recorded, and the unit goes on.
    let error = item::ActiveModel { size: Set(7), ..active(1) }.update(&txn).await.unwrap_err();
    assert!(events_sea_orm::Refused::of(&error).is_none(), "{error}");
    let error = active(1).soft_delete_with_event(&txn).await.unwrap_err();
    assert!(events_sea_orm::Refused::of(&error).is_none(), "{error}");
    txn.commit().await.unwrap();
    let log = db.log().await;
    assert_eq!(types(&log), ["UPDATED", "UPDATED", "DELETED"]);
    assert_eq!(log[0].event_data["changes"], json!({"size": {"old": 5, "new": 6}}));
    assert_eq!(log[1].event_data["changes"], json!({"size": {"old": 6, "new": 7}}));
    let mut marked = odd(&db);
    marked["size"] = json!(7);
    assert_eq!(log[2].event_data["final_values"], marked);
    // A unit of the call's own answers an error and has done nothing.
    assert!(item::ActiveModel { size: Set(8), ..active(1) }.update_with_event(&connection).await.is_err());
    assert_eq!(db.log().await.len(), 3);
}

async fn rows_that_the_model_cannot_read_are_repaired(db: Arc<TestDb>) {
    let connection = set_up(&db).await;
    insert_odd(&db, 1).await;
    good().update_with_event(&connection).await.unwrap();
    let log = db.log().await;
    assert_eq!(types(&log), ["UPDATED", "STATE_CHANGED"]);
    let odd = odd(&db);
    let changes = &log[0].event_data["changes"];
    for field in ["mood", "settings", "document", "title", "size", "note"] {
        assert_eq!(changes[field]["old"], odd[field], "{field}");
    }
    assert_eq!(changes["settings"]["new"], json!({"theme": "light", "size": null}));
    assert_eq!(log[1].event_data["state"], json!({"old": "paused", "new": "open"}));
    // What an event holds is had in its own type, or an error says what is the matter.
    let state = log[1].to_event().unwrap();
    let error = state.change::<Status>("status").unwrap_err().to_string();
    assert!(error.contains("`paused` is no value of the type") && !error.contains("feature"), "{error}");
    assert_eq!(state.change::<String>("status").unwrap().unwrap().old.as_deref(), Some("paused"));
    let updated = log[0].to_event().unwrap();
    assert_eq!(updated.change::<Json>("document").unwrap().unwrap().old, Some(json!({"a": "\0"})));
    if db.db.get_database_backend() != DbBackend::Postgres {
        assert_eq!(updated.change::<String>("note").unwrap().unwrap().old.as_deref(), Some("a\0b"));
    }
}

async fn rows_that_the_model_cannot_read_are_deleted(db: Arc<TestDb>) {
    let connection = set_up(&db).await;
    insert_odd(&db, 1).await;
    active(1).delete_with_event(&connection).await.unwrap();
    insert_odd(&db, 1).await;
    let gone = item::Entity::delete_by_id_with_events(1).exec(&connection).await.unwrap();
    assert_eq!(gone.rows_affected, 1);
    let log = db.log().await;
    assert_eq!(types(&log), ["DELETED", "DELETED"]);
    for event in &log {
        assert_eq!(event.event_data["final_values"], odd(&db));
    }
    let body = log[0].to_event().unwrap().change::<String>("body").unwrap_err().to_string();
    assert!(body.contains("digest"), "{body}");
}

async fn rows_that_the_model_cannot_read_are_changed_in_bulk(db: Arc<TestDb>) {
    let connection = set_up(&db).await;
    insert_odd(&db, 1).await;
    insert_odd(&db, 2).await;
    let txn = connection.begin().await.unwrap();
    let update =
        |size: i32| item::Entity::update_many_with_events().col_expr(item::Column::Size, Expr::value(size));
    assert_eq!(update(6).exec(&txn).await.unwrap().rows_affected, 2);
    // The rows are no models; they are written and recorded, and the unit goes on.
    update(7).exec_with_returning(&txn).await.unwrap_err();
    let repaired = item::Entity::update_many_with_events().set(good()).filter(item::Column::Id.eq(1));
    let repaired = item::ActiveModel::from(repaired_row(repaired.exec_with_returning(&txn).await));
    assert_eq!(repaired.size, Unchanged(6));
    assert_eq!(item::Entity::delete_many_with_events().exec(&txn).await.unwrap().rows_affected, 2);
    txn.commit().await.unwrap();
    let log = db.log().await;
    let expected =
        ["UPDATED", "UPDATED", "UPDATED", "UPDATED", "UPDATED", "STATE_CHANGED", "DELETED", "DELETED"];
    assert_eq!(types(&log), expected);
    assert_eq!(log[3].event_data["changes"], json!({"size": {"old": 6, "new": 7}}));
    assert_eq!(log[4].event_data["changes"]["note"]["old"], odd(&db)["note"]);
    let mut last = odd(&db);
    last["size"] = json!(7);
    assert_eq!(log[7].event_data["final_values"], last);
    let none = item::Entity::find().filter(item::Column::TeamId.eq(7)).all(&db.db).await.unwrap();
    assert_eq!(none, []);
}

#[track_caller]
fn repaired_row(rows: Result<Vec<item::Model>, sea_orm::DbErr>) -> item::Model {
    rows.unwrap().pop().unwrap()
}

async fn a_scope_records_the_row_and_not_the_model(db: Arc<TestDb>) {
    let connection = set_up(&db).await;
    insert_odd(&db, 1).await;
    let events = connection.events().clone();
    let txn = db.db.begin().await.unwrap();
    let work = async {
        good().update(&txn).await.unwrap();
        let settings = r#"UPDATE items SET settings = '{"theme":"light","beta":true}'"#;
        txn.execute_unprepared(settings).await.unwrap();
        item::ActiveModel { size: Set(9), ..active(1) }.update(&txn).await.unwrap();
        active(1).delete(&txn).await.unwrap();
    };
    events.scope(Context::team(7), work).await.unwrap();
    txn.commit().await.unwrap();
    let log = db.log().await;
    assert_eq!(types(&log), ["UPDATED", "STATE_CHANGED", "UPDATED", "DELETED"]);
    assert_eq!(log[0].event_data["changes"]["settings"]["old"], odd(&db)["settings"]);
    assert_eq!(log[2].event_data["changes"], json!({"size": {"old": 6, "new": 9}}));
    assert_eq!(log[3].event_data["final_values"]["settings"], json!({"theme": "light", "beta": true}));
}

/// Random rows of plain SQL, changed by every verb: `old` is what the database's own functions make of the row.
async fn old_values_are_what_sql_reads(db: Arc<TestDb>) {
    let connection = set_up(&db).await;
    let backend = db.db.get_database_backend();
    let text = || proptest::option::of("[a-zA-Z0-9 äß京-]{0,12}");
    let row = (text(), text(), proptest::option::of(any::<i32>()), "[a-z]{1,6}", any::<i32>());
    let mut runner = TestRunner::deterministic();
    let verbs = 5;
    for id in 0..40 {
        let (status, title, size, key, number) = row.new_tree(&mut runner).unwrap().current();
        let quoted = |text: Option<String>| text.map_or("NULL".to_owned(), |text| format!("'{text}'"));
        let sql = format!(
            "INSERT INTO items (id, team_id, status, mood, settings, document, title, size) \
             VALUES ({id}, 7, {}, 'gone', '{{\"{key}\":[{number},null]}}', '[\"{key}\"]', {}, {})",
            quoted(status),
            quoted(title),
            size.map_or("NULL".to_owned(), |size| size.to_string()),
        );
        db.db.execute_unprepared(&sql).await.unwrap();
        let read = match backend {
            DbBackend::Postgres => {
                "SELECT json_build_object('status', status, 'mood', mood, 'settings', settings, 'document', document, 'title', title, 'size', size)::text AS row FROM items WHERE id ="
            }
            DbBackend::MySql => {
                "SELECT JSON_OBJECT('status', status, 'mood', mood, 'settings', JSON_COMPACT(settings), 'document', JSON_COMPACT(document), 'title', title, 'size', size) AS `row` FROM items WHERE id ="
            }
            _ => {
                "SELECT json_object('status', status, 'mood', mood, 'settings', json(settings), 'document', json(document), 'title', title, 'size', size) AS row FROM items WHERE id ="
            }
        };
        let read = db.db.query_one_raw(sea_orm::Statement::from_string(backend, format!("{read} {id}")));
        let read: String = read.await.unwrap().unwrap().try_get("", "row").unwrap();
        let read: Json = serde_json::from_str(&read).unwrap();
        let seen = db.log().await.len();
        let all = item::ActiveModel { id: Unchanged(id), size: Set(size.unwrap_or(0) ^ 1), ..good() };
        let txn = connection.begin().await.unwrap();
        match id % verbs {
            0 => drop(all.update(&txn).await.unwrap()),
            1 => drop(all.update_without_returning(&txn).await.unwrap()),
            2 => drop(item::ActiveModel { id: Set(id), ..active(id) }.delete(&txn).await.unwrap()),
            3 => {
                let update = item::Entity::update_many_with_events().set(all);
                update.filter(item::Column::Id.eq(id)).exec(&txn).await.unwrap();
            }
            _ => {
                let delete = item::Entity::delete_many_with_events().filter(item::Column::Id.eq(id));
                delete.exec(&txn).await.unwrap();
            }
        }
        txn.commit().await.unwrap();
        let mut held = json!({});
        for event in &db.log().await[seen..] {
            let data = &event.event_data;
            for (name, change) in data["changes"].as_object().into_iter().flatten() {
                held[name] = change["old"].clone();
            }
            if event.event_type == "STATE_CHANGED" {
                held["status"] = data["state"]["old"].clone();
            }
            for (name, value) in data["final_values"].as_object().into_iter().flatten() {
                held[name] = value.clone();
            }
        }
        for (name, value) in read.as_object().unwrap() {
            // A value that the update did not change is in no event.
            if let Some(recorded) = held.get(name) {
                assert_eq!(recorded, value, "{name} of row {id}");
            }
        }
        let all_are_there =
            ["mood", "settings", "document", "size"].iter().all(|name| held.get(name).is_some());
        assert!(all_are_there, "{held}");
    }
}

async fn cells_of_any_type(db: Arc<TestDb>) {
    let connection = set_up(&db).await;
    db.db
        .execute_unprepared(
            "INSERT INTO items VALUES (1, 7, x'ff00', 'calm', '{', 'not json', CAST(x'c328' AS text), 'many', 1.5, NULL, NULL), \
             (2, 7, 'open', 'calm', '{}', '{\"$text\": 1}', 5, 9007199254740993, '', NULL, 'yesterday')",
        )
        .await
        .unwrap();
    item::Entity::delete_many_with_events().exec(&connection).await.unwrap();
    let log = db.log().await;
    assert_eq!(
        log[0].event_data["final_values"],
        json!({
            "status": {"$bytes": "/wA="}, "mood": "calm", "settings": {"$json": "{"}, "document": {"$json": "not json"},
            "title": {"$bytes": "wyg="}, "size": {"$text": "many"}, "note": "1.5", "body": null,
        })
    );
    assert_eq!(
        log[1].event_data["final_values"],
        json!({
            "status": "open", "mood": "calm", "settings": {}, "document": {"$json": "{\"$text\":1}"},
            "title": "5", "size": 9_007_199_254_740_993_i64, "note": "", "body": null,
        })
    );
}

mod wide {
    use super::*;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "wide")]
    #[tracked(object_type = "wide", team = context, all)]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i32,
        pub amount: Decimal,
        pub on_day: Date,
        pub at: DateTimeUtc,
        pub tags: Option<Vec<String>>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

async fn values_that_no_rust_type_holds(db: Arc<TestDb>) {
    let connection = set_up(&db).await;
    for sql in [
        "CREATE TABLE wide (id integer PRIMARY KEY, amount numeric, on_day date, at timestamptz, tags text[])",
        "INSERT INTO wide VALUES (1, 'NaN', 'infinity', '-infinity', ARRAY['a', NULL])",
        "INSERT INTO wide VALUES (2, 123456789012345678901234567890123456789.5, '5874897-12-31', '294276-12-31', NULL)",
    ] {
        db.db.execute_unprepared(sql).await.unwrap();
    }
    wide::Entity::delete_many_with_events().exec(&connection).await.unwrap();
    let log = db.log().await;
    let first = json!({
        "amount": "NaN", "on_day": {"$text": "infinity"}, "at": {"$text": "-infinity"}, "tags": ["a", null],
    });
    assert_eq!(log[0].event_data["final_values"], first);
    let second = &log[1].event_data["final_values"];
    assert_eq!(second["amount"], "123456789012345678901234567890123456789.5");
    assert_eq!(second["on_day"], json!({"$text": "2145031948 days after 2000-01-01"}));
    assert!(second["at"]["$text"].as_str().unwrap().ends_with(" microseconds after 2000-01-01T00:00:00"));
}

mod lists {
    use super::*;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "lists")]
    #[tracked(object_type = "list", team = context, all)]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i32,
        pub days: Vec<Date>,
        pub ats: Vec<DateTimeUtc>,
        pub moments: Vec<DateTime>,
        pub clocks: Vec<Time>,
        pub amounts: Vec<Decimal>,
        pub documents: Vec<Json>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

async fn arrays_hold_what_no_rust_type_holds(db: Arc<TestDb>) {
    let connection = set_up(&db).await;
    for sql in [
        "CREATE TABLE lists (id integer PRIMARY KEY, days date[], ats timestamptz[], moments timestamp[], clocks time[], \
         amounts numeric[], documents json[])",
        "INSERT INTO lists VALUES (1, '{infinity,2026-11-23,NULL}', '{-infinity,2026-11-23T01:02:03Z}', '{infinity}', \
         '{24:00,01:00}', '{NaN,1.50,123456789012345678901234567890123456789.5}', ARRAY['{\"a\":\"\\u0000\"}', '[1]']::json[])",
        "INSERT INTO lists VALUES (2, '{5874897-12-31}', '{}', '{}', '{}', '{}', '{}')",
    ] {
        db.db.execute_unprepared(sql).await.unwrap();
    }
    let txn = connection.begin().await.unwrap();
    let set = lists::ActiveModel { id: Unchanged(1), clocks: Set(Vec::new()), ..Default::default() };
    set.update_without_returning(&txn).await.unwrap();
    lists::Entity::delete_many_with_events().exec(&txn).await.unwrap();
    txn.commit().await.unwrap();
    let log = db.log().await;
    let clocks = json!({"old": [{"$text": "24:00:00"}, "01:00:00.000000"], "new": []});
    assert_eq!(log[0].event_data["changes"], json!({"clocks": clocks}));
    let first = json!({
        "days": [{"$text": "infinity"}, "2026-11-23", null],
        "ats": [{"$text": "-infinity"}, "2026-11-23T01:02:03.000000Z"],
        "moments": [{"$text": "infinity"}],
        "clocks": [],
        "amounts": ["NaN", "1.50", "123456789012345678901234567890123456789.5"],
        "documents": [{"$json": "{\"a\":\"\\u0000\"}"}, [1]],
    });
    assert_eq!(log[1].event_data["final_values"], first);
    let days = json!([{"$text": "2145031948 days after 2000-01-01"}]);
    assert_eq!(log[2].event_data["final_values"]["days"], days);
}

mod flags {
    use super::*;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "flags")]
    #[tracked(object_type = "flags", team = context, all)]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: u64,
        pub bit: bool,
        pub byte: bool,
        pub clock: Time,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

async fn bits_are_flags_and_hours_may_be_below_zero(db: Arc<TestDb>) {
    let connection = set_up(&db).await;
    let id = u64::MAX;
    for sql in [
        "CREATE TABLE flags (id bigint unsigned PRIMARY KEY, bit bit(1), byte tinyint unsigned, clock time(6))",
        &format!("INSERT INTO flags VALUES ({id}, b'1', 1, '-01:00:00.5')"),
    ] {
        db.db.execute_unprepared(sql).await.unwrap();
    }
    let flags =
        |on| flags::ActiveModel { id: Unchanged(id), bit: Set(on), byte: Set(on), ..Default::default() };
    flags(true).update_with_event(&connection).await.unwrap();
    flags(false).update_with_event(&connection).await.unwrap();
    flags(false).delete_with_event(&connection).await.unwrap();
    let log = db.log().await;
    assert_eq!(types(&log), ["UPDATED", "DELETED"]);
    let change = json!({"old": true, "new": false});
    assert_eq!(log[0].event_data["changes"], json!({"bit": change, "byte": change}));
    assert_eq!(log[1].object_id, Some(id.to_string()));
    let last = json!({"bit": false, "byte": false, "clock": {"$text": "-01:00:00.500000"}});
    assert_eq!(log[1].event_data["final_values"], last);
}

mod zero {
    use super::*;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "zero")]
    #[tracked(object_type = "zero", team = context, all)]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i32,
        pub on_day: Date,
        pub at: DateTime,
        pub clock: Time,
        pub flag: bool,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

async fn dates_of_zero(db: Arc<TestDb>) {
    let connection = set_up(&db).await;
    let txn = db.db.begin().await.unwrap();
    for sql in [
        "SET SESSION sql_mode = ''",
        "CREATE TABLE zero (id integer PRIMARY KEY, on_day date, at datetime, clock time, flag tinyint(1))",
        "INSERT INTO zero VALUES (1, '0000-00-00', '0000-00-00 00:00:00', '-100:00:01', 2)",
        "SET SESSION sql_mode = DEFAULT",
    ] {
        txn.execute_unprepared(sql).await.unwrap();
    }
    txn.commit().await.unwrap();
    zero::Entity::delete_by_id_with_events(1).exec(&connection).await.unwrap();
    let log = db.log().await;
    let values = &log[0].event_data["final_values"];
    assert_eq!(values["on_day"], json!({"$text": "0000-00-00"}));
    assert_eq!(values["at"], json!({"$text": "0000-00-00 00:00:00"}));
    assert_eq!(values["clock"]["$text"].as_str().map(|clock| clock.starts_with('-')), Some(true), "{values}");
    assert_eq!(values["flag"], 2);
}
