//! JSON as a cell holds it, where `serde_json::Value` holds all of it.
//!
//! A `Value` has numbers of 64 bits and one member of each name. A database may hold more: PostgreSQL keeps every digit,
//! and its `json`, like the text of SQLite and MariaDB, a name that an object has twice.

use sea_orm::Value;
use serde_json::Value as Json;

/// JSON, or the text where it is none, or holds more than `serde_json::Value` does.
pub(super) fn json(text: &str) -> Value {
    match serde_json::from_str::<Json>(text) {
        Ok(json) if is_whole(text, &json) => json.into(),
        _ => text.into(),
    }
}

/// Whether this JSON is all that the text says.
fn is_whole(text: &str, json: &Json) -> bool {
    let bytes = text.as_bytes();
    let (mut at, mut named) = (0, 0);
    while let Some(byte) = bytes.get(at) {
        let length = match byte {
            b'"' => length_of_string(&bytes[at..]),
            b'-' | b'0'..=b'9' => {
                let is_digit = |byte: &&u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
                let length = bytes[at..].iter().take_while(is_digit).count();
                if !keeps_its_digits(&text[at..at + length]) {
                    return false;
                }
                length
            }
            b':' => {
                named += 1;
                1
            }
            _ => 1,
        };
        at += length;
    }
    named == members(json)
}

/// Of a string in quotes, with them.
fn length_of_string(bytes: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// How many members all its objects have.
fn members(json: &Json) -> usize {
    match json {
        Json::Object(fields) => fields.len() + fields.values().map(members).sum::<usize>(),
        Json::Array(items) => items.iter().map(members).sum(),
        _ => 0,
    }
}

/// Whether 64 bits hold this number as it is written.
fn keeps_its_digits(number: &str) -> bool {
    if number.parse::<i64>().is_ok() || number.parse::<u64>().is_ok() {
        return true;
    }
    number.parse::<f64>().is_ok_and(|read| decimal(number) == decimal(&format!("{read:e}")))
}

/// The digits of a number without zeros at either end, and the power of ten of the last. The sign is no matter here: no
/// reading changes it.
fn decimal(number: &str) -> Option<(String, i64)> {
    let number = number.trim_start_matches('-');
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let exponent: i64 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let digits = all.trim_start_matches('0').trim_end_matches('0');
    if digits.is_empty() {
        return Some((String::new(), 0));
    }
    let zeros = all.len() - all.trim_end_matches('0').len();
    let power = exponent.checked_sub(i64::try_from(fraction.len()).ok()?)?;
    Some((digits.to_owned(), power.checked_add(i64::try_from(zeros).ok()?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, is_json: bool) {
        assert_eq!(matches!(json(text), Value::Json(_)), is_json, "{text}");
    }

    #[test]
    fn what_64_bits_hold_is_json() {
        for number in [
            "0",
            "-0",
            "1.50",
            "1e2",
            "-1.5E+3",
            "0.1",
            "0.30000000000000004",
            "100000000000000000000",
            "1e300",
            "18446744073709551615",
            "-9223372036854775808",
            "5e-324",
        ] {
            check(&format!(r#"{{"a": [{number}]}}"#), true);
        }
        check(r#"{"a:1": "\": 12345678901234567890123", "b": {"a:1": [{}, []]}}"#, true);
    }

    #[test]
    fn what_they_do_not_is_text() {
        for number in [
            "12345678901234567890123",
            "18446744073709551617",
            "0.1234567890123456789",
            "1e400",
            "-1e400",
            "1e-400",
            "9007199254740993.5",
            "1e99999999999999999999",
        ] {
            check(&format!(r#"{{"a": [{number}]}}"#), false);
        }
        check(r#"{"a": 1, "a": 2}"#, false);
        check(r#"[{"b": {"a": 1, "a": 1}}]"#, false);
        check("no json", false);
    }
}
