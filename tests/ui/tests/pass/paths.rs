//! `crate = path`: the library found elsewhere than at `::events_sea_orm`.

use events_sea_orm::Tracked;

use crate::recorded;

mod reexport {
    pub(crate) use events_sea_orm as events;
}

mod from_the_root {
    use sea_orm::entity::prelude::*;

    use crate::paths::reexport::events::{ConsumerError, Event, EventTransaction, Tracked, event_consumer};

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "from_the_root")]
    #[tracked(team = "team_id", crate = crate::paths::reexport::events)]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub team_id: i32,
        #[track(state)]
        pub name: String,
        #[track(with = str::len)]
        pub text: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    #[event_consumer(crate = crate::paths::reexport::events, on_error = "log", name = "found from the root")]
    async fn consumer(_txn: &EventTransaction, _event: &Event) -> Result<(), ConsumerError> {
        Ok(())
    }
}

mod from_beside {
    use sea_orm::entity::prelude::*;

    use super::reexport::events::{
        Consumer, ConsumerFuture, Event, EventConnection, Tracked, event_consumer, tracked_behavior,
    };

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "from_beside")]
    #[tracked(crate = super::reexport::events, team = context, all, behavior = "custom")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub name: String,
    }

    #[tracked_behavior(crate = super::reexport::events)]
    impl ActiveModelBehavior for ActiveModel {
        async fn before_save<C: ConnectionTrait>(self, _db: &C, _insert: bool) -> Result<Self, DbErr> {
            Ok(self)
        }
    }

    struct Beside;

    #[event_consumer(crate = super::reexport::events, delivery = "after_commit", name = "found beside")]
    impl Consumer<EventConnection> for Beside {
        fn handle<'a>(&'a self, _db: &'a EventConnection, _event: &'a Event) -> ConsumerFuture<'a> {
            Box::pin(async { Ok(()) })
        }
    }
}

/// As `package = ".."` in a manifest does.
mod renamed {
    extern crate events_sea_orm as journal;
    use journal::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "renamed")]
    #[tracked(team = context, crate = journal)]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        #[track]
        pub name: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

#[test]
fn the_library_is_found_where_the_model_says() {
    assert_eq!(recorded::<from_the_root::Model>(), ["name", "text"]);
    assert_eq!(recorded::<from_beside::Model>(), ["name"]);
    assert_eq!(recorded::<renamed::Model>(), ["name"]);
    assert_eq!(from_beside::Model::definition().table(), "from_beside");
}
