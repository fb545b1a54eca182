use events_sea_orm::{ConsumerError, Event, EventTransaction, event_consumer};

#[event_consumer(crate = "events_sea_orm")]
async fn post_to_thread(_txn: &EventTransaction, _event: &Event) -> Result<(), ConsumerError> {
    Ok(())
}

fn main() {}
