//! An old row's values as `event_data`.
//!
//! Values are taken over as the text that they are, so that no digit of a number is lost on the way.

use std::collections::BTreeMap;

use events_core::EventType;
use serde::Serialize;
use serde_json::{Value as Json, value::RawValue};

use super::options::Part;
use crate::value;

/// What an old row says of values.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Values<'a> {
    pub(super) field: Option<&'a str>,
    pub(super) old: Option<&'a str>,
    pub(super) new: Option<&'a str>,
    pub(super) data: Option<&'a str>,
    pub(super) reason: Option<&'a str>,
}

/// JSON in the making.
#[derive(Clone, Serialize)]
#[serde(untagged)]
pub(super) enum Out<'a> {
    Raw(&'a RawValue),
    Text(&'a str),
    Owned(Box<RawValue>),
    Object(BTreeMap<&'a str, Out<'a>>),
    Null,
}

impl Out<'_> {
    pub(super) fn to_text(&self) -> Result<String, String> {
        serde_json::to_string(self).map_err(|error| error.to_string())
    }
}

/// One column's value.
enum Given<'a> {
    Nothing,
    Object(BTreeMap<String, &'a RawValue>),
    Other(&'a RawValue),
}

/// A value that an event cannot hold: in which column, and why.
type Wrong = (Part, String);

/// The event's data.
pub(super) fn event_data(event_type: &EventType, values: Values<'_>) -> Result<String, Wrong> {
    if values.data.is_some() && (values.old.is_some() || values.new.is_some()) {
        let reason =
            "it is filled, and so are the old or new values: leave one out with `.ignore_column(..)`";
        return Err((Part::Data, reason.to_owned()));
    }
    let of_field = |text: Option<&str>, part| {
        let Some(field) = values.field else { return Ok(text.map(str::to_owned)) };
        value_of_field(field, text.unwrap_or("null")).map(Some).map_err(|reason| (part, reason))
    };
    match values.data {
        Some(data) => from_data(event_type, data, values.reason),
        None if values.old.is_none() && values.new.is_none() && values.field.is_none() => {
            from_data(event_type, "null", values.reason)
        }
        None => {
            let (old, new) = (of_field(values.old, Part::Old)?, of_field(values.new, Part::New)?);
            from_values(event_type, old.as_deref(), new.as_deref(), values.reason)
        }
    }
}

/// A single value under its field's name. Such columns often hold plain text.
fn value_of_field(field: &str, text: &str) -> Result<String, String> {
    let owned;
    let raw = match serde_json::from_str::<&RawValue>(text) {
        Ok(_) => text,
        Err(_) => {
            owned = Json::from(text).to_string();
            &owned
        }
    };
    Ok(format!("{{{}:{raw}}}", Json::from(field)))
}

fn parse(text: Option<&str>) -> Result<Given<'_>, String> {
    let Some(text) = text else { return Ok(Given::Nothing) };
    let json: Json = serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))?;
    value::check_json(&json).map_err(|error| error.to_string())?;
    let wrong = |error: serde_json::Error| error.to_string();
    Ok(match json {
        Json::Null => Given::Nothing,
        Json::Object(_) => Given::Object(serde_json::from_str(text).map_err(wrong)?),
        _ => Given::Other(serde_json::from_str(text).map_err(wrong)?),
    })
}

