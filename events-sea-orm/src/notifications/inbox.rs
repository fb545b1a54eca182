//! A user's notifications in a team, as the user sees them.

use std::{collections::BTreeMap, fmt::Display};

use chrono::{SubsecRound, Utc};
use events_core::{
    ObjectRef,
    error::{check_identifier, check_object_id},
};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect, QueryTrait, Statement, StatementBuilder,
    sea_query::{OnConflict, Query},
};

use super::{Topic, notification, preference, store};
use crate::{
    backend,
    error::Refused,
    saves::Target,
    store::{event, is_digest},
    team,
    transaction::EventTransaction,
};

/// The notifications and preferences of one user in one team.
///
/// Team and user are part of what an inbox is, so they are in every query: the number of another user's or another
/// team's notification is as good as one that does not exist.
///
/// It reads on any connection. It writes on an [`EventConnection`](crate::EventConnection), in a unit of work of its own, or
/// on an [`EventTransaction`] as part of it; what it writes is no event.
///
/// # Errors
/// [`Refused::OtherTeam`] on an `EventConnection` or `EventTransaction` of another team than the inbox's, and
/// [`Refused::Identifier`] for a team, user or topic that cannot be stored. Of everything that writes: also a [`Refused`] in a
/// unit that can only be rolled back. Else the database's.
///
/// # Examples
/// ```no_run
/// # use events_sea_orm::{EventConnection, EventType, notifications::{Inbox, Topic}};
/// # async fn example(db: EventConnection) -> Result<(), sea_orm::DbErr> {
/// let inbox = Inbox::of(7, "user:42");
/// let shown = inbox.list().unread().limit(20).all(&db).await?;
/// println!("{} of {} unread", shown.len(), inbox.unread_count(&db).await?);
/// if let Some(newest) = shown.first() {
///     inbox.mark_all_read(&db, newest.id).await?; // what came since stays unread
/// }
/// inbox.set_preference(&db, Topic::everything().of(EventType::Deleted), false).await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Inbox {
    team_id: String,
    user_id: String,
}

/// A query of an inbox, made by [`Inbox::list`].
#[derive(Debug, Clone)]
#[must_use = "nothing is read until `all`"]
pub struct List {
    inbox: Inbox,
    of: Condition,
    limit: u64,
}

impl List {
    /// Of them, those that were not marked as read.
    pub fn unread(mut self) -> Self {
        self.of = self.of.add(notification::Column::ReadAt.is_null());
        self
    }

    /// Those before this one: the last of a page is where the next one begins.
    pub fn before(mut self, id: i64) -> Self {
        self.of = self.of.add(notification::Column::Id.lt(id));
        self
    }

    /// At most so many: 50 unless said, 1,000 at most.
    pub fn limit(mut self, limit: u64) -> Self {
        self.limit = limit.min(1_000);
        self
    }

    /// Reads them, the newest first. An `object_id` of more than 191 characters is read from its event, and is given as its
    /// table has it if that is no longer there.
    ///
    /// # Errors
    /// See [`Inbox`].
    pub async fn all(self, db: &impl ConnectionTrait) -> Result<Vec<notification::Model>, DbErr> {
        self.inbox.check(db)?;
        let find = notification::Entity::find().filter(self.of);
        let mut list = find.order_by_desc(notification::Column::Id).limit(self.limit).all(db).await?;
        self.inbox.make_ids_whole(&mut list, db).await?;
        Ok(list)
    }
}

impl Inbox {
    /// That of this user in this team.
    pub fn of(team: impl Display, user: impl Display) -> Self {
        Self { team_id: team.to_string(), user_id: user.to_string() }
    }

    fn own(&self) -> Condition {
        use notification::Column;
        Condition::all().add(Column::TeamId.eq(&*self.team_id)).add(Column::UserId.eq(&*self.user_id))
    }

    /// A long identifier stands in the table by its digest, and whole in its event.
    async fn make_ids_whole<C: ConnectionTrait>(
        &self,
        list: &mut [notification::Model],
        db: &C,
    ) -> Result<(), DbErr> {
        let is_long = |it: &&mut notification::Model| it.object_id.as_deref().is_some_and(is_digest);
        let long: Vec<_> = list.iter_mut().filter(is_long).collect();
        if long.is_empty() {
            return Ok(());
        }
        let of_team = event::Entity::find().filter(event::Column::TeamId.eq(&*self.team_id));
        let ids = long.iter().map(|it| it.event_id);
        let events = of_team.filter(event::Column::Id.is_in(ids)).all(db).await?;
        let events: BTreeMap<_, _> = events.iter().map(|event| (event.id, event)).collect();
        for it in long {
            let Some(event) = events.get(&it.event_id) else { continue };
            let object = event.to_event().map_err(Refused::from)?.object;
            it.object_id = object.map(|object| object.object_id).or_else(|| it.object_id.take());
        }
        Ok(())
    }

