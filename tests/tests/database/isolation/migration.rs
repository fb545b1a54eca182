//! The steps of `migration::isolation`.

use std::sync::Arc;

use events_sea_orm::migration::{self, isolation::Roles};
use sea_orm::DbBackend;
use sea_orm_migration::{MigrationTrait, MigratorTrait};
use tests::{
    TestDb,
    roles::{TestRoles, create_login, quoted, run},
};

use crate::isolation::{as_team, insert_event, isolated, texts, with_all_tables};

tests::on_postgres! {
    steps_leave_the_same_when_run_again_and_are_taken_back,
    a_missing_role_is_named_with_what_creates_it,
    any_name_will_do_for_a_role,
    roles_are_created_once_and_do_not_inherit,
    a_member_of_the_owner_may_run_the_steps,
    tables_of_later_are_covered_by_running_the_steps_again,
    partitions_are_not_a_way_around,
    a_migrator_runs_and_takes_back_the_steps,
    a_users_own_tables_get_the_same_policies,
    roles_that_are_not_named_again_keep_their_policies,
}

mod others {
    use super::nothing_happens_where_there_is_no_row_level_security;
    tests::conformance! { nothing_happens_where_there_is_no_row_level_security }
}

/// What the steps may change: flags, owners, policies and rights, also those that nobody has written down.
const CATALOG: &str = "SELECT concat_ws(' ', c.relname, c.relrowsecurity, c.relforcerowsecurity, pg_get_userbyid(c.relowner), \
     (SELECT string_agg(concat_ws(' ', p.polname, p.polcmd, p.polpermissive, p.polroles::regrole[]::text, pg_get_expr(p.polqual, c.oid), \
     pg_get_expr(p.polwithcheck, c.oid)), '; ' ORDER BY p.polname) FROM pg_policy p WHERE p.polrelid = c.oid), \
     (SELECT string_agg(concat_ws(' ', x.grantee::regrole, x.privilege_type), '; ' ORDER BY x.grantee::regrole::text, x.privilege_type) \
     FROM aclexplode(coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::\"char\", c.relowner))) x), \
     (SELECT string_agg(concat_ws(' ', a.attname, x.grantee::regrole, x.privilege_type), '; ' ORDER BY a.attname, x.grantee::regrole::text, x.privilege_type) \
     FROM pg_attribute a, aclexplode(a.attacl) x WHERE a.attrelid = c.oid)) \
     FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'S') ORDER BY c.relname";

async fn catalog(db: &TestDb) -> Vec<String> {
    texts(&db.db, CATALOG).await
}

async fn steps_leave_the_same_when_run_again_and_are_taken_back(db: Arc<TestDb>) {
    with_all_tables(&db).await;
    let open = catalog(&db).await;
    let roles = TestRoles::create(&db).await.roles();
    migration::isolation::up(&db.db, &roles).await.unwrap();
    let isolated = catalog(&db).await;
    assert_ne!(open, isolated);
    migration::isolation::up(&db.db, &roles).await.unwrap();
    assert_eq!(catalog(&db).await, isolated);
    migration::isolation::down(&db.db, &roles).await.unwrap();
    assert_eq!(catalog(&db).await, open);
    migration::isolation::down(&db.db, &roles).await.unwrap();
    assert_eq!(catalog(&db).await, open);
}

async fn roles_that_are_not_named_again_keep_their_policies(db: Arc<TestDb>) {
    with_all_tables(&db).await;
    let roles = TestRoles::create(&db).await;
    migration::isolation::up(&db.db, &roles.roles().team_setting("shop.tenant")).await.unwrap();
    roles.roles().team_policies("campaigns", "team_id").up(&db.db).await.unwrap();
    let before = catalog(&db).await;
    migration::isolation::up(&db.db, &Roles::app(&roles.app)).await.unwrap();
    Roles::app(&roles.app).team_policies("campaigns", "team_id").up(&db.db).await.unwrap();
    assert_eq!(catalog(&db).await, before);
    // Taken back, and made without it, a role has none.
    migration::isolation::down(&db.db, &Roles::app(&roles.app)).await.unwrap();
    migration::isolation::up(&db.db, &Roles::app(&roles.app)).await.unwrap();
    let of_delivery = "SELECT policyname::text FROM pg_policies WHERE policyname LIKE 'events\\_delivery%' AND tablename <> 'campaigns'";
    assert_eq!(texts(&db.db, of_delivery).await, Vec::<String>::new());
}

