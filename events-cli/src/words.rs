//! An event in words, for people.

use events_sea_orm::event;
use serde_json::Value;

/// What it happened to.
pub(crate) fn object(event: &event::Model) -> String {
    match (&event.object_type, &event.object_id) {
        (Some(object_type), Some(object_id)) => plain(&format!("{object_type} {object_id}")),
        _ => String::new(),
    }
}

/// Who did it, and for whom.
pub(crate) fn who(event: &event::Model) -> String {
    let actor = event.actor_id.as_deref().unwrap_or_default();
    match &event.context["on_behalf_of"] {
        Value::String(principal) => plain(&format!("{actor} for {principal}")),
        _ => plain(actor),
    }
}

/// What changed, and why.
pub(crate) fn what(event: &event::Model) -> String {
    let data = &event.event_data;
    let mut parts = Vec::new();
    for key in ["initial_values", "final_values"] {
        for (name, value) in data[key].as_object().into_iter().flatten() {
            parts.push(format!("{name} {}", shown(value)));
        }
    }
    for (name, change) in data["changes"].as_object().into_iter().flatten() {
        parts.push(format!("{name} {} -> {}", shown(&change["old"]), shown(&change["new"])));
    }
    if let (Value::String(field), Value::Object(state)) = (&data["field"], &data["state"]) {
        let of = |key| state.get(key).unwrap_or(&Value::Null);
        parts.push(format!("{field} {} -> {}", shown(of("old")), shown(of("new"))));
    }
    for name in data["redacted"].as_array().into_iter().flatten() {
        parts.push(format!("{} (redacted)", shown(name)));
    }
    if parts.is_empty() && data.as_object().is_none_or(|data| !data.is_empty()) {
        parts.push(data.to_string());
    }
    let reason = [&data["reason"], &event.context["reason"]].into_iter().find_map(Value::as_str);
    if let Some(reason) = reason {
        parts.push(format!("because: {reason}"));
    }
    plain(&parts.join(", "))
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Text that does nothing to a terminal: users wrote it.
pub(crate) fn plain(text: &str) -> String {
    let turns =
        |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let escaped = |c: char| c.is_control() || turns(c);
    if !text.contains(escaped) {
        return text.to_owned();
    }
    text.chars().fold(String::new(), |mut plain, c| {
        if escaped(c) {
            plain.extend(c.escape_default())
        } else {
            plain.push(c)
        }
        plain
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_told_nothing() {
        assert_eq!(plain("Blue 🐝 é"), "Blue 🐝 é");
        assert_eq!(plain("\u{1b}[2Ja\nb\u{202e}"), "\\u{1b}[2Ja\\nb\\u{202e}");
    }
}
