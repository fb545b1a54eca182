//! The tracked verbs for many rows.

use std::{collections::BTreeMap, sync::Arc};

use events_sea_orm::{
    ActiveModelEvents, Context, EntityEvents, Event, EventConnection, EventTransaction, Events, Refused,
    event,
};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, DbBackend, DbErr, EntityTrait, ExprTrait,
    IntoActiveModel, PaginatorTrait, QueryFilter, Set, TransactionTrait,
    sea_query::{Expr, OnConflict, Query},
};
use serde_json::json;
use tests::{
    TEAM, TestDb, context,
    entities::{campaign, price, project},
    new_campaign, refusal, types,
};

tests::conformance! {
    updates_record_what_changed_in_each_row,
    filter_that_its_own_update_changes_stays_true,
    deletes_record_each_row,
    inserts_record_each_row,
    composite_keys_go_together,
    verbs_commit_on_a_connection_and_roll_back_with_a_unit,
    the_team_is_part_of_every_filter,
    keys_and_teams_cannot_be_set,
    a_reason_that_cannot_be_recorded_is_refused_before_anything_is_written,
    chunks_are_written_as_they_come,
    chunks_in_a_nested_unit_go_with_it,
    consumers_see_what_was_written_before_the_commit,
    empty_calls_send_nothing,
    database_error_poisons,
    redacted_values_stay_out,
    before_images_are_true_under_concurrent_writers,
    futures_can_be_spawned,
    upserts_tell_new_rows_from_changed_ones,
    upserts_that_do_nothing_leave_nothing,
    upserts_that_cannot_be_told_are_refused,
    upserts_by_an_index_of_some_rows_are_refused,
    upserts_are_true_under_concurrent_writers,
}

async fn set_up(db: &TestDb) -> (Events, EventConnection) {
    db.with_tables().await;
    let events = Events::builder(db.db.clone()).build().await.unwrap();
    let connection = events.connection(context());
    (events, connection)
}

async fn insert(connection: &EventConnection, names: &[&str]) -> Vec<campaign::Model> {
    let models = names.iter().map(|name| new_campaign(name));
    campaign::Entity::insert_many_with_events(models).exec_with_returning(connection).await.unwrap()
}

async fn log_after(db: &TestDb, before: usize) -> Vec<event::Model> {
    db.log().await.split_off(before)
}

fn objects(log: &[event::Model]) -> Vec<String> {
    log.iter().map(|row| row.object_id.clone().unwrap_or_default()).collect()
}

async fn updates_record_what_changed_in_each_row(db: Arc<TestDb>) {
    let (_, connection) = set_up(&db).await;
    let models = insert(&connection, &["a", "b", "c"]).await;
    let one = campaign::ActiveModel { budget: Set(300), ..models[2].clone().into_active_model() };
    one.update_with_event(&connection).await.unwrap();
    let before = db.log().await.len();
    let updated = campaign::Entity::update_many_with_events()
        .col_expr(campaign::Column::Budget, Expr::value(300))
        .set(campaign::ActiveModel { status: Set(campaign::Status::Live), ..Default::default() })
        .filter(campaign::Column::Name.is_in(["b", "c"]))
        .reason("season")
        .exec_with_returning(&connection)
        .await
        .unwrap();
    assert_eq!(
        updated.iter().map(|row| (row.id, row.budget)).collect::<Vec<_>>(),
        [(models[1].id, 300), (models[2].id, 300)]
    );
    let log = log_after(&db, before).await;
    // The budget of the last was 300 before.
    assert_eq!(types(&log), ["UPDATED", "STATE_CHANGED", "STATE_CHANGED"]);
    assert_eq!(log[0].event_data["changes"], json!({"budget": {"old": 100, "new": 300}}));
    assert_eq!(log[1].event_data["state"], json!({"old": "draft", "new": "live"}));
    assert_eq!(log[1].event_data["reason"], json!("season"));
    assert_eq!(log[0].unit_id, log[2].unit_id);
    let before = before + 3;
    let same =
        campaign::Entity::update_many_with_events().col_expr(campaign::Column::Budget, Expr::value(300));
    let same = same.filter(campaign::Column::Budget.eq(300)).exec(&connection).await.unwrap();
    assert_eq!(same.rows_affected, 2);
    assert!(log_after(&db, before).await.is_empty(), "nothing changed");
    let some = campaign::Entity::update_many_with_events()
        .col_expr(campaign::Column::Budget, Expr::col(campaign::Column::Budget).add(1))
        .col_expr(campaign::Column::Name, Expr::value("x"))
        .track_fields(["name"])
        .exec(&connection)
        .await
        .unwrap();
    assert_eq!(some.rows_affected, 3);
    let log = log_after(&db, before).await;
    assert!(log.iter().all(|row| row.event_data["changes"].get("budget").is_none()), "{log:?}");
    let unknown = campaign::Entity::update_many_with_events().track_fields(["nonsense"]);
    let error =
        unknown.col_expr(campaign::Column::Budget, Expr::value(1)).exec(&connection).await.unwrap_err();
    assert!(matches!(refusal(&error), Refused::UnknownField { .. }));
}

