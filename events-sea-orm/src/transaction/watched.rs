//! A statement with what is sent around it, so that the database refuses or tells of what its words do not show.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, QueryResult, Statement, Value};

use super::{
    statement::Care,
    write::{Reply, Verb},
};
use crate::{
    backend::{self, watch},
    error::Refused,
    events::Events,
    store,
};

/// What is sent around a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Watch {
    Nothing,
    /// The database refuses writes, and its effects are undone.
    ReadOnly,
    /// What it writes to any table, the catalog among them, is counted: it may write to none, and must leave the role, the
    /// setting and where tables are found as they are.
    Counted {
        setting: String,
    },
    /// The transaction must be the same afterwards. What `opaque` code writes to this library's tables is counted, and it must leave
    /// them, the role, the setting and where tables are found as they are.
    Marked {
        opaque: bool,
        setting: String,
    },
}

/// Whether this database can watch over a read of this care.
pub(crate) fn watches(backend: DbBackend, care: Care) -> bool {
    match care {
        Care::Plain => false,
        Care::ReadOnly => watch::read_only(backend).is_some(),
        Care::Counted => backend::counts_writes(backend),
    }
}

/// What the database says of a transaction.
#[derive(PartialEq, Eq)]
struct Written {
    rows: Option<i64>,
    /// Role, settings and what the tables are.
    others: [Option<String>; 6],
}

impl Watch {
    /// Of a read of these events' application.
    pub(crate) fn of(care: Care, events: &Events) -> Self {
        match care {
            Care::Plain => Self::Nothing,
            Care::ReadOnly => Self::ReadOnly,
            Care::Counted => Self::Counted { setting: events.compared_setting() },
        }
    }

    /// Whether a transaction of its own is left as it was found.
    pub(crate) fn undoes(&self) -> bool {
        *self == Self::ReadOnly
    }

    /// To be sent before the statement.
    async fn open(&self, txn: &DatabaseTransaction) -> Result<Option<Written>, DbErr> {
        let backend = txn.get_database_backend();
        match self {
            Self::Nothing => Ok(None),
            Self::ReadOnly => {
                if let Some((open, _)) = watch::read_only(backend) {
                    txn.execute_unprepared(open).await?;
                }
                Ok(None)
            }
            Self::Counted { setting } => counted(txn, None, setting).await,
            Self::Marked { opaque, setting } => {
                txn.execute_unprepared(watch::MARK.0).await?;
                if !opaque {
                    return Ok(None);
                }
                counted(txn, Some(own_tables()), setting).await
            }
        }
    }

    /// To be sent after it.
    async fn close(&self, txn: &DatabaseTransaction, before: Option<Written>) -> Result<(), DbErr> {
        let backend = txn.get_database_backend();
        match self {
            Self::Nothing => Ok(()),
            Self::ReadOnly => match watch::read_only(backend) {
                Some((_, close)) => txn.execute_unprepared(close).await.map(drop),
                None => Ok(()),
            },
            Self::Counted { setting } => match written(txn, None, setting).await? == before {
                true => Ok(()),
                false => Err(hidden(
                    "a query wrote rows or altered a table, or changed the role, the team or where tables are found",
                )),
            },
            Self::Marked { opaque, setting } => {
                if txn.execute_unprepared(watch::MARK.1).await.is_err() {
                    return Err(Refused::TransactionEnded.into());
                }
                if !opaque {
                    return Ok(());
                }
                let after = written(txn, Some(own_tables()), setting).await?;
                if after == before {
                    return Ok(());
                }
                Err(hidden(
                    "code inside `untracked` wrote to a table of this library or altered it, or changed the role, the team \
                     or where tables are found",
                ))
            }
        }
    }

    /// To be sent after a statement that failed.
    async fn close_failed(&self, txn: &DatabaseTransaction) {
        let backend = txn.get_database_backend();
        if *self == Self::ReadOnly && watch::stays_read_only(backend) {
            // If even this fails, the connection writes nothing any more.
            let _ = self.close(txn, None).await;
        }
    }

