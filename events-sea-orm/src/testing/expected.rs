//! `Expected`: what an event should be.

use std::fmt::Display;

use events_core::{Event, EventType};
use serde_json::{Value as Json, json};

/// What an event should be: its type, and what else is said of it. What is not said may be anything.
#[derive(Debug, Clone)]
#[must_use = "`assert_events!` compares it"]
pub struct Expected {
    pub(super) event_type: String,
    pub(super) object_type: Option<String>,
    object_id: Option<String>,
    actor: Option<String>,
    team: Option<String>,
    reason: Option<String>,
    values: Vec<(String, Json)>,
    changes: Vec<(String, Json, Json)>,
    redacted: Vec<String>,
    unchanged: Vec<String>,
    data: Option<Json>,
}

/// A CREATED event about an object of this type.
pub fn created(object_type: impl Into<String>) -> Expected {
    Expected::of(&EventType::Created, object_type)
}

/// An UPDATED event about an object of this type.
pub fn updated(object_type: impl Into<String>) -> Expected {
    Expected::of(&EventType::Updated, object_type)
}

/// A STATE_CHANGED event about an object of this type.
pub fn state_changed(object_type: impl Into<String>) -> Expected {
    Expected::of(&EventType::StateChanged, object_type)
}

/// A DELETED event about an object of this type.
pub fn deleted(object_type: impl Into<String>) -> Expected {
    Expected::of(&EventType::Deleted, object_type)
}

/// A RESTORED event about an object of this type.
pub fn restored(object_type: impl Into<String>) -> Expected {
    Expected::of(&EventType::Restored, object_type)
}

/// A custom event of this name.
pub fn custom(name: impl Into<String>) -> Expected {
    Expected::new(name.into(), None)
}

impl Expected {
    fn of(event_type: &EventType, object_type: impl Into<String>) -> Self {
        Self::new(event_type.to_string(), Some(object_type.into()))
    }

    fn new(event_type: String, object_type: Option<String>) -> Self {
        Self {
            event_type,
            object_type,
            object_id: None,
            actor: None,
            team: None,
            reason: None,
            values: Vec::new(),
            changes: Vec::new(),
            redacted: Vec::new(),
            unchanged: Vec::new(),
            data: None,
        }
    }

    /// About this very object: its type, and its key as the log holds it.
    pub fn object(mut self, object_type: impl Into<String>, id: impl Display) -> Self {
        self.object_type = Some(object_type.into());
        self.object_id = Some(id.to_string());
        self
    }

    /// About the object of this key.
    pub fn id(mut self, id: impl Display) -> Self {
        self.object_id = Some(id.to_string());
        self
    }

    /// By this actor.
    pub fn actor(mut self, actor: impl Display) -> Self {
        self.actor = Some(actor.to_string());
        self
    }

    /// Of this team.
    pub fn team(mut self, team: impl Display) -> Self {
        self.team = Some(team.to_string());
        self
    }

    /// With this reason, of the save or of the context.
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// A field's value, as it is recorded, of an object that is new, restored or deleted.
    pub fn value(mut self, field: impl Into<String>, value: impl Into<Json>) -> Self {
        self.values.push((field.into(), value.into()));
        self
    }

    /// What a field went from and to, as it is recorded.
    pub fn change(mut self, field: impl Into<String>, old: impl Into<Json>, new: impl Into<Json>) -> Self {
        self.changes.push((field.into(), old.into(), new.into()));
        self
    }

    /// Nothing is said of this field.
    pub fn unchanged(mut self, field: impl Into<String>) -> Self {
        self.unchanged.push(field.into());
        self
    }

    /// This field is named as redacted.
    pub fn redacted(mut self, field: impl Into<String>) -> Self {
        self.redacted.push(field.into());
        self
    }

    /// Exactly this payload.
    pub fn data(mut self, data: impl Into<Json>) -> Self {
        self.data = Some(data.into());
        self
    }

    /// Whether it is about the same kind of fact, so that only details may differ.
    pub(super) fn is_like(&self, event: &Event) -> bool {
        let object_type = event.object.as_ref().map(|object| object.object_type.as_str());
        self.event_type == event.event_type.as_str()
            && (self.object_type.is_none() || self.object_type.as_deref() == object_type)
    }

    /// What of it does not hold, a line each.
    pub(super) fn mistakes(&self, event: &Event) -> Vec<String> {
        let mut mistakes = Vec::new();
        let mut same = |what: &str, expected: Option<&str>, found: Option<&str>| {
            if expected.is_some() && expected != found {
                let (expected, found) = (expected.unwrap_or("none"), found.unwrap_or("none"));
                mistakes.push(format!("{what}: expected {expected}, found {found}"));
            }
        };
        let object = event.object.as_ref();
        same("object", self.object_id.as_deref(), object.map(|object| object.object_id.as_str()));
        same("actor", self.actor.as_deref(), event.actor_id.as_deref());
        same("team", self.team.as_deref(), Some(&event.team_id));
        let reason = event.event_data.get("reason").or_else(|| event.context.get("reason"));
        same("reason", self.reason.as_deref(), reason.and_then(Json::as_str));
        for (field, value) in &self.values {
            let found = event.new_value(field).or_else(|| event.old_value(field));
            if found != Some(value) {
                mistakes.push(format!("{field}: expected {value}, found {}", shown(found)));
            }
        }
        for (field, old, new) in &self.changes {
            let (was, is) = (event.old_value(field), event.new_value(field));
            if was != Some(old) || is != Some(new) {
                let found = format!("{} -> {}", shown(was), shown(is));
                mistakes.push(format!("{field}: expected {old} -> {new}, found {found}"));
            }
        }
        for field in &self.unchanged {
            if event.new_value(field).or_else(|| event.old_value(field)).is_some() {
                mistakes.push(format!("{field}: expected nothing of it"));
            }
        }
        let redacted = event.event_data.get("redacted").and_then(Json::as_array);
        for field in &self.redacted {
            if !redacted.is_some_and(|names| names.iter().any(|name| name == field)) {
                mistakes.push(format!("{field}: expected it among the redacted"));
            }
        }
        match &self.data {
            Some(data) if *data != event.event_data => {
                mistakes.push(format!("data: expected {data}, found {}", event.event_data));
            }
            _ => {}
        }
        mistakes
    }

    /// In one line.
    pub(super) fn shown(&self) -> String {
        let object = [self.object_type.as_deref(), self.object_id.as_deref()];
        let mut line = self.event_type.clone();
        for part in object.into_iter().flatten() {
            line.push(' ');
            line.push_str(part);
        }
        for (field, value) in &self.values {
            line.push_str(&format!(", {field} {value}"));
        }
        for (field, old, new) in &self.changes {
            line.push_str(&format!(", {field} {old} -> {new}"));
        }
        line
    }
}

fn shown(value: Option<&Json>) -> String {
    value.map_or_else(|| "nothing".to_owned(), Json::to_string)
}

/// An event in one line.
pub(super) fn event_line(event: &Event) -> String {
    let object = event.object.as_ref();
    let object = object.map(|object| format!(" {} {}", object.object_type, object.object_id));
    let data = if event.event_data == json!({}) { String::new() } else { format!(" {}", event.event_data) };
    format!("{}{}{data}", event.event_type, object.unwrap_or_default())
}
