//! The main job on an embedded SQLite: campaigns are created, changed, approved, moved to another state and deleted;
//! then the log is read.

mod campaign;

use comfy_table::{ContentArrangement, Table, presets::UTF8_BORDERS_ONLY};
use events_sea_orm::{ActiveModelEvents, Actor, Context, Event, Events, event, migration};
use sea_orm::{
    ActiveModelTrait, ConnectOptions, ConnectionTrait, Database, IntoActiveModel, Schema, Set,
    TransactionTrait, prelude::Decimal,
};
use serde_json::{Value, json};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Result<()> {
    let mut options = ConnectOptions::new("sqlite::memory:");
    options.sqlx_logging(false);
    let pool = Database::connect(options).await?;
    migration::up(&pool).await?;
    let schema = Schema::new(pool.get_database_backend());
    pool.execute(&schema.create_table_from_entity(campaign::Entity)).await?;

    let events = Events::builder(pool).build().await?;
    let db = events.connection(Context::team("acme").actor("ada"));

    // A unit of work: rows and events, one commit.
    let txn = db.begin().await?;
    let spring = campaign::ActiveModel {
        team_id: Set("acme".to_owned()),
        name: Set("Spring".to_owned()),
        status: Set(campaign::Status::Draft),
        budget: Set(Decimal::new(100_000, 2)),
        api_key: Set("k-1".to_owned()),
        ..Default::default()
    };
    let spring = spring.insert(&txn).await?;
    let mut active = spring.into_active_model();
    active.budget = Set(Decimal::new(250_000, 2));
    active.api_key = Set("k-2".to_owned());
    let spring = active.update(&txn).await?;
    let approval = json!({"by": "grace", "limit": "3000.00"});
    txn.emit(Event::custom("launch_approved").about(&spring).json(approval)).await?;
    txn.commit().await?;

    // Single saves, each a unit of its own.
    let mut active = spring.into_active_model();
    active.status = Set(campaign::Status::Live);
    let spring = active.update_with_event(&db).reason("launch day").await?;
    let support = events.connection(Context::team("acme").actor(Actor::new("linus").on_behalf_of("ada")));
    spring.into_active_model().delete_with_event(&support).reason("out of season").await?;

    println!("{}", timeline(&db.feed().oldest_first().all().await?)?);
    Ok(())
}

fn timeline(log: &[event::Model]) -> Result<Table> {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["#", "event", "object", "who", "what"]);
    for row in log {
        let event = row.to_event()?;
        let object =
            event.object.as_ref().map(|object| format!("{} {}", object.object_type, object.object_id));
        let who = match &event.context["on_behalf_of"] {
            Value::String(principal) => {
                format!("{} for {principal}", event.actor_id.clone().unwrap_or_default())
            }
            _ => event.actor_id.clone().unwrap_or_default(),
        };
        table.add_row([
            row.seq.to_string(),
            event.event_type.to_string(),
            object.unwrap_or_default(),
            who,
            summary(&event),
        ]);
    }
    Ok(table)
}

/// What happened, in words.
fn summary(event: &Event) -> String {
    let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut parts = Vec::new();
    for key in ["initial_values", "final_values"] {
        for (name, value) in event.event_data[key].as_object().into_iter().flatten() {
            parts.push(format!("{name} {}", shown(value)));
        }
    }
    for (name, change) in event.event_data["changes"].as_object().into_iter().flatten() {
        parts.push(format!("{name} {} -> {}", shown(&change["old"]), shown(&change["new"])));
    }
    if let Value::String(field) = &event.event_data["field"] {
        let state = &event.event_data["state"];
        parts.push(format!("{field} {} -> {}", shown(&state["old"]), shown(&state["new"])));
    }
    for name in event.event_data["redacted"].as_array().into_iter().flatten() {
        parts.push(format!("{} (redacted)", shown(name)));
    }
    if parts.is_empty() {
        parts.push(event.event_data.to_string());
    }
    if let Value::String(reason) = &event.context["reason"] {
        parts.push(format!("because: {reason}"));
    }
    parts.join(", ")
}
