//! What can be done with campaigns. A caller sees those of its own team.

use events_sea_orm::EventTransaction as DatabaseTransaction;
use sea_orm::{IntoActiveModel, QueryOrder, Set, entity::prelude::*};
use serde::Deserialize;

use super::comments;
use crate::{
    auth::Caller,
    entities::{
        campaign::{self, Status},
        comment,
    },
    error::Error,
};

#[derive(Debug, Deserialize)]
pub struct NewCampaign {
    pub name: String,
    pub budget: i64,
}

#[derive(Debug, Deserialize)]
pub struct Changes {
    pub name: Option<String>,
    pub budget: Option<i64>,
}

pub async fn list(db: &impl ConnectionTrait, caller: &Caller) -> Result<Vec<campaign::Model>, DbErr> {
    let own = campaign::Entity::find().filter(campaign::Column::TeamId.eq(&caller.team));
    own.order_by_asc(campaign::Column::Id).all(db).await
}

pub async fn find(db: &impl ConnectionTrait, caller: &Caller, id: i32) -> Result<campaign::Model, Error> {
    let own = campaign::Entity::find_by_id(id).filter(campaign::Column::TeamId.eq(&caller.team));
    own.one(db).await?.ok_or(Error::NoSuchCampaign)
}

pub async fn create(
    db: &impl ConnectionTrait,
    caller: &Caller,
    new: NewCampaign,
) -> Result<campaign::Model, DbErr> {
    let campaign = campaign::ActiveModel {
        team_id: Set(caller.team.clone()),
        name: Set(new.name),
        status: Set(Status::Draft),
        budget: Set(new.budget),
        created_at: Set(ChronoUtc::now()),
        ..Default::default()
    };
    let campaign = campaign.insert(db).await?;
    comments::add(db, caller, &campaign, format!("{} drafted it", caller.user)).await?;
    Ok(campaign)
}

pub async fn change(
    txn: &DatabaseTransaction,
    caller: &Caller,
    id: i32,
    changes: Changes,
) -> Result<campaign::Model, Error> {
    let mut campaign = find(txn, caller, id).await?.into_active_model();
    if let Some(name) = changes.name {
        campaign.name = Set(name);
    }
    if let Some(budget) = changes.budget {
        campaign.budget = Set(budget);
    }
    Ok(campaign.update(txn).await?)
}

/// Moves a campaign to another status, with a comment that says why.
pub async fn transition(
    txn: &DatabaseTransaction,
    caller: &Caller,
    id: i32,
    to: Status,
    comment: String,
) -> Result<campaign::Model, Error> {
    let campaign = find(txn, caller, id).await?;
    let from = campaign.status;
    match (from, to) {
        (Status::Draft | Status::Paused, Status::Live)
        | (Status::Live, Status::Paused)
        | (Status::Live | Status::Paused, Status::Ended) => {}
        _ => return Err(Error::Transition { from, to }),
    }
    comments::add(txn, caller, &campaign, comment).await?;
    let mut campaign = campaign.into_active_model();
    campaign.status = Set(to);
    Ok(campaign.update(txn).await?)
}

/// Deletes a campaign and what was said about it.
pub async fn delete(txn: &DatabaseTransaction, caller: &Caller, id: i32) -> Result<(), Error> {
    let campaign = find(txn, caller, id).await?;
    for comment in campaign.find_related(comment::Entity).all(txn).await? {
        comment.delete(txn).await?;
    }
    campaign.delete(txn).await?;
    Ok(())
}
