//! What operators see: the names of spans and counters, in one place. `observability.md` is their documentation.

use tracing::{Span, debug_span};
use uuid::Uuid;

use crate::{
    consumer::Subscription, error::Refused, record::Recorded, tracked::Definition, transaction::Kind,
};

pub(crate) fn unit_span(unit_id: Uuid) -> Span {
    debug_span!("events.unit", %unit_id)
}

pub(crate) fn save_span(unit: &Span, definition: &Definition, kind: Kind) -> Span {
    debug_span!(parent: unit, "events.save", object_type = definition.object_type(), kind = kind.as_str())
}

pub(crate) fn commit_span(unit: &Span, unit_id: Uuid) -> Span {
    debug_span!(parent: unit, "events.commit", %unit_id)
}

pub(crate) fn flush_span() -> Span {
    debug_span!("events.flush", events = tracing::field::Empty)
}

pub(crate) fn consumer_span(subscription: &Subscription, unit_id: Uuid, events: usize) -> Span {
    let (consumer, delivery) = (&*subscription.name, subscription.delivery().as_str());
    debug_span!("events.consumer", consumer, delivery, %unit_id, events)
}

/// Events on their way into the log, counted by their kinds.
#[derive(Default)]
pub(crate) struct Written {
    #[cfg(feature = "metrics")]
    kinds: std::collections::HashMap<(String, String), u64>,
}

impl Written {
    pub(crate) fn of(events: &[Recorded]) -> Self {
        #[cfg(feature = "metrics")]
        {
            let mut written = Self::default();
            for event in events {
                let object_type = event.object_type.as_deref().unwrap_or_default().to_owned();
                *written.kinds.entry((event.event_type.to_string(), object_type)).or_default() += 1;
            }
            written
        }
        #[cfg(not(feature = "metrics"))]
        {
            let _ = events;
            Self::default()
        }
    }

    /// They are in the log. A rollback may take them back.
    pub(crate) fn count(self) {
        #[cfg(feature = "metrics")]
        for ((event_type, object_type), count) in self.kinds {
            metrics::counter!("events_written_total", "event_type" => event_type, "object_type" => object_type)
                .increment(count);
        }
    }
}

/// How a unit of work ended.
#[derive(Clone, Copy)]
pub(crate) enum UnitEnd {
    Committed,
    Refused,
    Failed,
    Unknown,
    RolledBack,
}

pub(crate) fn unit_ended(end: UnitEnd) {
    #[cfg(feature = "metrics")]
    {
        let outcome = match end {
            UnitEnd::Committed => "committed",
            UnitEnd::Refused => "refused",
            UnitEnd::Failed => "failed",
            UnitEnd::Unknown => "unknown",
            UnitEnd::RolledBack => "rolled_back",
        };
        metrics::counter!("events_units_total", "outcome" => outcome).increment(1);
    }
    #[cfg(not(feature = "metrics"))]
    let _ = end;
}

/// A consumer was handed events, or was not.
pub(crate) fn consumed(subscription: &Subscription, outcome: &'static str, events: usize) {
    #[cfg(feature = "metrics")]
    {
        let (consumer, delivery) = (subscription.name.to_string(), subscription.delivery().as_str());
        metrics::counter!(
            "events_consumed_total", "consumer" => consumer, "delivery" => delivery, "outcome" => outcome
        )
        .increment(events as u64);
    }
    #[cfg(not(feature = "metrics"))]
    let _ = (subscription, outcome, events);
}

/// A save of another team's row, which was answered as if there were no such row.
pub(crate) fn other_team(refused: &Refused) {
    let error: &(dyn std::error::Error + 'static) = refused;
    tracing::warn!(error, "a save of a row of another team was answered as one of a row that is not there");
}

/// A write that passed without an event, since its application is being adopted.
pub(crate) fn unrecorded(object_type: &str) {
    #[cfg(feature = "metrics")]
    metrics::counter!("events_unrecorded_saves_total", "object_type" => object_type.to_owned()).increment(1);
    #[cfg(not(feature = "metrics"))]
    let _ = object_type;
}
