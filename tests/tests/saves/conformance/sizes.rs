//! Large values: events are split by size, and what cannot be written is refused before its row is.

use events_sea_orm::{EntityEvents, value::ValueError};
use sea_orm::{
    ColumnTrait, DbBackend, QueryFilter, QueryOrder,
    sea_query::{Expr, OnConflict},
};

use super::*;

tests::conformance! {
    few_large_events_are_split,
    what_no_statement_can_carry_is_refused_before_its_row,
    what_is_found_too_large_after_its_write_is_undone,
    what_a_trigger_makes_too_large_is_undone,
    a_scope_refuses_what_is_too_large_before_the_commit,
    an_emitted_event_that_is_too_large_is_refused,
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
        is_too_large(&error, "text", 17);
    }
    // Nothing was sent, so the unit is healthy.
    paper(1, 8).update(&txn).await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(types(&db.log().await), ["CREATED", "UPDATED"]);
}

#[track_caller]
fn is_too_large(error: &DbErr, expected: &str, megabytes: usize) {
    let Refused::Value { field, source: ValueError::TooLarge { size, .. }, .. } = refusal(error) else {
        panic!("{error}");
    };
    assert_eq!((field.as_str(), *size >> 20), (expected, megabytes));
    assert!(error.to_string().contains("#[track(digest)]"), "{error}");
}

/// In JSON each letter takes six bytes, so no event fits into a packet of 16 MiB, and the row does.
fn escaped() -> String {
    "\u{1}".repeat(3 << 20)
}

/// A row whose `text` is empty and one whose `text` no event of this database can hold, if its packets are of 16 MiB.
async fn with_a_small_and_a_large_row(db: &TestDb) -> events_sea_orm::EventConnection {
    let connection = set_up_papers(db).await;
    for id in [1, 2] {
        let paper = paper::ActiveModel { scan: Set(escaped()), ..paper(id, 0) };
        paper.create_with_event(&connection).await.unwrap();
    }
    db.db.execute_unprepared("UPDATE papers SET text = scan WHERE id = 2").await.unwrap();
    connection
}

/// How many bytes the `text` of each row has.
async fn lengths(db: &TestDb) -> Vec<(i32, usize)> {
    let rows = paper::Entity::find().order_by_asc(paper::Column::Id).all(&db.db).await.unwrap();
    rows.iter().map(|row| (row.id, row.text.len())).collect()
}

async fn what_is_found_too_large_after_its_write_is_undone(db: Arc<TestDb>) {
    let connection = with_a_small_and_a_large_row(&db).await;
    let has_packets = db.db.get_database_backend() == DbBackend::MySql;
    let before = lengths(&db).await;
    // What the rows will hold only the database knows.
    let grow = || {
        paper::Entity::update_many_with_events()
            .col_expr(paper::Column::Text, Expr::col(paper::Column::Scan))
            .filter(paper::Column::Id.eq(1))
    };
    let upsert = || {
        let scan = Expr::col((paper::Entity, paper::Column::Scan));
        let on_conflict = OnConflict::column(paper::Column::Id).value(paper::Column::Text, scan).to_owned();
        paper::Entity::insert_many_with_events([paper(1, 0)]).on_conflict(on_conflict)
    };
    let delete = || paper::Entity::delete_many_with_events().filter(paper::Column::Id.eq(2));
    for verb in 0..3 {
        let txn = connection.begin().await.unwrap();
        let in_unit = match verb {
            0 => grow().exec(&txn).await.map(drop),
            1 => upsert().exec_without_returning(&txn).await.map(drop),
            _ => delete().exec(&txn).await.map(drop),
        };
        if !has_packets {
            in_unit.unwrap();
            txn.rollback().await.unwrap();
            continue;
        }
        is_too_large(&in_unit.unwrap_err(), "text", 18);
        assert!(matches!(txn.commit().await, Err(CommitError::Refused(Refused::Poisoned { .. }))));
        let on_connection = match verb {
            0 => grow().exec(&connection).await.map(drop),
            1 => upsert().exec_without_returning(&connection).await.map(drop),
            _ => delete().exec(&connection).await.map(drop),
        };
        is_too_large(&on_connection.unwrap_err(), "text", 18);
    }
    assert_eq!(lengths(&db).await, before);
    assert_eq!(types(&db.log().await), ["CREATED", "CREATED"]);
    // One row is read before it is deleted, and nothing is sent.
    let txn = connection.begin().await.unwrap();
    let gone = paper(2, 0).delete(&txn).await;
    assert_eq!(gone.is_err(), has_packets);
    txn.commit().await.unwrap();
}

