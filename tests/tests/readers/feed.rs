//! Feeds and timelines: what a team reads of the log, and that it is its own.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use events_sea_orm::{
    ActiveModelEvents, ConsumerError, Context, Event, EventTransaction, EventType, Events, ObjectRef,
    Refused, event, migration,
};
use sea_orm::{
    ActiveModelTrait, ConnectionTrait, DbBackend, DbErr, IntoActiveModel, Set, Statement, TransactionTrait,
    Value,
};
use sea_orm_migration::SchemaManager;
use tests::{
    TEAM, TestDb, context,
    entities::{campaign, tenant},
    new_campaign, refusal,
    seen::Seen,
};

tests::conformance! {
    pages_lose_and_repeat_nothing,
    what_is_asked_for_comes,
    times_are_those_of_the_database,
    teams_are_compared_to_the_letter,
    what_is_of_another_team_is_as_good_as_none,
    the_context_says_whose_events,
    a_unit_of_work_reads_what_is_written,
    what_cannot_be_stored_is_refused,
    the_index_is_used,
    an_actor_has_an_index_after_its_step,
}

async fn set_up(db: &TestDb) -> Events {
    db.with_tables().await;
    Events::builder(db.db.clone()).build().await.unwrap()
}

/// Whether the index of the step is there, and built to its end.
async fn has_actor_index(db: &TestDb) -> bool {
    let sql = match db.db.get_database_backend() {
        DbBackend::Postgres => {
            "SELECT 1 FROM pg_index WHERE indexrelid = to_regclass('events_actor_seq') AND indisvalid"
        }
        DbBackend::MySql => {
            "SELECT 1 FROM information_schema.statistics WHERE table_schema = database() AND index_name = 'events_actor_seq' AND column_name = 'actor_id'"
        }
        _ => "SELECT 1 FROM sqlite_master WHERE name = 'events_actor_seq'",
    };
    let found = db.db.query_one_raw(Statement::from_string(db.db.get_database_backend(), sql)).await;
    found.unwrap().is_some()
}

async fn an_actor_has_an_index_after_its_step(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    emit(&events, "7", &["a", "b"]).await;
    let step = || migration::actor_index::steps().pop().expect("one step");
    assert!(!has_actor_index(&db).await);
    let found = async || events.verify().await.unwrap().to_string();
    let before = found().await;
    for _ in 0..2 {
        migration::actor_index::up(&db.db).await.unwrap();
        assert!(has_actor_index(&db).await);
    }
    let connection = events.connection(Context::team(7));
    assert_eq!(connection.feed().actor("ada").count().await.unwrap(), 2);
    assert_eq!(found().await, before, "the self-check knows of it");
    for _ in 0..2 {
        migration::actor_index::down(&db.db).await.unwrap();
        assert!(!has_actor_index(&db).await);
    }
    // In a transaction of the application's own, and after one that was not finished.
    let txn = db.db.begin().await.unwrap();
    step().up(&SchemaManager::new(&txn)).await.unwrap();
    txn.commit().await.unwrap();
    assert!(has_actor_index(&db).await);
    if db.db.get_database_backend() == DbBackend::Postgres {
        let unfinished =
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'events_actor_seq'::regclass";
        db.db.execute_unprepared(unfinished).await.unwrap();
        assert!(!has_actor_index(&db).await);
        migration::actor_index::up(&db.db).await.unwrap();
        assert!(has_actor_index(&db).await);
    }
}

/// Emits events of these names for a team, in one unit of work.
async fn emit(events: &Events, team: &str, names: &[&str]) {
    let txn = events.begin(Context::team(team).actor("ada")).await.unwrap();
    for name in names {
        txn.emit(Event::custom(*name)).await.unwrap();
    }
    txn.commit().await.unwrap();
}

fn types(found: Result<Vec<event::Model>, DbErr>) -> Vec<String> {
    found.unwrap().into_iter().map(|row| row.event_type).collect()
}

fn seqs(found: &[event::Model]) -> Vec<i64> {
    found.iter().map(|row| row.seq).collect()
}

