//! Names of tables that no model has, and what they stand for: a partition or a view of a tracked table, or of one of
//! this library's.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, QueryResult, Statement};

use super::{Busy, EventTransaction, Inspected, Table, guard};
use crate::{
    backend::{
        relations,
        tokens::{Token, Tokens},
    },
    error::Refused,
    events::Events,
    store, tracked,
};

/// What was found out so far: each name is looked up when it is written for the first time, and again after [`REMEMBERED`],
/// since a table may be attached to another meanwhile. One that the catalog does not have is asked for again.
#[derive(Debug, Default)]
pub(crate) struct Relations(Mutex<HashMap<Table, (Instant, Vec<Table>)>>);

/// How long what a table stands for is remembered.
const REMEMBERED: Duration = Duration::from_secs(60);

/// Where the catalog is asked.
pub(crate) enum Catalog<'a> {
    Pool(&'a DatabaseConnection),
    Unit(&'a EventTransaction, &'a Busy),
}

impl Catalog<'_> {
    async fn ask(&self, question: Statement) -> Result<Vec<QueryResult>, DbErr> {
        match self {
            Self::Pool(pool) => pool.query_all_raw(question).await,
            Self::Unit(unit, busy) => unit.query_own(busy, question).await,
        }
    }
}

/// Whether it is known what becomes of a write to this table.
fn matters(table: &Table) -> bool {
    store::is_own_table(&table.name) || tracked::find(table).is_some()
}

/// The names in the definition of a view.
fn names(backend: DbBackend, definition: &str) -> HashSet<Table> {
    let name = |token| match token {
        Token::Word(name) | Token::Quoted(name) => Some(Table { schema: None, name: name.to_owned() }),
        _ => None,
    };
    Tokens::new(backend, definition).filter_map(name).collect()
}

impl Relations {
    fn known(&self, table: &Table) -> Option<Vec<Table>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(table).filter(|(since, _)| since.elapsed() < REMEMBERED).map(|(_, table)| table.clone())
    }

    fn learn(&self, table: Table, stands_for: Vec<Table>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(table, (Instant::now(), stands_for));
    }
}

/// Adds to the tables that a statement writes what they stand for, and returns what was added.
///
/// # Errors
/// [`Refused::UnknownSql`] for a view that the application may write and not look into; else the database's.
pub(crate) async fn complete(
    events: &Events,
    inspected: &mut Inspected,
    catalog: Catalog<'_>,
) -> Result<Vec<Table>, DbErr> {
    let backend = events.backend();
    if !relations::may_stand_for_others(backend) || events.pool().is_mock_connection() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for table in inspected.written.iter().chain(&inspected.named) {
        if matters(table) {
            continue;
        }
        let stands_for = match events.relations().known(table) {
            Some(known) => known,
            None => look_up(events, backend, table, &catalog).await?,
        };
        found.extend(stands_for);
    }
    found.retain(|table| !inspected.written.contains(table));
    inspected.written.extend(found.iter().cloned());
    guard::check_never(inspected, backend)?;
    Ok(found)
}

async fn look_up(
    events: &Events,
    backend: DbBackend,
    table: &Table,
    catalog: &Catalog<'_>,
) -> Result<Vec<Table>, DbErr> {
    let mut stands_for = Vec::new();
    let mut is_there = false;
    let mut asked = HashSet::new();
    let mut open = vec![table.clone()];
    while let Some(next) = open.pop() {
        if !asked.insert(next.clone()) {
            continue;
        }
        for row in catalog.ask(relations::select(backend, next.schema.as_deref(), &next.name)).await? {
            is_there = true;
            let relation = relations::read(&row)?;
            if let Some(name) = relation.name {
                stands_for.push(Table { schema: relation.schema, name });
            }
            match relation.definition.as_deref() {
                Some("") => {
                    let why = format!("it writes the view `{}`, whose definition may not be read", next.name);
                    return Err(Refused::UnknownSql { why }.into());
                }
                Some(definition) => {
                    let (known, others): (Vec<_>, Vec<_>) =
                        names(backend, definition).into_iter().partition(matters);
                    stands_for.extend(known);
                    open.extend(others);
                }
                None => {}
            }
        }
    }
    stands_for.retain(matters);
    if is_there {
        events.relations().learn(table.clone(), stands_for.clone());
    }
    Ok(stands_for)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_table_stands_for_is_asked_again_after_a_while() {
        let relations = Relations::default();
        let table = Table { schema: None, name: "later".to_owned() };
        relations.learn(table.clone(), Vec::new());
        assert_eq!(relations.known(&table), Some(Vec::new()));
        let since = Instant::now().checked_sub(REMEMBERED).expect("the machine runs for longer");
        relations.0.lock().expect("no panic").insert(table.clone(), (since, Vec::new()));
        assert_eq!(relations.known(&table), None);
    }
}
