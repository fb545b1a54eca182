//! Consumers of a library, and nothing else: nobody could call anything here.

mod search;

use events_sea_orm::{ConsumerError, Event, EventTransaction, event_consumer};

#[event_consumer(on(custom("launched")), order = 1)]
async fn function_of_the_library(_txn: &EventTransaction, event: &Event) -> Result<(), ConsumerError> {
    println!("function_of_the_library: {}", event.event_type);
    Ok(())
}

#[event_consumer(on(custom("cancelled")))]
async fn other_function_of_the_library(_txn: &EventTransaction, event: &Event) -> Result<(), ConsumerError> {
    println!("other_function_of_the_library: {}", event.event_type);
    Ok(())
}

/// Its options let the unit of work go on without it.
#[event_consumer(on(custom("launched")), order = -1, on_error = "log", time_budget_ms = 10)]
async fn stuck_function_of_the_library(_txn: &EventTransaction, event: &Event) -> Result<(), ConsumerError> {
    println!("stuck_function_of_the_library: {}", event.event_type);
    std::future::pending().await
}
