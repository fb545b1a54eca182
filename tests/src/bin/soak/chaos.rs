//! Writers on shared rows, dropped, killed and caught in deadlocks: `tests::chaos` says what they do and what must hold.
//!
//! `chaos [SECONDS] [SEED]`: so long on each server, a fifth of it on SQLite.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tests::{
    TestDb,
    chaos::{self, Until},
};

/// Five minutes each, unless said.
const SECONDS: u64 = 300;

pub(crate) fn arguments(arguments: &[&str]) -> (u64, u64) {
    let number = |at: usize| arguments.get(at).map(|text| text.parse::<u64>().expect("a number"));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    (number(0).unwrap_or(SECONDS), number(1).unwrap_or(now.as_secs()))
}

pub(crate) async fn run(name: &str, db: TestDb, seconds: u64, seed: u64) {
    let seconds = if name == "SQLite" { seconds.div_ceil(5) } else { seconds };
    println!("{name}: {seconds} s with seed {seed}");
    let (db, start) = (Arc::new(db), Instant::now());
    let counts = chaos::run(Arc::clone(&db), seed, Until::Elapsed(Duration::from_secs(seconds))).await;
    println!("{name}: {counts:?} in {:.0} s, 0 differences (seed {seed})", start.elapsed().as_secs_f64());
    if let Some(db) = Arc::into_inner(db) {
        db.drop().await;
    }
}
