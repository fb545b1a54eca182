use events_sea_orm::{Consumer, ConsumerFuture, Event, EventConnection, event_consumer};

struct Search;

#[event_consumer]
impl Consumer<EventConnection> for Search {
    fn handle<'a>(&'a self, _db: &'a EventConnection, _event: &'a Event) -> ConsumerFuture<'a> {
        Box::pin(async { Ok(()) })
    }
}

fn main() {}
