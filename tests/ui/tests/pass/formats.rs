//! The ways in which an entity can be written.

use events_sea_orm::{TeamSource, Tracked};

use crate::recorded;

mod compact {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "campaigns")]
    #[tracked(team = "team_id")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub team_id: i32,
        #[track]
        pub name: String,
        pub notes: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

#[test]
fn the_format_of_sea_orm_1() {
    let definition = compact::Model::definition();
    assert_eq!(recorded::<compact::Model>(), ["name"]);
    assert_eq!(definition.object_type(), "campaigns", "the table's name unless another is said");
    assert_eq!(definition.team(), TeamSource::Column("team_id"));
}

mod author {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "authors")]
    #[tracked(object_type = "author", team = context, all)]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub name: String,
        #[track(skip)]
        pub notes: String,
        #[track(redact)]
        pub token: String,
        #[sea_orm(has_many)]
        pub posts: HasMany<super::post::Entity>,
    }
}

mod post {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "posts")]
    #[tracked(object_type = "post", team = context)]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub author_id: i32,
        #[track(state)]
        pub status: String,
        #[sea_orm(belongs_to, from = "author_id", to = "id")]
        pub author: HasOne<super::author::Entity>,
    }
}

#[test]
fn the_format_of_sea_orm_2_with_relations() {
    assert_eq!(recorded::<author::Model>(), ["name", "token"]);
    assert!(author::Model::definition().fields()[1].is_redacted());
    assert_eq!(recorded::<post::Model>(), ["status"]);
    assert!(post::Model::definition().fields()[0].is_state());
}

mod dense {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[sea_orm::compact_model]
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "readers")]
    #[tracked(team = context)]
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
fn the_compact_model_of_sea_orm_2() {
    assert_eq!(recorded::<dense::Model>(), ["name"]);
}

/// Nothing but `Tracked` is derived from what stands on the model.
mod expanded {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Copy, Clone, Default, Debug, DeriveEntity)]
    pub struct Entity;

    impl EntityName for Entity {
        fn table_name(&self) -> &'static str {
            "labels"
        }
    }

    #[derive(Clone, Debug, PartialEq, DeriveModel, DeriveActiveModel, Tracked)]
    #[tracked(object_type = "label", team = context)]
    pub struct Model {
        pub id: i32,
        #[track]
        pub name: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveColumn)]
    pub enum Column {
        Id,
        Name,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DerivePrimaryKey)]
    pub enum PrimaryKey {
        Id,
    }

    impl PrimaryKeyTrait for PrimaryKey {
        type ValueType = i32;

        fn auto_increment() -> bool {
            true
        }
    }

    impl ColumnTrait for Column {
        type EntityName = Entity;

        fn def(&self) -> ColumnDef {
            match self {
                Self::Id => ColumnType::Integer.def(),
                Self::Name => ColumnType::String(StringLen::None).def(),
            }
        }
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

#[test]
fn the_expanded_format() {
    let definition = expanded::Model::definition();
    assert_eq!((definition.object_type(), definition.table()), ("label", "labels"));
    assert_eq!(recorded::<expanded::Model>(), ["name"]);
}

#[test]
fn an_entity_inside_a_function() {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "tags")]
    #[tracked(team = context, all)]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub name: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    assert_eq!(recorded::<Model>(), ["name"]);
}

macro_rules! entity {
    ($module:ident, $table:literal, $team:expr, $field:ident: $type:ty, $with:path) => {
        mod $module {
            use events_sea_orm::Tracked;
            use sea_orm::entity::prelude::*;

            #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
            #[sea_orm(table_name = $table)]
            #[tracked(object_type = $table, team = $team)]
            pub struct Model {
                #[sea_orm(primary_key)]
                pub id: i32,
                pub team_id: i32,
                #[track(with = $with)]
                pub $field: $type,
            }

            #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
            pub enum Relation {}
        }
    };
}

entity!(generated, "badges", "team_id", colour: String, crate::formats::length);

fn length(text: &str) -> usize {
    text.len()
}

#[test]
fn an_entity_that_a_macro_wrote() {
    let definition = generated::Model::definition();
    assert_eq!((definition.object_type(), definition.team()), ("badges", TeamSource::Column("team_id")));
    let badge = generated::Model { id: 1, team_id: 2, colour: "red".to_owned() };
    assert_eq!(badge.snapshot().unwrap()["colour"], 3);
}

#[test]
fn every_linked_model_is_registered_once() {
    let labels = events_sea_orm::registered().filter(|definition| definition.table() == "labels");
    assert_eq!(labels.count(), 1);
    let authors = events_sea_orm::registered().filter(|definition| definition.table() == "authors");
    assert_eq!(authors.count(), 1, "the struct beside `Model` is no model of its own");
}
