//! The tracked entities of the tests.

pub mod tenant {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "tenants")]
    #[tracked(object_type = "tenant", team = "id")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        #[track]
        pub name: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

pub mod campaign {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "campaigns")]
    #[tracked(object_type = "campaign", team = "team_id")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub team_id: Option<i32>,
        #[track]
        pub name: String,
        #[track(state)]
        pub status: Status,
        #[track]
        pub budget: i64,
        #[track(redact)]
        #[sea_orm(unique)]
        pub api_key: String,
        pub notes: Option<String>,
    }

    #[derive(Clone, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
    #[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))", rename_all = "snake_case")]
    pub enum Status {
        Draft,
        Live,
        Archived,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

/// A composite key, the new entity format, raw identifiers and renamed columns.
pub mod price {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "prices")]
    #[tracked(object_type = "price", team = context, all)]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub item: i32,
        #[sea_orm(primary_key, auto_increment = false)]
        pub lang: String,
        pub r#type: String,
        #[sea_orm(column_name = "cents_value")]
        pub cents: i64,
        #[track(skip)]
        pub internal: Option<String>,
    }
}

/// Hooks of the user's own.
pub mod note {
    use events_sea_orm::{Tracked, tracked_behavior};
    use sea_orm::{Set, entity::prelude::*};

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "notes")]
    #[tracked(object_type = "note", team = context, behavior = "custom")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        #[track]
        pub text: String,
        #[track]
        pub length: i32,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    #[tracked_behavior]
    #[async_trait::async_trait]
    impl ActiveModelBehavior for ActiveModel {
        fn new() -> Self {
            Self { id: Set(Uuid::new_v4()), ..ActiveModelTrait::default() }
        }

        async fn before_save<C: ConnectionTrait>(mut self, _db: &C, _insert: bool) -> Result<Self, DbErr> {
            if let Some(text) = self.text.try_as_ref() {
                if text == "veto" {
                    return Err(DbErr::Custom("vetoed".to_owned()));
                }
                self.length = Set(text.len() as i32);
            }
            Ok(self)
        }

        async fn after_save<C: ConnectionTrait>(
            model: Model,
            _db: &C,
            _insert: bool,
        ) -> Result<Model, DbErr> {
            if model.text == "after" {
                return Err(DbErr::Custom("after-hook failed".to_owned()));
            }
            Ok(model)
        }
    }
}

/// A parent in the new format, with rows of another tracked entity under it.
pub mod project {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "projects")]
    #[tracked(object_type = "project", team = "team_id")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub team_id: i32,
        #[track]
        pub name: String,
        #[sea_orm(has_many)]
        pub tasks: HasMany<super::task::Entity>,
        #[sea_orm(has_many, via = "project_label")]
        pub labels: HasMany<super::label::Entity>,
    }
}

/// What projects have many of, and the other way round.
pub mod label {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "labels")]
    #[tracked(object_type = "label", team = context)]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        #[track]
        pub name: String,
        #[sea_orm(has_many, via = "project_label")]
        pub projects: HasMany<super::project::Entity>,
    }
}

/// The junction table between them. Its hooks write rows of their own, and refuse the label of number 666.
pub mod project_label {
    use events_sea_orm::{Tracked, tracked_behavior};
    use sea_orm::{Set, entity::prelude::*};

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "project_labels")]
    #[tracked(object_type = "project_label", team = context, behavior = "custom")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        #[track]
        pub project_id: i32,
        #[sea_orm(primary_key, auto_increment = false)]
        #[track]
        pub label_id: i32,
        #[sea_orm(belongs_to, from = "project_id", to = "id")]
        pub project: BelongsTo<super::project::Entity>,
        #[sea_orm(belongs_to, from = "label_id", to = "id")]
        pub label: BelongsTo<super::label::Entity>,
    }

    #[tracked_behavior]
    #[async_trait::async_trait]
    impl ActiveModelBehavior for ActiveModel {
        async fn before_save<C: ConnectionTrait>(self, db: &C, _insert: bool) -> Result<Self, DbErr> {
            if self.label_id.try_as_ref() == Some(&666) {
                return Err(DbErr::Custom("no such label".to_owned()));
            }
            visit(db).await?;
            Ok(self)
        }

        async fn before_delete<C: ConnectionTrait>(self, db: &C) -> Result<Self, DbErr> {
            visit(db).await?;
            Ok(self)
        }
    }

    async fn visit<C: ConnectionTrait>(db: &C) -> Result<(), DbErr> {
        super::visit::ActiveModel { what: Set("link".to_owned()), ..Default::default() }.insert(db).await?;
        Ok(())
    }
}

