//! How threads and messages get into their tables.
//!
//! Whoever writes into threads holds the lock of each of their rows until its commit. So the numbers of the messages of
//! one thread rise in the order of the commits, and whoever reads on from the last number misses no message.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use events_core::{ThreadRef, error::check_identifier};
use sea_orm::{
    ColumnTrait, Condition, DbErr, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QueryTrait,
    StatementBuilder,
    sea_query::{Expr, OnConflict, Query, SelectStatement},
};
use serde_json::json;
use uuid::Uuid;

use super::{message, thread};
use crate::{
    backend::{self, Lock},
    error::Refused,
    store::stored_object_id,
    transaction::{Busy, EventTransaction},
};

/// What one statement carries at most; see the events' own.
const CHUNK: usize = 5_000;

/// So many threads are looked for, made or locked by one statement.
const THREADS: usize = 1_000;

/// A thread of a team, as its table has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) team_id: String,
    pub(super) object_type: String,
    pub(super) object_id: String,
    /// The empty text for none.
    pub(super) scope: String,
}

impl Key {
    pub(super) fn of(team: &str, thread: &ThreadRef) -> Self {
        Self {
            team_id: team.to_owned(),
            object_type: thread.object.object_type.clone(),
            object_id: stored_object_id(&thread.object.object_id).into_owned(),
            scope: thread.scope.clone().unwrap_or_default(),
        }
    }

    /// Refuses what cannot be stored.
    pub(super) fn check(&self) -> Result<(), Refused> {
        check_identifier("team", &self.team_id)?;
        let object = events_core::ObjectRef::new(&self.object_type, &self.object_id);
        Ok(ThreadRef::of(object).scoped(&self.scope).check()?)
    }

    pub(super) fn of_row(row: thread::Model) -> Self {
        let thread::Model { team_id, object_type, object_id, scope, .. } = row;
        Self { team_id, object_type, object_id, scope }
    }

    fn values(&self) -> [&str; 4] {
        [&self.team_id, &self.object_type, &self.object_id, &self.scope]
    }

    /// The condition of its row.
    pub(super) fn condition(&self) -> Condition {
        let columns = COLUMNS.iter().zip(self.values());
        columns.fold(Condition::all(), |all, (column, value)| all.add(column.eq(value)))
    }
}

const COLUMNS: [thread::Column; 4] =
    [thread::Column::TeamId, thread::Column::ObjectType, thread::Column::ObjectId, thread::Column::Scope];

/// A system message, to be written.
pub(super) struct NewMessage {
    pub(super) thread_id: i64,
    pub(super) team_id: String,
    pub(super) event_id: Uuid,
    pub(super) author_id: Option<String>,
    pub(super) body: String,
    pub(super) data: serde_json::Value,
}

/// The numbers of threads by their keys.
pub(super) type Numbers = HashMap<Key, i64>;

/// Locks the threads' rows until the commit, and makes those that are not there yet.
///
/// Units that do so for several threads must not wait for one another in a circle. One thread is locked as it is found. Of
/// several, those that are missing are made in the order of their keys before any is locked, then all are locked in the
/// order of their numbers; where an INSERT locks what is there too, it is one INSERT of all in the order of their keys.
pub(super) async fn lock(
    txn: &EventTransaction,
    busy: &Busy,
    keys: &BTreeSet<Key>,
) -> Result<Numbers, DbErr> {
    let keys: Vec<&Key> = keys.iter().collect();
    let alone = keys.len() == 1;
    let by_insert = backend::threads::locks_by_insert(txn.backend());
    let mut numbers = Numbers::new();
    let missing = |numbers: &Numbers| -> Vec<&Key> {
        keys.iter().copied().filter(|key| !numbers.contains_key(*key)).collect()
    };
    if alone || !by_insert {
        numbers = find(txn, busy, &keys, alone).await?;
    }
    if alone && !numbers.is_empty() {
        return Ok(numbers);
    }
    make(txn, busy, &missing(&numbers)).await?;
    numbers.extend(find(txn, busy, &missing(&numbers), false).await?);
    // Made by somebody else since this transaction's own picture of the table was taken: a locking read is one of now.
    numbers.extend(find(txn, busy, &missing(&numbers), true).await?);
    if !by_insert {
        lock_by_id(txn, busy, &numbers).await?;
    }
    match missing(&numbers).as_slice() {
        [] => Ok(numbers),
        _ => Err(DbErr::RecordNotFound("a thread that was made cannot be found".to_owned())),
    }
}

async fn find(txn: &EventTransaction, busy: &Busy, keys: &[&Key], locked: bool) -> Result<Numbers, DbErr> {
    let mut numbers = Numbers::new();
    for keys in keys.chunks(THREADS) {
        let mut select = thread::Entity::find().filter(any_of(keys)).into_query();
        if locked {
            backend::lock_rows(&mut select, txn.backend(), Lock::ForUpdate);
        }
        let rows: Vec<thread::Model> = read(txn, busy, &select).await?;
        numbers.extend(rows.into_iter().map(|row| (row.id, row)).map(|(id, row)| (Key::of_row(row), id)));
    }
    Ok(numbers)
}

