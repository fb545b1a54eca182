//! Where PostgreSQL keeps teams apart itself: the tool reads as a role that owns nothing.

use tests::{pooler::PgBouncer, roles::PASSWORD};

use super::*;

mod postgres {
    macro_rules! cases {
        ($($case:ident),*) => { $(#[test] fn $case() { tests::run(stringify!($case), Some("POSTGRES_URL"), super::$case); })* };
    }
    cases! { tables_may_be_in_a_schema, roles_see_what_they_may, roles_are_printed_made_and_taken_back, whoever_runs_the_tool_need_not_say_again_what_is_there, a_pooler_is_named }
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
    // The policies say which setting it is.
    assert_eq!(lines(run("tail --team 7")), 4);
    // By another one they would know of no team.
    for command in ["tail --team 7", "timeline campaign 1 --team 7", "export --team 7"] {
        let said = run(&format!("{command} --team-setting app.team_id")).failed(1);
        assert!(
            said.contains("compares the setting app.team_id") && said.contains("they compare shop.tenant"),
            "{said}"
        );
    }
    let said = run("doctor --team-setting app.team_id");
    assert_eq!(said.code, Some(1));
    assert!(!said.stdout.contains("CREATE POLICY"), "{}", said.stdout);
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
    // What is said of the tables and of the application's role is the same whoever asks.
    let doctor = run_as_app("doctor");
    assert_eq!(doctor.code, Some(0), "{}", doctor.stdout);
    assert!(doctor.stdout.contains("row-level security is on"), "{}", doctor.stdout);
    let by_superuser = run(&db, "doctor");
    assert_eq!(by_superuser.code, Some(0), "{}", by_superuser.stdout);
    assert!(by_superuser.stdout.contains("is not the application's role"), "{}", by_superuser.stdout);
    // Of the application's own tables it knows what their policies say, and says so.
    assert!(
        by_superuser.stdout.contains("public.campaigns. The application looks at"),
        "{}",
        by_superuser.stdout
    );
    assert_eq!(run(&db, "doctor --json").json()[0]["tables"], serde_json::json!(["public.campaigns"]));
    db.db.execute_unprepared("ALTER TABLE campaigns DISABLE ROW LEVEL SECURITY").await.unwrap();
    for doctor in [run_as_app("doctor"), run(&db, "doctor")] {
        assert_eq!(doctor.code, Some(1), "{}", doctor.stdout);
        assert!(
            doctor.stdout.contains("What puts it right:\nALTER TABLE public.campaigns ENABLE"),
            "{}",
            doctor.stdout
        );
    }
    db.db.execute_unprepared("ALTER TABLE campaigns ENABLE ROW LEVEL SECURITY").await.unwrap();
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

/// As a member of the owner, which needs no other right, and as an auditor.
async fn whoever_runs_the_tool_need_not_say_again_what_is_there(db: Arc<TestDb>) {
    let suffix = uuid::Uuid::new_v4().simple().to_string();
    let kinds = ["app", "owner", "jobs", "audit", "migrator", "looks"];
    let [app, owner, jobs, audit, migrator, looks] = kinds.map(|kind| format!("events_test_{kind}_{suffix}"));
    for role in [&app, &owner, &jobs, &audit, &migrator, &looks] {
        db.goes_with(role);
    }
    let named =
        format!("--app-role {app} --owner-role {owner} --delivery-role {jobs} --auditor-role {audit}");
    let sql = run(&db, &format!("migrate roles {named}")).fine();
    db.db.execute_unprepared(&sql).await.unwrap();
    let logins = format!(
        "ALTER ROLE {app} PASSWORD 'app'; CREATE ROLE {migrator} LOGIN PASSWORD 'app' IN ROLE {owner};
         CREATE ROLE {looks} LOGIN PASSWORD 'app' IN ROLE {audit};
         GRANT CREATE, USAGE ON SCHEMA public TO {owner}"
    );
    db.db.execute_unprepared(&logins).await.unwrap();
    let (scheme, rest) = db.url.split_once("://").unwrap();
    let address = rest.split_once('@').map_or(rest, |(_, address)| address);
    let run_as = |role: &str, arguments: &str| {
        run_at(&format!("{scheme}://{role}:app@{address}"), arguments.split(' '))
    };
    let made = run_as(&migrator, &format!("migrate up {named} --team-setting shop.tenant")).fine();
    assert!(made.contains("on for the tables of the log, by the setting shop.tenant\n"), "{made}");
    let policies = async || {
        let all = "SELECT string_agg(concat_ws(' ', tablename, policyname, roles, qual, with_check), E'\n' ORDER BY 1) FROM pg_policies \
                   WHERE schemaname = 'public' AND tablename = 'events'";
        let row = db
            .db
            .query_one_raw(sea_orm::Statement::from_string(DbBackend::Postgres, all))
            .await
            .unwrap()
            .unwrap();
        row.try_get_by_index::<String>(0).unwrap()
    };
    let before = policies().await;
    assert!(before.contains("shop.tenant") && before.contains("events_delivery_select"), "{before}");
    // Run again for tables that came later, without all that was said the first time.
    run_as(&migrator, &format!("migrate up --threads --app-role {app}")).fine();
    assert_eq!(policies().await, before);
    for role in [&app, &migrator, &looks] {
        let doctor = run_as(role, "doctor");
        assert_eq!(doctor.code, Some(0), "{role}: {}", doctor.stdout);
        assert!(!doctor.stdout.contains("REVOKE"), "{role}: {}", doctor.stdout);
    }
    db.db
        .execute_unprepared(
            "INSERT INTO events (id, team_id, event_type, unit_id, event_data, context, occurred_at) \
        VALUES (gen_random_uuid(), 'a', 'noted', gen_random_uuid(), '{}', '{}', now())",
        )
        .await
        .unwrap();
    assert_eq!(run_as(&app, "tail --team a").fine().lines().count(), 1);
    assert_eq!(run_as(&app, "export --team a").fine().lines().count(), 1);
    assert_eq!(run_as(&looks, "tail --all-teams").fine().lines().count(), 1);
    assert_eq!(run_as(&app, &format!("tail --all-teams --all-teams-role {jobs}")).fine().lines().count(), 1);
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

/// Whatever is asked first, and whichever command asks it.
async fn a_pooler_is_named(db: Arc<TestDb>) {
    if !PgBouncer::is_installed() {
        return;
    }
    sample(&db).await;
    let app = tests::roles::create_login(&db, "").await;
    let sql = format!(
        "GRANT SELECT ON events TO {app}; ALTER TABLE events ENABLE ROW LEVEL SECURITY;
         CREATE POLICY own ON events USING (team_id = nullif(current_setting('app.team_id', true), ''))"
    );
    db.db.execute_unprepared(&sql).await.unwrap();
    let commands = ["doctor", "tail --team 7", "export --team 7"];
    let pooler = PgBouncer::start(&db.url, "transaction", &[(&app, PASSWORD)]).await;
    let url = pooler.url(&db.url_as(&app));
    for command in commands {
        // The second one meets the statements of the first, unless the pooler knows them.
        for _ in 0..2 {
            let ran = run_at(&url, command.split(' '));
            if ran.stderr.contains("prepared statement") {
                assert!(ran.stderr.contains("PgBouncer 1.21 or later"), "{command}: {}", ran.stderr);
            }
        }
    }
    let pooler = PgBouncer::start(&db.url, "statement", &[(&app, PASSWORD)]).await;
    let url = pooler.url(&db.url_as(&app));
    for command in &commands[1..] {
        let said = run_at(&url, command.split(' ')).failed(1);
        assert!(said.contains("A pooler hands out connections by the"), "{command}: {said}");
    }
}
