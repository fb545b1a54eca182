//! `tail --follow`: what comes is shown, once, also if its number is lower than one that was shown.

use std::time::Duration;

use events_sea_orm::{Consumer, ConsumerFuture, EventTransaction, Subscription};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout},
    sync::Semaphore,
    time::timeout,
};

use super::*;

tests::conformance! {
    what_comes_is_shown_once,
}

/// An embedded database has one writer at a time: nothing is late there.
mod late {
    use super::*;

    tests::on_servers! { what_commits_late_is_shown }
}

/// A tool that runs, and is ended with the test.
struct Followed {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Followed {
    fn start(db: &TestDb, arguments: &str) -> Self {
        let mut command = tokio::process::Command::from(super::events());
        command
            .env("DATABASE_URL", &db.url)
            .args(arguments.split(' '))
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { _child: child, lines }
    }

    /// The type of the next event.
    async fn next(&mut self) -> String {
        let line = timeout(tests::PATIENCE, self.lines.next_line()).await.expect("an event in time");
        let row: serde_json::Value = serde_json::from_str(&line.unwrap().expect("it runs")).unwrap();
        row["event_type"].as_str().unwrap().to_owned()
    }
}

async fn emit(events: &Events, team: i32, name: &str) {
    let txn = events.begin(Context::team(team)).await.unwrap();
    txn.emit(Event::custom(name)).await.unwrap();
    txn.commit().await.unwrap();
}

async fn what_comes_is_shown_once(db: Arc<TestDb>) {
    db.with_tables().await;
    let events = Events::builder(db.db.clone()).build().await.unwrap();
    for name in ["a", "b", "c"] {
        emit(&events, 7, name).await;
    }
    let mut one = Followed::start(&db, "tail --team 7 -n 2 --follow --every 0s --json");
    let mut all = Followed::start(&db, "tail --all-teams -n 0 -f --every 0s --late 0s --json");
    assert_eq!((one.next().await, one.next().await), ("b".to_owned(), "c".to_owned()));
    // The other has begun once it shows something.
    emit(&events, 8, "begun").await;
    while timeout(Duration::from_millis(300), all.next()).await.is_err() {
        emit(&events, 8, "begun").await;
    }
    for i in 0..40 {
        emit(&events, 8, "other").await;
        emit(&events, 7, &format!("own{i}")).await;
    }
    for i in 0..40 {
        assert_eq!(one.next().await, format!("own{i}"));
    }
    let mut seen = Vec::new();
    while seen.len() < 80 {
        let name = all.next().await;
        if name != "begun" {
            seen.push(name);
        }
    }
    let expected = (0..40).flat_map(|i| ["other".to_owned(), format!("own{i}")]);
    assert_eq!(seen, expected.collect::<Vec<_>>());
}

/// Lets no event of the name `late` commit before it may: its number is drawn by then.
struct Hold(Arc<Semaphore>);

impl Consumer for Hold {
    fn handle<'a>(&'a self, _: &'a EventTransaction, event: &'a Event) -> ConsumerFuture<'a> {
        Box::pin(async move {
            if event.event_type.as_str() == "late" {
                self.0.acquire().await?.forget();
            }
            Ok(())
        })
    }
}

async fn what_commits_late_is_shown(db: Arc<TestDb>) {
    db.with_tables().await;
    let may_commit = Arc::new(Semaphore::new(0));
    let holding =
        Subscription::in_transaction(Hold(Arc::clone(&may_commit))).time_budget(Duration::from_secs(60));
    let events = Events::builder(db.db.clone()).subscribe(holding).build().await.unwrap();
    emit(&events, 7, "first").await;
    let mut followed = Followed::start(&db, "tail --team 7 -n 1 -f --every 0s --json");
    assert_eq!(followed.next().await, "first");
    let late = tokio::spawn({
        let events = events.clone();
        async move { emit(&events, 7, "late").await }
    });
    // A number is left out once the late one has drawn its own.
    let mut after = Vec::new();
    loop {
        emit(&events, 7, "after").await;
        after.push(followed.next().await);
        let log = db.log().await;
        if log.windows(2).any(|pair| pair[1].seq - pair[0].seq > 1) {
            break;
        }
    }
    assert!(after.iter().all(|name| name == "after"), "{after:?}");
    emit(&events, 7, "before_last").await;
    assert_eq!(followed.next().await, "before_last");
    may_commit.add_permits(1);
    late.await.unwrap();
    assert_eq!(followed.next().await, "late");
    emit(&events, 7, "last").await;
    assert_eq!(followed.next().await, "last", "shown once");
    let log = db.log().await;
    let position = |name: &str| log.iter().position(|event| event.event_type == name);
    assert!(position("late") < position("before_last"), "it is below in the log");
}
