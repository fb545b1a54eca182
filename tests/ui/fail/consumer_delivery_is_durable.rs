use events_sea_orm::{ConsumerError, Event, EventConnection, event_consumer};

#[event_consumer(delivery = "durable")]
async fn post_to_thread(_db: &EventConnection, _event: &Event) -> Result<(), ConsumerError> {
    Ok(())
}

fn main() {}
