//! Whether the database refuses to change or remove an event.

use std::fmt;

use sea_orm::{DatabaseConnection, DbErr};

use super::Severity;
use crate::backend::{
    self,
    catalog::{Catalog, ForeignKey},
};

/// A guard of the `events` table that is missing or does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardFinding {
    pub(crate) problem: GuardProblem,
    pub(crate) table: String,
    pub(crate) name: String,
    /// Whether row-level security is on for `events`, and the table is within the connected user's reach.
    pub(crate) hardened: bool,
    pub(crate) mend: Option<String>,
}

/// What is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum GuardProblem {
    /// The trigger is not there.
    Missing,
    /// The trigger is there, but does not fire, or not in every session.
    Disabled,
    /// The trigger or its function is another than the migration step made.
    Altered,
    /// A rule rewrites statements on the table: they may come to nothing and say so to nobody.
    Rule,
    /// A foreign key of `events` changes or removes events when another table's row goes: where triggers fire, the other
    /// row cannot go; on MariaDB and MySQL the event is lost.
    Cascade {
        /// What the foreign key says: `ON DELETE CASCADE`.
        rule: &'static str,
    },
    /// An index is missing: timelines are slow, or an event can be recorded twice.
    MissingIndex,
    /// The table is divided by other columns than `id`, so that no key can hold ids unique: an event can be recorded twice, and
    /// what became of a commit cannot be found out for sure.
    NoUniqueId,
    /// A partition has no trigger of its own against TRUNCATE, and the connected user has no right on it.
    UnguardedPartition,
    /// A purge was left open: on SQLite and MariaDB events that it covers can be removed by hand.
    OpenPurge,
    /// `events` is no table here, a view maybe: its guards cannot be looked at.
    NotATable,
    /// The connected user may change events as far as its privileges go, and may not see whether triggers refuse it.
    Unseen,
    /// The connected user's privileges allow what no trigger can refuse.
    MayRemove {
        /// The privileges: `DROP` is TRUNCATE as well.
        privileges: Vec<&'static str>,
    },
}

impl GuardFinding {
    /// What is wrong.
    pub fn problem(&self) -> &GuardProblem {
        &self.problem
    }

    /// The table: `events`, a partition of it, or `event_purges`.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The trigger, rule, index, foreign key or user; how many purges are open.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn severity(&self) -> Severity {
        match self.problem {
            GuardProblem::Cascade { .. }
            | GuardProblem::Unseen
            | GuardProblem::MayRemove { .. }
            | GuardProblem::NoUniqueId
            | GuardProblem::UnguardedPartition => Severity::Warning,
            GuardProblem::MissingIndex | GuardProblem::NotATable => Severity::Error,
            _ if self.hardened => Severity::Danger,
            _ => Severity::Error,
        }
    }

    pub(super) fn mend(&self) -> Option<String> {
        self.mend.clone()
    }
}

impl fmt::Display for GuardFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, name, .. } = self;
        match &self.problem {
            GuardProblem::Missing => {
                write!(
                    f,
                    "the trigger `{name}` of `{table}` is missing: events can be changed, removed or forged"
                )
            }
            GuardProblem::Disabled => {
                write!(f, "the trigger `{name}` of `{table}` does not fire in every session: enable it")
            }
            GuardProblem::Altered => {
                write!(f, "the trigger `{name}` of `{table}` or its function was altered: make it anew")
            }
            GuardProblem::Rule => {
                write!(f, "the rule `{name}` of `{table}` rewrites statements on events: drop it")
            }
            GuardProblem::Cascade { rule } => write!(
                f,
                "the foreign key `{name}` of `{table}` says `{rule}`: events outlive what they are about, drop it"
            ),
            GuardProblem::MissingIndex => {
                write!(f, "`{table}` has no valid index on ({name}): make it")
            }
            GuardProblem::NoUniqueId => write!(
                f,
                "`{table}` is partitioned by {name}, so no key can hold its ids unique: an event can be recorded twice, and \
                 `Events::outcome` cannot tell for sure what became of a commit; divide it by `id`, or not at all"
            ),
            GuardProblem::UnguardedPartition => write!(
                f,
                "the partition `{table}` has no trigger `{name}` of its own: whoever owns it can empty it. The connected user has no \
                 right on it; let its owner make the trigger"
            ),
            GuardProblem::OpenPurge => {
                write!(
                    f,
                    "{name} row(s) of `{table}` are open, which no purge of this library leaves: find out who wrote them"
                )
            }
            GuardProblem::NotATable => write!(
                f,
                "`{table}` is no table here: point the connection at the schema that holds it, or its guards cannot be checked"
            ),
            GuardProblem::Unseen => write!(
                f,
                "{name} may change `{table}` as far as its privileges go, and may not see whether triggers refuse it: \
                 leave it SELECT and INSERT alone, or check as the user that migrates"
            ),
            GuardProblem::MayRemove { privileges } => write!(
                f,
                "{name} holds {} on `{table}`, which no trigger guards against: connect as a user with SELECT and INSERT \
                 alone",
                privileges.join(", ")
            ),
        }
    }
}

pub(super) async fn findings(db: &DatabaseConnection) -> Result<Vec<GuardFinding>, DbErr> {
    backend::guards::findings(db).await
}

/// A foreign key of `events` that does this. SQLite tells no name and cannot drop one.
pub(super) fn cascade(catalog: &Catalog, key: &ForeignKey, rule: &'static str) -> GuardFinding {
    GuardFinding {
        problem: GuardProblem::Cascade { rule },
        table: "events".to_owned(),
        name: key.name.clone().unwrap_or_else(|| format!("{} to {}", key.columns.join(", "), key.parent)),
        hardened: false,
        mend: key.name.as_deref().and_then(|name| backend::guards::drop_foreign_key(catalog.backend, name)),
    }
}
