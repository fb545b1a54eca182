//! What stands in the parentheses of an attribute: `key`, or `key = value`.

use proc_macro2::{Group, TokenStream};
use syn::{
    Attribute, Expr, ExprPath, Lit, LitStr, Meta, Path, Token,
    ext::IdentExt,
    parse::{ParseStream, Parser},
};

use crate::errors::Errors;

/// One key as it was written.
pub(crate) struct Key {
    path: Path,
    value: Value,
}

enum Value {
    None,
    Expr(Box<Expr>),
    /// `key(..)`.
    List(Group),
}

/// The keys of an attribute, or of several of one name.
#[derive(Default)]
pub(crate) struct Keys {
    keys: Vec<Key>,
    /// Something could not be read, so a key that is not here may have been meant.
    pub(crate) unreadable: bool,
}

impl Keys {
    /// Adds what this attribute says.
    pub(crate) fn read(&mut self, attribute: &Attribute, errors: &mut Errors) {
        match &attribute.meta {
            Meta::Path(_) => {}
            // Not from the list's own tokens: a list that ends too early is reported at its end.
            Meta::List(_) => self.add(|parser| attribute.parse_args_with(parser), errors),
            Meta::NameValue(meta) => {
                self.unreadable = true;
                let name = attribute.path().get_ident().map(ToString::to_string).unwrap_or_default();
                errors.at(meta, format!("keys stand in parentheses: `#[{name}(..)]`"));
            }
        }
    }

    /// Adds what stands in an attribute macro's parentheses.
    pub(crate) fn read_arguments(&mut self, arguments: TokenStream, errors: &mut Errors) {
        self.add(|parser| Parser::parse2(parser, arguments), errors);
    }

    /// A key that was said before is a mistake, and the first one holds.
    fn add(
        &mut self,
        parse: impl FnOnce(&mut dyn FnMut(ParseStream<'_>) -> syn::Result<()>) -> syn::Result<()>,
        errors: &mut Errors,
    ) {
        // Not syn's own parser of lists: it drops what it read before a mistake.
        let mut read = Vec::new();
        if errors.keep(parse(&mut |input: ParseStream<'_>| Key::parse_all(input, &mut read))).is_none() {
            self.unreadable = true;
        }
        for key in read {
            if self.keys.iter().any(|other| other.path == key.path) {
                errors.at(&key.path, format!("`{}` is said twice: remove one", key.name()));
            } else {
                self.keys.push(key);
            }
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.keys.iter().any(|key| key.is(name))
    }

    /// Whether this key was written, or something that may have been meant as it.
    pub(crate) fn may_have(&self, name: &str, known: &[&str]) -> bool {
        let unknown = |key: &Key| !known.iter().any(|known| key.is(known));
        self.has(name) || self.unreadable || self.keys.iter().any(unknown)
    }
}

impl IntoIterator for Keys {
    type Item = Key;
    type IntoIter = std::vec::IntoIter<Key>;

    fn into_iter(self) -> Self::IntoIter {
        self.keys.into_iter()
    }
}

impl Key {
    fn parse_all(input: ParseStream<'_>, read: &mut Vec<Self>) -> syn::Result<()> {
        while !input.is_empty() {
            read.push(Self::parse(input)?);
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(())
    }

    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        // A keyword too: `crate` is one, and any other gets the message of an unknown key.
        let key = input.call(syn::Ident::parse_any);
        let key =
            key.map_err(|error| syn::Error::new(error.span(), "expected a key, `key` or `key = value`"))?;
        let path = Path::from(key);
        let value = if input.peek(Token![=]) {
            let equals: Token![=] = input.parse()?;
            if input.is_empty() || input.peek(Token![,]) {
                return Err(syn::Error::new_spanned(equals, "a value is missing after this"));
            }
            Value::Expr(input.parse()?)
        } else if input.peek(syn::token::Paren) {
            Value::List(input.parse()?)
        } else {
            Value::None
        };
        Ok(Self { path, value })
    }

    pub(crate) fn is(&self, name: &str) -> bool {
        self.path.is_ident(name)
    }

    fn name(&self) -> String {
        self.path.get_ident().map(ToString::to_string).unwrap_or_default()
    }

    pub(crate) fn unknown(&self, expected: &str) -> syn::Error {
        syn::Error::new_spanned(&self.path, format!("no such key: expected {expected}"))
    }

    /// `key` alone.
    pub(crate) fn flag(self) -> syn::Result<Path> {
        match self.value {
            Value::None => Ok(self.path),
            _ => {
                let message = format!("`{}` stands alone, without a value", self.name());
                Err(syn::Error::new_spanned(&self.path, message))
            }
        }
    }

    /// `key = ".."`.
    pub(crate) fn text(self) -> syn::Result<LitStr> {
        let message = format!("expected text in quotes: `{} = \"..\"`", self.name());
        self.text_or(&message)
    }

    /// `key = ".."`, where more may be said than that.
    pub(crate) fn text_or(self, message: &str) -> syn::Result<LitStr> {
        match self.expr(message)? {
            Expr::Lit(syn::ExprLit { lit: Lit::Str(text), .. }) => Ok(text),
            other => Err(syn::Error::new_spanned(other, message)),
        }
    }

    /// `key = ".."`, or `key = ["..", ".."]`.
    pub(crate) fn texts(self) -> syn::Result<Vec<LitStr>> {
        let name = self.name();
        let message =
            format!("expected text in quotes, or several: `{name} = \"..\"`, `{name} = [\"..\", \"..\"]`");
        let texts = match self.expr(&message)? {
            Expr::Array(array) if !array.elems.is_empty() => array.elems.into_iter().collect(),
            other => vec![other],
        };
        let text = |expr| match ungrouped(expr) {
            Expr::Lit(syn::ExprLit { lit: Lit::Str(text), .. }) => Ok(text),
            other => Err(syn::Error::new_spanned(other, &message)),
        };
        texts.into_iter().map(text).collect()
    }

    /// Whether it is `key(..)`.
    pub(crate) fn is_list(&self) -> bool {
        matches!(self.value, Value::List(_))
    }

    /// `key = path`.
    pub(crate) fn path(self, what: &str) -> syn::Result<ExprPath> {
        let message = format!("expected the path of {what}, without quotes: `{} = path`", self.name());
        match self.expr(&message)? {
            Expr::Path(path) => Ok(path),
            other => Err(syn::Error::new_spanned(other, message)),
        }
    }

    /// `key(..)`: the key, and what stands in its parentheses.
    pub(crate) fn list(self, message: &str) -> syn::Result<(Path, TokenStream)> {
        match self.value {
            Value::List(group) if !group.stream().is_empty() => Ok((self.path, group.stream())),
            _ => Err(syn::Error::new_spanned(&self.path, message)),
        }
    }

    /// `key(..)`, or `None` for what has no parentheses.
    pub(crate) fn in_parentheses(&self) -> Option<TokenStream> {
        match &self.value {
            Value::List(group) => Some(group.stream()),
            _ => None,
        }
    }

    /// `key = value`; the message is for a key without one.
    pub(crate) fn expr(self, message: &str) -> syn::Result<Expr> {
        match self.value {
            Value::Expr(expr) => Ok(ungrouped(*expr)),
            _ => Err(syn::Error::new_spanned(&self.path, message)),
        }
    }
}

/// A value that came through a `macro_rules!` stands in a group that nobody wrote.
pub(crate) fn ungrouped(expr: Expr) -> Expr {
    match expr {
        Expr::Group(group) => ungrouped(*group.expr),
        other => other,
    }
}
