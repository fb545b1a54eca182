//! Who may do what with each table of ours.

use super::policy::{Command, Kind};

/// The table of events.
pub(crate) const EVENTS: &str = "events";

/// What the roles may do with a table. The owner may do all of it by nature; what it may see is said by its policies.
#[derive(Debug)]
pub(crate) struct Access {
    /// Its name, without a schema.
    pub(crate) table: &'static str,
    /// The columns that the application's role and the one for delivery may write. Not the others: a number that orders
    /// rows or the time at which one came is the database's to say.
    insert: &'static [&'static str],
    update: &'static [&'static str],
    /// Whether the application's role may delete, and the one for delivery.
    delete: [bool; 2],
    /// Whether the owner may change rows.
    owner_updates: bool,
}

/// Every table of ours, whichever features an application has: the role that migrates may have others.
static TABLES: [Access; 9] = [
    Access {
        table: EVENTS,
        insert: &[
            "id",
            "team_id",
            "event_type",
            "object_type",
            "object_id",
            "actor_id",
            "unit_id",
            "event_data",
            "context",
            "occurred_at",
        ],
        update: &[],
        delete: [false, false],
        owner_updates: false,
    },
    Access {
        table: "threads",
        insert: &["team_id", "object_type", "object_id", "scope"],
        // To lock a row takes the right to change a column of it, and this one names nothing.
        update: &["created_at"],
        delete: [false, false],
        owner_updates: true,
    },
    Access {
        table: "thread_messages",
        insert: &["thread_id", "team_id", "event_id", "kind", "author_id", "body", "data"],
        update: &[],
        delete: [false, false],
        owner_updates: true,
    },
    Access {
        table: "notifications",
        insert: &["team_id", "user_id", "event_id", "event_type", "object_type", "object_id", "actor_id"],
        update: &["read_at"],
        delete: [false, false],
        owner_updates: true,
    },
    Access {
        table: "notification_preferences",
        insert: &["team_id", "user_id", "event_type", "object_type", "object_id", "wanted"],
        update: &["wanted"],
        delete: [true, true],
        owner_updates: true,
    },
    Access {
        table: "event_daily_counts",
        insert: &["team_id", "day", "event_type", "object_type", "count"],
        update: &["count"],
        // A rebuild makes them anew, of one team or of all.
        delete: [true, true],
        owner_updates: true,
    },
    Access { table: "event_purges", insert: &[], update: &[], delete: [false, false], owner_updates: true },
    Access { table: "event_holds", insert: &[], update: &[], delete: [false, false], owner_updates: true },
    Access { table: "event_marks", insert: &[], update: &[], delete: [false, false], owner_updates: true },
];

impl Access {
    /// Of every table of ours.
    pub(crate) fn of_all() -> &'static [Self] {
        &TABLES
    }

    /// Of this one.
    pub(crate) fn of(table: &str) -> Option<&'static Self> {
        TABLES.iter().find(|access| access.table == table)
    }

    /// A table of the owner's own records, which the application does not see.
    pub(crate) fn is_records(&self) -> bool {
        self.insert.is_empty()
    }

    fn deletes(&self, kind: Kind) -> bool {
        match kind {
            Kind::App => self.delete[0],
            Kind::Delivery => self.delete[1],
            Kind::Auditor => false,
            Kind::Owner => true,
        }
    }

    /// The commands for which this role has a policy.
    pub(crate) fn commands(&self, kind: Kind) -> Vec<Command> {
        let writes = kind != Kind::Auditor;
        let updates = if kind == Kind::Owner { self.owner_updates } else { !self.update.is_empty() };
        let of_nobody = self.is_records() && matches!(kind, Kind::App | Kind::Delivery);
        let may = |command: &Command| match command {
            _ if of_nobody => false,
            Command::Select => true,
            Command::Insert => writes,
            Command::Update => writes && updates,
            Command::Delete => self.deletes(kind),
        };
        Command::ALL.into_iter().filter(may).collect()
    }

    /// The rights that this role is granted, as GRANT names them. The owner is granted none: it has them.
    pub(crate) fn rights(&self, kind: Kind) -> Vec<String> {
        let right = |command| match command {
            Command::Select => "SELECT".to_owned(),
            Command::Insert => format!("INSERT ({})", self.insert.join(", ")),
            Command::Update => format!("UPDATE ({})", self.update.join(", ")),
            Command::Delete => "DELETE".to_owned(),
        };
        match kind {
            Kind::Owner => Vec::new(),
            _ => self.commands(kind).into_iter().map(right).collect(),
        }
    }
}
