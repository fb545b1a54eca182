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

/// Text that does nothing to a terminal: users wrote it. Invisible characters are escaped too, and the ends of lines of any kind.
pub(crate) fn plain(text: &str) -> String {
    if !text.contains(is_unseen) {
        return text.to_owned();
    }
    text.chars().fold(String::new(), |mut plain, c| {
        if is_unseen(c) {
            plain.extend(c.escape_default())
        } else {
            plain.push(c)
        }
        plain
    })
}

/// Text of several lines, each of them plain.
pub(crate) fn plain_lines(text: &str) -> String {
    text.split('\n').map(plain).collect::<Vec<_>>().join("\n")
}

/// JSON with the same in escapes, which mean the same to whoever reads it.
pub(crate) fn plain_json(json: &str) -> String {
    if !json.contains(is_unseen) {
        return json.to_owned();
    }
    json.chars().fold(String::new(), |mut plain, c| {
        if is_unseen(c) {
            let mut units = [0; 2];
            c.encode_utf16(&mut units).iter().for_each(|unit| plain.push_str(&format!("\\u{unit:04x}")));
        } else {
            plain.push(c);
        }
        plain
    })
}

/// What moves the cursor, turns the direction of what follows, or cannot be seen.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}'
            // Marks of direction, ends of lines and paragraphs, embeddings, isolates. Joiners stay: some scripts need them.
            | '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_told_nothing() {
        // A family is written with joiners, which stay.
        for text in ["Blue 🐝 é", "👨\u{200d}👩\u{200d}👧", "שלום", "日本語", "a  b"] {
            assert_eq!(plain(text), text);
        }
        for c in [
            "\u{7}", "\u{7f}", "\u{9b}", "\t", "\u{2028}", "\u{2029}", "\u{202e}", "\u{2066}", "\u{61c}",
            "\u{feff}", "\u{200b}",
        ] {
            assert!(!plain(&format!("a{c}b")).contains(c), "{c:?}");
        }
        let json = "{\"a\":\"x\u{2028}\u{7f}\u{e0041}\"}";
        assert_eq!(plain_json(json), r#"{"a":"x\u2028\u007f\udb40\udc41"}"#);
        let read = |json: &str| serde_json::from_str::<Value>(json).unwrap();
        assert_eq!(read(&plain_json(json)), read(json));
        assert_eq!(plain_lines("a\u{1b}[2J\nb\u{2028}"), "a\\u{1b}[2J\nb\\u{2028}");
        assert_eq!(plain("\u{1b}[2Ja\nb\u{202e}"), "\\u{1b}[2Ja\\nb\\u{202e}");
    }
}
