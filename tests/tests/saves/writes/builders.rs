//! Calls of an entity and builders of statements, none of which runs a hook.

use std::sync::Arc;

use events_sea_orm::{ActiveModelEvents, Events};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DbBackend, Delete, Deleter, EntityTrait, Insert,
    InsertMany, Inserter, IntoActiveModel, Iterable, QueryFilter, QueryTrait, Set, TransactionTrait,
    TryInsert, Unchanged, Update, Value,
    sea_query::{Expr, OnConflict, Query},
};
use tests::{TestDb, context};

use crate::writes::{assert_unannounced, count, entities::author, log_after, set_up};

tests::conformance! {
    insert_builders_are_refused,
    update_builders_are_refused,
    delete_builders_are_refused,
    builders_in_a_scope_are_not_seen,
    calls_that_send_nothing,
}

fn new(name: &str) -> author::ActiveModel {
    author::ActiveModel { name: Set(name.to_owned()), ..Default::default() }
}

async fn start(db: &Arc<TestDb>) -> (Events, author::Model) {
    let events = set_up(db).await;
    let model = new("a").create_with_event(&events.connection(context())).await.unwrap();
    (events, model)
}

/// Runs `$refuse(&db, &model)` on a unit of work and on a connection; nothing may be written, and both stay healthy.
macro_rules! refused_on_both {
    ($db:expr, $refuse:ident) => {{
        let (events, model) = start(&$db).await;
        let txn = events.begin(context()).await.unwrap();
        $refuse(&txn, &model).await;
        new("b").insert(&txn).await.unwrap();
        txn.commit().await.unwrap();
        $refuse(&events.connection(context()), &model).await;
        assert_eq!($db.log().await.len(), 2);
        let rows = author::Entity::find().all(&$db.db).await.unwrap();
        assert_eq!((rows.len(), &rows[0]), (2, &model));
    }};
}

async fn insert_builders_are_refused(db: Arc<TestDb>) {
    async fn refuse<C: ConnectionTrait>(db: &C, model: &author::Model) {
        type E = author::Entity;
        let returns = db.support_returning();
        let rename =
            || OnConflict::column(author::Column::Name).update_column(author::Column::AgentId).to_owned();
        assert_unannounced(Insert::one(new("x")).exec(db).await);
        assert_unannounced(Insert::many([new("x")]).exec(db).await);
        assert_unannounced(
            InsertMany::<author::ActiveModel>::many([new("x")]).exec_without_returning(db).await,
        );
        assert_unannounced(E::insert(new("x").into_ex()).exec(db).await);
        assert_unannounced(E::insert(new("x")).on_conflict(rename()).exec_with_returning(db).await);
        assert_unannounced(E::insert_many([new("x")]).on_conflict(rename()).exec_without_returning(db).await);
        let tries = || -> [TryInsert<author::ActiveModel>; 8] {
            [
                TryInsert::one(new("x")),
                TryInsert::many([new("x"), new("y")]),
                E::insert(new("x")).try_insert(),
                E::insert(new("x")).on_conflict_do_nothing(),
                E::insert(new("x")).on_conflict_do_nothing_on([author::Column::Name]),
                E::insert_many([new("x")]).try_insert(),
                E::insert_many([new("x")]).on_conflict_do_nothing(),
                E::insert_many([new("x")]).on_conflict_do_nothing_on([author::Column::Name]),
            ]
        };
        for insert in tries() {
            assert_unannounced(insert.exec(db).await.map(drop));
        }
        for insert in tries() {
            assert_unannounced(insert.exec_without_returning(db).await.map(drop));
        }
        for insert in tries() {
            assert_unannounced(insert.exec_with_returning(db).await.map(drop));
        }
        assert_unannounced(TryInsert::one(new("x")).on_conflict(rename()).exec(db).await);
        if returns {
            assert_unannounced(E::insert(new("x")).exec_with_returning_many(db).await);
            assert_unannounced(Insert::one(new("x")).exec_with_returning_keys(db).await);
            assert_unannounced(E::insert_many([new("x")]).exec_with_returning_keys(db).await);
            assert_unannounced(E::insert_many([new("x")]).exec_with_returning(db).await);
            for insert in tries() {
                assert_unannounced(insert.exec_with_returning_keys(db).await.map(drop));
            }
            for insert in tries() {
                assert_unannounced(insert.exec_with_returning_many(db).await.map(drop));
            }
        }
        // The statement itself, changed or taken out.
        let mut replaced = E::insert(author::ActiveModel { id: Set(model.id), ..new("x") });
        if db.get_database_backend() != DbBackend::Postgres {
            replaced.query().replace();
        }
        assert_unannounced(replaced.exec_without_returning(db).await);
        let statement = || {
            let mut statement = E::insert(new("x")).into_query();
            if returns {
                statement.returning(Query::returning().columns(author::Column::iter()));
            }
            statement
        };
        let inserter = || Inserter::<author::ActiveModel>::new(Some(Value::Int(Some(1)).into()), statement());
        assert_unannounced(inserter().exec(db).await);
        assert_unannounced(inserter().exec_without_returning(db).await);
        assert_unannounced(inserter().exec_with_returning(db).await);
        if returns {
            assert_unannounced(inserter().exec_with_returning_keys(db).await);
            assert_unannounced(inserter().exec_with_returning_many(db).await);
        }
        assert_unannounced(db.execute(&statement()).await);
        assert_unannounced(db.query_one(&statement()).await.map(drop));
        assert_unannounced(db.query_all(&statement()).await.map(drop));
    }
    refused_on_both!(db, refuse);
}

