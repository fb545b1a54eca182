//! One message an event, whatever made the event.

use std::time::{Duration, Instant};

use super::*;

tests::conformance! {
    saves_are_told,
    emitted_events_are_told,
    bulk_calls_are_told,
    links_are_told_of_their_parent,
    saves_in_a_scope_are_told,
    rows_that_move_are_told_where_they_went,
    what_has_no_thread_is_not_told,
    a_rollback_leaves_no_message,
    strange_values_do_no_harm,
    actors_that_nobody_knows_go_by_their_ids,
    a_failing_resolver_refuses_the_commit,
    many_rows_are_told_by_few_statements,
}

async fn saves_are_told(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let txn = events.begin(context()).await.unwrap();
    let customer = new_customer("Alice").insert(&txn).await.unwrap();
    let mut active = customer.clone().into_active_model();
    active.credit = Set(Some(2500));
    active.balance = Set("12345.75".parse().unwrap());
    active.name = Set("Alice Cooper".to_owned());
    active.born_in = Set(Some(1986));
    active.api_key = Set("s3cr3t-2".to_owned());
    active.status = Set(customer::Status::Good);
    let customer = active.update(&txn).await.unwrap();
    txn.commit().await.unwrap();
    let db_ada = events.connection(Context::team(TEAM).actor(Actor::new("grace").on_behalf_of("ada")));
    let mut active = customer.into_active_model();
    active.credit = Set(None);
    let customer = active.update_with_event(&db_ada).reason("she asked").await.unwrap();
    let events_db = events.connection(Context::team(TEAM));
    let gone =
        customer.into_active_model().soft_delete_with_event(&events_db).reason("moved away").await.unwrap();
    let back = gone.into_active_model().restore_with_event(&events_db).await.unwrap();
    let id = back.id;
    back.into_active_model().delete_with_event(&events_db).await.unwrap();
    let told = bodies(&db, &of("customer", id)).await;
    assert_eq!(
        told,
        [
            format!("Ada created customer {id}"),
            "Ada changed name from “Alice” to “Alice Cooper”, credit line from 1,000 to 2,500, balance from 1,000.25 to 12,345.75, born in from 1985 to 1986 and API key".to_owned(),
            "Ada moved status from new to good".to_owned(),
            "Grace for Ada cleared credit line: she asked".to_owned(),
            format!("The system deleted customer {id}: moved away"),
            format!("The system restored customer {id}"),
            format!("The system deleted customer {id}"),
        ]
    );
    // One message an event, in their order, and of nobody's secret.
    let log = db.log().await;
    let messages = of("customer", id).messages().all(&db.db).await.unwrap();
    let ids: Vec<_> = log.iter().map(|event| Some(event.id)).collect();
    assert_eq!(messages.iter().map(|message| message.event_id).collect::<Vec<_>>(), ids);
    assert!(!format!("{messages:?}").contains("s3cr3t"));
    assert!(messages.iter().all(|message| message.kind == message::Kind::System));
    assert_eq!(messages[0].author_id.as_deref(), Some("ada"));
    assert_eq!(messages[0].team_id, "7");
    // What an object's own thread is need not be said again in each event.
    assert!(log.iter().all(|event| event.context.get("thread").is_none()));
    assert!((chrono::Utc::now() - messages[0].created_at).num_minutes().abs() < 5);
}

async fn emitted_events_are_told(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let txn = events.begin(context()).await.unwrap();
    let customer = new_customer("Alice").insert(&txn).await.unwrap();
    let rental = new_rental(customer.id, Some("spring"), "ACE").insert(&txn).await.unwrap();
    txn.emit(Event::custom("credit_checked").about(&customer)).await.unwrap();
    txn.emit(Event::custom("film.damaged").about(&rental).json(serde_json::json!({"by": "dog"})))
        .await
        .unwrap();
    txn.emit(Event::custom("called").about(ObjectRef::new("customer", customer.id))).await.unwrap();
    txn.emit(Event::custom("lost").about(ObjectRef::new("rental", rental.id))).await.unwrap();
    txn.emit(Event::custom("month_closed")).await.unwrap();
    txn.commit().await.unwrap();
    let own = of("customer", customer.id);
    assert_eq!(
        bodies(&db, &own).await,
        [format!("Ada created customer {}", customer.id), "Ada: credit checked".into(), "Ada: called".into()]
    );
    let r = rental.id;
    assert_eq!(
        bodies(&db, &own.scoped("spring")).await,
        [format!("Ada created rental {r}"), format!("Ada: film damaged, rental {r}")]
    );
    // Whose rental it is, a bare reference does not say.
    assert_eq!(count(&db).await, (2, 5));
}

