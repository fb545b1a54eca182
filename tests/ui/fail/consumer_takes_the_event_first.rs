use events_sea_orm::{ConsumerError, Event, EventTransaction, event_consumer};

#[event_consumer]
async fn post_to_thread(_event: &Event, _txn: &EventTransaction) -> Result<(), ConsumerError> {
    Ok(())
}

fn main() {}
