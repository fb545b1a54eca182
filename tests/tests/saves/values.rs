//! The table of types, both ways, through real databases.

mod edges;
mod entities;
mod harness;
mod unreadable;

use std::sync::Arc;

use chrono::Datelike;
use entities::{
    Count, Handle, Letter, Name, NamedMood, NativeMood, NumberMood, TextMood, arrays, big_unsigned, coarse,
    enums, exact, free, newtypes, not_numbers, numbers, other_times, small_unsigned, texts, times,
};
use harness::{Case, check, column, column_as_stored, create, with_nulls};
use sea_orm::{
    ConnectionTrait, DbBackend,
    prelude::{
        Date, DateTime, DateTimeUtc, DateTimeWithTimeZone, Decimal, Time, TimeDate, TimeDateTime,
        TimeDateTimeWithTimeZone, TimeTime, Uuid,
    },
    sqlx::types::time::UtcOffset,
};
use serde_json::{Value as Json, json};
use tests::TestDb;

tests::conformance! {
    numbers_go_both_ways,
    texts_bytes_and_json_go_both_ways,
    decimals_go_both_ways,
    times_go_both_ways,
    times_of_the_time_crate_go_both_ways,
    enums_go_both_ways,
    newtypes_go_both_ways,
    what_the_database_makes_of_a_value_is_recorded,
}

mod servers {
    #[test]
    fn floats_that_are_no_numbers_go_both_ways() {
        tests::run("floats_that_are_no_numbers", Some("POSTGRES_URL"), super::floats_that_are_no_numbers);
    }

    #[test]
    fn arrays_go_both_ways() {
        tests::run("arrays_go_both_ways", Some("POSTGRES_URL"), super::arrays_go_both_ways);
    }

    #[test]
    fn decimals_of_any_scale_go_both_ways() {
        tests::run("decimals_of_any_scale", Some("POSTGRES_URL"), super::decimals_of_any_scale);
    }

    #[test]
    fn unsigned_beyond_the_signed_go_both_ways() {
        tests::run("unsigned_beyond_the_signed", Some("MYSQL_URL"), super::unsigned_beyond_the_signed);
    }
}

/// Both tables of a group: columns that must be filled, and such that may be NULL.
macro_rules! check_group {
    ($db:expr, $group:ident, $cases:expr) => {{
        let cases: Vec<Case> = $cases;
        create($db, stringify!($group), $group::COLUMNS, false).await;
        check::<$group::filled::ActiveModel>($db, &cases).await;
        create($db, concat!(stringify!($group), "_or_null"), $group::COLUMNS, true).await;
        check::<$group::or_null::ActiveModel>($db, &with_nulls(cases)).await;
    }};
}

/// Whole numbers as they are.
fn whole<T: Copy + Into<sea_orm::Value> + Into<Json>>(name: &'static str, values: &[T]) -> Case {
    column(name, values.iter().map(|value| (*value, (*value).into())))
}

async fn numbers_go_both_ways(db: Arc<TestDb>) {
    db.with_tables().await;
    // SQLite stores a REAL without a fraction as an integer, which has no -0; nor does MariaDB keep it.
    let postgres = db.db.get_database_backend() == DbBackend::Postgres;
    let zero = || if postgres { json!("-0") } else { json!(0.0) };
    check_group!(
        &db,
        numbers,
        vec![
            column("flag", [(true, json!(true)), (false, json!(false))]),
            whole("tiny", &[0, i8::MIN, i8::MAX, -1]),
            whole("small", &[0, i16::MIN, i16::MAX]),
            whole("middle", &[0, i32::MIN, i32::MAX]),
            whole("big", &[0, i64::MIN, i64::MAX, 9_007_199_254_740_993]),
            whole("unsigned", &[0, u32::MAX, 1 << 31]),
            column(
                "float",
                [
                    (1.5_f32, json!(1.5)),
                    (0.1, json!(0.1)),
                    (f32::MAX, json!(3.4028235e38)),
                    (f32::MIN, json!(-3.4028235e38)),
                    (f32::MIN_POSITIVE, json!(1.1754944e-38)),
                    (f32::from_bits(1), json!(1e-45)),
                    (-0.0, zero()),
                    (0.0, json!(0.0)),
                    (16_777_216.0, json!(16_777_216.0)),
                ],
            ),
            column(
                "double",
                [
                    (0.1, json!(0.1)),
                    (1.0 / 3.0, json!(0.333_333_333_333_333_3)),
                    (f64::MAX, json!(1.797_693_134_862_315_7e308)),
                    (f64::MIN, json!(-1.797_693_134_862_315_7e308)),
                    (f64::MIN_POSITIVE, json!(2.225_073_858_507_201_4e-308)),
                    (f64::from_bits(1), json!(5e-324)),
                    (-0.0, zero()),
                    (0.0, json!(0.0)),
                    (1e16, json!(1e16)),
                    (9_007_199_254_740_993.0, json!(9_007_199_254_740_992.0)),
                ],
            ),
        ]
    );
    if db.db.get_database_backend() != DbBackend::Postgres {
        check_group!(
            &db,
            small_unsigned,
            vec![whole("tiny", &[0, u8::MAX]), whole("small", &[u16::MAX, 0, 1]),]
        );
    }
}

