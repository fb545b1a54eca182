//! Tables that nobody thought of: names, keys, triggers, and what a database does to a row on its own.

use std::{panic::AssertUnwindSafe, sync::Arc};

use events_sea_orm::{ActiveModelEvents, CommitError, EntityEvents, EventConnection, Events, Refused};
use futures_util::FutureExt;
use sea_orm::{
    ActiveModelTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, IntoActiveModel, Iterable, ModelTrait,
    PaginatorTrait, PrimaryKeyToColumn, Schema, Set, TransactionTrait, Unchanged, sea_query::OnConflict,
};
use serde_json::{Value as Json, json};
use tests::{TestDb, context, refusal, types};

tests::conformance! {
    odd_names_are_quoted,
    key_is_what_the_database_holds,
    keys_go_to_their_limits,
    children_are_let_go_by_the_database,
    row_that_a_trigger_changes_is_recorded_as_it_became,
    links_with_a_key_of_their_own,
    panic_while_a_value_is_recorded_refuses_the_unit,
    hook_that_fails_after_it_saved_refuses_the_unit,
    key_of_many_types,
}

mod sqlite_only {
    #[test]
    fn row_that_the_table_replaces_goes_unseen() {
        tests::run("row_that_the_table_replaces_goes_unseen", None, super::row_that_the_table_replaces);
    }
}

mod postgres_only {
    macro_rules! on_postgres {
        ($($case:ident),* $(,)?) => {
            $(#[test] fn $case() { tests::run(stringify!($case), Some("POSTGRES_URL"), super::$case); })*
        };
    }

    on_postgres! {
        row_that_a_trigger_holds_back_leaves_no_event,
        key_that_a_trigger_changes_refuses_the_unit,
        text_without_case_is_one_key,
        row_moves_between_partitions,
        tables_of_one_name_in_two_schemas,
        view_is_saved_like_a_table,
        connection_that_the_server_ends_commits_nothing,
    }
}

/// Names that must be quoted, and those that the library's own statements could mistake for theirs.
mod odd {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "Odd table's \"name`")]
    #[tracked(all, object_type = "odd", team = context)]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false, column_name = "Key")]
        pub id: String,
        pub old: i32,
        pub seq: i32,
        pub excluded: i32,
        pub new: i32,
        pub select: i32,
        #[sea_orm(column_name = "größe \"x` '")]
        pub size: i32,
        pub value: i32,
        #[sea_orm(column_name = "__old_value")]
        pub old_value: i32,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

/// A key of text.
mod page {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "leaves")]
    #[tracked(object_type = "leaf", team = context)]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub slug: String,
        #[track]
        pub title: String,
        pub views: i32,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

/// As `leaves`, where PostgreSQL compares without case.
mod article {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "articles")]
    #[tracked(object_type = "article", team = "team")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false, select_as = "text", save_as = "citext")]
        pub slug: String,
        #[sea_orm(select_as = "text", save_as = "citext")]
        pub team: String,
        #[track]
        #[sea_orm(select_as = "text", save_as = "citext")]
        pub title: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

/// A number of 64 bits as the key, and a row that refers to another of its kind.
mod node {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "nodes")]
    #[tracked(object_type = "node", team = context)]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i64,
        #[track]
        pub parent: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

/// Two tables of one name, in two schemas.
mod stock {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(schema_name = "stock", table_name = "items")]
    #[tracked(object_type = "stock_item", team = context)]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i32,
        #[track]
        pub count: i32,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

mod billing {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(schema_name = "billing", table_name = "items")]
    #[tracked(object_type = "billed_item", team = context)]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i32,
        #[track]
        pub count: i32,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

/// Two tables and a junction with a key of its own.
mod person {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "people")]
    #[tracked(object_type = "person", team = context)]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        #[track]
        pub name: String,
        #[sea_orm(has_many, via = "membership")]
        pub clubs: HasMany<super::club::Entity>,
    }
}

