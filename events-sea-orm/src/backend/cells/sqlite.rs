//! SQLite: any cell may hold a value of any type, whatever its column's.

use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use sea_orm::{
    Value,
    prelude::Uuid,
    sqlx::{
        Decode, Error, Row, Sqlite, TypeInfo, ValueRef,
        sqlite::{SqliteRow, SqliteValueRef},
    },
};

use super::{NULL, decimal, json::json, text};
use crate::value::Kind;

pub(super) fn read(row: &SqliteRow, name: &str, kind: Kind) -> Result<Value, Error> {
    let value = row.try_get_raw(name)?;
    if value.is_null() {
        return Ok(NULL);
    }
    let stored = value.type_info().name().to_owned();
    match stored.as_str() {
        "INTEGER" => Ok(integer(decode(value)?, kind)),
        "REAL" => Ok(real(decode(value)?, kind)),
        "TEXT" => Ok(of_text(&decode::<Vec<u8>>(value)?, row, name, kind)),
        _ => Ok(blob(decode(value)?, kind)),
    }
}

fn decode<'r, T: Decode<'r, Sqlite>>(value: SqliteValueRef<'r>) -> Result<T, Error> {
    T::decode(value).map_err(Error::Decode)
}

fn integer(number: i64, kind: Kind) -> Value {
    let time = || DateTime::<Utc>::from_timestamp(number, 0);
    let read = match (kind, number) {
        (Kind::Bool, 0 | 1) => Some((number == 1).into()),
        (Kind::Decimal, _) => Some(decimal(number.to_string())),
        // Unix time, as the driver reads it.
        (Kind::Instant, _) => time().map(Value::from),
        (Kind::DateTime, _) => time().map(|at| at.naive_utc().into()),
        _ => None,
    };
    read.unwrap_or_else(|| number.into())
}

fn real(number: f64, kind: Kind) -> Value {
    #[allow(clippy::cast_possible_truncation)] // asked for right away
    let short = number as f32;
    match kind {
        Kind::Float if f64::from(short).to_bits() == number.to_bits() => short.into(),
        Kind::Decimal if number.is_finite() => {
            read_by_sea_orm(number).unwrap_or_else(|| decimal(number.to_string()))
        }
        _ => number.into(),
    }
}

/// The decimal that SeaORM reads, if it is this very number and not one near it.
fn read_by_sea_orm(number: f64) -> Option<Value> {
    #[cfg(feature = "with-rust_decimal")]
    if let Ok(decimal) = sea_orm::prelude::Decimal::try_from(number)
        && decimal.to_string().parse() == Ok(number)
    {
        return Some(decimal.into());
    }
    let _ = number;
    None
}

fn of_text(bytes: &[u8], row: &SqliteRow, name: &str, kind: Kind) -> Value {
    let Ok(held) = std::str::from_utf8(bytes) else { return bytes.to_vec().into() };
    let read = match kind {
        Kind::Json => return json(held),
        Kind::Date => parsed::<NaiveDate>(row, name).map(Value::from),
        Kind::Time => parsed::<NaiveTime>(row, name).map(Value::from),
        Kind::DateTime => parsed::<NaiveDateTime>(row, name).map(Value::from),
        Kind::Instant => parsed::<DateTime<FixedOffset>>(row, name).map(|at| at.to_utc().into()),
        _ => None,
    };
    read.unwrap_or_else(|| text(bytes))
}

/// As the driver reads it for SeaORM.
fn parsed<'r, T: Decode<'r, Sqlite>>(row: &'r SqliteRow, name: &str) -> Option<T> {
    T::decode(row.try_get_raw(name).ok()?).ok()
}

fn blob(bytes: Vec<u8>, kind: Kind) -> Value {
    match (kind, Uuid::from_slice(&bytes)) {
        (Kind::Uuid, Ok(uuid)) => uuid.into(),
        _ => bytes.into(),
    }
}
