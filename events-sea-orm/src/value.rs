//! Database values as JSON and back: the one table of types.
//!
//! | database value | JSON |
//! |---|---|
//! | boolean | `true`, `false` |
//! | integers | number, exact to 64 bits |
//! | `f32`, `f64` | number; `"NaN"`, `"Infinity"`, `"-Infinity"` and `"-0"` as strings, as PostgreSQL writes them |
//! | decimal | string, digits and scale kept: `"10.50"` |
//! | text, enums (as stored), `char` | string |
//! | bytes | base64 with padding |
//! | UUID | hyphenated lower-case string |
//! | JSON | as it is; the database may spell a number in other digits of the same value |
//! | date | `"2026-11-23"` |
//! | time of day | `"18:06:27.000000"` |
//! | date and time without zone | `"2026-11-23T18:06:27.000000"` |
//! | date and time with zone | UTC: `"2026-11-23T18:06:27.000000Z"` |
//! | PostgreSQL array | array of the above |
//! | network and MAC addresses | string |
//! | NULL | `null` |
//!
//! Times have six digits below the second; nine where the database holds more than six, as SQLite does. NULL and the JSON
//! `null` of a JSON column are recorded alike.
//!
//! A row may hold what its column's type, or JSON, cannot: text with a NUL, text in an integer column of SQLite. That is
//! recorded as an object with one reserved name, which no value of the column's own is:
//!
//! | recorded | what the database holds |
//! |---|---|
//! | `{"$text": "a\\0b"}` | text with a NUL, or text in a column of another type; a NUL is written `\0`, a backslash `\\` |
//! | `{"$bytes": "AP8="}` | bytes in a column of another type, or text that is no UTF-8; base64 |
//! | `{"$json": "{\"a\": 1}"}` | JSON with a NUL in it or nested too deeply, with a number that 64 bits do not hold digit by digit, or a name that an object has twice; JSON whose object has a reserved name itself, text in a JSON column that is no JSON; as text |

#[cfg(feature = "postgres-array")]
mod array;
mod digest;
mod kind;
pub(crate) mod odd;
#[cfg(feature = "with-time")]
mod time_crate;

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{
    DateTime, FixedOffset, Local, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, Timelike, Utc,
};
use sea_orm::Value;
use serde_json::{Number, Value as Json};

pub(crate) use self::{
    digest::{digested, sha256},
    kind::{Kind, fitted, null_of},
};

/// A database value that cannot be recorded, or a recorded value that does not fit the type asked for.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// Text with a NUL character, which PostgreSQL's JSON cannot hold.
    #[error("its text holds a NUL character, which cannot be recorded: remove it before saving")]
    Nul,
    /// JSON nested so deeply that no reader could have the event back.
    #[error(
        "its JSON is nested more than {DEPTH} levels deep, which cannot be read back: flatten it before saving"
    )]
    Deep,
    /// A type that this build does not know.
    #[error(
        "its type cannot be recorded: enable the feature of events-sea-orm named like SeaORM's for it, or use `#[track(with = ..)]`"
    )]
    Unsupported,
    /// A value that no statement can carry into the log.
    #[error(
        "it takes {size} bytes of an event, and at most {limit} can be written: use `#[track(digest)]`, or a smaller value"
    )]
    TooLarge {
        /// Its size as it would be recorded.
        size: usize,
        /// What one event can have.
        limit: usize,
    },
    /// The database held a value that is none of its column's type.
    #[error("the database held {held}: read it as that, or as JSON from `old_value` and `new_value`")]
    Held {
        /// What it held.
        held: &'static str,
    },
    /// The type has no such value, such as an enum whose variant is gone.
    #[error("`{value}` is no value of the type asked for: read it as what it is stored as, such as `String`")]
    NoSuchValue {
        /// The value as it is recorded.
        value: String,
    },
    /// The JSON does not hold a value of the type.
    #[error("the recorded value is not {expected}")]
    Mismatch {
        /// The type asked for.
        expected: &'static str,
    },
}

/// How deeply JSON may be nested. serde_json, and with it every reader of the log, gives up at 128 levels, of which the
/// event itself has a few.
const DEPTH: usize = 120;

/// Digits below the second: as many as every database keeps, or all there are.
const TIME: [&str; 2] = ["%H:%M:%S%.6f", "%H:%M:%S%.9f"];
const DATE_TIME: [&str; 2] = ["%Y-%m-%dT%H:%M:%S%.6f", "%Y-%m-%dT%H:%M:%S%.9f"];

