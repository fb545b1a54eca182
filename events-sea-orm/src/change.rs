//! `EventChanges`: what an event says of a field, in the field's own type.

use events_core::Event;
use sea_orm::sea_query::{Nullable, ValueType};
use serde_json::Value as Json;

use crate::{
    error::Refused,
    value::{self, ValueError},
};

/// What a field went from and to, in its own type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change<T> {
    /// `None`: it was NULL, or the object was not there.
    pub old: Option<T>,
    /// `None`: it is NULL, or the object is gone.
    pub new: Option<T>,
}

/// Typed access to what an event says of a field.
pub trait EventChanges {
    /// What this field went from and to. `None` if the event says nothing of it.
    ///
    /// `T` is the type of the model's field, without its `Option`: whatever SeaORM can store, enums included. Of a new
    /// object every tracked field has a `new`, of one that went every one has an `old`.
    ///
    /// # Errors
    /// [`Refused::Value`] naming the field, if what is recorded is no `T`.
    ///
    /// # Examples
    /// ```
    /// use events_sea_orm::{Change, ConsumerError, Event, EventChanges, EventTransaction};
    ///
    /// async fn watch(_: &EventTransaction, event: &Event) -> Result<(), ConsumerError> {
    ///     if let Some(Change { old: Some(old), new: Some(new) }) = event.change::<i64>("budget")?
    ///         && new > 2 * old
    ///     {
    ///         return Err("a budget may at most double".into());
    ///     }
    ///     Ok(())
    /// }
    /// ```
    fn change<T: ValueType + Nullable>(&self, field: &str) -> Result<Option<Change<T>>, Refused>;
}

impl EventChanges for Event {
    fn change<T: ValueType + Nullable>(&self, field: &str) -> Result<Option<Change<T>>, Refused> {
        let (old, new) = (self.old_value(field), self.new_value(field));
        if old.is_none() && new.is_none() {
            return Ok(None);
        }
        let typed = |json: Option<&Json>| {
            let object_type = || self.object.as_ref().map(|object| object.object_type.clone());
            json.map_or(Ok(None), typed).map_err(|source| Refused::Value {
                object_type: object_type().unwrap_or_default(),
                field: field.to_owned(),
                source,
            })
        };
        Ok(Some(Change { old: typed(old)?, new: typed(new)? }))
    }
}

fn typed<T: ValueType + Nullable>(json: &Json) -> Result<Option<T>, ValueError> {
    let value = value::from_json(json, &T::null())?;
    if value::is_null(&value) {
        return Ok(None);
    }
    // Such as a variant that the enum no longer has. What is recorded is no secret, but may be long.
    <T as ValueType>::try_from(value).map(Some).map_err(|_| {
        let held = json.as_str().map_or_else(|| json.to_string(), str::to_owned);
        ValueError::NoSuchValue { value: held.chars().take(80).collect() }
    })
}

#[cfg(test)]
mod tests {
    use events_core::{EventType, ObjectRef};
    use sea_orm::entity::prelude::*;
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    #[derive(Debug, Clone, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
    #[sea_orm(rs_type = "String", db_type = "String(StringLen::None)")]
    enum Status {
        #[sea_orm(string_value = "draft")]
        Draft,
        #[sea_orm(string_value = "live")]
        Live,
    }

    fn event(event_type: EventType, event_data: Json) -> Event {
        Event {
            id: Uuid::nil(),
            team_id: "7".to_owned(),
            event_type,
            object: Some(ObjectRef::new("campaign", 1)),
            actor_id: None,
            unit_id: Uuid::nil(),
            event_data,
            context: json!({}),
            occurred_at: chrono::DateTime::UNIX_EPOCH,
        }
    }

    #[track_caller]
    fn check<T: ValueType + Nullable + PartialEq + std::fmt::Debug>(
        event: &Event,
        field: &str,
        expected: Option<(Option<T>, Option<T>)>,
    ) {
        let change = event.change::<T>(field).unwrap();
        assert_eq!(change, expected.map(|(old, new)| Change { old, new }));
    }

    #[test]
    fn each_type_of_event_says_what_it_knows() {
        let updated = event(
            EventType::Updated,
            json!({"changes": {"n": {"old": 1, "new": null}, "f": {"old": "NaN", "new": 0.5}, "b": {"old": "AAE=", "new": ""}}}),
        );
        check::<i32>(&updated, "n", Some((Some(1), None)));
        check::<Vec<u8>>(&updated, "b", Some((Some(vec![0, 1]), Some(vec![]))));
        check::<i32>(&updated, "other", None);
        assert!(updated.change::<f64>("f").unwrap().unwrap().old.unwrap().is_nan());

        let moved = event(
            EventType::StateChanged,
            json!({"field": "status", "state": {"old": "draft", "new": "live"}}),
        );
        check(&moved, "status", Some((Some(Status::Draft), Some(Status::Live))));
        check::<String>(&moved, "stage", None);
        assert_eq!(Status::Live.to_value(), "live");

        let made = event(EventType::Created, json!({"initial_values": {"name": "Spring"}}));
        check(&made, "name", Some((None, Some("Spring".to_owned()))));
        let gone = event(EventType::Deleted, json!({"final_values": {"name": "Spring"}}));
        check(&gone, "name", Some((Some("Spring".to_owned()), None)));
        let own = event(EventType::custom("approved").unwrap(), json!({"changes": {"name": {"old": 1}}}));
        check::<String>(&own, "name", None);
    }

    #[test]
    fn another_type_is_an_error_that_names_the_field() {
        let updated = event(EventType::Updated, json!({"changes": {"name": {"old": "a", "new": "b"}}}));
        let error = updated.change::<i32>("name").unwrap_err().to_string();
        assert!(error.contains("name") && error.contains("campaign"), "{error}");
        let gone = updated.change::<Status>("name").unwrap_err();
        assert!(gone.to_string().contains("`a` is no value of the type"), "{gone}");
        assert!(!format!("{gone:?}").contains("feature"), "{gone:?}");
    }
}
