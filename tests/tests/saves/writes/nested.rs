//! Saves and deletes with all that hangs on them: `ActiveModelEx`, `ModelEx`, junction rows.

use std::sync::Arc;

use events_sea_orm::ScopeError;
use sea_orm::{
    ActiveModelAction, ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, IntoActiveModel,
    QueryFilter, Set, TransactionTrait,
};
use serde_json::json;
use tests::{TestDb, context};

use crate::writes::{assert_unannounced, count, entities::*, everywhere, log_after, set_up, told};

tests::conformance! {
    nested_saves_leave_their_events,
    has_one_that_is_replaced_goes,
    has_many_that_is_replaced_is_let_go,
    belongs_to_is_let_go,
    unchanged_nested_model_leaves_none,
    deleted_parents_take_along_what_hangs_on_them,
    self_referencing_links_leave_their_events,
    links_go_unseen_with_their_parent_in_a_scope,
    link_that_is_there_in_a_scope,
    links_name_both_ends,
    links_with_a_key_of_their_own_go_with_their_parent,
    bulk_delete_of_links,
}

type AuthorEx = <author::Entity as EntityTrait>::ActiveModelEx;

fn author(name: &str) -> AuthorEx {
    author::ActiveModel::builder().set_name(name)
}

fn full(tag: &str) -> AuthorEx {
    author(tag)
        .set_agent(agent::ActiveModel::builder().set_name("agent"))
        .set_profile(profile::ActiveModel::builder().set_picture("first"))
        .add_book(book::ActiveModel::builder().set_title("a"))
        .add_book(book::ActiveModel::builder().set_title("b"))
}

async fn nested_saves_leave_their_events(db: Arc<TestDb>) {
    async fn insert<C: ConnectionTrait + TransactionTrait>(db: &C, tag: &str) -> Result<(), DbErr> {
        let saved = full(tag).insert(db).await?;
        let mut active = saved.into_active_model();
        active.name = Set(format!("{tag}, renamed"));
        active.books[1].title = Set("c".to_owned());
        active.update(db).await?;
        full(&format!("{tag} too")).action(ActiveModelAction::Save, db).await?;
        Ok(())
    }
    let events = set_up(&db).await;
    for log in everywhere!(db, events, insert) {
        let whole = ["CREATED agent", "CREATED author", "CREATED profile", "CREATED book", "CREATED book"];
        let renamed = ["UPDATED author", "UPDATED book"];
        assert_eq!(told(&log), [&whole[..], &renamed, &whole].concat());
        let author = log[1].object_id.as_deref().unwrap().parse::<i32>().unwrap();
        assert_eq!(log[3].event_data["initial_values"], json!({"title": "a", "author_id": author}));
        assert_eq!(log[6].event_data, json!({"changes": {"title": {"old": "b", "new": "c"}}}));
    }
}

async fn has_one_that_is_replaced_goes(db: Arc<TestDb>) {
    async fn replace<C: ConnectionTrait + TransactionTrait>(db: &C, tag: &str) -> Result<(), DbErr> {
        let profile = |picture: &str| profile::ActiveModel::builder().set_picture(picture);
        let saved = author(tag).set_profile(profile("first")).save(db).await?;
        let saved = saved.set_profile(profile("second")).save(db).await?;
        saved.clear_profile().save(db).await?;
        Ok(())
    }
    let events = set_up(&db).await;
    for log in everywhere!(db, events, replace) {
        let expected =
            ["CREATED author", "CREATED profile", "DELETED profile", "CREATED profile", "DELETED profile"];
        assert_eq!(told(&log), expected);
        assert_eq!(log[2].event_data["final_values"], json!({"picture": "first"}));
    }
    assert_eq!(count::<profile::Entity>(&db).await, 0);
}

async fn has_many_that_is_replaced_is_let_go(db: Arc<TestDb>) {
    async fn replace<C: ConnectionTrait + TransactionTrait>(db: &C, tag: &str) -> Result<(), DbErr> {
        let book = |title: &str| book::ActiveModel::builder().set_title(title);
        let saved = author(tag).add_book(book("a")).add_book(book("b")).save(db).await?;
        let mut appended = saved.add_book(book("c"));
        appended = appended.save(db).await?;
        let kept = appended.books[0].clone();
        appended.books.replace_all([kept, book("d")]);
        appended.save(db).await?;
        Ok(())
    }
    let events = set_up(&db).await;
    for log in everywhere!(db, events, replace) {
        let created = ["CREATED author", "CREATED book", "CREATED book", "CREATED book"];
        let replaced = ["UPDATED book", "UPDATED book", "CREATED book"];
        assert_eq!(told(&log), [&created[..], &replaced].concat());
        let author = log[0].object_id.as_deref().unwrap().parse::<i32>().unwrap();
        assert_eq!(log[4].event_data, json!({"changes": {"author_id": {"old": author, "new": null}}}));
    }
}

