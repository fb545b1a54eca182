//! Which writes may pass: none that would leave a tracked row changed without its event.

use sea_orm::{DbErr, Statement, Value};

use super::{
    level::{Announcement, Caller},
    sql::Table,
    statement::{Inspected, Kind},
};
use crate::{
    adoption::{self, Adoption},
    error::Refused,
    store,
    tracked::{self, Definition},
};

/// Refuses what nothing can excuse: the schema, and this library's own tables.
pub(crate) fn check_never(inspected: &Inspected) -> Result<(), Refused> {
    if inspected.kind == Kind::Schema {
        return Err(Refused::Schema);
    }
    match inspected.written.iter().find(|table| store::is_own_table(&table.name)) {
        Some(table) => Err(Refused::OwnTable { table: table.name.clone() }),
        None => Ok(()),
    }
}

/// Refuses a write that no hook announced, if it could touch a tracked table.
pub(crate) fn check_unannounced(inspected: &Inspected, adoption: Option<&Adoption>) -> Result<(), Refused> {
    if inspected.kind == Kind::Raw {
        return adoption::refuse(adoption, "raw SQL", Refused::RawSql);
    }
    for table in &inspected.written {
        if let Some(definition) = tracked::find(table) {
            adoption::refuse(adoption, definition.object_type(), unannounced(definition, inspected.kind))?;
        }
    }
    Ok(())
}

/// Everything that passes on a pool, where nothing is announced.
pub(crate) fn check_on_pool(inspected: &Inspected, adoption: Option<&Adoption>) -> Result<(), DbErr> {
    check_never(inspected)?;
    Ok(check_unannounced(inspected, adoption)?)
}

fn unannounced(definition: &Definition, kind: Kind) -> Refused {
    let (calls, verbs): (&[_], &[_]) = match kind {
        Kind::Insert => (&["insert", "insert_many"], &["insert_with_events", "insert_many_with_events"]),
        Kind::Upsert => (
            &["on_conflict"],
            &["insert_with_events(..).on_conflict(..)", "insert_many_with_events(..).on_conflict(..)"],
        ),
        Kind::Update => (&["update", "update_many"], &["update_with_events", "update_many_with_events"]),
        Kind::Delete => (
            &["delete", "delete_by_id", "delete_many"],
            &["delete_with_events", "delete_by_id_with_events", "delete_many_with_events"],
        ),
        _ => (&["WITH"], &["insert_many_with_events", "update_many_with_events", "delete_many_with_events"]),
    };
    Refused::Unannounced { table: definition.table(), calls, verbs }
}

/// Takes the announcements of this very statement: kind, table, keys, and how many values it binds.
///
/// An update is sent as it is announced, so what another write finds is stale. Rows of a junction table are announced
/// together, with whatever their hooks save in between, and where none come back SeaORM inserts them one by one.
pub(super) fn claim(
    announced: &mut Vec<Announcement>,
    inspected: &Inspected,
    statement: &Statement,
) -> Vec<Announcement> {
    let caller = Caller::current();
    let values = statement.values.as_ref().map(|values| values.0.as_slice()).unwrap_or_default();
    let is_mine = |announcement: &Announcement| {
        announcement.by == caller
            && announcement.kind == inspected.kind
            && matches!(inspected.written.as_slice(), [table] if announcement.definition().is_table(table))
            && has_key(announcement, values)
    };
    let (mut mine, mut others): (Vec<_>, Vec<_>) = std::mem::take(announced).into_iter().partition(is_mine);
    if let Some(alone) = mine.iter().position(|announcement| announcement.bound == values.len()) {
        let rest = mine.split_off(alone + 1);
        others.extend(mine.drain(..alone));
        others.extend(rest);
    } else if !are_together(&mine, values.len()) {
        others.append(&mut mine);
    }
    others.retain(|other| other.by != caller || other.kind != Kind::Update);
    *announced = others;
    mine
}

/// Whether one statement of so many values is of all these rows.
fn are_together(rows: &[Announcement], values: usize) -> bool {
    let count = rows.len();
    if count < 2 {
        return false; // one alone binds what it said
    }
    // Rows in one INSERT have the columns of all of them; the keys of rows in one DELETE follow one another.
    let each = values / count;
    let fits = |row: &Announcement| match row.kind {
        Kind::Insert => row.bound <= each,
        Kind::Delete => row.bound == each,
        _ => false,
    };
    values.is_multiple_of(count) && rows.iter().all(fits)
}

fn has_key(announcement: &Announcement, values: &[Value]) -> bool {
    let Some(key) = &announcement.key else { return true };
    if announcement.kind == Kind::Update {
        // The key stands in the condition, which comes last.
        return values.ends_with(key);
    }
    let count = |parts: &[Value], part: &Value| parts.iter().filter(|other| *other == part).count();
    key.iter().all(|part| count(values, part) >= count(key, part))
}

impl Definition {
    /// Whether a statement means this table. Some databases tell no upper from lower case, so neither does this; a
    /// schema counts where both name one.
    pub(crate) fn is_table(&self, table: &Table) -> bool {
        let same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
        same(self.table(), &table.name)
            && match (self.schema(), &table.schema) {
                (Some(own), Some(other)) => same(own, other),
                _ => true,
            }
    }
}
