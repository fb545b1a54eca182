mod m20260105_000001_create_tables;

use sea_orm_migration::prelude::*;

pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        let mut migrations = events_sea_orm::migration::steps();
        migrations.push(Box::new(m20260105_000001_create_tables::Migration));
        migrations
    }
}
