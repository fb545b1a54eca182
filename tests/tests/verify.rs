//! `events.verify()`: what is missing in the database, and what it changes unseen.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use events_sea_orm::{
    Definition, Events, Field, Finding, GuardProblem, IsolationFinding, Report, Severity, TeamSource, Tracked,
};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Schema};
use tests::{TestDb, entities};

tests::conformance! {
    a_complete_database_is_clean,
    what_is_missing_is_named,
    cascades_into_tracked_tables_are_listed,
    keys_that_may_be_of_several_rows_are_named,
    models_that_are_not_registered_may_be_passed,
    few_statements_for_any_number_of_models,
    schemas_and_search_paths_count,
}

/// Rows that hang on others.
mod parcel {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "parcels")]
    #[tracked(object_type = "parcel", team = context)]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub shelf_id: Option<i32>,
        #[track]
        pub carrier_id: Option<i32>,
        #[track]
        pub label: Option<String>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

/// What was found, but for what no database can refuse to the user of these tests, who keeps teams apart by queries alone.
fn findings(report: &Report) -> Vec<Finding> {
    let is_of_test = |finding: &Finding| match finding {
        Finding::Guard(guard) => matches!(guard.problem(), GuardProblem::MayRemove { .. }),
        Finding::Isolation(isolation) => *isolation == IsolationFinding::Off,
        _ => false,
    };
    report.findings().iter().filter(|finding| !is_of_test(finding)).cloned().collect()
}

async fn events(db: &DatabaseConnection) -> Events {
    Events::builder(db.clone()).build().await.unwrap()
}

async fn run(db: &DatabaseConnection, statements: &[&str]) {
    for sql in statements {
        db.execute_unprepared(sql).await.unwrap_or_else(|error| panic!("{error}: {sql}"));
    }
}

/// Every table that the models of this program need.
async fn with_tables(db: &TestDb, parcels: &str) {
    db.with_tables().await;
    run(&db.db, &[parcels]).await;
}

const PARCELS: &str =
    "CREATE TABLE parcels (id int PRIMARY KEY, shelf_id int, carrier_id int, label varchar(20), extra int)";

async fn a_complete_database_is_clean(db: Arc<TestDb>) {
    with_tables(&db, PARCELS).await;
    let report = events(&db.db).await.verify().await.unwrap();
    assert_eq!(findings(&report), []);
    let warning = match db.db.get_database_backend() {
        // The administrator of these tests may TRUNCATE, which no trigger refuses.
        DbBackend::MySql => "holds DROP, ALTER, TRIGGER on `events`",
        DbBackend::Postgres => "row-level security is off",
        _ => {
            assert!(report.is_clean());
            assert_eq!(report.to_string(), "nothing found");
            return;
        }
    };
    assert_eq!(report.findings().len(), 1);
    assert_eq!(report.findings()[0].severity(), Severity::Warning);
    assert!(report.to_string().contains(warning), "{report}");
}

async fn what_is_missing_is_named(db: Arc<TestDb>) {
    let log = events(&db.db).await;
    let report = log.verify().await.unwrap();
    assert!(report.findings().contains(&Finding::MissingEvents));
    let missing = Finding::MissingTable { object_type: "parcel", table: "parcels".to_owned() };
    assert!(report.findings().contains(&missing), "{report}");

    with_tables(&db, "CREATE TABLE parcels (id int PRIMARY KEY, shelf_id int, carrier_id int)").await;
    // The view hides a column of the table.
    let columns = "seq, id, team_id, event_type, object_type, object_id, unit_id, event_data, context, occurred_at, recorded_at";
    run(
        &db.db,
        &[
            "ALTER TABLE events RENAME TO all_events",
            &format!("CREATE VIEW events AS SELECT {columns} FROM all_events"),
        ],
    )
    .await;
    let report = log.verify().await.unwrap();
    let found = findings(&report);
    let [column, parcel, guards] = &found[..] else { panic!("{report}") };
    assert_eq!(*column, Finding::MissingEventsColumn { column: "actor_id" });
    let missing =
        Finding::MissingColumn { object_type: "parcel", table: "parcels".to_owned(), column: "label" };
    assert_eq!(*parcel, missing);
    assert!(
        matches!(guards, Finding::Guard(guard) if *guard.problem() == GuardProblem::NotATable),
        "{guards}"
    );
    assert!(report.findings().iter().all(|finding| finding.severity() == Severity::Error));
    let text = report.to_string();
    assert!(text.contains("error: the column `label` of `parcel` is missing in `parcels`: add it"), "{text}");
}

