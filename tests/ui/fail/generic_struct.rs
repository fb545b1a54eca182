use events_sea_orm::Tracked;

#[derive(Tracked)]
#[tracked(team = context)]
pub struct Model<T> {
    #[track]
    pub name: T,
}

fn main() {}
