//! What `events.verify()` says of isolation, and that what it says mends it.

use std::sync::Arc;

use events_sea_orm::{Events, Finding, IsolationFinding, Severity, migration};
use sea_orm::DatabaseConnection;
use tests::{
    TestDb,
    roles::{TestRoles, create_login, quoted, run},
};

use crate::isolation::{isolated, with_all_tables};

tests::on_postgres! {
    an_isolated_database_is_clean,
    without_row_level_security_there_is_one_warning,
    everything_that_is_broken_is_found_and_mended,
    what_the_connection_is_or_can_become_is_found,
    whose_connection_it_is_matters,
    policies_that_an_application_has_itself_are_welcome,
    what_a_membership_inherits_is_found_and_ended,
    whoever_is_not_the_application_can_ask_for_it,
    whoever_is_not_the_application_is_asked_to_give_nothing_up,
    what_puts_the_application_right_leaves_others_what_they_have,
    a_table_without_policies_is_not_to_be_closed,
    after_a_restore_without_roles_it_is_said_what_is_missing,
    a_partition_without_rights_on_it_refuses_no_start,
}

async fn events(db: &DatabaseConnection) -> Events {
    Events::builder(db.clone()).start_despite_dangers().build().await.unwrap()
}

async fn found(events: &Events) -> Vec<IsolationFinding> {
    let report = events.verify().await.unwrap();
    let isolation = report.findings().iter().filter_map(|finding| match finding {
        Finding::Isolation(isolation) => Some(isolation.clone()),
        _ => None,
    });
    isolation.collect()
}

fn severity(finding: &IsolationFinding) -> Severity {
    Finding::Isolation(finding.clone()).severity()
}

fn mend(finding: &IsolationFinding) -> Option<String> {
    Finding::Isolation(finding.clone()).mend()
}

async fn an_isolated_database_is_clean(db: Arc<TestDb>) {
    let roles = isolated(&db).await;
    let app = db.open_as(&roles.app, 4).await;
    assert_eq!(found(&events(&app).await).await, []);
    // Nor did looking leave a team.
    assert_eq!(found(&events(&app).await).await, []);
    app.close().await.unwrap();

    // A login that is a member of the application's role.
    let login = create_login(&db, &format!("IN ROLE {}", quoted(&roles.app))).await;
    let member = db.open_as(&login, 1).await;
    assert_eq!(found(&events(&member).await).await, []);
    member.close().await.unwrap();
}

async fn without_row_level_security_there_is_one_warning(db: Arc<TestDb>) {
    with_all_tables(&db).await;
    let found = found(&events(&db.db).await).await;
    assert_eq!(found, [IsolationFinding::Off]);
    assert_eq!(severity(&found[0]), Severity::Warning);
    let report = events(&db.db).await.verify().await.unwrap().to_string();
    assert!(report.contains("warning: row-level security is off"), "{report}");
}

/// Whatever is broken, and what is said of it.
type Break<'a> = (&'a str, Severity, Expected);
type Expected = fn(&IsolationFinding) -> bool;

