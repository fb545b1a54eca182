//! From row images to events: which events a change leaves, for which team, and what stands in them.

mod payload;
mod size;

use std::{borrow::Cow, sync::Arc};

use chrono::{DateTime, Datelike, DurationRound, TimeDelta, Utc};
use events_core::{
    Context, Event, EventType, NewEvent, ObjectRef, TeamScope,
    error::{check_identifier, check_object_id},
};
use sea_orm::{DbErr, QueryResult, Value};
use serde_json::Value as Json;
use uuid::Uuid;

pub(crate) use self::{payload::Payloads, size::Sizes};
use crate::{
    backend::years::OF_EVENTS,
    error::{Refused, UndeclaredTransition},
    tracked::{Definition, RowImage, TeamSource, team_text},
    value,
};

/// What the caller of one save asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct SaveOptions {
    pub(crate) track_fields: Option<Vec<String>>,
    pub(crate) reason: Option<String>,
}

impl SaveOptions {
    /// Refuses what could not be recorded, before anything is sent.
    pub(crate) fn check(&self, definition: &Definition) -> Result<(), Refused> {
        if let Some(names) = &self.track_fields {
            definition.select_fields(names)?;
        }
        let reason = self.reason.as_deref().unwrap_or_default();
        value::no_nul(reason).map_err(|source| definition.value_error("reason", source))
    }
}

/// What happened to a row.
#[derive(Clone, Copy)]
pub(crate) enum Change<'a> {
    Created(&'a RowImage),
    Updated(&'a RowImage, &'a RowImage),
    Deleted(&'a RowImage),
}

impl<'a> Change<'a> {
    /// The row as it last was.
    pub(crate) fn row(self) -> &'a RowImage {
        match self {
            Self::Created(row) | Self::Updated(_, row) | Self::Deleted(row) => row,
        }
    }
}

/// An event as it is written: its JSON is text already.
#[derive(Clone)]
pub(crate) struct Recorded {
    pub(crate) id: Uuid,
    pub(crate) team_id: String,
    pub(crate) event_type: EventType,
    pub(crate) object_type: Option<Cow<'static, str>>,
    pub(crate) object_id: Option<String>,
    pub(crate) actor_id: Option<Arc<str>>,
    pub(crate) unit_id: Uuid,
    pub(crate) event_data: String,
    pub(crate) context: Arc<str>,
    pub(crate) occurred_at: DateTime<Utc>,
}

impl Recorded {
    /// As consumers see it.
    pub(crate) fn to_event(&self) -> Result<Event, DbErr> {
        let json = |text: &str| serde_json::from_str(text).map_err(|error| DbErr::Json(error.to_string()));
        let object = self.object_type.as_deref().zip(self.object_id.as_deref());
        Ok(Event {
            id: self.id,
            team_id: self.team_id.clone(),
            event_type: self.event_type.clone(),
            object: object.map(|(object_type, id)| ObjectRef::new(object_type, id)),
            actor_id: self.actor_id.as_deref().map(str::to_owned),
            unit_id: self.unit_id,
            event_data: json(&self.event_data)?,
            context: json(&self.context)?,
            occurred_at: self.occurred_at,
        })
    }
}

impl From<Event> for Recorded {
    fn from(event: Event) -> Self {
        let (object_type, object_id) =
            event.object.map(|object| (object.object_type.into(), object.object_id)).unzip();
        Self {
            id: event.id,
            team_id: event.team_id,
            event_type: event.event_type,
            object_type,
            object_id,
            actor_id: event.actor_id.map(Arc::from),
            unit_id: event.unit_id,
            event_data: event.event_data.to_string(),
            context: event.context.to_string().into(),
            occurred_at: event.occurred_at,
        }
    }
}

/// The events as consumers see them, if that is wanted.
pub(crate) fn seen(wanted: bool, events: &[Recorded]) -> Result<Vec<Event>, DbErr> {
    if wanted { events.iter().map(Recorded::to_event).collect() } else { Ok(Vec::new()) }
}

/// Makes the events of what one statement changed: what they have in common is made once.
pub(crate) struct Recorder<'a> {
    definition: &'static Definition,
    payloads: Payloads<'a>,
    actor_id: Option<Arc<str>>,
    context: Arc<str>,
    /// The same, for events that name their thread in it.
    context_json: Json,
    unit_id: Uuid,
    occurred_at: DateTime<Utc>,
    /// How large an event can be.
    limit: usize,
}

