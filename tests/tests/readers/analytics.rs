//! Daily counts: what they say is what the log says.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Days, NaiveDate, Utc};
use events_sea_orm::{
    ConsumerError, Context, EntityEvents, Event, EventTransaction, Events, ObjectRef, Refused, Subscription,
    analytics::{self, DailyCounts, daily_count},
    migration,
};
use sea_orm::{
    ActiveModelTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, ExprTrait, IntoActiveModel, Set,
    TransactionTrait, sea_query::Expr,
};
use tests::{TEAM, TestDb, context, entities::campaign, new_campaign, refusal, seen::Seen};

tests::conformance! {
    events_are_counted_by_day_and_kind,
    what_is_rolled_back_is_not_counted,
    imports_count_on_their_own_day,
    other_teams_are_not_seen,
    totals_are_sums,
    many_units_at_once_count_what_the_log_says,
    a_rebuild_makes_the_counts_what_the_log_says,
    a_rebuild_is_of_its_team_and_days_alone,
    a_rebuild_meanwhile_loses_nothing,
    statements_do_not_grow_with_the_rows,
    nobody_else_writes_to_the_table,
    the_migration_runs_again_and_back,
}

async fn events(db: &TestDb) -> Events {
    with_tables(db).await;
    counting(db, Vec::new()).await
}

async fn with_tables(db: &TestDb) {
    db.with_tables().await;
    migration::analytics::up(&db.db).await.unwrap();
}

async fn counting(db: &TestDb, others: Vec<Subscription>) -> Events {
    let mut builder = Events::builder(db.db.clone()).without_registered_consumers().consumer(DailyCounts);
    for other in others {
        builder = builder.subscribe(other);
    }
    builder.build().await.unwrap()
}

async fn not_counting(db: &TestDb) -> Events {
    Events::builder(db.db.clone()).without_registered_consumers().build().await.unwrap()
}

/// Team, day, event type and object type.
type Counts = BTreeMap<(String, NaiveDate, String, String), i64>;

async fn counts(db: &TestDb) -> Counts {
    let rows = daily_count::Entity::find().all(&db.db).await.unwrap();
    let entry =
        |row: daily_count::Model| ((row.team_id, row.day, row.event_type, row.object_type), row.count);
    rows.into_iter().map(entry).collect()
}

/// What they must be.
async fn counts_of_log(db: &TestDb) -> Counts {
    let mut counts = Counts::new();
    for event in db.log().await {
        let day = event.occurred_at.date_naive();
        let key = (event.team_id, day, event.event_type, event.object_type.unwrap_or_default());
        *counts.entry(key).or_default() += 1;
    }
    counts
}

async fn assert_true(db: &TestDb) {
    assert_eq!(counts(db).await, counts_of_log(db).await);
}

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

async fn emit(events: &Events, team: i32, name: &str, occurred_at: &str) {
    let txn = events.begin(Context::team(team)).await.unwrap();
    txn.emit(Event::custom(name).occurred_at(at(occurred_at))).await.unwrap();
    txn.commit().await.unwrap();
}

/// Team, day, event type, object type and count of each row.
async fn shown(db: &TestDb) -> Vec<String> {
    let rows = counts(db).await.into_iter();
    rows.map(|((team, day, event_type, of), count)| format!("{team} {day} {event_type} {of}: {count}"))
        .collect()
}

