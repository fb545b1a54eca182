//! What row-level security adds: one statement a unit of work, and the frame of a transaction around a read of the pool.

use std::sync::Arc;

use events_sea_orm::{Events, ObjectRef};
use sea_orm::EntityTrait;
use tests::{
    TestDb, context,
    entities::campaign,
    proxy::Proxy,
    secured::{secured, unsecured},
};

use super::{By, EVENTS, Seen};

tests::on_postgres! {
    a_unit_of_work_costs_one_statement_more,
    a_read_of_the_pool_is_framed,
    where_it_is_off_nothing_is_added,
}

const ENTER: &str = "SELECT set_config";

/// As the application's role.
async fn seen_as(db: &TestDb, app: &str) -> Seen {
    let proxy = Proxy::to(&db.url_as(app)).await;
    let pool = TestDb::open_with(&proxy.url, 1).await;
    let events = Events::builder(pool.clone()).start_despite_dangers().build().await.unwrap();
    Seen::warm(pool, events, By::Proxy(proxy)).await
}

/// Without its frame; the verbs of the rest.
fn framed(statements: Vec<String>) -> Vec<String> {
    assert_eq!(statements.first().map(String::as_str), Some("BEGIN"));
    assert_eq!(statements.last().map(String::as_str), Some("COMMIT"));
    statements[1..statements.len() - 1].to_vec()
}

async fn a_unit_of_work_costs_one_statement_more(db: Arc<TestDb>) {
    let roles = secured(&db).await;
    let seen = seen_as(&db, &roles.app).await;
    for count in [1, 3, 12] {
        let models = seen.create(count).await;
        let expected = |save: &[&str]| {
            let mut expected = vec![ENTER];
            expected.extend(std::iter::repeat_n(save, count).flatten());
            expected.extend(EVENTS);
            expected.iter().map(|statement| (*statement).to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(framed(seen.take()), expected(&["INSERT campaigns"]));
        seen.update(models.clone()).await;
        assert_eq!(framed(seen.take()), expected(&["UPDATE campaigns"]));
        seen.delete(models).await;
        assert_eq!(framed(seen.take()), expected(&["SELECT campaigns FOR UPDATE", "DELETE campaigns"]));
    }
    seen.events.begin(context()).await.unwrap().commit().await.unwrap();
    assert_eq!(framed(seen.take()), [ENTER]);
}

async fn a_read_of_the_pool_is_framed(db: Arc<TestDb>) {
    let roles = secured(&db).await;
    let seen = seen_as(&db, &roles.app).await;
    seen.create(2).await;
    seen.take();
    let connection = seen.events.connection(context());
    assert_eq!(campaign::Entity::find().all(&connection).await.unwrap().len(), 2);
    assert_eq!(framed(seen.take()), [ENTER, "SELECT campaigns"]);
    assert_eq!(connection.feed().all().await.unwrap().len(), 10);
    assert_eq!(framed(seen.take()), [ENTER, "SELECT events"]);
    // In a unit of work reads are as ever.
    let txn = seen.events.begin(context()).await.unwrap();
    campaign::Entity::find().all(&txn).await.unwrap();
    txn.timeline(ObjectRef::new("campaign", 1)).all().await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(framed(seen.take()), [ENTER, "SELECT campaigns", "SELECT events"]);
}

async fn where_it_is_off_nothing_is_added(db: Arc<TestDb>) {
    let roles = unsecured(&db).await;
    let seen = seen_as(&db, &roles.app).await;
    seen.create(3).await;
    seen.assert_unit(3, &["INSERT campaigns"], EVENTS);
    let connection = seen.events.connection(context());
    campaign::Entity::find().all(&connection).await.unwrap();
    connection.feed().all().await.unwrap();
    assert_eq!(seen.take(), ["SELECT campaigns", "SELECT events"]);
}
