//! Fields that were renamed: recent events have names that the models no longer know.

use std::collections::BTreeSet;

use events_core::EventType;
use sea_orm::{DatabaseConnection, DbErr, EntityTrait, QueryOrder, QuerySelect};
use serde_json::Value as Json;

use super::Finding;
use crate::{
    backend::catalog::Catalog,
    store::event::{Column, Entity},
    tracked::Definition,
};

/// How many of the latest events are read, however many there are: a name that was changed is found when the application
/// starts next, and events of long ago are no business of today's model.
const LATEST: u64 = 200;

pub(super) async fn findings(
    db: &DatabaseConnection,
    tracked: &[&'static Definition],
    catalog: &Catalog,
    own: usize,
) -> Result<Vec<Finding>, DbErr> {
    if !catalog.has_table(own)
        || [Column::Seq, Column::ObjectType].iter().any(|column| !has(catalog, own, *column))
    {
        return Ok(Vec::new());
    }
    let types = [EventType::Created, EventType::Updated, EventType::StateChanged];
    let latest: Vec<(Option<String>, String, Json)> = Entity::find()
        .select_only()
        .columns([Column::ObjectType, Column::EventType, Column::EventData])
        .order_by_desc(Column::Seq)
        .limit(LATEST)
        .into_tuple()
        .all(db)
        .await?;
    let mut unknown = BTreeSet::new();
    for (object_type, event_type, data) in latest {
        let definition = tracked.iter().find(|known| Some(known.object_type()) == object_type.as_deref());
        let Some(definition) = definition else { continue };
        if !types.iter().any(|known| known.as_str() == event_type) {
            continue;
        }
        for name in names(&data) {
            if !definition.fields().iter().any(|field| field.is_recorded_as(name)) {
                unknown.insert((definition.object_type(), name.to_owned()));
            }
        }
    }
    let finding = |(object_type, field)| Finding::UnknownField { object_type, field };
    Ok(unknown.into_iter().map(finding).collect())
}

fn has(catalog: &Catalog, table: usize, column: Column) -> bool {
    use sea_orm::IdenStatic;
    catalog.has_column(table, column.as_str())
}

/// The names of the fields that an event tells of.
fn names(data: &Json) -> impl Iterator<Item = &str> {
    let of = |part: &str| data[part].as_object().into_iter().flat_map(|fields| fields.keys());
    let redacted = data["redacted"].as_array().into_iter().flatten().filter_map(Json::as_str);
    let state = data["field"].as_str();
    let values = ["initial_values", "changes"].into_iter().flat_map(of).map(String::as_str);
    values.collect::<Vec<_>>().into_iter().chain(redacted).chain(state)
}
