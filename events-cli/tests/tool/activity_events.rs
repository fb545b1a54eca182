//! `migrate activity-events`: an earlier table, step by step.

use super::*;

tests::conformance! {
    rows_of_an_earlier_table_become_events,
}

async fn rows_of_an_earlier_table_become_events(db: Arc<TestDb>) {
    run(&db, "migrate up").fine();
    let missing = run(&db, "migrate activity-events").failed(1);
    assert!(missing.contains("`activity_events`") && missing.contains("`--table ..`"), "{missing}");
    let (text, json) = match db.db.get_database_backend() {
        DbBackend::MySql => ("varchar(40)", "longtext"),
        DbBackend::Postgres => ("text", "json"),
        _ => ("text", "text"),
    };
    let sql = format!(
        "CREATE TABLE audit (id integer NOT NULL PRIMARY KEY, client {text}, event_type {text} NOT NULL, \
         object_type {text} NOT NULL, object_id {text} NOT NULL, event_data {json}, created_at {text} NOT NULL, colour {text})"
    );
    db.db.execute_unprepared(&sql).await.unwrap();
    for i in 1..=25 {
        let client = if i % 5 == 0 { "NULL".to_owned() } else { format!("'{}'", i % 2) };
        let sql = format!(
            "INSERT INTO audit VALUES ({i}, {client}, 'CREATED', 'thing', '{i}', '{{\"name\": \"n{i}\"}}', '2024-01-01T00:00:{i:02}Z', 'red')"
        );
        db.db.execute_unprepared(&sql).await.unwrap();
    }
    let said = run(&db, "migrate activity-events --table audit --ignore-column colour").failed(1);
    assert!(said.contains("`--column team=..`"), "{said}");
    let said = run(&db, "migrate activity-events --table audit --column team=client").failed(1);
    assert!(said.contains("`colour`") && said.contains("`--keep-column ..`"), "{said}");
    let options =
        "migrate activity-events --table audit --column team=client --ignore-column colour --batch 10";
    let ran = run(&db, options);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("5 rows of `audit`") && ran.stderr.contains("row 5, column `client`"),
        "{}",
        ran.stderr
    );
    assert_eq!(run(&db, "tail --all-teams").stdout, "");
    let options = format!("{options} --default-team main");
    let said = run(&db, &options).fine();
    assert!(said.starts_with("25 rows copied, 0 left out\n25 rows in 3 groups"), "{said}");
    let again = run(&db, &format!("{options} --finish")).fine();
    assert!(again.starts_with("0 rows copied"), "{again}");
    assert_eq!(run(&db, "tail --team main").fine().lines().count(), 5);
    let shown = run(&db, "timeline thing 7 --team 1 --json").json();
    assert_eq!(shown[0]["event_data"], serde_json::json!({"initial_values": {"name": "n7"}}));
    let done = run(&db, &format!("{options} --finish")).fine();
    assert!(done.ends_with("audit was renamed: nothing is left to be done\n"), "{done}");
    let old = sea_orm::Statement::from_string(db.db.get_database_backend(), "SELECT count(*) FROM audit_old");
    let rows: i64 = db.db.query_one_raw(old).await.unwrap().unwrap().try_get_by_index(0).unwrap();
    assert_eq!(rows, 25);
}