async fn a_reason_that_cannot_be_recorded_is_refused_before_anything_is_written(db: Arc<TestDb>) {
    let (events, connection) = set_up(&db).await;
    let models = insert(&connection, &["a"]).await;
    let unit = events.begin(context()).await.unwrap();
    let reason = "a\0b";
    let insert = campaign::Entity::insert_many_with_events([new_campaign("b")]).reason(reason);
    let update =
        campaign::Entity::update_many_with_events().col_expr(campaign::Column::Budget, Expr::value(1));
    let one = campaign::ActiveModel { budget: Set(2), ..models[0].clone().into_active_model() };
    for refused in [
        insert.exec(&unit).await.map(drop),
        campaign::Entity::insert_with_events(new_campaign("c")).reason(reason).exec(&unit).await.map(drop),
        update.reason(reason).exec(&unit).await.map(drop),
        campaign::Entity::update_with_events(one).reason(reason).exec(&unit).await.map(drop),
        campaign::Entity::delete_many_with_events().reason(reason).exec(&unit).await.map(drop),
    ] {
        let error = refused.unwrap_err();
        assert!(matches!(refusal(&error), Refused::Value { .. }), "{error}");
    }
    unit.commit().await.unwrap();
    assert_eq!(campaign::Entity::find().all(&db.db).await.unwrap(), models);
}

