//! One key, several rows; one field, several names.

use events_sea_orm::{EventType, Finding};

use super::*;

tests::conformance! {
    a_new_row_of_an_old_key_begins_another_life,
    a_renamed_field_is_read_under_both_names,
    names_that_the_model_no_longer_knows_are_found,
}

mod paint {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "paints")]
    #[tracked(object_type = "paint", team = context)]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        #[track(state, renamed_from = "stage")]
        pub phase: String,
        #[track]
        pub shade: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

async fn set_up_paints(db: &TestDb) -> events_sea_orm::EventConnection {
    let events = set_up(db).await;
    let schema = sea_orm::Schema::new(db.db.get_database_backend());
    db.db.execute(&schema.create_table_from_entity(paint::Entity)).await.unwrap();
    events.connection(context())
}

fn paint(phase: &str) -> paint::ActiveModel {
    paint::ActiveModel { id: Set(1), phase: Set(phase.to_owned()), shade: Set("red".to_owned()) }
}

async fn a_new_row_of_an_old_key_begins_another_life(db: Arc<TestDb>) {
    let connection = set_up_paints(&db).await;
    paint("wet").create_with_event(&connection).await.unwrap();
    let first = paint("dry").update_with_event(&connection).await.unwrap();
    first.delete_with_event_of(&connection).await;
    let second = paint("wet").create_with_event(&connection).await.unwrap();
    let steps = connection.transitions(&second, paint::Column::Phase).await.unwrap();
    assert_eq!(steps.iter().map(|step| step.life).collect::<Vec<_>>(), [1, 1, 2]);
    assert!(steps[1].lasted.is_some() && steps[2].lasted.is_none());
    let dry = connection.time_in_state(&second, paint::Column::Phase, "dry").await.unwrap();
    assert_eq!(
        dry,
        events_sea_orm::TimeInState::Exactly(chrono::TimeDelta::zero()),
        "the other row was dry, not this one"
    );
    assert_eq!(connection.timeline(&second).count().await.unwrap(), 4);
    let this_life = connection.timeline(&second).current_life().all().await.unwrap();
    assert_eq!(types(&this_life), ["CREATED"]);
    assert_eq!(this_life[0].seq, steps[2].seq);
}

trait DeleteOf {
    async fn delete_with_event_of(self, connection: &events_sea_orm::EventConnection);
}

impl DeleteOf for paint::Model {
    async fn delete_with_event_of(self, connection: &events_sea_orm::EventConnection) {
        self.into_active_model().delete_with_event(connection).await.unwrap();
    }
}

async fn a_renamed_field_is_read_under_both_names(db: Arc<TestDb>) {
    let connection = set_up_paints(&db).await;
    let about = || events_sea_orm::ObjectRef::new("paint", 1);
    let txn = connection.begin().await.unwrap();
    let created = json!({"initial_values": {"stage": "mixed"}});
    txn.emit(Event::of(EventType::Created).about(about()).json(created)).await.unwrap();
    let moved = json!({"field": "stage", "state": {"old": "mixed", "new": "wet"}});
    txn.emit(Event::of(EventType::StateChanged).about(about()).json(moved)).await.unwrap();
    txn.commit().await.unwrap();
    paint::Entity::insert(paint("wet")).exec(&db.db).await.unwrap();
    let model = paint("dry").update_with_event(&connection).await.unwrap();
    let steps = connection.transitions(&model, paint::Column::Phase).await.unwrap();
    assert_eq!(steps.iter().map(|step| &step.new).collect::<Vec<_>>(), ["mixed", "wet", "dry"]);
    assert!(steps.iter().all(|step| step.field == "phase"));
}

async fn names_that_the_model_no_longer_knows_are_found(db: Arc<TestDb>) {
    let connection = set_up_paints(&db).await;
    let about = || events_sea_orm::ObjectRef::new("paint", 1);
    let txn = connection.begin().await.unwrap();
    for name in ["stage", "phase", "colour"] {
        let created = json!({"initial_values": {name: "x"}});
        txn.emit(Event::of(EventType::Created).about(about()).json(created)).await.unwrap();
    }
    txn.commit().await.unwrap();
    let report = connection.events().verify().await.unwrap();
    let unknown: Vec<_> =
        report.findings().iter().filter(|finding| matches!(finding, Finding::UnknownField { .. })).collect();
    let expected = Finding::UnknownField { object_type: "paint", field: "colour".to_owned() };
    assert_eq!(unknown, [&expected]);
    assert!(expected.to_string().contains("renamed_from = \"colour\""), "{expected}");
}
