//! Immediate mode: code that keeps plain transactions.

use super::*;

tests::conformance! {
    scope_records_on_the_connection_of_the_save,
    scope_reports_a_save_without_after_hook,
    scope_refuses_the_pool,
    scope_refuses_an_after_hook_without_its_before_hook,
    scope_refuses_rows_of_another_team_before_they_are_touched,
    scope_names_a_save_whose_event_could_not_be_written,
    scope_says_why_an_event_could_not_be_written,
    save_that_is_tried_again_in_a_scope_is_no_loss,
    consumers_in_a_scope_run_in_a_savepoint,
    consumers_know_the_team_that_a_scope_made,
    consumers_run_for_saves_on_the_pool_too,
    scopes_nest,
    scope_goes_into_a_task,
    joined_saves_in_a_scope_each_leave_their_event,
    joined_saves_of_one_row_in_a_scope_are_named,
}

#[test]
fn save_dropped_in_a_scope_is_named() {
    tests::run("save_dropped_in_a_scope_is_named", None, dropped_in_a_scope);
}

async fn scope_records_on_the_connection_of_the_save(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let pool = &db.db;
    events
        .scope(context(), async {
            let txn = pool.begin().await?;
            let model = new_campaign("a").insert(&txn).await?;
            let nested = txn.begin().await?;
            new_campaign("lost").insert(&nested).await?;
            nested.rollback().await?;
            let mut active = model.into_active_model();
            active.budget = Set(3);
            active.status = Set(campaign::Status::Live);
            let model = active.update(&txn).await?;
            model.clone().into_active_model().update(&txn).await?; // nothing set
            model.delete(&txn).await?;
            txn.commit().await
        })
        .await
        .unwrap()
        .unwrap();
    let log = db.log().await;
    assert_eq!(types(&log), ["CREATED", "UPDATED", "STATE_CHANGED", "DELETED"]);
    assert_eq!(log[1].event_data, json!({"changes": {"budget": {"old": 100, "new": 3}}}));
    let foreign = events.scope(Context::team(8), async {
        let txn = pool.begin().await?;
        new_campaign("b").insert(&txn).await
    });
    assert!(matches!(refusal(&foreign.await.unwrap().unwrap_err()), Refused::OtherTeam { .. }));
}

async fn scope_reports_a_save_without_after_hook(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let model = insert(&events, "a").await;
    let scope = events.scope(context(), async {
        let txn = db.db.begin().await.unwrap();
        let active = campaign::ActiveModel { id: Unchanged(model.id), budget: Set(1), ..Default::default() };
        active.update_without_returning(&txn).await.unwrap();
        txn
    });
    let Err(ScopeError::Unfinished { output, objects, .. }) = scope.await else { panic!("must be an error") };
    output.rollback().await.unwrap();
    assert_eq!(objects, [format!("`campaign` {}", model.id)]);
}

async fn scope_refuses_the_pool(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let error = events.scope(context(), new_campaign("a").insert(&db.db)).await.unwrap().unwrap_err();
    assert!(matches!(refusal(&error), Refused::NotATransaction { .. }));
    let events = Events::builder(db.db.clone()).scope_on_pool(true).build().await.unwrap();
    events.scope(context(), new_campaign("a").insert(&db.db)).await.unwrap().unwrap();
    assert_eq!(types(&db.log().await), ["CREATED"]);
}

async fn scope_refuses_an_after_hook_without_its_before_hook(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let model = insert(&events, "a").await;
    let scope = events.scope(context(), async {
        let txn = db.db.begin().await.unwrap();
        let saved =
            <campaign::ActiveModel as ActiveModelBehavior>::after_save(model.clone(), &txn, false).await;
        let active = model.clone().into_active_model();
        let deleted = <campaign::ActiveModel as ActiveModelBehavior>::after_delete(active, &txn).await;
        txn.commit().await.unwrap();
        [saved.map(drop).unwrap_err(), deleted.map(drop).unwrap_err()]
    });
    let Err(ScopeError::Unfinished { output, objects, .. }) = scope.await else { panic!("must be an error") };
    for error in output {
        assert!(matches!(refusal(&error), Refused::NoBeforeHook { .. }), "{error}");
    }
    let object = format!("`campaign` {}", model.id);
    assert_eq!(objects, [object.clone(), object]);
    assert_eq!(db.log().await.len(), 1);
}

