//! Text comes back as it went in, whatever character set the database takes where none is named.

use std::{collections::BTreeMap, panic::AssertUnwindSafe, sync::Arc};

use events_sea_orm::{
    BuildError, ConsumerError, Context, EntityEvents, Event, EventTransaction, Events, Finding, ObjectRef,
    Severity, TextProblem, analytics::DailyCounts, migration, notifications::Notifications,
    notifications::notification, threads::Threads, threads::message, threads::thread,
};
use futures_util::FutureExt;
use sea_orm::{
    ActiveModelTrait, ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, EntityTrait,
    IntoActiveModel, QueryOrder, Set, TransactionTrait,
};
use tests::TestDb;

tests::conformance! { text_is_kept_where_the_default_character_set_lacks_it }

mod parcel {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "crates")]
    #[tracked(object_type = "木箱", team = "team", thread = "self", all)]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        pub team: String,
        pub label: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

/// Alike to a character set that has neither.
const TEAMS: [&str; 2] = ["東京", "大阪"];

/// What follows the common characters takes four bytes in UTF-8.
const USER: &str = "花子-é-😀";
const ACTOR: &str = "次郎-é-😁";

async fn users(_: &EventTransaction, _: &Event) -> Result<Vec<String>, ConsumerError> {
    Ok(vec![USER.to_owned()])
}

async fn set_up(db: &DatabaseConnection) -> Events {
    migration::up(db).await.unwrap();
    migration::threads::up(db).await.unwrap();
    migration::notifications::up(db).await.unwrap();
    migration::analytics::up(db).await.unwrap();
    migration::retention::up(db).await.unwrap();
    let charset = if db.get_database_backend() == DbBackend::MySql { " CHARACTER SET utf8mb4" } else { "" };
    let columns = "(id varchar(40) PRIMARY KEY, team varchar(40) NOT NULL, label varchar(200) NOT NULL)";
    db.execute_unprepared(&format!("CREATE TABLE crates {columns}{charset}")).await.unwrap();
    events(db).await
}

async fn events(db: &DatabaseConnection) -> Events {
    let builder = Events::builder(db.clone()).without_registered_consumers();
    builder
        .consumer(Threads::new())
        .consumer(Notifications::new(users))
        .consumer(DailyCounts)
        .build()
        .await
        .unwrap()
}

/// Units of each size for each team, by every way into the log; then everything that was written is looked at.
async fn keeps_text(db: &DatabaseConnection) {
    let events = set_up(db).await;
    let of = |team: &str| Context::team(team).actor(ACTOR).reason(format!("{team}の都合"));
    for team in TEAMS {
        for size in [1, 3, 4, 1_000] {
            let txn = events.begin(of(team)).await.unwrap();
            for n in 0..size {
                let object = ObjectRef::new("木箱", format!("{team}-{size}-{n}"));
                txn.emit(Event::custom("packed").about(object).data(&format!("{team}で梱包")).unwrap())
                    .await
                    .unwrap();
            }
            txn.commit().await.unwrap();
        }
        let row = |n| parcel::ActiveModel {
            id: Set(format!("{team}{n}")),
            team: Set(team.to_owned()),
            label: Set(format!("{team}の箱{n}")),
        };
        let connection = events.connection(of(team));
        let txn = connection.begin().await.unwrap();
        for n in 0..4 {
            let mut saved = row(n).insert(&txn).await.unwrap().into_active_model();
            saved.label = Set(format!("{team}の箱"));
            saved.update(&txn).await.unwrap();
        }
        txn.commit().await.unwrap();
        parcel::Entity::insert_many_with_events((4..1_010).map(row)).exec(&connection).await.unwrap();
    }

    let team_of =
        |text: &str| TEAMS.into_iter().find(|team| text.contains(team)).expect("a team in the text");
    let log = events_sea_orm::event::Entity::find().all(db).await.unwrap();
    assert_eq!(log.len(), 2 * (1 + 3 + 4 + 1_000 + 8 + 1_006));
    let mut wanted: BTreeMap<(String, String), i64> = BTreeMap::new();
    for event in &log {
        let team = team_of(event.object_id.as_ref().unwrap());
        assert_eq!((event.team_id.as_str(), event.actor_id.as_deref()), (team, Some(ACTOR)));
        assert_eq!(event.object_type.as_deref(), Some("木箱"));
        let data = event.event_data.to_string();
        assert!(data.contains(team) && !data.contains('?'), "{data}");
        assert_eq!(event.context["reason"], format!("{team}の都合"));
        *wanted.entry((team.to_owned(), event.event_type.clone())).or_default() += 1;
    }

    let threads = thread::Entity::find().all(db).await.unwrap();
    assert_eq!(threads.len(), 2 * (1 + 3 + 4 + 1_000 + 4 + 1_006));
    for thread in threads {
        assert_eq!(thread.team_id, team_of(&thread.object_id));
    }
    let messages = message::Entity::find().order_by_asc(message::Column::Id).all(db).await.unwrap();
    assert_eq!(messages.len(), log.len());
    for message in messages {
        assert_eq!(message.team_id, team_of(&message.body), "{message:?}");
        assert!(message.body.contains(ACTOR) && !message.body.contains('?'), "{message:?}");
        assert_eq!(message.author_id.as_deref(), Some(ACTOR));
    }
    let notifications = notification::Entity::find().all(db).await.unwrap();
    assert_eq!(notifications.len(), log.len());
    for notification in notifications {
        assert_eq!(notification.team_id, team_of(notification.object_id.as_ref().unwrap()));
        assert_eq!((notification.user_id.as_str(), notification.actor_id.as_deref()), (USER, Some(ACTOR)));
    }
    let mut counted = BTreeMap::new();
    for count in events_sea_orm::analytics::daily_count::Entity::find().all(db).await.unwrap() {
        assert_eq!(count.object_type, "木箱");
        *counted.entry((count.team_id, count.event_type)).or_default() += count.count;
    }
    assert_eq!(counted, wanted);
}

