//! Threads: what happened to an object, as people read it, and what they say about it themselves.
//!
//! ```
//! use events_sea_orm::{ConsumerError, EventTransaction, Events, threads::Threads};
//! use std::collections::HashMap;
//!
//! async fn names(txn: &EventTransaction, ids: &[String]) -> Result<HashMap<String, String>, ConsumerError> {
//!     // users of these ids, read on `txn`
//!     Ok(HashMap::from([("user:42".to_owned(), "Ada".to_owned())]))
//! }
//! # fn builder(pool: sea_orm::DatabaseConnection) {
//! let builder = Events::builder(pool).consumer(Threads::new().actor_names(names));
//! # }
//! ```
//!
//! A model says in whose thread its rows are told: `#[tracked(thread = "self")]`, or
//! `#[tracked(thread(object_type = "customer", id = "customer_id", scope = "campaign_id"))]`. Then every event of such a row
//! leaves one message, in the transaction of the change:
//!
//! ```text
//! Ada created rental 12
//! Ada changed budget from 1,000 to 2,500 and name from “A” to “B”
//! Linus for Ada moved status from draft to live: launch day
//! The system cleared return date of rental 12
//! ```
//!
//! `#[track(label = "daily budget", format = "number")]` says what a field is called and how its values are shown. Decimals
//! have thousands separators, integers have none unless told: a year is no amount. A redacted field's values are never
//! told. Names and values are shortened, and what would hide or turn the text beside it is taken out.
//!
//! `body` is plain text. It is not safe in HTML: [`Model::html`](message::Model::html) is.
//!
//! [`Thread`] reads a thread page by page, and posts users' own messages. The tables come with `migration::threads`.
//!
//! An event is told in the thread that its row pointed to when it was written; that stands in the event itself, in its
//! `context`, unless it is simply its object's own. So an event that was emitted about an [`ObjectRef`], instead of a
//! model, is told only if the object's model says `thread = "self"`. A row that moves from one thread to another is told
//! of in the new one. An event of a model that was given its thread later has none.

pub mod message;
mod names;
mod read;
mod sentence;
mod store;
mod text;
pub mod thread;
mod values;

use std::collections::{BTreeSet, HashMap};

use events_core::{Event, ObjectRef, ThreadRef};

use self::{
    names::Resolver,
    sentence::sentence,
    store::{Key, NewMessage},
};
pub use self::{
    names::{ActorNames, Names},
    read::{MAX_BODY, Messages, PostError, Thread},
};
use crate::{
    consumer::{Consumer, ConsumerError, ConsumerFuture},
    tracked::{self, Definition},
    transaction::EventTransaction,
};

/// The consumer that posts one message for each event whose object has a thread.
///
/// Register it with [`EventsBuilder::consumer`](crate::EventsBuilder::consumer), or with
/// [`Subscription::in_transaction`](crate::Subscription::in_transaction) to choose the events. However many events a round
/// of a commit has, it sends the same few statements: up to 5,000 messages are one.
#[derive(Default)]
pub struct Threads {
    names: Option<Box<dyn Resolver>>,
}

impl std::fmt::Debug for Threads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Threads").field("names", &self.names.is_some()).finish()
    }
}

/// An event and the thread that it is told in.
struct Told<'a> {
    event: &'a Event,
    thread: ThreadRef,
}

impl Threads {
    /// Actors are called by their identifiers.
    pub fn new() -> Self {
        Self::default()
    }

    /// How actors are called: an `async fn(&EventTransaction, &[String]) -> Result<HashMap<String, String>, ConsumerError>`.
    ///
    /// It is asked once for all actors of a round, those included for whom somebody acted, and may read on the unit of
    /// work. Who is not in its answer is called by the identifier.
    #[must_use]
    pub fn actor_names(mut self, names: impl for<'a> ActorNames<'a>) -> Self {
        self.names = Some(Box::new(names));
        self
    }

    async fn tell(&self, txn: &EventTransaction, events: &[&Event]) -> Result<(), ConsumerError> {
        let mut definitions = Definitions::default();
        let told: Vec<Told<'_>> = events.iter().filter_map(|event| definitions.told(event)).collect();
        if told.is_empty() {
            return Ok(());
        }
        // Before any row is locked: the application's code takes its time.
        let names = self.names_of(txn, &told).await?;
        let busy = txn.begin_bulk().await?;
        let keys: BTreeSet<Key> = told.iter().map(Told::key).collect();
        let numbers = store::lock(txn, &busy, &keys).await?;
        let messages: Vec<NewMessage> = told
            .iter()
            .filter_map(|told| {
                let thread_id = numbers.get(&told.key()).copied()?;
                Some(told.message(thread_id, definitions.of(told.event.object.as_ref()?), &names))
            })
            .collect();
        Ok(store::insert(txn, &busy, &messages).await?)
    }

    async fn names_of(&self, txn: &EventTransaction, told: &[Told<'_>]) -> Result<Names, ConsumerError> {
        let Some(names) = &self.names else { return Ok(Names::new()) };
        let ids: BTreeSet<&str> = told.iter().flat_map(Told::actors).collect();
        let ids: Vec<String> = ids.into_iter().map(str::to_owned).collect();
        if ids.is_empty() { Ok(Names::new()) } else { names.resolve(txn, &ids).await }
    }
}

impl Consumer for Threads {
    fn handle<'a>(&'a self, txn: &'a EventTransaction, event: &'a Event) -> ConsumerFuture<'a> {
        Box::pin(async move { self.tell(txn, &[event]).await })
    }

    fn handle_all<'a>(
        &'a self,
        txn: &'a EventTransaction,
        events: &'a [&'a Event],
    ) -> Option<ConsumerFuture<'a>> {
        Some(Box::pin(self.tell(txn, events)))
    }
}

impl Told<'_> {
    fn key(&self) -> Key {
        Key::of(&self.event.team_id, &self.thread)
    }

    /// Who did it, and for whom.
    fn actors(&self) -> impl Iterator<Item = &str> {
        self.event.actor_id.as_deref().into_iter().chain(sentence::principal(self.event))
    }

    fn message(&self, thread_id: i64, definition: Option<&Definition>, names: &Names) -> NewMessage {
        let sentence = sentence(self.event, definition, &self.thread, names);
        NewMessage {
            thread_id,
            team_id: self.event.team_id.clone(),
            event_id: self.event.id,
            author_id: self.event.actor_id.clone(),
            body: sentence.body,
            data: sentence.data,
        }
    }
}

/// The definitions of the objects of a round, each looked for once.
#[derive(Default)]
struct Definitions(HashMap<String, Option<&'static Definition>>);

impl Definitions {
    fn of(&mut self, object: &ObjectRef) -> Option<&'static Definition> {
        if let Some(known) = self.0.get(&object.object_type) {
            return *known;
        }
        let found = tracked::of_object_type(&object.object_type);
        self.0.insert(object.object_type.clone(), found);
        found
    }

    /// The thread of an event: the one that it names, else its object's own if the model has no other.
    fn told<'a>(&mut self, event: &'a Event) -> Option<Told<'a>> {
        let object = event.object.as_ref()?;
        let own = || {
            let source = self.of(object)?.thread()?;
            source.is_own().then(|| ThreadRef::of(object.clone()))
        };
        let thread = event.stated_thread().or_else(own)?;
        Some(Told { event, thread })
    }
}
