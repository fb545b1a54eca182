//! The entity of the `notification_preferences` table. Query it like any other; it is written by this library alone.

use sea_orm::entity::prelude::*;

use super::Topic;
use crate::error::Refused;

/// Whether a user wants the notifications of a topic.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "notification_preferences")]
pub struct Model {
    /// Its number.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// In which team.
    pub team_id: String,
    /// Whose preference it is.
    pub user_id: String,
    /// Of events of this type; the empty text is every type.
    pub event_type: String,
    /// About objects of this type; the empty text is about anything and nothing.
    pub object_type: String,
    /// About this object, as [`stored_object_id`](crate::stored_object_id) has it; the empty text is every one.
    pub object_id: String,
    /// Whether they are wanted.
    pub wanted: bool,
}

impl Model {
    /// What it is about.
    pub fn topic(&self) -> Topic {
        Topic {
            event_type: self.event_type.clone(),
            object_type: self.object_type.clone(),
            object_id: self.object_id.clone(),
        }
    }
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
