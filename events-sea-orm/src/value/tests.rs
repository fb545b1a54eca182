//! The table of types, both ways.

use sea_orm::prelude::Uuid;
use serde_json::json;

use super::*;

/// Recorded as this, and read back as the same.
#[track_caller]
fn check(value: impl Into<Value>, expected: Json) {
    let value = value.into();
    let recorded = to_json(&value).unwrap();
    assert_eq!(recorded, expected);
    let text = serde_json::to_string(&recorded).unwrap();
    let stored: Json = serde_json::from_str(&text).unwrap();
    assert!(same(&from_json(&stored, &value).unwrap(), &value), "{value:?}");
    assert_eq!(to_json(&value.as_null()).unwrap(), Json::Null);
}

#[test]
fn every_type_goes_both_ways() {
    check(true, json!(true));
    check(i8::MIN, json!(-128));
    check(i16::MAX, json!(32_767));
    check(i32::MIN, json!(-2_147_483_648_i64));
    check(i64::MIN, json!(i64::MIN));
    check(u8::MAX, json!(255));
    check(u16::MAX, json!(65_535));
    check(u32::MAX, json!(u32::MAX));
    check(u64::MAX, json!(u64::MAX));
    check(0.1_f32, json!(0.1));
    check(f32::MAX, json!(3.4028235e38));
    for number in [f64::MAX, f64::MIN_POSITIVE, 0.1, 1.0 / 3.0, 9_007_199_254_740_993.0] {
        check(number, json!(number));
    }
    check(f64::NAN, json!("NaN"));
    check(f64::NEG_INFINITY, json!("-Infinity"));
    check(-0.0_f64, json!("-0"));
    check("a'\"\\\u{10ffff}\n", json!("a'\"\\\u{10ffff}\n"));
    check('é', json!("é"));
    check(vec![0_u8, 255, 1], json!("AP8B"));
    check(json!({"a": [1, null]}), json!({"a": [1, null]}));
    check(Uuid::max(), json!("ffffffff-ffff-ffff-ffff-ffffffffffff"));
    let date = NaiveDate::from_ymd_opt(2026, 11, 23).unwrap();
    check(date, json!("2026-11-23"));
    let time = NaiveTime::from_hms_micro_opt(23, 59, 59, 999_999).unwrap();
    check(time, json!("23:59:59.999999"));
    check(date.and_time(time), json!("2026-11-23T23:59:59.999999"));
    check(date.and_time(time).and_utc(), json!("2026-11-23T23:59:59.999999Z"));
    let east = FixedOffset::east_opt(5 * 3600 + 1800).unwrap();
    check(date.and_time(time).and_utc().with_timezone(&east), json!("2026-11-23T23:59:59.999999Z"));
    let finer = NaiveTime::from_hms_nano_opt(23, 59, 59, 100).unwrap();
    check(finer, json!("23:59:59.000000100"));
    check(date.and_time(finer), json!("2026-11-23T23:59:59.000000100"));
    check(date.and_time(finer).and_utc(), json!("2026-11-23T23:59:59.000000100Z"));
}

#[cfg(feature = "with-rust_decimal")]
#[test]
fn decimals_keep_their_digits_and_scale() {
    use sea_orm::prelude::Decimal;

    check(Decimal::new(1050, 2), json!("10.50"));
    check(Decimal::MAX, json!("79228162514264337593543950335"));
    assert!(!same(&Decimal::new(10, 1).into(), &Decimal::new(100, 2).into()));
    let mut negative = Decimal::new(0, 2);
    negative.set_sign_negative(true);
    check(negative, json!("0.00"));
    assert!(same(&negative.into(), &Decimal::new(0, 2).into()));
}

#[cfg(feature = "with-bigdecimal")]
#[test]
fn big_decimals_keep_their_scale() {
    use sea_orm::prelude::BigDecimal;

    let [one, other]: [BigDecimal; 2] = [10.into(), 100.into()];
    let (one, other) = (one.with_scale(1), other.with_scale(2));
    assert!(!same(&one.into(), &other.into()));
}

