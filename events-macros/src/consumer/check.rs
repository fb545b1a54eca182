//! One small function a rule.

use std::collections::HashSet;

use quote::ToTokens;
use syn::{FnArg, GenericParam, ReturnType, Signature, Type, TypeReference};

use super::model::{Consumer, Delivery, Kind, OnError, Options, database_of, type_name};
use crate::errors::Errors;

pub(crate) fn consumer(consumer: &Consumer, options: &Options, errors: &mut Errors) {
    event_types_are_listed_once(options, errors);
    objects_are_listed_once(options, errors);
    objects_are_entities(options, errors);
    name_can_be_stored(consumer, options, errors);
    failures_can_be_met(options, errors);
    match &consumer.kind {
        Kind::Function(signature) => {
            is_async(signature, errors);
            has_no_generics(signature, errors);
            returns_a_result(signature, errors);
            if takes_a_database_and_an_event(signature, options, errors) {
                database_fits_delivery(signature, options, errors);
                event_is_borrowed(signature, errors);
            }
        }
        Kind::Type { consumer, .. } => trait_fits_delivery(consumer, options, errors),
    }
}

fn event_types_are_listed_once(options: &Options, errors: &mut Errors) {
    let mut listed = HashSet::new();
    for event_type in &options.on {
        let written = event_type.written();
        if !listed.insert(written.clone()) {
            errors.at(event_type, format!("`{written}` is listed twice: remove one"));
        }
    }
}

fn objects_are_listed_once(options: &Options, errors: &mut Errors) {
    let mut listed = HashSet::new();
    for object in &options.objects {
        if !listed.insert(object) {
            let written: String =
                object.to_token_stream().into_iter().map(|token| token.to_string()).collect();
            errors.at(object, format!("`{written}` is listed twice: remove one"));
        }
    }
}

/// The likeliest mistake of those that the compiler would find.
fn objects_are_entities(options: &Options, errors: &mut Errors) {
    for object in &options.objects {
        let last = object.path.segments.last().map(|last| &last.ident);
        if last.is_some_and(|last| last == "Model" || last == "ActiveModel") {
            errors.at(last, "name the entity, which stands beside it: `Entity`");
        }
    }
}

/// As long as the other names that the database holds.
fn name_can_be_stored(consumer: &Consumer, options: &Options, errors: &mut Errors) {
    let name = options.name.clone().unwrap_or_else(|| consumer.default_name());
    let length = name.value().chars().count();
    if length == 0 {
        errors.at(name, "a name has at least one character: write `name = \"..\"`, or drop it");
    } else if length > 191 {
        errors.at(name, "a consumer's name has at most 191 characters: write a shorter `name = \"..\"`");
    } else if name.value().contains('\0') {
        errors.at(name, "a consumer's name holds no NUL: write another `name = \"..\"`");
    }
}

fn failures_can_be_met(options: &Options, errors: &mut Errors) {
    let (Some((on_error, text)), Some(Delivery::AfterCommit)) = (&options.on_error, options.delivery) else {
        return;
    };
    let message = match on_error {
        OnError::Log => "after the commit failures are always logged: drop `on_error`",
        OnError::Abort => {
            "after the commit nothing can be aborted, and failures are logged: drop `on_error`, or `delivery`"
        }
    };
    errors.at(text, message);
}

fn is_async(signature: &Signature, errors: &mut Errors) {
    if signature.asyncness.is_none() {
        errors.at(signature.fn_token, "a consumer is async: write `async fn`");
    }
}

/// Lifetimes may have names.
fn has_no_generics(signature: &Signature, errors: &mut Errors) {
    let message = "a consumer has no generic parameters: name the types, `&EventTransaction` or `&EventConnection`, and `&Event`";
    let is_type = |parameter: &&GenericParam| !matches!(parameter, GenericParam::Lifetime(_));
    if let Some(parameter) = signature.generics.params.iter().find(is_type) {
        errors.at(parameter, message);
    }
    let mut types = signature.inputs.iter().filter_map(ty);
    if let Some(hidden) = types.find(|ty| matches!(target(ty), Type::ImplTrait(_))) {
        errors.at(hidden, message);
    }
}

