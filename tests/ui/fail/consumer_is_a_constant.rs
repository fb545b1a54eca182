use events_sea_orm::event_consumer;

#[event_consumer]
const POST: fn() = || {};

fn main() {}
