//! The application's own tracked tables, as `build()` looks at them under row-level security.

use std::sync::Arc;

use events_sea_orm::{Context, Events, Finding, IsolationFinding, Severity, TableProblem};
use sea_orm::{DatabaseConnection, EntityTrait};
use tests::{
    TestDb,
    entities::campaign,
    roles::{TestRoles, create_login, quoted, run},
};

use crate::isolation::isolated;

tests::on_postgres! {
    a_tracked_table_that_shows_other_teams_refuses_the_start,
    policies_in_other_words_are_known,
    the_table_of_the_teams_may_be_open,
    tables_without_rights_or_without_a_team_are_left_alone,
}

/// The role of an application that may do everything with campaigns.
async fn set_up(db: &TestDb) -> (TestRoles, DatabaseConnection) {
    let roles = isolated(db).await;
    roles.roles().team_policies("campaigns", "team_id").up(&db.db).await.unwrap();
    let app = quoted(&roles.app);
    run(&db.db, &format!("GRANT SELECT, INSERT, UPDATE, DELETE ON campaigns TO {app}")).await;
    let pool = db.open_as(&roles.app, 2).await;
    (roles, pool)
}

/// What is found of tracked tables, each with its severity.
async fn found(pool: &DatabaseConnection) -> Vec<(TableProblem, Severity, String)> {
    let events = Events::builder(pool.clone()).start_despite_dangers().build().await.unwrap();
    let report = events.verify().await.unwrap();
    let of_tables = report.findings().iter().filter_map(|finding| match finding {
        Finding::Isolation(IsolationFinding::Table { problem, mend, .. }) => {
            Some((problem.clone(), finding.severity(), mend.clone()))
        }
        _ => None,
    });
    of_tables.collect()
}

async fn a_tracked_table_that_shows_other_teams_refuses_the_start(db: Arc<TestDb>) {
    use TableProblem as P;
    let (roles, pool) = set_up(&db).await;
    assert_eq!(found(&pool).await, []);
    Events::builder(pool.clone()).build().await.unwrap();
    let policy = |name: &str| P::Policy { policy: name.to_owned() };
    let breaks = [
        ("ALTER TABLE campaigns DISABLE ROW LEVEL SECURITY", P::Off),
        ("ALTER TABLE campaigns NO FORCE ROW LEVEL SECURITY", P::NotForced),
        (
            "DROP POLICY events_app_select ON campaigns; DROP POLICY events_app_insert ON campaigns; \
             DROP POLICY events_app_update ON campaigns; DROP POLICY events_app_delete ON campaigns",
            P::NoPolicy,
        ),
        ("ALTER POLICY events_app_select ON campaigns USING (true)", policy("events_app_select")),
        ("ALTER POLICY events_app_insert ON campaigns WITH CHECK (true)", policy("events_app_insert")),
        ("ALTER POLICY events_app_update ON campaigns USING (budget > 0)", policy("events_app_update")),
        ("ALTER POLICY events_app_delete ON campaigns USING (team_id = 7)", policy("events_app_delete")),
        ("CREATE POLICY everybody ON campaigns USING (true)", policy("everybody")),
        (
            "CREATE POLICY public_ones ON campaigns FOR SELECT USING (team_id = current_setting('app.team_id')::int OR budget = 0)",
            policy("public_ones"),
        ),
        (
            "ALTER POLICY events_app_select ON campaigns USING (team_id = nullif(current_setting('other.team', true), '')::int)",
            P::OtherSetting { policy: "events_app_select".to_owned(), setting: "other.team".to_owned() },
        ),
        (
            "CREATE POLICY theirs ON campaigns FOR SELECT USING (team_id = current_setting('other.team', true)::int)",
            P::OtherSetting { policy: "theirs".to_owned(), setting: "other.team".to_owned() },
        ),
        ("GRANT TRUNCATE ON campaigns TO {app}", P::Truncate),
    ];
    for (sql, problem) in breaks {
        run(&db.db, &sql.replace("{app}", &quoted(&roles.app))).await;
        let findings = found(&pool).await;
        assert!(
            matches!(&findings[..], [(of, Severity::Danger, _)] if *of == problem),
            "{sql}: {findings:#?}"
        );
        let refused = Events::builder(pool.clone()).build().await.unwrap_err().to_string();
        assert!(refused.contains("danger: of the table `public.campaigns` of `campaign`"), "{refused}");
        run(&db.db, &findings[0].2).await;
        assert_eq!(found(&pool).await, [], "{sql} is not put right by {}", findings[0].2);
        Events::builder(pool.clone()).build().await.unwrap();
    }
    // Put right, it shows each team its own.
    run(&db.db, "INSERT INTO campaigns (team_id, name, status, budget, api_key) VALUES (7, 'a', 'draft', 1, 'k'), (8, 'b', 'draft', 1, 'l')").await;
    let events = Events::builder(pool.clone()).build().await.unwrap();
    for team in [7, 8] {
        let shown = campaign::Entity::find().all(&events.connection(Context::team(team))).await.unwrap();
        assert!(shown.len() == 1 && shown[0].team_id == Some(team), "{shown:?}");
    }

    // A view that shows it as its owner sees it, and a partition by its own name.
    run(&db.db, &format!("ALTER TABLE campaigns OWNER TO {}", quoted(&roles.app))).await;
    let findings = found(&pool).await;
    assert!(findings.iter().any(|(problem, ..)| matches!(problem, P::Owner { .. })), "{findings:#?}");
    run(&db.db, &findings[0].2).await;
    pool.close().await.unwrap();
}

