//! How much of an event a value takes: an event that no statement can carry is refused before its row is written.

use std::io;

use sea_orm::Value;
use serde::Serialize;

use super::RowImage;
use crate::{
    error::Refused,
    tracked::{Definition, Field},
    transaction::Kind,
    value::ValueError,
};

/// Smaller values are not counted: an event has room for thousands of them.
const LARGE: usize = 64 << 10;

/// What an event has beside its values.
const FRAME: usize = 16 << 10;

/// How much of an event this value takes, if that is much.
fn of(value: &Value) -> Option<usize> {
    let size = match value {
        // An escaped letter takes up to six.
        Value::String(Some(text)) if text.len() * 6 > LARGE => json_size(text),
        Value::Bytes(Some(bytes)) => bytes.len().div_ceil(3) * 4,
        Value::Json(Some(json)) => json_size(json.as_ref()),
        _ => 0,
    };
    (size > LARGE).then_some(size)
}

/// How many bytes this is as JSON, without writing it anywhere.
pub(super) fn json_size(value: &impl Serialize) -> usize {
    let mut counted = Counted(0);
    // Neither counting nor a value of JSON fails.
    let _ = serde_json::to_writer(&mut counted, value);
    counted.0
}

struct Counted(usize);

impl io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Large new values, by the places of their fields.
#[derive(Default)]
pub(crate) struct Sizes(Vec<(usize, usize)>);

impl Sizes {
    /// Counts a new value of this column, if it will be recorded.
    pub(crate) fn add(&mut self, definition: &Definition, column: &str, value: &Value) {
        let is_recorded = |field: &Field| field.column() == column && field.records_values();
        if let Some(size) = of(value)
            && let Some(place) = definition.fields().iter().position(is_recorded)
        {
            self.0.push((place, size));
        }
    }

    /// Refuses what no event can hold: these values, and of an update what the row held in their place, of a delete what
    /// it held at all.
    pub(crate) fn check(
        &self,
        definition: &Definition,
        kind: Kind,
        old: Option<&RowImage>,
        limit: usize,
    ) -> Result<(), Refused> {
        let mut sizes = self.0.clone();
        for (place, field) in definition.fields().iter().enumerate() {
            let counts = kind == Kind::Delete || self.0.iter().any(|(new, _)| *new == place);
            if let Some(old) = old.filter(|_| counts && field.records_values()) {
                sizes.extend(of(&old.values[place]).map(|size| (place, size)));
            }
        }
        check(definition, &sizes, limit)
    }
}

fn check(definition: &Definition, sizes: &[(usize, usize)], limit: usize) -> Result<(), Refused> {
    let size: usize = sizes.iter().map(|(_, size)| size).sum();
    let Some((place, _)) = sizes.iter().max_by_key(|(_, size)| *size) else { return Ok(()) };
    fits(size, limit).map_err(|source| definition.value_error(definition.fields()[*place].name(), source))
}

/// Refuses an event of this size that was made of this row, if no statement can carry it.
pub(super) fn check_event(
    definition: &Definition,
    row: &RowImage,
    size: usize,
    limit: usize,
) -> Result<(), Refused> {
    let Err(source) = fits(size, limit) else { return Ok(()) };
    let fields = definition.fields().iter().zip(&row.values);
    let in_event = fields.filter(|(field, _)| !field.is_redacted() && !field.is_digested());
    let largest = in_event.max_by_key(|(_, value)| of(value).unwrap_or_default());
    let name = largest.map_or("event_data", |(field, _)| field.name());
    Err(definition.value_error(name, source))
}

/// Refuses what no event can hold.
pub(super) fn fits(size: usize, limit: usize) -> Result<(), ValueError> {
    let limit = limit.saturating_sub(FRAME);
    if size > limit { Err(ValueError::TooLarge { size, limit }) } else { Ok(()) }
}
