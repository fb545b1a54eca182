//! Tables in which a model's key is that of several rows: a save of one row changes one, or none.

use std::sync::Arc;

use events_sea_orm::{ActiveModelEvents, Context, EntityEvents, Events, Refused};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel, QueryFilter,
    QueryOrder, Set, TransactionTrait, Unchanged, sea_query::Expr,
};
use tests::{TEAM, TestDb, context, refusal, types};

tests::conformance! {
    a_save_of_a_key_of_several_rows_changes_none,
    a_delete_of_a_key_of_several_rows_is_refused_before_it_is_sent,
    a_row_of_another_team_that_has_the_same_key_stays_as_it_is,
    a_save_in_a_scope_of_a_key_of_several_rows_changes_none,
    a_key_of_several_rows_of_other_teams_is_one_of_a_missing_row,
}

mod postgres_only {
    tests::on_postgres! { a_row_of_a_child_table_is_another_row_of_the_key }
    use super::a_row_of_a_child_table_is_another_row_of_the_key;
}

mod copy {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "copies")]
    #[tracked(object_type = "copy", team = "team_id", all)]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i32,
        pub team_id: i32,
        pub value: i32,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

async fn set_up(db: &TestDb, rows: &[(i32, i32)]) -> Events {
    db.with_tables().await;
    db.db.execute_unprepared("CREATE TABLE copies (id int, team_id int, value int)").await.unwrap();
    fill(db, rows).await;
    Events::builder(db.db.clone()).build().await.unwrap()
}

/// Rows of one key, of these teams and values.
async fn fill(db: &TestDb, rows: &[(i32, i32)]) {
    db.db.execute_unprepared("DELETE FROM copies").await.unwrap();
    for (team, value) in rows {
        let insert = format!("INSERT INTO copies (id, team_id, value) VALUES (1, {team}, {value})");
        db.db.execute_unprepared(&insert).await.unwrap();
    }
}

async fn rows(db: &TestDb) -> Vec<(i32, i32)> {
    let select = copy::Entity::find().order_by_asc(copy::Column::TeamId).order_by_asc(copy::Column::Value);
    select.all(&db.db).await.unwrap().into_iter().map(|row| (row.team_id, row.value)).collect()
}

fn changed() -> copy::ActiveModel {
    copy::ActiveModel { id: Unchanged(1), value: Set(99), ..Default::default() }
}

/// Every call that updates one row.
const CALLS: [&str; 7] =
    ["update", "save", "nested", "without returning", "with event", "with events", "filter"];

async fn call(events: &Events, name: &str) -> Result<(), DbErr> {
    let db = events.connection(context());
    match name {
        "with event" => return changed().update_with_event(&db).await.map(drop),
        "with events" => return copy::Entity::update_with_events(changed()).exec(&db).await.map(drop),
        _ => {}
    }
    let txn = db.begin().await?;
    match name {
        "update" => changed().update(&txn).await.map(drop)?,
        "save" => changed().save(&txn).await.map(drop)?,
        "nested" => {
            let nested = txn.begin().await?;
            changed().update(&nested).await?;
            nested.commit().await?;
        }
        "without returning" => changed().update_without_returning(&txn).await.map(drop)?,
        _ => {
            let update = copy::Entity::update_many_with_events();
            let update = update.col_expr(copy::Column::Value, Expr::value(99));
            update.filter(copy::Column::Id.eq(1)).exec(&txn).await?;
        }
    }
    Ok(txn.commit().await?)
}

#[track_caller]
fn assert_several(call: &str, error: &DbErr) {
    assert!(matches!(refusal(error), Refused::SeveralRows { .. }), "{call}: {error}");
    assert!(error.to_string().contains("matches several rows"), "{call}: {error}");
}

