//! `create_with_event`, `update_with_event`, `save_with_event`, `delete_with_event` and their like: a save with its reason, a unit of its own where
//! there is none.

use std::{
    cell::RefCell,
    future::{Future, IntoFuture},
    pin::Pin,
};

use sea_orm::{
    ActiveModelBehavior, ActiveModelTrait, DbErr, DeleteResult, EntityTrait, IntoActiveModel, ModelTrait,
};

use crate::{
    connection::EventConnection,
    events::Events,
    record::SaveOptions,
    soft_delete::{self, SoftDelete},
    tracked::{Definition, Tracked},
    transaction::EventTransaction,
    withhold::withhold_answer,
};

type Model<A> = <<A as ActiveModelTrait>::Entity as EntityTrait>::Model;

tokio::task_local! {
    /// What the save that is being polled asked for, until its own hook takes it.
    static OPTIONS: RefCell<Option<(&'static str, SaveOptions)>>;
}

/// Runs one save whose hook finds these options.
pub(crate) fn with_options<F: Future>(
    definition: &'static Definition,
    options: SaveOptions,
    save: F,
) -> impl Future<Output = F::Output> {
    OPTIONS.scope(RefCell::new(Some((definition.table(), options))), save)
}

/// Keeps a save's options for its own hook: what a hook of the user's saves before that must not find them.
#[derive(Debug)]
pub struct Aside(Option<(&'static str, SaveOptions)>);

/// Until the answer is dropped, no save finds the options of this one.
pub fn set_options_aside() -> Aside {
    Aside(OPTIONS.try_with(RefCell::take).ok().flatten())
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Some(options) = self.0.take() {
            // Outside of the save's own future there is no place, nor a hook that would look there.
            let _ = OPTIONS.try_with(|slot| slot.replace(Some(options)));
        }
    }
}

/// The options of the save whose hook is running.
pub(crate) fn take_options(definition: &Definition) -> SaveOptions {
    let take = |slot: &RefCell<Option<(&'static str, SaveOptions)>>| {
        slot.borrow_mut().take_if(|(table, _)| *table == definition.table())
    };
    let taken = OPTIONS.try_with(take).ok().flatten();
    taken.map(|(_, options)| options).unwrap_or_default()
}

/// Where a `*_with_event` call can go: an [`EventConnection`], on which it is a unit of its own, or an
/// [`EventTransaction`], of which it becomes a part.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    /// A unit of its own.
    Connection(&'a EventConnection),
    /// Part of this unit.
    Transaction(&'a EventTransaction),
}

impl<'a> From<&'a EventConnection> for Target<'a> {
    fn from(connection: &'a EventConnection) -> Self {
        Self::Connection(connection)
    }
}

impl<'a> From<&'a EventTransaction> for Target<'a> {
    fn from(transaction: &'a EventTransaction) -> Self {
        Self::Transaction(transaction)
    }
}

/// The unit of work that a call runs in.
pub(crate) enum Unit<'a> {
    Own(EventTransaction),
    PartOf(&'a EventTransaction),
    /// The savepoint of this call.
    Save(EventTransaction),
}

impl<'a> Target<'a> {
    pub(crate) fn events(self) -> &'a Events {
        match self {
            Self::Connection(db) => db.events(),
            Self::Transaction(txn) => txn.events(),
        }
    }

    pub(crate) async fn open(self) -> Result<Unit<'a>, DbErr> {
        Ok(match self {
            Self::Connection(db) => Unit::Own(sea_orm::TransactionTrait::begin(db).await?),
            Self::Transaction(txn) => match txn.open_save().await? {
                Some(save) => Unit::Save(save),
                None => Unit::PartOf(txn),
            },
        })
    }
}

impl Unit<'_> {
    pub(crate) fn transaction(&self) -> &EventTransaction {
        match self {
            Self::Own(txn) | Self::Save(txn) => txn,
            Self::PartOf(txn) => txn,
        }
    }

    /// Ends a unit of the call's own: commits on `Ok`, rolls back on `Err`, whose own error is what the caller needs.
    pub(crate) async fn close<T>(self, result: Result<T, DbErr>) -> Result<T, DbErr> {
        let txn = match self {
            Self::PartOf(txn) => return txn.answered(result),
            Self::Save(save) => return save.close_save(result).await,
            Self::Own(txn) => txn,
        };
        if result.is_ok() {
            txn.commit().await?;
        } else if let Err(error) = txn.rollback().await {
            tracing::warn!(%error, "rolling back a failed write failed");
        }
        result
    }
}

