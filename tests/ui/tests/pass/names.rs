//! Fields and columns whose names are hard to take.

use events_sea_orm::{TeamSource, Tracked};
use sea_orm::{IdenStatic, Iterable};

use crate::{columns, recorded};

#[allow(non_snake_case, reason = "`a__b` is what is tested")]
mod words {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "words")]
    #[tracked(team = "abstract", all)]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub r#abstract: i32,
        pub r#type: String,
        pub r#match: String,
        pub self_: String,
        pub crate_: String,
        pub value: String,
        pub values: String,
        pub definition: String,
        pub fields: String,
        pub model: String,
        pub active: String,
        pub db: String,
        pub insert: String,
        pub key: String,
        pub column: String,
        pub team: String,
        pub result: String,
        pub address_1: String,
        pub a__b: String,
        pub url2: String,
        pub some: String,
        pub none: String,
        pub ok: String,
        pub table: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

#[test]
fn fields_called_like_what_the_output_uses() {
    let mut expected: Vec<_> = words::Column::iter().map(|column| column.as_str()).collect();
    expected.retain(|column| !["id", "abstract"].contains(column));
    assert_eq!(recorded::<words::Model>(), expected);
    assert_eq!(words::Model::definition().team(), TeamSource::Column("abstract"));
}

mod columns_of_other_names {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "others", rename_all = "camelCase")]
    #[tracked(team = "teamId")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub team_id: i32,
        #[track]
        pub short_name: String,
        #[sea_orm(column_name = "the budget", column_type = "Integer", default_value = 5)]
        #[track]
        pub budget: i32,
        #[sea_orm(enum_name = "Kind")]
        #[track]
        pub r#type: String,
        #[sea_orm(enum_name = "Of")]
        #[track(rename = "parent")]
        pub r#in: String,
        #[sea_orm(unique, indexed, comment = "who")]
        #[sea_orm(column_name = "boss")]
        #[track(rename = "shortName of the boss")]
        pub manager: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

#[test]
fn a_column_is_named_as_sea_orm_names_it() {
    use columns_of_other_names::{Column, Model};
    let mut expected: Vec<_> = Column::iter().map(|column| column.as_str()).collect();
    assert_eq!(expected, ["id", "teamId", "shortName", "the budget", "type", "in", "boss"]);
    expected.retain(|column| !["id", "teamId"].contains(column));
    assert_eq!(columns::<Model>(), expected);
    assert_eq!(recorded::<Model>(), ["shortName", "the budget", "type", "parent", "shortName of the boss"]);
    assert_eq!(Model::definition().team(), TeamSource::Column("teamId"), "a team may be named by its column");
}
