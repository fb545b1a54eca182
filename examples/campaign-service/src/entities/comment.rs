//! What somebody said about a campaign.

use sea_orm::entity::prelude::*;
use serde::Serialize;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Serialize, events_sea_orm::Tracked)]
#[sea_orm(table_name = "comments")]
#[tracked(object_type = "comment", team = "team_id", all)]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i32,
    pub team_id: String,
    pub campaign_id: i32,
    pub author: String,
    pub text: String,
    pub created_at: DateTimeUtc,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    #[sea_orm(
        belongs_to = "super::campaign::Entity",
        from = "Column::CampaignId",
        to = "super::campaign::Column::Id"
    )]
    Campaign,
}

impl Related<super::campaign::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Campaign.def()
    }
}