/// Saves of a tracked active model that say more than a plain save can.
///
/// # Examples
/// ```no_run
/// # use events_sea_orm::{ActiveModelEvents, EventConnection, Tracked};
/// # use sea_orm::{ActiveModelBehavior, ActiveModelTrait, EntityTrait, IntoActiveModel, DbErr};
/// # async fn example<A>(active: A, db: EventConnection) -> Result<(), DbErr>
/// # where A: ActiveModelTrait + ActiveModelBehavior + Send + 'static, <A::Entity as EntityTrait>::Model: Tracked + IntoActiveModel<A> {
/// let model = active.update_with_event(&db).track_fields(["budget"]).reason("raised by the board").await?;
/// # Ok(()) }
/// ```
pub trait ActiveModelEvents: ActiveModelTrait + ActiveModelBehavior + Send
where
    Model<Self>: Tracked + IntoActiveModel<Self>,
{
    /// Inserts and records CREATED.
    fn create_with_event<'a>(self, db: impl Into<Target<'a>>) -> Save<'a, Self, Create> {
        Save::new(self, db.into())
    }

    /// Inserts or updates as `save` does, and answers an active model as it does.
    fn save_with_event<'a>(self, db: impl Into<Target<'a>>) -> Save<'a, Self, CreateOrUpdate> {
        Save::new(self, db.into())
    }

    /// Updates and records what changed.
    fn update_with_event<'a>(self, db: impl Into<Target<'a>>) -> Save<'a, Self, Update> {
        Save::new(self, db.into())
    }

    /// Deletes and records DELETED, if there was a row.
    fn delete_with_event<'a>(self, db: impl Into<Target<'a>>) -> Save<'a, Self, Delete> {
        Save::new(self, db.into())
    }

    /// Marks the row as deleted, in the column of `#[tracked(soft_delete = "..")]`, and records DELETED.
    ///
    /// A time is set to now, in UTC and to the microsecond, which the column may round; a bool to true. What else is set on the active model is
    /// saved with it. Own hooks run as in any update. A row that is marked already keeps its time and leaves no
    /// DELETED; to know that, the row is read under its lock first.
    ///
    /// # Errors
    /// As `update`: [`DbErr::RecordNotUpdated`] where there is no such row.
    ///
    /// # Examples
    /// ```no_run
    /// # use events_sea_orm::{ActiveModelEvents, EventConnection, SoftDelete, Tracked};
    /// # use sea_orm::{ActiveModelBehavior, ActiveModelTrait, EntityTrait, IntoActiveModel, DbErr};
    /// # async fn example<A>(active: A, db: EventConnection) -> Result<(), DbErr>
    /// # where A: ActiveModelTrait + ActiveModelBehavior + Send + 'static, <A::Entity as EntityTrait>::Model: SoftDelete + IntoActiveModel<A> {
    /// let model = active.soft_delete_with_event(&db).reason("asked by its owner").await?;
    /// model.into_active_model().restore_with_event(&db).reason("asked again").await?;
    /// # Ok(()) }
    /// ```
    fn soft_delete_with_event<'a>(self, db: impl Into<Target<'a>>) -> Save<'a, Self, SoftDeletion>
    where
        Model<Self>: SoftDelete,
    {
        Save::new(self, db.into())
    }

    /// Takes the mark of a deleted row away and records RESTORED. A row without the mark leaves none.
    ///
    /// # Errors
    /// As `update`: [`DbErr::RecordNotUpdated`] where there is no such row.
    fn restore_with_event<'a>(self, db: impl Into<Target<'a>>) -> Save<'a, Self, Restore>
    where
        Model<Self>: SoftDelete,
    {
        Save::new(self, db.into())
    }
}

