//! The team is found by its index, by the application's role too, whether the team is small or large: no query looks at many rows of others.

use std::sync::Arc;

use events_sea_orm::event;
use sea_orm::{
    ColumnTrait, DbBackend, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait, TransactionTrait,
};
use tests::{TestDb, roles::run};

use crate::isolation::{isolated, texts};

tests::on_postgres! { a_feed_and_a_timeline_go_by_the_index_of_the_team }

/// As the library asks, with a place for each value.
fn feed() -> String {
    let feed = event::Entity::find().filter(event::Column::TeamId.eq("x"));
    text(feed.order_by_desc(event::Column::Seq).limit(100))
}

fn timeline() -> String {
    let timeline = event::Entity::find()
        .filter(event::Column::TeamId.eq("x"))
        .filter(event::Column::ObjectType.eq("deal"))
        .filter(event::Column::ObjectId.eq("1"));
    text(timeline.order_by_desc(event::Column::Seq).limit(100))
}

fn text(select: sea_orm::Select<event::Entity>) -> String {
    select.build(DbBackend::Postgres).sql
}

async fn a_feed_and_a_timeline_go_by_the_index_of_the_team(db: Arc<TestDb>) {
    let roles = isolated(&db).await;
    run(
        &db.db,
        "INSERT INTO events (id, team_id, event_type, object_type, object_id, unit_id, event_data, context, occurred_at) \
         SELECT gen_random_uuid(), CASE WHEN n % 2 = 0 THEN 'big' WHEN n < 6 THEN 'small' ELSE 'team ' || n % 48 END, 'CREATED', \
         'deal', n % 1000, gen_random_uuid(), '{}', '{}', now() FROM generate_series(1, 60000) n",
    )
    .await;
    run(&db.db, "ANALYZE events").await;
    let app = db.open_as(&roles.app, 1).await;
    for team in ["small", "big", "nobody"] {
        for mode in ["force_custom_plan", "auto"] {
            for (sql, types, values) in [
                (feed(), "text, bigint", format!("'{team}', 100")),
                (timeline(), "text, text, text, bigint", format!("'{team}', 'deal', '1', 100")),
            ] {
                let txn = app.begin().await.unwrap();
                run(&txn, &format!("SELECT set_config('app.team_id', '{team}', true)")).await;
                run(&txn, &format!("SET LOCAL plan_cache_mode = {mode}")).await;
                run(&txn, &format!("PREPARE asked ({types}) AS {sql}")).await;
                // From the sixth time on the database may keep one plan for all teams, if it takes it for as good.
                for _ in 0..10 {
                    run(&txn, &format!("EXECUTE asked ({values})")).await;
                }
                let plan = texts(&txn, &format!("EXPLAIN (ANALYZE, TIMING OFF) EXECUTE asked ({values})"))
                    .await
                    .join("\n");
                run(&txn, "DEALLOCATE asked").await;
                txn.rollback().await.unwrap();
                assert!(!plan.contains("Seq Scan"), "{team} {mode}: {plan}");
                let is_by_team =
                    plan.lines().any(|line| line.contains("Index Cond: ") && line.contains("team_id"));
                // Of a team that has every other row, the last hundred are as soon found by their numbers.
                assert!(is_by_team || team == "big", "{team} {mode}: {plan}");
                let removed =
                    plan.lines().filter_map(|line| line.trim().strip_prefix("Rows Removed by Filter: "));
                let removed: u64 = removed.map(|count| count.parse::<u64>().unwrap()).sum();
                assert!(removed <= 200, "{team} {mode}: {plan}");
            }
        }
    }
    app.close().await.unwrap();
}