async fn events_are_counted_by_day_and_kind(db: Arc<TestDb>) {
    let events = events(&db).await;
    let txn = events.begin(context()).await.unwrap();
    let model = new_campaign("a").insert(&txn).await.unwrap();
    new_campaign("b").insert(&txn).await.unwrap();
    let mut active = model.into_active_model();
    active.budget = Set(7);
    active.status = Set(campaign::Status::Live);
    active.update(&txn).await.unwrap();
    txn.emit(Event::custom("approved").about(ObjectRef::new("campaign", 1))).await.unwrap();
    txn.emit(Event::custom("month_closed")).await.unwrap();
    txn.commit().await.unwrap();
    assert_true(&db).await;
    assert_eq!(counts(&db).await.values().copied().collect::<Vec<_>>(), [2, 1, 1, 1, 1]);
    let today = Utc::now().date_naive();
    let days = today.checked_sub_days(Days::new(1)).unwrap()..=today;
    let rows = analytics::daily_counts(&events.connection(context()), TEAM, days).await.unwrap();
    let shown: Vec<_> =
        rows.iter().map(|row| (row.event_type.as_str(), row.object_type.as_str(), row.count)).collect();
    let of = "campaign";
    let mut expected = [
        ("CREATED", of, 2),
        ("STATE_CHANGED", of, 1),
        ("UPDATED", of, 1),
        ("approved", of, 1),
        ("month_closed", "", 1),
    ];
    expected.sort();
    assert_eq!(shown, expected);
}

async fn refuse_all(_: &EventTransaction, _: &Event) -> Result<(), ConsumerError> {
    Err("not today".into())
}

async fn what_is_rolled_back_is_not_counted(db: Arc<TestDb>) {
    let events = events(&db).await;
    let txn = events.begin(context()).await.unwrap();
    new_campaign("a").insert(&txn).await.unwrap();
    txn.rollback().await.unwrap();
    let txn = events.begin(context()).await.unwrap();
    let nested = txn.begin().await.unwrap();
    new_campaign("b").insert(&nested).await.unwrap();
    nested.rollback().await.unwrap();
    txn.commit().await.unwrap();
    // Refused after it was counted.
    let refusing = counting(&db, vec![Subscription::in_transaction(refuse_all)]).await;
    let txn = refusing.begin(context()).await.unwrap();
    new_campaign("c").insert(&txn).await.unwrap();
    txn.commit().await.unwrap_err();
    assert!(counts(&db).await.is_empty());
}

async fn imports_count_on_their_own_day(db: Arc<TestDb>) {
    let events = events(&db).await;
    for occurred_at in [
        "2024-02-28T23:59:59.999999Z",
        "2024-02-29T00:00:00Z",
        "2024-02-29T23:59:59.999999Z",
        "2024-03-01T00:30:00+01:00", // of the day before in UTC
        "2024-02-29T23:30:00-01:00", // of the day after
        "1970-01-02T00:00:00Z",
    ] {
        emit(&events, TEAM, "x", occurred_at).await;
    }
    let expected = ["7 1970-01-02 x : 1", "7 2024-02-28 x : 1", "7 2024-02-29 x : 3", "7 2024-03-01 x : 1"];
    assert_eq!(shown(&db).await, expected);
    assert_true(&db).await;
    // The database finds the same days.
    let rows = analytics::rebuild(&events, None, day("1900-01-01")..=day("2100-01-01")).await.unwrap();
    assert_eq!((rows, shown(&db).await), (4, expected.map(str::to_owned).to_vec()));
    let first = day("2024-02-28")..=day("2024-02-29");
    assert_eq!(analytics::daily_counts(&db.db, TEAM, first).await.unwrap().len(), 2);
}

