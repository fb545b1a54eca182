//! What a cell of an answer holds, as the database has it: never through a type of the application's.

mod any;
#[cfg(any(feature = "mysql", feature = "postgres", feature = "sqlite"))]
mod json;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;

use sea_orm::{DbErr, QueryResult, RuntimeErr, Value, sqlx};

use crate::value::Kind;

/// The value in the column of this name, whose entity gives it this kind. What is not of that kind comes as it is.
///
/// # Errors
/// If there is no such column, or the answer cannot be read at all.
pub(crate) fn read(row: &QueryResult, name: &str, kind: Kind) -> Result<Value, DbErr> {
    #[cfg(feature = "postgres")]
    if let Some(row) = row.try_as_pg_row() {
        return postgres::read(row, name, kind).map_err(query_error);
    }
    #[cfg(feature = "mysql")]
    if let Some(row) = row.try_as_mysql_row() {
        return mysql::read(row, name, kind).map_err(query_error);
    }
    #[cfg(feature = "sqlite")]
    if let Some(row) = row.try_as_sqlite_row() {
        return sqlite::read(row, name, kind).map_err(query_error);
    }
    any::read(row, name, kind)
}

/// NULL, of whatever type.
const NULL: Value = Value::String(None);

#[allow(dead_code)] // without a driver
fn query_error(error: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(std::sync::Arc::new(error)))
}

/// A decimal with its digits, in SeaORM's type if that holds them all.
#[allow(dead_code)] // without a driver
fn decimal(digits: String) -> Value {
    #[cfg(feature = "with-rust_decimal")]
    if let Ok(decimal) = sea_orm::prelude::Decimal::from_str_exact(&digits) {
        return decimal.into();
    }
    digits.into()
}

/// Text, or the bytes where it is none.
#[allow(dead_code)] // without a driver
fn text(bytes: &[u8]) -> Value {
    std::str::from_utf8(bytes).map_or_else(|_| bytes.to_vec().into(), Value::from)
}
