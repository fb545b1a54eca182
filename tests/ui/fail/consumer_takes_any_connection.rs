use events_sea_orm::{ConsumerError, Event, event_consumer};

#[event_consumer]
async fn post_to_thread(_db: &impl sea_orm::ConnectionTrait, _event: &Event) -> Result<(), ConsumerError> {
    Ok(())
}

fn main() {}
