//! Any sequence of saves, savepoints and ends of units: the events, the rows and a plain map agree.

use std::{collections::BTreeMap, sync::Arc};

use events_sea_orm::{ActiveModelEvents, Context, EventTransaction, Events, event};
use proptest::{collection::vec, prelude::*};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, IntoActiveModel, QueryFilter,
    QueryOrder, Set, TransactionTrait,
};
use serde_json::{Value as Json, json};
use tests::{TestDb, json::alike};

use crate::{
    check,
    thing::{self, ActiveModel, Field, Model, PASSWORD, as_kept, field, recorded, row},
};

tests::conformance! {
    any_sequence_of_operations_agrees,
    what_was_announced_and_not_sent_is_forgotten,
}

#[derive(Clone, Debug)]
enum Op {
    /// Inserts, or updates every field if the row is there.
    Put(i32, Box<Model>),
    Update(i32, How, Vec<Field>),
    /// Every field set to what it is.
    Same(i32),
    Delete(i32),
    /// An update, or a delete, that does not say of what: SeaORM refuses it after its hook has run.
    Keyless(bool),
    Begin,
    /// Ends the innermost savepoint, if there is one.
    EndNested(End),
    EndUnit(End),
}

#[derive(Clone, Copy, Debug)]
enum How {
    Update,
    WithoutReturning,
    Save,
    WithEvent,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Commit,
    Rollback,
    Drop,
}

fn op() -> impl Strategy<Value = Op> {
    let key = || 1..5_i32;
    let how = prop::sample::select(vec![How::Update, How::WithoutReturning, How::Save, How::WithEvent]);
    let end = || prop::sample::select(vec![End::Commit, End::Commit, End::Rollback, End::Drop]);
    prop_oneof![
        4 => (key(), row()).prop_map(|(key, row)| Op::Put(key, Box::new(row))),
        8 => (key(), how, vec(field(), 0..5)).prop_map(|(key, how, fields)| Op::Update(key, how, fields)),
        2 => key().prop_map(Op::Same),
        2 => key().prop_map(Op::Delete),
        1 => any::<bool>().prop_map(Op::Keyless),
        3 => Just(Op::Begin),
        3 => end().prop_map(Op::EndNested),
        2 => end().prop_map(Op::EndUnit),
    ]
}

async fn set_up(db: &TestDb) -> Events {
    db.with_tables().await;
    db.db.execute_unprepared(&thing::table(db.db.get_database_backend())).await.unwrap();
    Events::builder(db.db.clone()).build().await.unwrap()
}

async fn any_sequence_of_operations_agrees(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let cases = if db.db.get_database_backend() == DbBackend::Sqlite { 120 } else { 40 };
    check(cases, &vec(op(), 1..30), async |ops: Vec<Op>| agrees(&db, &events, ops).await);
}

/// Saves whose hook ran and whose statement never came, each before a save whose statement does.
async fn what_was_announced_and_not_sent_is_forgotten(db: Arc<TestDb>) {
    let events = set_up(&db).await;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let row = proptest::strategy::ValueTree::current(&row().new_tree(&mut runner).unwrap());
    let nothing = Op::Update(1, How::WithoutReturning, Vec::new());
    for stale in [nothing, Op::Keyless(true), Op::Keyless(false)] {
        for how in [How::Update, How::WithoutReturning, How::Save, How::WithEvent] {
            let name = vec![Field::Name("other".to_owned())];
            let ops = vec![
                stale.clone(),
                Op::Put(1, Box::new(row.clone())),
                stale.clone(),
                Op::Update(1, how, name),
                stale.clone(),
                Op::Delete(1),
                stale.clone(),
            ];
            if let Err(error) = agrees(&db, &events, ops).await {
                panic!("{stale:?} before {how:?}: {error}");
            }
        }
    }
}

async fn agrees(db: &TestDb, events: &Events, ops: Vec<Op>) -> Done {
    db.db.execute_unprepared("DELETE FROM things").await.unwrap();
    let last = event::Entity::find().order_by_desc(event::Column::Seq).one(&db.db).await.map_err(failed)?;
    let last = last.map_or(0, |event| event.seq);
    let mut run = Run {
        db,
        events,
        backend: db.db.get_database_backend(),
        first: last,
        seen: last,
        committed: BTreeMap::new(),
        unit: Vec::new(),
    };
    for op in ops {
        run.step(op).await?;
    }
    run.end_unit(End::Commit).await
}

