//! The application's own tracked tables, as `build()` looks at them under row-level security.

use std::sync::Arc;

use events_sea_orm::{BuildError, Context, Events, Finding, IsolationFinding, Severity, TableProblem};
use sea_orm::{DatabaseConnection, EntityTrait};
use tests::{
    TestDb,
    entities::campaign,
    roles::{TestRoles, create_login, quoted, run},
};

use crate::isolation::isolated;

tests::on_postgres! {
    a_tracked_table_that_shows_other_teams_refuses_the_start,
    a_view_that_shows_other_teams_refuses_the_start,
    policies_in_other_words_are_known,
    the_table_of_the_teams_may_be_open,
    tables_without_rights_or_without_a_team_are_left_alone,
    a_table_that_the_application_owns_is_given_away,
    a_role_for_all_teams_that_no_policy_lets_see_a_table_is_found,
    without_models_the_policies_tell_of_tables,
}

/// The role of an application that may do everything with campaigns.
pub async fn set_up(db: &TestDb) -> (TestRoles, DatabaseConnection) {
    let roles = isolated(db).await;
    roles.roles().team_policies("campaigns", "team_id").up(&db.db).await.unwrap();
    let app = quoted(&roles.app);
    run(&db.db, &format!("GRANT SELECT, INSERT, UPDATE, DELETE ON campaigns TO {app}")).await;
    let pool = db.open_as(&roles.app, 2).await;
    (roles, pool)
}

/// What is found of tracked tables, each with its severity.
pub async fn found(pool: &DatabaseConnection) -> Vec<(TableProblem, Severity, String)> {
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
        ("CREATE POLICY shared ON campaigns FOR SELECT TO {app}, {reader} USING (true)", policy("shared")),
        (
            "ALTER POLICY events_delivery_select ON campaigns TO {app}, {delivery}",
            policy("events_delivery_select"),
        ),
        ("GRANT TRUNCATE ON campaigns TO {app}", P::Truncate),
        ("GRANT TRUNCATE ON campaigns TO PUBLIC", P::Truncate),
    ];
    let reader = create_login(&db, "").await;
    for (sql, problem) in breaks {
        let names = [("{app}", &roles.app), ("{reader}", &reader), ("{delivery}", &roles.delivery)];
        let sql = names.iter().fold(sql.to_owned(), |sql, (name, role)| sql.replace(name, &quoted(role)));
        run(&db.db, &sql).await;
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
    let kept = "SELECT roles::text FROM pg_policies WHERE policyname IN ('shared', 'events_delivery_select') AND tablename = 'campaigns' ORDER BY 1";
    let mut expected = [format!("{{{reader}}}"), format!("{{{}}}", roles.delivery)];
    expected.sort();
    assert_eq!(crate::isolation::texts(&db.db, kept).await, expected, "others keep what they have");
    // Put right, it shows each team its own.
    run(&db.db, "INSERT INTO campaigns (team_id, name, status, budget, api_key) VALUES (7, 'a', 'draft', 1, 'k'), (8, 'b', 'draft', 1, 'l')").await;
    let events = Events::builder(pool.clone()).build().await.unwrap();
    for team in [7, 8] {
        let shown = campaign::Entity::find().all(&events.connection(Context::team(team))).await.unwrap();
        assert!(shown.len() == 1 && shown[0].team_id == Some(team), "{shown:?}");
    }
    pool.close().await.unwrap();
}