mod club {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "clubs")]
    #[tracked(object_type = "club", team = context)]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        #[track]
        pub name: String,
        #[sea_orm(has_many, via = "membership")]
        pub people: HasMany<super::person::Entity>,
    }
}

mod membership {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "memberships")]
    #[tracked(object_type = "membership", team = context)]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        #[track]
        pub person_id: i32,
        #[track]
        pub club_id: i32,
        #[sea_orm(belongs_to, from = "person_id", to = "id")]
        pub person: BelongsTo<super::person::Entity>,
        #[sea_orm(belongs_to, from = "club_id", to = "id")]
        pub club: BelongsTo<super::club::Entity>,
    }
}

/// A key of two enums, as text and as itself, a UUID, a day, a moment and a truth value.
mod slot {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "slots")]
    #[tracked(object_type = "slot", team = context)]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub tier: Tier,
        #[sea_orm(primary_key, auto_increment = false)]
        pub shape: Shape,
        #[sea_orm(primary_key, auto_increment = false)]
        pub room: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub day: Date,
        #[sea_orm(primary_key, auto_increment = false)]
        pub at: DateTime,
        #[sea_orm(primary_key, auto_increment = false)]
        pub odd: bool,
        #[track]
        pub seats: i32,
    }

    #[derive(Clone, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
    #[sea_orm(rs_type = "String", db_type = "Enum", enum_name = "tier", rename_all = "snake_case")]
    pub enum Tier {
        Low,
        High,
    }

    #[derive(Clone, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
    #[sea_orm(rs_type = "Enum", db_type = "Enum", enum_name = "shape", rename_all = "snake_case")]
    pub enum Shape {
        Round,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

/// A recorded form that panics, and hooks that save and then fail.
mod bomb {
    use events_sea_orm::{Tracked, tracked_behavior};
    use sea_orm::{Set, entity::prelude::*};

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "bombs")]
    #[tracked(object_type = "bomb", team = context, behavior = "custom")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i32,
        #[track(with = fuse)]
        pub fuse: i32,
    }

    fn fuse(fuse: &i32) -> i32 {
        assert_ne!(*fuse, 13, "it goes off");
        *fuse
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    #[tracked_behavior]
    #[async_trait::async_trait]
    impl ActiveModelBehavior for ActiveModel {
        async fn before_save<C: ConnectionTrait>(self, db: &C, _insert: bool) -> Result<Self, DbErr> {
            match self.fuse.try_as_ref() {
                Some(14) => {
                    Self { id: Set(1_014), fuse: Set(0) }.insert(db).await?;
                    Err(DbErr::Custom("refused after a save".to_owned()))
                }
                Some(15) => panic!("a hook's own mistake"),
                _ => Ok(self),
            }
        }

        async fn after_save<C: ConnectionTrait>(model: Model, db: &C, _insert: bool) -> Result<Model, DbErr> {
            match model.fuse {
                16 => {
                    Self { id: Set(1_016), fuse: Set(0) }.insert(db).await?;
                    Err(DbErr::Custom("failed after a save".to_owned()))
                }
                17 => panic!("a hook's own mistake"),
                18 => {
                    Self { id: Set(model.id), fuse: Set(19) }.update(db).await?;
                    Ok(model)
                }
                _ => Ok(model),
            }
        }
    }
}

async fn connection(db: &TestDb) -> EventConnection {
    events_sea_orm::migration::up(&db.db).await.unwrap();
    Events::builder(db.db.clone()).build().await.unwrap().connection(context())
}

async fn create<E: EntityTrait>(db: &TestDb, entity: E) {
    let schema = Schema::new(db.db.get_database_backend());
    let mut table = schema.create_table_from_entity(entity);
    if db.db.get_database_backend() == DbBackend::MySql {
        // Whatever the server takes where none is named.
        table.character_set("utf8mb4");
    }
    db.db.execute(&table).await.unwrap();
}

async fn run(db: &TestDb, statements: &[&str]) {
    for sql in statements {
        db.db.execute_unprepared(sql).await.unwrap();
    }
}

