//! Whose event it is, and whose row may be touched.

use events_sea_orm::EntityEvents;
use tests::entities::order;

use super::*;

tests::conformance! {
    other_team_is_refused,
    a_row_of_another_team_answers_as_one_that_is_not_there,
    why_it_answers_so_stands_in_the_log,
    nothing_but_the_insert_of_a_new_team_makes_a_unit_its_own,
    an_insert_that_fails_makes_no_team,
    team_cannot_be_changed_or_missing,
    all_teams_takes_the_team_of_the_row,
    new_team_is_made_by_its_own_insert,
    single_team_needs_no_context,
    teams_are_compared_to_the_letter,
    save_without_context_is_refused,
    all_teams_touches_rows_of_any_team,
    team_that_nothing_tells_is_refused_before_it_is_saved,
    row_without_a_team_is_not_touched,
    team_of_a_nested_unit_goes_with_it,
}

async fn other_team_is_refused(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let model = insert(&events, "a").await;
    let txn = events.begin(Context::team(8)).await.unwrap();
    let mut active = model.clone().into_active_model();
    active.budget = Set(0);
    assert!(matches!(active.update(&txn).await, Err(DbErr::RecordNotUpdated)));
    assert_eq!(model.clone().delete(&txn).await.unwrap().rows_affected, 0);
    for error in [
        new_campaign("b").insert(&txn).await.unwrap_err(),
        txn.emit(Event::custom("x").about(&model)).await.unwrap_err(),
    ] {
        assert!(matches!(refusal(&error), Refused::OtherTeam { .. }), "{error}");
        assert!(!error.to_string().contains('7'), "the other team is not told: {error}");
    }
    let mut own = new_campaign("c");
    own.team_id = Set(Some(8));
    own.insert(&txn).await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(types(&db.log().await), ["CREATED", "CREATED"]);
}

/// What every way to save one row answers of this one, as whoever asks can see it.
async fn answers_of(events: &Events, id: i32) -> Vec<String> {
    let row = |budget| campaign::ActiveModel { id: Unchanged(id), budget: Set(budget), ..Default::default() };
    let order = |status| order::ActiveModel { id: Unchanged(id), name: Set(status), ..Default::default() };
    let said = |verb: &str, answer: Result<String, DbErr>| match answer {
        Ok(done) => format!("{verb}: {done}"),
        Err(error) => format!("{verb}: {} {error} {error:?}", events_sea_orm::status_of(&error)),
    };
    let text = |model: Result<campaign::Model, DbErr>| model.map(|model| format!("{model:?}"));
    let text_of_order = |model: Result<order::Model, DbErr>| model.map(|model| format!("{model:?}"));
    let gone =
        |result: Result<sea_orm::DeleteResult, DbErr>| result.map(|gone| gone.rows_affected.to_string());
    let db = events.connection(Context::team(8).actor("eve"));
    let alone = [
        said("in one call", text(row(7).update_with_event(&db).await)),
        said("deleted in one call", gone(row(8).delete_with_event(&db).await)),
    ];
    let txn = db.begin().await.unwrap();
    let updated = row(2).update_without_returning(&txn).await;
    let mut answers = vec![
        said("update", text(row(1).update(&txn).await)),
        said("update without returning", updated.map(|done| done.rows_affected.to_string())),
        said("save", row(3).save(&txn).await.map(|saved| format!("{saved:?}"))),
        said("delete", gone(row(4).delete(&txn).await)),
        said("update with event", text(row(5).update_with_event(&txn).reason("x").await)),
        said("delete with event", gone(row(6).delete_with_event(&txn).await)),
        said("soft delete", text_of_order(order("x".to_owned()).soft_delete_with_event(&txn).await)),
        said("restore", text_of_order(order("y".to_owned()).restore_with_event(&txn).await)),
        said("state", {
            let active = campaign::ActiveModel { id: Unchanged(id), ..Default::default() };
            let live = campaign::Status::Live;
            text(txn.track_state_transition(active, campaign::Column::Status, live, "x").await)
        }),
    ];
    answers.extend(alone);
    let nested = txn.begin().await.unwrap();
    answers.push(said("nested", text(row(9).update(&nested).await)));
    nested.commit().await.unwrap();
    // None of it leaves the unit in doubt.
    txn.emit(Event::custom("asked")).await.unwrap();
    answers.push(said("commit", txn.commit().await.map(|()| String::new()).map_err(DbErr::from)));
    answers
}

