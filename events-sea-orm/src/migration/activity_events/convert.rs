//! A row of the old table as an event.

use std::collections::BTreeMap;

use chrono::{DateTime, DurationRound, NaiveDate, NaiveDateTime, TimeDelta, Utc};
use events_core::{EventType, error::check_identifier};
use sea_orm::{DbErr, QueryResult};
use serde_json::{Value as Json, value::RawValue};
use uuid::{Builder, Uuid};

use super::{
    columns::Mapping,
    error::Problem,
    options::{ActivityEvents, Part},
    payload::{self, Out, Values},
    sql::Position,
};
use crate::{record::Recorded, value};

/// Of ids that are made of old keys. Never to be changed: an id must come out the same in every run.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f1d_8c1e_52a4_4b0b_9a57_30d1_7c55_a2e4);

/// The rows of a page as they were read, each value with the letter of its kind in front.
pub(super) struct Row(Vec<Result<Option<String>, DbErr>>);

/// Turns rows into events.
#[derive(Clone, Copy)]
pub(super) struct Converter<'a> {
    pub(super) old: &'a ActivityEvents,
    pub(super) mapping: &'a Mapping,
}

/// A column and what is wrong with its value.
type Wrong = (usize, String);

impl Row {
    pub(super) fn read(row: &QueryResult, mapping: &Mapping) -> Self {
        Self((0..mapping.columns.len()).map(|place| row.try_get_by_index(place)).collect())
    }

    /// Where this row stands in the order of reading.
    pub(super) fn position(&self, mapping: &Mapping) -> Position {
        let parts = if mapping.id().is_integer() { vec![Part::Id] } else { vec![Part::Time, Part::Id] };
        let text = |part| self.0.get(mapping.place(part)?)?.as_ref().ok()?.clone();
        parts.into_iter().map(|part| text(part).unwrap_or_default()).collect()
    }

    /// The value as text; bytes of a UUID's length are one.
    fn text(&self, place: usize) -> Result<Option<String>, Wrong> {
        let wrong = |reason: String| (place, reason);
        let text = match self.0.get(place) {
            Some(Ok(Some(text))) => text,
            Some(Err(error)) => return Err(wrong(format!("its value is no text: {error}"))),
            _ => return Ok(None),
        };
        let Some(hex) = text.strip_prefix('b') else {
            return Ok(Some(text.get(1..).unwrap_or_default().to_owned()));
        };
        let bytes = bytes(hex).ok_or_else(|| wrong("its bytes cannot be read".to_owned()))?;
        if let Ok(uuid) = Uuid::from_slice(&bytes) {
            return Ok(Some(uuid.to_string()));
        }
        Ok(Some(String::from_utf8(bytes).unwrap_or_else(|_| hex.to_lowercase())))
    }
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let pair = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
    (0..hex.len()).step_by(2).map(pair).collect()
}

