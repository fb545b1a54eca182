//! What the generated `ActiveModelBehavior` calls: one line each there, everything else here.

use events_core::TeamScope;
use sea_orm::{
    ActiveModelTrait, ActiveValue, ConnectionTrait, DbBackend, DbErr, EntityTrait, IdenStatic, Iterable,
    PrimaryKeyToColumn, Value,
};

use crate::{
    adoption, backend,
    connection::EventConnection,
    error::Refused,
    record::{self, SaveOptions, Sizes},
    row_level_security::new_team::makes_team,
    saves, scope,
    tracked::{self, Definition, Field, RowImage, TeamSource, Tracked},
    transaction::{Announcement, Caller, EventTransaction, HookFuture, Kind},
    typed::downcast_ref,
    value,
};

type Model<A> = <<A as ActiveModelTrait>::Entity as EntityTrait>::Model;

/// Announces an insert or update.
pub fn before_save<'a, A, C>(active: A, db: &'a C, insert: bool) -> HookFuture<'a, A>
where
    A: ActiveModelTrait + Send + 'a,
    Model<A>: Tracked,
    C: ConnectionTrait,
{
    Box::pin(async move {
        let kind = if insert { Kind::Insert } else { Kind::Update };
        before(active, db, kind).await
    })
}

/// Announces a delete.
pub fn before_delete<'a, A, C>(active: A, db: &'a C) -> HookFuture<'a, A>
where
    A: ActiveModelTrait + Send + 'a,
    Model<A>: Tracked,
    C: ConnectionTrait,
{
    Box::pin(before(active, db, Kind::Delete))
}

/// Records in immediate mode; in a unit of work the statement itself was recorded.
pub fn after_save<'a, M, C>(model: M, db: &'a C, insert: bool) -> HookFuture<'a, M>
where
    M: Tracked + Send + 'a,
    C: ConnectionTrait,
{
    Box::pin(async move {
        if is_recorded_elsewhere(M::definition(), db)? {
            return Ok(model);
        }
        let kind = if insert { Kind::Insert } else { Kind::Update };
        let key = tracked::said_by(&model).key;
        scope::after(M::definition(), kind, &key, db).await?;
        Ok(model)
    })
}

/// As [`after_save`].
pub fn after_delete<'a, A, C>(active: A, db: &'a C) -> HookFuture<'a, A>
where
    A: ActiveModelTrait + Send + 'a,
    Model<A>: Tracked,
    C: ConnectionTrait,
{
    Box::pin(async move {
        let definition = Model::<A>::definition();
        if is_recorded_elsewhere(definition, db)? {
            return Ok(active);
        }
        let key = tracked::key_of(&active).unwrap_or_default();
        scope::after(definition, Kind::Delete, &key, db).await?;
        Ok(active)
    })
}

/// Whether an after-hook has nothing to do: in a unit of work, and where the before-hook let the save pass. Refuses
/// where no before-hook can have run.
fn is_recorded_elsewhere<C: ConnectionTrait>(
    definition: &'static Definition,
    db: &C,
) -> Result<bool, Refused> {
    if downcast_ref::<EventTransaction, C>(db).is_some() {
        return Ok(true);
    }
    if scope::is_active() {
        return Ok(false);
    }
    if downcast_ref::<EventConnection, C>(db).is_some_and(|db| db.events().adoption().is_some()) {
        return Ok(true);
    }
    if db.is_mock_connection() || adoption::may_have_passed(db) {
        return Ok(true);
    }
    Err(Refused::NoBeforeHook { object_type: definition.object_type() })
}

/// Poisons the unit of work if a user's own after-hook failed: the row is written by then.
pub fn after_hook<C, T>(db: &C, result: Result<T, DbErr>) -> Result<T, DbErr> {
    // The error itself is the caller's to read; quoted here it could carry a redacted value further.
    if let (Err(_), Some(txn)) = (&result, downcast_ref::<EventTransaction, C>(db)) {
        txn.poison("an after-hook failed");
    }
    result
}