/// There is no poisoning in a scope: what is refused is refused while nothing is written.
async fn scope_refuses_rows_of_another_team_before_they_are_touched(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let model = insert(&events, "a").await;
    let budget = campaign::ActiveModel { id: Unchanged(model.id), budget: Set(1), ..Default::default() };
    let moved =
        campaign::ActiveModel { id: Unchanged(model.id), team_id: Set(Some(8)), ..Default::default() };
    let orphaned =
        campaign::ActiveModel { id: Unchanged(model.id), team_id: Set(None), ..Default::default() };
    let pool = &db.db;
    let refused = |context: Context, active: campaign::ActiveModel| {
        let events = &events;
        async move {
            let scope = events.scope(context, async {
                let txn = pool.begin().await.unwrap();
                let error = active.update(&txn).await.unwrap_err();
                txn.commit().await.unwrap(); // the error was caught
                error
            });
            scope.await.unwrap()
        }
    };
    assert!(matches!(refused(Context::team(8), budget).await, DbErr::RecordNotUpdated));
    let refused = async |context, active| refusal(&refused(context, active).await).clone();
    assert!(matches!(refused(context(), moved.clone()).await, Refused::TeamChanged { .. }));
    assert!(matches!(refused(Context::all_teams("job", "move"), moved).await, Refused::TeamChanged { .. }));
    assert!(matches!(refused(context(), orphaned).await, Refused::NullTeam { .. }));
    let price = price::ActiveModel {
        item: Set(1),
        lang: Set("en".to_owned()),
        r#type: Set("list".to_owned()),
        cents: Set(1),
        internal: Set(None),
    };
    let untold = events.scope(Context::all_teams("job", "import"), async {
        let txn = pool.begin().await.unwrap();
        let error = price.insert(&txn).await.unwrap_err();
        txn.commit().await.unwrap();
        error
    });
    assert!(matches!(refusal(&untold.await.unwrap()), Refused::UnknownTeam { .. }));
    assert_eq!(campaign::Entity::find_by_id(model.id).one(pool).await.unwrap().unwrap(), model);
    assert_eq!(price::Entity::find().count(pool).await.unwrap(), 0);
    assert_eq!(db.log().await.len(), 1);
}

/// The row is written when the event turns out to be impossible; whoever catches that error hears of it again.
async fn scope_names_a_save_whose_event_could_not_be_written(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let scope = events.scope(context(), async {
        let txn = db.db.begin().await.unwrap();
        let mut active = new_campaign("a");
        active.team_id = sea_orm::NotSet;
        let error = active.insert(&txn).await.unwrap_err();
        assert!(matches!(refusal(&error), Refused::NullTeam { .. }));
        txn
    });
    let Err(error) = scope.await else { panic!("must be an error") };
    for text in [error.to_string(), format!("{error:?}")] {
        assert!(text.contains("a new `campaign`") && text.contains("column `team_id` is NULL"), "{text}");
    }
    let ScopeError::Unfinished { output, objects, cause } = error else { panic!("{error}") };
    assert!(matches!(refusal(&cause.unwrap()), Refused::NullTeam { .. }));
    assert_eq!(objects, ["a new `campaign`"]);
    output.rollback().await.unwrap();
}

/// Such as a database that lacks the table of events.
async fn scope_says_why_an_event_could_not_be_written(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    db.db.execute_unprepared("ALTER TABLE events RENAME TO elsewhere").await.unwrap();
    let scope = events.scope(context(), async {
        let txn = db.db.begin().await.unwrap();
        new_campaign("a").insert(&txn).await.unwrap_err();
        txn
    });
    let Err(error) = scope.await else { panic!("must be an error") };
    for text in [error.to_string(), format!("{error:?}")] {
        assert!(text.contains("events") && text.contains("a new `campaign`"), "{text}");
        assert!(text.contains("exist") || text.contains("no such table"), "{text}");
    }
    let ScopeError::Unfinished { output, .. } = error else { panic!("{error}") };
    output.rollback().await.unwrap();
}

