//! `Subscription`: a consumer, which events it wants, and how it is run.

use std::{sync::Arc, time::Duration};

use events_core::{EventFilter, EventType, IdentifierError, error::check_identifier};
use sea_orm::EntityTrait;

use super::{Consumer, Counters, Delivery};
use crate::{
    connection::EventConnection, events::BuildError, tracked::Tracked, transaction::EventTransaction,
};

/// A consumer, which events it wants, and how it is run.
///
/// # Examples
/// ```
/// use events_sea_orm::{ConsumerError, Event, EventConnection, EventType, Events, Subscription};
///
/// async fn index(db: &EventConnection, event: &Event) -> Result<(), ConsumerError> {
///     println!("{} of team {}", event.event_type, event.team_id);
///     Ok(())
/// }
/// # fn builder(db: sea_orm::DatabaseConnection) {
/// let builder = Events::builder(db).subscribe(
///     Subscription::after_commit(index).named("search").on([EventType::Created, EventType::Updated]),
/// );
/// # }
/// ```
#[must_use = "`EventsBuilder::subscribe` takes it"]
pub struct Subscription {
    pub(crate) name: Arc<str>,
    pub(super) handler: Handler,
    pub(crate) filter: EventFilter,
    order: i32,
    pub(super) on_error: OnError,
    pub(super) time_budget: Duration,
    pub(super) counters: Arc<Counters>,
    unusable: Option<IdentifierError>,
}

/// A consumer, by what it is given.
#[derive(Clone)]
pub(super) enum Handler {
    InTransaction(Arc<dyn Consumer<EventTransaction>>),
    AfterCommit(Arc<dyn Consumer<EventConnection>>),
}

/// What becomes of a unit of work whose consumer fails in the transaction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnError {
    /// It is rolled back.
    #[default]
    Abort,
    /// It goes on: the consumer runs in a savepoint, which alone is rolled back. The failure is logged and counted.
    Log,
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription")
            .field("name", &self.name)
            .field("delivery", &self.delivery())
            .field("filter", &self.filter)
            .finish_non_exhaustive()
    }
}

impl Subscription {
    /// This consumer, inside the unit of work, at its commit.
    pub fn in_transaction(consumer: impl Consumer<EventTransaction>) -> Self {
        let name = consumer.name();
        Self::new(name, Handler::InTransaction(Arc::new(consumer)), Duration::from_secs(5))
    }

    /// This consumer, after the commit.
    pub fn after_commit(consumer: impl Consumer<EventConnection>) -> Self {
        let name = consumer.name();
        Self::new(name, Handler::AfterCommit(Arc::new(consumer)), Duration::from_secs(30))
    }

    fn new(name: String, handler: Handler, time_budget: Duration) -> Self {
        Self {
            name: name.into(),
            handler,
            filter: EventFilter::default(),
            order: 0,
            on_error: OnError::Abort,
            time_budget,
            counters: Arc::default(),
            unusable: None,
        }
    }

    /// Under this name, which is unique in the application. Without it: the name of the function or type.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into().into();
        self
    }

    /// Events of these types; several calls add. Without it: of every type.
    pub fn on(mut self, types: impl IntoIterator<Item = EventType>) -> Self {
        self.filter = self.filter.on(types);
        self
    }

    /// Custom events of this name; several calls add. An unusable name is an error of `build`.
    pub fn on_custom(mut self, name: impl Into<String>) -> Self {
        match EventType::custom(name) {
            Ok(custom) => self.filter = self.filter.on([custom]),
            Err(error) => self.unusable = Some(error),
        }
        self
    }

    /// Events about this entity's rows; several calls add. Without it: about anything and nothing.
    pub fn object<E: EntityTrait>(mut self) -> Self
    where
        E::Model: Tracked,
    {
        self.filter = self.filter.object_type(E::Model::definition().object_type());
        self
    }

    /// Its place among the consumers of a unit of work: lower ones run first, equal ones as they were registered and
    /// then by name. 0 unless said.
    pub fn order(mut self, order: i32) -> Self {
        self.order = order;
        self
    }

    /// What becomes of the unit of work if it fails. After the commit nothing does: a failure is logged and counted.
    pub fn on_error(mut self, on_error: OnError) -> Self {
        self.on_error = on_error;
        self
    }

    /// How long one call of it may take before it counts as failed: 5 s in the transaction, 30 s after the commit,
    /// unless said. Not kept outside a Tokio runtime, nor by a consumer that blocks its thread.
    pub fn time_budget(mut self, time_budget: Duration) -> Self {
        self.time_budget = time_budget;
        self
    }

    pub(crate) fn delivery(&self) -> Delivery {
        match self.handler {
            Handler::InTransaction(_) => Delivery::InTransaction,
            Handler::AfterCommit(_) => Delivery::AfterCommit,
        }
    }
}

/// A consumer that `#[event_consumer]` registered.
#[derive(Debug)]
pub struct RegisteredConsumer(pub fn() -> Subscription);

inventory::collect!(RegisteredConsumer);

/// The consumers of an application, in the order in which they run.
pub(crate) fn select(
    explicit: Vec<Subscription>,
    with_registered: bool,
    without: &[String],
) -> Result<Vec<Subscription>, BuildError> {
    let mut all = explicit;
    if with_registered {
        let mut registered: Vec<_> =
            inventory::iter::<RegisteredConsumer>().map(|registered| (registered.0)()).collect();
        // The linker's order is nobody's.
        registered.sort_by(|a, b| a.name.cmp(&b.name));
        all.extend(registered);
    }
    let is_named = |subscription: &Subscription, name: &String| *subscription.name == **name;
    for name in without {
        if !all.iter().any(|subscription| is_named(subscription, name)) {
            let known = all.iter().map(|subscription| subscription.name.to_string()).collect();
            return Err(BuildError::UnknownConsumer { name: name.clone(), known });
        }
    }
    all.retain(|subscription| !without.iter().any(|name| is_named(subscription, name)));
    for (i, subscription) in all.iter().enumerate() {
        check_identifier("consumer", &subscription.name)?;
        if let Some(error) = &subscription.unusable {
            let consumer = subscription.name.to_string();
            return Err(BuildError::Subscription { consumer, source: error.clone() });
        }
        if all[..i].iter().any(|other| other.name == subscription.name) {
            return Err(BuildError::DuplicateConsumer { name: subscription.name.to_string() });
        }
    }
    all.sort_by_key(|subscription| subscription.order);
    Ok(all)
}