type Rows = BTreeMap<i32, Model>;

/// An event that must come: its type, its object, its data.
#[derive(Clone, Debug)]
struct Wanted(&'static str, i32, Json);

/// A level of the unit of work, and what must be true in it.
struct Level {
    txn: EventTransaction,
    rows: Rows,
    wanted: Vec<Wanted>,
}

struct Run<'a> {
    db: &'a TestDb,
    events: &'a Events,
    backend: DbBackend,
    /// The last event before this run, and the last that was looked at.
    first: i64,
    seen: i64,
    committed: Rows,
    /// The open unit of work with its savepoints, innermost last.
    unit: Vec<Level>,
}

type Done = Result<(), TestCaseError>;

fn failed(error: impl std::fmt::Display) -> TestCaseError {
    TestCaseError::fail(error.to_string())
}

impl Run<'_> {
    async fn step(&mut self, op: Op) -> Done {
        if self.unit.is_empty() {
            let txn = self.events.begin(Context::team(thing::TEAM).actor("ada")).await.map_err(failed)?;
            self.unit.push(Level { txn, rows: self.committed.clone(), wanted: Vec::new() });
        }
        let backend = self.backend;
        let level = self.unit.last_mut().expect("a unit is open");
        match op {
            Op::Put(key, row) => level.put(key, as_kept(Model { id: key, ..*row }, backend)).await?,
            Op::Update(key, how, fields) => level.update(key, how, fields, backend).await?,
            Op::Same(key) => level.same(key).await?,
            Op::Delete(key) => level.delete(key).await?,
            Op::Keyless(update) => level.keyless(update).await?,
            Op::Begin if self.unit.len() < 4 => {
                let level = self.unit.last().expect("a unit is open");
                let txn = level.txn.begin().await.map_err(failed)?;
                let rows = level.rows.clone();
                self.unit.push(Level { txn, rows, wanted: Vec::new() });
            }
            Op::EndNested(end) if self.unit.len() > 1 => self.end_nested(end).await?,
            Op::Begin | Op::EndNested(_) => {}
            Op::EndUnit(end) => self.end_unit(end).await?,
        }
        Ok(())
    }

    async fn end_nested(&mut self, end: End) -> Done {
        let Level { txn, rows, mut wanted } = self.unit.pop().expect("a savepoint");
        let parent = self.unit.last_mut().expect("its parent");
        match end {
            End::Commit => {
                txn.commit().await.map_err(failed)?;
                parent.rows = rows;
                parent.wanted.append(&mut wanted);
            }
            End::Rollback => txn.rollback().await.map_err(failed)?,
            End::Drop => drop(txn),
        }
        Ok(())
    }

    /// Ends the unit, its savepoints first, and holds log and rows against what must be.
    async fn end_unit(&mut self, end: End) -> Done {
        while self.unit.len() > 1 {
            self.end_nested(end).await?;
        }
        let Some(Level { txn, rows, wanted }) = self.unit.pop() else { return self.compare(&[], None).await };
        let unit_id = txn.unit_id();
        match end {
            End::Commit => {
                txn.commit().await.map_err(failed)?;
                self.committed = rows;
                self.compare(&wanted, Some(unit_id)).await
            }
            End::Rollback => {
                txn.rollback().await.map_err(failed)?;
                self.compare(&[], None).await
            }
            End::Drop => {
                drop(txn);
                self.compare(&[], None).await
            }
        }
    }

    async fn compare(&mut self, wanted: &[Wanted], unit_id: Option<uuid::Uuid>) -> Done {
        let log = event::Entity::find().filter(event::Column::Seq.gt(self.first));
        let log = log.order_by_asc(event::Column::Seq).all(&self.db.db).await.map_err(failed)?;
        let new: Vec<_> = log.iter().filter(|event| event.seq > self.seen).collect();
        self.seen = log.last().map_or(self.seen, |event| event.seq);

        let shown = |event: &event::Model| format!("{} {}", event.event_type, event.event_data);
        let found = || new.iter().map(|event| shown(event)).collect::<Vec<_>>().join("\n");
        prop_assert_eq!(new.len(), wanted.len(), "found:\n{}\nwanted:\n{:#?}", found(), wanted);
        for (event, Wanted(kind, id, data)) in new.iter().zip(wanted) {
            prop_assert_eq!(
                (&*event.event_type, event.object_id.as_deref()),
                (*kind, Some(&*id.to_string()))
            );
            prop_assert!(agree(&event.event_data, data), "found {}\nwanted {data}", shown(event));
            prop_assert_eq!(Some(event.unit_id), unit_id);
            prop_assert_eq!(&*event.team_id, "7");
        }
        if let Some(first) = new.first() {
            prop_assert_eq!(Some(first.id), unit_id);
        }
        for event in &log {
            prop_assert!(!format!("{event:?}").contains(PASSWORD), "{}", shown(event));
        }

        let folded = fold(&log)?;
        let rows = thing::Entity::find().all(&self.db.db).await.map_err(failed)?;
        let rows: Rows = rows.into_iter().map(|row| (row.id, row)).collect();
        let keys = self.committed.keys().collect::<Vec<_>>();
        prop_assert_eq!(&keys, &rows.keys().collect::<Vec<_>>());
        prop_assert_eq!(&keys, &folded.keys().collect::<Vec<_>>());
        for (key, row) in &rows {
            let model = &self.committed[key];
            let [in_row, in_model] = [row, model].map(|row| json!(recorded(row)));
            prop_assert!(agree(&in_row, &in_model), "row {in_row}\nmodel {in_model}");
            prop_assert!(agree(&json!(folded[key]), &in_row), "events {:?}\nrow {in_row}", folded[key]);
            prop_assert_eq!((&row.password, row.visits), (&model.password, model.visits));
        }
        Ok(())
    }
}