async fn data(db: &TestDb) -> Vec<(String, Json)> {
    db.log().await.into_iter().map(|row| (row.event_type, row.event_data)).collect()
}

fn page(slug: &str, title: &str) -> page::ActiveModel {
    page::ActiveModel { slug: Set(slug.to_owned()), title: Set(title.to_owned()), views: Set(0) }
}

async fn odd_names_are_quoted(db: Arc<TestDb>) {
    let connection = connection(&db).await;
    create(&db, odd::Entity).await;
    let key = "it's \"a\" key\n\\ \u{1F980} ``";
    let row = odd::ActiveModel {
        id: Set(key.to_owned()),
        old: Set(1),
        seq: Set(2),
        excluded: Set(3),
        new: Set(4),
        select: Set(5),
        size: Set(6),
        value: Set(7),
        old_value: Set(8),
    };
    let mut active = row.create_with_event(&connection).await.unwrap().into_active_model();
    active.old = Set(10);
    active.size = Set(60);
    active.old_value = Set(80);
    let active = active.update_with_event(&connection).await.unwrap().into_active_model();
    active.delete_with_event(&connection).await.unwrap();
    let log = db.log().await;
    assert!(log.iter().all(|row| row.object_id.as_deref() == Some(key)));
    assert_eq!(
        log[1].event_data,
        json!({"changes": {
            "old": {"old": 1, "new": 10},
            "größe \"x` '": {"old": 6, "new": 60},
            "__old_value": {"old": 8, "new": 80},
        }})
    );
    assert_eq!(log[2].event_data["final_values"]["__old_value"], 80);
}

/// MariaDB compares text without case unless told otherwise: 'HOME' finds the row 'home'.
async fn key_is_what_the_database_holds(db: Arc<TestDb>) {
    let connection = connection(&db).await;
    create(&db, page::Entity).await;
    page("home", "a").create_with_event(&connection).await.unwrap();
    let loud = page::ActiveModel {
        slug: Unchanged("HOME".to_owned()),
        title: Set("b".to_owned()),
        ..Default::default()
    };
    let updated = loud.clone().update_with_event(&connection).await;
    if db.db.get_database_backend() != DbBackend::MySql {
        assert!(matches!(updated, Err(DbErr::RecordNotUpdated)), "{updated:?}");
        return;
    }
    assert_eq!(updated.unwrap().slug, "home");
    loud.delete_with_event(&connection).await.unwrap();
    let log = db.log().await;
    assert_eq!(types(&log), ["CREATED", "UPDATED", "DELETED"]);
    assert!(log.iter().all(|row| row.object_id.as_deref() == Some("home")), "{log:?}");
}

async fn keys_go_to_their_limits(db: Arc<TestDb>) {
    let connection = connection(&db).await;
    create(&db, node::Entity).await;
    for id in [i64::MIN, -1, 0, i64::MAX] {
        let row = node::ActiveModel { id: Set(id), parent: Set(None) };
        let mut active = row.create_with_event(&connection).await.unwrap().into_active_model();
        active.parent = Set(Some(id));
        active.update_with_event(&connection).await.unwrap();
        let log = db.log().await.split_off(db.log().await.len() - 2);
        assert!(log.iter().all(|row| row.object_id == Some(id.to_string())));
        assert_eq!(log[1].event_data["changes"]["parent"], json!({"old": null, "new": id}));
    }
    create(&db, page::Entity).await;
    let txn = connection.begin().await.unwrap();
    let error = page("", "a").insert(&txn).await.unwrap_err();
    assert!(matches!(refusal(&error), Refused::Identifier(_)), "{error}");
    let error = page::Entity::insert_many_with_events([page("", "a")]).exec(&txn).await.unwrap_err();
    assert!(matches!(refusal(&error), Refused::Identifier(_)), "{error}");
    let longest = "\u{e9}".repeat(191);
    page(&longest, "a").insert(&txn).await.unwrap();
    txn.commit().await.unwrap();
    // Longer ones are recorded by their digests.
    let long = "x".repeat(200);
    run(&db, &[&format!("INSERT INTO leaves (slug, title, views) VALUES ('{long}', 'a', 0)")]).await;
    let txn = connection.begin().await.unwrap();
    let views = page::ActiveModel { slug: Unchanged(long.clone()), views: Set(1), ..Default::default() };
    views.update(&txn).await.unwrap();
    let title = page::ActiveModel { slug: Unchanged(long), title: Set("b".to_owned()), ..Default::default() };
    title.update(&txn).await.unwrap();
    txn.commit().await.unwrap();
}

