//! The thread that an event belongs to.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    error::{IdentifierError, check_identifier, check_object_id},
    event::{Event, ObjectRef},
};

/// A thread of messages: an object's, and in a scope if it has one, such as a campaign.
///
/// # Examples
/// ```
/// use events_core::{ObjectRef, ThreadRef};
///
/// let thread = ThreadRef::of(ObjectRef::new("customer", 148)).scoped(7);
/// assert_eq!(thread.to_json(), serde_json::json!({"object_type": "customer", "object_id": "148", "scope": "7"}));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ThreadRef {
    /// Whose thread it is.
    #[serde(flatten)]
    pub object: ObjectRef,
    /// The part of it that it is in. Threads of one object in several scopes do not mix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}

/// The key under which it stands in an event's `context`.
const KEY: &str = "thread";

impl ThreadRef {
    /// The thread of this object, in no scope.
    pub fn of(object: ObjectRef) -> Self {
        Self { object, scope: None }
    }

    /// The same object's thread in this scope. The empty text is no scope.
    #[must_use]
    pub fn scoped(mut self, scope: impl std::fmt::Display) -> Self {
        self.scope = Some(scope.to_string()).filter(|scope| !scope.is_empty());
        self
    }

    /// Refuses what cannot be stored.
    ///
    /// # Errors
    /// [`IdentifierError`] naming the part.
    pub fn check(&self) -> Result<(), IdentifierError> {
        check_identifier("the object type of the thread", &self.object.object_type)?;
        check_object_id("the object id of the thread", &self.object.object_id)?;
        self.scope.as_deref().map_or(Ok(()), |scope| check_identifier("the scope of the thread", scope))
    }

    /// As it stands in an event's `context`, under `"thread"`.
    pub fn to_json(&self) -> Value {
        let mut json = Map::new();
        let mut put = |key: &str, text: &str| json.insert(key.to_owned(), Value::from(text));
        put("object_type", &self.object.object_type);
        put("object_id", &self.object.object_id);
        if let Some(scope) = &self.scope {
            put("scope", scope);
        }
        Value::Object(json)
    }

    /// Writes it into an event's `context`.
    pub fn put_into(&self, context: &mut Value) {
        if let Value::Object(context) = context {
            context.insert(KEY.to_owned(), self.to_json());
        }
    }
}

impl Event {
    /// The thread that the event itself names: it does where the thread is not simply that of its object.
    pub fn stated_thread(&self) -> Option<ThreadRef> {
        ThreadRef::deserialize(self.context.get(KEY)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_json_is_the_documented_one_and_reads_back() {
        let object = || ObjectRef::new("customer", 148);
        for (thread, expected) in [
            (ThreadRef::of(object()), json!({"object_type": "customer", "object_id": "148"})),
            (ThreadRef::of(object()).scoped(""), json!({"object_type": "customer", "object_id": "148"})),
            (
                ThreadRef::of(object()).scoped("a b"),
                json!({"object_type": "customer", "object_id": "148", "scope": "a b"}),
            ),
        ] {
            assert_eq!(thread.to_json(), expected);
            assert_eq!(serde_json::to_value(&thread).ok(), Some(expected.clone()));
            assert_eq!(ThreadRef::deserialize(&expected).ok(), Some(thread));
        }
    }

    #[test]
    fn what_cannot_be_stored_is_refused() {
        let thread = |id: &str, scope: &str| ThreadRef::of(ObjectRef::new("x", id)).scoped(scope).check();
        assert_eq!(thread("1", "2"), Ok(()));
        assert!(thread("", "").is_err());
        assert_eq!(thread(&"é".repeat(192), ""), Ok(()), "stored by its digest");
        assert!(thread("1", &"é".repeat(192)).is_err());
        assert!(thread("1", "\0").is_err());
    }
}