/// Not tracked.
pub mod visit {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "visits")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub what: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A tree whose hook also touches the row above.
pub mod folder {
    use events_sea_orm::{Tracked, tracked_behavior};
    use sea_orm::{IntoActiveModel, Set, entity::prelude::*};

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "folders")]
    #[tracked(object_type = "folder", team = context, behavior = "custom")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub parent: Option<i32>,
        #[track]
        pub name: Option<String>,
        #[track]
        pub touched: i32,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    #[tracked_behavior]
    #[async_trait::async_trait]
    impl ActiveModelBehavior for ActiveModel {
        async fn before_save<C: ConnectionTrait>(self, db: &C, _insert: bool) -> Result<Self, DbErr> {
            if let Some(Some(parent)) = self.parent.try_as_ref()
                && let Some(parent) = Entity::find_by_id(*parent).one(db).await?
            {
                let touched = parent.touched + 1;
                let mut parent = parent.into_active_model();
                parent.touched = Set(touched);
                parent.update(db).await?;
            }
            Ok(self)
        }
    }
}

/// Its child, in the compact format.
pub mod task {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[sea_orm::compact_model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "tasks")]
    #[tracked(object_type = "task", team = context)]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        #[track]
        pub project_id: i32,
        #[track]
        pub title: String,
        pub project: BelongsTo<super::project::Entity>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {
        #[sea_orm(
            belongs_to = "super::project::Entity",
            from = "Column::ProjectId",
            to = "super::project::Column::Id"
        )]
        Project,
    }

    impl Related<super::project::Entity> for Entity {
        fn to() -> RelationDef {
            Relation::Project.def()
        }
    }
}

/// Rows that are marked as deleted by a time, which is not tracked itself, and go on only as their states are declared.
pub mod order {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "orders")]
    #[tracked(object_type = "order", team = "team_id", soft_delete = "deleted_at")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub team_id: i32,
        #[track]
        pub name: String,
        #[track(state, transitions(Open => [Paid, Dropped], Paid => [Sent]), enforce)]
        pub status: Status,
        #[track(state, transitions(Asked => [Given, Denied], Denied => [Asked]))]
        pub approval: Option<Approval>,
        #[track(redact)]
        pub card: String,
        #[sea_orm(column_name = "deleted_at")]
        pub gone: Option<DateTimeUtc>,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
    #[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))", rename_all = "snake_case")]
    pub enum Status {
        Open,
        Paid,
        Sent,
        Dropped,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
    #[sea_orm(rs_type = "i32", db_type = "Integer")]
    pub enum Approval {
        #[sea_orm(num_value = 0)]
        Asked,
        #[sea_orm(num_value = 1)]
        Given,
        #[sea_orm(num_value = 2)]
        Denied,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

/// Rows that are marked as deleted by a bool, in the new entity format.
pub mod document {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "documents")]
    #[tracked(object_type = "document", team = context, all, soft_delete = "removed")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub title: String,
        #[track(skip)]
        pub removed: Option<bool>,
    }
}

/// Rows that are marked as deleted by a tracked time of another crate.
pub mod page {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "pages")]
    #[tracked(object_type = "page", team = context, all, soft_delete = "hidden_at")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub title: String,
        #[track(rename = "hidden")]
        pub hidden_at: Option<TimeDateTimeWithTimeZone>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}