/// What stands in the rows, from the events alone; each `old` must be what the events before it left.
fn fold(log: &[event::Model]) -> Result<BTreeMap<i32, BTreeMap<String, Json>>, TestCaseError> {
    let mut rows = BTreeMap::<i32, BTreeMap<String, Json>>::new();
    for event in log {
        let key: i32 = event.object_id.as_deref().unwrap_or_default().parse().map_err(failed)?;
        let data = &event.event_data;
        let whole = |name: &str| -> BTreeMap<String, Json> {
            data[name].as_object().into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect()
        };
        let mut change = |name: &str, change: &Json| -> Done {
            let held = rows.get_mut(&key).and_then(|row| row.get_mut(name));
            let held = held.ok_or_else(|| failed(format!("{name} of {key} changed and was not there")))?;
            prop_assert_eq!(&*held, &change["old"], "{} of {}", name, key);
            *held = change["new"].clone();
            Ok(())
        };
        match &*event.event_type {
            "CREATED" => {
                prop_assert!(rows.insert(key, whole("initial_values")).is_none(), "{key} came twice");
            }
            "UPDATED" => {
                for (name, changed) in whole("changes") {
                    change(&name, &changed)?;
                }
            }
            "STATE_CHANGED" => change(data["field"].as_str().unwrap_or_default(), &data["state"])?,
            "DELETED" => prop_assert_eq!(rows.remove(&key), Some(whole("final_values"))),
            other => return Err(failed(format!("an event of type {other}"))),
        }
    }
    Ok(rows)
}

impl Level {
    async fn put(&mut self, key: i32, row: Model) -> Done {
        let there = self.rows.contains_key(&key);
        let mut active = row.clone().into_active_model().reset_all();
        active.team_id = Set(thing::TEAM);
        if there {
            active.update(&self.txn).await.map_err(failed)?;
        } else {
            active.insert(&self.txn).await.map_err(failed)?;
        }
        self.becomes(key, Some(row));
        Ok(())
    }

