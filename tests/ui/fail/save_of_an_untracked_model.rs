mod tag {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "tags")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub name: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

use events_sea_orm::{ActiveModelEvents, EventConnection};
use sea_orm::DbErr;

pub async fn rename(tag: tag::ActiveModel, db: &EventConnection) -> Result<(), DbErr> {
    tag.update_with_event(db).await?;
    Ok(())
}

fn main() {}
