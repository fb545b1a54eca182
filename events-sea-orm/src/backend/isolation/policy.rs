//! One policy for each kind of role and each command, and how the database prints what they say.

use super::sql::{identifier, literal};

/// What a role is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The application: the rows of one team.
    App,
    /// Work for all teams.
    Delivery,
    /// Reads all teams.
    Auditor,
    /// Migrations and the purge, which force row-level security on their own tables.
    Owner,
}

/// What a policy is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    Select,
    Insert,
    Update,
    Delete,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::App, Self::Delivery, Self::Auditor, Self::Owner];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Delivery => "delivery",
            Self::Auditor => "auditor",
            Self::Owner => "owner",
        }
    }

    /// The policy's name.
    pub(crate) fn policy(self, command: Command) -> String {
        format!("events_{}_{}", self.name(), command.name())
    }

    /// Whose policy this is, and about what.
    pub(crate) fn of_policy(name: &str) -> Option<(Self, Command)> {
        let all = Self::ALL.into_iter().flat_map(|kind| Command::ALL.map(|command| (kind, command)));
        all.into_iter().find(|(kind, command)| kind.policy(*command) == name)
    }
}

impl Command {
    pub(crate) const ALL: [Self; 4] = [Self::Select, Self::Insert, Self::Update, Self::Delete];

    fn name(self) -> &'static str {
        match self {
            Self::Select => "select",
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    /// As SQL says it.
    pub(crate) fn keyword(self) -> &'static str {
        match self {
            Self::Select => "SELECT",
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }

    /// As `pg_policy` has it.
    pub(crate) fn letter(self) -> &'static str {
        match self {
            Self::Select => "r",
            Self::Insert => "a",
            Self::Update => "w",
            Self::Delete => "d",
        }
    }

    /// Which rows may be found, which may be written.
    pub(crate) fn has(self) -> (bool, bool) {
        (self != Self::Insert, matches!(self, Self::Insert | Self::Update))
    }
}

/// Which rows are the team's. Bare, so that the planner knows the value; a setting that was set before reads as empty.
pub(crate) fn team_condition(column: &str, setting: &str, cast: &str) -> String {
    format!("{} = nullif(current_setting({}, true), ''){cast}", identifier(column), literal(setting))
}

/// The statement that makes a policy.
pub(crate) fn create(table: &str, kind: Kind, command: Command, role: &str, condition: &str) -> String {
    let condition = if kind == Kind::App { condition } else { "true" };
    let (using, check) = command.has();
    let using = if using { format!(" USING ({condition})") } else { String::new() };
    let check = if check { format!(" WITH CHECK ({condition})") } else { String::new() };
    format!(
        "CREATE POLICY {} ON {table} FOR {} TO {}{using}{check}",
        kind.policy(command),
        command.keyword(),
        identifier(role)
    )
}

/// The statement that drops a policy, if it is there.
pub(crate) fn drop_one(table: &str, name: &str) -> String {
    format!("DROP POLICY IF EXISTS {} ON {table}", identifier(name))
}

/// What puts a table under row-level security, its owner too.
pub(crate) fn force(table: &str) -> [String; 2] {
    [
        format!("ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"),
        format!("ALTER TABLE {table} FORCE ROW LEVEL SECURITY"),
    ]
}

/// Every policy of ours that may be there, also of roles that are no longer named.
pub(crate) fn drop_all(table: &str) -> impl Iterator<Item = String> {
    let all = Kind::ALL.into_iter().flat_map(|kind| Command::ALL.map(|command| (kind, command)));
    all.map(move |(kind, command)| drop_one(table, &kind.policy(command)))
}

/// What takes that back, and our policies with it.
#[cfg(feature = "migration")]
pub(crate) fn open(table: &str) -> Vec<String> {
    let off = ["NO FORCE", "DISABLE"].map(|off| format!("ALTER TABLE {table} {off} ROW LEVEL SECURITY"));
    off.into_iter().chain(drop_all(table)).collect()
}

/// How the database prints the condition of our own tables. Their teams are `varchar`.
pub(crate) fn team_expression(setting: &str) -> String {
    format!("((team_id)::text = NULLIF(current_setting({}::text, true), ''::text))", literal(setting))
}

/// Whether a condition lets everything pass, as it is printed.
pub(crate) fn is_all_teams(expression: &str) -> bool {
    expression == "true"
}
