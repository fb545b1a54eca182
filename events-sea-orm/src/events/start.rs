//! What a start asks the database, and why there is none.

use std::{future::Future, time::Duration};

use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, RuntimeErr, Statement};

use crate::{
    backend::{self, counts, isolation::has_row_level_security},
    verify::Report,
};

/// How long each question may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// What is asked, within so long. Without a Tokio runtime there is no clock to go by.
pub(crate) async fn within<T>(
    limit: Duration,
    what: &str,
    asked: impl Future<Output = Result<T, DbErr>>,
) -> Result<T, DbErr> {
    if tokio::runtime::Handle::try_current().is_err() {
        return asked.await;
    }
    tokio::time::timeout(limit, asked).await.unwrap_or_else(|_| {
        Err(DbErr::Conn(RuntimeErr::Internal(format!(
            "no answer within {limit:?} to the question {what}: is the pool used up, or does a pooler in between have no connection to the server left? A pooler by session needs as many as the application's pool has"
        ))))
    })
}

/// Why `Events` could not be built.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Two consumers of one name.
    #[error("two consumers are named `{name}`: give one another name, with `name = \"..\"` or `.named(..)`")]
    DuplicateConsumer {
        /// The name.
        name: String,
    },
    /// A consumer was left out that there is not.
    #[error("there is no consumer `{name}` to leave out: known are {}", .known.join(", "))]
    UnknownConsumer {
        /// The name.
        name: String,
        /// The names of all consumers.
        known: Vec<String>,
    },
    /// A consumer subscribed to what cannot be.
    #[error("consumer `{consumer}` cannot be subscribed")]
    Subscription {
        /// Its name.
        consumer: String,
        /// Why.
        source: events_core::IdentifierError,
    },
    /// The single team, or the name of a consumer, cannot be stored.
    #[error(transparent)]
    Identifier(#[from] events_core::IdentifierError),
    /// Two entities are recorded as one object type.
    #[error(
        "tables `{first}` and `{second}` are both recorded as `{object_type}`: give one another `object_type`"
    )]
    DuplicateObjectType {
        /// The object type.
        object_type: &'static str,
        /// One table.
        first: String,
        /// The other.
        second: String,
    },
    /// Two entities of one table are recorded as two object types, which would split each object's history.
    #[error(
        "table `{table}` is recorded both as `{first}` and as `{second}`, so that each has a part of a row's history: give both entities one `object_type`"
    )]
    DuplicateTable {
        /// The table.
        table: String,
        /// One object type.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// Row-level security was asked for where there is none.
    #[error(
        "only PostgreSQL has row-level security: leave `.row_level_security(true)` out, here queries alone keep teams apart"
    )]
    NoRowLevelSecurity,
    /// Strict units where the database counts nothing.
    #[error("`.strict()` compares PostgreSQL's own counts: leave it out {}", .reason)]
    NotCounted {
        /// What is in the way.
        reason: &'static str,
    },
    /// The self-check could not be made. The message says what the database answered, and what to do where that is known.
    #[error("{}", backend::not_checked(.0))]
    SelfCheck(#[source] DbErr),
    /// Row-level security is on and does not hold: a team could see or change what is of another.
    #[error(
        "the database does not keep teams apart for this login, or does not keep events as they are; put it right first:\n{report}"
    )]
    Danger {
        /// What was found, with the statements that put it right.
        report: Report,
    },
}

/// Refuses a database that does not count what strict units compare.
pub(super) async fn counts_are_kept(pool: &DatabaseConnection, limit: Duration) -> Result<(), BuildError> {
    let backend = pool.get_database_backend();
    if !has_row_level_security(backend) {
        return Err(BuildError::NotCounted { reason: "on another database" });
    }
    let asked = Statement::from_string(backend, counts::COUNTS);
    let row = within(limit, "whether rows are counted", pool.query_one_raw(asked))
        .await
        .map_err(BuildError::SelfCheck)?;
    match row.map_or(Ok(false), |row| row.try_get("", "counts")) {
        Ok(true) => Ok(()),
        Ok(false) => Err(BuildError::NotCounted { reason: "or set `track_counts = on`" }),
        Err(error) => Err(BuildError::SelfCheck(error)),
    }
}
