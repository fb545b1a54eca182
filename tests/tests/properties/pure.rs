//! Pairs of values of every type, without a database: what is recorded comes back, and an event says what differs.

use std::sync::{Arc, Mutex, PoisonError};

use events_sea_orm::{
    Consumer, ConsumerError, Context, Event, EventTransaction, Events, Tracked, UpdatedEventData,
    make_field_changes,
    value::{from_json, to_json},
};
use proptest::{collection::vec, option, prelude::*};
use sea_orm::{
    ActiveModelTrait, DbBackend, IdenStatic, Iterable, MockDatabase, MockExecResult, ModelTrait, Set, Value,
    sqlx::types::time::UtcOffset,
};
use serde_json::{Value as Json, json};

use crate::check;

mod everything {
    use events_sea_orm::Tracked;
    use sea_orm::{
        entity::prelude::*,
        prelude::{DateTimeLocal, TimeDate, TimeDateTime, TimeDateTimeWithTimeZone, TimeTime},
    };

    #[derive(Clone, Debug, Default, PartialEq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "everything")]
    #[tracked(all, team = context)]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i32,
        pub flag: Option<bool>,
        pub tiny: Option<i8>,
        pub small: Option<i16>,
        pub middle: Option<i32>,
        pub big: Option<i64>,
        pub tiny_unsigned: Option<u8>,
        pub small_unsigned: Option<u16>,
        pub unsigned: Option<u32>,
        pub big_unsigned: Option<u64>,
        pub float: Option<f32>,
        pub double: Option<f64>,
        pub text: Option<String>,
        pub bytes: Option<Vec<u8>>,
        pub uuid: Option<Uuid>,
        pub json: Option<Json>,
        pub decimal: Option<Decimal>,
        pub date: Option<Date>,
        pub time: Option<Time>,
        pub date_time: Option<DateTime>,
        pub utc: Option<DateTimeUtc>,
        pub local: Option<DateTimeLocal>,
        pub zoned: Option<DateTimeWithTimeZone>,
        pub other_date: Option<TimeDate>,
        pub other_time: Option<TimeTime>,
        pub other_date_time: Option<TimeDateTime>,
        pub other_zoned: Option<TimeDateTimeWithTimeZone>,
        pub mood: Option<Mood>,
        pub numbers: Option<Vec<i32>>,
        pub texts: Option<Vec<String>>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    #[derive(Clone, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
    #[sea_orm(rs_type = "String", db_type = "Enum", enum_name = "everything_mood", rename_all = "snake_case")]
    pub enum Mood {
        Calm,
        SoSo,
    }
}

use everything::{ActiveModel, Column, Model};