async fn a_row_of_another_team_answers_as_one_that_is_not_there(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let theirs = insert(&events, "a").await;
    let their_order = tests::new_order("a").create_with_event(&events.connection(context())).await.unwrap();
    assert_eq!(theirs.id, their_order.id, "one number for both");
    let missing = answers_of(&events, 4_711).await;
    assert!(missing[0].starts_with("update: 404"), "{missing:?}");
    assert_eq!(answers_of(&events, theirs.id).await, missing);
    assert_eq!(campaign::Entity::find().all(&db.db).await.unwrap(), std::slice::from_ref(&theirs));
    assert_eq!(order::Entity::find().all(&db.db).await.unwrap(), [their_order]);
    assert_eq!(types(&db.log().await), ["CREATED", "CREATED", "asked", "asked"]);
    // In a scope too, as far as a hook can say it.
    for id in [4_711, theirs.id] {
        let scope = events.scope(Context::team(8), async {
            let txn = db.db.begin().await.unwrap();
            let active = campaign::ActiveModel { id: Unchanged(id), budget: Set(1), ..Default::default() };
            active.update(&txn).await
        });
        let error = match scope.await {
            Ok(answer) => answer.unwrap_err(),
            Err(ScopeError::Unfinished { output, .. }) => output.unwrap_err(),
            Err(error) => panic!("{error}"),
        };
        assert!(matches!(error, DbErr::RecordNotUpdated), "{error}");
    }
}

/// The refusals that were logged.
#[derive(Clone, Default)]
struct Refusals(Arc<std::sync::Mutex<Vec<Refused>>>);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Refusals {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        struct Visitor<'a>(&'a Refusals);
        impl tracing::field::Visit for Visitor<'_> {
            fn record_error(&mut self, _: &tracing::field::Field, error: &(dyn std::error::Error + 'static)) {
                self.0.0.lock().unwrap().extend(error.downcast_ref::<Refused>().cloned());
            }
            fn record_debug(&mut self, _: &tracing::field::Field, _: &dyn std::fmt::Debug) {}
        }
        event.record(&mut Visitor(self));
    }
}

async fn why_it_answers_so_stands_in_the_log(db: Arc<TestDb>) {
    use tracing::instrument::WithSubscriber;
    use tracing_subscriber::layer::SubscriberExt;
    let events = set_up(&db).await;
    let theirs = insert(&events, "a").await;
    let refusals = Refusals::default();
    let asked = answers_of(&events, theirs.id);
    asked.with_subscriber(tracing_subscriber::registry().with(refusals.clone())).await;
    let refused = refusals.0.lock().unwrap().clone();
    assert!(refused.len() >= 10, "{refused:?}");
    for refused in refused {
        let Refused::OtherTeam { object } = refused else { panic!("{refused}") };
        assert_eq!(object.object_id, theirs.id.to_string());
    }
}

