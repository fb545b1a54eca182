//! The output: data, and one line for each hook.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{ExprPath, Ident, LitStr, Path, Type, ext::IdentExt, spanned::Spanned};

use super::{
    model::{Field, Format, Model},
    thread::Thread,
    transitions::{Transitions, state_type},
};
use crate::{
    behavior,
    errors::Errors,
    spans::{at, located_at},
};

pub(crate) fn model(model: &Model) -> TokenStream {
    let Model { ident, krate, object_type, .. } = model;
    let fields = model.tracked().map(|field| definition_of(krate, field));
    let (with_functions, custom_value) = (with_functions(krate, model), custom_value(krate, model));
    let team = match model.fields.iter().find(|field| model.is_team(field)) {
        Some(field) => {
            let variant = &field.column.variant;
            quote!(#krate::TeamSource::Column(#krate::__private::column_name(&Column::#variant)))
        }
        None => quote!(#krate::TeamSource::Context),
    };
    let behavior = match &model.custom_behavior {
        Some(custom) => {
            let (said, record) = (behavior_is_said(krate), hooks_record(krate, custom));
            quote!(#said #record)
        }
        None => behavior::generated(krate),
    };
    let mark = model.deleted_mark();
    let (soft_deleted_by, soft_delete) = match mark {
        Some(field) => {
            let variant = &field.column.variant;
            (
                quote!(.soft_deleted_by(#krate::__private::column_name(&Column::#variant))),
                soft_delete(krate, ident, field),
            )
        }
        None => Default::default(),
    };
    let in_thread = model.thread.as_ref().map(|thread| of_thread(model, thread));
    quote! {
        const _: () = {
            #with_functions

            #[automatically_derived]
            impl #krate::Tracked for #ident {
                fn definition() -> &'static #krate::Definition {
                    static DEFINITION: ::std::sync::LazyLock<#krate::Definition> = ::std::sync::LazyLock::new(|| {
                        #krate::Definition::new::<Entity>(#object_type, #team, ::std::vec![#(#fields),*]) #soft_deleted_by #in_thread
                    });
                    &DEFINITION
                }

                #custom_value
            }

            #soft_delete

            #[automatically_derived]
            impl ::core::convert::From<&#ident> for #krate::Subject {
                fn from(model: &#ident) -> Self {
                    #krate::__private::subject(model)
                }
            }

            #krate::__private::inventory::submit! {
                #krate::__private::Registration(<#ident as #krate::Tracked>::definition)
            }
        };
        #behavior
    }
}