async fn other_teams_are_not_seen(db: Arc<TestDb>) {
    let events = events(&db).await;
    for team in [7, 7, 8] {
        emit(&events, team, "x", "2024-01-01T12:00:00Z").await;
    }
    let days = || day("2024-01-01")..=day("2024-01-01");
    for (team, expected) in [("7", vec![2]), ("8", vec![1]), ("9", vec![]), ("7 ", vec![])] {
        let rows = analytics::daily_counts(&db.db, team, days()).await.unwrap();
        assert_eq!(rows.iter().map(|row| row.count).collect::<Vec<_>>(), expected, "{team:?}");
        let totals = analytics::totals(&db.db, team, days()).await.unwrap();
        assert_eq!(totals.iter().map(|total| total.count).collect::<Vec<_>>(), expected, "{team:?}");
    }
    // A connection of one team does not read another's.
    let seven = events.connection(Context::team(7));
    let txn = events.begin(Context::team(7)).await.unwrap();
    for error in [
        analytics::daily_counts(&seven, 8, days()).await.unwrap_err(),
        analytics::totals(&seven, 8, days()).await.unwrap_err(),
        analytics::daily_counts(&txn, 8, days()).await.unwrap_err(),
        analytics::totals(&txn, 8, days()).await.unwrap_err(),
    ] {
        assert!(matches!(refusal(&error), Refused::OtherTeam { .. }), "{error}");
    }
    assert_eq!(analytics::totals(&txn, 7, days()).await.unwrap().len(), 1);
    txn.commit().await.unwrap(); // healthy
    let across = events.connection(Context::all_teams("job", "report"));
    assert_eq!(analytics::totals(&across, 8, days()).await.unwrap().len(), 1);
    // A unit across teams counts for each.
    let txn = events.begin(Context::all_teams("seed", "demo data")).await.unwrap();
    for team in [7, 8, 8] {
        let mut active = new_campaign(&uuid::Uuid::new_v4().to_string());
        active.team_id = Set(Some(team));
        active.insert(&txn).await.unwrap();
    }
    txn.commit().await.unwrap();
    assert_true(&db).await;
}

async fn totals_are_sums(db: Arc<TestDb>) {
    let events = events(&db).await;
    for occurred_at in ["2024-01-01T12:00:00Z", "2024-01-02T12:00:00Z", "2024-01-03T12:00:00Z"] {
        emit(&events, TEAM, "x", occurred_at).await;
        emit(&events, TEAM, "y", occurred_at).await;
        emit(&events, TEAM, "y", occurred_at).await;
    }
    let totals = async |first: &str, last: &str| {
        let totals = analytics::totals(&db.db, TEAM, day(first)..=day(last)).await.unwrap();
        totals.into_iter().map(|total| (total.event_type, total.object_type, total.count)).collect::<Vec<_>>()
    };
    let expected = |x, y| vec![("x".to_owned(), String::new(), x), ("y".to_owned(), String::new(), y)];
    assert_eq!(totals("2024-01-01", "2024-01-03").await, expected(3, 6));
    assert_eq!(totals("2024-01-02", "2024-01-02").await, expected(1, 2));
    assert_eq!(totals("2024-01-03", "2024-01-02").await, Vec::new());
}

const TASKS: usize = 16;
const UNITS: usize = 25;

/// Refuses the units that say so, after they were counted.
async fn refuse_some(_: &EventTransaction, event: &Event) -> Result<(), ConsumerError> {
    if event.event_type.as_str() == "refused" { Err("not this one".into()) } else { Ok(()) }
}

/// Units that record several kinds of events in different orders on a few days; a third is rolled back, before it is
/// counted or after. Each day is new to the table, so that rows are made by many at once.
async fn unit(events: &Events, task: usize, i: usize) {
    let txn = events.begin(Context::team(TEAM + (task % 2) as i32)).await.unwrap();
    let kinds = ["a", "b", "c", "d"];
    for k in 0..3 {
        let name = kinds[(task + i + k * 3) % kinds.len()];
        let occurred_at = at(&format!("2024-01-{:02}T12:00:00Z", i / 2 + 1 + (task + k) % 3));
        txn.emit(Event::custom(name).occurred_at(occurred_at)).await.unwrap();
    }
    let roll = (task * 7 + i) % 6;
    if roll == 0 {
        return txn.rollback().await.unwrap();
    }
    if roll == 1 {
        txn.emit(Event::custom("refused").occurred_at(at("2024-01-01T00:00:00Z"))).await.unwrap();
        let error = txn.commit().await.unwrap_err();
        assert!(error.to_string().contains("not this one"), "{error}");
        return;
    }
    txn.commit().await.unwrap();
}