/// Whether it has digits below the microsecond.
fn is_finer(nanoseconds: u32) -> bool {
    !nanoseconds.is_multiple_of(1_000)
}

/// A database value as it is recorded.
///
/// # Errors
/// [`ValueError::Nul`] for text with a NUL, [`ValueError::Deep`] for JSON nested beyond 120 levels,
/// [`ValueError::Unsupported`] for a type this build does not know.
///
/// # Examples
/// ```
/// use events_sea_orm::value::to_json;
/// use serde_json::json;
///
/// assert_eq!(to_json(&i64::MAX.into()), Ok(json!(9_223_372_036_854_775_807_i64)));
/// assert_eq!(to_json(&f64::NAN.into()), Ok(json!("NaN")));
/// assert!(to_json(&"a\0b".into()).is_err());
/// ```
pub fn to_json(value: &Value) -> Result<Json, ValueError> {
    Ok(match value {
        Value::Bool(v) => v.map_or(Json::Null, Json::Bool),
        Value::TinyInt(v) => v.map_or(Json::Null, Json::from),
        Value::SmallInt(v) => v.map_or(Json::Null, Json::from),
        Value::Int(v) => v.map_or(Json::Null, Json::from),
        Value::BigInt(v) => v.map_or(Json::Null, Json::from),
        Value::TinyUnsigned(v) => v.map_or(Json::Null, Json::from),
        Value::SmallUnsigned(v) => v.map_or(Json::Null, Json::from),
        Value::Unsigned(v) => v.map_or(Json::Null, Json::from),
        Value::BigUnsigned(v) => v.map_or(Json::Null, Json::from),
        Value::Float(v) => v.map_or(Json::Null, float32),
        Value::Double(v) => v.map_or(Json::Null, float),
        Value::String(v) => v.as_deref().map_or(Ok(Json::Null), text)?,
        Value::Enum(v) => enum_text(v).map_or(Ok(Json::Null), text)?,
        Value::Char(v) => v.map_or(Ok(Json::Null), |c| text(c.encode_utf8(&mut [0; 4])))?,
        Value::Bytes(v) => v.as_ref().map_or(Json::Null, |bytes| Json::from(STANDARD.encode(bytes))),
        Value::Json(v) => match v {
            Some(json) => {
                check_json(json)?;
                (**json).clone()
            }
            None => Json::Null,
        },
        Value::Uuid(v) => v.map_or(Json::Null, |uuid| Json::from(uuid.to_string())),
        Value::ChronoDate(v) => v.map_or(Json::Null, |date| Json::from(date.to_string())),
        Value::ChronoTime(v) => v.map_or(Json::Null, |time| time_of_day(&time)),
        Value::ChronoDateTime(v) => v.map_or(Json::Null, |at| date_time(&at)),
        Value::ChronoDateTimeUtc(v) => v.map_or(Json::Null, utc),
        Value::ChronoDateTimeLocal(v) => v.map_or(Json::Null, |at| utc(at.to_utc())),
        Value::ChronoDateTimeWithTimeZone(v) => v.map_or(Json::Null, |at| utc(at.to_utc())),
        #[cfg(feature = "with-time")]
        Value::TimeDate(v) => v.map_or(Json::Null, |date| Json::from(time_crate::date(date))),
        #[cfg(feature = "with-time")]
        Value::TimeTime(v) => v.map_or(Json::Null, |time| Json::from(time_crate::time(time))),
        #[cfg(feature = "with-time")]
        Value::TimeDateTime(v) => v.map_or(Json::Null, |at| Json::from(time_crate::date_time(at))),
        #[cfg(feature = "with-time")]
        Value::TimeDateTimeWithTimeZone(v) => {
            v.map_or(Json::Null, |at| Json::from(time_crate::offset_date_time(at)))
        }
        #[cfg(feature = "with-rust_decimal")]
        Value::Decimal(v) => v.map_or(Json::Null, |mut decimal| {
            if decimal.is_zero() {
                decimal.set_sign_positive(true); // no database has a decimal -0, and parsing drops its sign
            }
            Json::from(decimal.to_string())
        }),
        #[cfg(feature = "with-bigdecimal")]
        Value::BigDecimal(v) => {
            v.as_ref().map_or(Json::Null, |decimal| Json::from(decimal.to_plain_string()))
        }
        #[cfg(feature = "with-ipnetwork")]
        Value::IpNetwork(v) => v.map_or(Json::Null, |network| Json::from(network.to_string())),
        #[cfg(feature = "with-mac_address")]
        Value::MacAddress(v) => v.map_or(Json::Null, |address| Json::from(address.to_string())),
        #[cfg(feature = "postgres-array")]
        Value::Array(_, v) => match v {
            Some(items) => Json::Array(items.iter().map(to_json).collect::<Result<_, _>>()?),
            None => Json::Null,
        },
        // Which variants are left depends on the features of SeaORM that the application enabled.
        #[allow(unreachable_patterns)]
        _ => return Err(ValueError::Unsupported),
    })
}