async fn pages_lose_and_repeat_nothing(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    for _ in 0..10 {
        emit(&events, "7", &["a", "b", "c"]).await;
        emit(&events, "8", &["x"]).await;
    }
    let log = db.log().await;
    let own: Vec<i64> = log.iter().filter(|row| row.team_id == "7").map(|row| row.seq).collect();
    let reversed: Vec<i64> = own.iter().rev().copied().collect();
    let db = events.connection(context());
    assert_eq!(seqs(&db.feed().all().await.unwrap()), reversed);
    assert_eq!(seqs(&db.feed().oldest_first().all().await.unwrap()), own);
    for size in [1, 7, 29, 30, 31] {
        let (mut newest, mut oldest) = (Vec::new(), Vec::new());
        loop {
            let before = newest.last().copied().unwrap_or(i64::MAX);
            let page = db.feed().before(before).limit(size).all().await.unwrap();
            newest.extend(seqs(&page));
            let after = oldest.last().copied().unwrap_or(i64::MIN);
            let page = db.feed().oldest_first().after(after).limit(size).all().await.unwrap();
            oldest.extend(seqs(&page));
            if page.is_empty() {
                break;
            }
        }
        assert_eq!((newest, oldest), (reversed.clone(), own.clone()), "pages of {size}");
    }
    let between = db.feed().after(own[3]).before(own[6]).all().await.unwrap();
    assert_eq!(seqs(&between), [own[5], own[4]]);
    assert_eq!(db.feed().one().await.unwrap().map(|row| row.seq), own.last().copied());
    assert_eq!(db.feed().limit(0).all().await.unwrap(), []);
    assert_eq!(db.feed().limit(2).count().await.unwrap(), 30, "a count has no limit");
}

async fn what_is_asked_for_comes(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let model = new_campaign("a").create_with_event(&connection).await.unwrap();
    let other = new_campaign("b").create_with_event(&connection).await.unwrap();
    let mut active = model.clone().into_active_model();
    active.budget = Set(7);
    let grace = events.connection(Context::team(TEAM).actor("grace"));
    active.update_with_event(&grace).await.unwrap();
    let txn = grace.begin().await.unwrap();
    txn.emit(Event::custom("approved").about(&model)).await.unwrap();
    txn.emit(Event::custom("approved").about(ObjectRef::new("price", model.id))).await.unwrap();
    txn.emit(Event::custom("month_closed")).await.unwrap();
    txn.commit().await.unwrap();

    assert_eq!(types(connection.timeline(&model).all().await), ["approved", "UPDATED", "CREATED"]);
    let of = ObjectRef::new("campaign", model.id);
    assert_eq!(types(connection.timeline(of.clone()).oldest_first().limit(1).all().await), ["CREATED"]);
    assert_eq!(connection.timeline(&other).count().await.unwrap(), 1);
    let approved = || EventType::custom("approved").unwrap();
    assert_eq!(connection.feed().event_type(approved()).count().await.unwrap(), 2);
    let two = connection.feed().event_type(approved()).event_type(EventType::Updated);
    assert_eq!(types(two.all().await), ["approved", "approved", "UPDATED"]);
    assert_eq!(connection.feed().object_type("price").count().await.unwrap(), 1);
    assert_eq!(connection.feed().object_type("price").object_type("campaign").count().await.unwrap(), 5);
    assert_eq!(connection.feed().actor("ada").count().await.unwrap(), 2);
    assert_eq!(connection.feed().actor("Ada").count().await.unwrap(), 0);
    let all = connection.feed().actor("grace").event_type(approved()).object_type("campaign");
    assert_eq!(all.one().await.unwrap().unwrap().object_id, Some(model.id.to_string()));
    // A timeline is of its object, whatever else is asked for.
    assert_eq!(connection.timeline(of).object_type("price").count().await.unwrap(), 0);
}

async fn times_are_those_of_the_database(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let long_ago: DateTime<Utc> = "1969-05-01T00:00:00Z".parse().unwrap();
    for name in ["a", "b", "c"] {
        let txn = events.begin(context()).await.unwrap();
        txn.emit(Event::custom(name).occurred_at(long_ago)).await.unwrap();
        txn.commit().await.unwrap();
        // The clock of an event is that of the milliseconds on some databases.
        tokio::time::sleep(std::time::Duration::from_millis(3)).await;
    }
    let log = db.log().await;
    let at = log[1].recorded_at;
    let db = events.connection(context());
    assert_eq!(types(db.feed().recorded_since(at).all().await), ["c", "b"]);
    assert_eq!(types(db.feed().recorded_before(at).all().await), ["a"]);
    assert_eq!(types(db.feed().recorded_since(at).recorded_before(log[2].recorded_at).all().await), ["b"]);
    let tick = TimeDelta::microseconds(1);
    assert_eq!(types(db.feed().recorded_since(at + tick).all().await), ["c"]);
    assert_eq!(types(db.feed().recorded_before(at + tick).all().await), ["b", "a"]);
    let far = TimeDelta::days(36_500);
    assert_eq!(db.feed().recorded_since(at - far).recorded_before(at + far).count().await.unwrap(), 3);
}

