//! MariaDB and MySQL. What is text and what is bytes says the entity: the driver takes text of a binary collation for bytes.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use sea_orm::{
    Value,
    prelude::Uuid,
    sqlx::{
        Decode, Error, MySql, Row, TypeInfo, ValueRef,
        mysql::{MySqlRow, types::MySqlTime},
    },
};

use super::{NULL, decimal, json::json, text};
use crate::value::Kind;

pub(super) fn read(row: &MySqlRow, name: &str, kind: Kind) -> Result<Value, Error> {
    let value = row.try_get_raw(name)?;
    let stored = value.type_info().name().to_owned();
    if value.is_null() {
        // The driver takes a zero date for NULL.
        let is_there = decode::<&[u8]>(row, name).is_ok();
        return Ok(match stored.as_str() {
            "DATE" if is_there => "0000-00-00".into(),
            "DATETIME" | "TIMESTAMP" if is_there => "0000-00-00 00:00:00".into(),
            _ => NULL,
        });
    }
    Ok(match stored.as_str() {
        // As the entity's `f64` has it.
        "FLOAT" if kind == Kind::Double => f64::from(decode::<f32>(row, name)?).into(),
        "FLOAT" => decode::<f32>(row, name)?.into(),
        "DOUBLE" => decode::<f64>(row, name)?.into(),
        "DECIMAL" => match text(decode(row, name)?) {
            Value::String(Some(digits)) => decimal(digits),
            other => other,
        },
        "DATE" => or_text(decode::<NaiveDate>(row, name), row, name)?,
        "TIME" => time(decode(row, name)?),
        "DATETIME" | "TIMESTAMP" => match (decode::<NaiveDateTime>(row, name), kind) {
            (Ok(at), Kind::Instant) => at.and_utc().into(),
            (Ok(at), Kind::Other) if stored == "TIMESTAMP" => at.and_utc().into(),
            (at, _) => or_text(at, row, name)?,
        },
        "JSON" => text_or(decode(row, name)?, json),
        unsigned if ["YEAR", "BIT"].contains(&unsigned) || unsigned.ends_with(" UNSIGNED") => {
            match (kind, decode::<u64>(row, name)?) {
                (Kind::Bool, number @ (0 | 1)) => (number == 1).into(),
                (_, number) => number.into(),
            }
        }
        "BOOLEAN" | "TINYINT" | "SMALLINT" | "MEDIUMINT" | "INT" | "BIGINT" => {
            match (kind, decode::<i64>(row, name)?) {
                (Kind::Bool, number @ (0 | 1)) => (number == 1).into(),
                (_, number) => number.into(),
            }
        }
        _ => of_bytes(decode(row, name)?, kind),
    })
}

/// By what the statement's answer is made of, whatever the driver takes its type for.
fn decode<'r, T: Decode<'r, MySql>>(row: &'r MySqlRow, name: &str) -> Result<T, Error> {
    T::decode(row.try_get_raw(name)?).map_err(Error::Decode)
}

fn or_text<T: Into<Value>>(read: Result<T, Error>, row: &MySqlRow, name: &str) -> Result<Value, Error> {
    match read {
        Ok(value) => Ok(value.into()),
        // Such as a date with a month of zero.
        Err(_) => Ok(decode::<&[u8]>(row, name)?.to_vec().into()),
    }
}

/// A time of day, or what is none: a column holds hours below zero and beyond a day too. The driver's own time of day drops the
/// sign.
fn time(time: MySqlTime) -> Value {
    let is_negative = time.sign().is_negative();
    if let (false, Ok(time)) = (is_negative, NaiveTime::try_from(time)) {
        return time.into();
    }
    let sign = if is_negative { "-" } else { "" };
    let mut text = format!("{sign}{:02}:{:02}:{:02}", time.hours(), time.minutes(), time.seconds());
    if time.microseconds() != 0 {
        text.push_str(&format!(".{:06}", time.microseconds()));
    }
    text.into()
}

fn of_bytes(bytes: &[u8], kind: Kind) -> Value {
    match kind {
        Kind::Bytes => bytes.to_vec().into(),
        Kind::Json => text_or(bytes, json),
        Kind::Uuid => match Uuid::from_slice(bytes) {
            Ok(uuid) => uuid.into(),
            // A server's own type of UUID answers text.
            Err(_) => std::str::from_utf8(bytes)
                .ok()
                .and_then(|text| text.parse::<Uuid>().ok())
                .map_or_else(|| text(bytes), Value::from),
        },
        _ => text(bytes),
    }
}

fn text_or(bytes: &[u8], read: impl Fn(&str) -> Value) -> Value {
    std::str::from_utf8(bytes).map_or_else(|_| bytes.to_vec().into(), read)
}
