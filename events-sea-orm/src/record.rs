//! From row images to events: which events a change leaves, for which team, and what stands in them.

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use events_core::{
    Context, CreatedEventData, DeletedEventData, Event, EventType, FieldChange, NewEvent, ObjectRef,
    RestoredEventData, StateChangedEventData, TeamScope, UpdatedEventData, error::check_identifier,
};
use sea_orm::Value;
use serde_json::Value as Json;
use uuid::Uuid;

use crate::{
    error::{Refused, UndeclaredTransition},
    tracked::{Definition, Field, RowImage, TeamSource, team_text},
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

/// The events of a change; none if no tracked field changed.
pub(crate) fn events(
    definition: &Definition,
    change: Change<'_>,
    options: &SaveOptions,
    team: &str,
    context: &Context,
    unit_id: Uuid,
) -> Result<Vec<Event>, Refused> {
    let payloads = payloads(definition, change, options)?;
    if payloads.is_empty() {
        return Ok(Vec::new());
    }
    let object = definition.object(&change.row().key);
    object.check()?;
    let mut stored_context = context.to_json();
    if let (Some(reason), Json::Object(fields)) = (&options.reason, &mut stored_context) {
        fields.insert("reason".to_owned(), Json::from(reason.as_str()));
    }
    let events = payloads.into_iter().map(|(event_type, event_data)| Event {
        id: Uuid::now_v7(),
        team_id: team.to_owned(),
        event_type,
        object: Some(object.clone()),
        actor_id: context.actor_id().map(str::to_owned),
        unit_id,
        event_data,
        context: stored_context.clone(),
        occurred_at: now(),
    });
    Ok(events.collect())
}

/// The payloads of a change.
pub(crate) fn payloads(
    definition: &Definition,
    change: Change<'_>,
    options: &SaveOptions,
) -> Result<Vec<(EventType, Json)>, Refused> {
    let wanted = match &options.track_fields {
        Some(names) => Some(definition.select_fields(names)?),
        None => None,
    };
    let fields = || {
        let chosen = |field: &Field| wanted.as_ref().is_none_or(|names| names.contains(&field.name()));
        definition.fields().iter().enumerate().filter(move |(_, field)| chosen(field))
    };
    let redacted = || {
        let names = fields().filter(|(_, field)| field.is_redacted());
        names.map(|(_, field)| field.name().to_owned()).collect::<Vec<_>>()
    };
    let values = |row: &RowImage| {
        let open = fields().filter(|(_, field)| !field.is_redacted());
        open.map(|(i, field)| Ok((field.name().to_owned(), definition.json(field, &row.values[i])?)))
            .collect::<Result<_, Refused>>()
    };
    let created = |row| {
        let data = CreatedEventData { initial_values: values(row)?, redacted: redacted() };
        Ok::<_, Refused>((EventType::Created, data.into()))
    };
    let deleted = |row| {
        let reason = options.reason.clone();
        let data = DeletedEventData { final_values: values(row)?, redacted: redacted(), reason };
        Ok::<_, Refused>((EventType::Deleted, data.into()))
    };
    let restored = |row| {
        let reason = options.reason.clone();
        let data = RestoredEventData { initial_values: values(row)?, redacted: redacted(), reason };
        Ok::<_, Refused>((EventType::Restored, data.into()))
    };
    Ok(match change {
        // The last CREATED, DELETED or RESTORED always tells whether the row counts as there.
        Change::Created(row) if row.deleted => vec![created(row)?, deleted(row)?],
        Change::Created(row) => vec![created(row)?],
        Change::Deleted(row) => vec![deleted(row)?],
        Change::Updated(old, new) => {
            transitions_are_allowed(definition, old, new)?;
            let marked = old.deleted != new.deleted;
            let mut updated = UpdatedEventData::default();
            let mut rest = Vec::new();
            for (i, field) in fields() {
                let (old, new) = (&old.values[i], &new.values[i]);
                // The mark's own change is the DELETED or RESTORED.
                if value::same(old, new) || (marked && definition.soft_delete() == Some(field.column())) {
                    continue;
                }
                if field.is_redacted() {
                    updated.redacted.push(field.name().to_owned());
                    continue;
                }
                let state =
                    FieldChange { old: definition.json(field, old)?, new: definition.json(field, new)? };
                if field.is_state() {
                    let data = StateChangedEventData {
                        field: Some(field.name().to_owned()),
                        state,
                        reason: options.reason.clone(),
                        undeclared: field.is_undeclared(old, new),
                    };
                    rest.push((EventType::StateChanged, data.into()));
                } else {
                    updated.changes.insert(field.name().to_owned(), state);
                }
            }
            if marked {
                rest.push(if new.deleted { deleted(new)? } else { restored(new)? });
            }
            let mut payloads = Vec::with_capacity(1 + rest.len());
            if !(updated.changes.is_empty() && updated.redacted.is_empty()) {
                payloads.push((EventType::Updated, updated.into()));
            }
            payloads.append(&mut rest);
            payloads
        }
    })
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
) -> Result<Event, Refused> {
    let event_type = new.event_type?;
    let known = new.subject.as_ref().and_then(|subject| subject.team.clone()).or(new.team);
    let object = new.subject.map(|subject| subject.object);
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
    value::check_json(&new.event_data).map_err(|source| Refused::Value {
        object_type: event_type.to_string(),
        field: "event_data".to_owned(),
        source,
    })?;
    Ok(Event {
        id: Uuid::now_v7(),
        team_id,
        event_type,
        object,
        actor_id: context.actor_id().map(str::to_owned),
        unit_id,
        event_data: new.event_data,
        context: context.to_json(),
        occurred_at: new.occurred_at.map_or_else(now, cut),
    })
}

fn team_not_made(what: String) -> Refused {
    Refused::UnknownTeam {
        what,
        hint: "the unit's team is made by its first insert of a model whose team is its own key",
    }
}

/// The team of a row, if the context may touch it.
pub(crate) fn team_of(definition: &Definition, row: &RowImage, scope: &TeamScope) -> Result<String, Refused> {
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
        (TeamScope::New, Some(own)) if definition.is_team() => {
            check_identifier("team", &own)?;
            Ok(own)
        }
        (TeamScope::New, _) => Err(team_not_made(format!("`{}`", definition.object_type()))),
        _ => Err(Refused::NoTeam),
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