/// What the database does to other rows by itself leaves no event; the next save tells the truth all the same.
async fn row_that_the_table_replaces(db: Arc<TestDb>) {
    let connection = connection(&db).await;
    let title = "title text NOT NULL UNIQUE ON CONFLICT REPLACE";
    run(&db, &[&format!("CREATE TABLE leaves (slug text PRIMARY KEY, {title}, views integer NOT NULL)")])
        .await;
    for slug in ["a", "b"] {
        page(slug, "same").create_with_event(&connection).await.unwrap();
    }
    assert_eq!(page::Entity::find().count(&db.db).await.unwrap(), 1);
    assert_eq!(types(&db.log().await), ["CREATED", "CREATED"]);
}

async fn children_are_let_go_by_the_database(db: Arc<TestDb>) {
    let connection = connection(&db).await;
    run(
        &db,
        &["CREATE TABLE nodes (id bigint PRIMARY KEY, parent bigint, \
           FOREIGN KEY (parent) REFERENCES nodes (id) ON DELETE SET NULL)"],
    )
    .await;
    for (id, parent) in [(1, None), (2, Some(1)), (3, Some(3))] {
        node::ActiveModel { id: Set(id), parent: Set(parent) }.create_with_event(&connection).await.unwrap();
    }
    let txn = connection.begin().await.unwrap();
    for id in [1, 3] {
        node::ActiveModel { id: Unchanged(id), ..Default::default() }.delete(&txn).await.unwrap();
    }
    node::ActiveModel { id: Unchanged(2), parent: Set(Some(2)) }.update(&txn).await.unwrap();
    txn.commit().await.unwrap();
    let data = data(&db).await;
    assert_eq!(data[4].1, json!({"final_values": {"parent": 3}}));
    assert_eq!(data[5].1, json!({"changes": {"parent": {"old": null, "new": 2}}}));
}

async fn row_that_a_trigger_changes_is_recorded_as_it_became(db: Arc<TestDb>) {
    let connection = connection(&db).await;
    create(&db, page::Entity).await;
    match db.db.get_database_backend() {
        DbBackend::Postgres => {
            run(
                &db,
                &[
                    "CREATE FUNCTION loud() RETURNS trigger LANGUAGE plpgsql AS \
                     $$ BEGIN NEW.title := upper(NEW.title); RETURN NEW; END $$",
                    "CREATE TRIGGER loud BEFORE INSERT OR UPDATE ON leaves FOR EACH ROW EXECUTE FUNCTION loud()",
                ],
            )
            .await;
        }
        DbBackend::MySql => {
            for event in ["INSERT", "UPDATE"] {
                let sql = format!(
                    "CREATE TRIGGER loud_{event} BEFORE {event} ON leaves FOR EACH ROW SET NEW.title = upper(NEW.title)"
                );
                run(&db, &[&sql]).await;
            }
        }
        // SQLite changes no row before it is written, and RETURNING tells what the statement itself wrote.
        _ => return,
    }
    page("a", "first").create_with_event(&connection).await.unwrap();
    let mut active = page("a", "first");
    active.views = Set(1);
    active.update_with_event(&connection).await.unwrap(); // FIRST is FIRST
    page("a", "second").update_with_event(&connection).await.unwrap();
    let data = data(&db).await;
    assert_eq!(data.len(), 2);
    assert_eq!(data[0].1["initial_values"], json!({"title": "FIRST"}));
    assert_eq!(data[1].1, json!({"changes": {"title": {"old": "FIRST", "new": "SECOND"}}}));
}

