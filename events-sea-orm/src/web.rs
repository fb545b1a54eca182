//! Web requests: the context made once for each, the connection as a handler's argument, errors as status codes.

#[cfg(feature = "axum")]
mod extractor;
#[cfg(feature = "tower")]
mod layer;

use http::StatusCode;
use sea_orm::{
    DbErr, RuntimeErr,
    sqlx::{self, error::ErrorKind},
};

#[cfg(feature = "tower")]
pub use self::layer::{EventsLayer, EventsService};
use crate::error::Refused;

/// The status code that answers a request which failed with this.
///
/// | status | for |
/// |---|---|
/// | 403 | a change of team, a context without a team; [`DbErr::AccessDenied`] |
/// | 404 | [`DbErr::RecordNotFound`], [`DbErr::RecordNotUpdated`], whatever is of another team |
/// | 409 | a unique, exclusion or foreign key that was violated, [`DbErr::RecordNotInserted`]; a serialization failure or deadlock that the database reports as such (SQLSTATE 40001, 40P01); a state transition that the model does not allow |
/// | 503 | no connection to be had |
/// | 500 | everything else, an unknown commit outcome among it: a client must not simply try that again |
///
/// Survives: the status code, and nothing that the error says. Log the error before you let go of it. A
/// [`Refused`] or [`CommitError`](crate::CommitError) becomes a [`DbErr`] by `From`.
///
/// # Examples
/// ```
/// use events_sea_orm::{CommitError, Refused, status_of};
/// use sea_orm::DbErr;
///
/// assert_eq!(status_of(&DbErr::RecordNotUpdated), 404);
/// assert_eq!(status_of(&CommitError::from(Refused::NoTeam).into()), 403);
/// assert_eq!(status_of(&DbErr::Custom("anything else".to_owned())), 500);
/// ```
pub fn status_of(error: &DbErr) -> StatusCode {
    match (Refused::of(error), error) {
        // Whoever asks must not learn that it is there.
        (Some(Refused::OtherTeam { .. }), _) => StatusCode::NOT_FOUND,
        (Some(Refused::TeamChanged { .. } | Refused::NoTeam), _) => StatusCode::FORBIDDEN,
        (Some(Refused::Transition(_)), _) => StatusCode::CONFLICT,
        (_, DbErr::AccessDenied { .. }) => StatusCode::FORBIDDEN,
        (_, DbErr::RecordNotFound(_) | DbErr::RecordNotUpdated) => StatusCode::NOT_FOUND,
        (_, DbErr::RecordNotInserted) => StatusCode::CONFLICT,
        (_, DbErr::ConnectionAcquire(_) | DbErr::Conn(_)) => StatusCode::SERVICE_UNAVAILABLE,
        (_, DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)))
            if is_conflict(error) =>
        {
            StatusCode::CONFLICT
        }
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Whether what stands in the database already, or another transaction, is in the way.
fn is_conflict(error: &sqlx::Error) -> bool {
    let Some(error) = error.as_database_error() else { return false };
    let in_the_way = matches!(
        error.kind(),
        ErrorKind::UniqueViolation | ErrorKind::ForeignKeyViolation | ErrorKind::ExclusionViolation
    );
    in_the_way || matches!(error.code().as_deref(), Some("40001" | "40P01"))
}
