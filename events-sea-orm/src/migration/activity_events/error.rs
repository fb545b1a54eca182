//! What can be wrong with an old table.

use std::fmt;

use sea_orm::DbErr;

use super::check::Difference;

/// Why an old table was not made into events.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum ActivityEventsError {
    /// The table is not there.
    #[error("there is no table `{table}`: name it with `ActivityEvents::from_table(..)`")]
    NoTable {
        /// The table.
        table: String,
    },
    /// A column that is needed, or that was named, is not there.
    #[error("`{table}` has no column for {what}: name it with `.{setter}(\"..\")`")]
    NoColumn {
        /// The table.
        table: String,
        /// What was looked for.
        what: String,
        /// The call that names it.
        setter: &'static str,
    },
    /// Several columns could be meant.
    #[error(
        "`{table}` has several columns for {what}, {}: say which with `.{setter}(\"..\")`, and leave the others out with `.ignore_column(\"..\")` or keep them with `.context_column(\"..\")`",
        names(.columns)
    )]
    SeveralColumns {
        /// The table.
        table: String,
        /// What was looked for.
        what: &'static str,
        /// The columns.
        columns: Vec<String>,
        /// The call that names one.
        setter: &'static str,
    },
    /// Columns that have no place in an event.
    #[error(
        "{} of `{table}` have no place in an event: keep them with `.context_column(\"..\")`, or leave them out with `.ignore_column(\"..\")`",
        names(.columns)
    )]
    UnknownColumns {
        /// The table.
        table: String,
        /// The columns.
        columns: Vec<String>,
    },
    /// The key does not tell rows apart.
    #[error(
        "two rows of `{table}` have the same `{column}`, {key}: name a column that is unique with `.id_column(\"..\")`"
    )]
    RepeatedKey {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// The key.
        key: String,
    },
    /// Rows without a key or a time.
    #[error("{rows} rows of `{table}` have no `{column}`, by which the copy goes: fill it in")]
    NullOrder {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// How many.
        rows: u64,
    },
    /// Rows that cannot be stored.
    #[error(
        "{total} rows of `{table}` cannot be stored: mend them, or leave them out with `.skip_unstorable()`{}",
        lines(.problems)
    )]
    Rows {
        /// The table.
        table: String,
        /// The first of them.
        problems: Vec<Problem>,
        /// How many there are.
        total: u64,
    },
    /// The tables do not agree.
    #[error("`{table}` and `events` differ: run `migrate` again, then `check`{}", lines(.differences))]
    Different {
        /// The table.
        table: String,
        /// Where.
        differences: Vec<Difference>,
    },
    /// The tables have not been compared as they are now.
    #[error(
        "`{table}` has {rows} rows and {}: run `migrate`, then `check`",
        .checked.map_or_else(|| "was not checked".to_owned(), |checked| format!("had {checked} when it was checked"))
    )]
    Unchecked {
        /// The table.
        table: String,
        /// How many rows it has.
        rows: u64,
        /// How many it had when `check` compared them.
        checked: Option<u64>,
    },
    /// The name that the old table is to get is taken.
    #[error("there is a table `{table}` already: choose another name with `.rename_to(\"..\")`")]
    NameTaken {
        /// The name.
        table: String,
    },
    /// The database's.
    #[error(transparent)]
    Database(#[from] DbErr),
}

/// A row that cannot be stored. Its values are not quoted: they may be secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The row's key.
    pub key: String,
    /// The column.
    pub column: String,
    /// What is wrong.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "row {}, column `{}`: {}", self.key, self.column, self.reason)
    }
}

fn lines<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(|item| format!("\n  {item}")).collect()
}

fn names(columns: &[String]) -> String {
    columns.iter().map(|column| format!("`{column}`")).collect::<Vec<_>>().join(", ")
}

/// A database's error stays what it is.
impl From<ActivityEventsError> for DbErr {
    fn from(error: ActivityEventsError) -> Self {
        match error {
            ActivityEventsError::Database(error) => error,
            other => Self::Migration(other.to_string()),
        }
    }
}