async fn a_missing_role_is_named_with_what_creates_it(db: Arc<TestDb>) {
    with_all_tables(&db).await;
    let open = catalog(&db).await;
    let roles = Roles::app(create_login(&db, "").await).delivery("events_test_nobody");
    let error = migration::isolation::up(&db.db, &roles).await.unwrap_err().to_string();
    assert!(
        error.contains(
            "there is no role `events_test_nobody`: run `CREATE ROLE \"events_test_nobody\" NOLOGIN;`"
        ),
        "{error}"
    );
    for (roles, said) in [
        (Roles::app("public"), "the role name `public` is a word of SQL"),
        (Roles::app(""), "is empty"),
        (Roles::app("a").owner("a"), "the role `a` is named for two purposes"),
        (Roles::app("a").team_setting("team"), "the setting `team` cannot be"),
        (Roles::app(texts(&db.db, "SELECT current_user").await.remove(0)), "owns `events`"),
    ] {
        let error = migration::isolation::up(&db.db, &roles).await.unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    assert_eq!(catalog(&db).await, open);

    let roles = Roles::app(create_login(&db, "").await);
    run(&db.db, "CREATE TABLE odd (short char(8), word name)").await;
    for column in ["short", "word"] {
        let error = roles.team_policies("odd", column).up(&db.db).await.unwrap_err().to_string();
        assert!(error.contains("two teams may compare as one"), "{error}");
    }
    for (column_type, is_known) in
        [("varchar", true), ("BIGINT", true), ("varchar(8)", false), ("citext", false)]
    {
        let sql = roles.team_policies("odd", "short").sql(column_type, "somebody");
        assert_eq!(sql.is_ok(), is_known, "{column_type}: {sql:?}");
    }

    run(&db.db, "DROP TABLE events").await;
    let error = migration::isolation::up(&db.db, &roles).await.unwrap_err().to_string();
    assert!(error.contains("the table `events` is not on the search path"), "{error}");
}

async fn any_name_will_do_for_a_role(db: Arc<TestDb>) {
    with_all_tables(&db).await;
    let roles = TestRoles::create_named(&db, "Ev'\"$$\\ é").await;
    migration::isolation::up(&db.db, &roles.roles()).await.unwrap();
    let app = db.open_as(&roles.app, 1).await;
    as_team(&app, "a", &insert_event("a")).await.unwrap();
    assert_eq!(as_team(&app, "a", "SELECT * FROM events").await.unwrap(), 1);
    assert_eq!(as_team(&app, "b", "SELECT * FROM events").await.unwrap(), 0);
    app.close().await.unwrap();
    migration::isolation::down(&db.db, &roles.roles()).await.unwrap();
}

async fn roles_are_created_once_and_do_not_inherit(db: Arc<TestDb>) {
    let roles = TestRoles::create(&db).await;
    let of =
        |attribute: &str| format!("SELECT {attribute}::text FROM pg_roles WHERE rolname = '{}'", roles.app);
    let before =
        texts(&db.db, "SELECT concat_ws(' ', rolname, rolinherit, rolcanlogin) FROM pg_roles ORDER BY 1")
            .await;
    run(&db.db, &roles.roles().create_sql()).await;
    let after =
        texts(&db.db, "SELECT concat_ws(' ', rolname, rolinherit, rolcanlogin) FROM pg_roles ORDER BY 1")
            .await;
    let ours =
        |all: Vec<String>| all.into_iter().filter(|role| role.contains(&roles.app[..28])).collect::<Vec<_>>();
    assert_eq!(ours(before), ours(after));
    assert_eq!(texts(&db.db, &of("rolinherit")).await, ["false"]);
    assert_eq!(
        texts(
            &db.db,
            &of("pg_has_role(rolname, '{delivery}', 'MEMBER')").replace("{delivery}", &roles.delivery)
        )
        .await,
        ["true"]
    );
    assert_eq!(
        texts(
            &db.db,
            &of("pg_has_role(rolname, '{delivery}', 'USAGE')").replace("{delivery}", &roles.delivery)
        )
        .await,
        ["false"]
    );
}

async fn a_member_of_the_owner_may_run_the_steps(db: Arc<TestDb>) {
    let roles = TestRoles::create(&db).await;
    let migrator = create_login(&db, "").await;
    run(&db.db, &format!("GRANT {} TO {migrator}", quoted(&roles.owner))).await;
    run(&db.db, &format!("GRANT CREATE, USAGE ON SCHEMA public TO {migrator}, {}", quoted(&roles.owner)))
        .await;
    let pool = db.open_as(&migrator, 2).await;
    migration::up(&pool).await.unwrap();
    migration::isolation::up(&pool, &roles.roles()).await.unwrap();
    migration::threads::up(&pool).await.unwrap();
    migration::isolation::up(&pool, &roles.roles()).await.unwrap();
    let owners = "SELECT DISTINCT pg_get_userbyid(relowner)::text FROM pg_class WHERE relname IN ('events', 'threads', 'thread_messages')";
    assert_eq!(texts(&db.db, owners).await, [roles.owner.as_str()]);
    migration::isolation::down(&pool, &roles.roles()).await.unwrap();
    assert_eq!(texts(&db.db, owners).await, [migrator.as_str()]);
    pool.close().await.unwrap();
}

async fn tables_of_later_are_covered_by_running_the_steps_again(db: Arc<TestDb>) {
    db.with_tables().await;
    let roles = TestRoles::create(&db).await;
    migration::isolation::up(&db.db, &roles.roles()).await.unwrap();
    migration::threads::up(&db.db).await.unwrap();
    let forced = "SELECT relname::text FROM pg_class WHERE relforcerowsecurity ORDER BY 1";
    assert_eq!(texts(&db.db, forced).await, ["events"]);
    let manager = sea_orm_migration::SchemaManager::new(&db.db);
    let again = migration::isolation::again("isolation_of_threads", &roles.roles());
    again.up(&manager).await.unwrap();
    assert_eq!(texts(&db.db, forced).await, ["events", "thread_messages", "threads"]);
    again.down(&manager).await.unwrap();
    assert_eq!(texts(&db.db, forced).await, ["events", "thread_messages", "threads"]);
}

async fn partitions_are_not_a_way_around(db: Arc<TestDb>) {
    // An application may have partitioned the table itself.
    run(
        &db.db,
        "CREATE TABLE events (seq bigint GENERATED ALWAYS AS IDENTITY, id uuid NOT NULL, team_id varchar(191) COLLATE \"C\" NOT NULL, \
         event_type varchar(63) NOT NULL, object_type varchar(191), object_id varchar(191), actor_id varchar(191), unit_id uuid NOT NULL, \
         event_data jsonb NOT NULL, context jsonb NOT NULL, occurred_at timestamptz NOT NULL, \
         recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()) PARTITION BY RANGE (recorded_at)",
    )
    .await;
    run(&db.db, "CREATE TABLE \"events All\" PARTITION OF events DEFAULT").await;
    let roles = TestRoles::create(&db).await;
    run(&db.db, &format!("GRANT ALL ON ALL TABLES IN SCHEMA public TO {}", quoted(&roles.app))).await;
    migration::isolation::up(&db.db, &roles.roles()).await.unwrap();
    let app = db.open_as(&roles.app, 1).await;
    as_team(&app, "a", &insert_event("a")).await.unwrap();
    assert_eq!(as_team(&app, "a", "SELECT * FROM events").await.unwrap(), 1);
    assert_eq!(as_team(&app, "b", "SELECT * FROM events").await.unwrap(), 0);
    let direct = as_team(&app, "a", "SELECT * FROM \"events All\"").await.unwrap_err().to_string();
    assert!(direct.contains("permission denied"), "{direct}");
    // Somebody grants what should not be: the partition's own row-level security still shows nothing.
    run(&db.db, &format!("GRANT ALL ON ALL TABLES IN SCHEMA public TO {}", quoted(&roles.app))).await;
    assert_eq!(as_team(&app, "a", "SELECT * FROM \"events All\"").await.unwrap(), 0);
    app.close().await.unwrap();
}

async fn a_migrator_runs_and_takes_back_the_steps(db: Arc<TestDb>) {
    static ROLES: std::sync::OnceLock<Roles> = std::sync::OnceLock::new();
    struct Migrator;
    impl MigratorTrait for Migrator {
        fn migrations() -> Vec<Box<dyn MigrationTrait>> {
            let roles = ROLES.get().unwrap();
            let mut steps = migration::steps();
            steps.extend(migration::isolation::steps(roles));
            steps.extend(migration::threads::steps());
            steps.push(migration::isolation::again("isolation_of_threads", roles));
            steps
        }
    }
    ROLES.set(TestRoles::create(&db).await.roles()).unwrap();
    Migrator::up(&db.db, None).await.unwrap();
    let forced = "SELECT relname::text FROM pg_class WHERE relforcerowsecurity ORDER BY 1";
    assert_eq!(texts(&db.db, forced).await, ["events", "thread_messages", "threads"]);
    Migrator::down(&db.db, None).await.unwrap();
    assert_eq!(texts(&db.db, forced).await, Vec::<String>::new());
}

async fn a_users_own_tables_get_the_same_policies(db: Arc<TestDb>) {
    let roles = isolated(&db).await;
    run(&db.db, "CREATE SCHEMA \"My.Shop\"").await;
    let id = "018f0000-0000-7000-8000-000000000001";
    let tables = [
        ("plain", "plain", "integer", "7", "8"),
        (
            "\"My.Shop\".\"T \"\"1\"\"\"",
            "\"My.Shop\".\"T \"\"1\"\"\"",
            "uuid",
            id,
            "018f0000-0000-7000-8000-000000000002",
        ),
        ("\"My.Shop\".texts", "\"My.Shop\".texts", "text", "a", "A"),
        ("chars", "chars", "varchar(20)", "a", "b"),
    ];
    let app = db.open_as(&roles.app, 1).await;
    let names = roles.roles();
    run(&db.db, &format!("GRANT USAGE ON SCHEMA \"My.Shop\" TO {}", quoted(&roles.app))).await;
    for (given, sql, kind, ours, theirs) in tables {
        run(&db.db, &format!("CREATE TABLE {sql} (\"the team\" {kind}, x int)")).await;
        run(&db.db, &format!("GRANT ALL ON {sql} TO {}", quoted(&roles.app))).await;
        run(&db.db, &format!("INSERT INTO {sql} VALUES ('{ours}', 1), ('{theirs}', 2)")).await;
        let policies = names.team_policies(given, "the team");
        policies.up(&db.db).await.unwrap();
        policies.up(&db.db).await.unwrap();
        assert_eq!(as_team(&app, ours, &format!("SELECT * FROM {sql}")).await.unwrap(), 1);
        assert_eq!(as_team(&app, "", &format!("SELECT * FROM {sql}")).await.unwrap(), 0);
        assert_eq!(as_team(&app, ours, &format!("UPDATE {sql} SET x = 3")).await.unwrap(), 1);
        assert_eq!(as_team(&app, ours, &format!("DELETE FROM {sql} WHERE x = 2")).await.unwrap(), 0);
        let forged = as_team(&app, ours, &format!("INSERT INTO {sql} VALUES ('{theirs}', 1)")).await;
        assert!(forged.unwrap_err().to_string().contains("row-level security"));
        let moved = as_team(&app, ours, &format!("UPDATE {sql} SET \"the team\" = '{theirs}'")).await;
        assert!(moved.unwrap_err().to_string().contains("row-level security"));
        assert_eq!(as_team(&app, ours, &format!("DELETE FROM {sql}")).await.unwrap(), 1);
        policies.down(&db.db).await.unwrap();
        assert_eq!(as_team(&app, "", &format!("SELECT * FROM {sql}")).await.unwrap(), 1);
    }
    let error = names.team_policies("plain", "team").up(&db.db).await.unwrap_err().to_string();
    assert!(error.contains("there is no table `plain` with a column `team`"), "{error}");
    let error = names.team_policies("a.b.c", "team").up(&db.db).await.unwrap_err().to_string();
    assert!(error.contains("`a.b.c` is no table"), "{error}");
    run(&db.db, &format!("ALTER TABLE plain OWNER TO {}", quoted(&roles.app))).await;
    let error = names.team_policies("plain", "the team").up(&db.db).await.unwrap_err().to_string();
    assert!(error.contains("owns `plain`"), "{error}");
    app.close().await.unwrap();
}

async fn nothing_happens_where_there_is_no_row_level_security(db: Arc<TestDb>) {
    if db.db.get_database_backend() == DbBackend::Postgres {
        return; // the roles are not there
    }
    migration::up(&db.db).await.unwrap();
    let roles = Roles::app("nobody").owner("nobody too");
    migration::isolation::up(&db.db, &roles).await.unwrap();
    roles.team_policies("nothing", "team_id").up(&db.db).await.unwrap();
    roles.team_policies("nothing", "team_id").down(&db.db).await.unwrap();
    migration::isolation::down(&db.db, &roles).await.unwrap();
}