impl<'a> Recorder<'a> {
    pub(crate) fn new(
        definition: &'static Definition,
        options: &'a SaveOptions,
        context: &Context,
        unit_id: Uuid,
        limit: usize,
    ) -> Result<Self, Refused> {
        let mut json = context.to_json();
        if let (Some(reason), Json::Object(fields)) = (&options.reason, &mut json) {
            fields.insert("reason".to_owned(), Json::from(reason.as_str()));
        }
        Ok(Self {
            definition,
            payloads: Payloads::new(definition, options)?,
            actor_id: context.actor_id().map(Arc::from),
            context: json.to_string().into(),
            context_json: json,
            unit_id,
            occurred_at: now(),
            limit,
        })
    }

    /// The context of a row's events.
    fn context_of(&self, row: &RowImage) -> Result<Arc<str>, Refused> {
        let Some(thread) = self.definition.stated_thread(&row.key, &row.thread)? else {
            return Ok(Arc::clone(&self.context));
        };
        let mut json = self.context_json.clone();
        thread.put_into(&mut json);
        Ok(json.to_string().into())
    }

    pub(crate) fn definition(&self) -> &'static Definition {
        self.definition
    }

    /// The events of a change; none if no tracked field changed.
    pub(crate) fn events(
        &self,
        change: Change<'_>,
        team: &str,
    ) -> Result<impl Iterator<Item = Recorded>, Refused> {
        let payloads = self.payloads.of(change)?;
        let mut object_id = String::new();
        let mut context = Arc::clone(&self.context);
        if !payloads.is_empty() {
            context = self.context_of(change.row())?;
            object_id = self.definition.object_id(&change.row().key);
            check_identifier("object type", self.definition.object_type())?;
            check_object_id("object id", &object_id)?;
            for (_, event) in &payloads {
                size::check_event(self.definition, change.row(), event.len() + context.len(), self.limit)?;
            }
        }
        Ok(payloads.into_iter().map(move |(event_type, event_data)| Recorded {
            id: Uuid::now_v7(),
            team_id: team.to_owned(),
            event_type,
            object_type: Some(self.definition.object_type().into()),
            object_id: Some(object_id.clone()),
            actor_id: self.actor_id.clone(),
            unit_id: self.unit_id,
            event_data,
            context: Arc::clone(&context),
            occurred_at: self.occurred_at,
        }))
    }
}

/// Refuses a transition that an enforcing model does not declare, whatever fields the caller wants recorded.
fn transitions_are_allowed(definition: &Definition, old: &RowImage, new: &RowImage) -> Result<(), Refused> {
    (0..definition.fields().len()).try_for_each(|i| transition_is_allowed(definition, i, old, &new.values[i]))
}

/// Whether the field at this place may go from what the row held to this value.
pub(crate) fn transition_is_allowed(
    definition: &Definition,
    place: usize,
    old: &RowImage,
    to: &Value,
) -> Result<(), Refused> {
    let (field, from) = (&definition.fields()[place], &old.values[place]);
    if !field.is_enforced() || !field.is_undeclared(from, to) {
        return Ok(());
    }
    let json = |value| definition.json(field, value);
    Err(Refused::Transition(Box::new(UndeclaredTransition {
        object: definition.object(&old.key),
        field: field.name(),
        from: json(from)?,
        to: json(to)?,
        allowed: field.successors(from).iter().map(json).collect::<Result<_, _>>()?,
    })))
}

/// An event that was emitted by hand.
pub(crate) fn emitted(
    new: NewEvent,
    team: &TeamScope,
    context: &Context,
    unit_id: Uuid,
    limit: usize,
) -> Result<Event, Refused> {
    let event_type = new.event_type?;
    let known = new.subject.as_ref().and_then(|subject| subject.team.clone()).or(new.team);
    let (object, thread) = new.subject.map(|subject| (subject.object, subject.thread)).unzip();
    let team_id = match (team, known) {
        (TeamScope::Team(team), Some(known)) if *team != known => {
            let unnamed = || ObjectRef::new("event", &event_type);
            return Err(Refused::OtherTeam { object: object.unwrap_or_else(unnamed) });
        }
        (TeamScope::Team(team), _) => team.clone(),
        (TeamScope::All, Some(known)) => known,
        (TeamScope::All, None) => match context.stated_home_team() {
            Some(home) => home.to_owned(),
            None => {
                return Err(Refused::UnknownTeam {
                    what: format!("event `{event_type}`"),
                    hint: "the context spans all teams: say `.team(..)` on the event, or `.home_team(..)` on the context",
                });
            }
        },
        (TeamScope::New, _) => return Err(team_not_made(format!("event `{event_type}`"))),
        _ => return Err(Refused::NoTeam),
    };
    check_identifier("team", &team_id)?;
    if let Some(object) = &object {
        object.check()?;
    }
    let mut stored_context = context.to_json();
    if let Some(thread) = thread.flatten() {
        thread.check()?;
        thread.put_into(&mut stored_context);
    }
    let checked =
        value::check_json(&new.event_data).and_then(|()| size::fits(size::json_size(&new.event_data), limit));
    checked.map_err(|source| Refused::Value {
        object_type: event_type.to_string(),
        field: "event_data".to_owned(),
        source,
    })?;
    let occurred_at = new.occurred_at.map_or_else(now, cut);
    if !OF_EVENTS.contains(&occurred_at.year()) {
        let what = format!("`occurred_at` of `{event_type}`");
        return Err(Refused::DateOutOfRange { what, first: *OF_EVENTS.start() });
    }
    Ok(Event {
        id: Uuid::now_v7(),
        team_id,
        event_type,
        object,
        actor_id: context.actor_id().map(str::to_owned),
        unit_id,
        event_data: new.event_data,
        context: stored_context,
        occurred_at,
    })
}

