//! The `events` table: its entity, and how events get into it.

mod columns;
pub mod event;
mod object_id;
mod rows;

#[cfg(feature = "notifications")]
pub(crate) use self::object_id::is_digest;
pub use self::object_id::stored_object_id;

use std::fmt::Write;

use events_core::{Event, TeamScope};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityName, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect, Statement, StatementBuilder,
    sea_query::{InsertStatement, Query, SimpleExpr},
};
use serde_json::Value as Json;
use uuid::Uuid;

#[cfg(feature = "threads")]
use crate::threads;
use crate::{backend, error::Refused, record::Recorded};

/// Up to so many events an INSERT with one row of values each is fastest; above, a statement whose text does not
/// vary with their number.
const VALUES_LIMIT: usize = 3;

/// From so many events, more than a unit of single saves has, what a row costs counts for more than a round trip.
pub(crate) const MANY: usize = 1_000;

/// What one statement carries at most: well below the packet that MariaDB accepts by default, 16 MiB.
pub(crate) const CHUNK_BYTES: usize = 4 << 20;
pub(crate) const CHUNK_EVENTS: usize = 5_000;

/// A table that is ours, and the calls by which an application adds to it.
struct Own {
    table: &'static str,
    calls: &'static str,
}

fn own() -> impl Iterator<Item = Own> {
    let of = |tables: Vec<&'static str>, calls| tables.into_iter().map(move |table| Own { table, calls });
    let own = of(vec![event::Entity.table_name()], "`emit`, or a save of a tracked model");
    let own = own.chain(of(crate::retention::own_tables().into(), "the calls of `retention`"));
    #[cfg(feature = "threads")]
    let own = own.chain(of(
        vec![threads::thread::Entity.table_name(), threads::message::Entity.table_name()],
        "`Thread::post`",
    ));
    #[cfg(feature = "notifications")]
    let own = own.chain(of(
        crate::notifications::own_tables().into(),
        "the consumer `Notifications` and the calls of `Inbox`",
    ));
    #[cfg(feature = "analytics")]
    let own = own.chain(of(
        crate::analytics::own_tables().into(),
        "the consumer `DailyCounts`, or `analytics::rebuild`",
    ));
    own
}

/// The tables that are ours.
pub(crate) fn own_tables() -> impl Iterator<Item = &'static str> {
    own().map(|own| own.table)
}

/// The calls by which an application adds to this table of ours.
pub(crate) fn own_calls(table: &str) -> &'static str {
    own().find(|own| table.eq_ignore_ascii_case(own.table)).map_or("its calls", |own| own.calls)
}

/// Whether the table of this name is ours.
pub(crate) fn is_own_table(table: &str) -> bool {
    own_tables().any(|own| table.eq_ignore_ascii_case(own))
}

/// The events of a unit of work that are in the table, page by page.
pub(crate) struct Pages {
    unit_id: Uuid,
    team: TeamScope,
    left: usize,
    last: Option<i64>,
}

impl Pages {
    /// The `count` events of this unit of work. The first one carries the unit's id: from there on they are looked for. The
    /// team stands in the query as in every other, unless the unit spans all.
    pub(crate) fn of_unit(unit_id: Uuid, team: TeamScope, count: usize) -> Self {
        Self { unit_id, team, left: count, last: None }
    }

    /// How many have not been read yet.
    pub(crate) fn left(&self) -> usize {
        self.left
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
        let page = match &self.team {
            TeamScope::Team(team) => page.filter(Column::TeamId.eq(team.as_str())),
            _ => page,
        };
        let rows = page.all(db).await?;
        let Some(last) = rows.last() else { return Ok(None) };
        let events = rows.iter().map(event::Model::to_event).collect::<Result<Vec<_>, _>>();
        let events = events.map_err(Refused::from)?;
        self.last = Some(last.seq);
        self.left -= events.len().min(self.left);
        Ok(Some(events))
    }
}

