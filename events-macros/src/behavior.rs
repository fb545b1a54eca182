//! `ActiveModelBehavior`: the generated one, and `#[tracked_behavior]`, which keeps the user's own hooks.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{Attribute, Ident, ImplItem, ImplItemFn, Item, ItemImpl, Path, Type, spanned::Spanned};

use crate::{
    errors::Errors,
    keys::Keys,
    spans::{at, located_at},
};

/// The hooks and what they take.
const HOOKS: [(&str, &[&str]); 5] = [
    ("new", &[]),
    ("before_save", &["self", "db: &C", "insert: bool"]),
    ("after_save", &["model: Model", "db: &C", "insert: bool"]),
    ("before_delete", &["self", "db: &C"]),
    ("after_delete", &["self", "db: &C"]),
];

const MISPLACED: &str = "`#[tracked_behavior]` goes on `impl ActiveModelBehavior for ActiveModel`";

/// The impl of a model without hooks of its own.
pub(crate) fn generated(krate: &Path) -> TokenStream {
    implementation(krate, &syn::parse_quote!(ActiveModel), None, |hook| own_call(krate, hook))
}

/// An impl that does nothing, after an error: its absence would be another.
pub(crate) fn inert(krate: &Path, this: &Type) -> TokenStream {
    quote! {
        #[automatically_derived]
        impl #krate::sea_orm::ActiveModelBehavior for #this {}
    }
}

