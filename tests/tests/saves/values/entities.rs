//! A wide model for each group of types, once with columns that must be filled and once with columns that may be NULL.

use events_sea_orm::Tracked;
use sea_orm::{
    ColIdx, QueryResult, TryGetError, TryGetable, Value,
    entity::prelude::*,
    prelude::{TimeDate, TimeDateTime, TimeDateTimeWithTimeZone, TimeTime},
    sea_query::{ArrayType, ColumnType, Nullable, StringLen, ValueType, ValueTypeErr},
};

macro_rules! model {
    ($name:ident $table:literal { $($(#[$attribute:meta])* $column:ident: $type:ty,)* }) => {
        pub mod $name {
            use super::super::*;

            #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
            #[sea_orm(table_name = $table)]
            #[tracked(all, team = context)]
            pub struct Model {
                #[sea_orm(primary_key, auto_increment = false)]
                pub id: i32,
                $($(#[$attribute])* pub $column: $type,)*
            }

            #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
            pub enum Relation {}
        }
    };
}

/// `name "table" "table of the nullable ones" { column: type = [SQLite, PostgreSQL, MariaDB], .. }`
macro_rules! groups {
    ($($group:ident $table:literal $or_null:literal {
        $($(#[$attribute:meta])* $column:ident: $type:ty = $types:tt,)*
    })*) => {$(
        pub mod $group {
            use crate::values::harness::ColumnType;

            pub const COLUMNS: &[ColumnType] = &[$((stringify!($column), $types)),*];

            model! { filled $table { $($(#[$attribute])* $column: $type,)* } }
            model! { or_null $or_null { $($(#[$attribute])* $column: Option<$type>,)* } }
        }
    )*};
}

groups! {
    numbers "numbers" "numbers_or_null" {
        flag: bool = ["boolean", "boolean", "boolean"],
        tiny: i8 = ["tinyint", "\"char\"", "tinyint"], // SeaORM reads an `i8` from this type of PostgreSQL alone
        small: i16 = ["smallint", "smallint", "smallint"],
        middle: i32 = ["integer", "integer", "integer"],
        big: i64 = ["bigint", "bigint", "bigint"],
        unsigned: u32 = ["integer", "oid", "integer unsigned"],
        float: f32 = ["float", "real", "float"],
        double: f64 = ["double", "double precision", "double"],
    }
    small_unsigned "small_unsigned" "small_unsigned_or_null" {
        tiny: u8 = ["tinyint", "", "tinyint unsigned"],
        small: u16 = ["smallint", "", "smallint unsigned"],
    }
    big_unsigned "big_unsigned" "big_unsigned_or_null" {
        big: u64 = ["", "", "bigint unsigned"],
    }
    not_numbers "not_numbers" "not_numbers_or_null" {
        float: f32 = ["", "real", ""],
        double: f64 = ["", "double precision", ""],
    }
    texts "texts" "texts_or_null" {
        letter: Letter = ["varchar(1)", "varchar(1)", "varchar(1)"],
        line: String = ["varchar(255)", "varchar(255)", "varchar(255)"],
        #[sea_orm(column_type = "Text")]
        text: String = ["text", "text", "longtext"],
        bytes: Vec<u8> = ["blob", "bytea", "longblob"],
        uuid: Uuid = ["blob", "uuid", "binary(16)"],
        json: Json = ["json_text", "json", "json"],
        #[sea_orm(column_type = "JsonBinary")]
        json_binary: Json = ["jsonb_text", "jsonb", "longtext"], // MariaDB's `json` stops at 31 levels
    }
    exact "exact" "exact_or_null" {
        price: Decimal = ["real", "numeric(12, 2)", "decimal(12, 2)"],
        fine: Decimal = ["real", "numeric(28, 28)", "decimal(28, 28)"],
        whole: Decimal = ["real", "numeric(29, 0)", "decimal(29, 0)"],
    }
    free "free" "free_or_null" {
        any: Decimal = ["", "numeric", ""],
    }
    times "times" "times_or_null" {
        date: Date = ["date_text", "date", "date"],
        time: Time = ["time_text", "time", "time(6)"],
        date_time: DateTime = ["datetime_text", "timestamp", "datetime(6)"],
        utc: DateTimeUtc = ["timestamp_with_timezone_text", "timestamptz", "datetime(6)"],
        zoned: DateTimeWithTimeZone = ["timestamp_with_timezone_text", "timestamptz", "datetime(6)"],
    }
    other_times "other_times" "other_times_or_null" {
        date: TimeDate = ["date_text", "date", "date"],
        time: TimeTime = ["time_text", "time", "time(6)"],
        date_time: TimeDateTime = ["datetime_text", "timestamp", "datetime(6)"],
        zoned: TimeDateTimeWithTimeZone = ["timestamp_with_timezone_text", "timestamptz", "datetime(6)"],
    }
    enums "enums" "enums_or_null" {
        text: TextMood = ["varchar(16)", "varchar(16)", "varchar(16)"],
        number: NumberMood = ["integer", "integer", "integer"],
        native: NativeMood = ["enum_text", "mood", "enum('calm', 'so so')"],
        named: NamedMood = ["enum_text", "mood", "enum('calm', 'so so')"],
    }
    newtypes "newtypes" "newtypes_or_null" {
        name: Name = ["varchar(255)", "varchar(255)", "varchar(255)"],
        count: Count = ["integer", "integer", "integer"],
        handle: Handle = ["blob", "uuid", "binary(16)"],
    }
    arrays "arrays" "arrays_or_null" {
        numbers: Vec<i32> = ["", "integer[]", ""],
        texts: Vec<String> = ["", "text[]", ""],
        moods: Vec<NamedMood> = ["", "mood[]", ""],
    }
    coarse "coarse" "coarse_or_null" {
        price: Decimal = ["real", "numeric(8, 2)", "decimal(8, 2)"],
        float: f64 = ["float", "double precision", "float"],
        padded: String = ["char(5)", "char(5)", "char(5)"],
        time: Time = ["time_text", "time(0)", "time"],
        date_time: DateTime = ["datetime_text", "timestamp(0)", "datetime"],
        milli: DateTimeUtc = ["timestamp_with_timezone_text", "timestamptz(3)", "datetime(3)"],
        zoned: DateTimeWithTimeZone = ["timestamp_with_timezone_text", "timestamptz(0)", "datetime"],
        json: Json = ["json_text", "jsonb", "json"],
    }
    nanos "nanos" "nanos_or_null" {
        time: Time = ["time_text", "time", "time(6)"],
        date_time: DateTime = ["datetime_text", "timestamp", "datetime(6)"],
        utc: DateTimeUtc = ["timestamp_with_timezone_text", "timestamptz", "datetime(6)"],
        other: TimeDateTime = ["datetime_text", "timestamp", "datetime(6)"],
    }
}

#[derive(Clone, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))")]
pub enum TextMood {
    #[sea_orm(string_value = "calm")]
    Calm,
    #[sea_orm(string_value = "it's \"so so\"")]
    SoSo,
}

#[derive(Clone, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "i32", db_type = "Integer")]
pub enum NumberMood {
    #[sea_orm(num_value = 0)]
    Calm,
    #[sea_orm(num_value = -7)]
    SoSo,
}

/// A native enum that SeaORM carries as text and casts.
#[derive(Clone, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Enum", enum_name = "mood")]
pub enum NativeMood {
    #[sea_orm(string_value = "calm")]
    Calm,
    #[sea_orm(string_value = "so so")]
    SoSo,
}

/// A native enum that SeaORM carries as one.
#[derive(Clone, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "Enum", db_type = "Enum", enum_name = "mood")]
pub enum NamedMood {
    #[sea_orm(string_value = "calm")]
    Calm,
    #[sea_orm(string_value = "so so")]
    SoSo,
}

#[derive(Clone, Debug, PartialEq, Eq, DeriveValueType)]
pub struct Name(pub String);

#[derive(Clone, Debug, PartialEq, Eq, DeriveValueType)]
pub struct Count(pub i32);

#[derive(Clone, Debug, PartialEq, Eq, DeriveValueType)]
pub struct Handle(pub Uuid);

/// SeaORM binds a `char` and does not read one: a type of the user's own does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter(pub char);

impl From<Letter> for Value {
    fn from(letter: Letter) -> Self {
        letter.0.into()
    }
}

impl ValueType for Letter {
    fn try_from(value: Value) -> Result<Self, ValueTypeErr> {
        <char as ValueType>::try_from(value).map(Self)
    }

    fn type_name() -> String {
        "Letter".to_owned()
    }

    fn array_type() -> ArrayType {
        ArrayType::Char
    }

    fn column_type() -> ColumnType {
        ColumnType::String(StringLen::N(1))
    }
}

impl Nullable for Letter {
    fn null() -> Value {
        Value::Char(None)
    }
}

impl TryGetable for Letter {
    fn try_get_by<I: ColIdx>(row: &QueryResult, index: I) -> Result<Self, TryGetError> {
        let text = String::try_get_by(row, index)?;
        let wrong = || DbErr::Type("a letter is one character".to_owned());
        Ok(Self(text.parse().map_err(|_| wrong())?))
    }
}
