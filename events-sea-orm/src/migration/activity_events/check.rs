//! Both tables compared, each read by itself.

use std::{
    collections::{BTreeMap, BTreeSet, hash_map::DefaultHasher},
    fmt,
    hash::{Hash, Hasher},
};

use events_core::Event;
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use serde_json::{Number, Value as Json};

use super::{columns::Mapping, convert::Converter, error::ActivityEventsError, options::ActivityEvents, sql};
use crate::{error::Refused, store::event};

/// What [`check`](super::check) found to be alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Rows of the old table that are events.
    pub rows: u64,
    /// Rows that are left out.
    pub skipped: u64,
    /// Teams and types of events, together.
    pub groups: usize,
    /// The checksum of all events, the same for both tables. For a look at two runs of one program: another build may compute another.
    pub checksum: u64,
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, skipped, groups, checksum } = self;
        write!(
            f,
            "{rows} rows in {groups} groups of team and type are alike, checksum {checksum:016x}; {skipped} left out"
        )
    }
}

/// A team and a type of which the tables do not hold the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The team; none where it is about rows that are left out.
    pub team_id: Option<String>,
    /// The events' type; none where it is about rows that are left out.
    pub event_type: Option<String>,
    /// How many the old table has.
    pub rows: u64,
    /// How many of them are events, or are listed as left out.
    pub events: u64,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, events, .. } = self;
        match (&self.team_id, &self.event_type) {
            (Some(team), Some(event_type)) if rows == events => {
                write!(
                    f,
                    "team {team}, {event_type}: {rows} rows, and as many events that hold something else"
                )
            }
            (Some(team), Some(event_type)) => {
                write!(f, "team {team}, {event_type}: {rows} rows, {events} events")
            }
            _ => {
                write!(f, "{rows} rows cannot be stored, and {events} are listed in `events_import_skipped`")
            }
        }
    }
}

/// By team and type: how many, and the sum of what they hold.
type Groups = BTreeMap<(String, String), (u64, u64)>;

pub(super) async fn run<C: ConnectionTrait>(
    db: &C,
    old: &ActivityEvents,
) -> Result<Checked, ActivityEventsError> {
    let mapping = Mapping::read(db, old, &old.table).await?;
    sql::prepare(db, &old.table, &mapping).await?;
    sql::begin_import(db, &old.table).await?;
    let (rows, unstorable) = of_rows(db, &Converter { old, mapping: &mapping }).await?;
    let events = of_events(db, old).await?;
    let listed = sql::skipped(db, &old.table).await?;
    let keys: BTreeSet<_> = rows.keys().chain(events.keys()).collect();
    let differs = |key: &&(String, String)| rows.get(*key) != events.get(*key);
    let count = |groups: &Groups, key| groups.get(key).map_or(0, |(count, _)| *count);
    let mut differences: Vec<Difference> = keys
        .into_iter()
        .filter(differs)
        .map(|key| Difference {
            team_id: Some(key.0.clone()),
            event_type: Some(key.1.clone()),
            rows: count(&rows, key),
            events: count(&events, key),
        })
        .collect();
    if unstorable != listed {
        let (rows, events) = (unstorable.len() as u64, listed.len() as u64);
        differences.push(Difference { team_id: None, event_type: None, rows, events });
    }
    if !differences.is_empty() {
        return Err(ActivityEventsError::Different { table: old.table.clone(), differences });
    }
    let copied = rows.values().map(|(count, _)| count).sum();
    let skipped = listed.len() as u64;
    sql::note_checked(db, &old.table, Some(copied + skipped)).await?;
    let checksum = rows.values().fold(0, |sum: u64, (_, group)| sum.wrapping_add(*group));
    Ok(Checked { rows: copied, skipped, groups: rows.len(), checksum })
}