async fn row_that_a_trigger_holds_back_leaves_no_event(db: Arc<TestDb>) {
    let connection = connection(&db).await;
    create(&db, page::Entity).await;
    page("a", "first").create_with_event(&connection).await.unwrap();
    run(
        &db,
        &[
            "CREATE FUNCTION held() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$",
            "CREATE TRIGGER held BEFORE INSERT OR UPDATE OR DELETE ON leaves FOR EACH ROW EXECUTE FUNCTION held()",
        ],
    )
    .await;
    let txn = connection.begin().await.unwrap();
    page("b", "x").insert(&txn).await.unwrap_err();
    assert!(matches!(page("a", "b").update(&txn).await, Err(DbErr::RecordNotUpdated)));
    assert_eq!(page("a", "b").delete(&txn).await.unwrap().rows_affected, 0);
    txn.commit().await.unwrap();
    assert_eq!(db.log().await.len(), 1);
}

async fn key_that_a_trigger_changes_refuses_the_unit(db: Arc<TestDb>) {
    let connection = connection(&db).await;
    create(&db, page::Entity).await;
    run(
        &db,
        &[
            "CREATE FUNCTION moved() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN NEW.slug := lower(NEW.slug) || '-' || NEW.views; RETURN NEW; END $$",
            "CREATE TRIGGER moved BEFORE INSERT OR UPDATE ON leaves FOR EACH ROW EXECUTE FUNCTION moved()",
        ],
    )
    .await;
    let saved = page("A", "first").create_with_event(&connection).await.unwrap();
    assert_eq!((saved.slug.as_str(), db.log().await[0].object_id.as_deref()), ("a-0", Some("a-0")));
    let txn = connection.begin().await.unwrap();
    let mut active = saved.into_active_model();
    active.views = Set(1);
    let error = active.update(&txn).await.unwrap_err();
    assert!(matches!(refusal(&error), Refused::UnexpectedRow { .. }), "{error}");
    assert!(matches!(txn.commit().await, Err(CommitError::Refused(Refused::Poisoned { .. }))));
    assert_eq!(db.log().await.len(), 1);
}

async fn text_without_case_is_one_key(db: Arc<TestDb>) {
    run(
        &db,
        &[
            "CREATE EXTENSION citext",
            "CREATE TABLE articles (slug citext PRIMARY KEY, team citext NOT NULL, title citext NOT NULL)",
        ],
    )
    .await;
    let connection = connection(&db).await;
    let article = |slug: &str, title: &str| article::ActiveModel {
        slug: Set(slug.to_owned()),
        team: Set("7".to_owned()),
        title: Set(title.to_owned()),
    };
    article("Home", "first").create_with_event(&connection).await.unwrap();
    article("HOME", "First").update_with_event(&connection).await.unwrap();
    article("home", "x").delete_with_event(&connection).await.unwrap();
    let log = db.log().await;
    assert_eq!(types(&log), ["CREATED", "UPDATED", "DELETED"]);
    assert!(log.iter().all(|row| row.object_id.as_deref() == Some("Home")));
    assert_eq!(log[1].event_data, json!({"changes": {"title": {"old": "first", "new": "First"}}}));
}

async fn row_moves_between_partitions(db: Arc<TestDb>) {
    run(
        &db,
        &[
            "CREATE TABLE nodes (id bigint, parent bigint) PARTITION BY RANGE (parent)",
            "CREATE TABLE nodes_low PARTITION OF nodes FOR VALUES FROM (MINVALUE) TO (100)",
            "CREATE TABLE nodes_high PARTITION OF nodes FOR VALUES FROM (100) TO (MAXVALUE)",
        ],
    )
    .await;
    let connection = connection(&db).await;
    let node = |parent| node::ActiveModel { id: Set(1), parent: Set(Some(parent)) };
    node(1).create_with_event(&connection).await.unwrap();
    node(200).update_with_event(&connection).await.unwrap();
    node(2).update_with_event(&connection).await.unwrap();
    let data = data(&db).await;
    assert_eq!(data[1].1["changes"]["parent"], json!({"old": 1, "new": 200}));
    assert_eq!(data[2].1["changes"]["parent"], json!({"old": 200, "new": 2}));
}

