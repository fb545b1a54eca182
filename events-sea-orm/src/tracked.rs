//! `Tracked`: what the derive implements, and what the library does with it.

mod registry;
mod rows;

use std::{collections::BTreeMap, sync::atomic::AtomicBool};

use events_core::{ObjectRef, Subject, ThreadRef};
use sea_orm::{
    ActiveModelTrait, DbErr, EntityTrait, FromQueryResult, Iterable, ModelTrait, PrimaryKeyToColumn,
    QueryResult, Value,
};
use serde_json::Value as Json;

#[cfg(feature = "threads")]
pub(crate) use self::registry::of_object_type;
pub use self::registry::{Registration, registered};
pub(crate) use self::{
    registry::{any_redacts, find, know, known},
    rows::{OLD, RowImage, Rows, same_key},
};
use crate::{
    error::Refused,
    value::{self, Kind, ValueError},
};

/// A model whose saves leave events. Implemented by `#[derive(Tracked)]`, not by hand.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not tracked",
    note = "add `#[derive(events_sea_orm::Tracked)]` and `#[tracked(team = \"..\")]` to the model"
)]
pub trait Tracked: ModelTrait + FromQueryResult {
    /// What is recorded of this model.
    fn definition() -> &'static Definition;

    /// What `#[track(with = ..)]` makes of the field of this column; none of a field without it.
    #[doc(hidden)]
    fn custom_value(&self, column: &str) -> Option<Value> {
        let _ = column;
        None
    }

    /// The tracked fields by their recorded names, as an event would hold them; redacted ones are absent.
    ///
    /// # Errors
    /// [`Refused::Value`] naming a field whose value cannot be recorded.
    fn snapshot(&self) -> Result<BTreeMap<String, Json>, Refused> {
        let definition = Self::definition();
        let mut values = BTreeMap::new();
        for field in definition.fields.iter().filter(|field| !field.redacted) {
            let value = self.custom_value(field.column).or_else(|| held_by(self, field.column));
            if let Some(value) = value {
                values.insert(field.name.to_owned(), definition.json(field, &value)?);
            }
        }
        Ok(values)
    }

    /// This model as the object of events.
    fn object(&self) -> ObjectRef {
        let definition = Self::definition();
        definition.object(&held_by_all(self, &definition.key))
    }
}

/// What this model holds in the column of this name.
fn held_by<M: Tracked>(model: &M, column: &str) -> Option<Value> {
    rows::column_of::<M>(column).map(|column| model.get(column))
}

fn held_by_all<M: Tracked>(model: &M, columns: &[&str]) -> Vec<Value> {
    let mut values = Vec::with_capacity(columns.len());
    for column in columns {
        values.extend(held_by(model, column));
    }
    values
}

/// What this model says of its row's key and team.
pub(crate) fn said_by<M: Tracked>(model: &M) -> RowImage {
    let definition = M::definition();
    let team = match definition.team {
        TeamSource::Column(column) => held_by(model, column),
        TeamSource::Context => None,
    };
    RowImage::said(Some(&held_by_all(model, &definition.key)), team)
}

/// What is recorded of an entity.
pub struct Definition {
    object_type: &'static str,
    schema: Option<String>,
    table: &'static str,
    key: Vec<&'static str>,
    team: TeamSource,
    fields: Vec<Field>,
    soft_delete: Option<&'static str>,
    thread: Option<ThreadSource>,
    /// What kind of value each field is recorded as.
    kinds: Vec<Kind>,
    rows: Rows,
    /// Whether it was looked up, and so is known to the guard even if nothing registered it.
    known: AtomicBool,
}

impl std::fmt::Debug for Definition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Definition")
            .field("object_type", &self.object_type)
            .field("table", &self.table)
            .field("fields", &self.fields)
            .finish_non_exhaustive()
    }
}

/// Where the team of a row comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TeamSource {
    /// This column of the row.
    Column(&'static str),
    /// The context: the rows themselves do not say.
    Context,
}

/// In whose thread the events of a row are told. What is not said is the row's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ThreadSource {
    /// The type of the object whose thread it is.
    pub object_type: Option<&'static str>,
    /// The columns with the key of that object; none: its own key.
    pub id: Vec<&'static str>,
    /// The column with the scope.
    pub scope: Option<&'static str>,
}

impl ThreadSource {
    /// Whether every event tells its thread by its object alone.
    pub(crate) fn is_own(&self) -> bool {
        *self == Self::default()
    }
}

