//! Callers that go away, and what runs on without them: it takes its error with it, and leaves its connection clean.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use events_sea_orm::{ActiveModelEvents, CommitError, EntityEvents, EventTransaction, Events, Refused};
use futures_util::{FutureExt, StreamExt};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DatabaseConnection, DbBackend, EntityTrait, ExprTrait,
    PaginatorTrait, QueryFilter, QuerySelect, Set, SqlErr, Statement, StreamTrait, TransactionTrait,
    Unchanged, sea_query::Expr,
};
use tests::{
    TestDb, context,
    entities::{campaign, visit},
    new_campaign, refusal,
};

tests::conformance! {
    a_begin_that_is_dropped_leaves_its_connection_clean,
    a_begin_dropped_while_it_waits_leaves_its_connection_clean,
    an_end_that_is_dropped_leaves_its_connection_clean,
    a_nested_begin_that_is_dropped_is_undone,
    with_a_savepoint_for_each_save_a_unit_goes_on_after_an_error,
    with_a_savepoint_for_each_save_nothing_of_a_failed_bulk_call_stays,
    what_poisoned_a_unit_is_told_with_what_to_do,
    a_start_that_gets_no_connection_says_what_it_asked,
    chaos_leaves_rows_and_events_alike,
}

mod mariadb {
    #[test]
    fn a_procedure_that_commits_is_not_taken_for_a_part_of_the_unit() {
        let case = super::a_procedure_that_commits_is_not_taken_for_a_part_of_the_unit;
        tests::run("a_procedure_that_commits", Some("MYSQL_URL"), case);
    }
}

mod servers {
    use super::*;

    tests::on_servers! {
        a_read_that_fails_once_it_was_dropped_poisons_its_unit,
        a_read_that_fails_once_it_was_dropped_is_seen_by_the_rollback,
        a_commit_waits_for_what_was_dropped,
        a_nested_commit_waits_for_what_was_dropped,
        a_bulk_write_that_fails_once_it_was_dropped_poisons_its_unit,
        a_deadlock_in_a_savepoint_ends_what_the_database_ends,
    }
}

mod secured {
    use super::*;

    tests::on_postgres! {
        reads_that_are_dropped_lose_no_later_write,
        streams_that_are_dropped_lose_no_later_write,
        a_stream_that_fails_once_it_was_dropped_poisons_its_unit,
        a_driver_that_panics_does_so_once,
    }
}

async fn events_on(pool: DatabaseConnection) -> Events {
    Events::builder(pool).build().await.unwrap()
}

fn budget(id: i32, budget: i64) -> campaign::ActiveModel {
    campaign::ActiveModel { id: Unchanged(id), budget: Set(budget), ..Default::default() }
}

async fn campaigns<const N: usize>(events: &Events) -> [i32; N] {
    let mut ids = [0; N];
    for (n, id) in ids.iter_mut().enumerate() {
        *id = new_campaign(&n.to_string()).create_with_event(&events.connection(context())).await.unwrap().id;
    }
    ids
}

async fn budgets(db: &TestDb) -> Vec<i64> {
    let mut rows = campaign::Entity::find().all(&db.db).await.unwrap();
    rows.sort_by_key(|row| row.id);
    rows.iter().map(|row| row.budget).collect()
}

