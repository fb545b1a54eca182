//! Notifications: whom events tell, who wants to hear, and what was read.

use std::{collections::BTreeMap, sync::Arc};

use events_sea_orm::{
    CommitError, ConsumerError, Context, EntityEvents, Event, EventConnection, EventTransaction, EventType,
    Events, ObjectRef, OnError, Refused, Subscription, migration,
    notifications::{Inbox, Notifications, Recipients, RecipientsFuture, Topic, notification, preference},
};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, ExprTrait, IntoActiveModel,
    PaginatorTrait, QueryFilter, QueryOrder, Set, TransactionTrait, sea_query::Expr,
};
use tests::{
    TEAM, TestDb, context,
    entities::{campaign, note},
    new_campaign, refusal,
    seen::Seen,
};

tests::conformance! {
    each_user_is_told_once_of_each_event,
    what_is_rolled_back_tells_nobody,
    the_same_event_again_is_the_same_notification,
    actors_are_told_if_asked_for,
    a_closure_names_recipients,
    recipients_that_fail_refuse_the_commit,
    failures_that_are_logged_leave_the_change,
    other_teams_and_users_see_nothing,
    users_that_look_alike_are_different,
    teams_of_a_job_across_teams_are_told_apart,
    preferences_are_kept_and_the_most_specific_counts,
    unusable_preferences_are_refused,
    the_list_is_paged_and_unread_is_counted,
    what_came_meanwhile_stays_unread,
    one_of_many_marks_it_as_read,
    inboxes_are_written_inside_a_unit,
    statements_do_not_grow_with_the_rows,
    many_units_at_once_lose_nothing,
    nobody_else_writes_to_the_tables,
    the_migration_runs_again_and_back,
}

/// Everybody of the team, the actor of most cases among them; one of them is named twice.
async fn members(_: &EventTransaction, _: &Event) -> Result<Vec<String>, ConsumerError> {
    Ok(["ada", "linus", "grace", "linus"].map(str::to_owned).to_vec())
}

async fn with_tables(db: &TestDb) {
    db.with_tables().await;
    migration::notifications::up(&db.db).await.unwrap();
}

async fn events(db: &TestDb) -> Events {
    with_tables(db).await;
    notifying(db, Notifications::new(members)).await
}

async fn notifying(db: &TestDb, notifications: Notifications) -> Events {
    let builder = Events::builder(db.db.clone()).without_registered_consumers();
    builder.consumer(notifications).build().await.unwrap()
}

async fn insert(events: &Events, name: &str) -> campaign::Model {
    let txn = events.begin(context()).await.unwrap();
    let model = new_campaign(name).insert(&txn).await.unwrap();
    txn.commit().await.unwrap();
    model
}

async fn emit(events: &Events, name: &str) {
    let txn = events.begin(context()).await.unwrap();
    txn.emit(Event::custom(name)).await.unwrap();
    txn.commit().await.unwrap();
}

fn inbox(user: &str) -> Inbox {
    Inbox::of(TEAM, user)
}

async fn all(db: &TestDb) -> Vec<notification::Model> {
    notification::Entity::find().order_by_asc(notification::Column::Id).all(&db.db).await.unwrap()
}

/// The event types in a user's list, the newest first.
async fn list(db: &TestDb, user: &str) -> Vec<String> {
    let list = inbox(user).list().all(&db.db).await.unwrap();
    list.into_iter().map(|row| row.event_type).collect()
}

async fn each_user_is_told_once_of_each_event(db: Arc<TestDb>) {
    let events = events(&db).await;
    let campaign = insert(&events, "a").await;
    emit(&events, "month_closed").await;
    let log = db.log().await;
    let rows = all(&db).await;
    let told: Vec<_> = rows.iter().map(|row| (row.user_id.as_str(), row.event_id)).collect();
    let expected: Vec<_> =
        log.iter().flat_map(|event| ["linus", "grace"].map(|user| (user, event.id))).collect();
    assert_eq!(told, expected);
    let first = &rows[0];
    assert_eq!((first.team_id.as_str(), first.event_type.as_str()), ("7", "CREATED"));
    assert_eq!(first.object(), Some(ObjectRef::new("campaign", campaign.id)));
    assert_eq!((first.actor_id.as_deref(), first.read_at), (Some("ada"), None));
    let age = chrono::Utc::now() - first.created_at;
    assert!(age.num_seconds().abs() < 60, "{age}");
    let last = &rows[3];
    assert_eq!((last.event_type.as_str(), last.object(), last.is_read()), ("month_closed", None, false));
    assert_eq!(list(&db, "linus").await, ["month_closed", "CREATED"]);
    assert!(list(&db, "ada").await.is_empty(), "her own doing");
}

