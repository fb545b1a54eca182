//! What must hold afterwards, by plain SQL.

use std::collections::{HashMap, HashSet};

use sea_orm::{ConnectionTrait, DbBackend, EntityTrait, Statement};
use uuid::Uuid;

use super::Left;
use crate::{TestDb, entities::visit};

/// A value inside of an event's data, as a number.
fn number(backend: DbBackend, path: [&str; 3]) -> String {
    let [first, second, third] = path;
    let dotted = [first, second, third].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
    match backend {
        DbBackend::Postgres => format!("(event_data #>> '{{{}}}')::bigint", dotted.join(",")),
        DbBackend::MySql => format!("CAST(JSON_VALUE(event_data, '$.{}') AS SIGNED)", dotted.join(".")),
        _ => format!("CAST(event_data ->> '$.{}' AS INTEGER)", dotted.join(".")),
    }
}

/// Panics at a difference; answers how many events there are.
pub(super) async fn check(db: &TestDb, left: &[(Uuid, Left)], alone: &[String]) -> u64 {
    chains_are_unbroken(db).await;
    the_log_folds_to_the_rows(db).await;
    let events = events_of_units(db).await;
    let rows: HashSet<String> =
        visit::Entity::find().all(&db.db).await.expect("rows").into_iter().map(|row| row.what).collect();
    for (unit, left) in left {
        let is = (events.get(unit).copied().unwrap_or(0), rows.contains(&unit.to_string()));
        match left {
            Left::Nothing => assert_eq!(is, (0, false), "unit {unit} was not committed"),
            Left::Everything { events, row } => {
                assert!(
                    (events.least..=events.most).contains(&is.0) && is.1 == *row,
                    "unit {unit}: {left:?}, {is:?}"
                );
            }
            Left::Either { events } => assert!(is.0 <= *events, "unit {unit}: {left:?}, {is:?}"),
        }
    }
    for what in alone {
        assert!(rows.contains(what), "{what} was written and is lost");
    }
    events.values().map(|count| *count as u64).sum()
}

async fn query(db: &TestDb, sql: String) -> Vec<sea_orm::QueryResult> {
    let statement = Statement::from_string(db.db.get_database_backend(), sql);
    db.db.query_all_raw(statement).await.expect("an answer")
}

async fn events_of_units(db: &TestDb) -> HashMap<Uuid, usize> {
    let rows = query(db, "SELECT unit_id, count(*) AS events FROM events GROUP BY unit_id".to_owned()).await;
    let of = |row: &sea_orm::QueryResult| {
        let events: i64 = row.try_get("", "events").expect("a number");
        (row.try_get("", "unit_id").expect("an id"), events as usize)
    };
    rows.iter().map(of).collect()
}

/// What each event says the budget was, is what the one before said it became.
async fn chains_are_unbroken(db: &TestDb) {
    let backend = db.db.get_database_backend();
    let old = number(backend, ["changes", "budget", "old"]);
    let broken = query(
        db,
        format!(
            "SELECT object_id, seq FROM (SELECT object_id, seq, event_type, {old} AS old, lag({new}) OVER o AS was \
             FROM events WHERE object_type = 'campaign' WINDOW o AS (PARTITION BY object_id ORDER BY seq)) AS chain \
             WHERE event_type = 'UPDATED' AND (was IS NULL OR old <> was)",
            new = new(backend),
        ),
    )
    .await;
    assert!(broken.is_empty(), "{} broken links, first of {:?}", broken.len(), text(&broken[0], "object_id"));
}

/// The value after the event.
fn new(backend: DbBackend) -> String {
    let changed = number(backend, ["changes", "budget", "new"]);
    let initial = number(backend, ["initial_values", "budget", ""]);
    format!("coalesce({changed}, {initial})")
}

fn text(row: &sea_orm::QueryResult, column: &str) -> String {
    row.try_get::<String>("", column).unwrap_or_default()
}

/// The last event of each object says what its row holds, and there are no others.
async fn the_log_folds_to_the_rows(db: &TestDb) {
    let backend = db.db.get_database_backend();
    let id = match backend {
        DbBackend::MySql => "CAST(c.id AS CHAR)",
        _ => "CAST(c.id AS TEXT)",
    };
    let folded = format!(
        "SELECT object_id, budget FROM (SELECT object_id, event_type, {new} AS budget, \
         row_number() OVER (PARTITION BY object_id ORDER BY seq DESC) AS n FROM events WHERE object_type = 'campaign') AS backwards \
         WHERE n = 1 AND event_type <> 'DELETED'",
        new = new(backend),
    );
    let differ = query(
        db,
        format!(
            "SELECT {id} AS object_id FROM campaigns c LEFT JOIN ({folded}) f ON f.object_id = {id} \
             WHERE f.object_id IS NULL OR f.budget <> c.budget \
             UNION ALL SELECT f.object_id FROM ({folded}) f LEFT JOIN campaigns c ON f.object_id = {id} WHERE c.id IS NULL"
        ),
    )
    .await;
    assert!(
        differ.is_empty(),
        "{} rows differ from the log, first {:?}",
        differ.len(),
        text(&differ[0], "object_id")
    );
}
