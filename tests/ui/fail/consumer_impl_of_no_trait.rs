use events_sea_orm::event_consumer;

struct Search;

#[event_consumer]
impl Search {}

fn main() {}
