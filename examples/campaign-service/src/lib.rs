//! A service for the campaigns of teams: they are drafted, changed, commented on, launched and deleted.

pub mod auth;
pub mod demo;
pub mod entities;
mod error;
mod migration;
mod routes;
mod services;

use axum::Router;
use events_sea_orm::{Context, Events, EventsLayer};
use sea_orm::DatabaseConnection;
use sea_orm_migration::MigratorTrait;

/// The service on this database, whose tables are brought up to date first.
pub async fn app(db: DatabaseConnection) -> Result<Router, Box<dyn std::error::Error>> {
    migration::Migrator::up(&db, None).await?;
    let events = Events::builder(db).build().await?;
    Ok(routes::router().layer(EventsLayer::new(events, |request| {
        auth::Caller::of(request).map(|caller| Context::team(caller.team).actor(caller.user))
    })))
}
