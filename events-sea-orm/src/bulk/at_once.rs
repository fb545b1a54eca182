//! On PostgreSQL, a bulk call whose rows are one chunk as one statement: they are locked in key order, written, and
//! answered as they were and as they are.
//!
//! It writes nothing if the rows are more than a chunk, or one is not of the context's team. Then, and where no row
//! matches, the caller goes the long way, which tells why.

use events_core::TeamScope;
use sea_orm::{
    ColumnTrait, Condition, DbErr, EntityTrait, ExprTrait, FromQueryResult, IdenStatic, Iterable,
    QueryResult, StatementBuilder,
    sea_query::{
        Asterisk, CommonTableExpression, Expr, Order, Query, SelectStatement, SubQueryStatement, WithClause,
    },
};

use super::{CHUNK, Filter, keys::key_columns};
use crate::{
    backend::{self, Lock},
    tracked::{OLD, TeamSource, Tracked, has_old_names, old_name},
    transaction::{Busy, EventTransaction},
    withhold::withhold_for,
};

/// The locked rows, and the written ones, as the statement calls them.
const LOCKED: &str = "__locked";
const WRITTEN: &str = "__written";

/// Updates the rows that match, if it can be done at once: what they were, and what they are, in key order.
pub(super) async fn update<E: EntityTrait>(
    txn: &EventTransaction,
    busy: &Busy,
    filter: &Filter,
    values: &[(E::Column, Expr)],
) -> Result<Option<Vec<(E::Model, E::Model)>>, DbErr>
where
    E::Model: Tracked,
{
    let Some(fits) = fits::<E>(txn) else { return Ok(None) };
    let mut update = Query::update();
    update.table(E::default().table_ref()).from(LOCKED);
    for (column, expr) in values {
        update.value(*column, expr.clone());
    }
    let is_locked =
        |key: E::Column| Expr::col(key.as_column_ref()).eq(Expr::col((LOCKED, old_name(key.as_str()))));
    update.cond_where(key_columns::<E>().map(is_locked).fold(fits, Condition::add));
    let old = E::Column::iter().map(|column| Expr::col(old_name(column.as_str())));
    update.returning(Query::returning().exprs(columns::<E>().chain(old)));
    let rows = send::<E>(txn, busy, locked::<E>(txn, filter, Lock::ForUpdate), update).await?;
    let both = |row: &QueryResult| {
        Ok((E::Model::from_query_result(row, OLD)?, E::Model::from_query_result(row, "")?))
    };
    written::<E, _>(rows.iter().map(both).collect())
}

/// Deletes the rows that match, if it can be done at once: what they were, in key order.
pub(super) async fn delete<E: EntityTrait>(
    txn: &EventTransaction,
    busy: &Busy,
    filter: &Filter,
) -> Result<Option<Vec<E::Model>>, DbErr>
where
    E::Model: Tracked,
{
    let Some(fits) = fits::<E>(txn) else { return Ok(None) };
    let key = Expr::tuple(key_columns::<E>().map(|key| Expr::col(key.as_column_ref())));
    let mut locked_keys = Query::select();
    locked_keys.columns(key_columns::<E>().map(|key| old_name(key.as_str()))).from(LOCKED);
    let mut delete = Query::delete();
    delete.from_table(E::default().table_ref()).cond_where(fits.add(key.in_subquery(locked_keys)));
    delete.returning(Query::returning().exprs(columns::<E>()));
    let rows = send::<E>(txn, busy, locked::<E>(txn, filter, Lock::ForDelete), delete).await?;
    written::<E, _>(rows.iter().map(|row| E::Model::from_query_result(row, "")).collect())
}

fn columns<E: EntityTrait>() -> impl Iterator<Item = Expr> {
    E::Column::iter().map(|column| column.select_as(Expr::col(column.as_column_ref())))
}

/// The rows that match, locked in key order; one more than a chunk tells that there are too many.
fn locked<E: EntityTrait>(txn: &EventTransaction, filter: &Filter, lock: Lock) -> SelectStatement {
    let mut select = Query::select();
    select.from(E::default().table_ref()).cond_where(filter.0.clone()).limit(CHUNK as u64 + 1);
    for column in E::Column::iter() {
        let value = column.select_as(Expr::col(column.as_column_ref()));
        select.expr_as(value, old_name(column.as_str()));
    }
    for key in key_columns::<E>() {
        select.order_by_expr(Expr::col(key.as_column_ref()), Order::Asc);
    }
    if let Some(lock) = backend::lock(txn.backend(), lock) {
        select.lock(lock);
    }
    select
}

/// The condition that all locked rows may be written. None if this is no way to write them.
fn fits<E: EntityTrait>(txn: &EventTransaction) -> Option<Condition>
where
    E::Model: Tracked,
{
    let TeamScope::Team(team) = txn.team_scope() else { return None };
    if !backend::updates_with_old(txn.backend()) || !has_old_names::<E>() {
        return None;
    }
    let mut count = Query::select();
    count.expr(Expr::col(Asterisk).count()).from(LOCKED);
    let few = Expr::SubQuery(None, Box::new(count.into())).lte(CHUNK as i64);
    let TeamSource::Column(column) = E::Model::definition().team() else {
        return Some(Condition::all().add(few));
    };
    let column = || Expr::col(old_name(column));
    let is_foreign = Condition::any().add(column().is_null()).add(column().cast_as("text").ne(team));
    let mut foreign = Query::select();
    foreign.expr(Expr::val(1)).from(LOCKED).cond_where(is_foreign);
    Some(Condition::all().add(few).add(Expr::exists(foreign).not()))
}

/// Sends it, and answers the written rows in key order.
async fn send<E: EntityTrait>(
    txn: &EventTransaction,
    busy: &Busy,
    locked: SelectStatement,
    write: impl Into<SubQueryStatement>,
) -> Result<Vec<QueryResult>, DbErr>
where
    E::Model: Tracked,
{
    let named = |name: &'static str, query: SubQueryStatement| {
        CommonTableExpression::new().table_name(name).query(query).to_owned()
    };
    let with = WithClause::new()
        .cte(named(LOCKED, locked.into()).materialized(true).to_owned())
        .cte(named(WRITTEN, write.into()))
        .to_owned();
    let mut select = Query::select();
    select.column(Asterisk).from(WRITTEN);
    for key in key_columns::<E>() {
        select.order_by(key.as_str(), Order::Asc);
    }
    let rows = txn.query_own(busy, StatementBuilder::build(&select.with(with), &txn.backend())).await;
    withhold_for(E::Model::definition(), rows)
}

fn written<E: EntityTrait, T>(rows: Result<Vec<T>, DbErr>) -> Result<Option<Vec<T>>, DbErr>
where
    E::Model: Tracked,
{
    let rows = withhold_for(E::Model::definition(), rows)?;
    Ok((!rows.is_empty()).then_some(rows))
}
