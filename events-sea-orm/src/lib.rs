//! An append-only, team-isolated event log for [SeaORM]: every save of a tracked model leaves its event, in the same
//! transaction.
//!
//! ```
//! use events_sea_orm::prelude::*;
//!
//! mod campaign {
//!     use events_sea_orm::prelude::*;
//!     use sea_orm::entity::prelude::*;
//!
//!     #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
//!     #[sea_orm(table_name = "campaigns")]
//!     #[tracked(object_type = "campaign", team = "team_id")]
//!     pub struct Model {
//!         #[sea_orm(primary_key)]
//!         pub id: i32,
//!         pub team_id: i32,
//!         #[track]
//!         pub name: String,
//!         #[track(state)] // a change of it is a STATE_CHANGED event
//!         pub status: String,
//!         #[track(redact)] // that it changed is recorded, never its value
//!         pub api_key: String,
//!     }
//!
//!     #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
//!     pub enum Relation {}
//! }
//! assert_eq!(<campaign::Model as Tracked>::definition().object_type(), "campaign");
//! ```
//!
//! Reading order: [`Events`] (the handle), [`EventConnection`] (a context on the pool), [`EventTransaction`] (the unit
//! of work), [`Tracked`] (the derive), [`Feed`] (a team's events, an object's timeline), [`SoftDelete`] (rows that are marked
//! as deleted), [`Transition`] (states and how long they lasted), [`migration`] (the table), [`event`] (its entity),
//! [`value`] (how values are recorded), [`Refused`] (why a call did not pass), [`writes`] (what becomes of every call of
//! SeaORM that can write), [`security`] (how teams are kept apart and events kept as they are), [`retention`] (how old events
//! go).
//!
//! # Databases
//!
//! SQLite, PostgreSQL from 15 on, and MariaDB, on each of which all tests run. MySQL takes MariaDB's part of the code, which
//! was never run on a MySQL server: where these pages name MySQL, they say what its own documents let expect.
//!
//! [SeaORM]: https://www.sea-ql.org/SeaORM

mod adoption;
#[cfg(feature = "analytics")]
pub mod analytics;
mod backend;
mod bulk;
mod change;
mod connection;
mod consumer;
mod error;
mod events;
mod feed;
mod hooks;
#[cfg(feature = "migration")]
pub mod migration;
#[cfg(feature = "notifications")]
pub mod notifications;
mod observe;
pub mod prelude;
mod record;
pub mod retention;
mod row_level_security;
mod saves;
mod scope;
mod soft_delete;
mod store;
#[cfg(any(feature = "analytics", feature = "notifications", feature = "threads"))]
mod team;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "threads")]
pub mod threads;
mod tracked;
mod transaction;
mod transitions;
mod typed;
pub mod value;
mod verify;
#[cfg(any(feature = "axum", feature = "tower"))]
mod web;
mod withhold;
#[cfg(feature = "testing")]
#[doc = include_str!("guide.md")]
pub mod guide {}
#[doc = include_str!("observability.md")]
pub mod observability {}
#[cfg(feature = "migration")]
#[doc = include_str!("security.md")]
pub mod security {}
#[doc = include_str!("writes.md")]
pub mod writes {}

pub use bulk::{
    DeleteMany, DeleteOne, EntityEvents, Filter, InsertMany, InsertOne, TryInsert, UpdateMany, UpdateOne,
};
pub use change::{Change, EventChanges};
#[cfg(feature = "stream")]
pub use connection::ConnectionStream;
pub use connection::EventConnection;
pub use consumer::{
    Consumer, ConsumerError, ConsumerFailure, ConsumerFuture, ConsumerStats, Delivery, OnError, Subscription,
    Undelivered,
};
pub use error::{CommitError, Outcome, Refused, UndeclaredTransition, UnknownCommit};
pub use events::{BuildError, Events, EventsBuilder};
pub use events_core::{
    self, Actor, Context, CreatedEventData, CustomEventData, DeletedEventData, Event, EventFilter, EventType,
    FieldChange, IdentifierError, NewEvent, ObjectRef, RestoredEventData, StateChangedEventData, Subject,
    TeamScope, ThreadRef, UpdatedEventData, make_field_changes,
};
pub use events_macros::{Tracked, event_consumer, tracked_behavior};
pub use feed::Feed;
pub use saves::{
    ActiveModelEvents, Create, CreateOrUpdate, Delete, ModelEvents, Restore, Save, SoftDeletion, Target,
    Update,
};
pub use scope::ScopeError;
pub use sea_orm;
pub use soft_delete::{DeletedMark, SoftDelete};
pub use store::{event, stored_object_id};
pub use tracked::{Definition, Field, Format, TeamSource, ThreadSource, Tracked, registered};
#[cfg(feature = "stream")]
pub use transaction::EventStream;
pub use transaction::{EventTransaction, emit_event};
pub use transitions::{TimeInState, Transition};
pub use verify::{
    AllTeamsProblem, Finding, GuardFinding, GuardProblem, IsolationFinding, Report, Severity, TableProblem,
    TextFinding, TextProblem,
};
#[cfg(any(feature = "axum", feature = "tower"))]
pub use web::status_of;
#[cfg(feature = "tower")]
pub use web::{EventsLayer, EventsService};

