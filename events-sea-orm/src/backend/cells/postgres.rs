//! PostgreSQL, whose columns are strictly of their types. Where Rust's type for one is narrower, the binary form is read
//! here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use chrono::{NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};
use sea_orm::{
    Value,
    prelude::Uuid,
    sea_query::ArrayType,
    sqlx::{
        Error, Row, TypeInfo, ValueRef,
        postgres::{PgRow, PgTypeKind, PgValueFormat, PgValueRef},
    },
};

use super::{NULL, decimal, json::json, text};
use crate::value::Kind;

pub(super) fn read(row: &PgRow, name: &str, kind: Kind) -> Result<Value, Error> {
    let value = row.try_get_raw(name)?;
    if value.is_null() {
        return Ok(NULL);
    }
    if value.format() == PgValueFormat::Text {
        return Ok(text(bytes(&value)?));
    }
    let info = value.type_info();
    let held = bytes(&value)?;
    let read = match info.name().strip_suffix("[]") {
        Some(item) => array(held, item),
        None if matches!(info.kind(), PgTypeKind::Enum(_)) => Some(text(held)),
        None => cell(held, info.name(), kind),
    };
    Ok(read.unwrap_or_else(|| held.to_vec().into()))
}

fn bytes<'r>(value: &PgValueRef<'r>) -> Result<&'r [u8], Error> {
    value.as_bytes().map_err(Error::Decode)
}

/// A value of the type of this name. None of a type that has no other form here than its bytes.
fn cell(held: &[u8], name: &str, kind: Kind) -> Option<Value> {
    Some(match name {
        "BOOL" => (number(held, 0)? != [0]).into(),
        "INT2" => i16::from_be_bytes(number(held, 0)?).into(),
        "INT4" => i32::from_be_bytes(number(held, 0)?).into(),
        "INT8" => i64::from_be_bytes(number(held, 0)?).into(),
        "OID" => u32::from_be_bytes(number(held, 0)?).into(),
        // One byte, which an `i8` is kept in.
        "\"CHAR\"" if kind == Kind::Integer => i8::from_be_bytes(number(held, 0)?).into(),
        "FLOAT4" => f32::from_be_bytes(number(held, 0)?).into(),
        "FLOAT8" => f64::from_be_bytes(number(held, 0)?).into(),
        "NUMERIC" => decimal(numeric(held)?),
        "UUID" => Uuid::from_slice(held).ok()?.into(),
        "BYTEA" => held.to_vec().into(),
        "JSON" => json_text(held),
        // The first byte is the format's version.
        "JSONB" => json_text(held.get(1..).unwrap_or_default()),
        "DATE" => date(held),
        "TIME" => time(held),
        "TIMESTAMP" => match moment(held) {
            Ok(at) => at.into(),
            Err(other) => other,
        },
        "TIMESTAMPTZ" => match moment(held) {
            Ok(at) => at.and_utc().into(),
            Err(other) => other,
        },
        "INET" | "CIDR" => network(held)?.into(),
        "MACADDR" => {
            let parts: Vec<_> = held.iter().map(|byte| format!("{byte:02X}")).collect();
            parts.join(":").into()
        }
        "TEXT" | "VARCHAR" | "CHAR" | "NAME" | "BPCHAR" | "\"CHAR\"" | "UNKNOWN" | "citext" | "CITEXT"
        | "xml" => text(held),
        _ => return None,
    })
}

fn json_text(held: &[u8]) -> Value {
    std::str::from_utf8(held).map_or_else(|_| held.to_vec().into(), json)
}

/// The items, each read as a cell is: the driver's own reading of an array panics at an infinite date. None of an array that
/// a `Vec` does not stand for: of more dimensions, or with a first index of its own.
fn array(held: &[u8], item: &str) -> Option<Value> {
    let item_type = item_type(item)?;
    let word = |at: usize| number(held, at).map(i32::from_be_bytes);
    let mut items = Vec::new();
    // The number of dimensions, flags, the items' type; then the dimension's length and first index.
    if word(0)? != 0 {
        if (word(0)?, word(16)?) != (1, 1) {
            return None;
        }
        let mut rest = held.get(20..)?;
        for _ in 0..word(12)? {
            let size = i32::from_be_bytes(number(rest, 0)?);
            rest = rest.get(4..)?;
            let Ok(size) = usize::try_from(size) else {
                items.push(NULL); // -1
                continue;
            };
            let (value, others) = rest.split_at_checked(size)?;
            items.push(cell(value, item, Kind::Other)?);
            rest = others;
        }
    }
    Some(Value::Array(item_type, Some(Box::new(items))))
}

fn item_type(name: &str) -> Option<ArrayType> {
    Some(match name {
        "BOOL" => ArrayType::Bool,
        "INT2" => ArrayType::SmallInt,
        "INT4" => ArrayType::Int,
        "INT8" => ArrayType::BigInt,
        "FLOAT4" => ArrayType::Float,
        "FLOAT8" => ArrayType::Double,
        "TEXT" | "VARCHAR" | "CHAR" | "NAME" | "INET" | "CIDR" | "MACADDR" => ArrayType::String,
        "UUID" => ArrayType::Uuid,
        "BYTEA" => ArrayType::Bytes,
        "DATE" => ArrayType::ChronoDate,
        "TIME" => ArrayType::ChronoTime,
        "TIMESTAMP" => ArrayType::ChronoDateTime,
        "TIMESTAMPTZ" => ArrayType::ChronoDateTimeUtc,
        "JSON" | "JSONB" => ArrayType::Json,
        #[cfg(feature = "with-rust_decimal")]
        "NUMERIC" => ArrayType::Decimal,
        _ => return None,
    })
}

