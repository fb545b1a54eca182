//! The typed payloads and their JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One field's value before and after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldChange {
    /// What the database held.
    pub old: Value,
    /// What it holds now.
    pub new: Value,
}

impl FieldChange {
    /// A change from `old` to `new`.
    pub fn new(old: impl Into<Value>, new: impl Into<Value>) -> Self {
        Self { old: old.into(), new: new.into() }
    }
}

/// Data of CREATED.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CreatedEventData {
    /// The tracked fields as the database returned them.
    pub initial_values: BTreeMap<String, Value>,
    /// Tracked fields whose values are never recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redacted: Vec<String>,
}

/// Data of UPDATED.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct UpdatedEventData {
    /// Every tracked field that changed, states aside.
    pub changes: BTreeMap<String, FieldChange>,
    /// Fields that changed and whose values are never recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redacted: Vec<String>,
}

/// Data of DELETED.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DeletedEventData {
    /// The tracked fields as they last were.
    pub final_values: BTreeMap<String, Value>,
    /// Tracked fields whose values are never recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redacted: Vec<String>,
    /// Why, if someone said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Data of RESTORED: a row that was marked as deleted is there again.
///
/// The values stand under the same name as in CREATED, so that a reader who folds the log treats both alike.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RestoredEventData {
    /// The tracked fields as the row came back with them.
    pub initial_values: BTreeMap<String, Value>,
    /// Tracked fields whose values are never recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redacted: Vec<String>,
    /// Why, if someone said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Data of STATE_CHANGED: one state field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StateChangedEventData {
    /// The field's recorded name. Absent in data that older systems wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The transition.
    pub state: FieldChange,
    /// Why, if someone said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The model declares its transitions, and this one is not among them. Absent from the JSON unless true.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undeclared: bool,
}

/// Data of a custom event: any JSON, recorded as given.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CustomEventData(pub Value);

/// The fields whose values differ between two sets of named values.
///
/// A field that only one side has counts as null on the other.
///
/// # Examples
/// ```
/// use events_core::{FieldChange, make_field_changes};
/// use serde_json::json;
///
/// let changes = make_field_changes(
///     [("name", json!("Spring")), ("budget", json!("100.00"))],
///     [("name", json!("Spring")), ("budget", json!("250.00"))],
/// );
/// assert_eq!(changes.len(), 1);
/// assert_eq!(changes["budget"], FieldChange::new("100.00", "250.00"));
/// ```
pub fn make_field_changes<K: Into<String>>(
    old: impl IntoIterator<Item = (K, Value)>,
    new: impl IntoIterator<Item = (K, Value)>,
) -> BTreeMap<String, FieldChange> {
    let mut changes: BTreeMap<String, FieldChange> =
        old.into_iter().map(|(name, old)| (name.into(), FieldChange { old, new: Value::Null })).collect();
    for (name, new) in new {
        let change = changes.entry(name.into()).or_insert(FieldChange { old: Value::Null, new: Value::Null });
        change.new = new;
    }
    changes.retain(|_, change| change.old != change.new);
    changes
}

// The same JSON as `Serialize` gives, without copying and without a failure to handle.

fn object(parts: impl IntoIterator<Item = (&'static str, Option<Value>)>) -> Value {
    let present = parts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(present.collect())
}

fn names(names: Vec<String>) -> Option<Value> {
    (!names.is_empty()).then(|| Value::from(names))
}

fn values(values: BTreeMap<String, Value>) -> Option<Value> {
    Some(Value::Object(values.into_iter().collect()))
}

impl From<FieldChange> for Value {
    fn from(change: FieldChange) -> Self {
        object([("old", Some(change.old)), ("new", Some(change.new))])
    }
}

impl From<CreatedEventData> for Value {
    fn from(data: CreatedEventData) -> Self {
        object([("initial_values", values(data.initial_values)), ("redacted", names(data.redacted))])
    }
}

impl From<UpdatedEventData> for Value {
    fn from(data: UpdatedEventData) -> Self {
        let changes = data.changes.into_iter().map(|(name, change)| (name, change.into())).collect();
        object([("changes", values(changes)), ("redacted", names(data.redacted))])
    }
}

impl From<DeletedEventData> for Value {
    fn from(data: DeletedEventData) -> Self {
        object([
            ("final_values", values(data.final_values)),
            ("redacted", names(data.redacted)),
            ("reason", data.reason.map(Value::from)),
        ])
    }
}

impl From<RestoredEventData> for Value {
    fn from(data: RestoredEventData) -> Self {
        object([
            ("initial_values", values(data.initial_values)),
            ("redacted", names(data.redacted)),
            ("reason", data.reason.map(Value::from)),
        ])
    }
}

impl From<StateChangedEventData> for Value {
    fn from(data: StateChangedEventData) -> Self {
        object([
            ("field", data.field.map(Value::from)),
            ("state", Some(data.state.into())),
            ("reason", data.reason.map(Value::from)),
            ("undeclared", data.undeclared.then_some(Value::Bool(true))),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check<T>(data: T, expected: Value)
    where
        T: Serialize + for<'de> Deserialize<'de> + Into<Value> + Clone + PartialEq + std::fmt::Debug,
    {
        assert_eq!(serde_json::to_value(&data).unwrap_or_default(), expected);
        assert_eq!(data.clone().into(), expected);
        assert_eq!(serde_json::from_value::<T>(expected).ok(), Some(data));
    }

    #[test]
    fn payloads_have_the_documented_json() {
        let values = || BTreeMap::from([("name".to_owned(), json!("Spring"))]);
        check(
            CreatedEventData { initial_values: values(), redacted: vec!["key".into()] },
            json!({"initial_values": {"name": "Spring"}, "redacted": ["key"]}),
        );
        let changes = BTreeMap::from([("name".to_owned(), FieldChange::new("a", "b"))]);
        check(
            UpdatedEventData { changes, redacted: vec![] },
            json!({"changes": {"name": {"old": "a", "new": "b"}}}),
        );
        check(
            DeletedEventData { final_values: values(), redacted: vec![], reason: Some("old".into()) },
            json!({"final_values": {"name": "Spring"}, "reason": "old"}),
        );
        check(
            RestoredEventData { initial_values: values(), redacted: vec![], reason: Some("found".into()) },
            json!({"initial_values": {"name": "Spring"}, "reason": "found"}),
        );
        let transition = |undeclared| StateChangedEventData {
            field: Some("status".into()),
            state: FieldChange::new("draft", "live"),
            reason: None,
            undeclared,
        };
        let state = json!({"old": "draft", "new": "live"});
        check(transition(false), json!({"field": "status", "state": state}));
        check(transition(true), json!({"field": "status", "state": state, "undeclared": true}));
    }

    #[test]
    fn a_field_of_one_side_counts_as_null_on_the_other() {
        let changes = make_field_changes([("a", json!(1))], [("b", json!(2))]);
        assert_eq!(changes["a"], FieldChange::new(1, Value::Null));
        assert_eq!(changes["b"], FieldChange::new(Value::Null, 2));
    }
}
