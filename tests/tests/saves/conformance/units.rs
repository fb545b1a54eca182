//! Units of work: rollback, savepoints, poison, outcome.

use futures_util::FutureExt;

use super::*;

tests::conformance! {
    an_isolation_level_for_a_nested_unit_is_refused,
    rollback_and_drop_discard_events,
    savepoints_keep_the_events_of_kept_levels,
    parent_waits_for_its_nested_unit,
    database_error_poisons,
    error_in_a_savepoint_leaves_the_parent_healthy,
    savepoint_dropped_after_an_error_poisons,
    veto_before_the_save_does_not_poison,
    failed_after_hook_poisons,
    failed_after_hook_is_undone_where_its_savepoint_is_open,
    missing_row_does_not_poison,
    text_with_nul_is_refused_before_it_is_sent,
    schema_changes_and_own_table_are_refused,
    outcome_is_found_out,
    dropped_commit_is_all_or_nothing,
    panic_in_a_consumer_rolls_back,
    every_level_above_an_open_one_waits,
    units_that_end_in_the_wrong_order_commit_nothing,
    begin_that_is_cancelled_while_it_waits_opens_nothing,
    refusal_of_a_commit_comes_through_generic_code,
    save_of_another_key_finds_no_row,
    events_are_read_in_the_unit_once_they_are_written,
    joined_saves_chain,
    select_drops_a_save_and_the_unit_with_it,
    one_connection_is_enough,
}

mod servers {
    use super::*;

    tests::on_servers! { read_only_unit_saves_nothing }
}

mod postgres_only {
    #[test]
    fn serialization_failure_commits_nothing() {
        let case = super::serialization_failure_commits_nothing;
        tests::run("serialization_failure_commits_nothing", Some("POSTGRES_URL"), case);
    }
}

mod sqlite_only {
    #[test]
    fn database_in_memory_needs_one_connection() {
        tests::run("database_in_memory_needs_one_connection", None, super::database_in_memory);
    }

    #[test]
    fn commit_that_finds_the_file_busy_commits_nothing() {
        tests::run("commit_that_finds_the_file_busy_commits_nothing", None, super::busy_commit);
    }
}

async fn rollback_and_drop_discard_events(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let txn = events.begin(context()).await.unwrap();
    new_campaign("a").insert(&txn).await.unwrap();
    txn.rollback().await.unwrap();
    let txn = events.begin(context()).await.unwrap();
    new_campaign("b").insert(&txn).await.unwrap();
    drop(txn);
    assert!(db.log().await.is_empty());
    assert_eq!(campaign::Entity::find().count(&db.db).await.unwrap(), 0);
}

async fn savepoints_keep_the_events_of_kept_levels(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let txn = events.begin(context()).await.unwrap();
    new_campaign("one").insert(&txn).await.unwrap();
    let two = txn.begin().await.unwrap();
    new_campaign("two").insert(&two).await.unwrap();
    let three = two.begin().await.unwrap();
    new_campaign("three").insert(&three).await.unwrap();
    three.rollback().await.unwrap();
    two.commit().await.unwrap();
    let dropped = txn.begin().await.unwrap();
    new_campaign("dropped").insert(&dropped).await.unwrap();
    drop(dropped);
    new_campaign("four").insert(&txn).await.unwrap();
    txn.commit().await.unwrap();
    let names = |value: &Value| value["initial_values"]["name"].as_str().unwrap().to_owned();
    let log: Vec<_> = db.log().await.iter().map(|row| names(&row.event_data)).collect();
    assert_eq!(log, ["one", "two", "four"]);
    assert_eq!(campaign::Entity::find().count(&db.db).await.unwrap(), 3);
}

