//! Everything that can be asked or done on a connection of team B, with all that team A has in the tables.

use std::{fmt::Debug, sync::Arc};

use events_sea_orm::{
    ActiveModelEvents, Context, EntityEvents, Event, EventConnection, EventTransaction, Outcome, Tracked,
    analytics, event,
    notifications::{Inbox, Topic, notification, preference},
    threads::{Thread, message, thread},
};
use futures_util::TryStreamExt;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel, ModelTrait,
    PaginatorTrait, QueryFilter, QueryTrait, Set, Statement, StreamTrait, TransactionTrait, sea_query::Expr,
};
use tests::TestDb;

use crate::isolation::world::{A, B, World, deal, says_nothing_of, secret};

tests::conformance! {
    queries_of_the_library_show_nothing_of_another_team,
    no_call_changes_or_causes_anything_of_another_team,
    consumers_after_the_commit_see_their_team,
    teams_that_look_alike_are_others,
    work_without_a_team_is_refused,
}

mod database {
    use super::{jobs_of_all_teams_see_all_and_leave_nothing_open, the_tables_show_nothing_of_another_team};
    tests::on_postgres! { the_tables_show_nothing_of_another_team, jobs_of_all_teams_see_all_and_leave_nothing_open }
}

/// What was answered must be empty, an error must not tell of team A.
#[track_caller]
fn nothing<T: Debug + Default + PartialEq, E: std::fmt::Display + Debug>(what: &str, answer: Result<T, E>) {
    match answer {
        Ok(found) => assert_eq!(found, T::default(), "{what}"),
        Err(error) => {
            says_nothing_of(A, &format!("{error} {error:?}")); // the secret too, which names it
        }
    }
}

/// The library's own queries, each for team A's things.
async fn ask<C: ConnectionTrait>(db: &C, theirs: &deal::Model, told: i64) {
    let days = days();
    nothing("thread", Thread::of(B, theirs.object()).messages().all(db).await);
    nothing("thread of A", Thread::of(A, theirs.object()).messages().all(db).await);
    nothing("latest of A", Thread::of(A, theirs.object()).messages().latest().after(0).all(db).await);
    for (team, user) in [(A, "user"), (B, "nobody")] {
        let inbox = Inbox::of(team, user);
        nothing("inbox", inbox.list().all(db).await);
        nothing("page", inbox.list().unread().before(told + 1).all(db).await);
        nothing("unread", inbox.unread_count(db).await);
        nothing("by type", inbox.unread_by_object_type(db).await);
        nothing("preferences", inbox.preferences(db).await);
    }
    nothing("counts of A", analytics::daily_counts(db, A, days.clone()).await);
    nothing("totals of A", analytics::totals(db, A, days).await);
}

fn days() -> std::ops::RangeInclusive<chrono::NaiveDate> {
    let today = chrono::Utc::now().date_naive();
    today - chrono::Days::new(1)..=today + chrono::Days::new(1)
}

async fn queries_of_the_library_show_nothing_of_another_team(db: Arc<TestDb>) {
    let world = World::open(db).await;
    let theirs = world.fill(A).await;
    let told = notification::Entity::find().all(&world.db.db).await.unwrap()[0].id;
    let b = world.team(B);
    let txn = b.begin().await.unwrap();
    ask(&b, &theirs, told).await;
    ask(&txn, &theirs, told).await;
    for feed in [b.feed(), txn.feed(), b.timeline(theirs.object()), txn.timeline(theirs.object())] {
        nothing("feed", feed.clone().all().await);
        nothing("count", feed.clone().count().await);
        nothing("one", feed.clone().one().await.map(|found| found.is_some()));
        nothing("filtered", feed.actor("writer").object_type("deal").after(0).oldest_first().all().await);
    }
    nothing("timeline of a row", b.timeline(&theirs).all().await);
    nothing("timeline of a row", txn.timeline(&theirs).all().await);
    nothing("transitions", b.transitions(&theirs, deal::Column::Status).await);
    let time = b.time_in_state(&theirs, deal::Column::Status, "won").await;
    nothing("time in state", time.map(events_sea_orm::TimeInState::at_least));
    // A row that says that it is B's has the history of none of A's.
    let forged = deal::Model { team_id: B.to_owned(), ..theirs.clone() };
    nothing("timeline of a forged row", b.timeline(&forged).all().await);
    nothing("transitions of a forged row", b.transitions(&forged, deal::Column::Status).await);
    txn.rollback().await.unwrap();
    // Team A has all of it.
    let a = world.team(A);
    assert_eq!(a.timeline(&theirs).count().await.unwrap(), 3);
    assert_eq!(a.transitions(&theirs, deal::Column::Status).await.unwrap().len(), 2);
    assert_eq!(Thread::of(A, theirs.object()).messages().all(&a).await.unwrap().len(), 4);
    assert_eq!(Inbox::of(A, "user").preferences(&a).await.unwrap().len(), 1);
    assert!(!analytics::totals(&a, A, days()).await.unwrap().is_empty());
    world.close().await;
}