async fn bulk_calls_are_told(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let txn = events.begin(context()).await.unwrap();
    let customers: Vec<_> = (1..=3).map(|i| new_customer(&format!("c{i}"))).collect();
    let customers: Vec<_> =
        customer::Entity::insert_many_with_events(customers).exec_with_returning(&txn).await.unwrap();
    let rentals = customers.iter().map(|customer| new_rental(customer.id, None, "ACE"));
    rental::Entity::insert_many_with_events(rentals).exec(&txn).await.unwrap();
    rental::Entity::update_many_with_events()
        .col_expr(rental::Column::Film, Expr::val("BEE"))
        .exec(&txn)
        .await
        .unwrap();
    rental::Entity::delete_many_with_events().reason("sold").exec(&txn).await.unwrap();
    txn.commit().await.unwrap();
    for customer in customers {
        let told = bodies(&db, &of("customer", customer.id)).await;
        assert_eq!(told.len(), 4, "{told:?}");
        assert_eq!(told[0], format!("Ada created customer {}", customer.id));
        assert!(told[1].starts_with("Ada created rental "));
        assert!(
            told[2].starts_with("Ada changed film of rental ") && told[2].ends_with("from “ACE” to “BEE”")
        );
        assert!(told[3].starts_with("Ada deleted rental ") && told[3].ends_with(": sold"));
    }
}

async fn links_are_told_of_their_parent(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let mut shelf = shelf::ActiveModel { name: Set("Comedy".to_owned()), ..Default::default() }.into_ex();
    shelf.tags.push(tag::ActiveModel { name: Set("funny".to_owned()), ..Default::default() });
    shelf.save(&connection).await.unwrap();
    let stored = shelf::Entity::find().one(&db.db).await.unwrap().unwrap();
    let id = stored.id;
    stored.into_active_model().into_ex().delete(&connection).await.unwrap();
    // A shelf has no thread itself, but its links are told on it.
    assert_eq!(
        bodies(&db, &of("shelf", id)).await,
        [format!("Ada created shelf tag {id}, 1"), format!("Ada deleted shelf tag {id}, 1")]
    );
    assert_eq!(shelf_tag::Entity::find().count(&db.db).await.unwrap(), 0);
}

async fn saves_in_a_scope_are_told(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let pool = db.db.clone();
    let (customer, rental) = events
        .scope(context(), async move {
            let txn = pool.begin().await.unwrap();
            let customer = new_customer("Alice").insert(&txn).await.unwrap();
            let rental = new_rental(customer.id, None, "ACE").insert(&txn).await.unwrap();
            txn.commit().await.unwrap();
            let lost = pool.begin().await.unwrap();
            new_customer("Bob").insert(&lost).await.unwrap();
            lost.rollback().await.unwrap();
            (customer, rental)
        })
        .await
        .unwrap();
    assert_eq!(
        bodies(&db, &of("customer", customer.id)).await,
        [format!("Ada created customer {}", customer.id), format!("Ada created rental {}", rental.id)]
    );
    assert_eq!(count(&db).await, (1, 2));
}

