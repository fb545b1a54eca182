//! What stands in an event, written as JSON text at once: making a tree of maps and strings first would take a bulk call
//! as long as the database takes for the event.

use events_core::EventType;
use sea_orm::Value;

use super::{Change, SaveOptions, transitions_are_allowed};
use crate::{
    error::Refused,
    tracked::{Definition, RowImage},
    value,
};

/// Makes the payloads of one call's changes.
pub(crate) struct Payloads<'a> {
    definition: &'static Definition,
    options: &'a SaveOptions,
    /// The places of the fields that the caller wants recorded.
    wanted: Vec<usize>,
    /// Those whose values are recorded, by name: the order in which they are written.
    open: Vec<usize>,
    redacted: Vec<&'static str>,
}

impl<'a> Payloads<'a> {
    pub(crate) fn new(definition: &'static Definition, options: &'a SaveOptions) -> Result<Self, Refused> {
        let fields = definition.fields();
        let mut wanted: Vec<usize> = (0..fields.len()).collect();
        if let Some(names) = &options.track_fields {
            let names = definition.select_fields(names)?;
            wanted.retain(|i| names.contains(&fields[*i].name()));
        }
        let (redacted, mut open): (Vec<usize>, Vec<usize>) =
            wanted.iter().partition(|i| fields[**i].is_redacted());
        open.sort_unstable_by_key(|i| fields[*i].name());
        let redacted = redacted.into_iter().map(|i| fields[i].name()).collect();
        Ok(Self { definition, options, wanted, open, redacted })
    }

    /// The events that a change leaves; none if no tracked field changed.
    pub(crate) fn of(&self, change: Change<'_>) -> Result<Vec<(EventType, String)>, Refused> {
        Ok(match change {
            // The last CREATED, DELETED or RESTORED always tells whether the row counts as there.
            Change::Created(row) if row.deleted => vec![self.created(row)?, self.deleted(row)?],
            Change::Created(row) => vec![self.created(row)?],
            Change::Deleted(row) => vec![self.deleted(row)?],
            Change::Updated(old, new) => self.updated(old, new)?,
        })
    }

    fn created(&self, row: &RowImage) -> Result<(EventType, String), Refused> {
        Ok((EventType::Created, self.row("initial_values", row, None)?))
    }

    fn deleted(&self, row: &RowImage) -> Result<(EventType, String), Refused> {
        Ok((EventType::Deleted, self.row("final_values", row, self.options.reason.as_deref())?))
    }

    fn restored(&self, row: &RowImage) -> Result<(EventType, String), Refused> {
        Ok((EventType::Restored, self.row("initial_values", row, self.options.reason.as_deref())?))
    }

    /// All values of a row, under this name.
    fn row(&self, name: &str, row: &RowImage, reason: Option<&str>) -> Result<String, Refused> {
        let mut data = Object::new();
        data.begin(name);
        for i in &self.open {
            let field = &self.definition.fields()[*i];
            self.value(&mut data, field.name(), *i, &row.values[*i])?;
        }
        data.end();
        if let Some(reason) = reason {
            data.text("reason", reason);
        }
        data.names("redacted", &self.redacted);
        Ok(data.done())
    }

    fn updated(&self, old: &RowImage, new: &RowImage) -> Result<Vec<(EventType, String)>, Refused> {
        transitions_are_allowed(self.definition, old, new)?;
        let marked = old.deleted != new.deleted;
        let (mut changed, mut redacted, mut rest) = (Vec::new(), Vec::new(), Vec::new());
        for &i in &self.wanted {
            let field = &self.definition.fields()[i];
            // The mark's own change is the DELETED or RESTORED.
            if value::same(&old.values[i], &new.values[i])
                || (marked && self.definition.soft_delete() == Some(field.column()))
            {
                continue;
            }
            if field.is_redacted() {
                redacted.push(field.name());
            } else if field.is_state() {
                rest.push((EventType::StateChanged, self.state(i, &old.values[i], &new.values[i])?));
            } else {
                changed.push(i);
            }
        }
        if marked {
            rest.push(if new.deleted { self.deleted(new)? } else { self.restored(new)? });
        }
        if changed.is_empty() && redacted.is_empty() {
            return Ok(rest);
        }
        changed.sort_unstable_by_key(|i| self.definition.fields()[*i].name());
        let mut data = Object::new();
        data.begin("changes");
        for i in changed {
            let field = &self.definition.fields()[i];
            self.change(&mut data, field.name(), i, &old.values[i], &new.values[i])?;
        }
        data.end();
        data.names("redacted", &redacted);
        rest.insert(0, (EventType::Updated, data.done()));
        Ok(rest)
    }

    fn state(&self, place: usize, old: &Value, new: &Value) -> Result<String, Refused> {
        let field = &self.definition.fields()[place];
        let mut data = Object::new();
        data.text("field", field.name());
        if let Some(reason) = &self.options.reason {
            data.text("reason", reason);
        }
        self.change(&mut data, "state", place, old, new)?;
        if field.is_undeclared(old, new) {
            data.name("undeclared");
            data.0.extend_from_slice(b"true");
        }
        Ok(data.done())
    }

    fn change(
        &self,
        data: &mut Object,
        name: &str,
        place: usize,
        old: &Value,
        new: &Value,
    ) -> Result<(), Refused> {
        data.begin(name);
        self.value(data, "new", place, new)?;
        self.value(data, "old", place, old)?;
        data.end();
        Ok(())
    }

    fn value(&self, data: &mut Object, name: &str, place: usize, value: &Value) -> Result<(), Refused> {
        data.name(name);
        let (field, kind) = (&self.definition.fields()[place], self.definition.kind(place));
        let written = if field.is_digested() {
            value::digested(value, kind).map(|digest| value::write(&digest, &mut data.0))
        } else {
            value::write_recorded(value, kind, &mut data.0)
        };
        written.map_err(|source| self.definition.value_error(field.name(), source))
    }
}

/// The text of a JSON object in the making. Names are written in their order, as serde_json writes its maps.
struct Object(Vec<u8>);

impl Object {
    fn new() -> Self {
        let mut text = Vec::with_capacity(256);
        text.push(b'{');
        Self(text)
    }

    fn name(&mut self, name: &str) {
        // No value ends so.
        if self.0.last() != Some(&b'{') {
            self.0.push(b',');
        }
        value::write_text(name, &mut self.0);
        self.0.push(b':');
    }

    fn begin(&mut self, name: &str) {
        self.name(name);
        self.0.push(b'{');
    }

    fn end(&mut self) {
        self.0.push(b'}');
    }

    fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        value::write_text(text, &mut self.0);
    }

    /// A list of names, unless there are none.
    fn names(&mut self, name: &str, names: &[&str]) {
        for (n, one) in names.iter().enumerate() {
            if n == 0 {
                self.name(name);
            }
            self.0.push(if n == 0 { b'[' } else { b',' });
            value::write_text(one, &mut self.0);
        }
        if !names.is_empty() {
            self.0.push(b']');
        }
    }

    fn done(mut self) -> String {
        self.end();
        // serde_json writes UTF-8.
        String::from_utf8(self.0).unwrap_or_default()
    }
}
