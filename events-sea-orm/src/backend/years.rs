//! Which years can be sent to a database.

use sea_orm::{DbBackend, Value};

use crate::error::Refused;

/// The years of what MariaDB and MySQL hold. Their driver refuses others once it has noted that an answer is due, so that
/// everything sent on the connection afterwards would wait for ever; and of those that it sends, the server makes zeros.
const OF_MYSQL: std::ops::RangeInclusive<i32> = 0..=9999;

/// The years of an event, which every database holds.
pub(crate) const OF_EVENTS: std::ops::RangeInclusive<i32> = 1..=9999;

/// Refuses a date or time that this database does not hold. `what` says which the value of this place is.
pub(crate) fn check<'a>(
    backend: DbBackend,
    values: impl IntoIterator<Item = &'a Value>,
    what: impl Fn(usize) -> String,
) -> Result<(), Refused> {
    if backend != DbBackend::MySql {
        return Ok(());
    }
    match values.into_iter().position(|value| !is_held(value)) {
        Some(place) => Err(Refused::DateOutOfRange { what: what(place), first: *OF_MYSQL.start() }),
        None => Ok(()),
    }
}

/// Whether MariaDB and MySQL hold this value, if it is a date or time.
fn is_held(value: &Value) -> bool {
    use chrono::Datelike;
    // Instants are sent in UTC.
    let year = match value {
        Value::ChronoDate(date) => date.map(|date| date.year()),
        Value::ChronoDateTime(at) => at.map(|at| at.year()),
        Value::ChronoDateTimeUtc(at) => at.map(|at| at.year()),
        Value::ChronoDateTimeLocal(at) => at.map(|at| at.to_utc().year()),
        Value::ChronoDateTimeWithTimeZone(at) => at.map(|at| at.to_utc().year()),
        #[cfg(feature = "with-time")]
        Value::TimeDate(date) => date.map(|date| date.year()),
        #[cfg(feature = "with-time")]
        Value::TimeDateTime(at) => at.map(|at| at.year()),
        #[cfg(feature = "with-time")]
        Value::TimeDateTimeWithTimeZone(at) => {
            let Some(at) = at else { return true };
            // The driver panics at one that is none in UTC.
            let at = sea_orm::prelude::TimeDateTimeWithTimeZone::from_unix_timestamp_nanos(
                at.unix_timestamp_nanos(),
            );
            Some(at.map_or(i32::MAX, |at| at.year()))
        }
        _ => None,
    };
    year.is_none_or(|year| OF_MYSQL.contains(&year))
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, FixedOffset, NaiveDate, Utc};

    use super::*;

    #[test]
    fn what_no_server_holds_is_named_by_its_place() {
        let held = Value::from(NaiveDate::from_ymd_opt(0, 1, 1).unwrap_or_default());
        let utc = Value::from(DateTime::<Utc>::MAX_UTC);
        let values = [held, Value::ChronoDate(None), 7.into(), utc];
        let named = |backend| check(backend, &values, |place| format!("value {place}"));
        let refused = named(DbBackend::MySql).unwrap_err();
        assert!(
            matches!(&refused, Refused::DateOutOfRange { what, first: 0 } if what == "value 3"),
            "{refused}"
        );
        assert!(named(DbBackend::Postgres).is_ok());
    }

    #[test]
    fn instants_are_looked_at_in_utc() {
        let held = |at: &str| is_held(&at.parse::<DateTime<FixedOffset>>().unwrap_or_default().into());
        assert!(held("9999-12-31T23:59:59Z"));
        assert!(!held("9999-12-31T23:59:59-01:00"));
        assert!(!held("+10000-01-01T00:00:00Z"));
        assert!(!held("0000-01-01T00:00:00+01:00"));
        assert!(!is_held(&DateTime::<Utc>::MIN_UTC.naive_utc().into()));
        assert!(!is_held(&NaiveDate::MAX.into()));
    }
}