async fn a_view_that_shows_other_teams_refuses_the_start(db: Arc<TestDb>) {
    let (roles, pool) = set_up(&db).await;
    let (app, owner) = (quoted(&roles.app), quoted(&roles.owner));
    run(&db.db, &format!("ALTER TABLE campaigns OWNER TO {owner}")).await;
    roles.roles().team_policies("campaigns", "team_id").up(&db.db).await.unwrap();
    let as_owner = format!("ALTER VIEW plain OWNER TO {owner}; GRANT SELECT ON plain TO {app}");
    let shown = [
        (format!("CREATE VIEW plain AS SELECT * FROM campaigns; {as_owner}"), "plain"),
        (format!("CREATE VIEW plain AS SELECT * FROM campaigns; GRANT SELECT ON plain TO {app}"), "plain"),
        // What its condition means, nobody reads.
        (
            format!(
                "CREATE VIEW plain AS SELECT * FROM campaigns WHERE team_id = current_setting('app.team_id', true)::int OR budget = 0; \
                 {as_owner}"
            ),
            "plain",
        ),
        (
            format!(
                "CREATE MATERIALIZED VIEW stored AS SELECT * FROM campaigns; GRANT SELECT ON stored TO {app}"
            ),
            "stored",
        ),
        // What the inner one shows, the outer one does, whoever owns it.
        (
            format!(
                "CREATE VIEW inside AS SELECT * FROM campaigns; CREATE VIEW plain AS SELECT * FROM inside; \
                 ALTER VIEW plain OWNER TO {app}; GRANT SELECT ON plain TO PUBLIC"
            ),
            "plain",
        ),
    ];
    let others = [
        format!("CREATE VIEW plain WITH (security_invoker = true) AS SELECT * FROM campaigns; {as_owner}"),
        "CREATE VIEW plain AS SELECT * FROM campaigns".to_owned(),
    ];
    let drop = "DROP VIEW IF EXISTS plain, inside; DROP MATERIALIZED VIEW IF EXISTS stored";
    for (sql, view) in shown {
        run(&db.db, &sql).await;
        let error = Events::builder(pool.clone()).build().await.expect_err(&sql);
        assert!(error.to_string().contains(&format!("the view `public.{view}` lets")), "{sql}: {error}");
        let BuildError::Danger { report } = error else { panic!("{sql}: {error}") };
        for fix in report.fixes() {
            run(&db.db, &fix).await;
        }
        Events::builder(pool.clone()).build().await.unwrap();
        run(&db.db, drop).await;
    }
    for sql in others {
        run(&db.db, &sql).await;
        Events::builder(pool.clone()).build().await.unwrap();
        run(&db.db, drop).await;
    }
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

/// It keeps what it does with the rows, and is given no policy of an owner, which shows every team.
async fn a_table_that_the_application_owns_is_given_away(db: Arc<TestDb>) {
    let (roles, pool) = set_up(&db).await;
    let app = quoted(&roles.app);
    run(
        &db.db,
        "INSERT INTO campaigns (team_id, name, status, budget, api_key) VALUES (8, 'b', 'draft', 1, 'l')",
    )
    .await;
    for breaks in [
        format!("ALTER TABLE campaigns OWNER TO {app}"),
        format!(
            "ALTER TABLE campaigns OWNER TO {app}; ALTER TABLE campaigns DISABLE ROW LEVEL SECURITY; DROP POLICY events_app_select ON campaigns"
        ),
    ] {
        run(&db.db, &breaks).await;
        let findings = found(&pool).await;
        assert!(
            findings.iter().any(|(problem, ..)| matches!(problem, TableProblem::Owner { .. })),
            "{findings:#?}"
        );
        for (_, _, mend) in &findings {
            assert!(!mend.contains(&format!("TO {app} USING (true)")), "{mend}");
            run(&db.db, mend).await;
        }
        assert_eq!(found(&pool).await, [], "{breaks}");
        let owner = "SELECT tableowner::text FROM pg_tables WHERE tablename = 'campaigns'";
        assert_eq!(crate::isolation::texts(&db.db, owner).await, [roles.owner.as_str()]);
        crate::isolation::as_team(&pool, "7", "UPDATE campaigns SET budget = budget + 1").await.unwrap();
        // Its owner sees all of it.
        let owner = db.open_as(&roles.owner, 1).await;
        let seen = crate::isolation::texts(&owner, "SELECT (count(*) > 0)::text FROM campaigns").await;
        assert_eq!(seen, ["true"]);
        owner.close().await.unwrap();
    }
    pool.close().await.unwrap();
}

/// A second one beside or in place of the first, for which the log has policies and the application's own table has none.
async fn a_role_for_all_teams_that_no_policy_lets_see_a_table_is_found(db: Arc<TestDb>) {
    let (roles, pool) = set_up(&db).await;
    run(
        &db.db,
        "INSERT INTO campaigns (team_id, name, status, budget, api_key) VALUES (7, 'a', 'draft', 1, 'k')",
    )
    .await;
    let new = create_login(&db, "").await;
    run(&db.db, &format!("GRANT {new} TO {}", quoted(&roles.app))).await;
    events_sea_orm::migration::isolation::up(&db.db, &roles.roles().delivery(&new)).await.unwrap();
    let build = async || Events::builder(pool.clone()).all_teams_role(&new).build().await;
    // One that may not read it is told so by the database.
    build().await.unwrap();
    run(&db.db, &format!("GRANT SELECT, UPDATE ON campaigns TO {new}, {}", quoted(&roles.delivery))).await;
    let refused = build().await.unwrap_err();
    let text = refused.to_string();
    assert!(
        text.contains(&format!("of the table `public.campaigns` of `campaign`, which `{new}` may read or write: no policy shows it any row")),
        "{text}"
    );
    // Where the application does not name it, the policies of the log do.
    assert!(matches!(
        &found(&pool).await[..],
        [(TableProblem::AllTeams { is_named: false }, Severity::Error, _)]
    ));
    let Err(events_sea_orm::BuildError::Danger { report }) = build().await else { panic!("{text}") };
    for mend in report.fixes() {
        run(&db.db, &mend).await;
    }
    build().await.unwrap();
    assert_eq!(found(&pool).await, []);
    for role in [&new, &roles.delivery] {
        let all = db.open_as(role, 1).await;
        let seen = crate::isolation::texts(&all, "SELECT team_id::text FROM campaigns").await;
        assert_eq!(seen, ["7"], "the one before sees it as it did");
        assert_eq!(crate::isolation::as_team(&all, "", "UPDATE campaigns SET budget = 2").await.unwrap(), 1);
        all.close().await.unwrap();
    }
    // Policies of one team alone show it nothing, since no team is set for such work.
    run(
        &db.db,
        "DROP POLICY events_delivery_select ON campaigns; \
         CREATE POLICY own ON campaigns USING (team_id = current_setting('app.team_id', true)::int)",
    )
    .await;
    assert!(build().await.unwrap_err().to_string().contains("no policy shows it any row"));
    pool.close().await.unwrap();
}

/// As the tool looks, which has none: `parcels` are tables of no model here.
async fn without_models_the_policies_tell_of_tables(db: Arc<TestDb>) {
    let (roles, pool) = set_up(&db).await;
    let app = quoted(&roles.app);
    run(
        &db.db,
        &format!(
            "CREATE SCHEMA depot; GRANT USAGE ON SCHEMA depot TO {app}; \
             CREATE TABLE depot.\"Parcels\" (id int, team text, label text) PARTITION BY RANGE (id); \
             CREATE TABLE depot.parcels_1 PARTITION OF depot.\"Parcels\" FOR VALUES FROM (0) TO (100); \
             CREATE TABLE depot.shelves (id int, team text); \
             GRANT SELECT, INSERT ON depot.\"Parcels\", depot.shelves TO {app}"
        ),
    )
    .await;
    roles.roles().team_policies("depot.Parcels", "team").up(&db.db).await.unwrap();
    let events = Events::builder(pool.clone()).build().await.unwrap();
    let look = async || {
        let report = events.verify_without_models().await.unwrap();
        let of_tables = report.findings().iter().filter_map(|finding| match finding {
            Finding::Isolation(IsolationFinding::Table {
                object_type: None, table, problem, mend, ..
            }) => Some((table.clone(), problem.clone(), finding.severity(), mend.clone())),
            _ => None,
        });
        (of_tables.collect::<Vec<_>>(), report.tables().to_vec())
    };
    let (findings, tables) = look().await;
    assert_eq!(findings, []);
    // `shelves` have no policy: whether they are of teams is not known.
    assert_eq!(tables, ["depot.\"Parcels\"", "public.campaigns"]);
    for (breaks, table) in [
        ("ALTER TABLE depot.\"Parcels\" DISABLE ROW LEVEL SECURITY", "depot.\"Parcels\""),
        ("ALTER TABLE depot.\"Parcels\" NO FORCE ROW LEVEL SECURITY", "depot.\"Parcels\""),
        ("GRANT SELECT ON depot.parcels_1 TO {app}", "depot.parcels_1"),
        ("CREATE POLICY everybody ON depot.\"Parcels\" FOR SELECT USING (true)", "depot.\"Parcels\""),
        ("ALTER TABLE depot.\"Parcels\" OWNER TO {app}", "depot.\"Parcels\""),
        (
            "ALTER POLICY events_app_select ON depot.\"Parcels\" USING (team = current_setting('other.team', true))",
            "depot.\"Parcels\"",
        ),
    ] {
        run(&db.db, &breaks.replace("{app}", &app)).await;
        let (findings, _) = look().await;
        assert!(
            matches!(&findings[..], [(of, _, Severity::Danger, _)] if of == table),
            "{breaks}: {findings:#?}"
        );
        run(&db.db, &findings[0].3).await;
        assert_eq!(look().await.0, [], "{breaks} is not put right by {}", findings[0].3);
    }
    // What the application says in words of its own of a table that no model has may be meant.
    run(&db.db, "CREATE POLICY small ON depot.\"Parcels\" FOR SELECT USING (id < 3)").await;
    assert_eq!(look().await.0, []);
    // The application itself looks at its models alone.
    run(&db.db, "ALTER TABLE depot.\"Parcels\" DISABLE ROW LEVEL SECURITY").await;
    assert!(events.verify().await.unwrap().dangers().next().is_none());
    pool.close().await.unwrap();
}
