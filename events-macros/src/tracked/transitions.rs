//! `transitions(Draft => [Live, Archived], ..)`: from which variant of a state to which.

use syn::{
    Ident, Path, Token, Type, bracketed,
    parse::{Parse, ParseStream, Parser},
    punctuated::Punctuated,
    token::Bracket,
};

use crate::keys::Key;

/// What a state declares.
pub(crate) struct Transitions {
    /// The key itself.
    pub(crate) path: Path,
    pub(crate) sources: Vec<Source>,
}

/// The successors of one variant.
pub(crate) struct Source {
    pub(crate) from: Ident,
    pub(crate) to: Vec<Ident>,
}

impl Transitions {
    pub(crate) fn parse(key: Key) -> syn::Result<Self> {
        let message = "expected the state's variants and where each may go: `transitions(Draft => [Live])`";
        let (path, list) = key.list(message)?;
        let sources = Punctuated::<Source, Token![,]>::parse_terminated.parse2(list)?;
        Ok(Self { path, sources: sources.into_iter().collect() })
    }
}

impl Parse for Source {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let from: Ident = input.parse()?;
        input.parse::<Token![=>]>()?;
        if !input.peek(Bracket) {
            return Err(input.error(format!("expected a list of variants: `{from} => [..]`")));
        }
        let list;
        bracketed!(list in input);
        let to = Punctuated::<Ident, Token![,]>::parse_terminated(&list)?;
        Ok(Self { from, to: to.into_iter().collect() })
    }
}

/// The type whose variants the states are: `T` of an `Option<T>`.
pub(crate) fn state_type(ty: &Type) -> &Type {
    in_option(ty).unwrap_or(ty)
}

/// `T`, if this is an `Option<T>`, as far as its spelling tells.
pub(crate) fn in_option(ty: &Type) -> Option<&Type> {
    let segment = match ty {
        Type::Path(path) => path.path.segments.last()?,
        // It came through a `macro_rules!`.
        Type::Group(group) => return in_option(&group.elem),
        _ => return None,
    };
    match &segment.arguments {
        syn::PathArguments::AngleBracketed(arguments) if segment.ident == "Option" => {
            match arguments.args.first()? {
                syn::GenericArgument::Type(ty) => Some(ty),
                _ => None,
            }
        }
        _ => None,
    }
}
