//! What the user wrote. A mistake is noted and parsing goes on.

use heck::{ToSnakeCase, ToUpperCamelCase};
use syn::{
    Attribute, Data, DeriveInput, Field as SynField, Fields, Ident, LitStr, Path, Type, ext::IdentExt,
    meta::ParseNestedMeta, spanned::Spanned,
};

use crate::errors::Errors;

/// A model and what is to be recorded of it.
pub(crate) struct Model {
    pub(crate) ident: Ident,
    pub(crate) krate: Path,
    pub(crate) object_type: LitStr,
    pub(crate) team: Option<Team>,
    pub(crate) custom_behavior: bool,
    pub(crate) all: Option<Path>,
    pub(crate) fields: Vec<Field>,
}

pub(crate) enum Team {
    Context,
    Field(LitStr),
}

/// A field of the model and its `#[track]`.
pub(crate) struct Field {
    pub(crate) ident: Ident,
    pub(crate) ty: Type,
    /// The variant of SeaORM's `Column`.
    pub(crate) variant: Ident,
    pub(crate) column: String,
    pub(crate) primary_key: bool,
    pub(crate) ignored: bool,
    pub(crate) track: Option<Track>,
}

#[derive(Default)]
pub(crate) struct Track {
    pub(crate) rename: Option<LitStr>,
    pub(crate) state: Option<Path>,
    pub(crate) redact: Option<Path>,
    pub(crate) skip: Option<Path>,
    pub(crate) with: Option<Path>,
}

impl Model {
    /// `None` if there are no named fields to speak of.
    pub(crate) fn parse(input: &DeriveInput, errors: &mut Errors) -> Option<Self> {
        let fields = match &input.data {
            Data::Struct(data) => match &data.fields {
                Fields::Named(fields) => &fields.named,
                other => {
                    errors.at(other, "`Tracked` needs a model with named fields, as SeaORM does");
                    return None;
                }
            },
            _ => {
                errors.at(&input.ident, "`Tracked` goes on the `Model` struct of a SeaORM entity");
                return None;
            }
        };
        if !input.generics.params.is_empty() {
            errors.at(&input.generics, "a tracked model has no generic parameters, as SeaORM asks");
        }
        let mut model = Self {
            ident: input.ident.clone(),
            krate: syn::parse_quote!(::events_sea_orm),
            object_type: LitStr::new("", input.ident.span()),
            team: None,
            custom_behavior: false,
            all: None,
            fields: fields.iter().filter_map(|field| Field::parse(field, errors)).collect(),
        };
        let mut object_type = None;
        let mut seen = false;
        for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("tracked")) {
            seen = true;
            let mut keys = Vec::new();
            parse_keys(attribute, errors, |meta| {
                once(&meta, &mut keys)?;
                model.parse_key(&meta, &mut object_type)
            });
        }
        if !seen || (model.team.is_none() && errors.is_empty()) {
            let at = input.attrs.iter().find(|attribute| attribute.path().is_ident("tracked"));
            let message = "say whose rows these are: `#[tracked(team = \"team_id\")]`, the field that holds the team, or `team = context`";
            match at {
                Some(attribute) => errors.at(attribute, message),
                None => errors.at(&input.ident, message),
            }
        }
        match object_type.or_else(|| table_name(&input.attrs)) {
            Some(object_type) => model.object_type = object_type,
            None => errors.at(
                &input.ident,
                "no name for its objects: write `#[tracked(object_type = \"..\")]` or `#[sea_orm(table_name = \"..\")]`",
            ),
        }
        Some(model)
    }

    fn parse_key(&mut self, meta: &ParseNestedMeta<'_>, object_type: &mut Option<LitStr>) -> syn::Result<()> {
        if meta.path.is_ident("object_type") {
            *object_type = Some(text(meta)?);
        } else if meta.path.is_ident("team") {
            let value = meta.value()?;
            self.team = Some(if value.peek(LitStr) {
                Team::Field(value.parse()?)
            } else {
                let word = value.call(Ident::parse_any)?;
                if word != "context" {
                    return Err(syn::Error::new_spanned(
                        &word,
                        format!(
                            "expected a field's name in quotes, `team = \"{word}\"`, or the bare word `context`"
                        ),
                    ));
                }
                Team::Context
            });
        } else if meta.path.is_ident("behavior") {
            let value = text(meta)?;
            if value.value() != "custom" {
                return Err(syn::Error::new_spanned(value, "expected `behavior = \"custom\"`"));
            }
            self.custom_behavior = true;
        } else if meta.path.is_ident("all") {
            flag(meta)?;
            self.all = Some(meta.path.clone());
        } else if meta.path.is_ident("crate") {
            let value = meta.value()?;
            self.krate = if value.peek(LitStr) {
                value.parse::<LitStr>()?.parse_with(Path::parse_mod_style)?
            } else {
                Path::parse_mod_style(value)?
            };
        } else {
            return Err(meta.error("expected `object_type`, `team`, `behavior`, `all` or `crate`"));
        }
        Ok(())
    }
}

