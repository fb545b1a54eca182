//! Counts of events by team, day, event type and object type, kept while events are written.
//!
//! ```
//! use events_sea_orm::{Context, Event, Events, Subscription, analytics::{self, DailyCounts}, migration};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let mut options = sea_orm::ConnectOptions::new("sqlite::memory:");
//! # options.max_connections(1);
//! # let pool = sea_orm::Database::connect(options).await?;
//! # migration::up(&pool).await?;
//! migration::analytics::up(&pool).await?;
//! // After the other consumers: `DailyCounts` says why.
//! let counts = Subscription::in_transaction(DailyCounts).order(100);
//! let events = Events::builder(pool).subscribe(counts).build().await?;
//! let txn = events.begin(Context::team(7).actor("user:1")).await?;
//! txn.emit(Event::custom("launch_approved").occurred_at("2026-01-05T09:00:00Z".parse()?)).await?;
//! txn.commit().await?;
//!
//! let db = events.connection(Context::team(7));
//! let january = "2026-01-01".parse()?..="2026-01-31".parse()?;
//! let rows = analytics::daily_counts(&db, 7, january.clone()).await?;
//! assert_eq!((rows[0].day, rows[0].count), ("2026-01-05".parse()?, 1));
//! assert_eq!(analytics::totals(&db, 7, january).await?[0].event_type, "launch_approved");
//! # Ok(()) }
//! ```
//!
//! The day is that of `occurred_at` in UTC: an event that is imported counts on the day on which it happened.
//!
//! [`daily_counts`] and [`totals`] read the counts of a team. [`rebuild`] makes them anew from the log. The table,
//! `event_daily_counts`, comes with `migration::analytics`; it holds types and numbers alone.

pub mod daily_count;
mod rebuild;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    ops::RangeInclusive,
};

use events_core::{Event, ObjectRef, error::check_identifier};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbBackend, DbErr, EntityName, EntityTrait, ExprTrait,
    FromQueryResult, QueryFilter, QueryOrder, QuerySelect, QueryTrait, Statement, StatementBuilder, Value,
    prelude::Date,
    sea_query::{Expr, InsertStatement, OnConflict, Query},
};

pub use self::rebuild::rebuild;
use crate::{
    backend,
    consumer::{Consumer, ConsumerError, ConsumerFuture},
    error::Refused,
    team,
    transaction::{Busy, EventTransaction},
};

pub(crate) fn own_tables() -> [&'static str; 2] {
    [daily_count::Entity.table_name(), backend::analytics::LOCK_TABLE]
}

/// The consumer that counts events.
///
/// Counts commit with the events, so they are what a `GROUP BY` of the log says, if every event since the first is counted:
/// register it for all of them. [`rebuild`] sees to those from before.
///
/// It sends one statement for the events of a round, in which the database adds to what is there; on MariaDB and MySQL a
/// SELECT before it, and one lock more for what is counted for the first time on a day.
///
/// The counts are locked until the commit: **units of work of one team that record the same kind of event commit one after
/// the other** from there on. So let it run last, and measure before you count what is written all the time.
///
/// Two units that count the same kinds at once lock them in the same order, and none waits for the other in a circle. That
/// is not so of a unit that counts more than once: if consumers add events of other kinds, in a bulk write of more than
/// 5,000 rows, in a scope. Such two may deadlock, and the database then refuses one; so it does at an isolation level above
/// READ COMMITTED, where a count may not be added to what another unit has just committed.
#[derive(Debug, Clone, Copy, Default)]
pub struct DailyCounts;

/// So many counts are written by one statement.
const CHUNK: usize = 1_000;

/// The key of a count.
const KEY: [daily_count::Column; 4] = {
    use daily_count::Column;
    [Column::TeamId, Column::Day, Column::EventType, Column::ObjectType]
};

/// What is counted together, in the order in which it is locked.
type Kind<'a> = (&'a str, Date, &'a str, &'a str);

/// A kind of event and how many of it.
#[derive(Clone, Copy)]
struct Counted<'a> {
    kind: Kind<'a>,
    count: i64,
}

impl<'a> From<&'a daily_count::Model> for Counted<'a> {
    fn from(row: &'a daily_count::Model) -> Self {
        Self { kind: (&row.team_id, row.day, &row.event_type, &row.object_type), count: row.count }
    }
}

impl DailyCounts {
    async fn count(txn: &EventTransaction, events: &[&Event]) -> Result<(), ConsumerError> {
        let mut counts: BTreeMap<Kind<'_>, i64> = BTreeMap::new();
        for event in events {
            *counts.entry(kind(event)).or_default() += 1;
        }
        let counts: Vec<Counted<'_>> =
            counts.into_iter().map(|(kind, count)| Counted { kind, count }).collect();
        let busy = txn.begin_bulk().await?;
        let doubt = txn.doubt_bulk();
        lock_new(txn, &busy, &counts).await?;
        for counts in counts.chunks(CHUNK) {
            let mut upsert = insert(counts.iter().copied());
            upsert.on_conflict(added(txn.backend()));
            txn.execute_any(&busy, StatementBuilder::build(&upsert, &txn.backend())).await?;
        }
        doubt.settle();
        Ok(())
    }
}

