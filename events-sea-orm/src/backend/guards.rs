//! The guards of the `events` table: triggers that refuse to change, remove or forge an event, and what the catalog says
//! of them.

mod mysql;
mod postgres;
mod sqlite;

use sea_orm::{ConnectionTrait, DbBackend, DbErr, RuntimeErr, Statement, sqlx};

use crate::verify::{GuardFinding, GuardProblem};

/// What a statement is told that would change or remove an event.
const REFUSED: &str = "events are append-only: they cannot be changed or removed";

/// What a statement is told that would change the record of purges.
const PURGES_REFUSED: &str = "event_purges is append-only: what was removed stays on record";

/// What an INSERT is told on SQLite if an event of its id is there, since it may be an `INSERT OR REPLACE`.
const THERE_ALREADY: &str = "events are append-only: an event of this id is there already";

/// The indexes that every read of ours needs: their columns, and whether they are unique.
const INDEXES: [(&str, bool); 3] =
    [("id", true), ("team_id,seq", false), ("team_id,object_type,object_id,seq", false)];

/// What is wrong with the guards of `events`. Nothing if there is no such table.
pub(crate) async fn findings(db: &impl ConnectionTrait) -> Result<Vec<GuardFinding>, DbErr> {
    match db.get_database_backend() {
        DbBackend::Postgres => postgres::findings(db).await,
        DbBackend::MySql => mysql::findings(db).await,
        _ => sqlite::findings(db).await,
    }
}

/// The statements that make the guards that are not there or not as they should be.
#[cfg(feature = "migration")]
pub(crate) async fn missing(db: &impl ConnectionTrait) -> Result<Vec<String>, DbErr> {
    let mut statements = Vec::new();
    for finding in findings(db).await? {
        match finding.problem {
            GuardProblem::Missing | GuardProblem::Disabled | GuardProblem::Altered => {
                statements.extend(finding.mend);
            }
            // What is there cannot be seen: all of it is made anew.
            GuardProblem::Unseen => statements.extend(mysql::all(db).await?),
            _ => {}
        }
    }
    Ok(statements)
}

/// The statements that take the guards back.
#[cfg(feature = "migration")]
pub(crate) fn remove(backend: DbBackend) -> Vec<String> {
    match backend {
        DbBackend::Postgres => postgres::remove(),
        DbBackend::MySql => mysql::remove(),
        _ => sqlite::remove(),
    }
}

/// The statements that take back what the tables of purges do not take with them.
#[cfg(feature = "migration")]
pub(crate) fn remove_of_purges(backend: DbBackend) -> Vec<String> {
    match backend {
        DbBackend::Postgres => postgres::remove_of_purges(),
        _ => Vec::new(),
    }
}

/// Purges that were committed without saying how many events they removed: none of ours.
const OPEN_PURGES: &str = "SELECT count(*) AS open FROM event_purges WHERE removed IS NULL";

async fn open_purges(db: &impl ConnectionTrait) -> Result<Option<GuardFinding>, DbErr> {
    let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), OPEN_PURGES)).await?;
    let open: i64 = row.map_or(Ok(0), |row| row.try_get("", "open"))?;
    Ok((open > 0).then(|| GuardFinding {
        problem: GuardProblem::OpenPurge,
        table: "event_purges".to_owned(),
        name: open.to_string(),
        hardened: false,
        mend: Some("UPDATE event_purges SET removed = 0 WHERE removed IS NULL;".to_owned()),
    }))
}

/// Whether the user may not make triggers: on MariaDB and MySQL many applications' users may not, and with a binary log
/// only administrators may.
#[cfg(feature = "migration")]
pub(crate) fn is_denied(backend: DbBackend, error: &DbErr) -> bool {
    // Of a database, of a table, for want of SUPER, and for want of it with a binary log.
    const DENIED: [u16; 4] = [1044, 1142, 1227, 1419];
    backend == DbBackend::MySql && super::mysql_number(error).is_some_and(|number| DENIED.contains(&number))
}

/// Whether an INSERT failed because an event of its id is there.
pub(crate) fn is_there_already(error: &DbErr) -> bool {
    super::is_unique_violation(error)
        || database_message(error).is_some_and(|text| text.contains(THERE_ALREADY))
}

fn database_message(error: &DbErr) -> Option<String> {
    let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) = error
    else {
        return None;
    };
    match &**error {
        sqlx::Error::Database(error) => Some(error.to_string()),
        _ => None,
    }
}

/// A trigger of ours and a trigger that is there, both as text that tells whether they do the same.
fn problem(wanted: &str, found: Option<&str>) -> Option<GuardProblem> {
    match found {
        None => Some(GuardProblem::Missing),
        Some(found) if found != wanted => Some(GuardProblem::Altered),
        Some(_) => None,
    }
}

/// The columns of the indexes that are not among these.
fn missing_indexes<'a>(found: &[(&str, bool)]) -> impl Iterator<Item = (&'a str, bool)> {
    INDEXES.into_iter().filter(move |(columns, unique)| {
        !found.iter().any(|(other, is_unique)| other == columns && (*is_unique || !unique))
    })
}

/// As the first migration step names them.
fn create_index(table: &str, columns: &str, unique: bool) -> (String, String) {
    let name = match columns {
        "team_id,seq" => "events_team_seq".to_owned(),
        "team_id,object_type,object_id,seq" => "events_object_seq".to_owned(),
        _ => format!("events_{}_key", columns.replace(',', "_")),
    };
    let unique = if unique { "UNIQUE " } else { "" };
    let sql = format!("CREATE {unique}INDEX {name} ON {table} ({})", columns.replace(',', ", "));
    (name, sql)
}

/// SQLite cannot: the table would have to be made anew.
pub(crate) fn drop_foreign_key(backend: DbBackend, name: &str) -> Option<String> {
    match backend {
        DbBackend::Postgres => {
            Some(format!("ALTER TABLE events DROP CONSTRAINT \"{}\";", name.replace('"', "\"\"")))
        }
        DbBackend::MySql => {
            Some(format!("ALTER TABLE events DROP FOREIGN KEY `{}`;", name.replace('`', "``")))
        }
        _ => None,
    }
}