async fn tables_of_one_name_in_two_schemas(db: Arc<TestDb>) {
    run(
        &db,
        &[
            "CREATE SCHEMA stock",
            "CREATE SCHEMA billing",
            "CREATE TABLE stock.items (id int PRIMARY KEY, count int NOT NULL)",
            "CREATE TABLE billing.items (id int PRIMARY KEY, count int NOT NULL)",
        ],
    )
    .await;
    let connection = connection(&db).await;
    let scope = connection.events().scope(context(), async {
        let txn = db.db.begin().await?;
        stock::ActiveModel { id: Set(1), count: Set(10) }.insert(&txn).await?;
        billing::ActiveModel { id: Set(1), count: Set(20) }.insert(&txn).await?;
        let (in_stock, billed) = (
            stock::ActiveModel { id: Unchanged(1), count: Set(11) },
            billing::ActiveModel { id: Unchanged(1), count: Set(21) },
        );
        tokio::try_join!(in_stock.update(&txn), billed.update(&txn))?;
        txn.commit().await
    });
    scope.await.unwrap().unwrap();
    let txn = connection.begin().await.unwrap();
    let (in_stock, billed) = (
        stock::ActiveModel { id: Unchanged(1), count: Set(12) },
        billing::ActiveModel { id: Unchanged(1), count: Set(22) },
    );
    let (in_stock, _) = tokio::try_join!(in_stock.update(&txn), billed.update(&txn)).unwrap();
    in_stock.delete(&txn).await.unwrap();
    txn.commit().await.unwrap();
    let log = db.log().await;
    let of = |object_type: &str| {
        let rows = log.iter().filter(|row| row.object_type.as_deref() == Some(object_type));
        rows.map(|row| row.event_data.clone()).collect::<Vec<_>>()
    };
    let change = |old: i32, new: i32| json!({"changes": {"count": {"old": old, "new": new}}});
    assert_eq!(of("billed_item")[1..], [change(20, 21), change(21, 22)]);
    assert_eq!(of("stock_item")[1..3], [change(10, 11), change(11, 12)]);
    assert_eq!(of("stock_item")[3], json!({"final_values": {"count": 12}}));
}

async fn view_is_saved_like_a_table(db: Arc<TestDb>) {
    run(
        &db,
        &[
            "CREATE DOMAIN title AS text CHECK (length(VALUE) < 10)",
            "CREATE TABLE stored (slug text PRIMARY KEY, title title NOT NULL, views int NOT NULL DEFAULT 0, gone bool)",
            "CREATE VIEW leaves AS SELECT slug, title, views FROM stored WHERE gone IS NULL",
        ],
    )
    .await;
    let connection = connection(&db).await;
    page("a", "first").create_with_event(&connection).await.unwrap();
    page("a", "second").update_with_event(&connection).await.unwrap();
    page("a", "much too long").update_with_event(&connection).await.unwrap_err();
    page("a", "x").delete_with_event(&connection).await.unwrap();
    assert_eq!(types(&db.log().await), ["CREATED", "UPDATED", "DELETED"]);
    assert_eq!(page::Entity::find().count(&db.db).await.unwrap(), 0);
}