/// The statements that write `events`: one, unless they are very many or very large.
pub(crate) fn insert_statements(backend: DbBackend, mut events: Vec<Recorded>) -> Vec<Statement> {
    if events.is_empty() {
        return Vec::new();
    }
    object_id::store(&mut events);
    let few = events.len() <= VALUES_LIMIT;
    let rows = backend::rows_of_values(backend).filter(|_| events.len() >= MANY);
    let insert = |part: Vec<Recorded>| match (backend, part.as_slice()) {
        // A large one by itself: in JSON its text would be written as text once more.
        (_, [event]) if size_of(event) > CHUNK_BYTES => {
            StatementBuilder::build(&insert_values(backend, part), &backend)
        }
        _ if few => StatementBuilder::build(&insert_values(backend, part), &backend),
        (DbBackend::Postgres, _) => columns::insert(part),
        _ if rows == Some(part.len()) => rows::insert(backend, part),
        _ => Statement::from_sql_and_values(
            backend,
            backend::insert_events_from_json(backend),
            [json_rows(backend, &part).into()],
        ),
    };
    parts(events, rows.unwrap_or(CHUNK_EVENTS)).into_iter().map(insert).collect()
}

/// About how much of a statement an event takes.
fn size_of(event: &Recorded) -> usize {
    event.event_data.len() + event.context.len()
}

/// The statement, its table named by its schema: a temporary table of the same name would be written instead.
pub(crate) fn in_schema(mut statement: Statement, schema: Option<&str>) -> Statement {
    if let Some(schema) = schema {
        for table in ["INSERT INTO events ", "INSERT INTO \"events\" "] {
            if let Some(rest) = statement.sql.strip_prefix(table) {
                let schema = schema.replace('"', "\"\"");
                statement.sql = format!("INSERT INTO \"{schema}\".\"events\" {rest}");
                break;
            }
        }
    }
    statement
}

/// Parts of so many, or of fewer where those would be too large for a statement.
fn parts(events: Vec<Recorded>, size: usize) -> Vec<Vec<Recorded>> {
    let (mut parts, mut part, mut bytes) = (Vec::new(), Vec::new(), 0);
    for event in events {
        let more = size_of(&event);
        if part.len() == size || (bytes + more > CHUNK_BYTES && !part.is_empty()) {
            parts.push(std::mem::take(&mut part));
            bytes = 0;
        }
        bytes += more;
        part.push(event);
    }
    parts.push(part);
    parts
}

/// All of `events` in one statement of the builders, for a connection that takes no text.
pub(crate) fn insert_built(backend: DbBackend, mut events: Vec<Recorded>) -> InsertStatement {
    object_id::store(&mut events);
    insert_values(backend, events)
}

/// An INSERT with one row of values for each event, whose identifiers are as the column takes them.
fn insert_values(backend: DbBackend, events: Vec<Recorded>) -> InsertStatement {
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
        let row: [SimpleExpr; 10] = [
            event.id.into(),
            event.team_id.into(),
            event.event_type.as_str().into(),
            event.object_type.as_deref().into(),
            event.object_id.into(),
            event.actor_id.as_deref().into(),
            event.unit_id.into(),
            backend::json_text(backend, event.event_data),
            backend::json_text(backend, &*event.context),
            backend::time(backend, event.occurred_at).into(),
        ];
        // Ten columns and ten values: the only error there is cannot happen.
        let _ = insert.values(row);
    }
    insert
}

/// What all of them have in this column, if it is the same.
fn common<'a, T: PartialEq>(events: &'a [Recorded], column: impl Fn(&'a Recorded) -> T) -> Option<T> {
    let first = column(events.first()?);
    events.iter().all(|event| column(event) == first).then_some(first)
}

/// Events as the array that `insert_events_from_json` takes.
fn json_rows(backend: DbBackend, events: &[Recorded]) -> String {
    let rows: Vec<String> = events.iter().map(|event| json_row(backend, event)).collect();
    format!("[{}]", rows.join(","))
}

