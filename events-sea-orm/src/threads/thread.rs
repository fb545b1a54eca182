//! The entity of the `threads` table. Query it like any other; it is written by this library alone.

use sea_orm::entity::prelude::*;

use crate::error::Refused;

/// A thread of messages.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "threads")]
pub struct Model {
    /// Its number.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Whose thread it is.
    pub team_id: String,
    /// What kind of object it is about.
    pub object_type: String,
    /// Which object, as [`stored_object_id`](crate::stored_object_id) has it: a key of more than 191 characters is its beginning
    /// and a digest, by which [`Thread::of`](super::Thread::of) would find nothing. `Thread::from` the row does.
    pub object_id: String,
    /// The part of it that it is in; the empty text for none, so that there is one such thread of an object and no more.
    pub scope: String,
    /// The database's clock when it was first written to.
    pub created_at: DateTimeUtc,
}

/// Messages are found by [`Thread`](super::Thread).
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
