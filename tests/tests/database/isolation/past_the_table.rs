//! Ways past the policies of a table: views, partitions, parents, models of what is no table, a log that is not found.

use std::sync::Arc;

use events_sea_orm::{
    BuildError, Context, Events, Finding, IsolationFinding, Severity, TableProblem, migration,
};
use sea_orm::{DatabaseConnection, EntityTrait};
use tests::{
    TestDb,
    entities::campaign,
    roles::{TestRoles, create_login, quoted, run},
};

use crate::isolation::{
    as_team, insert_event, isolated,
    tables::{found, set_up},
    texts,
};

tests::on_postgres! {
    a_view_that_only_writes_other_teams_refuses_the_start,
    a_view_of_a_partition_refuses_the_start,
    a_view_that_asks_as_its_reader_says_what_that_needs,
    a_model_of_what_is_no_table_refuses_the_start,
    a_parent_of_a_tracked_table_refuses_the_start,
    a_log_that_is_not_on_the_search_path_refuses_the_start,
    a_collation_that_makes_two_teams_one_refuses_the_start,
}

/// Why the start is refused, with all that is said to put it right done after.
async fn refused_then_put_right(db: &TestDb, pool: &DatabaseConnection, case: &str) -> (String, Vec<String>) {
    let error = Events::builder(pool.clone()).build().await.expect_err(case);
    let text = error.to_string();
    let BuildError::Danger { report } = error else { panic!("{case}: {text}") };
    let fixes = report.fixes();
    for fix in &fixes {
        run(&db.db, fix).await;
    }
    let again = Events::builder(pool.clone()).build().await;
    assert!(again.is_ok(), "{case}: {fixes:?} do not put it right: {}", again.unwrap_err());
    (text, fixes)
}

async fn a_view_that_only_writes_other_teams_refuses_the_start(db: Arc<TestDb>) {
    let (roles, pool) = set_up(&db).await;
    let app = quoted(&roles.app);
    run(
        &db.db,
        "INSERT INTO campaigns (team_id, name, status, budget, api_key) VALUES (8, 'b', 'draft', 1, 'l')",
    )
    .await;
    for (view, right, forged) in [
        ("events", "INSERT", insert_event("b").replace("INTO events", "INTO plain")),
        ("campaigns", "UPDATE", "UPDATE plain SET budget = 9".to_owned()),
        ("campaigns", "UPDATE (budget)", "UPDATE plain SET budget = 9".to_owned()),
        ("campaigns", "DELETE", "DELETE FROM plain".to_owned()),
    ] {
        run(&db.db, &format!("CREATE VIEW plain AS SELECT * FROM {view}; GRANT {right} ON plain TO {app}"))
            .await;
        let (text, _) = refused_then_put_right(&db, &pool, right).await;
        assert!(
            text.contains(&format!("the view `public.plain` lets `{}` read or write", roles.app)),
            "{text}"
        );
        assert_ne!(as_team(&pool, "7", &forged).await.ok(), Some(1), "{right}");
        run(&db.db, "DROP VIEW plain").await;
    }
    let kept = texts(&db.db, "SELECT budget::text FROM campaigns WHERE team_id = 8").await;
    assert_eq!(kept, ["1"]);
    // A role that has a policy for one command alone lets through that command alone.
    let writer = create_login(&db, "").await;
    run(
        &db.db,
        &format!(
            "GRANT SELECT, INSERT ON campaigns TO {writer}; CREATE POLICY import ON campaigns FOR INSERT TO {writer} WITH CHECK (true); \
             CREATE VIEW plain AS SELECT * FROM campaigns; ALTER VIEW plain OWNER TO {writer}; GRANT SELECT ON plain TO {app}"
        ),
    )
    .await;
    Events::builder(pool.clone()).build().await.unwrap();
    run(&db.db, &format!("GRANT INSERT ON plain TO {app}")).await;
    refused_then_put_right(&db, &pool, "INSERT").await;
    pool.close().await.unwrap();
}