impl<'a> Given<'a> {
    fn is_empty(&self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Object(fields) => fields.is_empty(),
            Self::Other(_) => false,
        }
    }

    fn out(&'a self) -> Out<'a> {
        match self {
            Self::Nothing => Out::Null,
            Self::Object(fields) => {
                Out::Object(fields.iter().map(|(name, raw)| (name.as_str(), Out::Raw(raw))).collect())
            }
            Self::Other(raw) => Out::Raw(raw),
        }
    }

    fn get(&'a self, field: &str) -> Out<'a> {
        match self {
            Self::Object(fields) => fields.get(field).map_or(Out::Null, |raw| Out::Raw(raw)),
            _ => Out::Null,
        }
    }
}

fn same(old: &Out<'_>, new: &Out<'_>) -> bool {
    let json = |out: &Out<'_>| out.to_text().ok().and_then(|text| serde_json::from_str::<Json>(&text).ok());
    match (old, new) {
        (Out::Raw(old), Out::Raw(new)) if old.get() == new.get() => true,
        _ => json(old) == json(new),
    }
}

fn change<'a>(old: Out<'a>, new: Out<'a>) -> Out<'a> {
    Out::Object(BTreeMap::from([("new", new), ("old", old)]))
}

/// From columns of old and new values.
fn from_values(
    event_type: &EventType,
    old: Option<&str>,
    new: Option<&str>,
    reason: Option<&str>,
) -> Result<String, Wrong> {
    let old = parse(old).map_err(|reason| (Part::Old, reason))?;
    let new = parse(new).map_err(|reason| (Part::New, reason))?;
    let mut data = BTreeMap::new();
    match event_type {
        EventType::Created | EventType::Restored => {
            whole(&mut data, "initial_values", ("new_values", &new), ("old_values", &old))
        }
        EventType::Deleted if old.is_empty() => {
            whole(&mut data, "final_values", ("new_values", &new), ("old_values", &old))
        }
        EventType::Deleted => whole(&mut data, "final_values", ("old_values", &old), ("new_values", &new)),
        EventType::Updated => match differing(&old, &new) {
            Some(changes) => {
                data.insert("changes", Out::Object(changes));
            }
            None => {
                data.insert("changes", Out::Object(BTreeMap::new()));
                keep(&mut data, "old_values", &old);
                keep(&mut data, "new_values", &new);
            }
        },
        EventType::StateChanged => {
            if old.is_empty() && new.is_empty() {
                return Err((Part::New, NO_STATE.to_owned()));
            }
            let mut states = differing(&old, &new).filter(|changes| changes.len() == 1);
            match states.as_mut().and_then(BTreeMap::pop_first) {
                Some((field, state)) => {
                    data.insert("field", Out::Text(field));
                    data.insert("state", state);
                }
                None => {
                    data.insert("state", change(old.out(), new.out()));
                }
            }
        }
        _ => {
            keep(&mut data, "old_values", &old);
            keep(&mut data, "new_values", &new);
        }
    }
    if let Some(reason) = reason.filter(|_| has_reason(event_type)) {
        data.insert("reason", Out::Text(reason));
    }
    Out::Object(data).to_text().map_err(|reason| (Part::New, reason))
}

const NO_STATE: &str = "a STATE_CHANGED has neither an old nor a new state: give such rows a name of their own with `.event_type(..)`";

fn has_reason(event_type: &EventType) -> bool {
    matches!(event_type, EventType::StateChanged | EventType::Deleted | EventType::Restored)
}

/// All values under one name, and what else there is beside them.
fn whole<'a>(
    data: &mut BTreeMap<&'a str, Out<'a>>,
    name: &'a str,
    (main_name, main): (&'a str, &'a Given<'a>),
    (other_name, other): (&'a str, &'a Given<'a>),
) {
    match main {
        Given::Other(_) => {
            data.insert(name, Out::Object(BTreeMap::new()));
            keep(data, main_name, main);
        }
        Given::Nothing => drop(data.insert(name, Out::Object(BTreeMap::new()))),
        Given::Object(_) => drop(data.insert(name, main.out())),
    }
    keep(data, other_name, other);
}

fn keep<'a>(data: &mut BTreeMap<&'a str, Out<'a>>, name: &'a str, given: &'a Given<'a>) {
    if !given.is_empty() {
        data.insert(name, given.out());
    }
}

/// The fields that differ; none if these are no fields.
fn differing<'a>(old: &'a Given<'a>, new: &'a Given<'a>) -> Option<BTreeMap<&'a str, Out<'a>>> {
    let mut changes = BTreeMap::new();
    for side in [old, new] {
        match side {
            Given::Nothing => {}
            Given::Other(_) => return None,
            Given::Object(fields) => {
                for name in fields.keys().map(String::as_str) {
                    let (old, new) = (old.get(name), new.get(name));
                    if !same(&old, &new) {
                        changes.insert(name, change(old, new));
                    }
                }
            }
        }
    }
    Some(changes)
}

