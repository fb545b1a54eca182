//! Names beside a model that mean something else than they do elsewhere: the output of the macros must not see them.
//!
//! SeaORM's own derives do, so they stand in a module of their own; what is under test stands in `scope`.

use events_sea_orm::Tracked;
use sea_orm::{ActiveModelBehavior, Set};

mod entity {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "hostile")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i32,
        pub team_id: i32,
        pub name: String,
        pub size: i32,
        pub stage: i32,
        pub gone: bool,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    /// The hooks ask for it; what the derive writes is in `scope`.
    impl events_sea_orm::Tracked for Model {
        fn definition() -> &'static events_sea_orm::Definition {
            super::scope::Model::definition()
        }
    }
}

mod scope {
    use ::events_sea_orm::{Tracked, event_consumer, tracked_behavior};

    use super::entity::{ActiveModel, Column, Entity};

    #[derive(Clone, Debug, Tracked)]
    #[tracked(object_type = "hostile entity", team = "team_id", behavior = "custom", soft_delete = "gone")]
    pub struct Model {
        pub id: i32,
        pub team_id: i32,
        #[track(state, rename = "Some")]
        pub name: ::std::string::String,
        #[track(with = Unit::of)]
        pub size: Unit,
        #[track(state, transitions(None => [Some], Some => [None]), enforce)]
        pub stage: Stage,
        pub gone: bool,
    }

    #[derive(Clone, Copy, Debug)]
    pub enum Stage {
        None,
        Some,
    }

    impl ::core::convert::From<Stage> for ::sea_orm::Value {
        fn from(stage: Stage) -> Self {
            <Self as ::core::convert::From<i32>>::from(stage as i32)
        }
    }

    #[tracked_behavior]
    impl ::sea_orm::ActiveModelBehavior for ActiveModel {
        fn new() -> Self {
            Self { id: ::sea_orm::Set(3), ..::sea_orm::ActiveModelTrait::default() }
        }

        async fn before_save<C: ::sea_orm::ConnectionTrait>(
            self,
            _db: &C,
            _insert: bool,
        ) -> ::core::result::Result<Self, ::sea_orm::DbErr> {
            ::core::result::Result::Ok(self)
        }

        async fn after_delete<C: ::sea_orm::ConnectionTrait>(
            self,
            _db: &C,
        ) -> ::core::result::Result<Self, ::sea_orm::DbErr> {
            ::core::result::Result::Ok(self)
        }
    }

