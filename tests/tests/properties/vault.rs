//! A model whose redacted fields can go wrong in every way that a database knows.

use events_sea_orm::{Tracked, tracked_behavior};
use sea_orm::{DbBackend, entity::prelude::*};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
#[sea_orm(table_name = "vaults")]
#[tracked(object_type = "vault", team = "team_id", behavior = "custom", soft_delete = "gone")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i32,
    pub team_id: i32,
    #[track]
    pub name: String,
    #[track(state, transitions(Draft => [Live]), enforce)]
    pub status: Status,
    /// Unique and of limited length.
    #[track(redact)]
    pub api_key: String,
    /// Checked.
    #[track(redact)]
    pub pin: Option<String>,
    /// Refers to another table.
    #[track(redact)]
    pub owner_key: Option<String>,
    /// The database wants one.
    #[track(redact)]
    pub must: Option<String>,
    /// Not always what can be read.
    #[track(redact)]
    pub mode: Option<Mode>,
    #[track(redact)]
    #[sea_orm(column_type = "JsonBinary")]
    pub doc: Option<Json>,
    /// Unique at commit, where the database waits so long.
    #[track(redact)]
    pub late: Option<String>,
    pub gone: Option<bool>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

#[derive(Clone, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))", rename_all = "snake_case")]
pub enum Status {
    Draft,
    Live,
}

#[derive(Clone, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
pub enum Mode {
    Open,
    Shut,
}

#[tracked_behavior]
#[async_trait::async_trait]
impl ActiveModelBehavior for ActiveModel {
    async fn before_save<C: ConnectionTrait>(self, _db: &C, _insert: bool) -> Result<Self, DbErr> {
        match self.name.try_as_ref().map(String::as_str) {
            Some("veto") => Err(DbErr::Custom("vetoed".to_owned())),
            _ => Ok(self),
        }
    }

    async fn after_save<C: ConnectionTrait>(model: Model, _db: &C, _insert: bool) -> Result<Model, DbErr> {
        match &*model.name {
            "too late" => Err(DbErr::Custom("vetoed afterwards".to_owned())),
            _ => Ok(model),
        }
    }
}

/// What joins two of them.
pub mod link {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "vault_links")]
    #[tracked(object_type = "vault_link", team = context)]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub from_id: i32,
        #[sea_orm(primary_key, auto_increment = false)]
        pub to_id: i32,
        #[track(redact)]
        pub seal: Option<String>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {
        #[sea_orm(belongs_to = "super::Entity", from = "Column::FromId", to = "super::Column::Id")]
        From,
        #[sea_orm(belongs_to = "super::Entity", from = "Column::ToId", to = "super::Column::Id")]
        To,
    }
}

/// What a `pin` may not be.
pub const FORBIDDEN: &str = "forbidden";

pub async fn create_tables(db: &DatabaseConnection) {
    let backend = db.get_database_backend();
    let [key, json, late] = match backend {
        DbBackend::Postgres => ["id serial PRIMARY KEY", "jsonb", "DEFERRABLE INITIALLY DEFERRED"],
        DbBackend::MySql => ["id integer AUTO_INCREMENT PRIMARY KEY", "json", ""],
        _ => ["id integer PRIMARY KEY AUTOINCREMENT", "jsonb_text", ""],
    };
    let vaults = format!(
        "CREATE TABLE vaults ({key}, team_id integer NOT NULL, name varchar(50) NOT NULL, status varchar(16) NOT NULL,
            api_key varchar(150) NOT NULL UNIQUE CHECK (length(api_key) <= 150), pin varchar(150), owner_key varchar(150),
            must varchar(150) NOT NULL, mode varchar(150), doc {json}, late varchar(150), gone boolean,
            CONSTRAINT late_is_unique UNIQUE (late) {late},
            CONSTRAINT pin_is_allowed CHECK (pin NOT LIKE '%{FORBIDDEN}%'),
            CONSTRAINT owner_is_known FOREIGN KEY (owner_key) REFERENCES owners (owner_key))"
    );
    for sql in [
        "CREATE TABLE owners (owner_key varchar(150) PRIMARY KEY)",
        "INSERT INTO owners VALUES ('known')",
        &vaults,
        "CREATE TABLE vault_links (from_id integer, to_id integer, seal varchar(150) UNIQUE, PRIMARY KEY (from_id, to_id))",
        "CREATE TABLE vault_seals (seal varchar(150), api_key varchar(150),
            FOREIGN KEY (seal) REFERENCES vault_links (seal), FOREIGN KEY (api_key) REFERENCES vaults (api_key))",
    ] {
        db.execute_unprepared(sql).await.unwrap();
    }
}
