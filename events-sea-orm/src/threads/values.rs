//! How a recorded value is shown.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Timelike};
use serde_json::Value as Json;

use super::text::line;
use crate::{
    tracked::Format,
    value::{
        Kind,
        odd::{self, Held},
    },
};

/// The most characters of a value.
const LONGEST: usize = 80;

/// A value in a sentence; none for NULL.
pub(super) fn show(value: &Json, kind: Kind, format: Option<Format>) -> Option<String> {
    if value.is_null() {
        return None;
    }
    Some(match format {
        Some(Format::With(with)) => line(&with(value), LONGEST),
        Some(Format::Plain) => line(&bare(value), LONGEST),
        Some(Format::Number) => grouped(&bare(value)).unwrap_or_else(|| by_kind(value, kind)),
        Some(Format::Date) => value.as_str().and_then(date).unwrap_or_else(|| by_kind(value, kind)),
        None => by_kind(value, kind),
    })
}

fn by_kind(value: &Json, kind: Kind) -> String {
    use Kind::{Date, DateTime, Decimal, Double, Float, Instant, Text, Time};
    match odd::held(value) {
        Some(Held::Text(text)) => return quoted(&text),
        Some(Held::Bytes(bytes)) => return format!("{} bytes", bytes.len()),
        Some(Held::Json(text)) => return line(&text, LONGEST),
        Some(Held::Digest) => return digest(value),
        None => {}
    }
    match (value, kind) {
        (Json::Bool(true), _) => "yes".to_owned(),
        (Json::Bool(false), _) => "no".to_owned(),
        (Json::Number(number), _) if number.is_f64() => number_text(&number.to_string()),
        (Json::String(text), Decimal | Float | Double) => number_text(text),
        (Json::String(text), Date | Time | DateTime | Instant) => {
            self::time(text).unwrap_or_else(|| quoted(text))
        }
        (Json::String(text), Text) => quoted(text),
        (value, _) => line(&bare(value), LONGEST),
    }
}

/// A value of which the digest is recorded: how long it is, and enough of the digest to see that it changed.
fn digest(value: &Json) -> String {
    let digest = value[odd::DIGEST].as_str().unwrap_or_default();
    let start: String = digest.chars().take(8).collect();
    format!("{} bytes (SHA-256 {start}…)", value["length"])
}

/// The text of it, without quotes.
fn bare(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn quoted(text: &str) -> String {
    format!("“{}”", line(text, LONGEST))
}

fn number_text(text: &str) -> String {
    grouped(text).unwrap_or_else(|| line(text, LONGEST))
}

/// A number with its thousands apart; none if it is no number in plain digits.
fn grouped(text: &str) -> Option<String> {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("−", digits));
    let (whole, fraction) =
        digits.split_once('.').map_or((digits, None), |(whole, rest)| (whole, Some(rest)));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !fraction.is_none_or(is_digits) || text.len() > LONGEST {
        return None;
    }
    let mut shown = String::from(sign);
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    if let Some(fraction) = fraction {
        shown.push('.');
        shown.push_str(fraction);
    }
    Some(shown)
}

/// A point in time as people write it, as [`value`](crate::value) records it.
fn time(text: &str) -> Option<String> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        let at = at.to_utc().naive_utc();
        return Some(format!("{}, {} UTC", day(at.date()), clock(at.time())));
    }
    if let Ok(at) = text.parse::<NaiveDateTime>() {
        return Some(format!("{}, {}", day(at.date()), clock(at.time())));
    }
    if let Ok(date) = text.parse::<NaiveDate>() {
        return Some(day(date));
    }
    text.parse::<NaiveTime>().ok().map(clock)
}

/// The day of it alone.
fn date(text: &str) -> Option<String> {
    let at = DateTime::parse_from_rfc3339(text).map(|at| at.to_utc().date_naive());
    let at = at.or_else(|_| text.parse::<NaiveDateTime>().map(|at| at.date()));
    at.or_else(|_| text.parse::<NaiveDate>()).ok().map(day)
}