/// What the macros' output and the tool `events` call. Not for users: it changes without notice.
#[doc(hidden)]
pub mod __private {
    pub use inventory;

    pub use crate::{
        backend::advice_on_pooler,
        consumer::RegisteredConsumer,
        hooks::{after_delete, after_hook, after_save, before_delete, before_save},
        saves::set_options_aside,
        tracked::Registration,
    };

    /// A column's name in the database.
    pub fn column_name<C: sea_orm::IdenStatic>(column: &C) -> &'static str {
        column.as_str()
    }

    /// A variant of a state's enum as the database holds it.
    pub fn state_value(variant: impl Into<sea_orm::Value>) -> sea_orm::Value {
        variant.into()
    }

    /// A field of a row, for the user's own function.
    ///
    /// # Errors
    /// SeaORM's, if the column holds no such value.
    pub fn field<T: sea_orm::TryGetable>(
        row: &sea_orm::QueryResult,
        column: &str,
    ) -> Result<T, sea_orm::DbErr> {
        row.try_get("", column)
    }

    /// A value that the user's own function made.
    #[diagnostic::on_unimplemented(
        message = "`{Self}` cannot be recorded",
        label = "gives no JSON",
        note = "`with` names a function from a reference to the field to something that is `Into<serde_json::Value>`"
    )]
    pub trait CustomValue {
        /// As it is compared and recorded.
        fn custom_value(self) -> sea_orm::Value;
    }

    // Else the message would be about `From<..> for serde_json::Value`.
    #[diagnostic::do_not_recommend]
    impl<T: Into<serde_json::Value>> CustomValue for T {
        fn custom_value(self) -> sea_orm::Value {
            sea_orm::Value::Json(Some(Box::new(self.into())))
        }
    }

    /// An active model whose hooks record. Implemented by `#[tracked_behavior]`.
    #[diagnostic::on_unimplemented(
        message = "the hooks of `{Self}` would record nothing",
        label = "says that the model has hooks of its own",
        note = "write `#[tracked_behavior]` above `impl ActiveModelBehavior for ActiveModel`, or drop `behavior`"
    )]
    pub trait TrackedBehavior {
        /// Asked for where the model says that it has hooks of its own.
        const RECORDS: () = ();
    }

    /// An active model whose model says that its hooks are its own. Implemented by the derive.
    #[diagnostic::on_unimplemented(
        message = "the derive writes the hooks of `{Self}` too",
        label = "has hooks of its own here",
        note = "say so on the model: `#[tracked(behavior = \"custom\")]`"
    )]
    pub trait CustomBehavior {
        /// Asked for where the hooks are.
        const SAID: () = ();
    }

    /// How many events the difference of two rows makes: for measurements.
    ///
    /// # Errors
    /// As a save whose values cannot be recorded.
    pub fn diff<M: crate::Tracked>(old: &M, new: &M) -> Result<usize, crate::Refused> {
        use crate::{record, tracked::image_by};
        let (old, new) = (image_by(old), image_by(new));
        let change = record::Change::Updated(&old, &new);
        record::Payloads::new(M::definition(), &record::SaveOptions::default())?
            .of(change)
            .map(|events| events.len())
    }

    /// Whether the guard lets a statement pass that no hook announced: for measurements.
    pub fn look_at<S: sea_orm::StatementBuilder>(statement: &S, backend: sea_orm::DbBackend) -> bool {
        let (inspected, built) = crate::transaction::inspect(statement, backend, &[]);
        crate::transaction::check_on_pool(&inspected, backend, None).is_ok() && !built.sql.is_empty()
    }

    /// The same of text.
    pub fn look_at_text(sql: &str, backend: sea_orm::DbBackend) -> bool {
        let inspected = crate::transaction::inspect_text(sql, backend, &[]);
        crate::transaction::check_on_pool(&inspected, backend, None).is_ok()
    }

    /// What a text writes, if it is a write of a known form: the tables, and whether it may write whatever it names. For tests.
    pub fn written_tables(sql: &str, backend: sea_orm::DbBackend) -> Option<(Vec<String>, bool)> {
        use crate::transaction::Kind;
        let inspected = crate::transaction::inspect_text(sql, backend, &[]);
        let names = inspected.written.iter().map(|table| table.name.clone()).collect();
        (inspected.kind == Kind::Raw).then_some((names, !inspected.named.is_empty()))
    }

    /// A model as the subject of an event.
    pub fn subject<M: crate::Tracked>(model: &M) -> events_core::Subject {
        crate::tracked::subject(model)
    }
}
