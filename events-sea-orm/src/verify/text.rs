//! Whether text comes back from the database as it went in.

use std::fmt;

use super::Severity;

/// A connection, a column or a database that does not keep every text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextFinding {
    pub(crate) problem: TextProblem,
    pub(crate) mend: Option<String>,
}

/// What is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TextProblem {
    /// The connection speaks another character set than this library: MariaDB and MySQL put `?` for what that lacks.
    Connection {
        /// The variable of the session.
        setting: String,
        /// The character set in it.
        charset: String,
    },
    /// A column of a table of this library has another collation than the migration steps gave it: it cannot hold every
    /// text, or takes different texts for the same. MariaDB and MySQL alone.
    Column {
        /// The table.
        table: String,
        /// The first such column.
        column: String,
        /// Its collation.
        collation: String,
    },
    /// The database is in another encoding than UTF-8: PostgreSQL alone.
    Database {
        /// The encoding.
        encoding: String,
    },
}

impl TextFinding {
    /// What is wrong.
    pub fn problem(&self) -> &TextProblem {
        &self.problem
    }

    /// Where different texts become the same, so do the names of teams.
    pub(super) fn severity(&self) -> Severity {
        match self.problem {
            TextProblem::Connection { .. } | TextProblem::Column { .. } => Severity::Danger,
            TextProblem::Database { .. } => Severity::Error,
        }
    }

    pub(super) fn mend(&self) -> Option<String> {
        self.mend.clone()
    }
}

impl fmt::Display for TextFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.problem {
            TextProblem::Connection { setting, charset } => {
                let wanted = if setting == "client_encoding" { "UTF8" } else { "utf8mb4" };
                write!(
                    f,
                    "`{setting}` of the connection is `{charset}`: text is lost on the way, and different teams can become \
                     one; connect with `{wanted}`, which is the default, and take out what sets another"
                )
            }
            TextProblem::Column { table, column, collation } => write!(
                f,
                "the column `{column}` of `{table}` has the collation `{collation}`: it loses text or takes different texts \
                 for the same, and different teams can become one"
            ),
            TextProblem::Database { encoding } if encoding == "SQL_ASCII" => f.write_str(
                "the database has the encoding `SQL_ASCII`: it counts bytes where characters are meant, so long names are \
                 refused, and other programs may have stored text that cannot be read; move to a database with \
                 `ENCODING 'UTF8'`",
            ),
            TextProblem::Database { encoding } => write!(
                f,
                "the database has the encoding `{encoding}`: it refuses text that this lacks, and the save with it; move to \
                 a database with `ENCODING 'UTF8'`"
            ),
        }
    }
}