/// What a column of this kind holds, as it is recorded.
pub(crate) fn recorded(value: &Value, kind: Kind) -> Result<Json, ValueError> {
    odd::of(value, kind).map_or_else(|| to_json(value), Ok)
}

/// The same as text, with no copy of what is text in the database or JSON already.
pub(crate) fn write_recorded(value: &Value, kind: Kind, out: &mut Vec<u8>) -> Result<(), ValueError> {
    if let Some(odd) = odd::of(value, kind) {
        write(&odd, out);
        return Ok(());
    }
    match value {
        Value::String(Some(text)) => write_text(text, out),
        Value::Json(Some(json)) => write(json, out),
        other => write(&to_json(other)?, out),
    }
    Ok(())
}

pub(crate) fn write_text(text: &str, out: &mut Vec<u8>) {
    write(text, out);
}

pub(crate) fn write(json: &(impl serde::Serialize + ?Sized), out: &mut Vec<u8>) {
    // Neither memory nor text and JSON give an error.
    let _ = serde_json::to_writer(out, json);
}

fn enum_text(value: &sea_orm::sea_query::OptionEnum) -> Option<&str> {
    use sea_orm::sea_query::OptionEnum;
    match value {
        OptionEnum::Some(value) => Some(value.value.as_ref()),
        OptionEnum::None(_) => None,
    }
}

fn text(text: &str) -> Result<Json, ValueError> {
    no_nul(text).map(|()| Json::from(text))
}

pub(crate) fn no_nul(text: &str) -> Result<(), ValueError> {
    if text.contains('\0') { Err(ValueError::Nul) } else { Ok(()) }
}

/// Refuses JSON that could not be had back: a NUL in any text or key is kept by no database, and what is nested too
/// deeply by no reader.
pub(crate) fn check_json(json: &Json) -> Result<(), ValueError> {
    check_nested(json, DEPTH)
}

fn check_nested(json: &Json, levels: usize) -> Result<(), ValueError> {
    let inner = || levels.checked_sub(1).ok_or(ValueError::Deep);
    match json {
        Json::String(text) => no_nul(text),
        Json::Array(items) => {
            let levels = inner()?;
            items.iter().try_for_each(|item| check_nested(item, levels))
        }
        Json::Object(fields) => {
            let levels = inner()?;
            fields.iter().try_for_each(|(key, value)| {
                no_nul(key)?;
                check_nested(value, levels)
            })
        }
        _ => Ok(()),
    }
}

fn float(number: f64) -> Json {
    if number == 0.0 && number.is_sign_negative() {
        return Json::from("-0"); // as a JSON number PostgreSQL would drop the sign
    }
    match Number::from_f64(number) {
        Some(number) => Json::Number(number),
        None if number.is_nan() => Json::from("NaN"),
        None if number > 0.0 => Json::from("Infinity"),
        None => Json::from("-Infinity"),
    }
}

/// The shortest digits that give the same `f32` back: `0.1`, not `0.10000000149011612`.
fn float32(number: f32) -> Json {
    number.to_string().parse().map_or_else(|_| float(f64::from(number)), float)
}

fn time_of_day(time: &NaiveTime) -> Json {
    let format = TIME[usize::from(is_finer(time.nanosecond()))];
    Json::from(time.format(format).to_string())
}

fn date_time(at: &NaiveDateTime) -> Json {
    let format = DATE_TIME[usize::from(is_finer(at.nanosecond()))];
    Json::from(at.format(format).to_string())
}

fn utc(at: DateTime<Utc>) -> Json {
    let digits = if is_finer(at.nanosecond()) { SecondsFormat::Nanos } else { SecondsFormat::Micros };
    Json::from(at.to_rfc3339_opts(digits, true))
}