async fn a_view_of_a_partition_refuses_the_start(db: Arc<TestDb>) {
    run(&db.db, crate::isolation::PARTITIONED).await;
    migration::up(&db.db).await.unwrap();
    let roles = TestRoles::create(&db).await;
    migration::isolation::up(&db.db, &roles.roles()).await.unwrap();
    let app = quoted(&roles.app);
    // A model's table that is divided, as its owner made it.
    run(
        &db.db,
        &format!(
            "DROP TABLE IF EXISTS campaigns CASCADE; CREATE TABLE campaigns (id int NOT NULL, team_id int, name text, status text, budget int, \
             api_key text, deleted_at timestamptz) PARTITION BY RANGE (id); \
             CREATE TABLE campaigns_low PARTITION OF campaigns FOR VALUES FROM (MINVALUE) TO (100); \
             GRANT SELECT, INSERT ON campaigns TO {app}; CREATE TABLE events_new PARTITION OF events FOR VALUES FROM (100) TO (200)"
        ),
    )
    .await;
    roles.roles().team_policies("campaigns", "team_id").up(&db.db).await.unwrap();
    let pool = db.open_as(&roles.app, 2).await;
    Events::builder(pool.clone()).build().await.unwrap();
    let somebody = create_login(&db, "").await;
    for partition in ["campaigns_low", "events_low", "events_new"] {
        // As a superuser sees it, and as somebody who was granted the partition alone.
        for owner in [None, Some(&somebody)] {
            let to_owner = owner.map_or_else(String::new, |owner| {
                format!("; GRANT SELECT ON {partition} TO {owner}; ALTER VIEW part OWNER TO {owner}")
            });
            // Row-level security without a policy shows that somebody nothing.
            if partition == "events_low" && owner.is_some() {
                continue;
            }
            for (kind, drop) in
                [("VIEW", "DROP VIEW part"), ("MATERIALIZED VIEW", "DROP MATERIALIZED VIEW part")]
            {
                run(
                    &db.db,
                    &format!(
                        "ALTER TABLE events_new DISABLE ROW LEVEL SECURITY; CREATE {kind} part AS SELECT * FROM {partition}{}; GRANT SELECT ON part TO {app}",
                        if kind == "VIEW" { &to_owner } else { "" }
                    ),
                )
                .await;
                let (text, fixes) = refused_then_put_right(&db, &pool, partition).await;
                assert!(text.contains("the view `public.part`"), "{text}");
                assert!(text.contains("it asks a partition or a parent"), "{text}");
                assert!(
                    fixes.contains(&format!("REVOKE ALL ON public.part FROM {app};")),
                    "{partition}: {fixes:?}"
                );
                run(&db.db, drop).await;
            }
        }
    }
    pool.close().await.unwrap();
}

/// What its reader lacks is said, as it could not use the view otherwise.
async fn a_view_that_asks_as_its_reader_says_what_that_needs(db: Arc<TestDb>) {
    let (roles, pool) = set_up(&db).await;
    let app = quoted(&roles.app);
    run(
        &db.db,
        &format!(
            "CREATE VIEW plain AS SELECT c.id, c.team_id, o.* FROM campaigns c LEFT JOIN (SELECT count(*) AS other FROM prices) o ON true; \
             GRANT SELECT ON plain TO {app}"
        ),
    )
    .await;
    let (text, fixes) = refused_then_put_right(&db, &pool, "plain").await;
    let grant = format!("GRANT SELECT ON public.prices TO {app}");
    assert!(text.contains(&format!("no right on public.prices: if it is to go on, {grant}")), "{text}");
    assert_eq!(fixes, ["ALTER VIEW public.plain SET (security_invoker = true);"]);
    let read = "SELECT * FROM plain";
    assert!(as_team(&pool, "7", read).await.unwrap_err().to_string().contains("permission denied"));
    run(&db.db, &grant).await;
    as_team(&pool, "7", read).await.unwrap();
    pool.close().await.unwrap();
}

