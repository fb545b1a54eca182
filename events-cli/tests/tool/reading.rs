//! `tail` and `timeline`: what they show, and of whom.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

use super::*;

tests::conformance! {
    the_last_events_are_shown_in_words,
    rows_are_json_for_scripts,
    only_what_was_asked_for_is_shown,
    the_history_of_an_object_is_a_table,
    teams_see_nothing_of_each_other,
    text_of_users_does_nothing_to_a_terminal,
    a_reader_who_has_seen_enough_is_no_error,
}

async fn the_last_events_are_shown_in_words(db: Arc<TestDb>) {
    sample(&db).await;
    let shown = run(&db, "tail --team 7").fine();
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 4, "{shown}");
    for (line, words) in lines.iter().zip([
        ["CREATED", "campaign 1", "ada", "name Spring, status draft"],
        ["UPDATED", "campaign 1", "ada", "budget 100 -> 250, api_key (redacted)"],
        ["launch_approved", "campaign 1", "ada", "{\"by\":\"grace\"}"],
        ["STATE_CHANGED", "campaign 1", "ada", "status draft -> live, because: launch day"],
    ]) {
        assert!(words.iter().all(|word| line.contains(word)), "{line}");
        assert!(!line.contains('\u{1b}'), "no colours but to a terminal: {line}");
    }
    let column = |line: &str| line.find("campaign 1");
    assert!(
        lines.iter().all(|line| column(line) == column(lines[0])),
        "columns stand below each other: {shown}"
    );
    let last = run(&db, "tail --team 7 -n 1").fine();
    assert_eq!(last.split_whitespace().collect::<Vec<_>>(), lines[3].split_whitespace().collect::<Vec<_>>());
    let all = run(&db, "tail --all-teams -n 2").fine();
    assert!(all.lines().last().unwrap().contains("  8  seen"), "whose it is: {all}");
}

async fn rows_are_json_for_scripts(db: Arc<TestDb>) {
    sample(&db).await;
    let log = db.log().await;
    let rows = run(&db, "tail --all-teams --json").json();
    assert_eq!(rows.len(), log.len());
    for (row, event) in rows.iter().zip(&log) {
        assert_eq!(row["seq"], event.seq);
        assert_eq!(row["id"], event.id.to_string());
        assert_eq!(row["team_id"], *event.team_id);
        assert_eq!(row["event_type"], *event.event_type);
        assert_eq!(row["object_id"].as_str(), event.object_id.as_deref());
        assert_eq!(row["event_data"], event.event_data);
        assert_eq!(row["context"], event.context);
        let at: chrono::DateTime<chrono::Utc> = row["occurred_at"].as_str().unwrap().parse().unwrap();
        assert_eq!(at, event.occurred_at);
    }
    assert_eq!(run(&db, "timeline campaign 1 --team 7 --json").json(), rows[..4]);
}

async fn only_what_was_asked_for_is_shown(db: Arc<TestDb>) {
    sample(&db).await;
    let count = |arguments: &str| run(&db, arguments).fine().lines().count();
    assert_eq!(count("tail --all-teams"), 5);
    assert_eq!(count("tail --all-teams --type CREATED --type seen"), 2);
    assert_eq!(count("tail --all-teams --object-type campaign"), 5);
    assert_eq!(count("tail --all-teams --actor eve"), 1);
    assert_eq!(count("tail --team 7 -n 0"), 0);
    let none = run(&db, "tail --team 7 --object-type price");
    assert_eq!(
        (none.code, none.stdout.as_str(), none.stderr.as_str()),
        (Some(0), "", "events: there are none\n")
    );
}

