//! Events as rows of values, on SQLite and MariaDB.

use std::fmt::Write;

use sea_orm::{DbBackend, Statement, Value};

use super::common;
use crate::{backend, record::Recorded};

const INSERT: &str = "INSERT INTO events (id, object_id, event_data, team_id, event_type, object_type, actor_id, context, unit_id, occurred_at) VALUES ";

pub(super) fn insert(backend: DbBackend, events: Vec<Recorded>) -> Statement {
    let occurred_at = |event: &Recorded| backend::time(backend, event.occurred_at);
    let shared: [&dyn Fn(&Recorded) -> Value; 7] = [
        &|event| event.team_id.as_str().into(),
        &|event| event.event_type.as_str().into(),
        &|event| event.object_type.as_deref().into(),
        &|event| event.actor_id.as_deref().into(),
        &|event| (*event.context).into(),
        &|event| event.unit_id.into(),
        &occurred_at,
    ];
    let mut values = Vec::with_capacity(10 * events.len());
    // What all have in common is bound once, where a parameter can stand in several rows.
    let places = shared.map(|column| {
        let common = common(&events, column).filter(|_| backend::numbers_parameters(backend))?;
        values.push(common);
        Some(values.len())
    });
    let mut sql = String::from(INSERT);
    for (n, event) in events.into_iter().enumerate() {
        sql.push_str(if n == 0 { "(" } else { ",(" });
        let own = shared.iter().zip(places).map(|(column, place)| match place {
            Some(place) => Err(place),
            None => Ok(column(&event)),
        });
        let own: Vec<_> = own.collect();
        let first = [event.id.into(), event.object_id.into(), event.event_data.into()].map(Ok);
        for (m, value) in first.into_iter().chain(own).enumerate() {
            if m > 0 {
                sql.push(',');
            }
            let place = value.map_or_else(
                |place| place,
                |value| {
                    values.push(value);
                    values.len()
                },
            );
            sql.push('?');
            if backend::numbers_parameters(backend) {
                // Writing to a `String` does not fail.
                let _ = write!(sql, "{place}");
            }
        }
        sql.push(')');
    }
    Statement::from_sql_and_values(backend, sql, values)
}