/// Plain queries, without a condition on the team.
async fn look<C: ConnectionTrait>(db: &C, theirs: &deal::Model) {
    nothing("events", event::Entity::find().all(db).await);
    nothing("count", event::Entity::find().count(db).await);
    nothing("page", event::Entity::find().paginate(db, 10).fetch_page(0).await);
    nothing("of A", event::Entity::find().filter(event::Column::TeamId.eq(A)).all(db).await);
    nothing("deals", deal::Entity::find().all(db).await);
    nothing("deal", deal::Entity::find_by_id(theirs.id).one(db).await);
    nothing("threads", thread::Entity::find().all(db).await);
    nothing("messages", message::Entity::find().all(db).await);
    nothing("notifications", notification::Entity::find().all(db).await);
    nothing("preferences", preference::Entity::find().all(db).await);
    nothing("counts", analytics::daily_count::Entity::find().all(db).await);
    for table in [
        "events",
        "deals",
        "threads",
        "thread_messages",
        "notifications",
        "notification_preferences",
        "event_daily_counts",
    ] {
        let sql = format!(
            "SELECT team_id FROM {table} UNION ALL SELECT team_id FROM {table} WHERE team_id = '{A}'"
        );
        let rows = db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await;
        nothing(table, rows.map(|rows| rows.len()));
    }
}

async fn stream<C: StreamTrait>(db: &C) -> Result<usize, DbErr> {
    let rows = db.stream(&event::Entity::find().into_query()).await?;
    rows.try_fold(0, async |count, _| Ok(count + 1)).await
}

async fn the_tables_show_nothing_of_another_team(db: Arc<TestDb>) {
    let world = World::open(db).await;
    let theirs = world.fill(A).await;
    let b = world.team(B);
    look(&b, &theirs).await;
    nothing("stream", stream(&b).await);
    nothing("stream of no team", stream(&world.events.connection(Context::default())).await);
    let txn = b.begin().await.unwrap();
    look(&txn, &theirs).await;
    nothing("stream", stream(&txn).await);
    let nested = txn.begin().await.unwrap();
    look(&nested, &theirs).await;
    nested.rollback().await.unwrap();
    look(&txn, &theirs).await;
    txn.rollback().await.unwrap();
    // Nor is anything left for whoever comes with no context at all.
    look(&world.events.connection(Context::default()), &theirs).await;
    look(&world.pool, &theirs).await;
    let scoped = world.events.scope(Context::team(B).actor("writer"), async {
        let txn = world.pool.begin().await.unwrap();
        look(&txn, &theirs).await;
        txn.commit().await.unwrap();
    });
    scoped.await.unwrap();
    world.close().await;
}

async fn jobs_of_all_teams_see_all_and_leave_nothing_open(db: Arc<TestDb>) {
    let world = World::open_with(db, 1).await;
    let theirs = world.fill(A).await;
    world.fill(B).await;
    let all = world.events.connection(Context::all_teams("job", "nightly"));
    assert_eq!(all.feed().count().await.unwrap(), 6);
    let txn = all.begin().await.unwrap();
    for deal in deal::Entity::find().all(&txn).await.unwrap() {
        let mut active = deal.into_active_model();
        active.status = Set("kept".to_owned());
        active.update(&txn).await.unwrap();
    }
    txn.commit().await.unwrap();
    assert_eq!(world.team(A).feed().count().await.unwrap(), 4);
    // Of the same connection.
    look(&world.pool, &theirs).await;
    let totals = async || analytics::totals(&world.team(A), A, days()).await.unwrap();
    let before = totals().await;
    analytics::rebuild(&world.events, None, days()).await.unwrap();
    assert_eq!(totals().await, before);
    look(&world.pool, &theirs).await;
    world.close().await;
}

