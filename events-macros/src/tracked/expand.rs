//! The output: data, and one line for each hook.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, Path};

use super::model::{Field, Model, Team};
use crate::{behavior, errors::Errors};

pub(crate) fn model(model: &Model) -> TokenStream {
    let Model { ident, krate, object_type, .. } = model;
    let fields = model.tracked().map(|field| definition_of(krate, field));
    let values = model.tracked().map(|field| value_of(krate, field));
    let team_field = match &model.team {
        Some(Team::Field(name)) => model.fields.iter().find(|field| field.is_called(&name.value())),
        _ => None,
    };
    let (team, team_value) = match team_field {
        Some(Field { variant, .. }) => (
            quote!(#krate::TeamSource::Column(#krate::__private::column_name(&Column::#variant))),
            quote!(::core::option::Option::Some(<Self as #krate::sea_orm::ModelTrait>::get(self, Column::#variant))),
        ),
        None => (quote!(#krate::TeamSource::Context), quote!(::core::option::Option::None)),
    };
    let behavior = if model.custom_behavior { TokenStream::new() } else { behavior::generated(krate) };
    quote! {
        const _: () = {
            #[automatically_derived]
            impl #krate::Tracked for #ident {
                fn definition() -> &'static #krate::Definition {
                    static DEFINITION: ::std::sync::LazyLock<#krate::Definition> = ::std::sync::LazyLock::new(|| {
                        #krate::Definition::new::<Entity>(#object_type, #team, ::std::vec![#(#fields),*])
                    });
                    &DEFINITION
                }

                fn team_value(&self) -> ::core::option::Option<#krate::sea_orm::Value> {
                    #team_value
                }

                fn tracked_values(&self) -> ::std::vec::Vec<#krate::sea_orm::Value> {
                    ::std::vec![#(#values),*]
                }
            }

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

fn definition_of(krate: &Path, field: &Field) -> TokenStream {
    let variant = &field.variant;
    let track = field.track.as_ref();
    let rename = track.and_then(|track| track.rename.as_ref()).map(|name| quote!(.renamed(#name)));
    let state = track.and_then(|track| track.state.as_ref()).map(|_| quote!(.state()));
    let redacted = track.and_then(|track| track.redact.as_ref()).map(|_| quote!(.redacted()));
    quote!(#krate::Field::new(#krate::__private::column_name(&Column::#variant)) #rename #state #redacted)
}

fn value_of(krate: &Path, field: &Field) -> TokenStream {
    let Field { ident, variant, .. } = field;
    match field.track.as_ref().and_then(|track| track.with.as_ref()) {
        Some(with) => quote!(#krate::__private::custom_value(#with(&self.#ident))),
        None => quote!(<Self as #krate::sea_orm::ModelTrait>::get(self, Column::#variant)),
    }
}

/// The errors, and inert impls so that each mistake is reported once and causes no other.
pub(crate) fn fallback(input: &DeriveInput, errors: Errors) -> TokenStream {
    let ident = &input.ident;
    let errors = errors.into_tokens();
    if !matches!(input.data, syn::Data::Struct(_)) || !input.generics.params.is_empty() {
        return errors;
    }
    quote! {
        #errors
        const _: () = {
            #[automatically_derived]
            impl ::events_sea_orm::Tracked for #ident {
                fn definition() -> &'static ::events_sea_orm::Definition { ::core::unreachable!() }
                fn team_value(&self) -> ::core::option::Option<::events_sea_orm::sea_orm::Value> { ::core::unreachable!() }
                fn tracked_values(&self) -> ::std::vec::Vec<::events_sea_orm::sea_orm::Value> { ::core::unreachable!() }
            }
            #[automatically_derived]
            impl ::events_sea_orm::sea_orm::ActiveModelBehavior for ActiveModel {}
        };
    }
}
