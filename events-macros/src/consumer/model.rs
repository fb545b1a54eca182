//! What the user wrote: the options, and the item they stand on. A mistake is noted and parsing goes on.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::quote;
use syn::{
    Attribute, Expr, ExprLit, ExprPath, ExprUnary, GenericArgument, Ident, Item, ItemFn, ItemImpl, Lit,
    LitInt, LitStr, Meta, Path, PathArguments, Signature, Token, Type, TypePath, UnOp, ext::IdentExt,
    parse::Parser, punctuated::Punctuated, spanned::Spanned,
};

use super::event_type::{EventType, exprs};
use crate::{
    errors::Errors,
    keys::{Key, Keys, ungrouped},
};

/// What stands in the attribute's parentheses.
pub(crate) struct Options {
    pub(crate) krate: Path,
    pub(crate) on: Vec<EventType>,
    pub(crate) objects: Vec<ExprPath>,
    /// `None` if what was said of it is wrong.
    pub(crate) delivery: Option<Delivery>,
    pub(crate) name: Option<LitStr>,
    pub(crate) order: Option<Expr>,
    pub(crate) on_error: Option<(OnError, LitStr)>,
    pub(crate) time_budget_ms: Option<LitInt>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    InTransaction,
    AfterCommit,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnError {
    Abort,
    Log,
}

const KEYS: [&str; 8] = ["on", "object", "delivery", "name", "order", "on_error", "time_budget_ms", "crate"];

/// The item, as far as the attribute is concerned with it.
pub(crate) struct Consumer {
    /// The last word of its name.
    pub(crate) ident: Ident,
    pub(crate) kind: Kind,
    /// What the item depends on: `#[cfg(..)]`, and as much of `#[cfg_attr(..)]` as brings one.
    pub(crate) conditions: Vec<Attribute>,
}

pub(crate) enum Kind {
    Function(Box<Signature>),
    /// `impl Consumer for Type`.
    Type {
        ty: Path,
        /// `Consumer`, or `Consumer<EventConnection>`.
        consumer: Path,
    },
}

const MISPLACED: &str = "`#[event_consumer]` goes on an `async fn(&EventTransaction, &Event) -> Result<(), ConsumerError>`, or on `impl Consumer for Type`";

impl Options {
    pub(crate) fn parse(arguments: TokenStream, errors: &mut Errors) -> Self {
        let mut keys = Keys::default();
        keys.read_arguments(arguments, errors);
        // A key that was meant as it causes no other mistake.
        let says_delivery = keys.may_have("delivery", &KEYS);
        let mut options = Self {
            krate: syn::parse_quote!(::events_sea_orm),
            on: Vec::new(),
            objects: Vec::new(),
            delivery: (!says_delivery).then_some(Delivery::InTransaction),
            name: None,
            order: None,
            on_error: None,
            time_budget_ms: None,
        };
        for key in keys {
            if key.is("on") {
                options.on = EventType::parse_all(key, errors);
            } else if key.is("object") {
                options.objects = objects(key, errors);
            } else {
                let parsed = options.take(key);
                errors.keep(parsed);
            }
        }
        options
    }

    fn take(&mut self, key: Key) -> syn::Result<()> {
        if key.is("delivery") {
            self.delivery = Some(Delivery::parse(key)?);
        } else if key.is("name") {
            self.name = Some(key.text()?);
        } else if key.is("order") {
            self.order = Some(order(key)?);
        } else if key.is("on_error") {
            self.on_error = Some(OnError::parse(key)?);
        } else if key.is("time_budget_ms") {
            self.time_budget_ms = Some(time_budget_ms(key)?);
        } else if key.is("crate") {
            self.krate = key.path("`events_sea_orm`")?.path;
        } else {
            return Err(key.unknown(
                "`on`, `object`, `delivery`, `name`, `order`, `on_error`, `time_budget_ms` or `crate`",
            ));
        }
        Ok(())
    }
}

impl Delivery {
    fn parse(key: Key) -> syn::Result<Self> {
        let text = key.text()?;
        match text.value().as_str() {
            "in_transaction" => Ok(Self::InTransaction),
            "after_commit" => Ok(Self::AfterCommit),
            "durable" => Err(syn::Error::new_spanned(
                text,
                "not yet: durable delivery is not built; `\"after_commit\"` is the nearest, and is best effort: a crash loses what was still to be delivered",
            )),
            _ => Err(syn::Error::new_spanned(
                text,
                "no such delivery: expected `\"in_transaction\"` or `\"after_commit\"`",
            )),
        }
    }

