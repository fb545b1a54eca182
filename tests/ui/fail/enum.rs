use events_sea_orm::Tracked;

#[derive(Tracked)]
#[tracked(team = context)]
pub enum Model {
    A,
}

fn main() {}
