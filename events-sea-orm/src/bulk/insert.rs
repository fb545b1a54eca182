//! `insert_many_with_events`.

use futures_util::future::join;
use sea_orm::{
    ActiveModelTrait, DbErr, EntityTrait, InsertManyResult, QueryTrait, Value,
    sea_query::{InsertStatement, OnConflict},
};

use super::{
    Key, MAX_BINDS, Model,
    call::{Call, Row, Wanted, Written},
    check_options,
    keys::by_object,
    options,
    upsert::{Action, Changed},
};
use crate::{
    error::Refused,
    hooks,
    record::{Change, SaveOptions},
    saves::Target,
    tracked::{self, Tracked},
    transaction::{EventTransaction, Kind},
};

/// A tracked `insert_many`, made by [`EntityEvents`](super::EntityEvents).
#[must_use = "nothing is inserted until it is run"]
pub struct InsertMany<A> {
    models: Vec<A>,
    on_conflict: Option<OnConflict>,
    options: SaveOptions,
}

impl<A> std::fmt::Debug for InsertMany<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the models: they may hold redacted values.
        f.debug_struct("InsertMany").field("rows", &self.models.len()).finish_non_exhaustive()
    }
}

/// How many rows are inserted at once: few enough that the first are soon recorded while others are written.
const CHUNK: usize = 1_000;

/// How many rows are recorded between two looks at what the database has answered.
const AT_A_TIME: usize = 32;

impl<A: ActiveModelTrait> InsertMany<A>
where
    Model<A>: Tracked,
{
    options!();

    pub(super) fn new(models: Vec<A>) -> Self {
        Self::of(models, None, SaveOptions::default())
    }

    pub(super) fn of(models: Vec<A>, on_conflict: Option<OnConflict>, options: SaveOptions) -> Self {
        Self { models, on_conflict, options }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.models.is_empty()
    }

    /// Keeps or updates rows that are there already, as SeaORM's own: CREATED for rows that came, what changed for rows
    /// that were updated, nothing for rows that stay as they were.
    ///
    /// The columns by which a row is found to be there are those of `OnConflict::columns`; they are needed for an
    /// update. With `do_nothing` and no columns they are the key.
    pub fn on_conflict(mut self, on_conflict: OnConflict) -> Self {
        self.on_conflict = Some(on_conflict);
        self
    }

    /// Inserts, and answers the key of the last row that came or was updated. Of no rows, nothing is sent.
    ///
    /// As with SeaORM's own, a column that is set in some rows and not in others is NULL in the others.
    ///
    /// # Errors
    /// [`DbErr::RecordNotInserted`] if all rows are there already and are kept. A [`Refused`] for rows of another team
    /// and for values that cannot be recorded, before anything is inserted; else the database's, and the unit of work is
    /// poisoned. So it is by an upsert whose rows somebody else wrote in the same moment ([`Refused::UnexpectedRow`]):
    /// try again.
    pub async fn exec<'a>(self, db: impl Into<Target<'a>>) -> Result<InsertManyResult<A>, DbErr> {
        let target = db.into();
        // Nobody but SeaORM can make the result, and of no rows it asks no database.
        let mut result = sea_orm::Insert::<A>::many::<A, _>([]).exec(target.events().pool()).await?;
        if self.is_empty() {
            return Ok(result);
        }
        let last = |inserted: Written| inserted.keys::<A::Entity>()?.pop().ok_or(DbErr::RecordNotInserted);
        let unit = target.open().await?;
        let inserted = self.insert_in(unit.transaction(), Wanted::LastKey).await;
        result.last_insert_id = Some(last(unit.close(inserted).await?)?);
        Ok(result)
    }

    /// Inserts, and tells how many rows came or were updated. Of no rows, nothing is sent.
    ///
    /// # Errors
    /// As [`exec`](Self::exec), but that rows which are kept are none: they are not counted.
    pub async fn exec_without_returning<'a>(self, db: impl Into<Target<'a>>) -> Result<u64, DbErr> {
        if self.is_empty() {
            return Ok(0);
        }
        let unit = db.into().open().await?;
        let inserted = self.insert_in(unit.transaction(), Wanted::Nothing).await;
        Ok(unit.close(inserted).await?.count)
    }

    /// Inserts, and answers the keys of the rows that came or were updated.
    ///
    /// # Errors
    /// As [`exec_without_returning`](Self::exec_without_returning).
    pub async fn exec_with_returning_keys<'a>(self, db: impl Into<Target<'a>>) -> Result<Vec<Key<A>>, DbErr> {
        if self.is_empty() {
            return Ok(Vec::new());
        }
        let unit = db.into().open().await?;
        let inserted = self.insert_in(unit.transaction(), Wanted::Keys).await;
        unit.close(inserted.and_then(Written::keys::<A::Entity>)).await
    }

    /// Inserts, and answers the rows as the database holds them. They are all held in memory.
    ///
    /// # Errors
    /// As [`exec_without_returning`](Self::exec_without_returning); SeaORM's if a row is no model. In a unit of work the rows
    /// are inserted and recorded then, and the unit can go on; on a connection nothing is inserted.
    pub async fn exec_with_returning<'a>(self, db: impl Into<Target<'a>>) -> Result<Vec<Model<A>>, DbErr> {
        if self.is_empty() {
            return Ok(Vec::new());
        }
        let unit = db.into().open().await?;
        let inserted = self.insert_in(unit.transaction(), Wanted::Rows).await;
        unit.close(inserted.and_then(Written::models::<A::Entity>)).await
    }

    async fn insert_in(self, txn: &EventTransaction, wanted: Wanted) -> Result<Written, DbErr> {
        check_options::<Model<A>>(&self.options)?;
        let Self { mut models, on_conflict, options } = self;
        let action = on_conflict.as_ref().map(Action::new).transpose()?;
        if let Some(action) = &action {
            models = action.check(models)?;
        }
        if models.is_empty() {
            return Ok(Written::default());
        }
        insert_in(txn, models, action, &options, wanted).await
    }
}

