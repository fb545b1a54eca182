//! Which entities are tracked in this program.

use std::{
    collections::HashMap,
    sync::{
        LazyLock, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use super::Definition;
use crate::transaction::Table;

/// An entity that was linked into this program.
#[derive(Debug)]
pub struct Registration(pub fn() -> &'static Definition);

inventory::collect!(Registration);

/// Every tracked entity that was linked into this program and is named somewhere in it.
pub fn registered() -> impl Iterator<Item = &'static Definition> {
    inventory::iter::<Registration>().map(|registration| (registration.0)())
}

/// The tracked entities by the names of their tables, in lower case.
static TABLES: LazyLock<RwLock<HashMap<String, Vec<&'static Definition>>>> = LazyLock::new(|| {
    let mut tables = HashMap::new();
    registered().for_each(|definition| insert(&mut tables, definition));
    RwLock::new(tables)
});

/// Whether one of them has redacted fields: asked by every statement.
static REDACTS: AtomicBool = AtomicBool::new(false);

/// Whether any tracked entity has redacted fields.
pub(crate) fn any_redacts() -> bool {
    LazyLock::force(&TABLES);
    REDACTS.load(Ordering::Relaxed)
}

fn insert(tables: &mut HashMap<String, Vec<&'static Definition>>, definition: &'static Definition) {
    let same_name = tables.entry(definition.table.to_ascii_lowercase()).or_default();
    if !same_name.iter().any(|known| std::ptr::eq(*known, definition)) {
        same_name.push(definition);
        REDACTS.fetch_or(definition.redacts(), Ordering::Relaxed);
    }
}

/// Makes an entity known by its use: a crate that is linked but never named registers nothing.
pub(crate) fn know(definition: &'static Definition) {
    if !definition.known.swap(true, Ordering::Relaxed) {
        insert(&mut TABLES.write().unwrap_or_else(PoisonError::into_inner), definition);
    }
}

/// Every tracked entity that was registered or used.
pub(crate) fn known() -> Vec<&'static Definition> {
    let tables = TABLES.read().unwrap_or_else(PoisonError::into_inner);
    tables.values().flatten().copied().collect()
}

/// The tracked entity whose objects are recorded as this.
#[cfg(feature = "threads")]
pub(crate) fn of_object_type(object_type: &str) -> Option<&'static Definition> {
    let tables = TABLES.read().unwrap_or_else(PoisonError::into_inner);
    tables.values().flatten().copied().find(|definition| definition.object_type == object_type)
}

/// The tracked entity of this table.
pub(crate) fn find(table: &Table) -> Option<&'static Definition> {
    let tables = TABLES.read().unwrap_or_else(PoisonError::into_inner);
    let same_name = tables.get(&table.name.to_ascii_lowercase())?;
    same_name.iter().copied().find(|definition| definition.is_table(table))
}
