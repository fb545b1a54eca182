//! Many units at once on the same threads.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

tests::conformance! {
    twenty_units_on_one_thread,
    units_over_many_threads_do_not_lock_each_other_out,
}

const UNITS: i32 = 20;
const CHANGES: i64 = 5;

/// Each unit changes a rental of its own a few times; all are told in the thread of one customer, which is new.
async fn twenty_units_on_one_thread(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let done = Arc::new(AtomicBool::new(false));
    let reader = tokio::spawn(read_on(db.db.clone(), Arc::clone(&done)));
    let mut units = tokio::task::JoinSet::new();
    for unit in 0..UNITS {
        let events = events.clone();
        units.spawn(async move {
            for round in 0..CHANGES {
                let txn = events.begin(context()).await.unwrap();
                let film = format!("{unit}.{round}");
                let rental = new_rental(1, None, &film).insert(&txn).await.unwrap();
                let mut active = rental.into_active_model();
                active.film = Set(format!("{film}!"));
                active.update(&txn).await.unwrap();
                if round == 3 {
                    txn.rollback().await.unwrap();
                } else {
                    txn.commit().await.unwrap();
                }
            }
        });
    }
    while let Some(unit) = units.join_next().await {
        unit.unwrap();
    }
    done.store(true, Ordering::SeqCst);
    let read = reader.await.unwrap();
    let log = db.log().await;
    assert_eq!(log.len() as i64, i64::from(UNITS) * (CHANGES - 1) * 2);
    let messages = of("customer", 1).messages().limit(1_000).all(&db.db).await.unwrap();
    // One message an event, and no other.
    let told: HashSet<_> = messages.iter().map(|message| message.event_id.unwrap()).collect();
    assert_eq!((told.len(), messages.len()), (log.len(), log.len()));
    assert_eq!(told, log.iter().map(|event| event.id).collect());
    assert_eq!(count(&db).await, (1, log.len() as u64));
    // Whoever read on while they came has read them all, and each once.
    let all: Vec<i64> = messages.iter().map(|message| message.id).collect();
    assert_eq!(read, all);
    // Each object's in the order of its changes.
    let mut by_object: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for message in &messages {
        let data = |name: &str| message.data[name].as_str().unwrap();
        by_object.entry(data("object_id")).or_default().push(data("event_type"));
    }
    assert!(by_object.values().all(|types| *types == ["CREATED", "UPDATED"]), "{by_object:?}");
}

/// Pages by the last number until nothing more can come.
async fn read_on(db: sea_orm::DatabaseConnection, done: Arc<AtomicBool>) -> Vec<i64> {
    let mut read = Vec::new();
    loop {
        let finished = done.load(Ordering::SeqCst);
        let last = read.last().copied().unwrap_or(0);
        let page = of("customer", 1).messages().after(last).limit(7).all(&db).await.unwrap();
        if page.is_empty() && finished {
            return read;
        }
        read.extend(page.iter().map(|message| message.id));
    }
}

/// Units that write into several threads each, in whatever order, half of them new to all.
async fn units_over_many_threads_do_not_lock_each_other_out(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let mut units = tokio::task::JoinSet::new();
    for unit in 0..16_i32 {
        let events = events.clone();
        units.spawn(async move {
            for round in 0..12_i32 {
                let txn = events.begin(context()).await.unwrap();
                for step in 0..5_i32 {
                    let customer = (unit * 7 + round * 3 + step * 11) % 47;
                    new_rental(customer, None, "ACE").insert(&txn).await.unwrap();
                }
                txn.commit().await.unwrap();
            }
        });
    }
    while let Some(unit) = units.join_next().await {
        unit.unwrap();
    }
    assert_eq!(count(&db).await, (47, 16 * 12 * 5));
}
