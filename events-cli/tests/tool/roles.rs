//! Where PostgreSQL keeps teams apart itself: the tool reads as a role that owns nothing.

use super::*;

mod postgres {
    #[test]
    fn roles_see_what_they_may() {
        tests::run("roles_see_what_they_may", Some("POSTGRES_URL"), super::roles_see_what_they_may);
    }
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