fn problems(report: &events_sea_orm::Report) -> Vec<(TextProblem, Severity)> {
    let of_text = |finding: &Finding| match finding {
        Finding::Text(text) => Some((text.problem().clone(), finding.severity())),
        _ => None,
    };
    report.findings().iter().filter_map(of_text).collect()
}

fn name_of(db: &TestDb) -> &str {
    db.url.rsplit_once('/').unwrap().1
}

/// On MariaDB latin1, on SQLite UTF-16. A server's PostgreSQL databases are in UTF-8, those that are not are cases apart.
async fn text_is_kept_where_the_default_character_set_lacks_it(db: Arc<TestDb>) {
    let folder = tempfile::tempdir().unwrap();
    let pool = match db.db.get_database_backend() {
        DbBackend::MySql => {
            let latin1 = format!("ALTER DATABASE {} CHARACTER SET latin1", name_of(&db));
            db.db.execute_unprepared(&latin1).await.unwrap();
            let pool = TestDb::open_with(&db.url, 4).await;
            assert_eq!(text(&pool, "SELECT CAST(@@character_set_database AS CHAR)").await, "latin1");
            pool
        }
        DbBackend::Sqlite => {
            let mut options =
                ConnectOptions::new(format!("sqlite://{}/utf16.db?mode=rwc", folder.path().display()));
            options.max_connections(1);
            let pool = Database::connect(options).await.unwrap();
            pool.execute_unprepared("PRAGMA encoding = 'UTF-16le'").await.unwrap();
            pool.execute_unprepared("CREATE TABLE first (id int)").await.unwrap();
            assert_eq!(text(&pool, "PRAGMA encoding").await, "UTF-16le");
            pool
        }
        _ => TestDb::open_with(&db.url, 4).await,
    };
    keeps_text(&pool).await;
    assert_eq!(problems(&events(&pool).await.verify().await.unwrap()), []);
    pool.close().await.unwrap();
}

async fn text(db: &DatabaseConnection, sql: &str) -> String {
    let statement = sea_orm::Statement::from_string(db.get_database_backend(), sql);
    db.query_one_raw(statement).await.unwrap().unwrap().try_get_by_index(0).unwrap()
}

mod connections {
    use super::*;

    tests::on_servers! { a_connection_that_loses_text_is_refused }