fn own_call(krate: &Path, hook: &str) -> TokenStream {
    match hook {
        "before_save" => quote!(#krate::__private::before_save(self, db, insert)),
        "after_save" => quote!(#krate::__private::after_save(model, db, insert)),
        "before_delete" => quote!(#krate::__private::before_delete(self, db)),
        _ => quote!(#krate::__private::after_delete(self, db)),
    }
}

/// All four hooks as `async_trait` would write them, so that users need not depend on it.
fn implementation(
    krate: &Path,
    this: &Type,
    new: Option<TokenStream>,
    body: impl Fn(&str) -> TokenStream,
) -> TokenStream {
    let sea_orm = quote!(#krate::sea_orm);
    let future = |output: TokenStream| {
        quote!(::core::pin::Pin<::std::boxed::Box<dyn ::core::future::Future<
            Output = ::core::result::Result<#output, #sea_orm::DbErr>> + ::core::marker::Send + 'async_trait>>)
    };
    let bounds =
        quote!(C: #sea_orm::ConnectionTrait + 'async_trait, 'life0: 'async_trait, Self: 'async_trait);
    let model = model_of_self(&sea_orm);
    let (itself, that) = (future(quote!(Self)), future(model.clone()));
    let (before_save, after_save) = (body("before_save"), body("after_save"));
    let (before_delete, after_delete) = (body("before_delete"), body("after_delete"));
    quote! {
        #[automatically_derived]
        impl #sea_orm::ActiveModelBehavior for #this {
            #new

            fn before_save<'life0, 'async_trait, C>(self, db: &'life0 C, insert: bool) -> #itself
            where #bounds { #before_save }

            fn after_save<'life0, 'async_trait, C>(model: #model, db: &'life0 C, insert: bool) -> #that
            where #bounds { #after_save }

            fn before_delete<'life0, 'async_trait, C>(self, db: &'life0 C) -> #itself
            where #bounds { #before_delete }

            fn after_delete<'life0, 'async_trait, C>(self, db: &'life0 C) -> #itself
            where #bounds { #after_delete }
        }
    }
}

fn model_of_self(sea_orm: &TokenStream) -> TokenStream {
    quote!(<<Self as #sea_orm::ActiveModelTrait>::Entity as #sea_orm::EntityTrait>::Model)
}

/// Moves the user's hooks aside and emits all four: theirs first before a save, ours first after it.
pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let krate = krate(arguments, &mut errors);
    // A wrong item stays as it is: others may use it.
    let mut item = match syn::parse2(item.clone()) {
        Ok(Item::Impl(item)) => item,
        Ok(other) => {
            errors.at(other, MISPLACED);
            let errors = errors.into_tokens();
            return quote!(#errors #item);
        }
        Err(error) => {
            errors.push(error);
            let errors = errors.into_tokens();
            return quote!(#errors #item);
        }
    };
    let this = item.self_ty.clone();
    let promises = promises(&krate, &this);
    if !is_behavior(&item) {
        // In no trait at all they are hooks whose trait was forgotten.
        let (at, hooks) = match &item.trait_ {
            Some((path, _)) => (path.to_token_stream(), None),
            None => (this.to_token_stream(), Some([inert(&krate, &this), promises])),
        };
        errors.at(at, MISPLACED);
        let (errors, hooks) = (errors.into_tokens(), hooks.into_iter().flatten());
        return quote!(#errors #item #(#hooks)*);
    }
    check(&item, &mut errors);
    if !errors.is_empty() {
        let (errors, inert) = (errors.into_tokens(), inert(&krate, &this));
        return quote!(#errors #inert #promises);
    }
    let hooks = Hooks::move_aside(&mut item);
    let implementation = implementation(&krate, &this, hooks.new_body(), |hook| hooks.body(&krate, hook));
    // A hook is async whether it awaits or not; in the user's trait impl the lint knows.
    quote! {
        #[allow(clippy::unused_async)]
        #item
        #implementation
        #promises
    }
}

/// Says that the hooks record, and asks that the model says that it has hooks.
fn promises(krate: &Path, this: &Type) -> TokenStream {
    let (at_type, krate_at_type) = (at(this.span()), located_at(krate, this.span()));
    let asked = quote_spanned! {at_type=>
        const _: () = <#this as #krate_at_type::__private::CustomBehavior>::SAID;
    };
    quote! {
        #[automatically_derived]
        impl #krate::__private::TrackedBehavior for #this {}
        #asked
    }
}

fn krate(arguments: TokenStream, errors: &mut Errors) -> Path {
    let mut krate: Path = syn::parse_quote!(::events_sea_orm);
    let mut keys = Keys::default();
    keys.read_arguments(arguments, errors);
    for key in keys {
        if !key.is("crate") {
            errors.push(key.unknown("`crate`, or nothing"));
        } else if let Some(path) = errors.keep(key.path("`events_sea_orm`")) {
            krate = path.path;
        }
    }
    krate
}

fn is_behavior(item: &ItemImpl) -> bool {
    let name = item.trait_.as_ref().and_then(|(path, _)| path.segments.last());
    name.is_some_and(|last| last.ident == "ActiveModelBehavior")
}

fn check(item: &ItemImpl, errors: &mut Errors) {
    for member in &item.items {
        let ImplItem::Fn(function) = member else {
            errors.at(member, "only hooks are expected here: move this out");
            continue;
        };
        match HOOKS.iter().find(|(hook, _)| function.sig.ident == hook) {
            Some((hook, parameters)) => {
                takes_what_a_hook_takes(function, hook, parameters, errors);
                is_always_there(function, errors);
            }
            None => errors.at(
                &function.sig.ident,
                "no hook of `ActiveModelBehavior`: expected `new`, `before_save`, `after_save`, `before_delete` or `after_delete`",
            ),
        }
    }
}

fn takes_what_a_hook_takes(function: &ImplItemFn, hook: &str, parameters: &[&str], errors: &mut Errors) {
    if function.sig.inputs.len() != parameters.len() {
        errors.at(&function.sig.ident, format!("expected `{hook}({})`", parameters.join(", ")));
    }
}

/// A hook that `cfg` removes would be called all the same.
fn is_always_there(function: &ImplItemFn, errors: &mut Errors) {
    let is_cfg = |attribute: &&Attribute| attribute.path().is_ident("cfg");
    if let Some(cfg) = function.attrs.iter().find(is_cfg) {
        errors.at(cfg, "a hook is always there: put the condition into its body, `if cfg!(..)`");
    }
}

/// The user's hooks, under the names that they were given.
struct Hooks(Vec<(String, Ident)>);

impl Hooks {
    fn move_aside(item: &mut ItemImpl) -> Self {
        let mut hooks = Vec::new();
        for member in &mut item.items {
            let ImplItem::Fn(function) = member else { continue };
            let name = function.sig.ident.to_string();
            function.sig.ident = format_ident!("__tracked_{name}", span = function.sig.ident.span());
            hooks.push((name, function.sig.ident.clone()));
        }
        item.trait_ = None;
        item.attrs.retain(|attribute| {
            attribute.path().segments.last().is_none_or(|last| last.ident != "async_trait")
        });
        Self(hooks)
    }

    fn get(&self, hook: &str) -> Option<&Ident> {
        self.0.iter().find(|(name, _)| name == hook).map(|(_, ident)| ident)
    }

    fn new_body(&self) -> Option<TokenStream> {
        let new = self.get("new")?;
        Some(quote_spanned! {at(new.span())=>
            fn new() -> Self {
                Self::#new()
            }
        })
    }

    fn body(&self, krate: &Path, hook: &str) -> TokenStream {
        let Some(theirs) = self.get(hook) else { return own_call(krate, hook) };
        // All of it at the user's hook, and each type said: a hook of another type is one error there.
        let (at, krate) = (at(theirs.span()), located_at(krate, theirs.span()));
        let model = located_at(&model_of_self(&quote!(#krate::sea_orm)), theirs.span());
        let result =
            |ok: TokenStream| quote_spanned!(at=> ::core::result::Result<#ok, #krate::sea_orm::DbErr>);
        let (itself, that) = (result(quote!(Self)), result(model));
        match hook {
            "before_save" => quote_spanned!(at=> ::std::boxed::Box::pin(async move {
                let aside = #krate::__private::set_options_aside();
                let result: #itself = Self::#theirs(self, db, insert).await;
                ::core::mem::drop(aside);
                #krate::__private::before_save(result?, db, insert).await
            })),
            "before_delete" => quote_spanned!(at=> ::std::boxed::Box::pin(async move {
                let aside = #krate::__private::set_options_aside();
                let result: #itself = Self::#theirs(self, db).await;
                ::core::mem::drop(aside);
                #krate::__private::before_delete(result?, db).await
            })),
            "after_save" => quote_spanned!(at=> ::std::boxed::Box::pin(async move {
                let model = #krate::__private::after_save(model, db, insert).await?;
                let result: #that = Self::#theirs(model, db, insert).await;
                #krate::__private::after_hook(db, result)
            })),
            _ => quote_spanned!(at=> ::std::boxed::Box::pin(async move {
                let active = #krate::__private::after_delete(self, db).await?;
                let result: #itself = Self::#theirs(active, db).await;
                #krate::__private::after_hook(db, result)
            })),
        }
    }
}
