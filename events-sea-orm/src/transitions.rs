//! Which states an object went through, when, and how long it was in each.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use events_core::{CreatedEventData, EventType, RestoredEventData, StateChangedEventData};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, IdenStatic, QueryFilter,
    QueryOrder, QuerySelect, Value,
};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::{
    backend,
    connection::EventConnection,
    error::Refused,
    record,
    store::event::{self, Column},
    store::stored_object_id,
    tracked::{self, Field, Tracked},
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
    /// Which life of the object it belongs to, counted from 1: each CREATED begins another. A key that was deleted may be
    /// given to a new row, as SQLite does with the highest one.
    pub life: u32,
    /// The model declared its transitions, and this was none of them.
    pub undeclared: bool,
    /// How long the field held `new`: until its next transition, or until the row was deleted. None if it still does.
    /// Clocks of different machines may disagree, so it can be negative. Where the next one's `old` is another value than this
    /// one's `new`, a change in between is not in the log: it was at most so long.
    pub lasted: Option<TimeDelta>,
}

/// How long a state was held, as far as the log knows.
///
/// The log does not know all if events were purged, if the row is older than the log, or if a change left no event: by
/// `untracked`, by `track_fields` without the field, outside of the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeInState {
    /// The log has the object's whole life, or its life so far.
    Exactly(TimeDelta),
    /// The log has a part of it: so long at least, and that may be zero.
    AtLeast(TimeDelta),
}

impl TimeInState {
    /// The time, if the log knows all of it.
    pub fn exactly(self) -> Option<TimeDelta> {
        match self {
            Self::Exactly(time) => Some(time),
            Self::AtLeast(_) => None,
        }
    }

    /// The time that the log knows of.
    pub fn at_least(self) -> TimeDelta {
        match self {
            Self::Exactly(time) | Self::AtLeast(time) => time,
        }
    }
}

impl EventConnection {
    /// The transitions of one state field of one object, in the order in which they happened.
    ///
    /// The first is the insert of the row, a RESTORED starts anew, and a DELETED ends the last. A row that was created with
    /// the key of one that is gone begins another [`life`](Transition::life). What was saved with
    /// `track_fields` that left the field out is not in the log, and so not here; nor is what was purged: the first one has an
    /// `old` then.
    ///
    /// Reads the log by the index on team, object and `seq`, 1,000 events at a time, without changes of other fields; only events of
    /// the context's team, or of the model's own team where the context spans all.
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
        let mut transitions = Vec::new();
        self.each_transition(model, column, |transition| transitions.push(transition)).await?;
        Ok(transitions)
    }

    /// Reads an object's transitions page by page. Answers whether they are all there are.
    async fn each_transition<M: Tracked>(
        &self,
        model: &M,
        column: <M::Entity as EntityTrait>::Column,
        mut each: impl FnMut(Transition),
    ) -> Result<bool, DbErr> {
        let field = state_field::<M>(&column)?;
        let context = self.events().check_context(self.context().clone())?;
        let team = record::team_of(M::definition(), &tracked::said_by(model), context.team_scope())?;
        let object = model.object();
        object.check().map_err(Refused::from)?;
        let types = [EventType::Created, EventType::Deleted, EventType::Restored];
        let is_of_field = field.recorded_names().fold(Condition::any(), |any, name| {
            any.add(backend::is_state_change_of(self.get_database_backend(), name))
        });
        let log = event::Entity::find()
            .select_only()
            .columns([Column::Seq, Column::EventType, Column::ActorId])
            .columns([Column::EventData, Column::Context, Column::OccurredAt])
            .filter(Column::TeamId.eq(team))
            .filter(Column::ObjectType.eq(object.object_type))
            .filter(Column::ObjectId.eq(&*stored_object_id(&object.object_id)))
            .filter(Condition::any().add(Column::EventType.is_in(types.iter().map(EventType::as_str))).add(
                Condition::all().add(Column::EventType.eq(EventType::StateChanged.as_str())).add(is_of_field),
            ))
            .order_by_asc(Column::Seq)
            .limit(PAGE);
        let mut history = History::new(field);
        let mut last = i64::MIN;
        loop {
            let page = log.clone().filter(Column::Seq.gt(last)).into_model::<Row>().all(self).await?;
            let Some(end) = page.last() else { break };
            last = end.seq;
            let is_last = (page.len() as u64) < PAGE;
            page.into_iter().filter_map(|row| history.read(row)).for_each(&mut each);
            if is_last {
                break;
            }
        }
        history.open.into_iter().for_each(each);
        Ok(history.is_whole && history.value.is_some())
    }

    /// How long a state field of an object has held this value, all times together; up to now if it still does.
    /// Of an object whose key another row had before, what that one did does not count.
    ///
    /// [`TimeInState::AtLeast`] where the log does not have all of the object's life: after a purge, or of a row that is older
    /// than the log. The model's own value counts for nothing here, since nothing says how long it has been that.
    ///
    /// # Errors
    /// As [`transitions`](Self::transitions); [`Refused::Value`] for a value that cannot be recorded.
    ///
    /// # Examples
    /// ```no_run
    /// # use events_sea_orm::{EventConnection, TimeInState, Tracked, sea_orm::{DbErr, EntityTrait, Value}};
    /// # async fn example<M: Tracked>(db: EventConnection, campaign: M, status: <M::Entity as EntityTrait>::Column, live: Value) -> Result<(), DbErr> {
    /// match db.time_in_state(&campaign, status, live).await? {
    ///     TimeInState::Exactly(time) => println!("{} days", time.num_days()),
    ///     TimeInState::AtLeast(time) => println!("{} days or more", time.num_days()),
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn time_in_state<M: Tracked>(
        &self,
        model: &M,
        column: <M::Entity as EntityTrait>::Column,
        state: impl Into<Value>,
    ) -> Result<TimeInState, DbErr> {
        let state = M::definition().json(state_field::<M>(&column)?, &state.into())?;
        let (mut time, mut life) = (TimeDelta::zero(), 0);
        let is_whole = self
            .each_transition(model, column, |held| {
                if std::mem::replace(&mut life, held.life) != held.life {
                    time = TimeDelta::zero();
                }
                if held.new == state {
                    time += held.lasted.unwrap_or_else(|| record::now() - held.occurred_at);
                }
            })
            .await?;
        Ok(if is_whole { TimeInState::Exactly(time) } else { TimeInState::AtLeast(time) })
    }
}

