use events_sea_orm::{Event, EventConnection, event_consumer};

#[event_consumer(
    on(created, Deleted, Deleted, custom("Launched")),
    objekt = campaign::Entity,
    object("campaign"),
    name = "",
    order = "1",
    on_error = "ignore",
    time_budget_ms = 0,
    order = 2
)]
fn post_to_thread<T>(_event: Event, _db: &EventConnection) {}

fn main() {}