/// How threads show the values of a field.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Format {
    /// As they are.
    Plain,
    /// With thousands separators.
    Number,
    /// As a date, without the time of day.
    Date,
    /// As this function says.
    With(fn(&Json) -> String),
}

/// A tracked field.
#[derive(Debug, Clone)]
pub struct Field {
    column: &'static str,
    name: &'static str,
    state: bool,
    redacted: bool,
    digested: bool,
    renamed_from: Option<&'static str>,
    transitions: Option<Transitions>,
    label: Option<&'static str>,
    format: Option<Format>,
    with: Option<With>,
}

/// Reads a field of an answer and gives what is recorded of it.
type With = fn(&QueryResult, &str) -> Result<Value, DbErr>;

/// The transitions that a state field declares.
#[derive(Debug, Clone)]
struct Transitions {
    /// From which value to which.
    declared: Vec<(Value, Vec<Value>)>,
    enforced: bool,
}

impl Field {
    /// A field recorded under its column's name.
    pub fn new(column: &'static str) -> Self {
        Self {
            column,
            name: column,
            state: false,
            redacted: false,
            digested: false,
            renamed_from: None,
            transitions: None,
            label: None,
            format: None,
            with: None,
        }
    }

    /// Recorded under this name.
    #[must_use]
    pub fn renamed(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    /// Its changes are transitions.
    #[must_use]
    pub fn state(mut self) -> Self {
        self.state = true;
        self
    }

    /// From which value to which it may go. Any other transition is marked in its event.
    #[must_use]
    pub fn transitions(mut self, declared: Vec<(Value, Vec<Value>)>) -> Self {
        self.transitions = Some(Transitions { declared, enforced: false });
        self
    }

    /// A transition that is not declared is refused.
    #[must_use]
    pub fn enforced(mut self) -> Self {
        if let Some(transitions) = &mut self.transitions {
            transitions.enforced = true;
        }
        self
    }

    /// Its values are never recorded.
    #[must_use]
    pub fn redacted(mut self) -> Self {
        self.redacted = true;
        self
    }

    /// Events of an earlier time have it under this name.
    #[must_use]
    pub fn renamed_from(mut self, earlier: &'static str) -> Self {
        self.renamed_from = Some(earlier);
        self
    }

    /// The length and the SHA-256 of its values are recorded in their place.
    #[must_use]
    pub fn digested(mut self) -> Self {
        self.digested = true;
        self
    }

    /// What is recorded of it is what this makes of the row's column.
    #[doc(hidden)]
    #[must_use]
    pub fn with(mut self, with: fn(&QueryResult, &str) -> Result<Value, DbErr>) -> Self {
        self.with = Some(with);
        self
    }

    /// What threads call it.
    #[must_use]
    pub fn labeled(mut self, label: &'static str) -> Self {
        self.label = Some(label);
        self
    }

    /// How threads show its values.
    #[must_use]
    pub fn formatted(mut self, format: Format) -> Self {
        self.format = Some(format);
        self
    }

    /// What threads call it, if the model says.
    pub fn label(&self) -> Option<&'static str> {
        self.label
    }

    /// How threads show its values, if the model says.
    pub fn format(&self) -> Option<Format> {
        self.format
    }

    /// The name it is recorded under.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The name that events of an earlier time have it under, if the model says so.
    pub fn earlier_name(&self) -> Option<&'static str> {
        self.renamed_from
    }

    /// The names that events have it under, now and at an earlier time.
    pub(crate) fn recorded_names(&self) -> impl Iterator<Item = &'static str> {
        [Some(self.name), self.renamed_from].into_iter().flatten()
    }

    /// Whether an event calls it so, now or at an earlier time.
    pub(crate) fn is_recorded_as(&self, name: &str) -> bool {
        self.recorded_names().any(|recorded| recorded == name)
    }

    /// Its column.
    pub fn column(&self) -> &'static str {
        self.column
    }

    /// Whether its changes are transitions.
    pub fn is_state(&self) -> bool {
        self.state
    }

    /// Whether its values are never recorded.
    pub fn is_redacted(&self) -> bool {
        self.redacted
    }

    /// Whether its values are recorded by their digests.
    pub fn is_digested(&self) -> bool {
        self.digested
    }

    /// Whether an event holds its values, and not only that they changed.
    pub(crate) fn records_values(&self) -> bool {
        !self.redacted && !self.digested && self.with.is_none()
    }

    /// Whether a transition that is not declared is refused.
    pub fn is_enforced(&self) -> bool {
        self.transitions.as_ref().is_some_and(|transitions| transitions.enforced)
    }

    /// Whether this change is none that the model declares. Any first value is: NULL says that there was no state.
    pub(crate) fn is_undeclared(&self, old: &Value, new: &Value) -> bool {
        self.transitions.is_some()
            && !value::same(old, new)
            && !value::is_null(old)
            && !self.successors(old).iter().any(|to| value::same(to, new))
    }

    /// Where it may go from this value.
    pub(crate) fn successors(&self, old: &Value) -> &[Value] {
        let declared = self.transitions.iter().flat_map(|transitions| &transitions.declared);
        let mut found = declared.filter(|(from, _)| value::same(from, old));
        found.next().map(|(_, to)| to.as_slice()).unwrap_or_default()
    }
}

