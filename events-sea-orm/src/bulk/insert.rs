//! `insert_many_with_events`.

use futures_util::future::join;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, DbErr, EntityTrait, FromQueryResult, InsertManyResult, Iterable,
    ModelTrait, PrimaryKeyTrait, QueryFilter, QueryTrait, StatementBuilder, TryFromU64, Value,
    sea_query::{Expr, FromValueTuple, InsertStatement, IntoValueTuple, OnConflict, Query, ReturningClause},
};

use super::{
    MAX_BINDS, check_options,
    keys::{arity, by_object, has_key, read},
    options,
    upsert::{Action, Written},
};
use crate::{
    error::Refused,
    hooks,
    record::{self, Change, SaveOptions},
    saves::Target,
    tracked::{self, RowImage, Tracked},
    transaction::{Busy, EventTransaction, Kind},
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

type Model<A> = <<A as ActiveModelTrait>::Entity as EntityTrait>::Model;

/// What SeaORM takes the key of such a row for.
type Key<A> = <<<A as ActiveModelTrait>::Entity as EntityTrait>::PrimaryKey as PrimaryKeyTrait>::ValueType;

fn key_of<M: ModelTrait>(row: &M) -> <<M::Entity as EntityTrait>::PrimaryKey as PrimaryKeyTrait>::ValueType {
    FromValueTuple::from_value_tuple(row.get_primary_key_value())
}

/// All columns of the written rows.
pub(super) fn all_columns<E: EntityTrait>() -> ReturningClause {
    let columns = E::Column::iter().map(|column| column.select_as(Expr::col(column.as_column_ref())));
    Query::returning().exprs(columns)
}

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
        let mut last = None;
        self.insert(target, |rows| last = rows.last().map(key_of).or(last.take())).await?;
        result.last_insert_id = Some(last.ok_or(DbErr::RecordNotInserted)?);
        Ok(result)
    }

    /// Inserts, and tells how many rows came or were updated. Of no rows, nothing is sent.
    ///
    /// # Errors
    /// As [`exec`](Self::exec), but that rows which are kept are none: they are not counted.
    pub async fn exec_without_returning<'a>(self, db: impl Into<Target<'a>>) -> Result<u64, DbErr> {
        let mut count = 0;
        self.insert(db.into(), |rows| count += rows.len() as u64).await?;
        Ok(count)
    }

    /// Inserts, and answers the keys of the rows that came or were updated.
    ///
    /// # Errors
    /// As [`exec_without_returning`](Self::exec_without_returning).
    pub async fn exec_with_returning_keys<'a>(self, db: impl Into<Target<'a>>) -> Result<Vec<Key<A>>, DbErr> {
        let mut keys = Vec::with_capacity(self.models.len());
        self.insert(db.into(), |rows| keys.extend(rows.iter().map(key_of))).await?;
        Ok(keys)
    }

    /// Inserts, and answers the rows as the database holds them. They are all held in memory.
    ///
    /// # Errors
    /// As [`exec_without_returning`](Self::exec_without_returning).
    pub async fn exec_with_returning<'a>(self, db: impl Into<Target<'a>>) -> Result<Vec<Model<A>>, DbErr> {
        let mut inserted = Vec::with_capacity(self.models.len());
        self.insert(db.into(), |rows| inserted.extend(rows)).await?;
        Ok(inserted)
    }

    async fn insert(self, target: Target<'_>, inserted: impl FnMut(Vec<Model<A>>)) -> Result<(), DbErr> {
        check_options::<Model<A>>(&self.options)?;
        let Self { mut models, on_conflict, options } = self;
        let action = on_conflict.as_ref().map(Action::new).transpose()?;
        if let Some(action) = &action {
            models = action.check(models)?;
        }
        if models.is_empty() {
            return Ok(());
        }
        let unit = target.open().await?;
        let done = insert_in(unit.transaction(), models, action, &options, inserted).await;
        unit.close(done).await
    }
}

async fn insert_in<A: ActiveModelTrait>(
    txn: &EventTransaction,
    models: Vec<A>,
    action: Option<Action<A>>,
    options: &SaveOptions,
    inserted: impl FnMut(Vec<Model<A>>),
) -> Result<(), DbErr>
where
    Model<A>: Tracked,
{
    let definition = Model::<A>::definition();
    tracked::know(definition);
    for model in &models {
        hooks::check_values(model, definition, Kind::Insert)?;
        hooks::check_team(model, definition, Kind::Insert, &tracked::key_of(model), txn)?;
    }
    if let Some(action) = &action {
        action.check_places(txn.backend(), &models)?;
    }
    let busy = txn.begin_bulk().await?;
    let doubt = txn.doubt_bulk();
    let written = write_all(txn, &busy, models, action, options, inserted).await;
    txn.end_bulk(definition, written, doubt)
}

