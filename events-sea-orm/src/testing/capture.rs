//! What was recorded while some code ran.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use events_core::{Event, TeamScope};
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter, QueryOrder};
use uuid::Uuid;

use crate::{error::Refused, events::Events, store::event};

type Units = Arc<Mutex<Vec<(Uuid, TeamScope)>>>;

tokio::task_local! {
    static UNITS: Units;
}

/// So many ids go into one query.
const IDS: usize = 500;

/// Runs `work`, and answers what it answered and the events that its units of work and scopes left in the log, in the
/// log's order.
///
/// What was rolled back left none. Units of other tasks are not seen, even if `work` spawned them, nor those of
/// after-commit consumers; so tests that share a database do not see one another.
///
/// # Errors
/// The database's, when the log is read.
pub async fn capture<F: Future>(events: &Events, work: F) -> Result<(F::Output, Vec<Event>), DbErr> {
    let units = Units::default();
    let output = UNITS.scope(Arc::clone(&units), work).await;
    let mut units = std::mem::take(&mut *units.lock().unwrap_or_else(PoisonError::into_inner));
    units.sort_unstable_by_key(|(unit_id, _)| *unit_id);
    units.dedup_by_key(|(unit_id, _)| *unit_id);
    let mut rows = Vec::new();
    for of_team in units.chunk_by(|(_, a), (_, b)| a == b) {
        for some in of_team.chunks(IDS) {
            let ids = some.iter().map(|(unit_id, _)| *unit_id);
            let found = event::Entity::find().filter(event::Column::UnitId.is_in(ids));
            let found = found.order_by_asc(event::Column::Seq);
            rows.append(&mut found.all(&events.open(&of_team[0].1).await?).await?);
        }
    }
    rows.sort_by_key(|row| row.seq);
    let captured: Result<Vec<_>, _> = rows.iter().map(event::Model::to_event).collect();
    Ok((output, captured.map_err(Refused::from)?))
}

/// Says that this unit of work wrote events.
pub(crate) fn note_unit(unit_id: Uuid, team: TeamScope) {
    // Outside of `capture` nobody asks.
    let _ =
        UNITS.try_with(|units| units.lock().unwrap_or_else(PoisonError::into_inner).push((unit_id, team)));
}
