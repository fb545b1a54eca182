//! An earlier table of events made into `events`.

mod columns;
mod copy;
mod rows;
mod secured;
mod tables;
