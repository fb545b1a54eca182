//! An application that is being made tracked: its first days, its seeds, its transactions in SeaORM's words.

use std::sync::Mutex;

use events_sea_orm::{EntityEvents, ModelEvents, migration};
use sea_orm::{DatabaseConnection, TransactionError};
use sea_orm_migration::{
    MigrationName, MigrationTrait, MigratorTrait, SchemaManager,
    sea_orm::{Iterable, Schema},
};
use tracing::instrument::WithSubscriber;
use tracing_subscriber::{Layer, layer::SubscriberExt};

use super::*;

tests::conformance! {
    what_is_being_adopted_is_warned_of_and_counted,
    one_adoption_opens_no_other_events,
    seeds_of_a_migration_leave_events,
    seeds_go_back_with_their_migration,
    seeds_before_the_log_say_what_to_do,
    async_callbacks_commit_and_roll_back,
    models_are_deleted_with_their_event,
}
mod secured {
    tests::on_postgres! { seeds_know_their_team_under_row_level_security }
    use super::seeds_know_their_team_under_row_level_security;
}

/// The warnings about campaigns.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl<S: tracing::Subscriber> Layer<S> for Warnings {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        if *event.metadata().level() == tracing::Level::WARN {
            let mut text = Text::default();
            event.record(&mut text);
            self.0.lock().unwrap().push(text.0);
        }
    }
}

#[derive(Default)]
struct Text(String);

impl tracing::field::Visit for Text {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!("{field}={value:?} "));
    }
}

async fn what_is_being_adopted_is_warned_of_and_counted(db: Arc<TestDb>) {
    db.with_tables().await;
    new_campaign("refused").insert(&db.db).await.unwrap_err();
    let events = Events::builder(db.db.clone()).adopting(true).build().await.unwrap();
    let warnings = Warnings::default();
    let subscriber = tracing_subscriber::registry().with(warnings.clone());
    let saves = async {
        let mut active = new_campaign("a").insert(&db.db).await.unwrap().into_active_model();
        let txn = db.db.begin().await.unwrap();
        active.budget = Set(5);
        let model = active.update(&txn).await.unwrap();
        txn.commit().await.unwrap();
        model
    };
    let model = saves.with_subscriber(subscriber).await;
    assert_eq!(events.unrecorded_writes(), 2);
    let warned = warnings.0.lock().unwrap().clone();
    assert!(warned.len() == 1 && warned[0].contains("campaign"), "once for each entity: {warned:?}");
    // On its own connections and units too.
    let connection = events.connection(context());
    new_campaign("b").insert(&connection).await.unwrap();
    campaign::Entity::insert(new_campaign("c")).exec(&connection).await.unwrap();
    let txn = connection.begin().await.unwrap();
    txn.execute_unprepared("UPDATE campaigns SET budget = 7").await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(events.unrecorded_writes(), 5);
    assert!(db.log().await.is_empty());
    // What has a context is recorded as ever.
    model.into_active_model().delete_with_event(&connection).await.unwrap();
    assert_eq!(types(&db.log().await), ["DELETED"]);
    assert_eq!(events.unrecorded_writes(), 5);
}

async fn one_adoption_opens_no_other_events(db: Arc<TestDb>) {
    let strict = set_up(&db).await;
    let other = TestDb::sqlite().await;
    other.with_tables().await;
    let adopting = Events::builder(db.db.clone()).adopting(true).build().await.unwrap();
    let model = new_campaign("a").insert(&db.db).await.unwrap();
    // Another database.
    let error = new_campaign("a").insert(&other.db).await.unwrap_err();
    assert!(matches!(refusal(&error), Refused::NoContext { .. }));
    let txn = other.db.begin().await.unwrap();
    new_campaign("a").insert(&txn).await.unwrap_err();
    txn.rollback().await.unwrap();
    other.drop().await;
    // Another `Events` of the same.
    let connection = strict.connection(context());
    new_campaign("b").insert(&connection).await.unwrap_err();
    campaign::Entity::delete_by_id(model.id).exec(&connection).await.unwrap_err();
    let unit = connection.begin().await.unwrap();
    campaign::Entity::delete_by_id(model.id).exec(&unit).await.unwrap_err();
    unit.rollback().await.unwrap();
    assert_eq!((adopting.unrecorded_writes(), strict.unrecorded_writes()), (1, 0));
    // It ends with the one that allowed it.
    drop(adopting);
    new_campaign("c").insert(&db.db).await.unwrap_err();
    assert_eq!(campaign::Entity::find().count(&db.db).await.unwrap(), 1);
}

/// Creates the table and puts a row into it.
struct Campaigns;

impl MigrationName for Campaigns {
    fn name(&self) -> &str {
        "m2_campaigns"
    }
}

#[sea_orm_migration::async_trait::async_trait]
impl MigrationTrait for Campaigns {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let schema = Schema::new(manager.get_database_backend());
        manager.create_table(schema.create_table_from_entity(campaign::Entity)).await?;
        let seed = new_campaign("seed");
        migration::seed(manager, context(), async |db| seed.insert(db).await).await?;
        migration::seed_unrecorded(manager, async |db| new_campaign("silent").insert(db).await).await?;
        Ok(())
    }
}

struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        let mut steps = migration::steps();
        steps.push(Box::new(Campaigns));
        steps
    }
}

