//! What the tests share: a database of its own for each, on each database.

pub mod chaos;
mod database;
pub mod entities;
pub mod json;
pub mod pooler;
pub mod proxy;
pub mod roles;
pub mod secured;
pub mod seen;
mod wire;

use sea_orm::ConnectionTrait;

pub use self::database::{PATIENCE, TestDb, run};

impl TestDb {
    /// The events table and those of the entities.
    pub async fn with_tables(&self) {
        events_sea_orm::migration::up(&self.db).await.expect("events table");
        let schema = sea_orm::Schema::new(self.db.get_database_backend());
        for table in [
            schema.create_table_from_entity(entities::tenant::Entity),
            schema.create_table_from_entity(entities::campaign::Entity),
            schema.create_table_from_entity(entities::price::Entity),
            schema.create_table_from_entity(entities::note::Entity),
            schema.create_table_from_entity(entities::project::Entity),
            schema.create_table_from_entity(entities::task::Entity),
            schema.create_table_from_entity(entities::label::Entity),
            schema.create_table_from_entity(entities::project_label::Entity),
            schema.create_table_from_entity(entities::visit::Entity),
            schema.create_table_from_entity(entities::folder::Entity),
            schema.create_table_from_entity(entities::order::Entity),
            schema.create_table_from_entity(entities::document::Entity),
            schema.create_table_from_entity(entities::page::Entity),
        ] {
            self.db.execute(&table).await.expect("table");
        }
    }
}

/// The team of most cases.
pub const TEAM: i32 = 7;

/// Ada, of that team.
pub fn context() -> events_sea_orm::Context {
    events_sea_orm::Context::team(TEAM).actor("ada")
}

/// A campaign of that team, to be inserted.
pub fn new_campaign(name: &str) -> entities::campaign::ActiveModel {
    use sea_orm::Set;
    entities::campaign::ActiveModel {
        team_id: Set(Some(TEAM)),
        name: Set(name.to_owned()),
        status: Set(entities::campaign::Status::Draft),
        budget: Set(100),
        api_key: Set(format!("key-{name}")),
        ..Default::default()
    }
}

/// An order of that team, to be inserted.
pub fn new_order(name: &str) -> entities::order::ActiveModel {
    use sea_orm::Set;
    entities::order::ActiveModel {
        team_id: Set(TEAM),
        name: Set(name.to_owned()),
        status: Set(entities::order::Status::Open),
        card: Set(format!("card-{name}")),
        ..Default::default()
    }
}

/// The refusal that this error must be.
#[track_caller]
pub fn refusal(error: &sea_orm::DbErr) -> &events_sea_orm::Refused {
    events_sea_orm::Refused::of(error).unwrap_or_else(|| panic!("not a refusal: {error}"))
}

/// The events' types, in order.
pub fn types(log: &[events_sea_orm::event::Model]) -> Vec<&str> {
    log.iter().map(|row| row.event_type.as_str()).collect()
}
