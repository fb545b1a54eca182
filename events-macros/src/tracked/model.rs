//! What the user wrote. A mistake is noted and parsing goes on.

use quote::ToTokens;
use syn::{
    Attribute, Data, DeriveInput, Expr, ExprLit, ExprPath, Field as SynField, Fields, Ident, Lit, LitStr,
    Path, Token, Type, ext::IdentExt, punctuated::Punctuated,
};

use super::{
    column::{Column, Table},
    thread::Thread,
    transitions::Transitions,
};
use crate::{
    errors::Errors,
    keys::{Key, Keys},
};

/// A model and what is to be recorded of it.
pub(crate) struct Model {
    pub(crate) ident: Ident,
    pub(crate) krate: Path,
    pub(crate) object_type: Option<LitStr>,
    pub(crate) team: Option<Team>,
    /// The field that marks a row as deleted.
    pub(crate) soft_delete: Option<LitStr>,
    pub(crate) thread: Option<Thread>,
    /// The `"custom"` of `behavior = "custom"`.
    pub(crate) custom_behavior: Option<LitStr>,
    pub(crate) all: Option<Path>,
    pub(crate) fields: Vec<Field>,
    /// `#[tracked(..)]`, the first if there are several.
    pub(crate) attribute: Option<Attribute>,
    /// What was said, rightly or wrongly: nobody is told to say it.
    pub(crate) said: Said,
}

/// Which keys were written at all, whatever their values.
#[derive(Default)]
pub(crate) struct Said {
    pub(crate) object_type: bool,
    pub(crate) team: bool,
    pub(crate) soft_delete: bool,
    pub(crate) behavior: bool,
    pub(crate) all: bool,
    /// A key could not be read, or is none of ours: it may have been meant as any.
    pub(crate) something_else: bool,
}

pub(crate) enum Team {
    Context,
    Field(LitStr),
}

/// A field of the model and its `#[track]`.
pub(crate) struct Field {
    pub(crate) ident: Ident,
    pub(crate) ty: Type,
    pub(crate) column: Column,
    pub(crate) track: Option<Track>,
}

#[derive(Default)]
pub(crate) struct Track {
    pub(crate) rename: Option<LitStr>,
    pub(crate) state: Option<Path>,
    pub(crate) redact: Option<Path>,
    pub(crate) digest: Option<Path>,
    pub(crate) renamed_from: Option<LitStr>,
    pub(crate) skip: Option<Path>,
    pub(crate) with: Option<ExprPath>,
    pub(crate) transitions: Option<Transitions>,
    pub(crate) enforce: Option<Path>,
    pub(crate) label: Option<LitStr>,
    pub(crate) format: Option<Format>,
    /// `state` or `transitions` was said, rightly or wrongly: nobody is told to say it.
    pub(crate) says_state: bool,
    pub(crate) says_transitions: bool,
}

/// How a field's values are shown.
pub(crate) enum Format {
    Plain(LitStr),
    Number(LitStr),
    Date(LitStr),
    With(ExprPath),
}

const TRACK_KEYS: [&str; 11] = [
    "rename",
    "renamed_from",
    "skip",
    "state",
    "transitions",
    "enforce",
    "redact",
    "digest",
    "with",
    "label",
    "format",
];

impl Model {
    /// `None` if there are no named fields to speak of.
    pub(crate) fn parse(input: &DeriveInput, errors: &mut Errors) -> Option<Self> {
        let fields = named_fields(input, errors)?;
        let table = Table::of(&input.attrs);
        let rename_all = table.rename_all.as_deref();
        let tracked = || input.attrs.iter().filter(|attribute| attribute.path().is_ident("tracked"));
        let mut keys = Keys::default();
        tracked().for_each(|attribute| keys.read(attribute, errors));
        let mut model = Self {
            ident: input.ident.clone(),
            krate: syn::parse_quote!(::events_sea_orm),
            object_type: None,
            team: None,
            soft_delete: None,
            thread: None,
            custom_behavior: None,
            all: None,
            fields: fields.iter().filter_map(|field| Field::parse(field, rename_all, errors)).collect(),
            attribute: tracked().next().cloned(),
            said: Said {
                object_type: keys.has("object_type"),
                team: keys.has("team"),
                soft_delete: keys.has("soft_delete"),
                behavior: keys.has("behavior"),
                all: keys.has("all"),
                something_else: keys.unreadable,
            },
        };
        for key in keys {
            if key.is("thread") {
                model.thread = Thread::parse(key, errors);
                continue;
            }
            let parsed = model.take(key);
            errors.keep(parsed);
        }
        if !model.said.object_type {
            model.object_type = table.name;
        }
        Some(model)
    }

    fn take(&mut self, key: Key) -> syn::Result<()> {
        if key.is("object_type") {
            self.object_type = Some(key.text()?);
        } else if key.is("team") {
            self.team = Some(Team::parse(key)?);
        } else if key.is("soft_delete") {
            self.soft_delete = Some(key.text()?);
        } else if key.is("behavior") {
            let value = key.text()?;
            if value.value() != "custom" {
                return Err(syn::Error::new_spanned(value, "expected `behavior = \"custom\"`"));
            }
            self.custom_behavior = Some(value);
        } else if key.is("all") {
            self.all = Some(key.flag()?);
        } else if key.is("crate") {
            self.krate = key.path("`events_sea_orm`")?.path;
        } else {
            self.said.something_else = true;
            return Err(
                key.unknown("`object_type`, `team`, `soft_delete`, `thread`, `behavior`, `all` or `crate`")
            );
        }
        Ok(())
    }

