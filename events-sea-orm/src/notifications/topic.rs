//! What a preference is about, and which one counts.

use std::collections::HashMap;

use events_core::{Event, EventType, ObjectRef};

use super::preference;
use crate::store::stored_object_id;

/// What a preference is about: everything, or what is left of it.
///
/// Of the preferences that fit an event, the most specific one counts: about the object, before about its type, before
/// about anything; and in each of these one for the event's type before one for every type. So two never tie.
///
/// | | of this event type | of every event type |
/// |---|---|---|
/// | about this object | 1 | 2 |
/// | about objects of this type | 3 | 4 |
/// | about anything and nothing | 5 | 6 |
///
/// # Examples
/// ```
/// use events_sea_orm::{EventType, ObjectRef, notifications::Topic};
///
/// let everything = Topic::everything();
/// let deletions = Topic::everything().of(EventType::Deleted);
/// let campaigns = Topic::everything().about_type("campaign");
/// let updates_of_one = Topic::everything().about(ObjectRef::new("campaign", 12)).of(EventType::Updated);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Topic {
    pub(super) event_type: String,
    pub(super) object_type: String,
    pub(super) object_id: String,
}

impl Topic {
    /// Events of every type about anything and nothing.
    pub fn everything() -> Self {
        Self::default()
    }

    /// Of it, events of this type alone.
    #[must_use]
    pub fn of(mut self, event_type: EventType) -> Self {
        event_type.as_str().clone_into(&mut self.event_type);
        self
    }

    /// Of it, events about objects of this type alone.
    #[must_use]
    pub fn about_type(mut self, object_type: impl Into<String>) -> Self {
        self.object_type = object_type.into();
        self.object_id = String::new();
        self
    }

    /// Of it, events about this object alone.
    #[must_use]
    pub fn about(mut self, object: ObjectRef) -> Self {
        self.object_type = object.object_type;
        self.object_id = stored_object_id(&object.object_id).into_owned();
        self
    }
}

/// The preferences of the users of a round: team, user, event type, object type, object id.
pub(super) struct Preferences<'a>(HashMap<[&'a str; 5], bool>);

impl<'a> Preferences<'a> {
    pub(super) fn of(rows: &'a [preference::Model]) -> Self {
        let entry = |row: &'a preference::Model| {
            ([&*row.team_id, &*row.user_id, &*row.event_type, &*row.object_type, &*row.object_id], row.wanted)
        };
        Self(rows.iter().map(entry).collect())
    }

    /// Whether the user wants to hear of the event. Who did not say does.
    pub(super) fn wants(&self, user: &str, event: &Event) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let (team, event_type) = (&*event.team_id, event.event_type.as_str());
        // From the most specific on.
        let object = event.object.as_ref();
        let id = object.map(|object| stored_object_id(&object.object_id));
        let objects = object.zip(id.as_deref()).map(|(object, id)| (&*object.object_type, id));
        let types = object.map(|object| (&*object.object_type, ""));
        let about = objects.into_iter().chain(types).chain([("", "")]);
        let topics =
            about.flat_map(|(object_type, id)| [event_type, ""].map(|of| [team, user, of, object_type, id]));
        topics.filter_map(|topic| self.0.get(&topic).copied()).next().unwrap_or(true)
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn event(event_type: EventType, object: Option<ObjectRef>) -> Event {
        Event {
            id: Uuid::now_v7(),
            team_id: "7".to_owned(),
            event_type,
            object,
            actor_id: None,
            unit_id: Uuid::now_v7(),
            event_data: json!({}),
            context: json!({}),
            occurred_at: Utc::now(),
        }
    }

    fn row(team: &str, user: &str, topic: Topic, wanted: bool) -> preference::Model {
        let Topic { event_type, object_type, object_id } = topic;
        let (team_id, user_id) = (team.to_owned(), user.to_owned());
        preference::Model { id: 0, team_id, user_id, event_type, object_type, object_id, wanted }
    }

    /// The six topics that fit an update of campaign 1, the most specific first.
    fn levels() -> [Topic; 6] {
        let all = Topic::everything;
        let one = || all().about(ObjectRef::new("campaign", 1));
        let campaigns = || all().about_type("campaign");
        let update = EventType::Updated;
        [
            one().of(update.clone()),
            one(),
            campaigns().of(update.clone()),
            campaigns(),
            all().of(update),
            all(),
        ]
    }

    #[test]
    fn the_most_specific_preference_counts() {
        let event = event(EventType::Updated, Some(ObjectRef::new("campaign", 1)));
        let levels = levels();
        for wanted in [true, false] {
            for strongest in 0..levels.len() {
                let said = |i: usize| if i == strongest { wanted } else { !wanted };
                let rows: Vec<_> = (strongest..levels.len())
                    .rev()
                    .map(|i| row("7", "ada", levels[i].clone(), said(i)))
                    .collect();
                assert_eq!(Preferences::of(&rows).wants("ada", &event), wanted, "{strongest}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_does_not_count() {
        let all = Topic::everything;
        let event = event(EventType::Updated, Some(ObjectRef::new("campaign", 1)));
        let rows = [
            row("8", "ada", all(), false),
            row("7", "linus", all(), false),
            row("7", "ada", all().of(EventType::Deleted), false),
            row("7", "ada", all().about_type("note"), false),
            row("7", "ada", all().about(ObjectRef::new("campaign", 2)), false),
            row("7", "ada", all().about(ObjectRef::new("note", 1)), false),
        ];
        assert!(Preferences::of(&rows).wants("ada", &event));
        assert!(Preferences::of(&[]).wants("ada", &event));
    }

    #[test]
    fn an_event_about_nothing_has_no_object_to_prefer() {
        let event = event(EventType::Updated, None);
        let levels = levels();
        for (i, level) in levels.into_iter().enumerate() {
            let rows = [row("7", "ada", level, false)];
            assert_eq!(Preferences::of(&rows).wants("ada", &event), i < 4, "{i}");
        }
    }
}
