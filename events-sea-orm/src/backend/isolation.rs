//! Row-level security on PostgreSQL: who may do what with each table of ours, and the statements that say so. Written by
//! `migration::isolation`, read back by `verify`.

mod access;
mod catalog;
pub(crate) mod inspect;
pub(crate) mod policy;
mod roles;
pub(crate) mod sql;

use sea_orm::DbBackend;

#[cfg(feature = "migration")]
pub(crate) use self::catalog::guard_functions;
pub(crate) use self::{
    access::{Access, EVENTS},
    catalog::{Relation, read_relations},
    policy::{Command, Kind},
    roles::RoleNames,
};

/// The setting that the policies compare unless the application names another.
pub(crate) const TEAM_SETTING: &str = "app.team_id";

/// Only PostgreSQL has row-level security.
pub(crate) fn has_row_level_security(backend: DbBackend) -> bool {
    backend == DbBackend::Postgres
}