fn number<const N: usize>(held: &[u8], at: usize) -> Option<[u8; N]> {
    held.get(at..at + N)?.try_into().ok()
}

/// A number of any size, digit by digit: Rust's types hold fewer.
fn numeric(held: &[u8]) -> Option<String> {
    let short = |at: usize| number(held, at).map(u16::from_be_bytes);
    let (count, sign, scale) = (short(0)?, short(4)?, short(6)?);
    let weight = number(held, 2).map(i16::from_be_bytes).map(i32::from)?;
    let minus = match sign {
        0xC000 => return Some("NaN".to_owned()),
        0xD000 => return Some("Infinity".to_owned()),
        0xF000 => return Some("-Infinity".to_owned()),
        0x4000 => "-",
        _ => "",
    };
    // Four decimal digits each; the first has the weight of 10000 to the power of `weight`.
    let group = |place: i32| match usize::try_from(weight - place) {
        Ok(i) if i < usize::from(count) => short(8 + 2 * i),
        _ => Some(0),
    };
    let mut whole = String::new();
    for place in (0..=weight.max(0)).rev() {
        whole.push_str(&format!("{:04}", group(place)?));
    }
    let whole = whole.trim_start_matches('0');
    let mut fraction = String::new();
    let scale = usize::from(scale);
    let mut place = -1;
    while fraction.len() < scale {
        fraction.push_str(&format!("{:04}", group(place)?));
        place -= 1;
    }
    fraction.truncate(scale);
    let point = if scale == 0 { "" } else { "." };
    Some(format!("{minus}{}{point}{fraction}", if whole.is_empty() { "0" } else { whole }))
}

fn epoch() -> NaiveDateTime {
    NaiveDate::from_ymd_opt(2000, 1, 1).unwrap_or_default().and_time(NaiveTime::MIN)
}

/// Or what is there instead.
fn moment(held: &[u8]) -> Result<NaiveDateTime, Value> {
    let Some(micros) = number(held, 0).map(i64::from_be_bytes) else { return Err(held.to_vec().into()) };
    match micros {
        i64::MAX => Err("infinity".into()),
        i64::MIN => Err("-infinity".into()),
        _ => {
            let at = epoch().checked_add_signed(TimeDelta::microseconds(micros));
            at.ok_or_else(|| format!("{micros} microseconds after 2000-01-01T00:00:00").into())
        }
    }
}

fn date(held: &[u8]) -> Value {
    let Some(days) = number(held, 0).map(i32::from_be_bytes) else { return held.to_vec().into() };
    match days {
        i32::MAX => "infinity".into(),
        i32::MIN => "-infinity".into(),
        _ => match epoch().date().checked_add_signed(TimeDelta::days(days.into())) {
            Some(date) => date.into(),
            None => format!("{days} days after 2000-01-01").into(),
        },
    }
}

fn time(held: &[u8]) -> Value {
    let Some(micros) = number(held, 0).map(i64::from_be_bytes) else { return held.to_vec().into() };
    match micros {
        0..86_400_000_000 => (NaiveTime::MIN + TimeDelta::microseconds(micros)).into(),
        _ => "24:00:00".into(), // the one time of day that Rust's type does not have
    }
}

/// An address with the length of its network.
fn network(held: &[u8]) -> Option<String> {
    let [_, prefix, _, _] = number::<4>(held, 0)?;
    let address: IpAddr = match held.get(4..)?.len() {
        4 => Ipv4Addr::from(number::<4>(held, 4)?).into(),
        _ => Ipv6Addr::from(number::<16>(held, 4)?).into(),
    };
    Some(format!("{address}/{prefix}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_size_keep_their_digits() {
        let check = |parts: &[u16], expected: &str| {
            let held: Vec<u8> = parts.iter().flat_map(|part| part.to_be_bytes()).collect();
            assert_eq!(numeric(&held).as_deref(), Some(expected));
        };
        check(&[0, 0, 0, 0], "0");
        check(&[0, 0, 0, 3], "0.000");
        check(&[1, 0, 0, 2, 10], "10.00");
        check(&[2, 0, 0, 2, 10, 5000], "10.50");
        check(&[1, 1, 0x4000, 0, 1], "-10000");
        check(&[1, 0xffff, 0, 4, 1], "0.0001");
        check(&[1, 0xfffe, 0, 8, 25], "0.00000025");
        check(&[3, 2, 0, 1, 12, 3456, 7890], "1234567890.0");
        check(&[0, 0, 0xc000, 0], "NaN");
        // As large as a number can be: 131,072 digits, and some behind the point.
        let largest = [&[32_769, 32_767, 0, 1, 1], [0; 32_767].as_slice(), &[1_000]].concat();
        check(&largest, &format!("1{}.1", "0".repeat(4 * 32_767)));
    }

    #[test]
    fn what_has_no_time_of_its_own_is_said_in_words() {
        assert_eq!(moment(&i64::MAX.to_be_bytes()), Err("infinity".into()));
        assert_eq!(date(&i32::MIN.to_be_bytes()), "-infinity".into());
        assert_eq!(date(&0_i32.to_be_bytes()), NaiveDate::from_ymd_opt(2000, 1, 1).unwrap().into());
        assert_eq!(time(&86_400_000_000_i64.to_be_bytes()), "24:00:00".into());
    }
}
