use events_sea_orm::{ConsumerError, Event, EventTransaction, event_consumer};

#[event_consumer]
async fn post_to_thread(_txn: &EventTransaction, _event: &Event) -> Result<(), ConsumerError> {
    let shared = std::rc::Rc::new(());
    std::future::ready(()).await;
    drop(shared);
    Ok(())
}

fn main() {}
