//! How PostgreSQL is told whose rows it may show: a setting of the transaction, which the policies of
//! `migration::isolation` compare, or a role that may see every team.

pub(crate) mod new_team;

use events_core::TeamScope;
use sea_orm::{ConnectionTrait, DatabaseExecutor, DbErr, Statement, TransactionOptions};

pub(crate) use crate::backend::isolation::TEAM_SETTING;
use crate::{
    backend::{
        self,
        isolation::{has_row_level_security, inspect},
    },
    error::Refused,
    events::Events,
    transaction,
    withhold::withhold_at_end,
};

/// What it takes to be let through the policies, where they are on.
#[derive(Debug, Clone)]
pub(crate) struct RowLevelSecurity {
    pub(crate) team_setting: String,
    pub(crate) all_teams_role: Option<String>,
}

impl RowLevelSecurity {
    /// What tells the database whose rows the rest of the transaction is about. Both values are bound, and gone when it
    /// ends. A team that is not known yet is set as none, whatever somebody may have set for the session.
    fn statement(&self, backend: sea_orm::DbBackend, team: &TeamScope) -> Result<Statement, Refused> {
        let (name, value) = match team {
            TeamScope::Team(team) => (self.team_setting.as_str(), team.as_str()),
            TeamScope::All => ("role", self.all_teams_role.as_deref().ok_or(Refused::NoAllTeamsRole)?),
            _ => (self.team_setting.as_str(), ""),
        };
        let values = [name.into(), value.into()];
        Ok(Statement::from_sql_and_values(backend, backend::SET_FOR_TRANSACTION, values))
    }
}

impl Events {
    /// The statement by which the rest of a transaction is this team's. None where nothing keeps teams apart by itself.
    pub(crate) fn enter(&self, team: &TeamScope) -> Result<Option<Statement>, Refused> {
        self.row_level_security().map(|security| security.statement(self.backend(), team)).transpose()
    }

    /// What reads, and writes without events, go to: the pool, or a transaction of this team's.
    pub(crate) async fn open(&self, team: &TeamScope) -> Result<DatabaseExecutor<'_>, DbErr> {
        Ok(match self.enter(team)? {
            None => DatabaseExecutor::Connection(self.pool()),
            Some(enter) => {
                let options = TransactionOptions::default();
                DatabaseExecutor::OwnedTransaction(
                    transaction::begin(self.pool(), options, Some(enter)).await?,
                )
            }
        })
    }

    /// The setting that the policies compare. Empty where row-level security is off.
    pub(crate) fn compared_setting(&self) -> String {
        self.row_level_security().map(|security| security.team_setting.clone()).unwrap_or_default()
    }

    /// Whether the policies ask for a team.
    pub(crate) fn is_row_level_secure(&self) -> bool {
        self.row_level_security().is_some()
    }
}

/// Ends what [`Events::open`] began. Dropped without it, it is rolled back.
pub(crate) async fn close(db: DatabaseExecutor<'_>) -> Result<(), DbErr> {
    match db {
        DatabaseExecutor::OwnedTransaction(txn) => transaction::commit(txn).await.map_err(withhold_at_end),
        _ => Ok(()),
    }
}

/// The setting that the policies of the table of events compare, so that it need not be said again.
pub(crate) async fn setting_of_policies(db: &impl ConnectionTrait) -> Result<Option<String>, DbErr> {
    match has_row_level_security(db.get_database_backend()) {
        true => inspect::team_setting(db).await,
        false => Ok(None),
    }
}

/// Whether row-level security is on for the table of events.
pub(crate) async fn is_on(db: &impl ConnectionTrait) -> Result<bool, DbErr> {
    let Some(sql) = backend::select_row_level_security(db.get_database_backend()) else { return Ok(false) };
    let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await?;
    row.map_or(Ok(false), |row| row.try_get_by_index(0))
}
