//! Long runs, not for CI.
//!
//! `kill`: a child process saves without end and is killed with SIGKILL at 50 random moments; afterwards every row has
//! its event and every event its row.
//!
//! `bulk`: a million rows through the tracked verbs, with the client's memory bounded.
//!
//! `activity-events`: a million rows of an earlier table, copied at once and by processes that are killed.
//!
//! `chaos [SECONDS] [SEED]`: requests that are dropped, killed and caught in deadlocks; afterwards rows, events and answers agree.
//!
//! `isolation`: how PostgreSQL runs the library's queries for a team of a million events and one of three.

mod activity_events;
mod bulk;
mod chaos;
mod isolation;

use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use events_sea_orm::{Context, Events, event};
use sea_orm::{ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, Set};
use serde_json::json;
use tests::{TestDb, entities::campaign};

const KILLS: u32 = 50;
const TASKS: i32 = 4;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["save-for-ever", url] => save_for_ever(url).await,
        ["bulk", step, url] => bulk::step(step, url).await,
        ["activity-events", step, url] => activity_events::step(step, url).await,
        [] | ["kill"] => {
            for (name, variable) in DATABASES {
                if let Some(db) = open(name, variable).await {
                    kill(name, db).await;
                }
            }
        }
        ["bulk"] => {
            for (name, variable) in DATABASES {
                if let Some(db) = open(name, variable).await {
                    bulk::run(name, db).await;
                }
            }
        }
        ["activity-events"] => {
            for (name, variable) in DATABASES {
                if let Some(db) = open(name, variable).await {
                    activity_events::run_at_once(name, db).await;
                }
                if let Some(db) = open(name, variable).await {
                    activity_events::run(name, db).await;
                }
            }
        }
        ["chaos", rest @ ..] => {
            let (seconds, seed) = chaos::arguments(rest);
            for (name, variable) in DATABASES {
                if let Some(db) = open(name, variable).await {
                    chaos::run(name, db, seconds, seed).await;
                }
            }
        }
        ["isolation"] => {
            if let Some(db) = open("PostgreSQL", Some("POSTGRES_URL")).await {
                isolation::run(db).await;
            }
        }
        other => panic!(
            "no run of that name: {other:?}; there are `kill`, `bulk`, `activity-events`, `chaos` and `isolation`"
        ),
    }
}

const DATABASES: [(&str, Option<&str>); 3] =
    [("SQLite", None), ("PostgreSQL", Some("POSTGRES_URL")), ("MariaDB", Some("MYSQL_URL"))];

async fn open(name: &str, variable: Option<&str>) -> Option<TestDb> {
    let Some(variable) = variable else { return Some(TestDb::sqlite().await) };
    let Ok(url) = std::env::var(variable) else {
        println!("!! {name} left out: {variable} is not set");
        return None;
    };
    Some(TestDb::server(&url).await)
}

/// The most that this process ever held, program text and all; known on Linux alone.
fn peak_megabytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kilobytes| kilobytes / 1024)
}

/// The child: creates, changes and deletes until it is killed.
async fn save_for_ever(url: &str) {
    let db = TestDb::open(url).await;
    let events = Events::builder(db).build().await.expect("built");
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        let events = events.clone();
        tasks.spawn(async move {
            for turn in 0.. {
                let txn = events.begin(Context::team(1).actor(task)).await.expect("begin");
                let active = campaign::ActiveModel {
                    team_id: Set(Some(1)),
                    name: Set(format!("{task}-{turn}")),
                    status: Set(campaign::Status::Draft),
                    budget: Set(0),
                    api_key: Set(uuid::Uuid::new_v4().to_string()),
                    ..Default::default()
                };
                let mut active = active.insert(&txn).await.expect("insert").into_active_model();
                active.budget = Set(turn);
                let model = active.update(&txn).await.expect("update");
                txn.commit().await.expect("commit");
                let txn = events.begin(Context::team(1).actor(task)).await.expect("begin");
                let mut active = model.into_active_model();
                active.budget = Set(turn + 1);
                let model = active.update(&txn).await.expect("update");
                if turn % 3 == 0 {
                    model.into_active_model().delete(&txn).await.expect("delete");
                }
                txn.commit().await.expect("commit");
            }
        });
    }
    while tasks.join_next().await.is_some() {}
}

async fn kill(name: &str, db: TestDb) {
    db.with_tables().await;
    let start = Instant::now();
    for round in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().expect("itself"))
            .args(["save-for-ever", &db.url])
            .stdin(Stdio::null())
            .spawn()
            .expect("a child");
        // Spread over the child's life by a fixed but uneven stride.
        tokio::time::sleep(Duration::from_millis(60 + u64::from(round * 37 % 211))).await;
        child.kill().expect("killed");
        child.wait().expect("ended");
    }
    let rows = campaign::Entity::find().all(&db.db).await.expect("rows");
    let table: BTreeMap<i32, i64> = rows.iter().map(|row| (row.id, row.budget)).collect();
    let log = event::Entity::find().filter(event::Column::ObjectType.eq("campaign"));
    let log = log.order_by_asc(event::Column::Seq).all(&db.db).await.expect("log");
    let mut folded = BTreeMap::new();
    for row in &log {
        let id: i32 = row.object_id.as_deref().expect("an object").parse().expect("a key");
        match row.event_type.as_str() {
            "CREATED" => drop(folded.insert(id, json!(0))),
            "DELETED" => drop(folded.remove(&id).expect("created before")),
            _ => {
                let change = &row.event_data["changes"]["budget"];
                let held = folded.get_mut(&id).expect("created before");
                assert_eq!(*held, change["old"]);
                *held = change["new"].clone();
            }
        }
    }
    let table: BTreeMap<i32, _> = table.into_iter().map(|(id, budget)| (id, json!(budget))).collect();
    assert_eq!(folded, table, "{name}: rows and events differ");
    println!(
        "{name}: {KILLS} kills in {:.0} s, {} events, {} rows: every change has its event and every event its change",
        start.elapsed().as_secs_f64(),
        log.len(),
        table.len(),
    );
    db.drop().await;
}