async fn unsigned_beyond_the_signed(db: Arc<TestDb>) {
    db.with_tables().await;
    check_group!(&db, big_unsigned, vec![whole("big", &[0, u64::MAX, 1 << 63, i64::MAX as u64])]);
}

async fn floats_that_are_no_numbers(db: Arc<TestDb>) {
    db.with_tables().await;
    check_group!(
        &db,
        not_numbers,
        vec![
            column(
                "float",
                [
                    (f32::NAN, json!("NaN")),
                    (f32::INFINITY, json!("Infinity")),
                    (f32::NEG_INFINITY, json!("-Infinity")),
                    (0.0, json!(0.0)),
                ],
            ),
            column(
                "double",
                [
                    (f64::NAN, json!("NaN")),
                    (f64::INFINITY, json!("Infinity")),
                    (f64::NEG_INFINITY, json!("-Infinity")),
                    (1.0, json!(1.0)),
                ],
            ),
        ]
    );
}

/// Texts that are quoted, compared loosely or taken for something else somewhere.
const TEXTS: [&str; 12] = [
    "plain",
    "",
    "Plain",
    "plain ",
    "null",
    "é\u{301} ÅÄÖ",
    "\u{1F980}\u{10FFFF}",
    "a'b\"c\\d`e%f_g",
    "line\r\nline\ttab\u{1}",
    "{\"a\": [1]}",
    "'; DROP TABLE texts; --",
    "\u{202e}right to left",
];

fn nested(levels: usize) -> Json {
    (0..levels).fold(json!(1), |inner, i| if i % 2 == 0 { json!([inner]) } else { json!({"a": inner}) })
}

async fn texts_bytes_and_json_go_both_ways(db: Arc<TestDb>) {
    db.with_tables().await;
    let every_byte: Vec<u8> = (0..=255).collect();
    let as_text = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+P0BBQkNERUZHSElKS0xNTk9Q\
                   UVJTVFVWV1hZWltcXV5fYGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6e3x9fn+AgYKDhIWGh4iJiouMjY6PkJGSk5SVlpeYmZqbnJ2en6Ch\
                   oqOkpaanqKmqq6ytrq+wsbKztLW2t7i5uru8vb6/wMHCw8TFxsfIycrLzM3Oz9DR0tPU1dbX2Nna29zd3t/g4eLj5OXm5+jp6uvs7e7v8PHy\
                   8/T19vf4+fr7/P3+/w==";
    let documents = || {
        [
            json!({"b": 1, "a": [null, true, {"deep": {"er": "é\"\\"}}]}),
            json!({"a": [null, true, {"deep": {"er": "é\"\\"}}]}),
            json!({"big": u64::MAX, "low": i64::MIN, "f": 0.1, "e": 1.5e300, "tiny": 5e-324}),
            json!([]),
            json!({}),
            json!(null),
            json!("text"),
            json!(false),
            nested(25),
            json!({"": {" ": "\u{1F980}"}}),
        ]
    };
    check_group!(
        &db,
        texts,
        vec![
            column(
                "letter",
                ['a', 'A', 'é', '\u{1F980}', '\'', '\\', ' '].map(|c| (Letter(c), Json::from(c.to_string()))),
            ),
            column("line", TEXTS.map(|text| (text, json!(text)))),
            column("text", TEXTS.map(|text| (text.repeat(50), json!(text.repeat(50))))),
            column(
                "bytes",
                [
                    (Vec::new(), json!("")),
                    (every_byte.clone(), json!(as_text)),
                    (vec![0], json!("AA==")),
                    ([0x69, 0xB7, 0x1D].repeat(350_000), json!("abcd".repeat(350_000))),
                    (b"not\xFFutf8".to_vec(), json!("bm90/3V0Zjg=")),
                ],
            ),
            column(
                "uuid",
                [
                    (Uuid::nil(), json!("00000000-0000-0000-0000-000000000000")),
                    (
                        Uuid::from_u128(0xA1B2_C3D4_0000_4000_8000_0123_4567_89AB),
                        json!("a1b2c3d4-0000-4000-8000-0123456789ab")
                    ),
                    (Uuid::max(), json!("ffffffff-ffff-ffff-ffff-ffffffffffff")),
                ],
            ),
            column("json", documents().map(|json| (json.clone(), json))),
            column("json_binary", documents().map(|json| (json.clone(), json))),
        ]
    );
}

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

