//! One small function a rule.

use std::collections::HashSet;

use syn::{Data, DeriveInput, Type};

use super::model::{Field, Model, Team};
use crate::errors::Errors;

pub(crate) fn model(model: &Model, errors: &mut Errors) {
    object_type_can_be_stored(model, errors);
    team_is_a_field(model, errors);
    something_is_tracked(model, errors);
    names_are_unique(model, errors);
    for field in &model.fields {
        keys_fit_together(model, field, errors);
        key_and_team_are_open(model, field, errors);
        tracked_is_a_column(field, errors);
    }
}

/// The database holds 191 characters of it.
fn object_type_can_be_stored(model: &Model, errors: &mut Errors) {
    let length = model.object_type.value().chars().count();
    if length == 0 {
        errors.at(&model.object_type, "an object type has at least one character");
    } else if length > 191 {
        errors.at(&model.object_type, "an object type has at most 191 characters");
    }
}

fn team_is_a_field(model: &Model, errors: &mut Errors) {
    let Some(Team::Field(name)) = &model.team else { return };
    if !model.fields.iter().any(|field| field.is_called(&name.value()) && !field.ignored) {
        let names: Vec<_> = model.fields.iter().map(|field| format!("`{}`", field.ident)).collect();
        errors.at(name, format!("no such field: expected one of {}, or `team = context`", names.join(", ")));
    }
}

fn something_is_tracked(model: &Model, errors: &mut Errors) {
    if model.all.is_none() && model.fields.iter().all(|field| field.track.is_none()) {
        errors.at(
            &model.ident,
            "nothing is tracked: put `#[track]` on a field, or `all` into `#[tracked(..)]`",
        );
    }
}

fn names_are_unique(model: &Model, errors: &mut Errors) {
    let mut names = HashSet::new();
    for field in model.tracked() {
        let name = field.name();
        if name.is_empty() {
            errors.at(
                field.track.as_ref().and_then(|track| track.rename.as_ref()),
                "a name has at least one character",
            );
        } else if !names.insert(name.clone()) {
            errors.at(
                &field.ident,
                format!("another field is recorded as `{name}` already: use `#[track(rename = \"..\")]`"),
            );
        }
    }
}

fn keys_fit_together(model: &Model, field: &Field, errors: &mut Errors) {
    let Some(track) = &field.track else { return };
    if let Some(skip) = &track.skip {
        if model.all.is_none() {
            errors.at(skip, "only under `#[tracked(all)]` is there something to skip: remove the attribute");
        }
        if track.rename.is_some() || track.state.is_some() || track.redact.is_some() || track.with.is_some() {
            errors.at(skip, "a skipped field takes no other key");
        }
    }
    if let Some(redact) = &track.redact {
        if track.state.is_some() {
            errors.at(redact, "a state's values are what a transition records: drop `redact` or `state`");
        }
        if track.with.is_some() {
            errors.at(redact, "a redacted field records no value for `with` to make: drop one of them");
        }
    }
}

/// Their values stand in `object_id` and `team_id`, whatever is redacted.
fn key_and_team_are_open(model: &Model, field: &Field, errors: &mut Errors) {
    let Some(redact) = field.track.as_ref().and_then(|track| track.redact.as_ref()) else { return };
    let is_team = matches!(&model.team, Some(Team::Field(name)) if field.is_called(&name.value()));
    if field.primary_key {
        errors.at(redact, "a key cannot be redacted: it names the object in every event");
    } else if is_team {
        errors.at(redact, "the team cannot be redacted: it stands in every event");
    }
}

fn tracked_is_a_column(field: &Field, errors: &mut Errors) {
    if field.track.as_ref().is_none_or(|track| track.skip.is_some()) {
        return;
    }
    if field.ignored {
        errors.at(&field.ident, "this field is no column (`#[sea_orm(ignore)]`): it cannot be tracked");
    } else if is_relation(&field.ty) {
        errors.at(&field.ident, RELATION);
    }
}

const RELATION: &str = "a relation is no column: track the other entity, whose own saves leave their events";

/// On the struct that `#[sea_orm::model]` makes, only relations can be wrong: `Model` does not have them.
pub(crate) fn relations(input: &DeriveInput, errors: &mut Errors) {
    let Data::Struct(data) = &input.data else { return };
    for field in &data.fields {
        let tracked = field.attrs.iter().any(|attribute| attribute.path().is_ident("track"));
        if tracked && is_relation(&field.ty) {
            errors.at(&field.ident, RELATION);
        }
    }
}

fn is_relation(ty: &Type) -> bool {
    let Type::Path(path) = ty else { return false };
    path.path
        .segments
        .last()
        .is_some_and(|last| ["HasOne", "HasMany", "BelongsTo"].iter().any(|name| last.ident == name))
}

impl Model {
    /// The fields that are recorded.
    pub(crate) fn tracked(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(|field| match &field.track {
            Some(track) => track.skip.is_none(),
            None => {
                let is_team = matches!(&self.team, Some(Team::Field(name)) if field.is_called(&name.value()));
                self.all.is_some()
                    && !field.primary_key
                    && !is_team
                    && !field.ignored
                    && !is_relation(&field.ty)
            }
        })
    }
}
