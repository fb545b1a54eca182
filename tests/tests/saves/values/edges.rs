//! What cannot be recorded, what is cut, and what is no change.

use std::sync::Arc;

use events_sea_orm::{
    ActiveModelEvents, Context, Event, EventConnection, Events, ModelEvents, Refused, event,
    sea_orm::prelude::{TimeDate, TimeDateTime, TimeTime, Uuid},
    value::{ValueError, from_json},
};
use sea_orm::{
    ActiveModelTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, ModelTrait, QueryOrder, Set, SqlErr,
    TransactionTrait, Unchanged, Value,
};
use serde_json::{Value as Json, json};
use tests::TestDb;

use crate::values::{
    date,
    entities::{Letter, nanos, texts},
    harness::create,
    nested,
};

tests::conformance! {
    nul_is_refused_and_nothing_half_happens,
    json_that_could_not_be_read_back_is_refused,
    times_have_the_digits_that_the_database_keeps,
    keys_are_as_fine_as_the_database_keeps_them,
    json_in_another_spelling_is_no_change,
}

type Text = texts::filled::ActiveModel;

async fn with_a_row(db: &TestDb) -> EventConnection {
    db.with_tables().await;
    create(db, "texts", texts::COLUMNS, false).await;
    let connection = Events::builder(db.db.clone()).build().await.unwrap().connection(Context::team(7));
    let row = Text {
        id: Set(1),
        letter: Set(Letter('a')),
        line: Set("line".to_owned()),
        text: Set("text".to_owned()),
        bytes: Set(vec![0]), // a NUL among bytes is a byte
        uuid: Set(Uuid::nil()),
        json: Set(json!({})),
        json_binary: Set(json!({})),
    };
    row.create_with_event(&connection).await.unwrap();
    connection
}

async fn row(db: &TestDb) -> texts::filled::Model {
    texts::filled::Entity::find_by_id(1).one(&db.db).await.unwrap().unwrap()
}

/// Tries an update in a unit of work with another save before it: nothing of either is left.
async fn refused(db: &TestDb, connection: &EventConnection, change: Text) -> DbErr {
    let before = (row(db).await, db.log().await.len());
    let txn = connection.begin().await.unwrap();
    let first = Text { id: Unchanged(1), line: Set("before it".to_owned()), ..Default::default() };
    first.update(&txn).await.unwrap();
    let nested = txn.begin().await.unwrap();
    let error = match change.update(&nested).await {
        Err(error) => {
            nested.rollback().await.unwrap();
            txn.rollback().await.unwrap();
            error
        }
        // The row was fine with the database, its event is not.
        Ok(_) => {
            nested.commit().await.unwrap();
            txn.commit().await.expect_err("must be refused").into()
        }
    };
    assert_eq!((row(db).await, db.log().await.len()), before, "{error}");
    error
}

#[track_caller]
fn assert_names(error: &DbErr, wanted: &str, why: &ValueError) {
    match Refused::of(error) {
        Some(Refused::Value { object_type, field, source }) => {
            assert_eq!((object_type.as_str(), field.as_str(), source), ("texts", wanted, why));
        }
        _ => panic!("not a refusal: {error}"),
    }
}

async fn nul_is_refused_and_nothing_half_happens(db: Arc<TestDb>) {
    let connection = with_a_row(&db).await;
    let change = || Text { id: Unchanged(1), ..Default::default() };
    let changes = [
        ("letter", Text { letter: Set(Letter('\0')), ..change() }),
        ("line", Text { line: Set("a\0b".to_owned()), ..change() }),
        ("text", Text { text: Set("\0".to_owned()), ..change() }),
        ("json", Text { json: Set(json!([{"a": "b\0"}])), ..change() }),
        ("json", Text { json: Set(json!({"a\0": 1})), ..change() }),
    ];
    for (field, change) in changes {
        let error = refused(&db, &connection, change).await;
        // PostgreSQL takes no NUL either and says so first.
        let by_the_database = matches!(error, DbErr::Exec(_) | DbErr::Query(_));
        if !(db.db.get_database_backend() == DbBackend::Postgres && by_the_database) {
            assert_names(&error, field, &ValueError::Nul);
        }
    }
    let change = Text { bytes: Set(vec![0, 0]), ..change() };
    change.update_with_event(&connection).await.unwrap();
    assert_eq!(db.log().await[1].event_data["changes"], json!({"bytes": {"old": "AA==", "new": "AAA="}}));
}

