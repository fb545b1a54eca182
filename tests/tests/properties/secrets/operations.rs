//! What goes well.

use std::sync::Arc;

use events_sea_orm::{
    ActiveModelEvents, Consumer, ConsumerError, Context, Event, EventTransaction, EventType, Events, Tracked,
    emit_event,
};
use sea_orm::{ActiveModelTrait, EntityTrait, IntoActiveModel, ModelTrait, Set, TransactionTrait};
use serde_json::json;

use super::world::{World, context};
use crate::vault::{self, ActiveModel, Column, Status};

pub async fn insert(world: &World) {
    let txn = world.begin().await;
    world.vault().insert(&txn).await.unwrap();
    txn.commit().await.unwrap();
}

pub async fn save(world: &World) {
    let txn = world.begin().await;
    let mut active = world.vault().save(&txn).await.unwrap();
    active.api_key = Set(world.secret());
    active.doc = Set(None);
    active.save(&txn).await.unwrap();
    txn.commit().await.unwrap();
}

pub async fn update(world: &World) {
    let changed = world.changed().await;
    let txn = world.begin().await;
    changed.clone().update(&txn).await.unwrap();
    changed.update(&txn).await.unwrap(); // once more, unchanged
    world.show(&txn);
    txn.commit().await.unwrap();
}

pub async fn update_without_returning(world: &World) {
    let changed = world.changed().await;
    let txn = world.begin().await;
    changed.update_without_returning(&txn).await.unwrap();
    txn.commit().await.unwrap();
}

pub async fn delete(world: &World) {
    let [one, other] = [world.stored().await, world.stored().await];
    let txn = world.begin().await;
    one.delete(&txn).await.unwrap();
    other.into_active_model().delete(&txn).await.unwrap();
    txn.commit().await.unwrap();
}

pub async fn with_event(world: &World) {
    let connection = world.events.connection(context());
    world.show(&connection);
    let save = world.vault().create_with_event(&connection).reason("created");
    world.show(&save);
    let model = save.await.unwrap();
    let mut active = model.into_active_model();
    active.api_key = Set(world.secret());
    active.name = Set("other".to_owned());
    let save = active.update_with_event(&connection).reason("changed").track_fields(["api_key", "name"]);
    world.show(&save);
    let model = save.await.unwrap();
    let save = model.into_active_model().delete_with_event(&connection).reason("gone").track_fields(["pin"]);
    world.show(&save);
    save.await.unwrap();
}

pub async fn transition(world: &World) {
    let changed = world.changed().await;
    let txn = world.begin().await;
    txn.track_state_transition(changed, Column::Status, Status::Live, "approved").await.unwrap();
    txn.commit().await.unwrap();
}

pub async fn soft_delete(world: &World) {
    let mut changed = world.changed().await;
    changed.status = Set(Status::Live);
    let connection = world.events.connection(context());
    let save = changed.soft_delete_with_event(&connection).reason("gone");
    world.show(&save);
    let model = save.await.unwrap();
    let save = model.into_active_model().restore_with_event(&connection).reason("back");
    world.show(&save);
    let model = save.await.unwrap();
    let transitions = connection.transitions(&model, Column::Status).await.unwrap();
    assert_eq!(transitions.len(), 3);
    world.show(&transitions);
    world.failed(connection.transitions(&model, Column::ApiKey).await);
}

pub async fn emit(world: &World) {
    let stored = world.stored().await;
    let txn = world.begin().await;
    let event = Event::custom("seen").about(&stored).json(json!({"by": "ada"}));
    world.show(&event);
    txn.emit(event).await.unwrap();
    emit_event(&txn, EventType::Restored, &stored, json!({})).await.unwrap();
    txn.commit().await.unwrap();
}

pub async fn savepoints(world: &World) {
    let txn = world.begin().await;
    for keep in [true, false] {
        let nested = txn.begin().await.unwrap();
        world.vault().insert(&nested).await.unwrap();
        world.show(&nested);
        match keep {
            true => nested.commit().await.unwrap(),
            false => nested.rollback().await.unwrap(),
        }
    }
    txn.commit().await.unwrap();
    let work = async |txn: &EventTransaction| world.vault().insert(txn).await;
    world.events.transaction(context(), work).await.unwrap();
}

pub async fn rollback(world: &World) {
    let changed = world.changed().await;
    let txn = world.begin().await;
    changed.update(&txn).await.unwrap();
    txn.rollback().await.unwrap();
    let txn = world.begin().await;
    world.vault().insert(&txn).await.unwrap();
    drop(txn);
}

/// Keeps what it is given.
#[derive(Clone, Default)]
pub struct Seen(pub Arc<std::sync::Mutex<Vec<String>>>);

impl Seen {
    pub fn show(&self, world: &World) {
        let seen = std::mem::take(&mut *self.0.lock().unwrap());
        assert!(!seen.is_empty(), "the consumer ran");
        seen.into_iter().for_each(|text| world.say(text));
    }
}

impl Consumer for Seen {
    fn handle<'a>(
        &'a self,
        txn: &'a EventTransaction,
        event: &'a Event,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<(), ConsumerError>> + Send + 'a>> {
        let told = serde_json::to_string(event).unwrap();
        self.0.lock().unwrap().push(format!("{txn:?} {event:?} {event:#?} {told}"));
        Box::pin(async { Ok(()) })
    }
}

pub async fn consume(world: &World) {
    let seen = Seen::default();
    let builder = Events::builder(world.db.db.clone()).consumer(seen.clone());
    world.show(&builder);
    let events = builder.build().await.unwrap();
    world.show(&events);
    let changed = world.changed().await;
    let id = changed.id.clone().unwrap();
    let txn = events.begin(context()).await.unwrap();
    world.vault().insert(&txn).await.unwrap();
    changed.update(&txn).await.unwrap();
    vault::Entity::find_by_id(id).one(&txn).await.unwrap().unwrap().delete(&txn).await.unwrap();
    txn.commit().await.unwrap();
    seen.show(world);
}

pub async fn scope(world: &World) {
    let seen = Seen::default();
    let events = Events::builder(world.db.db.clone()).consumer(seen.clone()).build().await.unwrap();
    let changed = world.changed().await;
    let work = async {
        let txn = world.db.db.begin().await.unwrap();
        let model = changed.update(&txn).await.unwrap();
        world.vault().insert(&txn).await.unwrap();
        model.delete(&txn).await.unwrap();
        txn.commit().await.unwrap();
    };
    events.scope(context(), work).await.unwrap();
    seen.show(world);
}

/// What can be asked of a model and its definition.
pub async fn look_at_the_model(world: &World) {
    let model = world.stored().await;
    world.show(&model.snapshot());
    world.show(&model.object());
    world.show(&vault::Model::definition());
    world.show(&events_sea_orm::registered().collect::<Vec<_>>());
    let active: ActiveModel = model.into();
    world.show(&(Context::team(1), active.update_with_event(&world.events.connection(context()))));
}
