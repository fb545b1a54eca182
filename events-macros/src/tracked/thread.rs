//! `thread = "self"` and `thread(object_type = "..", id = "..", scope = "..")`: where a row's events are told.

use syn::LitStr;

use super::model::{Field, Model};
use crate::{
    errors::Errors,
    keys::{Key, Keys},
};

/// Whose thread it is. What is not said is the row's own.
#[derive(Default)]
pub(crate) struct Thread {
    pub(crate) object_type: Option<LitStr>,
    /// The fields that hold the key.
    pub(crate) id: Vec<LitStr>,
    pub(crate) scope: Option<LitStr>,
}

impl Thread {
    pub(crate) fn parse(key: Key, errors: &mut Errors) -> Option<Self> {
        let expected = "expected `thread = \"self\"`, or `thread(object_type = \"..\", id = \"..\", scope = \"..\")` with the parts that are not the row's own";
        if !key.is_list() {
            let word = errors.keep(key.text_or(expected))?;
            if word.value() != "self" {
                errors.at(word, expected);
            }
            return Some(Self::default());
        }
        let (_, list) = errors.keep(key.list(expected))?;
        let mut keys = Keys::default();
        keys.read_arguments(list, errors);
        let mut thread = Self::default();
        for key in keys {
            let parsed = thread.take(key);
            errors.keep(parsed);
        }
        Some(thread)
    }

    fn take(&mut self, key: Key) -> syn::Result<()> {
        if key.is("object_type") {
            self.object_type = Some(key.text()?);
        } else if key.is("id") {
            self.id = key.texts()?;
        } else if key.is("scope") {
            self.scope = Some(key.text()?);
        } else {
            return Err(key.unknown("`object_type`, `id` or `scope`"));
        }
        Ok(())
    }

    /// The names of fields that it gives, the key's first.
    pub(crate) fn names(&self) -> impl Iterator<Item = &LitStr> {
        self.id.iter().chain(&self.scope)
    }
}

impl Model {
    /// The column of this name.
    pub(crate) fn column_called(&self, name: &LitStr) -> Option<&Field> {
        let name = name.value();
        self.fields.iter().find(|field| field.is_column() && field.is_called(&name))
    }
}