/// Few enough that two of them often meet, and every pair that `==` and the log see differently.
fn value(column: Column) -> BoxedStrategy<Value> {
    fn few<T: Clone + std::fmt::Debug + Into<Value> + 'static>(
        values: impl IntoIterator<Item = T>,
        others: impl Strategy<Value = T> + 'static,
    ) -> BoxedStrategy<Value> {
        let few = prop::sample::select(values.into_iter().collect::<Vec<_>>());
        prop_oneof![3 => few, 1 => others].prop_map(Into::into).boxed()
    }
    let null = Model::default().get(column).as_null();
    let there = match column {
        Column::Id => Just(Value::from(1)).boxed(),
        Column::Flag => any::<bool>().prop_map(Value::from).boxed(),
        Column::Tiny => few([0, i8::MIN, i8::MAX], any::<i8>()),
        Column::Small => few([0, i16::MIN, i16::MAX], any::<i16>()),
        Column::Middle => few([0, i32::MIN, i32::MAX], any::<i32>()),
        Column::Big => few([0, i64::MIN, i64::MAX, 1 << 53, (1 << 53) + 1], any::<i64>()),
        Column::TinyUnsigned => few([0, u8::MAX], any::<u8>()),
        Column::SmallUnsigned => few([0, u16::MAX], any::<u16>()),
        Column::Unsigned => few([0, u32::MAX], any::<u32>()),
        Column::BigUnsigned => few([0, u64::MAX, u64::MAX - 1, 1 << 63], any::<u64>()),
        Column::Float => {
            let other_nan = f32::from_bits(f32::NAN.to_bits() ^ 1);
            few(
                [0.0, -0.0, f32::NAN, other_nan, f32::INFINITY, f32::MAX, 0.1],
                any::<u32>().prop_map(f32::from_bits),
            )
        }
        Column::Double => {
            let other_nan = f64::from_bits(f64::NAN.to_bits() ^ 1);
            few(
                [0.0, -0.0, f64::NAN, other_nan, f64::INFINITY, f64::MAX, 0.1],
                any::<u64>().prop_map(f64::from_bits),
            )
        }
        Column::Text => few(["", "a", "A", "a "].map(str::to_owned), "[^\0]{0,8}"),
        Column::Bytes => few([vec![], vec![0], vec![255]], vec(any::<u8>(), 0..9)),
        Column::Uuid => {
            few([uuid::Uuid::nil(), uuid::Uuid::max()], any::<u128>().prop_map(uuid::Uuid::from_u128))
        }
        Column::Json => few(
            [
                json!(null),
                json!(1),
                json!(1.0),
                json!(-0.0),
                json!(0.0),
                json!("1"),
                json!([]),
                json!({"b": 1, "a": [u64::MAX]}),
            ],
            any::<f64>().prop_map(|n| json!({"n": n})),
        ),
        Column::Decimal => {
            let fixed = [
                "0",
                "0.0",
                "-0",
                "1.0",
                "1.00",
                "79228162514264337593543950335",
                "0.0000000000000000000000000001",
            ];
            let any =
                (any::<i64>(), 0..20_u32).prop_map(|(n, scale)| sea_orm::prelude::Decimal::new(n, scale));
            few(fixed.map(negative), any)
        }
        Column::Date => {
            few([chrono::NaiveDate::MIN, chrono::NaiveDate::MAX], instant().prop_map(|at| at.date_naive()))
        }
        Column::Time => few([chrono::NaiveTime::MIN], instant().prop_map(|at| at.time())),
        Column::DateTime => few(
            [chrono::NaiveDateTime::MIN, chrono::NaiveDateTime::MAX],
            instant().prop_map(|at| at.naive_utc()),
        ),
        Column::Utc => few([chrono::DateTime::UNIX_EPOCH], instant()),
        Column::Local => few(
            [chrono::DateTime::UNIX_EPOCH.into()],
            instant().prop_map(|at| at.with_timezone(&chrono::Local)),
        ),
        Column::Zoned => {
            let offset = prop::sample::select(vec![0, 19_800, -39_600]);
            let any = (instant(), offset)
                .prop_map(|(at, east)| at.with_timezone(&chrono::FixedOffset::east_opt(east).unwrap()));
            few([chrono::DateTime::UNIX_EPOCH.fixed_offset()], any)
        }
        Column::OtherDate => few(
            [sea_orm::prelude::TimeDate::MIN, sea_orm::prelude::TimeDate::MAX],
            other_instant().prop_map(|at| at.date()),
        ),
        Column::OtherTime => {
            few([sea_orm::prelude::TimeTime::MIDNIGHT], other_instant().prop_map(|at| at.time()))
        }
        Column::OtherDateTime => {
            let bounds = [sea_orm::prelude::TimeDateTime::MIN, sea_orm::prelude::TimeDateTime::MAX];
            few(
                bounds,
                other_instant().prop_map(|at| sea_orm::prelude::TimeDateTime::new(at.date(), at.time())),
            )
        }
        Column::OtherZoned => {
            let hours = prop::sample::select(vec![0, 5, -11]);
            let any = (other_instant(), hours)
                .prop_map(|(at, hours)| at.to_offset(UtcOffset::from_hms(hours, 0, 0).unwrap()));
            few([sea_orm::prelude::TimeDateTimeWithTimeZone::UNIX_EPOCH], any)
        }
        Column::Mood => prop::sample::select(vec!["calm", "so_so"]).prop_map(Value::from).boxed(),
        Column::Numbers => few([vec![], vec![1], vec![1, 1]], vec(any::<i32>(), 0..4)),
        Column::Texts => few([vec![], vec![String::new()]], vec("[^\0]{0,3}", 0..3)),
    };
    option::weighted(0.9, there).prop_map(move |value| value.unwrap_or_else(|| null.clone())).boxed()
}

fn negative(text: &str) -> sea_orm::prelude::Decimal {
    let mut decimal: sea_orm::prelude::Decimal = text.trim_start_matches('-').parse().unwrap();
    decimal.set_sign_negative(text.starts_with('-'));
    decimal
}

/// Instants that lie nanoseconds or microseconds apart, before and after 1970.
fn nanos() -> impl Strategy<Value = i64> {
    let base = prop::sample::select(vec![0, 1_795_457_187_000_000_000, -1_000_000_000_000_000]);
    let near = prop::sample::select(vec![0, 1, 999, 1_000, 1_001, -1, -999, -1_000]);
    (base, near).prop_map(|(base, near)| base + near)
}

fn instant() -> impl Strategy<Value = chrono::DateTime<chrono::Utc>> {
    nanos().prop_map(chrono::DateTime::from_timestamp_nanos)
}