async fn parent_waits_for_its_nested_unit(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let txn = events.begin(context()).await.unwrap();
    let nested = txn.begin().await.unwrap();
    let error = new_campaign("a").insert(&txn).await.unwrap_err();
    assert!(matches!(refusal(&error), Refused::NestedOpen));
    assert!(matches!(refusal(&txn.begin().await.unwrap_err()), Refused::NestedOpen));
    assert!(txn.emit(Event::custom("x")).await.is_err());
    assert_eq!(campaign::Entity::find().count(&txn).await.unwrap(), 0, "reads pass");
    nested.commit().await.unwrap();
    new_campaign("a").insert(&txn).await.unwrap();
    let nested = txn.begin().await.unwrap();
    assert!(matches!(txn.commit().await, Err(CommitError::Refused(Refused::NestedOpen))));
    drop(nested);
    assert!(db.log().await.is_empty());
}

async fn database_error_poisons(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    insert(&events, "a").await;
    let txn = events.begin(context()).await.unwrap();
    new_campaign("b").insert(&txn).await.unwrap();
    assert!(new_campaign("a").insert(&txn).await.is_err(), "api_key is unique");
    let error = new_campaign("c").insert(&txn).await.unwrap_err();
    assert!(matches!(refusal(&error), Refused::Poisoned { .. }));
    assert!(campaign::Entity::find().count(&txn).await.is_err(), "not even reads");
    assert!(matches!(txn.commit().await, Err(CommitError::Refused(Refused::Poisoned { .. }))));
    assert_eq!(types(&db.log().await), ["CREATED"]);
    assert_eq!(campaign::Entity::find().count(&db.db).await.unwrap(), 1);
}

async fn error_in_a_savepoint_leaves_the_parent_healthy(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    insert(&events, "a").await;
    let txn = events.begin(context()).await.unwrap();
    let nested = txn.begin().await.unwrap();
    assert!(new_campaign("a").insert(&nested).await.is_err());
    nested.rollback().await.unwrap();
    new_campaign("b").insert(&txn).await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(types(&db.log().await), ["CREATED", "CREATED"]);
}

async fn savepoint_dropped_after_an_error_poisons(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    insert(&events, "a").await;
    let txn = events.begin(context()).await.unwrap();
    let nested = txn.begin().await.unwrap();
    assert!(new_campaign("a").insert(&nested).await.is_err());
    drop(nested);
    assert!(matches!(txn.commit().await, Err(CommitError::Refused(Refused::Poisoned { .. }))));
}

async fn veto_before_the_save_does_not_poison(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let txn = events.begin(context()).await.unwrap();
    let mut active = <note::ActiveModel as sea_orm::ActiveModelBehavior>::new();
    active.text = Set("veto".to_owned());
    assert!(active.insert(&txn).await.is_err());
    let mut active = <note::ActiveModel as sea_orm::ActiveModelBehavior>::new();
    active.text = Set("fine".to_owned());
    active.insert(&txn).await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(types(&db.log().await), ["CREATED"]);
}

async fn failed_after_hook_poisons(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let txn = events.begin(context()).await.unwrap();
    let mut active = <note::ActiveModel as sea_orm::ActiveModelBehavior>::new();
    active.text = Set("after".to_owned());
    assert!(active.insert(&txn).await.is_err());
    assert!(matches!(txn.commit().await, Err(CommitError::Refused(Refused::Poisoned { .. }))));
    assert_eq!(note::Entity::find().count(&db.db).await.unwrap(), 0);
}