async fn a_model_of_what_is_no_table_refuses_the_start(db: Arc<TestDb>) {
    let (roles, pool) = set_up(&db).await;
    let app = quoted(&roles.app);
    roles.roles().team_policies("campaigns", "team_id").down(&db.db).await.unwrap();
    run(&db.db, &format!("ALTER TABLE campaigns RENAME TO stored; REVOKE ALL ON stored FROM {app}")).await;
    let all = "GRANT SELECT, INSERT, UPDATE, DELETE ON campaigns TO";
    for (made, drop) in [
        ("CREATE VIEW campaigns AS SELECT * FROM stored", "DROP VIEW campaigns"),
        (
            "CREATE VIEW campaigns WITH (security_invoker = true) AS SELECT * FROM stored",
            "DROP VIEW campaigns",
        ),
        ("CREATE MATERIALIZED VIEW campaigns AS SELECT * FROM stored", "DROP MATERIALIZED VIEW campaigns"),
        (
            "CREATE FOREIGN DATA WRAPPER nowhere; CREATE SERVER nobody FOREIGN DATA WRAPPER nowhere; \
             CREATE FOREIGN TABLE campaigns (id int, team_id int) SERVER nobody",
            "DROP FOREIGN DATA WRAPPER nowhere CASCADE",
        ),
    ] {
        run(&db.db, &format!("{made}; {all} {app}")).await;
        let findings = found(&pool).await;
        assert!(
            matches!(&findings[..], [(TableProblem::NotATable, Severity::Danger, _)]),
            "{made}: {findings:#?}"
        );
        let (text, _) = refused_then_put_right(&db, &pool, made).await;
        assert!(text.contains("of the table `public.campaigns` of `campaign`"), "{text}");
        run(&db.db, drop).await;
    }
    // What asks as its reader a table under row-level security is as good as that.
    roles.roles().team_policies("stored", "team_id").up(&db.db).await.unwrap();
    run(
        &db.db,
        &format!(
            "INSERT INTO stored (team_id, name, status, budget, api_key) VALUES (7, 'a', 'draft', 1, 'k'), (8, 'b', 'draft', 1, 'l'); \
             GRANT SELECT, INSERT, UPDATE, DELETE ON stored TO {app}; \
             CREATE VIEW campaigns WITH (security_invoker = true) AS SELECT * FROM stored; {all} {app}"
        ),
    )
    .await;
    let events = Events::builder(pool.clone()).build().await.unwrap();
    let shown = campaign::Entity::find().all(&events.connection(Context::team(7))).await.unwrap();
    assert_eq!(shown.len(), 1);
    // One that asks as its owner shows what that sees.
    run(&db.db, "ALTER VIEW campaigns RESET (security_invoker)").await;
    let (text, _) = refused_then_put_right(&db, &pool, "as its owner").await;
    assert!(text.contains("the view `public.campaigns` lets"), "{text}");
    pool.close().await.unwrap();
}

async fn a_parent_of_a_tracked_table_refuses_the_start(db: Arc<TestDb>) {
    let (roles, pool) = set_up(&db).await;
    let app = quoted(&roles.app);
    run(
        &db.db,
        "CREATE TABLE ancestors (id int); CREATE TABLE parents (team_id int) INHERITS (ancestors); \
         ALTER TABLE parents ALTER COLUMN id SET NOT NULL; ALTER TABLE campaigns INHERIT parents",
    )
    .await;
    Events::builder(pool.clone()).build().await.unwrap();
    for (right, parent) in [
        ("SELECT", "parents"),
        ("SELECT (id)", "ancestors"),
        ("DELETE", "ancestors"),
        ("TRUNCATE", "parents"),
    ] {
        run(&db.db, &format!("GRANT {right} ON {parent} TO {app}")).await;
        let findings = found(&pool).await;
        assert!(
            matches!(&findings[..], [(TableProblem::Parent, Severity::Danger, _)]),
            "{right}: {findings:#?}"
        );
        let (text, _) = refused_then_put_right(&db, &pool, right).await;
        assert!(text.contains(&format!("of the table `public.{parent}` of `campaign`")), "{text}");
    }
    // A view of it shows the same.
    run(&db.db, &format!("CREATE VIEW part AS SELECT * FROM ancestors; GRANT SELECT ON part TO {app}")).await;
    let (text, _) = refused_then_put_right(&db, &pool, "a view").await;
    assert!(text.contains("it asks a partition or a parent"), "{text}");
    // Policies of its own hold it.
    run(&db.db, &format!("GRANT SELECT ON parents TO {app}")).await;
    roles.roles().team_policies("parents", "team_id").up(&db.db).await.unwrap();
    Events::builder(pool.clone()).build().await.unwrap();
    run(&db.db, "ALTER POLICY events_app_select ON parents USING (true)").await;
    refused_then_put_right(&db, &pool, "a policy that shows all").await;
    pool.close().await.unwrap();
}

