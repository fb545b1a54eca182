//! The old table gets out of the way, and back.

use sea_orm::{ConnectionTrait, DbBackend, TransactionSession, TransactionTrait};

use super::{error::ActivityEventsError, options::ActivityEvents, sql};

pub(super) async fn rename<C: ConnectionTrait + TransactionTrait>(
    db: &C,
    old: &ActivityEvents,
) -> Result<(), ActivityEventsError> {
    let (here, there) = (has(db, &old.table).await?, has(db, &old.renamed).await?);
    match (here, there) {
        (false, false) => return Err(ActivityEventsError::NoTable { table: old.table.clone() }),
        (true, true) => return Err(ActivityEventsError::NameTaken { table: old.renamed.clone() }),
        _ => {}
    }
    // The new name waits for whoever still writes, and keeps others from writing: what is counted then is all there is.
    let txn = db.begin_with_options(sql::batch_options(db.get_database_backend())).await?;
    if here {
        unchecked(&txn, old, &old.table).await?;
        sql::rename(&txn, &old.table, &old.renamed).await?;
    }
    let complete = unchecked(&txn, old, &old.renamed).await;
    if complete.is_err() && txn.get_database_backend() == DbBackend::MySql {
        sql::rename(&txn, &old.renamed, &old.table).await?; // a rename is committed as it is made
    }
    complete?;
    sql::drop_index(&txn, &old.table, &old.renamed).await?;
    txn.commit().await?;
    Ok(())
}

/// Refuses unless the table has as many rows as `check` found alike.
async fn unchecked(
    db: &impl ConnectionTrait,
    old: &ActivityEvents,
    table: &str,
) -> Result<(), ActivityEventsError> {
    let checked = match sql::has_tables(db).await? {
        true => sql::import(db, &old.table, false).await?.and_then(|import| import.checked),
        false => None,
    };
    let rows = sql::count(db, table, None).await?;
    if checked == Some(rows) {
        Ok(())
    } else {
        Err(ActivityEventsError::Unchecked { table: old.table.clone(), rows, checked })
    }
}

pub(super) async fn rename_back<C: ConnectionTrait>(
    db: &C,
    old: &ActivityEvents,
) -> Result<(), ActivityEventsError> {
    if has(db, &old.renamed).await? && !has(db, &old.table).await? {
        sql::rename(db, &old.renamed, &old.table).await?;
    }
    Ok(())
}

async fn has(db: &impl ConnectionTrait, table: &str) -> Result<bool, ActivityEventsError> {
    Ok(!sql::columns(db, table).await?.is_empty())
}
