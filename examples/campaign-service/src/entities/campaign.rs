//! A campaign of a team.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Serialize, events_sea_orm::Tracked)]
#[sea_orm(table_name = "campaigns")]
#[tracked(object_type = "campaign", team = "team_id", all)]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i32,
    pub team_id: String,
    pub name: String,
    #[track(state)]
    pub status: Status,
    /// In cents.
    pub budget: i64,
    pub created_at: DateTimeUtc,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum, Serialize, Deserialize)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Draft,
    Live,
    Paused,
    Ended,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    #[sea_orm(has_many = "super::comment::Entity")]
    Comment,
}

impl Related<super::comment::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Comment.def()
    }
}
