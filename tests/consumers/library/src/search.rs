use events_sea_orm::{Consumer, ConsumerFuture, Event, EventConnection, event_consumer};

struct TypeOfTheLibrary;

#[event_consumer(delivery = "after_commit", on(custom("launched")))]
impl Consumer<EventConnection> for TypeOfTheLibrary {
    fn handle<'a>(&'a self, _db: &'a EventConnection, event: &'a Event) -> ConsumerFuture<'a> {
        Box::pin(async move {
            println!("TypeOfTheLibrary: {}", event.event_type);
            Ok(())
        })
    }
}