/// Takes the lock of new counts, where the database needs one, if a count is not there yet: before any count is locked, so
/// that nobody waits for it who holds one.
async fn lock_new(txn: &EventTransaction, busy: &Busy, counts: &[Counted<'_>]) -> Result<(), DbErr> {
    let Some(lock) = backend::analytics::lock_new_counts(txn.backend()) else { return Ok(()) };
    for counts in counts.chunks(CHUNK) {
        if !all_are_there(txn, busy, counts).await? {
            txn.query_own(busy, Statement::from_string(txn.backend(), lock)).await?;
            break;
        }
    }
    Ok(())
}

async fn all_are_there(txn: &EventTransaction, busy: &Busy, counts: &[Counted<'_>]) -> Result<bool, DbErr> {
    use daily_count::{Column, Entity};
    let teams: BTreeSet<&str> = counts.iter().map(|counted| counted.kind.0).collect();
    let days: BTreeSet<Date> = counts.iter().map(|counted| counted.kind.1).collect();
    let select = Entity::find().filter(Column::TeamId.is_in(teams)).filter(Column::Day.is_in(days));
    let statement = StatementBuilder::build(&select.into_query(), &txn.backend());
    let rows = txn.query_own(busy, statement).await?;
    let rows: Vec<_> =
        rows.iter().map(|row| daily_count::Model::from_query_result(row, "")).collect::<Result<_, _>>()?;
    let there: BTreeSet<Kind<'_>> = rows.iter().map(|row| Counted::from(row).kind).collect();
    Ok(counts.iter().all(|counted| there.contains(&counted.kind)))
}

fn kind(event: &Event) -> Kind<'_> {
    let object_type = event.object.as_ref().map_or("", |object| &object.object_type);
    (&event.team_id, event.occurred_at.date_naive(), event.event_type.as_str(), object_type)
}

fn insert<'a>(counts: impl Iterator<Item = Counted<'a>>) -> InsertStatement {
    use daily_count::Column;
    let mut insert = Query::insert();
    insert.into_table(daily_count::Entity).columns(KEY.into_iter().chain([Column::Count]));
    for Counted { kind: (team, day, event_type, object_type), count } in counts {
        // Five columns and five values: the only error there is cannot happen.
        let _ = insert.values([team.into(), day.into(), event_type.into(), object_type.into(), count.into()]);
    }
    insert
}

/// To what is there the database adds.
fn added(backend: DbBackend) -> OnConflict {
    use daily_count::Column;
    OnConflict::columns(KEY)
        .value(Column::Count, Expr::cust(backend::analytics::sum_of_counts(backend)))
        .to_owned()
}

impl Consumer for DailyCounts {
    fn handle<'a>(&'a self, txn: &'a EventTransaction, event: &'a Event) -> ConsumerFuture<'a> {
        Box::pin(async move { Self::count(txn, &[event]).await })
    }

    fn handle_all<'a>(
        &'a self,
        txn: &'a EventTransaction,
        events: &'a [&'a Event],
    ) -> Option<ConsumerFuture<'a>> {
        Some(Box::pin(Self::count(txn, events)))
    }
}

/// How many events of a kind there were on several days.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
#[non_exhaustive]
pub struct Total {
    /// What happened: see [`EventType`](events_core::EventType).
    pub event_type: String,
    /// What kind of object it happened to; the empty text of events about nothing.
    pub object_type: String,
    /// How many.
    pub count: i64,
}

/// Refuses days that the database does not hold.
fn check_days(backend: DbBackend, days: &RangeInclusive<Date>) -> Result<(), Refused> {
    let ends = [Value::from(*days.start()), Value::from(*days.end())];
    backend::years::check(backend, &ends, |place| format!("the {} of the days", ["first", "last"][place]))
}

/// The counts of a team, if the connection may read them.
fn of_days<C: ConnectionTrait>(
    db: &C,
    team: impl Display,
    days: &RangeInclusive<Date>,
) -> Result<Condition, Refused> {
    use daily_count::Column;
    let team = team.to_string();
    team::check_named(db, &team, || ObjectRef::new("daily count", days.start()))?;
    check_identifier("team", &team)?;
    check_days(db.get_database_backend(), days)?;
    Ok(Condition::all().add(Column::TeamId.eq(team)).add(Column::Day.between(*days.start(), *days.end())))
}

/// The counts of a team on these days, by day, event type and object type. What did not happen has no row.
///
/// # Errors
/// [`Refused::OtherTeam`] on an `EventConnection` or `EventTransaction` of another team; else the database's.
///
/// # Examples
/// ```no_run
/// # use events_sea_orm::{EventConnection, analytics};
/// # async fn example(db: EventConnection, first: sea_orm::prelude::Date, last: sea_orm::prelude::Date) -> Result<(), sea_orm::DbErr> {
/// for row in analytics::daily_counts(&db, 7, first..=last).await? {
///     println!("{} {} {}: {}", row.day, row.object_type, row.event_type, row.count);
/// }
/// # Ok(()) }
/// ```
pub async fn daily_counts(
    db: &impl ConnectionTrait,
    team: impl Display,
    days: RangeInclusive<Date>,
) -> Result<Vec<daily_count::Model>, DbErr> {
    use daily_count::{Column, Entity};
    let find = Entity::find().filter(of_days(db, team, &days)?);
    find.order_by_asc(Column::Day)
        .order_by_asc(Column::EventType)
        .order_by_asc(Column::ObjectType)
        .all(db)
        .await
}

/// The counts of a team over these days, by event type and object type.
///
/// # Errors
/// As [`daily_counts`].
pub async fn totals(
    db: &impl ConnectionTrait,
    team: impl Display,
    days: RangeInclusive<Date>,
) -> Result<Vec<Total>, DbErr> {
    use daily_count::{Column, Entity};
    // A sum of integers is none to every database.
    let sum = Column::Count.sum().cast_as(backend::analytics::integer(db.get_database_backend()));
    Entity::find()
        .select_only()
        .column(Column::EventType)
        .column(Column::ObjectType)
        .column_as(sum, Column::Count)
        .filter(of_days(db, team, &days)?)
        .group_by(Column::EventType)
        .group_by(Column::ObjectType)
        .order_by_asc(Column::EventType)
        .order_by_asc(Column::ObjectType)
        .into_model()
        .all(db)
        .await
}
