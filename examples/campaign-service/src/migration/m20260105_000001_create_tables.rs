use sea_orm_migration::{prelude::*, schema::*};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let campaigns = Table::create()
            .table("campaigns")
            .col(pk_auto("id"))
            .col(string("team_id"))
            .col(string("name"))
            .col(string_len("status", 16))
            .col(big_integer("budget"))
            .col(timestamp_with_time_zone("created_at"))
            .to_owned();
        manager.create_table(campaigns).await?;
        let by_team = Index::create().name("campaigns_team_id").table("campaigns").col("team_id").to_owned();
        manager.create_index(by_team).await?;
        let comments = Table::create()
            .table("comments")
            .col(pk_auto("id"))
            .col(string("team_id"))
            .col(integer("campaign_id"))
            .col(string("author"))
            .col(text("text"))
            .col(timestamp_with_time_zone("created_at"))
            .foreign_key(ForeignKey::create().from("comments", "campaign_id").to("campaigns", "id"))
            .to_owned();
        manager.create_table(comments).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("comments").to_owned()).await?;
        manager.drop_table(Table::drop().table("campaigns").to_owned()).await
    }
}