/// As whoever signs up, with the key of a team that is there.
async fn nothing_but_the_insert_of_a_new_team_makes_a_unit_its_own(db: Arc<TestDb>) {
    use sea_orm::sea_query::{Expr, OnConflict};
    let events = set_up(&db).await;
    let txn = events.begin(Context::new_team()).await.unwrap();
    let there = tenant::ActiveModel { name: Set("acme".to_owned()), ..Default::default() };
    let there = there.insert(&txn).await.unwrap();
    let mut theirs = new_campaign("theirs");
    theirs.team_id = Set(Some(there.id));
    theirs.insert(&txn).await.unwrap();
    txn.commit().await.unwrap();
    let before = db.log().await;
    let row = |name: &str| tenant::ActiveModel { id: Unchanged(there.id), name: Set(name.to_owned()) };
    let by_id = OnConflict::column(tenant::Column::Id).update_column(tenant::Column::Name).to_owned();
    let upsert = || {
        let row = tenant::ActiveModel { id: Set(there.id), name: Set("eve's".to_owned()) };
        tenant::Entity::insert_many_with_events([row]).on_conflict(by_id.clone())
    };
    let keep = OnConflict::column(tenant::Column::Id).do_nothing().to_owned();
    for way in 0..10 {
        let txn = events.begin(Context::new_team().actor("eve")).await.unwrap();
        let answer = match way {
            0 => row("eve's").update(&txn).await.map(drop),
            1 => row("eve's").update_without_returning(&txn).await.map(drop),
            2 => row("eve's").save(&txn).await.map(drop),
            3 => row("eve's").delete(&txn).await.map(drop),
            4 => row("eve's").update_with_event(&txn).await.map(drop),
            5 => {
                let update = tenant::Entity::update_many_with_events();
                update.col_expr(tenant::Column::Name, Expr::value("eve's")).exec(&txn).await.map(drop)
            }
            6 => tenant::Entity::delete_many_with_events().exec(&txn).await.map(drop),
            7 => tenant::Entity::delete_by_id_with_events(there.id).exec(&txn).await.map(drop),
            8 => upsert().exec(&txn).await.map(drop),
            _ => upsert().on_conflict(keep.clone()).exec(&txn).await.map(drop),
        };
        let error = answer.expect_err(&format!("way {way}"));
        // A row that is kept is not inserted, and tells nothing more.
        let is_kept = way == 9 && matches!(error, DbErr::RecordNotInserted);
        assert!(
            is_kept || matches!(Refused::of(&error), Some(Refused::UnknownTeam { .. })),
            "{way}: {error}"
        );
        // Nothing of that team is within reach.
        assert_eq!(txn.feed().all().await.map_or(0, |events| events.len()), 0, "{way}");
        let mut own = new_campaign(&format!("eve's {way}"));
        own.team_id = Set(Some(there.id));
        assert!(own.insert(&txn).await.is_err(), "{way}");
        assert!(txn.emit(Event::custom("x")).await.is_err(), "{way}");
        let _ = txn.rollback().await;
        // In a scope alike.
        if way > 3 {
            continue;
        }
        let scope = events.scope(Context::new_team().actor("eve"), async {
            let txn = db.db.begin().await.unwrap();
            let answer = match way {
                0 | 1 => row("eve's").update(&txn).await.map(drop),
                2 => row("eve's").save(&txn).await.map(drop),
                _ => row("eve's").delete(&txn).await.map(drop),
            };
            txn.rollback().await.unwrap();
            answer
        });
        let error = scope.await.unwrap().unwrap_err();
        assert!(matches!(refusal(&error), Refused::UnknownTeam { .. }), "{way}: {error}");
    }
    assert_eq!(tenant::Entity::find().all(&db.db).await.unwrap(), [there]);
    assert_eq!(db.log().await, before);
}

async fn an_insert_that_fails_makes_no_team(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let acme = tenant::ActiveModel { name: Set("acme".to_owned()), ..Default::default() };
    let txn = events.begin(Context::new_team()).await.unwrap();
    let there = acme.insert(&txn).await.unwrap();
    txn.commit().await.unwrap();
    let taken = || tenant::ActiveModel { id: Set(there.id), name: Set("eve's".to_owned()) };
    let txn = events.begin(Context::new_team().actor("eve")).await.unwrap();
    let nested = txn.begin().await.unwrap();
    assert!(taken().insert(&nested).await.is_err());
    nested.rollback().await.unwrap();
    // The unit is of no team yet, and may still make its own.
    assert!(matches!(refusal(&txn.emit(Event::custom("x")).await.unwrap_err()), Refused::UnknownTeam { .. }));
    let own =
        tenant::ActiveModel { name: Set("own".to_owned()), ..Default::default() }.insert(&txn).await.unwrap();
    txn.commit().await.unwrap();
    assert_ne!(own.id, there.id);
    let teams: Vec<_> = db.log().await.into_iter().map(|row| row.team_id).collect();
    assert_eq!(teams, [there.id.to_string(), own.id.to_string()]);
    let txn = events.begin(Context::new_team().actor("eve")).await.unwrap();
    assert!(tenant::Entity::insert_many_with_events([taken()]).exec(&txn).await.is_err());
    assert!(txn.commit().await.is_err());
    assert_eq!(db.log().await.len(), 2);
}

async fn team_cannot_be_changed_or_missing(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let model = insert(&events, "a").await;
    let txn = events.begin(Context::all_teams("job", "repair")).await.unwrap();
    let active =
        campaign::ActiveModel { id: Unchanged(model.id), team_id: Set(Some(8)), ..Default::default() };
    assert!(matches!(refusal(&active.update(&txn).await.unwrap_err()), Refused::TeamChanged { .. }));
    assert!(txn.commit().await.is_err());
    let txn = events.begin(context()).await.unwrap();
    let moved = || campaign::ActiveModel {
        id: Unchanged(model.id),
        team_id: Set(Some(8)),
        budget: Set(1),
        ..Default::default()
    };
    for error in [
        moved().update(&txn).await.unwrap_err(),
        moved().save(&txn).await.unwrap_err(),
        moved().update_with_event(&txn).await.unwrap_err(),
    ] {
        assert!(matches!(refusal(&error), Refused::TeamChanged { .. }), "{error}");
        assert!(error.to_string().contains("delete it and create it anew"), "{error}");
    }
    let mut orphan = new_campaign("b");
    orphan.team_id = Set(None);
    assert!(matches!(refusal(&orphan.insert(&txn).await.unwrap_err()), Refused::NullTeam { .. }));
    txn.commit().await.unwrap();
    let row = campaign::Entity::find_by_id(model.id).one(&db.db).await.unwrap().unwrap();
    assert_eq!(row.team_id, Some(TEAM));
}