async fn json_that_could_not_be_read_back_is_refused(db: Arc<TestDb>) {
    let connection = with_a_row(&db).await;
    let change = |levels| Text { id: Unchanged(1), json_binary: Set(nested(levels)), ..Default::default() };
    // The user's own table reads back serde_json's 127 levels, which an event puts a few more around.
    let error = refused(&db, &connection, change(121)).await;
    assert_names(&error, "json_binary", &ValueError::Deep);
    change(120).update_with_event(&connection).await.unwrap();
    let txn = connection.begin().await.unwrap();
    let error = txn.emit(Event::custom("deep").json(nested(121))).await.unwrap_err();
    assert!(matches!(Refused::of(&error), Some(Refused::Value { source: ValueError::Deep, .. })), "{error}");
    txn.commit().await.unwrap();
    let error = connection.events().begin(Context::team(7).request("deep", nested(121))).await.unwrap_err();
    assert!(matches!(Refused::of(&error), Some(Refused::Value { source: ValueError::Deep, .. })), "{error}");
    let log = db.log().await;
    assert_eq!(log[1].event_data["changes"]["json_binary"]["new"], nested(120), "the log is still read");
    assert_eq!(log.len(), 2);
}

/// Servers keep microseconds; SQLite keeps the text that it is given, and so does the event.
///
/// After 2000, from where sqlx counts: before it, cutting PostgreSQL's microseconds is rounding up.
async fn times_have_the_digits_that_the_database_keeps(db: Arc<TestDb>) {
    db.with_tables().await;
    create(&db, "nanos", nanos::COLUMNS, false).await;
    let connection = Events::builder(db.db.clone()).build().await.unwrap().connection(Context::team(7));
    let save = |nanos: u32| {
        let time = chrono::NaiveTime::from_hms_nano_opt(1, 2, 3, nanos).unwrap();
        let at = date(2026, 11, 23).and_time(time);
        let day = TimeDate::from_ordinal_date(2026, 327).unwrap();
        let other = TimeDateTime::new(day, TimeTime::from_hms_nano(1, 2, 3, nanos).unwrap());
        nanos::filled::ActiveModel {
            id: Set(1),
            time: Set(time),
            date_time: Set(at),
            utc: Set(at.and_utc()),
            other: Set(other),
        }
    };
    let keeps_nanos = db.db.get_database_backend() == DbBackend::Sqlite;
    let digits = |nanos: u32| match nanos % 1_000 {
        0 => format!("{:06}", nanos / 1_000),
        _ if keeps_nanos => format!("{nanos:09}"),
        _ => format!("{:06}", nanos / 1_000),
    };
    let values = |nanos: u32| {
        let time = digits(nanos);
        json!({
            "time": format!("01:02:03.{time}"),
            "date_time": format!("2026-11-23T01:02:03.{time}"),
            "utc": format!("2026-11-23T01:02:03.{time}Z"),
            "other": format!("2026-11-23T01:02:03.{time}"),
        })
    };
    save(123_456_001).create_with_event(&connection).await.unwrap();
    assert_eq!(db.log().await[0].event_data["initial_values"], values(123_456_001));
    save(123_456_999).update_with_event(&connection).await.unwrap();
    assert_eq!(db.log().await.len(), if keeps_nanos { 2 } else { 1 });
    save(123_456_000).update_with_event(&connection).await.unwrap();
    save(123_457_000).update_with_event(&connection).await.unwrap();
    let log = db.log().await;
    let stored = nanos::filled::Entity::find_by_id(1).one(&db.db).await.unwrap().unwrap();
    for column in [
        nanos::filled::Column::Time,
        nanos::filled::Column::DateTime,
        nanos::filled::Column::Utc,
        nanos::filled::Column::Other,
    ] {
        use sea_orm::IdenStatic;
        let change: &Json = &log.last().unwrap().event_data["changes"][column.as_str()];
        assert_eq!(change["old"], values(123_456_000)[column.as_str()]);
        let stored: Value = stored.get(column);
        assert_eq!(from_json(&change["new"], &stored.as_null()).unwrap(), stored);
    }
}

