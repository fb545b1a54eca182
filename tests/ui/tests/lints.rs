//! The output of the macros passes the strictest lints: that this compiles, under clippy too, is the test.
#![forbid(unsafe_code)]
#![deny(
    warnings,
    clippy::pedantic,
    clippy::nursery,
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    unused_qualifications,
    single_use_lifetimes,
    let_underscore_drop,
    trivial_casts,
    variant_size_differences,
    clippy::used_underscore_items
)]

/// The format of `SeaORM` 1.
pub mod campaign {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    /// A campaign.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "campaigns")]
    #[tracked(object_type = "campaign", team = "team_id", soft_delete = "deleted_at")]
    pub struct Model {
        /// Its key.
        #[sea_orm(primary_key)]
        pub id: i32,
        /// Whose it is.
        pub team_id: i32,
        /// What it is called.
        #[track]
        pub name: String,
        /// Where it stands.
        #[track(state, rename = "stage")]
        pub status: String,
        /// Whether it may be.
        #[track(state, transitions(Asked => [Given, Denied], Denied => [Asked]), enforce)]
        pub approval: Option<Approval>,
        /// Since when it counts as gone.
        pub deleted_at: Option<DateTimeUtc>,
        /// The way in.
        #[track(redact)]
        pub api_key: String,
        /// How it was described.
        #[track(with = length)]
        pub text: String,
    }

    /// None.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    /// What was said of it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
    #[sea_orm(rs_type = "i32", db_type = "Integer")]
    pub enum Approval {
        /// Nothing yet.
        #[sea_orm(num_value = 0)]
        Asked,
        /// Yes.
        #[sea_orm(num_value = 1)]
        Given,
        /// No.
        #[sea_orm(num_value = 2)]
        Denied,
    }

    const fn length(text: &str) -> usize {
        text.len()
    }
}

/// The format of `SeaORM` 2.
pub mod author {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    /// An author.
    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "authors")]
    #[tracked(team = context, all)]
    pub struct Model {
        /// Their key.
        #[sea_orm(primary_key)]
        pub id: i32,
        /// Their name.
        #[track(rename = "called")]
        pub name: String,
        /// What nobody needs to know.
        #[track(skip)]
        pub notes: String,
        /// What they wrote.
        #[sea_orm(has_many)]
        pub posts: HasMany<super::post::Entity>,
    }
}

/// Hooks of its own.
pub mod post {
    use events_sea_orm::{Tracked, tracked_behavior};
    use sea_orm::{Set, entity::prelude::*};

    /// A post.
    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "posts")]
    #[tracked(team = context, behavior = "custom")]
    pub struct Model {
        /// Its key.
        #[sea_orm(primary_key)]
        pub id: i32,
        /// Who wrote it.
        pub author_id: i32,
        /// What it says.
        #[track]
        pub text: String,
        /// Who wrote it.
        #[sea_orm(belongs_to, from = "author_id", to = "id")]
        pub author: HasOne<super::author::Entity>,
    }

    #[tracked_behavior]
    #[async_trait::async_trait]
    impl ActiveModelBehavior for ActiveModel {
        fn new() -> Self {
            Self { text: Set(String::new()), ..ActiveModelTrait::default() }
        }

        async fn before_save<C: ConnectionTrait>(mut self, _db: &C, _insert: bool) -> Result<Self, DbErr> {
            self.text = Set("text".to_owned());
            Ok(self)
        }

        async fn after_save<C: ConnectionTrait>(
            model: Model,
            _db: &C,
            _insert: bool,
        ) -> Result<Model, DbErr> {
            Ok(model)
        }

        async fn before_delete<C: ConnectionTrait>(self, _db: &C) -> Result<Self, DbErr> {
            Ok(self)
        }

        async fn after_delete<C: ConnectionTrait>(self, _db: &C) -> Result<Self, DbErr> {
            Ok(self)
        }
    }
}

/// Hooks without `async_trait`.
pub mod note {
    use events_sea_orm::{Tracked, tracked_behavior};
    use sea_orm::entity::prelude::*;

    /// A note.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "notes")]
    #[tracked(team = context, behavior = "custom", all)]
    pub struct Model {
        /// Its key.
        #[sea_orm(primary_key)]
        pub id: i32,
        /// What it says.
        pub text: String,
    }

    /// None.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    #[tracked_behavior]
    impl ActiveModelBehavior for ActiveModel {
        async fn before_save<C: ConnectionTrait>(self, db: &C, _insert: bool) -> Result<Self, DbErr> {
            db.execute_unprepared("SELECT 1").await?;
            Ok(self)
        }
    }
}

/// What acts on events.
pub mod consumers {
    use events_sea_orm::{
        Consumer, ConsumerError, ConsumerFuture, Event, EventConnection, EventTransaction, event_consumer,
    };
    use sea_orm::EntityTrait;

    use super::campaign;

    #[event_consumer(
        on(Created, StateChanged, custom("launched")),
        object(campaign::Entity, super::author::Entity),
        name = "told",
        order = -10,
        on_error = "log",
        time_budget_ms = 60_000
    )]
    async fn tell(_txn: &EventTransaction, event: &Event) -> Result<(), ConsumerError> {
        if event.event_type.as_str() == "launched" {
            return Err("not today".into());
        }
        Ok(())
    }

    /// Nothing else calls it either.
    ///
    /// # Errors
    /// What the database answers.
    #[event_consumer(delivery = "after_commit")]
    pub async fn index(db: &EventConnection, event: &Event) -> Result<(), ConsumerError> {
        let campaign = campaign::Entity::find_by_id(1).one(db).await?;
        let name = campaign.map(|campaign| campaign.name);
        println!("{name:?}: {}", event.event_type);
        Ok(())
    }

    struct Search;

    #[event_consumer(delivery = "after_commit", object = campaign::Entity)]
    impl Consumer<EventConnection> for Search {
        fn handle<'a>(&'a self, _db: &'a EventConnection, _event: &'a Event) -> ConsumerFuture<'a> {
            Box::pin(async { Ok(()) })
        }
    }
}

#[cfg(test)]
mod tests {
    use events_sea_orm::Tracked;

    #[test]
    fn the_models_are_tracked() {
        let fields = |definition: &events_sea_orm::Definition| definition.fields().len();
        assert_eq!(fields(super::campaign::Model::definition()), 5);
        assert_eq!(fields(super::author::Model::definition()), 1);
        assert_eq!(fields(super::post::Model::definition()), 1);
        assert_eq!(fields(super::note::Model::definition()), 1);
    }

    #[test]
    fn the_consumers_are_registered() {
        use futures_util::FutureExt as _;

        let pool = sea_orm::MockDatabase::new(sea_orm::DbBackend::Sqlite).into_connection();
        let events = events_sea_orm::Events::builder(pool).build().now_or_never().unwrap().unwrap();
        let mut names: Vec<_> = events.consumer_stats().iter().map(|stats| stats.name.to_string()).collect();
        names.sort_unstable();
        assert_eq!(names, ["Search", "index", "told"]);
    }
}