async fn refuse_all(_: &EventTransaction, _: &Event) -> Result<(), ConsumerError> {
    Err("not today".into())
}

async fn what_is_rolled_back_tells_nobody(db: Arc<TestDb>) {
    let events = events(&db).await;
    let txn = events.begin(context()).await.unwrap();
    new_campaign("a").insert(&txn).await.unwrap();
    txn.rollback().await.unwrap();
    let txn = events.begin(context()).await.unwrap();
    let nested = txn.begin().await.unwrap();
    new_campaign("b").insert(&nested).await.unwrap();
    nested.rollback().await.unwrap();
    txn.commit().await.unwrap();
    // Refused after the notifications were written.
    let builder = Events::builder(db.db.clone()).without_registered_consumers();
    let refusing = builder.consumer(Notifications::new(members)).consumer(refuse_all).build().await.unwrap();
    let txn = refusing.begin(context()).await.unwrap();
    new_campaign("c").insert(&txn).await.unwrap();
    let error = txn.commit().await.unwrap_err();
    assert!(matches!(error, CommitError::Refused(Refused::Consumer { .. })), "{error}");
    assert!(all(&db).await.is_empty());
}

async fn the_same_event_again_is_the_same_notification(db: Arc<TestDb>) {
    with_tables(&db).await;
    let subscription =
        |name: &str| Subscription::in_transaction(Notifications::new(members)).named(name.to_owned());
    let builder = Events::builder(db.db.clone()).without_registered_consumers();
    let events = builder.subscribe(subscription("a")).subscribe(subscription("b")).build().await.unwrap();
    insert(&events, "a").await;
    assert_eq!(all(&db).await.len(), 2);
}

async fn actors_are_told_if_asked_for(db: Arc<TestDb>) {
    with_tables(&db).await;
    let events = notifying(&db, Notifications::new(members).include_actor(true)).await;
    insert(&events, "a").await;
    assert_eq!(list(&db, "ada").await, ["CREATED"]);
}

async fn a_closure_names_recipients(db: Arc<TestDb>) {
    with_tables(&db).await;
    let owner = "grace".to_owned();
    let recipients = move |_: &EventTransaction, event: &Event| {
        let users = if event.object.is_some() { vec![owner.clone()] } else { Vec::new() };
        std::future::ready(Ok(users))
    };
    let events = notifying(&db, Notifications::new(recipients)).await;
    insert(&events, "a").await;
    emit(&events, "month_closed").await;
    assert_eq!(list(&db, "grace").await, ["CREATED"]);
}

/// Names the same users for each event, whoever asks.
struct Always(Vec<Vec<String>>);

