//! Which column of the old table is what.

use sea_orm::ConnectionTrait;

use super::{
    error::ActivityEventsError,
    options::{ActivityEvents, Part},
    sql::{self, Column},
};

/// The columns of the old table that are read, and what each is. Places are those in the SELECT.
#[derive(Debug)]
pub(super) struct Mapping {
    pub(super) columns: Vec<Column>,
    parts: Vec<(Part, usize)>,
    pub(super) kept: Vec<usize>,
}

/// What is looked for, what errors call it, its setter, and the names by which it is found: the first is the usual one
/// and wins; of the others only one may be there.
const PARTS: [(Part, &str, &str, &[&str]); 13] = [
    (Part::Id, "the key", "id_column", &["id", "event_id", "uuid"]),
    (
        Part::Time,
        "the time",
        "created_at_column",
        &["created_at", "occurred_at", "timestamp", "event_time", "inserted_at"],
    ),
    (
        Part::Team,
        "the team",
        "team_column",
        &["team_id", "tenant_id", "organization_id", "account_id", "workspace_id"],
    ),
    (
        Part::Type,
        "the event's type",
        "type_column",
        &["event_type", "activity_type", "type", "action", "kind"],
    ),
    (
        Part::ObjectType,
        "the object's type",
        "object_type_column",
        &["object_type", "entity_type", "subject_type", "target_type", "resource_type"],
    ),
    (
        Part::ObjectId,
        "the object's id",
        "object_id_column",
        &["object_id", "entity_id", "subject_id", "target_id", "resource_id"],
    ),
    (Part::Actor, "the actor", "actor_column", &["actor_id", "user_id", "performed_by", "created_by"]),
    (Part::Old, "the old values", "old_values_column", &["old_values", "old_value", "old_data", "before"]),
    (Part::New, "the new values", "new_values_column", &["new_values", "new_value", "new_data", "after"]),
    (Part::Field, "the field", "field_column", &["field", "field_name"]),
    (Part::Data, "the data", "event_data_column", &["event_data", "data", "payload", "details"]),
    (Part::Unit, "the transaction", "unit_column", &["unit_id", "transaction_id"]),
    (Part::Reason, "the reason", "reason_column", &["reason"]),
];

/// Columns that are kept without being asked for.
const KEPT: [&str; 2] = ["metadata", "context"];

impl Mapping {
    pub(super) async fn read<C: ConnectionTrait>(
        db: &C,
        old: &ActivityEvents,
        table: &str,
    ) -> Result<Self, ActivityEventsError> {
        let columns = sql::columns(db, table).await?;
        if columns.is_empty() {
            return Err(ActivityEventsError::NoTable { table: table.to_owned() });
        }
        Self::find(columns, old)
    }

    fn find(mut columns: Vec<Column>, old: &ActivityEvents) -> Result<Self, ActivityEventsError> {
        for named in old.ignored.iter().chain(&old.kept) {
            if !columns.iter().any(|column| column.is(named)) {
                return Err(ActivityEventsError::NoColumn {
                    table: old.table.clone(),
                    what: format!("`{named}`"),
                    setter: "context_column",
                });
            }
        }
        columns.retain(|column| !old.ignored.iter().any(|ignored| column.is(ignored)));
        let place = |name: &str| columns.iter().position(|column| column.is(name));
        let mut parts = Vec::new();
        for (part, what, setter, usual) in PARTS {
            let found = match old.named.get(&part) {
                Some(name) => {
                    Some(place(name).ok_or_else(|| no_column(old, format!("{what}, `{name}`"), setter))?)
                }
                None => one_of(old, &columns, what, setter, usual)?,
            };
            match found {
                Some(place) => parts.push((part, place)),
                None if is_needed(part, old) => return Err(no_column(old, what.to_owned(), setter)),
                None => {}
            }
        }
        let mapping = Self { columns, parts, kept: Vec::new() };
        let (object_type, object_id) = (mapping.place(Part::ObjectType), mapping.place(Part::ObjectId));
        match (object_type, object_id) {
            (Some(_), None) => Err(no_column(old, "the object's id".to_owned(), "object_id_column")),
            (None, Some(_)) => Err(no_column(old, "the object's type".to_owned(), "object_type_column")),
            _ => mapping.with_kept(old),
        }
    }

    /// The columns that have no place of their own, if it was said that they are to be kept.
    fn with_kept(mut self, old: &ActivityEvents) -> Result<Self, ActivityEventsError> {
        let mut unknown = Vec::new();
        for (place, column) in self.columns.iter().enumerate() {
            let is_said = old.kept.iter().any(|kept| column.is(kept));
            if self.parts.iter().any(|(_, other)| *other == place) && !is_said {
                continue;
            }
            if is_said || KEPT.iter().any(|kept| column.is(kept)) {
                self.kept.push(place);
            } else {
                unknown.push(column.name.clone());
            }
        }
        if unknown.is_empty() {
            Ok(self)
        } else {
            Err(ActivityEventsError::UnknownColumns { table: old.table.clone(), columns: unknown })
        }
    }

    /// The place of this part, if the table has it.
    pub(super) fn place(&self, part: Part) -> Option<usize> {
        self.parts.iter().find(|(other, _)| *other == part).map(|(_, place)| *place)
    }

    pub(super) fn id(&self) -> &Column {
        &self.columns[self.place(Part::Id).unwrap_or_default()]
    }

    pub(super) fn time(&self) -> &Column {
        &self.columns[self.place(Part::Time).unwrap_or_default()]
    }

    /// The columns by which rows are read. An integer key was counted up; any other says nothing of time.
    pub(super) fn order(&self) -> Vec<&Column> {
        if self.id().is_integer() { vec![self.id()] } else { vec![self.time(), self.id()] }
    }
}

fn is_needed(part: Part, old: &ActivityEvents) -> bool {
    match part {
        Part::Id | Part::Time | Part::Type => true,
        Part::Team => old.default_team.is_none(),
        _ => false,
    }
}

fn no_column(old: &ActivityEvents, what: String, setter: &'static str) -> ActivityEventsError {
    ActivityEventsError::NoColumn { table: old.table.clone(), what, setter }
}

fn one_of(
    old: &ActivityEvents,
    columns: &[Column],
    what: &'static str,
    setter: &'static str,
    usual: &[&str],
) -> Result<Option<usize>, ActivityEventsError> {
    // A column that was named for another part, or as one to keep, is not meant.
    let is_free = |column: &Column| {
        let is = |name: &String| column.is(name);
        !old.named.values().any(is) && !old.kept.iter().any(is)
    };
    let find = |name: &&str| columns.iter().position(|column| column.is(name) && is_free(column));
    let found: Vec<usize> = usual.iter().filter_map(find).collect();
    let first_is_usual = found.first().is_some_and(|place| columns[*place].is(usual[0]));
    match found.as_slice() {
        [_, _, ..] if !first_is_usual => Err(ActivityEventsError::SeveralColumns {
            table: old.table.clone(),
            what,
            columns: found.iter().map(|place| columns[*place].name.clone()).collect(),
            setter,
        }),
        [] => Ok(None),
        [first, ..] => Ok(Some(*first)),
    }
}