/// A plain save's savepoint is closed before SeaORM calls the after-hook; that of `create_with_event` is not.
async fn failed_after_hook_is_undone_where_its_savepoint_is_open(db: Arc<TestDb>) {
    set_up(&db).await;
    let note = |text: &str| note::ActiveModel {
        text: Set(text.to_owned()),
        ..<note::ActiveModel as sea_orm::ActiveModelBehavior>::new()
    };
    let events = Events::builder(db.db.clone()).savepoint_each_save().build().await.unwrap();
    let txn = events.begin(context()).await.unwrap();
    assert!(note("after").create_with_event(&txn).await.is_err());
    assert_eq!(note::Entity::find().count(&txn).await.unwrap(), 0);
    note("fine").insert(&txn).await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(types(&db.log().await), ["CREATED"]);
    let txn = events.begin(context()).await.unwrap();
    assert!(note("after").insert(&txn).await.is_err());
    assert!(matches!(txn.commit().await, Err(CommitError::Refused(Refused::Poisoned { .. }))));
    let plain = db.db.begin().await.unwrap();
    events.scope(context(), async { note("after").insert(&plain).await.unwrap_err() }).await.unwrap();
    plain.commit().await.unwrap();
    assert_eq!(types(&db.log().await), ["CREATED", "CREATED"]);
    assert_eq!(note::Entity::find().count(&db.db).await.unwrap(), 2);
}

async fn missing_row_does_not_poison(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let txn = events.begin(context()).await.unwrap();
    let missing = campaign::ActiveModel { id: Unchanged(9_999), budget: Set(1), ..Default::default() };
    assert!(matches!(missing.update(&txn).await, Err(DbErr::RecordNotUpdated)));
    new_campaign("a").insert(&txn).await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(types(&db.log().await), ["CREATED"]);
}

async fn text_with_nul_is_refused_before_it_is_sent(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let mut active = insert(&events, "a").await.into_active_model();
    let txn = events.begin(context()).await.unwrap();
    active.name = Set("a\0b".to_owned());
    for error in [
        active.clone().update(&txn).await.unwrap_err(),
        active.clone().update_without_returning(&txn).await.unwrap_err(),
        new_campaign("c\0d").insert(&txn).await.unwrap_err(),
    ] {
        assert!(matches!(refusal(&error), Refused::Value { .. }), "{error}");
        assert!(error.to_string().contains("field `name` of `campaign` cannot be recorded"), "{error}");
    }
    active.name = Set("b".to_owned());
    active.update(&txn).await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(types(&db.log().await), ["CREATED", "UPDATED"]);
}

async fn schema_changes_and_own_table_are_refused(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    insert(&events, "a").await;
    let txn = events.begin(context()).await.unwrap();
    let schema = sea_orm::Schema::new(txn.get_database_backend());
    let error = txn.execute(&schema.create_table_from_entity(event::Entity)).await.unwrap_err();
    assert!(matches!(refusal(&error), Refused::Schema));
    for sql in [
        "DROP TABLE notes",
        " /* x */ commit",
        "-- a\nALTER TABLE notes ADD x int",
        ";; ROLLBACK",
        "/*!50000 COMMIT */",
        "abort",
    ] {
        if sql.contains('!') && txn.get_database_backend() != sea_orm::DbBackend::MySql {
            continue; // a comment like any other
        }
        let raw = Statement::from_string(txn.get_database_backend(), sql);
        for refused in [txn.execute_unprepared(sql).await, txn.execute_raw(raw).await] {
            let error = refused.unwrap_err();
            match refusal(&error) {
                Refused::Schema => {}
                Refused::UnknownSql { .. } if sql.contains('!') => {}
                other => panic!("{other}: {sql}"),
            }
        }
    }
    let error = event::Entity::delete_many().exec(&txn).await.unwrap_err();
    assert!(matches!(refusal(&error), Refused::OwnTable { .. }));
    new_campaign("b").insert(&txn).await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(db.log().await.len(), 2);
}

async fn outcome_is_found_out(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let txn = events.begin(context()).await.unwrap();
    let unit = txn.unit_id();
    new_campaign("a").insert(&txn).await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(events.outcome_of(unit).await.unwrap(), Outcome::Committed);
    let txn = events.begin(context()).await.unwrap();
    let unit_id = txn.unit_id();
    new_campaign("b").insert(&txn).await.unwrap();
    txn.rollback().await.unwrap();
    let unknown =
        UnknownCommit { unit_id, event_ids: vec![unit_id], source: DbErr::Custom("cut".to_owned()) };
    assert_eq!(events.outcome(&unknown).await.unwrap(), Outcome::RolledBack);
    assert_eq!(db.log().await.len(), 1, "the question leaves nothing behind");
}

