//! Whom events concern, as the application knows it.

use std::{future::Future, pin::Pin};

use events_core::Event;

use crate::{consumer::ConsumerError, transaction::EventTransaction};

/// What [`Recipients`] answer: the users of each event, in the order of the events.
pub type RecipientsFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Vec<Vec<String>>, ConsumerError>> + Send + 'a>>;

/// Says which users events concern.
///
/// An `async fn(&EventTransaction, &Event) -> Result<Vec<String>, ConsumerError>` does, and is asked for each event. Implement
/// the trait itself to ask the database once for all events of a round.
///
/// # Examples
/// ```
/// use events_sea_orm::{Event, EventTransaction, notifications::{Recipients, RecipientsFuture}};
///
/// /// Everybody hears of everything.
/// struct Members;
///
/// impl Recipients for Members {
///     fn resolve<'a>(&'a self, txn: &'a EventTransaction, events: &'a [&'a Event]) -> RecipientsFuture<'a> {
///         Box::pin(async move {
///             let members = vec!["ada".to_owned(), "linus".to_owned()]; // one query on `txn`
///             Ok(events.iter().map(|_| members.clone()).collect())
///         })
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say whom events concern",
    label = "no `Recipients`",
    note = "`async fn(&EventTransaction, &Event) -> Result<Vec<String>, ConsumerError>` does"
)]
pub trait Recipients: Send + Sync + 'static {
    /// The users of each event, in the order of the events. A user named twice is one.
    fn resolve<'a>(&'a self, txn: &'a EventTransaction, events: &'a [&'a Event]) -> RecipientsFuture<'a>;
}

/// Ties a function's future to the lifetimes of its arguments.
#[doc(hidden)]
pub trait RecipientsFn<'a>: Send + Sync + 'static {
    /// What it returns.
    type Future: Future<Output = Result<Vec<String>, ConsumerError>> + Send + 'a;

    /// Calls it.
    fn call(&self, txn: &'a EventTransaction, event: &'a Event) -> Self::Future;
}

impl<'a, F, R> RecipientsFn<'a> for F
where
    F: Fn(&'a EventTransaction, &'a Event) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Vec<String>, ConsumerError>> + Send + 'a,
{
    type Future = R;

    fn call(&self, txn: &'a EventTransaction, event: &'a Event) -> R {
        self(txn, event)
    }
}

impl<F: for<'a> RecipientsFn<'a>> Recipients for F {
    fn resolve<'a>(&'a self, txn: &'a EventTransaction, events: &'a [&'a Event]) -> RecipientsFuture<'a> {
        Box::pin(async move {
            let mut users = Vec::with_capacity(events.len());
            for event in events {
                users.push(self.call(txn, event).await?);
            }
            Ok(users)
        })
    }
}