async fn cascades_into_tracked_tables_are_listed(db: Arc<TestDb>) {
    run(
        &db.db,
        &[
            "CREATE TABLE shelves (id int PRIMARY KEY)",
            "CREATE TABLE carriers (id int, region int, PRIMARY KEY (id, region))",
        ],
    )
    .await;
    // By `shelf_id`, which is not recorded, only the rows that go are missed.
    with_tables(
        &db,
        "CREATE TABLE parcels (id int PRIMARY KEY, shelf_id int, carrier_id int, region int, label varchar(20), other int,
            CONSTRAINT parcels_shelf FOREIGN KEY (shelf_id) REFERENCES shelves (id) ON DELETE CASCADE ON UPDATE CASCADE,
            CONSTRAINT parcels_carrier FOREIGN KEY (carrier_id, region) REFERENCES carriers (id, region) ON DELETE SET NULL ON UPDATE CASCADE,
            CONSTRAINT parcels_other FOREIGN KEY (other) REFERENCES parcels (id) ON DELETE SET NULL)",
    )
    .await;
    // A table that nobody tracks may cascade.
    run(
        &db.db,
        &["CREATE TABLE scans (id int PRIMARY KEY, parcel_id int, FOREIGN KEY (parcel_id) REFERENCES parcels (id) ON DELETE CASCADE)"],
    )
    .await;
    let report = events(&db.db).await.verify().await.unwrap();
    let finding = |name: &str, columns: &[&str], parent: &str, rule| Finding::UnseenChange {
        table: "parcels".to_owned(),
        // SQLite does not tell the name.
        foreign_key: match db.db.get_database_backend() {
            DbBackend::Sqlite => None,
            _ => Some(name.to_owned()),
        },
        columns: columns.iter().map(ToString::to_string).collect(),
        parent: parent.to_owned(),
        rule,
    };
    let expected = [
        finding("parcels_carrier", &["carrier_id", "region"], "carriers", "ON DELETE SET NULL"),
        finding("parcels_carrier", &["carrier_id", "region"], "carriers", "ON UPDATE CASCADE"),
        finding("parcels_shelf", &["shelf_id"], "shelves", "ON DELETE CASCADE"),
    ];
    for finding in &expected {
        assert!(findings(&report).contains(finding), "{finding:?} in {:?}", report.findings());
        assert_eq!(finding.severity(), Severity::Warning);
    }
    assert_eq!(findings(&report).len(), expected.len(), "{report}");
    let text = report.to_string();
    assert!(
        text.contains(
            "of `parcels` (shelf_id) to `shelves` changes rows without events: take `ON DELETE CASCADE` off"
        ),
        "{text}"
    );
}

async fn keys_that_may_be_of_several_rows_are_named(db: Arc<TestDb>) {
    with_tables(&db, PARCELS).await;
    let log = events(&db.db).await;
    let is_named = async |create: &str| {
        let drop =
            if create.contains("VIEW") { "DROP TABLE parcels" } else { "DROP TABLE IF EXISTS parcels" };
        run(&db.db, &[drop]).await;
        for sql in create.split("; ") {
            run(&db.db, &[sql]).await;
        }
        let report = log.verify().await.unwrap();
        let named =
            Finding::NoUniqueKey { object_type: "parcel", table: "parcels".into(), columns: vec!["id"] };
        assert_eq!(named.severity(), Severity::Error);
        let named = report.findings().contains(&named);
        assert_eq!(findings(&report).len(), usize::from(named), "{create}: {report}");
        named
    };
    let columns = "id int, shelf_id int, carrier_id int, label varchar(20)";
    assert!(is_named(&format!("CREATE TABLE parcels ({columns})")).await);
    assert!(is_named(&format!("CREATE TABLE parcels ({columns}, PRIMARY KEY (shelf_id, id))")).await);
    assert!(!is_named(&format!("CREATE TABLE parcels ({columns}, PRIMARY KEY (id))")).await);
    assert!(!is_named(&format!("CREATE TABLE parcels ({columns}, UNIQUE (id))")).await);
    // Each of another name: a connection of SQLite's may not have heard yet that an index went with its table.
    let indexed = |index: &str| format!("CREATE TABLE parcels ({columns}); CREATE {index}");
    assert!(is_named(&indexed("INDEX by_id ON parcels (id)")).await);
    assert!(!is_named(&indexed("UNIQUE INDEX only_id ON parcels (id)")).await);
    assert!(is_named(&indexed("UNIQUE INDEX by_both ON parcels (shelf_id, id)")).await);
    let backend = db.db.get_database_backend();
    if backend != DbBackend::MySql {
        assert!(is_named(&indexed("UNIQUE INDEX some_ids ON parcels (id) WHERE shelf_id = 1")).await);
        assert!(is_named(&indexed("UNIQUE INDEX by_other ON parcels (abs(id))")).await);
    }
    if backend == DbBackend::Postgres {
        let keyed = format!("CREATE TABLE parcels ({columns}, PRIMARY KEY (id))");
        assert!(!is_named(&indexed("UNIQUE INDEX more_than_id ON parcels (id) INCLUDE (shelf_id)")).await);
        assert!(is_named(&format!("{keyed}; CREATE TABLE old_parcels () INHERITS (parcels)")).await);
        run(&db.db, &["DROP TABLE parcels CASCADE"]).await;
        assert!(
            !is_named(&format!(
                "{keyed} PARTITION BY RANGE (id); CREATE TABLE parcels_1 PARTITION OF parcels DEFAULT"
            ))
            .await
        );
    }
    // Of a view the catalog says nothing.
    assert!(
        !is_named(&format!(
            "CREATE TABLE all_parcels ({columns}); CREATE VIEW parcels AS SELECT * FROM all_parcels"
        ))
        .await
    );
}

