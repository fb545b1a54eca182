//! The first days: refusals become warnings.

use std::{
    collections::HashSet,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use crate::{error::Refused, observe};

static ADOPTING: AtomicBool = AtomicBool::new(false);
static UNRECORDED: AtomicU64 = AtomicU64::new(0);
static WARNED: Mutex<Option<HashSet<&'static str>>> = Mutex::new(None);

/// Lets saves of tracked models without a context pass, and bulk writes and raw SQL on units of work and connections,
/// process-wide and for good: each entity is warned about once, and [`unrecorded_saves`] counts them. For the days in which an application is made tracked, not beyond.
pub fn adopt() {
    ADOPTING.store(true, Ordering::Relaxed);
}

/// How many saves and other statements left no event because of [`adopt`].
pub fn unrecorded_saves() -> u64 {
    UNRECORDED.load(Ordering::Relaxed)
}

pub(crate) fn is_adopting() -> bool {
    ADOPTING.load(Ordering::Relaxed)
}

/// Refuses, unless the application is being adopted. `what` is warned about once.
pub(crate) fn refuse(what: &'static str, refused: Refused) -> Result<(), Refused> {
    if !is_adopting() {
        return Err(refused);
    }
    UNRECORDED.fetch_add(1, Ordering::Relaxed);
    observe::unrecorded(what);
    let mut warned = WARNED.lock().unwrap_or_else(PoisonError::into_inner);
    if warned.get_or_insert_default().insert(what) {
        tracing::warn!(object_type = what, %refused, "a tracked write leaves no event");
    }
    Ok(())
}
