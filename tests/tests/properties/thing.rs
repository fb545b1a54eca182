//! A model with a field of every kind, values for it, and what an event must hold of them, said once more and by hand.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use events_sea_orm::Tracked;
use proptest::{collection::vec, option, prelude::*};
use sea_orm::{DbBackend, Set, entity::prelude::*};
use serde_json::{Value as Json, json};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
#[sea_orm(table_name = "things")]
#[tracked(object_type = "thing", team = "team_id")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i32,
    pub team_id: i32,
    #[track]
    #[sea_orm(column_type = "Text")]
    pub name: String,
    #[track(rename = "headline")]
    #[sea_orm(column_type = "Text")]
    pub title: Option<String>,
    #[track(state)]
    pub status: Status,
    #[track]
    pub amount: Decimal,
    #[track]
    pub big: i64,
    #[track]
    pub ratio: f64,
    #[track]
    #[sea_orm(column_type = "JsonBinary")]
    pub doc: Json,
    #[track]
    pub blob: Option<Vec<u8>>,
    #[track]
    pub at: Option<DateTimeUtc>,
    #[track]
    pub day: Date,
    #[track]
    pub reference: Option<Uuid>,
    #[track(redact)]
    pub password: Option<String>,
    pub visits: i32,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))", rename_all = "snake_case")]
pub enum Status {
    Draft,
    Live,
    OnHold,
}

pub const TEAM: i32 = 7;

/// What every password begins with: found nowhere but in the table itself.
pub const PASSWORD: &str = "pa55w0rd-";

pub fn table(backend: DbBackend) -> String {
    let [real, bytes, json, time, uuid, end] = match backend {
        DbBackend::Postgres => ["double precision", "bytea", "jsonb", "timestamptz", "uuid", ""],
        DbBackend::MySql => {
            let end = " DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci";
            ["double", "longblob", "json", "datetime(6)", "binary(16)", end]
        }
        _ => ["double", "blob", "json_text", "timestamp_with_timezone_text", "blob", ""],
    };
    let decimal = if backend == DbBackend::Sqlite { "real" } else { "numeric(20, 4)" };
    format!(
        "CREATE TABLE things (id integer NOT NULL PRIMARY KEY, team_id integer NOT NULL, name text NOT NULL, title text,
            status varchar(16) NOT NULL, amount {decimal} NOT NULL, big bigint NOT NULL, ratio {real} NOT NULL,
            doc {json} NOT NULL, {blob} {bytes}, at {time} NULL, day date NOT NULL, reference {uuid}, password varchar(255),
            visits integer NOT NULL){end}",
        blob = if backend == DbBackend::MySql { "`blob`" } else { "\"blob\"" },
    )
}

/// The value of one field.
#[derive(Clone, Debug)]
pub enum Field {
    Name(String),
    Title(Option<String>),
    Status(Status),
    Amount(Decimal),
    Big(i64),
    Ratio(f64),
    Doc(Json),
    Blob(Option<Vec<u8>>),
    At(Option<DateTimeUtc>),
    Day(Date),
    Reference(Option<Uuid>),
    Password(Option<String>),
    Visits(i32),
}

impl Field {
    pub fn set(self, active: &mut ActiveModel) {
        match self {
            Self::Name(value) => active.name = Set(value),
            Self::Title(value) => active.title = Set(value),
            Self::Status(value) => active.status = Set(value),
            Self::Amount(value) => active.amount = Set(value),
            Self::Big(value) => active.big = Set(value),
            Self::Ratio(value) => active.ratio = Set(value),
            Self::Doc(value) => active.doc = Set(value),
            Self::Blob(value) => active.blob = Set(value),
            Self::At(value) => active.at = Set(value),
            Self::Day(value) => active.day = Set(value),
            Self::Reference(value) => active.reference = Set(value),
            Self::Password(value) => active.password = Set(value),
            Self::Visits(value) => active.visits = Set(value),
        }
    }

    pub fn put(self, row: &mut Model) {
        match self {
            Self::Name(value) => row.name = value,
            Self::Title(value) => row.title = value,
            Self::Status(value) => row.status = value,
            Self::Amount(value) => row.amount = value,
            Self::Big(value) => row.big = value,
            Self::Ratio(value) => row.ratio = value,
            Self::Doc(value) => row.doc = value,
            Self::Blob(value) => row.blob = value,
            Self::At(value) => row.at = value,
            Self::Day(value) => row.day = value,
            Self::Reference(value) => row.reference = value,
            Self::Password(value) => row.password = value,
            Self::Visits(value) => row.visits = value,
        }
    }
}

/// The fields of a row as an event must hold them. Decimals without trailing zeros: SQLite has no scale.
pub fn recorded(row: &Model) -> BTreeMap<String, Json> {
    let ratio = if row.ratio == 0.0 && row.ratio.is_sign_negative() { json!("-0") } else { json!(row.ratio) };
    let status = match row.status {
        Status::Draft => "draft",
        Status::Live => "live",
        Status::OnHold => "on_hold",
    };
    let fields = [
        ("name", json!(row.name)),
        ("headline", json!(row.title)),
        ("status", json!(status)),
        ("amount", json!(row.amount.normalize().to_string())),
        ("big", json!(row.big)),
        ("ratio", ratio),
        ("doc", row.doc.clone()),
        ("blob", json!(row.blob.as_ref().map(|bytes| STANDARD.encode(bytes)))),
        ("at", json!(row.at.map(|at| at.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()))),
        ("day", json!(row.day.format("%Y-%m-%d").to_string())),
        ("reference", json!(row.reference.map(|uuid| uuid.hyphenated().to_string()))),
    ];
    fields.map(|(name, json)| (name.to_owned(), json)).into()
}

