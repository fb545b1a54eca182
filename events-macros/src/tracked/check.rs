//! One small function a rule.

use std::collections::HashSet;

use syn::{Data, DeriveInput, LitStr, Type};

use super::{
    model::{Field, Model, Team},
    secrets,
    thread::Thread,
    transitions::in_option,
};
use crate::errors::Errors;

pub(crate) fn model(model: &Model, errors: &mut Errors) {
    team_is_said(model, errors);
    team_is_a_field(model, errors);
    soft_delete_is_a_field(model, errors);
    soft_delete_marks_a_row(model, errors);
    thread_is_of_columns(model, errors);
    objects_have_a_name(model, errors);
    object_types_can_be_stored(model, errors);
    something_is_tracked(model, errors);
    secrets::are_named(model, errors);
    names_are_unique(model, errors);
    earlier_names_are_free(model, errors);
    for field in &model.fields {
        keys_fit_together(model, field, errors);
        key_and_team_are_open(model, field, errors);
        keys_have_no_states(field, errors);
        tracked_is_a_column(field, errors);
        label_and_format_show_something(field, errors);
        transitions_are_of_a_state(field, errors);
        transitions_are_declared_once(field, errors);
    }
}

fn team_is_said(model: &Model, errors: &mut Errors) {
    if model.said.team || model.said.something_else {
        return;
    }
    let message = "say whose rows these are: `#[tracked(team = \"team_id\")]`, the field that holds the team, or `team = context`";
    match &model.attribute {
        Some(attribute) => errors.at(attribute, message),
        None => errors.at(&model.ident, message),
    }
}

fn team_is_a_field(model: &Model, errors: &mut Errors) {
    let Some(Team::Field(name)) = &model.team else { return };
    let columns = || model.fields.iter().filter(|field| field.is_column());
    if !columns().any(|field| field.is_called(&name.value())) {
        let names: Vec<_> = columns().map(|field| format!("`{}`", field.ident)).collect();
        errors.at(name, format!("no such field: expected one of {}, or `team = context`", names.join(", ")));
    }
}

fn soft_delete_is_a_field(model: &Model, errors: &mut Errors) {
    if let (Some(name), None) = (&model.soft_delete, model.deleted_mark()) {
        no_such_field(model, name, errors);
    }
}

fn no_such_field(model: &Model, name: &LitStr, errors: &mut Errors) {
    let columns = model.fields.iter().filter(|field| field.is_column());
    let names: Vec<_> = columns.map(|field| format!("`{}`", field.ident)).collect();
    errors.at(name, format!("no such field: expected one of {}", names.join(", ")));
}

/// Their values stand in the context of each event, whatever is redacted.
fn thread_is_of_columns(model: &Model, errors: &mut Errors) {
    for name in model.thread.iter().flat_map(Thread::names) {
        match model.column_called(name) {
            None => no_such_field(model, name, errors),
            Some(field) => {
                let redact = field.track.as_ref().and_then(|track| track.redact.as_ref());
                if let Some(redact) = redact {
                    let message = "what names the thread cannot be redacted, it stands in every event of the thread: drop `redact`";
                    errors.at(redact, message);
                }
            }
        }
    }
}

/// Its change is DELETED or RESTORED, which no other meaning of the field may hide.
fn soft_delete_marks_a_row(model: &Model, errors: &mut Errors) {
    let (Some(name), Some(field)) = (&model.soft_delete, model.deleted_mark()) else { return };
    let track = field.track.as_ref();
    if field.column.primary_key {
        errors.at(name, "a key names its row and cannot mark it as deleted: name another field");
    } else if model.is_team(field) {
        errors.at(name, "the team of a row never changes and cannot mark it as deleted: name another field");
    } else if let Some(redact) = track.and_then(|track| track.redact.as_ref()) {
        errors.at(redact, "that a row is deleted is recorded and no secret: drop `redact`");
    } else if let Some(state) = track.and_then(|track| track.state.as_ref()) {
        errors.at(state, "a change of the soft-delete column is DELETED or RESTORED: drop `state`");
    } else {
        type_can_mark_a_row(&field.ty, errors);
    }
}

/// What can be told from its spelling; a trait bound tells the rest.
fn type_can_mark_a_row(ty: &Type, errors: &mut Errors) {
    let inner = in_option(ty);
    let name = type_name(inner.unwrap_or(ty));
    let is = |names: &[&str]| name.as_deref().is_some_and(|name| names.contains(&name));
    if inner.is_none() && is(&TIMES) {
        errors.at(ty, "without NULL it cannot say that a row is alive: make it an `Option` of this");
    } else if name.is_none() || is(&NO_MARKS) {
        errors.at(
            ty,
            "this cannot mark a row as deleted: expected a nullable time, such as `Option<DateTimeUtc>`, or a `bool`",
        );
    }
}

