//! What the demonstration leaves in the log.

use campaign_service::{app, demo};
use events_sea_orm::{
    Events, assert_events,
    testing::{self, created, deleted, state_changed, updated},
};
use sea_orm::Database;

#[tokio::test]
async fn every_save_of_the_demonstration_left_its_event() {
    let db = Database::connect("sqlite::memory:").await.unwrap();
    let app = app(db.clone()).await.unwrap();
    let events = Events::builder(db).build().await.unwrap();
    let (exchanges, log) = testing::capture(&events, demo::run(&app)).await.unwrap();
    let campaign = exchanges.unwrap()[0].answer["id"].to_string();

    assert_events!(
        log,
        [
            created("campaign").id(&campaign).actor("ada").value("budget", 100_000),
            created("comment").actor("ada"),
            updated("campaign").id(&campaign).actor("ada").change("budget", 100_000, 250_000),
            created("comment").actor("grace"),
            created("comment").actor("grace"),
            state_changed("campaign").id(&campaign).actor("grace").change("status", "draft", "live"),
            deleted("comment").actor("ada"),
            deleted("comment").actor("ada"),
            deleted("comment").actor("ada"),
            deleted("campaign").id(&campaign).actor("ada").value("status", "live"),
        ]
    );
    assert!(log.iter().all(|event| event.team_id == "acme"), "the other team left nothing");

    // One unit of work per request: its events share an id.
    let mut units: Vec<_> = log.iter().map(|event| event.unit_id).collect();
    units.dedup();
    assert_eq!(units.len(), 5);
}
