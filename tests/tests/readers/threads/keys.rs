//! The unique key of messages holds the team, also where the tables were made before it did.

use std::sync::Arc;

use events_sea_orm::{migration, threads::message};
use sea_orm::{ConnectionTrait, DbBackend, EntityTrait, QueryOrder, Statement};
use tests::TestDb;

tests::conformance! { the_key_of_earlier_tables_gets_the_team, the_key_is_made_inside_a_migrators_transaction }

async fn run(db: &TestDb, sql: &str) {
    db.db.execute_unprepared(sql).await.unwrap_or_else(|error| panic!("{error}: {sql}"));
}

/// The table as it was made before.
async fn earlier_tables(db: &TestDb) {
    migration::up(&db.db).await.unwrap();
    migration::threads::up(&db.db).await.unwrap();
    match db.db.get_database_backend() {
        DbBackend::Postgres => {
            let key = "thread_messages_team_id_thread_id_event_id_key";
            run(
                db,
                &format!(
                    "ALTER TABLE thread_messages DROP CONSTRAINT {key}, ADD UNIQUE (thread_id, event_id)"
                ),
            )
            .await;
        }
        DbBackend::MySql => {
            run(db, "ALTER TABLE thread_messages DROP KEY team_id, ADD UNIQUE (thread_id, event_id)").await;
        }
        backend => {
            let select = "SELECT sql FROM sqlite_master WHERE name = 'thread_messages'";
            let row = db.db.query_one_raw(Statement::from_string(backend, select)).await.unwrap().unwrap();
            let table: String = row.try_get_by_index(0).unwrap();
            run(db, "DROP TABLE thread_messages").await;
            run(db, &table.replace("(team_id, thread_id, event_id)", "(thread_id, event_id)")).await;
            run(
                db,
                "CREATE INDEX IF NOT EXISTS thread_messages_thread_id ON thread_messages (thread_id, id)",
            )
            .await;
        }
    }
    run(db, "INSERT INTO threads (team_id, object_type, object_id) VALUES ('a', 'deal', '1')").await;
}

/// A message about one event of a thread, by this team.
async fn message(db: &TestDb, team: &str) -> bool {
    let (insert, id, end) = match db.db.get_database_backend() {
        DbBackend::Postgres => {
            ("INSERT", "'018f0000-0000-7000-8000-000000000001'", " ON CONFLICT DO NOTHING")
        }
        DbBackend::MySql => ("INSERT IGNORE", "x'018f0000000070008000000000000001'", ""),
        _ => ("INSERT OR IGNORE", "x'018f0000000070008000000000000001'", ""),
    };
    let sql = format!(
        "{insert} INTO thread_messages (thread_id, team_id, event_id, kind, body, data) \
         SELECT id, '{team}', {id}, 'system', 'said', '{{}}' FROM threads{end}"
    );
    db.db.execute_unprepared(&sql).await.unwrap().rows_affected() == 1
}

async fn the_key_of_earlier_tables_gets_the_team(db: Arc<TestDb>) {
    earlier_tables(&db).await;
    assert!(message(&db, "b").await);
    assert!(!message(&db, "a").await, "the key is the earlier one");
    run(&db, "DELETE FROM thread_messages").await;
    assert!(message(&db, "b").await);
    let rows = async || message::Entity::find().order_by_asc(message::Column::Id).all(&db.db).await.unwrap();
    let before = rows().await;
    for _ in 0..2 {
        migration::threads::up(&db.db).await.unwrap();
        assert_eq!(rows().await, before);
    }
    assert!(message(&db, "a").await);
    assert!(!message(&db, "a").await && !message(&db, "b").await);
    let after = rows().await;
    assert_eq!(after.len(), 2);
    assert!(after[1].id > before[0].id, "numbers go on");
    migration::threads::down(&db.db).await.unwrap();
    migration::threads::up(&db.db).await.unwrap();
}

async fn the_key_is_made_inside_a_migrators_transaction(db: Arc<TestDb>) {
    use sea_orm::TransactionTrait;
    use sea_orm_migration::SchemaManager;
    earlier_tables(&db).await;
    assert!(message(&db, "b").await);
    let txn = db.db.begin().await.unwrap();
    for step in migration::threads::steps() {
        step.up(&SchemaManager::new(&txn)).await.unwrap();
    }
    txn.commit().await.unwrap();
    assert!(message(&db, "a").await && !message(&db, "b").await);
}
