//! Nobody reads another team's messages, and the scopes of an object do not mix.

use super::*;

tests::conformance! {
    another_team_sees_nothing,
    scopes_do_not_mix,
    names_are_told_apart_to_the_byte,
    a_job_across_teams_tells_each_its_own,
    a_thread_that_cannot_be_stored_refuses_the_save,
}

async fn another_team_sees_nothing(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let customer = new_customer("Alice").create_with_event(&events.connection(context())).await.unwrap();
    let object = ObjectRef::new("customer", customer.id);
    let thread = of("customer", customer.id);
    thread.post(&events.connection(context()), "ours").await.unwrap();
    let theirs = Thread::of(8, object.clone());
    let other = events.connection(Context::team(8).actor("eve"));
    assert!(theirs.messages().all(&other).await.unwrap().is_empty());
    // Neither read nor written with the name of the other team, whatever the connection.
    let error = thread.post(&other, "psst").await.unwrap_err();
    assert!(matches!(error, PostError::Refused(Refused::OtherTeam { .. })), "{error}");
    assert!(!error.to_string().contains('7'), "{error}");
    // In its own thread of the same object they may write, and nobody else sees it.
    theirs.post(&other, "theirs").await.unwrap();
    assert_eq!(bodies(&db, &theirs).await, ["theirs"]);
    assert_eq!(
        bodies(&db, &thread).await,
        [format!("Ada created customer {}", customer.id), "ours".to_owned()]
    );
    let wrong = Thread::of("7 ", object);
    assert!(bodies(&db, &wrong).await.is_empty());
}

async fn scopes_do_not_mix(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let mut ids = Vec::new();
    for scope in [Some("spring"), Some("Spring"), None, Some("")] {
        ids.push(new_rental(1, scope, "ACE").create_with_event(&connection).await.unwrap().id);
    }
    let created = |id: i32| format!("Ada created rental {id}");
    let thread = of("customer", 1);
    assert_eq!(bodies(&db, &thread.clone().scoped("spring")).await, [created(ids[0])]);
    assert_eq!(bodies(&db, &thread.clone().scoped("Spring")).await, [created(ids[1])]);
    // No scope and an empty one are the same thread, of which there is one.
    assert_eq!(bodies(&db, &thread).await, [created(ids[2]), created(ids[3])]);
    assert_eq!(bodies(&db, &thread.clone().scoped("")).await, [created(ids[2]), created(ids[3])]);
    assert!(bodies(&db, &thread.scoped("autumn")).await.is_empty());
    let deal = |campaign| deal::ActiveModel {
        id: Set(campaign * 10),
        team_id: Set(TEAM),
        campaign: Set(campaign),
        title: Set("x".to_owned()),
    };
    let deals = [deal(1), deal(2)];
    for deal in deals {
        let deal = deal.create_with_event(&connection).await.unwrap();
        let thread = of("deal", deal.id).scoped(deal.campaign);
        assert_eq!(Thread::of_row(TEAM, &deal), Some(thread.clone()));
        assert_eq!(bodies(&db, &thread).await, [format!("Ada created deal {}", deal.id)]);
        assert!(bodies(&db, &of("deal", deal.id)).await.is_empty());
    }
    assert_eq!(count(&db).await, (5, 6));
}

/// To a collation that pads or folds, these would be one thread.
async fn names_are_told_apart_to_the_byte(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let names = ["a", "A", "a ", "á", "a\u{301}", "ａ", " a"];
    for name in names {
        of("thing", name).scoped(name).post(&connection, name).await.unwrap();
    }
    for name in names {
        let thread = of("thing", name).scoped(name);
        assert_eq!(bodies(&db, &thread).await, [name]);
    }
    assert_eq!(count(&db).await, (names.len() as u64, names.len() as u64));
}

async fn a_job_across_teams_tells_each_its_own(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let txn = events.begin(Context::all_teams("robot", "yearly clean-up")).await.unwrap();
    let mut customers = Vec::new();
    for team in [1, 2, 1] {
        let mut customer = new_customer("x");
        customer.team_id = Set(team);
        customers.push(customer.insert(&txn).await.unwrap());
    }
    let object = |i: usize| ObjectRef::new("customer", customers[i].id);
    Thread::of(2, object(1)).post(&txn, "cleaned").await.unwrap();
    txn.commit().await.unwrap();
    for customer in &customers {
        let told = bodies(&db, &Thread::of(customer.team_id, ObjectRef::new("customer", customer.id))).await;
        let created = format!("robot created customer {}: yearly clean-up", customer.id);
        assert!(told.contains(&created), "{told:?}");
        assert_eq!(told.len(), if customer.team_id == 2 { 2 } else { 1 });
        let other = Thread::of(3 - customer.team_id, ObjectRef::new("customer", customer.id));
        assert!(bodies(&db, &other).await.is_empty());
    }
}

async fn a_thread_that_cannot_be_stored_refuses_the_save(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let scope = "x".repeat(192);
    let error = new_rental(1, Some(&scope), "ACE").create_with_event(&connection).await.unwrap_err();
    assert!(error.to_string().contains("the scope of the thread has 192 characters"), "{error}");
    assert_eq!(rental::Entity::find().count(&db.db).await.unwrap(), 0);
    let scope = "é".repeat(191);
    new_rental(1, Some(&scope), "ACE").create_with_event(&connection).await.unwrap();
    assert_eq!(bodies(&db, &of("customer", 1).scoped(&scope)).await.len(), 1);
}
