//! SQL that is text, in every form that SeaORM has for it, and statements of the schema.

use std::sync::Arc;

use events_sea_orm::{ActiveModelEvents, Refused};
use futures_util::StreamExt;
use sea_orm::{
    ConnectionTrait, DbBackend, DbErr, EntityTrait, FromQueryResult, JsonValue, PaginatorTrait, QueryTrait,
    Schema, SelectExt, SelectModel, SelectorRaw, Statement, StreamTrait, TransactionTrait, TryGetableMany,
    raw_sql,
    sea_query::{CommonTableExpression, Expr, Index, Query, Table, WithClause},
};
use tests::{TestDb, context, entities::visit, refusal};

use crate::writes::{
    assert_unannounced, count,
    entities::{author, tick},
    log_after, set_up,
};

tests::conformance! {
    text_that_writes_is_refused,
    text_that_pages_is_refused_if_it_writes,
    streams_of_writes_are_refused,
    text_in_a_scope_is_not_seen,
    schema_statements_are_refused,
    schema_in_a_scope_is_not_seen,
    text_in_a_with_query_is_refused_if_it_writes,
}

async fn start(db: &Arc<TestDb>) -> events_sea_orm::Events {
    let events = set_up(db).await;
    let row = tick::ActiveModel { label: sea_orm::Set(Some("a".to_owned())), ..Default::default() };
    row.create_with_event(&events.connection(context())).await.unwrap();
    events
}

/// Runs `$refuse` on a unit of work and on a connection: nothing is written.
macro_rules! refused {
    ($db:expr, $refuse:ident) => {{
        let events = start(&$db).await;
        let txn = events.begin(context()).await.unwrap();
        $refuse(&txn).await;
        txn.commit().await.unwrap();
        $refuse(&events.connection(context())).await;
        assert_eq!((count::<tick::Entity>(&$db).await, $db.log().await.len()), (1, 1));
    }};
}

#[track_caller]
fn assert_raw<T>(result: Result<T, DbErr>) {
    let Err(error) = result else { panic!("must be refused") };
    assert!(matches!(refusal(&error), Refused::RawSql | Refused::UnknownSql { .. }), "{error}");
}

const WRITES: &str = "DELETE FROM ticks RETURNING id, label";

/// The forms of a statement that is text.
async fn text_that_writes_is_refused(db: Arc<TestDb>) {
    async fn refuse<C: ConnectionTrait>(db: &C) {
        let backend = db.get_database_backend();
        let text = || Statement::from_string(backend, WRITES);
        let values = Statement::from_sql_and_values(backend, "DELETE FROM ticks WHERE id > 0", []);
        assert_raw(db.execute_raw(values.clone()).await);
        assert_raw(db.query_one_raw(values.clone()).await);
        assert_raw(db.query_all_raw(values).await);
        assert_raw(db.execute_unprepared("DELETE FROM ticks; SELECT 1").await);
        // A builder that was made text on the way.
        assert_raw(db.execute_raw(tick::Entity::delete_many().build(backend)).await);
        assert_raw(db.execute_raw(backend.build(&tick::Entity::delete_many().into_query())).await);
        let id = 1;
        let raw = match backend {
            DbBackend::Postgres => raw_sql!(Postgres, "DELETE FROM ticks WHERE id = {id}"),
            DbBackend::MySql => raw_sql!(MySql, "DELETE FROM ticks WHERE id = {id}"),
            _ => raw_sql!(Sqlite, "DELETE FROM ticks WHERE id = {id}"),
        };
        assert_raw(db.execute_raw(raw).await);
        // Selectors.
        assert_raw(tick::Entity::find().from_raw_sql(text()).one(db).await);
        assert_raw(tick::Entity::find().from_raw_sql(text()).require_one(db).await);
        assert_raw(tick::Entity::find().from_raw_sql(text()).all(db).await);
        assert_raw(tick::Entity::find().from_raw_sql(text()).into_model::<tick::Model>().all(db).await);
        assert_raw(tick::Entity::find().from_raw_sql(text()).into_json().all(db).await);
        assert_raw(tick::Model::find_by_statement(text()).all(db).await);
        assert_raw(<JsonValue as FromQueryResult>::find_by_statement(text()).one(db).await);
        assert_raw(
            <(i32, String) as TryGetableMany>::find_by_statement::<tick::Column>(text()).all(db).await,
        );
    }
    refused!(db, refuse);
}

/// Here SeaORM wraps the text into a typed SELECT: what the audit of the statement tells is that it reads.
async fn text_that_pages_is_refused_if_it_writes(db: Arc<TestDb>) {
    async fn refuse<C: ConnectionTrait>(db: &C) {
        let backend = db.get_database_backend();
        let of = |sql: &str| -> SelectorRaw<SelectModel<tick::Model>> {
            tick::Model::find_by_statement(Statement::from_string(backend, sql))
        };
        for sql in [
            "SELECT id, label FROM ticks; DELETE FROM ticks; SELECT 1",
            "SELECT id, label FROM ticks); DELETE FROM ticks; SELECT (1",
            "SELECT 1; DELETE FROM ticks --",
            "SELECT 1) x; DELETE FROM ticks --",
        ] {
            assert_raw(of(sql).paginate(db, 5).fetch().await);
            assert_raw(of(sql).paginate(db, 5).fetch_page(0).await);
            assert_raw(of(sql).paginate(db, 5).num_items().await);
            assert_raw(of(sql).paginate(db, 5).num_pages().await);
            assert_raw(of(sql).paginate(db, 5).num_items_and_pages().await);
            assert_raw(of(sql).paginate(db, 5).fetch_and_next().await);
            assert_raw(of(sql).count(db).await);
            assert_raw(of(sql).exists(db).await);
        }
        // The same without a write.
        let reads = "SELECT id, label FROM ticks";
        assert_eq!(of(reads).paginate(db, 5).fetch().await.unwrap().len(), 1);
        assert_eq!(of(reads).count(db).await.unwrap(), 1);
        assert!(of(reads).exists(db).await.unwrap());
        if backend == DbBackend::Postgres {
            for sql in [
                "SELECT * FROM (WITH gone AS (DELETE FROM ticks RETURNING id) SELECT * FROM gone) x",
                "SELECT * INTO copies FROM ticks",
            ] {
                of(sql).paginate(db, 5).fetch().await.unwrap_err();
            }
        }
    }
    refused!(db, refuse);
}

