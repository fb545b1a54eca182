//! A tracked entity.

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
    #[track(state)] // a change of it is a STATE_CHANGED event
    pub status: Status,
    #[sea_orm(column_type = "Decimal(Some((12, 2)))")]
    #[track]
    pub budget: Decimal,
    #[track(redact)] // that it changed is recorded, never its value
    pub api_key: String,
}

#[derive(Clone, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))", rename_all = "snake_case")]
pub enum Status {
    Draft,
    Live,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}
