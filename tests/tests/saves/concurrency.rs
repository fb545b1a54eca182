//! The log stays true when many write at once.

use std::{sync::Arc, task::Poll, time::Duration};

use events_sea_orm::{ActiveModelEvents, CommitError, EventTransaction, Events, Refused};
use futures_util::FutureExt;
use sea_orm::{
    ActiveModelTrait, ConnectionTrait, EntityTrait, IntoActiveModel, Set, TransactionTrait, Unchanged,
};
use serde_json::json;
use tests::{TestDb, context, entities::campaign, new_campaign};

tests::conformance! { every_old_is_the_previous_new, unit_shared_between_tasks_records_each_save }

mod postgres_locks {
    #[test]
    fn child_row_does_not_wait_for_its_tracked_parent() {
        let case = super::child_row_does_not_wait_for_its_tracked_parent;
        tests::run("child_row_does_not_wait_for_its_tracked_parent", Some("POSTGRES_URL"), case);
    }
}

const TASKS: u64 = 16;
const UPDATES: u64 = 200;
const OBJECTS: usize = 5;

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn budget(id: i32, budget: i64) -> campaign::ActiveModel {
    campaign::ActiveModel { id: Unchanged(id), budget: Set(budget), ..Default::default() }
}

/// An update that breaks a unique key.
async fn fail(txn: &EventTransaction, id: i32) {
    let mut active = budget(id, -1);
    active.api_key = Set("key-taken".to_owned());
    active.update(txn).await.unwrap_err();
}

/// One unit of work: something that must leave no trace, and a change. Answers whether it was committed.
async fn unit(events: &Events, dice: &mut Dice, id: i32, value: i64) -> bool {
    let txn = events.begin(context()).await.unwrap();
    match dice.roll(8) {
        0 | 1 => {
            let nested = txn.begin().await.unwrap();
            budget(id, -1).update(&nested).await.unwrap();
            nested.rollback().await.unwrap();
        }
        2 => {
            let nested = txn.begin().await.unwrap();
            fail(&nested, id).await;
            nested.rollback().await.unwrap();
        }
        3 => {
            fail(&txn, id).await;
            txn.commit().await.unwrap_err();
            return false;
        }
        4 => return dropped(txn, dice.roll(12), id, value).await,
        5 => {
            budget(id, value).update(&txn).await.unwrap();
            return false; // the unit is dropped
        }
        _ => {}
    }
    let nested = txn.begin().await.unwrap();
    budget(id, value).update(&nested).await.unwrap();
    nested.commit().await.unwrap();
    txn.commit().await.unwrap();
    true
}

/// A save that is dropped after so many polls.
async fn dropped(txn: EventTransaction, polls: u64, id: i32, value: i64) -> bool {
    let mut save = budget(id, value).update(&txn).boxed();
    let mut left = polls;
    let finished = std::future::poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        save.as_mut().poll(cx).map(|result| result.is_ok())
    })
    .await;
    drop(save);
    match txn.commit().await {
        // A save that was never polled sent nothing: there is nothing to commit, and nothing to refuse.
        Ok(()) if finished || polls == 0 => finished,
        Err(CommitError::Refused(Refused::Poisoned { .. })) if !finished => false,
        other => panic!("{other:?}"),
    }
}