async fn all_teams_takes_the_team_of_the_row(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let txn = events.begin(Context::all_teams("job", "import")).await.unwrap();
    for team in [1, 2] {
        let mut active = new_campaign(&team.to_string());
        active.team_id = Set(Some(team));
        active.insert(&txn).await.unwrap();
    }
    let error = txn.emit(Event::custom("x")).await.unwrap_err();
    assert!(matches!(refusal(&error), Refused::UnknownTeam { .. }));
    txn.emit(Event::custom("x").team(3)).await.unwrap();
    txn.commit().await.unwrap();
    let teams: Vec<_> = db.log().await.into_iter().map(|row| row.team_id).collect();
    assert_eq!(teams, ["1", "2", "3"]);
}

async fn new_team_is_made_by_its_own_insert(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let txn = events.begin(Context::new_team().actor("ada")).await.unwrap();
    assert!(matches!(refusal(&txn.emit(Event::custom("x")).await.unwrap_err()), Refused::UnknownTeam { .. }));
    let row = tenant::ActiveModel { name: Set("acme".to_owned()), ..Default::default() };
    let row = row.insert(&txn).await.unwrap();
    let mut active = new_campaign("a");
    active.team_id = Set(Some(row.id));
    active.insert(&txn).await.unwrap();
    assert!(new_campaign("b").insert(&txn).await.is_err(), "team 7 is another");
    txn.commit().await.unwrap();
    let log = db.log().await;
    assert!(log.iter().all(|event| event.team_id == row.id.to_string()));
    assert_eq!(types(&log), ["CREATED", "CREATED"]);
}

async fn single_team_needs_no_context(db: Arc<TestDb>) {
    let plain = set_up(&db).await;
    assert!(matches!(refusal(&plain.begin(Context::default()).await.unwrap_err()), Refused::NoTeam));
    let events = Events::builder(db.db.clone()).single_team("main").build().await.unwrap();
    let txn = events.begin(Context::default()).await.unwrap();
    txn.emit(Event::custom("started")).await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(db.log().await[0].team_id, "main");
}

async fn teams_are_compared_to_the_letter(db: Arc<TestDb>) {
    use sea_orm::{ColumnTrait, QueryFilter};
    let events = set_up(&db).await;
    let teams = ["a", "A", "a ", "á"];
    for team in teams {
        let txn = events.begin(Context::team(team)).await.unwrap();
        txn.emit(Event::custom("x")).await.unwrap();
        txn.commit().await.unwrap();
    }
    for team in teams {
        let found = event::Entity::find().filter(event::Column::TeamId.eq(team)).all(&db.db).await.unwrap();
        assert_eq!(found.len(), 1, "{team:?}");
        assert_eq!(found[0].team_id, team);
    }
    for bad in ["", "a\0b", &"x".repeat(192)] {
        assert!(matches!(
            refusal(&events.begin(Context::team(bad)).await.unwrap_err()),
            Refused::Identifier(_)
        ));
    }
}

async fn save_without_context_is_refused(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let error = new_campaign("a").insert(&db.db).await.unwrap_err();
    assert!(matches!(refusal(&error), Refused::NoContext { .. }));
    let connection = events.connection(context());
    let error = new_campaign("a").insert(&connection).await.unwrap_err();
    assert!(error.to_string().contains("create_with_event"), "{error}");
    let spawned = events.scope(context(), async {
        let pool = db.db.clone();
        tokio::spawn(async move { new_campaign("a").insert(&pool.begin().await.unwrap()).await })
            .await
            .unwrap()
    });
    let error = spawned.await.unwrap().unwrap_err();
    assert!(matches!(refusal(&error), Refused::NoContext { .. }));
    assert_eq!(campaign::Entity::find().count(&connection).await.unwrap(), 0);
    new_campaign("a").create_with_event(&connection).await.unwrap();
    assert_eq!(types(&db.log().await), ["CREATED"]);
}