/// As given, except where the way to the database knows no scale: SQLite has REAL, and sqlx reads every zero of
/// PostgreSQL as `0`.
fn decimals(name: &'static str, backend: DbBackend, texts: &[&str]) -> Case {
    let values: Vec<_> = texts.iter().map(|text| decimal(text)).collect();
    match backend {
        DbBackend::Sqlite => column_as_stored(name, values),
        _ => column(name, values.into_iter().zip(texts.iter().map(|text| json!(text)))),
    }
}

async fn decimals_go_both_ways(db: Arc<TestDb>) {
    let backend = db.db.get_database_backend();
    db.with_tables().await;
    let fine = [
        "0.0000000000000000000000000001",
        "0.9999999999999999999999999999",
        "-0.5000000000000000000000000000",
    ];
    let whole = match backend {
        DbBackend::Sqlite => ["0", "1234567890123456", "-79228162514264000000000000000"],
        _ => ["0", "79228162514264337593543950335", "-79228162514264337593543950335"],
    };
    check_group!(
        &db,
        exact,
        vec![
            decimals("price", backend, &["0.00", "10.50", "10.00", "-0.01", "9999999999.99"]),
            decimals("fine", backend, &fine),
            decimals("whole", backend, &whole),
        ]
    );
    if backend == DbBackend::Postgres {
        let has_digits =
            |event: &events_sea_orm::event::Model| event.event_data["changes"]["price"]["old"] == "0.00";
        assert!(db.log().await.iter().any(has_digits), "what SQL reads");
    }
}

async fn decimals_of_any_scale(db: Arc<TestDb>) {
    db.with_tables().await;
    let texts = ["1.0", "1.00", "1", "0", "-1.10", "7.9228162514264337593543950335", "100"];
    let mut negative_zero = decimal("0.00");
    negative_zero.set_sign_negative(true);
    let values = texts.map(|text| (decimal(text), json!(text)));
    let values = values.into_iter().chain([(negative_zero, json!("0"))]);
    check_group!(&db, free, vec![column("any", values)]);
}

fn date(year: i32, month: u32, day: u32) -> Date {
    Date::from_ymd_opt(year, month, day).unwrap()
}

fn time(hour: u32, minute: u32, second: u32, micros: u32) -> Time {
    Time::from_hms_micro_opt(hour, minute, second, micros).unwrap()
}

fn zoned(hours: i32, minutes: i32, at: DateTime) -> DateTimeWithTimeZone {
    let offset = chrono::FixedOffset::east_opt(hours * 3600 + minutes * 60).unwrap();
    at.and_local_timezone(offset).unwrap()
}

