//! What a column holds and its own type, or JSON, cannot: recorded without loss, and so that it cannot be mistaken for a
//! value of the column's own.
//!
//! An object with one reserved name stands in place of the value:
//!
//! | recorded | what the database holds |
//! |---|---|
//! | `{"$text": "a\\0b"}` | text with a NUL, or text in a column of another type; a NUL is written `\0`, a backslash `\\` |
//! | `{"$bytes": "AP8="}` | bytes in a column of another type, or text that is no UTF-8; base64 |
//! | `{"$json": "{\"a\": ..}"}` | JSON that PostgreSQL or a reader could not have back (a NUL in it, nested too deeply, a number of more digits than 64 bits hold, a name that an object has twice), whose object uses a reserved name itself, or text in a JSON column that is no JSON: as text |

use base64::{Engine, engine::general_purpose::STANDARD};
use sea_orm::Value;
use serde_json::{Value as Json, json};

use super::{Kind, ValueError, check_json, mismatch, no_nul};

const TEXT: &str = "$text";
const BYTES: &str = "$bytes";
const JSON: &str = "$json";
/// Of a field whose values are recorded by their digests.
pub(crate) const DIGEST: &str = "$sha256";

/// The reserved form of this value in a column of this kind, if it has none of its own there.
pub(super) fn of(value: &Value, kind: Kind) -> Option<Json> {
    match value {
        Value::String(Some(held)) => match kind {
            Kind::Json if no_nul(held).is_ok() => Some(json!({JSON: held})),
            // A decimal is recorded as its digits, whatever it is stored as.
            Kind::Decimal if is_number(held) => None,
            _ if kind.is_text() && no_nul(held).is_ok() => None,
            _ => Some(text(held)),
        },
        Value::Char(Some('\0')) => Some(text("\0")),
        Value::Enum(held) => super::enum_text(held).filter(|held| no_nul(held).is_err()).map(text),
        Value::Bytes(Some(held)) if kind != Kind::Bytes => Some(json!({BYTES: STANDARD.encode(held)})),
        Value::Json(Some(held)) if is_reserved(held) || check_json(held).is_err() => {
            Some(json!({JSON: held.to_string()}))
        }
        #[cfg(feature = "postgres-array")]
        Value::Array(item_type, Some(items)) => {
            let kind = super::array::kind_of_items(item_type);
            let items: Vec<_> = items.iter().map(|item| of(item, kind)).collect();
            // The others of the array are as they ever are.
            items.iter().any(Option::is_some).then(|| {
                let Value::Array(_, Some(values)) = value else { return Json::Null };
                let each = values.iter().zip(items);
                each.map(|(value, odd)| odd.unwrap_or_else(|| super::to_json(value).unwrap_or_default()))
                    .collect()
            })
        }
        _ => None,
    }
}

fn text(held: &str) -> Json {
    json!({TEXT: held.replace('\\', "\\\\").replace('\0', "\\0")})
}

/// Digits as a database writes them, and the words of numbers that are none.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    ["NaN", "Infinity"].contains(&digits)
        || (digits.starts_with(|c: char| c.is_ascii_digit())
            && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
            && digits.matches('.').count() <= 1)
}

fn is_reserved(json: &Json) -> bool {
    let names = [TEXT, BYTES, JSON, DIGEST];
    json.as_object().is_some_and(|fields| names.iter().any(|name| fields.contains_key(*name)))
}

/// What a recorded value stands for.
pub(crate) enum Held {
    Text(String),
    Bytes(Vec<u8>),
    /// As text.
    Json(String),
    Digest,
}

/// What this recorded value stands for, if it is in a reserved form.
pub(crate) fn held(recorded: &Json) -> Option<Held> {
    let fields = recorded.as_object()?;
    if fields.contains_key(DIGEST) {
        return Some(Held::Digest);
    }
    let mut fields = fields.iter();
    let (Some((name, Json::String(text))), None) = (fields.next(), fields.next()) else { return None };
    match name.as_str() {
        TEXT => Some(Held::Text(unescaped(text))),
        BYTES => STANDARD.decode(text).ok().map(Held::Bytes),
        JSON => Some(Held::Json(text.clone())),
        _ => None,
    }
}

fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => plain.push(match chars.next() {
                Some('0') => '\0',
                Some(other) => other,
                None => '\\',
            }),
            (other, false) => plain.push(other),
        }
    }
    plain
}

/// The value in the reserved form as one of the type asked for.
pub(super) fn from_held(held: Held, like: &Value) -> Result<Value, ValueError> {
    let found = match (held, like) {
        (Held::Text(text), Value::String(_)) => return Ok(text.into()),
        (Held::Text(text), Value::Char(_)) => {
            let mut chars = text.chars();
            return match (chars.next(), chars.next()) {
                (Some(only), None) => Ok(only.into()),
                _ => Err(mismatch("a character")),
            };
        }
        (Held::Bytes(bytes), Value::Bytes(_)) => return Ok(bytes.into()),
        (Held::Json(text), Value::Json(_)) => {
            return serde_json::from_str::<Json>(&text)
                .map(Value::from)
                .map_err(|_| ValueError::Held { held: "text that is no JSON, or JSON nested too deeply" });
        }
        (Held::Json(text), Value::String(_)) => return Ok(text.into()),
        (Held::Text(_), _) => "text, which is no value of the column's type",
        (Held::Bytes(_), _) => "bytes, which are no value of the column's type",
        (Held::Json(_), _) => "JSON",
        (Held::Digest, _) => "the digest of a value, by `#[track(digest)]`, and not the value",
    };
    Err(ValueError::Held { held: found })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: impl Into<Value>, kind: Kind, expected: Json) {
        let value = value.into();
        let recorded = super::super::recorded(&value, kind).unwrap();
        assert_eq!(recorded, expected);
        let back = from_held(held(&recorded).unwrap(), &value.as_null()).unwrap();
        assert_eq!(back, value, "and back");
    }

    #[test]
    fn what_does_not_fit_is_kept_and_cannot_be_mistaken() {
        check("a\0b\\0", Kind::Text, json!({"$text": "a\\0b\\\\0"}));
        check("plain", Kind::Integer, json!({"$text": "plain"}));
        check("AAE=", Kind::Bytes, json!({"$text": "AAE="}));
        check("2026-11-23", Kind::Date, json!({"$text": "2026-11-23"}));
        check("nonsense", Kind::Decimal, json!({"$text": "nonsense"}));
        check(vec![0_u8, 255], Kind::Text, json!({"$bytes": "AP8="}));
        check(json!({"$text": "a"}), Kind::Json, json!({"$json": r#"{"$text":"a"}"#}));
        check(json!({"a": "\0"}), Kind::Json, json!({"$json": r#"{"a":"\u0000"}"#}));
        check("not json", Kind::Json, json!({"$json": "not json"}));
    }

    #[test]
    fn what_fits_is_recorded_as_ever() {
        let check = |value: Value, kind, expected| {
            assert_eq!(super::super::recorded(&value, kind).unwrap(), expected);
        };
        check("$text".into(), Kind::Text, json!("$text"));
        check("-12345678901234567890123456789012345678.5".into(), Kind::Decimal, {
            json!("-12345678901234567890123456789012345678.5")
        });
        check(json!({"text": "a", "b": {"$text": 1}}).into(), Kind::Json, {
            json!({"text": "a", "b": {"$text": 1}})
        });
        check(7.into(), Kind::Text, json!(7));
    }
}
