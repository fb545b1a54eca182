//! Where PostgreSQL keeps teams apart itself: the tool reads as a role that owns nothing.

use super::*;

mod postgres {
    macro_rules! cases {
        ($($case:ident),*) => { $(#[test] fn $case() { tests::run(stringify!($case), Some("POSTGRES_URL"), super::$case); })* };
    }
    cases! { tables_may_be_in_a_schema, roles_see_what_they_may, roles_are_printed_made_and_taken_back }
}

async fn roles_see_what_they_may(db: Arc<TestDb>) {
    sample(&db).await;
    let suffix = uuid::Uuid::new_v4().simple().to_string();
    let [app, jobs] = ["app", "jobs"].map(|kind| format!("events_test_{kind}_{suffix}"));
    let sql = format!(
        "CREATE ROLE {jobs} NOLOGIN; CREATE ROLE {app} LOGIN PASSWORD 'app' IN ROLE {jobs} NOINHERIT;
         ALTER TABLE events ENABLE ROW LEVEL SECURITY; ALTER TABLE events FORCE ROW LEVEL SECURITY;
         GRANT SELECT ON events TO {app}, {jobs};
         CREATE POLICY own ON events TO {app} USING (team_id = nullif(current_setting('shop.tenant', true), ''));
         CREATE POLICY every ON events TO {jobs} USING (true);"
    );
    db.db.execute_unprepared(&sql).await.unwrap();
    let checked = tokio::spawn(check(db.url.clone(), app.clone(), jobs.clone())).await;
    // Roles are the server's, not the database's: they go whatever was found.
    let drop = format!("DROP OWNED BY {app}, {jobs}; DROP ROLE {app}, {jobs}");
    db.db.execute_unprepared(&drop).await.unwrap();
    checked.unwrap();
}

async fn check(superuser: String, app: String, jobs: String) {
    let (scheme, rest) = superuser.split_once("://").unwrap();
    let address = rest.split_once('@').map_or(rest, |(_, address)| address);
    let url = format!("{scheme}://{app}:app@{address}");
    let run = |arguments: &str| run_at(&url, arguments.split(' '));
    let lines = |ran: Ran| ran.fine().lines().count();
    assert_eq!(lines(run("tail --team 7 --team-setting shop.tenant")), 4);
    assert_eq!(lines(run("tail --team 8 --team-setting shop.tenant")), 1);
    assert_eq!(lines(run("export --team 7 --team-setting shop.tenant")), 4);
    // By another setting the policies know of no team.
    assert_eq!(run("tail --team 7").stderr, "events: there are none\n");
    let said = run("tail --all-teams").failed(1);
    assert!(said.contains(&app) && said.contains("--all-teams-role"), "{said}");
    assert_eq!(lines(run(&format!("tail --all-teams --all-teams-role {jobs}"))), 5);
    assert_eq!(lines(run(&format!("export --all-teams --all-teams-role {jobs}"))), 5);
    let said = run("tail --all-teams --all-teams-role nobody_of_this_name").failed(1);
    assert!(said.contains("nobody_of_this_name"), "{said}");
    assert_eq!(lines(run_at(&superuser, ["tail", "--all-teams"])), 5, "a superuser sees all");
    let doctor = run_at(&superuser, ["doctor"]);
    assert!(doctor.stdout.contains("row-level security is on"), "{}", doctor.stdout);
}

async fn roles_are_printed_made_and_taken_back(db: Arc<TestDb>) {
    let spring = sample(&db).await;
    let suffix = uuid::Uuid::new_v4().simple().to_string();
    let [app, jobs] = ["app", "jobs"].map(|kind| format!("events_test_{kind}_{suffix}"));
    let options = format!("--app-role {app} --delivery-role {jobs}");
    let missing = run(&db, &format!("migrate up {options}"));
    assert_eq!(missing.code, Some(1));
    assert!(missing.stderr.contains(&app) || missing.stderr.contains(&jobs), "{}", missing.stderr);
    assert!(missing.stderr.contains("CREATE ROLE"), "{}", missing.stderr);
    // It asks no database.
    let sql =
        Ran::from(events().args(format!("migrate roles {options}").split(' ')).output().unwrap()).fine();
    db.db.execute_unprepared(&sql).await.unwrap();
    db.db.execute_unprepared(&format!("ALTER ROLE {app} PASSWORD 'app'")).await.unwrap();
    let checked = tokio::spawn(made_and_taken_back(Arc::clone(&db), app.clone(), jobs.clone(), spring)).await;
    let drop = format!("DROP OWNED BY {app}, {jobs}; DROP ROLE {app}, {jobs}");
    db.db.execute_unprepared(&drop).await.unwrap();
    checked.unwrap();
}

async fn made_and_taken_back(db: Arc<TestDb>, app: String, jobs: String, spring: campaign::Model) {
    let options = format!("--app-role {app} --delivery-role {jobs} --team-table campaigns=team_id");
    for _ in 0..2 {
        let said = run(&db, &format!("migrate up {options}")).fine();
        assert!(said.ends_with("row-level security: on for campaigns, by team_id\n"), "{said}");
    }
    assert!(run(&db, "migrate status").fine().contains("row-level security"));
    assert_eq!(run(&db, "migrate status --json").json()[5]["present"], true);
    db.db.execute_unprepared(&format!("GRANT SELECT ON campaigns TO {app}")).await.unwrap();
    let (scheme, rest) = db.url.split_once("://").unwrap();
    let address = rest.split_once('@').map_or(rest, |(_, address)| address);
    let url = format!("{scheme}://{app}:app@{address}");
    let run_as_app = |arguments: &str| run_at(&url, arguments.split(' '));
    // The role that the application has is sound; the owner's is no role for a service.
    let doctor = run_as_app("doctor");
    assert_eq!(doctor.code, Some(0), "{}", doctor.stdout);
    assert!(doctor.stdout.contains("row-level security is on"), "{}", doctor.stdout);
    assert_eq!(run(&db, "doctor").code, Some(1));
    assert_eq!(run_as_app("tail --team 7").fine().lines().count(), 4);
    assert_eq!(run_as_app("tail --team 8").fine().lines().count(), 1);
    let history = run_as_app(&format!("timeline campaign {} --team 7 --json", spring.id));
    assert_eq!(history.json().len(), 4);
    assert!(run_as_app("tail --all-teams").failed(1).contains("--all-teams-role"));
    assert_eq!(run_as_app(&format!("tail --all-teams --all-teams-role {jobs}")).fine().lines().count(), 5);
    let refused = run(&db, &format!("migrate down {options}")).failed(2);
    assert!(refused.contains("every team's rows: say --yes"), "{refused}");
    run(&db, &format!("migrate down {options} --yes")).fine();
    assert_eq!(run(&db, "migrate status --json").json()[5]["present"], false);
    assert_eq!(run(&db, "tail --all-teams").fine().lines().count(), 5, "the events are there");
}

async fn tables_may_be_in_a_schema(db: Arc<TestDb>) {
    db.db.execute_unprepared("CREATE SCHEMA \"The Shop\"").await.unwrap();
    let run =
        |arguments: &str| run_at(&db.url, arguments.split(' ').chain(["--database-schema", "The Shop"]));
    run("migrate up").fine();
    assert_eq!(run("migrate status --json").json()[0]["present"], true);
    assert_eq!(super::run(&db, "migrate status --json").json()[0]["present"], false);
    assert_eq!(run("doctor").code, Some(0));
    assert_eq!(run("export --all-teams").fine(), "");
}
