//! What can be wrong with the parts of an event.

use std::{error::Error, fmt};

/// A team, object, actor or event name that cannot be stored.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentifierError {
    /// It is the empty string.
    #[error("{what} is empty: give it at least one character")]
    Empty {
        /// What it was meant to be, e.g. `team`.
        what: &'static str,
    },
    /// It has more than [`MAX_IDENTIFIER`] characters.
    #[error("{what} has {length} characters: at most {MAX_IDENTIFIER} can be stored")]
    TooLong {
        /// What it was meant to be.
        what: &'static str,
        /// Its length in characters.
        length: usize,
    },
    /// It holds a NUL character, which PostgreSQL cannot store.
    #[error("{what} holds a NUL character, which cannot be stored")]
    Nul {
        /// What it was meant to be.
        what: &'static str,
    },
    /// The name of a custom event breaks the rule.
    #[error(
        "`{name}` cannot name a custom event: a lower-case letter, then at most 62 of a-z, 0-9, `_` and `.`"
    )]
    EventName {
        /// The name as given.
        name: String,
    },
}

/// The longest team or actor identifier, object type or indexed form of an object's identifier, in characters: what an
/// index of MariaDB can hold. An object's identifier itself may be longer.
pub const MAX_IDENTIFIER: usize = 191;

/// Refuses what cannot be an object's identifier. It may have any length: a long one is stored as its beginning and a digest.
///
/// # Errors
/// [`IdentifierError`] if `text` is empty or holds a NUL.
pub fn check_object_id(what: &'static str, text: &str) -> Result<(), IdentifierError> {
    if text.is_empty() {
        return Err(IdentifierError::Empty { what });
    }
    if text.contains('\0') {
        return Err(IdentifierError::Nul { what });
    }
    Ok(())
}

/// Refuses what cannot be stored as an identifier.
///
/// # Errors
/// [`IdentifierError`] if `text` is empty, longer than [`MAX_IDENTIFIER`] characters, or holds a NUL.
pub fn check_identifier(what: &'static str, text: &str) -> Result<(), IdentifierError> {
    if text.is_empty() {
        return Err(IdentifierError::Empty { what });
    }
    if text.contains('\0') {
        return Err(IdentifierError::Nul { what });
    }
    // Bytes bound characters from above, so that the usual short identifier is not counted.
    if text.len() > MAX_IDENTIFIER {
        let length = text.chars().count();
        if length > MAX_IDENTIFIER {
            return Err(IdentifierError::TooLong { what, length });
        }
    }
    Ok(())
}

/// An `object_id` that does not parse back into the key parts that were asked for.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("object id `{object_id}` does not hold {expected} key parts")]
pub struct ObjectIdError {
    /// The text as stored.
    pub object_id: String,
    /// How many key columns the object has.
    pub expected: usize,
}

/// Writes an error as its message and those of its causes, each once: the `Debug` of this library's errors.
///
/// `unwrap` and `main` print `Debug`, so that is where the advice has to be.
///
/// # Errors
/// The formatter's.
///
/// # Examples
/// ```
/// let error = events_core::error::check_identifier("team", "").unwrap_err();
/// assert_eq!(format!("{error:?}"), "team is empty: give it at least one character");
/// ```
pub fn write_message(error: &dyn Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut written = error.to_string();
    f.write_str(&written)?;
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        // Many messages end with that of their cause.
        if !written.contains(&message) {
            write!(f, ": {message}")?;
            written = message;
        }
        cause = error.source();
    }
    Ok(())
}

impl fmt::Debug for IdentifierError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_message(self, f)
    }
}

impl fmt::Debug for ObjectIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_message(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        source: Option<Box<Layer>>,
    }

    #[test]
    fn each_message_is_written_once() {
        let shown = |texts: &[&'static str]| {
            let chain = texts.iter().rev().fold(None, |source, text| Some(Box::new(Layer { text, source })));
            struct Shown(Box<Layer>);
            impl fmt::Debug for Shown {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    write_message(self.0.as_ref(), f)
                }
            }
            format!("{:?}", Shown(chain.expect("a layer")))
        };
        assert_eq!(shown(&["a"]), "a");
        assert_eq!(shown(&["a", "b", "c"]), "a: b: c");
        assert_eq!(
            shown(&["failed: query: no table", "query: no table", "no table"]),
            "failed: query: no table"
        );
    }
}