    fn own_unread(&self) -> Condition {
        self.own().add(notification::Column::ReadAt.is_null())
    }

    fn own_preferences(&self) -> Condition {
        use preference::Column;
        Condition::all().add(Column::TeamId.eq(&*self.team_id)).add(Column::UserId.eq(&*self.user_id))
    }

    /// What is in it.
    pub fn list(&self) -> List {
        List { inbox: self.clone(), of: self.own(), limit: 50 }
    }

    /// How many are unread.
    ///
    /// # Errors
    /// See [`Inbox`].
    pub async fn unread_count(&self, db: &impl ConnectionTrait) -> Result<u64, DbErr> {
        self.check(db)?;
        notification::Entity::find().filter(self.own_unread()).count(db).await
    }

    /// How many are unread, by the type of object; `None` are those about nothing. What has none is left out.
    ///
    /// # Errors
    /// See [`Inbox`].
    pub async fn unread_by_object_type(
        &self,
        db: &impl ConnectionTrait,
    ) -> Result<BTreeMap<Option<String>, u64>, DbErr> {
        use notification::Column;
        self.check(db)?;
        let select = notification::Entity::find()
            .select_only()
            .column(Column::ObjectType)
            .column_as(Column::Id.count(), "count")
            .filter(self.own_unread())
            .group_by(Column::ObjectType);
        let counts: Vec<(Option<String>, i64)> = select.into_tuple().all(db).await?;
        Ok(counts.into_iter().map(|(of, count)| (of, u64::try_from(count).unwrap_or_default())).collect())
    }