async fn everything_that_is_broken_is_found_and_mended(db: Arc<TestDb>) {
    use IsolationFinding as F;
    use Severity::{Danger, Error};
    let roles = isolated(&db).await;
    let reader = create_login(&db, "").await;
    // From PostgreSQL 16 on the membership says whether it inherits.
    let inherit = match crate::isolation::is_16(&db).await {
        true => "GRANT {delivery} TO {app} WITH INHERIT TRUE",
        false => "ALTER ROLE {app} INHERIT",
    };
    let app = db.open_as(&roles.app, 1).await;
    let log = events(&app).await;
    let database = db.url.rsplit_once('/').unwrap().1;
    let breaks: Vec<Break<'_>> = vec![
        (
            "ALTER TABLE events DISABLE ROW LEVEL SECURITY",
            Danger,
            |f| matches!(f, F::NotForced { table, .. } if table == "public.events"),
        ),
        (
            "ALTER TABLE threads NO FORCE ROW LEVEL SECURITY",
            Danger,
            |f| matches!(f, F::NotForced { table, .. } if table == "public.threads"),
        ),
        (
            "DROP POLICY events_app_select ON events",
            Error,
            |f| matches!(f, F::MissingPolicy { policy, .. } if policy == "events_app_select"),
        ),
        (
            "DROP POLICY events_owner_delete ON threads",
            Error,
            |f| matches!(f, F::MissingPolicy { table, .. } if table == "public.threads"),
        ),
        (
            "ALTER POLICY events_app_select ON events USING (true)",
            Danger,
            |f| matches!(f, F::AlteredPolicy { policy, .. } if policy == "events_app_select"),
        ),
        (
            "ALTER POLICY events_app_select ON events USING (team_id = (SELECT current_setting('app.team_id')))",
            Danger,
            |f| matches!(f, F::AlteredPolicy { .. }),
        ),
        (
            "ALTER POLICY events_app_insert ON events WITH CHECK (true)",
            Danger,
            |f| matches!(f, F::AlteredPolicy { policy, .. } if policy == "events_app_insert"),
        ),
        ("ALTER POLICY events_app_update ON notifications USING (true)", Danger, |f| {
            matches!(f, F::AlteredPolicy { .. })
        }),
        (
            "ALTER POLICY events_delivery_select ON events TO PUBLIC",
            Danger,
            |f| matches!(f, F::AlteredPolicy { policy, .. } if policy == "events_delivery_select"),
        ),
        ("ALTER POLICY events_delivery_select ON events TO {delivery}, {app}", Danger, |f| {
            matches!(f, F::AlteredPolicy { .. })
        }),
        (
            "ALTER POLICY events_app_select ON events USING (team_id = nullif(current_setting('other.team', true), ''))",
            Danger,
            |f| matches!(f, F::OtherSetting { setting, .. } if setting == "other.team"),
        ),
        (
            "CREATE POLICY everybody ON events FOR SELECT USING (true)",
            Danger,
            |f| matches!(f, F::WiderPolicy { policy, .. } if policy == "everybody"),
        ),
        (
            "CREATE POLICY \"Other \"\"x\"\"\" ON threads USING (team_id = 'a') WITH CHECK (team_id = 'a')",
            Danger,
            |f| matches!(f, F::WiderPolicy { .. }),
        ),
        (
            "{inherit}",
            Danger,
            |f| matches!(f, F::WiderPolicy { policy, .. } if policy.starts_with("events_delivery_")),
        ),
        (
            "GRANT UPDATE ON events TO {app}",
            Danger,
            |f| matches!(f, F::Right { right, is_reached: true, .. } if right == "UPDATE"),
        ),
        (
            "GRANT UPDATE (actor_id) ON events TO {app}",
            Danger,
            |f| matches!(f, F::Right { right, .. } if right == "UPDATE (actor_id)"),
        ),
        (
            "GRANT DELETE ON events TO PUBLIC",
            Danger,
            |f| matches!(f, F::Right { role, .. } if role == "PUBLIC"),
        ),
        (
            "GRANT TRUNCATE ON threads TO {delivery}",
            Danger,
            |f| matches!(f, F::Right { right, is_reached: true, .. } if right == "TRUNCATE"),
        ),
        (
            "GRANT INSERT ON events TO {app}",
            Danger,
            |f| matches!(f, F::Right { right, .. } if right == "INSERT"),
        ),
        (
            "GRANT INSERT (seq, recorded_at) ON events TO {app}",
            Danger,
            |f| matches!(f, F::Right { right, .. } if right == "INSERT (seq)" || right == "INSERT (recorded_at)"),
        ),
        ("GRANT TRIGGER, REFERENCES ON events TO {app}", Danger, |f| matches!(f, F::Right { .. })),
        ("GRANT UPDATE ON events TO {reader}", Error, |f| matches!(f, F::Right { is_reached: false, .. })),
        (
            "GRANT SELECT ON notifications TO PUBLIC",
            Error,
            |f| matches!(f, F::Right { right, .. } if right == "SELECT"),
        ),
        (
            "GRANT USAGE, SELECT, UPDATE ON SEQUENCE events_seq_seq TO {app}",
            Error,
            |f| matches!(f, F::Right { table, .. } if table == "public.events_seq_seq"),
        ),
        (
            "CREATE VIEW \"All events\" AS SELECT * FROM events; GRANT SELECT ON \"All events\" TO {app}",
            Danger,
            |f| matches!(f, F::View { view, .. } if view == "public.\"All events\""),
        ),
        (
            "DROP VIEW \"All events\"; CREATE VIEW inner_view WITH (security_invoker = true) AS SELECT * FROM events; \
          CREATE VIEW outer_view AS SELECT count(*) FROM inner_view; GRANT SELECT ON outer_view TO PUBLIC",
            Danger,
            |f| matches!(f, F::View { view, .. } if view == "public.outer_view"),
        ),
        (
            "DROP VIEW outer_view; CREATE VIEW owners_view AS SELECT * FROM events; ALTER VIEW owners_view OWNER TO {owner}; GRANT SELECT ON owners_view TO {app}",
            Danger,
            |f| matches!(f, F::View { .. }),
        ),
        (
            "CREATE MATERIALIZED VIEW stored AS SELECT * FROM events; GRANT SELECT ON stored TO {app}",
            Danger,
            |f| matches!(f, F::View { view, .. } if view == "public.stored"),
        ),
        (
            "GRANT SELECT ON stored TO PUBLIC",
            Danger,
            |f| matches!(f, F::View { view, .. } if view == "public.stored"),
        ),
        ("ALTER ROLE {app} SET app.team_id = 'a'", Danger, |f| matches!(f, F::TeamLeftSet { .. })),
        ("ALTER DATABASE {database} SET app.team_id = 'a'", Danger, |f| matches!(f, F::TeamLeftSet { .. })),
        ("ALTER ROLE {app} IN DATABASE {database} SET app.TEAM_id = 'a'", Danger, |f| {
            matches!(f, F::TeamLeftSet { .. })
        }),
        (
            "CREATE TABLE event_purges (id int GENERATED ALWAYS AS IDENTITY)",
            Danger,
            |f| matches!(f, F::NotIsolated { table, .. } if table == "public.event_purges"),
        ),
        (
            "GRANT INSERT ON event_purges TO {app}",
            Danger,
            |f| matches!(f, F::Right { table, .. } if table == "public.event_purges"),
        ),
    ];
    for (sql, severe, expected) in breaks {
        let names = [
            ("{app}", &roles.app),
            ("{owner}", &roles.owner),
            ("{delivery}", &roles.delivery),
            ("{reader}", &reader),
        ];
        let sql = names
            .iter()
            .fold(sql.replace("{inherit}", inherit), |sql, (name, role)| sql.replace(name, &quoted(role)));
        run(&db.db, &sql.replace("{database}", database)).await;
        let findings = found(&log).await;
        assert!(!findings.is_empty(), "{sql}");
        let worst = findings.iter().map(severity).max();
        assert_eq!(worst, Some(severe), "{sql}: {findings:#?}");
        for finding in &findings {
            assert!(expected(finding), "{sql}: {finding:#?}");
            run(&db.db, &mend(finding).unwrap()).await;
        }
        assert_eq!(
            found(&log).await,
            [],
            "{sql} is not mended by {:#?}",
            findings.iter().map(mend).collect::<Vec<_>>()
        );
        run(&db.db, &roles.roles().create_sql()).await; // a membership that was taken away
    }
    // A table that is made later gets all that the steps would give it.
    run(&db.db, "DROP TABLE thread_messages, threads").await;
    migration::threads::up(&db.db).await.unwrap();
    let findings = found(&log).await;
    assert!(matches!(&findings[..], [F::NotIsolated { .. }, F::NotIsolated { .. }]), "{findings:#?}");
    for finding in &findings {
        run(&db.db, &mend(finding).unwrap()).await;
    }
    assert_eq!(found(&log).await, []);
    crate::isolation::as_team(
        &app,
        "a",
        "INSERT INTO threads (team_id, object_type, object_id) VALUES ('a', 'x', '1')",
    )
    .await
    .unwrap();
    // Mending leaves the application what it needs.
    crate::isolation::as_team(&app, "a", &crate::isolation::insert_event("a")).await.unwrap();
    app.close().await.unwrap();
}