/// Whose thread it is.
fn of_thread(model: &Model, thread: &Thread) -> TokenStream {
    let krate = &model.krate;
    let variant = |name| model.column_called(name).map(|field| &field.column.variant);
    let column = |name| {
        let variant = variant(name);
        quote!(#krate::__private::column_name(&Column::#variant))
    };
    let part = |part: Option<TokenStream>| match part {
        Some(part) => quote!(::core::option::Option::Some(#part)),
        None => quote!(::core::option::Option::None),
    };
    let object_type = part(thread.object_type.as_ref().map(ToTokens::to_token_stream));
    let id = thread.id.iter().map(column);
    let scope = part(thread.scope.as_ref().map(column));
    quote! {
        .in_thread(#krate::ThreadSource { object_type: #object_type, id: ::std::vec![#(#id),*], scope: #scope })
    }
}

fn soft_delete(krate: &Path, ident: &Ident, field: &Field) -> TokenStream {
    let Field { ident: name, ty, column, .. } = field;
    let variant = &column.variant;
    quote! {
        #[automatically_derived]
        impl #krate::SoftDelete for #ident {
            type Mark = #ty;

            fn soft_delete_column() -> Column {
                Column::#variant
            }

            fn deleted_mark(&self) -> &#ty {
                &self.#name
            }
        }
    }
}

/// For `#[tracked_behavior]` to see.
fn behavior_is_said(krate: &Path) -> TokenStream {
    quote! {
        #[automatically_derived]
        impl #krate::__private::CustomBehavior for ActiveModel {}
    }
}

/// Hooks without `#[tracked_behavior]` would save and record nothing: an error at the `"custom"` then.
fn hooks_record(krate: &Path, custom: &LitStr) -> TokenStream {
    let krate = located_at(krate, custom.span());
    quote_spanned! {at(custom.span())=>
        const _: () = <ActiveModel as #krate::__private::TrackedBehavior>::RECORDS;
    }
}

fn definition_of(krate: &Path, field: &Field) -> TokenStream {
    let variant = &field.column.variant;
    let track = field.track.as_ref();
    let rename = field.rename().map(|name| quote!(.renamed(#name)));
    let state = track.and_then(|track| track.state.as_ref()).map(|_| quote!(.state()));
    let digested = track.and_then(|track| track.digest.as_ref()).map(|_| quote!(.digested()));
    let earlier = track.and_then(|track| track.renamed_from.as_ref());
    let earlier = earlier.map(|earlier| quote!(.renamed_from(#earlier)));
    let redacted = track.and_then(|track| track.redact.as_ref()).map(|_| quote!(.redacted()));
    let transitions = track.and_then(|track| track.transitions.as_ref());
    let transitions = transitions.map(|transitions| transitions_of(krate, &field.ty, transitions));
    let enforced = track.and_then(|track| track.enforce.as_ref()).map(|_| quote!(.enforced()));
    let label = track.and_then(|track| track.label.as_ref()).map(|label| quote!(.labeled(#label)));
    let format = track.and_then(|track| track.format.as_ref()).map(|format| format_of(krate, format));
    let with = track.and_then(|track| track.with.as_ref()).map(|_| {
        let (name, ty) = (with_name(field), &field.ty);
        quote!(.with(|row, column| ::core::result::Result::Ok(#name(&#krate::__private::field::<#ty>(row, column)?))))
    });
    quote!(#krate::Field::new(#krate::__private::column_name(&Column::#variant)) #rename #earlier #state #transitions #enforced #redacted #digested #with #label #format)
}

fn format_of(krate: &Path, format: &Format) -> TokenStream {
    let format = match format {
        Format::Plain(_) => quote!(#krate::Format::Plain),
        Format::Number(_) => quote!(#krate::Format::Number),
        Format::Date(_) => quote!(#krate::Format::Date),
        // All of it at the user's function: a function of another type is an error there.
        Format::With(with) => {
            let krate = located_at(krate, with.span());
            quote_spanned!(at(with.span())=> #krate::Format::With(#with))
        }
    };
    quote!(.formatted(#format))
}

fn transitions_of(krate: &Path, ty: &Type, transitions: &Transitions) -> TokenStream {
    let ty = state_type(ty);
    // At the user's variant: one that the enum does not have is an error there.
    let value = |variant: &Ident| {
        let krate = located_at(krate, variant.span());
        quote_spanned!(at(variant.span())=> #krate::__private::state_value(<#ty>::#variant))
    };
    let sources = transitions.sources.iter().map(|source| {
        let (from, to) = (value(&source.from), source.to.iter().map(value));
        quote!((#from, ::std::vec![#(#to),*]))
    });
    quote!(.transitions(::std::vec![#(#sources),*]))
}

/// The function that calls the user's `with`: of a row's field and of a model's, and a mistake in it is one error.
fn with_name(field: &Field) -> Ident {
    format_ident!("__with_{}", field.ident.unraw())
}

/// The fields whose values a function of the user's makes, and that function.
fn made_fields(model: &Model) -> impl Iterator<Item = (&Field, &ExprPath)> {
    model.tracked().filter_map(|field| Some((field, field.track.as_ref()?.with.as_ref()?)))
}

fn with_functions(krate: &Path, model: &Model) -> TokenStream {
    let functions = made_fields(model).map(|(field, with)| {
        let (name, ty) = (with_name(field), &field.ty);
        // All of it at the user's function: one of another type is an error there.
        let located = located_at(krate, with.span());
        let value =
            quote_spanned!(at(with.span())=> #located::__private::CustomValue::custom_value(#with(field)));
        quote! {
            // The field's own type, which may be a `String`.
            #[allow(clippy::ptr_arg)]
            fn #name(field: &#ty) -> #krate::sea_orm::Value {
                #value
            }
        }
    });
    functions.collect()
}

/// What `with` makes of the fields of a model.
fn custom_value(krate: &Path, model: &Model) -> Option<TokenStream> {
    let made = made_fields(model).map(|(field, _)| {
        let (name, ident, variant) = (with_name(field), &field.ident, &field.column.variant);
        quote! {
            if column == #krate::__private::column_name(&Column::#variant) {
                return ::core::option::Option::Some(#name(&self.#ident));
            }
        }
    });
    let made: Vec<_> = made.collect();
    (!made.is_empty()).then(|| {
        quote! {
            fn custom_value(&self, column: &::core::primitive::str) -> ::core::option::Option<#krate::sea_orm::Value> {
                #(#made)*
                ::core::option::Option::None
            }
        }
    })
}

/// The errors, and inert impls so that each mistake is reported once and causes no other.
pub(crate) fn fallback(model: Option<&Model>, errors: Errors) -> TokenStream {
    let errors = errors.into_tokens();
    let Some(Model { ident, krate, said, .. }) = model else { return errors };
    // Who says `behavior`, in whatever way, has an impl.
    let behavior = if said.behavior {
        behavior_is_said(krate)
    } else {
        behavior::inert(krate, &syn::parse_quote!(ActiveModel))
    };
    // A model that wants one is taken to have it, so that its calls are no further errors.
    let soft_delete = said.soft_delete.then(|| {
        quote! {
            #[automatically_derived]
            impl #krate::SoftDelete for #ident {
                type Mark = bool;
                fn soft_delete_column() -> Column { ::core::unreachable!() }
                fn deleted_mark(&self) -> &bool { ::core::unreachable!() }
            }
        }
    });
    quote! {
        #errors
        const _: () = {
            #soft_delete

            #[automatically_derived]
            impl #krate::Tracked for #ident {
                fn definition() -> &'static #krate::Definition { ::core::unreachable!() }
            }

            #[automatically_derived]
            impl ::core::convert::From<&#ident> for #krate::Subject {
                fn from(_: &#ident) -> Self { ::core::unreachable!() }
            }
        };
        #behavior
    }
}