    /// Sends a statement and what belongs around it.
    pub(crate) async fn answer(
        &self,
        txn: &DatabaseTransaction,
        verb: Verb,
        statement: Statement,
    ) -> Result<Reply, DbErr> {
        let before = self.open(txn).await?;
        match send(txn, verb, statement).await {
            Ok(reply) => self.close(txn, before).await.map(|()| reply),
            Err(error) => {
                self.close_failed(txn).await;
                Err(error)
            }
        }
    }
}

/// Sends a statement as this verb says.
pub(crate) async fn send<C: ConnectionTrait>(
    db: &C,
    verb: Verb,
    statement: Statement,
) -> Result<Reply, DbErr> {
    Ok(match verb {
        Verb::Execute => Reply::Executed(db.execute_raw(statement).await?),
        Verb::ExecuteUnprepared => Reply::Executed(db.execute_unprepared(&statement.sql).await?),
        Verb::QueryOne => Reply::One(db.query_one_raw(statement).await?),
        Verb::QueryAll => Reply::All(db.query_all_raw(statement).await?),
    })
}

fn own_tables() -> Vec<String> {
    store::own_tables().map(str::to_owned).collect()
}

fn hidden(what: &'static str) -> DbErr {
    Refused::HiddenWrite { what }.into()
}

/// What was written before a statement whose writes are counted.
async fn counted(
    txn: &DatabaseTransaction,
    tables: Option<Vec<String>>,
    setting: &str,
) -> Result<Option<Written>, DbErr> {
    let written = written(txn, tables, setting).await?;
    match &written {
        Some(Written { rows: None, .. }) => {
            let why = "the server does not count what is written: `track_counts` is off".to_owned();
            Err(Refused::UnknownSql { why }.into())
        }
        _ => Ok(written),
    }
}

async fn written(
    txn: &DatabaseTransaction,
    tables: Option<Vec<String>>,
    setting: &str,
) -> Result<Option<Written>, DbErr> {
    let backend = txn.get_database_backend();
    if !backend::counts_writes(backend) {
        return Ok(None);
    }
    let setting = if setting.is_empty() { "application_name" } else { setting };
    let values: [Value; 2] = [tables.into(), setting.into()];
    let row = txn.query_one_raw(Statement::from_sql_and_values(backend, watch::WRITTEN, values)).await?;
    row.as_ref().map(Written::read).transpose()
}

impl Written {
    fn read(row: &QueryResult) -> Result<Self, DbErr> {
        let others = ["role", "setting", "path", "files", "triggers", "hiding"];
        let mut found = [const { None }; 6];
        for (found, name) in found.iter_mut().zip(others) {
            *found = row.try_get("", name)?;
        }
        Ok(Self { rows: row.try_get("", "written")?, others: found })
    }
}

#[cfg(feature = "stream")]
impl Watch {
    /// Sends the rows of a query, and what belongs around it, to the end even if nobody wants the rows any more. An error goes to
    /// `failed` and among the rows.
    pub(crate) async fn hand_over(
        &self,
        txn: &DatabaseTransaction,
        statement: Statement,
        send: &tokio::sync::mpsc::Sender<Result<QueryResult, DbErr>>,
        failed: impl Fn(&DbErr),
    ) -> Result<(), DbErr> {
        let around = match self.open(txn).await {
            Ok(before) => match super::send_rows(txn, statement, send, &failed).await {
                Ok(()) => self.close(txn, before).await,
                Err(error) => {
                    self.close_failed(txn).await;
                    return Err(error); // it was sent
                }
            },
            Err(error) => Err(error),
        };
        if let Err(error) = &around {
            failed(error);
            let _ = send.send(Err(error.clone())).await; // nobody may read any more
        }
        around
    }
}