async fn all_teams_touches_rows_of_any_team(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let txn = events.begin(Context::all_teams("job", "clean up")).await.unwrap();
    for team in [1, 2] {
        let mut active = new_campaign(&team.to_string());
        active.team_id = Set(Some(team));
        let mut active = active.insert(&txn).await.unwrap().into_active_model();
        active.budget = Set(5);
        let model = active.update(&txn).await.unwrap();
        txn.emit(Event::custom("seen").about(&model)).await.unwrap();
        model.delete(&txn).await.unwrap();
    }
    let row = tenant::ActiveModel { name: Set("acme".to_owned()), ..Default::default() };
    let row = row.insert(&txn).await.unwrap();
    txn.commit().await.unwrap();
    let log = db.log().await;
    let teams: Vec<_> = log.iter().map(|row| row.team_id.clone()).collect();
    assert_eq!(teams, ["1", "1", "1", "1", "2", "2", "2", "2", &row.id.to_string()]);
    assert!(log.iter().all(|row| row.context["reason"] == "clean up"));
}

/// What cannot be recorded whatever the database answers is refused while the unit is healthy.
async fn team_that_nothing_tells_is_refused_before_it_is_saved(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let price = price::ActiveModel {
        item: Set(1),
        lang: Set("en".to_owned()),
        r#type: Set("list".to_owned()),
        cents: Set(1),
        internal: Set(None),
    };
    let saved = price.clone().create_with_event(&events.connection(context())).await.unwrap();
    for context in [Context::all_teams("job", "import"), Context::new_team()] {
        let txn = events.begin(context).await.unwrap();
        let mut other = price.clone();
        other.item = Set(2);
        let mut changed = saved.clone().into_active_model();
        changed.cents = Set(2);
        for error in [
            other.insert(&txn).await.unwrap_err(),
            changed.clone().update(&txn).await.unwrap_err(),
            changed.update_without_returning(&txn).await.unwrap_err(),
            saved.clone().delete(&txn).await.unwrap_err(),
        ] {
            assert!(matches!(refusal(&error), Refused::UnknownTeam { .. }), "{error}");
        }
        let row = tenant::ActiveModel { name: Set("acme".to_owned()), ..Default::default() };
        row.insert(&txn).await.unwrap();
        txn.commit().await.unwrap();
    }
    assert_eq!(price::Entity::find().all(&db.db).await.unwrap(), [saved]);
}

async fn row_without_a_team_is_not_touched(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let model = insert(&events, "a").await;
    db.db.execute_unprepared("UPDATE campaigns SET team_id = NULL").await.unwrap();
    for context in [context(), Context::all_teams("job", "repair")] {
        let txn = events.begin(context).await.unwrap();
        let mut active = model.clone().into_active_model();
        active.budget = Set(5);
        for error in
            [active.update(&txn).await.unwrap_err(), model.clone().delete(&txn).await.map(drop).unwrap_err()]
        {
            assert!(matches!(refusal(&error), Refused::NullTeam { .. }), "{error}");
        }
        txn.commit().await.unwrap();
    }
    let row = campaign::Entity::find_by_id(model.id).one(&db.db).await.unwrap().unwrap();
    assert_eq!(row.budget, 100);
    assert_eq!(db.log().await.len(), 1);
}

async fn team_of_a_nested_unit_goes_with_it(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let acme = || tenant::ActiveModel { name: Set("acme".to_owned()), ..Default::default() };
    let txn = events.begin(Context::new_team()).await.unwrap();
    let lost = txn.begin().await.unwrap();
    let first = acme().insert(&lost).await.unwrap();
    lost.emit(Event::custom("lost")).await.unwrap();
    lost.rollback().await.unwrap();
    assert!(txn.emit(Event::custom("x")).await.is_err(), "the team went with its row");
    let kept = txn.begin().await.unwrap();
    let second = acme().insert(&kept).await.unwrap();
    kept.commit().await.unwrap();
    txn.emit(Event::custom("kept")).await.unwrap();
    assert!(acme().insert(&txn).await.is_err(), "one team a unit");
    txn.rollback().await.unwrap();
    let txn = events.begin(Context::new_team()).await.unwrap();
    let third = acme().insert(&txn).await.unwrap();
    txn.emit(Event::custom("kept")).await.unwrap();
    txn.commit().await.unwrap();
    assert!(first.id <= second.id && second.id <= third.id);
    assert!(db.log().await.iter().all(|row| row.team_id == third.id.to_string()));
    assert_eq!(types(&db.log().await), ["CREATED", "kept"]);
}