    async fn a_connection_that_loses_text_is_refused(db: Arc<TestDb>) {
        let (set, problems_wanted): (_, Vec<_>) = match db.db.get_database_backend() {
            DbBackend::MySql => (
                "SET NAMES latin1",
                ["character_set_client", "character_set_connection", "character_set_results"]
                    .map(|setting| (setting, "latin1"))
                    .to_vec(),
            ),
            _ => ("SET client_encoding = 'LATIN1'", vec![("client_encoding", "LATIN1")]),
        };
        migration::up(&db.db).await.unwrap();
        let pool = TestDb::open_with(&db.url, 1).await;
        pool.execute_unprepared(set).await.unwrap();
        let Err(BuildError::Danger { report }) = Events::builder(pool.clone()).build().await else {
            panic!("started");
        };
        let wanted: Vec<_> = problems_wanted
            .into_iter()
            .map(|(setting, charset)| TextProblem::Connection {
                setting: setting.to_owned(),
                charset: charset.to_owned(),
            })
            .map(|problem| (problem, Severity::Danger))
            .collect();
        assert_eq!(problems(&report), wanted);
        assert!(report.to_string().contains("text is lost on the way"), "{report}");
        pool.close().await.unwrap();
    }
}

mod tables {
    use super::*;

    tests::on_mysql! { tables_of_another_character_set_are_refused }

    async fn tables_of_another_character_set_are_refused(db: Arc<TestDb>) {
        set_up(&db.db).await;
        for (table, column, sql, collation) in [
            (
                "event_holds",
                "name",
                "ALTER TABLE event_holds CONVERT TO CHARACTER SET latin1",
                "latin1_swedish_ci",
            ),
            (
                "events",
                "team_id",
                "ALTER TABLE events MODIFY team_id varchar(191) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL",
                "utf8mb4_bin",
            ),
        ] {
            db.db.execute_unprepared(sql).await.unwrap();
            let Err(BuildError::Danger { report }) = Events::builder(db.db.clone()).build().await else {
                panic!("started with {table}");
            };
            let problem = TextProblem::Column {
                table: table.to_owned(),
                column: column.to_owned(),
                collation: collation.to_owned(),
            };
            assert_eq!(problems(&report), [(problem, Severity::Danger)]);
            let finding = report.dangers().next().unwrap();
            db.db.execute_unprepared(&finding.mend().unwrap()).await.unwrap();
            assert_eq!(problems(&events(&db.db).await.verify().await.unwrap()), []);
        }
    }
}

mod encodings {
    use super::*;

    tests::on_postgres! {
        a_database_without_encoding_keeps_text,
        a_database_that_lacks_text_refuses_it,
    }

    /// A second database of this encoding, which goes even if the case panics.
    async fn in_encoding(db: &TestDb, encoding: &str, case: impl AsyncFnOnce(&DatabaseConnection)) {
        let name = format!("{}_other", name_of(db));
        let create = format!(
            "CREATE DATABASE {name} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
        );
        db.db.execute_unprepared(&create).await.unwrap();
        let pool = TestDb::open_with(&db.url.replace(name_of(db), &name), 4).await;
        let result = AssertUnwindSafe(case(&pool)).catch_unwind().await;
        let _ = pool.close().await;
        db.db.execute_unprepared(&format!("DROP DATABASE {name} WITH (FORCE)")).await.unwrap();
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    }

    /// It stores the bytes that come, and this library sends UTF-8.
    async fn a_database_without_encoding_keeps_text(db: Arc<TestDb>) {
        in_encoding(&db, "SQL_ASCII", async |pool| {
            keeps_text(pool).await;
            let report = events(pool).await.verify().await.unwrap();
            let problem = TextProblem::Database { encoding: "SQL_ASCII".to_owned() };
            assert_eq!(problems(&report), [(problem, Severity::Error)]);
        })
        .await;
    }

    /// Nothing is stored that is not the text: PostgreSQL refuses, the save and its unit with it.
    async fn a_database_that_lacks_text_refuses_it(db: Arc<TestDb>) {
        in_encoding(&db, "LATIN1", async |pool| {
            migration::up(pool).await.unwrap();
            let builder = Events::builder(pool.clone()).without_registered_consumers();
            let events = builder.build().await.unwrap();
            let report = events.verify().await.unwrap();
            let problem = TextProblem::Database { encoding: "LATIN1".to_owned() };
            assert_eq!(problems(&report), [(problem, Severity::Error)]);
            for team in ["Zürich", "東京"] {
                for size in [1, 4, 1_000] {
                    let txn = events.begin(Context::team(team)).await.unwrap();
                    for _ in 0..size {
                        txn.emit(Event::custom("packed")).await.unwrap();
                    }
                    assert_eq!(txn.commit().await.is_ok(), team == "Zürich", "{team} {size}");
                }
            }
            let log = events_sea_orm::event::Entity::find().all(pool).await.unwrap();
            assert_eq!(log.len(), 1_005);
            assert!(log.iter().all(|event| event.team_id == "Zürich"));
        })
        .await;
    }
}