/// A commit that nobody waits for: rows and events are there together or not at all, and `outcome_of` knows which.
async fn dropped_commit_is_all_or_nothing(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    for polls in 0..40 {
        let txn = events.begin(context()).await.unwrap();
        let unit = txn.unit_id();
        new_campaign(&polls.to_string()).insert(&txn).await.unwrap();
        let mut commit = txn.commit().boxed();
        let mut left = polls;
        let finished = std::future::poll_fn(|cx| {
            if left == 0 {
                return std::task::Poll::Ready(false);
            }
            left -= 1;
            commit.as_mut().poll(cx).map(|result| result.is_ok())
        })
        .await;
        drop(commit);
        let outcome = events.outcome_of(unit).await.unwrap();
        let rows = campaign::Entity::find().count(&db.db).await.unwrap();
        assert_eq!(rows, db.log().await.len() as u64, "after {polls} polls");
        let found = db.log().await.iter().any(|row| row.id == unit);
        assert_eq!(found, outcome == Outcome::Committed, "after {polls} polls");
        if finished {
            assert!(found);
            return;
        }
    }
    panic!("the commit never finished");
}

async fn panic_now(_: &EventTransaction, _: &Event) -> Result<(), ConsumerError> {
    panic!("a consumer's own mistake")
}

async fn panic_in_a_consumer_rolls_back(db: Arc<TestDb>) {
    db.with_tables().await;
    let pool = TestDb::open_with(&db.url, 1).await;
    let events = Events::builder(pool.clone()).consumer(panic_now).build().await.unwrap();
    let txn = events.begin(context()).await.unwrap();
    new_campaign("a").insert(&txn).await.unwrap();
    let error = txn.commit().await.unwrap_err().to_string();
    assert_eq!(error, "consumer `panic_now` failed on CREATED: panicked: a consumer's own mistake");
    // The one connection is free again and clean.
    let events = Events::builder(pool).build().await.unwrap();
    insert(&events, "b").await;
    let log = db.log().await;
    assert_eq!(types(&log), ["CREATED"]);
    assert_eq!(log[0].event_data["initial_values"]["name"], "b");
    assert_eq!(campaign::Entity::find().count(&db.db).await.unwrap(), 1);
}

async fn every_level_above_an_open_one_waits(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let id = insert(&events, "a").await.id;
    let budget =
        |budget| campaign::ActiveModel { id: Unchanged(id), budget: Set(budget), ..Default::default() };
    let one = events.begin(context()).await.unwrap();
    budget(1).update(&one).await.unwrap();
    let two = one.begin().await.unwrap();
    budget(2).update(&two).await.unwrap();
    let three = two.begin().await.unwrap();
    budget(3).update(&three).await.unwrap();
    for above in [&one, &two] {
        for error in [
            budget(9).update(above).await.unwrap_err(),
            new_campaign("b").insert(above).await.unwrap_err(),
            budget(9).delete(above).await.unwrap_err(),
            above.emit(Event::custom("x")).await.unwrap_err(),
            above.begin().await.unwrap_err(),
            above.execute_unprepared("UPDATE notes SET length = 0").await.map(drop).unwrap_err(),
        ] {
            assert!(matches!(refusal(&error), Refused::NestedOpen), "{error}");
        }
        let seen = campaign::Entity::find_by_id(id).one(above).await.unwrap().unwrap();
        assert_eq!(seen.budget, 3, "reads pass");
    }
    three.commit().await.unwrap();
    assert!(one.emit(Event::custom("x")).await.is_err(), "`two` is still open");
    two.emit(Event::custom("between")).await.unwrap();
    two.commit().await.unwrap();
    one.emit(Event::custom("last")).await.unwrap();
    one.commit().await.unwrap();
    let log = db.log().await;
    assert_eq!(types(&log), ["CREATED", "UPDATED", "UPDATED", "UPDATED", "between", "last"]);
    assert_eq!(log[3].event_data["changes"]["budget"], json!({"old": 2, "new": 3}));
}

