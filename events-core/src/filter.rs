//! `EventFilter`: which events a consumer wants.

use crate::event::{Event, EventType};

/// Which events are wanted, by type and by object type. What is not said does not matter.
///
/// # Examples
/// ```
/// use events_core::{EventFilter, EventType};
///
/// let filter = EventFilter::default().on([EventType::Created]).object_type("campaign");
/// assert!(filter.wants(&EventType::Created, Some("campaign")));
/// assert!(!filter.wants(&EventType::Deleted, Some("campaign")));
/// assert!(!filter.wants(&EventType::Created, Some("brand")));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    types: Vec<EventType>,
    object_types: Vec<String>,
}

impl EventFilter {
    /// Events of these types, beside those that were named before.
    #[must_use]
    pub fn on(mut self, types: impl IntoIterator<Item = EventType>) -> Self {
        self.types.extend(types);
        self
    }

    /// Events about objects of this type, beside those that were named before.
    #[must_use]
    pub fn object_type(mut self, object_type: impl Into<String>) -> Self {
        self.object_types.push(object_type.into());
        self
    }

    /// Whether an event of this type, about an object of that type or about none, is wanted.
    pub fn wants(&self, event_type: &EventType, object_type: Option<&str>) -> bool {
        let is_of = |object_type: &str| self.object_types.iter().any(|wanted| wanted == object_type);
        (self.types.is_empty() || self.types.contains(event_type))
            && (self.object_types.is_empty() || object_type.is_some_and(is_of))
    }

    /// Whether this event is wanted.
    pub fn matches(&self, event: &Event) -> bool {
        self.wants(&event.event_type, event.object.as_ref().map(|object| object.object_type.as_str()))
    }
}