mod moment {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "moments")]
    #[tracked(object_type = "moment", team = context)]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub at: DateTime,
        #[track]
        pub title: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

/// Two keys that differ by a nanosecond are two objects on SQLite, and one key elsewhere.
async fn keys_are_as_fine_as_the_database_keeps_them(db: Arc<TestDb>) {
    db.with_tables().await;
    let at = match db.db.get_database_backend() {
        DbBackend::Sqlite => "datetime_text",
        DbBackend::Postgres => "timestamp",
        _ => "datetime(6)",
    };
    let table = format!("CREATE TABLE moments (at {at} PRIMARY KEY, title varchar(9) NOT NULL)");
    db.db.execute_unprepared(&table).await.unwrap();
    let connection = Events::builder(db.db.clone()).build().await.unwrap().connection(Context::team(7));
    let moment = |nanos: u32, title: &str| {
        let at = date(2026, 11, 23).and_hms_nano_opt(1, 2, 3, nanos).unwrap();
        moment::ActiveModel { at: Set(at), title: Set(title.to_owned()) }
    };
    moment(123_456_001, "first").create_with_event(&connection).await.unwrap();
    let second = moment(123_456_002, "second").create_with_event(&connection).await;
    if db.db.get_database_backend() != DbBackend::Sqlite {
        assert!(matches!(second.unwrap_err().sql_err(), Some(SqlErr::UniqueConstraintViolation(_))));
        assert_eq!(db.log().await[0].object_id.as_deref(), Some("2026-11-23T01:02:03.123456"));
        return;
    }
    let second = second.unwrap();
    moment(123_456_002, "changed").update_with_event(&connection).await.unwrap();
    let ids = async |of: moment::Model| {
        let timeline = connection.timeline(&of).all().await.unwrap();
        let object_id = |event: event::Model| (event.event_type, event.object_id.unwrap());
        timeline.into_iter().map(object_id).collect::<Vec<_>>()
    };
    let of = |event_type: &str, nanos: u32| (event_type.to_owned(), format!("2026-11-23T01:02:03.{nanos}"));
    assert_eq!(ids(second).await, [of("UPDATED", 123_456_002), of("CREATED", 123_456_002)]);
    let first = moment::Entity::find().order_by_asc(moment::Column::At).one(&db.db).await.unwrap().unwrap();
    assert_eq!(ids(first.clone()).await, [of("CREATED", 123_456_001)]);
    first.delete_with_event(&connection).await.unwrap();
    assert_eq!(db.log().await[3].event_data["final_values"], json!({"title": "first"}));
}

/// Somebody else wrote the same document with blanks and its keys the other way round.
async fn json_in_another_spelling_is_no_change(db: Arc<TestDb>) {
    let connection = with_a_row(&db).await;
    let respell = r#"UPDATE texts SET json = '{ "b" : [true, 2.50],  "a": "\u00e9" }'"#;
    let respell = match db.db.get_database_backend() {
        DbBackend::MySql => respell.replace('\\', "\\\\"),
        _ => respell.to_owned(),
    };
    db.db.execute_unprepared(&respell).await.unwrap();
    let change = |json| Text { id: Unchanged(1), json: Set(json), ..Default::default() };
    change(json!({"a": "é", "b": [true, 2.5]})).update_with_event(&connection).await.unwrap();
    assert_eq!(db.log().await.len(), 1, "only CREATED");
    change(json!({"a": "é", "b": [2.5, true]})).update_with_event(&connection).await.unwrap();
    let log = db.log().await;
    let change = json!({"old": {"a": "é", "b": [true, 2.5]}, "new": {"a": "é", "b": [2.5, true]}});
    assert_eq!(log[1].event_data["changes"], json!({"json": change}), "the order of a list is one");
}
