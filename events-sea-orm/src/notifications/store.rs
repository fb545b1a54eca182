//! How notifications get into their table, and which preferences are asked for.

use std::{borrow::Cow, collections::BTreeSet};

use sea_orm::{
    ColumnTrait, Condition, DbErr, EntityTrait, FromQueryResult, QueryFilter, QueryTrait, StatementBuilder,
    sea_query::SelectStatement,
};
use serde_json::{Map, Value as Json};

use super::{Notification, preference};
use crate::{
    backend,
    store::stored_object_id,
    transaction::{Busy, EventTransaction},
};

/// What one statement carries at most; see the events' own.
pub(super) const CHUNK: usize = 5_000;

/// The preferences that may count in a round, and maybe some more: one query for up to 5,000 users.
pub(super) async fn preferences(
    txn: &EventTransaction,
    busy: &Busy,
    notifications: &[Notification<'_>],
) -> Result<Vec<preference::Model>, DbErr> {
    use preference::Column;
    let (mut teams, mut users) = (BTreeSet::new(), BTreeSet::new());
    let (mut types, mut objects) = (BTreeSet::from([""]), BTreeSet::from([Cow::Borrowed("")]));
    for Notification { event, user } in notifications {
        teams.insert(&*event.team_id);
        users.insert(&**user);
        types.insert(event.event_type.as_str());
        objects.extend(event.object.as_ref().map(|object| stored_object_id(&object.object_id)));
    }
    let objects: BTreeSet<&str> = objects.iter().map(|id| &**id).collect();
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
    let sql = backend::notifications::insert_from_json(txn.backend());
    txn.insert_json_rows(busy, sql, notifications.iter().map(|notification| row(notification))).await
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
        put("object_id", &stored_object_id(&object.object_id));
    }
    if let Some(actor) = &event.actor_id {
        put("actor_id", actor);
    }
    Json::from(row).to_string()
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
