use events_sea_orm::{Consumer, ConsumerFuture, Event, EventTransaction, event_consumer};

struct Search {
    _url: String,
}

#[event_consumer]
impl Consumer for Search {
    fn handle<'a>(&'a self, _db: &'a EventTransaction, _event: &'a Event) -> ConsumerFuture<'a> {
        Box::pin(async { Ok(()) })
    }
}

fn main() {}
