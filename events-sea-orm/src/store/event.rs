//! The entity of the `events` table. Query it like any other; it is written by this library alone.

use events_core::{IdentifierError, ObjectRef};
use sea_orm::entity::prelude::*;

use super::object_id;
use crate::error::Refused;

/// A recorded event with its place in the log.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "events")]
pub struct Model {
    /// The order in which rows were written. Drawn before commit: good for paging, not for a cursor that tails.
    #[sea_orm(primary_key)]
    pub seq: i64,
    /// UUIDv7. The first event of a unit of work carries the unit's own id.
    #[sea_orm(unique)]
    pub id: Uuid,
    /// Whose event it is.
    pub team_id: String,
    /// What happened: see [`EventType`](events_core::EventType).
    pub event_type: String,
    /// What kind of object it happened to.
    pub object_type: Option<String>,
    /// Which object, as [`stored_object_id`](crate::stored_object_id) has it: a key of more than 191 characters is its
    /// beginning and a digest, and [`to_event`](Self::to_event) gives the whole.
    pub object_id: Option<String>,
    /// Who did it.
    pub actor_id: Option<String>,
    /// Groups the events of one unit of work.
    pub unit_id: Uuid,
    /// The payload.
    #[sea_orm(column_type = "JsonBinary")]
    pub event_data: Json,
    /// Reason, principal, correlation, request.
    #[sea_orm(column_type = "JsonBinary")]
    pub context: Json,
    /// The application's clock, to the microsecond.
    pub occurred_at: DateTimeUtc,
    /// The database's clock when the row was written.
    pub recorded_at: DateTimeUtc,
}

/// There is none: events outlive what they are about.
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

impl Model {
    /// The event as consumers see it.
    ///
    /// # Errors
    /// [`IdentifierError`] if the stored type is none that this library writes.
    pub fn to_event(&self) -> Result<events_core::Event, IdentifierError> {
        let mut context = self.context.clone();
        let object = match (&self.object_type, &self.object_id) {
            (Some(object_type), Some(object_id)) => {
                Some(ObjectRef::new(object_type, object_id::restored(object_id, &mut context)))
            }
            _ => None,
        };
        Ok(events_core::Event {
            id: self.id,
            team_id: self.team_id.clone(),
            event_type: self.event_type.parse()?,
            object,
            actor_id: self.actor_id.clone(),
            unit_id: self.unit_id,
            event_data: self.event_data.clone(),
            context,
            occurred_at: self.occurred_at,
        })
    }
}