async fn a_save_of_a_key_of_several_rows_changes_none(db: Arc<TestDb>) {
    let held = [(TEAM, 1), (TEAM, 2)];
    let events = set_up(&db, &held).await;
    for name in CALLS {
        assert_several(name, &call(&events, name).await.unwrap_err());
        assert_eq!(rows(&db).await, held, "{name}");
    }
    // Whoever goes on all the same commits nothing that was changed.
    let txn = events.begin(context()).await.unwrap();
    assert_several("update", &changed().update(&txn).await.unwrap_err());
    let _ = txn.commit().await;
    assert_eq!(rows(&db).await, held);
    assert_eq!(db.log().await.len(), 0);
}

async fn a_delete_of_a_key_of_several_rows_is_refused_before_it_is_sent(db: Arc<TestDb>) {
    let held = [(TEAM, 1), (TEAM, 2)];
    let events = set_up(&db, &held).await;
    let txn = events.begin(context()).await.unwrap();
    assert_several("delete", &changed().delete(&txn).await.unwrap_err());
    txn.commit().await.unwrap();
    assert_eq!(rows(&db).await, held);
    assert_eq!(db.log().await.len(), 0);
}

async fn a_row_of_another_team_that_has_the_same_key_stays_as_it_is(db: Arc<TestDb>) {
    let held = [(TEAM, 1), (8, 3)];
    let events = set_up(&db, &held).await;
    for name in CALLS {
        fill(&db, &held).await;
        let before = db.log().await.len();
        let answer = call(&events, name).await;
        let log = db.log().await;
        match answer {
            Ok(()) => {
                assert_eq!(rows(&db).await, [(TEAM, 99), (8, 3)], "{name}");
                assert_eq!(types(&log[before..]), ["UPDATED"], "{name}");
                assert_eq!(log[before].event_data["changes"]["value"]["old"], 1, "{name}");
            }
            Err(error) => {
                let refused = refusal(&error);
                let known = matches!(refused, Refused::SeveralRows { .. } | Refused::UnexpectedRow { .. });
                assert!(known, "{name}: {error}");
                assert_eq!(rows(&db).await, held, "{name}");
                assert_eq!(log.len(), before, "{name}");
            }
        }
    }
}

async fn a_save_in_a_scope_of_a_key_of_several_rows_changes_none(db: Arc<TestDb>) {
    let held = [(TEAM, 1), (8, 3)];
    let events = set_up(&db, &held).await;
    let saved = events.try_scope(context(), async {
        let txn = db.db.begin().await?;
        changed().update(&txn).await?;
        txn.commit().await
    });
    assert_several("update", &saved.await.unwrap_err());
    let gone = events.try_scope(context(), async {
        let txn = db.db.begin().await?;
        let row = copy::Model { id: 1, team_id: TEAM, value: 1 };
        row.into_active_model().delete(&txn).await?;
        txn.commit().await
    });
    assert_several("delete", &gone.await.unwrap_err());
    assert_eq!(rows(&db).await, held);
    assert_eq!(db.log().await.len(), 0);
}

async fn a_key_of_several_rows_of_other_teams_is_one_of_a_missing_row(db: Arc<TestDb>) {
    let held = [(8, 1), (9, 2)];
    let events = set_up(&db, &held).await;
    let txn = events.begin(Context::team(TEAM)).await.unwrap();
    assert!(matches!(changed().update(&txn).await, Err(DbErr::RecordNotUpdated)));
    assert_eq!(changed().delete(&txn).await.unwrap().rows_affected, 0);
    txn.commit().await.unwrap();
    assert_eq!(rows(&db).await, held);
}

async fn a_row_of_a_child_table_is_another_row_of_the_key(db: Arc<TestDb>) {
    let events = set_up(&db, &[(TEAM, 1)]).await;
    for sql in [
        "ALTER TABLE copies ADD PRIMARY KEY (id)",
        "CREATE TABLE old_copies () INHERITS (copies)",
        "INSERT INTO old_copies (id, team_id, value) VALUES (1, 7, 2)",
    ] {
        db.db.execute_unprepared(sql).await.unwrap();
    }
    for name in CALLS {
        assert_several(name, &call(&events, name).await.unwrap_err());
    }
    assert_eq!(rows(&db).await, [(TEAM, 1), (TEAM, 2)]);
    assert_eq!(db.log().await.len(), 0);
}
