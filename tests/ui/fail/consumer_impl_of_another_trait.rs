use events_sea_orm::event_consumer;

struct Search;

#[event_consumer]
impl Default for Search {
    fn default() -> Self {
        Self
    }
}

fn main() {}
