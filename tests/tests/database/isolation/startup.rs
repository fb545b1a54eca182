//! `build()` refuses to start where the database would not keep teams apart.

use std::sync::Arc;

use events_sea_orm::{BuildError, Context, Event, Events, Finding, IsolationFinding};
use tests::{
    TestDb,
    roles::{create_login, quoted, run},
};

use crate::isolation::{isolated, texts, with_all_tables};

tests::on_postgres! {
    whoever_passes_the_policies_is_refused,
    what_is_missing_for_all_is_refused,
    an_application_starts_again_once_it_is_mended,
    a_laptop_starts_without_row_level_security,
    policies_of_the_application_that_are_gone_are_made_again,
    the_role_for_all_teams_is_looked_at,
    the_policies_say_which_setting_tells_the_team,
    each_statement_is_printed_once,
}

/// What is said of a role that connects.
async fn refused(db: &TestDb, role: &str) -> String {
    let pool = db.open_as(role, 1).await;
    let refused = Events::builder(pool.clone()).build().await;
    pool.close().await.unwrap();
    match refused {
        Err(error @ BuildError::Danger { .. }) => error.to_string(),
        other => panic!("{role}: {other:?}"),
    }
}

async fn whoever_passes_the_policies_is_refused(db: Arc<TestDb>) {
    let roles = isolated(&db).await;
    let app = quoted(&roles.app);
    let bypass = create_login(&db, &format!("BYPASSRLS IN ROLE {app}")).await;
    let superuser = create_login(&db, "SUPERUSER").await;
    let creator = create_login(&db, &format!("CREATEROLE IN ROLE {app}")).await;
    let of_owner = create_login(&db, &format!("NOINHERIT IN ROLE {app}, {}", quoted(&roles.owner))).await;
    let of_delivery = create_login(&db, &format!("IN ROLE {}", quoted(&roles.delivery))).await;
    let of_auditor = create_login(&db, &format!("IN ROLE {}", quoted(&roles.auditor))).await;
    let stranger = create_login(&db, "").await;
    for (role, said) in [
        (&of_delivery, "is not the application's role"),
        (&roles.delivery, "is not the application's role"),
        (&of_auditor, "is not the application's role"),
        (&stranger, "is not the application's role"),
        (&roles.owner, "is not the application's role"),
        (&superuser, "is not the application's role"),
        (&bypass, "bypasses row-level security"),
        (&creator, "may create roles"),
        (&of_owner, "can become the owner of `public.events`"),
    ] {
        let text = refused(&db, role).await;
        assert!(text.contains("the database does not keep teams apart") && text.contains(said), "{text}");
    }
    // Whoever asks for it starts all the same, such as a tool of the owner.
    let owner = db.open_as(&roles.owner, 1).await;
    Events::builder(owner.clone()).start_despite_dangers().build().await.unwrap();
    owner.close().await.unwrap();
}

async fn what_is_missing_for_all_is_refused(db: Arc<TestDb>) {
    let roles = isolated(&db).await;
    for (breaks, mends) in [
        ("ALTER TABLE events DISABLE ROW LEVEL SECURITY", "ALTER TABLE events ENABLE ROW LEVEL SECURITY"),
        ("ALTER TABLE events NO FORCE ROW LEVEL SECURITY", "ALTER TABLE events FORCE ROW LEVEL SECURITY"),
        ("CREATE POLICY other ON events FOR SELECT USING (true)", "DROP POLICY other ON events"),
        // Last, since triggers are not enabled together as the guards want it.
        ("ALTER TABLE events DISABLE TRIGGER USER", "SELECT 1"),
    ] {
        run(&db.db, breaks).await;
        let text = refused(&db, &roles.app).await;
        assert!(text.contains("danger: "), "{text}");
        run(&db.db, mends).await;
    }
}

async fn an_application_starts_again_once_it_is_mended(db: Arc<TestDb>) {
    let roles = isolated(&db).await;
    let app = db.open_as(&roles.app, 1).await;
    run(&db.db, &format!("GRANT ALL ON ALL TABLES IN SCHEMA public TO {}", quoted(&roles.app))).await;
    run(&db.db, "ALTER TABLE events NO FORCE ROW LEVEL SECURITY").await;
    let Err(BuildError::Danger { report }) = Events::builder(app.clone()).build().await else { panic!() };
    for finding in report.dangers() {
        run(&db.db, &finding.mend().unwrap()).await;
    }
    let events = Events::builder(app.clone()).build().await.unwrap();
    let txn = events.begin(Context::team("a")).await.unwrap();
    txn.emit(Event::custom("started")).await.unwrap();
    txn.commit().await.unwrap();
    app.close().await.unwrap();
}

async fn a_laptop_starts_without_row_level_security(db: Arc<TestDb>) {
    with_all_tables(&db).await;
    let events = Events::builder(db.db.clone()).build().await.unwrap();
    let report = events.verify().await.unwrap();
    assert!(report.findings().contains(&Finding::Isolation(IsolationFinding::Off)));
}

async fn policies_of_the_application_that_are_gone_are_made_again(db: Arc<TestDb>) {
    let roles = isolated(&db).await;
    run(&db.db, "DROP POLICY events_app_select ON events; DROP POLICY events_app_insert ON events").await;
    let app = db.open_as(&roles.app, 1).await;
    let Err(BuildError::Danger { report }) = Events::builder(app.clone()).build().await else { panic!() };
    for fix in report.fixes() {
        assert!(!fix.starts_with("GRANT"), "{fix}");
        run(&db.db, &fix).await;
    }
    Events::builder(app.clone()).build().await.unwrap();
    app.close().await.unwrap();
}