/// What the database of this kind keeps of the values.
pub fn as_kept(mut row: Model, backend: DbBackend) -> Model {
    if backend != DbBackend::Postgres && row.ratio == 0.0 {
        row.ratio = 0.0; // only PostgreSQL keeps the sign of -0
    }
    row
}

fn text() -> impl Strategy<Value = String> {
    let special = prop::sample::select(vec![
        "",
        "a",
        "A",
        "a ",
        "null",
        "'\"\\`",
        "\u{10FFFF}\u{1F980}",
        "{}",
        "\u{1}\n",
    ]);
    let any = vec(any::<char>().prop_filter("no NUL", |c| *c != '\0'), 0..12);
    prop_oneof![2 => special.prop_map(str::to_owned), 1 => any.prop_map(String::from_iter)]
}

/// Fractions only: `1.0` and `1` are two values to SQLite and one to PostgreSQL.
fn document() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        Just(json!(u64::MAX)),
        prop::sample::select(vec![0.1, -2.5, 1.5e300, 5e-324, 1.0 / 3.0]).prop_map(Json::from),
        text().prop_map(Json::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Json::from),
            vec((text(), inner), 0..3).prop_map(|fields| Json::Object(fields.into_iter().collect())),
        ]
    })
}

fn status() -> impl Strategy<Value = Status> {
    prop::sample::select(vec![Status::Draft, Status::Live, Status::OnHold])
}

/// Fifteen digits, which is what SQLite's REAL keeps.
fn amount() -> impl Strategy<Value = Decimal> {
    const MOST: i64 = 999_999_999_999_999;
    let units =
        prop_oneof![Just(0), Just(1), Just(-1), Just(MOST), Just(-MOST), -MOST..=MOST, -20_000_i64..20_000];
    units.prop_map(|units| Decimal::new(units, 4))
}

fn big() -> impl Strategy<Value = i64> {
    prop_oneof![Just(0), Just(1), Just(i64::MIN), Just(i64::MAX), any::<i64>()]
}

fn ratio() -> impl Strategy<Value = f64> {
    let extreme =
        [0.0, -0.0, 0.1, f64::MAX, f64::MIN, f64::MIN_POSITIVE, f64::from_bits(1), 1e16, f64::EPSILON];
    let any = any::<f64>().prop_filter("a number", |number| number.is_finite());
    prop_oneof![2 => prop::sample::select(extreme.to_vec()), 1 => any]
}

fn blob() -> impl Strategy<Value = Option<Vec<u8>>> {
    option::of(prop_oneof![Just(Vec::new()), vec(any::<u8>(), 0..20), Just((0..=255).collect())])
}

/// What MariaDB's TIMESTAMP holds, as which sqlx sends an instant.
fn at() -> impl Strategy<Value = Option<DateTimeUtc>> {
    let micros =
        prop_oneof![Just(86_400_000_000), Just(86_400_000_001), 86_400_000_000..2_145_916_800_000_000_i64];
    option::of(micros.prop_map(|micros| DateTimeUtc::from_timestamp_micros(micros).unwrap()))
}

fn day() -> impl Strategy<Value = Date> {
    let first = Date::from_ymd_opt(1000, 1, 1).unwrap();
    let days = prop_oneof![Just(0), Just(3_287_181), 0..3_287_181_u64]; // to the end of 9999
    days.prop_map(move |days| first + chrono::Days::new(days))
}

fn reference() -> impl Strategy<Value = Option<Uuid>> {
    option::of(prop_oneof![Just(0), Just(u128::MAX), any::<u128>()].prop_map(Uuid::from_u128))
}

fn password() -> impl Strategy<Value = Option<String>> {
    option::of((0..4_u8).prop_map(|n| format!("{PASSWORD}{n}")))
}

pub fn field() -> impl Strategy<Value = Field> {
    prop_oneof![
        text().prop_map(Field::Name),
        option::of(text()).prop_map(Field::Title),
        status().prop_map(Field::Status),
        amount().prop_map(Field::Amount),
        big().prop_map(Field::Big),
        ratio().prop_map(Field::Ratio),
        document().prop_map(Field::Doc),
        blob().prop_map(Field::Blob),
        at().prop_map(Field::At),
        day().prop_map(Field::Day),
        reference().prop_map(Field::Reference),
        password().prop_map(Field::Password),
        any::<i32>().prop_map(Field::Visits),
    ]
}

/// A row; its key is the caller's to give.
pub fn row() -> impl Strategy<Value = Model> {
    let texts = (text(), option::of(text()), status(), password(), any::<i32>());
    let values = (amount(), big(), ratio(), document(), blob(), at(), day(), reference());
    (texts, values).prop_map(|(texts, values)| {
        let (name, title, status, password, visits) = texts;
        let (amount, big, ratio, doc, blob, at, day, reference) = values;
        Model {
            id: 0,
            team_id: TEAM,
            name,
            title,
            status,
            amount,
            big,
            ratio,
            doc,
            blob,
            at,
            day,
            reference,
            password,
            visits,
        }
    })
}
