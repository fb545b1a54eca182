//! `Events::verify`: whether the database is as the tracked models say, what it changes unseen, and whether it guards
//! events and teams.

mod guards;
mod isolation;
mod names;
mod text;

use std::fmt;

use sea_orm::{DbErr, EntityName, IdenStatic, Iterable};

pub use self::{
    guards::{GuardFinding, GuardProblem},
    isolation::{AllTeamsProblem, IsolationFinding, TableProblem},
    text::{TextFinding, TextProblem},
};
use crate::{
    backend::{
        self,
        catalog::{Action, Catalog, ForeignKey, TableName},
    },
    events::{Events, within},
    store::event,
    tracked::{self, Definition, TeamSource},
};

/// What [`Events::verify`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    findings: Vec<Finding>,
    /// The role that is connected, if it is none of the application's.
    operator: Option<String>,
    /// The application's own tables that were looked at.
    tables: Vec<String>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Rows can change without events.
    Warning,
    /// Saves will fail, or a guard is missing.
    Error,
    /// A team may see or change what is of another although row-level security is on, or the names of different teams
    /// become one: [`build`] refuses to start.
    ///
    /// [`build`]: crate::EventsBuilder::build
    Danger,
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// The table of a tracked model is not there.
    MissingTable {
        /// The model's object type.
        object_type: &'static str,
        /// The table.
        table: String,
    },
    /// A column that events need is not there: of the key, the team or a tracked field.
    MissingColumn {
        /// The model's object type.
        object_type: &'static str,
        /// The table.
        table: String,
        /// The column.
        column: &'static str,
    },
    /// The model's key is not known to be that of one row: no primary key or unique index is on columns of it alone, or other
    /// tables inherit from the table. A save whose key is that of several rows is refused.
    NoUniqueKey {
        /// The model's object type.
        object_type: &'static str,
        /// The table.
        table: String,
        /// The columns of the model's key.
        columns: Vec<&'static str>,
    },
    /// The database itself changes or deletes rows of this table when another row goes or gets another key. No event
    /// tells of it.
    UnseenChange {
        /// The table whose rows change.
        table: String,
        /// The name of its foreign key; SQLite does not tell.
        foreign_key: Option<String>,
        /// The foreign key's columns.
        columns: Vec<String>,
        /// The table that it refers to.
        parent: String,
        /// What happens, as the foreign key says it: `ON DELETE CASCADE`.
        rule: &'static str,
    },
    /// The table of events is not there.
    MissingEvents,
    /// The table of events lacks a column.
    MissingEventsColumn {
        /// The column.
        column: &'static str,
    },
    /// An event may be changed or removed.
    Guard(GuardFinding),
    /// A team may see or write what is of another.
    Isolation(IsolationFinding),
    /// Text does not come back as it went in.
    Text(TextFinding),
    /// Recent events have a field under a name that the model no longer knows: what was recorded so is not found in
    /// `transitions`, and threads show its name as it was.
    UnknownField {
        /// The model's object type.
        object_type: &'static str,
        /// The name in the events.
        field: String,
    },
}

