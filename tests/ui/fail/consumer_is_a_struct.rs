use events_sea_orm::event_consumer;

#[event_consumer]
pub struct Search;

fn main() {}