const TIMES: [&str; 17] = [
    "DateTime",
    "DateTimeUtc",
    "DateTimeLocal",
    "DateTimeWithTimeZone",
    "ChronoDateTime",
    "ChronoDateTimeUtc",
    "ChronoDateTimeLocal",
    "ChronoDateTimeWithTimeZone",
    "NaiveDateTime",
    "NaiveDate",
    "Date",
    "ChronoDate",
    "TimeDate",
    "TimeDateTime",
    "TimeDateTimeWithTimeZone",
    "OffsetDateTime",
    "PrimitiveDateTime",
];

const NO_MARKS: [&str; 22] = [
    "i8",
    "i16",
    "i32",
    "i64",
    "u8",
    "u16",
    "u32",
    "u64",
    "f32",
    "f64",
    "char",
    "str",
    "String",
    "Vec",
    "Option",
    "Uuid",
    "Decimal",
    "BigDecimal",
    "Json",
    "JsonValue",
    "Time",
    "NaiveTime",
];

/// The last word of a type's path.
pub(super) fn type_name(ty: &Type) -> Option<String> {
    match ty {
        Type::Path(path) => Some(path.path.segments.last()?.ident.to_string()),
        Type::Group(group) => type_name(&group.elem),
        _ => None,
    }
}

fn objects_have_a_name(model: &Model, errors: &mut Errors) {
    if model.object_type.is_none() && !model.said.object_type && !model.said.something_else {
        errors.at(
            &model.ident,
            "no name for its objects: write `#[tracked(object_type = \"..\")]` or `#[sea_orm(table_name = \"..\")]`",
        );
    }
}

/// The database holds 191 characters of it.
fn object_types_can_be_stored(model: &Model, errors: &mut Errors) {
    let of_thread = model.thread.as_ref().and_then(|thread| thread.object_type.as_ref());
    for object_type in model.object_type.iter().chain(of_thread) {
        object_type_can_be_stored(object_type, errors);
    }
}

fn object_type_can_be_stored(object_type: &LitStr, errors: &mut Errors) {
    let length = object_type.value().chars().count();
    if length == 0 {
        errors.at(object_type, "an object type has at least one character: write `object_type = \"..\"`");
    } else if length > 191 {
        errors.at(
            object_type,
            "an object type has at most 191 characters: write a shorter `object_type = \"..\"`",
        );
    }
}

fn something_is_tracked(model: &Model, errors: &mut Errors) {
    if !model.said.all && !model.said.something_else && model.fields.iter().all(|field| field.track.is_none())
    {
        errors.at(
            &model.ident,
            "nothing is tracked: put `#[track]` on a field, or `all` into `#[tracked(..)]`",
        );
    }
}

/// What an event of another time calls one field must be no other field's.
fn earlier_names_are_free(model: &Model, errors: &mut Errors) {
    let now: HashSet<_> = model.tracked().map(Field::name).collect();
    let mut names = HashSet::new();
    for earlier in model.tracked().filter_map(|field| field.track.as_ref()?.renamed_from.as_ref()) {
        let name = earlier.value();
        if name.is_empty() {
            errors.at(earlier, "a name has at least one character: write `#[track(renamed_from = \"..\")]`");
        } else if now.contains(&name) {
            errors
                .at(earlier, format!("a field is recorded as `{name}` now: name what it was called before"));
        } else if !names.insert(name.clone()) {
            errors.at(earlier, format!("another field was recorded as `{name}` already: name another"));
        }
    }
}

fn names_are_unique(model: &Model, errors: &mut Errors) {
    let mut names = HashSet::new();
    for field in model.tracked() {
        let name = field.name();
        let message = if name.is_empty() {
            "a name has at least one character: write `#[track(rename = \"..\")]`".to_owned()
        } else if !names.insert(name.clone()) {
            format!(
                "another field is recorded as `{name}` already: write another `#[track(rename = \"..\")]`"
            )
        } else {
            continue;
        };
        match field.rename() {
            Some(rename) => errors.at(rename, message),
            None => errors.at(&field.ident, message),
        }
    }
}

