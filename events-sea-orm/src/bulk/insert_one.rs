//! `insert_with_events`.

use sea_orm::{
    ActiveModelTrait, ConnectionTrait, DbBackend, DbErr, ExecResult, Insert, InsertResult, Inserter,
    IntoActiveModel, QueryResult, Statement, StatementBuilder,
    sea_query::{InsertStatement, IntoValueTuple, OnConflict, SelectStatement},
};

use super::{Key, Model, check_options, insert::InsertMany, options};
use crate::{
    hooks,
    record::SaveOptions,
    saves::Target,
    tracked::{self, Tracked},
    transaction::{EventTransaction, Kind},
    typed::downcast_ref,
};

/// A tracked `Entity::insert`, made by [`EntityEvents`](super::EntityEvents).
#[must_use = "nothing is inserted until it is run"]
pub struct InsertOne<A> {
    active: A,
    on_conflict: Option<OnConflict>,
    options: SaveOptions,
}

impl<A> std::fmt::Debug for InsertOne<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the model: it may hold redacted values.
        f.debug_struct("InsertOne").field("options", &self.options).finish_non_exhaustive()
    }
}

impl<A: ActiveModelTrait> InsertOne<A>
where
    Model<A>: Tracked + IntoActiveModel<A>,
{
    options!();

    pub(super) fn new(active: A) -> Self {
        Self { active, on_conflict: None, options: SaveOptions::default() }
    }

    /// Keeps or updates a row that is there already, as [`InsertMany::on_conflict`].
    pub fn on_conflict(mut self, on_conflict: OnConflict) -> Self {
        self.on_conflict = Some(on_conflict);
        self
    }

    /// Inserts, and answers the key.
    ///
    /// # Errors
    /// [`DbErr::RecordNotInserted`] if the row is there already and is kept. A [`Refused`](crate::Refused) for a row of
    /// another team and for values that cannot be recorded, before anything is inserted; else the database's, and the
    /// unit of work is poisoned.
    pub async fn exec<'a>(self, db: impl Into<Target<'a>>) -> Result<InsertResult<A>, DbErr> {
        check_options::<Model<A>>(&self.options)?;
        let unit = db.into().open().await?;
        let inserted = match self.on_conflict {
            None => self.exec_plain(unit.transaction()).await,
            Some(_) => self.exec_upsert(unit.transaction()).await,
        };
        unit.close(inserted).await
    }

    /// Inserts, and answers the row as the database holds it.
    ///
    /// # Errors
    /// As [`exec`](Self::exec).
    pub async fn exec_with_returning<'a>(self, db: impl Into<Target<'a>>) -> Result<Model<A>, DbErr> {
        if self.on_conflict.is_some() {
            let rows = self.into_many().exec_with_returning(db).await?;
            return rows.into_iter().next_back().ok_or(DbErr::RecordNotInserted);
        }
        check_options::<Model<A>>(&self.options)?;
        let unit = db.into().open().await?;
        let inserted = self.exec_plain_with_returning(unit.transaction()).await;
        unit.close(inserted).await
    }

    /// Inserts, and tells how many rows came or were updated.
    ///
    /// # Errors
    /// As [`exec`](Self::exec), but that a row which is kept is none: the answer is 0.
    pub async fn exec_without_returning<'a>(self, db: impl Into<Target<'a>>) -> Result<u64, DbErr> {
        if self.on_conflict.is_some() {
            return self.into_many().exec_without_returning(db).await;
        }
        self.exec(db).await.map(|_| 1)
    }

    fn into_many(self) -> InsertMany<A> {
        InsertMany::of(vec![self.active], self.on_conflict, self.options)
    }

    async fn exec_plain(mut self, txn: &EventTransaction) -> Result<InsertResult<A>, DbErr> {
        hooks::draw_team_key(&mut self.active, Kind::Insert, txn).await?;
        let insert = announced(self.active, self.options, txn)?;
        insert.exec(&Answers { txn, ask: Ask::Insert(widen::<A>) }).await
    }

    async fn exec_plain_with_returning(mut self, txn: &EventTransaction) -> Result<Model<A>, DbErr> {
        hooks::draw_team_key(&mut self.active, Kind::Insert, txn).await?;
        announced(self.active, self.options, txn)?.exec_with_returning(txn).await
    }

    async fn exec_upsert(self, txn: &EventTransaction) -> Result<InsertResult<A>, DbErr> {
        let mut keys = self.into_many().exec_with_returning_keys(txn).await?;
        inserted(keys.pop(), txn).await
    }
}

