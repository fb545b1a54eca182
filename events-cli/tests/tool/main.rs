//! The tool as people run it: its output, its exit codes, on every database.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may

use std::{
    path::Path,
    process::{Command, Output, Stdio},
    sync::Arc,
};

use events_sea_orm::{ActiveModelEvents, Context, Event, Events, ObjectRef};
use sea_orm::{ActiveModelTrait, ConnectionTrait, DbBackend, IntoActiveModel, Set, TransactionTrait};
use tests::{TestDb, context, entities::campaign, new_campaign};

mod activity_events;
mod errors;
mod export;
mod follow;
mod purge;
mod reading;
mod roles;

tests::conformance! {
    tables_are_made_shown_and_dropped,
    the_doctor_says_what_is_wrong_and_mends_it,
}

/// The tool, with nothing of this process's environment that it would listen to.
fn events() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_events"));
    command
        .env_remove("DATABASE_URL")
        .env_remove("DATABASE_SCHEMA")
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::null());
    command
}

/// What it answered.
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Ran {
    /// Standard output, if all is well and nothing was complained of.
    #[track_caller]
    fn fine(self) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{}", self.stdout);
        self.stdout
    }

    /// The one line of a failure.
    #[track_caller]
    fn failed(self, code: i32) -> String {
        assert_eq!((self.code, self.stdout.as_str()), (Some(code), ""), "{}", self.stderr);
        assert_eq!(self.stderr.trim_end().lines().count(), 1, "{}", self.stderr);
        self.stderr.trim_end().to_owned()
    }

    fn json(&self) -> Vec<serde_json::Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).expect("a JSON object a line")).collect()
    }
}

/// Runs it on this database, with arguments that are divided by spaces.
fn run(db: &TestDb, arguments: &str) -> Ran {
    run_at(&db.url, arguments.split(' '))
}

fn run_at<'a>(url: &str, arguments: impl IntoIterator<Item = &'a str>) -> Ran {
    events().env("DATABASE_URL", url).args(arguments).output().expect("it runs").into()
}

/// Runs something in a folder of its own.
fn in_folder(run: impl FnOnce(&Path)) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    run(folder.path());
}

/// A campaign's life in team 7, and an event of team 8.
async fn sample(db: &TestDb) -> campaign::Model {
    db.with_tables().await;
    let events = Events::builder(db.db.clone()).build().await.unwrap();
    let connection = events.connection(context());
    let txn = connection.begin().await.unwrap();
    let spring = new_campaign("Spring").insert(&txn).await.unwrap();
    let mut active = spring.into_active_model();
    active.budget = Set(250);
    active.api_key = Set("k-2".to_owned());
    let spring = active.update(&txn).await.unwrap();
    txn.emit(Event::custom("launch_approved").about(&spring).json(serde_json::json!({"by": "grace"})))
        .await
        .unwrap();
    txn.commit().await.unwrap();
    let mut active = spring.into_active_model();
    active.status = Set(campaign::Status::Live);
    let spring = active.update_with_event(&connection).reason("launch day").await.unwrap();
    let txn = events.begin(Context::team(8).actor("eve")).await.unwrap();
    txn.emit(Event::custom("seen").about(ObjectRef::new("campaign", spring.id))).await.unwrap();
    txn.commit().await.unwrap();
    spring
}

async fn tables_are_made_shown_and_dropped(db: Arc<TestDb>) {
    let present = |db: &TestDb| {
        let status = run(db, "migrate status --json");
        let there = |line: &serde_json::Value| line["present"].as_bool().unwrap();
        status.json().iter().map(there).collect::<Vec<_>>()
    };
    assert_eq!(present(&db), [false, false, false, false, false, false]);
    let made = run(&db, "migrate up --threads --analytics").fine();
    assert!(made.starts_with("log: made (events)\nthreads: made (threads, thread_messages)\n"), "{made}");
    assert_eq!(present(&db), [true, true, false, true, false, false]);
    let again = run(&db, "migrate up --threads").fine();
    assert!(again.starts_with("log: up to date (events)\nthreads: up to date"), "{again}");
    let shown = run(&db, "migrate status").fine();
    assert!(shown.contains("notifications, notification_preferences"), "{shown}");
    let refused = run(&db, "migrate down --threads").failed(2);
    assert!(refused.contains("say --yes"), "{refused}");
    assert_eq!(present(&db), [true, true, false, true, false, false]);
    run(&db, "migrate down --threads --analytics --yes").fine();
    assert_eq!(present(&db), [true, false, false, false, false, false]);
    run(&db, "migrate down --yes").fine();
    assert_eq!(present(&db), [false, false, false, false, false, false]);
    run(&db, "migrate up").fine(); // it can be made again
}

async fn the_doctor_says_what_is_wrong_and_mends_it(db: Arc<TestDb>) {
    let none = run(&db, "doctor");
    assert_eq!(none.code, Some(1));
    assert!(none.stdout.contains("the table `events` is missing"), "{}", none.stdout);
    assert_eq!(none.stderr, "");
    sample(&db).await;
    let name = match db.db.get_database_backend() {
        DbBackend::Postgres => "PostgreSQL ",
        DbBackend::Sqlite => "SQLite ",
        _ => "MariaDB ",
    };
    // A superuser of a test server may be warned of; nothing is an error.
    let healthy = run(&db, "doctor");
    assert_eq!((healthy.code, healthy.stderr.as_str()), (Some(0), ""), "{}", healthy.stdout);
    assert!(healthy.stdout.starts_with(name), "{}", healthy.stdout);
    assert!(healthy.stdout.contains("row-level security is off"), "{}", healthy.stdout);
    // Nobody is to take what it does not know for a pass.
    assert!(
        healthy.stdout.contains("own were not looked at: it does that when it starts"),
        "{}",
        healthy.stdout
    );
    let (guard, drop) = match db.db.get_database_backend() {
        DbBackend::Postgres => ("events_no_change", "DROP TRIGGER events_no_change ON events"),
        _ => ("events_no_delete", "DROP TRIGGER events_no_delete"),
    };
    db.db.execute_unprepared(drop).await.unwrap();
    let broken = run(&db, "doctor");
    assert_eq!((broken.code, broken.stderr.as_str()), (Some(1), ""));
    assert!(broken.stdout.contains("error") && broken.stdout.contains(guard), "{}", broken.stdout);
    let lines = run(&db, "doctor --json");
    assert_eq!(lines.code, Some(1));
    let lines = lines.json();
    assert!(lines[0]["database"].as_str().unwrap().starts_with(name), "{}", lines[0]);
    let finding = lines.iter().find(|line| line["severity"] == "error").unwrap();
    assert!(finding["finding"].as_str().unwrap().contains(guard), "{finding}");
    db.db.execute_unprepared(finding["mend"].as_str().unwrap()).await.unwrap();
    assert_eq!(run(&db, "doctor").code, Some(0));
}