async fn rows_that_move_are_told_where_they_went(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let rental = new_rental(1, None, "ACE").create_with_event(&connection).await.unwrap();
    let mut active = rental.into_active_model();
    active.customer_id = Set(Some(2));
    let rental = active.update_with_event(&connection).await.unwrap(); // what is not tracked is no event
    let mut active = rental.into_active_model();
    active.customer_id = Set(None);
    active.film = Set("BEE".to_owned());
    let rental = active.update_with_event(&connection).await.unwrap();
    let mut active = rental.into_active_model();
    active.customer_id = Set(Some(3));
    active.film = Set("CAT".to_owned());
    let rental = active.update_with_event(&connection).await.unwrap();
    let id = rental.id;
    rental.into_active_model().delete_with_event(&connection).await.unwrap();
    assert_eq!(bodies(&db, &of("customer", 1)).await, [format!("Ada created rental {id}")]);
    assert!(bodies(&db, &of("customer", 2)).await.is_empty());
    assert_eq!(
        bodies(&db, &of("customer", 3)).await,
        [format!("Ada changed film of rental {id} from “BEE” to “CAT”"), format!("Ada deleted rental {id}")]
    );
    assert!(bodies(&db, &of("rental", id)).await.is_empty());
    assert_eq!(db.log().await.len(), 4);
}

