//! Events by columns, on PostgreSQL: an array for each column, and once what all have in common. The text varies with
//! neither.

use sea_orm::{DbBackend, Statement, Value, sea_query::ArrayType};

use super::common;
use crate::record::Recorded;

/// Of a column that all have in common the array is empty, and `unnest` fills it up with NULL. An absent part is empty
/// text, which no identifier is.
const INSERT: &str = "INSERT INTO events (id, team_id, event_type, object_type, object_id, actor_id, unit_id, event_data, context, occurred_at) \
     SELECT id, coalesce(team_id, $10), coalesce(event_type, $11), nullif(coalesce(object_type, $12), ''), nullif(object_id, ''), \
     nullif(coalesce(actor_id, $13), ''), coalesce(unit_id, $16), event_data::jsonb, coalesce(context::jsonb, (SELECT $14::jsonb)), coalesce(occurred_at, $15) \
     FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::timestamptz[], $17::uuid[]) \
     WITH ORDINALITY AS rows (id, object_id, event_data, team_id, event_type, object_type, actor_id, context, occurred_at, unit_id, ordinality) \
     ORDER BY ordinality";

pub(super) fn insert(events: Vec<Recorded>) -> Statement {
    let shared: [fn(&Recorded) -> &str; 5] = [
        |event| &event.team_id,
        |event| event.event_type.as_str(),
        |event| event.object_type.as_deref().unwrap_or_default(),
        |event| event.actor_id.as_deref().unwrap_or_default(),
        |event| &event.context,
    ];
    let array = |kind, values: Vec<Value>| Value::Array(kind, Some(Box::new(values)));
    let each = |column: fn(&Recorded) -> &str| {
        array(ArrayType::String, events.iter().map(|event| column(event).into()).collect())
    };
    let ids = array(ArrayType::Uuid, events.iter().map(|event| event.id.into()).collect());
    let object_ids = each(|event| event.object_id.as_deref().unwrap_or_default());
    let commons = shared.map(|column| common(&events, column).map(str::to_owned));
    let none = || array(ArrayType::String, Vec::new());
    let mut columns = shared.into_iter().zip(&commons);
    let [teams, types, object_types, actors, contexts] = std::array::from_fn(|_| match columns.next() {
        Some((column, None)) => each(column),
        _ => none(),
    });
    let at = common(&events, |event| event.occurred_at);
    let each_at = events.iter().filter(|_| at.is_none()).map(|event| event.occurred_at.into());
    let times = array(ArrayType::ChronoDateTimeUtc, each_at.collect());
    // Those of one unit of work have it in common; imported ones do not.
    let unit_id = common(&events, |event| event.unit_id);
    let each_unit = events.iter().filter(|_| unit_id.is_none()).map(|event| event.unit_id.into());
    let units = array(ArrayType::Uuid, each_unit.collect());
    let data = array(ArrayType::String, events.into_iter().map(|event| event.event_data.into()).collect());
    let mut values = vec![ids, object_ids, data, teams, types, object_types, actors, contexts, times];
    values.extend(commons.map(Value::from));
    values.extend([at.into(), unit_id.into(), units]);
    Statement::from_sql_and_values(DbBackend::Postgres, INSERT, values)
}
