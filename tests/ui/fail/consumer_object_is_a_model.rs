use events_sea_orm::{ConsumerError, Event, EventTransaction, event_consumer};

mod campaign {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, events_sea_orm::Tracked)]
    #[sea_orm(table_name = "campaigns")]
    #[tracked(team = context, all)]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

#[event_consumer(object = campaign::Model)]
async fn post_to_thread(_txn: &EventTransaction, _event: &Event) -> Result<(), ConsumerError> {
    Ok(())
}

fn main() {}