/// From one column for all.
fn from_data(event_type: &EventType, text: &str, reason: Option<&str>) -> Result<String, Wrong> {
    let wrong = |reason: String| (Part::Data, reason);
    let given = parse(Some(text)).map_err(wrong)?;
    let fields = match &given {
        Given::Object(fields) => Some(fields),
        _ => None,
    };
    if let Some((old, new)) = fields.and_then(|fields| pair(fields, "old_values", "new_values"))
        && !matches!(event_type, EventType::Custom(_))
    {
        return from_values(event_type, Some(old.get()), Some(new.get()), reason);
    }
    let has = |name: &str| {
        fields.is_some_and(|fields| fields.get(name).is_some_and(|raw| raw.get().starts_with('{')))
    };
    let mut data = BTreeMap::new();
    let name = match event_type {
        EventType::Created | EventType::Restored => "initial_values",
        EventType::Deleted => "final_values",
        EventType::Updated => "changes",
        EventType::StateChanged => "state",
        _ => {
            let text = if matches!(given, Given::Nothing) { "{}" } else { text };
            return Ok(text.to_owned());
        }
    };
    if has(name) {
        return Ok(text.to_owned());
    }
    match event_type {
        EventType::StateChanged => state(&mut data, fields).ok_or_else(|| wrong(NO_STATE.to_owned()))?,
        EventType::Updated if !fields.is_some_and(|fields| fields.values().all(|raw| is_change(raw))) => {
            data.insert(name, Out::Object(BTreeMap::new()));
            keep(&mut data, "event_data", &given);
        }
        _ => whole(&mut data, name, ("event_data", &given), ("event_data", &Given::Nothing)),
    }
    Out::Object(data).to_text().map_err(wrong)
}

type Fields<'a> = BTreeMap<String, &'a RawValue>;

/// Two fields, if there is nothing but them.
fn pair<'a>(fields: &Fields<'a>, old: &str, new: &str) -> Option<(&'a RawValue, &'a RawValue)> {
    let both = (*fields.get(old)?, *fields.get(new)?);
    (fields.len() == 2).then_some(both)
}

/// Whether this is `{old, new}`.
fn is_change(raw: &RawValue) -> bool {
    serde_json::from_str::<Fields<'_>>(raw.get()).is_ok_and(|fields| pair(&fields, "old", "new").is_some())
}

