use events_sea_orm::{ConsumerError, Event, EventTransaction, event_consumer};

mod campaign {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "campaigns")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

#[event_consumer(object = campaign::Entity)]
async fn post_to_thread(_txn: &EventTransaction, _event: &Event) -> Result<(), ConsumerError> {
    Ok(())
}

fn main() {}
