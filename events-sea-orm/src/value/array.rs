//! PostgreSQL's arrays, whose items' type must be told when there is no item.

use sea_orm::{Value, sea_query::ArrayType};

use super::Kind;

/// What kind of value the items are, where text in place of one must not pass for one.
pub(super) fn kind_of_items(item_type: &ArrayType) -> Kind {
    match item_type {
        ArrayType::Json => Kind::Json,
        ArrayType::ChronoDate => Kind::Date,
        ArrayType::ChronoTime => Kind::Time,
        ArrayType::ChronoDateTime => Kind::DateTime,
        ArrayType::ChronoDateTimeUtc => Kind::Instant,
        _ => Kind::Other,
    }
}

/// NULL of the type that an array's items have.
pub(super) fn null_item(item_type: &ArrayType) -> Option<Value> {
    Some(match item_type {
        ArrayType::Bool => Value::Bool(None),
        ArrayType::TinyInt => Value::TinyInt(None),
        ArrayType::SmallInt => Value::SmallInt(None),
        ArrayType::Int => Value::Int(None),
        ArrayType::BigInt => Value::BigInt(None),
        ArrayType::TinyUnsigned => Value::TinyUnsigned(None),
        ArrayType::SmallUnsigned => Value::SmallUnsigned(None),
        ArrayType::Unsigned => Value::Unsigned(None),
        ArrayType::BigUnsigned => Value::BigUnsigned(None),
        ArrayType::Float => Value::Float(None),
        ArrayType::Double => Value::Double(None),
        ArrayType::String => Value::String(None),
        ArrayType::Enum(name) => Value::Enum(sea_orm::sea_query::OptionEnum::None((**name).clone())),
        ArrayType::Char => Value::Char(None),
        ArrayType::Bytes => Value::Bytes(None),
        ArrayType::Json => Value::Json(None),
        ArrayType::Uuid => Value::Uuid(None),
        ArrayType::ChronoDate => Value::ChronoDate(None),
        ArrayType::ChronoTime => Value::ChronoTime(None),
        ArrayType::ChronoDateTime => Value::ChronoDateTime(None),
        ArrayType::ChronoDateTimeUtc => Value::ChronoDateTimeUtc(None),
        ArrayType::ChronoDateTimeLocal => Value::ChronoDateTimeLocal(None),
        ArrayType::ChronoDateTimeWithTimeZone => Value::ChronoDateTimeWithTimeZone(None),
        #[cfg(feature = "with-time")]
        ArrayType::TimeDate => Value::TimeDate(None),
        #[cfg(feature = "with-time")]
        ArrayType::TimeTime => Value::TimeTime(None),
        #[cfg(feature = "with-time")]
        ArrayType::TimeDateTime => Value::TimeDateTime(None),
        #[cfg(feature = "with-time")]
        ArrayType::TimeDateTimeWithTimeZone => Value::TimeDateTimeWithTimeZone(None),
        #[cfg(feature = "with-rust_decimal")]
        ArrayType::Decimal => Value::Decimal(None),
        #[cfg(feature = "with-bigdecimal")]
        ArrayType::BigDecimal => Value::BigDecimal(None),
        #[cfg(feature = "with-ipnetwork")]
        ArrayType::IpNetwork => Value::IpNetwork(None),
        #[cfg(feature = "with-mac_address")]
        ArrayType::MacAddress => Value::MacAddress(None),
        #[allow(unreachable_patterns)]
        _ => return None,
    })
}