async fn save_that_is_tried_again_in_a_scope_is_no_loss(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let price = |cents| price::ActiveModel {
        item: Set(1),
        lang: Set("en".to_owned()),
        r#type: Set("list".to_owned()),
        cents: Set(cents),
        internal: Set(None),
    };
    let scope = events.scope(context(), async {
        let txn = db.db.begin().await?;
        price(1).insert(&txn).await?;
        let nested = txn.begin().await?;
        price(2).insert(&nested).await.unwrap_err();
        nested.rollback().await?;
        price(2).update(&txn).await?;
        txn.commit().await
    });
    scope.await.unwrap().unwrap();
    let log = db.log().await;
    assert_eq!(types(&log), ["CREATED", "UPDATED"]);
    assert_eq!(log[1].event_data, json!({"changes": {"cents_value": {"old": 1, "new": 2}}}));
}

/// Greets a campaign; saves first and then fails for one of a certain name.
async fn greet_or_fail(txn: &EventTransaction, event: &Event) -> Result<(), ConsumerError> {
    if event.object.as_ref().is_none_or(|object| object.object_type != "campaign") {
        return Ok(());
    }
    let mut active = <note::ActiveModel as ActiveModelBehavior>::new();
    active.text = Set("hello".to_owned());
    active.insert(txn).await?;
    txn.emit(Event::custom("greeted")).await?;
    if event.event_data["initial_values"]["name"] == "rude" {
        return Err("no greeting".into());
    }
    Ok(())
}

async fn consumers_in_a_scope_run_in_a_savepoint(db: Arc<TestDb>) {
    db.with_tables().await;
    let events = Events::builder(db.db.clone()).consumer(greet_or_fail).build().await.unwrap();
    let scope = events.scope(context(), async {
        let txn = db.db.begin().await.unwrap();
        new_campaign("a").insert(&txn).await.unwrap();
        assert_eq!(note::Entity::find().count(&txn).await.unwrap(), 1, "at once");
        let nested = txn.begin().await.unwrap();
        let error = new_campaign("rude").insert(&nested).await.unwrap_err();
        nested.rollback().await.unwrap();
        new_campaign("b").insert(&txn).await.unwrap();
        txn.commit().await.unwrap();
        error
    });
    let error = scope.await.unwrap();
    assert!(matches!(refusal(&error), Refused::Consumer { .. }), "{error}");
    assert_eq!(types(&db.log().await), ["CREATED", "CREATED", "greeted", "CREATED", "CREATED", "greeted"]);
    assert_eq!(note::Entity::find().count(&db.db).await.unwrap(), 2);
    assert_eq!(campaign::Entity::find().count(&db.db).await.unwrap(), 2);
}

async fn welcome(txn: &EventTransaction, event: &Event) -> Result<(), ConsumerError> {
    if event.event_type.as_str() == "CREATED" {
        txn.emit(Event::custom("welcomed")).await?;
    }
    Ok(())
}

async fn consumers_know_the_team_that_a_scope_made(db: Arc<TestDb>) {
    db.with_tables().await;
    let events = Events::builder(db.db.clone()).consumer(welcome).build().await.unwrap();
    let scope = events.scope(Context::new_team(), async {
        let txn = db.db.begin().await?;
        let row =
            tenant::ActiveModel { name: Set("acme".to_owned()), ..Default::default() }.insert(&txn).await?;
        txn.commit().await.map(|()| row.id)
    });
    let id = scope.await.unwrap().unwrap();
    let log = db.log().await;
    assert_eq!(types(&log), ["CREATED", "welcomed"]);
    assert!(log.iter().all(|row| row.team_id == id.to_string()));
}

async fn consumers_run_for_saves_on_the_pool_too(db: Arc<TestDb>) {
    db.with_tables().await;
    let pool = TestDb::open_with(&db.url, 1).await;
    let events =
        Events::builder(pool.clone()).consumer(greet_or_fail).scope_on_pool(true).build().await.unwrap();
    let scope = events.scope(context(), async {
        new_campaign("a").insert(&pool).await.unwrap();
        new_campaign("rude").insert(&pool).await.unwrap_err()
    });
    let error = scope.await.unwrap();
    assert!(matches!(refusal(&error), Refused::Consumer { .. }), "{error}");
    assert_eq!(types(&db.log().await), ["CREATED", "CREATED", "greeted", "CREATED"]);
    assert_eq!(note::Entity::find().count(&db.db).await.unwrap(), 1);
}