/// What the old table says, and the keys of rows that no event can hold.
async fn of_rows(
    db: &impl ConnectionTrait,
    converter: &Converter<'_>,
) -> Result<(Groups, BTreeSet<String>), DbErr> {
    let (mut groups, mut unstorable, mut after) = (Groups::new(), BTreeSet::new(), None);
    loop {
        let page = converter.page(db, after.as_ref()).await?;
        for (_, event) in &page.events {
            add(&mut groups, &event.to_event()?);
        }
        unstorable.extend(page.problems.into_iter().map(|problem| problem.key));
        match page.end {
            Some(end) => after = Some(end),
            None => return Ok((groups, unstorable)),
        }
    }
}

/// What `events` says.
async fn of_events(db: &impl ConnectionTrait, old: &ActivityEvents) -> Result<Groups, DbErr> {
    use event::{Column, Entity};
    let (mut groups, mut last) = (Groups::new(), i64::MIN);
    loop {
        let page = Entity::find()
            .filter(Column::Seq.gt(last))
            .filter(sql::is_from(db.get_database_backend(), &old.table))
            .order_by_asc(Column::Seq)
            .limit(old.batch)
            .all(db)
            .await?;
        for row in &page {
            add(&mut groups, &row.to_event().map_err(Refused::from)?);
            last = row.seq;
        }
        if page.is_empty() {
            return Ok(groups);
        }
    }
}

fn add(groups: &mut Groups, event: &Event) {
    let (count, sum) = groups.entry((event.team_id.clone(), event.event_type.to_string())).or_default();
    *count += 1;
    *sum = sum.wrapping_add(checksum(event)); // in whatever order they come
}

fn checksum(event: &Event) -> u64 {
    let mut hasher = DefaultHasher::new();
    event.id.hash(&mut hasher);
    event.object.hash(&mut hasher);
    event.actor_id.hash(&mut hasher);
    event.unit_id.hash(&mut hasher);
    event.occurred_at.hash(&mut hasher);
    hash_json(&event.event_data, &mut hasher);
    hash_json(&event.context, &mut hasher);
    hasher.finish()
}

/// The same for all that a database may make of a value: PostgreSQL spells `1e2` as `100`.
fn hash_json(json: &Json, hasher: &mut DefaultHasher) {
    match json {
        Json::Null => 0_u8.hash(hasher),
        Json::Bool(is) => (1_u8, is).hash(hasher),
        Json::Number(number) => hash_number(number, hasher),
        Json::String(text) => (3_u8, text).hash(hasher),
        Json::Array(items) => {
            (4_u8, items.len()).hash(hasher);
            items.iter().for_each(|item| hash_json(item, hasher));
        }
        Json::Object(fields) => {
            (5_u8, fields.len()).hash(hasher);
            for (name, value) in fields {
                name.hash(hasher);
                hash_json(value, hasher);
            }
        }
    }
}

fn hash_number(number: &Number, hasher: &mut DefaultHasher) {
    match (number.as_i64(), number.as_u64(), number.as_f64()) {
        (Some(integer), ..) => (2_u8, i128::from(integer)).hash(hasher),
        (_, Some(integer), _) => (2_u8, i128::from(integer)).hash(hasher),
        (.., Some(float)) if float.fract() == 0.0 && float.abs() < 1e30 => (2_u8, float as i128).hash(hasher),
        (.., float) => (6_u8, float.map(f64::to_bits)).hash(hasher),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn hash(text: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        hash_json(&serde_json::from_str(text).unwrap(), &mut hasher);
        hasher.finish()
    }

    #[test]
    fn json_is_alike_however_a_database_spells_it() {
        for (one, other) in [
            ("1e2", "100"),
            ("1.50", "1.5"),
            ("-0", "0"),
            ("-0.0", "0"),
            (r#"{"a":1,"b":2}"#, r#"{"b":2,"a":1.0}"#),
        ] {
            assert_eq!(hash(one), hash(other), "{one} {other}");
        }
        for (one, other) in [
            ("1", "2"),
            ("[1,2]", "[2,1]"),
            ("[[1],2]", "[1,[2]]"),
            ("null", "0"),
            (r#""1""#, "1"),
            (r#"{"a":1}"#, r#"{"b":1}"#),
        ] {
            assert_ne!(hash(one), hash(other), "{one} {other}");
        }
    }
}
