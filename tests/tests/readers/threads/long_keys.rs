//! Keys that are longer than the indexed columns: each is an object of its own, to threads and to inboxes.

use events_sea_orm::{
    EventConnection, ModelEvents,
    notifications::{Inbox, Notifications, Topic, notification},
    stored_object_id,
};
use sea_orm::{QueryOrder, Schema};

use super::*;

tests::conformance! {
    long_keys_have_threads_of_their_own,
    inboxes_give_long_keys_whole,
}

mod scroll {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "scrolls")]
    #[tracked(object_type = "scroll", team = context, thread = "self")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false, column_type = "String(StringLen::N(500))")]
        pub path: String,
        #[track]
        pub title: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

/// In the thread of its scroll.
mod leaf {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "leaves")]
    #[tracked(object_type = "leaf", team = context, thread(object_type = "scroll", id = "path"))]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i32,
        #[sea_orm(column_type = "String(StringLen::N(500))")]
        pub path: String,
        #[track]
        pub text: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

/// Two keys that differ in their last letter, and the connection of an application that tells and notifies.
async fn set_up(db: &TestDb) -> (EventConnection, [String; 2]) {
    migration::up(&db.db).await.unwrap();
    migration::threads::up(&db.db).await.unwrap();
    migration::notifications::up(&db.db).await.unwrap();
    let schema = Schema::new(db.db.get_database_backend());
    db.db.execute(&schema.create_table_from_entity(scroll::Entity)).await.unwrap();
    db.db.execute(&schema.create_table_from_entity(leaf::Entity)).await.unwrap();
    let linus = async |_: &EventTransaction, _: &Event| Ok(vec!["linus".to_owned()]);
    let events = Events::builder(db.db.clone())
        .without_registered_consumers()
        .consumer(Threads::new())
        .consumer(Notifications::new(linus))
        .build()
        .await
        .unwrap();
    (events.connection(context()), ["a", "b"].map(|end| format!("{}/{end}", "é".repeat(400))))
}

async fn create(connection: &EventConnection, path: &str) -> scroll::Model {
    let scroll = scroll::ActiveModel { path: Set(path.to_owned()), title: Set("draft".to_owned()) };
    scroll.create_with_event(connection).await.unwrap()
}

async fn long_keys_have_threads_of_their_own(db: Arc<TestDb>) {
    let (connection, [a, b]) = set_up(&db).await;
    let (of_a, of_b) = (of("scroll", &a), of("scroll", &b));
    let row = create(&connection, &a).await;
    assert_eq!(Thread::of_row(TEAM, &row), Some(of_a.clone()));
    create(&connection, &b).await.delete_with_event(&connection).await.unwrap();
    let leaf = leaf::ActiveModel { id: Set(1), path: Set(a.clone()), text: Set("once".to_owned()) };
    let leaf = leaf.create_with_event(&connection).await.unwrap();
    assert_eq!(Thread::of_row(TEAM, &leaf), Some(of_a.clone()));
    of_a.post(&connection, "hi").await.unwrap();
    assert_eq!((bodies(&db, &of_a).await.len(), bodies(&db, &of_b).await.len()), (3, 2));
    let messages = of_b.messages().all(&connection).await.unwrap();
    assert!(messages.iter().all(|message| message.data["object_id"] == *b), "{messages:?}");
    // Whoever lists threads reads on from their rows.
    let rows = thread::Entity::find().order_by_asc(thread::Column::Id).all(&connection).await.unwrap();
    assert_eq!(rows[0].object_id, stored_object_id(&a));
    let threads: Vec<_> = rows.into_iter().map(Thread::from).collect();
    assert_eq!(threads, [of_a, of_b]);
}

async fn inboxes_give_long_keys_whole(db: Arc<TestDb>) {
    let (connection, [a, b]) = set_up(&db).await;
    let linus = Inbox::of(TEAM, "linus");
    let about_a = || Topic::everything().about(ObjectRef::new("scroll", &a));
    linus.set_preference(&connection, about_a(), false).await.unwrap();
    create(&connection, &a).await;
    create(&connection, &b).await;
    // A key of its own, however it looks.
    let look_alike = stored_object_id(&b).into_owned();
    let txn = connection.begin().await.unwrap();
    txn.emit(Event::custom("read").about(ObjectRef::new("scroll", &look_alike))).await.unwrap();
    txn.emit(Event::custom("closed")).await.unwrap();
    txn.commit().await.unwrap();
    let list = linus.list().all(&connection).await.unwrap();
    let objects: Vec<_> = list.iter().map(notification::Model::object).collect();
    let object = |id: &str| Some(ObjectRef::new("scroll", id));
    assert_eq!(objects, [None, object(&look_alike), object(&b)]);
    // As the table has it.
    let by_number = notification::Entity::find().order_by_asc(notification::Column::Id);
    let first = by_number.one(&connection).await.unwrap().unwrap();
    assert_eq!(first.object_id, Some(look_alike));
    assert!(linus.clear_preference(&connection, &about_a()).await.unwrap());
    retitle(&connection, &a).await;
    assert_eq!(linus.list().limit(1).all(&connection).await.unwrap()[0].object(), object(&a));
}

async fn retitle(connection: &EventConnection, path: &str) {
    let change =
        scroll::ActiveModel { path: sea_orm::Unchanged(path.to_owned()), title: Set("b".to_owned()) };
    change.update_with_event(connection).await.unwrap();
}