async fn units_that_end_in_the_wrong_order_commit_nothing(db: Arc<TestDb>) {
    db.with_tables().await;
    let pool = TestDb::open_with(&db.url, 1).await;
    let events = Events::builder(pool.clone()).build().await.unwrap();
    for case in 0..6 {
        let one = events.begin(context()).await.unwrap();
        new_campaign("one").insert(&one).await.unwrap();
        let two = one.begin().await.unwrap();
        new_campaign("two").insert(&two).await.unwrap();
        let three = two.begin().await.unwrap();
        new_campaign("three").insert(&three).await.unwrap();
        match case {
            0 => {
                drop(one);
                assert!(two.commit().await.is_err());
                assert!(three.commit().await.is_err());
            }
            1 => {
                drop(two);
                assert!(three.commit().await.is_err());
                assert!(one.commit().await.is_err());
            }
            2 => {
                assert!(two.commit().await.is_err());
                let error = new_campaign("late").insert(&three).await.unwrap_err();
                assert!(matches!(refusal(&error), Refused::Poisoned { .. }), "{error}");
                three.rollback().await.unwrap();
                assert!(one.commit().await.is_err());
            }
            3 => {
                one.rollback().await.unwrap();
                assert!(three.commit().await.is_err());
                drop(two);
            }
            4 => {
                drop(three);
                one.rollback().await.unwrap();
                let error = two.emit(Event::custom("late")).await.unwrap_err();
                assert!(matches!(refusal(&error), Refused::Poisoned { .. }), "{error}");
                assert!(two.commit().await.is_err());
            }
            _ => {
                two.rollback().await.unwrap();
                assert!(one.commit().await.is_err());
                drop(three);
            }
        }
        // The one connection is clean: nothing is open on it.
        let row = new_campaign(&case.to_string());
        row.create_with_event(&events.connection(context())).await.unwrap();
        let rows = campaign::Entity::find().count(&db.db).await.unwrap();
        assert_eq!((rows, db.log().await.len()), (case + 1, case as usize + 1), "case {case}");
    }
}

/// A stream has the connection; the begin that waits for it is given up, which is no reason to refuse anything.
async fn begin_that_is_cancelled_while_it_waits_opens_nothing(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    insert(&events, "a").await;
    let txn = events.begin(context()).await.unwrap();
    let stream = campaign::Entity::find().stream(&txn).await.unwrap();
    assert!(txn.begin().now_or_never().is_none(), "it waits");
    drop(stream);
    new_campaign("b").insert(&txn).await.unwrap();
    txn.begin().await.unwrap().commit().await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(types(&db.log().await), ["CREATED", "CREATED"]);
}

async fn commit_generic<T: TransactionSession>(txn: T) -> DbErr {
    txn.commit().await.unwrap_err()
}

async fn refuse(_: &EventTransaction, _: &Event) -> Result<(), ConsumerError> {
    Err("not today".into())
}

async fn refusal_of_a_commit_comes_through_generic_code(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    insert(&events, "a").await;
    let txn = events.begin(context()).await.unwrap();
    new_campaign("a").insert(&txn).await.unwrap_err();
    let poisoned = commit_generic(txn).await;
    assert!(matches!(refusal(&poisoned), Refused::Poisoned { .. }), "{poisoned}");
    let txn = events.begin(context()).await.unwrap();
    let nested = txn.begin().await.unwrap();
    let open = commit_generic(txn).await;
    assert!(matches!(refusal(&open), Refused::NestedOpen), "{open}");
    drop(nested);
    let events = Events::builder(db.db.clone()).consumer(refuse).build().await.unwrap();
    let txn = events.begin(context()).await.unwrap();
    new_campaign("b").insert(&txn).await.unwrap();
    let consumer = commit_generic(txn).await;
    assert!(matches!(refusal(&consumer), Refused::Consumer { .. }), "{consumer}");
    assert!(CommitError::unknown(&consumer).is_none());
    assert_eq!(db.log().await.len(), 1);
}