#[cfg(feature = "with-time")]
#[test]
fn the_time_crate_writes_the_same() {
    use sea_orm::prelude::{TimeDate, TimeDateTime, TimeDateTimeWithTimeZone, TimeTime};

    let date = TimeDate::from_ordinal_date(2026, 327).unwrap();
    let time = TimeTime::from_hms_micro(1, 2, 3, 4).unwrap();
    check(date, json!("2026-11-23"));
    check(time, json!("01:02:03.000004"));
    check(TimeDateTime::new(date, time), json!("2026-11-23T01:02:03.000004"));
    let instant = TimeDateTimeWithTimeZone::from_unix_timestamp(0).unwrap();
    check(instant, json!("1970-01-01T00:00:00.000000Z"));
}

#[test]
fn what_is_recorded_alike_is_the_same() {
    let time = |nanos| NaiveTime::from_hms_nano_opt(1, 2, 3, nanos).unwrap();
    assert!(!same(&time(4_000).into(), &time(4_001).into()), "a nanosecond counts");
    let at = |nanos| NaiveDate::MIN.and_time(time(nanos)).and_utc();
    assert!(!same(&at(4_000).into(), &at(4_001).into()));
    assert!(same(&Value::Int(Some(7)), &Value::BigInt(Some(7))), "both are recorded as 7");
    assert!(same(&Value::Json(None), &Json::Null.into()), "both are recorded as null");
    assert!(same(&f64::NAN.into(), &f64::NAN.into()));
    assert!(!same(&0.0_f64.into(), &(-0.0_f64).into()));
    assert!(!same(&"".into(), &Value::String(None)));
}

#[test]
fn null_in_a_json_column_comes_back_as_asked() {
    let null = Json::Null;
    assert_eq!(from_json(&null, &Value::Json(None)), Ok(Value::Json(None)));
    assert_eq!(from_json(&null, &json!({}).into()), Ok(null.clone().into()));
}

#[test]
fn native_enums_come_back_as_such() {
    use sea_orm::sea_query::{Enum, OptionEnum};
    let live = Enum { type_name: "status".into(), value: "live".into() };
    check(Value::Enum(OptionEnum::Some(Box::new(live.clone()))), json!("live"));
    let null = Value::Enum(OptionEnum::None("status".into()));
    assert_eq!(from_json(&json!("live"), &null), Ok(Value::Enum(OptionEnum::Some(Box::new(live)))));
    assert!(from_json(&json!(1), &null).is_err());
}

#[cfg(feature = "postgres-array")]
#[test]
fn arrays_come_back_without_an_item_to_go_by() {
    check(vec![1, -2], json!([1, -2]));
    check(vec!["a".to_owned()], json!(["a"]));
    check(Vec::<i32>::new(), json!([]));
    let null = Value::from(Vec::<String>::new()).as_null();
    assert_eq!(from_json(&json!(["x"]), &null), Ok(vec!["x".to_owned()].into()));
    assert!(from_json(&json!([1]), &null).is_err());
    assert!(from_json(&json!("x"), &null).is_err());
    let dates = vec![NaiveDate::MIN, NaiveDate::MAX];
    let null = Value::from(dates.clone()).as_null();
    assert_eq!(from_json(&to_json(&dates.clone().into()).unwrap(), &null), Ok(dates.into()));
}

fn nested(levels: usize) -> Json {
    (0..levels)
        .fold(json!(1), |inner, level| if level % 2 == 0 { json!([inner]) } else { json!({"a": inner}) })
}

#[test]
fn json_that_no_reader_could_have_back_is_refused() {
    let deepest = to_json(&nested(DEPTH).into()).unwrap();
    let event = json!({"changes": {"doc": {"old": [deepest], "new": null}}}).to_string();
    assert!(serde_json::from_str::<Json>(&event).is_ok());
    assert_eq!(to_json(&nested(DEPTH + 1).into()), Err(ValueError::Deep));
    assert_eq!(check_json(&nested(DEPTH + 1)), Err(ValueError::Deep));
}

#[test]
fn what_cannot_be_kept_is_refused() {
    assert_eq!(to_json(&"a\0".into()), Err(ValueError::Nul));
    assert_eq!(to_json(&json!({"a\0": 1}).into()), Err(ValueError::Nul));
    assert!(from_json(&json!(300), &Value::TinyUnsigned(None)).is_err());
    assert!(from_json(&json!("x"), &Value::Int(None)).is_err());
    assert!(from_json(&json!(1), &Value::Uuid(None)).is_err());
}