/// A recorded value as a database value of the type that `like` has.
///
/// `null` is NULL, whatever `like` holds; only where `like` is a JSON value that is there, it is the JSON `null`.
///
/// # Errors
/// [`ValueError::Mismatch`] if `json` does not hold such a value.
///
/// # Examples
/// ```
/// use events_sea_orm::value::from_json;
/// use sea_orm::Value;
/// use serde_json::json;
///
/// assert_eq!(from_json(&json!(7), &Value::Int(None)), Ok(Value::Int(Some(7))));
/// assert_eq!(from_json(&json!(null), &Value::Int(Some(1))), Ok(Value::Int(None)));
/// ```
pub fn from_json(json: &Json, like: &Value) -> Result<Value, ValueError> {
    if json.is_null() && !matches!(like, Value::Json(Some(_))) {
        return Ok(like.as_null());
    }
    if let Some(held) = odd::held(json) {
        return odd::from_held(held, like);
    }
    Ok(match like {
        Value::Bool(_) => json.as_bool().ok_or(mismatch("a boolean"))?.into(),
        Value::TinyInt(_) => Value::TinyInt(Some(signed(json)?)),
        Value::SmallInt(_) => Value::SmallInt(Some(signed(json)?)),
        Value::Int(_) => Value::Int(Some(signed(json)?)),
        Value::BigInt(_) => Value::BigInt(Some(signed(json)?)),
        Value::TinyUnsigned(_) => Value::TinyUnsigned(Some(unsigned(json)?)),
        Value::SmallUnsigned(_) => Value::SmallUnsigned(Some(unsigned(json)?)),
        Value::Unsigned(_) => Value::Unsigned(Some(unsigned(json)?)),
        Value::BigUnsigned(_) => Value::BigUnsigned(Some(unsigned(json)?)),
        #[allow(clippy::cast_possible_truncation)] // written from an `f32` in the first place
        Value::Float(_) => Value::Float(Some(from_float(json)? as f32)),
        Value::Double(_) => Value::Double(Some(from_float(json)?)),
        Value::String(_) => Value::String(Some(string(json, "text")?.to_owned())),
        Value::Enum(like) => Value::Enum(enum_of(string(json, "text")?, like)),
        Value::Char(_) => Value::Char(Some(parse(json, "a character")?)),
        Value::Bytes(_) => {
            let bytes = STANDARD.decode(string(json, "base64")?);
            Value::Bytes(Some(bytes.map_err(|_| mismatch("base64"))?))
        }
        Value::Json(_) => Value::Json(Some(Box::new(json.clone()))),
        Value::Uuid(_) => Value::Uuid(Some(parse(json, "a UUID")?)),
        Value::ChronoDate(_) => Value::ChronoDate(Some(parse::<NaiveDate>(json, "a date")?)),
        Value::ChronoTime(_) => Value::ChronoTime(Some(parse::<NaiveTime>(json, "a time")?)),
        Value::ChronoDateTime(_) => {
            Value::ChronoDateTime(Some(parse::<NaiveDateTime>(json, "a date and time")?))
        }
        Value::ChronoDateTimeUtc(_) => Value::ChronoDateTimeUtc(Some(instant(json)?)),
        Value::ChronoDateTimeLocal(_) => {
            Value::ChronoDateTimeLocal(Some(instant(json)?.with_timezone(&Local)))
        }
        Value::ChronoDateTimeWithTimeZone(_) => {
            Value::ChronoDateTimeWithTimeZone(Some(DateTime::<FixedOffset>::from(instant(json)?)))
        }
        #[cfg(feature = "with-time")]
        Value::TimeDate(_) => Value::TimeDate(Some(time_crate::from_date(string(json, "a date")?)?)),
        #[cfg(feature = "with-time")]
        Value::TimeTime(_) => Value::TimeTime(Some(time_crate::from_time(string(json, "a time")?)?)),
        #[cfg(feature = "with-time")]
        Value::TimeDateTime(_) => {
            Value::TimeDateTime(Some(time_crate::from_date_time(string(json, "a date and time")?)?))
        }
        #[cfg(feature = "with-time")]
        Value::TimeDateTimeWithTimeZone(_) => {
            let at = string(json, "a date and time")?;
            let at = time_crate::from_date_time(at.trim_end_matches('Z'))?;
            Value::TimeDateTimeWithTimeZone(Some(at.assume_utc()))
        }
        #[cfg(feature = "with-rust_decimal")]
        Value::Decimal(_) => Value::Decimal(Some(parse(json, "a decimal")?)),
        #[cfg(feature = "with-bigdecimal")]
        Value::BigDecimal(_) => Value::BigDecimal(Some(Box::new(parse(json, "a decimal")?))),
        #[cfg(feature = "with-ipnetwork")]
        Value::IpNetwork(_) => Value::IpNetwork(Some(parse(json, "a network address")?)),
        #[cfg(feature = "with-mac_address")]
        Value::MacAddress(_) => Value::MacAddress(Some(parse(json, "a MAC address")?)),
        #[cfg(feature = "postgres-array")]
        Value::Array(item_type, items) => {
            let first = items.as_ref().and_then(|items| items.first()).map(Value::as_null);
            let like = first.or_else(|| array::null_item(item_type)).ok_or(ValueError::Unsupported)?;
            let items = json.as_array().ok_or(mismatch("an array"))?;
            let items = items.iter().map(|item| from_json(item, &like)).collect::<Result<_, _>>()?;
            Value::Array(item_type.clone(), Some(Box::new(items)))
        }
        // As in `to_json`.
        #[allow(unreachable_patterns)]
        _ => return Err(ValueError::Unsupported),
    })
}

