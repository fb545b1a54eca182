//! Which statements each database sees.

mod row_level_security;

use std::sync::{Arc, Mutex};

use events_sea_orm::{
    ActiveModelEvents, ConsumerError, EntityEvents, Event, EventConnection, EventTransaction, Events,
    OnError, Subscription,
};
use sea_orm::{
    ActiveModelTrait, DatabaseConnection, DbBackend, EntityTrait, ExprTrait, IntoActiveModel, Set,
    TransactionTrait, sea_query::Expr,
};
use tests::{
    TestDb, context,
    entities::{campaign, order},
    new_campaign, new_order,
    proxy::Proxy,
};

tests::conformance! {
    unit_of_creates,
    unit_of_updates,
    unit_of_deletes,
    unit_of_soft_deletes,
    unit_without_changes_writes_no_event,
    reads_cost_nothing,
    events_of_nested_units_are_written_once,
    bulk_calls_send_the_same_whatever_the_rows,
    consumers_cost_statements_only_where_their_failures_are_logged,
}

/// A pool of one connection whose statements are seen.
struct Seen {
    pool: DatabaseConnection,
    events: Events,
    by: By,
}

enum By {
    /// On the wire.
    Proxy(Proxy),
    /// An embedded database has no wire: what SeaORM handed over, BEGIN and COMMIT left out.
    Callback(Arc<Mutex<Vec<String>>>),
}

impl Seen {
    async fn on(db: &TestDb) -> Self {
        db.with_tables().await;
        let (pool, by) = if db.url.starts_with("sqlite") {
            let mut pool = TestDb::open_with(&db.url, 1).await;
            let seen = Arc::new(Mutex::new(Vec::new()));
            let sink = Arc::clone(&seen);
            pool.set_metric_callback(move |info| sink.lock().unwrap().push(info.statement.sql.clone()));
            (pool, By::Callback(seen))
        } else {
            let proxy = Proxy::to(&db.url).await;
            (TestDb::open_with(&proxy.url, 1).await, By::Proxy(proxy))
        };
        let events = Events::builder(pool.clone()).build().await.unwrap();
        Self::warm(pool, events, by).await
    }

    async fn warm(pool: DatabaseConnection, events: Events, by: By) -> Self {
        let seen = Self { pool, events, by };
        // Everything is prepared once, so that no question about types is in the way.
        let models = seen.create(2).await;
        seen.update(models.clone()).await;
        seen.delete(models).await;
        seen.take();
        seen
    }

    fn take(&self) -> Vec<String> {
        let statements = match &self.by {
            By::Proxy(proxy) => proxy.take_statements(),
            By::Callback(seen) => std::mem::take(&mut *seen.lock().unwrap()),
        };
        statements.iter().map(|sql| shape(sql)).collect()
    }

    async fn create(&self, count: usize) -> Vec<campaign::Model> {
        let txn = self.events.begin(context()).await.unwrap();
        let mut models = Vec::new();
        for _ in 0..count {
            models.push(new_campaign(&uuid::Uuid::new_v4().to_string()).insert(&txn).await.unwrap());
        }
        txn.commit().await.unwrap();
        models
    }

    async fn update(&self, models: Vec<campaign::Model>) {
        let txn = self.events.begin(context()).await.unwrap();
        for model in models {
            let mut active = model.into_active_model();
            active.budget = Set(7);
            active.status = Set(campaign::Status::Live); // two events each
            active.update(&txn).await.unwrap();
        }
        txn.commit().await.unwrap();
    }

    async fn delete(&self, models: Vec<campaign::Model>) {
        let txn = self.events.begin(context()).await.unwrap();
        for model in models {
            model.into_active_model().delete(&txn).await.unwrap();
        }
        txn.commit().await.unwrap();
    }

    /// What a unit of work must have sent: `save` so many times between begin and commit, and one INSERT of events.
    #[track_caller]
    fn assert_unit(&self, count: usize, save: &[&str], events: &[&str]) {
        let mut expected: Vec<&str> = self.begin().to_vec();
        expected.extend(std::iter::repeat_n(save, count).flatten());
        expected.extend(events);
        expected.extend(self.commit());
        assert_eq!(self.take(), expected);
    }

    fn begin(&self) -> &'static [&'static str] {
        match self.pool.get_database_backend() {
            DbBackend::Postgres => &["BEGIN"],
            // READ COMMITTED: see `EventsBuilder::transaction_options`.
            DbBackend::MySql => &["SET TRANSACTION ISOLATION LEVEL READ COMMITTED", "BEGIN"],
            _ => &[],
        }
    }

    fn commit(&self) -> &'static [&'static str] {
        match self.pool.get_database_backend() {
            DbBackend::Postgres | DbBackend::MySql => &["COMMIT"],
            _ => &[],
        }
    }
}