/// Each row is touched once, whatever the update makes of the condition, and a condition over the table is that of
/// before.
async fn filter_that_its_own_update_changes_stays_true(db: Arc<TestDb>) {
    let (_, connection) = set_up(&db).await;
    let names: Vec<String> = (0..40).map(|n| n.to_string()).collect();
    insert(&connection, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let before = db.log().await.len();
    let raise = |by: i64| {
        campaign::Entity::update_many_with_events()
            .col_expr(campaign::Column::Budget, Expr::col(campaign::Column::Budget).add(by))
    };
    let low = Condition::any().add(campaign::Column::Budget.lt(150)).add(campaign::Column::Budget.gt(10_000));
    assert_eq!(raise(100).filter(low).exec(&connection).await.unwrap().rows_affected, 40);
    let average =
        Query::select().expr(Expr::col(campaign::Column::Budget).avg()).from(campaign::Entity).to_owned();
    let average = Expr::col(campaign::Column::Budget).gte(Expr::SubQuery(None, Box::new(average.into())));
    assert_eq!(raise(1).filter(average).exec(&connection).await.unwrap().rows_affected, 40);
    let log = log_after(&db, before).await;
    assert_eq!(log.len(), 80);
    assert!(
        log[..40].iter().all(|row| row.event_data["changes"]["budget"] == json!({"old": 100, "new": 200}))
    );
    assert!(
        log[40..].iter().all(|row| row.event_data["changes"]["budget"] == json!({"old": 200, "new": 201}))
    );
}

async fn deletes_record_each_row(db: Arc<TestDb>) {
    let (_, connection) = set_up(&db).await;
    let models = insert(&connection, &["a", "b", "c"]).await;
    let before = db.log().await.len();
    let gone = campaign::Entity::delete_many_with_events()
        .filter(campaign::Column::Name.ne("b"))
        .reason("over")
        .exec_with_returning(&connection)
        .await
        .unwrap();
    assert_eq!(gone, [models[0].clone(), models[2].clone()]);
    let log = log_after(&db, before).await;
    assert_eq!(types(&log), ["DELETED", "DELETED"]);
    assert_eq!(objects(&log), [models[0].id.to_string(), models[2].id.to_string()]);
    assert_eq!(log[1].event_data["final_values"]["name"], json!("c"));
    assert_eq!(log[1].event_data["reason"], json!("over"));
    let by_id = |id: i32| campaign::Entity::delete_by_id_with_events(id);
    assert_eq!(by_id(models[0].id).exec(&connection).await.unwrap().rows_affected, 0);
    assert_eq!(by_id(models[1].id).exec(&connection).await.unwrap().rows_affected, 1);
    assert_eq!(types(&log_after(&db, before + 2).await), ["DELETED"]);
}

async fn inserts_record_each_row(db: Arc<TestDb>) {
    let (_, connection) = set_up(&db).await;
    // One with a key of its own among those whose key the database makes.
    let mut models: Vec<_> = ["a", "b", "c"].iter().map(|name| new_campaign(name)).collect();
    models[1].id = Set(1_000);
    models[2].notes = Set(Some("n".to_owned()));
    let rows =
        campaign::Entity::insert_many_with_events(models).exec_with_returning(&connection).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!((rows[1].id, rows[0].notes.as_deref(), rows[2].notes.as_deref()), (1_000, None, Some("n")));
    let log = db.log().await;
    assert_eq!(types(&log), ["CREATED", "CREATED", "CREATED"]);
    assert_eq!(objects(&log), rows.iter().map(|row| row.id.to_string()).collect::<Vec<_>>());
    assert_eq!(log[2].event_data["initial_values"]["budget"], json!(100));
    let stored = campaign::Entity::find().all(&db.db).await.unwrap();
    assert_eq!(stored.len(), 3);
    assert!(rows.iter().all(|row| stored.contains(row)));
}

async fn composite_keys_go_together(db: Arc<TestDb>) {
    let (_, connection) = set_up(&db).await;
    let new = |item, lang: &str| price::ActiveModel {
        item: Set(item),
        lang: Set(lang.to_owned()),
        r#type: Set("t".to_owned()),
        cents: Set(i64::from(item)),
        internal: Set(None),
    };
    let models = [new(1, "de"), new(1, "en"), new(2, "de"), new(2, "en")];
    assert_eq!(
        price::Entity::insert_many_with_events(models).exec_without_returning(&connection).await.unwrap(),
        4
    );
    let updated = price::Entity::update_many_with_events()
        .col_expr(price::Column::Cents, Expr::col(price::Column::Cents).mul(10))
        .filter(price::Column::Lang.eq("en"))
        .exec(&connection)
        .await
        .unwrap();
    assert_eq!(updated.rows_affected, 2);
    let gone = price::Entity::delete_many_with_events().filter(price::Column::Item.eq(2));
    assert_eq!(gone.exec(&connection).await.unwrap().rows_affected, 2);
    let gone = price::Entity::delete_by_id_with_events((1, "en".to_owned()));
    assert_eq!(gone.exec(&connection).await.unwrap().rows_affected, 1);
    let log = log_after(&db, 4).await;
    assert_eq!(types(&log), ["UPDATED", "UPDATED", "DELETED", "DELETED", "DELETED"]);
    assert_eq!(objects(&log), ["[1,\"en\"]", "[2,\"en\"]", "[2,\"de\"]", "[2,\"en\"]", "[1,\"en\"]"]);
    assert_eq!(log[1].event_data["changes"]["cents_value"], json!({"old": 2, "new": 20}));
}

async fn verbs_commit_on_a_connection_and_roll_back_with_a_unit(db: Arc<TestDb>) {
    let (events, connection) = set_up(&db).await;
    insert(&connection, &["a"]).await;
    let txn = events.begin(context()).await.unwrap();
    campaign::Entity::insert_many_with_events([new_campaign("b")]).exec(&txn).await.unwrap();
    let nested = txn.begin().await.unwrap();
    campaign::Entity::delete_many_with_events().exec(&nested).await.unwrap();
    nested.rollback().await.unwrap();
    let raised =
        campaign::Entity::update_many_with_events().col_expr(campaign::Column::Budget, Expr::value(1));
    assert_eq!(raised.exec(&txn).await.unwrap().rows_affected, 2);
    txn.commit().await.unwrap();
    assert_eq!(types(&db.log().await), ["CREATED", "CREATED", "UPDATED", "UPDATED"]);
    let txn = events.begin(context()).await.unwrap();
    campaign::Entity::delete_many_with_events().exec(&txn).await.unwrap();
    txn.rollback().await.unwrap();
    assert_eq!(campaign::Entity::find().count(&db.db).await.unwrap(), 2);
    assert_eq!(db.log().await.len(), 4);
}

async fn the_team_is_part_of_every_filter(db: Arc<TestDb>) {
    let (events, connection) = set_up(&db).await;
    insert(&connection, &["a"]).await;
    let other = events.connection(Context::team(8).actor("eve"));
    let foreign = campaign::ActiveModel { team_id: Set(Some(8)), ..new_campaign("theirs") };
    let nobodys = campaign::ActiveModel { team_id: Set(None), ..new_campaign("nobody's") };
    campaign::Entity::insert_many_with_events([foreign.clone()]).exec(&other).await.unwrap();
    campaign::Entity::insert(nobodys).exec(&db.db).await.unwrap();
    let id = campaign::Entity::find()
        .filter(campaign::Column::TeamId.eq(8))
        .one(&db.db)
        .await
        .unwrap()
        .unwrap()
        .id;
    let txn = events.begin(context()).await.unwrap();
    let update =
        campaign::Entity::update_many_with_events().col_expr(campaign::Column::Budget, Expr::value(1));
    // A right guess of another team's value answers as a wrong one does.
    for guess in ["theirs", "wrong"] {
        let guessed = update.clone().filter(campaign::Column::ApiKey.eq(guess));
        assert_eq!(guessed.exec(&txn).await.unwrap().rows_affected, 0);
        let guessed = campaign::Entity::delete_many_with_events().filter(campaign::Column::ApiKey.eq(guess));
        assert_eq!(guessed.exec(&txn).await.unwrap().rows_affected, 0);
    }
    for id in [id, 999] {
        let gone = campaign::Entity::delete_by_id_with_events(id).exec(&txn).await.unwrap();
        assert_eq!(gone.rows_affected, 0);
    }
    // Nor does a text that ends the parentheses around it reach one.
    for text in ["1 = 1) OR (1 = 1", "(1 = 1", "1 = 1)", "name = ')') OR (api_key = '('"] {
        let escaped = update.clone().filter(Expr::cust(text)).exec(&txn).await.unwrap_err();
        assert!(matches!(refusal(&escaped), Refused::UnknownSql { .. }), "{text}: {escaped}");
        let escaped = campaign::Entity::delete_many_with_events().filter(Expr::cust(text));
        let escaped = escaped.exec(&txn).await.unwrap_err();
        assert!(matches!(refusal(&escaped), Refused::UnknownSql { .. }), "{text}: {escaped}");
    }
    let odd = update.clone().filter(Expr::cust("name <> '(' AND (name = 'a' OR name = ')')"));
    assert_eq!(odd.exec(&txn).await.unwrap().rows_affected, 1);
    assert_eq!(update.clone().exec(&txn).await.unwrap().rows_affected, 1);
    let returned = update.clone().exec_with_returning(&txn).await.unwrap();
    assert_eq!(returned.iter().map(|row| row.team_id).collect::<Vec<_>>(), [Some(TEAM)]);
    let error =
        campaign::Entity::insert_many_with_events([new_campaign("b"), foreign]).exec(&txn).await.unwrap_err();
    assert!(matches!(refusal(&error), Refused::OtherTeam { .. }), "{error}");
    assert!(!error.to_string().contains('8'), "{error}");
    txn.commit().await.unwrap();
    assert_eq!(types(&db.log().await), ["CREATED", "CREATED", "UPDATED"]);
    let untouched = campaign::Entity::find().filter(campaign::Column::Budget.eq(100)).count(&db.db).await;
    assert_eq!(untouched.unwrap(), 2, "theirs, and the one of no team");
    // Across teams each row has its own; one of none is refused.
    let all = events.connection(Context::all_teams("job", "reset"));
    let update =
        campaign::Entity::update_many_with_events().col_expr(campaign::Column::Budget, Expr::value(2));
    let error = update.clone().exec(&all).await.unwrap_err();
    assert!(matches!(refusal(&error), Refused::NullTeam { .. }), "{error}");
    update.filter(campaign::Column::TeamId.is_not_null()).exec(&all).await.unwrap();
    let log = log_after(&db, 3).await;
    assert_eq!(log.iter().map(|row| row.team_id.as_str()).collect::<Vec<_>>(), ["7", "8"]);
    let all = campaign::Entity::delete_many_with_events().exec(&connection).await.unwrap();
    assert_eq!(all.rows_affected, 1);
    assert_eq!(campaign::Entity::find().count(&db.db).await.unwrap(), 2);
}

async fn keys_and_teams_cannot_be_set(db: Arc<TestDb>) {
    let (_, connection) = set_up(&db).await;
    insert(&connection, &["a"]).await;
    for column in [campaign::Column::Id, campaign::Column::TeamId] {
        let update = campaign::Entity::update_many_with_events().col_expr(column, Expr::value(9));
        let error = update.exec(&connection).await.unwrap_err();
        assert!(matches!(refusal(&error), Refused::FixedColumn { .. }), "{error}");
    }
    assert_eq!(db.log().await.len(), 1);
}

const MANY: usize = 11_000;

fn many() -> Vec<project::ActiveModel> {
    (0..MANY)
        .map(|n| project::ActiveModel { team_id: Set(TEAM), name: Set(n.to_string()), ..Default::default() })
        .collect()
}

/// More rows than one statement takes, in one unit: every event once, in the order of the keys, under the unit's id.
async fn chunks_are_written_as_they_come(db: Arc<TestDb>) {
    let (events, _) = set_up(&db).await;
    let txn = events.begin(context()).await.unwrap();
    txn.emit(Event::custom("begun")).await.unwrap();
    project::Entity::insert_many_with_events(many()).exec(&txn).await.unwrap();
    let update = project::Entity::update_many_with_events().col_expr(project::Column::Name, Expr::value("x"));
    assert_eq!(update.exec(&txn).await.unwrap().rows_affected, MANY as u64);
    let gone = project::Entity::delete_many_with_events().exec(&txn).await.unwrap();
    assert_eq!(gone.rows_affected, MANY as u64);
    txn.emit(Event::custom("ended")).await.unwrap();
    let unit_id = txn.unit_id();
    txn.commit().await.unwrap();
    let log = db.log().await;
    assert_eq!(log.len(), 3 * MANY + 2);
    assert_eq!(log[0].id, unit_id, "by which the unit can be looked for");
    assert!(log.iter().all(|row| row.unit_id == unit_id));
    assert_eq!((log[0].event_type.as_str(), log.last().unwrap().event_type.as_str()), ("begun", "ended"));
    let mut histories: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for row in &log[1..=3 * MANY] {
        histories.entry(row.object_id.as_deref().unwrap()).or_default().push(&row.event_type);
    }
    assert_eq!(histories.len(), MANY);
    assert!(histories.values().all(|history| history == &["CREATED", "UPDATED", "DELETED"]));
    let outcome = events.outcome_of(unit_id).await.unwrap();
    assert_eq!(outcome, events_sea_orm::Outcome::Committed);
}

async fn chunks_in_a_nested_unit_go_with_it(db: Arc<TestDb>) {
    let (events, _) = set_up(&db).await;
    for waiting in [false, true] {
        let before = db.log().await.len();
        let txn = events.begin(context()).await.unwrap();
        if waiting {
            txn.emit(Event::custom("begun")).await.unwrap();
        }
        let nested = txn.begin().await.unwrap();
        project::Entity::insert_many_with_events(many()).exec(&nested).await.unwrap();
        nested.rollback().await.unwrap();
        let nested = txn.begin().await.unwrap();
        project::Entity::insert_many_with_events(many()).exec(&nested).await.unwrap();
        nested.commit().await.unwrap();
        txn.emit(Event::custom("ended")).await.unwrap();
        let unit_id = txn.unit_id();
        txn.commit().await.unwrap();
        let log = log_after(&db, before).await;
        assert_eq!(log.len(), MANY + 1 + usize::from(waiting));
        assert_eq!(log[0].id, unit_id);
        assert_eq!(log.first().unwrap().event_type, if waiting { "begun" } else { "CREATED" });
        assert_eq!(log.last().unwrap().event_type, "ended");
    }
}

async fn consumers_see_what_was_written_before_the_commit(db: Arc<TestDb>) {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static SEEN: AtomicUsize = AtomicUsize::new(0);
    async fn count(txn: &EventTransaction, event: &Event) -> Result<(), events_sea_orm::ConsumerError> {
        SEEN.fetch_add(1, Ordering::Relaxed);
        if event.event_type.as_str() == "ended" {
            txn.emit(Event::custom("seen")).await?;
        }
        Ok(())
    }
    db.with_tables().await;
    let start = SEEN.load(Ordering::Relaxed);
    let events = Events::builder(db.db.clone()).consumer(count).build().await.unwrap();
    let txn = events.begin(context()).await.unwrap();
    project::Entity::insert_many_with_events(many()).exec(&txn).await.unwrap();
    txn.emit(Event::custom("ended")).await.unwrap();
    txn.commit().await.unwrap();
    // Other databases' cases run at the same time in this process.
    assert!(SEEN.load(Ordering::Relaxed) - start >= MANY + 2);
    assert_eq!(db.log().await.len(), MANY + 2);
}

async fn empty_calls_send_nothing(db: Arc<TestDb>) {
    let (events, connection) = set_up(&db).await;
    let txn = events.begin(context()).await.unwrap();
    let none: [campaign::ActiveModel; 0] = [];
    assert_eq!(
        campaign::Entity::insert_many_with_events(none).exec_without_returning(&txn).await.unwrap(),
        0
    );
    assert_eq!(campaign::Entity::update_many_with_events().exec(&txn).await.unwrap().rows_affected, 0);
    assert_eq!(campaign::Entity::delete_many_with_events().exec(&txn).await.unwrap().rows_affected, 0);
    txn.commit().await.unwrap();
    let none: [campaign::ActiveModel; 0] = [];
    assert_eq!(
        campaign::Entity::insert_many_with_events(none).exec_without_returning(&connection).await.unwrap(),
        0
    );
    assert!(db.log().await.is_empty());
}

async fn database_error_poisons(db: Arc<TestDb>) {
    let (events, connection) = set_up(&db).await;
    insert(&connection, &["a"]).await;
    let txn = events.begin(context()).await.unwrap();
    let twice = [new_campaign("b"), new_campaign("a")];
    let error = campaign::Entity::insert_many_with_events(twice).exec(&txn).await.unwrap_err();
    assert!(!error.to_string().contains("key-a"), "redacted: {error}");
    assert!(matches!(txn.commit().await.unwrap_err(), events_sea_orm::CommitError::Refused(_)));
    let unchanged = campaign::Entity::find().count(&db.db).await.unwrap();
    assert_eq!((unchanged, db.log().await.len()), (1, 1));
}

async fn redacted_values_stay_out(db: Arc<TestDb>) {
    let (_, connection) = set_up(&db).await;
    insert(&connection, &["s3cr3t"]).await;
    let update = campaign::Entity::update_many_with_events()
        .col_expr(campaign::Column::ApiKey, Expr::value("key-s3cr3t-too"))
        .col_expr(campaign::Column::Name, Expr::value("open"));
    assert!(
        !format!("{:?}", campaign::Entity::insert_many_with_events([new_campaign("s3cr3t")]))
            .contains("s3cr3t")
    );
    update.exec(&connection).await.unwrap();
    campaign::Entity::delete_many_with_events().exec(&connection).await.unwrap();
    let log = db.log().await;
    assert_eq!(log[1].event_data["redacted"], json!(["api_key"]));
    assert!(log.iter().all(|row| !row.event_data.to_string().contains("key-")), "{log:?}");
}

/// Eight writers raise the same rows by single saves and by bulk calls: every `old` is the `new` before it.
async fn before_images_are_true_under_concurrent_writers(db: Arc<TestDb>) {
    let (_, connection) = set_up(&db).await;
    let models = insert(&connection, &["a", "b", "c", "d", "e", "f"]).await;
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8 {
        let (connection, models) = (connection.clone(), models.clone());
        tasks.spawn(async move {
            for turn in 0..12 {
                if (task + turn) % 3 == 0 {
                    let txn = connection.begin().await?;
                    let model = &models[(task + turn) % models.len()];
                    let row = campaign::Entity::find_by_id(model.id).one(&txn).await?.unwrap();
                    let mut active = row.into_active_model();
                    active.budget = Set((task * 1_000 + turn) as i64);
                    active.update(&txn).await?;
                    txn.commit().await?;
                } else {
                    campaign::Entity::update_many_with_events()
                        .col_expr(campaign::Column::Budget, Expr::col(campaign::Column::Budget).add(1))
                        .filter(campaign::Column::Id.ne(models[turn % models.len()].id))
                        .exec(&connection)
                        .await?;
                }
            }
            Ok::<_, DbErr>(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap().unwrap();
    }
    let mut budgets: BTreeMap<String, serde_json::Value> = BTreeMap::new();
    for row in db.log().await {
        let object = row.object_id.unwrap();
        if row.event_type == "CREATED" {
            budgets.insert(object, row.event_data["initial_values"]["budget"].clone());
            continue;
        }
        let change = &row.event_data["changes"]["budget"];
        assert_eq!(budgets.insert(object, change["new"].clone()).unwrap(), change["old"]);
    }
    for row in campaign::Entity::find().all(&db.db).await.unwrap() {
        assert_eq!(budgets[&row.id.to_string()], json!(row.budget));
    }
}

async fn futures_can_be_spawned(db: Arc<TestDb>) {
    let (_, connection) = set_up(&db).await;
    insert(&connection, &["a"]).await;
    let task = tokio::spawn(async move {
        let update =
            campaign::Entity::update_many_with_events().col_expr(campaign::Column::Budget, Expr::value(1));
        update.exec(&connection).await?;
        connection
            .untracked("spawned", async |txn| txn.execute_unprepared("DELETE FROM campaigns").await.map(drop))
            .await?;
        let deleted = campaign::Entity::delete_many_with_events().exec(&connection).await?;
        Ok::<_, DbErr>(deleted.rows_affected)
    });
    assert_eq!(task.await.unwrap().unwrap(), 0);
    assert_eq!(types(&db.log().await), ["CREATED", "UPDATED", "untracked_write"]);
}

fn price_of(item: i32, lang: &str, cents: i64) -> price::ActiveModel {
    price::ActiveModel {
        item: Set(item),
        lang: Set(lang.to_owned()),
        r#type: Set("t".to_owned()),
        cents: Set(cents),
        internal: Set(None),
    }
}

fn by_key() -> OnConflict {
    OnConflict::columns([price::Column::Item, price::Column::Lang])
        .update_column(price::Column::Cents)
        .to_owned()
}

async fn upserts_tell_new_rows_from_changed_ones(db: Arc<TestDb>) {
    let (_, connection) = set_up(&db).await;
    price::Entity::insert_many_with_events([price_of(1, "de", 10), price_of(1, "en", 20)])
        .exec(&connection)
        .await
        .unwrap();
    let rows = [price_of(1, "en", 21), price_of(2, "en", 30), price_of(1, "de", 10)];
    let written = price::Entity::insert_many_with_events(rows)
        .on_conflict(by_key())
        .reason("list of May")
        .exec_with_returning(&connection)
        .await
        .unwrap();
    assert_eq!(written.len(), 3);
    let log = log_after(&db, 2).await;
    let mut seen: Vec<_> =
        log.iter().map(|row| (row.event_type.as_str(), row.object_id.as_deref().unwrap())).collect();
    seen.sort_unstable();
    assert_eq!(seen, [("CREATED", "[2,\"en\"]"), ("UPDATED", "[1,\"en\"]")]);
    let updated = log.iter().find(|row| row.event_type == "UPDATED").unwrap();
    assert_eq!(updated.event_data["changes"], json!({"cents_value": {"old": 20, "new": 21}}));
    // By another unique column than the key.
    insert(&connection, &["a"]).await;
    let before = db.log().await.len();
    let by_api_key =
        OnConflict::column(campaign::Column::ApiKey).update_columns([campaign::Column::Budget]).to_owned();
    let rows = ["a", "b"].map(|name| campaign::ActiveModel { budget: Set(500), ..new_campaign(name) });
    let written = campaign::Entity::insert_many_with_events(rows).on_conflict(by_api_key);
    assert_eq!(written.exec_without_returning(&connection).await.unwrap(), 2);
    let mut kinds = types(&log_after(&db, before).await).iter().map(ToString::to_string).collect::<Vec<_>>();
    kinds.sort_unstable();
    assert_eq!(kinds, ["CREATED", "UPDATED"]);
    assert_eq!(campaign::Entity::find().count(&db.db).await.unwrap(), 2);
}

async fn upserts_that_do_nothing_leave_nothing(db: Arc<TestDb>) {
    let (_, connection) = set_up(&db).await;
    price::Entity::insert_many_with_events([price_of(1, "de", 10)]).exec(&connection).await.unwrap();
    let keys = [price::Column::Item, price::Column::Lang];
    for on_conflict in [
        OnConflict::columns(keys).do_nothing().to_owned(),
        OnConflict::columns(keys).do_nothing_on(keys).to_owned(),
    ] {
        let before = db.log().await.len();
        let rows = [
            price_of(1, "de", 11),
            price_of(before as i32 + 1, "de", 12),
            price_of(before as i32 + 1, "de", 13),
        ];
        let written = price::Entity::insert_many_with_events(rows).on_conflict(on_conflict);
        assert_eq!(written.exec_without_returning(&connection).await.unwrap(), 1);
        let log = log_after(&db, before).await;
        assert_eq!(types(&log), ["CREATED"]);
        assert_eq!(log[0].event_data["initial_values"]["cents_value"], json!(12));
    }
    let rows = price::Entity::find().filter(price::Column::Item.eq(1)).all(&db.db).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.cents).collect::<Vec<_>>(), [10]);
}

/// Which rows meet in such an index depends on what is in them, and in the row that is inserted.
async fn upserts_by_an_index_of_some_rows_are_refused(db: Arc<TestDb>) {
    let (events, connection) = set_up(&db).await;
    let some = || {
        let name = OnConflict::column(campaign::Column::Name);
        name.clone().target_and_where(Expr::cust("status = 'live'")).to_owned()
    };
    let backend = db.db.get_database_backend();
    if backend != DbBackend::MySql {
        let index = "CREATE UNIQUE INDEX live_names ON campaigns (name) WHERE status = 'live'";
        db.db.execute_unprepared(index).await.unwrap();
    }
    let there = campaign::ActiveModel { api_key: Set("other".to_owned()), ..new_campaign("a") };
    there.create_with_event(&connection).await.unwrap();
    let txn = events.begin(context()).await.unwrap();
    for on_conflict in [
        some().do_nothing().to_owned(),
        some().update_column(campaign::Column::Budget).to_owned(),
        OnConflict::new().target_and_where(Expr::cust("status = 'live'")).do_nothing().to_owned(),
    ] {
        let one = campaign::Entity::insert_with_events(new_campaign("a")).on_conflict(on_conflict.clone());
        let many = campaign::Entity::insert_many_with_events([new_campaign("a")]).on_conflict(on_conflict);
        for error in [
            one.exec_without_returning(&txn).await.unwrap_err(),
            many.exec_without_returning(&txn).await.unwrap_err(),
        ] {
            assert!(matches!(refusal(&error), Refused::ConflictCondition { .. }), "{error}");
            assert!(error.to_string().contains("target_and_where"), "{error}");
        }
    }
    // Nothing was sent, and a row that is in no such index is inserted.
    new_campaign("a").insert(&txn).await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(types(&db.log().await), ["CREATED", "CREATED"]);
}

async fn upserts_that_cannot_be_told_are_refused(db: Arc<TestDb>) {
    let (events, connection) = set_up(&db).await;
    let txn = events.begin(context()).await.unwrap();
    let twice = price::Entity::insert_many_with_events([price_of(1, "de", 1), price_of(1, "de", 2)]);
    let error = twice.on_conflict(by_key()).exec(&txn).await.unwrap_err();
    assert!(matches!(refusal(&error), Refused::RepeatedRow { .. }), "{error}");
    let nowhere = OnConflict::new().update_column(price::Column::Cents).to_owned();
    let one = price::Entity::insert_many_with_events([price_of(1, "de", 1)]);
    let error = one.on_conflict(nowhere).exec(&txn).await.unwrap_err();
    assert!(matches!(refusal(&error), Refused::ConflictColumns { .. }), "{error}");
    // A row of another team is found before it is changed.
    let other = events.connection(Context::team(8).actor("eve"));
    drop(txn.rollback().await);
    let theirs = campaign::ActiveModel { team_id: Set(Some(8)), ..new_campaign("x") };
    campaign::Entity::insert_many_with_events([theirs]).exec(&other).await.unwrap();
    let by_api_key =
        OnConflict::column(campaign::Column::ApiKey).update_columns([campaign::Column::Budget]).to_owned();
    let ours = campaign::Entity::insert_many_with_events([campaign::ActiveModel {
        budget: Set(1),
        ..new_campaign("x")
    }]);
    let error = ours.on_conflict(by_api_key).exec(&connection).await.unwrap_err();
    assert!(matches!(refusal(&error), Refused::KeyTaken), "{error}");
    assert_eq!(campaign::Entity::find().one(&db.db).await.unwrap().unwrap().budget, 100);
}

/// Upserts of the same rows, new and old, by six writers: those that met are refused, and what is there is told.
async fn upserts_are_true_under_concurrent_writers(db: Arc<TestDb>) {
    let (_, connection) = set_up(&db).await;
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..6_i64 {
        let connection = connection.clone();
        tasks.spawn(async move {
            for turn in 0..15_i32 {
                let rows = [price_of(turn, "de", task), price_of(turn + 1, "de", 100 + task)];
                let upsert = price::Entity::insert_many_with_events(rows).on_conflict(by_key());
                let _ = upsert.exec(&connection).await; // a deadlock, or a row that came in between
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let mut cents: BTreeMap<String, serde_json::Value> = BTreeMap::new();
    for row in db.log().await {
        let object = row.object_id.unwrap();
        if row.event_type == "CREATED" {
            let value = row.event_data["initial_values"]["cents_value"].clone();
            assert_eq!(cents.insert(object, value), None);
        } else {
            let change = &row.event_data["changes"]["cents_value"];
            assert_eq!(cents.insert(object, change["new"].clone()).unwrap(), change["old"]);
        }
    }
    let rows = price::Entity::find().all(&db.db).await.unwrap();
    assert_eq!((rows.len(), cents.len()), (16, 16), "some must have passed");
    for row in rows {
        assert_eq!(cents[&format!("[{},\"de\"]", row.item)], json!(row.cents));
    }
}
