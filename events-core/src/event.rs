//! `Event`, its type, and the object it is about.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    error::{IdentifierError, ObjectIdError, check_identifier, check_object_id},
    thread::ThreadRef,
};

/// What kind of fact an event is.
///
/// Built-in types are written in upper case, custom names in lower case, so that the two never meet.
///
/// # Examples
/// ```
/// use events_core::EventType;
///
/// assert_eq!("STATE_CHANGED".parse(), Ok(EventType::StateChanged));
/// assert_eq!(EventType::custom("launch_approved")?.as_str(), "launch_approved");
/// assert!(EventType::custom("Launch approved").is_err());
/// # Ok::<(), events_core::IdentifierError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
#[non_exhaustive]
pub enum EventType {
    /// A row came to be.
    Created,
    /// Tracked fields changed.
    Updated,
    /// A state field changed.
    StateChanged,
    /// A row went, or was marked as gone.
    Deleted,
    /// A row that was marked as gone came back.
    Restored,
    /// A fact of the application's own; made by [`EventType::custom`].
    Custom(CustomName),
}

/// The checked name of a custom event.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CustomName(String);

impl EventType {
    /// A custom event type.
    ///
    /// # Errors
    /// [`IdentifierError::EventName`] unless `name` is a lower-case letter followed by at most 62 of `a-z`, `0-9`,
    /// `_` and `.`.
    pub fn custom(name: impl Into<String>) -> Result<Self, IdentifierError> {
        let name = name.into();
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '.';
        let starts_well = name.starts_with(|c: char| c.is_ascii_lowercase());
        if starts_well && name.len() <= 63 && name.chars().all(allowed) {
            Ok(Self::Custom(CustomName(name)))
        } else {
            Err(IdentifierError::EventName { name })
        }
    }

    /// The text in the database.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Created => "CREATED",
            Self::Updated => "UPDATED",
            Self::StateChanged => "STATE_CHANGED",
            Self::Deleted => "DELETED",
            Self::Restored => "RESTORED",
            Self::Custom(CustomName(name)) => name,
        }
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EventType {
    type Err = IdentifierError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "CREATED" => Self::Created,
            "UPDATED" => Self::Updated,
            "STATE_CHANGED" => Self::StateChanged,
            "DELETED" => Self::Deleted,
            "RESTORED" => Self::Restored,
            custom => Self::custom(custom)?,
        })
    }
}

impl From<EventType> for String {
    fn from(event_type: EventType) -> Self {
        event_type.as_str().to_owned()
    }
}

impl TryFrom<String> for EventType {
    type Error = IdentifierError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// The thing an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectRef {
    /// What kind of thing, as written in `#[tracked(object_type = "..")]`.
    pub object_type: String,
    /// Which one: the plain text of a single key column; a compact JSON array of several.
    pub object_id: String,
}

impl ObjectRef {
    /// An object by its type and the stored text of its key.
    pub fn new(object_type: impl Into<String>, object_id: impl fmt::Display) -> Self {
        Self { object_type: object_type.into(), object_id: object_id.to_string() }
    }

    /// An object by its type and the parts of its key, in key order.
    ///
    /// # Examples
    /// ```
    /// use events_core::ObjectRef;
    /// use serde_json::json;
    ///
    /// assert_eq!(ObjectRef::of_key("price", &[json!(12), json!("en")]).object_id, r#"[12,"en"]"#);
    /// assert_eq!(ObjectRef::of_key("film", &[json!(12)]).object_id, "12");
    /// ```
    pub fn of_key(object_type: impl Into<String>, key: &[Value]) -> Self {
        let object_id = match key {
            [Value::String(text)] => text.clone(),
            [part] => part.to_string(),
            parts => Value::from(parts.to_vec()).to_string(),
        };
        Self { object_type: object_type.into(), object_id }
    }

    /// The parts of the key, in key order.
    ///
    /// A single part comes back as text, since its column's type is not stored.
    ///
    /// # Errors
    /// [`ObjectIdError`] if the text does not hold `columns` parts.
    pub fn key(&self, columns: usize) -> Result<Vec<Value>, ObjectIdError> {
        if columns == 1 {
            return Ok(vec![Value::from(self.object_id.as_str())]);
        }
        match serde_json::from_str(&self.object_id) {
            Ok(Value::Array(parts)) if parts.len() == columns => Ok(parts),
            _ => Err(ObjectIdError { object_id: self.object_id.clone(), expected: columns }),
        }
    }

    /// Refuses an object that cannot be stored.
    ///
    /// # Errors
    /// [`IdentifierError`] naming the part.
    pub fn check(&self) -> Result<(), IdentifierError> {
        check_identifier("object type", &self.object_type)?;
        check_object_id("object id", &self.object_id)
    }
}

/// What an emitted event is about: an object, and the team it is known to belong to.
///
/// A reference to a tracked model becomes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The object.
    pub object: ObjectRef,
    /// Its team, where the model has one; an event for another team is refused.
    pub team: Option<String>,
    /// The thread in which its events are told, where that is not simply the object's own.
    pub thread: Option<ThreadRef>,
}

impl From<ObjectRef> for Subject {
    fn from(object: ObjectRef) -> Self {
        Self { object, team: None, thread: None }
    }
}

