//! How much of an event a value takes: an event that no statement can carry is refused before its row is written.

use sea_orm::Value;
use serde_json::Value as Json;

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
        Value::String(Some(text)) => text_size(text),
        Value::Bytes(Some(bytes)) => bytes.len().div_ceil(3) * 4,
        Value::Json(Some(json)) => json_size(json),
        _ => 0,
    };
    (size > LARGE).then_some(size)
}

fn text_size(text: &str) -> usize {
    if text.len() <= LARGE {
        return text.len();
    }
    let escaped = text.bytes().map(|byte| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' => 2,
        0..0x20 => 6,
        _ => 1,
    });
    escaped.sum()
}

fn json_size(json: &Json) -> usize {
    match json {
        Json::String(text) => text_size(text),
        Json::Array(items) => items.iter().map(|item| json_size(item) + 1).sum(),
        Json::Object(fields) => fields.iter().map(|(key, value)| key.len() + json_size(value) + 4).sum(),
        _ => 8,
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
    match sizes.iter().max_by_key(|(_, size)| *size) {
        Some((place, _)) if size + FRAME > limit => {
            let source = ValueError::TooLarge { size, limit: limit.saturating_sub(FRAME) };
            Err(definition.value_error(definition.fields()[*place].name(), source))
        }
        _ => Ok(()),
    }
}

/// Refuses an event that was made of this row, if no statement can carry it.
pub(super) fn check_event(
    definition: &Definition,
    row: &RowImage,
    event: &str,
    limit: usize,
) -> Result<(), Refused> {
    if event.len() + FRAME <= limit {
        return Ok(());
    }
    let of_place = |(place, value): (usize, &Value)| (place, of(value).unwrap_or_default());
    let largest = row.values.iter().enumerate().map(of_place).max_by_key(|(_, size)| *size);
    let name = largest.map_or("event_data", |(place, _)| definition.fields()[place].name());
    let source = ValueError::TooLarge { size: event.len(), limit: limit.saturating_sub(FRAME) };
    Err(definition.value_error(name, source))
}