async fn belongs_to_is_let_go(db: Arc<TestDb>) {
    async fn let_go<C: ConnectionTrait + TransactionTrait>(db: &C, tag: &str) -> Result<(), DbErr> {
        let saved = author(tag).set_agent(agent::ActiveModel::builder().set_name("x")).save(db).await?;
        saved.set_agent_option(None::<<agent::Entity as EntityTrait>::ActiveModelEx>).save(db).await?;
        Ok(())
    }
    let events = set_up(&db).await;
    for log in everywhere!(db, events, let_go) {
        assert_eq!(told(&log), ["CREATED agent", "CREATED author", "UPDATED author"]);
        assert_eq!(log[2].event_data["changes"]["agent_id"]["new"], json!(null));
    }
}

async fn unchanged_nested_model_leaves_none(db: Arc<TestDb>) {
    async fn resave<C: ConnectionTrait + TransactionTrait>(db: &C, tag: &str) -> Result<(), DbErr> {
        let saved = full(tag).insert(db).await?;
        saved.clone().into_active_model().update(db).await?;
        saved.into_active_model().save(db).await?;
        Ok(())
    }
    let events = set_up(&db).await;
    for log in everywhere!(db, events, resave) {
        assert_eq!(log.len(), 5, "{:?}", told(&log));
    }
}

async fn deleted_parents_take_along_what_hangs_on_them(db: Arc<TestDb>) {
    async fn delete<C: ConnectionTrait + TransactionTrait>(db: &C, tag: &str) -> Result<(), DbErr> {
        let name = |n: i32| format!("{tag} {n}");
        full(&name(1)).insert(db).await?.delete(db).await?; // `ModelEx`
        full(&name(2)).save(db).await?.delete(db).await?; // `ActiveModelEx`
        full(&name(3)).insert(db).await?;
        let model = author::Entity::find().filter(author::Column::Name.eq(name(3))).one(db).await?;
        assert_eq!(model.unwrap().cascade_delete(db).await?.rows_affected, 2);
        Ok(())
    }
    let events = set_up(&db).await;
    for log in everywhere!(db, events, delete) {
        let gone = ["DELETED profile", "UPDATED book", "UPDATED book", "DELETED author"];
        for part in log.chunks(9) {
            assert_eq!(told(&part[5..]), gone);
        }
        assert_eq!(log.len(), 27);
    }
    assert_eq!(count::<author::Entity>(&db).await, 0);
}

/// On either side: one by one, replaced, and with the author.
async fn self_referencing_links_leave_their_events(db: Arc<TestDb>) {
    async fn follow<C: ConnectionTrait + TransactionTrait>(db: &C, tag: &str) -> Result<(), DbErr> {
        let name = |n: i32| format!("{tag} {n}");
        let (b, c) = (author(&name(2)).save(db).await?, author(&name(3)).save(db).await?);
        let a = author(&name(1)).add_follower(b.clone()).add_follower(c.clone()).save(db).await?;
        // Without the links that are there: `link_that_is_there_in_a_scope` is about those.
        let alone = || author::ActiveModel::from(a.clone()).into_ex();
        alone().add_following(b.clone()).save(db).await?;
        let mut replaced = alone();
        replaced.followers.replace_all([]);
        replaced.save(db).await?;
        Ok(())
    }
    let events = set_up(&db).await;
    for log in everywhere!(db, events, follow) {
        let id = |n: usize| log[n].object_id.clone().unwrap();
        let (b, c, a) = (id(0), id(1), id(2));
        let links = log[3..].iter().map(|row| (row.event_type.clone(), row.object_id.clone().unwrap()));
        let link =
            |event_type: &str, author: &str, by: &str| (event_type.to_owned(), format!("[{author},{by}]"));
        let expected = [
            link("CREATED", &a, &b),
            link("CREATED", &a, &c),
            link("CREATED", &b, &a),
            link("DELETED", &a, &b),
            link("DELETED", &a, &c),
        ];
        assert_eq!(links.collect::<Vec<_>>(), expected);
        assert!(log[3..].iter().all(|row| row.object_type.as_deref() == Some("follow")));
    }
    let before = db.log().await.len();
    let txn = events.begin(context()).await.unwrap();
    let a =
        author::Entity::find().filter(author::Column::Name.eq("unit 1")).one(&txn).await.unwrap().unwrap();
    a.cascade_delete(&txn).await.unwrap();
    txn.commit().await.unwrap();
    let gone = log_after(&db, before).await;
    assert_eq!(told(&gone), ["DELETED follow", "DELETED author"]);
}