/// SeaORM finds the row by the new key: a save cannot change a key.
async fn save_of_another_key_finds_no_row(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let mut active = insert(&events, "a").await.into_active_model();
    active.id = Set(9_999);
    active.budget = Set(1);
    let txn = events.begin(context()).await.unwrap();
    assert!(matches!(active.clone().update(&txn).await, Err(DbErr::RecordNotUpdated)));
    assert!(matches!(active.update_without_returning(&txn).await, Err(DbErr::RecordNotUpdated)));
    txn.commit().await.unwrap();
    assert_eq!(db.log().await.len(), 1);
}

async fn look_at_the_log(txn: &EventTransaction, event: &Event) -> Result<(), ConsumerError> {
    let log = event::Entity::find().all(txn).await?;
    let found = log.iter().find(|row| row.id == event.id).ok_or("it is not there")?;
    if found.to_event()? == *event { Ok(()) } else { Err(format!("{found:?} is not {event:?}").into()) }
}

async fn events_are_read_in_the_unit_once_they_are_written(db: Arc<TestDb>) {
    db.with_tables().await;
    let events = Events::builder(db.db.clone()).consumer(look_at_the_log).build().await.unwrap();
    let txn = events.begin(context().request("n", 1)).await.unwrap();
    for n in 0..5 {
        new_campaign(&n.to_string()).insert(&txn).await.unwrap();
    }
    assert_eq!(event::Entity::find().count(&txn).await.unwrap(), 0);
    txn.commit().await.unwrap();
    assert_eq!(db.log().await.len(), 5);
}

/// Saves of one row and of others, all at once on one unit: each `old` is the `new` before it.
async fn joined_saves_chain(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let id = insert(&events, "a").await.id;
    let budget =
        |budget| campaign::ActiveModel { id: Unchanged(id), budget: Set(budget), ..Default::default() };
    let txn = events.begin(context()).await.unwrap();
    let (_, _, _, _, count, _, _) = tokio::try_join!(
        budget(1).update(&txn),
        new_campaign("b").insert(&txn),
        budget(2).update_with_event(&txn).reason("second"),
        budget(3).save(&txn),
        campaign::Entity::find().count(&txn),
        new_campaign("c").create_with_event(&txn).reason("third"),
        txn.emit(Event::custom("among_them")),
    )
    .unwrap();
    assert!(count > 0);
    budget(4).update_without_returning(&txn).await.unwrap();
    txn.commit().await.unwrap();
    let log = db.log().await;
    assert_eq!(log.len(), 8);
    let mut last = json!(100);
    for row in log.iter().filter(|row| row.event_type == "UPDATED") {
        let change = &row.event_data["changes"]["budget"];
        assert_eq!(change["old"], last);
        last = change["new"].clone();
        assert_eq!(row.context["reason"] == "second", change["new"] == 2, "{row:?}");
    }
    assert_eq!(last, 4);
    let reasons: Vec<_> = log.iter().filter(|row| row.context["reason"] == "third").collect();
    assert_eq!(reasons.len(), 1);
    assert_eq!(reasons[0].event_data["initial_values"]["name"], "c");
}

async fn select_drops_a_save_and_the_unit_with_it(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let model = insert(&events, "a").await;
    for _ in 0..10 {
        let txn = events.begin(context()).await.unwrap();
        let mut active = model.clone().into_active_model();
        active.budget = Set(5);
        let finished = tokio::select! {
            biased;
            _ = tokio::task::yield_now() => false,
            saved = async { tokio::task::yield_now().await; active.update(&txn).await } => saved.is_ok(),
        };
        assert!(!finished);
        // Whatever had been sent, the answer is one of two.
        if txn.commit().await.is_ok() {
            assert_eq!(db.log().await.len(), 1, "the save had not begun");
        }
        let row = campaign::Entity::find_by_id(model.id).one(&db.db).await.unwrap().unwrap();
        assert_eq!((row.budget, db.log().await.len()), (100, 1));
    }
}

