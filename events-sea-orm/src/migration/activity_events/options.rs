//! Which table, which columns, and what to do with what does not fit.

use std::collections::{BTreeMap, BTreeSet};

/// An earlier table of events, and how its columns and values are to be taken.
///
/// Only what the [table of names](super) does not find needs to be said.
///
/// # Examples
/// ```
/// use events_sea_orm::migration::activity_events::ActivityEvents;
///
/// let old = ActivityEvents::from_table("audit_trail")
///     .team_column("client")
///     .default_team("main") // of rows that have none
///     .event_type("Launch!", "launch_approved")
///     .ignore_column("thread_id");
/// assert_eq!(old.table(), "audit_trail");
/// ```
#[derive(Debug, Clone)]
pub struct ActivityEvents {
    pub(super) table: String,
    pub(super) renamed: String,
    pub(super) batch: u64,
    pub(super) skip: bool,
    pub(super) default_team: Option<String>,
    pub(super) named: BTreeMap<Part, String>,
    pub(super) types: BTreeMap<String, String>,
    pub(super) kept: BTreeSet<String>,
    pub(super) ignored: BTreeSet<String>,
}

/// What a column of the old table can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Id,
    Time,
    Team,
    Type,
    ObjectType,
    ObjectId,
    Actor,
    Old,
    New,
    Field,
    Data,
    Unit,
    Reason,
}

/// A setter for each column.
macro_rules! columns {
    ($($setter:ident, $part:ident, $doc:literal;)*) => {
        impl ActivityEvents {$(
            #[doc = $doc]
            #[must_use]
            pub fn $setter(mut self, column: impl Into<String>) -> Self {
                self.named.insert(Part::$part, column.into());
                self
            }
        )*}
    };
}

columns! {
    id_column, Id, "The column of the key. It must be unique.";
    created_at_column, Time, "The column that says when.";
    team_column, Team, "The column of the team.";
    type_column, Type, "The column of the event's type.";
    object_type_column, ObjectType, "The column of the object's type.";
    object_id_column, ObjectId, "The column of the object's id.";
    actor_column, Actor, "The column that says who.";
    old_values_column, Old, "The column of the values before.";
    new_values_column, New, "The column of the values after.";
    field_column, Field, "The column of the field's name, where a row has one field's old and new value.";
    event_data_column, Data, "The column of one value for all.";
    unit_column, Unit, "The column that groups the rows of one transaction.";
    reason_column, Reason, "The column that says why.";
}

impl ActivityEvents {
    /// The table of this name, on the connection's search path.
    pub fn from_table(table: impl Into<String>) -> Self {
        let table = table.into();
        Self {
            renamed: format!("{table}_old"),
            table,
            batch: 5_000,
            skip: false,
            default_team: None,
            named: BTreeMap::new(),
            types: BTreeMap::new(),
            kept: BTreeSet::new(),
            ignored: BTreeSet::new(),
        }
    }

    /// The old table's name.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The team of rows that have none.
    #[must_use]
    pub fn default_team(mut self, team: impl std::fmt::Display) -> Self {
        self.default_team = Some(team.to_string());
        self
    }

    /// What rows of this type become: a built-in type, or a custom name.
    #[must_use]
    pub fn event_type(mut self, old: impl Into<String>, new: impl Into<String>) -> Self {
        self.types.insert(old.into(), new.into());
        self
    }

    /// Keeps a column that has no place of its own, in `context.imported.columns`.
    #[must_use]
    pub fn context_column(mut self, column: impl Into<String>) -> Self {
        self.kept.insert(column.into());
        self
    }

    /// Leaves a column out, one that would be found by its name too.
    #[must_use]
    pub fn ignore_column(mut self, column: impl Into<String>) -> Self {
        self.ignored.insert(column.into());
        self
    }

    /// Leaves rows out that cannot be stored, and lists them in `events_import_skipped`. Without it they are an error
    /// before anything is written.
    #[must_use]
    pub fn skip_unstorable(mut self) -> Self {
        self.skip = true;
        self
    }

    /// How many rows a transaction copies: 5,000 unless said, and 10,000 at most.
    #[must_use]
    pub fn batch(mut self, rows: u64) -> Self {
        self.batch = rows.clamp(1, 10_000);
        self
    }

    /// The name that [`finish`](super::finish) gives the old table.
    #[must_use]
    pub fn rename_to(mut self, table: impl Into<String>) -> Self {
        self.renamed = table.into();
        self
    }
}

impl Default for ActivityEvents {
    fn default() -> Self {
        Self::from_table("activity_events")
    }
}
