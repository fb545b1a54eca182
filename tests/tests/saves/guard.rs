//! Writes that no save announced: what a unit of work and a connection refuse, what passes, and the one door.

use std::sync::Arc;

use events_sea_orm::{Context, Events, Refused};
use futures_util::StreamExt;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, IntoActiveModel, Iterable,
    QueryFilter, Set, Statement, StreamTrait, TransactionTrait,
    sea_query::{Alias, Expr, IntoTableRef, OnConflict, Query, TableTruncateStatement},
};
use serde_json::json;
use tests::{
    TestDb, context,
    entities::{campaign, project, project_label, visit},
    new_campaign, refusal, types,
};

tests::conformance! {
    entity_level_writes_are_refused,
    writes_in_other_words_are_refused,
    raw_sql_is_refused_and_reads_pass,
    own_table_stays_closed,
    untracked_tables_are_free,
    update_with_nothing_set_announces_nothing,
    untracked_writes_leave_one_event,
    failed_untracked_work_leaves_nothing,
    untracked_across_teams_has_a_home,
    links_go_with_their_parent,
    errors_name_the_tracked_verb,
}

async fn set_up(db: &TestDb) -> (Events, campaign::Model) {
    db.with_tables().await;
    let events = Events::builder(db.db.clone()).build().await.unwrap();
    let txn = events.begin(context()).await.unwrap();
    let model = new_campaign("a").insert(&txn).await.unwrap();
    txn.commit().await.unwrap();
    (events, model)
}

#[track_caller]
fn assert_unannounced<T: std::fmt::Debug>(result: Result<T, DbErr>, verb: &str) {
    let error = result.unwrap_err();
    match refusal(&error) {
        Refused::Unannounced { table: "campaigns", verbs, .. } => {
            assert!(verbs.contains(&verb), "{verb}: {verbs:?}");
            assert!(error.to_string().contains(&format!("`{verb}`")), "{error}");
        }
        other => panic!("{other}"),
    }
}

/// Every one of SeaORM's calls that run no hooks, on a unit of work and on a connection; both stay healthy.
async fn entity_level_writes_are_refused(db: Arc<TestDb>) {
    let (events, model) = set_up(&db).await;
    let txn = events.begin(context()).await.unwrap();
    refuse_all(&txn, &model).await;
    new_campaign("b").insert(&txn).await.unwrap();
    txn.commit().await.unwrap();
    refuse_all(&events.connection(context()), &model).await;
    assert_eq!(types(&db.log().await), ["CREATED", "CREATED"]);
    assert_eq!(campaign::Entity::find().all(&db.db).await.unwrap().len(), 2);
}

async fn refuse_all<C: ConnectionTrait>(db: &C, model: &campaign::Model) {
    use campaign::{Column, Entity};
    let returns = db.support_returning();
    let new = || new_campaign("new");
    let named = || Entity::update_many().col_expr(Column::Name, Expr::value("x"));
    let changed = || campaign::ActiveModel { name: Set("x".to_owned()), ..model.clone().into_active_model() };
    let (insert, insert_many) = ("insert_with_events", "insert_many_with_events");
    assert_unannounced(Entity::insert(new()).exec(db).await, insert);
    assert_unannounced(Entity::insert(new()).exec_without_returning(db).await, insert);
    assert_unannounced(Entity::insert(new()).exec_with_returning(db).await, insert);
    assert_unannounced(Entity::insert_many([new(), new()]).exec(db).await, insert_many);
    assert_unannounced(Entity::insert_many([new()]).exec_without_returning(db).await, insert_many);
    if returns {
        assert_unannounced(Entity::insert(new()).exec_with_returning_keys(db).await, insert);
        assert_unannounced(Entity::insert_many([new()]).exec_with_returning(db).await, insert_many);
        assert_unannounced(Entity::insert_many([new()]).exec_with_returning_keys(db).await, insert_many);
    }
    let upsert = "insert_with_events(..).on_conflict(..)";
    let upsert_many = "insert_many_with_events(..).on_conflict(..)";
    let on_conflict = || OnConflict::column(Column::ApiKey).update_column(Column::Name).to_owned();
    assert_unannounced(Entity::insert(new()).on_conflict(on_conflict()).exec(db).await, upsert);
    assert_unannounced(Entity::insert_many([new()]).on_conflict(on_conflict()).exec(db).await, upsert_many);
    let update = "update_many_with_events";
    assert_unannounced(Entity::update(changed()).exec(db).await, "update_with_events");
    assert_unannounced(named().exec(db).await, update);
    assert_unannounced(named().filter(Column::Id.eq(model.id)).exec(db).await, update);
    if returns {
        assert_unannounced(named().exec_with_returning(db).await, update);
    }
    let delete = "delete_many_with_events";
    assert_unannounced(
        Entity::delete(model.clone().into_active_model()).exec(db).await,
        "delete_with_events",
    );
    assert_unannounced(Entity::delete_by_id(model.id).exec(db).await, "delete_by_id_with_events");
    assert_unannounced(Entity::delete_many().exec(db).await, delete);
    if returns {
        assert_unannounced(
            Entity::delete_by_id(model.id).exec_with_returning(db).await,
            "delete_by_id_with_events",
        );
        assert_unannounced(Entity::delete_many().exec_with_returning(db).await, delete);
    }
}

