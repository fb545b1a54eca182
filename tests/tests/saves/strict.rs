//! Strict units: PostgreSQL's own counts find what was changed without an event.

use std::sync::Arc;

use events_sea_orm::{ActiveModelEvents, BuildError, CommitError, EntityEvents, Events, Refused};
use futures_util::FutureExt;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, ExprTrait, PaginatorTrait,
    QueryFilter, Set, Statement, TransactionTrait, Unchanged, sea_query::Expr,
};
use tests::{
    TestDb, context,
    entities::{campaign, visit},
    new_campaign,
    proxy::Proxy,
};

tests::on_postgres! {
    what_is_recorded_is_all_that_is_counted,
    a_trigger_refuses_the_commit_and_its_table_is_named,
    a_function_that_a_read_calls_refuses_the_commit,
    a_cascade_refuses_the_commit,
    a_partition_written_by_its_own_name_refuses_the_commit,
    what_is_rolled_back_refuses_nothing,
    what_is_dropped_while_it_asks_for_the_counts_refuses_nothing,
    untracked_writes_refuse_nothing,
    it_costs_one_statement_at_the_begin,
}

#[tokio::test]
async fn another_database_counts_nothing() {
    let db = TestDb::sqlite().await;
    let built = Events::builder(db.db.clone()).strict().build().await;
    assert!(matches!(built, Err(BuildError::NotCounted { .. })), "{built:?}");
    db.drop().await;
}

async fn strict_on(db: &TestDb) -> Events {
    db.with_tables().await;
    Events::builder(db.db.clone()).strict().build().await.unwrap()
}

fn budget(id: i32, budget: i64) -> campaign::ActiveModel {
    campaign::ActiveModel { id: Unchanged(id), budget: Set(budget), ..Default::default() }
}

async fn run(db: &TestDb, sql: &str) {
    db.db.execute_unprepared(sql).await.unwrap();
}

#[track_caller]
fn unseen(committed: Result<(), CommitError>) -> (String, [i64; 3]) {
    match committed {
        Err(CommitError::Refused(Refused::UnseenChange { table, unseen })) => (table, unseen),
        other => panic!("{other:?}"),
    }
}

async fn what_is_recorded_is_all_that_is_counted(db: Arc<TestDb>) {
    let events = strict_on(&db).await;
    for _ in 0..2 {
        let unit = events.begin(context()).await.unwrap();
        let model = new_campaign("a").insert(&unit).await.unwrap();
        budget(model.id, 5).update(&unit).await.unwrap();
        budget(model.id, 5).update(&unit).await.unwrap(); // nothing changes, and the row is written
        campaign::ActiveModel { notes: Set(Some("x".to_owned())), ..budget(model.id, 6) }
            .update(&unit)
            .await
            .unwrap();
        let many = (0..2_500).map(|n| new_campaign(&format!("many {n}")));
        campaign::Entity::insert_many_with_events(many).exec(&unit).await.unwrap();
        campaign::Entity::update_many_with_events()
            .col_expr(campaign::Column::Budget, Expr::col(campaign::Column::Budget).add(1))
            .exec(&unit)
            .await
            .unwrap();
        campaign::Entity::delete_many_with_events()
            .filter(campaign::Column::Id.ne(model.id))
            .exec(&unit)
            .await
            .unwrap();
        visit::ActiveModel { what: Set("untracked".to_owned()), ..Default::default() }
            .insert(&unit)
            .await
            .unwrap();
        unit.commit().await.unwrap();
        budget(model.id, 9).update_with_event(&events.connection(context())).await.unwrap();
        budget(model.id, 9).delete_with_event(&events.connection(context())).await.unwrap();
        // Nothing is recorded, and something was sent.
        let unit = events.begin(context()).await.unwrap();
        campaign::Entity::find().all(&unit).await.unwrap();
        unit.commit().await.unwrap();
    }
    assert_eq!(campaign::Entity::find().count(&db.db).await.unwrap(), 0);
}

const TRIGGER: &str = "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
     UPDATE campaigns SET budget = budget + 1 WHERE name = 'other'; RETURN NULL; END $$;";