async fn before<A, C>(mut active: A, db: &C, kind: Kind) -> Result<A, DbErr>
where
    A: ActiveModelTrait + Send,
    Model<A>: Tracked,
    C: ConnectionTrait,
{
    let definition = Model::<A>::definition();
    tracked::know(definition);
    if let Some(txn) = downcast_ref::<EventTransaction, C>(db) {
        draw_team_key(&mut active, kind, txn).await?;
        announce(&active, kind, saves::take_options(definition), txn)?;
        return Ok(active);
    }
    if scope::is_active() {
        let mut key = tracked::key_of(&active);
        check_values(&active, definition, kind)?;
        check_years(&active, definition, db.get_database_backend())?;
        check_key(&active, definition, kind, &key)?;
        if key.is_none() && makes_team(definition, kind, &scope::team(definition)?) {
            key = set_key(&mut active, scope::draw_team_key(definition, db).await?);
        }
        let (team, states) = (set_team(&active, definition), set_states(&active, definition));
        let sizes = sizes_of(&active, definition, kind);
        scope::before(definition, kind, key, team, &states, &sizes, db).await?;
        return Ok(active);
    }
    let object_type = definition.object_type();
    if let Some(connection) = downcast_ref::<EventConnection, C>(db) {
        let call = match kind {
            Kind::Insert => "create_with_event",
            Kind::Delete => "delete_with_event",
            _ => "update_with_event",
        };
        // Else the statement is let pass, and counted, as any other on that connection.
        if connection.events().adoption().is_none() {
            return Err(Refused::NeedsUnit { object_type, call }.into());
        }
    } else if db.is_mock_connection() || adoption::is_seed(db) {
        // Users' unit tests: nothing is stored, so nothing is lost. And seeds that are meant to leave no events.
    } else {
        adoption::refuse_on(db, object_type, Refused::NoContext { object_type }).await?;
    }
    Ok(active)
}

/// Announces the statement that SeaORM sends next. Nothing may come in between.
pub(crate) fn announce<A>(
    active: &A,
    kind: Kind,
    options: SaveOptions,
    txn: &EventTransaction,
) -> Result<(), DbErr>
where
    A: ActiveModelTrait,
    Model<A>: Tracked,
{
    let (definition, key) = (Model::<A>::definition(), tracked::key_of(active));
    check_values(active, definition, kind)?;
    check_years(active, definition, txn.backend())?;
    check_key(active, definition, kind, &key)?;
    check_team(active, definition, kind, &key, txn)?;
    let sizes = sizes_of(active, definition, kind);
    sizes.check(definition, kind, None, txn.events().event_limit())?;
    if let Some(bound) = bound_values(active, kind, key.as_ref()) {
        let by = Caller::current();
        txn.announce(Announcement { by, kind, definition, key, bound, options, sizes })?;
    }
    Ok(())
}

/// Sets the key of a new team's row, if the database's policies will ask for it before the row is there.
pub(crate) async fn draw_team_key<A>(active: &mut A, kind: Kind, txn: &EventTransaction) -> Result<(), DbErr>
where
    A: ActiveModelTrait,
    Model<A>: Tracked,
{
    let definition = Model::<A>::definition();
    if makes_team(definition, kind, &txn.team_scope()) && tracked::key_of(active).is_none() {
        set_key(active, txn.draw_team_key(definition).await?);
    }
    Ok(())
}

/// Sets the key that was drawn, and answers it.
fn set_key<A: ActiveModelTrait>(active: &mut A, drawn: Option<Value>) -> Option<Vec<Value>> {
    type PrimaryKey<A> = <<A as ActiveModelTrait>::Entity as EntityTrait>::PrimaryKey;
    let column = PrimaryKey::<A>::iter().next()?.into_column();
    active.set(column, drawn?);
    tracked::key_of(active)
}

/// How many values SeaORM's statement will bind. None if it will send none: a key is missing, or nothing is set.
fn bound_values<A: ActiveModelTrait>(active: &A, kind: Kind, key: Option<&Vec<Value>>) -> Option<usize> {
    type PrimaryKey<A> = <<A as ActiveModelTrait>::Entity as EntityTrait>::PrimaryKey;
    let columns = || <A::Entity as EntityTrait>::Column::iter();
    match kind {
        Kind::Insert => Some(columns().filter(|column| !active.get(*column).is_not_set()).count()),
        Kind::Update => {
            let plain = columns().filter(|column| PrimaryKey::<A>::from_column(*column).is_none());
            let set = plain.filter(|column| active.get(*column).is_set()).count();
            if set == 0 { None } else { Some(set + key?.len()) }
        }
        _ => Some(key?.len()),
    }
}

/// Refuses what could not be recorded while nothing is sent yet.
pub(crate) fn check_values<A: ActiveModelTrait>(
    active: &A,
    definition: &Definition,
    kind: Kind,
) -> Result<(), Refused> {
    if kind == Kind::Delete {
        return Ok(());
    }
    for column in <A::Entity as EntityTrait>::Column::iter() {
        if let ActiveValue::Set(value) = active.get(column) {
            check_value(definition, column.as_str(), &value)?;
        }
    }
    Ok(())
}

