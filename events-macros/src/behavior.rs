//! `ActiveModelBehavior`: the generated one, and `#[tracked_behavior]`, which keeps the user's own hooks.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{ImplItem, ItemImpl, Path};

use crate::errors::Errors;

const HOOKS: [&str; 5] = ["new", "before_save", "after_save", "before_delete", "after_delete"];

/// The impl of a model without hooks of its own.
pub(crate) fn generated(krate: &Path) -> TokenStream {
    let ours = |hook: &str| own_call(krate, hook);
    implementation(krate, None, ours)
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
fn implementation(krate: &Path, new: Option<TokenStream>, body: impl Fn(&str) -> TokenStream) -> TokenStream {
    let sea_orm = quote!(#krate::sea_orm);
    let future = |output: TokenStream| {
        quote!(::core::pin::Pin<::std::boxed::Box<dyn ::core::future::Future<
            Output = ::core::result::Result<#output, #sea_orm::DbErr>> + ::core::marker::Send + 'async_trait>>)
    };
    let bounds =
        quote!(C: #sea_orm::ConnectionTrait + 'async_trait, 'life0: 'async_trait, Self: 'async_trait);
    let model = quote!(<<Self as #sea_orm::ActiveModelTrait>::Entity as #sea_orm::EntityTrait>::Model);
    let (this, that) = (future(quote!(Self)), future(model.clone()));
    let (before_save, after_save) = (body("before_save"), body("after_save"));
    let (before_delete, after_delete) = (body("before_delete"), body("after_delete"));
    quote! {
        #[automatically_derived]
        impl #sea_orm::ActiveModelBehavior for ActiveModel {
            #new

            fn before_save<'life0, 'async_trait, C>(self, db: &'life0 C, insert: bool) -> #this
            where #bounds { #before_save }

            fn after_save<'life0, 'async_trait, C>(model: #model, db: &'life0 C, insert: bool) -> #that
            where #bounds { #after_save }

            fn before_delete<'life0, 'async_trait, C>(self, db: &'life0 C) -> #this
            where #bounds { #before_delete }

            fn after_delete<'life0, 'async_trait, C>(self, db: &'life0 C) -> #this
            where #bounds { #after_delete }
        }
    }
}

/// Moves the user's hooks aside and emits all four: theirs first before a save, ours first after it.
pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let mut krate: Path = syn::parse_quote!(::events_sea_orm);
    if !arguments.is_empty() {
        match syn::parse2::<CratePath>(arguments) {
            Ok(path) => krate = path.0,
            Err(error) => errors.push(error),
        }
    }
    let mut item: ItemImpl = match syn::parse2(item) {
        Ok(item) => item,
        Err(error) => {
            let message = "`#[tracked_behavior]` goes on `impl ActiveModelBehavior for ActiveModel`";
            return syn::Error::new(error.span(), message).into_compile_error();
        }
    };
    let is_behavior = item.trait_.as_ref().is_some_and(|(path, _)| {
        path.segments.last().is_some_and(|last| last.ident == "ActiveModelBehavior")
    });
    if !is_behavior {
        let message = "`#[tracked_behavior]` goes on `impl ActiveModelBehavior for ActiveModel`";
        return syn::Error::new_spanned(&item.self_ty, message).into_compile_error();
    }
    let mut written = Vec::new();
    for member in &mut item.items {
        match member {
            ImplItem::Fn(function) if HOOKS.iter().any(|hook| function.sig.ident == hook) => {
                let hook = function.sig.ident.to_string();
                function.sig.ident = format_ident!("__tracked_{hook}", span = function.sig.ident.span());
                written.push(hook);
            }
            ImplItem::Fn(function) => errors.at(
                &function.sig.ident,
                "no hook of `ActiveModelBehavior`: expected `new`, `before_save`, `after_save`, `before_delete` or `after_delete`",
            ),
            other => errors.at(other, "only hooks are expected here"),
        }
    }
    if !errors.is_empty() {
        let errors = errors.into_tokens();
        return quote!(#errors #[automatically_derived] impl #krate::sea_orm::ActiveModelBehavior for ActiveModel {});
    }
    item.trait_ = None;
    item.attrs
        .retain(|attribute| attribute.path().segments.last().is_none_or(|last| last.ident != "async_trait"));
    let has = |hook: &str| written.iter().any(|name| name == hook);
    let new = has("new").then(|| {
        quote!(
            fn new() -> Self {
                Self::__tracked_new()
            }
        )
    });
    let body = |hook: &str| {
        let ours = own_call(&krate, hook);
        let theirs = format_ident!("__tracked_{hook}");
        match (hook, has(hook)) {
            (_, false) => ours,
            ("before_save", true) => quote!(::std::boxed::Box::pin(async move {
                let active = Self::#theirs(self, db, insert).await?;
                #krate::__private::before_save(active, db, insert).await
            })),
            ("before_delete", true) => quote!(::std::boxed::Box::pin(async move {
                let active = Self::#theirs(self, db).await?;
                #krate::__private::before_delete(active, db).await
            })),
            ("after_save", true) => quote!(::std::boxed::Box::pin(async move {
                let model = #ours.await?;
                #krate::__private::after_hook(db, Self::#theirs(model, db, insert).await)
            })),
            (_, true) => quote!(::std::boxed::Box::pin(async move {
                let active = #ours.await?;
                #krate::__private::after_hook(db, Self::#theirs(active, db).await)
            })),
        }
    };
    let implementation = implementation(&krate, new, body);
    quote! {
        #[doc(hidden)]
        #[allow(missing_docs, unused_variables, clippy::used_underscore_items, clippy::pedantic)]
        #item
        #implementation
    }
}

/// `crate = path`.
struct CratePath(Path);

impl syn::parse::Parse for CratePath {
    fn parse(input: syn::parse::ParseStream<'_>) -> syn::Result<Self> {
        input.parse::<syn::Token![crate]>()?;
        input.parse::<syn::Token![=]>()?;
        Path::parse_mod_style(input).map(Self)
    }
}
