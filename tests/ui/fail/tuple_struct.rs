use events_sea_orm::Tracked;

#[derive(Tracked)]
#[tracked(team = context)]
pub struct Model(pub i32);

fn main() {}