async fn a_trigger_refuses_the_commit_and_its_table_is_named(db: Arc<TestDb>) {
    let events = strict_on(&db).await;
    new_campaign("other").create_with_event(&events.connection(context())).await.unwrap();
    run(&db, TRIGGER).await;
    run(&db, "CREATE TRIGGER t AFTER INSERT ON visits FOR EACH ROW EXECUTE FUNCTION touch()").await;
    for with_event in [false, true] {
        let unit = events.begin(context()).await.unwrap();
        visit::ActiveModel { what: Set("a".to_owned()), ..Default::default() }.insert(&unit).await.unwrap();
        if with_event {
            new_campaign("b").insert(&unit).await.unwrap();
        }
        assert_eq!(unseen(unit.commit().await), ("campaigns".to_owned(), [0, 1, 0]));
    }
    let other = campaign::Entity::find().one(&db.db).await.unwrap().unwrap();
    assert_eq!((other.budget, db.log().await.len()), (100, 1));
}

async fn a_function_that_a_read_calls_refuses_the_commit(db: Arc<TestDb>) {
    let events = strict_on(&db).await;
    new_campaign("other").create_with_event(&events.connection(context())).await.unwrap();
    run(&db, "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'DELETE FROM campaigns; SELECT 1'").await;
    let unit = events.begin(context()).await.unwrap();
    let read = Statement::from_string(unit.get_database_backend(), "SELECT f()");
    if unit.query_one_raw(read).await.is_ok() {
        assert_eq!(unseen(unit.commit().await), ("campaigns".to_owned(), [0, 0, 1]));
    }
    assert_eq!(campaign::Entity::find().count(&db.db).await.unwrap(), 1);
}

async fn a_cascade_refuses_the_commit(db: Arc<TestDb>) {
    let events = strict_on(&db).await;
    let model = new_campaign("child").create_with_event(&events.connection(context())).await.unwrap();
    run(&db, &format!("INSERT INTO visits (id, what) VALUES ({}, 'parent')", model.id)).await;
    run(&db, "ALTER TABLE campaigns ADD FOREIGN KEY (id) REFERENCES visits (id) ON DELETE CASCADE").await;
    let unit = events.begin(context()).await.unwrap();
    visit::Entity::delete_by_id(model.id).exec(&unit).await.unwrap();
    assert_eq!(unseen(unit.commit().await), ("campaigns".to_owned(), [0, 0, 1]));
    assert_eq!(campaign::Entity::find().count(&db.db).await.unwrap(), 1);
}

/// Partitioned by hand; a row that moves to another partition is counted as deleted and inserted there.
async fn a_partition_written_by_its_own_name_refuses_the_commit(db: Arc<TestDb>) {
    let events = strict_on(&db).await;
    run(
        &db,
        "ALTER TABLE campaigns RENAME TO old_campaigns;
         CREATE TABLE campaigns (LIKE old_campaigns INCLUDING DEFAULTS INCLUDING IDENTITY) PARTITION BY RANGE (budget);
         CREATE TABLE cheap PARTITION OF campaigns FOR VALUES FROM (MINVALUE) TO (1000);
         CREATE TABLE dear PARTITION OF campaigns FOR VALUES FROM (1000) TO (MAXVALUE);",
    )
    .await;
    let unit = events.begin(context()).await.unwrap();
    let model = new_campaign("a").insert(&unit).await.unwrap();
    budget(model.id, 5_000).update(&unit).await.unwrap(); // into the other one
    unit.commit().await.unwrap();
    run(
        &db,
        TRIGGER
            .replace("UPDATE campaigns SET budget = budget + 1 WHERE name = 'other'", "DELETE FROM dear")
            .as_str(),
    )
    .await;
    run(&db, "CREATE TRIGGER t AFTER INSERT ON visits FOR EACH ROW EXECUTE FUNCTION touch()").await;
    let unit = events.begin(context()).await.unwrap();
    visit::ActiveModel { what: Set("a".to_owned()), ..Default::default() }.insert(&unit).await.unwrap();
    assert_eq!(unseen(unit.commit().await), ("campaigns".to_owned(), [0, 0, 1]));
}