async fn times_go_both_ways(db: Arc<TestDb>) {
    db.with_tables().await;
    let noon = || date(2026, 11, 23).and_time(time(12, 0, 0, 0));
    let last = || date(9999, 12, 31).and_time(time(23, 59, 59, 999_999));
    let early = || date(1000, 1, 1).and_time(time(0, 0, 0, 1));
    let before_epoch = || date(1969, 12, 31).and_time(time(23, 59, 59, 999_999));
    // sqlx sends an instant to MariaDB as a TIMESTAMP, which begins in 1970 and ends in 2038.
    let narrow = db.db.get_database_backend() == DbBackend::MySql;
    let utc = |at: DateTime, text: &str| -> (DateTimeUtc, Json) {
        if narrow && !(1970..2038).contains(&at.year()) {
            (noon().and_utc(), json!("2026-11-23T12:00:00.000000Z"))
        } else {
            (at.and_utc(), json!(text))
        }
    };
    check_group!(
        &db,
        times,
        vec![
            column(
                "date",
                [
                    (date(2026, 11, 23), json!("2026-11-23")),
                    (date(2024, 2, 29), json!("2024-02-29")),
                    (date(1000, 1, 1), json!("1000-01-01")),
                    (date(9999, 12, 31), json!("9999-12-31")),
                ],
            ),
            column(
                "time",
                [
                    (time(0, 0, 0, 0), json!("00:00:00.000000")),
                    (time(23, 59, 59, 999_999), json!("23:59:59.999999")),
                    (time(1, 2, 3, 4), json!("01:02:03.000004")),
                ],
            ),
            column(
                "date_time",
                [
                    (noon(), json!("2026-11-23T12:00:00.000000")),
                    (last(), json!("9999-12-31T23:59:59.999999")),
                    (early(), json!("1000-01-01T00:00:00.000001")),
                    (before_epoch(), json!("1969-12-31T23:59:59.999999")),
                ],
            ),
            column(
                "utc",
                [
                    utc(noon(), "2026-11-23T12:00:00.000000Z"),
                    utc(last(), "9999-12-31T23:59:59.999999Z"),
                    utc(early(), "1000-01-01T00:00:00.000001Z"),
                    utc(before_epoch(), "1969-12-31T23:59:59.999999Z"),
                ],
            ),
            column(
                "zoned",
                [
                    (zoned(5, 30, noon()), json!("2026-11-23T06:30:00.000000Z")),
                    (zoned(-11, 0, noon()), json!("2026-11-23T23:00:00.000000Z")),
                    (zoned(0, 0, before_epoch()), json!("1969-12-31T23:59:59.999999Z")),
                    (zoned(14, 0, noon()), json!("2026-11-22T22:00:00.000000Z")),
                ],
            ),
        ]
    );
}

async fn times_of_the_time_crate_go_both_ways(db: Arc<TestDb>) {
    db.with_tables().await;
    let date = |year, day| TimeDate::from_ordinal_date(year, day).unwrap();
    let time = |hour, minute, second, micros| TimeTime::from_hms_micro(hour, minute, second, micros).unwrap();
    let instant = |seconds: i64, micros: i64| {
        let nanos = (i128::from(seconds) * 1_000_000 + i128::from(micros)) * 1_000;
        TimeDateTimeWithTimeZone::from_unix_timestamp_nanos(nanos).unwrap()
    };
    let east = |at: TimeDateTimeWithTimeZone| at.to_offset(UtcOffset::from_hms(5, 30, 0).unwrap());
    check_group!(
        &db,
        other_times,
        vec![
            column(
                "date",
                [
                    (date(2026, 327), json!("2026-11-23")),
                    (date(2024, 60), json!("2024-02-29")),
                    (date(1000, 1), json!("1000-01-01")),
                    (date(9999, 365), json!("9999-12-31")),
                ],
            ),
            column(
                "time",
                [
                    (time(0, 0, 0, 0), json!("00:00:00.000000")),
                    (time(23, 59, 59, 999_999), json!("23:59:59.999999")),
                    (time(1, 2, 3, 4), json!("01:02:03.000004")),
                ],
            ),
            column(
                "date_time",
                [
                    (
                        TimeDateTime::new(date(2026, 327), time(18, 6, 27, 0)),
                        json!("2026-11-23T18:06:27.000000")
                    ),
                    (TimeDateTime::new(date(1000, 1), time(0, 0, 0, 1)), json!("1000-01-01T00:00:00.000001")),
                    (
                        TimeDateTime::new(date(9999, 365), time(23, 59, 59, 999_999)),
                        json!("9999-12-31T23:59:59.999999")
                    ),
                ],
            ),
            column(
                "zoned",
                [
                    (east(instant(86_400, 0)), json!("1970-01-02T00:00:00.000000Z")),
                    match db.db.get_database_backend() {
                        DbBackend::MySql => (instant(1, 0), json!("1970-01-01T00:00:01.000000Z")),
                        _ => (instant(-1, 999_999), json!("1969-12-31T23:59:59.999999Z")),
                    },
                    (east(instant(1_795_457_187, 1)), json!("2026-11-23T18:06:27.000001Z")),
                ],
            ),
        ]
    );
}

