use events_sea_orm::{ConsumerError, Event, EventTransaction, event_consumer};

struct Search;

impl Search {
    #[event_consumer]
    async fn post(_txn: &EventTransaction, _event: &Event) -> Result<(), ConsumerError> {
        Ok(())
    }
}

fn main() {}