/// SeaORM asks which links are there, and inserts the rest with keys that the database makes.
async fn links_with_a_key_of_their_own(db: Arc<TestDb>) {
    let connection = connection(&db).await;
    create(&db, person::Entity).await;
    create(&db, club::Entity).await;
    create(&db, membership::Entity).await;
    let club = |name: &str| club::ActiveModel::builder().set_name(name);
    let person = person::ActiveModel::builder().set_name("ada");
    let person = person.add_club(club("a")).add_club(club("b")).add_club(club("c"));
    let saved = person.insert(&connection).await.unwrap();
    let mut active = saved.clone().into_active_model();
    active.clubs.push(club("d"));
    active.save(&connection).await.unwrap();
    let links = membership::Entity::find().all(&db.db).await.unwrap();
    assert_eq!(links.len(), 4);
    let log: Vec<_> =
        db.log().await.into_iter().filter(|row| row.object_type.as_deref() == Some("membership")).collect();
    assert_eq!(types(&log), ["CREATED"; 4]);
    for (link, row) in links.iter().zip(&log) {
        assert_eq!(row.object_id, Some(link.id.to_string()));
        let values = json!({"person_id": link.person_id, "club_id": link.club_id});
        assert_eq!(row.event_data["initial_values"], values);
    }
    let mut active = saved.into_active_model();
    active.clubs.replace_all([]);
    active.save(&connection).await.unwrap();
    let gone = db.log().await.iter().filter(|row| row.event_type == "DELETED").count();
    assert_eq!((gone, membership::Entity::find().count(&db.db).await.unwrap()), (4, 0));
}

fn bomb(id: i32, fuse: i32) -> bomb::ActiveModel {
    bomb::ActiveModel { id: Set(id), fuse: Set(fuse) }
}

async fn panic_while_a_value_is_recorded_refuses_the_unit(db: Arc<TestDb>) {
    let connection = connection(&db).await;
    create(&db, bomb::Entity).await;
    bomb(1, 1).create_with_event(&connection).await.unwrap();
    for insert in [true, false] {
        let txn = connection.begin().await.unwrap();
        let save =
            async { if insert { bomb(2, 13).insert(&txn).await } else { bomb(1, 13).update(&txn).await } };
        AssertUnwindSafe(save).catch_unwind().await.unwrap_err();
        let committed = txn.commit().await;
        // Where the new row is read later, so is it recorded: the panic was that of the reading.
        assert!(committed.is_err(), "{insert}");
    }
    for fuse in [15, 17] {
        let txn = connection.begin().await.unwrap();
        AssertUnwindSafe(bomb(3, fuse).insert(&txn)).catch_unwind().await.unwrap_err();
        txn.commit().await.unwrap();
    }
    let rows = bomb::Entity::find().count(&db.db).await.unwrap() as usize;
    assert_eq!(
        (rows, db.log().await.len()),
        (2, 2),
        "a panic before or after the save leaves both or neither"
    );
}

async fn hook_that_fails_after_it_saved_refuses_the_unit(db: Arc<TestDb>) {
    let connection = connection(&db).await;
    create(&db, bomb::Entity).await;
    let txn = connection.begin().await.unwrap();
    bomb(14, 14).insert(&txn).await.unwrap_err();
    txn.commit().await.unwrap(); // vetoed: what the hook saved before that is the unit's, with its event
    let txn = connection.begin().await.unwrap();
    bomb(16, 16).insert(&txn).await.unwrap_err();
    assert!(matches!(txn.commit().await, Err(CommitError::Refused(Refused::Poisoned { .. }))));
    bomb(18, 18).create_with_event(&connection).await.unwrap();
    let log = db.log().await;
    assert_eq!(types(&log), ["CREATED", "CREATED", "UPDATED"]);
    assert_eq!(log[2].event_data["changes"]["fuse"], json!({"old": 18, "new": 19}));
    let objects: Vec<_> = log.iter().map(|row| row.object_id.clone().unwrap()).collect();
    assert_eq!(objects, ["1014", "18", "18"]);
    assert_eq!(bomb::Entity::find().count(&db.db).await.unwrap(), 2);
}