/// Verb, table and lock of a statement.
fn shape(sql: &str) -> String {
    if let Some((select, _)) = sql.split_once('(').filter(|(select, _)| *select == "SELECT set_config") {
        return select.to_owned();
    }
    let words: Vec<&str> = sql.split_whitespace().collect();
    let after = |word: &str| {
        let at = words.iter().position(|w| *w == word)?;
        words.get(at + 1).map(|table| table.trim_matches(['"', '`', '(']))
    };
    let table = match words[0] {
        // The rows of a bulk call, locked and written at once.
        "WITH" if sql.contains(" FOR ") => {
            let verb = if sql.contains("(DELETE FROM ") { "DELETE" } else { "UPDATE" };
            let table = after("FROM").unwrap_or("?");
            return format!("WITH locked {verb} {table}");
        }
        "SELECT" | "DELETE" => after("FROM"),
        // PostgreSQL and SQLite name the schema of the log.
        "INSERT" => after("INTO").map(|table| table.rsplit('"').next().unwrap_or(table)),
        "UPDATE" => after("UPDATE"),
        _ => return sql.to_owned(),
    };
    let lock = sql.find(" FOR ").map_or("", |at| &sql[at..]);
    let lock = if words[0] == "SELECT" { lock } else { "" };
    format!("{} {}{lock}", words[0], table.unwrap_or("?"))
}

const EVENTS: &[&str] = &["INSERT events"];

async fn unit_of_creates(db: Arc<TestDb>) {
    let seen = Seen::on(&db).await;
    for count in [1, 3, 12] {
        seen.create(count).await;
        let save: &[&str] = match seen.pool.get_database_backend() {
            // No RETURNING: SeaORM reads the row for its caller, and the event is made of the same answer.
            DbBackend::MySql => &["INSERT campaigns", "SELECT campaigns"],
            _ => &["INSERT campaigns"],
        };
        seen.assert_unit(count, save, EVENTS);
    }
}

async fn unit_of_updates(db: Arc<TestDb>) {
    let seen = Seen::on(&db).await;
    for count in [1, 3, 12] {
        let models = seen.create(count).await;
        seen.take();
        seen.update(models).await;
        let save: &[&str] = match seen.pool.get_database_backend() {
            DbBackend::Postgres => &["UPDATE campaigns"], // the old row, locked, comes back with the new one
            DbBackend::MySql => &["SELECT campaigns FOR UPDATE", "UPDATE campaigns", "SELECT campaigns"],
            _ => &["SELECT campaigns", "UPDATE campaigns"],
        };
        seen.assert_unit(count, save, EVENTS);
    }
}

async fn unit_of_deletes(db: Arc<TestDb>) {
    let seen = Seen::on(&db).await;
    for count in [1, 3, 12] {
        let models = seen.create(count).await;
        seen.take();
        seen.delete(models).await;
        let save: &[&str] = match seen.pool.get_database_backend() {
            DbBackend::Postgres | DbBackend::MySql => &["SELECT campaigns FOR UPDATE", "DELETE campaigns"],
            _ => &["SELECT campaigns", "DELETE campaigns"],
        };
        seen.assert_unit(count, save, EVENTS);
    }
}

async fn unit_of_soft_deletes(db: Arc<TestDb>) {
    let seen = Seen::on(&db).await;
    let (read, update): (_, &[&str]) = match seen.pool.get_database_backend() {
        DbBackend::Postgres => ("SELECT orders FOR NO KEY UPDATE", &["UPDATE orders"]),
        DbBackend::MySql => {
            ("SELECT orders FOR UPDATE", &["SELECT orders FOR UPDATE", "UPDATE orders", "SELECT orders"])
        }
        _ => ("SELECT orders", &["SELECT orders", "UPDATE orders"]),
    };
    // Whether the row is marked already is read first, under the lock that the update takes.
    let save: Vec<&str> = std::iter::once(read).chain(update.iter().copied()).collect();
    for warm in [true, false] {
        let connection = seen.events.connection(context());
        let model = new_order("a").create_with_event(&connection).await.unwrap();
        seen.take();
        let model = model.into_active_model().soft_delete_with_event(&connection).await.unwrap();
        if !warm {
            seen.assert_unit(1, &save, EVENTS);
        }
        let model = model.into_active_model().restore_with_event(&connection).await.unwrap();
        if !warm {
            seen.assert_unit(1, update, EVENTS);
        }
        connection.transitions(&model, order::Column::Status).await.unwrap();
        if !warm {
            assert_eq!(seen.take(), ["SELECT events"]);
        }
    }
}

async fn unit_without_changes_writes_no_event(db: Arc<TestDb>) {
    let seen = Seen::on(&db).await;
    seen.events.begin(context()).await.unwrap().commit().await.unwrap();
    seen.assert_unit(0, &[], &[]);
    let models = seen.create(1).await;
    seen.update(models.clone()).await;
    seen.take();
    seen.update(models).await; // to the same values
    assert!(!seen.take().iter().any(|statement| statement == "INSERT events"));
}

