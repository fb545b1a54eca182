//! Models and consumers that the macros must take, and what they make of them.

mod consumers;
mod formats;
mod hooks;
mod hostile;
mod keys;
mod names;
mod paths;
mod threads;
mod types;

use events_sea_orm::Tracked;

/// The names under which the fields of `M` are recorded.
fn recorded<M: Tracked>() -> Vec<&'static str> {
    M::definition().fields().iter().map(|field| field.name()).collect()
}

/// The columns that the recorded fields of `M` are in.
fn columns<M: Tracked>() -> Vec<&'static str> {
    M::definition().fields().iter().map(|field| field.column()).collect()
}
