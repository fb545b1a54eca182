//! Copies that are interrupted, meet, come again and are compared.

use std::{sync::Arc, task::Poll};

use events_sea_orm::migration::{
    self,
    activity_events::{self, ActivityEvents, ActivityEventsError},
};
use futures_util::FutureExt;
use sea_orm_migration::{MigrationTrait, MigratorTrait, SchemaManager};
use tests::{
    TestDb,
    proxy::{Fault, Proxy},
};

use crate::activity_events::tables::{check, fill, migrate, number, run, separate, single, uuid};

tests::conformance! {
    copy_dropped_at_any_await_goes_on,
    copies_at_once_share_the_work,
    rows_that_come_late_are_taken_by_another_run,
    copy_without_its_notes_finds_what_is_there,
    check_finds_what_differs,
    finish_wants_a_check_of_all_rows,
    finish_is_not_needed_twice_and_can_be_undone,
    step_of_a_migrator,
    progress_is_told,
}

mod servers {
    use super::*;
    tests::on_servers! { copy_whose_connection_breaks_goes_on }
}

/// Every row once, in the order of the key.
async fn is_whole(db: &TestDb, old: &ActivityEvents, rows: u64) {
    assert_eq!(check(db, old).await.rows, rows);
    let from = old.table();
    let log = db.log().await;
    let objects: Vec<u64> = log
        .iter()
        .filter(|row| row.context["imported"]["from"] == from)
        .map(|row| row.object_id.as_deref().unwrap()[1..].parse().unwrap())
        .collect();
    assert_eq!(objects, (1..=rows).collect::<Vec<_>>());
}

/// Runs a copy for so many polls; answers whether it had finished. Its pool is its own, and may be left with a broken
/// connection.
async fn copy_for(polls: usize, url: &str, old: &ActivityEvents) -> bool {
    let pool = TestDb::open_with(url, 1).await;
    let mut copy = activity_events::migrate(&pool, old, |_| ()).boxed();
    let mut left = polls;
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        copy.as_mut().poll(context).map(|result| result.is_ok())
    })
    .await
}

async fn copy_dropped_at_any_await_goes_on(db: Arc<TestDb>) {
    let mut polls = 1;
    loop {
        let table = format!("old_{polls}");
        single(&db, &table).await;
        fill(&db.db, &table, 1..=7).await;
        let old = ActivityEvents::from_table(&table).batch(3);
        let finished = copy_for(polls, &db.url, &old).await;
        migrate(&db, &old).await;
        is_whole(&db, &old, 7).await;
        if finished {
            assert!(polls > 20, "the copy was not taken apart: {polls} polls");
            return;
        }
        polls += 2;
    }
}

async fn copy_whose_connection_breaks_goes_on(db: Arc<TestDb>) {
    single(&db, "activity_events").await;
    fill(&db.db, "activity_events", 1..=40).await;
    let old = ActivityEvents::default().batch(5);
    for fault in [Fault::CutBefore, Fault::CutDuring, Fault::SwallowReply] {
        let proxy = Proxy::to(&db.url).await;
        let pool = TestDb::open_with(&proxy.url, 1).await;
        proxy.strike(fault);
        activity_events::migrate(&pool, &old, |_| ()).await.unwrap_err();
        drop(pool);
    }
    let left = migrate(&db, &old).await.copied;
    assert!((20..40).contains(&left), "batches that were committed stay: {left} were left");
    is_whole(&db, &old, 40).await;
}

async fn copies_at_once_share_the_work(db: Arc<TestDb>) {
    separate(&db).await;
    for n in 1..=60 {
        run(&db.db, &format!(
            "INSERT INTO activity_events VALUES ('{}', '{}', 'CREATED', NULL, NULL, NULL, NULL, NULL, NULL, '2025-05-01 10:00:{:02}')",
            uuid(n), uuid(7), n % 60
        )).await;
    }
    let mut copies = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let db = Arc::clone(&db);
        copies.spawn(async move { migrate(&db, &ActivityEvents::default().batch(3)).await.copied });
    }
    assert_eq!(copies.join_all().await.into_iter().sum::<u64>(), 60);
    assert_eq!(check(&db, &ActivityEvents::default()).await.rows, 60);
    assert!(db.log().await.is_sorted_by_key(|row| row.occurred_at));
}

