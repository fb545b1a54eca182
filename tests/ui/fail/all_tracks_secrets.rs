use events_sea_orm::Tracked;
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
#[sea_orm(table_name = "users")]
#[tracked(team = "team_id", all)]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i32,
    pub team_id: i32,
    pub email: String,
    pub password_hash: String,
    pub api_key: Option<String>,
    pub reset_token: Option<Vec<u8>>,
    #[sea_orm(column_name = "totp_secret")]
    pub second_factor: String,
    pub has_password: bool,
    pub password_changed_at: DateTimeUtc,
    #[track(redact)]
    pub client_secret: String,
    #[track(skip)]
    pub salt: String,
    #[track]
    pub pin: i32,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

fn main() {}
