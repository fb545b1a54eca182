use events_sea_orm::{ConsumerError, EventTransaction, event_consumer};

#[event_consumer]
async fn post_to_thread(
    _txn: &EventTransaction,
    _event: &events_sea_orm::Subject,
) -> Result<(), ConsumerError> {
    Ok(())
}

fn main() {}
