//! How PostgreSQL runs the library's own queries under row-level security: 50 teams, one with a million events, one with
//! three. Every statement is taken from a call of the library, and explained as the application's role.

use std::sync::{Arc, Mutex};

use events_sea_orm::{
    ConsumerError, Context, EntityEvents, Event, EventConnection, EventType, Events, ObjectRef, Subscription,
};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, Set, Statement, TransactionTrait,
    Value,
};
use serde_json::Value as Json;
use tests::{TestDb, entities::campaign, new_campaign, roles::run as sql, secured::secured};

const LARGE: i32 = 1;
const SMALL: i32 = 2;
const RUNS: usize = 5;

/// The teams' events, the small team's among the first: whoever walks the log from its end meets them last.
const FILL: [&str; 3] = [
    "INSERT INTO events (id, team_id, event_type, object_type, object_id, actor_id, unit_id, event_data, context, occurred_at) \
     SELECT gen_random_uuid(), '2', 'UPDATED', 'campaign', 'hot', 'user 1', gen_random_uuid(), '{\"changes\": {}}', '{}', now() FROM generate_series(1, 3)",
    // A hot object has every tenth event, the others ten each.
    "INSERT INTO events (id, team_id, event_type, object_type, object_id, actor_id, unit_id, event_data, context, occurred_at) \
     SELECT gen_random_uuid(), CASE WHEN n % 20 = 19 THEN (3 + n / 20 % 48)::text ELSE '1' END, \
            CASE n % 7 WHEN 0 THEN 'STATE_CHANGED' ELSE 'UPDATED' END, 'campaign', CASE n % 10 WHEN 0 THEN 'hot' ELSE (n / 100)::text END, \
            'user ' || n % 1000, gen_random_uuid(), '{\"changes\": {\"budget\": {\"old\": 1, \"new\": 2}}}', '{}', now() \
     FROM generate_series(1, 1052632) n",
    "ANALYZE events",
];

async fn nothing(_: &EventConnection, _: &Event) -> Result<(), ConsumerError> {
    Ok(())
}

/// What a pool was given to send.
type Sent = Arc<Mutex<Vec<Statement>>>;

pub async fn run(db: TestDb) {
    let roles = secured(&db).await;
    for fill in FILL {
        sql(&db.db, fill).await;
    }
    let mut pool = db.open_as(&roles.app, 2).await;
    let sent = Sent::default();
    let sink = Arc::clone(&sent);
    pool.set_metric_callback(move |info| sink.lock().expect("no panic").push(info.statement.clone()));
    let events = Events::builder(pool.clone()).without_registered_consumers();
    let events = events.subscribe(Subscription::after_commit(nothing)).build().await.expect("built");
    let explained = db.open_as(&roles.app, 1).await;
    for team in [LARGE, SMALL] {
        let rows = count(&db.db, team).await;
        println!("PostgreSQL team of {rows} events");
        explain_all(&explained, team, queries(&events, &sent, team).await).await;
    }
    sql(&db.db, "CREATE INDEX events_actor_seq ON events (team_id, actor_id, seq)").await;
    println!("PostgreSQL with the index of an actor's events, which is the application's to add");
    for team in [LARGE, SMALL] {
        let mut queries = queries(&events, &sent, team).await;
        queries.retain(|(name, _)| name.starts_with("actor"));
        explain_all(&explained, team, queries).await;
    }
    events.shutdown(std::time::Duration::from_secs(10)).await.expect("drained");
    let _ = (pool.close().await, explained.close().await);
    db.drop().await;
}

async fn count(db: &DatabaseConnection, team: i32) -> i64 {
    let count = format!("SELECT count(*) FROM events WHERE team_id = '{team}'");
    let row = db.query_one_raw(Statement::from_string(DbBackend::Postgres, count)).await.expect("an answer");
    row.expect("a row").try_get_by_index(0).expect("a number")
}

/// The statements that the library sends for this team, by what was called.
async fn queries(events: &Events, sent: &Sent, team: i32) -> Vec<(&'static str, Statement)> {
    let db = events.connection(Context::team(team));
    let hot = || ObjectRef::new("campaign", "hot");
    let mut queries = Vec::new();
    let mut take = |name: &'static str| {
        let statements = std::mem::take(&mut *sent.lock().expect("no panic"));
        let ours = statements.into_iter().filter(|statement| statement.sql.contains("FROM \"events\""));
        let mut ours: Vec<_> = ours.collect();
        ours.dedup_by(|one, other| one.sql == other.sql);
        assert!(!ours.is_empty(), "{name} sent nothing");
        queries.extend(ours.into_iter().map(|statement| (name, statement)));
    };
    sent.lock().expect("no panic").clear();
    let last = db.feed().limit(100).all().await.expect("a feed").last().expect("an event").seq;
    take("feed");
    db.feed().before(last + 1).limit(100).all().await.expect("a page");
    take("feed, next page");
    db.feed().oldest_first().after(0).limit(100).all().await.expect("a page");
    take("feed, oldest first");
    db.feed().event_type(EventType::StateChanged).limit(100).all().await.expect("a feed");
    take("feed of one type");
    db.timeline(hot()).limit(100).all().await.expect("a timeline");
    take("timeline");
    db.timeline(hot()).before(last + 1).limit(100).all().await.expect("a page");
    take("timeline, next page");
    db.timeline(ObjectRef::new("campaign", 5_000)).all().await.expect("a timeline");
    take("timeline of few events");
    let model = campaign::Model {
        id: 5_001,
        team_id: Some(team),
        name: String::new(),
        status: campaign::Status::Live,
        budget: 0,
        api_key: String::new(),
        notes: None,
    };
    db.transitions(&model, campaign::Column::Status).await.expect("transitions");
    take("transitions");
    db.feed().actor("user 1").limit(100).all().await.expect("a feed");
    take("actor");
    db.feed().actor("nobody").limit(100).all().await.expect("a feed");
    take("actor who did nothing");
    if team == LARGE {
        // So many that the events of the unit are read back for the consumer.
        let rows = (0..6_000).map(|_| {
            let mut row = new_campaign(&uuid::Uuid::new_v4().to_string());
            row.team_id = Set(Some(team));
            row
        });
        let txn = events.begin(Context::team(team)).await.expect("begin");
        campaign::Entity::insert_many_with_events(rows).exec(&txn).await.expect("inserted");
        txn.commit().await.expect("commit");
        events.drain().await;
        take("events of a unit");
    }
    queries
}

