//! The output: data, and nothing of the item's.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::{ExprPath, Path, spanned::Spanned};

use super::{
    event_type::EventType,
    model::{Consumer, Delivery, Kind, OnError, Options},
};
use crate::spans::{at, located_at};

pub(crate) fn registration(consumer: &Consumer, options: &Options) -> TokenStream {
    let Options { krate, order, time_budget_ms, .. } = options;
    let conditions = &consumer.conditions;
    let subscription = subscription(consumer, options);
    let name = options.name.clone().unwrap_or_else(|| consumer.default_name());
    let on = event_types(options);
    let objects = options.objects.iter().map(object);
    let order = order.as_ref().map(|order| quote!(.order(#order)));
    let on_error =
        matches!(options.on_error, Some((OnError::Log, _))).then(|| quote!(.on_error(#krate::OnError::Log)));
    let time_budget = time_budget_ms
        .as_ref()
        .map(|number| quote!(.time_budget(::core::time::Duration::from_millis(#number))));
    // At the user's name: where no item may stand, in an `impl`, the compiler points there.
    let span = consumer.kind.span();
    let krate = located_at(krate, span);
    quote_spanned! {at(span)=>
        #(#conditions)*
        const _: () = {
            #krate::__private::inventory::submit! {
                #krate::__private::RegisteredConsumer(|| {
                    #subscription.named(#name) #on #(#objects)* #order #on_error #time_budget
                })
            }
        };
    }
}

/// All of it at the user's name: what is no consumer is an error there.
fn subscription(consumer: &Consumer, options: &Options) -> TokenStream {
    let span = consumer.kind.span();
    let krate = located_at(&options.krate, span);
    let value = match &consumer.kind {
        Kind::Function(signature) => signature.ident.to_token_stream(),
        // With braces: a field is one that is missing here, and the compiler names it.
        Kind::Type { ty, .. } => quote!(#ty {}),
    };
    match options.delivery {
        Some(Delivery::AfterCommit) => quote_spanned!(at(span)=> #krate::Subscription::after_commit(#value)),
        _ => quote_spanned!(at(span)=> #krate::Subscription::in_transaction(#value)),
    }
}

fn event_types(options: &Options) -> TokenStream {
    let krate: &Path = &options.krate;
    let (mut built_in, mut custom) = (Vec::new(), Vec::new());
    for event_type in &options.on {
        match event_type {
            EventType::BuiltIn(ident) => built_in.push(quote!(#krate::EventType::#ident)),
            EventType::Custom(name) => custom.push(quote!(.on_custom(#name))),
        }
    }
    let built_in = (!built_in.is_empty()).then(|| quote!(.on([#(#built_in),*])));
    quote!(#built_in #(#custom)*)
}

/// At the user's path: what is no tracked entity is an error there.
fn object(object: &ExprPath) -> TokenStream {
    quote_spanned!(at(object.span())=> .object::<#object>())
}
