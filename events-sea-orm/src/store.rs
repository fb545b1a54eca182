//! The `events` table: its entity, and how events get into it.

pub mod event;

use events_core::Event;
use sea_orm::{
    DbBackend, EntityName, Statement, StatementBuilder,
    sea_query::{InsertStatement, Query, SimpleExpr},
};
use serde_json::{Map, Value as Json};

use crate::backend;

/// Up to so many events an INSERT with one row of values each is fastest; above, a statement whose text does not
/// vary with their number.
const VALUES_LIMIT: usize = 3;

/// What one statement carries at most: well below the packet that MariaDB accepts by default, 16 MiB.
const CHUNK_BYTES: usize = 4 << 20;
const CHUNK_EVENTS: usize = 5_000;

/// The table that is ours.
pub(crate) fn own_table() -> &'static str {
    event::Entity.table_name()
}

/// Whether the table of this name is ours.
pub(crate) fn is_own_table(table: &str) -> bool {
    table.eq_ignore_ascii_case(own_table())
}

/// The statements that write `events`: one, unless they are very many or very large.
pub(crate) fn insert_statements(backend: DbBackend, events: &[Event]) -> Vec<Statement> {
    if events.len() <= VALUES_LIMIT {
        return match events {
            [] => Vec::new(),
            few => vec![StatementBuilder::build(&insert_values(few), &backend)],
        };
    }
    let mut statements = Vec::new();
    let mut rows = String::from("[");
    let mut count = 0;
    let mut finish = |rows: &mut String, count: &mut usize| {
        rows.push(']');
        let text = std::mem::replace(rows, String::from("["));
        statements.push(Statement::from_sql_and_values(
            backend,
            backend::insert_events_from_json(backend),
            [text.into()],
        ));
        *count = 0;
    };
    for event in events {
        let row = json_row(backend, event);
        if count > 0 && (count == CHUNK_EVENTS || rows.len() + row.len() > CHUNK_BYTES) {
            finish(&mut rows, &mut count);
        }
        if count > 0 {
            rows.push(',');
        }
        rows.push_str(&row);
        count += 1;
    }
    finish(&mut rows, &mut count);
    statements
}

/// An INSERT with one row of values for each event.
pub(crate) fn insert_values(events: &[Event]) -> InsertStatement {
    use event::Column;
    let mut insert = Query::insert();
    insert.into_table(event::Entity).columns([
        Column::Id,
        Column::TeamId,
        Column::EventType,
        Column::ObjectType,
        Column::ObjectId,
        Column::ActorId,
        Column::UnitId,
        Column::EventData,
        Column::Context,
        Column::OccurredAt,
    ]);
    for event in events {
        let object = event.object.as_ref();
        let row: [SimpleExpr; 10] = [
            event.id.into(),
            event.team_id.as_str().into(),
            event.event_type.as_str().into(),
            object.map(|object| object.object_type.as_str()).into(),
            object.map(|object| object.object_id.as_str()).into(),
            event.actor_id.as_deref().into(),
            event.unit_id.into(),
            event.event_data.clone().into(),
            event.context.clone().into(),
            event.occurred_at.into(),
        ];
        // Ten columns and ten values: the only error there is cannot happen.
        let _ = insert.values(row);
    }
    insert
}

/// An event as one element of the array that `insert_events_from_json` takes. Absent parts become NULL.
fn json_row(backend: DbBackend, event: &Event) -> String {
    let mut row = Map::new();
    let mut put = |name: &str, value: String| row.insert(name.to_owned(), Json::from(value));
    put("id", event.id.simple().to_string());
    put("team_id", event.team_id.clone());
    put("event_type", event.event_type.to_string());
    if let Some(object) = &event.object {
        put("object_type", object.object_type.clone());
        put("object_id", object.object_id.clone());
    }
    if let Some(actor) = &event.actor_id {
        put("actor_id", actor.clone());
    }
    put("unit_id", event.unit_id.simple().to_string());
    // As text, so that no database rewrites a number on the way.
    put("event_data", event.event_data.to_string());
    put("context", event.context.to_string());
    put("occurred_at", backend::time_text(backend, event.occurred_at));
    Json::Object(row).to_string()
}
