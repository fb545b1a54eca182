//! Row-level security on PostgreSQL: who may do what with each table of ours, and the statements that say so. Written by
//! `migration::isolation`, read back by `verify`.

mod access;
mod catalog;
pub(crate) mod expression;
pub(crate) mod inspect;
pub(crate) mod memberships;
pub(crate) mod policy;
mod roles;
pub(crate) mod sql;
pub(crate) mod tables;
pub(crate) mod views;

use sea_orm::DbBackend;

#[cfg(feature = "migration")]
pub(crate) use self::catalog::guard_functions;
pub(crate) use self::{
    access::{Access, EVENTS},
    catalog::{Relation, read_relations},
    policy::{Command, Kind},
    roles::{RoleNames, role_of},
};

/// The setting that the policies compare unless the application names another.
pub(crate) const TEAM_SETTING: &str = "app.team_id";

/// What a table would make a column of, where row-level security holds for whoever asks and a value may be given.
pub(crate) const DRAWN_KEY: &str = "SELECT CASE WHEN a.attidentity = 'd' THEN format('nextval(%L::regclass)', s.name) \
     ELSE pg_get_expr(d.adbin, d.adrelid) END AS expression, format_type(a.atttypid, NULL) AS column_type \
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = $2 AND NOT a.attisdropped \
     LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum \
     CROSS JOIN LATERAL (SELECT pg_get_serial_sequence(c.oid::regclass::text, a.attname) AS name) s \
     WHERE c.oid = to_regclass($1) AND row_security_active(c.oid) AND a.attidentity <> 'a' AND a.attgenerated = '' \
     AND (s.name IS NULL OR has_sequence_privilege(s.name, 'USAGE'))";

/// Only PostgreSQL has row-level security.
pub(crate) fn has_row_level_security(backend: DbBackend) -> bool {
    backend == DbBackend::Postgres
}
