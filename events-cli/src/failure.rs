//! Why a command did not end well: one line that says what, where and what to do.

use std::io;

use events_sea_orm::{__private::advice_on_pooler, BuildError};
use sea_orm::DbErr;

use crate::database;

/// Decides the exit code.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Whoever read our output has seen enough: nothing is wrong.
    BrokenPipe,
    /// The command cannot be run as it was written.
    Usage(String),
    /// It was run, and failed.
    Failed(String),
}

impl Failure {
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::Usage(text.into())
    }

    pub(crate) fn failed(text: impl Into<String>) -> Self {
        Self::Failed(text.into())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::BrokenPipe,
            _ => Self::Failed(one_line(&error.to_string())),
        }
    }
}

impl From<DbErr> for Failure {
    fn from(error: DbErr) -> Self {
        if database::is_missing_table(&error) {
            let error = one_line(&error.to_string());
            return Self::Failed(format!("{error}: make the tables with `events migrate up`"));
        }
        let advice = advice_on_pooler(&error);
        Self::Failed(one_line(&format!("{error}{advice}")))
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::SelfCheck(error) => error.into(),
            other => Self::Failed(one_line(&other.to_string())),
        }
    }
}

/// Errors of drivers may have several.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
