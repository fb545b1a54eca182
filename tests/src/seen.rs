//! The statements that a pool sends.

use std::sync::{Arc, Mutex};

use sea_orm::DatabaseConnection;

use crate::{TestDb, proxy::Proxy};

/// What was sent through a pool of one connection.
pub enum Seen {
    /// On the wire.
    Wire(Proxy),
    /// An embedded database has no wire: what SeaORM handed over.
    Callback(Arc<Mutex<Vec<String>>>),
}

impl Seen {
    /// Another pool on this database, whose statements are seen.
    pub async fn on(db: &TestDb) -> (DatabaseConnection, Self) {
        if !db.url.starts_with("sqlite") {
            let proxy = Proxy::to(&db.url).await;
            return (TestDb::open_with(&proxy.url, 1).await, Self::Wire(proxy));
        }
        let mut pool = TestDb::open_with(&db.url, 1).await;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&seen);
        pool.set_metric_callback(move |info| sink.lock().unwrap().push(info.statement.sql.clone()));
        (pool, Self::Callback(seen))
    }

    /// The verbs of the statements since the last call that name this table.
    pub fn take(&self, table: &str) -> Vec<String> {
        let verb = |sql: &String| sql.split_whitespace().next().unwrap_or_default().to_owned();
        self.take_texts().iter().filter(|sql| sql.contains(table)).map(verb).collect()
    }

    /// The texts of all statements since the last call.
    pub fn take_texts(&self) -> Vec<String> {
        match self {
            Self::Wire(proxy) => proxy.take_statements(),
            Self::Callback(seen) => std::mem::take(&mut *seen.lock().unwrap()),
        }
    }
}