async fn connection_that_the_server_ends_commits_nothing(db: Arc<TestDb>) {
    let connection = connection(&db).await;
    create(&db, page::Entity).await;
    for nested in [false, true] {
        let txn = connection.begin().await.unwrap();
        page("a", "first").insert(&txn).await.unwrap();
        let inner = if nested { Some(txn.begin().await.unwrap()) } else { None };
        run(
            &db,
            &["SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND state = 'idle in transaction'"],
        )
        .await;
        if let Some(inner) = inner {
            page("b", "x").insert(&inner).await.unwrap_err();
            inner.rollback().await.unwrap_err();
            assert!(matches!(txn.commit().await, Err(CommitError::Refused(Refused::Poisoned { .. }))));
        } else {
            assert!(matches!(txn.commit().await, Err(CommitError::Failed(_))), "the events were not written");
        }
    }
    page("a", "again").create_with_event(&connection).await.unwrap();
    assert_eq!((db.log().await.len(), page::Entity::find().count(&db.db).await.unwrap()), (1, 1));
}

async fn key_of_many_types(db: Arc<TestDb>) {
    use sea_orm::prelude::Uuid;

    let connection = connection(&db).await;
    if db.db.get_database_backend() == DbBackend::Postgres {
        let types = ["CREATE TYPE tier AS ENUM ('low', 'high')", "CREATE TYPE shape AS ENUM ('round')"];
        run(&db, &types).await;
    }
    create(&db, slot::Entity).await;
    let day = chrono::NaiveDate::from_ymd_opt(2026, 2, 28).unwrap();
    let slot = |tier, seats| slot::ActiveModel {
        tier: Set(tier),
        shape: Set(slot::Shape::Round),
        room: Set(Uuid::from_u128(7)),
        day: Set(day),
        at: Set(day.and_hms_opt(23, 59, 59).unwrap()),
        odd: Set(true),
        seats: Set(seats),
    };
    let txn = connection.begin().await.unwrap();
    slot(slot::Tier::Low, 1).insert(&txn).await.unwrap();
    slot(slot::Tier::High, 1).insert(&txn).await.unwrap();
    slot(slot::Tier::Low, 2).update(&txn).await.unwrap();
    slot(slot::Tier::High, 3).update_without_returning(&txn).await.unwrap();
    slot(slot::Tier::Low, 0).delete(&txn).await.unwrap();
    txn.commit().await.unwrap();
    let low = r#"["low","round","00000000-0000-0000-0000-000000000007","2026-02-28","2026-02-28T23:59:59.000000",true]"#;
    let log = db.log().await;
    assert_eq!(types(&log), ["CREATED", "CREATED", "UPDATED", "UPDATED", "DELETED"]);
    assert_eq!(log[0].object_id.as_deref(), Some(low));
    assert_eq!(log[2].event_data["changes"]["seats"], json!({"old": 1, "new": 2}));
    assert_eq!(log[3].event_data["changes"]["seats"], json!({"old": 1, "new": 3}));
    assert_eq!(log[4].object_id.as_deref(), Some(low));
    // The verbs of an entity know its rows by their keys as well.
    slot::Entity::insert_with_events(slot(slot::Tier::Low, 4)).exec(&connection).await.unwrap();
    slot::Entity::update_with_events(slot(slot::Tier::Low, 5)).exec(&connection).await.unwrap();
    let update = slot::Entity::update_many_with_events().col_expr(slot::Column::Seats, 6);
    assert_eq!(update.exec(&connection).await.unwrap().rows_affected, 2);
    let key = <slot::Entity as EntityTrait>::PrimaryKey::iter().map(PrimaryKeyToColumn::into_column);
    let update = OnConflict::columns(key).update_column(slot::Column::Seats).to_owned();
    let upsert = slot::Entity::insert_with_events(slot(slot::Tier::Low, 7)).on_conflict(update);
    upsert.exec(&connection).await.unwrap();
    slot::Entity::delete_with_events(slot(slot::Tier::Low, 7)).exec(&connection).await.unwrap();
    assert_eq!(slot::Entity::delete_many_with_events().exec(&connection).await.unwrap().rows_affected, 1);
    let types_of_verbs = ["CREATED", "UPDATED", "UPDATED", "UPDATED", "UPDATED", "DELETED", "DELETED"];
    assert_eq!(types(&db.log().await)[5..], types_of_verbs);
}