async fn models_that_are_not_registered_may_be_passed(db: Arc<TestDb>) {
    with_tables(&db, PARCELS).await;
    let fields = vec![Field::new("name"), Field::new("slogan")];
    let definition = Definition::new::<entities::campaign::Entity>("ghost", TeamSource::Context, fields);
    let definition: &'static Definition = Box::leak(Box::new(definition));
    let report = events(&db.db).await.verify_with([definition, parcel::Model::definition()]).await.unwrap();
    let missing =
        Finding::MissingColumn { object_type: "ghost", table: "campaigns".to_owned(), column: "slogan" };
    assert_eq!(findings(&report), [missing]);
}

async fn few_statements_for_any_number_of_models(db: Arc<TestDb>) {
    with_tables(&db, PARCELS).await;
    let mut pool = TestDb::open(&db.url).await;
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    pool.set_metric_callback(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    let events = events(&pool).await;
    seen.store(0, Ordering::Relaxed);
    events.verify().await.unwrap();
    // Columns, foreign keys, unique keys, guards, and on servers character sets; on MariaDB the guards' part that privileges are.
    // On PostgreSQL policies, on tables of ours. The latest events.
    let statements = match db.db.get_database_backend() {
        DbBackend::MySql => 7,
        DbBackend::Postgres => 8,
        _ => 5,
    };
    assert_eq!(seen.load(Ordering::Relaxed), statements);
    pool.close().await.unwrap();
}

/// An entity that names its schema; without the derive it registers nowhere.
mod bin {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(schema_name = "warehouse", table_name = "bins")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub label: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}

    impl events_sea_orm::Tracked for Model {
        fn definition() -> &'static events_sea_orm::Definition {
            use std::sync::LazyLock;

            use events_sea_orm::{Definition, Field, TeamSource};
            static DEFINITION: LazyLock<Definition> = LazyLock::new(|| {
                Definition::new::<Entity>("bin", TeamSource::Context, vec![Field::new("label")])
            });
            &DEFINITION
        }
    }
}

async fn schemas_and_search_paths_count(db: Arc<TestDb>) {
    let bins = bin::Model::definition();
    // On MariaDB a schema is a database, and on SQLite one that is attached: there it can only be missing.
    if db.db.get_database_backend() != DbBackend::Postgres {
        with_tables(&db, PARCELS).await;
        let report = events(&db.db).await.verify_with([bins]).await.unwrap();
        let missing = Finding::MissingTable { object_type: "bin", table: "warehouse.bins".to_owned() };
        assert_eq!(findings(&report), [missing]);
        return;
    }
    let database = db.url.rsplit_once('/').unwrap().1;
    run(
        &db.db,
        &[
            "CREATE SCHEMA warehouse",
            "CREATE SCHEMA \"Tenant 1\"",
            &format!("ALTER DATABASE {database} SET search_path = \"Tenant 1\""),
        ],
    )
    .await;
    let pool = TestDb::open(&db.url).await;
    let log = events(&pool).await;
    events_sea_orm::migration::up(&pool).await.unwrap();
    run(&pool, &["CREATE TABLE bins (id int, label text)", "CREATE TABLE public.parcels (id int)"]).await;
    let schema = Schema::new(DbBackend::Postgres);
    pool.execute(&schema.create_table_from_entity(entities::campaign::Entity)).await.unwrap();
    let report = log.verify_with([bins]).await.unwrap();
    let found = findings(&report);
    let missing: Vec<_> = found
        .iter()
        .map(|finding| match finding {
            Finding::MissingTable { table, .. } => table.as_str(),
            other => panic!("{other}"),
        })
        .collect();
    assert!(missing.contains(&"parcels") && missing.contains(&"warehouse.bins"), "{report}");
    assert!(!missing.contains(&"campaigns"), "{report}");

    run(
        &pool,
        &[
            "CREATE TABLE shelves (id int PRIMARY KEY)",
            "CREATE TABLE warehouse.bins (id int REFERENCES shelves (id) ON DELETE CASCADE)",
        ],
    )
    .await;
    let report = log.verify_with([bins]).await.unwrap();
    let missing =
        Finding::MissingColumn { object_type: "bin", table: "warehouse.bins".to_owned(), column: "label" };
    assert!(report.findings().contains(&missing), "{report}");
    let cascade = report.findings().iter().find(|finding| finding.severity() == Severity::Warning);
    assert!(
        matches!(cascade, Some(Finding::UnseenChange { table, .. }) if table == "warehouse.bins"),
        "{report}"
    );
    pool.close().await.unwrap();
}