async fn reads_cost_nothing(db: Arc<TestDb>) {
    let seen = Seen::on(&db).await;
    let id = seen.create(1).await[0].id;
    seen.take();
    let connection = seen.events.connection(context());
    campaign::Entity::find_by_id(id).one(&connection).await.unwrap().unwrap();
    assert_eq!(seen.take(), ["SELECT campaigns"]);
    let txn = seen.events.begin(context()).await.unwrap();
    campaign::Entity::find_by_id(id).one(&txn).await.unwrap().unwrap();
    campaign::Entity::find().all(&txn).await.unwrap();
    txn.commit().await.unwrap();
    seen.assert_unit(2, &["SELECT campaigns"], &[]);
}

async fn events_of_nested_units_are_written_once(db: Arc<TestDb>) {
    let seen = Seen::on(&db).await;
    let txn = seen.events.begin(context()).await.unwrap();
    for name in ["a", "b", "c"] {
        let nested = txn.begin().await.unwrap();
        new_campaign(name).create_with_event(&nested).await.unwrap();
        nested.emit(Event::custom("named")).await.unwrap();
        nested.commit().await.unwrap();
    }
    txn.commit().await.unwrap();
    let seen = seen.take();
    assert_eq!(seen.iter().filter(|statement| *statement == "INSERT events").count(), 1, "{seen:?}");
    assert_eq!(db.log().await.len() % 2, 0);
}

/// A bulk call of so many rows, and what it sends beside the events.
async fn bulk_calls_send_the_same_whatever_the_rows(db: Arc<TestDb>) {
    let seen = Seen::on(&db).await;
    let backend = seen.pool.get_database_backend();
    for count in [1, 2, 40] {
        let models = (0..count).map(|_| new_campaign(&uuid::Uuid::new_v4().to_string()));
        let txn = seen.events.begin(context()).await.unwrap();
        campaign::Entity::insert_many_with_events(models).exec(&txn).await.unwrap();
        txn.commit().await.unwrap();
        let inserts: &[&str] = match backend {
            DbBackend::MySql => &["INSERT campaigns", "SELECT campaigns"], // no RETURNING
            _ => &["INSERT campaigns"],
        };
        seen.assert_unit(1, inserts, EVENTS);

        let txn = seen.events.begin(context()).await.unwrap();
        campaign::Entity::update_many_with_events()
            .col_expr(campaign::Column::Budget, Expr::col(campaign::Column::Budget).add(1))
            .exec(&txn)
            .await
            .unwrap();
        txn.commit().await.unwrap();
        let updates: &[&str] = match backend {
            DbBackend::Postgres => &["WITH locked UPDATE campaigns"],
            DbBackend::MySql => &["SELECT campaigns FOR UPDATE", "UPDATE campaigns", "SELECT campaigns"],
            _ => &["SELECT campaigns", "UPDATE campaigns"],
        };
        seen.assert_unit(1, updates, EVENTS);

        let txn = seen.events.begin(context()).await.unwrap();
        campaign::Entity::delete_many_with_events().exec(&txn).await.unwrap();
        txn.commit().await.unwrap();
        let deletes: &[&str] = match backend {
            DbBackend::Postgres => &["WITH locked DELETE campaigns"],
            DbBackend::MySql => &["SELECT campaigns FOR UPDATE", "DELETE campaigns"],
            _ => &["SELECT campaigns", "DELETE campaigns"],
        };
        seen.assert_unit(1, deletes, EVENTS);
    }
}

async fn nothing(_: &EventTransaction, _: &Event) -> Result<(), ConsumerError> {
    Ok(())
}

async fn nothing_after(_: &EventConnection, _: &Event) -> Result<(), ConsumerError> {
    Ok(())
}

async fn consumers_cost_statements_only_where_their_failures_are_logged(db: Arc<TestDb>) {
    let mut seen = Seen::on(&db).await;
    let backend = seen.pool.get_database_backend();
    let with = async |inside: usize, logged: usize| {
        let mut builder = Events::builder(seen.pool.clone()).without_registered_consumers();
        for n in 0..inside + logged {
            let on_error = if n < inside { OnError::Abort } else { OnError::Log };
            let subscription = Subscription::in_transaction(nothing).on_error(on_error);
            builder = builder.subscribe(subscription.named(n.to_string()));
        }
        builder.subscribe(Subscription::after_commit(nothing_after)).build().await.unwrap()
    };
    let (five, logged) = (with(5, 0).await, with(0, 1).await);
    seen.take(); // what `build` asks
    let save: &[&str] = match backend {
        DbBackend::MySql => &["INSERT campaigns", "SELECT campaigns"],
        _ => &["INSERT campaigns"],
    };
    seen.events = five;
    seen.create(2).await;
    seen.events.drain().await;
    seen.assert_unit(2, save, EVENTS);
    seen.events = logged;
    seen.create(2).await;
    seen.events.drain().await;
    // One savepoint an event; of an embedded database they are not seen, as BEGIN is not.
    let expected = if backend == DbBackend::Sqlite { 0 } else { 2 };
    let statements = seen.take();
    for verb in ["SAVEPOINT", "RELEASE"] {
        let found = statements.iter().filter(|statement| statement.starts_with(verb)).count();
        assert_eq!(found, expected, "{statements:?}");
    }
    assert_eq!(statements.iter().filter(|statement| *statement == "INSERT events").count(), 1);
}