/// A key is drawn before its row is committed, so rows with an earlier key may come later.
async fn rows_that_come_late_are_taken_by_another_run(db: Arc<TestDb>) {
    single(&db, "activity_events").await;
    let old = ActivityEvents::default().batch(4);
    fill(&db.db, "activity_events", (1..=30).filter(|n| n % 7 != 0)).await;
    assert_eq!(migrate(&db, &old).await.copied, 26);
    check(&db, &old).await;
    fill(&db.db, "activity_events", [7, 14, 21, 28, 31]).await;
    let refused = activity_events::finish(&db.db, &old).await.unwrap_err();
    assert!(
        matches!(refused, ActivityEventsError::Unchecked { rows: 31, checked: Some(26), .. }),
        "{refused}"
    );
    assert_eq!(migrate(&db, &old).await.copied, 5);
    assert_eq!(check(&db, &old).await.rows, 31);
    assert_eq!(migrate(&db, &old).await.copied, 0);
    activity_events::finish(&db.db, &old).await.unwrap();
}

async fn copy_without_its_notes_finds_what_is_there(db: Arc<TestDb>) {
    single(&db, "activity_events").await;
    let old = ActivityEvents::default().batch(4);
    fill(&db.db, "activity_events", 1..=10).await;
    migrate(&db, &old).await;
    run(&db.db, "DELETE FROM events_imports").await;
    fill(&db.db, "activity_events", 11..=12).await;
    let error = activity_events::migrate(&db.db, &old, |_| ()).await;
    assert_eq!(error.unwrap().copied, 2);
    is_whole(&db, &old, 12).await;
}

async fn check_finds_what_differs(db: Arc<TestDb>) {
    single(&db, "activity_events").await;
    let old = ActivityEvents::default().batch(4);
    fill(&db.db, "activity_events", 1..=9).await;
    let nothing = activity_events::check(&db.db, &old).await.unwrap_err().to_string();
    assert!(nothing.ends_with("team 2, UPDATED: 3 rows, 0 events"), "{nothing}");
    let refused = activity_events::finish(&db.db, &old).await.unwrap_err();
    assert!(matches!(refused, ActivityEventsError::Unchecked { rows: 9, checked: None, .. }), "{refused}");
    migrate(&db, &old).await;
    let first = check(&db, &old).await;
    assert_eq!((first.rows, first.groups), (9, 3));
    assert_eq!(check(&db, &old).await, first, "the same checksum each time");
    for (change, back, expected) in [
        (
            r#"UPDATE activity_events SET event_data = '{"name": {"old": "4", "new": "tampered"}}' WHERE id = 4"#,
            r#"UPDATE activity_events SET event_data = '{"name": {"old": "4", "new": "5"}}' WHERE id = 4"#,
            "team 1, UPDATED: 3 rows, and as many events that hold something else",
        ),
        (
            "UPDATE activity_events SET created_at = '2025-05-01 10:00:59' WHERE id = 4",
            "UPDATE activity_events SET created_at = '2025-05-01 10:00:04' WHERE id = 4",
            "team 1, UPDATED: 3 rows, and as many events that hold something else",
        ),
        (
            "UPDATE activity_events SET team_id = 2 WHERE id = 4",
            "UPDATE activity_events SET team_id = 1 WHERE id = 4",
            "team 1, UPDATED: 2 rows, 3 events\n  team 2, UPDATED: 4 rows, 3 events",
        ),
        (
            "UPDATE activity_events SET event_type = 'renamed' WHERE id = 4",
            "UPDATE activity_events SET event_type = 'UPDATED' WHERE id = 4",
            "team 1, UPDATED: 2 rows, 3 events\n  team 1, renamed: 1 rows, 0 events",
        ),
        (
            "UPDATE activity_events SET event_type = 'ü' WHERE id = 4",
            "UPDATE activity_events SET event_type = 'UPDATED' WHERE id = 4",
            "team 1, UPDATED: 2 rows, 3 events\n  1 rows cannot be stored, and 0 are listed in `events_import_skipped`",
        ),
    ] {
        run(&db.db, change).await;
        let error = activity_events::check(&db.db, &old).await.unwrap_err().to_string();
        let lines = error.split_once("\n  ").expect("a list").1;
        assert_eq!(lines, expected);
        run(&db.db, back).await;
        assert_eq!(check(&db, &old).await, first);
    }
    run(&db.db, "DELETE FROM activity_events WHERE id = 9").await;
    let error = activity_events::check(&db.db, &old).await.unwrap_err().to_string();
    assert!(error.ends_with("team 0, UPDATED: 2 rows, 3 events"), "{error}");
}