async fn scopes_nest(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let save = async |name: &str, team: i32| {
        let txn = db.db.begin().await.unwrap();
        let mut active = new_campaign(name);
        active.team_id = Set(Some(team));
        active.insert(&txn).await.unwrap();
        txn.commit().await.unwrap();
    };
    events
        .scope(context(), async {
            save("outer", TEAM).await;
            events.scope(Context::team(8).actor("bob"), save("inner", 8)).await.unwrap();
            save("outer again", TEAM).await;
        })
        .await
        .unwrap();
    let log = db.log().await;
    let actors: Vec<_> =
        log.iter().map(|row| (row.team_id.as_str(), row.actor_id.as_deref().unwrap())).collect();
    assert_eq!(actors, [("7", "ada"), ("8", "bob"), ("7", "ada")]);
}

async fn scope_goes_into_a_task(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let pool = db.db.clone();
    tokio::spawn(async move {
        let work = async {
            let txn = pool.begin().await?;
            new_campaign("a").insert(&txn).await?;
            txn.commit().await
        };
        events.scope(context(), work).await.unwrap().unwrap();
    })
    .await
    .unwrap();
    assert_eq!(types(&db.log().await), ["CREATED"]);
}

async fn joined_saves_in_a_scope_each_leave_their_event(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let (one, two) = (insert(&events, "a").await.id, insert(&events, "b").await.id);
    let budget =
        |id, budget| campaign::ActiveModel { id: Unchanged(id), budget: Set(budget), ..Default::default() };
    let scope = events.scope(context(), async {
        let txn = db.db.begin().await.unwrap();
        let inserted = new_campaign("c");
        tokio::try_join!(budget(one, 1).update(&txn), budget(two, 2).update(&txn), inserted.insert(&txn))
            .unwrap();
        txn.commit().await.unwrap();
    });
    scope.await.unwrap();
    let log = db.log().await.split_off(2);
    assert_eq!(log.len(), 3);
    for (id, new) in [(one, 1), (two, 2)] {
        let row = log.iter().find(|row| row.object_id == Some(id.to_string())).unwrap();
        assert_eq!(row.event_data["changes"]["budget"], json!({"old": 100, "new": new}));
    }
}

/// A scope has one slot a row and no gate. What it cannot tell apart it does not pass over in silence.
async fn joined_saves_of_one_row_in_a_scope_are_named(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let id = insert(&events, "a").await.id;
    let budget =
        |budget| campaign::ActiveModel { id: Unchanged(id), budget: Set(budget), ..Default::default() };
    for turn in 1..10 {
        let before = db.log().await.len();
        let scope = events.scope(context(), async {
            let txn = db.db.begin().await.unwrap();
            let saved = tokio::join!(budget(turn).update(&txn), budget(-turn).update(&txn));
            txn.commit().await.unwrap(); // whatever the saves said
            (saved.0.is_ok(), saved.1.is_ok())
        });
        match scope.await {
            Ok(both) => {
                assert_eq!(both, (true, true));
                assert_eq!(db.log().await.len(), before + 2);
            }
            Err(ScopeError::Unfinished { output, objects, .. }) => {
                assert_ne!(output, (true, true), "the caller is told as well");
                assert_eq!(objects, [format!("`campaign` {id}")]);
            }
            Err(other) => panic!("{other}"),
        }
    }
}

/// Dropped at each of its awaits and committed all the same: row and event are both there, or the scope says so.
async fn dropped_in_a_scope(db: Arc<TestDb>) {
    use futures_util::FutureExt;

    let events = set_up(&db).await;
    let mut recorded = 0;
    for polls in 1..40 {
        let name = polls.to_string();
        let scope = events.scope(context(), async {
            let txn = db.db.begin().await.unwrap();
            let mut save = new_campaign(&name).insert(&txn).boxed();
            let mut left = polls;
            let finished = std::future::poll_fn(|cx| {
                if left == 0 {
                    return std::task::Poll::Ready(false);
                }
                left -= 1;
                save.as_mut().poll(cx).map(|result| result.is_ok())
            })
            .await;
            drop(save);
            txn.commit().await.unwrap();
            finished
        });
        let result = scope.await;
        let rows = campaign::Entity::find().count(&db.db).await.unwrap();
        let log = db.log().await.len() as u64;
        match result {
            Ok(finished) => {
                assert_eq!(rows, log - recorded, "after {polls} polls");
                if finished {
                    return;
                }
            }
            Err(_) => {
                // The log keeps what it has: the next round counts from here.
                campaign::Entity::delete_many().exec(&db.db).await.unwrap();
                recorded = log;
            }
        }
    }
    panic!("the save never finished");
}
