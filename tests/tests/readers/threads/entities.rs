//! Entities with threads.

use events_sea_orm::migration;
use sea_orm::{ActiveModelTrait, ConnectionTrait, Schema, Set};
use tests::TestDb;

/// A thread of its own.
pub mod customer {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "customers")]
    #[tracked(object_type = "customer", team = "team_id", thread = "self", soft_delete = "deleted_at")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub team_id: i32,
        #[track]
        pub name: String,
        #[track(label = "credit line", format = "number")]
        pub credit: Option<i64>,
        #[sea_orm(column_type = "Decimal(Some((12, 2)))")]
        #[track]
        pub balance: Decimal,
        #[track]
        pub born_in: Option<i32>,
        #[track(state)]
        pub status: Status,
        #[track(redact, label = "API key")]
        pub api_key: String,
        pub deleted_at: Option<DateTimeUtc>,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
    #[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))", rename_all = "snake_case")]
    pub enum Status {
        New,
        Good,
        Blocked,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

/// In the thread of its customer, whose column is not tracked, and in the scope of its campaign.
pub mod rental {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "rentals")]
    #[tracked(
        object_type = "rental",
        team = "team_id",
        soft_delete = "deleted_at",
        thread(object_type = "customer", id = "customer_id", scope = "campaign_id")
    )]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub team_id: i32,
        pub customer_id: Option<i32>,
        pub campaign_id: Option<String>,
        #[track]
        pub film: String,
        #[track(label = "return date")]
        pub returned: Option<DateTimeUtc>,
        pub deleted_at: Option<DateTimeUtc>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

/// In the thread of an object with a key of two columns.
pub mod line {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "lines")]
    #[tracked(object_type = "line", team = context, all, thread(object_type = "price", id = ["item", "lang"]))]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub item: i32,
        pub lang: String,
        pub cents: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

/// A thread of its own in each scope.
pub mod deal {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "deals")]
    #[tracked(object_type = "deal", team = "team_id", thread(scope = "campaign"))]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i32,
        pub team_id: i32,
        pub campaign: i32,
        #[track]
        pub title: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

/// No thread.
pub mod shelf {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "shelves")]
    #[tracked(object_type = "shelf", team = context, all)]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub name: String,
        #[sea_orm(has_many, via = "shelf_tag")]
        pub tags: HasMany<super::tag::Entity>,
    }
}

/// What shelves have many of.
pub mod tag {
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "tags")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub name: String,
        #[sea_orm(has_many, via = "shelf_tag")]
        pub shelves: HasMany<super::shelf::Entity>,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

/// The junction between them, told on the shelf.
pub mod shelf_tag {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "shelf_tags")]
    #[tracked(object_type = "shelf_tag", team = context, thread(object_type = "shelf", id = "shelf_id"))]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        #[track]
        pub shelf_id: i32,
        #[sea_orm(primary_key, auto_increment = false)]
        #[track]
        pub tag_id: i32,
        #[sea_orm(belongs_to, from = "shelf_id", to = "id")]
        pub shelf: BelongsTo<super::shelf::Entity>,
        #[sea_orm(belongs_to, from = "tag_id", to = "id")]
        pub tag: BelongsTo<super::tag::Entity>,
    }
}

/// Whose names the actors have. Not tracked.
pub mod person {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "people")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        pub name: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub async fn tables(db: &TestDb) {
    migration::up(&db.db).await.unwrap();
    migration::threads::up(&db.db).await.unwrap();
    let schema = Schema::new(db.db.get_database_backend());
    for table in [
        schema.create_table_from_entity(customer::Entity),
        schema.create_table_from_entity(rental::Entity),
        schema.create_table_from_entity(line::Entity),
        schema.create_table_from_entity(deal::Entity),
        schema.create_table_from_entity(shelf::Entity),
        schema.create_table_from_entity(tag::Entity),
        schema.create_table_from_entity(shelf_tag::Entity),
        schema.create_table_from_entity(person::Entity),
    ] {
        db.db.execute(&table).await.unwrap();
    }
    if db.db.get_database_backend() == sea_orm::DbBackend::MySql {
        // Whatever the server takes where none is named.
        for table in ["customers", "people"] {
            let any_text = format!("ALTER TABLE {table} CONVERT TO CHARACTER SET utf8mb4");
            db.db.execute_unprepared(&any_text).await.unwrap();
        }
    }
    for (id, name) in [("ada", "Ada"), ("grace", "Grace")] {
        let person = person::ActiveModel { id: Set(id.to_owned()), name: Set(name.to_owned()) };
        person.insert(&db.db).await.unwrap();
    }
}

pub fn new_customer(name: &str) -> customer::ActiveModel {
    customer::ActiveModel {
        team_id: Set(tests::TEAM),
        name: Set(name.to_owned()),
        credit: Set(Some(1000)),
        balance: Set("1000.25".parse().unwrap()),
        born_in: Set(Some(1985)),
        status: Set(customer::Status::New),
        api_key: Set("s3cr3t-1".to_owned()),
        ..Default::default()
    }
}

pub fn new_rental(
    customer: impl Into<Option<i32>>,
    campaign: Option<&str>,
    film: &str,
) -> rental::ActiveModel {
    rental::ActiveModel {
        team_id: Set(tests::TEAM),
        customer_id: Set(customer.into()),
        campaign_id: Set(campaign.map(str::to_owned)),
        film: Set(film.to_owned()),
        returned: Set(None),
        ..Default::default()
    }
}