impl Definition {
    /// The definition of entity `E`.
    pub fn new<E: EntityTrait>(object_type: &'static str, team: TeamSource, fields: Vec<Field>) -> Self
    where
        E::Model: Tracked,
    {
        let (rows, key) = Rows::of::<E>();
        let entity = E::default();
        Self::of_rows(
            object_type,
            (entity.schema_name().map(str::to_owned), entity.table_name()),
            team,
            fields,
            rows,
            key,
        )
    }

    fn of_rows(
        object_type: &'static str,
        (schema, table): (Option<String>, &'static str),
        team: TeamSource,
        fields: Vec<Field>,
        rows: Rows,
        key: Vec<&'static str>,
    ) -> Self {
        Self {
            object_type,
            schema,
            table,
            key,
            team,
            kinds: fields.iter().map(|field| rows.kind(field.column)).collect(),
            fields,
            soft_delete: None,
            thread: None,
            rows,
            known: AtomicBool::new(false),
        }
    }

    /// Its rows are marked as deleted in this column.
    #[must_use]
    pub fn soft_deleted_by(mut self, column: &'static str) -> Self {
        self.soft_delete = Some(column);
        self
    }

    /// Its events are told in this thread.
    #[must_use]
    pub fn in_thread(mut self, thread: ThreadSource) -> Self {
        self.thread = Some(thread);
        self
    }

    /// What kind of value the field at this place is recorded as.
    pub(crate) fn kind(&self, place: usize) -> Kind {
        self.kinds.get(place).copied().unwrap_or(Kind::Other)
    }

    /// In whose thread its events are told, if in any.
    pub fn thread(&self) -> Option<&ThreadSource> {
        self.thread.as_ref()
    }

    /// The thread that an event must name, its object not being enough to tell; none of a row that points to none.
    pub(crate) fn stated_thread(
        &self,
        key: &[Value],
        values: &[Value],
    ) -> Result<Option<ThreadRef>, Refused> {
        let Some(source) = self.thread.as_ref().filter(|source| !source.is_own()) else { return Ok(None) };
        let (id, scope) = values.split_at(source.id.len().min(values.len()));
        let json = |(column, value): (&&'static str, &Value)| {
            value::recorded(value, self.rows.kind(column)).map_err(|source| self.value_error(column, source))
        };
        let mut object = self.object(key);
        if let Some(object_type) = source.object_type {
            object_type.clone_into(&mut object.object_type);
        }
        if !source.id.is_empty() {
            let id = source.id.iter().zip(id).map(json).collect::<Result<Vec<_>, _>>()?;
            if id.iter().any(|part| part.is_null() || part == "") {
                return Ok(None);
            }
            object.object_id = ObjectRef::of_key("", &id).object_id;
        }
        let thread = ThreadRef::of(object);
        let scope = source.scope.iter().zip(scope).map(json).next().transpose()?;
        let thread = match scope {
            None | Some(Json::Null) => thread,
            Some(Json::String(scope)) => thread.scoped(scope),
            Some(other) => thread.scoped(other),
        };
        thread.check()?;
        Ok(Some(thread))
    }

    /// The name under which its objects are recorded.
    pub fn object_type(&self) -> &'static str {
        self.object_type
    }

    /// The schema that its entity names, if it names one.
    pub fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// Its table.
    pub fn table(&self) -> &'static str {
        self.table
    }

    /// Its table with the schema, where the entity names one: `billing.items`.
    pub(crate) fn full_table(&self) -> String {
        self.schema
            .as_ref()
            .map_or_else(|| self.table.to_owned(), |schema| format!("{schema}.{}", self.table))
    }

    /// Its tracked fields.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Its key columns, in key order.
    pub fn key_columns(&self) -> &[&'static str] {
        &self.key
    }

