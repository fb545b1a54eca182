//! Connections that are impatient, and whoever kills them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement};

use super::Dice;
use crate::TestDb;

static KILLED: AtomicU64 = AtomicU64::new(0);

/// How many statements and connections were killed in this process.
pub(super) fn killed() -> u64 {
    KILLED.load(Ordering::Relaxed)
}

/// A pool whose statements give up on a lock soon.
pub(super) async fn impatient_pool(db: &TestDb) -> DatabaseConnection {
    let mut options = ConnectOptions::new(&db.url);
    options.max_connections(10).sqlx_logging(false).acquire_timeout(Duration::from_secs(60));
    options.map_sqlx_sqlite_opts(|options| {
        options
            .journal_mode(sea_orm::sqlx::sqlite::SqliteJournalMode::Wal)
            .synchronous(sea_orm::sqlx::sqlite::SqliteSynchronous::Off)
            .busy_timeout(Duration::from_secs(60))
    });
    // Some connections find deadlocks, others give up before.
    options.map_sqlx_postgres_pool_opts(|pool| {
        pool.after_connect(|connection, _| {
            Box::pin(async move {
                let set = "SELECT set_config('deadlock_timeout', '20ms', false), \
                     set_config('lock_timeout', CASE WHEN pg_backend_pid() % 2 = 0 THEN '100ms' ELSE '5s' END, false)";
                sea_orm::sqlx::Executor::execute(connection, set).await.map(drop)
            })
        })
    });
    options.map_sqlx_mysql_pool_opts(|pool| {
        pool.after_connect(|connection, _| {
            Box::pin(async move {
                let set = "SET innodb_lock_wait_timeout = 1";
                sea_orm::sqlx::Executor::execute(connection, set).await.map(drop)
            })
        })
    });
    Database::connect(options).await.expect("the server answers")
}

/// Ends a statement or a connection every now and then, until it is aborted itself.
pub(super) async fn killer(db: Arc<TestDb>, mut dice: Dice) {
    let backend = db.db.get_database_backend();
    let sessions = match backend {
        DbBackend::Postgres => {
            "SELECT pid::bigint AS id FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'"
        }
        DbBackend::MySql => {
            "SELECT CAST(id AS SIGNED) AS id FROM information_schema.processlist WHERE db = database() AND id <> connection_id()"
        }
        _ => return,
    };
    loop {
        tokio::time::sleep(Duration::from_millis(20 + dice.roll(80))).await;
        let rows = db.db.query_all_raw(Statement::from_string(backend, sessions)).await;
        let Ok(rows) = rows else { continue };
        if rows.is_empty() {
            continue;
        }
        let row = &rows[dice.roll(rows.len() as u64) as usize];
        let id: i64 = row.try_get("", "id").expect("a number");
        let kill = match (backend, dice.roll(2)) {
            (DbBackend::Postgres, 0) => format!("SELECT pg_terminate_backend({id})"),
            (DbBackend::Postgres, _) => format!("SELECT pg_cancel_backend({id})"),
            (_, 0) => format!("KILL {id}"),
            _ => format!("KILL QUERY {id}"),
        };
        // It may be gone by now, or this very connection's neighbour in the pool.
        if db.db.execute_unprepared(&kill).await.is_ok() {
            KILLED.fetch_add(1, Ordering::Relaxed);
        }
    }
}
