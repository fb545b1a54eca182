//! SeaORM's GraphQL layer over a tracked entity.
//!
//! Not a member of the workspace: `Cargo.toml` says why.

pub mod campaign;
#[path = "../../src/database.rs"]
mod database;
pub mod hooks;
pub mod tracked_mutations;

use sea_orm::DatabaseConnection;
use seaography::{
    Builder, BuilderContext, LifecycleHooks, LifecycleHooksInterface, async_graphql::dynamic::Schema,
};

pub use self::database::{TestDb, run};

/// What seaography generates.
pub fn generated(pool: &DatabaseConnection, hooks: impl LifecycleHooksInterface + 'static) -> Schema {
    let mut builder = builder(pool, hooks);
    seaography::register_entity!(builder, campaign);
    builder.schema_builder().data(pool.clone()).finish().expect("a schema")
}

/// The same for queries, with mutations that leave events.
pub fn tracked(pool: &DatabaseConnection, hooks: impl LifecycleHooksInterface + 'static) -> Schema {
    let mut builder = builder(pool, hooks);
    seaography::register_entity!(builder, campaign, mutation: false);
    tracked_mutations::register::<campaign::Entity>(&mut builder);
    builder.schema_builder().data(pool.clone()).finish().expect("a schema")
}

fn builder(pool: &DatabaseConnection, hooks: impl LifecycleHooksInterface + 'static) -> Builder {
    let context = BuilderContext { hooks: LifecycleHooks::new(hooks), ..Default::default() };
    Builder::new(Box::leak(Box::new(context)), pool.clone())
}