fn other_instant() -> impl Strategy<Value = sea_orm::prelude::TimeDateTimeWithTimeZone> {
    let of = sea_orm::prelude::TimeDateTimeWithTimeZone::from_unix_timestamp_nanos;
    nanos().prop_map(move |nanos| of(nanos.into()).unwrap())
}

fn row() -> Vec<BoxedStrategy<Value>> {
    Column::iter().map(value).collect()
}

fn model(values: &[Value]) -> Model {
    let mut model = Model::default();
    for (column, value) in Column::iter().zip(values) {
        model.set(column, value.clone());
    }
    model
}

#[test]
fn what_is_recorded_comes_back() {
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let strategy = row();
    runtime.block_on(async {
        check(256, &strategy, async |values: Vec<Value>| {
            for value in values {
                let recorded = to_json(&value).unwrap();
                let read: Json = serde_json::from_str(&recorded.to_string()).unwrap();
                let back = from_json(&read, &value.as_null()).unwrap();
                prop_assert_eq!(std::mem::discriminant(&back), std::mem::discriminant(&value));
                prop_assert_eq!(
                    to_json(&back).unwrap(),
                    recorded.clone(),
                    "{:?} came back as {:?}",
                    value,
                    back
                );
                prop_assert_eq!(recorded.is_null(), back == value.as_null());
            }
            Ok(())
        });
    });
}

/// Remembers the events that it is given.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Event>>>);

impl Consumer for Seen {
    fn handle<'a>(
        &'a self,
        _: &'a EventTransaction,
        event: &'a Event,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<(), ConsumerError>> + Send + 'a>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event.clone());
        Box::pin(async { Ok(()) })
    }
}

/// The database is played: before the update it answers `old`, after it `new`, to the library and to SeaORM. It plays
/// MariaDB, whose UPDATE answers no row, so that each is a SELECT of its own.
async fn events_of(old: &Model, new: &Model) -> Vec<Event> {
    let written = || MockExecResult { last_insert_id: 0, rows_affected: 1 };
    let mock = MockDatabase::new(DbBackend::MySql)
        .append_query_results([[old.clone()], [new.clone()], [new.clone()]])
        .append_exec_results([written(), written()]);
    let seen = Seen::default();
    let events = Events::builder(mock.into_connection()).consumer(seen.clone()).build().await.unwrap();
    let txn = events.begin(Context::team(7)).await.unwrap();
    let active = ActiveModel { id: Set(1), flag: Set(new.flag), ..Default::default() };
    active.update(&txn).await.unwrap();
    txn.commit().await.unwrap();
    let seen = seen.0.lock().unwrap_or_else(PoisonError::into_inner);
    seen.clone()
}

#[test]
fn an_event_says_what_is_recorded_differently() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    // Mostly one column of many, so that a difference seen in error is not lost among others.
    let change = (0..Column::iter().count(), 0..4_u8);
    let strategy = (row(), row(), vec(change, 0..3));
    runtime.block_on(async {
        check(
            512,
            &strategy,
            async |(mut old, others, changes): (Vec<Value>, Vec<Value>, Vec<(usize, u8)>)| {
                old[0] = Value::from(1);
                let mut new = old.clone();
                for (i, _) in changes.into_iter().filter(|(i, _)| *i > 0) {
                    new[i] = others[i].clone();
                }
                let (old, new) = (model(&old), model(&new));
                let differing = make_field_changes(old.snapshot().unwrap(), new.snapshot().unwrap());
                let events = events_of(&old, &new).await;
                prop_assert_eq!(events.len(), usize::from(!differing.is_empty()), "{:?}", differing);
                if let [event] = &events[..] {
                    prop_assert_eq!(event.data::<UpdatedEventData>().unwrap().changes, differing);
                }
                Ok(())
            },
        );
    });
}

/// What the properties above would find only now and then.
#[test]
fn values_that_only_rust_tells_apart_leave_no_event() {
    let pairs: [(Column, Value, Value); 3] = [
        (Column::Decimal, negative("0.0").into(), negative("-0.0").into()),
        (Column::Json, Value::Json(None), Json::Null.into()),
        (Column::Double, f64::NAN.into(), f64::from_bits(f64::NAN.to_bits() ^ 1).into()),
    ];
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for (column, one, other) in pairs {
            let [mut old, mut new] =
                [Model { id: 1, ..Model::default() }, Model { id: 1, ..Model::default() }];
            old.set(column, one);
            new.set(column, other);
            let events = events_of(&old, &new).await;
            assert!(events.is_empty(), "{}: {:?}", column.as_str(), events[0].event_data);
        }
    });
}
