//! Notifications in the application: an inbox for each user, filled from events.
//!
//! ```
//! use events_sea_orm::{
//!     ConsumerError, Context, Event, EventTransaction, Events, migration,
//!     notifications::{Inbox, Notifications},
//! };
//!
//! /// Whom an event concerns, read on `txn`: the watchers of its object, say.
//! async fn watchers(txn: &EventTransaction, event: &Event) -> Result<Vec<String>, ConsumerError> {
//!     Ok(vec!["user:42".to_owned()])
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let mut options = sea_orm::ConnectOptions::new("sqlite::memory:");
//! # options.max_connections(1);
//! # let pool = sea_orm::Database::connect(options).await?;
//! # migration::up(&pool).await?;
//! migration::notifications::up(&pool).await?;
//! let events = Events::builder(pool).consumer(Notifications::new(watchers)).build().await?;
//! let txn = events.begin(Context::team(7).actor("user:1")).await?;
//! txn.emit(Event::custom("launch_approved")).await?;
//! txn.commit().await?;
//!
//! let db = events.connection(Context::team(7).actor("user:42"));
//! let inbox = Inbox::of(7, "user:42");
//! assert_eq!(inbox.unread_count(&db).await?, 1);
//! let newest = inbox.list().limit(1).all(&db).await?.remove(0);
//! assert_eq!(newest.event_type, "launch_approved");
//! inbox.mark_all_read(&db, newest.id).await?; // what came since stays unread
//! assert_eq!(inbox.unread_count(&db).await?, 0);
//! # Ok(()) }
//! ```
//!
//! Each event leaves one notification for each user whom it concerns, in the transaction of the change: if that is rolled
//! back there is none. The same event again for the same user is the same notification. Who did something is not told
//! of it, and each user says in [preferences](Topic) what not to be told.
//!
//! A notification holds identifiers alone, never a value: what happened stands in the event.
//!
//! [`Inbox`] lists a user's notifications, counts the unread ones, marks them as read and keeps the preferences. The
//! tables, `notifications` and `notification_preferences`, come with `migration::notifications`; the application must not
//! have others of these names.

mod inbox;
pub mod notification;
pub mod preference;
mod recipients;
mod store;
mod topic;

use std::collections::HashSet;

use events_core::{Event, error::check_identifier};
use sea_orm::EntityName;

use self::topic::Preferences;
pub use self::{
    inbox::{Inbox, List},
    recipients::{Recipients, RecipientsFn, RecipientsFuture},
    topic::Topic,
};
use crate::{
    consumer::{Consumer, ConsumerError, ConsumerFuture},
    transaction::EventTransaction,
};

pub(crate) fn own_tables() -> [&'static str; 2] {
    [notification::Entity.table_name(), preference::Entity.table_name()]
}

/// The consumer that notifies users of events.
///
/// Register it with [`EventsBuilder::consumer`](crate::EventsBuilder::consumer), or with
/// [`Subscription::in_transaction`](crate::Subscription::in_transaction) to choose the events. However many events a round
/// of a commit has, it sends two statements of its own: a SELECT of preferences and an INSERT, for up to 5,000 users and
/// 5,000 notifications each. What the [`Recipients`] ask is beside that.
///
/// An error of the recipients, and a user's identifier that cannot be stored, is the consumer's error: it refuses the
/// commit, unless the subscription says [`OnError::Log`](crate::OnError::Log).
pub struct Notifications {
    recipients: Box<dyn Recipients>,
    include_actor: bool,
}

impl std::fmt::Debug for Notifications {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notifications").field("include_actor", &self.include_actor).finish_non_exhaustive()
    }
}

/// That an event concerns a user.
struct Notification<'a> {
    event: &'a Event,
    user: String,
}

impl Notifications {
    /// Notifies the users whom these recipients name.
    pub fn new(recipients: impl Recipients) -> Self {
        Self { recipients: Box::new(recipients), include_actor: false }
    }

    /// Whether who did something is told of it, if the recipients name the actor: no, unless said. For whom the actor did
    /// it (`Actor::on_behalf_of`) is told in any case.
    #[must_use]
    pub fn include_actor(mut self, include: bool) -> Self {
        self.include_actor = include;
        self
    }

    async fn notify(&self, txn: &EventTransaction, events: &[&Event]) -> Result<(), ConsumerError> {
        let users = self.recipients.resolve(txn, events).await?;
        let notifications = self.notifications(events, users)?;
        if notifications.is_empty() {
            return Ok(());
        }
        let busy = txn.begin_bulk().await?;
        let rows = store::preferences(txn, &busy, &notifications).await?;
        let preferences = Preferences::of(&rows);
        let wants = |it: &&Notification<'_>| preferences.wants(&it.user, it.event);
        let wanted: Vec<_> = notifications.iter().filter(wants).collect();
        Ok(store::insert(txn, &busy, &wanted).await?)
    }

    /// Each user once for each event.
    fn notifications<'a>(
        &self,
        events: &[&'a Event],
        users: Vec<Vec<String>>,
    ) -> Result<Vec<Notification<'a>>, ConsumerError> {
        if users.len() != events.len() {
            return Err(
                format!("recipients of {} events were named, of {}", users.len(), events.len()).into()
            );
        }
        let mut notifications = Vec::new();
        for (event, users) in events.iter().zip(users) {
            let mut seen = HashSet::new();
            for user in users {
                let is_actor = event.actor_id.as_deref() == Some(&*user);
                if (is_actor && !self.include_actor) || !seen.insert(user.clone()) {
                    continue;
                }
                check_identifier("user", &user)?;
                notifications.push(Notification { event, user });
            }
        }
        Ok(notifications)
    }
}

impl Consumer for Notifications {
    fn handle<'a>(&'a self, txn: &'a EventTransaction, event: &'a Event) -> ConsumerFuture<'a> {
        Box::pin(async move { self.notify(txn, &[event]).await })
    }

    fn handle_all<'a>(
        &'a self,
        txn: &'a EventTransaction,
        events: &'a [&'a Event],
    ) -> Option<ConsumerFuture<'a>> {
        Some(Box::pin(self.notify(txn, events)))
    }
}
