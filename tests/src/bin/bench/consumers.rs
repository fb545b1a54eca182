//! What consumers that do nothing cost a unit of work.

use std::time::Instant;

use events_sea_orm::{
    ConsumerError, Event, EventConnection, EventTransaction, Events, OnError, Subscription,
};
use sea_orm::ActiveModelTrait;
use tests::{TestDb, context, new_campaign};

use super::median;

const ROUNDS: usize = 41;
const UNITS: usize = 100;

async fn nothing(_: &EventTransaction, _: &Event) -> Result<(), ConsumerError> {
    Ok(())
}

async fn nothing_after(_: &EventConnection, _: &Event) -> Result<(), ConsumerError> {
    Ok(())
}

async fn events_with(db: &TestDb, subscriptions: impl IntoIterator<Item = Subscription>) -> Events {
    let mut builder = Events::builder(db.db.clone()).without_registered_consumers();
    for (n, subscription) in subscriptions.into_iter().enumerate() {
        builder = builder.subscribe(subscription.named(format!("nothing {n}")));
    }
    builder.build().await.expect("built")
}

/// Nanoseconds a unit of one save.
async fn nanoseconds(events: &Events) -> f64 {
    let mut campaigns: Vec<_> = (0..UNITS).map(|_| new_campaign(&uuid::Uuid::new_v4().to_string())).collect();
    let start = Instant::now();
    for campaign in campaigns.drain(..) {
        let txn = events.begin(context()).await.expect("begin");
        campaign.insert(&txn).await.expect("insert");
        txn.commit().await.expect("commit");
    }
    start.elapsed().as_nanos() as f64 / UNITS as f64
}

pub(super) async fn measure(name: &str, mut db: TestDb) {
    db.db = TestDb::open_with(&db.url, 1).await;
    db.with_tables().await;
    let inside = |count| (0..count).map(|_| Subscription::in_transaction(nothing));
    let kinds = [
        ("none", events_with(&db, []).await),
        ("1 in the transaction", events_with(&db, inside(1)).await),
        ("5 in the transaction", events_with(&db, inside(5)).await),
        ("1 in a savepoint", events_with(&db, inside(1).map(|one| one.on_error(OnError::Log))).await),
        ("1 after the commit", events_with(&db, [Subscription::after_commit(nothing_after)]).await),
    ];
    let mut all: Vec<Vec<f64>> = vec![Vec::new(); kinds.len()];
    for round in 0..=ROUNDS {
        for (n, (_, events)) in kinds.iter().enumerate() {
            let nanoseconds = nanoseconds(events).await;
            events.drain().await;
            // The first round fills the statement cache.
            if round > 0 {
                all[n].push(nanoseconds);
            }
        }
    }
    let none = all[0].clone();
    for ((kind, _), figures) in kinds.iter().zip(&all) {
        let added = figures.iter().zip(&none).map(|(with, without)| with - without).collect();
        let unit = median(figures.clone());
        println!(
            "{name:<10} {kind:<20} {unit:>9.0} ns a unit of one save, {:>7.0} ns more than none",
            median(added)
        );
    }
    db.drop().await;
}