async fn the_role_for_all_teams_is_looked_at(db: Arc<TestDb>) {
    let roles = isolated(&db).await;
    let app = db.open_as(&roles.app, 1).await;
    let build = async |role: &str| Events::builder(app.clone()).all_teams_role(role).build().await;
    build(&roles.delivery).await.unwrap();
    let blind = create_login(&db, "").await;
    run(&db.db, &format!("GRANT {blind} TO {}", quoted(&roles.app))).await;
    let other = create_login(&db, &format!("IN ROLE {}", quoted(&roles.delivery))).await;
    for (role, said) in [
        ("nobody of this name", "is not there"),
        (&roles.owner, "owns the table of events"),
        (&texts(&db.db, "SELECT current_user").await.remove(0), "owns the table of events"),
        (&roles.auditor, "is the auditor's"),
        (&blind, "does not see the events of every team"),
        (&other, "cannot be taken by the application"),
    ] {
        let refused = build(role).await.unwrap_err().to_string();
        assert!(
            refused.contains(&format!("the role `{role}`, named by `all_teams_role`, {said}")),
            "{refused}"
        );
    }
    // Nothing that an application should not have is granted to it.
    for role in [&roles.owner, &roles.auditor] {
        let Err(BuildError::Danger { report }) = build(role).await else { panic!("{role}") };
        assert_eq!(report.fixes(), Vec::<String>::new());
    }
    // What is said to do about it does it.
    run(&db.db, &format!("REVOKE {} FROM {}", quoted(&roles.delivery), quoted(&roles.app))).await;
    let Err(BuildError::Danger { report }) = build(&roles.delivery).await else { panic!() };
    for finding in report.dangers() {
        run(&db.db, &finding.mend().unwrap()).await;
    }
    let events = build(&roles.delivery).await.unwrap();
    assert_eq!(events.connection(Context::all_teams("job", "look")).feed().count().await.unwrap(), 0);
    app.close().await.unwrap();
}

async fn the_policies_say_which_setting_tells_the_team(db: Arc<TestDb>) {
    with_all_tables(&db).await;
    let roles = tests::roles::TestRoles::create(&db).await;
    let named = roles.roles().team_setting("shop.tenant");
    events_sea_orm::migration::isolation::up(&db.db, &named).await.unwrap();
    let app = db.open_as(&roles.app, 1).await;
    let note = async |events: &Events| {
        let txn = events.begin(Context::team("a")).await.unwrap();
        txn.emit(Event::custom("noted")).await.unwrap();
        txn.commit().await.unwrap();
    };
    note(&Events::builder(app.clone()).build().await.unwrap()).await;
    // The policies are as they were made: it is the setting that is named wrongly, and no statement is to change them.
    let refused = Events::builder(app.clone()).team_setting("app.team_id").build().await.unwrap_err();
    let BuildError::Danger { report } = &refused else { panic!("{refused}") };
    assert!(
        matches!(&report.dangers().collect::<Vec<_>>()[..], [Finding::Isolation(IsolationFinding::WrongSetting { compared, .. })] if compared == "shop.tenant"),
        "{refused}"
    );
    assert!(refused.to_string().contains("name that with `team_setting`"), "{refused}");
    assert!(!refused.to_string().contains("CREATE POLICY"), "{refused}");
    // Where row-level security is off for whoever asks, it compares with the same.
    let off = Events::builder(app.clone()).row_level_security(false).build().await.unwrap();
    assert!(off.verify().await.unwrap().dangers().next().is_none());
    // Steps that do not name it keep it, for tables that come later too.
    events_sea_orm::migration::isolation::up(&db.db, &roles.roles()).await.unwrap();
    roles.roles().team_policies("campaigns", "team_id").up(&db.db).await.unwrap();
    let events = Events::builder(app.clone()).build().await.unwrap();
    note(&events).await;
    assert_eq!(events.connection(Context::team("a")).feed().count().await.unwrap(), 2);
    run(&db.db, &format!("GRANT SELECT ON campaigns TO {}", quoted(&roles.app))).await;
    Events::builder(app.clone()).build().await.unwrap();
    app.close().await.unwrap();
}

/// What one table is to be given puts several of its policies right.
async fn each_statement_is_printed_once(db: Arc<TestDb>) {
    let roles = isolated(&db).await;
    let other = roles.roles().team_setting("other.team");
    other.team_policies("campaigns", "team_id").up(&db.db).await.unwrap();
    run(&db.db, &format!("GRANT SELECT, INSERT, UPDATE, DELETE ON campaigns TO {}", quoted(&roles.app)))
        .await;
    let app = db.open_as(&roles.app, 1).await;
    let Err(refused) = Events::builder(app.clone()).build().await else { panic!("another setting") };
    let text = refused.to_string();
    let count = |part: &str| text.matches(part).count();
    assert_eq!(count("compares the setting `other.team`"), 4, "{text}");
    assert_eq!(count("CREATE POLICY events_app_select ON public.campaigns "), 1, "{text}");
    let BuildError::Danger { report } = refused else { panic!("{text}") };
    for mend in report.fixes() {
        run(&db.db, &mend).await;
    }
    Events::builder(app.clone()).build().await.unwrap();
    app.close().await.unwrap();
}