/// An event as one element of that array. Absent parts become NULL.
fn json_row(backend: DbBackend, event: &Recorded) -> String {
    let mut row = String::from("{");
    let mut put = |name: &str, value: &str| {
        let comma = if row.len() > 1 { "," } else { "" };
        // Writing to a `String` does not fail.
        let _ = write!(row, "{comma}\"{name}\":{}", Json::from(value));
    };
    put("id", &event.id.simple().to_string());
    put("team_id", &event.team_id);
    put("event_type", event.event_type.as_str());
    if let (Some(object_type), Some(object_id)) = (&event.object_type, &event.object_id) {
        put("object_type", object_type);
        put("object_id", object_id);
    }
    if let Some(actor) = &event.actor_id {
        put("actor_id", actor);
    }
    put("unit_id", &event.unit_id.simple().to_string());
    // As text, so that no database rewrites a number on the way.
    put("event_data", &event.event_data);
    put("context", &event.context);
    put("occurred_at", &backend::time_text(backend, event.occurred_at));
    row.push('}');
    row
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use events_core::EventType;
    use sea_orm::Value;
    use uuid::Uuid;

    use super::*;

    fn events(count: usize, bytes: usize) -> Vec<Recorded> {
        let event = Recorded {
            id: Uuid::now_v7(),
            team_id: "7".to_owned(),
            event_type: EventType::Created,
            object_type: Some("campaign".into()),
            object_id: Some("1".to_owned()),
            actor_id: None,
            unit_id: Uuid::now_v7(),
            event_data: serde_json::json!({"initial_values": {"name": "x".repeat(bytes)}}).to_string(),
            context: "{}".into(),
            occurred_at: Utc::now(),
        };
        vec![event; count]
    }

    /// How many statements of values and of JSON there are.
    fn kinds(backend: DbBackend, events: Vec<Recorded>) -> (usize, usize) {
        let statements = insert_statements(backend, events);
        let json = backend::insert_events_from_json(backend);
        let (json, values): (Vec<_>, Vec<_>) = statements.iter().partition(|statement| statement.sql == json);
        (values.len(), json.len())
    }

    fn bytes(statement: &Statement) -> usize {
        fn bytes(value: &Value) -> usize {
            match value {
                Value::String(Some(text)) => text.len(),
                Value::Array(_, Some(values)) => values.iter().map(bytes).sum(),
                _ => 0, // the others are small
            }
        }
        statement.values.iter().flat_map(|values| &values.0).map(bytes).sum()
    }

    #[test]
    fn many_events_go_by_texts_that_do_not_vary_with_their_number() {
        for backend in [DbBackend::Sqlite, DbBackend::MySql] {
            assert_eq!(kinds(backend, events(3, 10)), (1, 0));
            assert_eq!(kinds(backend, events(4, 10)), (0, 1));
            assert_eq!(kinds(backend, events(MANY - 1, 10)), (0, 1));
            assert_eq!(kinds(backend, events(2_204, 10)), (4, 1));
        }
        let texts = |count| -> Vec<String> {
            let statements = insert_statements(DbBackend::Postgres, events(count, 10));
            statements.into_iter().map(|statement| statement.sql).collect()
        };
        assert_eq!(texts(5_001), [texts(4), texts(2_000)].concat());
    }

    #[test]
    fn few_large_events_go_apart() {
        for backend in [DbBackend::Sqlite, DbBackend::MySql, DbBackend::Postgres] {
            let statements = insert_statements(backend, events(3, 6 << 20));
            assert_eq!(statements.len(), 3);
            assert!(statements.iter().all(|statement| bytes(statement) < 7 << 20));
            let statements = insert_statements(backend, events(5, 9 << 20));
            assert!(statements.iter().all(|statement| bytes(statement) < 10 << 20));
        }
    }

    #[test]
    fn no_statement_is_larger_than_a_database_takes() {
        for backend in [DbBackend::Sqlite, DbBackend::MySql, DbBackend::Postgres] {
            let statements = insert_statements(backend, events(600, 100_000));
            assert!(statements.iter().all(|statement| bytes(statement) <= CHUNK_BYTES + 200_000));
            assert!(statements.len() >= 15);
        }
    }
}
