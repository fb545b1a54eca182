//! Each guard taken away, disabled or altered: what the self-check says, and that its statement mends it.

use std::sync::Arc;

use events_sea_orm::{Finding, GuardProblem, Severity};
use sea_orm::DbBackend;
use tests::TestDb;

use super::{bytes, guard_findings, mends, run, set_up};

tests::conformance! {
    a_guard_that_is_gone_is_reported_and_mended,
    an_index_that_is_gone_is_reported_and_mended,
}

async fn check(db: &TestDb, sql: &str, name: &str, problem: GuardProblem) {
    run(&db.db, sql).await;
    let findings = guard_findings(&db.db).await;
    assert!(
        findings.iter().any(|finding| finding.name() == name && *finding.problem() == problem),
        "after {sql}: {findings:?}"
    );
    assert!(findings.iter().all(|finding| *finding.problem() == problem), "after {sql}: {findings:?}");
    for finding in findings.iter().cloned().map(Finding::Guard) {
        assert_eq!(finding.severity(), Severity::Error, "{finding}");
    }
    for mend in mends(&findings) {
        run(&db.db, &mend).await;
    }
    assert_eq!(guard_findings(&db.db).await, [], "mended after {sql}");
}

async fn a_guard_that_is_gone_is_reported_and_mended(db: Arc<TestDb>) {
    use GuardProblem::{Altered, Disabled, Missing, Rule};

    set_up(&db).await;
    let before = bytes(&db.db).await;
    assert_eq!(guard_findings(&db.db).await, []);
    match db.db.get_database_backend() {
        DbBackend::Postgres => {
            let other =
                "CREATE FUNCTION other() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN OLD; END$$";
            run(&db.db, other).await;
            let refuse = |body| {
                format!(
                    "CREATE OR REPLACE FUNCTION events_refuse_change() RETURNS trigger LANGUAGE plpgsql {body}"
                )
            };
            for name in ["events_no_change", "events_no_truncate", "events_recorded_at"] {
                check(&db, &format!("DROP TRIGGER {name} ON events"), name, Missing).await;
                check(&db, &format!("ALTER TABLE events DISABLE TRIGGER {name}"), name, Disabled).await;
                check(&db, &format!("ALTER TABLE events ENABLE REPLICA TRIGGER {name}"), name, Disabled)
                    .await;
            }
            check(&db, "ALTER TABLE events DISABLE TRIGGER ALL", "events_no_change", Disabled).await;
            check(&db, "ALTER TABLE events ENABLE TRIGGER events_no_change", "events_no_change", Disabled)
                .await;
            for sql in [
                refuse("SET search_path=pg_catalog AS $$BEGIN RETURN OLD; END$$"),
                "ALTER FUNCTION events_refuse_change() RESET ALL".to_owned(),
                "CREATE OR REPLACE TRIGGER events_no_change BEFORE DELETE OR UPDATE ON events FOR EACH ROW WHEN (old.seq > 10) EXECUTE FUNCTION events_refuse_change()".to_owned(),
                "CREATE OR REPLACE TRIGGER events_no_change BEFORE DELETE ON events FOR EACH ROW EXECUTE FUNCTION events_refuse_change()".to_owned(),
                "CREATE OR REPLACE TRIGGER events_no_change BEFORE DELETE OR UPDATE OF seq ON events FOR EACH ROW EXECUTE FUNCTION events_refuse_change()".to_owned(),
                "CREATE OR REPLACE TRIGGER events_no_change BEFORE DELETE OR UPDATE ON events FOR EACH ROW EXECUTE FUNCTION other()".to_owned(),
            ] {
                check(&db, &sql, "events_no_change", Altered).await;
            }
            check(&db, "CREATE RULE quiet AS ON DELETE TO events DO INSTEAD NOTHING", "quiet", Rule).await;
        }
        DbBackend::Sqlite => {
            for (name, when) in [
                ("events_no_update", "BEFORE UPDATE"),
                ("events_no_delete", "BEFORE DELETE"),
                ("events_no_replace", "BEFORE INSERT"),
                ("events_no_seq", "AFTER INSERT"),
            ] {
                check(&db, &format!("DROP TRIGGER {name}"), name, Missing).await;
                let altered = format!(
                    "DROP TRIGGER {name}; CREATE TRIGGER {name} {when} ON events WHEN false BEGIN SELECT 1; END"
                );
                check(&db, &altered, name, Altered).await;
            }
        }
        _ => {
            for (name, when) in [
                ("events_no_update", "BEFORE UPDATE"),
                ("events_no_delete", "BEFORE DELETE"),
                ("events_recorded_at", "BEFORE INSERT"),
            ] {
                check(&db, &format!("DROP TRIGGER {name}"), name, Missing).await;
                let altered = format!(
                    "DROP TRIGGER {name}; CREATE TRIGGER {name} {when} ON events FOR EACH ROW SET @x = 1"
                );
                check(&db, &altered, name, Altered).await;
            }
        }
    }
    assert_eq!(bytes(&db.db).await, before);
}

async fn an_index_that_is_gone_is_reported_and_mended(db: Arc<TestDb>) {
    set_up(&db).await;
    let drop = match db.db.get_database_backend() {
        DbBackend::MySql => |name: &str| format!("DROP INDEX {name} ON events"),
        _ => |name: &str| format!("DROP INDEX {name}"),
    };
    check(&db, &drop("events_team_seq"), "team_id,seq", GuardProblem::MissingIndex).await;
    check(&db, &drop("events_object_seq"), "team_id,object_type,object_id,seq", GuardProblem::MissingIndex)
        .await;
    let unique = match db.db.get_database_backend() {
        DbBackend::Postgres => "ALTER TABLE events DROP CONSTRAINT events_id_key",
        DbBackend::MySql => "DROP INDEX id ON events",
        _ => return, // SQLite does not drop what comes with the table
    };
    check(&db, unique, "id", GuardProblem::MissingIndex).await;
}
