//! `on(Created, custom("launch_approved"))`: the types of the events that a consumer wants.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{
    Expr, ExprCall, ExprLit, Ident, Lit, LitStr, Token,
    parse::{ParseStream, Parser},
};

use crate::{
    errors::Errors,
    keys::{Key, ungrouped},
};

/// One of them, at the user's token.
pub(crate) enum EventType {
    /// A variant of `EventType`.
    BuiltIn(Ident),
    Custom(LitStr),
}

const BUILT_IN: [&str; 5] = ["Created", "Updated", "StateChanged", "Deleted", "Restored"];

const EXPECTED: &str =
    "`Created`, `Updated`, `StateChanged`, `Deleted`, `Restored` or `custom(\"launch_approved\")`";

const CUSTOM_NAME: &str =
    "the name of a custom event is a lower-case letter and at most 62 of `a-z`, `0-9`, `_` and `.`";

impl EventType {
    /// What stands in the parentheses of `on`.
    pub(crate) fn parse_all(key: Key, errors: &mut Errors) -> Vec<Self> {
        let message =
            format!("expected the types of the events that reach it, {EXPECTED}; without `on` all do");
        let Some((_, list)) = errors.keep(key.list(&message)) else { return Vec::new() };
        exprs(list, errors).into_iter().filter_map(|expr| errors.keep(Self::parse(expr))).collect()
    }

    fn parse(expr: Expr) -> syn::Result<Self> {
        match &expr {
            Expr::Path(path)
                if path.path.get_ident().is_some_and(|word| BUILT_IN.iter().any(|name| word == name)) =>
            {
                path.path.require_ident().cloned().map(Self::BuiltIn)
            }
            Expr::Call(call) if is_custom(&call.func) => Self::custom(call),
            _ => Err(syn::Error::new_spanned(&expr, meant_as(&expr))),
        }
    }

    fn custom(call: &ExprCall) -> syn::Result<Self> {
        let name = match call.args.first().cloned().map(ungrouped) {
            Some(Expr::Lit(ExprLit { lit: Lit::Str(name), .. })) if call.args.len() == 1 => name,
            _ => {
                return Err(syn::Error::new_spanned(
                    call,
                    "expected one name in quotes: `custom(\"launch_approved\")`",
                ));
            }
        };
        if is_custom_name(&name.value()) {
            Ok(Self::Custom(name))
        } else {
            Err(syn::Error::new_spanned(name, CUSTOM_NAME))
        }
    }

    /// As it is written.
    pub(crate) fn written(&self) -> String {
        match self {
            Self::BuiltIn(ident) => ident.to_string(),
            Self::Custom(name) => format!("custom(\"{}\")", name.value()),
        }
    }
}

/// Expressions with commas between them; what was read before a mistake is kept.
pub(crate) fn exprs(list: TokenStream, errors: &mut Errors) -> Vec<Expr> {
    let mut read = Vec::new();
    let parser = |input: ParseStream<'_>| {
        while !input.is_empty() {
            read.push(ungrouped(input.parse()?));
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(())
    };
    errors.keep(parser.parse2(list));
    read
}

fn is_custom(function: &Expr) -> bool {
    matches!(function, Expr::Path(path) if path.path.is_ident("custom"))
}

fn is_custom_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '.';
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.len() <= 63 && name.chars().all(allowed)
}

/// What to write instead, as far as that can be told.
fn meant_as(expr: &Expr) -> String {
    let (word, quoted) = match expr {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => (text.value(), true),
        Expr::Path(path) => match path.path.segments.last() {
            Some(last) => (last.ident.to_string(), false),
            None => (String::new(), false),
        },
        _ => (String::new(), false),
    };
    let letters = |text: &str| text.replace('_', "").to_ascii_lowercase();
    if let Some(name) = BUILT_IN.iter().find(|name| letters(name) == letters(&word)) {
        let how = if quoted { "without quotes: " } else { "" };
        return format!("expected {how}`{name}`");
    }
    if is_custom_name(&word) && word != "custom" {
        return format!(
            "a custom event is written `custom(\"{word}\")`; the others are `Created`, `Updated`, `StateChanged`, `Deleted` and `Restored`"
        );
    }
    format!("no such event type: expected {EXPECTED}")
}

impl ToTokens for EventType {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        match self {
            Self::BuiltIn(ident) => ident.to_tokens(tokens),
            Self::Custom(name) => name.to_tokens(tokens),
        }
    }
}