impl Field {
    fn parse(field: &SynField, errors: &mut Errors) -> Option<Self> {
        let ident = field.ident.clone()?;
        let name = ident.unraw().to_string();
        let mut parsed = Self {
            variant: Ident::new(&name.to_upper_camel_case(), ident.span()),
            // SeaORM's own way to a column's name.
            column: name.to_upper_camel_case().to_snake_case(),
            ident,
            ty: field.ty.clone(),
            primary_key: false,
            ignored: false,
            track: None,
        };
        for attribute in &field.attrs {
            if attribute.path().is_ident("sea_orm") {
                parsed.read_sea_orm(attribute);
            } else if attribute.path().is_ident("track") {
                if parsed.track.is_some() {
                    errors.at(attribute, "one `#[track(..)]` a field: join the two");
                }
                parsed.track = Some(Track::parse(attribute, errors));
            }
        }
        Some(parsed)
    }

    /// What SeaORM makes of the field. Its own derive reports what is wrong there.
    fn read_sea_orm(&mut self, attribute: &Attribute) {
        let _ = attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("primary_key") {
                self.primary_key = true;
            } else if meta.path.is_ident("ignore") {
                self.ignored = true;
            } else if meta.path.is_ident("enum_name") {
                let name: LitStr = meta.value()?.parse()?;
                self.variant = Ident::new(&name.value(), self.ident.span());
            } else if meta.path.is_ident("column_name") {
                self.column = meta.value()?.parse::<LitStr>()?.value();
            } else if meta.input.peek(syn::Token![=]) {
                meta.value()?.parse::<syn::Expr>()?;
            } else if meta.input.peek(syn::token::Paren) {
                meta.parse_nested_meta(|_| Ok(()))?;
            }
            Ok(())
        });
        // SeaORM escapes the one variant that would be a keyword.
        if self.variant == "Self" {
            self.variant = Ident::new("Self_", self.ident.span());
        }
    }

    pub(crate) fn name(&self) -> String {
        let renamed = self.track.as_ref().and_then(|track| track.rename.as_ref());
        renamed.map_or_else(|| self.column.clone(), LitStr::value)
    }

    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.ident.unraw() == name || self.column == name
    }
}

impl Track {
    fn parse(attribute: &Attribute, errors: &mut Errors) -> Self {
        let mut track = Self::default();
        let mut keys = Vec::new();
        if matches!(attribute.meta, syn::Meta::Path(_)) {
            return track;
        }
        parse_keys(attribute, errors, |meta| {
            once(&meta, &mut keys)?;
            if meta.path.is_ident("rename") {
                track.rename = Some(text(&meta)?);
            } else if meta.path.is_ident("with") {
                track.with = Some(Path::parse_mod_style(meta.value()?)?);
            } else {
                let slot = if meta.path.is_ident("state") {
                    &mut track.state
                } else if meta.path.is_ident("redact") {
                    &mut track.redact
                } else if meta.path.is_ident("skip") {
                    &mut track.skip
                } else {
                    return Err(meta.error("expected `rename`, `skip`, `state`, `redact` or `with`"));
                };
                flag(&meta)?;
                *slot = Some(meta.path.clone());
            }
            Ok(())
        });
        track
    }
}

/// Reads `name(key, key = value)`; the first mistake in one attribute ends it, the others go on.
fn parse_keys(
    attribute: &Attribute,
    errors: &mut Errors,
    mut key: impl FnMut(ParseNestedMeta<'_>) -> syn::Result<()>,
) {
    if let syn::Meta::NameValue(meta) = &attribute.meta {
        let name = attribute.path().get_ident().map(ToString::to_string).unwrap_or_default();
        errors.at(meta, format!("write `#[{name}(..)]`"));
        return;
    }
    if let Err(error) = attribute.parse_nested_meta(&mut key) {
        errors.push(error);
    }
}

fn once(meta: &ParseNestedMeta<'_>, keys: &mut Vec<Path>) -> syn::Result<()> {
    if keys.contains(&meta.path) {
        return Err(meta.error("said twice"));
    }
    keys.push(meta.path.clone());
    Ok(())
}

fn flag(meta: &ParseNestedMeta<'_>) -> syn::Result<()> {
    if meta.input.peek(syn::Token![=]) || meta.input.peek(syn::token::Paren) {
        let name = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
        return Err(syn::Error::new(meta.path.span(), format!("`{name}` stands alone, without a value")));
    }
    Ok(())
}

fn text(meta: &ParseNestedMeta<'_>) -> syn::Result<LitStr> {
    let value = meta.value()?;
    if value.peek(LitStr) {
        value.parse()
    } else {
        let name = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
        Err(value.error(format!("expected text in quotes: `{name} = \"..\"`")))
    }
}

fn table_name(attributes: &[Attribute]) -> Option<LitStr> {
    let mut name = None;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("sea_orm")) {
        let _ = attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("table_name") {
                name = Some(meta.value()?.parse()?);
            } else if meta.input.peek(syn::Token![=]) {
                meta.value()?.parse::<syn::Expr>()?;
            }
            Ok(())
        });
    }
    name
}
