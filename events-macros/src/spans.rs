//! Where the compiler points when the output does not compile.

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;

/// Shown to the user here; names mean what they mean in the rest of the output.
pub(crate) fn at(span: Span) -> Span {
    Span::call_site().located_at(span)
}

/// Shown to the user here; names mean what they meant.
pub(crate) fn located_at(tokens: &impl ToTokens, span: Span) -> TokenStream {
    let relocated = tokens.to_token_stream().into_iter().map(|mut token| {
        token.set_span(token.span().located_at(span));
        token
    });
    relocated.collect()
}