fn enum_of(text: &str, like: &sea_orm::sea_query::OptionEnum) -> sea_orm::sea_query::OptionEnum {
    use sea_orm::sea_query::{Enum, OptionEnum};
    let type_name = match like {
        OptionEnum::Some(like) => like.type_name.clone(),
        OptionEnum::None(type_name) => type_name.clone(),
    };
    OptionEnum::Some(Box::new(Enum { type_name, value: text.to_owned().into() }))
}

fn mismatch(expected: &'static str) -> ValueError {
    ValueError::Mismatch { expected }
}

fn string<'a>(json: &'a Json, expected: &'static str) -> Result<&'a str, ValueError> {
    json.as_str().ok_or(mismatch(expected))
}

fn parse<T: std::str::FromStr>(json: &Json, expected: &'static str) -> Result<T, ValueError> {
    string(json, expected)?.parse().map_err(|_| mismatch(expected))
}

fn signed<T: TryFrom<i64>>(json: &Json) -> Result<T, ValueError> {
    json.as_i64().and_then(|n| n.try_into().ok()).ok_or(mismatch("an integer in range"))
}

fn unsigned<T: TryFrom<u64>>(json: &Json) -> Result<T, ValueError> {
    json.as_u64().and_then(|n| n.try_into().ok()).ok_or(mismatch("an integer in range"))
}

fn from_float(json: &Json) -> Result<f64, ValueError> {
    match json {
        Json::Number(number) => number.as_f64().ok_or(mismatch("a number")),
        _ => parse(json, "a number"),
    }
}

fn instant(json: &Json) -> Result<DateTime<Utc>, ValueError> {
    parse::<DateTime<FixedOffset>>(json, "a date and time with zone").map(|at| at.to_utc())
}

/// Whether two that are equal may be written in different digits.
fn has_scale(value: &Value) -> bool {
    match value {
        #[cfg(feature = "with-rust_decimal")]
        Value::Decimal(_) => true,
        #[cfg(feature = "with-bigdecimal")]
        Value::BigDecimal(_) => true,
        #[cfg(feature = "postgres-array")]
        Value::Array(..) => true,
        _ => false,
    }
}

/// Whether it is NULL.
pub(crate) fn is_null(value: &Value) -> bool {
    *value == value.as_null()
}

/// Whether both are recorded alike. Not `==`: a NaN stays a NaN, and a decimal's scale counts.
pub(crate) fn same(old: &Value, new: &Value) -> bool {
    // Equal values are recorded alike, but for the sign of a float's zero and the scale of a decimal.
    let exact = !matches!(old, Value::Float(_) | Value::Double(_)) && !has_scale(old);
    if exact && old == new {
        return true;
    }
    match (old, new) {
        // Told apart without a copy.
        (Value::String(Some(_)) | Value::Bytes(Some(_)), Value::String(Some(_)) | Value::Bytes(Some(_))) => {
            false
        }
        // JSON and what is no JSON, in a column that holds either.
        (Value::Json(Some(json)), other) | (other, Value::Json(Some(json)))
            if !matches!(other, Value::Json(_)) =>
        {
            json.is_null() && is_null(other)
        }
        (Value::Json(old), Value::Json(new)) => {
            let (old, new) = (old.as_deref(), new.as_deref());
            old.unwrap_or(&Json::Null) == new.unwrap_or(&Json::Null)
        }
        _ => match (to_json(old), to_json(new)) {
            (Ok(old), Ok(new)) => old == new,
            // A type without JSON, in a redacted field.
            _ => old == new,
        },
    }
}

#[cfg(test)]
mod tests;
