//! The entity of the `notifications` table. Query it like any other; it is written by this library alone.

use events_core::ObjectRef;
use sea_orm::entity::prelude::*;

use crate::error::Refused;

/// That an event concerns a user.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "notifications")]
pub struct Model {
    /// Its number. Drawn before the commit: good for paging; a unit of work that takes long brings lower ones later.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Whose event it is.
    pub team_id: String,
    /// Whom it concerns.
    pub user_id: String,
    /// The event, which is in the log.
    pub event_id: Uuid,
    /// What happened: see [`EventType`](events_core::EventType).
    pub event_type: String,
    /// What kind of object it happened to.
    pub object_type: Option<String>,
    /// Which object. The table has a key of more than 191 characters as [`stored_object_id`](crate::stored_object_id) does;
    /// an [`Inbox`](super::Inbox) gives it whole.
    pub object_id: Option<String>,
    /// Who did it.
    pub actor_id: Option<String>,
    /// The database's clock when it was written.
    pub created_at: DateTimeUtc,
    /// The application's clock when it was first marked as read.
    pub read_at: Option<DateTimeUtc>,
}

impl Model {
    /// What it happened to. Of a row that did not come from an [`Inbox`](super::Inbox) a key of more than 191 characters is not
    /// the object's own, and nothing is found by it: its event is found by `event_id`.
    pub fn object(&self) -> Option<ObjectRef> {
        Some(ObjectRef::new(self.object_type.as_deref()?, self.object_id.as_deref()?))
    }

    /// Whether it was marked as read.
    pub fn is_read(&self) -> bool {
        self.read_at.is_some()
    }
}

/// There is none: the event is found by its id.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

#[async_trait::async_trait]
impl ActiveModelBehavior for ActiveModel {
    async fn before_save<C: ConnectionTrait>(self, _db: &C, _insert: bool) -> Result<Self, DbErr> {
        Err(Refused::OwnTable { table: Entity.table_name().to_owned() }.into())
    }

    async fn before_delete<C: ConnectionTrait>(self, _db: &C) -> Result<Self, DbErr> {
        Err(Refused::OwnTable { table: Entity.table_name().to_owned() }.into())
    }
}