async fn finish_wants_a_check_of_all_rows(db: Arc<TestDb>) {
    single(&db, "activity_events").await;
    let old = ActivityEvents::default();
    fill(&db.db, "activity_events", 1..=3).await;
    migrate(&db, &old).await;
    check(&db, &old).await;
    // One goes and one comes: as many, but a run has written since.
    run(&db.db, "CREATE TABLE activity_events_old (id integer)").await;
    let refused = activity_events::finish(&db.db, &old).await.unwrap_err();
    assert!(
        matches!(&refused, ActivityEventsError::NameTaken { table } if table == "activity_events_old"),
        "{refused}"
    );
    let old = old.rename_to("kept");
    fill(&db.db, "activity_events", 4..=4).await;
    activity_events::finish(&db.db, &old).await.unwrap_err();
    assert_eq!(number(&db.db, "SELECT count(*) FROM activity_events").await, 4, "it has its name still");
    migrate(&db, &old).await;
    activity_events::finish(&db.db, &old).await.unwrap_err();
    check(&db, &old).await;
    activity_events::finish(&db.db, &old).await.unwrap();
    assert_eq!(number(&db.db, "SELECT count(*) FROM kept").await, 4);
}

async fn finish_is_not_needed_twice_and_can_be_undone(db: Arc<TestDb>) {
    single(&db, "activity_events").await;
    let old = ActivityEvents::default();
    fill(&db.db, "activity_events", 1..=3).await;
    migrate(&db, &old).await;
    check(&db, &old).await;
    activity_events::finish(&db.db, &old).await.unwrap();
    activity_events::finish(&db.db, &old).await.unwrap();
    assert_eq!(migrate(&db, &old).await.copied, 0);
    activity_events::undo(&db.db, &old).await.unwrap();
    activity_events::undo(&db.db, &old).await.unwrap();
    fill(&db.db, "activity_events", 4..=4).await;
    assert_eq!(db.log().await.len(), 3, "events stay");
    assert_eq!(migrate(&db, &old).await.copied, 1);
    is_whole(&db, &old, 4).await;
}

struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        let mut steps = migration::steps();
        steps.push(activity_events::step(ActivityEvents::default().batch(2)));
        steps
    }
}

async fn step_of_a_migrator(db: Arc<TestDb>) {
    single(&db, "activity_events").await;
    fill(&db.db, "activity_events", 1..=5).await;
    Migrator::up(&db.db, None).await.unwrap();
    Migrator::up(&db.db, None).await.unwrap();
    assert_eq!(db.log().await.len(), 5);
    assert_eq!(number(&db.db, "SELECT count(*) FROM activity_events_old").await, 5);
    let step = activity_events::step(ActivityEvents::default());
    let manager = SchemaManager::new(&db.db);
    step.up(&manager).await.unwrap();
    step.down(&manager).await.unwrap();
    assert_eq!(number(&db.db, "SELECT count(*) FROM activity_events").await, 5);
    step.up(&manager).await.unwrap();
    assert_eq!(db.log().await.len(), 5);
    // A row that cannot be stored fails the step, which says which.
    step.down(&manager).await.unwrap();
    fill(&db.db, "activity_events", [6]).await;
    run(&db.db, "UPDATE activity_events SET event_type = 'ü' WHERE id = 6").await;
    let error = step.up(&manager).await.unwrap_err().to_string();
    assert!(error.contains("row 6, column `event_type`"), "{error}");
}

async fn progress_is_told(db: Arc<TestDb>) {
    single(&db, "activity_events").await;
    fill(&db.db, "activity_events", 1..=5).await;
    let mut told = Vec::new();
    activity_events::migrate(&db.db, &ActivityEvents::default().batch(2), |progress| {
        told.push(progress.to_string())
    })
    .await
    .unwrap();
    assert_eq!(
        told,
        [
            "looked at 2 of 5 rows",
            "looked at 4 of 5 rows",
            "looked at 5 of 5 rows",
            "copied 2 of 5 rows",
            "copied 4 of 5 rows",
            "copied 5 of 5 rows",
        ]
    );
}
