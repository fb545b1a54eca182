//! Which states an object went through, when, and how long it was in each.

use chrono::{DateTime, TimeDelta, Utc};
use events_core::{CreatedEventData, EventType, RestoredEventData, StateChangedEventData};
use sea_orm::{ColumnTrait, DbErr, EntityTrait, IdenStatic, QueryFilter, QueryOrder, Value};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::{
    connection::EventConnection,
    error::Refused,
    record,
    store::event::{self, Column},
    tracked::{Field, RowImage, Tracked},
};

/// A state field came to hold a value.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Transition {
    /// The field's recorded name.
    pub field: String,
    /// What it held before. None where it did not change but begin: the row was created or restored.
    pub old: Option<Json>,
    /// What it held from then on.
    pub new: Json,
    /// Who did it.
    pub actor_id: Option<String>,
    /// Why, if someone said so.
    pub reason: Option<String>,
    /// When, by the application's clock.
    pub occurred_at: DateTime<Utc>,
    /// The event's place in the log.
    pub seq: i64,
    /// The model declared its transitions, and this was none of them.
    pub undeclared: bool,
    /// How long the field held `new`: until its next transition, or until the row was deleted. None if it still does.
    /// Clocks of different machines may disagree, so it can be negative.
    pub lasted: Option<TimeDelta>,
}

impl EventConnection {
    /// The transitions of one state field of one object, in the order in which they happened.
    ///
    /// The first is the insert of the row, a RESTORED starts anew, and a DELETED ends the last. What was saved with
    /// `track_fields` that left the field out is not in the log, and so not here.
    ///
    /// Reads the log by the index on team, object and `seq`; only events of the context's team, or of the
    /// model's own team where the context spans all.
    ///
    /// # Errors
    /// [`Refused::UnknownField`] if the column is not marked `#[track(state)]`, [`Refused::OtherTeam`] for a model of
    /// another team than the context's, [`Refused::UnknownTeam`] where neither says which team; else the database's.
    ///
    /// # Examples
    /// ```no_run
    /// # use events_sea_orm::{EventConnection, Tracked, sea_orm::{DbErr, EntityTrait, ModelTrait}};
    /// # async fn example<M: Tracked>(db: EventConnection, campaign: M, status: <M::Entity as EntityTrait>::Column) -> Result<(), DbErr> {
    /// for step in db.transitions(&campaign, status).await? {
    ///     println!("{} by {:?}, for {:?}", step.new, step.actor_id, step.lasted);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn transitions<M: Tracked>(
        &self,
        model: &M,
        column: <M::Entity as EntityTrait>::Column,
    ) -> Result<Vec<Transition>, DbErr> {
        let field = state_field::<M>(&column)?;
        let context = self.events().check_context(self.context().clone())?;
        let team = record::team_of(M::definition(), &RowImage::of(model), context.team_scope())?;
        let object = model.object();
        let types = [EventType::Created, EventType::StateChanged, EventType::Deleted, EventType::Restored];
        let log = event::Entity::find()
            .filter(Column::TeamId.eq(team))
            .filter(Column::ObjectType.eq(object.object_type))
            .filter(Column::ObjectId.eq(object.object_id))
            .filter(Column::EventType.is_in(types.iter().map(EventType::as_str)))
            .order_by_asc(Column::Seq)
            .all(self)
            .await?;
        Ok(transitions(field.name(), &log))
    }

    /// How long a state field of an object has held this value, all times together; up to now if it still does.
    ///
    /// # Errors
    /// As [`transitions`](Self::transitions); [`Refused::Value`] for a value that cannot be recorded.
    ///
    /// # Examples
    /// ```no_run
    /// # use events_sea_orm::{EventConnection, Tracked, sea_orm::{DbErr, EntityTrait, Value}};
    /// # async fn example<M: Tracked>(db: EventConnection, campaign: M, status: <M::Entity as EntityTrait>::Column, live: Value) -> Result<(), DbErr> {
    /// let days = db.time_in_state(&campaign, status, live).await?.num_days();
    /// # Ok(()) }
    /// ```
    pub async fn time_in_state<M: Tracked>(
        &self,
        model: &M,
        column: <M::Entity as EntityTrait>::Column,
        state: impl Into<Value>,
    ) -> Result<TimeDelta, DbErr> {
        let state = M::definition().json(state_field::<M>(&column)?, &state.into())?;
        let transitions = self.transitions(model, column).await?;
        let held = transitions.iter().filter(|transition| transition.new == state);
        Ok(held.map(|held| held.lasted.unwrap_or_else(|| record::now() - held.occurred_at)).sum())
    }
}

fn state_field<M: Tracked>(column: &impl IdenStatic) -> Result<&'static Field, Refused> {
    let definition = M::definition();
    let found =
        definition.fields().iter().find(|field| field.is_state() && field.column() == column.as_str());
    found.ok_or_else(|| definition.unknown_field(column.as_str(), "state field"))
}

/// The transitions that an object's events tell of. Data of another form, emitted by hand, tells of none.
fn transitions(field: &str, log: &[event::Model]) -> Vec<Transition> {
    let mut found: Vec<Transition> = Vec::new();
    for row in log {
        let began = |values: Option<Json>| values.map(|new| (None, new, None, false));
        let step = match row.event_type.parse() {
            Ok(EventType::Created) => {
                began(data(row).and_then(|mut data: CreatedEventData| data.initial_values.remove(field)))
            }
            Ok(EventType::Restored) => {
                began(data(row).and_then(|mut data: RestoredEventData| data.initial_values.remove(field)))
            }
            Ok(EventType::StateChanged) => data(row)
                .filter(|data: &StateChangedEventData| data.field.as_deref() == Some(field))
                .map(|data| (Some(data.state.old), data.state.new, data.reason, data.undeclared)),
            _ => None,
        };
        let ended = row.event_type == EventType::Deleted.as_str();
        if ended || step.is_some() {
            let last = found.last_mut().filter(|last| last.lasted.is_none());
            if let Some(last) = last {
                last.lasted = Some(row.occurred_at - last.occurred_at);
            }
        }
        if let Some((old, new, reason, undeclared)) = step {
            let said = || row.context["reason"].as_str().map(str::to_owned);
            found.push(Transition {
                field: field.to_owned(),
                old,
                new,
                actor_id: row.actor_id.clone(),
                reason: reason.or_else(said),
                occurred_at: row.occurred_at,
                seq: row.seq,
                undeclared,
                lasted: None,
            });
        }
    }
    found
}

fn data<T: DeserializeOwned>(row: &event::Model) -> Option<T> {
    T::deserialize(&row.event_data).ok()
}