    /// Whether this field holds the team.
    pub(crate) fn is_team(&self, field: &Field) -> bool {
        matches!(&self.team, Some(Team::Field(name)) if field.is_called(&name.value()))
    }

    /// The field that marks a row as deleted.
    pub(crate) fn deleted_mark(&self) -> Option<&Field> {
        let name = self.soft_delete.as_ref()?.value();
        self.fields.iter().find(|field| field.is_column() && field.is_called(&name))
    }
}

fn named_fields<'a>(
    input: &'a DeriveInput,
    errors: &mut Errors,
) -> Option<&'a Punctuated<SynField, Token![,]>> {
    let Data::Struct(data) = &input.data else {
        errors.at(&input.ident, "`Tracked` goes on the `Model` struct of a SeaORM entity");
        return None;
    };
    let Fields::Named(fields) = &data.fields else {
        errors.at(&input.ident, "`Tracked` needs a model with named fields, as SeaORM does");
        return None;
    };
    if !input.generics.params.is_empty() {
        errors.at(&input.generics, "a tracked model has no generic parameters, as SeaORM asks: remove them");
        return None;
    }
    Some(&fields.named)
}

impl Team {
    fn parse(key: Key) -> syn::Result<Self> {
        let expected = |name: &str| {
            format!("expected a field's name in quotes, `team = \"{name}\"`, or the bare word `context`")
        };
        match key.expr(&expected("team_id"))? {
            Expr::Lit(ExprLit { lit: Lit::Str(name), .. }) => Ok(Self::Field(name)),
            Expr::Path(word) if word.path.is_ident("context") => Ok(Self::Context),
            other => {
                let word = match &other {
                    Expr::Path(word) => word.path.get_ident().map(ToString::to_string),
                    _ => None,
                };
                Err(syn::Error::new_spanned(other, expected(word.as_deref().unwrap_or("team_id"))))
            }
        }
    }
}

impl Field {
    fn parse(field: &SynField, rename_all: Option<&str>, errors: &mut Errors) -> Option<Self> {
        let ident = field.ident.clone()?;
        let mut attributes = field.attrs.iter().filter(|attribute| attribute.path().is_ident("track"));
        let track = attributes.next().map(|attribute| Track::parse(attribute, errors));
        for attribute in attributes {
            errors.at(attribute, "one `#[track(..)]` a field: join the two");
        }
        Some(Self {
            column: Column::of(&ident, &field.attrs, rename_all),
            ident,
            ty: field.ty.clone(),
            track,
        })
    }

    /// The name it is recorded under.
    pub(crate) fn name(&self) -> String {
        self.rename().map_or_else(|| self.column.name.clone(), LitStr::value)
    }

    pub(crate) fn rename(&self) -> Option<&LitStr> {
        self.track.as_ref().and_then(|track| track.rename.as_ref())
    }

    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.ident == name || self.ident.unraw() == name || self.column.name == name
    }
}

impl Track {
    fn parse(attribute: &Attribute, errors: &mut Errors) -> Self {
        let mut keys = Keys::default();
        keys.read(attribute, errors);
        let mut track = Self {
            says_state: keys.may_have("state", &TRACK_KEYS),
            says_transitions: keys.may_have("transitions", &TRACK_KEYS),
            ..Self::default()
        };
        for key in keys {
            let parsed = track.take(key);
            errors.keep(parsed);
        }
        track
    }

    fn take(&mut self, key: Key) -> syn::Result<()> {
        if key.is("rename") {
            self.rename = Some(key.text()?);
        } else if key.is("with") {
            self.with = Some(key.path("a function")?);
        } else if key.is("state") {
            self.state = Some(key.flag()?);
        } else if key.is("transitions") {
            self.transitions = Some(Transitions::parse(key)?);
        } else if key.is("enforce") {
            self.enforce = Some(key.flag()?);
        } else if key.is("redact") {
            self.redact = Some(key.flag()?);
        } else if key.is("digest") {
            self.digest = Some(key.flag()?);
        } else if key.is("renamed_from") {
            self.renamed_from = Some(key.text()?);
        } else if key.is("skip") {
            self.skip = Some(key.flag()?);
        } else if key.is("label") {
            self.label = Some(key.text()?);
        } else if key.is("format") {
            self.format = Some(Format::parse(key)?);
        } else {
            return Err(key.unknown(
                "`rename`, `renamed_from`, `skip`, `state`, `transitions`, `enforce`, `redact`, `digest`, `with`, `label` or `format`",
            ));
        }
        Ok(())
    }
}

impl Format {
    fn parse(key: Key) -> syn::Result<Self> {
        let message = "expected `\"plain\"`, `\"number\"`, `\"date\"`, or the path of a function from `&serde_json::Value` to `String`, without quotes";
        match key.expr(message)? {
            Expr::Path(path) => Ok(Self::With(path)),
            Expr::Lit(ExprLit { lit: Lit::Str(word), .. }) => match word.value().as_str() {
                "plain" => Ok(Self::Plain(word)),
                "number" => Ok(Self::Number(word)),
                "date" => Ok(Self::Date(word)),
                _ => Err(syn::Error::new_spanned(word, message)),
            },
            other => Err(syn::Error::new_spanned(other, message)),
        }
    }

    /// Where it was said.
    pub(crate) fn tokens(&self) -> &dyn ToTokens {
        match self {
            Self::Plain(word) | Self::Number(word) | Self::Date(word) => word,
            Self::With(path) => path,
        }
    }
}
