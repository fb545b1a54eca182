use events_sea_orm::Tracked;
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
#[sea_orm(table_name = "campaigns")]
#[tracked(team = "nobody", object_type = 1, colour, all = true, soft_delete = "gone")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i32,
    #[track(redact, state)]
    pub team_id: i32,
    #[track(colour, rename = "")]
    pub name: String,
    #[track(rename = 5, with = "length")]
    pub notes: String,
    #[track]
    #[track(state)]
    pub status: String,
    #[track]
    #[sea_orm(ignore)]
    pub cached: i32,
    #[track(rename = "status")]
    pub r#type: String,
    #[track(transitions(Draft => [Draft, Live, Live]))]
    pub stage: String,
    #[track(state, enforce)]
    pub phase: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

fn main() {}