async fn what_the_connection_is_or_can_become_is_found(db: Arc<TestDb>) {
    use IsolationFinding as F;
    let roles = isolated(&db).await;
    let other = create_login(&db, "BYPASSRLS").await;
    let app = db.open_as(&roles.app, 1).await;
    let log = events(&app).await;
    let (owner, app_role) = (quoted(&roles.owner), quoted(&roles.app));
    let breaks: [(String, Expected); 7] = [
        (
            format!("ALTER ROLE {app_role} BYPASSRLS"),
            |f| matches!(f, F::PowerfulRole { power, .. } if power == "bypasses row-level security"),
        ),
        (format!("ALTER ROLE {app_role} CREATEROLE"), |f| matches!(f, F::PowerfulRole { .. })),
        (format!("ALTER ROLE {app_role} REPLICATION"), |f| matches!(f, F::PowerfulRole { .. })),
        (
            format!("GRANT {other} TO {app_role}"),
            |f| matches!(f, F::PowerfulRole { power, .. } if power.contains("can become")),
        ),
        (format!("GRANT pg_write_server_files TO {app_role}"), |f| matches!(f, F::PowerfulRole { .. })),
        (format!("GRANT {owner} TO {app_role}"), |f| matches!(f, F::OwnedTable { .. })),
        (format!("ALTER SCHEMA public OWNER TO {app_role}"), |f| matches!(f, F::OwnedSchema { .. })),
    ];
    for (sql, expected) in breaks {
        run(&db.db, &sql).await;
        let findings = found(&log).await;
        assert!(findings.len() == 1 && expected(&findings[0]), "{sql}: {findings:#?}");
        run(&db.db, &mend(&findings[0]).unwrap()).await;
        assert_eq!(found(&log).await, [], "{sql}");
    }
    run(&db.db, &format!("ALTER ROLE {app_role} SUPERUSER")).await;
    let findings = found(&log).await;
    assert!(
        matches!(&findings[..], [F::PowerfulRole { power, mend: None, .. }] if power == "is a superuser"),
        "{findings:#?}"
    );
    run(&db.db, &format!("ALTER ROLE {app_role} NOSUPERUSER")).await;
    app.close().await.unwrap();
}

