//! Counts made anew from the log.

use std::ops::RangeInclusive;

use events_core::{TeamScope, error::check_identifier};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, EntityTrait, ExprTrait,
    FromQueryResult, QueryFilter, QueryOrder, QueryTrait, StatementBuilder,
    prelude::Date,
    sea_query::{Expr, Query, SelectStatement},
};

use super::{CHUNK, Counted, KEY, daily_count, insert};
use crate::{
    backend::{self, Lock},
    error::Refused,
    events::Events,
    store::event,
    transaction::{self, InFlight},
};

/// Counts the events of these days anew, of one team or of every team, so that the counts are what the log says: for
/// events that were written before [`DailyCounts`](super::DailyCounts) was registered, or while it was not.
///
/// Answers how many rows there are now. It may run while the application writes, in a transaction of its own: what
/// commits meanwhile is in the log that was counted, or added afterwards. Commits that count wait for it, though, on
/// PostgreSQL those of every team, on SQLite all that write; and it reads the whole log of the team, or of all. So choose
/// a quiet hour for a large log: a commit whose consumer waits longer than its time budget, 5 s unless said, is refused.
///
/// # Errors
/// The database's; nothing is changed then. Under row-level security, all teams take
/// [`all_teams_role`](crate::EventsBuilder::all_teams_role).
///
/// # Examples
/// ```no_run
/// # use events_sea_orm::{Events, analytics};
/// # async fn example(events: Events, first: sea_orm::prelude::Date, last: sea_orm::prelude::Date) -> Result<(), sea_orm::DbErr> {
/// analytics::rebuild(&events, None, first..=last).await?;
/// analytics::rebuild(&events, Some("7"), last..=last).await?;
/// # Ok(()) }
/// ```
pub async fn rebuild(events: &Events, team: Option<&str>, days: RangeInclusive<Date>) -> Result<u64, DbErr> {
    let backend = events.pool().get_database_backend();
    if let Some(team) = team {
        check_identifier("team", team).map_err(Refused::from)?;
    }
    super::check_days(backend, &days)?;
    let options = backend::analytics::rebuild_options(backend);
    let scope = team.map_or(TeamScope::All, |team| TeamScope::Team(team.to_owned()));
    let enter = events.enter(&scope)?;
    let txn = transaction::begin(events.pool(), options, enter).await?;
    let team = team.map(str::to_owned);
    // To its end even if the caller goes away: others wait for its locks.
    InFlight::new(async move {
        let rows = replace(&txn, team.as_deref(), &days).await?; // dropped, it is rolled back
        txn.commit().await?;
        Ok(rows)
    })
    .await
}

async fn replace(
    txn: &DatabaseTransaction,
    team: Option<&str>,
    days: &RangeInclusive<Date>,
) -> Result<u64, DbErr> {
    use daily_count::{Column, Entity};
    let backend = txn.get_database_backend();
    let range = Condition::all()
        .add_option(team.map(|team| Column::TeamId.eq(team)))
        .add(Column::Day.between(*days.start(), *days.end()));
    // First of all: what commits from here on has not been counted, and waits until this is committed.
    if let Some(sql) = backend::analytics::lock_counts(backend) {
        txn.execute_unprepared(sql).await?;
    }
    if let Some(lock) = backend::lock(backend, Lock::ForUpdate) {
        let mut select = Entity::find().filter(range.clone());
        for column in KEY {
            select = select.order_by_asc(column);
        }
        txn.query_all(select.into_query().lock(lock)).await?;
    }
    let rows = txn.query_all(&count_log(backend, team, days)).await?;
    let counts: Vec<daily_count::Model> =
        rows.iter().map(|row| daily_count::Model::from_query_result(row, "")).collect::<Result<_, _>>()?;
    Entity::delete_many().filter(range).exec(txn).await?;
    for counts in counts.chunks(CHUNK) {
        let statement = insert(counts.iter().map(Counted::from));
        txn.execute_raw(StatementBuilder::build(&statement, &backend)).await?;
    }
    Ok(counts.len() as u64)
}

/// What the log says of these days.
fn count_log(backend: DbBackend, team: Option<&str>, days: &RangeInclusive<Date>) -> SelectStatement {
    use daily_count::Column as Count;
    use event::Column as Event;
    let day = || Expr::cust(backend::analytics::day_of_occurred_at(backend));
    // Text: two parameters, even of one value, are two expressions to PostgreSQL.
    let object_type = || Expr::cust("coalesce(object_type, '')");
    let mut select = Query::select();
    select
        .column(Event::TeamId)
        .expr_as(day(), Count::Day)
        .column(Event::EventType)
        .expr_as(object_type(), Count::ObjectType)
        .expr_as(Expr::col(Event::Id).count(), Count::Count)
        .from(event::Entity)
        .and_where(day().between(*days.start(), *days.end()))
        .and_where_option(team.map(|team| Expr::col(Event::TeamId).eq(team)))
        .add_group_by([Expr::col(Event::TeamId), day(), Expr::col(Event::EventType), object_type()]);
    select
}