async fn insert_in<A: ActiveModelTrait>(
    txn: &EventTransaction,
    models: Vec<A>,
    action: Option<Action<A>>,
    options: &SaveOptions,
    wanted: Wanted,
) -> Result<Written, DbErr>
where
    Model<A>: Tracked,
{
    let definition = Model::<A>::definition();
    tracked::know(definition);
    for model in &models {
        let key = tracked::key_of(model);
        hooks::check_values(model, definition, Kind::Insert)?;
        hooks::check_years(model, definition, txn.backend())?;
        hooks::check_key(model, definition, Kind::Insert, &key)?;
        hooks::check_team(model, definition, Kind::Insert, &key, txn)?;
        let sizes = hooks::sizes_of(model, definition, Kind::Insert);
        sizes.check(definition, Kind::Insert, None, txn.events().event_limit())?;
    }
    if let Some(action) = &action {
        action.check_places(txn.backend(), &models)?;
    }
    let busy = txn.begin_bulk().await?;
    let call = Call { txn, busy: &busy, definition, options, wanted };
    let doubt = txn.doubt_bulk();
    let mut inserted = Written::default();
    let written = write_all(&call, models, action, &mut inserted).await;
    txn.end_bulk(definition, written, doubt).map(|()| inserted)
}

async fn write_all<A: ActiveModelTrait>(
    call: &Call<'_>,
    models: Vec<A>,
    action: Option<Action<A>>,
    inserted: &mut Written,
) -> Result<(), DbErr>
where
    Model<A>: Tracked,
{
    let mut chunks = chunks(models).into_iter();
    let mut written = Vec::new();
    loop {
        let next = chunks.next();
        let is_last = next.is_none();
        let write = async {
            call.txn.spill(call.busy).await?;
            match (next, &action) {
                (Some(chunk), Some(action)) => action.write(call, chunk).await,
                (Some(chunk), None) => {
                    let rows = write(call, chunk).await?.into_iter();
                    Ok(rows.map(|new| Changed { old: None, new }).collect())
                }
                (None, _) => Ok(Vec::new()),
            }
        };
        // The database writes a chunk while the events of the one before are made.
        let (next_written, recorded) = join(write, record_chunk(call, written, inserted)).await;
        recorded?;
        written = next_written?;
        if is_last {
            return call.txn.spill(call.busy).await;
        }
    }
}