/// `{old, new}` with what stands beside it, or `{field: {old, new}}`.
fn state<'a>(data: &mut BTreeMap<&'a str, Out<'a>>, fields: Option<&'a Fields<'a>>) -> Option<()> {
    let fields = fields?;
    if let (Some(old), Some(new)) = (fields.get("old"), fields.get("new")) {
        let others = fields.iter().filter(|(name, _)| !["old", "new", "state"].contains(&name.as_str()));
        data.extend(others.map(|(name, raw)| (name.as_str(), Out::Raw(raw))));
        data.insert("state", change(Out::Raw(old), Out::Raw(new)));
        return Some(());
    }
    let (field, raw) = fields.first_key_value().filter(|(_, raw)| fields.len() == 1 && is_change(raw))?;
    data.insert("field", Out::Text(field));
    data.insert("state", Out::Raw(raw));
    Some(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(event_type: &str, values: Values<'_>, expected: &Json) {
        let data = event_data(&event_type.parse().unwrap(), values).unwrap();
        assert_eq!(&serde_json::from_str::<Json>(&data).unwrap(), expected, "{event_type}: {data}");
    }

    fn values<'a>(old: &'a str, new: &'a str) -> Values<'a> {
        let given = |text: &'a str| (!text.is_empty()).then_some(text);
        Values { old: given(old), new: given(new), ..Values::default() }
    }

    fn data(data: &str) -> Values<'_> {
        Values { data: Some(data), ..Values::default() }
    }

    #[test]
    fn old_and_new_values() {
        check("CREATED", values("", r#"{"a":1}"#), &json!({"initial_values": {"a": 1}}));
        check("CREATED", values("{}", ""), &json!({"initial_values": {}}));
        check("CREATED", values("", "[1]"), &json!({"initial_values": {}, "new_values": [1]}));
        check(
            "CREATED",
            values(r#"{"b":2}"#, r#"{"a":1}"#),
            &json!({"initial_values": {"a": 1}, "old_values": {"b": 2}}),
        );
        check(
            "UPDATED",
            values(r#"{"a":1,"b":2,"c":3}"#, r#"{"a":1,"b":3,"d":4}"#),
            &json!({"changes": {"b": {"old": 2, "new": 3}, "c": {"old": 3, "new": null}, "d": {"old": null, "new": 4}}}),
        );
        check("UPDATED", values("1", "2"), &json!({"changes": {}, "old_values": 1, "new_values": 2}));
        check("DELETED", values(r#"{"a":1}"#, "null"), &json!({"final_values": {"a": 1}}));
        check("DELETED", values("", r#"{"a":1}"#), &json!({"final_values": {"a": 1}}));
        check(
            "STATE_CHANGED",
            Values {
                reason: Some("launch"),
                ..values(r#"{"status":"draft","a":1}"#, r#"{"status":"live","a":1}"#)
            },
            &json!({"field": "status", "state": {"old": "draft", "new": "live"}, "reason": "launch"}),
        );
        check(
            "STATE_CHANGED",
            values(r#""draft""#, r#""live""#),
            &json!({"state": {"old": "draft", "new": "live"}}),
        );
        check("launched", values("", r#"{"a":1}"#), &json!({"new_values": {"a": 1}}));
        check("launched", values("", ""), &json!({}));
    }

    #[test]
    fn one_fields_values() {
        let of = |old, new| Values { field: Some("status"), old, new, ..Values::default() };
        check(
            "UPDATED",
            of(Some("draft"), Some("live")),
            &json!({"changes": {"status": {"old": "draft", "new": "live"}}}),
        );
        check("UPDATED", of(None, Some("5")), &json!({"changes": {"status": {"old": null, "new": 5}}}));
        check(
            "STATE_CHANGED",
            of(Some("a"), Some("b")),
            &json!({"field": "status", "state": {"old": "a", "new": "b"}}),
        );
    }

    #[test]
    fn one_value_for_all() {
        check(
            "CREATED",
            data(r#"{"initial_values":{"a":1},"x":2}"#),
            &json!({"initial_values": {"a": 1}, "x": 2}),
        );
        check("CREATED", data(r#"{"a":1}"#), &json!({"initial_values": {"a": 1}}));
        check("CREATED", data("7"), &json!({"initial_values": {}, "event_data": 7}));
        check("UPDATED", data(r#"{"changes":{}}"#), &json!({"changes": {}}));
        check(
            "UPDATED",
            data(r#"{"a":{"old":1,"new":2}}"#),
            &json!({"changes": {"a": {"old": 1, "new": 2}}}),
        );
        check("UPDATED", data(r#"{"a":1}"#), &json!({"changes": {}, "event_data": {"a": 1}}));
        check(
            "UPDATED",
            data(r#"{"old_values":{"a":1},"new_values":{"a":2}}"#),
            &json!({"changes": {"a": {"old": 1, "new": 2}}}),
        );
        check("DELETED", data("null"), &json!({"final_values": {}}));
        check(
            "STATE_CHANGED",
            data(r#"{"old":1,"new":2,"reason":"r"}"#),
            &json!({"state": {"old": 1, "new": 2}, "reason": "r"}),
        );
        check(
            "STATE_CHANGED",
            data(r#"{"s":{"old":1,"new":2}}"#),
            &json!({"field": "s", "state": {"old": 1, "new": 2}}),
        );
        check("launched", data("[1,2]"), &json!([1, 2]));
    }

    #[test]
    fn digits_are_kept() {
        let text = r#"{"a":123456789012345678901234567890.10}"#;
        let kept = event_data(&EventType::Created, values("", text)).unwrap();
        assert_eq!(kept, r#"{"initial_values":{"a":123456789012345678901234567890.10}}"#);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let wrong = |event_type: &EventType, values| event_data(event_type, values).unwrap_err();
        assert_eq!(wrong(&EventType::Created, values("", "{")).0, Part::New);
        assert_eq!(wrong(&EventType::Created, values(r#""\u0000""#, "{}")).0, Part::Old);
        assert_eq!(wrong(&EventType::StateChanged, data("{}")), (Part::Data, NO_STATE.to_owned()));
        assert_eq!(wrong(&EventType::Updated, Values { data: Some("{}"), ..values("{}", "") }).0, Part::Data);
    }
}