impl Report {
    /// What was found, the worst first.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Those for which [`build`](crate::EventsBuilder::build) refuses to start.
    pub fn dangers(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity() == Severity::Danger)
    }

    /// The statements that put right what was found, each once, in the order of the findings; most need the rights of the
    /// tables' owner.
    pub fn fixes(&self) -> Vec<String> {
        let mut fixes = Vec::new();
        for mend in self.findings.iter().filter_map(Finding::mend) {
            if !fixes.contains(&mend) {
                fixes.push(mend);
            }
        }
        fixes
    }

    /// The application's own tables of which it was looked at whether row-level security keeps them to one team, as SQL names
    /// them: those of the models, with their partitions, that the application or the role for all teams may read or write.
    pub fn tables(&self) -> &[String] {
        &self.tables
    }

    /// The role that is connected, if row-level security is on and it is not the application's: neither its role, as the
    /// policies name it, nor a login that inherits from it or can take it. Where they name none, it is a superuser or a member of
    /// the tables' owner. What it is and may do is not looked at, and no statement concerns it.
    pub fn operator(&self) -> Option<&str> {
        self.operator.as_deref()
    }

    /// Without the finding that [`operator`](Self::operator) is none of the application's: for a tool of somebody who is meant to be
    /// able to do more, such as the owner of the tables or an auditor. What the application's role is and may do stays.
    #[must_use]
    pub fn of_the_application(mut self) -> Self {
        if let Some(operator) = &self.operator {
            self.findings.retain(|finding| match finding {
                Finding::Isolation(finding) => !finding.is_of(operator),
                _ => true,
            });
        }
        self
    }

    /// For those who start all the same.
    pub(crate) fn log(&self) {
        for finding in &self.findings {
            match finding.severity() {
                Severity::Danger => tracing::error!("{finding}"),
                Severity::Error => tracing::warn!("{finding}"),
                Severity::Warning => tracing::info!("{finding}"),
            }
        }
    }

    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }
}

/// One finding a line, then the statements that put them right.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_clean() {
            return f.write_str("nothing found");
        }
        for (i, finding) in self.findings.iter().enumerate() {
            let newline = if i == 0 { "" } else { "\n" };
            write!(f, "{newline}{}: {finding}", finding.severity())?;
        }
        let fixes = self.fixes();
        if !fixes.is_empty() {
            f.write_str("\nWhat puts it right:")?;
        }
        fixes.iter().try_for_each(|mend| write!(f, "\n    {}", mend.replace('\n', "\n    ")))
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Danger => "danger",
        })
    }
}

impl Finding {
    /// How bad it is.
    pub fn severity(&self) -> Severity {
        match self {
            Self::UnseenChange { .. } | Self::UnknownField { .. } => Severity::Warning,
            Self::Guard(finding) => finding.severity(),
            Self::Isolation(finding) => finding.severity(),
            Self::Text(finding) => finding.severity(),
            _ => Severity::Error,
        }
    }

    /// The statements that mend it, where there are any; most need the rights of the table's owner.
    pub fn mend(&self) -> Option<String> {
        match self {
            Self::Guard(finding) => finding.mend(),
            Self::Isolation(finding) => finding.mend(),
            Self::Text(finding) => finding.mend(),
            _ => None,
        }
    }
}

/// What was found, and what to do about it.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingTable { object_type, table } => write!(
                f,
                "the table `{table}` of `{object_type}` is missing: create it, or put its schema on the search path"
            ),
            Self::MissingColumn { object_type, table, column } => write!(
                f,
                "the column `{column}` of `{object_type}` is missing in `{table}`: add it, or take it out of the model"
            ),
            Self::NoUniqueKey { object_type, table, columns } => write!(
                f,
                "two rows of `{table}` may have the same key of `{object_type}` ({0}), and a save of either is then refused: make ({0}) \
                 a primary key or a unique index of `{table}`, or the model's key the one that the table has; rows of tables that inherit from it count as well",
                columns.join(", ")
            ),
            Self::UnseenChange { table, foreign_key, columns, parent, rule } => {
                f.write_str("the foreign key ")?;
                if let Some(name) = foreign_key {
                    write!(f, "`{name}` ")?;
                }
                write!(
                    f,
                    "of `{table}` ({}) to `{parent}` changes rows without events: take `{rule}` off and let the \
                     application change them first",
                    columns.join(", ")
                )
            }
            Self::Guard(finding) => finding.fmt(f),
            Self::Isolation(finding) => finding.fmt(f),
            Self::Text(finding) => finding.fmt(f),
            Self::UnknownField { object_type, field } => write!(
                f,
                "recent events of `{object_type}` have a field `{field}` that its model no longer has: if it was renamed, write `#[track(renamed_from = \"{field}\")]` on the field"
            ),
            Self::MissingEvents => {
                f.write_str("the table `events` is missing: run the steps of `events_sea_orm::migration`")
            }
            Self::MissingEventsColumn { column } => write!(
                f,
                "the column `{column}` is missing in `events`: run the steps of `events_sea_orm::migration`"
            ),
        }
    }
}

