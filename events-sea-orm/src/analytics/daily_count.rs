//! The entity of the `event_daily_counts` table. Query it like any other; it is written by this library alone.

use sea_orm::entity::prelude::*;

use crate::error::Refused;

/// How many events of a kind a team had on a day.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "event_daily_counts")]
pub struct Model {
    /// Whose events they are.
    #[sea_orm(primary_key, auto_increment = false)]
    pub team_id: String,
    /// The day in UTC on which they occurred.
    #[sea_orm(primary_key, auto_increment = false)]
    pub day: Date,
    /// What happened: see [`EventType`](events_core::EventType).
    #[sea_orm(primary_key, auto_increment = false)]
    pub event_type: String,
    /// What kind of object it happened to; the empty text of events about nothing.
    #[sea_orm(primary_key, auto_increment = false)]
    pub object_type: String,
    /// How many.
    pub count: i64,
}

/// There is none.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

#[async_trait::async_trait]
impl ActiveModelBehavior for ActiveModel {
    async fn before_save<C: ConnectionTrait>(self, _db: &C, _insert: bool) -> Result<Self, DbErr> {
        Err(Refused::OwnTable { table: Entity.table_name().to_owned() }.into())
    }

    async fn before_delete<C: ConnectionTrait>(self, _db: &C) -> Result<Self, DbErr> {
        Err(Refused::OwnTable { table: Entity.table_name().to_owned() }.into())
    }
}