impl Converter<'_> {
    /// The row as an event, or what is wrong with it.
    pub(super) fn event(&self, row: &Row) -> Result<(String, Recorded), Problem> {
        let key = self.key(row);
        match self.convert(row, &key) {
            Ok(event) => Ok((key, event)),
            Err((place, reason)) => {
                Err(Problem { key, column: self.mapping.columns[place].name.clone(), reason })
            }
        }
    }

    fn key(&self, row: &Row) -> String {
        let text = self.mapping.place(Part::Id).and_then(|place| row.text(place).ok().flatten());
        text.unwrap_or_else(|| "without a key".to_owned())
    }

    fn convert(&self, row: &Row, key: &str) -> Result<Recorded, Wrong> {
        let place = |part| self.mapping.place(part).unwrap_or_default();
        let text = |part| match self.mapping.place(part) {
            Some(place) => row.text(place),
            None => Ok(None),
        };
        let some = |part| Ok(text(part)?.filter(|text| !text.is_empty()));
        let identifier = |part, what: &'static str, text: &str| {
            check_identifier(what, text).map_err(|error| (place(part), error.to_string()))
        };

        let at = some(Part::Time)?.ok_or_else(|| (place(Part::Time), "it has no time".to_owned()))?;
        let occurred_at =
            time(&at).ok_or_else(|| (place(Part::Time), "its time cannot be read".to_owned()))?;
        let team_id = some(Part::Team)?.or_else(|| self.old.default_team.clone());
        let team_id = team_id.ok_or_else(|| {
            let at = self.mapping.place(Part::Team).unwrap_or_default();
            (at, "it has no team: give those rows one with `.default_team(..)`".to_owned())
        })?;
        identifier(Part::Team, "team", &team_id)?;
        let named = text(Part::Type)?.unwrap_or_default();
        let event_type = self.event_type(&named).map_err(|reason| (place(Part::Type), reason))?;
        let (object_type, object_id) = (some(Part::ObjectType)?, some(Part::ObjectId)?);
        match (&object_type, &object_id) {
            (Some(object_type), Some(object_id)) => {
                identifier(Part::ObjectType, "object type", object_type)?;
                identifier(Part::ObjectId, "object id", object_id)?;
            }
            (None, None) => {}
            (None, _) => {
                return Err((place(Part::ObjectType), "it has an object's id without its type".to_owned()));
            }
            (_, None) => {
                return Err((place(Part::ObjectId), "it has an object's type without its id".to_owned()));
            }
        }
        let actor_id = some(Part::Actor)?;
        if let Some(actor) = &actor_id {
            identifier(Part::Actor, "actor", actor)?;
        }
        let reason = some(Part::Reason)?;
        value::no_nul(reason.as_deref().unwrap_or_default())
            .map_err(|error| (place(Part::Reason), error.to_string()))?;
        let (field, before, after, data) =
            (some(Part::Field)?, text(Part::Old)?, text(Part::New)?, text(Part::Data)?);
        let values = Values {
            field: field.as_deref(),
            old: before.as_deref(),
            new: after.as_deref(),
            data: data.as_deref(),
            reason: reason.as_deref(),
        };
        let event_data = payload::event_data(&event_type, values)
            .map_err(|(part, reason)| (self.nearest(part), reason))?;

        let (id, is_kept) = match Uuid::parse_str(key) {
            Ok(id) => (id, true),
            Err(_) => (self.id(key, occurred_at), false),
        };
        let unit_id = some(Part::Unit)?
            .map_or(id, |unit| Uuid::parse_str(&unit).unwrap_or_else(|_| self.hash("unit", &unit)));
        let changed_type = (event_type.as_str() != named).then_some(named.as_str());
        let context = self.context(row, (!is_kept).then_some(key), changed_type, reason.as_deref())?;
        Ok(Recorded {
            id,
            team_id,
            event_type,
            object_type: object_type.map(Into::into),
            object_id,
            actor_id: actor_id.map(Into::into),
            unit_id,
            event_data,
            context: context.into(),
            occurred_at,
        })
    }

    /// The column of this part, or of the one that stands for it.
    fn nearest(&self, part: Part) -> usize {
        let parts = [part, Part::New, Part::Old, Part::Data, Part::Type];
        parts.into_iter().find_map(|part| self.mapping.place(part)).unwrap_or_default()
    }

    fn event_type(&self, name: &str) -> Result<EventType, String> {
        if let Some(mapped) = self.old.types.get(name) {
            return mapped.parse().map_err(|error: events_core::IdentifierError| error.to_string());
        }
        let upper = name.to_ascii_uppercase();
        let built_in = ["CREATED", "UPDATED", "STATE_CHANGED", "DELETED", "RESTORED"];
        if built_in.contains(&upper.as_str()) {
            return upper.parse().map_err(|error: events_core::IdentifierError| error.to_string());
        }
        if !name.is_ascii() {
            return Err(
                "its type has letters that an event's name cannot have: map it with `.event_type(..)`"
                    .to_owned(),
            );
        }
        let plain =
            |c: char| if c.is_ascii_alphanumeric() || c == '.' { c.to_ascii_lowercase() } else { '_' };
        let normal: String = name.trim().chars().map(plain).collect();
        EventType::custom(normal).map_err(|_| {
            "its type cannot be made the name of an event: map it with `.event_type(..)`".to_owned()
        })
    }

    /// An id that is the same in every run, and rises with the time as the ids of new events do.
    fn id(&self, key: &str, at: DateTime<Utc>) -> Uuid {
        let hash = self.hash("key", key);
        let mut rest = [0; 10];
        rest.copy_from_slice(&hash.as_bytes()[6..]);
        let milliseconds = u64::try_from(at.timestamp_millis()).unwrap_or(0);
        Builder::from_unix_timestamp_millis(milliseconds, &rest).into_uuid()
    }

    fn hash(&self, kind: &str, text: &str) -> Uuid {
        // No name holds a NUL, so no two texts run into one.
        Uuid::new_v5(&NAMESPACE, format!("{}\0{kind}\0{text}", self.old.table).as_bytes())
    }

    /// Where the event came from, and what had no place of its own.
    fn context(
        &self,
        row: &Row,
        key: Option<&str>,
        named: Option<&str>,
        reason: Option<&str>,
    ) -> Result<String, Wrong> {
        let mut imported = BTreeMap::from([("from", Out::Text(&self.old.table))]);
        imported.extend(key.map(|key| ("key", Out::Text(key))));
        imported.extend(named.map(|named| ("event_type", Out::Text(named))));
        let mut columns = BTreeMap::new();
        for &place in &self.mapping.kept {
            if let Some(text) = row.text(place)? {
                let kept = kept(&text).map_err(|reason| (place, reason))?;
                columns.insert(self.mapping.columns[place].name.as_str(), Out::Owned(kept));
            }
        }
        if !columns.is_empty() {
            imported.insert("columns", Out::Object(columns));
        }
        let mut context = BTreeMap::from([("imported", Out::Object(imported))]);
        context.extend(reason.map(|reason| ("reason", Out::Text(reason))));
        Out::Object(context).to_text().map_err(|reason| (0, reason))
    }
}

