//! One secret, everything that was shown to somebody, and where else it could have come to light.

use std::{
    error::Error,
    fmt::Debug,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use base64::{Engine, engine::general_purpose::STANDARD};
use events_sea_orm::{CommitError, Context, EventTransaction, Events, Refused};
use sea_orm::{ActiveModelTrait, ConnectionTrait, DbBackend, DbErr, IntoActiveModel, Set, Statement};
use serde_json::json;
use tests::TestDb;

use crate::{
    capture::captured,
    vault::{ActiveModel, Mode, Model, Status},
};

pub const TEAM: i32 = 7;

pub fn context() -> Context {
    Context::team(TEAM).actor("ada").reason("because").request("ip", "203.0.113.9")
}

pub struct World {
    pub db: Arc<TestDb>,
    pub events: Events,
    /// What is searched for.
    token: String,
    /// How it stands in the fields.
    shape: String,
    counter: AtomicU32,
    shown: Mutex<Vec<String>>,
}

impl World {
    /// `shape` is a text with `{}` where the secret goes.
    pub async fn new(db: Arc<TestDb>, token: String, shape: &str) -> Self {
        let events = Events::builder(db.db.clone()).build().await.unwrap();
        let shape = shape.replace("{}", &token);
        Self { db, events, token, shape, counter: AtomicU32::new(0), shown: Mutex::default() }
    }

    pub fn backend(&self) -> DbBackend {
        self.db.db.get_database_backend()
    }

    /// A new value with the secret in it.
    pub fn secret(&self) -> String {
        format!("{}{}", self.shape, self.counter.fetch_add(1, Ordering::Relaxed))
    }

    /// A new row with the secret wherever it can be.
    pub fn vault(&self) -> ActiveModel {
        ActiveModel {
            team_id: Set(TEAM),
            name: Set("vault".to_owned()),
            status: Set(Status::Draft),
            api_key: Set(self.secret()),
            pin: Set(Some(self.secret())),
            owner_key: Set(Some("known".to_owned())),
            must: Set(Some(self.secret())),
            mode: Set(Some(Mode::Open)),
            doc: Set(Some(json!({ self.secret(): [self.secret()] }))),
            late: Set(Some(self.secret())),
            ..Default::default()
        }
    }

    pub async fn begin(&self) -> EventTransaction {
        let txn = self.events.begin(context()).await.unwrap();
        self.show(&txn);
        txn
    }

    /// A row that is there.
    pub async fn stored(&self) -> Model {
        let txn = self.begin().await;
        let model = self.vault().insert(&txn).await.unwrap();
        txn.commit().await.unwrap();
        model
    }

    /// A row that is there, about to be changed in every redacted field.
    pub async fn changed(&self) -> ActiveModel {
        let stored = self.stored().await.into_active_model();
        ActiveModel { id: stored.id, team_id: stored.team_id, ..self.vault() }
    }

    /// As somebody sees it who prints it.
    pub fn show(&self, what: &dyn Debug) {
        self.say(format!("{what:?}\n{what:#?}"));
    }

    pub fn say(&self, text: String) {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }

    /// An error in every way in which it can be looked at. It must be one.
    #[track_caller]
    pub fn failed<T, E: Error + 'static>(&self, result: Result<T, E>) {
        let error = result.err().expect("must fail");
        self.show(&error);
        let mut next: Option<&(dyn Error + 'static)> = Some(&error);
        while let Some(error) = next {
            self.say(format!("{error} {error:#} {error:?} {error:#?}"));
            if let Some(error) = error.downcast_ref::<DbErr>() {
                self.show(&(error.sql_err(), Refused::of(error), CommitError::unknown(error)));
            }
            next = error.source();
        }
    }

    /// Looks everywhere but into the user's own tables, of which one must have it.
    pub async fn look(&self, after: &str) {
        let shown = std::mem::take(&mut *self.shown.lock().unwrap_or_else(PoisonError::into_inner));
        for text in &shown {
            self.must_not_be_in(text, after);
        }
        self.must_not_be_in(&captured(), &format!("tracing after {after}"));
        let mut own = false;
        for table in self.column(&tables(self.backend())).await {
            let rows = self.rows(&table).await.join("\n");
            if table == "vaults" {
                own = rows.contains(&self.token);
            } else if !table.starts_with("vault_") {
                self.must_not_be_in(&rows, &format!("table {table} after {after}"));
            }
        }
        assert!(own, "the search finds what is there");
    }

    fn must_not_be_in(&self, text: &str, place: &str) {
        for form in forms(&self.token) {
            if let Some(at) = text.find(&form) {
                let (from, to) =
                    (text.floor_char_boundary(at.saturating_sub(300)), text.ceil_char_boundary(at + 60));
                panic!("{place} has the secret: ..{}..", &text[from..to]);
            }
        }
    }

    /// Every row of a table, each column as text and once more as the bytes that it may be.
    async fn rows(&self, table: &str) -> Vec<String> {
        let columns = self.column(&columns(self.backend(), table)).await;
        let (quote, hex) = match self.backend() {
            DbBackend::Postgres => ('"', "encode(convert_to(coalesce({}::text, ''), 'UTF8'), 'hex')"),
            DbBackend::MySql => ('`', "hex(coalesce(cast({} as binary), ''))"),
            _ => ('"', "hex(coalesce(cast({} as blob), ''))"),
        };
        let parts = columns.iter().map(|column| hex.replace("{}", &format!("{quote}{column}{quote}")));
        let parts: Vec<_> = parts.collect();
        let all = match self.backend() {
            DbBackend::Sqlite => parts.join(" || '20' || "),
            _ => format!("concat_ws('20', {})", parts.join(", ")),
        };
        let rows = self.column(&format!("SELECT {all} AS found FROM {quote}{table}{quote}")).await;
        rows.iter().map(|row| format!("{} {row}", plain(row))).collect()
    }

    async fn column(&self, sql: &str) -> Vec<String> {
        let rows = self.db.db.query_all_raw(Statement::from_string(self.backend(), sql)).await.unwrap();
        rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
    }
}

/// The secret as text, as hexadecimal digits and as it stands within base64.
fn forms(token: &str) -> Vec<String> {
    let hex: String = token.bytes().map(|byte| format!("{byte:02x}")).collect();
    let base64 = (0..3).map(|shift| {
        let encoded = STANDARD.encode([&vec![0; shift], token.as_bytes()].concat());
        let whole = encoded.trim_end_matches('=');
        whole[4..whole.len() - 3].to_owned() // without the digits that it shares with its neighbours
    });
    [token.to_owned(), hex.to_uppercase(), hex].into_iter().chain(base64).collect()
}

fn plain(hex: &str) -> String {
    let digits = |i: usize| u8::from_str_radix(&hex[i..i + 2], 16).expect("hexadecimal digits");
    String::from_utf8_lossy(&(0..hex.len() / 2).map(|i| digits(2 * i)).collect::<Vec<_>>()).into_owned()
}

fn tables(backend: DbBackend) -> String {
    match backend {
        DbBackend::Sqlite => "SELECT name FROM sqlite_master WHERE type = 'table'".to_owned(),
        _ => format!(
            "SELECT table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE' AND table_schema = {}",
            schema(backend)
        ),
    }
}

fn columns(backend: DbBackend, table: &str) -> String {
    match backend {
        DbBackend::Sqlite => format!("SELECT name FROM pragma_table_info('{table}')"),
        _ => format!(
            "SELECT column_name FROM information_schema.columns WHERE table_name = '{table}' AND table_schema = {}",
            schema(backend)
        ),
    }
}

fn schema(backend: DbBackend) -> &'static str {
    if backend == DbBackend::Postgres { "'public'" } else { "database()" }
}

#[test]
fn the_secret_is_found_in_every_form() {
    let token = "abcdefgh12345678";
    let found = |text: &str| forms(token).iter().any(|form| text.contains(form));
    for lead in ["", "x", "xy", "xyz"] {
        assert!(found(&STANDARD.encode(format!("{lead}{token}tail"))), "{lead}");
    }
    assert!(found("..abcdefgh12345678..") && found("61626364656667683132333435363738"));
    assert!(!found(&STANDARD.encode("abcdefgh")));
}
