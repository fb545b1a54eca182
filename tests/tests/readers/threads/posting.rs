//! Users' own messages.

use super::*;

tests::conformance! {
    a_user_writes_beside_the_events,
    what_is_no_message_is_refused,
    posting_needs_a_sound_unit,
    pages_follow_one_another,
    the_thread_of_another_team_is_not_read,
}

async fn a_user_writes_beside_the_events(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let txn = events.begin(context()).await.unwrap();
    let customer = new_customer("Alice").insert(&txn).await.unwrap();
    let thread = Thread::of_row(TEAM, &customer).unwrap();
    let text = "Called her.\n<b>Blue</b>, she says \u{202e}& not \"red\" 🐝";
    let posted = thread.post(&txn, text).await.unwrap();
    assert_eq!((posted.kind, posted.author_id.as_deref()), (message::Kind::User, Some("ada")));
    assert_eq!((posted.event_id, posted.body.as_str()), (None, text));
    let savepoint = txn.begin().await.unwrap();
    thread.post(&savepoint, "no, wait").await.unwrap();
    savepoint.rollback().await.unwrap();
    txn.commit().await.unwrap();
    let own = thread.post(&events.connection(Context::team(TEAM).actor("grace")), "Fine.").await.unwrap();
    assert_eq!(own.author_id.as_deref(), Some("grace"));
    let messages = thread.messages().all(&events.connection(context())).await.unwrap();
    let created = format!("Ada created customer {}", customer.id);
    // What is told of an event is written at the commit.
    assert_eq!(messages.iter().map(|message| &*message.body).collect::<Vec<_>>(), [text, &created, "Fine."]);
    assert_eq!(
        messages[0].html(),
        "Called her.\n&lt;b&gt;Blue&lt;/b&gt;, she says &amp; not &quot;red&quot; 🐝"
    );
    assert_eq!(messages[0].data, serde_json::json!({}));
    // They are no events.
    assert_eq!(tests::types(&db.log().await), ["CREATED"]);
}

async fn what_is_no_message_is_refused(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let thread = of("customer", 1);
    let post = async |body: &str| thread.post(&connection, body).await;
    assert!(matches!(post("").await, Err(PostError::Empty)));
    assert!(matches!(post(" \n\t\u{a0}").await, Err(PostError::Empty)));
    assert!(matches!(post("a\0b").await, Err(PostError::Nul)));
    let long = "é".repeat(32 << 10);
    assert_eq!(post(&long).await.unwrap().body, long);
    let error = post(&format!("{long}!")).await.unwrap_err();
    assert!(matches!(error, PostError::TooLong { bytes: 65_537 }), "{error}");
    let nobody = events.connection(Context::team(TEAM));
    assert!(matches!(thread.post(&nobody, "hi").await, Err(PostError::NoAuthor)));
    let nowhere = Thread::of(TEAM, ObjectRef::new("customer", ""));
    assert!(matches!(nowhere.post(&connection, "hi").await, Err(PostError::Refused(Refused::Identifier(_)))));
    assert_eq!(count(&db).await, (1, 1));
}

async fn posting_needs_a_sound_unit(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let thread = of("customer", 1);
    // What was refused before anything was sent leaves the unit as it was.
    let txn = events.begin(context()).await.unwrap();
    thread.post(&txn, "").await.unwrap_err();
    Thread::of(8, ObjectRef::new("customer", 1)).post(&txn, "hi").await.unwrap_err();
    let nested = txn.begin().await.unwrap();
    let error = thread.post(&txn, "hi").await.unwrap_err();
    assert!(matches!(error, PostError::Refused(Refused::NestedOpen)), "{error}");
    nested.commit().await.unwrap();
    thread.post(&txn, "one").await.unwrap();
    txn.commit().await.unwrap();
    let txn = events.begin(context()).await.unwrap();
    let broken = shelf::ActiveModel { id: Set(1), name: Set("x".to_owned()) };
    broken.clone().insert(&txn).await.unwrap();
    broken.insert(&txn).await.unwrap_err();
    let error = thread.post(&txn, "two").await.unwrap_err();
    assert!(matches!(error, PostError::Refused(Refused::Poisoned { .. })), "{error}");
    txn.rollback().await.unwrap();
    assert_eq!(bodies(&db, &thread).await, ["one"]);
}

async fn pages_follow_one_another(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let thread = of("customer", 1);
    assert!(thread.messages().latest().all(&connection).await.unwrap().is_empty());
    let txn = events.begin(context()).await.unwrap();
    for i in 0..60 {
        thread.post(&txn, format!("m{i}")).await.unwrap();
        of("customer", 2).post(&txn, "elsewhere").await.unwrap();
    }
    txn.commit().await.unwrap();
    let texts = |messages: &[message::Model]| messages.iter().map(|m| m.body.clone()).collect::<Vec<_>>();
    let expected = |range: std::ops::Range<i32>| range.map(|i| format!("m{i}")).collect::<Vec<_>>();
    let first = thread.messages().all(&connection).await.unwrap();
    assert_eq!(texts(&first), expected(0..50));
    let rest = thread.messages().after(first[49].id).all(&connection).await.unwrap();
    assert_eq!(texts(&rest), expected(50..60));
    let last = thread.messages().latest().limit(7).all(&connection).await.unwrap();
    assert_eq!(texts(&last), expected(53..60));
    let before = thread.messages().before(last[0].id).limit(3).all(&connection).await.unwrap();
    assert_eq!(texts(&before), expected(50..53));
    let between = thread.messages().after(first[10].id).before(first[13].id).all(&connection).await.unwrap();
    assert_eq!(texts(&between), expected(11..13));
}

async fn the_thread_of_another_team_is_not_read(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let thread = of("customer", 1);
    thread.post(&events.connection(context()), "hi").await.unwrap();
    let foreign = events.connection(Context::team(8));
    let txn = events.begin(Context::team(8)).await.unwrap();
    for error in [
        thread.messages().all(&foreign).await.unwrap_err(),
        thread.messages().latest().all(&foreign).await.unwrap_err(),
        thread.messages().all(&txn).await.unwrap_err(),
    ] {
        assert!(matches!(tests::refusal(&error), Refused::OtherTeam { .. }), "{error}");
        assert!(!error.to_string().contains('7'), "the other team is not told: {error}");
    }
    assert!(Thread::of(8, ObjectRef::new("customer", 1)).messages().all(&txn).await.unwrap().is_empty());
    txn.commit().await.unwrap(); // healthy
    let none = thread.messages().all(&events.connection(Context::default())).await.unwrap_err();
    assert!(matches!(tests::refusal(&none), Refused::NoTeam), "{none}");
    let across = events.connection(Context::all_teams("job", "report"));
    assert_eq!(thread.messages().all(&across).await.unwrap().len(), 1);
}