async fn what_has_no_thread_is_not_told(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(context());
    let shelf = shelf::ActiveModel { id: Set(1), name: Set("Comedy".to_owned()) };
    let shelf = shelf.create_with_event(&connection).await.unwrap();
    let rental = new_rental(None, Some("spring"), "ACE").create_with_event(&connection).await.unwrap();
    assert_eq!(count(&db).await, (0, 0));
    assert!(db.log().await.iter().all(|event| event.context.get("thread").is_none()));
    assert_eq!(Thread::of_row(TEAM, &shelf), None);
    assert_eq!(Thread::of_row(TEAM, &rental), None);
    let line =
        line::ActiveModel { item: Set(12), lang: Set("en".to_owned()), cents: Set(5), ..Default::default() };
    let line = line.create_with_event(&connection).await.unwrap();
    let thread = Thread::of(TEAM, ObjectRef::new("price", r#"[12,"en"]"#));
    assert_eq!(Thread::of_row(TEAM, &line), Some(thread.clone()));
    assert_eq!(bodies(&db, &thread).await, [format!("Ada created line {}", line.id)]);
}

async fn a_rollback_leaves_no_message(db: Arc<TestDb>) {
    async fn fail(_: &EventTransaction, event: &Event) -> Result<(), ConsumerError> {
        if event.event_type.as_str() == "doomed" { Err("no".into()) } else { Ok(()) }
    }
    entities::tables(&db).await;
    let events =
        Events::builder(db.db.clone()).consumer(Threads::new()).consumer(fail).build().await.unwrap();
    let txn = events.begin(context()).await.unwrap();
    let customer = new_customer("Alice").insert(&txn).await.unwrap();
    of("customer", customer.id).post(&txn, "hello").await.unwrap();
    txn.rollback().await.unwrap();
    let txn = events.begin(context()).await.unwrap();
    let customer = new_customer("Bob").insert(&txn).await.unwrap();
    txn.emit(Event::custom("doomed").about(&customer)).await.unwrap();
    txn.commit().await.unwrap_err();
    drop(events.begin(context()).await.unwrap());
    assert_eq!(count(&db).await, (0, 0));
    assert!(db.log().await.is_empty());
}

async fn strange_values_do_no_harm(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let evil = "\u{202e}<script>alert('1')</script>\n\u{7}\u{2028}’\" -- ; DROP TABLE threads";
    let connection = events.connection(Context::team(TEAM).actor(evil).reason(evil));
    let customer = new_customer(evil).create_with_event(&connection).await.unwrap();
    let mut active = customer.into_active_model();
    active.name = Set("a".repeat(200));
    let customer = active.update_with_event(&connection).await.unwrap();
    let messages = of("customer", customer.id).messages().all(&db.db).await.unwrap();
    assert_eq!(messages.len(), 2);
    for message in messages {
        let is_bad = |c: char| c.is_control() || ['\u{202e}', '\u{2028}'].contains(&c);
        assert!(!message.body.contains(is_bad), "{:?}", message.body);
        assert!(message.body.len() < 1_000 && message.data.to_string().len() < 3_000);
        let html = message.html();
        assert!(!html.contains(['<', '>', '"', '\'']) && html.contains("&lt;script&gt;"), "{html}");
        assert_eq!(message.author_id.as_deref(), Some(evil));
    }
}

async fn actors_that_nobody_knows_go_by_their_ids(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let connection = events.connection(Context::team(TEAM).actor("user:9"));
    let customer = new_customer("Alice").create_with_event(&connection).await.unwrap();
    assert_eq!(
        bodies(&db, &of("customer", customer.id)).await,
        [format!("user:9 created customer {}", customer.id)]
    );
}

async fn a_failing_resolver_refuses_the_commit(db: Arc<TestDb>) {
    async fn fail(_: &EventTransaction, ids: &[String]) -> Result<HashMap<String, String>, ConsumerError> {
        Err(format!("no names for {}", ids.join(", ")).into())
    }
    entities::tables(&db).await;
    let threads = Threads::new().actor_names(fail);
    let events = Events::builder(db.db.clone()).consumer(threads).build().await.unwrap();
    let context = Context::team(TEAM).actor(Actor::new("grace").on_behalf_of("ada"));
    let error = new_customer("Alice").create_with_event(&events.connection(context)).await.unwrap_err();
    assert!(matches!(refusal(&error), Refused::Consumer { .. }));
    assert!(
        error.to_string().contains("consumer `Threads` failed on CREATED: no names for ada, grace"),
        "{error}"
    );
    assert_eq!(count(&db).await, (0, 0));
    assert_eq!(customer::Entity::find().count(&db.db).await.unwrap(), 0);
}

/// Five thousand rows of one thread, and of a thread each.
async fn many_rows_are_told_by_few_statements(db: Arc<TestDb>) {
    const ROWS: usize = 5_000;
    entities::tables(&db).await;
    let setting = Events::builder(db.db.clone()).build().await.unwrap();
    let customers = (0..ROWS).map(|i| new_customer(&format!("c{i}")));
    customer::Entity::insert_many_with_events(customers).exec(&setting.connection(context())).await.unwrap();
    let of_one = (0..ROWS).map(|i| new_rental(1, None, &format!("f{i}")));
    rental::Entity::insert_many_with_events(of_one).exec(&setting.connection(context())).await.unwrap();
    let pool = TestDb::open_with(&db.url, 2).await;
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let mut counted = pool.clone();
    counted.set_metric_callback(move |info| {
        if info.statement.sql.contains("thread") {
            sink.lock().unwrap().push(info.statement.sql.chars().take(40).collect::<String>());
        }
    });
    let threads = Subscription::in_transaction(Threads::new()).time_budget(Duration::from_secs(60));
    let events = Events::builder(counted).subscribe(threads).build().await.unwrap();
    let connection = events.connection(context());
    let renamed = Expr::val("new");
    rental::Entity::update_many_with_events()
        .col_expr(rental::Column::Film, renamed)
        .exec(&connection)
        .await
        .unwrap();
    let of_one = std::mem::take(&mut *seen.lock().unwrap());
    // Found to be missing, made, found, locked; then the messages.
    assert!(of_one.len() <= 7, "{of_one:?}");
    let start = Instant::now();
    let renamed = Expr::val("new");
    customer::Entity::update_many_with_events()
        .col_expr(customer::Column::Name, renamed)
        .exec(&connection)
        .await
        .unwrap();
    println!("{:?}: {ROWS} rows in a new thread each: {:?}", db.db.get_database_backend(), start.elapsed());
    let of_each = std::mem::take(&mut *seen.lock().unwrap());
    assert!(of_each.len() <= 20, "{}: {of_each:?}", of_each.len());
    assert_eq!(count(&db).await, (ROWS as u64, 2 * ROWS as u64));
    let told = bodies(&db, &of("customer", 2)).await;
    assert_eq!(told, ["ada changed name from “c1” to “new”"]);
    let first = of("customer", 1).messages().limit(3).all(&db.db).await.unwrap();
    assert!(first.iter().is_sorted_by_key(|message| message.id));
    assert_eq!(of("customer", 1).messages().limit(9_999).all(&db.db).await.unwrap().len(), 1_000);
    // No thread is new any more.
    let renamed = Expr::val("newer");
    let update = customer::Entity::update_many_with_events().col_expr(customer::Column::Name, renamed);
    update.exec(&connection).await.unwrap();
    let again = std::mem::take(&mut *seen.lock().unwrap());
    assert!(again.len() <= 15, "{}: {again:?}", again.len());
}