async fn teams_are_compared_to_the_letter(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let teams = ["a", "A", "a ", "\u{e1}"];
    for team in teams {
        let txn = events.begin(Context::team(team)).await.unwrap();
        for object in teams {
            txn.emit(Event::custom("seen").about(ObjectRef::new("thing", object))).await.unwrap();
        }
        txn.commit().await.unwrap();
    }
    for team in teams {
        let db = events.connection(Context::team(team));
        let feed = db.feed().all().await.unwrap();
        assert_eq!(feed.len(), 4, "{team:?}");
        assert!(feed.iter().all(|row| row.team_id == team), "{team:?}");
        for object in teams {
            let found = db.timeline(ObjectRef::new("thing", object)).all().await.unwrap();
            assert_eq!(found.len(), 1, "{team:?} {object:?}");
            assert_eq!((&*found[0].team_id, found[0].object_id.as_deref()), (team, Some(object)));
        }
    }
}

async fn what_is_of_another_team_is_as_good_as_none(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let model = new_campaign("a").create_with_event(&events.connection(context())).await.unwrap();
    let foreign = events.connection(Context::team(8));
    let txn = events.begin(Context::team(8)).await.unwrap();
    let of = || ObjectRef::new("campaign", model.id);
    let seq = db.log().await[0].seq;
    for found in [
        foreign.timeline(of()).all().await,
        foreign.feed().all().await,
        foreign.feed().after(seq - 1).before(seq + 1).all().await,
        foreign.feed().actor("ada").object_type("campaign").event_type(EventType::Created).all().await,
        txn.timeline(of()).all().await,
        txn.feed().all().await,
    ] {
        assert_eq!(found.unwrap(), []);
    }
    assert_eq!(foreign.timeline(of()).count().await.unwrap(), 0);
    assert_eq!(txn.feed().one().await.unwrap(), None);
    for error in
        [foreign.timeline(&model).all().await.unwrap_err(), txn.timeline(&model).count().await.unwrap_err()]
    {
        assert!(matches!(refusal(&error), Refused::OtherTeam { .. }), "{error}");
        assert!(!error.to_string().contains('7'), "the other team is not told: {error}");
    }
    // A model that pretends to be of the reader's team shows nothing of the other's events.
    let forged = campaign::Model { team_id: Some(8), ..model.clone() };
    assert_eq!(foreign.timeline(&forged).all().await.unwrap(), []);
    txn.commit().await.unwrap(); // healthy
}

async fn the_context_says_whose_events(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let model = new_campaign("a").create_with_event(&events.connection(context())).await.unwrap();
    emit(&events, "8", &["x"]).await;
    let txn = events.begin(Context::team(8)).await.unwrap();
    txn.emit(Event::custom("y").about(ObjectRef::new("campaign", model.id))).await.unwrap();
    txn.commit().await.unwrap();
    let across = events.connection(Context::all_teams("job", "report"));
    assert_eq!(types(across.feed().all().await), ["y", "x", "CREATED"]);
    // A model says whose it is; a reference alone does not.
    assert_eq!(types(across.timeline(&model).all().await), ["CREATED"]);
    let of = ObjectRef::new("campaign", model.id);
    assert_eq!(types(across.timeline(of.clone()).all().await), ["y", "CREATED"]);
    let none = events.connection(Context::default());
    let new = events.connection(Context::new_team());
    for error in [
        none.feed().all().await.unwrap_err(),
        none.feed().count().await.unwrap_err(),
        none.timeline(of.clone()).one().await.unwrap_err(),
        none.timeline(&model).all().await.unwrap_err(),
        new.feed().all().await.unwrap_err(),
    ] {
        assert!(matches!(refusal(&error), Refused::NoTeam), "{error}");
    }
    let single = Events::builder(db.db.clone()).single_team("8").build().await.unwrap();
    assert_eq!(types(single.connection(Context::default()).feed().all().await), ["y", "x"]);
    assert_eq!(types(single.connection(context()).feed().all().await), ["CREATED"]);
}

/// Notes what the timeline of an event's object is while its unit commits.
async fn note_timeline(txn: &EventTransaction, event: &Event) -> Result<(), ConsumerError> {
    let Some(object) = event.object.clone().filter(|object| object.object_type == "campaign") else {
        return Ok(());
    };
    let seen = txn.timeline(object).count().await?;
    txn.emit(Event::custom("noted").json(serde_json::json!({"seen": seen}))).await?;
    Ok(())
}