impl Events {
    /// Compares the database with the tracked models that are registered, and lists what it changes unseen.
    ///
    /// It only reads, needs no special rights, and asks a few questions however many models there are. Found are tables
    /// and columns that are missing, keys that may be those of several rows, foreign keys by which the database itself changes what would be recorded,
    /// guards of the `events` table that do not hold, fields of the latest 200 events that their models no longer have, a connection, column or database that loses text, and on PostgreSQL
    /// what lets a team see or write what is of another (see the module `security`). Not found are triggers and rules of tracked tables, and other programs.
    ///
    /// A model registers itself where it is used; one that is linked but never named does not: see
    /// [`verify_with`](Self::verify_with).
    ///
    /// # Errors
    /// The database's, and if it does not answer within [`check_deadline`](crate::EventsBuilder::check_deadline).
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(events: events_sea_orm::Events) -> Result<(), sea_orm::DbErr> {
    /// let report = events.verify().await?;
    /// if !report.is_clean() {
    ///     eprintln!("{report}");
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn verify(&self) -> Result<Report, DbErr> {
        self.verify_with([]).await
    }

    /// As [`verify`](Self::verify), of these models too: `[campaign::Model::definition(), ..]`.
    ///
    /// # Errors
    /// As `verify`.
    pub async fn verify_with(
        &self,
        definitions: impl IntoIterator<Item = &'static Definition>,
    ) -> Result<Report, DbErr> {
        self.look(definitions, false).await
    }

    /// As [`verify`](Self::verify), and under row-level security of every table whose policies compare a column with the team's
    /// setting: for a tool that has none of the application's models. Of a table that only the policies tell of it is said what they
    /// leave no doubt of; a policy in words of the application's own is none of its matter there. A table that has no such policy is
    /// not known: see [`Report::tables`].
    ///
    /// # Errors
    /// As `verify`.
    pub async fn verify_without_models(&self) -> Result<Report, DbErr> {
        self.look([], true).await
    }

    async fn look(
        &self,
        definitions: impl IntoIterator<Item = &'static Definition>,
        by_policies: bool,
    ) -> Result<Report, DbErr> {
        let mut tracked: Vec<&'static Definition> = Vec::new();
        for definition in tracked::known().into_iter().chain(definitions) {
            if !tracked.iter().any(|known| std::ptr::eq(*known, definition)) {
                tracked.push(definition);
            }
        }
        let mut tables: Vec<TableName<'_>> = tracked
            .iter()
            .map(|definition| TableName { schema: definition.schema(), table: definition.table() })
            .collect();
        let own = tables.len();
        tables.push(TableName { schema: None, table: event::Entity.table_name() });
        let limit = self.check_deadline();
        let catalog =
            within(limit, "which tables and columns there are", Catalog::read(self.pool(), &tables)).await?;

        let mut findings = missing_events(&catalog, own);
        for (table, definition) in tracked.iter().enumerate() {
            findings.extend(missing(&catalog, table, definition));
        }
        for key in &catalog.foreign_keys {
            match tracked.get(key.table) {
                Some(definition) => findings.extend(
                    rules(&catalog, key, &recorded_columns(definition))
                        .map(|rule| unseen_change(key, full_name(&tables[key.table]), rule)),
                ),
                None => {
                    let columns: Vec<_> = event::Column::iter().map(|column| column.as_str()).collect();
                    let cascades = rules(&catalog, key, &columns);
                    findings
                        .extend(cascades.map(|rule| Finding::Guard(guards::cascade(&catalog, key, rule))));
                }
            }
        }
        let pool = self.pool();
        let found = within(limit, "which guards there are", guards::findings(pool)).await?;
        findings.extend(found.into_iter().map(Finding::Guard));
        let found = within(limit, "what the connection does to text", backend::text::findings(pool)).await?;
        findings.extend(found.into_iter().map(Finding::Text));
        let security = self.row_level_security();
        let asked = isolation::Asked {
            setting: self.team_setting(),
            all_teams_role: security.and_then(|security| security.all_teams_role.as_deref()),
            tracked: &tracked,
            by_policies,
        };
        let asked = isolation::check(pool, asked);
        let checked = within(limit, "which roles and policies there are", asked).await?;
        if checked.may_read {
            let asked = names::findings(pool, &tracked, &catalog, own);
            findings.extend(within(limit, "which recorded names the models no longer have", asked).await?);
        }
        findings.extend(checked.findings.into_iter().map(Finding::Isolation));
        // First whose connection it is: the rest depends on it.
        let is_whose = |finding: &Finding| {
            matches!(finding, Finding::Isolation(IsolationFinding::NotTheApplication { .. }))
        };
        findings.sort_by_key(|finding| (std::cmp::Reverse(finding.severity()), !is_whose(finding)));
        Ok(Report { findings, operator: checked.operator, tables: checked.tables })
    }
}

fn full_name(name: &TableName<'_>) -> String {
    match name.schema {
        Some(schema) => format!("{schema}.{}", name.table),
        None => name.table.to_owned(),
    }
}

fn missing_events(catalog: &Catalog, own: usize) -> Vec<Finding> {
    if !catalog.has_table(own) {
        return vec![Finding::MissingEvents];
    }
    let columns = event::Column::iter().map(|column| column.as_str());
    let missing = columns.filter(|column| !catalog.has_column(own, column));
    missing.map(|column| Finding::MissingEventsColumn { column }).collect()
}

fn missing(catalog: &Catalog, table: usize, definition: &Definition) -> Vec<Finding> {
    let object_type = definition.object_type();
    let name = definition.full_table();
    if !catalog.has_table(table) {
        return vec![Finding::MissingTable { object_type, table: name }];
    }
    let missing =
        recorded_columns(definition).into_iter().filter(|column| !catalog.has_column(table, column));
    let mut findings: Vec<_> =
        missing.map(|column| Finding::MissingColumn { object_type, table: name.clone(), column }).collect();
    if !catalog.is_unique(table, definition.key_columns()) {
        let columns = definition.key_columns().to_vec();
        findings.push(Finding::NoUniqueKey { object_type, table: name, columns });
    }
    findings
}

/// The columns that an event is made of: key, team and tracked fields.
fn recorded_columns(definition: &Definition) -> Vec<&'static str> {
    let mut columns = definition.key_columns().to_vec();
    let team = match definition.team() {
        TeamSource::Column(column) => Some(column),
        TeamSource::Context => None,
    };
    for column in team.into_iter().chain(definition.fields().iter().map(|field| field.column())) {
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
    columns
}

/// What the key does that would be missed: a row that goes always, a column that changes only where it is recorded.
fn rules(catalog: &Catalog, key: &ForeignKey, recorded: &[&str]) -> impl Iterator<Item = &'static str> {
    let is_recorded = |column: &String| recorded.iter().any(|other| catalog.is_same_column(column, other));
    let changes_recorded = key.columns.iter().any(is_recorded);
    let on_delete = match key.on_delete {
        Some(Action::Cascade) => Some("ON DELETE CASCADE"),
        Some(Action::SetNull) if changes_recorded => Some("ON DELETE SET NULL"),
        Some(Action::SetDefault) if changes_recorded => Some("ON DELETE SET DEFAULT"),
        _ => None,
    };
    let on_update = match key.on_update.filter(|_| changes_recorded) {
        Some(Action::Cascade) => Some("ON UPDATE CASCADE"),
        Some(Action::SetNull) => Some("ON UPDATE SET NULL"),
        Some(Action::SetDefault) => Some("ON UPDATE SET DEFAULT"),
        None => None,
    };
    on_delete.into_iter().chain(on_update)
}

fn unseen_change(key: &ForeignKey, table: String, rule: &'static str) -> Finding {
    Finding::UnseenChange {
        table,
        foreign_key: key.name.clone(),
        columns: key.columns.clone(),
        parent: key.parent.clone(),
        rule,
    }
}