    #[event_consumer(
        name = "hostile",
        delivery = "after_commit",
        on(Created, custom("a")),
        object = super::entity::Entity,
        order = 1,
        time_budget_ms = 1
    )]
    async fn consumer(
        _db: &::events_sea_orm::EventConnection,
        _event: &::events_sea_orm::Event,
    ) -> ::core::result::Result<(), ::events_sea_orm::ConsumerError> {
        ::core::result::Result::Ok(())
    }

    #[event_consumer(name = "hostile type", on_error = "log")]
    impl ::events_sea_orm::Consumer for Unit {
        fn handle<'a>(
            &'a self,
            _txn: &'a ::events_sea_orm::EventTransaction,
            _event: &'a ::events_sea_orm::Event,
        ) -> ::events_sea_orm::ConsumerFuture<'a> {
            ::std::boxed::Box::pin(async { ::core::result::Result::Ok(()) })
        }
    }

    #[derive(Clone, Copy, Debug)]
    pub struct Unit;

    impl ::sea_orm::TryGetable for Unit {
        fn try_get_by<I: ::sea_orm::ColIdx>(
            _: &::sea_orm::QueryResult,
            _: I,
        ) -> ::core::result::Result<Self, ::sea_orm::TryGetError> {
            ::core::result::Result::Ok(Self)
        }
    }

    impl Unit {
        fn of(&self) -> u8 {
            12
        }
    }

    // None of these is used: they are here to be mistaken for others.
    mod shadows {
        #![allow(dead_code, unused_imports, unused_macros)]
        pub mod std {}
        pub mod core {}
        pub mod alloc {}
        pub mod sea_orm {}
        pub mod events_sea_orm {}
        pub mod inventory {}
        pub struct Vec;
        pub struct Box;
        pub struct Pin;
        pub struct String;
        pub struct String_;
        pub struct Value;
        pub struct Field;
        pub struct Definition;
        pub struct Subject;
        pub struct TeamSource;
        pub struct LazyLock;
        pub struct Duration;
        pub struct Subscription;
        pub struct RegisteredConsumer;
        pub struct EventType;
        pub struct OnError;
        pub type Result = ();
        pub enum Option {
            Some,
            None,
        }
        pub fn drop() {}
        macro_rules! vec {
            ($($tokens:tt)*) => {
                compile_error!("the wrong vec!")
            };
        }
        pub(crate) use vec;

        pub trait From {}
        pub trait Future {}
        pub trait Into {}
        pub trait ModelTrait {}
        pub trait EntityTrait {}
        pub trait ConnectionTrait {}

        /// Methods of the names that the output calls, on everything.
        pub trait Everything: Sized {
            fn definition(&self) {}
            fn with(self) {}
            fn field(&self) {}
            fn in_thread(self) {}
            fn get(&self) {}
            fn renamed(self) {}
            fn state(self) {}
            fn redacted(self) {}
            fn transitions(self) {}
            fn enforced(self) {}
            fn soft_deleted_by(self) {}
            fn state_value(self) {}
            fn custom_value(self) {}
            fn into(self) {}
            fn pin(self) {}
            fn named(self) {}
            fn on(self) {}
            fn on_custom(self) {}
            fn object(self) {}
            fn order(self) {}
            fn on_error(self) {}
            fn time_budget(self) {}
        }
        impl<T> Everything for T {}
    }
    #[allow(unused_imports)]
    use shadows::*;
}

impl sea_orm::ModelTrait for scope::Model {
    type Entity = entity::Entity;

    fn get(&self, column: entity::Column) -> sea_orm::Value {
        match column {
            entity::Column::Id => self.id.into(),
            entity::Column::TeamId => self.team_id.into(),
            entity::Column::Name => self.name.clone().into(),
            entity::Column::Size => 0.into(),
            entity::Column::Stage => self.stage.into(),
            entity::Column::Gone => self.gone.into(),
        }
    }

    fn get_value_type(_column: entity::Column) -> sea_orm::sea_query::ArrayType {
        sea_orm::sea_query::ArrayType::Int
    }

    fn try_set(&mut self, _column: entity::Column, _value: sea_orm::Value) -> Result<(), sea_orm::DbErr> {
        Ok(())
    }
}

impl sea_orm::FromQueryResult for scope::Model {
    fn from_query_result(_row: &sea_orm::QueryResult, _prefix: &str) -> Result<Self, sea_orm::DbErr> {
        Err(sea_orm::DbErr::Custom("never read".to_owned()))
    }
}

#[test]
fn the_output_means_what_it_says() {
    let model = scope::Model {
        id: 1,
        team_id: 2,
        name: "n".to_owned(),
        size: scope::Unit,
        stage: scope::Stage::Some,
        gone: true,
    };
    assert_eq!(events_sea_orm::Subject::from(&model).team.as_deref(), Some("2"));
    assert_eq!(
        serde_json::to_value(model.snapshot().unwrap()).unwrap(),
        serde_json::json!({ "Some": "n", "size": 12, "stage": 1 })
    );
    assert_eq!(scope::Model::definition().soft_delete(), Some("gone"));
    assert!(scope::Model::definition().fields()[2].is_enforced());
    assert_eq!(<entity::ActiveModel as ActiveModelBehavior>::new().id, Set(3));
}

/// SeaORM's own derives cope with these.
mod beside {
    use ::events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "beside")]
    #[tracked(team = context, all)]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub name: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    mod core {}
    mod alloc {}
    mod events_sea_orm {}
    struct Vec;
    struct Box;
    struct Pin;
    struct LazyLock;

    #[test]
    fn they_are_other_things() {
        let _ = (Vec, Box, Pin, LazyLock);
        assert_eq!(crate::recorded::<Model>(), ["name"]);
    }
}