async fn one_connection_is_enough(db: Arc<TestDb>) {
    db.with_tables().await;
    let pool = TestDb::open_with(&db.url, 1).await;
    let events = Events::builder(pool.clone()).consumer(look_at_the_log).build().await.unwrap();
    let connection = events.connection(context());
    let model = new_campaign("a").create_with_event(&connection).await.unwrap();
    let txn = connection.begin().await.unwrap();
    let unit = txn.unit_id();
    let nested = txn.begin().await.unwrap();
    let mut active = model.into_active_model();
    active.budget = Set(1);
    active.update(&nested).await.unwrap();
    nested.commit().await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(events.outcome_of(unit).await.unwrap(), Outcome::Committed);
    assert_eq!(events.outcome_of(uuid::Uuid::now_v7()).await.unwrap(), Outcome::RolledBack);
    events
        .scope(context(), async {
            let txn = pool.begin().await?;
            new_campaign("b").insert(&txn).await?;
            txn.commit().await
        })
        .await
        .unwrap()
        .unwrap();
    assert_eq!(types(&db.log().await), ["CREATED", "UPDATED", "CREATED"]);
}

async fn read_only_unit_saves_nothing(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let model = insert(&events, "a").await;
    let connection = events.connection(context());
    let read_only = || connection.begin_with_config(None, Some(sea_orm::AccessMode::ReadOnly));
    let txn = read_only().await.unwrap();
    assert_eq!(campaign::Entity::find().count(&txn).await.unwrap(), 1);
    txn.commit().await.unwrap();
    let txn = read_only().await.unwrap();
    let mut active = model.into_active_model();
    active.budget = Set(1);
    active.update(&txn).await.unwrap_err();
    assert!(matches!(txn.commit().await, Err(CommitError::Refused(Refused::Poisoned { .. }))));
    let txn = read_only().await.unwrap();
    txn.emit(Event::custom("x")).await.unwrap();
    assert!(matches!(txn.commit().await, Err(CommitError::Failed(_))), "the event cannot be written");
    assert_eq!(db.log().await.len(), 1);
}

/// Two units each read what the other writes; PostgreSQL ends one of them, at its save or at its commit.
async fn serialization_failure_commits_nothing(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let (a, b) = (insert(&events, "a").await.id, insert(&events, "b").await.id);
    let connection = events.connection(context());
    let serializable = || connection.begin_with_config(Some(sea_orm::IsolationLevel::Serializable), None);
    let budget =
        |id, budget| campaign::ActiveModel { id: Unchanged(id), budget: Set(budget), ..Default::default() };
    let (one, two) = (serializable().await.unwrap(), serializable().await.unwrap());
    campaign::Entity::find().all(&one).await.unwrap();
    campaign::Entity::find().all(&two).await.unwrap();
    budget(a, 1).update(&one).await.unwrap();
    budget(b, 2).update(&two).await.unwrap();
    one.commit().await.unwrap();
    let error = two.commit().await.unwrap_err();
    let CommitError::Failed(DbErr::Query(cause) | DbErr::Exec(cause)) = &error else { panic!("{error:?}") };
    assert!(cause.to_string().contains("serialize"), "{cause}");
    let stale = serializable().await.unwrap();
    campaign::Entity::find().all(&stale).await.unwrap();
    budget(a, 3).update_with_event(&connection).await.unwrap();
    budget(a, 4).update(&stale).await.unwrap_err();
    assert!(matches!(stale.commit().await, Err(CommitError::Refused(Refused::Poisoned { .. }))));
    let log = db.log().await;
    assert_eq!(types(&log), ["CREATED", "CREATED", "UPDATED", "UPDATED"]);
    assert_eq!(log[3].event_data["changes"]["budget"], json!({"old": 1, "new": 3}));
}

