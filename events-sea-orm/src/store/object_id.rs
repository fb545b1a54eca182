//! An object's identifier as the indexed column holds it.

use std::borrow::Cow;

use events_core::error::MAX_IDENTIFIER;
use serde_json::Value as Json;

use crate::{record::Recorded, value::sha256};

/// What stands between the beginning of a long identifier and its digest.
const MARK: &str = "#sha256:";

/// The digits of the digest.
const DIGITS: usize = 64;

/// The name under which an event's `context` has the whole identifier.
const KEY: &str = "object_id";

/// An object's identifier as the column `object_id` of every table of this library holds it: for direct queries.
///
/// Up to 191 characters it is the identifier itself. A longer one is its first 119 characters, `#sha256:` and the SHA-256 of
/// the whole in hexadecimal digits, and the whole stands in the event's `context` under `"object_id"`. A short identifier
/// that looks like such a digest is made one itself, so that no two identifiers are stored alike.
///
/// # Examples
/// ```
/// use events_sea_orm::stored_object_id;
///
/// assert_eq!(stored_object_id("12"), "12");
/// let long = "k".repeat(500);
/// assert_eq!(stored_object_id(&long).len(), 191);
/// assert_ne!(stored_object_id(&long), stored_object_id(&long[1..]));
/// ```
pub fn stored_object_id(object_id: &str) -> Cow<'_, str> {
    // Bytes bound characters from above, so that the usual short identifier is not counted.
    let is_short = object_id.len() <= MAX_IDENTIFIER || object_id.chars().count() <= MAX_IDENTIFIER;
    if is_short && !is_digest(object_id) {
        return object_id.into();
    }
    let begins = object_id.chars().take(MAX_IDENTIFIER - MARK.len() - DIGITS);
    let stored: String = begins.chain(MARK.chars()).collect();
    (stored + &sha256(object_id.as_bytes())).into()
}

/// Whether the text is in the form of a long identifier.
pub(crate) fn is_digest(stored: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let digest = stored.len().checked_sub(DIGITS).filter(|start| stored.is_char_boundary(*start));
    digest.is_some_and(|start| stored[..start].ends_with(MARK) && stored[start..].bytes().all(is_digit))
}

/// Puts the identifier of each event in the form that the column takes, and what does not fit there into its context.
pub(super) fn store(events: &mut [Recorded]) {
    for event in events {
        let Some(whole) = &event.object_id else { continue };
        let Cow::Owned(stored) = stored_object_id(whole) else { continue };
        if let Ok(Json::Object(mut context)) = serde_json::from_str(&event.context) {
            context.insert(KEY.to_owned(), Json::from(whole.as_str()));
            event.context = Json::Object(context).to_string().into();
        }
        event.object_id = Some(stored);
    }
}

/// The identifier of an event that was read, taken out of its context if it stands there.
pub(super) fn restored(stored: &str, context: &mut Json) -> String {
    let whole = context.get(KEY).and_then(Json::as_str).filter(|_| is_digest(stored));
    let whole = whole.filter(|whole| stored_object_id(whole) == stored).map(str::to_owned);
    match (whole, context) {
        (Some(whole), Json::Object(context)) => {
            context.remove(KEY);
            whole
        }
        _ => stored.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_two_identifiers_are_stored_alike() {
        let long = "é".repeat(192);
        let stored = stored_object_id(&long);
        assert_eq!(stored.chars().count(), MAX_IDENTIFIER);
        assert!(stored.starts_with(&"é".repeat(119)));
        let again = stored_object_id(&stored);
        assert_ne!(again, stored, "a short identifier in the form of a long one is none");
        assert_eq!(again.chars().count(), MAX_IDENTIFIER);
        let short = "é".repeat(191);
        assert_eq!(stored_object_id(&short), short);
    }

    #[test]
    fn the_whole_is_had_back_from_the_context_of_its_own_event_alone() {
        let long = "k".repeat(300);
        let stored = stored_object_id(&long).into_owned();
        let mut context = json!({"object_id": long, "reason": "r"});
        assert_eq!(restored(&stored, &mut context), long);
        assert_eq!(context, json!({"reason": "r"}));
        let mut forged = json!({"object_id": "other"});
        assert_eq!(restored(&stored, &mut forged), stored);
        assert_eq!(restored("12", &mut forged), "12");
    }
}
