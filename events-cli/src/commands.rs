//! One file for each command.

pub(crate) mod doctor;
pub(crate) mod export;
pub(crate) mod migrate;
pub(crate) mod purge;
pub(crate) mod tail;
pub(crate) mod timeline;
