//! Times, durations and pairs as people write them.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};

/// A day, meaning its midnight in UTC, or a time with its zone.
pub(crate) fn time(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(day) = text.parse::<NaiveDate>() {
        return Ok(day.and_time(NaiveTime::MIN).and_utc());
    }
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.to_utc())
        .map_err(|_| "expected a day such as 2026-01-31, or a time such as 2026-01-31T12:00:00Z".to_owned())
}

/// A number and its unit.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a number and a unit, such as 90s, 15m, 12h, 365d or 2w".to_owned();
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| wrong())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

/// Two names.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((left, right)) if !left.is_empty() && !right.is_empty() => {
            Ok((left.to_owned(), right.to_owned()))
        }
        _ => Err("expected two names and `=` between them".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_days_or_have_a_zone() {
        let midnight = time("2026-01-31").map(|time| time.to_rfc3339());
        assert_eq!(midnight.as_deref(), Ok("2026-01-31T00:00:00+00:00"));
        let zoned = time("2026-01-31T12:00:00+02:00").map(|time| time.to_rfc3339());
        assert_eq!(zoned.as_deref(), Ok("2026-01-31T10:00:00+00:00"));
        for wrong in ["", "yesterday", "2026-02-30", "2026-01-31T12:00:00"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("365d"), Ok(Duration::from_secs(365 * 86_400)));
        for wrong in ["", "s", "90", "-1d", "1y", "1é", "99999999999999999999d", "9999999999999999999w"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
