use events_sea_orm::{Consumer, ConsumerFuture, Event, EventTransaction, event_consumer};

struct Search<T>(T);

#[event_consumer]
impl<T: Send + Sync + 'static> Consumer for Search<T> {
    fn handle<'a>(&'a self, _db: &'a EventTransaction, _event: &'a Event) -> ConsumerFuture<'a> {
        Box::pin(async { Ok(()) })
    }
}

fn main() {}
