//! Whether the database refuses to change or remove an event.

use std::fmt;

use sea_orm::{DatabaseConnection, DbErr};

use super::Severity;

/// A guard of the `events` table that is missing or does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum GuardFinding {}

impl GuardFinding {
    pub(super) fn severity(&self) -> Severity {
        match *self {}
    }

    pub(super) fn mend(&self) -> Option<String> {
        match *self {}
    }
}

impl fmt::Display for GuardFinding {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

#[allow(clippy::unused_async)]
pub(super) async fn findings(_db: &DatabaseConnection) -> Result<Vec<GuardFinding>, DbErr> {
    Ok(Vec::new())
}
