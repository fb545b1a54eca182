//! Whose rows a call may see that names a team itself.

use events_core::{ObjectRef, TeamScope};
use sea_orm::ConnectionTrait;

use crate::{
    connection::EventConnection, error::Refused, transaction::EventTransaction, typed::downcast_ref,
};

/// Refuses to read or write what is of a team that the caller names, if the connection is for another. A connection that is
/// none of ours is for nobody in particular, and passes.
pub(crate) fn check_named<C: ConnectionTrait>(
    db: &C,
    team: &str,
    object: impl FnOnce() -> ObjectRef,
) -> Result<(), Refused> {
    let scope = if let Some(txn) = downcast_ref::<EventTransaction, _>(db) {
        txn.team_scope()
    } else if let Some(connection) = downcast_ref::<EventConnection, _>(db) {
        connection.team_scope()?
    } else {
        return Ok(());
    };
    match scope {
        TeamScope::All => Ok(()),
        TeamScope::Team(own) if own == team => Ok(()),
        _ => Err(Refused::OtherTeam { object: object() }),
    }
}