async fn many_units_at_once_count_what_the_log_says(db: Arc<TestDb>) {
    with_tables(&db).await;
    let events = counting(&db, vec![Subscription::in_transaction(refuse_some)]).await;
    let task = |task: usize| {
        let events = events.clone();
        tokio::spawn(async move {
            for i in 0..UNITS {
                unit(&events, task, i).await;
            }
        })
    };
    for task in (0..TASKS).map(task).collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_true(&db).await;
    assert!(db.log().await.len() > TASKS * UNITS);
}

async fn a_rebuild_makes_the_counts_what_the_log_says(db: Arc<TestDb>) {
    with_tables(&db).await;
    // From before anybody counted.
    let silent = not_counting(&db).await;
    let txn = silent.begin(context()).await.unwrap();
    new_campaign("a").insert(&txn).await.unwrap();
    txn.emit(Event::custom("x").occurred_at(at("2024-01-01T12:00:00Z"))).await.unwrap();
    txn.emit(Event::custom("x").occurred_at(at("2024-01-02T12:00:00Z"))).await.unwrap();
    txn.commit().await.unwrap();
    let events = counting(&db, Vec::new()).await;
    emit(&events, TEAM, "x", "2024-01-02T12:00:00Z").await;
    assert_eq!(counts(&db).await.values().sum::<i64>(), 1);
    let all = || day("2000-01-01")..=day("2100-01-01");
    for _ in 0..2 {
        assert_eq!(analytics::rebuild(&events, None, all()).await.unwrap(), 3);
        assert_true(&db).await;
    }
    // What is not in the log goes, what is wrong is put right.
    for sql in [
        "UPDATE event_daily_counts SET count = 99",
        "INSERT INTO event_daily_counts (team_id, day, event_type, object_type, count) VALUES ('7', '2024-01-01', 'gone', '', 5)",
    ] {
        db.db.execute_unprepared(sql).await.unwrap();
    }
    analytics::rebuild(&events, Some("7"), all()).await.unwrap();
    assert_true(&db).await;
    emit(&events, TEAM, "x", "2024-01-02T12:00:00Z").await;
    assert_true(&db).await;
}

async fn a_rebuild_is_of_its_team_and_days_alone(db: Arc<TestDb>) {
    let events = events(&db).await;
    for team in [7, 8] {
        for occurred_at in ["2024-01-01T12:00:00Z", "2024-01-02T12:00:00Z", "2024-01-03T12:00:00Z"] {
            emit(&events, team, "x", occurred_at).await;
        }
    }
    db.db.execute_unprepared("UPDATE event_daily_counts SET count = 99").await.unwrap();
    analytics::rebuild(&events, Some("7"), day("2024-01-02")..=day("2024-01-02")).await.unwrap();
    let right = |counts: Counts| {
        let right = counts.into_iter().filter(|(_, count)| *count == 1);
        right.map(|((team, day, ..), _)| format!("{team} {day}")).collect::<Vec<_>>()
    };
    assert_eq!(right(counts(&db).await), ["7 2024-01-02"]);
    analytics::rebuild(&events, None, day("2024-01-03")..=day("2030-01-01")).await.unwrap();
    assert_eq!(right(counts(&db).await), ["7 2024-01-02", "7 2024-01-03", "8 2024-01-03"]);
}