/// The condition of the rows of these keys. Most of a round differ in their objects alone, and a list of those is what
/// every database finds by its index.
fn any_of(keys: &[&Key]) -> Condition {
    let mut alike: BTreeMap<[&str; 3], Vec<&str>> = BTreeMap::new();
    for key in keys {
        alike.entry([&key.team_id, &key.object_type, &key.scope]).or_default().push(&key.object_id);
    }
    alike.into_iter().fold(Condition::any(), |any, ([team, object_type, scope], objects)| {
        let all = Condition::all()
            .add(thread::Column::TeamId.eq(team))
            .add(thread::Column::ObjectType.eq(object_type))
            .add(thread::Column::ObjectId.is_in(objects))
            .add(thread::Column::Scope.eq(scope));
        any.add(all)
    })
}

async fn make(txn: &EventTransaction, busy: &Busy, keys: &[&Key]) -> Result<(), DbErr> {
    for keys in keys.chunks(THREADS) {
        let mut insert = Query::insert();
        insert.into_table(thread::Entity).columns(COLUMNS);
        for key in keys {
            // Four columns and four values: the only error there is cannot happen.
            let _ = insert.values(key.values().map(Expr::from));
        }
        // Where that needs a column to be set to itself: not the number, or MariaDB hands out the next ones twice.
        let there = OnConflict::columns(COLUMNS).do_nothing_on([thread::Column::Scope]).to_owned();
        let statement = StatementBuilder::build(insert.on_conflict(there), &txn.backend());
        txn.execute_any(busy, statement).await?;
    }
    Ok(())
}

async fn lock_by_id(txn: &EventTransaction, busy: &Busy, numbers: &Numbers) -> Result<(), DbErr> {
    let Some(lock) = backend::lock(txn.backend(), Lock::ForUpdate) else {
        return Ok(()); // the whole database is
    };
    let mut ids: Vec<i64> = numbers.values().copied().collect();
    ids.sort_unstable();
    for ids in ids.chunks(CHUNK) {
        let of_ids = thread::Entity::find().filter(thread::Column::Id.is_in(ids.iter().copied()));
        let mut select = of_ids.order_by_asc(thread::Column::Id).into_query();
        select.lock(lock);
        let _: Vec<thread::Model> = read(txn, busy, &select).await?;
    }
    Ok(())
}

/// Writes messages of threads that are locked; those of events that have one already are left out.
pub(super) async fn insert(
    txn: &EventTransaction,
    busy: &Busy,
    messages: &[NewMessage],
) -> Result<(), DbErr> {
    let sql = backend::threads::insert_messages_from_json(txn.backend());
    txn.insert_json_rows(busy, sql, messages.iter().map(row)).await
}

fn row(message: &NewMessage) -> String {
    json!({
        "thread_id": message.thread_id,
        "team_id": message.team_id,
        "event_id": message.event_id.simple(),
        "author_id": message.author_id,
        "body": message.body,
        "data": message.data.to_string(),
    })
    .to_string()
}

/// Writes a user's own message into a thread that is locked, and answers it.
pub(super) async fn insert_own(
    txn: &EventTransaction,
    busy: &Busy,
    thread_id: i64,
    key: &Key,
    author: &str,
    body: &str,
) -> Result<message::Model, DbErr> {
    use message::Column;
    let mut insert = Query::insert();
    insert.into_table(message::Entity).columns([
        Column::ThreadId,
        Column::TeamId,
        Column::Kind,
        Column::AuthorId,
        Column::Body,
        Column::Data,
    ]);
    let _ = insert.values([
        thread_id.into(),
        key.team_id.as_str().into(),
        message::Kind::User.into(),
        author.into(),
        body.into(),
        json!({}).into(),
    ]);
    let doubt = txn.doubt_bulk();
    txn.execute_any(busy, StatementBuilder::build(&insert, &txn.backend())).await?;
    doubt.settle();
    // The thread is locked: its last message is this one, whether or not the database tells numbers.
    let last = message::Entity::find().filter(Column::ThreadId.eq(thread_id)).order_by_desc(Column::Id);
    let last = sea_orm::QuerySelect::limit(last, 1).into_query();
    let found = read(txn, busy, &last).await?.into_iter().next();
    found.ok_or_else(|| DbErr::RecordNotFound("a message that was written cannot be found".to_owned()))
}

async fn read<M: FromQueryResult>(
    txn: &EventTransaction,
    busy: &Busy,
    select: &SelectStatement,
) -> Result<Vec<M>, DbErr> {
    let rows = txn.query_own(busy, StatementBuilder::build(select, &txn.backend())).await?;
    rows.iter().map(|row| M::from_query_result(row, "")).collect()
}