async fn whose_connection_it_is_matters(db: Arc<TestDb>) {
    use IsolationFinding as F;
    let roles = isolated(&db).await;
    let stranger = create_login(&db, "").await;
    let both =
        create_login(&db, &format!("IN ROLE {}, {}", quoted(&roles.app), quoted(&roles.delivery))).await;
    let check = async |role: &str, expected: fn(&F) -> bool, severe: Severity| {
        let pool = db.open_as(role, 1).await;
        let findings = found(&events(&pool).await).await;
        pool.close().await.unwrap();
        assert!(!findings.is_empty() && findings.iter().all(expected), "{role}: {findings:#?}");
        assert_eq!(findings.iter().map(severity).max(), Some(severe), "{role}");
        findings
    };
    let is_none_of_its = |f: &F| matches!(f, F::NotTheApplication { app: Some(_), .. });
    for role in [&roles.owner, &roles.delivery, &roles.auditor, &stranger] {
        let findings = check(role, is_none_of_its, Severity::Danger).await;
        assert_eq!(
            findings,
            [F::NotTheApplication { role: role.clone(), app: Some(roles.app.clone()) }],
            "{role}"
        );
    }

    let inherits = check(&both, |f| matches!(f, F::WiderPolicy { .. }), Severity::Danger).await;
    for finding in inherits {
        run(&db.db, &mend(&finding).unwrap()).await;
    }
    let both = db.open_as(&both, 1).await;
    assert_eq!(found(&events(&both).await).await, []);
    both.close().await.unwrap();

    // Whoever it is, what is wrong for the application is said.
    run(&db.db, "CREATE POLICY everybody ON events FOR SELECT USING (true)").await;
    let findings = found(&events(&db.db).await).await;
    assert!(
        matches!(&findings[..], [F::NotTheApplication { .. }, F::WiderPolicy { role, .. }] if *role == roles.app),
        "{findings:#?}"
    );
}

