//! On PostgreSQL, a bulk call whose rows are one chunk as one statement: they are locked in key order, written, and
//! answered as they were and as they are.
//!
//! It writes nothing if the rows are more than a chunk. Then, and where no row matches, the caller goes the long way.

use events_core::TeamScope;
use sea_orm::{
    DbErr, ExprTrait, QueryResult,
    sea_query::{
        Asterisk, CommonTableExpression, Condition, Expr, Order, Query, SelectStatement, SubQueryStatement,
        UpdateStatement, WithClause,
    },
};

use super::{
    CHUNK, Filter,
    call::{Call, Row},
};
use crate::{
    backend::{self, Lock},
    error::Refused,
    tracked::{OLD, RowImage},
    withhold::withhold_for,
};

/// The locked rows, and the written ones, as the statement calls them.
const LOCKED: &str = "__locked";
const WRITTEN: &str = "__written";

/// Runs this update on the rows that match, if it can be done at once: what they were, and what they are, in key order.
pub(super) async fn update(
    call: &Call<'_>,
    filter: &Filter,
    mut update: UpdateStatement,
) -> Result<Option<Vec<(RowImage, Row)>>, DbErr> {
    let Some((locked, few)) = locked(call, filter, Lock::ForUpdate) else { return Ok(None) };
    update.from(LOCKED);
    let keys = call.definition.key_exprs().zip(call.definition.old_key_exprs(LOCKED));
    let is_locked = keys.map(|(key, locked)| key.eq(locked));
    update.cond_where(is_locked.fold(Condition::all().add(few).add(of_team(call)), Condition::add));
    update.returning(call.definition.returning_with_old(call.is_whole()));
    let answer = send(call, locked, update).await?;
    let both = |row: QueryResult| {
        let old = call.definition.image(&row, OLD)?;
        let image = call.definition.image(&row, "")?;
        if !old.has_key(&image.key) {
            return Err(Refused::UnexpectedRow { object_type: call.definition.object_type() }.into());
        }
        Ok((old, call.row(image, row)))
    };
    let rows: Result<Vec<(RowImage, Row)>, DbErr> = answer.into_iter().map(both).collect();
    // They come in key order. Of two rows of one key nobody knows which was which.
    let are_one = |rows: &[(RowImage, Row)]| rows[0].0.has_key(&rows[1].0.key);
    match rows {
        Ok(rows) if rows.windows(2).any(are_one) => {
            Err(Refused::SeveralRows { object_type: call.definition.object_type() }.into())
        }
        rows => written(call, rows),
    }
}

/// The condition that a row which has the key of a locked one is of the same team: the key may be that of others too.
fn of_team(call: &Call<'_>) -> Condition {
    let team = call.definition.is_of_team(&call.txn.team_scope(), call.txn.backend());
    team.unwrap_or_else(Condition::all)
}

/// Deletes the rows that match, if it can be done at once: what they were, in key order.
pub(super) async fn delete(call: &Call<'_>, filter: &Filter) -> Result<Option<Vec<Row>>, DbErr> {
    let Some((locked, few)) = locked(call, filter, Lock::ForDelete) else { return Ok(None) };
    let mut locked_keys = Query::select();
    locked_keys.exprs(call.definition.old_key_exprs(LOCKED)).from(LOCKED);
    let key = Expr::tuple(call.definition.key_exprs());
    let mut delete = Query::delete();
    delete.from_table(call.definition.table_ref());
    delete.cond_where(Condition::all().add(few).add(of_team(call)).add(key.in_subquery(locked_keys)));
    delete.returning(call.definition.returning(call.is_whole()));
    let answer = send(call, locked, delete).await?;
    written(call, call.rows(answer))
}

/// The rows that match, locked in key order, and the condition that they are no more than a chunk: one more tells that
/// there are too many. None if this is no way to write them.
fn locked(call: &Call<'_>, filter: &Filter, lock: Lock) -> Option<(SelectStatement, Expr)> {
    if !call.txn.reads_with_write() || !matches!(call.txn.team_scope(), TeamScope::Team(_)) {
        return None;
    }
    let mut select = call.definition.select_before()?;
    select.cond_where(filter.of_team(call)).limit(CHUNK as u64 + 1);
    for key in call.definition.key_exprs() {
        select.order_by_expr(key, Order::Asc);
    }
    backend::lock_rows(&mut select, call.txn.backend(), lock);
    let mut count = Query::select();
    count.expr(Expr::col(Asterisk).count()).from(LOCKED);
    Some((select, Expr::SubQuery(None, Box::new(count.into())).lte(CHUNK as i64)))
}

/// Sends it, and answers the written rows in key order.
async fn send(
    call: &Call<'_>,
    locked: SelectStatement,
    write: impl Into<SubQueryStatement>,
) -> Result<Vec<QueryResult>, DbErr> {
    let named = |name: &'static str, query: SubQueryStatement| {
        CommonTableExpression::new().table_name(name).query(query).to_owned()
    };
    let with = WithClause::new()
        .cte(named(LOCKED, locked.into()).materialized(true).to_owned())
        .cte(named(WRITTEN, write.into()))
        .to_owned();
    let mut select = Query::select();
    select.column(Asterisk).from(WRITTEN);
    for key in call.definition.key_columns() {
        select.order_by(*key, Order::Asc);
    }
    withhold_for(call.definition, call.query(&select.with(with)).await)
}

fn written<T>(call: &Call<'_>, rows: Result<Vec<T>, DbErr>) -> Result<Option<Vec<T>>, DbErr> {
    let rows = withhold_for(call.definition, rows)?;
    Ok((!rows.is_empty()).then_some(rows))
}