/// SeaORM's own insert, announced to the unit: to be sent before anything is awaited.
fn announced<A: ActiveModelTrait>(
    active: A,
    options: SaveOptions,
    txn: &EventTransaction,
) -> Result<Insert<A>, DbErr>
where
    Model<A>: Tracked,
{
    tracked::know(Model::<A>::definition());
    hooks::announce(&active, Kind::Insert, options, txn)?;
    Ok(Insert::one(active))
}

/// What SeaORM answers of an insert whose last row has this key. Nobody but SeaORM can make an [`InsertResult`], and it
/// makes one of a row that it reads, so the row is read once more.
pub(super) async fn inserted<A: ActiveModelTrait>(
    key: Option<Key<A>>,
    txn: &EventTransaction,
) -> Result<InsertResult<A>, DbErr>
where
    Model<A>: Tracked,
{
    let key = key.ok_or(DbErr::RecordNotInserted)?;
    let key: Vec<_> = key.into_value_tuple().into_iter().collect();
    let select = Model::<A>::definition().select_row(&key);
    let answers = Answers { txn, ask: Ask::Written(Box::new(select)) };
    Inserter::new(None, InsertStatement::new()).exec(&answers).await
}

/// SeaORM has the key alone returned; the event needs the row.
fn widen<A: ActiveModelTrait>(insert: &InsertStatement) -> InsertStatement
where
    Model<A>: Tracked,
{
    let mut insert = insert.clone();
    insert.returning(Model::<A>::definition().returning(false));
    insert
}

/// A unit of work on which SeaORM's own code makes its answer of an insert.
struct Answers<'a> {
    txn: &'a EventTransaction,
    ask: Ask,
}

enum Ask {
    /// Sends the insert with all columns returned.
    Insert(fn(&InsertStatement) -> InsertStatement),
    /// The row is written: it is read in place of the insert.
    Written(Box<SelectStatement>),
}

#[async_trait::async_trait]
impl ConnectionTrait for Answers<'_> {
    fn get_database_backend(&self) -> DbBackend {
        self.txn.get_database_backend()
    }

    fn support_returning(&self) -> bool {
        matches!(self.ask, Ask::Written(_)) || self.txn.support_returning()
    }

    async fn execute_raw(&self, stmt: Statement) -> Result<ExecResult, DbErr> {
        self.txn.execute_raw(stmt).await
    }

    async fn execute<S: StatementBuilder>(&self, stmt: &S) -> Result<ExecResult, DbErr> {
        self.txn.execute(stmt).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.txn.execute_unprepared(sql).await
    }

    async fn query_one_raw(&self, stmt: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.txn.query_one_raw(stmt).await
    }

    async fn query_one<S: StatementBuilder>(&self, stmt: &S) -> Result<Option<QueryResult>, DbErr> {
        self.txn.query_one(stmt).await
    }

    async fn query_all_raw(&self, stmt: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.txn.query_all_raw(stmt).await
    }

    async fn query_all<S: StatementBuilder>(&self, stmt: &S) -> Result<Vec<QueryResult>, DbErr> {
        match (&self.ask, downcast_ref::<InsertStatement, S>(stmt)) {
            (Ask::Insert(widen), Some(insert)) => self.txn.query_all(&widen(insert)).await,
            (Ask::Written(select), Some(_)) => self.txn.query_all(select.as_ref()).await,
            (_, None) => self.txn.query_all(stmt).await,
        }
    }
}