async fn update_builders_are_refused(db: Arc<TestDb>) {
    async fn refuse<C: ConnectionTrait>(db: &C, model: &author::Model) {
        type E = author::Entity;
        let changed = || author::ActiveModel { id: Unchanged(model.id), ..new("x") };
        assert_unannounced(Update::one(changed()).exec(db).await);
        assert_unannounced(E::update(changed()).exec_without_returning(db).await);
        let validated = || E::update(changed()).validate().unwrap().filter(author::Column::Name.eq("a"));
        assert_unannounced(validated().exec(db).await);
        assert_unannounced(validated().exec_without_returning(db).await);
        assert_unannounced(E::update(changed().into_ex()).exec_without_returning(db).await);
        assert_unannounced(Update::many(author::Entity).set(new("x")).exec(db).await);
        let many = || E::update_many().set(changed());
        assert_unannounced(many().exec(db).await);
        if db.support_returning() {
            assert_unannounced(many().exec_with_returning(db).await);
        }
        let key = Expr::value(77);
        assert_unannounced(E::update_many().col_expr(author::Column::Id, key).exec(db).await);
        let statement = many().into_query();
        assert_unannounced(db.execute(&statement).await);
        assert_unannounced(db.query_one(&statement).await.map(drop));
        assert_unannounced(db.query_all(&statement).await.map(drop));
    }
    refused_on_both!(db, refuse);
}

async fn delete_builders_are_refused(db: Arc<TestDb>) {
    async fn refuse<C: ConnectionTrait>(db: &C, model: &author::Model) {
        type E = author::Entity;
        let active = || model.clone().into_active_model();
        let returns = db.support_returning();
        assert_unannounced(Delete::one(active()).exec(db).await);
        assert_unannounced(E::delete(active()).validate().unwrap().exec(db).await);
        assert_unannounced(E::delete_by_id(model.id).exec(db).await);
        assert_unannounced(E::delete_by_name("a").exec(db).await);
        assert_unannounced(Delete::many(author::Entity).exec(db).await);
        assert_unannounced(E::delete_many().filter_by_ids([model.id]).exec(db).await);
        let statement = E::delete_many().into_query();
        assert_unannounced(Deleter::new(statement.clone()).exec(db).await);
        assert_unannounced(db.execute(&statement).await);
        assert_unannounced(db.query_one(&statement).await.map(drop));
        assert_unannounced(db.query_all(&statement).await.map(drop));
        if returns {
            assert_unannounced(E::delete(active()).exec_with_returning(db).await);
            assert_unannounced(E::delete_by_name("a").exec_with_returning(db).await);
            assert_unannounced(E::delete_many().exec_with_returning(db).await);
            assert_unannounced(Deleter::new(statement).exec_with_returning::<E, _>(db).await);
        }
    }
    refused_on_both!(db, refuse);
}

/// A scope sees hooks and nothing else.
async fn builders_in_a_scope_are_not_seen(db: Arc<TestDb>) {
    type E = author::Entity;
    let (events, model) = start(&db).await;
    let scope = events.scope(context(), async {
        let txn = db.db.begin().await?;
        E::insert(new("b")).exec(&txn).await?;
        E::insert_many([new("c"), new("d")]).exec(&txn).await?;
        let again = E::insert(author::ActiveModel { id: Set(model.id), ..new("a") });
        again.on_conflict_do_nothing().exec(&txn).await?;
        let rename =
            OnConflict::column(author::Column::Name).update_column(author::Column::AgentId).to_owned();
        E::insert(new("a")).on_conflict(rename).exec_without_returning(&txn).await?;
        E::update(author::ActiveModel { id: Unchanged(model.id), ..new("z") }).exec(&txn).await?;
        E::update_many().col_expr(author::Column::AgentId, Expr::value(None::<i32>)).exec(&txn).await?;
        E::delete_by_name("b").exec(&txn).await?;
        E::delete_by_id(model.id).exec(&txn).await?;
        E::delete_many().filter(author::Column::Name.eq("c")).exec(&txn).await?;
        txn.commit().await
    });
    scope.await.unwrap().unwrap();
    assert_eq!(log_after(&db, 1).await.len(), 0);
    assert_eq!(count::<author::Entity>(&db).await, 1);
}

async fn calls_that_send_nothing(db: Arc<TestDb>) {
    async fn call<C: ConnectionTrait>(db: &C) {
        type E = author::Entity;
        let none = || Vec::<author::ActiveModel>::new();
        E::insert_many(none()).exec(db).await.unwrap();
        E::insert_many(none()).exec_without_returning(db).await.unwrap();
        TryInsert::many(none()).exec(db).await.unwrap();
        assert_eq!(E::update_many().exec(db).await.unwrap().rows_affected, 0);
    }
    let (events, _) = start(&db).await;
    let txn = events.begin(context()).await.unwrap();
    call(&txn).await;
    txn.commit().await.unwrap();
    call(&events.connection(context())).await;
    events.scope(context(), call(&db.db)).await.unwrap();
    assert_eq!(db.log().await.len(), 1);
}
