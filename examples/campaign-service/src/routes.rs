//! The requests that the service answers.

use axum::{
    Extension, Json, Router,
    extract::Path,
    http::StatusCode,
    routing::{get, post},
};
use events_sea_orm::EventConnection as DatabaseConnection;
use sea_orm::TransactionTrait;
use serde::Deserialize;

use crate::{
    auth::Caller,
    entities::{
        campaign::{self, Status},
        comment,
    },
    error::Error,
    services::{
        campaigns::{self, Changes, NewCampaign},
        comments,
    },
};

pub fn router() -> Router {
    Router::new()
        .route("/campaigns", get(list).post(create))
        .route("/campaigns/{id}", get(show).patch(change).delete(delete))
        .route("/campaigns/{id}/status", post(transition))
        .route("/campaigns/{id}/comments", get(list_comments).post(add_comment))
}

#[derive(Deserialize)]
struct Transition {
    status: Status,
    comment: String,
}

#[derive(Deserialize)]
struct NewComment {
    text: String,
}

async fn list(
    Extension(db): Extension<DatabaseConnection>,
    caller: Caller,
) -> Result<Json<Vec<campaign::Model>>, Error> {
    Ok(Json(campaigns::list(&db, &caller).await?))
}

async fn create(
    Extension(db): Extension<DatabaseConnection>,
    caller: Caller,
    Json(new): Json<NewCampaign>,
) -> Result<(StatusCode, Json<campaign::Model>), Error> {
    let txn = db.begin().await?;
    let campaign = campaigns::create(&txn, &caller, new).await?;
    txn.commit().await?;
    Ok((StatusCode::CREATED, Json(campaign)))
}

async fn show(
    Extension(db): Extension<DatabaseConnection>,
    caller: Caller,
    Path(id): Path<i32>,
) -> Result<Json<campaign::Model>, Error> {
    Ok(Json(campaigns::find(&db, &caller, id).await?))
}

async fn change(
    Extension(db): Extension<DatabaseConnection>,
    caller: Caller,
    Path(id): Path<i32>,
    Json(changes): Json<Changes>,
) -> Result<Json<campaign::Model>, Error> {
    let txn = db.begin().await?;
    let campaign = campaigns::change(&txn, &caller, id, changes).await?;
    txn.commit().await?;
    Ok(Json(campaign))
}

async fn transition(
    Extension(db): Extension<DatabaseConnection>,
    caller: Caller,
    Path(id): Path<i32>,
    Json(Transition { status, comment }): Json<Transition>,
) -> Result<Json<campaign::Model>, Error> {
    let txn = db.begin().await?;
    let campaign = campaigns::transition(&txn, &caller, id, status, comment).await?;
    txn.commit().await?;
    Ok(Json(campaign))
}

async fn delete(
    Extension(db): Extension<DatabaseConnection>,
    caller: Caller,
    Path(id): Path<i32>,
) -> Result<StatusCode, Error> {
    let txn = db.begin().await?;
    campaigns::delete(&txn, &caller, id).await?;
    txn.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn list_comments(
    Extension(db): Extension<DatabaseConnection>,
    caller: Caller,
    Path(id): Path<i32>,
) -> Result<Json<Vec<comment::Model>>, Error> {
    let campaign = campaigns::find(&db, &caller, id).await?;
    Ok(Json(comments::list(&db, &campaign).await?))
}

async fn add_comment(
    Extension(db): Extension<DatabaseConnection>,
    caller: Caller,
    Path(id): Path<i32>,
    Json(new): Json<NewComment>,
) -> Result<(StatusCode, Json<comment::Model>), Error> {
    let txn = db.begin().await?;
    let campaign = campaigns::find(&txn, &caller, id).await?;
    let comment = comments::add(&txn, &caller, &campaign, new.text).await?;
    txn.commit().await?;
    Ok((StatusCode::CREATED, Json(comment)))
}