/// Only the servers of one kind say no, and only there is the trigger made.
async fn grow_by_a_trigger(db: &TestDb) -> bool {
    let is_refused = db.db.get_database_backend() == DbBackend::MySql;
    if is_refused {
        let trigger = "CREATE TRIGGER grow BEFORE INSERT ON papers FOR EACH ROW SET NEW.text = NEW.scan";
        db.db.execute_unprepared(trigger).await.unwrap();
    }
    is_refused
}

async fn what_a_trigger_makes_too_large_is_undone(db: Arc<TestDb>) {
    let connection = set_up_papers(&db).await;
    let large = |id| paper::ActiveModel { scan: Set(escaped()), ..paper(id, 0) };
    if !grow_by_a_trigger(&db).await {
        return;
    }
    let many = paper::Entity::insert_many_with_events([large(1)]);
    is_too_large(&many.exec(&connection).await.map(drop).unwrap_err(), "text", 18);
    let txn = connection.begin().await.unwrap();
    // The row is read once more for its caller, or before whatever comes next.
    let inserted = large(2).insert(&txn).await;
    is_too_large(&inserted.unwrap_err(), "text", 18);
    assert!(matches!(txn.commit().await, Err(CommitError::Refused(Refused::Poisoned { .. }))));
    assert_eq!((lengths(&db).await, db.log().await.len()), (Vec::new(), 0));
}

async fn a_scope_refuses_what_is_too_large_before_the_commit(db: Arc<TestDb>) {
    let connection = with_a_small_and_a_large_row(&db).await;
    let (events, before) = (connection.events().clone(), lengths(&db).await);
    let mut large = paper(1, 0);
    large.text = Set(escaped());
    let has_packets = db.db.get_database_backend() == DbBackend::MySql;
    let scope = events.scope(context(), async {
        let txn = db.db.begin().await.unwrap();
        let saves = [large.update(&txn).await.map(drop), paper(2, 0).delete(&txn).await.map(drop)];
        for save in saves {
            match save {
                Err(error) if has_packets => is_too_large(&error, "text", 18),
                saved => assert_eq!((saved, has_packets), (Ok(()), false)),
            }
        }
        if !has_packets {
            return txn.rollback().await.unwrap();
        }
        // Nothing was sent, so even who does not look at the errors loses nothing.
        txn.commit().await.unwrap();
    });
    scope.await.unwrap();
    assert_eq!(lengths(&db).await, before);
    if !grow_by_a_trigger(&db).await {
        return;
    }
    let large = paper::ActiveModel { scan: Set(escaped()), ..paper(3, 0) };
    let scope = events.scope(context(), async {
        let txn = db.db.begin().await.unwrap();
        is_too_large(&large.insert(&txn).await.unwrap_err(), "text", 18);
        txn.rollback().await.unwrap();
    });
    let unfinished = scope.await.unwrap_err().to_string();
    assert!(unfinished.contains("paper"), "{unfinished}");
    assert_eq!(lengths(&db).await, before);
}

async fn an_emitted_event_that_is_too_large_is_refused(db: Arc<TestDb>) {
    let connection = set_up_papers(&db).await;
    let txn = connection.begin().await.unwrap();
    // By its own size, not by a guess: numbers of one digit take two bytes each, and fit.
    txn.emit(Event::custom("numbers").json(json!(vec![1; 2 << 20]))).await.unwrap();
    let emitted = txn.emit(Event::custom("escaped").json(json!(escaped()))).await;
    if db.db.get_database_backend() == DbBackend::MySql {
        let error = emitted.unwrap_err();
        let Refused::Value { object_type, field, source } = refusal(&error) else { panic!("{error}") };
        assert_eq!((object_type.as_str(), field.as_str()), ("escaped", "event_data"));
        assert!(matches!(source, ValueError::TooLarge { .. }), "{source}");
    } else {
        emitted.unwrap();
    }
    txn.commit().await.unwrap();
    assert_eq!(types(&db.log().await)[0], "numbers");
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