/// PostgreSQL wants the type before the column.
async fn create_mood(db: &TestDb) {
    db.with_tables().await;
    if db.db.get_database_backend() == DbBackend::Postgres {
        db.db.execute_unprepared("CREATE TYPE mood AS ENUM ('calm', 'so so')").await.unwrap();
    }
}

async fn enums_go_both_ways(db: Arc<TestDb>) {
    create_mood(&db).await;
    check_group!(
        &db,
        enums,
        vec![
            column("text", [(TextMood::Calm, json!("calm")), (TextMood::SoSo, json!("it's \"so so\""))]),
            column("number", [(NumberMood::Calm, json!(0)), (NumberMood::SoSo, json!(-7))]),
            column("native", [(NativeMood::SoSo, json!("so so")), (NativeMood::Calm, json!("calm"))]),
            column("named", [(NamedMood::Calm, json!("calm")), (NamedMood::SoSo, json!("so so"))]),
        ]
    );
}

async fn newtypes_go_both_ways(db: Arc<TestDb>) {
    db.with_tables().await;
    check_group!(
        &db,
        newtypes,
        vec![
            column("name", [(Name("Ada".to_owned()), json!("Ada")), (Name(String::new()), json!(""))]),
            column("count", [(Count(-1), json!(-1)), (Count(i32::MAX), json!(i32::MAX))]),
            column(
                "handle",
                [(Handle(Uuid::nil()), json!(Uuid::nil())), (Handle(Uuid::max()), json!(Uuid::max()))]
            ),
        ]
    );
}

async fn arrays_go_both_ways(db: Arc<TestDb>) {
    create_mood(&db).await;
    let texts = || vec!["a,b".to_owned(), String::new(), "{\"x\"}".to_owned(), "NULL".to_owned()];
    check_group!(
        &db,
        arrays,
        vec![
            column(
                "numbers",
                [
                    (vec![1, -2, i32::MAX], json!([1, -2, i32::MAX])),
                    (vec![], json!([])),
                    (vec![1], json!([1])),
                    (vec![1, 1], json!([1, 1])),
                ],
            ),
            column(
                "texts",
                [(texts(), json!(texts())), (vec![], json!([])), (vec!["a".to_owned()], json!(["a"]))]
            ),
            column(
                "moods",
                [(vec![NamedMood::SoSo, NamedMood::Calm], json!(["so so", "calm"])), (vec![], json!([]))],
            ),
        ]
    );
}

/// Rounded, cut, padded: recorded is what was stored, and giving the same once more is no change.
async fn what_the_database_makes_of_a_value_is_recorded(db: Arc<TestDb>) {
    db.with_tables().await;
    let noon = || date(2026, 11, 23).and_time(time(12, 0, 0, 600_000));
    let later = || date(2026, 12, 31).and_time(time(23, 59, 58, 499_999));
    check_group!(
        &db,
        coarse,
        vec![
            column_as_stored("price", ["2.345", "1", "2.355", "100000.004"].map(decimal)),
            column_as_stored("float", [0.1, 1.0 / 3.0, 16_777_217.0]),
            column_as_stored("padded", ["ab", "ab  ", "", "abcde"]),
            column_as_stored("time", [time(12, 0, 0, 600_000), time(1, 2, 3, 499_999)]),
            column_as_stored("date_time", [noon(), later()]),
            column_as_stored("milli", [noon().and_utc(), later().and_utc()]),
            column_as_stored("zoned", [zoned(5, 30, noon()), zoned(-8, 0, later())]),
            column_as_stored(
                "json",
                [json!({"bb": 1.5, "a": 1e20}), json!({"a": 1e20, "bb": 2.5}), json!([1e16, 1e-7])]
            ),
        ]
    );
}