async fn policies_that_an_application_has_itself_are_welcome(db: Arc<TestDb>) {
    db.with_tables().await;
    let login = create_login(&db, "").await;
    run(
        &db.db,
        &format!(
            "GRANT SELECT, INSERT (id, team_id, event_type, object_type, object_id, actor_id, unit_id, event_data, context, occurred_at) \
             ON events TO {login}; ALTER TABLE events ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; \
             CREATE POLICY tenants ON events USING (team_id = nullif(current_setting('app.team_id', true), ''))"
        ),
    )
    .await;
    let pool = db.open_as(&login, 1).await;
    assert_eq!(found(&events(&pool).await).await, []);
    let _ = TestRoles::create(&db).await;
    pool.close().await.unwrap();
}

/// By whatever way it inherits, and whoever granted it.
async fn what_a_membership_inherits_is_found_and_ended(db: Arc<TestDb>) {
    use IsolationFinding as F;
    let roles = isolated(&db).await;
    let (app, delivery, owner) = (quoted(&roles.app), quoted(&roles.delivery), quoted(&roles.owner));
    let login = create_login(&db, &format!("IN ROLE {app}")).await;
    let group = create_login(&db, "").await;
    let granting = create_login(&db, "CREATEROLE").await;
    let mut ways = vec![
        (format!("GRANT {delivery} TO {login}"), true),
        (format!("GRANT {delivery} TO {group}; GRANT {group} TO {login}"), true),
        (format!("GRANT {owner} TO {group}; GRANT {group} TO {login}"), false),
    ];
    if crate::isolation::is_16(&db).await {
        let by =
            format!("GRANT {delivery} TO {granting} WITH ADMIN TRUE, INHERIT FALSE; SET ROLE {granting}; ");
        ways.push((format!("{by}GRANT {delivery} TO {login} WITH INHERIT TRUE; RESET ROLE"), true));
        ways.push((format!("GRANT {delivery} TO {app} WITH INHERIT TRUE"), true));
    }
    let pool = db.open_as(&login, 1).await;
    let log = events(&pool).await;
    assert_eq!(found(&log).await, []);
    for (sql, inherits) in ways {
        let one = TestDb::open_with(&db.url, 1).await;
        run(&one, &sql).await;
        let findings = found(&log).await;
        assert!(!findings.is_empty(), "{sql}");
        for finding in &findings {
            match inherits {
                true => assert!(matches!(finding, F::WiderPolicy { .. }), "{sql}: {finding:#?}"),
                false => assert!(
                    matches!(finding, F::OwnedTable { .. } | F::WiderPolicy { .. }),
                    "{sql}: {finding:#?}"
                ),
            }
            run(&one, &mend(finding).unwrap()).await;
        }
        assert_eq!(found(&log).await, [], "{sql}: {:#?}", findings.iter().map(mend).collect::<Vec<_>>());
        // It still serves its team, and may do work for all teams.
        crate::isolation::as_team(&pool, "a", &crate::isolation::insert_event("a")).await.unwrap();
        run(&pool, &format!("SET ROLE {delivery}; RESET ROLE")).await;
        one.close().await.unwrap();
    }
    pool.close().await.unwrap();
    run(&db.db, &format!("DROP OWNED BY {granting} CASCADE")).await;
}