    /// Where its rows' team comes from.
    pub fn team(&self) -> TeamSource {
        self.team
    }

    /// The column that marks a row as deleted, if there is one.
    pub fn soft_delete(&self) -> Option<&'static str> {
        self.soft_delete
    }

    /// Whether a row is itself a team: the tenant table.
    pub(crate) fn is_team(&self) -> bool {
        matches!((self.team, self.key.as_slice()), (TeamSource::Column(team), [key]) if team == *key)
    }

    pub(crate) fn redacts(&self) -> bool {
        self.fields.iter().any(|field| field.redacted)
    }

    pub(crate) fn object(&self, key: &[Value]) -> ObjectRef {
        ObjectRef { object_type: self.object_type.to_owned(), object_id: self.object_id(key) }
    }

    /// As [`ObjectRef::of_key`] has it.
    pub(crate) fn object_id(&self, key: &[Value]) -> String {
        // A key of a type that has no JSON form still names its object in errors.
        let kinds = self.key.iter().map(|column| self.rows.kind(column));
        let mut parts: Vec<Json> = key
            .iter()
            .zip(kinds)
            .map(|(part, kind)| value::recorded(part, kind).unwrap_or(Json::Null))
            .collect();
        match (parts.pop(), parts.is_empty()) {
            (Some(Json::String(text)), true) => text,
            (Some(part), true) => part.to_string(),
            (last, _) => {
                parts.extend(last);
                Json::Array(parts).to_string()
            }
        }
    }

    /// A field's value as it is recorded.
    pub(crate) fn json(&self, field: &Field, value: &Value) -> Result<Json, Refused> {
        let place = self.fields.iter().position(|other| other.name == field.name);
        let kind = place.map_or(Kind::Other, |place| self.kind(place));
        let recorded = if field.digested { value::digested } else { value::recorded };
        recorded(value, kind).map_err(|source| self.value_error(field.name, source))
    }

    pub(crate) fn value_error(&self, field: &str, source: ValueError) -> Refused {
        Refused::Value { object_type: self.object_type.to_owned(), field: field.to_owned(), source }
    }

    /// The fields that `names` name.
    pub(crate) fn select_fields(&self, names: &[String]) -> Result<Vec<&'static str>, Refused> {
        let find = |name: &String| {
            let found = self.fields.iter().find(|f| f.name == name || f.column == name);
            found.map(|field| field.name).ok_or_else(|| self.unknown_field(name, "tracked field"))
        };
        names.iter().map(find).collect()
    }

    pub(crate) fn unknown_field(&self, name: &str, kind: &'static str) -> Refused {
        let wanted = |field: &&Field| kind != "state field" || field.state;
        let names: Vec<_> = self.fields.iter().filter(wanted).map(|field| field.name).collect();
        Refused::UnknownField {
            object_type: self.object_type,
            field: name.to_owned(),
            kind,
            expected: if names.is_empty() { "none".to_owned() } else { names.join(", ") },
        }
    }
}

/// The key of an active model, if all of it is there.
pub(crate) fn key_of<A: ActiveModelTrait>(active: &A) -> Option<Vec<Value>> {
    <A::Entity as EntityTrait>::PrimaryKey::iter()
        .map(|key| active.get(key.into_column()).into_value())
        .collect()
}

/// What this model holds of all that is recorded of its row: for measurements.
pub(crate) fn image_by<M: Tracked>(model: &M) -> RowImage {
    let columns: Vec<_> = M::definition().fields.iter().map(Field::column).collect();
    RowImage { values: held_by_all(model, &columns), ..said_by(model) }
}

/// A model as the subject of an emitted event.
pub(crate) fn subject<M: Tracked>(model: &M) -> Subject {
    let definition = M::definition();
    let said = said_by(model);
    let team = said.team.as_ref().and_then(team_text);
    let thread = definition.thread().and_then(|source| {
        let columns: Vec<_> = source.id.iter().chain(&source.scope).copied().collect();
        // What cannot be told names no thread, as NULL does: its own saves say what is wrong.
        definition.stated_thread(&said.key, &held_by_all(model, &columns)).ok().flatten()
    });
    Subject { object: definition.object(&said.key), team, thread }
}

/// A team column's value as the text that identifies the team; `None` for NULL.
pub(crate) fn team_text(team: &Value) -> Option<String> {
    match value::to_json(team) {
        Ok(Json::Null) | Err(_) => None,
        Ok(Json::String(text)) => Some(text),
        Ok(other) => Some(other.to_string()),
    }
}
