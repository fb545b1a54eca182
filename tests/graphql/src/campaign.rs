//! A tracked entity, in the form that seaography expects.

use events_sea_orm::Tracked;
use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
#[sea_orm(table_name = "campaigns")]
#[tracked(object_type = "campaign", team = "team_id")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i32,
    pub team_id: i32,
    #[track]
    pub name: String,
    #[track]
    pub budget: i32,
    #[track(redact)]
    #[sea_orm(unique)]
    pub api_key: String,
}