async fn database_in_memory(_: Arc<TestDb>) {
    let mut options = sea_orm::ConnectOptions::new("sqlite::memory:");
    options.max_connections(1).min_connections(1);
    let pool = sea_orm::Database::connect(options).await.unwrap();
    events_sea_orm::migration::up(&pool).await.unwrap();
    let schema = sea_orm::Schema::new(pool.get_database_backend());
    pool.execute(&schema.create_table_from_entity(campaign::Entity)).await.unwrap();
    let events = Events::builder(pool.clone()).build().await.unwrap();
    let connection = events.connection(context());
    let model = new_campaign("a").create_with_event(&connection).await.unwrap();
    let lost = connection.begin().await.unwrap();
    model.clone().delete(&lost).await.unwrap();
    drop(lost);
    let txn = connection.begin().await.unwrap();
    let unit = txn.unit_id();
    model.delete(&txn).await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(events.outcome_of(unit).await.unwrap(), Outcome::Committed);
    let log = event::Entity::find().all(&pool).await.unwrap();
    assert_eq!(types(&log), ["CREATED", "DELETED"]);
}

/// Without WAL a reader in another process is in the way of COMMIT, which leaves the transaction open.
async fn busy_commit(db: Arc<TestDb>) {
    db.with_tables().await;
    let open = |url: String| async move {
        let mut options = sea_orm::ConnectOptions::new(url);
        options.max_connections(1).sqlx_logging(false);
        options.map_sqlx_sqlite_opts(|options| {
            options
                .journal_mode(sea_orm::sqlx::sqlite::SqliteJournalMode::Delete)
                .busy_timeout(std::time::Duration::from_millis(50))
        });
        sea_orm::Database::connect(options).await.unwrap()
    };
    db.db.close_by_ref().await.unwrap(); // WAL is left by the last one that is there
    let (pool, reader) = (open(db.url.clone()).await, open(db.url.clone()).await);
    let events = Events::builder(pool.clone()).build().await.unwrap();
    let reading = reader.begin().await.unwrap();
    campaign::Entity::find().count(&reading).await.unwrap();
    let txn = events.begin(context()).await.unwrap();
    let unit = txn.unit_id();
    new_campaign("a").insert(&txn).await.unwrap();
    let error = txn.commit().await.unwrap_err();
    assert!(matches!(error, CommitError::Failed(_)), "{error:?}");
    reading.rollback().await.unwrap();
    assert_eq!(events.outcome_of(unit).await.unwrap(), Outcome::RolledBack);
    assert_eq!(campaign::Entity::find().count(&pool).await.unwrap(), 0);
    // A writer in the way is heard of at begin.
    let options = sea_orm::TransactionOptions {
        sqlite_transaction_mode: Some(sea_orm::SqliteTransactionMode::Immediate),
        ..Default::default()
    };
    let writing = reader.begin_with_options(options).await.unwrap();
    events.begin(context()).await.unwrap_err();
    writing.rollback().await.unwrap();
    new_campaign("b").create_with_event(&events.connection(context())).await.unwrap();
    assert_eq!(event::Entity::find().count(&pool).await.unwrap(), 1);
}

async fn an_isolation_level_for_a_nested_unit_is_refused(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let txn = events.begin(context()).await.unwrap();
    new_campaign("a").insert(&txn).await.unwrap();
    let level = Some(sea_orm::IsolationLevel::Serializable);
    let error = txn.begin_with_config(level, None).await.unwrap_err();
    assert!(matches!(refusal(&error), Refused::NestedIsolation), "{error}");
    // Nothing was sent, and nothing is open.
    let nested = txn.begin_with_config(None, None).await.unwrap();
    new_campaign("b").insert(&nested).await.unwrap();
    nested.commit().await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(types(&db.log().await), ["CREATED", "CREATED"]);
}