    async fn update(&mut self, key: i32, how: How, fields: Vec<Field>, backend: DbBackend) -> Done {
        let mut active = ActiveModel { id: sea_orm::Unchanged(key), ..Default::default() };
        for field in fields.clone() {
            field.set(&mut active);
        }
        let nothing = fields.is_empty();
        let saved = match how {
            How::Update => active.update(&self.txn).await.map(drop),
            How::WithoutReturning => active.update_without_returning(&self.txn).await.map(drop),
            How::Save => active.save(&self.txn).await.map(drop),
            How::WithEvent => active.update_with_event(&self.txn).await.map(drop),
        };
        let Some(mut row) = self.rows.get(&key).cloned() else {
            // Nothing to update: SeaORM says so, unless nothing was to be set either.
            prop_assert!(saved.is_err() || nothing, "an update of no row");
            return Ok(());
        };
        saved.map_err(failed)?;
        for field in fields {
            field.put(&mut row);
        }
        self.becomes(key, Some(as_kept(row, backend)));
        Ok(())
    }

    async fn same(&mut self, key: i32) -> Done {
        let Some(row) = self.rows.get(&key) else { return Ok(()) };
        row.clone().into_active_model().reset_all().update(&self.txn).await.map_err(failed)?;
        Ok(())
    }

    async fn delete(&mut self, key: i32) -> Done {
        let active = ActiveModel { id: Set(key), ..Default::default() };
        let deleted = active.delete(&self.txn).await.map_err(failed)?.rows_affected;
        prop_assert_eq!(deleted, u64::from(self.rows.contains_key(&key)));
        self.becomes(key, None);
        Ok(())
    }

    async fn keyless(&mut self, update: bool) -> Done {
        let active = ActiveModel { visits: Set(1), ..Default::default() };
        let failed = match update {
            true => active.update(&self.txn).await.is_err(),
            false => active.delete(&self.txn).await.is_err(),
        };
        prop_assert!(failed, "SeaORM wants a key");
        Ok(())
    }

    /// What the row is now, and with it the events that must come.
    fn becomes(&mut self, key: i32, new: Option<Model>) {
        let old = self.rows.remove(&key);
        match (&old, &new) {
            (None, None) => {}
            (None, Some(new)) => {
                let data = json!({"initial_values": recorded(new), "redacted": ["password"]});
                self.wanted.push(Wanted("CREATED", key, data));
            }
            (Some(old), None) => {
                let data = json!({"final_values": recorded(old), "redacted": ["password"]});
                self.wanted.push(Wanted("DELETED", key, data));
            }
            (Some(old), Some(new)) => self.changes(key, old, new),
        }
        if let Some(new) = new {
            self.rows.insert(key, new);
        }
    }

    fn changes(&mut self, key: i32, old: &Model, new: &Model) {
        let (before, after) = (recorded(old), recorded(new));
        let mut changes = serde_json::Map::new();
        let mut state = None;
        for (name, old) in before {
            let new = &after[&name];
            let change = json!({"old": old, "new": new});
            if alike(&old, new) {
                continue;
            } else if name == "status" {
                state = Some(json!({"field": "status", "state": change}));
            } else {
                changes.insert(name, change);
            }
        }
        let redacted = old.password != new.password;
        if redacted || !changes.is_empty() {
            let mut data = json!({"changes": changes});
            if redacted {
                data["redacted"] = json!(["password"]);
            }
            self.wanted.push(Wanted("UPDATED", key, data));
        }
        self.wanted.extend(state.map(|data| Wanted("STATE_CHANGED", key, data)));
    }
}

/// Alike, and a decimal is the same in any scale.
fn agree(found: &Json, wanted: &Json) -> bool {
    fn plain(json: &Json) -> Json {
        match json {
            Json::Object(fields) => {
                let of = |(name, value): (&String, &Json)| {
                    let value = if name == "amount" { unscaled(value) } else { plain(value) };
                    (name.clone(), value)
                };
                Json::Object(fields.iter().map(of).collect())
            }
            other => other.clone(),
        }
    }
    fn unscaled(json: &Json) -> Json {
        match json {
            Json::String(text) => {
                let decimal: sea_orm::prelude::Decimal = text.parse().expect("a decimal");
                json!(decimal.normalize().to_string())
            }
            Json::Object(change) => {
                change.iter().map(|(side, value)| (side.clone(), unscaled(value))).collect()
            }
            other => other.clone(),
        }
    }
    alike(&plain(found), &plain(wanted))
}