/// Everything that team B might try on team A's things, each in a unit of its own.
async fn meddle(world: &World, theirs: &deal::Model, told: i64) {
    let b = world.team(B);
    let begin = async || b.begin().await.unwrap();
    let won = |active: deal::Model| deal::ActiveModel {
        status: Set("lost".to_owned()),
        ..active.into_active_model()
    };
    let forged = || deal::Model { team_id: B.to_owned(), ..theirs.clone() };
    let mine = |team: &str| deal::ActiveModel {
        team_id: Set(team.to_owned()),
        name: Set("mine".to_owned()),
        status: Set("open".to_owned()),
        ..Default::default()
    };
    let fails = |what: &str, failed: Result<String, DbErr>| match failed {
        Ok(done) => panic!("{what}: {done}"),
        Err(error) => nothing(what, Err::<u8, _>(error)),
    };
    let text = |model: deal::Model| format!("{model:?}");
    // Rows, as they are and as if they were B's.
    for model in [theirs.clone(), forged()] {
        fails("update", won(model.clone()).update(&begin().await).await.map(text));
        fails("update in one call", won(model.clone()).update_with_event(&b).await.map(text));
        let txn = begin().await;
        match model.clone().delete(&txn).await {
            Ok(done) => assert_eq!(done.rows_affected, 0),
            Err(error) => nothing("delete", Err::<u8, _>(error)),
        }
        txn.rollback().await.unwrap();
    }
    fails("insert for A", mine(A).insert(&begin().await).await.map(text));
    let mut moved = mine(B).insert(&begin().await).await.unwrap().into_active_model();
    moved.team_id = Set(A.to_owned());
    fails("move to A", moved.update(&begin().await).await.map(text));
    // Many rows: none where the database keeps teams apart, elsewhere a refusal.
    let of_a = || deal::Column::TeamId.eq(A);
    let lost = || deal::Entity::update_many_with_events().col_expr(deal::Column::Status, Expr::value("lost"));
    let txn = begin().await;
    nothing("update of many", lost().filter(of_a()).exec(&txn).await.map(|done| done.rows_affected));
    drop(txn);
    let txn = begin().await;
    let deleted = deal::Entity::delete_many_with_events().filter(of_a()).exec(&txn).await;
    nothing("delete of many", deleted.map(|done| done.rows_affected));
    drop(txn);
    let txn = begin().await;
    if let Err(error) = lost().exec(&txn).await {
        nothing("update of all", Err::<u8, _>(error));
    }
    let _ = txn.commit().await;
    let txn = begin().await;
    fails(
        "insert of many",
        deal::Entity::insert_many_with_events([mine(B), mine(A)]).exec(&txn).await.map(|_| String::new()),
    );
    drop(txn);
    // Events.
    fails(
        "about A's row",
        begin().await.emit(Event::custom("seen").about(theirs)).await.map(|()| String::new()),
    );
    fails("for A", begin().await.emit(Event::custom("seen").team(A)).await.map(|()| String::new()));
    // Threads and inboxes.
    let posted = Thread::of(A, theirs.object()).post(&b, "seen").await;
    nothing("post", posted.map(|message| message.id));
    let inbox = Inbox::of(A, "user");
    nothing("mark", inbox.mark_read(&b, told).await);
    nothing("mark all", inbox.mark_all_read(&b, i64::MAX).await);
    nothing("prefer", inbox.set_preference(&b, Topic::everything(), false).await);
    nothing("clear", inbox.clear_preference(&b, &Topic::everything()).await);
    nothing("mark by number", Inbox::of(B, "user").mark_read(&b, told).await);
    nothing("mark all by number", Inbox::of(B, "user").mark_all_read(&b, told).await);
    // The application's own code in a scope.
    let scoped = world.events.scope(Context::team(B).actor("writer"), async {
        let txn = world.pool.begin().await?;
        let updated = won(theirs.clone()).update(&txn).await.map(text);
        txn.rollback().await?;
        updated
    });
    match scoped.await {
        Ok(updated) => fails("update in a scope", updated),
        Err(unfinished) => nothing("a scope", Err::<u8, _>(unfinished.to_string())),
    }
}

