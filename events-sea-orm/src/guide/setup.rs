// What the examples of the guide share.
#[allow(unused_imports)]
use std::error::Error;

#[allow(unused_imports)]
use events_sea_orm::{
    ActiveModelEvents, Context, CreatedEventData, DeletedEventData, EntityEvents, Event, EventChanges, EventConnection,
    EventTransaction, EventType, Events, FieldChange, ObjectRef, StateChangedEventData, Tracked, UpdatedEventData,
    assert_events, emit_event, make_field_changes,
    testing::{self, created, custom, deleted, state_changed, updated},
};
#[allow(unused_imports)]
use sea_orm::{ActiveModelTrait, ConnectionTrait, EntityTrait, IntoActiveModel, Set, TransactionTrait};
#[allow(unused_imports)]
use serde_json::json;

#[allow(dead_code)]
pub mod campaign {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "campaigns")]
    #[tracked(object_type = "campaign", team = "team_id")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub team_id: String,
        #[track]
        pub name: String,
        #[track(state)]
        pub status: Status,
        #[track]
        pub budget: i64,
    }

    #[derive(Clone, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
    #[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))", rename_all = "snake_case")]
    pub enum Status {
        Draft,
        Approved,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

/// Not tracked.
#[allow(dead_code)]
pub mod brand {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "brands")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub name: String,
        pub status: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

#[allow(dead_code)]
fn spring() -> campaign::ActiveModel {
    campaign::ActiveModel {
        team_id: Set("acme".to_owned()),
        name: Set("Spring".to_owned()),
        status: Set(campaign::Status::Draft),
        budget: Set(1_000),
        ..Default::default()
    }
}

#[allow(dead_code)]
async fn pool() -> Result<sea_orm::DatabaseConnection, Box<dyn Error>> {
    let mut options = sea_orm::ConnectOptions::new("sqlite::memory:");
    options.max_connections(1);
    let pool = sea_orm::Database::connect(options).await?;
    events_sea_orm::migration::up(&pool).await?;
    let schema = sea_orm::Schema::new(pool.get_database_backend());
    pool.execute(&schema.create_table_from_entity(campaign::Entity)).await?;
    pool.execute(&schema.create_table_from_entity(brand::Entity)).await?;
    Ok(pool)
}

#[allow(dead_code)]
async fn set_up() -> Result<(Events, EventConnection), Box<dyn Error>> {
    let events = Events::builder(pool().await?).build().await?;
    let db = events.connection(Context::team("acme").actor("ada"));
    Ok((events, db))
}
