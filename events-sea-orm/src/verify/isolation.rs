//! Whether the database keeps teams apart from the role that is connected.

use std::fmt;

use sea_orm::{DatabaseConnection, DbErr};

use super::Severity;

/// What lets a team see or write what is of another.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum IsolationFinding {}

impl IsolationFinding {
    pub(super) fn severity(&self) -> Severity {
        match *self {}
    }

    pub(super) fn mend(&self) -> Option<String> {
        match *self {}
    }
}

impl fmt::Display for IsolationFinding {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

#[allow(clippy::unused_async)]
pub(super) async fn findings(_db: &DatabaseConnection) -> Result<Vec<IsolationFinding>, DbErr> {
    Ok(Vec::new())
}