async fn streams_of_writes_are_refused(db: Arc<TestDb>) {
    async fn refuse<C: ConnectionTrait + StreamTrait + Send>(db: &C) {
        let backend = ConnectionTrait::get_database_backend(db);
        let text = || Statement::from_string(backend, WRITES);
        assert_raw(db.stream_raw(text()).await.map(drop));
        assert_raw(tick::Entity::find().from_raw_sql(text()).stream(db).await.map(drop));
        let delete = Query::delete().from_table(tick::Entity).to_owned();
        assert_unannounced(db.stream(&delete).await.map(drop));
        let hidden = Query::select().expr(Expr::cust("1; DELETE FROM ticks")).to_owned();
        assert_raw(db.stream(&hidden).await.map(drop));
        let rows = tick::Entity::find().stream(db).await.unwrap();
        assert_eq!(rows.count().await, 1);
    }
    refused!(db, refuse);
}

async fn text_in_a_scope_is_not_seen(db: Arc<TestDb>) {
    let events = start(&db).await;
    let scope = events.scope(context(), async {
        let txn = db.db.begin().await?;
        txn.execute_unprepared("INSERT INTO ticks (label) VALUES ('b')").await?;
        let backend = ConnectionTrait::get_database_backend(&txn);
        txn.execute_raw(Statement::from_string(backend, "UPDATE ticks SET label = 'c'")).await?;
        let mut gone = txn.stream_raw(Statement::from_string(backend, WRITES)).await?;
        while gone.next().await.transpose()?.is_some() {}
        drop(gone);
        txn.commit().await
    });
    scope.await.unwrap().unwrap();
    assert_eq!(log_after(&db, 1).await.len(), 0);
    assert_eq!(count::<tick::Entity>(&db).await, 0);
}

async fn schema_statements_are_refused(db: Arc<TestDb>) {
    async fn refuse<C: ConnectionTrait>(db: &C) {
        let backend = db.get_database_backend();
        let schema = |result: Result<(), DbErr>| {
            let error = result.unwrap_err();
            assert!(matches!(refusal(&error), Refused::Schema), "{error}");
        };
        let builder = Schema::new(backend).builder().register(author::Entity);
        schema(builder.apply(db).await);
        let from = Schema::new(backend).create_table_from_entity(author::Entity);
        schema(db.execute(&from).await.map(drop));
        schema(db.execute(&Table::drop().table(tick::Entity).to_owned()).await.map(drop));
        schema(db.execute(&Table::truncate().table(tick::Entity).to_owned()).await.map(drop));
        let renamed = Table::rename().table(tick::Entity, "tocks").to_owned();
        schema(db.execute(&renamed).await.map(drop));
        let altered = Table::alter().table(tick::Entity).drop_column(tick::Column::Label).to_owned();
        schema(db.execute(&altered).await.map(drop));
        let index = Index::create().name("x").table(tick::Entity).col(tick::Column::Label).to_owned();
        schema(db.execute(&index).await.map(drop));
        schema(db.execute(&Index::drop().name("x").table(tick::Entity).to_owned()).await.map(drop));
        schema(db.execute_unprepared("DROP TABLE ticks").await.map(drop));
    }
    refused!(db, refuse);
}

async fn schema_in_a_scope_is_not_seen(db: Arc<TestDb>) {
    let events = start(&db).await;
    let scope = events.scope(context(), async {
        let txn = db.db.begin().await?;
        txn.execute(&Table::drop().table(tick::Entity).to_owned()).await?;
        txn.commit().await
    });
    scope.await.unwrap().unwrap();
    assert_eq!(db.log().await.len(), 1);
}

/// A custom expression in a query with a WITH can end one part of it and begin another, which PostgreSQL would run.
async fn text_in_a_with_query_is_refused_if_it_writes(db: Arc<TestDb>) {
    async fn refuse<C: ConnectionTrait>(db: &C) {
        let with = |sql: &'static str| {
            let part = Query::select().expr(Expr::cust(sql)).to_owned();
            let part = CommonTableExpression::new().query(part).table_name("a").to_owned();
            Query::select().expr(Expr::val(1)).to_owned().with(WithClause::new().cte(part).to_owned())
        };
        let sql = "1), gone AS (DELETE FROM ticks RETURNING id";
        assert_unannounced(db.query_all(&with(sql)).await.map(drop));
        assert_unannounced(db.query_one(&with(sql)).await.map(drop));
        assert_unannounced(db.execute(&with(sql)).await);
        // The same in front of an UPDATE of a table that is free.
        let part = Query::select().expr(Expr::cust(sql)).to_owned();
        let part = CommonTableExpression::new().query(part).table_name("a").to_owned();
        let mut update = visit::Entity::update_many().col_expr(visit::Column::What, Expr::value("x"));
        update.query().with_cte(WithClause::new().cte(part).to_owned());
        assert_unannounced(update.exec(db).await);
        assert_eq!(db.query_all(&with("1 AS one")).await.unwrap().len(), 1);
    }
    refused!(db, refuse);
}
