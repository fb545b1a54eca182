//! One of everything that SeaORM relates, all of it tracked.

/// Refers to an agent or to none, has one profile, has many books, follows others.
pub mod author {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "authors")]
    #[tracked(object_type = "author", team = context)]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        #[track]
        #[sea_orm(unique)]
        pub name: String,
        #[track]
        pub agent_id: Option<i32>,
        #[sea_orm(belongs_to, from = "agent_id", to = "id")]
        pub agent: BelongsTo<Option<super::agent::Entity>>,
        #[sea_orm(has_one)]
        pub profile: HasOne<super::profile::Entity>,
        #[sea_orm(has_many)]
        pub books: HasMany<super::book::Entity>,
        #[sea_orm(self_ref, via = "follow", from = "Author", to = "Follower")]
        pub followers: HasMany<Entity>,
        #[sea_orm(self_ref, via = "follow", reverse)]
        pub following: HasMany<Entity>,
    }
}

pub mod agent {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "agents")]
    #[tracked(object_type = "agent", team = context)]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        #[track]
        pub name: String,
        #[sea_orm(has_many)]
        pub authors: HasMany<super::author::Entity>,
    }
}

/// Cannot be without its author.
pub mod profile {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "profiles")]
    #[tracked(object_type = "profile", team = context)]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        #[track]
        pub picture: String,
        #[sea_orm(unique)]
        pub author_id: i32,
        #[sea_orm(belongs_to, from = "author_id", to = "id")]
        pub author: BelongsTo<super::author::Entity>,
    }
}

/// Can be without its author.
pub mod book {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "books")]
    #[tracked(object_type = "book", team = context)]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        #[track]
        pub title: String,
        #[track]
        pub author_id: Option<i32>,
        #[sea_orm(belongs_to, from = "author_id", to = "id")]
        pub author: BelongsTo<Option<super::author::Entity>>,
    }
}

/// Who follows whom. Its key names both ends.
pub mod follow {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "follows")]
    #[tracked(object_type = "follow", team = context)]
    pub struct Model {
        #[track]
        #[sea_orm(primary_key, auto_increment = false)]
        pub author_id: i32,
        #[track]
        #[sea_orm(primary_key, auto_increment = false)]
        pub follower_id: i32,
        #[sea_orm(belongs_to, from = "author_id", to = "id")]
        pub author: BelongsTo<super::author::Entity>,
        #[sea_orm(belongs_to, relation_enum = "Follower", from = "follower_id", to = "id")]
        pub follower: BelongsTo<super::author::Entity>,
    }
}

/// Has shelves by a junction that tracks both ends, and desks by one that tracks neither.
pub mod reader {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "readers")]
    #[tracked(object_type = "reader", team = context)]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        #[track]
        pub name: String,
        #[sea_orm(has_many, via = "shelf_card")]
        pub shelves: HasMany<super::shelf::Entity>,
        #[sea_orm(has_many, via = "desk_card")]
        pub desks: HasMany<super::desk::Entity>,
    }
}

pub mod shelf {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "shelves")]
    #[tracked(object_type = "shelf", team = context)]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        #[track]
        pub name: String,
        #[sea_orm(has_many, via = "shelf_card")]
        pub readers: HasMany<super::reader::Entity>,
    }
}

pub mod desk {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "desks")]
    #[tracked(object_type = "desk", team = context)]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        #[track]
        pub name: String,
        #[sea_orm(has_many, via = "desk_card")]
        pub readers: HasMany<super::reader::Entity>,
    }
}

/// A junction with a key of its own, which names neither end; the tracked columns do.
pub mod shelf_card {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "shelf_cards")]
    #[tracked(object_type = "shelf_card", team = context)]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        #[track]
        pub reader_id: i32,
        #[track]
        pub shelf_id: i32,
        #[sea_orm(belongs_to, from = "reader_id", to = "id")]
        pub reader: BelongsTo<super::reader::Entity>,
        #[sea_orm(belongs_to, from = "shelf_id", to = "id")]
        pub shelf: BelongsTo<super::shelf::Entity>,
    }
}

/// As before, without `#[track]` on the two columns.
pub mod desk_card {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "desk_cards")]
    #[tracked(object_type = "desk_card", team = context)]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub reader_id: i32,
        pub desk_id: i32,
        #[track]
        pub note: Option<String>,
        #[sea_orm(belongs_to, from = "reader_id", to = "id")]
        pub reader: BelongsTo<super::reader::Entity>,
        #[sea_orm(belongs_to, from = "desk_id", to = "id")]
        pub desk: BelongsTo<super::desk::Entity>,
    }
}

/// A row that can be inserted with nothing set.
pub mod tick {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "ticks")]
    #[tracked(object_type = "tick", team = context)]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        #[track]
        pub label: Option<String>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}