fn keys_fit_together(model: &Model, field: &Field, errors: &mut Errors) {
    let Some(track) = &field.track else { return };
    if let Some(skip) = &track.skip {
        if track.rename.is_some()
            || track.state.is_some()
            || track.redact.is_some()
            || track.digest.is_some()
            || track.renamed_from.is_some()
            || track.with.is_some()
            || track.transitions.is_some()
            || track.enforce.is_some()
            || track.label.is_some()
            || track.format.is_some()
        {
            errors.at(skip, "a skipped field takes no other key: drop `skip` or the others");
        } else if !model.said.all && !model.said.something_else {
            errors.at(skip, "only under `#[tracked(all)]` is there something to skip: remove the attribute");
        }
    }
    if let Some(redact) = &track.redact {
        if track.state.is_some() {
            errors.at(redact, "a state's values are what a transition records: drop `redact` or `state`");
        }
        if track.with.is_some() {
            errors.at(redact, "a redacted field records no value for `with` to make: drop one of them");
        }
        if track.digest.is_some() {
            errors.at(
                redact,
                "a redacted field records nothing of its value, a digest neither: drop one of them",
            );
        }
    }
    if let Some(digest) = &track.digest {
        if track.state.is_some() {
            errors.at(digest, "a state's values are what a transition records: drop `digest` or `state`");
        }
        if track.with.is_some() {
            errors.at(digest, "`with` makes what is recorded of the value: drop `digest` or `with`");
        }
    }
}

fn label_and_format_show_something(field: &Field, errors: &mut Errors) {
    let Some(track) = &field.track else { return };
    if let Some(label) = track.label.as_ref().filter(|label| label.value().trim().is_empty()) {
        errors.at(label, "a label has at least one character that can be seen");
    }
    if let (Some(format), Some(_)) = (&track.format, &track.redact) {
        errors.at(format.tokens(), "a redacted field has no value to be shown: drop `redact` or `format`");
    }
    if let (Some(format), Some(_)) = (&track.format, &track.digest) {
        errors.at(format.tokens(), "of a digest there is no value to be shown: drop `digest` or `format`");
    }
}

/// No save of SeaORM's changes a key, so tracking one says how its row began and ended, and no more.
fn keys_have_no_states(field: &Field, errors: &mut Errors) {
    let Some(state) = field.track.as_ref().and_then(|track| track.state.as_ref()) else { return };
    if field.column.primary_key {
        errors.at(state, "a key never changes, so it is no state: drop `state`");
    }
}

/// Their values stand in `object_id` and `team_id`, whatever is redacted.
fn key_and_team_are_open(model: &Model, field: &Field, errors: &mut Errors) {
    let Some(redact) = field.track.as_ref().and_then(|track| track.redact.as_ref()) else { return };
    if field.column.primary_key {
        errors.at(redact, "a key cannot be redacted, it names the object in every event: drop `redact`");
    } else if model.is_team(field) {
        errors.at(redact, "the team cannot be redacted, it stands in every event: drop `redact`");
    }
}

fn tracked_is_a_column(field: &Field, errors: &mut Errors) {
    if field.track.as_ref().is_none_or(|track| track.skip.is_some()) {
        return;
    }
    if field.column.ignored {
        errors.at(
            &field.ident,
            "this field is no column (`#[sea_orm(ignore)]`) and cannot be tracked: remove the `#[track]`",
        );
    } else if is_relation(&field.ty) {
        errors.at(&field.ident, RELATION);
    }
}

fn transitions_are_of_a_state(field: &Field, errors: &mut Errors) {
    let Some(track) = &field.track else { return };
    if let Some(transitions) = &track.transitions {
        if !track.says_state {
            errors.at(&transitions.path, "only a state has transitions: add `state`");
        }
        if track.with.is_some() {
            errors.at(
                &transitions.path,
                "transitions are told by what the database holds, not by what `with` makes of it: drop `with` or `transitions`",
            );
        }
    }
    if let (Some(enforce), false) = (&track.enforce, track.says_transitions) {
        errors.at(enforce, "nothing is declared that could be enforced: add `transitions(..)`");
    }
}

fn transitions_are_declared_once(field: &Field, errors: &mut Errors) {
    let Some(transitions) = field.track.as_ref().and_then(|track| track.transitions.as_ref()) else { return };
    let mut sources = HashSet::new();
    for source in &transitions.sources {
        let from = &source.from;
        if !sources.insert(from) {
            errors.at(from, format!("join the two lists of `{from}`"));
        }
        if source.to.is_empty() {
            errors.at(from, format!("`{from}` leads nowhere, as what is not declared does: leave it out"));
        }
        let mut targets = HashSet::new();
        for to in &source.to {
            if to == from {
                errors.at(
                    to,
                    format!("from a state to itself is no change and leaves no event: remove `{to}`"),
                );
            } else if !targets.insert(to) {
                errors.at(to, format!("`{to}` is listed twice: remove one"));
            }
        }
    }
}

const RELATION: &str = "a relation is no column: remove the `#[track]`, and track the other entity, whose own saves leave their events";

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

impl Field {
    pub(crate) fn is_column(&self) -> bool {
        !self.column.ignored && !is_relation(&self.ty)
    }
}

impl Model {
    /// The fields that are recorded.
    pub(crate) fn tracked(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(|field| match &field.track {
            Some(track) => track.skip.is_none(),
            None => {
                self.all.is_some() && !field.column.primary_key && !self.is_team(field) && field.is_column()
            }
        })
    }
}
