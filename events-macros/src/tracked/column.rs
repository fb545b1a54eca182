//! What SeaORM's derive makes of a field: its column, and the variant of `Column` that stands for it.

use heck::{ToKebabCase, ToLowerCamelCase, ToShoutySnakeCase, ToSnakeCase, ToTitleCase, ToUpperCamelCase};
use syn::{Attribute, Ident, LitStr, ext::IdentExt, meta::ParseNestedMeta};

pub(crate) struct Column {
    /// The variant of SeaORM's `Column`.
    pub(crate) variant: Ident,
    /// Its name in the database.
    pub(crate) name: String,
    pub(crate) primary_key: bool,
    pub(crate) ignored: bool,
}

impl Column {
    /// What is wrong in `#[sea_orm(..)]` is reported by SeaORM's own derive.
    pub(crate) fn of(field: &Ident, attributes: &[Attribute], rename_all: Option<&str>) -> Self {
        let name = field.unraw().to_string();
        let camel = name.to_upper_camel_case();
        let (mut column_name, mut enum_name, mut primary_key, mut ignored) = (None, None, false, false);
        sea_orm_keys(attributes, |meta| {
            if meta.path.is_ident("primary_key") {
                primary_key = true;
            } else if meta.path.is_ident("ignore") {
                ignored = true;
            } else if meta.path.is_ident("enum_name") {
                enum_name = Some(variant(&text(meta)?, field));
            } else if meta.path.is_ident("column_name") {
                column_name = Some(text(meta)?);
            } else {
                skip_value(meta);
            }
            Ok(())
        });
        let variant = enum_name.unwrap_or_else(|| variant(&camel, field));
        let name = column_name
            .or_else(|| rename_all.and_then(|style| in_style(&camel, style)))
            .unwrap_or_else(|| {
                // SeaORM's own way: the variant's name if that leads back to the field, else the field's.
                if name == camel.to_snake_case() {
                    variant.to_string().to_snake_case()
                } else {
                    name.to_snake_case()
                }
            });
        Self { variant, name, primary_key, ignored }
    }
}

/// Where this is no name for a variant, SeaORM's own derive says so.
fn variant(name: &str, field: &Ident) -> Ident {
    // SeaORM escapes the one variant that would be a keyword.
    let name = if name == "Self" { "Self_" } else { name };
    let mut variant = syn::parse_str(name).unwrap_or_else(|_| field.clone());
    variant.set_span(field.span());
    variant
}

/// What SeaORM is told about the model.
#[derive(Default)]
pub(crate) struct Table {
    pub(crate) name: Option<LitStr>,
    pub(crate) rename_all: Option<String>,
}

impl Table {
    pub(crate) fn of(attributes: &[Attribute]) -> Self {
        let mut table = Self::default();
        sea_orm_keys(attributes, |meta| {
            if meta.path.is_ident("table_name") {
                table.name = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("rename_all") {
                table.rename_all = Some(text(meta)?);
            } else {
                skip_value(meta);
            }
            Ok(())
        });
        table
    }
}

fn sea_orm_keys(attributes: &[Attribute], mut key: impl FnMut(&ParseNestedMeta<'_>) -> syn::Result<()>) {
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("sea_orm")) {
        let _ = attribute.parse_nested_meta(|meta| key(&meta));
    }
}

fn text(meta: &ParseNestedMeta<'_>) -> syn::Result<String> {
    Ok(meta.value()?.parse::<LitStr>()?.value())
}

fn skip_value(meta: &ParseNestedMeta<'_>) {
    if meta.input.peek(syn::Token![=]) {
        let _ = meta.value().and_then(|value| value.parse::<syn::Expr>());
    } else if meta.input.peek(syn::token::Paren) {
        let _ = meta.input.parse::<proc_macro2::Group>();
    }
}

/// `rename_all`, as SeaORM reads it.
fn in_style(name: &str, style: &str) -> Option<String> {
    Some(match style {
        "camel_case" | "PascalCase" => name.to_upper_camel_case(),
        "camelCase" | "mixed_case" => name.to_lower_camel_case(),
        "snake_case" | "snek_case" => name.to_snake_case(),
        "kebab_case" | "kebab-case" => name.to_kebab_case(),
        "SCREAMING-KEBAB-CASE" => name.to_kebab_case().to_uppercase(),
        "shouty_snake_case" | "shouty_snek_case" | "SCREAMING_SNAKE_CASE" => name.to_shouty_snake_case(),
        "title_case" => name.to_title_case(),
        "lowercase" => name.to_lowercase(),
        "UPPERCASE" => name.to_uppercase(),
        _ => return None,
    })
}