/// The same in statements built by hand: another schema, other letters, expressions, and text in a typed statement.
async fn writes_in_other_words_are_refused(db: Arc<TestDb>) {
    let (events, _) = set_up(&db).await;
    let backend = db.db.get_database_backend();
    let txn = events.begin(context()).await.unwrap();
    let schema = match backend {
        DbBackend::Postgres => "public".to_owned(),
        DbBackend::MySql => db.url.rsplit_once('/').unwrap().1.to_owned(),
        _ => "main".to_owned(),
    };
    let qualified = (Alias::new(schema), Alias::new("campaigns"));
    let set_null = |table: sea_orm::sea_query::TableRef| {
        Query::update().table(table).value(campaign::Column::Notes, Expr::value("x")).to_owned()
    };
    assert_unannounced(txn.execute(&set_null(qualified.into_table_ref())).await, "update_many_with_events");
    let shouted = set_null(Alias::new("CAMPAIGNS").into_table_ref());
    assert_unannounced(txn.execute(&shouted).await, "update_many_with_events");
    let copy = Query::insert()
        .into_table(campaign::Entity)
        .columns([campaign::Column::Name])
        .select_from(Query::select().column(campaign::Column::Name).from(campaign::Entity).to_owned())
        .unwrap()
        .to_owned();
    assert_unannounced(txn.execute(&copy).await, "insert_many_with_events");
    if backend == DbBackend::Postgres {
        let gone =
            Query::delete().from_table(campaign::Entity).returning_col(campaign::Column::Id).to_owned();
        let with = sea_orm::sea_query::WithClause::new()
            .cte(
                sea_orm::sea_query::CommonTableExpression::new()
                    .query(gone)
                    .table_name(Alias::new("gone"))
                    .to_owned(),
            )
            .to_owned();
        let select = Query::select().expr(Expr::val(1)).from(Alias::new("gone")).to_owned();
        assert_unannounced(txn.query_all(&select.with(with)).await, "delete_many_with_events");
    }
    let hidden = Query::select().expr(Expr::cust("1; DELETE FROM campaigns")).to_owned();
    assert!(matches!(refusal(&txn.query_all(&hidden).await.unwrap_err()), Refused::UnknownSql { .. }));
    let truncate = TableTruncateStatement::new().table(campaign::Entity).to_owned();
    assert!(matches!(refusal(&txn.execute(&truncate).await.unwrap_err()), Refused::Schema));
    assert!(matches!(refusal(&txn.stream(&copy).await.err().unwrap()), Refused::Unannounced { .. }));
    txn.commit().await.unwrap();
    assert_eq!(campaign::Entity::find().all(&db.db).await.unwrap().len(), 1);
}

async fn raw_sql_is_refused_and_reads_pass(db: Arc<TestDb>) {
    let (events, _) = set_up(&db).await;
    let backend = db.db.get_database_backend();
    let txn = events.begin(context()).await.unwrap();
    let connection = events.connection(context());
    let statement = |sql: &str| Statement::from_string(backend, sql);
    for sql in [
        "UPDATE campaigns SET name = 'x'",
        "DELETE FROM campaigns",
        "INSERT INTO visits (what) VALUES ('x')",
        "/* SELECT */ DELETE FROM campaigns",
        "SELECT 1; DELETE FROM campaigns",
        "WITH x AS (SELECT 1) DELETE FROM campaigns",
    ] {
        for refused in [
            txn.execute_raw(statement(sql)).await.map(drop),
            txn.execute_unprepared(sql).await.map(drop),
            txn.query_one_raw(statement(sql)).await.map(drop),
            txn.query_all_raw(statement(sql)).await.map(drop),
            txn.stream_raw(statement(sql)).await.map(drop),
            connection.execute_raw(statement(sql)).await.map(drop),
            connection.execute_unprepared(sql).await.map(drop),
            connection.query_one_raw(statement(sql)).await.map(drop),
            connection.query_all_raw(statement(sql)).await.map(drop),
            connection.stream_raw(statement(sql)).await.map(drop),
        ] {
            let error = refused.unwrap_err();
            assert!(
                matches!(refusal(&error), Refused::RawSql | Refused::UnknownSql { .. }),
                "{sql}: {error}"
            );
        }
    }
    for sql in [
        "SELECT name FROM campaigns",
        "SELECT 'delete from campaigns' AS name",
        "-- update\nSELECT 'a' AS name",
    ] {
        assert!(txn.query_one_raw(statement(sql)).await.unwrap().is_some(), "{sql}");
        assert_eq!(connection.query_all_raw(statement(sql)).await.unwrap().len(), 1, "{sql}");
        let rows = connection.stream_raw(statement(sql)).await.unwrap();
        assert_eq!(rows.count().await, 1, "{sql}");
    }
    txn.commit().await.unwrap();
}

