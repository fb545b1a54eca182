//! `export`: what is in the file is what is in the log, also if it took several attempts.

use std::fs;

use super::*;

tests::conformance! {
    a_file_holds_what_the_log_holds,
    values_divided_by_commas_read_back,
    no_value_is_a_formula_to_a_spreadsheet,
    only_the_times_asked_for_are_exported,
    an_export_goes_on_where_it_stopped,
    an_interrupted_export_says_how_to_go_on,
    a_file_that_is_there_is_not_replaced,
}

/// So many events, some of them with text that a format has to escape.
async fn many(db: &TestDb, count: usize) {
    db.with_tables().await;
    let events = Events::builder(db.db.clone()).build().await.unwrap();
    let txn = events.begin(context()).await.unwrap();
    for i in 0..count {
        let object = ObjectRef::new("thing", format!("{i},\"\n é"));
        let data = serde_json::json!({"i": i, "text": "a,b;\"c\"\r\nd\u{2028}"});
        txn.emit(Event::custom("x").about(object).json(data)).await.unwrap();
    }
    txn.commit().await.unwrap();
}

fn rows(path: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Exports with these arguments into a file of this folder.
fn export_to(db: &TestDb, path: &Path, more: &str) -> Ran {
    let arguments = ["export", "--all-teams", "-o"].into_iter().chain([path.to_str().unwrap()]);
    run_at(&db.url, arguments.chain(more.split(' ').filter(|argument| !argument.is_empty())))
}

async fn a_file_holds_what_the_log_holds(db: Arc<TestDb>) {
    many(&db, 2_345).await;
    let log = db.log().await;
    in_folder(|folder| {
        let path = folder.join("log.jsonl");
        let ran = export_to(&db, &path, "");
        assert_eq!(ran.stderr, format!("events: 2345 events written to {}\n", path.display()));
        let rows = rows(&path);
        assert_eq!(rows.len(), log.len());
        for (row, event) in rows.iter().zip(&log) {
            assert_eq!((&row["seq"], &row["event_data"]), (&event.seq.into(), &event.event_data));
            assert_eq!(row["object_id"].as_str(), event.object_id.as_deref());
            assert_eq!(row["id"], event.id.to_string());
        }
        let names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["log.jsonl"], "nothing else is left");
        // Standard output has the same.
        assert_eq!(run(&db, "export --team 7").fine(), fs::read_to_string(&path).unwrap());
    });
}

async fn values_divided_by_commas_read_back(db: Arc<TestDb>) {
    many(&db, 1_500).await;
    let log = db.log().await;
    let text = run(&db, "export --team 7 --format csv").fine();
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let headers = reader.headers().unwrap().clone();
    assert_eq!(headers.iter().take(4).collect::<Vec<_>>(), ["seq", "id", "team_id", "event_type"]);
    let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(records.len(), log.len());
    for (record, event) in records.iter().zip(&log) {
        let value = |name: &str| &record[headers.iter().position(|header| header == name).unwrap()];
        assert_eq!(value("seq"), event.seq.to_string());
        assert_eq!(Some(value("object_id")), event.object_id.as_deref());
        assert_eq!(serde_json::from_str::<serde_json::Value>(value("event_data")).unwrap(), event.event_data);
    }
}

async fn no_value_is_a_formula_to_a_spreadsheet(db: Arc<TestDb>) {
    db.with_tables().await;
    let events = Events::builder(db.db.clone()).build().await.unwrap();
    let actors = ["=cmd|' /C calc'!A0", "+1", "-2", "@SUM(1)", "\t=1", "'=1", "ada", "a=1"];
    for actor in actors {
        let txn = events.begin(Context::team(7).actor(actor)).await.unwrap();
        txn.emit(Event::custom("x").json(serde_json::json!(-5))).await.unwrap();
        txn.commit().await.unwrap();
    }
    let text = run(&db, "export --team 7 --format csv").fine();
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    for (record, actor) in records.iter().zip(actors) {
        assert!(
            record.iter().all(|value| !value.starts_with(['=', '+', '-', '@', '\t', '\r'])),
            "{record:?}"
        );
        let read = |value: &str| value.strip_prefix('\'').unwrap_or(value).to_owned();
        assert_eq!((read(&record[6]).as_str(), read(&record[8]).as_str()), (actor, "-5"));
    }
}

