//! The entity of the `thread_messages` table. Query it like any other; it is written by this library alone.

use sea_orm::entity::prelude::*;

use super::text;
use crate::error::Refused;

/// A message in a thread.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "thread_messages")]
pub struct Model {
    /// Rises in the order in which the messages of a thread are committed: whoever reads on from the last one misses none.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The thread it stands in.
    pub thread_id: i64,
    /// Whose message it is.
    pub team_id: String,
    /// The event that it tells of; none of a user's own message.
    pub event_id: Option<Uuid>,
    /// Who wrote it: the library, or a user.
    pub kind: Kind,
    /// The actor of the event, or the user.
    pub author_id: Option<String>,
    /// Plain text, which is **not** safe in HTML: see [`html`](Model::html).
    #[sea_orm(column_type = "Text")]
    pub body: String,
    /// A system message in parts, for a client that shows it in its own way: `event_type`, `actor`, `object_type`,
    /// `object_id`, `object`, `changes` (`field`, `label`, `old` and `new`, or `hidden`), `reason`, `occurred_at`. Plain
    /// text, as the body. Empty of a user's own message.
    #[sea_orm(column_type = "JsonBinary")]
    pub data: Json,
    /// The database's clock when it was written.
    pub created_at: DateTimeUtc,
}

/// Who wrote a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))", rename_all = "snake_case")]
pub enum Kind {
    /// The library, of an event.
    System,
    /// A user.
    User,
}

impl Model {
    /// The body as HTML shows it, to be put into an element or a quoted attribute as it is.
    ///
    /// Use it where HTML is built by hand or a template is told not to escape. A template engine that escapes by itself, a
    /// mail in plain text and JSON take [`body`](Model::body). Lines of users' messages stay lines: `white-space:
    /// pre-line` shows them.
    ///
    /// # Examples
    /// ```
    /// # use events_sea_orm::threads::message;
    /// # fn example(message: message::Model) -> String {
    /// format!("<p title=\"{0}\">{0}</p>", message.html())
    /// # }
    /// ```
    pub fn html(&self) -> String {
        text::html(&self.body)
    }
}

/// A message's thread is found by its number.
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