/// An owner, one of its members, an auditor and a superuser look at what the application is and may do.
async fn whoever_is_not_the_application_can_ask_for_it(db: Arc<TestDb>) {
    let roles = isolated(&db).await;
    let migrator = create_login(&db, &format!("IN ROLE {}", quoted(&roles.owner))).await;
    let superuser = create_login(&db, "SUPERUSER").await;
    for role in [&roles.owner, &roles.auditor, &migrator, &superuser] {
        let pool = db.open_as(role, 1).await;
        let log = events(&pool).await;
        let report = log.verify().await.unwrap();
        assert_eq!(report.operator(), Some(role.as_str()));
        let isolation = |report: events_sea_orm::Report| {
            report
                .findings()
                .iter()
                .filter(|finding| matches!(finding, Finding::Isolation(_)))
                .cloned()
                .collect::<Vec<_>>()
        };
        assert_eq!(isolation(report.of_the_application()), [], "{role}");
        // What is wrong for the application is found by all of them.
        run(&db.db, &format!("ALTER ROLE {} BYPASSRLS", quoted(&roles.app))).await;
        let findings = isolation(log.verify().await.unwrap().of_the_application());
        let [Finding::Isolation(IsolationFinding::PowerfulRole { role: of, .. })] = findings.as_slice()
        else {
            panic!("{role}: {findings:#?}")
        };
        assert_eq!(*of, roles.app);
        run(
            &db.db,
            &mend(&IsolationFinding::clone(match &findings[0] {
                Finding::Isolation(f) => f,
                _ => unreachable!(),
            }))
            .unwrap(),
        )
        .await;
        pool.close().await.unwrap();
    }
    // The application's own login has no such excuse.
    let app = db.open_as(&roles.app, 1).await;
    assert_eq!(events(&app).await.verify().await.unwrap().operator(), None);
    app.close().await.unwrap();
}

/// Whoever migrates, audits or looks at reports, in whatever way it has its rights, and a superuser.
async fn whoever_is_not_the_application_is_asked_to_give_nothing_up(db: Arc<TestDb>) {
    let roles = isolated(&db).await;
    roles.roles().team_policies("campaigns", "team_id").up(&db.db).await.unwrap();
    let migrator = create_login(
        &db,
        &format!("CREATEROLE IN ROLE {}, {}", quoted(&roles.owner), quoted(&roles.delivery)),
    )
    .await;
    let superuser = create_login(&db, "SUPERUSER").await;
    let reports = create_login(&db, "BYPASSRLS").await;
    let of_reports = create_login(&db, &format!("IN ROLE {reports}")).await;
    run(
        &db.db,
        &format!(
            "GRANT SELECT, TRUNCATE ON campaigns TO {reports}; GRANT SELECT, UPDATE ON events TO {reports}; \
             CREATE POLICY reports ON events FOR SELECT TO {reports} USING (true); \
             CREATE POLICY reports ON campaigns FOR SELECT TO {reports} USING (true); \
             CREATE VIEW report AS SELECT * FROM events; GRANT SELECT ON report TO {reports}; \
             ALTER ROLE {reports} SET app.team_id = 'a'; ALTER TABLE campaigns OWNER TO {migrator}"
        ),
    )
    .await;
    // The team's policies of a table are of its owner too.
    roles.roles().team_policies("campaigns", "team_id").up(&db.db).await.unwrap();
    run(&db.db, &format!("GRANT SELECT ON campaigns TO {}", quoted(&roles.app))).await;
    for role in [&roles.owner, &roles.delivery, &roles.auditor, &migrator, &superuser, &reports, &of_reports]
    {
        let pool = db.open_as(role, 1).await;
        let refused = Events::builder(pool.clone()).all_teams_role(&roles.delivery).build().await;
        let refused = refused.unwrap_err().to_string();
        let first = refused.lines().nth(1).unwrap();
        assert!(
            first.starts_with(&format!("danger: the role `{role}` is connected"))
                && first.contains(&format!("connect as `{}`", roles.app)),
            "{refused}"
        );
        // What everybody finds: somebody has a right too much.
        let right = format!("REVOKE UPDATE ON public.events FROM \"{reports}\";");
        for word in ["REVOKE", "GRANT", "OWNER TO", "ALTER ROLE", "DROP POLICY", "security_invoker"] {
            assert!(!refused.replace(&right, "").contains(word), "{role}: {refused}");
        }
        assert!(*role != reports || !refused.contains(&right), "{refused}");
        pool.close().await.unwrap();
    }
    let app = db.open_as(&roles.app, 1).await;
    Events::builder(app.clone()).all_teams_role(&roles.delivery).build().await.unwrap();
    app.close().await.unwrap();
}