/// Returns once a session of this database waits for a lock.
async fn somebody_waits(db: &TestDb) {
    loop {
        let waits = match db.db.get_database_backend() {
            DbBackend::Postgres => waits_on_postgres(&db.db).await,
            _ => waits_on_mariadb(&db.db).await,
        };
        if waits {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn waits_on_postgres(db: &DatabaseConnection) -> bool {
    let sql =
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    db.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await.unwrap().is_some()
}

/// By what the engine says of its transactions: the table of them is a copy, which is not renewed while it is read.
async fn waits_on_mariadb(db: &DatabaseConnection) -> bool {
    let rows = |sql: &'static str| db.query_all_raw(Statement::from_string(DbBackend::MySql, sql));
    let own = rows("SELECT id FROM information_schema.processlist WHERE db = database()").await.unwrap();
    let status = rows("SHOW ENGINE INNODB STATUS").await.unwrap();
    let status: String = status[0].try_get("", "Status").unwrap();
    let transactions = status.split("---TRANSACTION").skip(1);
    let waiting: Vec<_> = transactions.filter(|one| one.contains("\nLOCK WAIT")).collect();
    own.iter().any(|row| {
        let id: i64 = row.try_get("", "id").unwrap();
        waiting.iter().any(|one| one.contains(&format!("thread id {id},")))
    })
}

/// Drops this once it waits for a lock.
async fn dropped_while_it_waits<T: std::fmt::Debug>(db: &TestDb, work: impl Future<Output = T>) {
    tokio::select! {
        answer = work => panic!("it was to wait: {answer:?}"),
        () = somebody_waits(db) => {}
    }
}

/// A pool whose statements wait for a lock for a short time only.
async fn impatient(db: &TestDb) -> Events {
    let pool = TestDb::open_with(&db.url, 1).await;
    let setting = match pool.get_database_backend() {
        DbBackend::Postgres => "SET lock_timeout = '2s'",
        _ => "SET innodb_lock_wait_timeout = 3",
    };
    pool.execute_unprepared(setting).await.unwrap();
    events_on(pool).await
}

/// A unit that has changed the first campaign, and whose read of the second one failed after it was dropped: on MariaDB
/// with a deadlock, which has ended its transaction.
async fn failed_by_a_dropped_read(db: &TestDb, ids: [i32; 3]) -> EventTransaction {
    let [first, second, _] = ids;
    let events = impatient(db).await;
    let other = events_on(db.db.clone()).await.begin(context()).await.unwrap();
    budget(second, 2).update(&other).await.unwrap();
    for n in 0..20 {
        new_campaign(&format!("heavier {n}")).insert(&other).await.unwrap(); // so that it is not the victim
    }
    let unit = events.begin(context()).await.unwrap();
    budget(first, 111).update(&unit).await.unwrap();
    let read = campaign::Entity::find_by_id(second).lock_exclusive();
    dropped_while_it_waits(db, read.one(&unit)).await;
    if db.db.get_database_backend() == DbBackend::MySql {
        budget(first, 1).update(&other).await.unwrap(); // the deadlock, of which the unit is the victim
    }
    other.rollback().await.unwrap();
    unit
}

async fn a_read_that_fails_once_it_was_dropped_poisons_its_unit(db: Arc<TestDb>) {
    db.with_tables().await;
    let ids = campaigns(&events_on(db.db.clone()).await).await;
    let unit = failed_by_a_dropped_read(&db, ids).await;
    // On PostgreSQL the read may have had its lock once the other unit had ended. Never is a part committed.
    let saved = budget(ids[2], 333).update(&unit).await;
    match (saved, unit.commit().await) {
        (Ok(_), Ok(())) => {
            assert_ne!(db.db.get_database_backend(), DbBackend::MySql, "the transaction was ended");
            assert_eq!(budgets(&db).await, [111, 100, 333]);
            assert_eq!(db.log().await.len(), 5);
        }
        (Err(late), Err(CommitError::Refused(Refused::Poisoned { source, .. }))) => {
            assert!(matches!(refusal(&late), Refused::Poisoned { source: Some(_), .. }), "{late}");
            assert!(source.is_some());
            assert_eq!(budgets(&db).await, [100, 100, 100]);
            assert_eq!(db.log().await.len(), 3);
        }
        other => panic!("{other:?}"),
    }
}

async fn a_read_that_fails_once_it_was_dropped_is_seen_by_the_rollback(db: Arc<TestDb>) {
    db.with_tables().await;
    let ids = campaigns(&events_on(db.db.clone()).await).await;
    let unit = failed_by_a_dropped_read(&db, ids).await;
    let _ = budget(ids[2], 333).update(&unit).await;
    unit.rollback().await.unwrap();
    assert_eq!(budgets(&db).await, [100, 100, 100], "nothing was written outside of the transaction");
    assert_eq!(db.log().await.len(), 3);
}

/// All events are in the table by then, so that the commit has nothing to send but COMMIT.
async fn a_commit_waits_for_what_was_dropped(db: Arc<TestDb>) {
    db.with_tables().await;
    let direct = events_on(db.db.clone()).await;
    let [row] = campaigns(&direct).await;
    let holder = direct.begin(context()).await.unwrap();
    budget(row, 1).update(&holder).await.unwrap();
    let unit = impatient(&db).await.begin(context()).await.unwrap();
    let many = (0..1_000).map(|n| new_campaign(&format!("many {n}")));
    campaign::Entity::insert_many_with_events(many).exec(&unit).await.unwrap();
    dropped_while_it_waits(&db, campaign::Entity::find_by_id(row).lock_exclusive().one(&unit)).await;
    let committed = unit.commit().await;
    assert!(matches!(&committed, Err(CommitError::Refused(Refused::Poisoned { .. }))), "{committed:?}");
    holder.rollback().await.unwrap();
    assert_eq!(campaign::Entity::find().count(&db.db).await.unwrap(), 1);
    assert_eq!(db.log().await.len(), 1);
}

async fn a_nested_commit_waits_for_what_was_dropped(db: Arc<TestDb>) {
    db.with_tables().await;
    let direct = events_on(db.db.clone()).await;
    let [row] = campaigns(&direct).await;
    let holder = direct.begin(context()).await.unwrap();
    budget(row, 1).update(&holder).await.unwrap();
    let unit = impatient(&db).await.begin(context()).await.unwrap();
    let nested = unit.begin().await.unwrap();
    new_campaign("nested").insert(&nested).await.unwrap();
    dropped_while_it_waits(&db, campaign::Entity::find_by_id(row).lock_exclusive().one(&nested)).await;
    let committed = nested.commit().await;
    assert!(matches!(&committed, Err(CommitError::Refused(Refused::Poisoned { .. }))), "{committed:?}");
    // The savepoint is rolled back: the unit goes on.
    new_campaign("outer").insert(&unit).await.unwrap();
    unit.commit().await.unwrap();
    holder.rollback().await.unwrap();
    assert_eq!(campaign::Entity::find().count(&db.db).await.unwrap(), 2);
    assert_eq!(db.log().await.len(), 2);
}

async fn a_bulk_write_that_fails_once_it_was_dropped_poisons_its_unit(db: Arc<TestDb>) {
    db.with_tables().await;
    let direct = events_on(db.db.clone()).await;
    let [row, other] = campaigns(&direct).await;
    let holder = direct.begin(context()).await.unwrap();
    budget(row, 1).update(&holder).await.unwrap();
    for turn in 0..2 {
        let unit = impatient(&db).await.begin(context()).await.unwrap();
        budget(other, 5).update(&unit).await.unwrap();
        if turn == 0 {
            let update = campaign::Entity::update_many_with_events().set(budget(row, 9));
            let update = update.filter(campaign::Column::Id.eq(row));
            dropped_while_it_waits(&db, update.exec(&unit)).await;
        } else {
            let delete = campaign::Entity::delete_by_id_with_events(row);
            dropped_while_it_waits(&db, delete.exec(&unit)).await;
        }
        let late = budget(other, 6).update(&unit).await.unwrap_err();
        assert!(matches!(refusal(&late), Refused::Poisoned { .. }), "{late}");
        assert!(matches!(unit.commit().await, Err(CommitError::Refused(Refused::Poisoned { .. }))));
    }
    holder.rollback().await.unwrap();
    assert_eq!(budgets(&db).await, [100, 100]);
    assert_eq!(db.log().await.len(), 2);
}

/// Polls so many times, then drops; answers whether it had finished.
async fn dropped_after<T>(polls: usize, work: impl Future<Output = T>) -> bool {
    let mut work = std::pin::pin!(work);
    let mut left = polls;
    std::future::poll_fn(|cx| {
        if left == 0 {
            return std::task::Poll::Ready(false);
        }
        left -= 1;
        work.as_mut().poll(cx).map(|_| true)
    })
    .await
}

/// Drops it early, by polls and by the clock: wherever that hits, what follows must hold.
async fn dropped_somewhere<T>(turn: u64, work: impl Future<Output = T>) {
    if turn.is_multiple_of(2) {
        dropped_after(1 + turn as usize / 2 % 8, work).await;
    } else {
        let _ = tokio::time::timeout(Duration::from_micros(turn * 37 % 1_500), work).await;
    }
}

async fn visits(pool: &DatabaseConnection) -> u64 {
    visit::Entity::find().count(pool).await.unwrap()
}

/// One write that commits by itself, and is there for everybody.
async fn write(pool: &DatabaseConnection) {
    visit::ActiveModel { what: Set("written".to_owned()), ..Default::default() }.insert(pool).await.unwrap();
}

async fn a_begin_that_is_dropped_leaves_its_connection_clean(db: Arc<TestDb>) {
    db.with_tables().await;
    let pool = TestDb::open_with(&db.url, 1).await;
    let events = events_on(pool.clone()).await;
    for turn in 0..300 {
        dropped_somewhere(turn, events.begin(context())).await;
        write(&pool).await;
    }
    assert_eq!(visits(&db.db).await, 300);
}

/// While somebody else has the database (SQLite) or the one connection.
async fn a_begin_dropped_while_it_waits_leaves_its_connection_clean(db: Arc<TestDb>) {
    db.with_tables().await;
    let pool = TestDb::open_with(&db.url, 1).await;
    let events = events_on(pool.clone()).await;
    let direct = events_on(db.db.clone()).await;
    for turn in 1..20 {
        let holder = direct.begin(context()).await.unwrap();
        let one = match db.db.get_database_backend() {
            DbBackend::Sqlite => None,
            _ => Some(events.begin(context()).await.unwrap()),
        };
        // It cannot end before: the time says only where it is dropped.
        let begun = tokio::time::timeout(Duration::from_millis(turn % 5), events.begin(context())).await;
        assert!(begun.is_err(), "somebody else has the database, or its one connection");
        if let Some(one) = one {
            one.rollback().await.unwrap();
        }
        holder.rollback().await.unwrap();
        write(&pool).await;
        assert_eq!(visits(&db.db).await, turn);
    }
}

async fn an_end_that_is_dropped_leaves_its_connection_clean(db: Arc<TestDb>) {
    db.with_tables().await;
    let pool = TestDb::open_with(&db.url, 1).await;
    let events = events_on(pool.clone()).await;
    for turn in 0..200 {
        let unit = events.begin(context()).await.unwrap();
        let unit_id = unit.unit_id();
        new_campaign(&turn.to_string()).insert(&unit).await.unwrap();
        if turn % 3 == 0 {
            dropped_somewhere(turn, unit.rollback()).await;
        } else {
            dropped_somewhere(turn, unit.commit()).await;
        }
        write(&pool).await; // waits for the connection, and so for what the unit has left
        let is_there = campaign::Column::Name.eq(turn.to_string());
        let rows = campaign::Entity::find().filter(is_there).count(&db.db).await.unwrap();
        let log = db.log().await;
        assert_eq!(log.iter().filter(|row| row.unit_id == unit_id).count() as u64, rows, "turn {turn}");
        assert!(turn % 3 > 0 || rows == 0, "turn {turn}: rolled back");
    }
    assert_eq!(visits(&db.db).await, 200);
}

async fn a_nested_begin_that_is_dropped_is_undone(db: Arc<TestDb>) {
    db.with_tables().await;
    let pool = TestDb::open_with(&db.url, 1).await;
    let events = events_on(pool.clone()).await;
    let mut committed = 0;
    for turn in 0..100 {
        let unit = events.begin(context()).await.unwrap();
        new_campaign(&format!("before {turn}")).insert(&unit).await.unwrap();
        dropped_somewhere(turn, unit.begin()).await;
        let after = new_campaign(&format!("after {turn}")).insert(&unit).await;
        match (after, unit.commit().await) {
            (Ok(_), Ok(())) => committed += 2,
            (Err(_), Err(CommitError::Refused(_))) => {}
            // The savepoint was on its way yet when the row was refused, and gone at the commit.
            (Err(late), Ok(())) if matches!(refusal(&late), Refused::NestedOpen) => committed += 1,
            other => panic!("turn {turn}: {other:?}"),
        }
        write(&pool).await;
        assert_eq!(campaign::Entity::find().count(&db.db).await.unwrap(), committed, "turn {turn}");
        assert_eq!(db.log().await.len() as u64, committed);
    }
    assert_eq!(visits(&db.db).await, 100);
}

/// On a pool of one whose reads are transactions of their own.
async fn secured_pool(db: &TestDb) -> (DatabaseConnection, Events) {
    db.with_tables().await;
    let pool = TestDb::open_with(&db.url, 1).await;
    let events = Events::builder(pool.clone()).row_level_security(true).start_despite_dangers();
    (pool, events.build().await.unwrap())
}

async fn reads_that_are_dropped_lose_no_later_write(db: Arc<TestDb>) {
    let (pool, events) = secured_pool(&db).await;
    let connection = events.connection(context());
    for turn in 0..2_000 {
        dropped_somewhere(turn, campaign::Entity::find().all(&connection)).await;
        write(&pool).await;
    }
    assert_eq!(visits(&db.db).await, 2_000);
}

async fn streams_that_are_dropped_lose_no_later_write(db: Arc<TestDb>) {
    let (pool, events) = secured_pool(&db).await;
    let connection = events.connection(context());
    for turn in 0..300 {
        let text = Statement::from_string(DbBackend::Postgres, "SELECT generate_series(1, 2000)");
        let rows = async {
            let mut rows = connection.stream_raw(text).await.unwrap();
            while let Some(row) = rows.next().await {
                row.unwrap();
            }
        };
        dropped_somewhere(turn, rows).await;
        write(&pool).await;
    }
    assert_eq!(visits(&db.db).await, 300);
}

async fn a_stream_that_fails_once_it_was_dropped_poisons_its_unit(db: Arc<TestDb>) {
    db.with_tables().await;
    let unit = events_on(db.db.clone()).await.begin(context()).await.unwrap();
    let many = (0..1_000).map(|n| new_campaign(&format!("many {n}")));
    campaign::Entity::insert_many_with_events(many).exec(&unit).await.unwrap();
    let text = "SELECT 1 / (20000 - n) FROM generate_series(1, 20000) AS n";
    let mut rows = unit.stream_raw(Statement::from_string(DbBackend::Postgres, text)).await.unwrap();
    rows.next().await.unwrap().unwrap();
    drop(rows);
    let committed = unit.commit().await;
    assert!(matches!(&committed, Err(CommitError::Refused(Refused::Poisoned { .. }))), "{committed:?}");
    assert_eq!(campaign::Entity::find().count(&db.db).await.unwrap(), 0);
}

/// SeaORM's driver for PostgreSQL panics on a number that it cannot bind.
async fn a_driver_that_panics_does_so_once(db: Arc<TestDb>) {
    static AGAIN: AtomicU32 = AtomicU32::new(0);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.to_string().contains("resumed after panicking") {
            AGAIN.fetch_add(1, Ordering::SeqCst);
        }
        before(panic);
    }));
    db.with_tables().await;
    let events = events_on(db.db.clone()).await;
    let unit = events.begin(context()).await.unwrap();
    new_campaign("before").insert(&unit).await.unwrap();
    let read = Statement::from_sql_and_values(DbBackend::Postgres, "SELECT $1", [u64::MAX.into()]);
    let read = std::panic::AssertUnwindSafe(unit.query_one_raw(read)).catch_unwind();
    assert!(read.await.is_err(), "the driver takes it by now: find another panic");
    let late = new_campaign("after").insert(&unit).await.unwrap_err();
    assert!(matches!(refusal(&late), Refused::Poisoned { .. }), "{late}");
    assert!(matches!(unit.commit().await, Err(CommitError::Refused(Refused::Poisoned { .. }))));
    // Whatever the runtime was given in the background has run by now.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(AGAIN.load(Ordering::SeqCst), 0);
    assert_eq!(campaign::Entity::find().count(&db.db).await.unwrap(), 0);
}

