mod tag {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "tags")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub name: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

fn name_of<M: events_sea_orm::Tracked>(_model: &M) -> &'static str {
    M::definition().object_type()
}

pub fn main() {
    name_of(&tag::Model { id: 1, name: "red".to_owned() });
}