impl Recipients for Always {
    fn resolve<'a>(&'a self, _: &'a EventTransaction, _: &'a [&'a Event]) -> RecipientsFuture<'a> {
        Box::pin(std::future::ready(Ok(self.0.clone())))
    }
}

async fn no_recipients(_: &EventTransaction, _: &Event) -> Result<Vec<String>, ConsumerError> {
    Err("nobody is at home".into())
}

async fn recipients_that_fail_refuse_the_commit(db: Arc<TestDb>) {
    with_tables(&db).await;
    let one = |user: &str| Notifications::new(Always(vec![vec![user.to_owned()]]));
    for (notifications, why) in [
        (Notifications::new(no_recipients), "nobody is at home"),
        (Notifications::new(Always(Vec::new())), "recipients of 0 events were named, of 1"),
        (one(""), "user is empty: give it at least one character"),
        (one("a\0b"), "user holds a NUL character, which cannot be stored"),
        (one(&"x".repeat(192)), "user has 192 characters: at most 191 can be stored"),
    ] {
        let events = notifying(&db, notifications).await;
        let txn = events.begin(context()).await.unwrap();
        new_campaign("a").insert(&txn).await.unwrap();
        let error = txn.commit().await.unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
    assert!(all(&db).await.is_empty() && db.log().await.is_empty());
    // The longest there is, of four bytes a character.
    let events = notifying(&db, one(&"\u{1f600}".repeat(191))).await;
    insert(&events, "a").await;
    assert_eq!(all(&db).await.len(), 1);
}

async fn failures_that_are_logged_leave_the_change(db: Arc<TestDb>) {
    with_tables(&db).await;
    let logged = Subscription::in_transaction(Notifications::new(no_recipients)).on_error(OnError::Log);
    let builder = Events::builder(db.db.clone()).without_registered_consumers();
    insert(&builder.subscribe(logged).build().await.unwrap(), "a").await;
    assert_eq!((db.log().await.len(), all(&db).await.len()), (1, 0));
}

async fn other_teams_and_users_see_nothing(db: Arc<TestDb>) {
    let events = events(&db).await;
    insert(&events, "a").await;
    let own = inbox("linus").list().all(&db.db).await.unwrap()[0].clone();
    inbox("linus").set_preference(&events.connection(context()), Topic::everything(), true).await.unwrap();
    // The same user in another team, and another user of the same team.
    for (team, other) in [(8, Inbox::of(8, "linus")), (TEAM, inbox("nobody"))] {
        let connection = events.connection(Context::team(team).actor("linus"));
        assert!(other.list().all(&connection).await.unwrap().is_empty());
        assert_eq!(other.unread_count(&connection).await.unwrap(), 0);
        assert!(other.unread_by_object_type(&connection).await.unwrap().is_empty());
        let error = other.mark_read(&connection, own.id).await.unwrap_err();
        assert!(matches!(error, DbErr::RecordNotFound(_)), "{error}");
        assert_eq!(other.mark_all_read(&connection, i64::MAX).await.unwrap(), 0);
        assert!(other.preferences(&connection).await.unwrap().is_empty());
        assert!(!other.clear_preference(&connection, &Topic::everything()).await.unwrap());
    }
    // Another team's inbox is not written to, whatever number it is.
    let connection = events.connection(Context::team(8).actor("linus"));
    let txn = connection.begin().await.unwrap();
    let mine = inbox("linus");
    for error in [
        mine.mark_read(&txn, own.id).await.unwrap_err(),
        mine.mark_all_read(&txn, i64::MAX).await.unwrap_err(),
        mine.set_preference(&txn, Topic::everything(), false).await.unwrap_err(),
        mine.clear_preference(&txn, &Topic::everything()).await.unwrap_err(),
        // Nor is it read.
        mine.list().all(&txn).await.unwrap_err(),
        mine.unread_count(&txn).await.unwrap_err(),
        mine.unread_by_object_type(&txn).await.unwrap_err(),
        mine.preferences(&txn).await.unwrap_err(),
        mine.list().all(&connection).await.unwrap_err(),
        mine.unread_count(&connection).await.unwrap_err(),
        mine.unread_by_object_type(&connection).await.unwrap_err(),
        mine.preferences(&connection).await.unwrap_err(),
    ] {
        assert!(matches!(refusal(&error), Refused::OtherTeam { .. }), "{error}");
    }
    txn.commit().await.unwrap(); // healthy
    let error = mine.mark_read(&connection, own.id).await.unwrap_err();
    assert!(matches!(refusal(&error), Refused::OtherTeam { .. }), "{error}");
    assert_eq!(inbox("linus").unread_count(&db.db).await.unwrap(), 1);
    assert!(inbox("linus").preferences(&db.db).await.unwrap()[0].wanted);
    // Whoever works across teams may.
    let across = events.connection(Context::all_teams("janitor", "clean up"));
    assert_eq!(mine.unread_count(&across).await.unwrap(), 1);
    assert!(mine.mark_read(&across, own.id).await.unwrap());
}

async fn users_that_look_alike_are_different(db: Arc<TestDb>) {
    with_tables(&db).await;
    let users = ["u", "U", "u ", "\u{fa}"];
    let named = Always(vec![users.map(str::to_owned).to_vec()]);
    let events = notifying(&db, Notifications::new(named)).await;
    let connection = events.connection(context());
    inbox("U").set_preference(&connection, Topic::everything(), false).await.unwrap();
    inbox("u ").set_preference(&connection, Topic::everything(), true).await.unwrap();
    insert(&events, "a").await;
    for (user, expected) in users.into_iter().zip([1, 0, 1, 1]) {
        assert_eq!(inbox(user).unread_count(&db.db).await.unwrap(), expected, "{user:?}");
    }
    assert_eq!(inbox("u").mark_all_read(&connection, i64::MAX).await.unwrap(), 1);
    assert_eq!(inbox("u ").unread_count(&db.db).await.unwrap(), 1);
}

async fn teams_of_a_job_across_teams_are_told_apart(db: Arc<TestDb>) {
    let events = events(&db).await;
    let seven = events.connection(context());
    inbox("linus").set_preference(&seven, Topic::everything(), false).await.unwrap();
    let txn = events.begin(Context::all_teams("seed", "demo data")).await.unwrap();
    for team in [7, 8] {
        let mut active = new_campaign(&format!("of {team}"));
        active.team_id = Set(Some(team));
        active.insert(&txn).await.unwrap();
    }
    txn.commit().await.unwrap();
    let rows = all(&db).await;
    let told: Vec<_> = rows.iter().map(|row| (row.team_id.as_str(), row.user_id.as_str())).collect();
    let expected = [("7", "ada"), ("7", "grace"), ("8", "ada"), ("8", "linus"), ("8", "grace")];
    assert_eq!(told, expected, "muted in team 7 alone");
}

async fn preferences_are_kept_and_the_most_specific_counts(db: Arc<TestDb>) {
    let events = events(&db).await;
    let connection = events.connection(context());
    let (a, b) = (insert(&events, "a").await, insert(&events, "b").await);
    let linus = inbox("linus");
    let all = Topic::everything;
    // Nothing, but campaigns, but not b, but b's deletion.
    linus.set_preference(&connection, all(), false).await.unwrap();
    linus.set_preference(&connection, all().about_type("campaign"), true).await.unwrap();
    let about_b = ObjectRef::new("campaign", b.id);
    linus.set_preference(&connection, all().about(about_b.clone()), false).await.unwrap();
    let deletion = all().about(about_b.clone()).of(EventType::Deleted);
    linus.set_preference(&connection, deletion.clone(), true).await.unwrap();
    linus.mark_all_read(&connection, i64::MAX).await.unwrap();
    let unread = async || {
        let rows = linus.list().unread().all(&db.db).await.unwrap();
        linus.mark_all_read(&connection, i64::MAX).await.unwrap();
        let short = |row: notification::Model| (row.event_type, row.object_id.unwrap_or_default());
        rows.into_iter().rev().map(short).collect::<Vec<_>>()
    };
    emit(&events, "month_closed").await;
    let txn = events.begin(context()).await.unwrap();
    let mut models = Vec::new();
    for model in [a, b] {
        let mut active = model.into_active_model();
        active.budget = Set(5);
        models.push(active.update(&txn).await.unwrap());
    }
    txn.commit().await.unwrap();
    let (a_id, b_id) = (models[0].id.to_string(), models[1].id.to_string());
    assert_eq!(unread().await, [("UPDATED".to_owned(), a_id.clone())]);
    let txn = events.begin(context()).await.unwrap();
    for model in models {
        model.into_active_model().delete(&txn).await.unwrap();
    }
    txn.commit().await.unwrap();
    assert_eq!(unread().await, [("DELETED".to_owned(), a_id), ("DELETED".to_owned(), b_id)]);

    let mut topics: Vec<_> = linus.preferences(&connection).await.unwrap();
    topics.sort_by_key(|row| row.id);
    assert_eq!(topics.iter().map(|row| row.wanted).collect::<Vec<_>>(), [false, true, false, true]);
    assert_eq!(topics[3].topic(), deletion);
    // Said again it is changed, taken back it is gone.
    linus.set_preference(&connection, deletion.clone(), false).await.unwrap();
    assert_eq!(linus.preferences(&connection).await.unwrap().len(), 4);
    assert!(linus.clear_preference(&connection, &deletion).await.unwrap());
    assert!(!linus.clear_preference(&connection, &deletion).await.unwrap());
    assert!(linus.clear_preference(&connection, &all()).await.unwrap());
    assert_eq!(linus.preferences(&connection).await.unwrap().len(), 2);
    emit(&events, "month_closed").await;
    assert_eq!(unread().await, [("month_closed".to_owned(), String::new())]);
    assert_eq!(db.log().await.len(), 8, "preferences are no events");
}

async fn unusable_preferences_are_refused(db: Arc<TestDb>) {
    let events = events(&db).await;
    let connection = events.connection(context());
    let topic = |object_type: &str, id: &str| Topic::everything().about(ObjectRef::new(object_type, id));
    for topic in [topic("", "1"), topic("campaign", "a\0"), topic(&"x".repeat(192), "1"), topic("a\0", "")] {
        let error = inbox("linus").set_preference(&connection, topic, true).await.unwrap_err();
        assert!(matches!(refusal(&error), Refused::Identifier(_)), "{error}");
    }
    let error = inbox("").set_preference(&connection, Topic::everything(), true).await.unwrap_err();
    assert!(matches!(refusal(&error), Refused::Identifier(_)), "{error}");
    // The longest of plain letters there are, alike to the last one.
    let long = "x".repeat(190);
    for last in ["a", "b"] {
        let of = ObjectRef::new(&long, format!("{long}{last}"));
        let inbox = Inbox::of(TEAM, format!("{long}u"));
        inbox.set_preference(&connection, Topic::everything().about(of), true).await.unwrap();
    }
    assert_eq!(preference::Entity::find().count(&db.db).await.unwrap(), 2);
}

async fn the_list_is_paged_and_unread_is_counted(db: Arc<TestDb>) {
    let events = events(&db).await;
    let connection = events.connection(context());
    for i in 0..5 {
        insert(&events, &format!("c{i}")).await;
    }
    let txn = events.begin(context()).await.unwrap();
    note::ActiveModel { text: Set("n".to_owned()), ..sea_orm::ActiveModelBehavior::new() }
        .insert(&txn)
        .await
        .unwrap();
    txn.emit(Event::custom("month_closed")).await.unwrap();
    txn.commit().await.unwrap();

    let grace = inbox("grace");
    let first = grace.list().limit(3).all(&connection).await.unwrap();
    let second = grace.list().limit(3).before(first[2].id).all(&connection).await.unwrap();
    let third = grace.list().limit(3).before(second[2].id).all(&connection).await.unwrap();
    assert_eq!((first.len(), second.len(), third.len()), (3, 3, 1));
    assert_eq!(first[0].event_type, "month_closed");
    let pages: Vec<_> = [&*first, &*second, &*third].concat().iter().map(|row| row.id).collect();
    assert!(pages.is_sorted_by(|a, b| a > b), "{pages:?}");

    assert_eq!(grace.unread_count(&connection).await.unwrap(), 7);
    let counts = |entries: &[(Option<&str>, u64)]| -> BTreeMap<Option<String>, u64> {
        entries.iter().map(|(of, count)| (of.map(str::to_owned), *count)).collect()
    };
    let by_type = grace.unread_by_object_type(&connection).await.unwrap();
    assert_eq!(by_type, counts(&[(None, 1), (Some("campaign"), 5), (Some("note"), 1)]));
    assert!(grace.mark_read(&connection, first[1].id).await.unwrap());
    assert!(!grace.mark_read(&connection, first[1].id).await.unwrap(), "it was read already");
    let by_type = grace.unread_by_object_type(&connection).await.unwrap();
    assert_eq!(by_type, counts(&[(None, 1), (Some("campaign"), 5)]));
    assert_eq!(grace.unread_count(&connection).await.unwrap(), 6);
    let unread = grace.list().unread().limit(2).all(&connection).await.unwrap();
    assert_eq!(unread.iter().map(|row| row.id).collect::<Vec<_>>(), [first[0].id, first[2].id]);
    assert_eq!(grace.list().all(&connection).await.unwrap().len(), 7);
    assert_eq!(inbox("linus").unread_count(&connection).await.unwrap(), 7);
}

async fn what_came_meanwhile_stays_unread(db: Arc<TestDb>) {
    let events = events(&db).await;
    let connection = events.connection(context());
    insert(&events, "a").await;
    insert(&events, "b").await;
    let seen = inbox("linus").list().all(&connection).await.unwrap();
    insert(&events, "c").await;
    assert_eq!(inbox("linus").mark_all_read(&connection, seen[0].id).await.unwrap(), 2);
    assert_eq!(inbox("linus").mark_all_read(&connection, seen[0].id).await.unwrap(), 0);
    assert_eq!(inbox("linus").unread_count(&connection).await.unwrap(), 1);
    assert_eq!(inbox("grace").unread_count(&connection).await.unwrap(), 3);
}

async fn one_of_many_marks_it_as_read(db: Arc<TestDb>) {
    let events = events(&db).await;
    insert(&events, "a").await;
    let id = inbox("linus").list().all(&db.db).await.unwrap()[0].id;
    let mark = |i: usize| {
        let connection = events.connection(context());
        tokio::spawn(async move {
            match i % 2 {
                0 => u64::from(inbox("linus").mark_read(&connection, id).await.unwrap()),
                _ => inbox("linus").mark_all_read(&connection, id).await.unwrap(),
            }
        })
    };
    let tasks: Vec<_> = (0..12).map(mark).collect();
    let mut marked = 0;
    for task in tasks {
        marked += task.await.unwrap();
    }
    assert_eq!(marked, 1);
    let read_at = async || inbox("linus").list().all(&db.db).await.unwrap()[0].read_at.unwrap();
    let first = read_at().await;
    assert!(!inbox("linus").mark_read(&events.connection(context()), id).await.unwrap());
    assert_eq!(read_at().await, first);
}

async fn inboxes_are_written_inside_a_unit(db: Arc<TestDb>) {
    let events = events(&db).await;
    insert(&events, "a").await;
    let (linus, id) = (inbox("linus"), inbox("linus").list().all(&db.db).await.unwrap()[0].id);
    for commits in [false, true] {
        let txn = events.begin(context()).await.unwrap();
        assert!(linus.mark_read(&txn, id).await.unwrap());
        assert!(!linus.mark_read(&txn, id).await.unwrap());
        let error = linus.mark_read(&txn, id + 1_000).await.unwrap_err();
        assert!(matches!(error, DbErr::RecordNotFound(_)), "{error}");
        linus.set_preference(&txn, Topic::everything(), false).await.unwrap();
        assert_eq!(linus.unread_count(&txn).await.unwrap(), 0);
        // It counts in this very unit.
        new_campaign("b").insert(&txn).await.unwrap();
        if commits {
            txn.commit().await.unwrap();
        } else {
            txn.rollback().await.unwrap();
            assert_eq!(linus.unread_count(&db.db).await.unwrap(), 1);
            assert!(linus.preferences(&db.db).await.unwrap().is_empty());
        }
    }
    assert_eq!(linus.unread_count(&db.db).await.unwrap(), 0);
    assert_eq!(list(&db, "linus").await, ["CREATED"]);
    assert_eq!(list(&db, "grace").await, ["CREATED", "CREATED"]);
}

async fn statements_do_not_grow_with_the_rows(db: Arc<TestDb>) {
    with_tables(&db).await;
    let (pool, seen) = Seen::on(&db).await;
    let builder = Events::builder(pool).without_registered_consumers();
    let events = builder.consumer(Notifications::new(members)).build().await.unwrap();
    let connection = events.connection(context());
    let mut told = 0;
    for count in [1, 2, 3_000] {
        let models = (0..count).map(|i| new_campaign(&format!("{count}-{i}")));
        campaign::Entity::insert_many_with_events(models).exec(&connection).await.unwrap();
        seen.take("notification");
        let updated = campaign::Entity::update_many_with_events()
            .col_expr(campaign::Column::Budget, Expr::col(campaign::Column::Budget).add(1))
            .filter(campaign::Column::Name.starts_with(format!("{count}-")))
            .exec(&connection)
            .await
            .unwrap();
        assert_eq!(updated.rows_affected, count);
        told += 2 * 2 * count;
        let mut expected = vec!["SELECT", "INSERT"];
        if count > 2_500 {
            expected.push("INSERT"); // above 5,000 notifications
        }
        assert_eq!(seen.take("notification"), expected, "{count}");
    }
    let rows = notification::Entity::find().count(&db.db).await.unwrap();
    assert_eq!(rows, told);
    assert_eq!(inbox("linus").unread_count(&db.db).await.unwrap(), told / 2);
    assert_eq!(inbox("linus").mark_all_read(&connection, i64::MAX).await.unwrap(), told / 2);
}

const TASKS: usize = 16;
const UNITS: usize = 12;

/// Of the unit with this number: whether it is committed.
fn commits(i: usize) -> bool {
    !i.is_multiple_of(3)
}

async fn many_units_at_once_lose_nothing(db: Arc<TestDb>) {
    let events = events(&db).await;
    let task = |task: usize| {
        let events = events.clone();
        tokio::spawn(async move {
            let mut read = 0;
            for i in 0..UNITS {
                let txn = events.begin(context()).await.unwrap();
                new_campaign(&format!("{task}-{i}")).insert(&txn).await.unwrap();
                txn.emit(Event::custom("named")).await.unwrap();
                if commits(task + i) {
                    txn.commit().await.unwrap()
                } else {
                    txn.rollback().await.unwrap()
                }
                // Meanwhile others write to the same inbox.
                read += inbox("linus").mark_all_read(&events.connection(context()), i64::MAX).await.unwrap();
            }
            read
        })
    };
    let tasks: Vec<_> = (0..TASKS).map(task).collect();
    let mut read = 0;
    for task in tasks {
        read += task.await.unwrap();
    }
    let committed = (0..TASKS).flat_map(|task| (0..UNITS).map(move |i| task + i)).filter(|i| commits(*i));
    let expected = 2 * committed.count() as u64;
    let unread = inbox("linus").unread_count(&db.db).await.unwrap();
    assert_eq!(read + unread, expected, "each was read once or not at all");
    assert_eq!(inbox("grace").unread_count(&db.db).await.unwrap(), expected);
    assert_eq!(db.log().await.len() as u64, expected);
}

/// Every way in, each of which must be refused.
async fn write_by_hand(db: &impl ConnectionTrait, row: &notification::Model) -> Vec<DbErr> {
    let mut errors = Vec::new();
    let mut active = row.clone().into_active_model();
    active.read_at = Set(None);
    errors.push(active.clone().update(db).await.unwrap_err());
    errors.push(active.clone().insert(db).await.unwrap_err());
    errors.push(row.clone().into_active_model().delete(db).await.unwrap_err());
    errors.push(notification::Entity::insert(active).exec_without_returning(db).await.unwrap_err());
    let set = notification::Entity::update_many().col_expr(notification::Column::UserId, Expr::value("eve"));
    errors.push(set.exec(db).await.unwrap_err());
    errors.push(notification::Entity::delete_many().exec(db).await.unwrap_err());
    errors.push(preference::Entity::delete_many().exec(db).await.unwrap_err());
    for sql in [
        "DELETE FROM notifications",
        "update NOTIFICATIONS set user_id = 'eve'",
        "INSERT INTO notification_preferences (team_id, user_id, wanted) VALUES ('7', 'linus', false)",
    ] {
        errors.push(db.execute_unprepared(sql).await.unwrap_err());
    }
    errors
}

async fn nobody_else_writes_to_the_tables(db: Arc<TestDb>) {
    let events = events(&db).await;
    insert(&events, "a").await;
    let rows = all(&db).await;
    let connection: EventConnection = events.connection(context());
    let mut errors = write_by_hand(&connection, &rows[0]).await;
    let txn = connection.begin().await.unwrap();
    errors.extend(write_by_hand(&txn, &rows[0]).await);
    let door =
        txn.untracked("a way around", async |txn| txn.execute_unprepared("DELETE FROM notifications").await);
    errors.push(door.await.unwrap_err());
    txn.rollback().await.unwrap();
    for error in &errors {
        assert!(matches!(refusal(error), Refused::OwnTable { .. }), "{error}");
    }
    assert_eq!(all(&db).await, rows);
}

async fn the_migration_runs_again_and_back(db: Arc<TestDb>) {
    let events = events(&db).await;
    migration::notifications::up(&db.db).await.unwrap();
    insert(&events, "a").await;
    migration::notifications::up(&db.db).await.unwrap();
    assert_eq!(all(&db).await.len(), 2, "nothing is lost");
    migration::notifications::down(&db.db).await.unwrap();
    migration::notifications::down(&db.db).await.unwrap();
    all_is_gone(&db).await;
    migration::notifications::up(&db.db).await.unwrap();
    insert(&events, "b").await;
    assert_eq!(list(&db, "linus").await, ["CREATED"]);
    assert_eq!(db.log().await.len(), 2);
    // By a `Migrator` of the application's own they have names of their own.
    let steps = migration::steps().into_iter().chain(migration::notifications::steps());
    let names: Vec<_> = steps.map(|step| step.name().to_owned()).collect();
    assert_eq!(names, ["events_0001_events", "events_0005_guards", "events_0003_notifications"]);
}

async fn all_is_gone(db: &TestDb) {
    notification::Entity::find().all(&db.db).await.unwrap_err();
    preference::Entity::find().all(&db.db).await.unwrap_err();
}