async fn the_history_of_an_object_is_a_table(db: Arc<TestDb>) {
    let spring = sample(&db).await;
    let shown = run(&db, &format!("timeline campaign {} --team 7", spring.id)).fine();
    let order: Vec<usize> = ["CREATED", "UPDATED", "launch_approved", "STATE_CHANGED"]
        .map(|name| shown.find(name).unwrap_or_else(|| panic!("{name} in {shown}")))
        .to_vec();
    assert!(order.is_sorted(), "the oldest first: {shown}");
    let none = run(&db, "timeline campaign 99 --team 7");
    assert_eq!((none.code, none.stdout.as_str()), (Some(0), ""));
    assert!(none.stderr.contains("nothing is known of this object"), "{}", none.stderr);
}

async fn teams_see_nothing_of_each_other(db: Arc<TestDb>) {
    let spring = sample(&db).await;
    let seen = run(&db, "tail --team 8").fine();
    assert!(seen.contains("seen") && !seen.contains("Spring"), "{seen}");
    assert_eq!(seen.lines().count(), 1);
    let history = run(&db, &format!("timeline campaign {} --team 8 --json", spring.id)).json();
    assert_eq!(history.len(), 1);
    for team in ["9", "7 ", "\u{ff17}"] {
        let ran = run_at(&db.url, ["tail", "--team", team, "--json"]);
        assert_eq!(ran.fine(), "", "{team:?}");
        let ran = run_at(&db.url, ["export", "--team", team]);
        assert_eq!(ran.fine(), "", "{team:?}");
    }
}

const UNSEEN: [char; 8] = ['\u{1b}', '\u{202e}', '\u{7}', '\r', '\u{2028}', '\u{2029}', '\u{9b}', '\u{feff}'];

async fn text_of_users_does_nothing_to_a_terminal(db: Arc<TestDb>) {
    db.with_tables().await;
    let events = Events::builder(db.db.clone()).build().await.unwrap();
    let txn = events.begin(Context::team(7).actor("\u{1b}[2Jada\n")).await.unwrap();
    let object = ObjectRef::new("thing", "\u{202e}1");
    let text = "\u{7}\r\u{2028}\u{2029}\u{9b}31m\u{feff}";
    txn.emit(Event::custom("x").about(object).json(serde_json::json!(text))).await.unwrap();
    txn.commit().await.unwrap();
    for arguments in [vec!["tail", "--team", "7"], vec!["timeline", "thing", "\u{202e}1", "--team", "7"]] {
        let shown = run_at(&db.url, arguments).fine();
        assert!(shown.contains("\\u{1b}[2Jada\\n"), "{shown:?}");
        assert!(!shown.contains(UNSEEN), "{shown:?}");
    }
    // In JSON they are escapes, which mean the same.
    for arguments in ["tail --team 7 --json", "export --team 7"] {
        let ran = run(&db, arguments);
        assert!(!ran.stdout.contains(UNSEEN), "{:?}", ran.stdout);
        assert_eq!(ran.json()[0]["event_data"], text);
    }
    // Nor does what is said of an error.
    let said = run_at(&db.url, ["tail", "--team", "7", "--actor", &"\u{1b}[2J\u{202e}".repeat(40)]).failed(1);
    assert!(!said.contains(UNSEEN), "{said:?}");
}

async fn a_reader_who_has_seen_enough_is_no_error(db: Arc<TestDb>) {
    db.with_tables().await;
    let events = Events::builder(db.db.clone()).build().await.unwrap();
    let txn = events.begin(context()).await.unwrap();
    for _ in 0..3_000 {
        txn.emit(Event::custom("x").json(serde_json::json!("some text that fills a pipe"))).await.unwrap();
    }
    txn.commit().await.unwrap();
    for arguments in [
        "tail --team 7 -n 3000",
        "export --team 7",
        "export --team 7 --format csv",
        "tail --team 7 -n 3000 -f",
    ] {
        let mut command = super::events();
        command.env("DATABASE_URL", &db.url).args(arguments.split(' '));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        BufReader::with_capacity(64, child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        assert!(!first.is_empty(), "{arguments}");
        let ran = Ran::from(child.wait_with_output().unwrap());
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{arguments}");
    }
}
