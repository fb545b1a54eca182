//! PostgreSQL roles of one test. They are the server's, so each has a name of its own and goes with the test's database.

use events_sea_orm::migration::isolation::Roles;
use sea_orm::{ConnectionTrait, DatabaseConnection};

use crate::TestDb;

/// The roles of an application, with the pools that connect as them.
pub struct TestRoles {
    pub app: String,
    pub owner: String,
    pub delivery: String,
    pub auditor: String,
}

/// So that it works with servers that ask for one.
pub const PASSWORD: &str = "kept-by-nobody";

impl TestRoles {
    /// Creates them, by the SQL that the library prints.
    pub async fn create(db: &TestDb) -> Self {
        Self::create_named(db, "events_test").await
    }

    /// As `create`, with names that begin so.
    pub async fn create_named(db: &TestDb, prefix: &str) -> Self {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let name = |kind: &str| format!("{prefix}_{}_{kind}", &id[..16]);
        let roles = Self {
            app: name("app"),
            owner: name("owner"),
            delivery: name("delivery"),
            auditor: name("auditor"),
        };
        for role in roles.names() {
            db.goes_with(role);
        }
        run(&db.db, &roles.roles().create_sql()).await;
        for role in roles.names() {
            let login = format!("ALTER ROLE {} LOGIN PASSWORD '{PASSWORD}'", quoted(role));
            run(&db.db, &login).await;
        }
        roles
    }

    /// For the migration.
    pub fn roles(&self) -> Roles {
        Roles::app(&self.app).owner(&self.owner).delivery(&self.delivery).auditor(&self.auditor)
    }

    fn names(&self) -> [&str; 4] {
        [&self.app, &self.owner, &self.delivery, &self.auditor]
    }
}

/// A login of one test, made by `CREATE ROLE name <attributes>`.
pub async fn create_login(db: &TestDb, attributes: &str) -> String {
    let name = format!("events_test_{}_login", &uuid::Uuid::new_v4().simple().to_string()[..16]);
    db.goes_with(&name);
    run(&db.db, &format!("CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}' {attributes}")).await;
    name
}

impl TestDb {
    /// A pool of so many connections as this role.
    pub async fn open_as(&self, role: &str, connections: u32) -> DatabaseConnection {
        Self::open_with(&self.url_as(role), connections).await
    }

    /// The URL by which this role connects.
    pub fn url_as(&self, role: &str) -> String {
        let (scheme, rest) = self.url.split_once("://").expect("a scheme");
        let server = rest.rsplit_once('@').map_or(rest, |(_, server)| server);
        let role: String = role.bytes().map(|byte| format!("%{byte:02X}")).collect();
        format!("{scheme}://{role}:{PASSWORD}@{server}")
    }
}

/// A name in SQL.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Runs SQL that must not fail.
#[track_caller]
pub fn run<'a>(db: &'a impl ConnectionTrait, sql: &'a str) -> impl Future<Output = ()> + 'a {
    let caller = std::panic::Location::caller();
    async move {
        let done = db.execute_unprepared(sql).await;
        done.unwrap_or_else(|error| panic!("{error}: {sql} ({caller})"));
    }
}