async fn what_puts_the_application_right_leaves_others_what_they_have(db: Arc<TestDb>) {
    use IsolationFinding as F;
    let roles = isolated(&db).await;
    let reports = create_login(&db, "").await;
    let app = db.open_as(&roles.app, 1).await;
    let log = events(&app).await;
    run(&db.db, &format!("GRANT SELECT ON events, threads TO {reports}")).await;
    let inherits = match crate::isolation::is_16(&db).await {
        true => "WITH INHERIT TRUE",
        false => "; ALTER ROLE {app} INHERIT; REVOKE {delivery} FROM {app}",
    };
    for policy in [
        "CREATE POLICY reports ON events FOR SELECT TO {reports}, {app} USING (true)",
        &format!(
            "CREATE POLICY reports ON events FOR SELECT TO {{reports}} USING (true); GRANT {{reports}} TO {{app}} {inherits}"
        ),
    ] {
        let names = [("{app}", &roles.app), ("{reports}", &reports), ("{delivery}", &roles.delivery)];
        let sql = names.iter().fold(policy.to_owned(), |sql, (name, role)| sql.replace(name, &quoted(role)));
        run(&db.db, &sql).await;
        let findings = found(&log).await;
        assert!(matches!(&findings[..], [F::WiderPolicy { .. }]), "{sql}: {findings:#?}");
        run(&db.db, &mend(&findings[0]).unwrap()).await;
        assert_eq!(found(&log).await, [], "{sql}");
        let kept = format!(
            "SELECT roles::text FROM pg_policies WHERE tablename = 'events' AND policyname = 'reports' AND roles = ARRAY['{reports}']::name[]"
        );
        assert_eq!(crate::isolation::texts(&db.db, &kept).await.len(), 1, "{sql}");
        run(&db.db, &format!("DROP POLICY reports ON events; REVOKE {reports} FROM {}", quoted(&roles.app)))
            .await;
        run(&db.db, &roles.roles().create_sql()).await;
    }
    app.close().await.unwrap();
}

/// Where an application has policies of its own on some tables: row-level security alone would hide the rest from everybody.
async fn a_table_without_policies_is_not_to_be_closed(db: Arc<TestDb>) {
    use IsolationFinding as F;
    with_all_tables(&db).await;
    let login = create_login(&db, "").await;
    run(
        &db.db,
        &format!(
            "GRANT SELECT ON events TO {login}; ALTER TABLE events ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; \
             CREATE POLICY tenants ON events USING (team_id = nullif(current_setting('app.team_id', true), ''))"
        ),
    )
    .await;
    let pool = db.open_as(&login, 1).await;
    let findings = found(&events(&pool).await).await;
    assert!(!findings.is_empty(), "threads and others are open");
    for finding in &findings {
        assert!(matches!(finding, F::NotForced { mend: None, .. }), "{finding:#?}");
        assert!(finding.to_string().contains("which has no policy"), "{finding}");
    }
    pool.close().await.unwrap();
}

