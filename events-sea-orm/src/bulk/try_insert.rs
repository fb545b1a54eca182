//! Inserts that take a row which is there already for no error: SeaORM's `TryInsert`.

use sea_orm::{
    ActiveModelTrait, DbErr, EntityTrait, InsertResult, IntoActiveModel, Iterable, TryInsertResult,
    sea_query::OnConflict,
};

use super::{InsertMany, InsertOne, Key, Model, insert_one::inserted};
use crate::{saves::Target, tracked::Tracked};

/// An insert that answers [`TryInsertResult::Conflicted`] where the row is there already and is kept.
///
/// Made by `on_conflict_do_nothing()`, `on_conflict_do_nothing_on(columns)` and `try_insert()` of an [`InsertOne`] or
/// [`InsertMany`].
#[derive(Debug)]
#[must_use = "nothing is inserted until it is run"]
pub struct TryInsert<I>(I);

type Column<A> = <<A as ActiveModelTrait>::Entity as EntityTrait>::Column;
type PrimaryKey<A> = <<A as ActiveModelTrait>::Entity as EntityTrait>::PrimaryKey;

/// What SeaORM's `TryInsert` makes of an insert's answer.
fn tried<T>(inserted: Result<T, DbErr>) -> Result<TryInsertResult<T>, DbErr> {
    match inserted {
        Ok(inserted) => Ok(TryInsertResult::Inserted(inserted)),
        Err(DbErr::RecordNotInserted) => Ok(TryInsertResult::Conflicted),
        Err(error) => Err(error),
    }
}

/// The same of an insert of many rows, which may be none.
async fn tried_unless<T>(
    is_empty: bool,
    insert: impl Future<Output = Result<T, DbErr>>,
) -> Result<TryInsertResult<T>, DbErr> {
    if is_empty { Ok(TryInsertResult::Empty) } else { tried(insert.await) }
}

fn do_nothing_on<A: ActiveModelTrait>(mut on_conflict: OnConflict) -> OnConflict {
    on_conflict.do_nothing_on(PrimaryKey::<A>::iter()).to_owned()
}

macro_rules! do_nothing {
    ($insert:ident) => {
        impl<A: ActiveModelTrait> $insert<A>
        where
            Model<A>: Tracked + IntoActiveModel<A>,
        {
            /// Keeps rows whose key is there already.
            pub fn on_conflict_do_nothing(self) -> TryInsert<Self> {
                TryInsert(self.on_conflict(do_nothing_on::<A>(OnConflict::columns(PrimaryKey::<A>::iter()))))
            }

            /// Keeps rows that are there already by these columns.
            pub fn on_conflict_do_nothing_on(
                self,
                columns: impl IntoIterator<Item = Column<A>>,
            ) -> TryInsert<Self> {
                TryInsert(self.on_conflict(do_nothing_on::<A>(OnConflict::columns(columns))))
            }

            /// Takes a row that is there already, and is kept, for no error.
            pub fn try_insert(self) -> TryInsert<Self> {
                TryInsert(self)
            }
        }
    };
}
do_nothing!(InsertOne);
do_nothing!(InsertMany);

impl<A: ActiveModelTrait> TryInsert<InsertOne<A>>
where
    Model<A>: Tracked + IntoActiveModel<A>,
{
    /// Inserts, and answers the key.
    ///
    /// # Errors
    /// As [`InsertOne::exec`].
    pub async fn exec<'a>(
        self,
        db: impl Into<Target<'a>>,
    ) -> Result<TryInsertResult<InsertResult<A>>, DbErr> {
        tried(self.0.exec(db).await)
    }

    /// Inserts, and answers the row.
    ///
    /// # Errors
    /// As [`InsertOne::exec`].
    pub async fn exec_with_returning<'a>(
        self,
        db: impl Into<Target<'a>>,
    ) -> Result<TryInsertResult<Model<A>>, DbErr> {
        tried(self.0.exec_with_returning(db).await)
    }

    /// Inserts, and tells how many rows came: as with SeaORM's own, a row that is kept counts as none.
    ///
    /// # Errors
    /// As [`InsertOne::exec`].
    pub async fn exec_without_returning<'a>(
        self,
        db: impl Into<Target<'a>>,
    ) -> Result<TryInsertResult<u64>, DbErr> {
        tried(self.0.exec_without_returning(db).await)
    }
}

impl<A: ActiveModelTrait> TryInsert<InsertMany<A>>
where
    Model<A>: Tracked + IntoActiveModel<A>,
{
    /// Inserts, and answers the key of the last row that came.
    ///
    /// # Errors
    /// As [`InsertMany::exec`].
    pub async fn exec<'a>(
        self,
        db: impl Into<Target<'a>>,
    ) -> Result<TryInsertResult<InsertResult<A>>, DbErr> {
        if self.0.is_empty() {
            return Ok(TryInsertResult::Empty);
        }
        let unit = db.into().open().await?;
        let txn = unit.transaction();
        let result = match self.0.exec_with_returning_keys(txn).await {
            Ok(mut keys) => inserted(keys.pop(), txn).await,
            Err(error) => Err(error),
        };
        unit.close(tried(result)).await
    }

    /// Inserts, and tells how many rows came.
    ///
    /// # Errors
    /// As [`InsertMany::exec`].
    pub async fn exec_without_returning<'a>(
        self,
        db: impl Into<Target<'a>>,
    ) -> Result<TryInsertResult<u64>, DbErr> {
        tried_unless(self.0.is_empty(), self.0.exec_without_returning(db)).await
    }

    /// Inserts, and answers the keys of the rows that came.
    ///
    /// # Errors
    /// As [`InsertMany::exec`].
    pub async fn exec_with_returning_keys<'a>(
        self,
        db: impl Into<Target<'a>>,
    ) -> Result<TryInsertResult<Vec<Key<A>>>, DbErr> {
        tried_unless(self.0.is_empty(), self.0.exec_with_returning_keys(db)).await
    }

    /// Inserts, and answers the rows that came.
    ///
    /// # Errors
    /// As [`InsertMany::exec`].
    pub async fn exec_with_returning_many<'a>(
        self,
        db: impl Into<Target<'a>>,
    ) -> Result<TryInsertResult<Vec<Model<A>>>, DbErr> {
        tried_unless(self.0.is_empty(), self.0.exec_with_returning(db)).await
    }
}