async fn policies_in_other_words_are_known(db: Arc<TestDb>) {
    let (roles, pool) = set_up(&db).await;
    roles.roles().team_policies("campaigns", "team_id").down(&db.db).await.unwrap();
    run(&db.db, "ALTER TABLE campaigns ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY").await;
    for good in [
        "CREATE POLICY own ON campaigns USING (team_id = current_setting('app.team_id')::int)",
        "CREATE POLICY own ON campaigns USING (team_id::text = nullif(current_setting('app.team_id', true), ''))",
        "CREATE POLICY own ON campaigns USING (nullif(current_setting('app.team_id', true), '')::int = team_id AND budget >= 0)",
        "CREATE POLICY own ON campaigns USING (team_id = (SELECT current_setting('app.team_id', true)::int))",
        "CREATE POLICY own ON campaigns USING (true); CREATE POLICY narrow ON campaigns AS RESTRICTIVE USING (team_id = current_setting('app.team_id')::int)",
    ] {
        run(&db.db, good).await;
        assert_eq!(found(&pool).await, [], "{good}");
        run(&db.db, "DROP POLICY own ON campaigns; DROP POLICY IF EXISTS narrow ON campaigns").await;
    }
    for bad in [
        "CREATE POLICY own ON campaigns USING (team_id = coalesce(nullif(current_setting('app.team_id', true), '')::int, team_id))",
        "CREATE POLICY own ON campaigns USING (true); CREATE POLICY narrow ON campaigns AS RESTRICTIVE FOR SELECT USING (team_id = current_setting('app.team_id')::int)",
    ] {
        run(&db.db, bad).await;
        let findings = found(&pool).await;
        assert!(
            matches!(&findings[..], [(TableProblem::Policy { .. }, Severity::Danger, _)]),
            "{bad}: {findings:#?}"
        );
        run(&db.db, "DROP POLICY own ON campaigns; DROP POLICY IF EXISTS narrow ON campaigns").await;
    }
    pool.close().await.unwrap();
}

/// An application looks a team up before it knows one.
async fn the_table_of_the_teams_may_be_open(db: Arc<TestDb>) {
    let (roles, pool) = set_up(&db).await;
    run(&db.db, &format!("GRANT SELECT, INSERT, UPDATE ON tenants TO {}", quoted(&roles.app))).await;
    let findings = found(&pool).await;
    assert!(matches!(&findings[..], [(TableProblem::Off, Severity::Warning, _)]), "{findings:#?}");
    Events::builder(pool.clone()).build().await.unwrap();
    run(&db.db, &findings[0].2).await;
    assert_eq!(found(&pool).await, []);
    run(
        &db.db,
        &format!("CREATE POLICY sign_up ON tenants FOR INSERT TO {} WITH CHECK (true)", quoted(&roles.app)),
    )
    .await;
    assert_eq!(found(&pool).await, []);
    pool.close().await.unwrap();
}

async fn tables_without_rights_or_without_a_team_are_left_alone(db: Arc<TestDb>) {
    let (roles, pool) = set_up(&db).await;
    // `prices` say nothing of a team; `orders` are none of the application's.
    run(&db.db, &format!("GRANT SELECT, INSERT ON prices TO {}", quoted(&roles.app))).await;
    assert_eq!(found(&pool).await, []);
    // A login that is a member reaches what the role reaches.
    let login = create_login(&db, &format!("IN ROLE {}", quoted(&roles.app))).await;
    run(&db.db, &format!("GRANT SELECT (id) ON orders TO {login}")).await;
    let member = db.open_as(&login, 1).await;
    let findings = found(&member).await;
    assert!(matches!(&findings[..], [(TableProblem::Off, Severity::Danger, _)]), "{findings:#?}");
    run(&db.db, &findings[0].2).await;
    assert_eq!(found(&member).await, []);
    member.close().await.unwrap();
    pool.close().await.unwrap();
}
