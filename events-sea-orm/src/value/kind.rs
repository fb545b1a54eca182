//! What kind of value a column holds, by the type that its entity gives it.

use sea_orm::{ColumnType, Value};

/// As far as a value of the kind is read or recorded in a way of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Integer,
    Float,
    Double,
    Decimal,
    Text,
    Bytes,
    Json,
    Uuid,
    Date,
    Time,
    DateTime,
    Instant,
    /// Whatever the database makes of it.
    Other,
}

impl Kind {
    pub(crate) fn of(column: &ColumnType) -> Self {
        match column {
            ColumnType::Boolean => Self::Bool,
            ColumnType::TinyInteger
            | ColumnType::SmallInteger
            | ColumnType::Integer
            | ColumnType::BigInteger
            | ColumnType::TinyUnsigned
            | ColumnType::SmallUnsigned
            | ColumnType::Unsigned
            | ColumnType::BigUnsigned
            | ColumnType::Year => Self::Integer,
            ColumnType::Float => Self::Float,
            ColumnType::Double => Self::Double,
            ColumnType::Decimal(_) | ColumnType::Money(_) => Self::Decimal,
            ColumnType::Char(_)
            | ColumnType::String(_)
            | ColumnType::Text
            | ColumnType::Enum { .. }
            | ColumnType::LTree => Self::Text,
            ColumnType::Blob | ColumnType::Binary(_) | ColumnType::VarBinary(_) => Self::Bytes,
            ColumnType::Json | ColumnType::JsonBinary => Self::Json,
            ColumnType::Uuid => Self::Uuid,
            ColumnType::Date => Self::Date,
            ColumnType::Time => Self::Time,
            ColumnType::DateTime | ColumnType::Timestamp => Self::DateTime,
            ColumnType::TimestampWithTimeZone => Self::Instant,
            _ => Self::Other,
        }
    }

    /// Whether a text in a column of this kind is what the column is for, or recorded in digits as its values are.
    pub(super) fn is_text(self) -> bool {
        matches!(self, Self::Text | Self::Other)
    }
}

/// NULL of the type that SeaORM gives an integer column; of any other column, of text.
pub(crate) fn null_of(column: &ColumnType) -> Value {
    match column {
        ColumnType::TinyInteger => Value::TinyInt(None),
        ColumnType::SmallInteger => Value::SmallInt(None),
        ColumnType::Integer => Value::Int(None),
        ColumnType::BigInteger => Value::BigInt(None),
        ColumnType::TinyUnsigned => Value::TinyUnsigned(None),
        ColumnType::SmallUnsigned => Value::SmallUnsigned(None),
        ColumnType::Unsigned => Value::Unsigned(None),
        ColumnType::BigUnsigned => Value::BigUnsigned(None),
        _ => Value::String(None),
    }
}

/// An integer as the value that SeaORM makes of it, if it is in that type's range.
pub(crate) fn fitted(value: Value, like: &Value) -> Value {
    let number = match value {
        Value::BigInt(Some(number)) => i128::from(number),
        Value::BigUnsigned(Some(number)) => i128::from(number),
        other => return other,
    };
    let fitted = match like {
        Value::TinyInt(_) => number.try_into().ok().map(|n| Value::TinyInt(Some(n))),
        Value::SmallInt(_) => number.try_into().ok().map(|n| Value::SmallInt(Some(n))),
        Value::Int(_) => number.try_into().ok().map(|n| Value::Int(Some(n))),
        Value::BigInt(_) => number.try_into().ok().map(|n| Value::BigInt(Some(n))),
        Value::TinyUnsigned(_) => number.try_into().ok().map(|n| Value::TinyUnsigned(Some(n))),
        Value::SmallUnsigned(_) => number.try_into().ok().map(|n| Value::SmallUnsigned(Some(n))),
        Value::Unsigned(_) => number.try_into().ok().map(|n| Value::Unsigned(Some(n))),
        Value::BigUnsigned(_) => number.try_into().ok().map(|n| Value::BigUnsigned(Some(n))),
        _ => None,
    };
    fitted.unwrap_or(value)
}