/// "Insert, and look it up if it is there", twice, in one unit.
async fn with_a_savepoint_for_each_save_a_unit_goes_on_after_an_error(db: Arc<TestDb>) {
    db.with_tables().await;
    let events = Events::builder(db.db.clone()).savepoint_each_save().build().await.unwrap();
    let unit = events.begin(context()).await.unwrap();
    let first = new_campaign("a").insert(&unit).await.unwrap();
    for turn in 0..2 {
        let again = campaign::ActiveModel { name: Set("again".to_owned()), ..new_campaign("a") };
        let error = match turn {
            0 => again.insert(&unit).await.unwrap_err(),
            _ => again.create_with_event(&unit).await.unwrap_err(),
        };
        assert!(matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))), "{error:?}");
        let found = campaign::Entity::find().one(&unit).await.unwrap().unwrap();
        assert_eq!(found.id, first.id);
    }
    budget(first.id, 7).update(&unit).await.unwrap();
    let nested = unit.begin().await.unwrap();
    assert!(new_campaign("a").insert(&nested).await.is_err());
    new_campaign("b").insert(&nested).await.unwrap();
    nested.commit().await.unwrap();
    // A row that is not there is none of the database's errors; joined saves take turns.
    assert!(budget(-1, 7).update(&unit).await.is_err());
    let (left, right) = tokio::join!(new_campaign("c").insert(&unit), new_campaign("d").insert(&unit));
    left.unwrap();
    right.unwrap();
    unit.commit().await.unwrap();
    assert_eq!(tests::types(&db.log().await), ["CREATED", "UPDATED", "CREATED", "CREATED", "CREATED"]);
    assert_eq!(campaign::Entity::find().count(&db.db).await.unwrap(), 4);
}