/// `pg_restore` goes on where a role is missing, so that policies and grants are.
async fn after_a_restore_without_roles_it_is_said_what_is_missing(db: Arc<TestDb>) {
    let roles = isolated(&db).await;
    let drop = "DO $$ DECLARE p record; BEGIN FOR p IN SELECT policyname, tablename FROM pg_policies WHERE schemaname = 'public' LOOP \
                EXECUTE format('DROP POLICY %I ON %I', p.policyname, p.tablename); END LOOP; END $$";
    run(&db.db, drop).await;
    let report = events(&db.db).await.verify().await.unwrap().of_the_application();
    let text = report.to_string();
    let isolation = report.findings().iter().filter(|finding| matches!(finding, Finding::Isolation(_)));
    assert_eq!(isolation.collect::<Vec<_>>(), [&Finding::Isolation(IsolationFinding::NoPolicies)]);
    assert!(text.contains("events migrate roles") && text.contains("events migrate up --app-role"), "{text}");
    let refused = Events::builder(db.open_as(&roles.app, 1).await).build().await.unwrap_err().to_string();
    assert!(refused.contains("no policy is there"), "{refused}");
    migration::isolation::up(&db.db, &roles.roles()).await.unwrap();
    let app = db.open_as(&roles.app, 1).await;
    assert_eq!(found(&events(&app).await).await, []);
    app.close().await.unwrap();
}

/// What the owner adds to a table that it divided itself.
async fn a_partition_without_rights_on_it_refuses_no_start(db: Arc<TestDb>) {
    use IsolationFinding as F;
    run(&db.db, crate::isolation::PARTITIONED).await;
    migration::up(&db.db).await.unwrap();
    let roles = TestRoles::create(&db).await;
    migration::isolation::up(&db.db, &roles.roles()).await.unwrap();
    let app = db.open_as(&roles.app, 1).await;
    Events::builder(app.clone()).build().await.unwrap();
    run(&db.db, "CREATE TABLE events_new PARTITION OF events FOR VALUES FROM (100) TO (200)").await;
    let log = Events::builder(app.clone()).build().await.unwrap();
    let findings = found(&log).await;
    assert!(
        matches!(&findings[..], [F::NotForced { is_reached: false, .. }])
            && severity(&findings[0]) == Severity::Warning,
        "{findings:#?}"
    );
    let direct =
        crate::isolation::as_team(&app, "a", "SELECT * FROM events_new").await.unwrap_err().to_string();
    assert!(direct.contains("permission denied"), "{direct}");
    // Somebody else made it, and the owner's steps leave it as it is; with a right on it the application does not start.
    let migrator = create_login(&db, &format!("IN ROLE {}", quoted(&roles.owner))).await;
    run(&db.db, &format!("GRANT CREATE, USAGE ON SCHEMA public TO {}", quoted(&roles.owner))).await;
    let owner = db.open_as(&migrator, 2).await;
    migration::isolation::up(&owner, &roles.roles()).await.unwrap();
    owner.close().await.unwrap();
    run(&db.db, &format!("GRANT SELECT ON events_new TO {}", quoted(&roles.app))).await;
    let refused = Events::builder(app.clone()).build().await.unwrap_err().to_string();
    assert!(refused.contains("danger: row-level security is off for `public.events_new`"), "{refused}");
    for finding in found(&log).await {
        run(&db.db, &mend(&finding).unwrap()).await;
    }
    assert_eq!(found(&log).await, []);
    // What is said of the whole can be done: nothing asks for a key that such a table cannot have.
    let report = log.verify().await.unwrap();
    assert!(
        report.findings().iter().all(|finding| finding.severity() <= Severity::Warning
            || matches!(finding, Finding::MissingTable { .. })),
        "{report}"
    );
    app.close().await.unwrap();
}
