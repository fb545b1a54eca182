//! How notifications get into their table, and which preferences are asked for.

use std::collections::BTreeSet;

use sea_orm::{
    ColumnTrait, Condition, DbErr, EntityTrait, FromQueryResult, QueryFilter, QueryTrait, Statement,
    StatementBuilder, sea_query::SelectStatement,
};
use serde_json::{Map, Value as Json};

use super::{Notification, preference};
use crate::{
    backend,
    transaction::{Busy, EventTransaction},
};

/// What one statement carries at most; see the events' own.
pub(super) const CHUNK: usize = 5_000;
const CHUNK_BYTES: usize = 4 << 20;

/// The preferences that may count in a round, and maybe some more: one query for up to 5,000 users.
pub(super) async fn preferences(
    txn: &EventTransaction,
    busy: &Busy,
    notifications: &[Notification<'_>],
) -> Result<Vec<preference::Model>, DbErr> {
    use preference::Column;
    let (mut teams, mut users) = (BTreeSet::new(), BTreeSet::new());
    let (mut types, mut objects) = (BTreeSet::from([""]), BTreeSet::from([""]));
    for Notification { event, user } in notifications {
        teams.insert(&*event.team_id);
        users.insert(&**user);
        types.insert(event.event_type.as_str());
        objects.extend(event.object.as_ref().map(|object| &*object.object_id));
    }
    // A user may have said something of each of a million objects. A statement takes only so many values.
    let one_of = |column: Column, texts: &BTreeSet<&str>| {
        (texts.len() <= CHUNK).then(|| column.is_in(texts.iter().copied()))
    };
    let of_round = Condition::all()
        .add_option(one_of(Column::TeamId, &teams))
        .add_option(one_of(Column::EventType, &types))
        .add_option(one_of(Column::ObjectId, &objects));
    let mut rows = Vec::new();
    let users: Vec<&str> = users.into_iter().collect();
    for users in users.chunks(CHUNK) {
        let condition = of_round.clone().add(Column::UserId.is_in(users.iter().copied()));
        let select = preference::Entity::find().filter(condition).into_query();
        rows.append(&mut read(txn, busy, &select).await?);
    }
    Ok(rows)
}

/// Writes notifications, in their order; those that are there already are left out.
pub(super) async fn insert(
    txn: &EventTransaction,
    busy: &Busy,
    notifications: &[&Notification<'_>],
) -> Result<(), DbErr> {
    let doubt = txn.doubt_bulk();
    let mut rows = String::new();
    let mut count = 0;
    for notification in notifications {
        let row = row(notification);
        if count == CHUNK || rows.len() + row.len() > CHUNK_BYTES {
            send(txn, busy, &mut rows).await?;
            count = 0;
        }
        rows.push(if rows.is_empty() { '[' } else { ',' });
        rows.push_str(&row);
        count += 1;
    }
    send(txn, busy, &mut rows).await?;
    doubt.settle();
    Ok(())
}

/// One element of the array that `insert_from_json` takes. Absent parts become NULL.
fn row(Notification { event, user }: &Notification<'_>) -> String {
    let mut row = Map::new();
    let mut put = |name: &str, value: &str| drop(row.insert(name.to_owned(), Json::from(value)));
    put("team_id", &event.team_id);
    put("user_id", user);
    put("event_id", &event.id.simple().to_string());
    put("event_type", event.event_type.as_str());
    if let Some(object) = &event.object {
        put("object_type", &object.object_type);
        put("object_id", &object.object_id);
    }
    if let Some(actor) = &event.actor_id {
        put("actor_id", actor);
    }
    Json::from(row).to_string()
}

async fn send(txn: &EventTransaction, busy: &Busy, rows: &mut String) -> Result<(), DbErr> {
    if rows.is_empty() {
        return Ok(());
    }
    rows.push(']');
    let sql = backend::notifications::insert_from_json(txn.backend());
    let rows = std::mem::take(rows);
    txn.execute_any(busy, Statement::from_sql_and_values(txn.backend(), sql, [rows.into()])).await?;
    Ok(())
}

/// What a SELECT of the library's own finds.
async fn read<M: FromQueryResult>(
    txn: &EventTransaction,
    busy: &Busy,
    select: &SelectStatement,
) -> Result<Vec<M>, DbErr> {
    let rows = txn.query_own(busy, StatementBuilder::build(select, &txn.backend())).await?;
    rows.iter().map(|row| M::from_query_result(row, "")).collect()
}
