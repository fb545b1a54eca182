use events_sea_orm::{ConsumerError, Event, EventTransaction, event_consumer};

#[event_consumer(time_budget_ms = -1)]
async fn post_to_thread(_txn: &EventTransaction, _event: &Event) -> Result<(), ConsumerError> {
    Ok(())
}

fn main() {}
