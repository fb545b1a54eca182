//! Consumers: what acts on events.

pub(crate) mod after_commit;
mod in_transaction;
mod run;
mod stats;
mod subscription;

use std::{future::Future, pin::Pin};

use events_core::Event;

#[doc(hidden)]
pub use self::subscription::RegisteredConsumer;
pub use self::{
    after_commit::Undelivered,
    run::ConsumerFailure,
    stats::{ConsumerStats, Delivery},
    subscription::{OnError, Subscription},
};
pub(crate) use self::{stats::Counters, subscription::select};
use crate::transaction::EventTransaction;

/// What a consumer answers when it cannot do its work.
pub type ConsumerError = Box<dyn std::error::Error + Send + Sync>;

/// What a consumer's work is while it is done.
pub type ConsumerFuture<'a> = Pin<Box<dyn Future<Output = Result<(), ConsumerError>> + Send + 'a>>;

/// Acts on events: inside the transaction of the change, or after its commit.
///
/// `Consumer`, which is `Consumer<EventTransaction>`, runs at commit and is part of the unit of work: its own tracked
/// saves and emitted events, made on the transaction it is given, commit with the change, and its error rolls
/// everything back. An `async fn(&EventTransaction, &Event) -> Result<(), ConsumerError>` is one.
///
/// `Consumer<EventConnection>` runs after the commit, in this process and at best effort: a crash loses what was still
/// to be done. It is given the pool with a context of the event's team, and of the actor of the change. An
/// `async fn(&EventConnection, &Event) -> Result<(), ConsumerError>` is one.
///
/// `#[event_consumer]` registers one; [`Subscription`] says what it wants where that is done by hand.
///
/// # Examples
/// ```
/// use events_sea_orm::{ConsumerError, Event, EventTransaction};
///
/// async fn refuse_on_fridays(_txn: &EventTransaction, event: &Event) -> Result<(), ConsumerError> {
///     if event.event_type.as_str() == "launch_approved" {
///         return Err("no launches on Fridays".into());
///     }
///     Ok(())
/// }
/// # fn builder(db: sea_orm::DatabaseConnection) {
/// let builder = events_sea_orm::Events::builder(db).consumer(refuse_on_fridays);
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no consumer that is given a `{C}`",
    label = "no `Consumer<{C}>`",
    note = "in the transaction: `async fn(&EventTransaction, &Event) -> Result<(), ConsumerError>`",
    note = "after the commit: `async fn(&EventConnection, &Event) -> Result<(), ConsumerError>`"
)]
pub trait Consumer<C: 'static = EventTransaction>: Send + Sync + 'static {
    /// Acts on one event.
    fn handle<'a>(&'a self, db: &'a C, event: &'a Event) -> ConsumerFuture<'a>;

    /// Acts on several events at once, if it does that: where one statement for all is better than one for each.
    ///
    /// The events are those of one round of a commit that it subscribed to, in their order; they may be of several
    /// teams. After the commit they are of one team, and of one unit of work. `None`, unless overridden: `handle` is
    /// called for each.
    fn handle_all<'a>(&'a self, db: &'a C, events: &'a [&'a Event]) -> Option<ConsumerFuture<'a>> {
        let _ = (db, events);
        None
    }

    /// The name by which it is registered; its type's, unless told.
    fn name(&self) -> String {
        let path = std::any::type_name::<Self>();
        path.rsplit("::").find(|part| *part != "{{closure}}").unwrap_or(path).to_owned()
    }
}

/// Ties a function's future to the lifetimes of its arguments.
#[doc(hidden)]
pub trait ConsumerFn<'a, C: 'static>: Send + Sync + 'static {
    /// What it returns.
    type Future: Future<Output = Result<(), ConsumerError>> + Send + 'a;

    /// Calls it.
    fn call(&self, db: &'a C, event: &'a Event) -> Self::Future;
}

impl<'a, C, F, R> ConsumerFn<'a, C> for F
where
    C: 'static,
    F: Fn(&'a C, &'a Event) -> R + Send + Sync + 'static,
    R: Future<Output = Result<(), ConsumerError>> + Send + 'a,
{
    type Future = R;

    fn call(&self, db: &'a C, event: &'a Event) -> R {
        self(db, event)
    }
}

impl<C: 'static, F: for<'a> ConsumerFn<'a, C>> Consumer<C> for F {
    fn handle<'a>(&'a self, db: &'a C, event: &'a Event) -> ConsumerFuture<'a> {
        Box::pin(self.call(db, event))
    }
}
