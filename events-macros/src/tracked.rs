//! `#[derive(Tracked)]`: the whole story.

mod check;
mod expand;
mod model;

use proc_macro2::TokenStream;
use syn::DeriveInput;

use crate::errors::Errors;

pub(crate) fn derive(input: TokenStream) -> TokenStream {
    let input: DeriveInput = match syn::parse2(input) {
        Ok(input) => input,
        Err(error) => return error.into_compile_error(),
    };
    let mut errors = Errors::default();
    // `#[sea_orm::model]` copies the derive to the struct that it makes beside `Model`, relations included.
    if input.ident == "ModelEx" {
        check::relations(&input, &mut errors);
        return errors.into_tokens();
    }
    let model = model::Model::parse(&input, &mut errors);
    if let Some(model) = &model {
        check::model(model, &mut errors);
    }
    match model {
        Some(model) if errors.is_empty() => expand::model(&model),
        _ => expand::fallback(&input, errors),
    }
}
