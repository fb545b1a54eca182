//! What an event is: a past fact about an object, of one team, by an actor.
//!
//! This crate knows no database and no runtime. Applications name [`events-sea-orm`], which re-exports all of it.
//!
//! Reading order: [`event`] (what is recorded), [`data`] (what stands in `event_data`), [`context`] (who, for which
//! team, why), [`thread`] (where it is told), [`filter`] (which events are wanted), [`error`].
//!
//! [`events-sea-orm`]: https://docs.rs/events-sea-orm

pub mod context;
pub mod data;
pub mod error;
pub mod event;
pub mod filter;
pub mod thread;

pub use context::{Actor, Context, TeamScope};
pub use data::{
    CreatedEventData, CustomEventData, DeletedEventData, FieldChange, RestoredEventData,
    StateChangedEventData, UpdatedEventData, make_field_changes,
};
pub use error::{IdentifierError, ObjectIdError};
pub use event::{Event, EventType, NewEvent, ObjectRef, Subject};
pub use filter::EventFilter;
pub use thread::ThreadRef;
