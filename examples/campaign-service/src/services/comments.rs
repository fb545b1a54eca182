//! What can be done with comments.

use sea_orm::{QueryOrder, Set, entity::prelude::*};

use crate::{
    auth::Caller,
    entities::{campaign, comment},
};

pub async fn add(
    db: &impl ConnectionTrait,
    caller: &Caller,
    campaign: &campaign::Model,
    text: String,
) -> Result<comment::Model, DbErr> {
    let comment = comment::ActiveModel {
        team_id: Set(campaign.team_id.clone()),
        campaign_id: Set(campaign.id),
        author: Set(caller.user.clone()),
        text: Set(text),
        created_at: Set(ChronoUtc::now()),
        ..Default::default()
    };
    comment.insert(db).await
}

pub async fn list(
    db: &impl ConnectionTrait,
    campaign: &campaign::Model,
) -> Result<Vec<comment::Model>, DbErr> {
    campaign.find_related(comment::Entity).order_by_asc(comment::Column::Id).all(db).await
}