    /// What a consumer is given.
    pub(crate) const fn database(self) -> &'static str {
        match self {
            Self::InTransaction => "EventTransaction",
            Self::AfterCommit => "EventConnection",
        }
    }

    /// The delivery of a consumer that is given this type, as far as its spelling tells.
    pub(crate) fn of(ty: &Type) -> Option<Self> {
        let name = type_name(ty)?;
        [Self::InTransaction, Self::AfterCommit].into_iter().find(|delivery| *name == delivery.database())
    }
}

impl OnError {
    fn parse(key: Key) -> syn::Result<(Self, LitStr)> {
        let text = key.text()?;
        match text.value().as_str() {
            "abort" => Ok((Self::Abort, text)),
            "log" => Ok((Self::Log, text)),
            _ => {
                Err(syn::Error::new_spanned(text, "expected `on_error = \"abort\"` or `on_error = \"log\"`"))
            }
        }
    }
}

/// `object = path`, or `object(path, ..)`.
fn objects(key: Key, errors: &mut Errors) -> Vec<ExprPath> {
    let Some(list) = key.in_parentheses() else {
        return errors.keep(key.path("an entity")).into_iter().collect();
    };
    if list.is_empty() {
        errors.keep(key.list(
            "expected entities, `object(campaign::Entity)`; without `object` events about anything reach it",
        ));
    }
    let paths = exprs(list, errors).into_iter().filter_map(|expr| match expr {
        Expr::Path(path) => Some(path),
        other => {
            errors.at(other, "expected the path of an entity, without quotes: `object(campaign::Entity)`");
            None
        }
    });
    paths.collect()
}

fn order(key: Key) -> syn::Result<Expr> {
    let message = "expected a whole number, lower ones run first: `order = 10`";
    let expr = key.expr(message)?;
    let (sign, number) = match &expr {
        Expr::Unary(ExprUnary { op: UnOp::Neg(_), expr, .. }) => ("-", ungrouped((**expr).clone())),
        _ => ("", expr.clone()),
    };
    let Expr::Lit(ExprLit { lit: Lit::Int(digits), .. }) = number else {
        return Err(syn::Error::new_spanned(&expr, message));
    };
    match format!("{sign}{}", digits.base10_digits()).parse::<i32>() {
        Ok(_) => Ok(expr),
        Err(_) => Err(syn::Error::new_spanned(&expr, "an order is an `i32`: write a number nearer to 0")),
    }
}

fn time_budget_ms(key: Key) -> syn::Result<LitInt> {
    let message = "expected whole milliseconds: `time_budget_ms = 250`";
    let number = match key.expr(message)? {
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => number,
        other => return Err(syn::Error::new_spanned(other, message)),
    };
    match number.base10_digits().parse::<u64>() {
        Ok(0) => Err(syn::Error::new_spanned(&number, "nothing is done in no time: write at least 1")),
        Ok(_) => Ok(number),
        Err(_) => Err(syn::Error::new_spanned(&number, "a time budget is a `u64`: write a lower number")),
    }
}

impl Consumer {
    /// `None` if it is nothing that could be one.
    pub(crate) fn parse(item: TokenStream, errors: &mut Errors) -> Option<Self> {
        match errors.keep(syn::parse2(item))? {
            Item::Fn(ItemFn { attrs, sig, .. }) => Some(Self {
                ident: sig.ident.clone(),
                kind: Kind::Function(Box::new(sig)),
                conditions: conditions(&attrs),
            }),
            Item::Impl(item) => Self::of_impl(item, errors),
            other => {
                errors.at(other, MISPLACED);
                None
            }
        }
    }

