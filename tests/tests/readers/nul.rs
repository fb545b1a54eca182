//! Text that PostgreSQL cannot hold: refused before it is sent, or an error of the database would end the unit of work.

use std::sync::Arc;

use events_sea_orm::{
    Context, Events, ObjectRef, Refused, analytics, migration,
    notifications::{Inbox, Topic},
    threads::Thread,
};
use sea_orm::{DbErr, TransactionTrait};
use tests::{TEAM, TestDb, context, refusal};

tests::conformance! {
    text_with_a_nul_is_refused_before_it_is_sent,
}

const NUL: &str = "a\0b";

/// Every call of the readers that takes text which can be in a query.
const CALLS: [&str; 20] = [
    "messages of an object",
    "messages of a type",
    "messages of a scope",
    "messages of a team",
    "post",
    "list",
    "unread",
    "unread by type",
    "preferences",
    "mark one",
    "mark all",
    "set",
    "set of an object",
    "clear",
    "clear of an object",
    "actor",
    "type",
    "timeline",
    "current life",
    "counts",
];

async fn text_with_a_nul_is_refused_before_it_is_sent(db: Arc<TestDb>) {
    db.with_tables().await;
    migration::threads::up(&db.db).await.unwrap();
    migration::notifications::up(&db.db).await.unwrap();
    migration::analytics::up(&db.db).await.unwrap();
    let events = Events::builder(db.db.clone()).without_registered_consumers().build().await.unwrap();
    let connection = events.connection(context());
    for name in CALLS {
        let txn = connection.begin().await.unwrap();
        let error = call(&db, &txn, name).await.unwrap_err();
        assert!(matches!(refusal(&error), Refused::Identifier(_)), "{name}: {error}");
        assert!(error.to_string().contains("NUL"), "{name}: {error}");
        let goes_on = txn.emit(events_sea_orm::Event::custom("asked")).await;
        goes_on.unwrap_or_else(|error| panic!("{name}: {error}"));
        txn.commit().await.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let error = analytics::rebuild(&events, Some(NUL), day()..=day()).await.unwrap_err();
    assert!(matches!(refusal(&error), Refused::Identifier(_)), "{error}");
    assert!(matches!(events.begin(Context::team(NUL)).await, Err(error) if Refused::of(&error).is_some()));
    assert_eq!(db.log().await.len(), CALLS.len());
}

fn day() -> chrono::NaiveDate {
    chrono::NaiveDate::from_ymd_opt(2026, 1, 1).unwrap()
}

async fn call(db: &TestDb, txn: &events_sea_orm::EventTransaction, name: &str) -> Result<(), DbErr> {
    let object = || ObjectRef::new("campaign", NUL);
    let inbox = Inbox::of(TEAM, NUL);
    let user = Inbox::of(TEAM, "ada");
    let of_type = Topic::everything().about_type(NUL);
    let of_object = Topic::everything().about(object());
    let thread = Thread::of(TEAM, ObjectRef::new("campaign", 1));
    match name {
        "messages of an object" => Thread::of(TEAM, object()).messages().latest().all(txn).await.map(drop),
        "messages of a type" => {
            Thread::of(TEAM, ObjectRef::new(NUL, 1)).messages().after(0).all(txn).await.map(drop)
        }
        "messages of a scope" => thread.scoped("\0").messages().all(txn).await.map(drop),
        // A plain connection is of no team.
        "messages of a team" => {
            Thread::of(NUL, ObjectRef::new("campaign", 1)).messages().all(&db.db).await.map(drop)
        }
        "post" => thread.scoped(NUL).post(txn, "hello").await.map(drop).map_err(DbErr::from),
        "list" => inbox.list().all(txn).await.map(drop),
        "unread" => inbox.unread_count(txn).await.map(drop),
        "unread by type" => inbox.unread_by_object_type(txn).await.map(drop),
        "preferences" => inbox.preferences(txn).await.map(drop),
        "mark one" => inbox.mark_read(txn, 1).await.map(drop),
        "mark all" => inbox.mark_all_read(txn, 1).await.map(drop),
        "set" => user.set_preference(txn, of_type, true).await,
        "set of an object" => user.set_preference(txn, of_object, true).await,
        "clear" => user.clear_preference(txn, &of_type).await.map(drop),
        "clear of an object" => user.clear_preference(txn, &of_object).await.map(drop),
        "actor" => txn.feed().actor(NUL).all().await.map(drop),
        "type" => txn.feed().object_type(NUL).count().await.map(drop),
        "timeline" => txn.timeline(object()).all().await.map(drop),
        "current life" => txn.timeline(ObjectRef::new(NUL, 1)).current_life().one().await.map(drop),
        _ => analytics::daily_counts(&db.db, NUL, day()..=day()).await.map(drop),
    }
}
