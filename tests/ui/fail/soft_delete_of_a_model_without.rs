mod tag {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "tags")]
    #[tracked(team = context, all)]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub name: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

use events_sea_orm::{ActiveModelEvents, EventConnection};

pub fn remove(tag: tag::ActiveModel, db: &EventConnection) {
    let _ = tag.soft_delete_with_event(db);
}

fn main() {}