impl<A: ActiveModelTrait + ActiveModelBehavior + Send> ActiveModelEvents for A where
    Model<A>: Tracked + IntoActiveModel<A>
{
}

/// A delete of a tracked row that says more than a plain one can.
pub trait ModelEvents:
    ModelTrait + Tracked + IntoActiveModel<<Self::Entity as EntityTrait>::ActiveModel>
where
    <Self::Entity as EntityTrait>::ActiveModel: ActiveModelBehavior + Send,
{
    /// Deletes and records DELETED, if the row is still there.
    fn delete_with_event<'a>(
        self,
        db: impl Into<Target<'a>>,
    ) -> Save<'a, <Self::Entity as EntityTrait>::ActiveModel, Delete> {
        Save::new(self.into_active_model(), db.into())
    }
}

impl<M> ModelEvents for M
where
    M: ModelTrait + Tracked + IntoActiveModel<<M::Entity as EntityTrait>::ActiveModel>,
    <M::Entity as EntityTrait>::ActiveModel: ActiveModelBehavior + Send,
{
}

/// Marks a [`Save`] that inserts.
#[derive(Debug)]
pub enum Create {}
/// Marks a [`Save`] that updates.
#[derive(Debug)]
pub enum Update {}
/// Marks a [`Save`] that inserts or updates.
#[derive(Debug)]
pub enum CreateOrUpdate {}
/// Marks a [`Save`] that deletes.
#[derive(Debug)]
pub enum Delete {}
/// Marks a [`Save`] that marks a row as deleted.
#[derive(Debug)]
pub enum SoftDeletion {}
/// Marks a [`Save`] that takes that mark away.
#[derive(Debug)]
pub enum Restore {}

/// A save that runs when it is awaited.
#[must_use = "nothing is saved until it is awaited"]
pub struct Save<'a, A, K> {
    active: A,
    target: Target<'a>,
    options: SaveOptions,
    kind: std::marker::PhantomData<fn() -> K>,
}

impl<A, K> std::fmt::Debug for Save<'_, A, K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the model: it may hold redacted values.
        f.debug_struct("Save").field("options", &self.options).finish_non_exhaustive()
    }
}

impl<'a, A, K> Save<'a, A, K> {
    fn new(active: A, target: Target<'a>) -> Self {
        Self { active, target, options: SaveOptions::default(), kind: std::marker::PhantomData }
    }

    /// Records these tracked fields only, by their recorded or column names. A change of any other tracked field is
    /// saved and *not* recorded.
    pub fn track_fields<S: Into<String>>(mut self, fields: impl IntoIterator<Item = S>) -> Self {
        self.options.track_fields = Some(fields.into_iter().map(Into::into).collect());
        self
    }

    /// Why. Stands in the event's context, and in its data where it is a transition, a delete or a restore.
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.options.reason = Some(reason.into());
        self
    }
}

macro_rules! save_future {
    ($kind:ty, $output:ty, $model:path, $save:expr) => {
        impl<'a, A> IntoFuture for Save<'a, A, $kind>
        where
            A: ActiveModelTrait + ActiveModelBehavior + Send + 'a,
            Model<A>: $model + IntoActiveModel<A>,
        {
            type Output = Result<$output, DbErr>;
            type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

            fn into_future(self) -> Self::IntoFuture {
                let definition = Model::<A>::definition();
                Box::pin(async move {
                    self.options.check(definition)?;
                    let unit = self.target.open().await?;
                    let save = $save(self.active, unit.transaction());
                    let saved = with_options(definition, self.options, save).await;
                    // SeaORM quotes what the model cannot read of the row.
                    unit.close(withhold_answer(definition, saved)).await
                })
            }
        }
    };
}

save_future!(Create, Model<A>, Tracked, A::insert);
save_future!(Update, Model<A>, Tracked, A::update);
save_future!(CreateOrUpdate, A, Tracked, A::save);
save_future!(Delete, DeleteResult, Tracked, A::delete);
save_future!(SoftDeletion, Model<A>, SoftDelete, soft_delete::soft_delete);
save_future!(Restore, Model<A>, SoftDelete, soft_delete::restore);
