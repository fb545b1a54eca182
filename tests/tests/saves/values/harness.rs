//! One way through the log for every type: saved, recorded, read back.

use events_sea_orm::{
    ActiveModelEvents, Context, EventConnection, Events, Tracked, event,
    value::{from_json, to_json},
};
use sea_orm::{
    ActiveModelBehavior, ActiveModelTrait, ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, IdenStatic,
    IntoActiveModel, Iterable, ModelTrait, QueryFilter, QueryOrder, Value,
};
use serde_json::{Map, Value as Json};
use tests::TestDb;

type Model<A> = <<A as ActiveModelTrait>::Entity as EntityTrait>::Model;
type Column<A> = <<A as ActiveModelTrait>::Entity as EntityTrait>::Column;

/// A column and its type on SQLite, PostgreSQL and MariaDB.
pub type ColumnType = (&'static str, [&'static str; 3]);

/// A column, the values that it takes one after the other, and what stands in the events for each.
pub struct Case {
    column: &'static str,
    values: Vec<(Value, Expected)>,
}

#[derive(Clone)]
enum Expected {
    Json(Json),
    /// What the database made of the value is recorded.
    AsStored,
}

/// `column("flag", [(true, json!(true)), (false, json!(false))])`.
pub fn column<T: Into<Value>>(column: &'static str, values: impl IntoIterator<Item = (T, Json)>) -> Case {
    let values = values.into_iter().map(|(value, json)| (value.into(), Expected::Json(json)));
    Case { column, values: values.collect() }
}

/// A column whose database does not keep the values as they are given.
pub fn column_as_stored<T: Into<Value>>(column: &'static str, values: impl IntoIterator<Item = T>) -> Case {
    let values = values.into_iter().map(|value| (value.into(), Expected::AsStored));
    Case { column, values: values.collect() }
}

/// The same with NULL before, between and after.
pub fn with_nulls(cases: Vec<Case>) -> Vec<Case> {
    let with_null = |case: Case| {
        let null = (case.values[0].0.as_null(), Expected::Json(Json::Null));
        let mut values = vec![null.clone()];
        for (i, value) in case.values.into_iter().enumerate() {
            values.push(value);
            if i % 3 == 0 {
                values.push(null.clone());
            }
        }
        Case { column: case.column, values }
    };
    cases.into_iter().map(with_null).collect()
}

/// Makes a table with these columns and the key `id`.
pub async fn create(db: &TestDb, table: &str, columns: &[ColumnType], null: bool) {
    let backend = db.db.get_database_backend();
    let (which, quote, end) = match backend {
        DbBackend::Sqlite => (0, '"', ""),
        DbBackend::Postgres => (1, '"', ""),
        // Its comparison ignores case and trailing blanks: what is recorded must not.
        _ => (2, '`', " DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"),
    };
    let null = if null { "NULL" } else { "NOT NULL" };
    let column = |(name, types): &ColumnType| format!("{quote}{name}{quote} {} {null}", types[which]);
    let columns: Vec<_> = columns.iter().map(column).collect();
    let sql = format!("CREATE TABLE {table} (id integer NOT NULL PRIMARY KEY, {}){end}", columns.join(", "));
    db.db.execute_unprepared(&sql).await.unwrap();
}

