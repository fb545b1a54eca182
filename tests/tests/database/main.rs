//! What the database itself holds: tables, guards, roles, old rows. `saves/main.rs` says what the binaries are.

mod activity_events;
mod append_only;
mod isolation;
mod rbac;
mod retention;
mod row_level_security;
mod text;
