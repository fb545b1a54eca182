//! What code that writes tracked models names: `use events_sea_orm::prelude::*;` beside `use sea_orm::entity::prelude::*;`.
//!
//! The traits add methods to models, active models and entities; the derive and the attributes are `Tracked`,
//! `tracked_behavior` and `event_consumer`.

pub use crate::{
    ActiveModelEvents, CommitError, Context, EntityEvents, Event, EventChanges, EventConnection,
    EventTransaction, Events, ModelEvents, Refused, Tracked, event_consumer, tracked_behavior,
};