async fn names(db: &DatabaseConnection) -> Vec<String> {
    let mut rows = campaign::Entity::find().all(db).await.unwrap();
    rows.sort_by_key(|row| row.id);
    rows.into_iter().map(|row| row.name).collect()
}

async fn seeds_of_a_migration_leave_events(db: Arc<TestDb>) {
    Migrator::up(&db.db, None).await.unwrap();
    assert_eq!(names(&db.db).await, ["seed", "silent"]);
    let log = db.log().await;
    assert_eq!(types(&log), ["CREATED"]);
    assert_eq!((log[0].team_id.as_str(), log[0].actor_id.as_deref()), ("7", Some("ada")));
    assert_eq!(log[0].event_data["initial_values"]["name"], "seed");
    // What came after goes on as ever.
    new_campaign("late").insert(&db.db).await.unwrap_err();
    let events = Events::builder(db.db.clone()).build().await.unwrap();
    new_campaign("late").create_with_event(&events.connection(context())).await.unwrap();
    assert_eq!(campaign::Column::iter().count(), 7);
}

async fn seeds_go_back_with_their_migration(db: Arc<TestDb>) {
    db.with_tables().await;
    let txn = db.db.begin().await.unwrap();
    let manager = SchemaManager::new(&txn);
    migration::seed(&manager, context(), async |db| new_campaign("a").insert(db).await).await.unwrap();
    let failed = migration::seed(&manager, context(), async |db| {
        new_campaign("b").insert(db).await?;
        Err::<(), _>(DbErr::Custom("changed its mind".to_owned()))
    });
    assert!(failed.await.unwrap_err().to_string().contains("changed its mind"));
    migration::seed_unrecorded(&manager, async |db| new_campaign("c").insert(db).await).await.unwrap();
    txn.rollback().await.unwrap();
    assert!(names(&db.db).await.is_empty() && db.log().await.is_empty());
    // Unless that transaction commits.
    let txn = db.db.begin().await.unwrap();
    let manager = SchemaManager::new(&txn);
    let bulk = async |db: &EventTransaction| {
        campaign::Entity::insert_many_with_events(["d", "e"].map(new_campaign)).exec(db).await
    };
    migration::seed(&manager, context(), bulk).await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(names(&db.db).await, ["d", "e"]);
    assert_eq!(types(&db.log().await), ["CREATED", "CREATED"]);
}

async fn seeds_before_the_log_say_what_to_do(db: Arc<TestDb>) {
    let manager = SchemaManager::new(&db.db);
    let schema = Schema::new(manager.get_database_backend());
    manager.create_table(schema.create_table_from_entity(campaign::Entity)).await.unwrap();
    let early = migration::seed(&manager, context(), async |db| new_campaign("a").insert(db).await);
    let error = early.await.unwrap_err().to_string();
    for part in ["`events_sea_orm::migration::steps()`", "`events_sea_orm::migration::seed_unrecorded(..)`"] {
        assert!(error.contains(part), "{error}");
    }
    migration::seed_unrecorded(&manager, async |db| new_campaign("b").insert(db).await).await.unwrap();
    // The door is the migration's connection alone.
    let elsewhere = migration::seed_unrecorded(&manager, async |_| new_campaign("c").insert(&db.db).await);
    let error = elsewhere.await.unwrap_err();
    assert!(matches!(refusal(&error), Refused::NoContext { .. }));
    assert_eq!(names(&db.db).await, ["b"]);
}

async fn seeds_know_their_team_under_row_level_security(db: Arc<TestDb>) {
    let roles = tests::secured::secured(&db).await;
    let pool = db.open_as(&roles.app, 2).await;
    let manager = SchemaManager::new(&pool);
    migration::seed(&manager, context(), async |db| new_campaign("a").insert(db).await).await.unwrap();
    let txn = pool.begin().await.unwrap();
    let inside = SchemaManager::new(&txn);
    migration::seed(&inside, context(), async |db| new_campaign("b").insert(db).await).await.unwrap();
    txn.commit().await.unwrap();
    let foreign = async |db: &EventTransaction| new_campaign("c").insert(db).await;
    let foreign = migration::seed(&manager, Context::team(8), foreign).await.unwrap_err();
    assert!(matches!(refusal(&foreign), Refused::OtherTeam { .. }));
    assert_eq!(types(&db.log().await), ["CREATED", "CREATED"]);
    pool.close().await.unwrap();
}

async fn async_callbacks_commit_and_roll_back(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let kept = connection.transaction_async::<_, _, DbErr>(async |txn| {
        let model = new_campaign("a").insert(txn).await?;
        let lost: Result<(), TransactionError<DbErr>> = txn
            .transaction_async(async |nested| {
                new_campaign("b").insert(nested).await?;
                Err(DbErr::Custom("lost".to_owned()))
            })
            .await;
        assert!(matches!(lost, Err(TransactionError::Transaction(_))), "{lost:?}");
        Ok(model)
    });
    let model = kept.await.unwrap();
    assert_eq!(campaign::Entity::find().all(&connection).await.unwrap(), [model]);
    assert_eq!(types(&db.log().await), ["CREATED"]);
}

async fn models_are_deleted_with_their_event(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let model = insert(&events, "a").await;
    let deleted = model.delete_with_event(&events.connection(context())).reason("asked").await.unwrap();
    assert_eq!(deleted.rows_affected, 1);
    assert_eq!(types(&db.log().await), ["CREATED", "DELETED"]);
}
