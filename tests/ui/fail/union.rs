use events_sea_orm::Tracked;

#[derive(Tracked)]
#[tracked(team = context)]
pub union Model {
    pub id: i32,
    pub key: u32,
}

fn main() {}