async fn a_log_that_is_not_on_the_search_path_refuses_the_start(db: Arc<TestDb>) {
    let roles = isolated(&db).await;
    let app = quoted(&roles.app);
    let elsewhere = create_login(&db, &format!("SUPERUSER IN ROLE {app}")).await;
    run(&db.db, "CREATE SCHEMA audit; ALTER TABLE events SET SCHEMA audit").await;
    run(&db.db, &format!("ALTER ROLE {app} SET search_path TO public, audit")).await;
    for role in [&roles.app, &elsewhere] {
        let pool = db.open_as(role, 1).await;
        let error = Events::builder(pool.clone()).build().await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("danger: the table `events` is not on the search path"), "{text}");
        assert!(text.contains("the log seems to be in the schema `audit`"), "{text}");
        let BuildError::Danger { report } = error else { panic!("{text}") };
        if *role == roles.app {
            // It may not use the schema, so that it is not searched.
            assert_eq!(report.fixes(), [format!("GRANT USAGE ON SCHEMA audit TO {app};")]);
            run(&db.db, &report.fixes()[0]).await;
            let events = Events::builder(pool.clone()).build().await.unwrap();
            assert!(events.verify().await.unwrap().dangers().next().is_none());
        } else {
            assert_eq!(report.fixes(), Vec::<String>::new());
        }
        pool.close().await.unwrap();
    }
    // Where there is no log, the policies of the application's own tables say so.
    run(&db.db, "DROP TABLE audit.events").await;
    roles.roles().team_policies("campaigns", "team_id").sql("integer", "postgres").unwrap();
    let pool = db.open_as(&roles.app, 1).await;
    let text = Events::builder(pool.clone()).build().await.unwrap_err().to_string();
    assert!(text.contains("run the steps of `events_sea_orm::migration`"), "{text}");
    pool.close().await.unwrap();
}

async fn a_collation_that_makes_two_teams_one_refuses_the_start(db: Arc<TestDb>) {
    let roles = isolated(&db).await;
    let app = quoted(&roles.app);
    run(
        &db.db,
        &format!(
            "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false); \
             ALTER TABLE campaigns ALTER COLUMN team_id TYPE text COLLATE loose; \
             GRANT SELECT, INSERT, UPDATE, DELETE ON campaigns TO {app}"
        ),
    )
    .await;
    roles.roles().team_policies("campaigns", "team_id").up(&db.db).await.unwrap();
    let pool = db.open_as(&roles.app, 2).await;
    let insert =
        "INSERT INTO campaigns (team_id, name, status, budget, api_key) VALUES ('a', 'a', 'draft', 1, 'k')";
    as_team(&pool, "A", insert).await.unwrap(); // as bad as that
    let findings = found(&pool).await;
    let loose = TableProblem::Collation { collation: "public.loose".to_owned() };
    assert_eq!(findings, [(loose, Severity::Danger, String::new())]);
    let text = Events::builder(pool.clone()).build().await.unwrap_err().to_string();
    assert!(text.contains("`ALTER COLUMN .. TYPE .. COLLATE \"C\"`"), "{text}");
    // As it says.
    roles.roles().team_policies("campaigns", "team_id").down(&db.db).await.unwrap();
    run(&db.db, "ALTER TABLE campaigns ALTER COLUMN team_id TYPE text COLLATE \"C\"").await;
    roles.roles().team_policies("campaigns", "team_id").up(&db.db).await.unwrap();
    let events = Events::builder(pool.clone()).build().await.unwrap();
    let report = events.verify().await.unwrap();
    assert!(
        !report
            .findings()
            .iter()
            .any(|finding| matches!(finding, Finding::Isolation(IsolationFinding::Table { .. })))
    );
    assert!(as_team(&pool, "A", insert).await.is_err());
    pool.close().await.unwrap();
}
