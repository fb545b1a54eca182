use events_sea_orm::{ConsumerError, Event, event_consumer};

#[event_consumer]
async fn post_to_thread(_txn: &sea_orm::DatabaseTransaction, _event: &Event) -> Result<(), ConsumerError> {
    Ok(())
}

fn main() {}
