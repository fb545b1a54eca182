//! `purge`: what goes, what stays, and what is on record.

use events_sea_orm::retention;

use super::*;

tests::conformance! {
    what_is_old_goes_and_is_on_record,
}

/// As `run`, with a reason.
fn purge(db: &TestDb, arguments: &str) -> Ran {
    let arguments = ["purge", "--reason", "as our policy says", "--by", "ops:ada"]
        .into_iter()
        .chain(arguments.split(' '));
    run_at(&db.url, arguments)
}

/// A time that is later than all that was recorded so far, and earlier than all that will be.
async fn now() -> String {
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    let now = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    now
}

async fn what_is_old_goes_and_is_on_record(db: Arc<TestDb>) {
    sample(&db).await;
    let said = purge(&db, "--older-than 365d --yes").failed(1);
    assert!(
        said.ends_with("nothing can be removed before `events migrate up --retention` was run"),
        "{said}"
    );
    let made = run(&db, "migrate up --retention").fine();
    assert!(made.ends_with("retention: made (event_purges, event_holds, event_marks)\n"), "{made}");
    assert_eq!(run(&db, "doctor").code, Some(0));

    let said = purge(&db, &format!("--before {}", now().await)).failed(2);
    assert!(said.contains("for good: say --yes"), "{said}");
    let said = purge(&db, "--before 2999-01-01 --yes").failed(1);
    assert!(said.contains("future"), "{said}");
    assert!(purge(&db, "--older-than 365d --yes").fine().starts_with("0 events removed"));
    assert_eq!(db.log().await.len(), 5);

    // By the mark that the purge before has drawn, they had all ended by now.
    retention::hold(&db.db, "legal:17", 5).await.unwrap();
    let purged = purge(&db, &format!("--before {} --batch 3 --yes", now().await)).fine();
    assert!(purged.starts_with("4 events removed in 2 batches, recorded as "), "{purged}");
    assert!(purged.contains("1 kept: held by legal:17"), "{purged}");
    assert_eq!(db.log().await.len(), 1);
    let record = "SELECT count(*), sum(removed) FROM event_purges WHERE reason = 'as our policy says' AND purged_by = 'ops:ada'";
    let record = sea_orm::Statement::from_string(db.db.get_database_backend(), record);
    let row = db.db.query_one_raw(record).await.unwrap().unwrap();
    assert_eq!(row.try_get_by_index::<i64>(0).unwrap(), 2);

    retention::release(&db.db, "legal:17").await.unwrap();
    let purged = purge(&db, &format!("--before {} --yes --json", now().await)).json();
    assert_eq!((&purged[0]["events"], &purged[0]["kept_by_hold"]), (&1.into(), &0.into()), "{}", purged[0]);
    assert_eq!(db.log().await.len(), 0);
    let refused = db.db.execute_unprepared("DELETE FROM event_purges").await;
    assert!(refused.is_err(), "the record stays");
}