async fn explain_all(db: &DatabaseConnection, team: i32, queries: Vec<(&str, Statement)>) {
    for (name, statement) in &queries {
        print!("  {name:<24}");
        for mode in ["force_custom_plan", "force_generic_plan"] {
            let (index, milliseconds) = explain(db, team, mode, statement).await;
            print!(" {milliseconds:>8.2} ms by {index}");
        }
        println!();
    }
}

/// The index that the plan uses, and the median time; refuses any other plan.
async fn explain(db: &DatabaseConnection, team: i32, mode: &str, statement: &Statement) -> (String, f64) {
    let txn = db.begin().await.expect("begin");
    let enter = "SELECT set_config('app.team_id', $1, true), set_config('plan_cache_mode', $2, true)";
    let values = [team.to_string().into(), mode.into()];
    txn.query_one_raw(Statement::from_sql_and_values(DbBackend::Postgres, enter, values)).await.expect("set");
    sql(&txn, &format!("PREPARE query AS {}", statement.sql)).await;
    let values: Vec<String> = statement.values.iter().flat_map(|values| &values.0).map(literal).collect();
    let arguments = if values.is_empty() { String::new() } else { format!("({})", values.join(", ")) };
    let mut times = Vec::new();
    let mut plan = Json::Null;
    for _ in 0..RUNS {
        plan = execute(&txn, &arguments).await;
        times.push(plan["Plan"]["Actual Total Time"].as_f64().expect("a time"));
    }
    sql(&txn, "DEALLOCATE query").await;
    txn.commit().await.expect("commit");
    times.sort_by(f64::total_cmp);
    // Who knows that nearly all events are of this team may as well walk the log from its end.
    let may_walk = team == LARGE && mode == "force_custom_plan";
    (index_of(&plan["Plan"], &statement.sql, may_walk), times[RUNS / 2])
}

async fn execute(txn: &DatabaseTransaction, arguments: &str) -> Json {
    let explain = format!("EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE query{arguments}");
    let row = txn.query_one_raw(Statement::from_string(DbBackend::Postgres, explain)).await.expect("a plan");
    let plan: Json = row.expect("a row").try_get_by_index(0).expect("JSON");
    plan[0].clone()
}

/// The scan of `events`: by an index whose condition has the team, and of nothing else.
fn index_of(plan: &Json, sql: &str, may_walk: bool) -> String {
    let mut scans = Vec::new();
    collect_scans(plan, &mut scans);
    let [scan] = scans.as_slice() else { panic!("one scan of events: {plan:#} for {sql}") };
    let index = scan["Index Name"].as_str().unwrap_or_else(|| panic!("no index: {plan:#} for {sql}"));
    let condition = scan["Index Cond"].as_str().unwrap_or_default();
    // The first event of a unit has its id; the others come right after it.
    let by_key =
        condition.contains("(id = ") || (sql.contains("unit_id\" = ") && condition.contains("(seq > "));
    let walks = may_walk && index == "events_pkey";
    assert!(by_key || walks || condition.contains("team_id"), "not by the team: {plan:#} for {sql}");
    index.to_owned()
}

fn collect_scans<'a>(plan: &'a Json, scans: &mut Vec<&'a Json>) {
    // A bitmap's index scan stands below its heap scan, and has the index's name.
    if plan["Node Type"].as_str().is_some_and(|kind| kind.contains("Scan"))
        && plan["Node Type"] != "Bitmap Heap Scan"
    {
        scans.push(plan);
    }
    for below in plan["Plans"].as_array().into_iter().flatten() {
        collect_scans(below, scans);
    }
}

/// A bound value in SQL.
fn literal(value: &Value) -> String {
    match value {
        Value::String(Some(text)) => format!("'{}'", text.replace('\'', "''")),
        Value::BigInt(Some(number)) => number.to_string(),
        Value::BigUnsigned(Some(number)) => number.to_string(),
        Value::Uuid(Some(id)) => format!("'{id}'"),
        other => panic!("no value of these queries: {other:?}"),
    }
}
