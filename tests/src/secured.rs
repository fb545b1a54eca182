//! Tables as the application's own role finds them under row-level security.

use events_sea_orm::migration::isolation;

use crate::{
    TestDb,
    roles::{TestRoles, quoted, run},
};

/// The tables of the tests, those of events and campaigns with policies, and the roles.
pub async fn secured(db: &TestDb) -> TestRoles {
    db.with_tables().await;
    let roles = TestRoles::create(db).await;
    isolation::up(&db.db, &roles.roles()).await.expect("roles and policies");
    roles.roles().team_policies("campaigns", "team_id").up(&db.db).await.expect("policies");
    let app = quoted(&roles.app);
    run(&db.db, &format!("GRANT SELECT, INSERT, UPDATE, DELETE ON campaigns TO {app}")).await;
    run(&db.db, &format!("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {app}")).await;
    roles
}

/// The same roles and rights without the policies.
pub async fn unsecured(db: &TestDb) -> TestRoles {
    let roles = secured(db).await;
    for table in ["events", "campaigns"] {
        run(&db.db, &format!("ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")).await;
    }
    roles
}
