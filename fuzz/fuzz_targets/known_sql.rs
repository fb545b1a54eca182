//! Any text, on every database: no panic, and what a parser of somebody else's takes for a write does not pass for a read.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run -s none known_sql` at the top of the repository, with the toolchain that it names.

#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use sea_orm::DbBackend;

#[path = "../../tests/tests/saves/known_sql/second_opinion.rs"]
mod second_opinion;

fuzz_target!(|sql: &str| -> Corpus {
    // The other parser takes long for what is deep.
    if sql.len() > 2_000 {
        return Corpus::Reject;
    }
    for backend in [DbBackend::Postgres, DbBackend::MySql, DbBackend::Sqlite] {
        if let Err(error) = second_opinion::compare(sql, backend) {
            panic!("{error}");
        }
    }
    Corpus::Keep
});
