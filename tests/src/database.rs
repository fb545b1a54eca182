//! A database of its own for each case, on each database. A module of `tests/graphql` too.

use std::{future::Future, time::Duration};

use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection};

/// A database that one test made and that goes with it.
pub struct TestDb {
    pub db: DatabaseConnection,
    pub url: String,
    place: Place,
    /// Roles of the server that were made for it.
    roles: std::sync::Mutex<Vec<String>>,
}

enum Place {
    File(#[allow(dead_code)] tempfile::TempDir),
    Server { admin: DatabaseConnection, name: String },
}

const POOL: u32 = 24;

/// How long anything may take that is not stuck: only what hangs is to fail by it, however slow the machine is.
pub const PATIENCE: Duration = Duration::from_secs(300);

impl TestDb {
    /// An SQLite file.
    pub async fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = format!("sqlite://{}/test.db?mode=rwc", folder.path().display());
        let db = Self::open(&url).await;
        Self { db, url, place: Place::File(folder), roles: Default::default() }
    }

    /// A pool on a database that is there.
    pub async fn open(url: &str) -> DatabaseConnection {
        connect(url, POOL).await
    }

    /// As `open`, with so many connections.
    pub async fn open_with(url: &str, connections: u32) -> DatabaseConnection {
        connect(url, connections).await
    }

    /// A new database on this server.
    pub async fn server(url: &str) -> Self {
        let admin = connect(url, 1).await;
        let name = format!("events_test_{}", uuid::Uuid::new_v4().simple());
        admin.execute_unprepared(&format!("CREATE DATABASE {name}")).await.expect("may create databases");
        let (base, _) = url.rsplit_once('/').expect("a URL with a database");
        let url = format!("{base}/{name}");
        let db = Self::open(&url).await;
        Self { db, url, place: Place::Server { admin, name }, roles: Default::default() }
    }

    /// The whole log, in the order in which it was written.
    pub async fn log(&self) -> Vec<events_sea_orm::event::Model> {
        use sea_orm::{EntityTrait, QueryOrder};
        let log = events_sea_orm::event::Entity::find().order_by_asc(events_sea_orm::event::Column::Seq);
        log.all(&self.db).await.expect("log")
    }

    /// A role of the server that goes when the database has gone.
    pub fn goes_with(&self, role: &str) {
        self.roles.lock().expect("a lock").push(role.to_owned());
    }

    /// Closes the pool and removes the database.
    pub async fn drop(self) {
        // Bounded: a connection that hangs must not keep the database alive.
        let _ = tokio::time::timeout(Duration::from_secs(5), self.db.close_by_ref()).await;
        if let Place::Server { admin, name } = self.place {
            let force = if self.url.starts_with("postgres") { " WITH (FORCE)" } else { "" };
            admin
                .execute_unprepared(&format!("DROP DATABASE {name}{force}"))
                .await
                .expect("may drop its own");
            for role in self.roles.into_inner().expect("a lock") {
                let role = role.replace('"', "\"\"");
                let drop = format!("DROP ROLE IF EXISTS \"{role}\"");
                admin.execute_unprepared(&drop).await.expect("may drop its own");
            }
            let _ = admin.close().await;
        }
    }
}

async fn connect(url: &str, size: u32) -> DatabaseConnection {
    let mut options = ConnectOptions::new(url);
    options.max_connections(size).sqlx_logging(false).acquire_timeout(PATIENCE);
    options.map_sqlx_sqlite_opts(|options| {
        options
            .journal_mode(sea_orm::sqlx::sqlite::SqliteJournalMode::Wal)
            .synchronous(sea_orm::sqlx::sqlite::SqliteSynchronous::Normal)
            .busy_timeout(PATIENCE)
    });
    Database::connect(options).await.expect("the server answers")
}

/// Runs one case on one database; the database goes even if the case panics.
pub fn run<F>(name: &str, variable: Option<&str>, case: impl FnOnce(std::sync::Arc<TestDb>) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let url = match variable.map(|variable| (variable, std::env::var(variable))) {
        None => None,
        Some((_, Ok(url))) => Some(url),
        Some((variable, Err(_))) => {
            assert!(std::env::var_os("CI").is_none(), "{variable} is not set");
            eprintln!("!! {name} SKIPPED: {variable} is not set");
            return;
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let db = match &url {
            None => TestDb::sqlite().await,
            Some(url) => TestDb::server(url).await,
        };
        let db = std::sync::Arc::new(db);
        let task = tokio::spawn(tokio::time::timeout(3 * PATIENCE, case(std::sync::Arc::clone(&db))));
        let result = task.await;
        // Tasks of a case that failed hold it until they have ended.
        for _ in 0..50 {
            if std::sync::Arc::strong_count(&db) == 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        if let Some(db) = std::sync::Arc::into_inner(db) {
            db.drop().await;
        }
        match result {
            Ok(finished) => finished.unwrap_or_else(|_| panic!("{name} did not finish in time")),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    });
}

/// Each case once, on every database, each on a database of its own.
#[macro_export]
macro_rules! conformance {
    ($($case:ident),* $(,)?) => {
        mod sqlite { $(#[test] fn $case() { $crate::run(stringify!($case), None, super::$case); })* }
        $crate::on_servers! { $($case),* }
    };
}

/// As `conformance`, for what only happens between a client and a server.
#[macro_export]
macro_rules! on_servers {
    ($($case:ident),* $(,)?) => {
        mod postgres { $(#[test] fn $case() { $crate::run(stringify!($case), Some("POSTGRES_URL"), super::$case); })* }
        mod mysql { $(#[test] fn $case() { $crate::run(stringify!($case), Some("MYSQL_URL"), super::$case); })* }
    };
}

/// As `conformance`, for what PostgreSQL alone has.
#[macro_export]
macro_rules! on_postgres {
    ($($case:ident),* $(,)?) => {
        mod postgres { $(#[test] fn $case() { $crate::run(stringify!($case), Some("POSTGRES_URL"), super::$case); })* }
    };
}

/// As `conformance`, for what MariaDB alone has.
#[macro_export]
macro_rules! on_mysql {
    ($($case:ident),* $(,)?) => {
        mod mysql { $(#[test] fn $case() { $crate::run(stringify!($case), Some("MYSQL_URL"), super::$case); })* }
    };
}
