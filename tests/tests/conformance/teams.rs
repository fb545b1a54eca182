//! Whose event it is, and whose row may be touched.

use super::*;

tests::conformance! {
    other_team_is_refused,
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
    for error in [
        active.update(&txn).await.unwrap_err(),
        model.clone().delete(&txn).await.unwrap_err(),
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