fn returns_a_result(signature: &Signature, errors: &mut Errors) {
    if matches!(signature.output, ReturnType::Default) {
        errors.at(&signature.ident, "a consumer says how it went: write `-> Result<(), ConsumerError>`");
    }
}

/// Whether it takes two parameters.
fn takes_a_database_and_an_event(signature: &Signature, options: &Options, errors: &mut Errors) -> bool {
    if let Some(receiver) = signature.receiver() {
        errors.at(
            receiver,
            "a consumer is no method: write a function of its own, or `impl Consumer for Type`, and `#[event_consumer]` on either",
        );
        return false;
    }
    if signature.inputs.len() != 2 {
        let database = options.delivery.unwrap_or(Delivery::InTransaction).database();
        errors.at(&signature.ident, format!("a consumer takes two parameters: `&{database}` and `&Event`"));
        return false;
    }
    true
}

fn database_fits_delivery(signature: &Signature, options: &Options, errors: &mut Errors) {
    let (Some(first), Some(delivery)) = (signature.inputs.first().and_then(ty), options.delivery) else {
        return;
    };
    let database = delivery.database();
    match Delivery::of(target(first)) {
        Some(taken) if taken != delivery => errors.at(
            first,
            match delivery {
                Delivery::InTransaction => format!(
                    "this consumer runs in the transaction: take `&{database}`, or say `delivery = \"after_commit\"`"
                ),
                Delivery::AfterCommit => format!(
                    "this consumer runs after the commit: take `&{database}`, or drop `delivery = \"after_commit\"`"
                ),
            },
        ),
        Some(_) if !is_borrowed(first) => errors.at(first, format!("a consumer borrows it: write `&{database}`")),
        None if is_event(first) => errors.at(first, format!("the first parameter is `&{database}`, the second is `&Event`")),
        _ => {}
    }
}

fn event_is_borrowed(signature: &Signature, errors: &mut Errors) {
    let Some(second) = signature.inputs.get(1).and_then(ty) else { return };
    if is_event(second) && !is_borrowed(second) {
        errors.at(second, "a consumer borrows it: write `&Event`");
    }
}

fn trait_fits_delivery(consumer: &syn::Path, options: &Options, errors: &mut Errors) {
    let Some(delivery) = options.delivery else { return };
    let implemented = match database_of(consumer) {
        Some(database) => Delivery::of(database),
        None => Some(Delivery::InTransaction),
    };
    if implemented.is_none_or(|implemented| implemented == delivery) {
        return;
    }
    errors.at(
        consumer,
        match delivery {
            Delivery::InTransaction => {
                "this consumer runs in the transaction: implement `Consumer`, or say `delivery = \"after_commit\"`"
            }
            Delivery::AfterCommit => {
                "this consumer runs after the commit: implement `Consumer<EventConnection>`, or drop `delivery = \"after_commit\"`"
            }
        },
    );
}

fn ty(parameter: &FnArg) -> Option<&Type> {
    match parameter {
        FnArg::Typed(parameter) => Some(ungrouped(&parameter.ty)),
        FnArg::Receiver(_) => None,
    }
}

/// A type that came through a `macro_rules!` stands in a group that nobody wrote.
fn ungrouped(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => ungrouped(&group.elem),
        other => other,
    }
}

/// The type that is borrowed, if one is.
fn target(ty: &Type) -> &Type {
    match ty {
        Type::Reference(reference) => ungrouped(&reference.elem),
        other => other,
    }
}

fn is_borrowed(ty: &Type) -> bool {
    matches!(ty, Type::Reference(TypeReference { mutability: None, .. }))
}

fn is_event(ty: &Type) -> bool {
    type_name(target(ty)).is_some_and(|name| name == "Event")
}
