//! Which writes may pass: none that would leave a tracked row changed without its event.

use sea_orm::{DbBackend, DbErr, Statement, Value, sea_query::OptionEnum};

use super::{
    level::{Announcement, Caller},
    sql::Table,
    statement::{COMMENT, Inspected, Kind},
};
use crate::{
    adoption::{self, Adoption},
    backend::{self, tokens::Tokens},
    error::Refused,
    store,
    tracked::{self, Definition},
};

/// Refuses what nothing can excuse: the schema, and this library's own tables.
pub(crate) fn check_never(inspected: &Inspected, backend: DbBackend) -> Result<(), Refused> {
    let is_servers = |table: &Table| backend::is_servers_table(backend, table.schema.as_deref(), &table.name);
    if inspected.kind == Kind::Schema || inspected.written.iter().any(is_servers) {
        return Err(Refused::Schema);
    }
    let own = |table: &str| Err(Refused::OwnTable { table: table.to_owned() });
    if let Some(table) = inspected.written.iter().find(|table| store::is_own_table(&table.name)) {
        return own(&table.name);
    }
    match inspected.mentions {
        Some(table) if inspected.kind == Kind::Code => own(table),
        _ => Ok(()),
    }
}

/// Refuses a write that no hook announced, if it could touch a tracked table.
pub(crate) fn check_unannounced(inspected: &Inspected, adoption: Option<&Adoption>) -> Result<(), Refused> {
    match inspected.kind {
        Kind::Raw | Kind::Code => return adoption::refuse(adoption, "raw SQL", Refused::RawSql),
        Kind::Unknown => {
            // While an application is adopted it may pass, but not to these.
            if let (Some(_), Some(table)) = (adoption, inspected.mentions) {
                return Err(Refused::OwnTable { table: table.to_owned() });
            }
            return adoption::refuse(adoption, "raw SQL", unknown(inspected));
        }
        _ => {}
    }
    check_tables(&inspected.written, inspected.kind, adoption)?;
    if inspected.calls.is_some() {
        return adoption::refuse(adoption, "raw SQL", unknown(inspected));
    }
    Ok(())
}

/// Refuses a write of this kind to any of these tables that is tracked.
pub(crate) fn check_tables(tables: &[Table], kind: Kind, adoption: Option<&Adoption>) -> Result<(), Refused> {
    for definition in tables.iter().filter_map(tracked::find) {
        adoption::refuse(adoption, definition.object_type(), unannounced(definition, kind))?;
    }
    Ok(())
}

/// Refuses what may not even pass in `untracked`: what is not known, and code where nobody can tell what it did.
pub(super) fn check_untracked(inspected: &Inspected, backend: DbBackend) -> Result<(), Refused> {
    if inspected.kind == Kind::Unknown || (inspected.is_opaque() && !backend::counts_writes(backend)) {
        return Err(unknown(inspected));
    }
    Ok(())
}

/// Refuses a statement with a date or time that the database does not hold, where the driver would lose its place as well.
pub(crate) fn check_years(statement: &Statement) -> Result<(), Refused> {
    let values = statement.values.iter().flat_map(|values| &values.0);
    let what = |place| format!("value {} of a statement", place + 1);
    backend::years::check(statement.db_backend, values, what)
}

/// Refuses a statement whose values are not as many as its placeholders, where the driver would lose its place on the
/// connection, and everything sent on it afterwards would wait for ever.
pub(crate) fn check_values(statement: &Statement) -> Result<(), Refused> {
    check_years(statement)?;
    if !backend::counts_values(statement.db_backend) {
        return Ok(());
    }
    let mut tokens = Tokens::new(statement.db_backend, &statement.sql);
    let placeholders = tokens.by_ref().filter(|token| token.is_symbol(b'?')).count();
    let values = statement.values.as_ref().map_or(0, |values| values.0.len());
    if placeholders == values || tokens.is_uncertain() {
        return Ok(());
    }
    Err(Refused::UnknownSql { why: format!("it has {placeholders} placeholders and {values} values") })
}

/// Refuses the text of a tracked verb unless it asks, or writes one tracked table alone.
pub(super) fn check_tracked_verb(inspected: &Inspected) -> Result<(), Refused> {
    if inspected.has_comment {
        return Err(Refused::UnknownSql { why: COMMENT.to_owned() });
    }
    let writes_one = inspected.kind == Kind::Raw
        && inspected.calls.is_none()
        && matches!(inspected.written.as_slice(), [table] if tracked::find(table).is_some());
    if writes_one || inspected.kind == Kind::Read { Ok(()) } else { Err(unknown(inspected)) }
}

/// Everything that passes on a pool, where nothing is announced.
pub(crate) fn check_on_pool(
    inspected: &Inspected,
    backend: DbBackend,
    adoption: Option<&Adoption>,
) -> Result<(), DbErr> {
    check_never(inspected, backend)?;
    Ok(check_unannounced(inspected, adoption)?)
}

fn unknown(inspected: &Inspected) -> Refused {
    let why = match (&inspected.calls, inspected.why) {
        (Some(function), _) => format!("it calls `{function}`, which is not known to only read"),
        (None, "") if inspected.kind == Kind::Code => "it runs code that nobody looks into".to_owned(),
        (None, "") => "it may write other tables than it should".to_owned(),
        (None, why) => why.to_owned(),
    };
    Refused::UnknownSql { why }
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
        let last = values.len().checked_sub(key.len()).map(|at| &values[at..]);
        return last.is_some_and(|last| key.iter().zip(last).all(|(part, value)| is_bound_as(part, value)));
    }
    key.iter().all(|part| {
        let bound = values.iter().filter(|value| is_bound_as(part, value)).count();
        bound >= key.iter().filter(|other| *other == part).count()
    })
}

/// Whether a part of a key is bound as this value. To PostgreSQL an enum is sent as text, with its type beside it.
fn is_bound_as(part: &Value, value: &Value) -> bool {
    match (part, value) {
        (Value::Enum(OptionEnum::Some(part)), Value::String(Some(text))) => part.value == text.as_str(),
        _ => part == value,
    }
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
