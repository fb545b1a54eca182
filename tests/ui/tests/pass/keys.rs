//! Primary keys of every kind, as they stand in `object_id`.

use events_sea_orm::{ObjectRef, Tracked};
use sea_orm::prelude::Uuid;

/// An entity whose key has these fields.
macro_rules! keyed {
    ($module:ident { $($(#[$key:meta])* $field:ident: $type:ty),* }) => {
        mod $module {
            use events_sea_orm::Tracked;
            #[allow(unused_imports)]
            use sea_orm::entity::prelude::*;

            #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
            #[sea_orm(table_name = "keyed")]
            #[tracked(object_type = "keyed", team = context)]
            pub struct Model {
                $(#[sea_orm(primary_key)] $(#[$key])* pub $field: $type,)*
                #[track]
                pub name: String,
            }

            #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
            pub enum Relation {}
        }
    };
}

keyed!(integer { id: i64 });
keyed!(uuid {
    #[sea_orm(auto_increment = false)]
    id: Uuid
});
keyed!(text {
    #[sea_orm(auto_increment = false)]
    code: String
});
keyed!(pair {
    item: i32,
    #[sea_orm(column_name = "language")]
    lang: String
});
keyed!(triple { a: i32, b: Uuid, c: String });
keyed!(newtype {
    #[sea_orm(auto_increment = false)]
    id: super::PostId
});

#[derive(Clone, Debug, PartialEq, Eq, sea_orm::DeriveValueType)]
pub struct PostId(pub i32);

#[track_caller]
fn check<M: Tracked>(model: &M, columns: &[&str], id: &str) {
    assert_eq!(M::definition().key_columns(), columns);
    assert_eq!(model.object(), ObjectRef::new("keyed", id));
}

#[test]
fn keys_of_one_and_of_several_columns() {
    let name = String::new;
    let nil = Uuid::nil();
    check(&integer::Model { id: 5, name: name() }, &["id"], "5");
    check(&uuid::Model { id: nil, name: name() }, &["id"], "00000000-0000-0000-0000-000000000000");
    check(&text::Model { code: "DE".to_owned(), name: name() }, &["code"], "DE");
    check(&newtype::Model { id: PostId(4), name: name() }, &["id"], "4");
    let pair = pair::Model { item: 1, lang: "de".to_owned(), name: name() };
    check(&pair, &["item", "language"], r#"[1,"de"]"#);
    let triple = triple::Model { a: 1, b: nil, c: "c".to_owned(), name: name() };
    check(&triple, &["a", "b", "c"], r#"[1,"00000000-0000-0000-0000-000000000000","c"]"#);
}
