//! An event as scripts read it: one JSON object a line.

use chrono::{DateTime, SecondsFormat, Utc};
use events_sea_orm::event;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

/// Its columns, in their order. The names and forms are part of the tool's contract: scripts rely on them.
#[derive(Debug, Serialize)]
pub(crate) struct Row<'a> {
    pub(crate) seq: i64,
    pub(crate) id: Uuid,
    pub(crate) team_id: &'a str,
    pub(crate) event_type: &'a str,
    pub(crate) object_type: Option<&'a str>,
    pub(crate) object_id: Option<&'a str>,
    pub(crate) actor_id: Option<&'a str>,
    pub(crate) unit_id: Uuid,
    pub(crate) event_data: &'a Value,
    pub(crate) context: &'a Value,
    pub(crate) occurred_at: String,
    pub(crate) recorded_at: String,
}

impl<'a> From<&'a event::Model> for Row<'a> {
    fn from(event: &'a event::Model) -> Self {
        let time = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Micros, true);
        Self {
            seq: event.seq,
            id: event.id,
            team_id: &event.team_id,
            event_type: &event.event_type,
            object_type: event.object_type.as_deref(),
            object_id: event.object_id.as_deref(),
            actor_id: event.actor_id.as_deref(),
            unit_id: event.unit_id,
            event_data: &event.event_data,
            context: &event.context,
            occurred_at: time(event.occurred_at),
            recorded_at: time(event.recorded_at),
        }
    }
}