async fn a_unit_of_work_reads_what_is_written(db: Arc<TestDb>) {
    db.with_tables().await;
    let events = Events::builder(db.db.clone()).consumer(note_timeline).build().await.unwrap();
    let txn = events.begin(context()).await.unwrap();
    let model = new_campaign("a").insert(&txn).await.unwrap();
    assert_eq!(txn.feed().all().await.unwrap(), [], "written at the commit");
    let nested = txn.begin().await.unwrap();
    assert_eq!(nested.timeline(&model).count().await.unwrap(), 0);
    nested.commit().await.unwrap();
    txn.commit().await.unwrap();
    let txn = events.begin(context()).await.unwrap();
    let noted = txn.feed().event_type(EventType::custom("noted").unwrap()).one().await.unwrap().unwrap();
    assert_eq!(noted.event_data, serde_json::json!({"seen": 1}), "consumers see it");
    assert_eq!(txn.timeline(&model).count().await.unwrap(), 1);
    txn.commit().await.unwrap();
    // A unit that makes its team is of that team from then on.
    let txn = events.begin(Context::new_team().actor("ada")).await.unwrap();
    assert!(matches!(refusal(&txn.feed().all().await.unwrap_err()), Refused::NoTeam));
    let row = tenant::ActiveModel { name: Set("acme".to_owned()), ..Default::default() };
    row.insert(&txn).await.unwrap();
    assert_eq!(txn.feed().all().await.unwrap(), []);
    txn.commit().await.unwrap();
}

async fn what_cannot_be_stored_is_refused(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let txn = events.begin(context()).await.unwrap();
    let long = "x".repeat(192);
    // An object's identifier may be of any length.
    assert_eq!(txn.timeline(ObjectRef::new("campaign", &long)).all().await.unwrap(), []);
    for text in ["", "a\0b", &long] {
        for error in [
            txn.timeline(ObjectRef::new(text, 1)).all().await.unwrap_err(),
            txn.feed().object_type(text).all().await.unwrap_err(),
            txn.feed().actor(text).count().await.unwrap_err(),
        ] {
            assert!(matches!(refusal(&error), Refused::Identifier(_)), "{error}");
        }
    }
    for text in ["", "a\0b"] {
        let error = txn.timeline(ObjectRef::new("campaign", text)).all().await.unwrap_err();
        assert!(matches!(refusal(&error), Refused::Identifier(_)), "{error}");
    }
    for text in ["'; DROP TABLE events; --", "%", "_", "\\", "\u{202e}"] {
        assert_eq!(txn.timeline(ObjectRef::new("campaign", text)).all().await.unwrap(), []);
    }
    txn.commit().await.unwrap(); // healthy
    assert_eq!(db.log().await, []);
}

/// How the database would run a statement, in its own words.
async fn plan(db: &TestDb, sql: &str, values: Vec<Value>) -> String {
    // Each says it in another way.
    let (explain, column) = match db.db.get_database_backend() {
        DbBackend::Postgres => ("EXPLAIN", "QUERY PLAN"),
        DbBackend::Sqlite => ("EXPLAIN QUERY PLAN", "detail"),
        _ => ("EXPLAIN", "key"),
    };
    let backend = db.db.get_database_backend();
    let statement = Statement::from_sql_and_values(backend, format!("{explain} {sql}"), values);
    let rows = db.db.query_all_raw(statement).await.unwrap();
    let lines: Vec<Option<String>> = rows.iter().map(|row| row.try_get("", column).unwrap()).collect();
    lines.into_iter().flatten().collect::<Vec<_>>().join("\n")
}

async fn the_index_is_used(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    for team in ["1", "2", "3", "4"] {
        let txn = events.begin(Context::team(team)).await.unwrap();
        for i in 0..1_000 {
            txn.emit(Event::custom("x").about(ObjectRef::new("thing", i % 100))).await.unwrap();
        }
        txn.commit().await.unwrap();
    }
    let analyze = match db.db.get_database_backend() {
        DbBackend::MySql => "ANALYZE TABLE events",
        _ => "ANALYZE",
    };
    db.db.execute_unprepared(analyze).await.unwrap();
    let (pool, seen) = Seen::on(&db).await;
    let events = Events::builder(pool).build().await.unwrap();
    let connection = events.connection(Context::team("2"));
    let sent = async |feed: events_sea_orm::Feed<'_>| {
        seen.take_texts();
        let found = feed.all().await.unwrap();
        let texts = seen.take_texts();
        let [sql] = texts.iter().filter(|sql| sql.contains("events")).collect::<Vec<_>>()[..] else {
            panic!("one statement: {texts:?}");
        };
        (found.len(), sql.clone())
    };
    let (found, sql) = sent(connection.feed()).await;
    let plan_of_feed = plan(&db, &sql, vec!["2".into(), 100_u64.into()]).await;
    assert_eq!(found, 100);
    assert!(plan_of_feed.contains("events_team_seq"), "{plan_of_feed}\n{sql}");
    let (found, sql) = sent(connection.timeline(ObjectRef::new("thing", 7))).await;
    let values = vec!["2".into(), "thing".into(), "7".into(), 100_u64.into()];
    let plan_of_object = plan(&db, &sql, values).await;
    assert_eq!(found, 10);
    assert!(plan_of_object.contains("events_object_seq"), "{plan_of_object}\n{sql}");
}
