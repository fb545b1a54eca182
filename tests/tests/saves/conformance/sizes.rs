//! Large values: events are split by size, and what cannot be written is refused before its row is.

use events_sea_orm::{EntityEvents, value::ValueError};
use sea_orm::{DbBackend, sea_query::Expr};

use super::*;

tests::conformance! {
    few_large_events_are_split,
    what_no_statement_can_carry_is_refused_before_its_row,
    a_digest_stands_for_a_large_value,
}

mod paper {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "papers")]
    #[tracked(object_type = "paper", team = context)]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i32,
        #[track]
        #[sea_orm(column_type = "Text")]
        pub text: String,
        #[track(digest)]
        #[sea_orm(column_type = "Text")]
        pub scan: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

async fn set_up_papers(db: &TestDb) -> events_sea_orm::EventConnection {
    let events = set_up(db).await;
    let long = if db.db.get_database_backend() == DbBackend::MySql { "longtext" } else { "text" };
    let table =
        format!("CREATE TABLE papers (id integer PRIMARY KEY, text {long} NOT NULL, scan {long} NOT NULL)");
    db.db.execute_unprepared(&table).await.unwrap();
    events.connection(context())
}

fn paper(id: i32, megabytes: usize) -> paper::ActiveModel {
    paper::ActiveModel { id: Set(id), text: Set("x".repeat(megabytes << 20)), scan: Set(String::new()) }
}

async fn few_large_events_are_split(db: Arc<TestDb>) {
    let connection = set_up_papers(&db).await;
    let txn = connection.begin().await.unwrap();
    for id in 1..=3 {
        paper(id, 6).insert(&txn).await.unwrap();
    }
    txn.commit().await.unwrap();
    let lengths: Vec<_> = db.log().await.iter().map(|row| text_of(&row.event_data).len() >> 20).collect();
    assert_eq!(lengths, [6, 6, 6]);
}

fn text_of(data: &serde_json::Value) -> &str {
    data["initial_values"]["text"].as_str().unwrap()
}

async fn what_no_statement_can_carry_is_refused_before_its_row(db: Arc<TestDb>) {
    let connection = set_up_papers(&db).await;
    paper(1, 7).create_with_event(&connection).await.unwrap();
    let txn = connection.begin().await.unwrap();
    let updated = paper(1, 10).update(&txn).await;
    if db.db.get_database_backend() != DbBackend::MySql {
        updated.unwrap();
        txn.commit().await.unwrap();
        assert_eq!(types(&db.log().await), ["CREATED", "UPDATED"]);
        return;
    }
    // The server takes packets of 16 MiB: a row of 10 fits, an event of 7 and 10 does not.
    let many = paper::Entity::update_many_with_events()
        .col_expr(paper::Column::Text, Expr::value("x".repeat(17 << 20)));
    let refused = [
        updated.map(drop).unwrap_err(),
        paper(2, 17).insert(&txn).await.map(drop).unwrap_err(),
        paper::Entity::insert_many_with_events([paper(2, 17)]).exec(&txn).await.map(drop).unwrap_err(),
        many.exec(&txn).await.map(drop).unwrap_err(),
    ];
    for error in refused {
        let Refused::Value { field, source: ValueError::TooLarge { size, .. }, .. } = refusal(&error) else {
            panic!("{error}");
        };
        assert_eq!((field.as_str(), *size), ("text", 17 << 20));
        assert!(error.to_string().contains("#[track(digest)]"), "{error}");
    }
    // Nothing was sent, so the unit is healthy.
    paper(1, 8).update(&txn).await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(types(&db.log().await), ["CREATED", "UPDATED"]);
}

async fn a_digest_stands_for_a_large_value(db: Arc<TestDb>) {
    let connection = set_up_papers(&db).await;
    let scan =
        |megabytes: usize| paper::ActiveModel { scan: Set("y".repeat(megabytes << 20)), ..paper(1, 0) };
    let model = scan(9).create_with_event(&connection).await.unwrap();
    scan(10).update_with_event(&connection).await.unwrap();
    scan(10).update_with_event(&connection).await.unwrap();
    let log = db.log().await;
    assert_eq!(types(&log), ["CREATED", "UPDATED"]);
    let change = &log[1].event_data["changes"]["scan"];
    assert_eq!((&change["old"]["length"], &change["new"]["length"]), (&json!(9 << 20), &json!(10 << 20)));
    assert_eq!(change["old"], log[0].event_data["initial_values"]["scan"]);
    assert_ne!(change["old"]["$sha256"], change["new"]["$sha256"]);
    assert_eq!(model.snapshot().unwrap()["scan"], change["old"]);
}
