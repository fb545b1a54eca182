//! An application that lists no consumers. Whether it names the library is its binaries' affair.

use events_sea_orm::{ConsumerError, Context, Event, EventTransaction, Events, event_consumer, migration};
use sea_orm::{ConnectOptions, Database};

#[event_consumer(on(custom("launched")), order = 2)]
async fn function_of_the_app(_txn: &EventTransaction, event: &Event) -> Result<(), ConsumerError> {
    println!("function_of_the_app: {}", event.event_type);
    Ok(())
}

/// One unit of work with one event; what consumers do with it is printed.
pub async fn run() {
    let mut options = ConnectOptions::new("sqlite::memory:");
    options.sqlx_logging(false);
    let pool = Database::connect(options).await.unwrap();
    migration::up(&pool).await.unwrap();
    let events = Events::builder(pool).build().await.unwrap();
    let found: Vec<_> = events.consumer_stats().iter().map(|stats| stats.name.to_string()).collect();
    println!("{}", found.join(", "));
    let txn = events.begin(Context::team("acme").actor("ada")).await.unwrap();
    txn.emit(Event::custom("launched")).await.unwrap();
    txn.commit().await.unwrap();
    events.drain().await;
}