/// Counted are they all the same, and of a statement that failed nobody knows how many.
async fn what_is_rolled_back_refuses_nothing(db: Arc<TestDb>) {
    let events = strict_on(&db).await;
    new_campaign("other").create_with_event(&events.connection(context())).await.unwrap();
    run(&db, TRIGGER).await;
    run(&db, "CREATE TRIGGER t AFTER INSERT ON visits FOR EACH ROW EXECUTE FUNCTION touch()").await;
    let touch = || visit::ActiveModel { what: Set("a".to_owned()), ..Default::default() };
    let unit = events.begin(context()).await.unwrap();
    for turn in 0..4 {
        let nested = unit.begin().await.unwrap();
        new_campaign(&turn.to_string()).insert(&nested).await.unwrap();
        if turn > 0 {
            touch().insert(&nested).await.unwrap();
        }
        if turn == 2 {
            let many = (0..3).map(|n| new_campaign(&format!("many {n}"))).chain([new_campaign("other")]);
            assert!(campaign::Entity::insert_many_with_events(many).exec(&nested).await.is_err());
        }
        if turn == 3 {
            drop(nested)
        } else {
            nested.rollback().await.unwrap()
        }
        new_campaign(&format!("kept {turn}")).insert(&unit).await.unwrap();
    }
    unit.commit().await.unwrap();
    assert_eq!(db.log().await.len(), 5);

    // What was unseen before a savepoint stays unseen after it.
    let unit = events.begin(context()).await.unwrap();
    touch().insert(&unit).await.unwrap();
    let nested = unit.begin().await;
    let refused = match nested {
        Ok(nested) => {
            nested.rollback().await.unwrap();
            unit.commit().await
        }
        Err(_) => unit.commit().await,
    };
    assert!(matches!(refused, Err(CommitError::Refused(_))), "{refused:?}");

    // With a savepoint for each save.
    let each = Events::builder(db.db.clone()).strict().savepoint_each_save().build().await.unwrap();
    let unit = each.begin(context()).await.unwrap();
    new_campaign("c").insert(&unit).await.unwrap();
    assert!(new_campaign("other").insert(&unit).await.is_err());
    new_campaign("d").insert(&unit).await.unwrap();
    unit.commit().await.unwrap();
    let other =
        campaign::Entity::find().filter(campaign::Column::Name.eq("other")).one(&db.db).await.unwrap();
    assert_eq!(other.unwrap().budget, 100);
}

async fn what_is_dropped_while_it_asks_for_the_counts_refuses_nothing(db: Arc<TestDb>) {
    db.with_tables().await;
    let proxy = Proxy::to(&db.url).await;
    let events = Events::builder(TestDb::open_with(&proxy.url, 1).await).strict().build().await.unwrap();
    new_campaign("other").create_with_event(&events.connection(context())).await.unwrap();
    // However fast the server is, no question is answered by the end of its first poll.
    proxy.answer_in_pieces(29);
    let unit = events.begin(context()).await.unwrap();
    new_campaign("a").insert(&unit).await.unwrap();
    assert!(unit.begin().now_or_never().is_none(), "it asks");
    new_campaign("b").insert(&unit).await.unwrap();

    // How many rows a statement that failed has counted, nobody knows: they are counted anew after it.
    let nested = unit.begin().await.unwrap();
    let many = [new_campaign("c"), new_campaign("other")];
    campaign::Entity::insert_many_with_events(many).exec(&nested).await.unwrap_err();
    nested.rollback().await.unwrap();
    assert!(campaign::Entity::find().all(&unit).now_or_never().is_none(), "it asks");
    new_campaign("d").insert(&unit).await.unwrap();
    unit.commit().await.unwrap();
    assert_eq!(campaign::Entity::find().count(&db.db).await.unwrap(), 4);
}

async fn untracked_writes_refuse_nothing(db: Arc<TestDb>) {
    let events = strict_on(&db).await;
    let unit = events.begin(context()).await.unwrap();
    new_campaign("a").insert(&unit).await.unwrap();
    unit.untracked("repair", async |txn| {
        campaign::Entity::update_many()
            .col_expr(campaign::Column::Budget, Expr::val(7))
            .exec(txn)
            .await
            .map(drop)?;
        new_campaign("b").insert(txn).await.map(drop)
    })
    .await
    .map_err(|error: DbErr| error)
    .unwrap();
    new_campaign("c").insert(&unit).await.unwrap();
    unit.commit().await.unwrap();
    assert_eq!(campaign::Entity::find().count(&db.db).await.unwrap(), 3);
}

async fn it_costs_one_statement_at_the_begin(db: Arc<TestDb>) {
    db.with_tables().await;
    let proxy = Proxy::to(&db.url).await;
    let pool = TestDb::open_with(&proxy.url, 1).await;
    let mut counts = Vec::new();
    for is_strict in [false, true] {
        let builder = Events::builder(pool.clone());
        let events = if is_strict { builder.strict() } else { builder }.build().await.unwrap();
        proxy.take_statements();
        let unit = events.begin(context()).await.unwrap();
        new_campaign(&is_strict.to_string()).insert(&unit).await.unwrap();
        unit.commit().await.unwrap();
        counts.push(proxy.take_statements().len());
    }
    assert_eq!(counts[1], counts[0] + 1);
}