    /// Marks one as read. Answers whether it was unread: of several that mark it at once, one is told so.
    ///
    /// # Errors
    /// [`DbErr::RecordNotFound`] if it is not in this inbox; else see [`Inbox`].
    pub async fn mark_read<'a>(&self, db: impl Into<Target<'a>>, id: i64) -> Result<bool, DbErr> {
        let unit = db.into().open().await?;
        let marked = self.mark_one(unit.transaction(), id).await;
        unit.close(marked).await
    }

    async fn mark_one(&self, txn: &EventTransaction, id: i64) -> Result<bool, DbErr> {
        let it = notification::Column::Id.eq(id);
        if self.mark(txn, self.own_unread().add(it.clone())).await? > 0 {
            return Ok(true);
        }
        match notification::Entity::find().filter(self.own().add(it)).count(txn).await? {
            0 => Err(DbErr::RecordNotFound(format!("there is no notification {id} in this inbox"))),
            _ => Ok(false),
        }
    }

    /// Marks those up to this one as read, it included: the newest that the user has seen. What came since stays unread.
    /// Answers how many were.
    ///
    /// # Errors
    /// See [`Inbox`].
    pub async fn mark_all_read<'a>(&self, db: impl Into<Target<'a>>, up_to: i64) -> Result<u64, DbErr> {
        let unit = db.into().open().await?;
        let marked = self.mark_up_to(unit.transaction(), up_to).await;
        unit.close(marked).await
    }

    /// Locks in the order of the numbers, so that two who mark at once do not wait for each other in a circle.
    async fn mark_up_to(&self, txn: &EventTransaction, up_to: i64) -> Result<u64, DbErr> {
        use notification::{Column, Entity};
        self.check(txn)?;
        let unread = Entity::find().filter(self.own_unread().add(Column::Id.lte(up_to)));
        let mut select = unread.select_only().column(Column::Id).order_by_asc(Column::Id).into_query();
        backend::notifications::lock_unread(txn.backend(), &mut select);
        let busy = txn.begin_bulk().await?;
        let rows = txn.query_own(&busy, StatementBuilder::build(&select, &txn.backend())).await?;
        drop(busy);
        let ids: Vec<i64> = rows.iter().map(|row| row.try_get("", "id")).collect::<Result<_, _>>()?;
        let mut marked = 0;
        for ids in ids.chunks(store::CHUNK) {
            marked += self.mark(txn, self.own_unread().add(Column::Id.is_in(ids.iter().copied()))).await?;
        }
        Ok(marked)
    }

    async fn mark(&self, txn: &EventTransaction, condition: Condition) -> Result<u64, DbErr> {
        let now = Utc::now().trunc_subsecs(6); // as every database holds it
        let mut update = Query::update();
        update.table(notification::Entity).value(notification::Column::ReadAt, now).cond_where(condition);
        let statement = StatementBuilder::build(&update, &txn.backend());
        self.write(txn, backend::notifications::by_number(statement)).await
    }

    /// What the user has said, in no particular order.
    ///
    /// # Errors
    /// See [`Inbox`].
    pub async fn preferences(&self, db: &impl ConnectionTrait) -> Result<Vec<preference::Model>, DbErr> {
        self.check(db)?;
        preference::Entity::find().filter(self.own_preferences()).all(db).await
    }

    /// Says whether notifications of this topic are wanted. Of what was said, the most specific counts: see [`Topic`]. It
    /// is about events to come.
    ///
    /// # Errors
    /// See [`Inbox`].
    pub async fn set_preference<'a>(
        &self,
        db: impl Into<Target<'a>>,
        topic: Topic,
        wanted: bool,
    ) -> Result<(), DbErr> {
        use preference::Column;
        check_topic(&topic)?;
        let unit = db.into().open().await?;
        let key = [Column::TeamId, Column::UserId, Column::EventType, Column::ObjectType, Column::ObjectId];
        let mut insert = Query::insert();
        insert.into_table(preference::Entity).columns(key.into_iter().chain([Column::Wanted]));
        // Six columns and six values: the only error there is cannot happen.
        let _ = insert.values([
            self.team_id.as_str().into(),
            self.user_id.as_str().into(),
            topic.event_type.into(),
            topic.object_type.into(),
            topic.object_id.into(),
            wanted.into(),
        ]);
        insert.on_conflict(OnConflict::columns(key).update_column(Column::Wanted).to_owned());
        let txn = unit.transaction();
        let written = self.write(txn, StatementBuilder::build(&insert, &txn.backend())).await;
        unit.close(written.map(drop)).await
    }

    /// Takes back what was said of exactly this topic. Answers whether anything was.
    ///
    /// # Errors
    /// See [`Inbox`].
    pub async fn clear_preference<'a>(
        &self,
        db: impl Into<Target<'a>>,
        topic: &Topic,
    ) -> Result<bool, DbErr> {
        use preference::Column;
        check_topic(topic)?;
        let unit = db.into().open().await?;
        let condition = self
            .own_preferences()
            .add(Column::EventType.eq(&*topic.event_type))
            .add(Column::ObjectType.eq(&*topic.object_type))
            .add(Column::ObjectId.eq(&*topic.object_id));
        let mut delete = Query::delete();
        delete.from_table(preference::Entity).cond_where(condition);
        let txn = unit.transaction();
        let written = self.write(txn, StatementBuilder::build(&delete, &txn.backend())).await;
        unit.close(written.map(|rows| rows > 0)).await
    }

    /// The guard lets nobody write to these tables, so writes go past it.
    async fn write(&self, txn: &EventTransaction, statement: Statement) -> Result<u64, DbErr> {
        self.check(txn)?;
        let busy = txn.begin_bulk().await?;
        let doubt = txn.doubt_bulk();
        let rows = txn.execute_any(&busy, statement).await?;
        doubt.settle();
        Ok(rows)
    }

    /// Refuses what cannot be stored, and another team's inbox.
    fn check<C: ConnectionTrait>(&self, db: &C) -> Result<(), Refused> {
        check_identifier("team", &self.team_id)?;
        check_identifier("user", &self.user_id)?;
        team::check_named(db, &self.team_id, || ObjectRef::new("inbox", &self.user_id))
    }
}

/// Refuses what cannot be stored. The empty text is "every", and an object is one of a type.
fn check_topic(topic: &Topic) -> Result<(), Refused> {
    if !topic.object_id.is_empty() {
        check_object_id("object id", &topic.object_id)?;
    }
    if !(topic.object_type.is_empty() && topic.object_id.is_empty()) {
        check_identifier("object type", &topic.object_type)?;
    }
    Ok(())
}
