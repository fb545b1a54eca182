mod post {
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "posts")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub author_id: i32,
        #[sea_orm(belongs_to, from = "author_id", to = "id")]
        pub author: HasOne<super::author::Entity>,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

mod author {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "authors")]
    #[tracked(team = context)]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        #[track]
        pub name: String,
        #[track]
        #[sea_orm(has_many)]
        pub posts: HasMany<super::post::Entity>,
    }
}

fn main() {}