/// Refuses a date or time that the database does not hold, of the row or in its key.
pub(crate) fn check_years<A: ActiveModelTrait>(
    active: &A,
    definition: &Definition,
    backend: DbBackend,
) -> Result<(), Refused> {
    if backend != DbBackend::MySql {
        return Ok(());
    }
    for column in <A::Entity as EntityTrait>::Column::iter() {
        if let ActiveValue::Set(value) | ActiveValue::Unchanged(value) = active.get(column) {
            let what = |_| format!("`{}` of `{}`", column.as_str(), definition.object_type());
            backend::years::check(backend, [&value], what)?;
        }
    }
    Ok(())
}

/// How much of an event the new values take, where that is much.
pub(crate) fn sizes_of<A: ActiveModelTrait>(active: &A, definition: &Definition, kind: Kind) -> Sizes {
    let mut sizes = Sizes::default();
    if kind != Kind::Delete {
        for column in <A::Entity as EntityTrait>::Column::iter() {
            if let ActiveValue::Set(value) = active.get(column) {
                sizes.add(definition, column.as_str(), &value);
            }
        }
    }
    sizes
}

/// Refuses a new value of this column that cannot be recorded as it is.
pub(crate) fn check_value(definition: &Definition, column: &str, value: &Value) -> Result<(), Refused> {
    let checked = match value {
        Value::String(Some(text)) => value::no_nul(text),
        Value::Json(Some(json)) => value::check_json(json),
        Value::Char(Some(letter)) => value::no_nul(letter.encode_utf8(&mut [0; 4])),
        _ => return Ok(()),
    };
    let Err(source) = checked else { return Ok(()) };
    let recorded = |field: &&Field| field.column() == column && !field.is_redacted();
    match definition.fields().iter().find(recorded) {
        Some(field) => Err(definition.value_error(field.name(), source)),
        None => Ok(()),
    }
}

/// Refuses a key that cannot be stored as an object's identifier while nothing is sent yet, if there will be an event.
pub(crate) fn check_key<A: ActiveModelTrait>(
    active: &A,
    definition: &Definition,
    kind: Kind,
    key: &Option<Vec<Value>>,
) -> Result<(), Refused> {
    // Numbers and UUIDs are short.
    let is_long = |part: &Value| matches!(part, Value::String(_) | Value::Bytes(_) | Value::Json(_));
    let Some(key) = key.as_ref().filter(|key| key.iter().any(is_long)) else { return Ok(()) };
    if kind == Kind::Update {
        let is_tracked = |name: &str| definition.fields().iter().any(|field| field.column() == name);
        let mut columns = <A::Entity as EntityTrait>::Column::iter();
        if !columns.any(|column| active.get(column).is_set() && is_tracked(column.as_str())) {
            return Ok(());
        }
    }
    Ok(definition.object(key).check()?)
}

/// The team column's value as the caller set it, if at all.
fn set_team<A: ActiveModelTrait>(active: &A, definition: &Definition) -> Option<Value> {
    let TeamSource::Column(team) = definition.team() else { return None };
    set_value(active, team)
}

/// The enforced states as the caller set them, by the place of their field.
fn set_states<A: ActiveModelTrait>(active: &A, definition: &Definition) -> Vec<(usize, Value)> {
    let enforced = definition.fields().iter().enumerate().filter(|(_, field)| field.is_enforced());
    enforced.filter_map(|(place, field)| Some((place, set_value(active, field.column())?))).collect()
}

fn set_value<A: ActiveModelTrait>(active: &A, column: &str) -> Option<Value> {
    let column = <A::Entity as EntityTrait>::Column::iter().find(|other| other.as_str() == column)?;
    match active.get(column) {
        ActiveValue::Set(value) => Some(value),
        _ => None,
    }
}

/// Refuses a foreign team before anything is sent, where the caller's values tell it already.
pub(crate) fn check_team<A: ActiveModelTrait>(
    active: &A,
    definition: &'static Definition,
    kind: Kind,
    key: &Option<Vec<Value>>,
    txn: &EventTransaction,
) -> Result<(), Refused> {
    let (team, scope) = (set_team(active, definition), txn.team_scope());
    let is_insert = kind == Kind::Insert;
    if scope == TeamScope::New && !is_insert {
        return record::team_of(definition, &RowImage::said(key.as_deref(), team), &scope).map(drop);
    }
    // A tenant's own key is its team, and set in every update without being changed.
    let is_told = is_insert || (kind == Kind::Update && !definition.is_team());
    if definition.team() == TeamSource::Context || (is_told && team.is_some()) {
        let row = RowImage::said(key.as_deref(), team);
        let told = match is_insert {
            true => record::team_of_insert(definition, &row, &scope),
            false => record::team_of(definition, &row, &scope),
        };
        told.map_err(|refused| match refused {
            // Whosever the row is: of the context's team it would be moved, and of any other it is not to be touched.
            Refused::OtherTeam { object } if kind == Kind::Update => Refused::TeamChanged { object },
            refused => refused,
        })?;
    }
    Ok(())
}
