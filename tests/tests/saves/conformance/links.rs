//! Rows of a junction table: announced together by SeaORM, and sent together or one by one.

use sea_orm::{ColumnTrait, QueryFilter};
use tests::entities::{label, project, project_label};

use super::*;

tests::conformance! {
    each_link_leaves_its_event,
    link_that_is_there_leaves_none,
    each_link_that_goes_leaves_its_event,
    refused_link_leaves_nothing_behind,
}

fn labelled(name: &str) -> <label::Entity as EntityTrait>::ActiveModelEx {
    label::ActiveModel::builder().set_name(name)
}

async fn garden(db: &events_sea_orm::EventConnection) -> <project::Entity as EntityTrait>::ModelEx {
    project::ActiveModel::builder()
        .set_team_id(TEAM)
        .set_name("garden")
        .add_label(labelled("wet"))
        .add_label(labelled("green"))
        .add_label(labelled("wide"))
        .insert(db)
        .await
        .unwrap()
}

/// The links in the log, each as its event's type and object.
async fn links(db: &TestDb) -> Vec<(String, String)> {
    let log = db.log().await.into_iter().filter(|row| row.object_type.as_deref() == Some("project_label"));
    log.map(|row| (row.event_type, row.object_id.unwrap())).collect()
}

fn link(event_type: &str, project: i32, label: i32) -> (String, String) {
    (event_type.to_owned(), format!("[{project},{label}]"))
}

async fn each_link_leaves_its_event(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let saved = garden(&events.connection(context())).await;
    let created: Vec<_> = saved.labels.iter().map(|label| link("CREATED", saved.id, label.id)).collect();
    assert_eq!(created.len(), 3);
    assert_eq!(links(&db).await, created);
    let log = db.log().await;
    assert!(log.iter().all(|row| row.unit_id == log[0].unit_id));
    assert_eq!(project_label::Entity::find().count(&db.db).await.unwrap(), 3);
}

async fn link_that_is_there_leaves_none(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let saved = garden(&connection).await;
    let before = db.log().await.len();
    let mut active = saved.clone().into_active_model();
    active.labels.push(labelled("new"));
    active.save(&connection).await.unwrap();
    let new = label::Entity::find().filter(label::Column::Name.eq("new")).one(&db.db).await.unwrap().unwrap();
    assert_eq!(links(&db).await[3..], [link("CREATED", saved.id, new.id)]);
    assert_eq!(db.log().await.len(), before + 2, "the label and its link");
}

async fn each_link_that_goes_leaves_its_event(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let saved = garden(&connection).await;
    let kept = saved.labels.iter().next().unwrap().clone();
    let mut active = saved.clone().into_active_model();
    active.labels.replace_all([kept.clone().into_active_model()]);
    active.save(&connection).await.unwrap();
    let mut gone: Vec<_> = links(&db).await.split_off(3);
    gone.sort();
    let expected: Vec<_> =
        saved.labels.iter().skip(1).map(|label| link("DELETED", saved.id, label.id)).collect();
    assert_eq!(gone, expected);
    assert_eq!(project_label::Entity::find().count(&db.db).await.unwrap(), 1);
}

/// One link was announced when the hook of the next refused: nothing was sent, and neither is recorded later.
async fn refused_link_leaves_nothing_behind(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let saved = garden(&events.connection(context())).await;
    let connection = events.connection(context());
    label::ActiveModel { id: Set(666), name: Set("forbidden".to_owned()) }
        .create_with_event(&connection)
        .await
        .unwrap();
    let fine = label::ActiveModel { name: Set("fine".to_owned()), ..Default::default() };
    let fine = fine.create_with_event(&connection).await.unwrap();
    let before = links(&db).await.len();

    let txn = events.begin(context()).await.unwrap();
    let mut active = saved.clone().into_active_model();
    active.labels.push(fine.clone().into_active_model());
    active.labels.push(label::ActiveModel { id: Unchanged(666), ..Default::default() });
    active.save(&txn).await.unwrap_err();
    let link_by_hand = project_label::ActiveModel { project_id: Set(saved.id), label_id: Set(fine.id) };
    link_by_hand.insert(&txn).await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(links(&db).await[before..], [link("CREATED", saved.id, fine.id)]);
}