    fn of_impl(item: ItemImpl, errors: &mut Errors) -> Option<Self> {
        let Some((consumer, _)) = item.trait_ else {
            errors.at(item.self_ty, MISPLACED);
            return None;
        };
        if consumer.segments.last().is_none_or(|last| last.ident != "Consumer") {
            errors.at(consumer, MISPLACED);
            return None;
        }
        if !item.generics.params.is_empty() {
            errors.at(
                &item.generics,
                "a type with generic parameters is many consumers: register the ones you mean on the builder, `.subscribe(Subscription::..)`",
            );
            return None;
        }
        let Some(ty) = plain_path(&item.self_ty) else {
            errors.at(
                item.self_ty,
                "expected the name of a struct without fields: register any other consumer on the builder, `.subscribe(Subscription::..)`",
            );
            return None;
        };
        Some(Self {
            ident: ty.segments.last()?.ident.clone(),
            kind: Kind::Type { ty: ty.clone(), consumer },
            conditions: conditions(&item.attrs),
        })
    }

    /// The name it gets unless the user gives it one.
    pub(crate) fn default_name(&self) -> LitStr {
        LitStr::new(&self.ident.unraw().to_string(), self.ident.span())
    }
}

/// A path without generic arguments.
fn plain_path(ty: &Type) -> Option<&Path> {
    match ty {
        Type::Path(TypePath { qself: None, path, .. })
            if path.segments.iter().all(|segment| segment.arguments.is_none()) =>
        {
            Some(path)
        }
        Type::Group(group) => plain_path(&group.elem),
        _ => None,
    }
}

/// The last word of a type's path.
pub(crate) fn type_name(ty: &Type) -> Option<&Ident> {
    match ty {
        Type::Path(path) => Some(&path.path.segments.last()?.ident),
        Type::Group(group) => type_name(&group.elem),
        _ => None,
    }
}

/// What the trait is implemented for: `C` of `Consumer<C>`.
pub(crate) fn database_of(consumer: &Path) -> Option<&Type> {
    match &consumer.segments.last()?.arguments {
        PathArguments::AngleBracketed(arguments) => match arguments.args.first()? {
            GenericArgument::Type(ty) => Some(ty),
            _ => None,
        },
        _ => None,
    }
}

/// An item that is not compiled must not be registered.
fn conditions(attributes: &[Attribute]) -> Vec<Attribute> {
    let conditions = attributes.iter().filter_map(|attribute| {
        let meta = condition(&attribute.meta)?;
        Some(Attribute { meta, ..attribute.clone() })
    });
    conditions.collect()
}

fn condition(meta: &Meta) -> Option<Meta> {
    if meta.path().is_ident("cfg") {
        return Some(meta.clone());
    }
    let Meta::List(list) = meta else { return None };
    if !list.path.is_ident("cfg_attr") {
        return None;
    }
    let mut tokens = list.tokens.clone().into_iter();
    let is_comma = |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',');
    // Not as an attribute: a predicate may be `true`.
    let predicate: TokenStream = tokens.by_ref().take_while(|token| !is_comma(token)).collect();
    let metas = Punctuated::<Meta, Token![,]>::parse_terminated.parse2(tokens.collect()).ok()?;
    let brought: Vec<_> = metas.iter().filter_map(condition).collect();
    if brought.is_empty() {
        return None;
    }
    let tokens = quote!(#predicate, #(#brought),*);
    Some(Meta::List(syn::MetaList { tokens, ..list.clone() }))
}

impl Kind {
    /// Where the compiler points if the item is no consumer after all.
    pub(crate) fn span(&self) -> Span {
        match self {
            Self::Function(signature) => signature.ident.span(),
            Self::Type { ty, .. } => ty.span(),
        }
    }
}