async fn with_a_savepoint_for_each_save_nothing_of_a_failed_bulk_call_stays(db: Arc<TestDb>) {
    db.with_tables().await;
    let events = Events::builder(db.db.clone()).savepoint_each_save().build().await.unwrap();
    let unit = events.begin(context()).await.unwrap();
    new_campaign("a").insert(&unit).await.unwrap();
    // The last row of the second statement fails, when the events of the first are written.
    let many = (0..1_500).map(|n| new_campaign(&format!("many {n}"))).chain([new_campaign("a")]);
    assert!(campaign::Entity::insert_many_with_events(many).exec(&unit).await.is_err());
    let raised = campaign::Entity::update_many_with_events()
        .col_expr(campaign::Column::Budget, Expr::col(campaign::Column::Budget).add(1))
        .exec(&unit)
        .await
        .unwrap();
    assert_eq!(raised.rows_affected, 1);
    unit.commit().await.unwrap();
    assert_eq!(tests::types(&db.log().await), ["CREATED", "UPDATED"]);
    assert_eq!(budgets(&db).await, [101]);
}

/// On MariaDB the whole transaction is gone, so that the unit cannot go on; PostgreSQL undoes the savepoint alone.
async fn a_deadlock_in_a_savepoint_ends_what_the_database_ends(db: Arc<TestDb>) {
    db.with_tables().await;
    let events = Events::builder(db.db.clone()).savepoint_each_save().build().await.unwrap();
    let [a, b] = campaigns(&events).await;
    let (one, two) = (events.begin(context()).await.unwrap(), events.begin(context()).await.unwrap());
    budget(a, 1).update(&one).await.unwrap();
    budget(b, 2).update(&two).await.unwrap();
    let take = async |unit: EventTransaction, id, value| {
        if budget(id, value).update(&unit).await.is_ok() {
            unit.commit().await.unwrap();
            return true;
        }
        let late = new_campaign("late").insert(&unit).await;
        match db.db.get_database_backend() {
            DbBackend::Postgres => drop(late.unwrap()),
            _ => assert!(matches!(refusal(&late.unwrap_err()), Refused::Poisoned { source: Some(_), .. })),
        }
        let undone = unit.rollback().await; // MariaDB has no savepoint left to go back to, and says so
        assert!(undone.is_ok() || db.db.get_database_backend() == DbBackend::MySql, "{undone:?}");
        false
    };
    let taken = tokio::join!(take(one, b, 1), take(two, a, 2));
    let value = if taken.0 { 1 } else { 2 };
    assert!(taken.0 != taken.1, "one of them is the victim");
    assert_eq!(budgets(&db).await, [value, value]);
    assert_eq!(db.log().await.len(), 4);
}

