//! Consumers: what acts on events.

use std::{future::Future, sync::Arc};

use events_core::Event;

use crate::transaction::EventTransaction;

/// What a consumer answers when it cannot do its work; the unit of work is rolled back.
pub type ConsumerError = Box<dyn std::error::Error + Send + Sync>;

type ConsumerFuture<'a> = std::pin::Pin<Box<dyn Future<Output = Result<(), ConsumerError>> + Send + 'a>>;

/// Acts on every event of a unit of work, inside it, at commit.
///
/// Its own tracked saves and emitted events, made on the transaction it is given, commit with the change. An error
/// rolls everything back. An `async fn(&EventTransaction, &Event) -> Result<(), ConsumerError>` is one.
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
pub trait Consumer: Send + Sync + 'static {
    /// Acts on one event.
    fn handle<'a>(&'a self, txn: &'a EventTransaction, event: &'a Event) -> ConsumerFuture<'a>;

    /// The name by which it is registered; its type's, unless told.
    fn name(&self) -> String {
        let path = std::any::type_name::<Self>();
        path.rsplit("::").find(|part| *part != "{{closure}}").unwrap_or(path).to_owned()
    }
}

/// Ties a function's future to the lifetimes of its arguments.
#[doc(hidden)]
pub trait ConsumerFn<'a>: Send + Sync + 'static {
    /// What it returns.
    type Future: Future<Output = Result<(), ConsumerError>> + Send + 'a;

    /// Calls it.
    fn call(&self, txn: &'a EventTransaction, event: &'a Event) -> Self::Future;
}

impl<'a, F, R> ConsumerFn<'a> for F
where
    F: Fn(&'a EventTransaction, &'a Event) -> R + Send + Sync + 'static,
    R: Future<Output = Result<(), ConsumerError>> + Send + 'a,
{
    type Future = R;

    fn call(&self, txn: &'a EventTransaction, event: &'a Event) -> R {
        self(txn, event)
    }
}

impl<F: for<'a> ConsumerFn<'a>> Consumer for F {
    fn handle<'a>(&'a self, txn: &'a EventTransaction, event: &'a Event) -> ConsumerFuture<'a> {
        Box::pin(self.call(txn, event))
    }
}

/// A registered consumer.
pub(crate) struct ConsumerEntry {
    pub(crate) name: Arc<str>,
    pub(crate) consumer: Box<dyn Consumer>,
}

impl ConsumerEntry {
    pub(crate) fn new(name: Option<String>, consumer: impl Consumer) -> Self {
        let name = name.unwrap_or_else(|| consumer.name()).into();
        Self { name, consumer: Box::new(consumer) }
    }
}

impl std::fmt::Debug for ConsumerEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Consumer").field(&self.name).finish()
    }
}
