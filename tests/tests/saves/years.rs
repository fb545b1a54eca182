//! Dates and times that a database does not hold.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, NaiveDate, Utc};
use events_sea_orm::{
    ActiveModelEvents, EntityEvents, Event, EventConnection, Events, Refused, analytics, migration,
};
use futures_util::StreamExt;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, QueryFilter,
    Schema, Set, Statement, StreamTrait, TransactionTrait, Unchanged, sea_query::Expr,
};
use tests::{TEAM, TestDb, context, refusal, types};

tests::conformance! {
    an_event_has_happened_in_a_year_that_every_database_holds,
}

mod mariadb {
    use super::*;

    tests::on_mysql! {
        a_year_that_mariadb_does_not_hold_is_refused_before_it_is_sent,
        a_save_in_a_scope_of_a_year_that_mariadb_does_not_hold_is_refused,
    }
}

mod meeting {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "meetings")]
    #[tracked(object_type = "meeting", team = "team_id", all)]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub team_id: i32,
        pub day: Date,
        pub at: DateTime,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

async fn an_event_has_happened_in_a_year_that_every_database_holds(db: Arc<TestDb>) {
    db.with_tables().await;
    let events = Events::builder(db.db.clone()).build().await.unwrap();
    let held = [at("0001-01-01T00:00:00Z"), at("1000-01-01T00:00:00Z"), at("9999-12-31T23:59:59.999999Z")];
    // By values, and by the forms that many events have.
    for copies in [1, 3] {
        let txn = events.begin(context()).await.unwrap();
        for at in [DateTime::<Utc>::MIN_UTC, at("-0001-01-01T00:00:00Z"), at("0000-12-31T23:59:59Z")]
            .into_iter()
            .chain([at("+10000-01-01T00:00:00Z"), at("+99999-01-01T00:00:00Z"), DateTime::<Utc>::MAX_UTC])
        {
            let error = txn.emit(Event::custom("imported").occurred_at(at)).await.unwrap_err();
            assert!(matches!(refusal(&error), Refused::DateOutOfRange { first: 1, .. }), "{at}: {error}");
            assert!(error.to_string().contains("`occurred_at` of `imported`"), "{error}");
        }
        for _ in 0..copies {
            for at in held {
                txn.emit(Event::custom("imported").occurred_at(at)).await.unwrap();
            }
        }
        txn.commit().await.unwrap();
    }
    let log: Vec<_> = db.log().await.into_iter().map(|event| event.occurred_at).collect();
    assert_eq!(log, held.repeat(4));
}

async fn set_up(db: &TestDb) -> Events {
    db.with_tables().await;
    migration::analytics::up(&db.db).await.unwrap();
    let schema = Schema::new(db.db.get_database_backend());
    db.db.execute(&schema.create_table_from_entity(meeting::Entity)).await.unwrap();
    // One connection: what hangs on it is lost to all that follows.
    let pool = TestDb::open_with(&db.url, 1).await;
    Events::builder(pool).without_registered_consumers().build().await.unwrap()
}

fn new_meeting(day: NaiveDate, at: DateTime<Utc>) -> meeting::ActiveModel {
    meeting::ActiveModel { team_id: Set(TEAM), day: Set(day), at: Set(at.naive_utc()), ..Default::default() }
}

/// What is sent to a connection with a date or time of its caller's.
const CALLS: [&str; 18] = [
    "since",
    "before",
    "counts",
    "totals",
    "rebuild",
    "find",
    "text",
    "stream",
    "create",
    "create many",
    "update",
    "update one",
    "update many",
    "delete many",
    "in unit",
    "stream in unit",
    "untracked",
    "untracked text",
];