async fn every_old_is_the_previous_new(db: Arc<TestDb>) {
    db.with_tables().await;
    let events = Events::builder(db.db.clone()).build().await.unwrap();
    let connection = events.connection(context());
    new_campaign("taken").create_with_event(&connection).await.unwrap();
    let mut ids = Vec::new();
    for n in 0..OBJECTS {
        ids.push(new_campaign(&n.to_string()).create_with_event(&connection).await.unwrap().id);
    }
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        let (events, ids) = (events.clone(), ids.clone());
        tasks.spawn(async move {
            let mut dice = Dice(task);
            let mut committed = 0;
            for turn in 0..UPDATES {
                let id = ids[dice.roll(ids.len() as u64) as usize];
                let value = (1_000 + task * UPDATES + turn) as i64; // never twice
                committed += usize::from(unit(&events, &mut dice, id, value).await);
            }
            committed
        });
    }
    let mut committed = 0;
    while let Some(task) = tasks.join_next().await {
        committed += task.unwrap();
    }
    let log = db.log().await;
    assert!(committed > 1_000, "most units are committed: {committed}");
    assert_eq!(log.len(), 1 + OBJECTS + committed, "events equal committed changes");
    for id in ids {
        let object = Some(id.to_string());
        let mut last = json!(100);
        for row in log.iter().filter(|row| row.object_id == object && row.event_type == "UPDATED") {
            let change = &row.event_data["changes"]["budget"];
            assert_eq!(change["old"], last);
            last = change["new"].clone();
        }
        let row = campaign::Entity::find_by_id(id).one(&db.db).await.unwrap().unwrap();
        assert_eq!(json!(row.budget), last);
    }
}

/// `FOR UPDATE` on the parent would block the foreign key's check.
async fn child_row_does_not_wait_for_its_tracked_parent(db: Arc<TestDb>) {
    db.with_tables().await;
    let sql =
        "CREATE TABLE children (id int PRIMARY KEY, campaign_id int NOT NULL REFERENCES campaigns (id))";
    db.db.execute_unprepared(sql).await.unwrap();
    let events = Events::builder(db.db.clone()).build().await.unwrap();
    let parent = new_campaign("a").create_with_event(&events.connection(context())).await.unwrap();
    let txn = events.begin(context()).await.unwrap();
    let mut active = parent.clone().into_active_model();
    active.budget = Set(5);
    active.update(&txn).await.unwrap();
    let sql = format!("INSERT INTO children VALUES (1, {})", parent.id);
    let insert = db.db.execute_unprepared(&sql);
    tokio::time::timeout(tests::PATIENCE, insert).await.expect("inserted without waiting").unwrap();
    // The same while a delete is under way does wait: the parent may be gone.
    txn.rollback().await.unwrap();
    db.db.execute_unprepared("DELETE FROM children").await.unwrap();
    let txn = events.begin(context()).await.unwrap();
    parent.into_active_model().delete(&txn).await.unwrap();
    let insert = db.db.execute_unprepared(&sql);
    assert!(tokio::time::timeout(Duration::from_millis(300), insert).await.is_err());
    txn.rollback().await.unwrap();
}

/// SeaORM's traits take `&self`, so that nothing keeps tasks on other threads from saving on one unit at once.
async fn unit_shared_between_tasks_records_each_save(db: Arc<TestDb>) {
    const TURNS: i64 = 60;
    db.with_tables().await;
    let events = Events::builder(db.db.clone()).build().await.unwrap();
    let txn = Arc::new(events.begin(context()).await.unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..6 {
        let txn = Arc::clone(&txn);
        tasks.spawn(async move {
            let id = new_campaign(&task.to_string()).insert(&*txn).await.unwrap().id;
            for turn in 0..TURNS {
                budget(id, turn).update(&*txn).await.unwrap();
                let passing = new_campaign(&format!("{task} {turn}")).insert(&*txn).await.unwrap();
                passing.into_active_model().delete_with_event(&*txn).reason("passing").await.unwrap();
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    Arc::into_inner(txn).unwrap().commit().await.unwrap();
    let log = db.log().await;
    let count = |event_type: &str| log.iter().filter(|row| row.event_type == event_type).count() as i64;
    assert_eq!((count("CREATED"), count("UPDATED"), count("DELETED")), (6 + 6 * TURNS, 6 * TURNS, 6 * TURNS));
    let deleted = log.iter().filter(|row| row.event_type == "DELETED");
    assert!(deleted.into_iter().all(|row| row.event_data["reason"] == "passing"));
}