/// A row of values: what is given for each column, and what is to be recorded.
struct Row(Vec<(&'static str, Value, Expected)>);

struct Run<'a, A> {
    db: &'a TestDb,
    connection: EventConnection,
    /// The last event that was looked at.
    seen: i64,
    active: std::marker::PhantomData<fn() -> A>,
}

/// Saves the values through units of work and holds the events against them: an insert, an update from each row of
/// values to the next with one that changes nothing after it, a delete, and an update of each column alone.
pub async fn check<A>(db: &TestDb, cases: &[Case])
where
    A: ActiveModelTrait + ActiveModelBehavior + Send,
    Model<A>: Tracked + IntoActiveModel<A>,
{
    let events = Events::builder(db.db.clone()).build().await.unwrap();
    let connection = events.connection(Context::team(7).actor("ada"));
    let seen = db.log().await.last().map_or(0, |event| event.seq);
    let mut run = Run::<A> { db, connection, seen, active: std::marker::PhantomData };
    let named = <Model<A> as Tracked>::definition().fields().iter().map(|field| field.name());
    let (named, tried): (Vec<_>, Vec<_>) = (named.collect(), cases.iter().map(|case| case.column).collect());
    assert_eq!(named, tried, "every column is tried");
    let rows = cases.iter().map(|case| case.values.len()).max().unwrap_or_default();
    run.rows(&(0..rows).map(|i| row(cases, i)).collect::<Vec<_>>()).await;
    run.one_by_one(cases).await;
}

fn row(cases: &[Case], i: usize) -> Row {
    let of = |case: &Case| {
        let (value, expected) = case.values[i % case.values.len()].clone();
        (case.column, value, expected)
    };
    Row(cases.iter().map(of).collect())
}

impl<A> Run<'_, A>
where
    A: ActiveModelTrait + ActiveModelBehavior + Send,
    Model<A>: Tracked + IntoActiveModel<A>,
{
    /// One object goes through all rows and is deleted.
    async fn rows(&mut self, rows: &[Row]) {
        Self::active(1, &rows[0]).create_with_event(&self.connection).await.unwrap();
        let mut old = self.expected(1, &rows[0]).await;
        let [created] = self.new_events().await.try_into().expect("CREATED");
        self.check_values(1, &created.event_data["initial_values"], &old).await;
        for row in rows[1..].iter().chain(&rows[..1]) {
            Self::active(1, row).update_with_event(&self.connection).await.unwrap();
            let new = self.expected(1, row).await;
            self.check_changes(&old, &new).await;
            Self::active(1, row).update_with_event(&self.connection).await.unwrap();
            self.check_nothing("the same values as given").await;
            let mut active = self.read(1).await.into_active_model();
            for column in Column::<A>::iter().filter(|column| column.as_str() != "id") {
                active.set(column, active.get(column).into_value().expect("read"));
            }
            active.update_with_event(&self.connection).await.unwrap();
            self.check_nothing("the same values as read").await;
            old = new;
        }
        Self::active(1, &Row(Vec::new())).delete_with_event(&self.connection).await.unwrap();
        let [deleted] = self.new_events().await.try_into().expect("DELETED");
        assert_alike(&deleted.event_data["final_values"], &Json::Object(old));
    }

    /// Each column alone goes through its values and is the only one named.
    async fn one_by_one(&mut self, cases: &[Case]) {
        let first = row(cases, 0);
        Self::active(2, &first).create_with_event(&self.connection).await.unwrap();
        self.new_events().await;
        for case in cases {
            for turn in 1..=case.values.len() {
                let old = self.read(2).await.snapshot().unwrap();
                let (value, expected) = case.values[turn % case.values.len()].clone();
                let alone = Row(vec![(case.column, value, expected)]);
                Self::active(2, &alone).update_with_event(&self.connection).await.unwrap();
                let new = self.expected(2, &alone).await;
                let old = Map::from_iter([(case.column.to_owned(), old[case.column].clone())]);
                self.check_changes(&old, &new).await;
            }
        }
    }

    fn active(id: i32, row: &Row) -> A {
        let mut active = A::default();
        for column in Column::<A>::iter() {
            if column.as_str() == "id" {
                active.set(column, id.into());
            } else if let Some((_, value, _)) = row.0.iter().find(|(name, ..)| column.as_str() == *name) {
                active.set(column, value.clone());
            }
        }
        active
    }

    async fn read(&self, id: i32) -> Model<A> {
        let key = Column::<A>::iter().find(|column| column.as_str() == "id").expect("a key");
        A::Entity::find().filter(key.eq(id)).one(&self.db.db).await.unwrap().expect("the row")
    }

    /// What is to be recorded of a row that has just been saved.
    async fn expected(&self, id: i32, row: &Row) -> Map<String, Json> {
        let model = self.read(id).await;
        let json = |(name, _, expected): &(&str, Value, Expected)| {
            let stored = to_json(&model.get(column_of::<A>(name))).unwrap();
            match expected {
                Expected::AsStored => stored,
                Expected::Json(expected) => {
                    assert_alike(&stored, expected);
                    expected.clone()
                }
            }
        };
        row.0.iter().map(|part| (part.0.to_owned(), json(part))).collect()
    }

    async fn new_events(&mut self) -> Vec<event::Model> {
        let new = event::Entity::find().filter(event::Column::Seq.gt(self.seen));
        let new = new.order_by_asc(event::Column::Seq).all(&self.db.db).await.unwrap();
        self.seen = new.last().map_or(self.seen, |event| event.seq);
        new
    }

    async fn check_nothing(&mut self, what: &str) {
        let new = self.new_events().await;
        assert!(new.is_empty(), "{what}: {:?}", new[0].event_data);
    }

    /// One UPDATED with exactly the columns whose values differ, or none.
    async fn check_changes(&mut self, old: &Map<String, Json>, new: &Map<String, Json>) {
        let changed: Vec<_> = new.keys().filter(|name| !alike(&old[*name], &new[*name])).collect();
        let events = self.new_events().await;
        if changed.is_empty() {
            assert!(events.is_empty(), "nothing changed: {:?}", events[0].event_data);
            return;
        }
        let [updated] = events.try_into().expect("one UPDATED");
        let changes = updated.event_data["changes"].as_object().expect("changes");
        assert_eq!(changes.keys().collect::<Vec<_>>(), changed);
        let side = |side: &str| {
            let of = |(name, change): (&String, &Json)| (name.clone(), change[side].clone());
            changes.iter().map(of).collect::<Map<_, _>>()
        };
        let id = updated.object_id.expect("an object").parse().expect("its key");
        for name in changed {
            assert_alike(&changes[name]["old"], &old[name]);
        }
        let new: Map<_, _> = side("new").keys().map(|name| (name.clone(), new[name].clone())).collect();
        self.check_values(id, &Json::Object(side("new")), &new).await;
    }

    /// The recorded values are as the table of types says, and give the row's own values back.
    async fn check_values(&self, id: i32, recorded: &Json, expected: &Map<String, Json>) {
        assert_alike(recorded, &Json::Object(expected.clone()));
        let model = self.read(id).await;
        for (name, json) in recorded.as_object().expect("fields") {
            let stored = model.get(column_of::<A>(name));
            // JSON `null` of a column that is there is asked for as such.
            let like =
                if matches!(&stored, Value::Json(Some(_))) { stored.clone() } else { stored.as_null() };
            let back = from_json(json, &like).unwrap_or_else(|error| panic!("{name}: {error}: {json}"));
            assert_alike(&to_json(&back).unwrap(), &to_json(&stored).unwrap());
            // `==` as well: it sees what the JSON does not hold.
            let seen_alike = matches!(stored, Value::Json(_)) || back == stored;
            assert!(seen_alike, "{name}: {back:?} is not {stored:?}");
        }
    }
}

fn column_of<A: ActiveModelTrait>(name: &str) -> Column<A> {
    Column::<A>::iter().find(|column| column.as_str() == name).expect("a column")
}

/// Alike, but for the digits of a zero: SeaORM reads that of PostgreSQL without them, and the log has what the row has.
fn alike(left: &Json, right: &Json) -> bool {
    fn plain(json: &Json) -> Json {
        match json {
            Json::String(text)
                if text.strip_prefix("0.").is_some_and(|rest| rest.bytes().all(|b| b == b'0')) =>
            {
                "0".into()
            }
            Json::Object(fields) => {
                fields.iter().map(|(name, value)| (name.clone(), plain(value))).collect::<Map<_, _>>().into()
            }
            other => other.clone(),
        }
    }
    tests::json::alike(&plain(left), &plain(right))
}

#[track_caller]
fn assert_alike(left: &Json, right: &Json) {
    if !alike(left, right) {
        let short = |json: &Json| json.to_string().chars().take(600).collect::<String>();
        panic!("{}\nis not\n{}", short(left), short(right));
    }
}