async fn a_rebuild_meanwhile_loses_nothing(db: Arc<TestDb>) {
    with_tables(&db).await;
    let silent = not_counting(&db).await;
    for i in 1..=9 {
        emit(&silent, TEAM, "a", &format!("2024-01-0{i}T12:00:00Z")).await;
    }
    let events = counting(&db, vec![Subscription::in_transaction(refuse_some)]).await;
    let writer = |task: usize| {
        let events = events.clone();
        tokio::spawn(async move {
            for i in 0..UNITS {
                unit(&events, task, i).await;
            }
        })
    };
    let writers: Vec<_> = (0..8).map(writer).collect();
    for i in 0..12 {
        let team = if i % 2 == 0 { None } else { Some("7") };
        analytics::rebuild(&events, team, day("2024-01-01")..=day("2024-01-31")).await.unwrap();
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert_true(&db).await;
}

async fn statements_do_not_grow_with_the_rows(db: Arc<TestDb>) {
    with_tables(&db).await;
    let (pool, seen) = Seen::on(&db).await;
    let builder = Events::builder(pool).without_registered_consumers();
    let events = builder.consumer(DailyCounts).build().await.unwrap();
    seen.take("event_daily_counts"); // the self-check names it as well
    let connection = events.connection(context());
    let is_mysql = db.db.get_database_backend() == DbBackend::MySql;
    // New counts take a lock there.
    let (new, known): (&[&str], &[&str]) = if is_mysql {
        (&["SELECT", "SELECT", "INSERT"], &["SELECT", "INSERT"])
    } else {
        (&["INSERT"], &["INSERT"])
    };
    for (count, expected) in [(1, new), (2, known), (3_000, known)] {
        let models = (0..count).map(|i| new_campaign(&format!("{count}-{i}")));
        campaign::Entity::insert_many_with_events(models).exec(&connection).await.unwrap();
        assert_eq!(seen.take("event_daily_counts"), expected, "{count}");
        campaign::Entity::update_many_with_events()
            .col_expr(campaign::Column::Budget, Expr::col(campaign::Column::Budget).add(1))
            .exec(&connection)
            .await
            .unwrap();
        assert_eq!(seen.take("event_daily_counts"), expected, "{count}");
    }
    assert_true(&db).await;
    // Nothing happened, nothing is sent.
    events.begin(context()).await.unwrap().commit().await.unwrap();
    assert!(seen.take("event_daily_counts").is_empty());
}

async fn write_by_hand(db: &impl ConnectionTrait, row: &daily_count::Model) -> Vec<DbErr> {
    let mut errors = Vec::new();
    let mut active = row.clone().into_active_model();
    active.count = Set(99);
    errors.push(active.clone().update(db).await.unwrap_err());
    errors.push(active.clone().insert(db).await.unwrap_err());
    errors.push(active.delete(db).await.unwrap_err());
    let set = daily_count::Entity::update_many().col_expr(daily_count::Column::Count, Expr::value(99));
    errors.push(set.exec(db).await.unwrap_err());
    errors.push(daily_count::Entity::delete_many().exec(db).await.unwrap_err());
    for sql in ["DELETE FROM event_daily_counts", "DELETE FROM event_daily_counts_lock"] {
        errors.push(db.execute_unprepared(sql).await.unwrap_err());
    }
    errors
}

async fn nobody_else_writes_to_the_table(db: Arc<TestDb>) {
    let events = events(&db).await;
    emit(&events, TEAM, "x", "2024-01-01T12:00:00Z").await;
    let row = daily_count::Entity::find().one(&db.db).await.unwrap().unwrap();
    let connection = events.connection(context());
    let mut errors = write_by_hand(&connection, &row).await;
    let txn = connection.begin().await.unwrap();
    errors.extend(write_by_hand(&txn, &row).await);
    txn.rollback().await.unwrap();
    for error in &errors {
        assert!(matches!(refusal(error), Refused::OwnTable { .. }), "{error}");
    }
    assert_true(&db).await;
}

async fn the_migration_runs_again_and_back(db: Arc<TestDb>) {
    let events = events(&db).await;
    emit(&events, TEAM, "x", "2024-01-01T12:00:00Z").await;
    migration::analytics::up(&db.db).await.unwrap();
    assert_true(&db).await;
    migration::analytics::down(&db.db).await.unwrap();
    migration::analytics::down(&db.db).await.unwrap();
    daily_count::Entity::find().all(&db.db).await.unwrap_err();
    migration::analytics::up(&db.db).await.unwrap();
    analytics::rebuild(&events, None, day("2024-01-01")..=day("2024-01-01")).await.unwrap();
    assert_true(&db).await;
}