fn day(date: NaiveDate) -> String {
    date.format("%-d %b %Y").to_string()
}

/// Seconds where there are any; fractions never.
fn clock(time: NaiveTime) -> String {
    time.format(if time.second() == 0 { "%H:%M" } else { "%H:%M:%S" }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(value: Json, kind: Kind, format: Option<Format>, expected: &str) {
        assert_eq!(show(&value, kind, format).as_deref(), Some(expected), "{value}");
    }

    #[test]
    fn values_read_as_their_columns_say() {
        use Kind::{Decimal, Other, Text, Time};
        for (value, kind, expected) in [
            (json!(true), Other, "yes"),
            (json!(false), Other, "no"),
            (json!(2006), Other, "2006"),
            (json!(1_234_567), Other, "1234567"),
            (json!(u64::MAX), Other, "18446744073709551615"),
            (json!(1234.5), Decimal, "1,234.5"),
            (json!(-0.5), Decimal, "−0.5"),
            (json!(1e300), Decimal, "1e+300"),
            (json!("NaN"), Decimal, "NaN"),
            (json!("1000.00"), Decimal, "1,000.00"),
            (json!("-1234567.5"), Decimal, "−1,234,567.5"),
            (json!("999"), Decimal, "999"),
            (json!("1000.00"), Text, "“1000.00”"),
            (json!("Spring"), Text, "“Spring”"),
            (json!(""), Text, "“”"),
            (json!("a\n b\u{202e}"), Text, "“a b”"),
            (json!("live"), Other, "live"),
            (json!("2026-11-23T18:06:27.123456Z"), Time, "23 Nov 2026, 18:06:27 UTC"),
            (json!("2026-11-23T18:06:00.000000Z"), Time, "23 Nov 2026, 18:06 UTC"),
            (json!("2005-05-04T22:53:30.000000"), Time, "4 May 2005, 22:53:30"),
            (json!("2026-11-23"), Time, "23 Nov 2026"),
            (json!("18:06:00.000000"), Time, "18:06"),
            (json!("soon"), Time, "“soon”"),
            (json!({"a": [1, "x"]}), Other, r#"{"a":[1,"x"]}"#),
            (json!([1, 2]), Text, "[1,2]"),
        ] {
            check(value, kind, None, expected);
        }
        assert_eq!(show(&Json::Null, Text, None), None);
    }

    #[test]
    fn a_format_says_otherwise() {
        use Kind::{Decimal, Other, Text, Time};
        let shout = Format::With(|value| format!("<{value}>\u{202e}"));
        for (value, kind, format, expected) in [
            (json!(1_234_567), Other, Format::Number, "1,234,567"),
            (json!("1000.5"), Text, Format::Number, "1,000.5"),
            (json!("many"), Text, Format::Number, "“many”"),
            (json!("1.2.3"), Text, Format::Number, "“1.2.3”"),
            (json!("1000.5"), Decimal, Format::Plain, "1000.5"),
            (json!("Spring"), Text, Format::Plain, "Spring"),
            (json!(true), Other, Format::Plain, "true"),
            (json!("2026-11-23T23:59:59.000000Z"), Time, Format::Date, "23 Nov 2026"),
            (json!("2026-11-23T23:59:59.000000"), Time, Format::Date, "23 Nov 2026"),
            (json!("2026-11-23"), Text, Format::Date, "23 Nov 2026"),
            (json!("soon"), Text, Format::Date, "“soon”"),
            (json!(5), Other, Format::Date, "5"),
            (json!(5), Other, shout, "<5>"),
        ] {
            check(value, kind, Some(format), expected);
        }
        assert_eq!(show(&Json::Null, Other, Some(shout)), None);
    }

    #[test]
    fn long_values_are_shortened() {
        let long = "x".repeat(1000);
        check(json!(long), Kind::Text, None, &format!("“{}…”", "x".repeat(80)));
        check(json!([long]), Kind::Other, None, &format!("[\"{}…", "x".repeat(78)));
        check(json!("9".repeat(100)), Kind::Decimal, None, &format!("{}…", "9".repeat(80)));
    }
}