async fn no_call_changes_or_causes_anything_of_another_team(db: Arc<TestDb>) {
    let world = World::open(db).await;
    let theirs = world.fill(A).await;
    world.fill(B).await;
    let told = notification::Entity::find()
        .filter(notification::Column::TeamId.eq(A))
        .all(&world.db.db)
        .await
        .unwrap()[0]
        .id;
    world.events.drain().await;
    let before = world.all_of(A).await;
    assert!(before.contains(&secret(A)));
    let consumed = world.seen.0.lock().unwrap().iter().filter(|(team, _)| team == A).count();
    meddle(&world, &theirs, told).await;
    world.events.drain().await;
    assert_eq!(world.all_of(A).await, before);
    assert_eq!(world.seen.0.lock().unwrap().iter().filter(|(team, _)| team == A).count(), consumed);
    // Who knows a unit's number may ask what became of it, and learns no more than that.
    let unit = world.team(A).feed().one().await.unwrap().unwrap().unit_id;
    assert_eq!(world.events.outcome_of(unit).await.unwrap(), Outcome::Committed);
    assert_eq!(world.all_of(A).await, before);
    world.close().await;
}

async fn consumers_after_the_commit_see_their_team(db: Arc<TestDb>) {
    let world = World::open(db).await;
    for team in [A, B, A, B] {
        world.fill(team).await;
    }
    world.events.drain().await;
    let seen = world.seen.0.lock().unwrap().clone();
    assert_eq!(seen.len(), 12);
    for (team, shown) in seen {
        let other = if team == A { B } else { A };
        assert!(shown.contains(&secret(&team)));
        says_nothing_of(other, &shown);
    }
    world.close().await;
}

async fn emit(db: &EventConnection, about: events_sea_orm::ObjectRef) -> Result<(), DbErr> {
    let txn: EventTransaction = db.begin().await?;
    txn.emit(Event::custom("noted").about(about)).await?;
    Ok(txn.commit().await?)
}

async fn teams_that_look_alike_are_others(db: Arc<TestDb>) {
    let world = World::open(db).await;
    let teams = ["a", "A", "a ", "á", " a", "a\u{301}", "aa"];
    let object = events_sea_orm::ObjectRef::new("deal", 1);
    for team in teams {
        emit(&world.team(team), object.clone()).await.unwrap();
        Thread::of(team, object.clone()).post(&world.team(team), team).await.unwrap();
        let inbox = Inbox::of(team, "somebody");
        inbox.set_preference(&world.team(team), Topic::everything(), false).await.unwrap();
    }
    for team in teams {
        let db = world.team(team);
        let feed = db.feed().all().await.unwrap();
        assert!(feed.len() == 1 && feed[0].team_id == team, "{team:?}: {feed:?}");
        assert_eq!(db.timeline(object.clone()).count().await.unwrap(), 1, "{team:?}");
        let messages = Thread::of(team, object.clone()).messages().all(&db).await.unwrap();
        assert!(messages.iter().all(|message| message.team_id == team), "{team:?}: {messages:?}");
        assert_eq!(messages.iter().filter(|message| message.body == team).count(), 1, "{team:?}");
        assert_eq!(Inbox::of(team, "somebody").preferences(&db).await.unwrap().len(), 1, "{team:?}");
        let total: i64 =
            analytics::totals(&db, team, days()).await.unwrap().iter().map(|total| total.count).sum();
        assert_eq!(total, 1, "{team:?}");
        for other in teams.into_iter().filter(|other| *other != team) {
            nothing("thread", Thread::of(other, object.clone()).messages().all(&db).await.map_err(|_| ""));
            nothing("inbox", Inbox::of(other, "somebody").preferences(&db).await.map_err(|_| ""));
        }
    }
    world.close().await;
}

async fn work_without_a_team_is_refused(db: Arc<TestDb>) {
    let world = World::open(db).await;
    let theirs = world.fill(A).await;
    for context in
        [Context::default(), Context::team(""), Context::team("x".repeat(192)), Context::team("a\0b")]
    {
        let nobody = world.events.connection(context);
        let refused = nobody.begin().await.unwrap_err();
        assert!(events_sea_orm::Refused::of(&refused).is_some(), "{refused}");
        nothing("feed", nobody.feed().all().await);
        nothing("timeline", nobody.timeline(&theirs).all().await);
        nothing("thread", Thread::of(A, theirs.object()).messages().all(&nobody).await);
        nothing("transitions", nobody.transitions(&theirs, deal::Column::Status).await);
        nothing("counts", analytics::daily_counts(&nobody, A, days()).await);
    }
    world.close().await;
}