async fn own_table_stays_closed(db: Arc<TestDb>) {
    use events_sea_orm::event;
    let (events, _) = set_up(&db).await;
    let txn = events.begin(context()).await.unwrap();
    let error = event::Entity::delete_many().exec(&txn).await.unwrap_err();
    assert!(matches!(refusal(&error), Refused::OwnTable { .. }), "{error}");
    let error = event::Entity::delete_many().exec(&events.connection(context())).await.unwrap_err();
    assert!(matches!(refusal(&error), Refused::OwnTable { .. }), "{error}");
    let mut doors = vec!["DELETE FROM events", "UPDATE \"EVENTS\" SET team_id = 'x'"];
    if db.db.get_database_backend() == DbBackend::Postgres {
        doors.push("DO $$ BEGIN DELETE FROM events; END $$");
    }
    if db.db.get_database_backend() == DbBackend::MySql {
        doors = vec!["DELETE FROM events", "UPDATE `EVENTS` SET team_id = 'x'"];
    }
    for sql in doors {
        let result = txn.untracked("none of it", async |txn| txn.execute_unprepared(sql).await).await;
        let error: DbErr = result.unwrap_err();
        assert!(matches!(refusal(&error), Refused::OwnTable { .. }), "{error}");
    }
    // The hint is of the table.
    for (table, call) in [
        ("events", "`emit`"),
        ("threads", "`Thread::post`"),
        ("thread_messages", "`Thread::post`"),
        ("notifications", "`Notifications`"),
        ("notification_preferences", "`Inbox`"),
        ("event_daily_counts", "`analytics::rebuild`"),
        ("event_purges", "`retention`"),
        ("event_holds", "`retention`"),
        ("event_marks", "`retention`"),
    ] {
        let delete = Query::delete().from_table(table).to_owned();
        let error = txn.execute(&delete).await.unwrap_err();
        assert!(error.to_string().contains(&format!("table `{table}`")), "{error}");
        assert!(error.to_string().contains(call), "{table}: {error}");
    }
    txn.commit().await.unwrap();
    assert_eq!(db.log().await.len(), 1);
}

async fn untracked_tables_are_free(db: Arc<TestDb>) {
    let (events, _) = set_up(&db).await;
    let txn = events.begin(context()).await.unwrap();
    let visit = |what: &str| visit::ActiveModel { what: Set(what.to_owned()), ..Default::default() };
    visit("a").insert(&txn).await.unwrap();
    visit::Entity::insert_many([visit("b"), visit("c")]).exec(&txn).await.unwrap();
    visit::Entity::update_many().col_expr(visit::Column::What, Expr::value("x")).exec(&txn).await.unwrap();
    txn.commit().await.unwrap();
    let connection = events.connection(context());
    visit("d").insert(&connection).await.unwrap();
    let gone = visit::Entity::delete_many().exec(&connection).await.unwrap();
    assert_eq!(gone.rows_affected, 4);
    assert_eq!(db.log().await.len(), 1);
}

/// Neither kind of update without anything to set leaves something that a bulk update could hide behind.
async fn update_with_nothing_set_announces_nothing(db: Arc<TestDb>) {
    let (events, model) = set_up(&db).await;
    let txn = events.begin(context()).await.unwrap();
    let by_key = || {
        let update = campaign::Entity::update_many().col_expr(campaign::Column::Name, Expr::value("x"));
        update.filter(campaign::Column::Id.eq(model.id))
    };
    model.clone().into_active_model().update(&txn).await.unwrap();
    assert_unannounced(by_key().exec(&txn).await, "update_many_with_events");
    model.clone().into_active_model().update_without_returning(&txn).await.unwrap();
    assert_unannounced(by_key().exec(&txn).await, "update_many_with_events");
    let without_key = campaign::ActiveModel { name: Set("x".to_owned()), ..Default::default() };
    without_key.update(&txn).await.unwrap_err();
    assert_unannounced(by_key().exec(&txn).await, "update_many_with_events");
    txn.commit().await.unwrap();
    assert_eq!(types(&db.log().await), ["CREATED"]);
}