async fn write_all<A: ActiveModelTrait>(
    txn: &EventTransaction,
    busy: &Busy,
    models: Vec<A>,
    action: Option<Action<A>>,
    options: &SaveOptions,
    mut inserted: impl FnMut(Vec<Model<A>>),
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
            txn.spill(busy).await?;
            match next {
                Some(chunk) => write_chunk(txn, busy, &action, chunk).await,
                None => Ok(Vec::new()),
            }
        };
        // The database writes a chunk while the events of the one before are made.
        let (next_written, recorded) = join(write, record_chunk(txn, options, written)).await;
        inserted(recorded?);
        written = next_written?;
        if is_last {
            return txn.spill(busy).await;
        }
    }
}

async fn write_chunk<A: ActiveModelTrait>(
    txn: &EventTransaction,
    busy: &Busy,
    action: &Option<Action<A>>,
    chunk: Vec<A>,
) -> Result<Vec<Written<Model<A>>>, DbErr>
where
    Model<A>: Tracked,
{
    if let Some(action) = action {
        return action.write(txn, busy, chunk).await;
    }
    Ok(write(txn, busy, chunk).await?.into_iter().map(|new| Written { old: None, new }).collect())
}

/// Records some rows at a time: what is on its way meanwhile goes on in between. Answers the rows as they are.
async fn record_chunk<M: Tracked>(
    txn: &EventTransaction,
    options: &SaveOptions,
    written: Vec<Written<M>>,
) -> Result<Vec<M>, DbErr> {
    let definition = M::definition();
    let recorder = txn.recorder(definition, options)?;
    let mut rows = Vec::with_capacity(written.len());
    // By value: a reference that is kept over the wait would ask models to be `Sync`.
    let mut written = written.into_iter();
    while written.len() > 0 {
        for Written { old, new } in written.by_ref().take(AT_A_TIME) {
            let image = RowImage::of(&new);
            match old.as_ref().map(RowImage::of) {
                Some(old) => {
                    record::same_team(definition, &old, &image)?;
                    txn.record(&recorder, Change::Updated(&old, &image))?;
                }
                None => txn.record(&recorder, Change::Created(&image))?,
            }
            rows.push(new);
        }
        tokio::task::yield_now().await;
    }
    Ok(rows)
}

/// Rows in chunks that one statement can bind; rows with a key and rows without one apart, since where nothing is
/// returned their keys are found in different ways.
fn chunks<A: ActiveModelTrait>(models: Vec<A>) -> Vec<Vec<A>> {
    let columns = <A::Entity as EntityTrait>::Column::iter().count();
    let size = CHUNK.min(MAX_BINDS / columns.max(1)).max(1);
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
pub(super) async fn write<A: ActiveModelTrait>(
    txn: &EventTransaction,
    busy: &Busy,
    models: Vec<A>,
) -> Result<Vec<Model<A>>, DbErr>
where
    Model<A>: Tracked,
{
    let count = models.len();
    let definition = Model::<A>::definition();
    let unexpected = || DbErr::from(Refused::UnexpectedRow { object_type: definition.object_type() });
    let keys: Option<Vec<Value>> =
        models.iter().map(tracked::key_of).collect::<Option<Vec<_>>>().map(|keys| keys.concat());
    let mut insert: InsertStatement = A::Entity::insert_many(models).into_query();
    let rows = if txn.backend().support_returning() {
        insert.returning(all_columns::<A::Entity>());
        let rows = txn.query_own(busy, StatementBuilder::build(&insert, &txn.backend())).await?;
        rows.iter().map(|row| Model::<A>::from_query_result(row, "")).collect::<Result<Vec<_>, _>>()?
    } else {
        let insert = StatementBuilder::build(&insert, &txn.backend());
        let result = txn.execute_own(busy, insert, count, definition).await?;
        let keys = match keys {
            Some(keys) => keys,
            // The database counts up by one for each row of a plain INSERT.
            None => counted::<A>(result.last_insert_id(), count).ok_or_else(unexpected)?,
        };
        let select = A::Entity::find().filter(has_key::<A::Entity>(&keys)).into_query();
        let mut by_object = by_object(read::<A::Entity>(txn, busy, &select).await?);
        let objects = keys.chunks(arity::<A::Entity>()).map(|key| definition.object(key).object_id);
        objects.filter_map(|object| by_object.remove(&object)).collect()
    };
    if rows.len() == count { Ok(rows) } else { Err(unexpected()) }
}

/// The keys that the database made, from the first of them.
fn counted<A: ActiveModelTrait>(first: u64, count: usize) -> Option<Vec<Value>> {
    let key =
        |n: u64| Some(Key::<A>::try_from_u64(first.checked_add(n)?).ok()?.into_value_tuple().into_iter());
    (0..count as u64).map(key).collect::<Option<Vec<_>>>().map(|keys| keys.into_iter().flatten().collect())
}
