//! Removing old events: an explicit, recorded purge, the only way past the guards of the `events` table. Off by default:
//! it needs the step [`migration::retention`](crate::migration::retention).
//!
//! [`purge`] runs on a connection of the table's owner, in short transactions. Each leaves a row in `event_purges` that
//! says which numbers went, why, and by whom, and commits with what it removed: a purge that is killed leaves a true
//! record and is simply run again.
//!
//! It removes no event whose transaction was still open at the cut, however early `recorded_at` is: whoever reads what was
//! committed up to the cut has had all that goes. No database tells later when a transaction ended, so that is noted at
//! the time: each purge first draws a *mark*, by which all events up to a number are known to have ended, and uses the
//! newest mark that is no later than its cut. So **purge regularly, from the day of the step on**, also while nothing is
//! old enough: what is removable moves in the steps in which marks were drawn. For a log that is older than the step the
//! caller can say how long a transaction was open at most: [`Purge::assume_ended_within`].
//!
//! [`hold`] keeps everything from a number on: for a consumer that has not read it yet, or for a court.
//!
//! On MariaDB and MySQL a mark locks the table for a moment: for at most [`Purge::wait`] new writers wait with it for the
//! open ones. Where events are replicated logically, leave out what removes them (`publish = 'insert'`): the replica's
//! guard refuses it.

mod holds;
mod purge;

pub use self::{
    holds::{Hold, hold, holds, release},
    purge::{Purge, PurgeError, Purged, mark, purge},
};

/// The tables that are ours.
pub(crate) fn own_tables() -> [&'static str; 3] {
    ["event_purges", "event_holds", "event_marks"]
}