async fn untracked_writes_leave_one_event(db: Arc<TestDb>) {
    let (events, model) = set_up(&db).await;
    let txn = events.begin(context()).await.unwrap();
    let affected = txn
        .untracked("ticket 881", async |txn| {
            let done = txn.execute_unprepared("UPDATE campaigns SET notes = 'x'").await?;
            campaign::Entity::insert_many([new_campaign("b"), new_campaign("c")]).exec(txn).await?;
            // A nested unit is part of it, and a tracked save is recorded as ever.
            let nested = txn.begin().await?;
            campaign::Entity::delete_many().filter(campaign::Column::Name.eq("c")).exec(&nested).await?;
            nested.commit().await?;
            let mut active = model.clone().into_active_model();
            active.budget = Set(7);
            active.update(txn).await?;
            Ok::<_, DbErr>(done.rows_affected())
        })
        .await
        .unwrap();
    assert_eq!(affected, 1);
    // The door is shut again.
    assert_unannounced(campaign::Entity::delete_many().exec(&txn).await, "delete_many_with_events");
    txn.commit().await.unwrap();
    let log = db.log().await;
    assert_eq!(types(&log), ["CREATED", "UPDATED", "untracked_write"]);
    assert_eq!(log[2].event_data["reason"], json!("ticket 881"));
    assert_eq!(log[2].event_data["tables"]["campaigns"]["statements"], json!(3));
    assert_eq!(log[2].object_id, None);
    let on_connection = events.connection(context());
    on_connection
        .untracked("again", async |txn| txn.execute_unprepared("DELETE FROM campaigns").await)
        .await
        .unwrap();
    let last = db.log().await.pop().unwrap();
    assert_eq!(
        last.event_data,
        json!({"reason": "again", "tables": {"campaigns": {"statements": 1, "rows": 2}}})
    );
}

async fn failed_untracked_work_leaves_nothing(db: Arc<TestDb>) {
    let (events, _) = set_up(&db).await;
    let txn = events.begin(context()).await.unwrap();
    let result = txn
        .untracked("no", async |txn| {
            txn.execute_unprepared("DELETE FROM campaigns").await?;
            Err::<(), _>(DbErr::Custom("changed my mind".to_owned()))
        })
        .await;
    assert_eq!(result.unwrap_err(), DbErr::Custom("changed my mind".to_owned()));
    // A database error in it stays in it.
    let result = txn.untracked("no", async |txn| txn.execute_unprepared("DELETE FROM nowhere").await).await;
    assert!(Refused::of(&result.unwrap_err()).is_none());
    new_campaign("b").insert(&txn).await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(types(&db.log().await), ["CREATED", "CREATED"]);
    assert_eq!(campaign::Entity::find().all(&db.db).await.unwrap().len(), 2);
}

async fn untracked_across_teams_has_a_home(db: Arc<TestDb>) {
    let (events, _) = set_up(&db).await;
    let work = async |context: Context| {
        let txn = events.begin(context).await?;
        txn.untracked("seed", async |txn| txn.execute_unprepared("DELETE FROM campaigns").await).await?;
        Ok::<_, DbErr>(txn.commit().await?)
    };
    let error = work(Context::all_teams("job", "seed")).await.unwrap_err();
    assert!(matches!(refusal(&error), Refused::UnknownTeam { .. }), "{error}");
    work(Context::all_teams("job", "seed").home_team("ops")).await.unwrap();
    let last = db.log().await.pop().unwrap();
    assert_eq!((last.team_id.as_str(), last.event_type.as_str()), ("ops", "untracked_write"));
}

/// SeaORM removes the links of a parent by one DELETE without hooks: each leaves its event all the same.
async fn links_go_with_their_parent(db: Arc<TestDb>) {
    let (events, _) = set_up(&db).await;
    let db_connection = events.connection(context());
    let mut new = project::ActiveModelEx::new().set_team_id(tests::TEAM).set_name("p");
    for name in ["red", "green"] {
        new = new.add_label(tests::entities::label::ActiveModelEx::new().set_name(name));
    }
    let project = new.insert(&db_connection).await.unwrap();
    let before = db.log().await.len();
    project.delete(&db_connection).await.unwrap();
    let log = db.log().await.split_off(before);
    let of = |object_type: &str| {
        let rows = log.iter().filter(|row| row.object_type.as_deref() == Some(object_type));
        rows.map(|row| row.event_type.clone()).collect::<Vec<_>>()
    };
    assert_eq!(of("project_label"), ["DELETED", "DELETED"]);
    assert_eq!(of("project"), ["DELETED"]);
    assert!(project_label::Entity::find().all(&db.db).await.unwrap().is_empty());
}

async fn errors_name_the_tracked_verb(db: Arc<TestDb>) {
    let (events, _) = set_up(&db).await;
    let txn = events.begin(context()).await.unwrap();
    let error = campaign::Entity::delete_many().exec(&txn).await.unwrap_err().to_string();
    for part in ["delete_many", "`campaigns`", "`delete_many_with_events`", ".untracked("] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(campaign::Column::iter().count(), 7);
}
