//! Where row-level security is forced, the owner of the tables copies, and the application cannot.

use std::sync::Arc;

use events_sea_orm::migration::{
    activity_events::{self, ActivityEvents, ActivityEventsError},
    isolation,
};
use tests::{
    TestDb,
    roles::{TestRoles, quoted},
};

use crate::activity_events::tables::{fill, run, single};

tests::on_postgres! { the_owner_copies_under_forced_row_level_security }

async fn the_owner_copies_under_forced_row_level_security(db: Arc<TestDb>) {
    single(&db, "activity_events").await;
    fill(&db.db, "activity_events", 1..=12).await;
    let roles = TestRoles::create(&db).await;
    isolation::up(&db.db, &roles.roles()).await.unwrap();
    let owner = quoted(&roles.owner);
    run(
        &db.db,
        &format!("ALTER TABLE activity_events OWNER TO {owner}; GRANT CREATE ON SCHEMA public TO {owner}"),
    )
    .await;
    let old = ActivityEvents::default().batch(5);

    let app = db.open_as(&roles.app, 1).await;
    let refused = activity_events::migrate(&app, &old, |_| ()).await.unwrap_err();
    assert!(matches!(&refused, ActivityEventsError::Database(_)), "{refused}");
    assert!(refused.to_string().contains("permission denied"), "{refused}");
    assert_eq!(db.log().await, []);
    app.close().await.unwrap();

    let owner = db.open_as(&roles.owner, 1).await;
    assert_eq!(activity_events::migrate(&owner, &old, |_| ()).await.unwrap().copied, 12);
    let checked = activity_events::check(&owner, &old).await.unwrap();
    assert_eq!((checked.rows, checked.groups), (12, 3), "of every team");
    assert_eq!(activity_events::migrate(&owner, &old, |_| ()).await.unwrap().copied, 0);
    activity_events::finish(&owner, &old).await.unwrap();
    owner.close().await.unwrap();
    assert_eq!(db.log().await.len(), 12);
}
