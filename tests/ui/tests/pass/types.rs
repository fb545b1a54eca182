//! Fields of every kind that SeaORM takes, bare and in `Option`.

use events_sea_orm::Tracked;
use sea_orm::prelude::{
    ChronoDate, ChronoDateTime, ChronoDateTimeUtc, ChronoDateTimeWithTimeZone, ChronoTime, Decimal, Uuid,
};
use sea_orm::{DeriveActiveEnum, DeriveValueType, EnumIter, FromJsonQueryResult};
use serde_json::json;

#[derive(Clone, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
pub enum Status {
    Draft,
    GoneLive,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "i32", db_type = "Integer")]
pub enum Level {
    #[sea_orm(num_value = 1)]
    Low,
    #[sea_orm(num_value = 9)]
    High,
}

#[derive(Clone, Debug, PartialEq, Eq, DeriveValueType)]
pub struct Cents(pub i64);

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, FromJsonQueryResult)]
pub struct Settings {
    pub dark: bool,
}

/// Two models: one of these fields, and one of each in `Option`.
macro_rules! models {
    ($($field:ident: $type:ty,)*) => {
        models!(@model bare "bare" { $($field: $type,)* });
        models!(@model optional "optional" { $($field: Option<$type>,)* });
    };
    (@model $module:ident $table:literal { $($field:ident: $type:ty,)* }) => {
        mod $module {
            use super::*;
            use events_sea_orm::Tracked;
            use sea_orm::entity::prelude::*;

            #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
            #[sea_orm(table_name = $table)]
            #[tracked(team = context, all)]
            pub struct Model {
                #[sea_orm(primary_key)]
                pub id: i32,
                $(pub $field: $type,)*
            }

            #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
            pub enum Relation {}
        }
    };
}

models! {
    truth: bool,
    small: i16,
    large: i64,
    unsigned: u32,
    float: f32,
    double: f64,
    text: String,
    bytes: Vec<u8>,
    json: serde_json::Value,
    settings: Settings,
    status: Status,
    level: Level,
    cents: Cents,
    decimal: Decimal,
    uuid: Uuid,
    date: ChronoDate,
    time: ChronoTime,
    date_time: ChronoDateTime,
    utc: ChronoDateTimeUtc,
    zoned: ChronoDateTimeWithTimeZone,
}

fn sample() -> bare::Model {
    let utc: ChronoDateTimeUtc = "2026-02-03T04:05:06Z".parse().unwrap();
    bare::Model {
        id: 1,
        truth: true,
        small: -2,
        large: 1 << 40,
        unsigned: 7,
        float: 0.5,
        double: 0.25,
        text: "text".to_owned(),
        bytes: vec![1, 2],
        json: json!({ "a": [1] }),
        settings: Settings { dark: true },
        status: Status::GoneLive,
        level: Level::High,
        cents: Cents(99),
        decimal: Decimal::new(1250, 2),
        uuid: Uuid::nil(),
        date: utc.date_naive(),
        time: utc.time(),
        date_time: utc.naive_utc(),
        utc,
        zoned: utc.fixed_offset(),
    }
}

#[test]
fn a_value_is_recorded_whatever_its_type() {
    let model = sample();
    let snapshot = model.snapshot().unwrap();
    assert_eq!(snapshot.len(), 20);
    // What the types of the user's own become; the others are the library's table of types.
    for (name, expected) in [
        ("status", json!("gone_live")),
        ("level", json!(9)),
        ("cents", json!(99)),
        ("settings", json!({ "dark": true })),
        ("json", json!({ "a": [1] })),
        ("text", json!("text")),
        ("large", json!(1_u64 << 40)),
    ] {
        assert_eq!(snapshot[name], expected, "{name}");
    }
}

#[test]
fn an_optional_value_is_recorded_as_the_value_or_null() {
    let bare::Model {
        truth,
        small,
        large,
        unsigned,
        float,
        double,
        text,
        bytes,
        json,
        settings,
        status,
        level,
        cents,
        decimal,
        uuid,
        date,
        time,
        date_time,
        utc,
        zoned,
        id,
    } = sample();
    let some = optional::Model {
        id,
        truth: Some(truth),
        small: Some(small),
        large: Some(large),
        unsigned: Some(unsigned),
        float: Some(float),
        double: Some(double),
        text: Some(text),
        bytes: Some(bytes),
        json: Some(json),
        settings: Some(settings),
        status: Some(status),
        level: Some(level),
        cents: Some(cents),
        decimal: Some(decimal),
        uuid: Some(uuid),
        date: Some(date),
        time: Some(time),
        date_time: Some(date_time),
        utc: Some(utc),
        zoned: Some(zoned),
    };
    assert_eq!(some.snapshot().unwrap(), sample().snapshot().unwrap());
    let none = optional::Model {
        id,
        truth: None,
        small: None,
        large: None,
        unsigned: None,
        float: None,
        double: None,
        text: None,
        bytes: None,
        json: None,
        settings: None,
        status: None,
        level: None,
        cents: None,
        decimal: None,
        uuid: None,
        date: None,
        time: None,
        date_time: None,
        utc: None,
        zoned: None,
    };
    let snapshot = none.snapshot().unwrap();
    assert_eq!(snapshot.len(), 20);
    assert!(snapshot.values().all(serde_json::Value::is_null), "{snapshot:?}");
}

mod with {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    use super::Settings;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "with")]
    #[tracked(team = context)]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        /// A function of the borrowed form.
        #[track(with = str::len)]
        pub text: String,
        /// A method.
        #[track(with = Settings::theme, rename = "theme")]
        pub settings: Settings,
        /// A generic function, its type said.
        #[track(with = super::twice::<i64>, state)]
        pub number: i64,
        /// A path from the root, of the very type.
        #[track(with = crate::types::initial)]
        pub name: Option<String>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

impl Settings {
    fn theme(&self) -> &'static str {
        if self.dark { "dark" } else { "light" }
    }
}

fn twice<T: Copy + std::ops::Add<Output = T>>(number: &T) -> T {
    *number + *number
}

fn initial(name: &Option<String>) -> Option<String> {
    name.as_ref().and_then(|name| name.chars().next()).map(String::from)
}

#[test]
fn what_a_function_makes_of_a_value_is_recorded() {
    let model = with::Model {
        id: 1,
        text: "four".to_owned(),
        settings: Settings { dark: false },
        number: 21,
        name: Some("ada".to_owned()),
    };
    let snapshot = serde_json::to_value(model.snapshot().unwrap()).unwrap();
    assert_eq!(snapshot, json!({ "text": 4, "theme": "light", "number": 42, "name": "a" }));
}

mod digests {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    use super::Settings;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "digests")]
    #[tracked(team = context)]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        #[track(digest, label = "contract")]
        pub text: String,
        #[track(digest, rename = "picture", renamed_from = "image")]
        pub bytes: Option<Vec<u8>>,
        #[track(digest)]
        pub settings: Settings,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

#[test]
fn a_digest_is_recorded_of_a_value_of_any_type() {
    let settings = Settings { dark: true };
    let model = digests::Model { id: 1, text: "four".to_owned(), bytes: None, settings };
    let snapshot = serde_json::to_value(model.snapshot().unwrap()).unwrap();
    assert_eq!(
        (&snapshot["text"]["length"], &snapshot["picture"], &snapshot["settings"]["length"]),
        (&json!(4), &serde_json::Value::Null, &json!(r#"{"dark":true}"#.len()))
    );
    let field = &digests::Model::definition().fields()[1];
    assert_eq!((field.name(), field.earlier_name(), field.is_digested()), ("picture", Some("image"), true));
}