/// SeaORM removes them without hooks, and a scope has nothing else to see by.
async fn links_go_unseen_with_their_parent_in_a_scope(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let fan = author("fan").save(&connection).await.unwrap();
    let saved = author("a").add_follower(fan).insert(&connection).await.unwrap();
    let before = db.log().await.len();
    let scope = events.scope(context(), async {
        let txn = db.db.begin().await?;
        saved.delete(&txn).await?;
        txn.commit().await
    });
    scope.await.unwrap().unwrap();
    assert_eq!(told(&log_after(&db, before).await), ["DELETED author"]);
    assert_eq!(count::<follow::Entity>(&db).await, 0);
}

/// SeaORM runs the before-hook of a link that is there already, and the after-hook only where the database does not say
/// that nothing was inserted.
async fn link_that_is_there_in_a_scope(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let fan = author("fan").save(&connection).await.unwrap();
    let saved = author("a").add_follower(fan.clone()).insert(&connection).await.unwrap();
    let a = author::ActiveModel::from(author::ActiveModelEx::from(saved)).into_ex().add_follower(fan);
    let before = db.log().await.len();
    let scope = events.scope(context(), async {
        let txn = db.db.begin().await?;
        a.save(&txn).await?;
        txn.commit().await
    });
    let result = scope.await;
    match db.db.get_database_backend() {
        DbBackend::MySql => result.unwrap().unwrap(),
        _ => assert!(matches!(result, Err(ScopeError::Unfinished { output: Ok(()), .. }))),
    }
    assert_eq!(told(&log_after(&db, before).await), [""; 0]);
}

/// A key of both ends names them; a key of the junction's own does not, and then `#[track]` on the two columns does.
async fn links_name_both_ends(db: Arc<TestDb>) {
    async fn link<C: ConnectionTrait + TransactionTrait>(db: &C, tag: &str) -> Result<(), DbErr> {
        let reader = reader::ActiveModel::builder().set_name(tag);
        let reader = reader.add_shelf(shelf::ActiveModel::builder().set_name("s"));
        let mut saved = reader.add_desk(desk::ActiveModel::builder().set_name("d")).save(db).await?;
        saved.shelves.replace_all([]);
        saved.save(db).await?;
        Ok(())
    }
    let events = set_up(&db).await;
    for log in everywhere!(db, events, link) {
        let of = |object_type: &str| {
            let rows = log.iter().filter(|row| row.object_type.as_deref() == Some(object_type));
            rows.cloned().collect::<Vec<_>>()
        };
        let id = |object_type: &str| of(object_type)[0].object_id.as_deref().unwrap().parse::<i32>().unwrap();
        let ends = json!({"reader_id": id("reader"), "shelf_id": id("shelf")});
        let cards = of("shelf_card");
        assert_eq!(told(&cards), ["CREATED shelf_card", "DELETED shelf_card"]);
        assert_eq!(cards[0].event_data["initial_values"], ends);
        assert_eq!(cards[1].event_data["final_values"], ends);
        assert_eq!(of("desk_card")[0].event_data["initial_values"], json!({"note": null}));
    }
    // A composite key is read back in key order.
    let connection = events.connection(context());
    let fan = author("fan").save(&connection).await.unwrap();
    let saved = author("a").add_follower(fan.clone()).insert(&connection).await.unwrap();
    let last = db.log().await.pop().unwrap();
    let fan = fan.id.unwrap();
    assert_eq!(last.object_id, Some(format!("[{},{fan}]", saved.id)));
    assert_eq!(last.event_data["initial_values"], json!({"author_id": saved.id, "follower_id": fan}));
}

/// SeaORM deletes the links of a parent itself, by one DELETE without hooks, whatever key they have.
async fn links_with_a_key_of_their_own_go_with_their_parent(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let reader = reader::ActiveModel::builder().set_name("r");
    let reader = reader.add_shelf(shelf::ActiveModel::builder().set_name("s"));
    let saved = reader.insert(&connection).await.unwrap();
    let before = db.log().await.len();
    let ends = json!({"reader_id": saved.id, "shelf_id": saved.shelves.iter().next().unwrap().id});
    saved.delete(&connection).await.unwrap();
    let log = log_after(&db, before).await;
    assert_eq!(told(&log), ["DELETED shelf_card", "DELETED reader"]);
    assert_eq!(log[0].event_data["final_values"], ends);
    assert!(shelf_card::Entity::find().all(&db.db).await.unwrap().is_empty());
}

/// SeaORM's own statement for the links of a parent, sent by the user: in a unit each link leaves its event.
async fn bulk_delete_of_links(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let fan = author("fan").save(&connection).await.unwrap();
    let saved = author("a").add_follower(fan).insert(&connection).await.unwrap();
    let before = db.log().await.len();
    let of = || follow::Entity::delete_many().filter(follow::Column::AuthorId.eq(saved.id));
    assert_unannounced(of().exec(&connection).await);
    let txn = events.begin(context()).await.unwrap();
    assert_unannounced(follow::Entity::delete_many().exec(&txn).await);
    of().exec(&txn).await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(told(&log_after(&db, before).await), ["DELETED follow"]);
}