fn team_not_made(what: String) -> Refused {
    Refused::UnknownTeam {
        what,
        hint: "the unit's team is made by its first insert of a model whose team is its own key",
    }
}

/// The team of a row that is there, if the context may touch it.
pub(crate) fn team_of(definition: &Definition, row: &RowImage, scope: &TeamScope) -> Result<String, Refused> {
    if *scope == TeamScope::New {
        return Err(team_not_made(format!("`{}`", definition.object_type())));
    }
    let own = own_team(definition, row)?;
    match (scope, own) {
        (TeamScope::Team(team), Some(own)) if own != *team => {
            Err(Refused::OtherTeam { object: definition.object(&row.key) })
        }
        (TeamScope::Team(team), _) => Ok(team.clone()),
        (TeamScope::All, Some(own)) => {
            check_identifier("team", &own)?;
            Ok(own)
        }
        (TeamScope::All, None) => Err(Refused::UnknownTeam {
            what: format!("`{}`", definition.object_type()),
            hint: "its rows do not say (`team = context`), so name one with `Context::team(..)`",
        }),
        _ => Err(Refused::NoTeam),
    }
}

/// What the only row of this answer holds, if there is one and the context may touch it.
pub(crate) fn only_row(
    definition: &Definition,
    rows: &[QueryResult],
    scope: &TeamScope,
) -> Result<Option<RowImage>, DbErr> {
    let (mut own, mut refused) = (None, None);
    for row in rows {
        let image = definition.image(row, "")?;
        match team_of(definition, &image, scope) {
            Ok(_) => own = Some(image),
            Err(error) => refused = Some(error),
        }
    }
    match (own, refused) {
        (Some(_), _) if rows.len() > 1 => {
            Err(Refused::SeveralRows { object_type: definition.object_type() }.into())
        }
        (Some(own), _) => Ok(Some(own)),
        (None, Some(refused)) => Err(refused.into()),
        (None, None) => Ok(None),
    }
}

/// The team of a row that is inserted. Only such a row makes the team of a unit that has none yet.
pub(crate) fn team_of_insert(
    definition: &Definition,
    row: &RowImage,
    scope: &TeamScope,
) -> Result<String, Refused> {
    if *scope != TeamScope::New || !definition.is_team() {
        return team_of(definition, row, scope);
    }
    let own = own_team(definition, row)?.ok_or(Refused::NoTeam)?;
    check_identifier("team", &own)?;
    Ok(own)
}

/// The team of a change, if the context may make it.
pub(crate) fn team_of_change(
    definition: &Definition,
    change: Change<'_>,
    scope: &TeamScope,
) -> Result<String, Refused> {
    match change {
        Change::Created(row) => team_of_insert(definition, row, scope),
        Change::Updated(_, row) | Change::Deleted(row) => team_of(definition, row, scope),
    }
}

/// What the row itself says of its team; NULL is refused.
fn own_team(definition: &Definition, row: &RowImage) -> Result<Option<String>, Refused> {
    match (definition.team(), &row.team) {
        (TeamSource::Context, _) => Ok(None),
        (TeamSource::Column(column), team) => match team.as_ref().and_then(team_text) {
            Some(team) => Ok(Some(team)),
            None => Err(Refused::NullTeam { object_type: definition.object_type(), column }),
        },
    }
}

/// Refuses an update that moves a row to another team.
pub(crate) fn same_team(definition: &Definition, old: &RowImage, new: &RowImage) -> Result<(), Refused> {
    if own_team(definition, old)? == own_team(definition, new)? {
        Ok(())
    } else {
        Err(Refused::TeamChanged { object: definition.object(&old.key) })
    }
}

pub(crate) fn now() -> DateTime<Utc> {
    cut(Utc::now())
}

/// To the microsecond, which is what is stored, so that a consumer sees what a reader will.
fn cut(at: DateTime<Utc>) -> DateTime<Utc> {
    at.duration_trunc(TimeDelta::microseconds(1)).unwrap_or(at)
}
