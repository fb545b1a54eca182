//! `#[tracked_behavior]`: hooks of the user's own.

use events_sea_orm::Refused;
use futures_util::FutureExt;
use sea_orm::{ActiveModelBehavior, ActiveModelTrait, DatabaseConnection, DbErr, IntoActiveModel, Set};

/// The four hooks and `new`, with the attributes in this order.
macro_rules! notes {
    ($module:ident, $table:literal, #[$first:meta] #[$second:meta]) => {
        mod $module {
            use events_sea_orm::{Tracked, tracked_behavior};
            use sea_orm::{Set, entity::prelude::*};

            #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
            #[sea_orm(table_name = $table)]
            #[tracked(team = context, behavior = "custom")]
            pub struct Model {
                #[sea_orm(primary_key, auto_increment = false)]
                pub id: i32,
                #[track]
                pub text: String,
            }

            #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
            pub enum Relation {}

            #[$first]
            #[$second]
            impl ActiveModelBehavior for ActiveModel {
                fn new() -> Self {
                    Self { id: Set(7), text: NotSet }
                }

                async fn before_save<C: ConnectionTrait>(
                    mut self,
                    _db: &C,
                    insert: bool,
                ) -> Result<Self, DbErr> {
                    self.text = Set(format!("saved, insert: {insert}"));
                    Ok(self)
                }

                async fn after_save<C>(mut model: Model, _db: &C, insert: bool) -> Result<Model, DbErr>
                where
                    C: ConnectionTrait,
                {
                    model.text = format!("was saved, insert: {insert}");
                    Ok(model)
                }

                async fn before_delete<C: ConnectionTrait>(mut self, _db: &C) -> Result<Self, DbErr> {
                    self.text = Set("goes".to_owned());
                    Ok(self)
                }

                async fn after_delete<C: ConnectionTrait>(mut self, _db: &C) -> Result<Self, DbErr> {
                    self.text = Set("went".to_owned());
                    Ok(self)
                }
            }

            use sea_orm::NotSet;
        }
    };
}

notes!(outside, "outside", #[tracked_behavior] #[async_trait::async_trait]);
notes!(inside, "inside", #[async_trait::async_trait] #[tracked_behavior]);

/// Connections on which nothing is stored: the library's hooks let these pass.
fn mock() -> DatabaseConnection {
    sea_orm::MockDatabase::new(sea_orm::DatabaseBackend::Sqlite).into_connection()
}

fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("nothing to wait for")
}

macro_rules! all_hooks_run {
    ($module:ident) => {{
        let new = <$module::ActiveModel as ActiveModelBehavior>::new();
        assert_eq!(new.id, Set(7));
        let saved = now(new.clone().before_save(&mock(), true)).unwrap();
        assert_eq!(saved.text, Set("saved, insert: true".to_owned()));
        let model = $module::Model { id: 7, text: String::new() };
        let model = now($module::ActiveModel::after_save(model, &mock(), false)).unwrap();
        assert_eq!(model.text, "was saved, insert: false");
        assert_eq!(now(new.clone().before_delete(&mock())).unwrap().text, Set("goes".to_owned()));
        assert_eq!(now(new.after_delete(&mock())).unwrap().text, Set("went".to_owned()));
    }};
}

#[test]
fn all_hooks_run_whichever_attribute_is_first() {
    all_hooks_run!(outside);
    all_hooks_run!(inside);
}

/// The library's own hook runs as well, after the user's: a connection without a context is refused.
#[test]
fn the_hooks_still_record() {
    let nowhere = DatabaseConnection::default();
    for refused in [
        now(outside::ActiveModel::new().before_save(&nowhere, true)).unwrap_err(),
        now(inside::ActiveModel::new().before_delete(&nowhere)).unwrap_err(),
        now(partial::ActiveModel::new().before_save(&nowhere, true)).unwrap_err(),
        now(empty::ActiveModel::new().before_delete(&nowhere)).unwrap_err(),
    ] {
        assert!(matches!(Refused::of(&refused), Some(Refused::NoContext { .. })), "{refused:?}");
    }
    let veto = partial::Model { id: 1, text: "veto".to_owned() }.into_active_model().reset_all();
    let vetoed = now(veto.before_save(&nowhere, false)).unwrap_err();
    assert_eq!(vetoed, DbErr::Custom("vetoed".to_owned()), "the user's hook is asked first");
}

/// One hook of five, without `async_trait`, and the trait named by a path.
mod partial {
    use events_sea_orm::{Tracked, tracked_behavior};
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "partial")]
    #[tracked(team = context, behavior = "custom")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        #[track]
        pub text: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    #[tracked_behavior]
    impl sea_orm::entity::ActiveModelBehavior for ActiveModel {
        async fn before_save<C: ConnectionTrait>(self, _db: &C, _insert: bool) -> Result<Self, DbErr> {
            if self.text.try_as_ref().is_some_and(|text| text == "veto") {
                return Err(DbErr::Custom("vetoed".to_owned()));
            }
            Ok(self)
        }
    }
}

/// No hook at all, and the impl beside the entity's module.
mod empty {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "empty")]
    #[tracked(team = context, behavior = "custom")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        #[track]
        pub text: String,
    }
}

#[events_sea_orm::tracked_behavior]
impl ActiveModelBehavior for empty::ActiveModel {}