async fn what_poisoned_a_unit_is_told_with_what_to_do(db: Arc<TestDb>) {
    db.with_tables().await;
    let events = events_on(db.db.clone()).await;
    let unit = events.begin(context()).await.unwrap();
    new_campaign("s3cr3t").insert(&unit).await.unwrap();
    let first = new_campaign("s3cr3t").insert(&unit).await.unwrap_err();
    let second = new_campaign("b").insert(&unit).await.unwrap_err();
    let Refused::Poisoned { source: Some(source), .. } = refusal(&second) else { panic!("{second}") };
    assert_eq!(source.to_string(), first.to_string());
    assert!(matches!(source.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))), "{source:?}");
    for said in [second.to_string(), format!("{second:?}"), unit.commit().await.unwrap_err().to_string()] {
        assert!(said.contains(&first.to_string()), "{said}");
        assert!(said.contains("`begin()`") && said.contains("savepoint_each_save()"), "{said}");
        assert!(!said.contains("s3cr3t"), "{said}");
    }
}

/// A short one; `cargo xtask soak chaos` is the long one.
async fn chaos_leaves_rows_and_events_alike(db: Arc<TestDb>) {
    let counts = tests::chaos::run(Arc::clone(&db), 12, tests::chaos::Until::Units(300)).await;
    assert!(counts.units >= 300 && counts.committed > 50 && counts.events > 50, "{counts:?}");
}

