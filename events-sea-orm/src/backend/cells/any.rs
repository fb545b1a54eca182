//! Any other answer, such as a mock's: through SeaORM's own types, of which one will fit.

use sea_orm::{DbErr, QueryResult, TryGetError, TryGetable, Value};

use super::NULL;
use crate::value::Kind;

pub(super) fn read(row: &QueryResult, name: &str, kind: Kind) -> Result<Value, DbErr> {
    let (mut last, mut is_null) = (None, false);
    for read in readers(kind) {
        match read(row, name) {
            Ok(value) => return Ok(value),
            // A mock says so of a value of another type too.
            Err(TryGetError::Null(_)) => is_null = true,
            Err(TryGetError::DbErr(error)) => last = Some(error),
        }
    }
    if is_null {
        return Ok(NULL);
    }
    Err(last.unwrap_or_else(|| DbErr::Type(format!("`{name}` is of no type that can be read"))))
}

type Reader = fn(&QueryResult, &str) -> Result<Value, TryGetError>;

fn as_type<T: TryGetable + Into<Value>>(row: &QueryResult, name: &str) -> Result<Value, TryGetError> {
    row.try_get_nullable::<T>("", name).map(Into::into)
}

/// The type of the kind first: where types are not strict it is the one that is meant.
fn readers(kind: Kind) -> impl Iterator<Item = Reader> {
    use sea_orm::prelude::{
        Date, DateTime, DateTimeLocal, DateTimeUtc, DateTimeWithTimeZone, Json, Time, Uuid,
    };
    let own: &[Reader] = match kind {
        Kind::Bool => &[as_type::<bool>],
        Kind::Float => &[as_type::<f32>],
        Kind::Double => &[as_type::<f64>],
        Kind::Bytes => &[as_type::<Vec<u8>>],
        Kind::Json => &[as_type::<Json>],
        Kind::Uuid => &[as_type::<Uuid>],
        _ => &[],
    };
    let all: &[Reader] = &[
        as_type::<i32>,
        as_type::<i64>,
        as_type::<u32>,
        as_type::<u64>,
        as_type::<i16>,
        as_type::<i8>,
        as_type::<u16>,
        as_type::<u8>,
        #[cfg(feature = "with-rust_decimal")]
        as_type::<sea_orm::prelude::Decimal>,
        #[cfg(feature = "with-bigdecimal")]
        as_type::<sea_orm::prelude::BigDecimal>,
        as_type::<DateTimeUtc>,
        as_type::<DateTimeWithTimeZone>,
        as_type::<DateTimeLocal>,
        as_type::<DateTime>,
        as_type::<Date>,
        as_type::<Time>,
        #[cfg(feature = "with-time")]
        as_type::<sea_orm::prelude::TimeDateTimeWithTimeZone>,
        #[cfg(feature = "with-time")]
        as_type::<sea_orm::prelude::TimeDateTime>,
        #[cfg(feature = "with-time")]
        as_type::<sea_orm::prelude::TimeDate>,
        #[cfg(feature = "with-time")]
        as_type::<sea_orm::prelude::TimeTime>,
        as_type::<String>,
        as_type::<Uuid>,
        as_type::<bool>,
        as_type::<f64>,
        as_type::<f32>,
        as_type::<Json>,
        as_type::<Vec<u8>>,
        #[cfg(feature = "with-ipnetwork")]
        as_type::<sea_orm::prelude::IpNetwork>,
        as_type::<Vec<String>>,
        as_type::<Vec<i32>>,
        as_type::<Vec<i64>>,
    ];
    own.iter().chain(all).copied().collect::<Vec<_>>().into_iter()
}