/// A past fact, as it stands in the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// UUIDv7. The first event of a unit of work carries the unit's own id.
    pub id: Uuid,
    /// Whose event it is.
    pub team_id: String,
    /// What happened.
    pub event_type: EventType,
    /// What it happened to. A custom event may be about nothing in particular.
    pub object: Option<ObjectRef>,
    /// Who did it.
    pub actor_id: Option<String>,
    /// Groups the events of one unit of work.
    pub unit_id: Uuid,
    /// The payload; [`crate::data`] has its typed forms.
    pub event_data: Value,
    /// Reason, principal, correlation, request.
    pub context: Value,
    /// The application's clock, to the microsecond. May lie in the past for imports; never an order.
    pub occurred_at: DateTime<Utc>,
}

impl Event {
    /// Starts a custom event of this name. An unusable name is refused when it is emitted.
    pub fn custom(name: impl Into<String>) -> NewEvent {
        NewEvent::of(EventType::custom(name))
    }

    /// Starts an event of this type, for what no save records by itself.
    pub fn of(event_type: EventType) -> NewEvent {
        NewEvent::of(Ok(event_type))
    }

    /// The payload in its typed form.
    ///
    /// # Errors
    /// If `event_data` does not have that form.
    pub fn data<T: serde::de::DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        T::deserialize(&self.event_data)
    }

    /// What a field held before, as it is recorded. `None` where this event says nothing of that: it is no change of
    /// this field, the object was new, or the field is redacted.
    ///
    /// # Examples
    /// ```
    /// # use events_core::{Event, EventType};
    /// # let mut event: Event = serde_json::from_value(serde_json::json!({
    /// #     "id": "019354aa-0000-7000-8000-000000000000", "team_id": "7", "event_type": "UPDATED", "object": null,
    /// #     "actor_id": null, "unit_id": "019354aa-0000-7000-8000-000000000000", "context": {},
    /// #     "event_data": {"changes": {"budget": {"old": "1000", "new": "2500"}}},
    /// #     "occurred_at": "2026-01-01T00:00:00Z"
    /// # }))?;
    /// assert_eq!(event.old_value("budget"), Some(&"1000".into()));
    /// assert_eq!(event.new_value("budget"), Some(&"2500".into()));
    /// assert_eq!(event.new_value("name"), None);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn old_value(&self, field: &str) -> Option<&Value> {
        match &self.event_type {
            EventType::Updated | EventType::StateChanged => self.changed(field)?.get("old"),
            EventType::Deleted => self.event_data.get("final_values")?.get(field),
            _ => None,
        }
    }

    /// What a field holds since, as it is recorded. `None` where this event says nothing of that: it is no change of
    /// this field, the object went, or the field is redacted.
    pub fn new_value(&self, field: &str) -> Option<&Value> {
        match &self.event_type {
            EventType::Updated | EventType::StateChanged => self.changed(field)?.get("new"),
            EventType::Created | EventType::Restored => self.event_data.get("initial_values")?.get(field),
            _ => None,
        }
    }

    fn changed(&self, field: &str) -> Option<&Value> {
        match &self.event_type {
            EventType::StateChanged => {
                let is_of_field = self.event_data.get("field").is_some_and(|name| name == field);
                is_of_field.then(|| self.event_data.get("state")).flatten()
            }
            _ => self.event_data.get("changes")?.get(field),
        }
    }
}

/// An event that is about to be emitted.
#[derive(Debug, Clone)]
#[must_use = "an event is recorded by `emit`"]
pub struct NewEvent {
    /// The type, or why it cannot be one.
    pub event_type: Result<EventType, IdentifierError>,
    /// What it is about.
    pub subject: Option<Subject>,
    /// The payload.
    pub event_data: Value,
    /// When it happened, if not now.
    pub occurred_at: Option<DateTime<Utc>>,
    /// Its team, needed only where the context spans all teams and the subject has none.
    pub team: Option<String>,
}

impl NewEvent {
    fn of(event_type: Result<EventType, IdentifierError>) -> Self {
        Self {
            event_type,
            subject: None,
            event_data: Value::Object(serde_json::Map::new()),
            occurred_at: None,
            team: None,
        }
    }

    /// What it is about: `&model` of a tracked entity, or an [`ObjectRef`].
    pub fn about(mut self, subject: impl Into<Subject>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// The payload, recorded as it serializes.
    ///
    /// # Errors
    /// If `data` does not serialize to JSON.
    pub fn data(mut self, data: &impl Serialize) -> Result<Self, serde_json::Error> {
        self.event_data = serde_json::to_value(data)?;
        Ok(self)
    }

    /// The payload as JSON.
    pub fn json(mut self, data: Value) -> Self {
        self.event_data = data;
        self
    }

    /// When it happened, if not now: for imports.
    pub fn occurred_at(mut self, at: DateTime<Utc>) -> Self {
        self.occurred_at = Some(at);
        self
    }

    /// Its team. Needed only under [`Context::all_teams`](crate::Context::all_teams), where the subject names none.
    pub fn team(mut self, team: impl fmt::Display) -> Self {
        self.team = Some(team.to_string());
        self
    }
}
