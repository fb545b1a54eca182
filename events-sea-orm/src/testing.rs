//! For the tests of an application: what was recorded, compared with what should have been.
//!
//! ```
//! # use events_sea_orm::{Event, Events, assert_events, testing::{self, custom}};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let mut options = sea_orm::ConnectOptions::new("sqlite::memory:");
//! # options.max_connections(1);
//! # let pool = sea_orm::Database::connect(options).await?;
//! # events_sea_orm::migration::up(&pool).await?;
//! let events = Events::builder(pool).build().await?;
//! let captured = testing::capture(&events, async {
//!     let txn = events.begin(testing::context()).await?;
//!     txn.emit(Event::custom("launch_approved").json("by phone".into())).await?;
//!     Ok::<_, sea_orm::DbErr>(txn.commit().await?)
//! });
//! let (outcome, recorded) = captured.await?;
//! outcome?;
//! assert_events!(recorded, [custom("launch_approved").data("by phone").actor("tester")]);
//! # Ok(()) }
//! ```
//!
//! [`capture`] reads what units of work and scopes left in the log; [`recorded`] asks a unit that is still open.
//! [`assert_events!`](crate::assert_events) compares, and shows the difference line by line; an event that was not
//! expected is one. [`Events::drain`](crate::Events::drain) runs the after-commit consumers to completion, without sleeping.
//! [`Recorder`], [`Failing`] and [`Slow`] are consumers to order.

mod capture;
mod consumers;
mod difference;
mod expected;

use events_core::{Context, Event};

pub(crate) use self::capture::note_unit;
pub use self::{
    capture::capture,
    consumers::{Failing, Recorder, Slow},
    expected::{Expected, created, custom, deleted, restored, state_changed, updated},
};
use crate::transaction::EventTransaction;

/// A context of team `test` and actor `tester`.
pub fn context() -> Context {
    Context::team("test").actor("tester")
}

/// The events that an open unit of work has recorded and not yet written, those of the units around it first.
///
/// A test that looks here need not commit. What a bulk call of thousands of rows has written already is not among them.
pub fn recorded(txn: &EventTransaction) -> Vec<Event> {
    txn.all_buffered()
}

/// Compares events with what was expected, in order. `assert_events!` calls it.
///
/// # Panics
/// If they differ, with the difference.
#[track_caller]
#[allow(clippy::panic)] // what an assertion does
pub fn check(events: &[Event], expected: &[Expected], and_more: bool) {
    if let Some(difference) = difference::between(events, expected, and_more) {
        panic!("the events are not those expected:\n{difference}");
    }
}

/// Asserts that these events, and no others, were recorded, in this order. `..` after them lets more follow.
///
/// ```
/// # use events_sea_orm::{assert_events, testing::{created, updated, custom}, Event};
/// # fn check(events: Vec<Event>) {
/// assert_events!(events, [
///     created("campaign").value("name", "Spring"),
///     updated("campaign").change("budget", 1_000, 2_500).redacted("api_key"),
///     custom("launch_approved").object("campaign", 1),
/// ]);
/// assert_events!(events, [created("campaign")], ..);
/// # }
/// ```
#[macro_export]
macro_rules! assert_events {
    ($events:expr, [$($expected:expr),* $(,)?] $(,)?) => {
        $crate::testing::check(::core::convert::AsRef::<[$crate::Event]>::as_ref(&$events), &[$($expected),*], false)
    };
    ($events:expr, [$($expected:expr),* $(,)?], ..) => {
        $crate::testing::check(::core::convert::AsRef::<[$crate::Event]>::as_ref(&$events), &[$($expected),*], true)
    };
}
