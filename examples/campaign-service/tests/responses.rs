//! What the service answers.

use axum::{body::Body, http::Request};
use campaign_service::{app, demo};
use sea_orm::Database;
use serde_json::json;
use tower::ServiceExt;

#[tokio::test]
async fn the_demonstration_is_answered() {
    let app = app(Database::connect("sqlite::memory:").await.unwrap()).await.unwrap();
    let exchanges = demo::run(&app).await.unwrap();
    let statuses: Vec<u16> = exchanges.iter().map(|exchange| exchange.status.as_u16()).collect();
    assert_eq!(statuses, [201, 200, 201, 200, 409, 404, 200, 204, 404]);
    assert_eq!(exchanges[1].answer["budget"], 250_000);
    assert_eq!(exchanges[3].answer["status"], "live");
    assert_eq!(exchanges[4].answer, "a campaign that is Live cannot become Draft");
    let said: Vec<_> =
        exchanges[6].answer.as_array().unwrap().iter().map(|comment| &comment["text"]).collect();
    assert_eq!(json!(said), json!(["ada drafted it", "the new budget is fine", "launch day"]));
}

#[tokio::test]
async fn nobody_is_turned_away() {
    let app = app(Database::connect("sqlite::memory:").await.unwrap()).await.unwrap();
    let response = app.oneshot(Request::get("/campaigns").body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 401);
}
