//! The `time` crate, whose own formatting needs descriptions at run time.

use sea_orm::prelude::{TimeDate, TimeDateTime, TimeDateTimeWithTimeZone, TimeTime};

use super::{ValueError, mismatch};

pub(super) fn date(date: TimeDate) -> String {
    // `chrono` writes years beyond 9999 with a sign as well.
    let sign = if date.year() > 9999 {
        "+"
    } else if date.year() < 0 {
        "-"
    } else {
        ""
    };
    format!("{sign}{:04}-{:02}-{:02}", date.year().abs(), u8::from(date.month()), date.day())
}

pub(super) fn time(time: TimeTime) -> String {
    let (hour, minute, second, nanos) = time.as_hms_nano();
    if super::is_finer(nanos) {
        return format!("{hour:02}:{minute:02}:{second:02}.{nanos:09}");
    }
    format!("{hour:02}:{minute:02}:{second:02}.{:06}", nanos / 1_000)
}

pub(super) fn date_time(at: TimeDateTime) -> String {
    format!("{}T{}", date(at.date()), time(at.time()))
}

pub(super) fn offset_date_time(at: TimeDateTimeWithTimeZone) -> String {
    // Unix time is UTC. An instant at the very edge of the range has no such form and keeps its own digits.
    let at = TimeDateTimeWithTimeZone::from_unix_timestamp_nanos(at.unix_timestamp_nanos()).unwrap_or(at);
    format!("{}Z", date_time(TimeDateTime::new(at.date(), at.time())))
}

pub(super) fn from_date(text: &str) -> Result<TimeDate, ValueError> {
    let parse = || {
        let (unsigned, sign) = match text.strip_prefix('-') {
            Some(rest) => (rest, -1),
            None => (text.strip_prefix('+').unwrap_or(text), 1),
        };
        let mut parts = unsigned.splitn(3, '-');
        let year: i32 = parts.next()?.parse().ok()?;
        let month: u8 = parts.next()?.parse().ok()?;
        let day: u8 = parts.next()?.parse().ok()?;
        TimeDate::from_calendar_date(sign * year, month.try_into().ok()?, day).ok()
    };
    parse().ok_or(mismatch("a date"))
}

pub(super) fn from_time(text: &str) -> Result<TimeTime, ValueError> {
    let parse = || {
        let (clock, nanos) = text.split_once('.').unwrap_or((text, "0"));
        let mut parts = clock.splitn(3, ':').map(|part| part.parse::<u8>().ok());
        let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
        let nanos = format!("{nanos:0<9}").parse().ok()?;
        TimeTime::from_hms_nano(hour, minute, second, nanos).ok()
    };
    parse().ok_or(mismatch("a time"))
}

pub(super) fn from_date_time(text: &str) -> Result<TimeDateTime, ValueError> {
    let (date, time) = text.split_once('T').ok_or(mismatch("a date and time"))?;
    Ok(TimeDateTime::new(from_date(date)?, from_time(time)?))
}
