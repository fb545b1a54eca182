//! The `events` table: its entity, and how events get into it.

pub mod event;

use std::fmt::Write;

use events_core::Event;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityName, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect, Statement, StatementBuilder, Value,
    sea_query::{InsertStatement, Query, SimpleExpr},
};
use serde_json::Value as Json;
use uuid::Uuid;

use crate::{backend, error::Refused};

/// Up to so many events an INSERT with one row of values each is fastest; above, a statement whose text does not
/// vary with their number.
const VALUES_LIMIT: usize = 3;

/// Up to so many events, more than a unit of single saves has, one statement and one round trip are best.
const ONE_STATEMENT: usize = 2_000;

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

/// The events of a unit of work that are in the table, page by page.
pub(crate) struct Pages {
    unit_id: Uuid,
    left: usize,
    last: Option<i64>,
}

impl Pages {
    /// The `count` events of this unit of work. The first one carries the unit's id: from there on they are looked for.
    pub(crate) fn of_unit(unit_id: Uuid, count: usize) -> Self {
        Self { unit_id, left: count, last: None }
    }

    /// The next ones, in their order.
    pub(crate) async fn next<C: ConnectionTrait>(&mut self, db: &C) -> Result<Option<Vec<Event>>, DbErr> {
        use event::{Column, Entity};
        if self.left == 0 {
            return Ok(None);
        }
        let page = match self.last {
            None => Entity::find().filter(Column::Id.eq(self.unit_id)),
            Some(last) => Entity::find()
                .filter(Column::UnitId.eq(self.unit_id))
                .filter(Column::Seq.gt(last))
                .order_by_asc(Column::Seq)
                .limit(CHUNK_EVENTS.min(self.left) as u64),
        };
        let rows = page.all(db).await?;
        self.left -= rows.len().min(self.left);
        let Some(last) = rows.last() else { return Ok(None) };
        self.last = Some(last.seq);
        let events: Result<Vec<_>, _> = rows.iter().map(event::Model::to_event).collect();
        Ok(Some(events.map_err(Refused::from)?))
    }
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
    let mut rest = events;
    let size = backend::rows_of_values(backend).filter(|_| events.len() > ONE_STATEMENT);
    while let Some((some, others)) = size.and_then(|size| rest.split_at_checked(size)) {
        let values = insert_rows(some, |json| json.to_string().into());
        let values = StatementBuilder::build(&values, &backend);
        if bytes(&values) <= CHUNK_BYTES {
            statements.push(values);
        } else {
            push_json(&mut statements, backend, some);
        }
        rest = others;
    }
    push_json(&mut statements, backend, rest);
    statements
}

fn bytes(statement: &Statement) -> usize {
    let bytes = |value: &Value| match value {
        Value::String(Some(text)) => text.len(),
        _ => 0, // the others are small
    };
    statement.values.iter().flat_map(|values| &values.0).map(bytes).sum()
}

/// The statements that write `events` from JSON.
fn push_json(statements: &mut Vec<Statement>, backend: DbBackend, events: &[Event]) {
    let mut rows = String::from("[");
    let mut count = 0;
    let mut finish = |rows: &mut String, count: &mut usize| {
        if *count == 0 {
            return;
        }
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
        if count == CHUNK_EVENTS || rows.len() + row.len() > CHUNK_BYTES {
            finish(&mut rows, &mut count);
        }
        if count > 0 {
            rows.push(',');
        }
        rows.push_str(&row);
        count += 1;
    }
    finish(&mut rows, &mut count);
}

/// An INSERT with one row of values for each event.
pub(crate) fn insert_values(events: &[Event]) -> InsertStatement {
    insert_rows(events, |json| json.clone().into())
}

/// `bind` says how JSON is bound: as itself, which every database takes, or as text, which a column of text takes sooner.
fn insert_rows(events: &[Event], bind: fn(&Json) -> SimpleExpr) -> InsertStatement {
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
            bind(&event.event_data),
            bind(&event.context),
            event.occurred_at.into(),
        ];
        // Ten columns and ten values: the only error there is cannot happen.
        let _ = insert.values(row);
    }
    insert
}

/// An event as one element of the array that `insert_events_from_json` takes. Absent parts become NULL.
fn json_row(backend: DbBackend, event: &Event) -> String {
    let mut row = String::from("{");
    let mut put = |name: &str, value: &str| {
        let comma = if row.len() > 1 { "," } else { "" };
        // Writing to a `String` does not fail.
        let _ = write!(row, "{comma}\"{name}\":{}", Json::from(value));
    };
    put("id", &event.id.simple().to_string());
    put("team_id", &event.team_id);
    put("event_type", event.event_type.as_str());
    if let Some(object) = &event.object {
        put("object_type", &object.object_type);
        put("object_id", &object.object_id);
    }
    if let Some(actor) = &event.actor_id {
        put("actor_id", actor);
    }
    put("unit_id", &event.unit_id.simple().to_string());
    // As text, so that no database rewrites a number on the way.
    put("event_data", &event.event_data.to_string());
    put("context", &event.context.to_string());
    put("occurred_at", &backend::time_text(backend, event.occurred_at));
    row.push('}');
    row
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use events_core::{EventType, ObjectRef};

    use super::*;

    fn events(count: usize, bytes: usize) -> Vec<Event> {
        let event = Event {
            id: Uuid::now_v7(),
            team_id: "7".to_owned(),
            event_type: EventType::Created,
            object: Some(ObjectRef::new("campaign", 1)),
            actor_id: None,
            unit_id: Uuid::now_v7(),
            event_data: serde_json::json!({"initial_values": {"name": "x".repeat(bytes)}}),
            context: serde_json::json!({}),
            occurred_at: Utc::now(),
        };
        vec![event; count]
    }

    /// How many statements of values and of JSON there are.
    fn kinds(backend: DbBackend, events: &[Event]) -> (usize, usize) {
        let statements = insert_statements(backend, events);
        let json = backend::insert_events_from_json(backend);
        let (json, values): (Vec<_>, Vec<_>) = statements.iter().partition(|statement| statement.sql == json);
        (values.len(), json.len())
    }

    #[test]
    fn many_events_go_by_texts_that_do_not_vary_with_their_number() {
        for backend in [DbBackend::Sqlite, DbBackend::MySql] {
            assert_eq!(kinds(backend, &events(3, 10)), (1, 0));
            assert_eq!(kinds(backend, &events(4, 10)), (0, 1));
            assert_eq!(kinds(backend, &events(ONE_STATEMENT, 10)), (0, 1));
            assert_eq!(kinds(backend, &events(2_204, 10)), (4, 1));
        }
        assert_eq!(kinds(DbBackend::Postgres, &events(5_001, 10)), (0, 2));
    }

    #[test]
    fn no_statement_is_larger_than_a_database_takes() {
        for backend in [DbBackend::Sqlite, DbBackend::MySql, DbBackend::Postgres] {
            let statements = insert_statements(backend, &events(600, 100_000));
            assert!(statements.iter().all(|statement| bytes(statement) <= CHUNK_BYTES + 200_000));
            assert!(statements.len() >= 15);
        }
    }
}