fn state_field<M: Tracked>(column: &impl IdenStatic) -> Result<&'static Field, Refused> {
    let definition = M::definition();
    let found =
        definition.fields().iter().find(|field| field.is_state() && field.column() == column.as_str());
    found.ok_or_else(|| definition.unknown_field(column.as_str(), "state field"))
}

/// So many events are in memory at once.
const PAGE: u64 = 1_000;

/// What is read of an event.
#[derive(FromQueryResult)]
struct Row {
    seq: i64,
    event_type: String,
    actor_id: Option<String>,
    event_data: Json,
    context: Json,
    occurred_at: DateTime<Utc>,
}

/// An object's events, read one after the other.
struct History<'a> {
    field: &'a Field,
    life: u32,
    /// The transition whose end has yet to be read.
    open: Option<Transition>,
    /// What the field holds by now, as far as it was read.
    value: Option<Json>,
    /// Whether nothing was missing so far: each change went on from where the one before had ended.
    is_whole: bool,
}

impl<'a> History<'a> {
    fn new(field: &'a Field) -> Self {
        Self { field, life: 0, open: None, value: None, is_whole: true }
    }

    /// Reads an event. Answers the transition that it ended. Data of another form, emitted by hand, is none.
    fn read(&mut self, row: Row) -> Option<Transition> {
        let field = self.field;
        let names = || field.recorded_names();
        let began = |mut values: BTreeMap<String, Json>| {
            let new = names().find_map(|name| values.remove(name))?;
            Some((None, new, None, false))
        };
        let event_type: Option<EventType> = row.event_type.parse().ok();
        let is_deleted = event_type == Some(EventType::Deleted);
        let step = match event_type {
            Some(EventType::Created) => {
                data(&row).and_then(|data: CreatedEventData| began(data.initial_values))
            }
            Some(EventType::Restored) => {
                data(&row).and_then(|data: RestoredEventData| began(data.initial_values))
            }
            Some(EventType::StateChanged) => data(&row)
                .filter(|data: &StateChangedEventData| {
                    names().any(|name| data.field.as_deref() == Some(name))
                })
                .map(|data| (Some(data.state.old), data.state.new, data.reason, data.undeclared)),
            _ => None,
        };
        let goes_on = match (event_type?, &step) {
            (EventType::Created, _) => true,
            (EventType::StateChanged, Some((old, ..))) => self.value == *old,
            (EventType::Restored, Some((_, new, ..))) => self.value.as_ref() == Some(new),
            (EventType::Deleted, _) => self.value.is_some(),
            _ => return None,
        };
        if row.event_type == EventType::Created.as_str() {
            self.life += 1;
            self.is_whole = true; // of this life
        }
        self.is_whole &= goes_on;
        if step.is_none() && !is_deleted {
            self.value = None; // a new row of which the field is not in the log
            return None;
        }
        let mut ended = self.open.take();
        if let Some(ended) = &mut ended {
            ended.lasted = Some(row.occurred_at - ended.occurred_at);
        }
        if let Some((old, new, reason, undeclared)) = step {
            self.value = Some(new.clone());
            let said = || row.context["reason"].as_str().map(str::to_owned);
            self.open = Some(Transition {
                field: field.name().to_owned(),
                old,
                new,
                reason: reason.or_else(said),
                actor_id: row.actor_id,
                occurred_at: row.occurred_at,
                seq: row.seq,
                // What came before the beginning of the log is of the first life.
                life: self.life.max(1),
                undeclared,
                lasted: None,
            });
        }
        ended
    }
}

fn data<T: DeserializeOwned>(row: &Row) -> Option<T> {
    T::deserialize(&row.event_data).ok()
}