/// A value that is kept beside the event: JSON as JSON, all else as text.
fn kept(text: &str) -> Result<Box<RawValue>, String> {
    let json = match serde_json::from_str::<Json>(text) {
        Ok(json) if json.is_object() || json.is_array() => json,
        _ => Json::from(text),
    };
    value::check_json(&json).map_err(|error| error.to_string())?;
    let raw = if json.is_string() { json.to_string() } else { text.to_owned() };
    RawValue::from_string(raw).map_err(|error| error.to_string())
}

/// A time as databases write it; without a zone it is UTC.
fn time(text: &str) -> Option<DateTime<Utc>> {
    let at = if let Ok(number) = text.parse::<i64>() {
        match number.unsigned_abs() {
            0..100_000_000_000 => DateTime::from_timestamp(number, 0),
            100_000_000_000..100_000_000_000_000 => DateTime::from_timestamp_millis(number),
            _ => DateTime::from_timestamp_micros(number),
        }
    } else if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        Some(at.to_utc())
    } else if let Ok(at) = DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%#z") {
        Some(at.to_utc())
    } else {
        let naive = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M"];
        let naive = naive.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
        let date = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0);
        naive.or_else(date).map(|at| at.and_utc())
    };
    // What every database can keep.
    let at = at.filter(|at| {
        (NaiveDate::from_ymd_opt(1000, 1, 1)..NaiveDate::from_ymd_opt(10_000, 1, 1))
            .contains(&Some(at.date_naive()))
    });
    at.and_then(|at| at.duration_trunc(TimeDelta::microseconds(1)).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_databases_write_them() {
        for text in [
            "2026-01-02T03:04:05.678901Z",
            "2026-01-02 03:04:05.678901",
            "2026-01-02 05:04:05.678901+02",
            "2026-01-02T05:04:05.678901+02:00",
            "1767323045678901",
        ] {
            let at = time(text).map(|at| at.to_rfc3339());
            assert_eq!(at.as_deref(), Some("2026-01-02T03:04:05.678901+00:00"), "{text}");
        }
        assert_eq!(time("2026-01-02"), time("1767312000"));
        assert_eq!(time("1767312000123").map(|at| at.timestamp_subsec_millis()), Some(123));
        for text in ["", "now", "0000-00-00 00:00:00", "infinity", "0999-01-01", "99999999999999999999"] {
            assert_eq!(time(text), None, "{text}");
        }
    }

    #[test]
    fn bytes_of_hex() {
        assert_eq!(bytes("00ff"), Some(vec![0, 255]));
        assert_eq!(bytes(""), Some(vec![]));
        assert_eq!(bytes("0"), None);
        assert_eq!(bytes("zz"), None);
    }
}