async fn call(
    events: &Events,
    plain: &DatabaseConnection,
    name: &str,
    day: NaiveDate,
    at: DateTime<Utc>,
) -> Result<(), DbErr> {
    use meeting::{Column, Entity};
    let db: EventConnection = events.connection(context());
    let later = Column::At.gt(at.naive_utc());
    let sql =
        |sql: &str| Statement::from_sql_and_values(sea_orm::DbBackend::MySql, sql, [at.naive_utc().into()]);
    let changed = meeting::ActiveModel { id: Unchanged(1), day: Set(day), ..Default::default() };
    match name {
        "since" => db.feed().recorded_since(at).all().await.map(drop),
        "before" => db.feed().recorded_before(at).count().await.map(drop),
        "counts" => analytics::daily_counts(&db, TEAM, day..=day).await.map(drop),
        "totals" => analytics::totals(plain, TEAM, day..=day).await.map(drop),
        "rebuild" => analytics::rebuild(events, None, day..=day).await.map(drop),
        "find" => Entity::find().filter(later).all(&db).await.map(drop),
        "text" => db.query_all_raw(sql("SELECT ?")).await.map(drop),
        "stream" => Entity::find().filter(later).stream(&db).await.map(drop),
        "create" => new_meeting(day, at).create_with_event(&db).await.map(drop),
        "create many" => {
            let many = [new_meeting(day, at), new_meeting(day, at)];
            Entity::insert_many_with_events(many).exec(&db).await.map(drop)
        }
        "update" => changed.update_with_event(&db).await.map(drop),
        "update one" => Entity::update_with_events(changed).exec(&db).await.map(drop),
        "update many" => {
            let update = Entity::update_many_with_events().col_expr(Column::Day, Expr::value(day));
            update.exec(&db).await.map(drop)
        }
        "delete many" => Entity::delete_many_with_events().filter(later).exec(&db).await.map(drop),
        _ => {
            let txn = db.begin().await?;
            let refused = match name {
                "in unit" => new_meeting(day, at).insert(&txn).await.map(drop),
                "stream in unit" => match txn.stream_raw(sql("SELECT ?")).await {
                    Ok(mut rows) => rows.next().await.transpose().map(drop),
                    Err(error) => Err(error),
                },
                "untracked" => {
                    let write = async |txn: &events_sea_orm::EventTransaction| {
                        Entity::update_many().col_expr(Column::Day, Expr::value(day)).exec(txn).await
                    };
                    txn.untracked("a test", write).await.map(drop)
                }
                _ => {
                    let write = async |txn: &events_sea_orm::EventTransaction| {
                        txn.execute_raw(sql("UPDATE meetings SET at = ?")).await
                    };
                    txn.untracked("a test", write).await.map(drop)
                }
            };
            // Nothing was sent: the unit goes on.
            let kept =
                new_meeting(NaiveDate::from_ymd_opt(2026, 1, 1).unwrap(), self::at("2026-01-01T00:00:00Z"));
            kept.insert(&txn).await?;
            txn.commit().await?;
            refused
        }
    }
}

async fn a_year_that_mariadb_does_not_hold_is_refused_before_it_is_sent(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    for (day, at) in [
        (NaiveDate::MIN, at("-0001-01-01T00:00:00Z")),
        (NaiveDate::MAX, at("+99999-01-01T00:00:00Z")),
        (NaiveDate::from_ymd_opt(10_000, 1, 1).unwrap(), at("+10000-01-01T00:00:00Z")),
    ] {
        for name in CALLS {
            let answer =
                tokio::time::timeout(Duration::from_secs(60), call(&events, &db.db, name, day, at)).await;
            let error = answer.unwrap_or_else(|_| panic!("{name} of {at} hangs")).unwrap_err();
            assert!(matches!(refusal(&error), Refused::DateOutOfRange { first: 0, .. }), "{name}: {error}");
        }
    }
    let error =
        call(&events, &db.db, "create", NaiveDate::MAX, at("2026-01-01T00:00:00Z")).await.unwrap_err();
    assert!(error.to_string().contains("`day` of `meeting`"), "{error}");
    let error =
        call(&events, &db.db, "text", NaiveDate::MAX, at("+10000-01-01T00:00:00Z")).await.unwrap_err();
    assert!(error.to_string().contains("value 1 of a statement"), "{error}");
    let log = db.log().await;
    assert!(types(&log).iter().all(|it| *it == "CREATED"), "{log:?}");
    assert_eq!(log.len(), 4 * 3, "those of the units that went on");
    // What is held is sent.
    for name in CALLS {
        let held = (NaiveDate::from_ymd_opt(9999, 12, 31).unwrap(), at("1970-01-02T00:00:00Z"));
        let sent = tokio::time::timeout(Duration::from_secs(60), call(&events, &db.db, name, held.0, held.1));
        sent.await
            .unwrap_or_else(|_| panic!("{name} hangs"))
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

async fn a_save_in_a_scope_of_a_year_that_mariadb_does_not_hold_is_refused(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let pool = TestDb::open_with(&db.url, 1).await;
    let saved = events.try_scope(context(), async {
        let txn = pool.begin().await?;
        let refused = new_meeting(NaiveDate::MAX, at("2026-01-01T00:00:00Z")).insert(&txn).await.unwrap_err();
        assert!(matches!(refusal(&refused), Refused::DateOutOfRange { first: 0, .. }), "{refused}");
        new_meeting(NaiveDate::from_ymd_opt(2026, 1, 1).unwrap(), at("2026-01-01T00:00:00Z"))
            .insert(&txn)
            .await?;
        txn.commit().await
    });
    tokio::time::timeout(Duration::from_secs(60), saved).await.expect("nothing hangs").unwrap();
    assert_eq!(types(&db.log().await), ["CREATED"]);
}