async fn only_the_times_asked_for_are_exported(db: Arc<TestDb>) {
    sample(&db).await;
    let count = |arguments: &str| run(&db, arguments).fine().lines().count();
    assert_eq!(count("export --all-teams --from 2020-01-01"), 5);
    assert_eq!(count("export --all-teams --from 2020-01-01 --to 2020-02-01"), 0);
    assert_eq!(count("export --all-teams --to 2999-01-01T00:00:00Z"), 5);
    assert_eq!(count("export --team 8 --from 2020-01-01 --to 2999-01-01"), 1);
    let from = db.log().await[3].recorded_at.to_rfc3339();
    let rows = run_at(&db.url, ["export", "--all-teams", "--from", &from]).json();
    assert!(rows.iter().all(|row| row["seq"].as_i64() >= Some(4)) && !rows.is_empty(), "{rows:?}");
}

async fn an_export_goes_on_where_it_stopped(db: Arc<TestDb>) {
    many(&db, 1_200).await;
    for format in ["jsonl", "csv"] {
        in_folder(|folder| {
            let (path, part) = (folder.join("log"), folder.join("log.part"));
            export_to(&db, &path, &format!("--format {format}"));
            let whole = fs::read(&path).unwrap();
            fs::remove_file(&path).unwrap();
            // As if it was killed in the middle of a row.
            fs::write(&part, &whole[..whole.len() / 3]).unwrap();
            let said = export_to(&db, &path, &format!("--format {format}")).failed(2);
            let after = said.split("--after ").nth(1).and_then(|rest| rest.split(',').next()).unwrap();
            let wrong = export_to(&db, &path, &format!("--format {format} --after 1")).failed(2);
            assert!(wrong.contains(&format!("--after {after}")), "{wrong}");
            let ran = export_to(&db, &path, &format!("--format {format} --after {after}"));
            assert_eq!(ran.code, Some(0), "{}", ran.stderr);
            assert!(fs::read(&path).unwrap() == whole, "the same as without the interruption");
            assert!(!part.exists());
        });
    }
}

/// By the signal that Ctrl-C sends.
async fn an_interrupted_export_says_how_to_go_on(db: Arc<TestDb>) {
    many(&db, 12_000).await;
    let folder = tempfile::tempdir().unwrap();
    let (path, part) = (folder.path().join("log"), folder.path().join("log.part"));
    let mut command = super::events();
    command.env("DATABASE_URL", &db.url).args(["export", "--team", "7", "-o"]).arg(&path);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It has begun once something is in the file.
    while !fs::metadata(&part).is_ok_and(|file| file.len() > 0) {
        assert!(!path.exists(), "all was written before anybody could interrupt");
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let said = Ran::from(child.wait_with_output().unwrap()).failed(1);
    let after = said.split("--after ").nth(1).unwrap();
    assert!(said.starts_with("events: interrupted; written up to number "), "{said}");
    let arguments = ["export", "--team", "7", "-o", path.to_str().unwrap(), "--after", after];
    assert_eq!(run_at(&db.url, arguments).code, Some(0));
    let seqs: Vec<_> = rows(&path).iter().map(|row| row["seq"].as_i64().unwrap()).collect();
    assert_eq!(seqs, db.log().await.iter().map(|event| event.seq).collect::<Vec<_>>());
}

async fn a_file_that_is_there_is_not_replaced(db: Arc<TestDb>) {
    sample(&db).await;
    in_folder(|folder| {
        let path = folder.join("log");
        fs::write(&path, "mine").unwrap();
        let said = export_to(&db, &path, "").failed(2);
        assert!(said.contains("is there already") && said.contains("--force"), "{said}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        assert_eq!(export_to(&db, &path, "--force").code, Some(0));
        assert_eq!(rows(&path).len(), 5);
        let said = export_to(&db, &folder.join("no/such/folder"), "").failed(1);
        assert!(said.contains("no/such/folder.part"), "{said}");
    });
}