async fn a_start_that_gets_no_connection_says_what_it_asked(db: Arc<TestDb>) {
    db.with_tables().await;
    let pool = TestDb::open_with(&db.url, 1).await;
    let held = pool.begin().await.unwrap();
    let built = Events::builder(pool).check_deadline(Duration::from_millis(50)).build().await.unwrap_err();
    for said in [built.to_string(), format!("{built:?}")] {
        assert!(said.contains("no answer within 50ms to the question wh"), "{said}");
    }
    held.rollback().await.unwrap();
}

/// What a procedure does nobody looks into: it is not called, and the unit is whole.
async fn a_procedure_that_commits_is_not_taken_for_a_part_of_the_unit(db: Arc<TestDb>) {
    db.with_tables().await;
    db.db.execute_unprepared("CREATE PROCEDURE commits() BEGIN COMMIT; END").await.unwrap();
    let unit = events_on(db.db.clone()).await.begin(context()).await.unwrap();
    new_campaign("a").insert(&unit).await.unwrap();
    let called = unit.untracked("repair", async |txn| txn.execute_unprepared("CALL commits()").await);
    let called = called.await.map_err(|error: sea_orm::DbErr| error).unwrap_err();
    assert!(!matches!(refusal(&called), Refused::Poisoned { .. }), "{called}");
    new_campaign("b").insert(&unit).await.unwrap();
    unit.rollback().await.unwrap();
    assert_eq!(campaign::Entity::find().count(&db.db).await.unwrap(), 0);
}
