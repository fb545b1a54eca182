//! What the demonstration leaves in the log.

use campaign_service::{app, demo};
use events_sea_orm::event;
use sea_orm::{Database, EntityTrait, QueryOrder};
use serde_json::json;

#[tokio::test]
async fn every_save_of_the_demonstration_left_its_event() {
    let db = Database::connect("sqlite::memory:").await.unwrap();
    let exchanges = demo::run(&app(db.clone()).await.unwrap()).await.unwrap();
    let campaign = exchanges[0].answer["id"].to_string();
    let log = event::Entity::find().order_by_asc(event::Column::Seq).all(&db).await.unwrap();

    let told: Vec<_> = log
        .iter()
        .map(|event| {
            let object = event.object_type.as_deref().unwrap();
            (event.event_type.as_str(), object, event.actor_id.as_deref().unwrap())
        })
        .collect();
    assert_eq!(
        told,
        [
            ("CREATED", "campaign", "ada"),
            ("CREATED", "comment", "ada"),
            ("UPDATED", "campaign", "ada"),
            ("CREATED", "comment", "grace"),
            ("CREATED", "comment", "grace"),
            ("STATE_CHANGED", "campaign", "grace"),
            ("DELETED", "comment", "ada"),
            ("DELETED", "comment", "ada"),
            ("DELETED", "comment", "ada"),
            ("DELETED", "campaign", "ada"),
        ]
    );
    assert!(log.iter().all(|event| event.team_id == "acme"), "the other team left nothing");

    let timeline: Vec<_> = log
        .iter()
        .filter(|event| event.object_type.as_deref() == Some("campaign"))
        .inspect(|event| assert_eq!(event.object_id.as_ref(), Some(&campaign)))
        .map(|event| &event.event_data)
        .collect();
    assert_eq!(timeline[0]["initial_values"]["budget"], 100_000);
    assert_eq!(*timeline[1], json!({"changes": {"budget": {"old": 100_000, "new": 250_000}}}));
    assert_eq!(*timeline[2], json!({"field": "status", "state": {"old": "draft", "new": "live"}}));
    assert_eq!(timeline[3]["final_values"]["status"], "live");

    // One unit of work per request: its events share an id.
    let mut units: Vec<_> = log.iter().map(|event| event.unit_id).collect();
    units.dedup();
    assert_eq!(units.len(), 5);
}