/// Records some rows at a time: what is on its way meanwhile goes on in between.
async fn record_chunk(call: &Call<'_>, written: Vec<Changed>, inserted: &mut Written) -> Result<(), DbErr> {
    let recorder = call.recorder()?;
    // By value: a reference that is kept over the wait would ask rows to be `Sync`.
    let mut written = written.into_iter();
    while written.len() > 0 {
        for Changed { old, new } in written.by_ref().take(AT_A_TIME) {
            match &old {
                Some(old) => call.record_update(&recorder, old, &new.image)?,
                None => call.txn.record(&recorder, Change::Created(&new.image))?,
            }
            inserted.push(new, call.wanted);
        }
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// Rows in chunks that one statement can bind; rows with a key and rows without one apart, since where nothing is
/// returned their keys are found in different ways.
fn chunks<A: ActiveModelTrait>(models: Vec<A>) -> Vec<Vec<A>>
where
    Model<A>: Tracked,
{
    let size = CHUNK.min(MAX_BINDS / Model::<A>::definition().width().max(1)).max(1);
    let mut chunks: Vec<(bool, Vec<A>)> = Vec::new();
    for model in models {
        let has_key = tracked::key_of(&model).is_some();
        match chunks.last_mut() {
            Some((keyed, chunk)) if *keyed == has_key && chunk.len() < size => chunk.push(model),
            _ => chunks.push((has_key, vec![model])),
        }
    }
    chunks.into_iter().map(|(_, chunk)| chunk).collect()
}

/// Inserts these rows, and answers what the database made of them.
pub(super) async fn write<A: ActiveModelTrait>(call: &Call<'_>, models: Vec<A>) -> Result<Vec<Row>, DbErr>
where
    Model<A>: Tracked,
{
    let count = models.len();
    let keys: Option<Vec<Vec<Value>>> = models.iter().map(tracked::key_of).collect();
    let insert: InsertStatement = A::Entity::insert_many(models).into_query();
    send(call, insert, keys.map(|keys| keys.concat()), count).await
}

async fn send(
    call: &Call<'_>,
    mut insert: InsertStatement,
    keys: Option<Vec<Value>>,
    count: usize,
) -> Result<Vec<Row>, DbErr> {
    let definition = call.definition;
    let unexpected = || DbErr::from(Refused::UnexpectedRow { object_type: definition.object_type() });
    let rows = if call.txn.backend().support_returning() {
        insert.returning(definition.returning(call.is_whole()));
        call.rows(call.query(&insert).await?)?
    } else {
        let result = call.txn.execute_own(call.busy, call.build(&insert), count, definition).await?;
        let keys = match keys {
            Some(keys) => keys,
            // The database counts up by one for each row of a plain INSERT.
            None => definition.counted_keys(result.last_insert_id(), count).ok_or_else(unexpected)?,
        };
        let mut select = call.select();
        select.cond_where(definition.has_key(&keys));
        let mut by_object = by_object(definition, call.rows(call.query(&select).await?)?);
        let objects = keys.chunks(definition.key_columns().len().max(1)).map(|key| definition.object_id(key));
        objects.filter_map(|object| by_object.remove(&object)).collect()
    };
    if rows.len() == count { Ok(rows) } else { Err(unexpected()) }
}
