//! Users with fewer rights: what column grants add, and what the self-check can tell a user that may not look.

use std::{panic::AssertUnwindSafe, sync::Arc};

use events_sea_orm::{Events, Finding, GuardProblem, Severity, migration};
use futures_util::FutureExt;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend};
use tests::TestDb;

use super::{bytes, guard_findings, insert, run, set_up};

tests::on_servers! { column_grants_keep_numbers_from_being_forged }

mod mysql_alone {
    #[test]
    fn a_user_that_may_not_make_triggers() {
        tests::run(
            "a_user_that_may_not_make_triggers",
            Some("MYSQL_URL"),
            super::a_user_that_may_not_make_triggers,
        );
    }

    #[test]
    fn truncate_is_not_refused_and_said_so() {
        tests::run(
            "truncate_is_not_refused_and_said_so",
            Some("MYSQL_URL"),
            super::truncate_is_not_refused_and_said_so,
        );
    }
}

/// A user of the server with these grants, for one case. It goes even if the case panics.
async fn as_user(db: &TestDb, grants: &[&str], case: impl AsyncFnOnce(&DatabaseConnection)) {
    let name = format!("ev_{}", &uuid::Uuid::new_v4().simple().to_string()[..20]);
    let database = db.url.rsplit_once('/').unwrap().1;
    // To MariaDB an anonymous user of `localhost` comes before a named one of everywhere.
    let users = ["localhost", "%"].map(|host| format!("'{name}'@'{host}'"));
    let is_postgres = db.db.get_database_backend() == DbBackend::Postgres;
    let (scheme, rest) = db.url.split_once("://").unwrap();
    let (_, place) = rest.split_once('@').unwrap();
    let url = format!("{scheme}://{name}:secret@{place}");
    let user = if is_postgres { name.clone() } else { users.join(", ") };
    run(
        &db.db,
        &match is_postgres {
            true => format!("CREATE ROLE {name} LOGIN PASSWORD 'secret'"),
            false => format!(
                "CREATE USER {}",
                users.map(|user| format!("{user} IDENTIFIED BY 'secret'")).join(", ")
            ),
        },
    )
    .await;
    for grant in grants {
        run(&db.db, &format!("GRANT {} TO {user}", grant.replace("DATABASE", database))).await;
    }
    let result = AssertUnwindSafe(async {
        let pool = TestDb::open_with(&url, 2).await;
        case(&pool).await;
        pool.close().await.unwrap();
    })
    .catch_unwind()
    .await;
    run(
        &db.db,
        &match is_postgres {
            true => format!("DROP OWNED BY {user}; DROP ROLE {user}"),
            false => format!("DROP USER {user}"),
        },
    )
    .await;
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

const COLUMNS: &str =
    "id, team_id, event_type, object_type, object_id, actor_id, unit_id, event_data, context, occurred_at";

async fn column_grants_keep_numbers_from_being_forged(db: Arc<TestDb>) {
    set_up(&db).await;
    let before = bytes(&db.db).await;
    let backend = db.db.get_database_backend();
    let is_postgres = backend == DbBackend::Postgres;
    let on = if is_postgres { "events" } else { "DATABASE.events" };
    let grants = [format!("SELECT ON {on}"), format!("INSERT ({COLUMNS}) ON {on}")];
    as_user(&db, &grants.each_ref().map(String::as_str), async |pool| {
        let id = super::uuid(backend, "00000000-0000-0000-0000-000000000001");
        for more in [("seq", "1000000"), ("recorded_at", "'2001-01-01 00:00:00'")] {
            let error = pool.execute_unprepared(&insert(backend, "INSERT", &id, &[more])).await.unwrap_err();
            assert!(error.to_string().contains("denied"), "{error}");
        }
        for sql in ["UPDATE events SET team_id = 'x'", "DELETE FROM events", "TRUNCATE events"] {
            let error = pool.execute_unprepared(sql).await.unwrap_err().to_string();
            assert!(error.contains("denied"), "{error}");
        }
        assert_eq!(bytes(&db.db).await, before);
        // Nothing that this user could change, so nothing to be warned of.
        let report = Events::builder(pool.clone()).build().await.unwrap().verify().await.unwrap();
        let guards: Vec<_> =
            report.findings().iter().filter(|finding| matches!(finding, Finding::Guard(_))).collect();
        assert_eq!(guards, [&Finding::MissingEvents; 0]);

        // What it may do goes on working.
        let events = Events::builder(pool.clone()).build().await.unwrap();
        let txn = events.begin(tests::context()).await.unwrap();
        txn.emit(events_sea_orm::Event::custom("hello")).await.unwrap();
        txn.commit().await.unwrap();
    })
    .await;
    assert_eq!(bytes(&db.db).await.len(), 5);
}

/// The table comes, its guards do not, and both the step and the self-check say so.
async fn a_user_that_may_not_make_triggers(db: Arc<TestDb>) {
    let rights = "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, INDEX, REFERENCES ON DATABASE.*";
    as_user(&db, &[rights], async |pool| {
        migration::up(pool).await.unwrap();
        migration::up(pool).await.unwrap();
        let report = Events::builder(pool.clone()).build().await.unwrap().verify().await.unwrap();
        let guards: Vec<_> = report
            .findings()
            .iter()
            .filter_map(|finding| match finding {
                Finding::Guard(guard) => Some((guard.problem().clone(), finding.severity())),
                _ => None,
            })
            .collect();
        let missing = (GuardProblem::Missing, Severity::Error);
        let may = GuardProblem::MayRemove { privileges: vec!["DROP", "ALTER"] };
        assert_eq!(guards, [missing.clone(), missing.clone(), missing, (may, Severity::Warning)]);
    })
    .await;
    // Who may look sees them missing, and can make them.
    let findings = guard_findings(&db.db).await;
    assert_eq!(findings.len(), 3);
    assert!(findings.iter().all(|finding| *finding.problem() == GuardProblem::Missing), "{findings:?}");
    migration::up(&db.db).await.unwrap();
    assert_eq!(guard_findings(&db.db).await, []);
    // With the triggers made by another, this user is refused all the same.
    run(&db.db, &insert(DbBackend::MySql, "INSERT", "x'01'", &[])).await;
    as_user(&db, &[rights], async |pool| {
        for sql in ["UPDATE events SET team_id = 'x'", "DELETE FROM events"] {
            let error = pool.execute_unprepared(sql).await.unwrap_err().to_string();
            assert!(error.contains("append-only"), "{error}");
        }
        assert_eq!(guard_findings(pool).await, []);
        run(pool, &insert(DbBackend::MySql, "INSERT", "x'02'", &[])).await;
    })
    .await;
}

/// No trigger fires: only to withhold DROP helps.
async fn truncate_is_not_refused_and_said_so(db: Arc<TestDb>) {
    set_up(&db).await;
    let report = Events::builder(db.db.clone()).build().await.unwrap().verify().await.unwrap();
    let text = report.to_string();
    assert!(text.contains("warning: ") && text.contains("holds DROP, ALTER, TRIGGER on `events`"), "{text}");
    run(&db.db, "TRUNCATE events").await;
    assert_eq!(db.log().await, []);
}
