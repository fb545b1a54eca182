//! How rows are written, and what of it is recorded.
//!
//! A few binaries for all subjects, since each links three database drivers. The models of one are registered together, so
//! no two modules name the same table or object type. What needs a process of its own is a binary of its own beside these
//! folders: `observability` and `properties` install a global recorder of traces, and `verify` compares the database with
//! every model of its program.

mod attacks;
mod bulk;
mod concurrency;
mod conformance;
mod dropped;
mod faults;
mod guard;
mod hostile;
mod known_sql;
mod sakila;
mod several_rows;
mod statements;
mod strict;
mod values;
mod writes;
mod years;
