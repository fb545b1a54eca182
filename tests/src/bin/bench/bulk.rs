//! Many rows: the tracked verbs against SeaORM's own, and against saves row by row.

use std::time::Instant;

use events_sea_orm::{Context, EntityEvents, Events};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, ExprTrait, IntoActiveModel, QueryFilter, Set,
    TransactionTrait, sea_query::Expr,
};
use tests::TestDb;

use super::{Job, at, bare, median, set_up, tracked};

const ROWS: i64 = 10_000;
const ROUNDS: i64 = 8;
/// As many as one statement can bind: seven values a row.
const CHUNK: usize = 30_000 / 7;

macro_rules! new_rows {
    ($module:ident, $first:expr) => {
        ($first..$first + ROWS)
            .map(|id| $module::ActiveModel {
                id: Set(id),
                name: Set(format!("Spring sale of shop {id}")),
                status: Set("draft".to_owned()),
                budget: Set(id),
                starts_at: Set(at()),
                notes: Set(Some("x".repeat(127))),
                updated_at: Set(at()),
            })
            .collect::<Vec<_>>()
    };
}

async fn bare_seconds(db: &TestDb, job: Job, first: i64) -> f64 {
    let models = if let Job::Create = job { new_rows!(bare, first) } else { Vec::new() };
    let start = Instant::now();
    let txn = db.db.begin().await.expect("begin");
    let done = match job {
        Job::Create => {
            let mut rest = models.into_iter().peekable();
            while rest.peek().is_some() {
                let chunk: Vec<_> = rest.by_ref().take(CHUNK).collect();
                bare::Entity::insert_many(chunk).exec(&txn).await.expect("insert");
            }
            ROWS as u64
        }
        Job::Update => {
            let update = bare::Entity::update_many()
                .col_expr(bare::Column::Status, Expr::value("live"))
                .col_expr(bare::Column::Budget, Expr::col(bare::Column::Budget).add(1));
            let update = update.filter(bare::Column::Id.between(first, first + ROWS - 1));
            update.exec(&txn).await.expect("update").rows_affected
        }
        Job::Delete => {
            let delete = bare::Entity::delete_many();
            let delete = delete.filter(bare::Column::Id.between(first, first + ROWS - 1));
            delete.exec(&txn).await.expect("delete").rows_affected
        }
    };
    txn.commit().await.expect("commit");
    assert_eq!(done, ROWS as u64);
    start.elapsed().as_secs_f64()
}

/// Bare saves in one transaction, of models that are loaded already.
async fn row_by_row_seconds(db: &TestDb, job: Job, first: i64) -> f64 {
    let models = match job {
        Job::Create => new_rows!(bare, first),
        _ => {
            let loaded = bare::Entity::find().filter(bare::Column::Id.between(first, first + ROWS - 1));
            let loaded = loaded.all(&db.db).await.expect("read");
            loaded.into_iter().map(IntoActiveModel::into_active_model).collect()
        }
    };
    assert_eq!(models.len(), ROWS as usize);
    let start = Instant::now();
    let txn = db.db.begin().await.expect("begin");
    for mut active in models {
        match job {
            Job::Create => drop(active.insert(&txn).await.expect("insert")),
            Job::Update => {
                active.status = Set("live".to_owned());
                active.budget = Set(active.budget.unwrap() + 1);
                active.update(&txn).await.expect("update");
            }
            Job::Delete => drop(active.delete(&txn).await.expect("delete")),
        }
    }
    txn.commit().await.expect("commit");
    start.elapsed().as_secs_f64()
}

async fn tracked_seconds(events: &Events, job: Job, first: i64) -> f64 {
    let models = if let Job::Create = job { new_rows!(tracked, first) } else { Vec::new() };
    let start = Instant::now();
    let txn = events.begin(Context::team(1).actor("user:42")).await.expect("begin");
    let done = match job {
        Job::Create => tracked::Entity::insert_many_with_events(models)
            .exec_without_returning(&txn)
            .await
            .expect("insert"),
        Job::Update => {
            let update = tracked::Entity::update_many_with_events()
                .col_expr(tracked::Column::Status, Expr::value("live"))
                .col_expr(tracked::Column::Budget, Expr::col(tracked::Column::Budget).add(1));
            let update = update.filter(tracked::Column::Id.between(first, first + ROWS - 1));
            update.exec(&txn).await.expect("update").rows_affected
        }
        Job::Delete => {
            let delete = tracked::Entity::delete_many_with_events();
            let delete = delete.filter(tracked::Column::Id.between(first, first + ROWS - 1));
            delete.exec(&txn).await.expect("delete").rows_affected
        }
    };
    txn.commit().await.expect("commit");
    assert_eq!(done, ROWS as u64);
    start.elapsed().as_secs_f64()
}

/// The three ways by turns, and the medians of what one took of another in the same round.
pub async fn compare(name: &str, mut db: TestDb) {
    db.db = TestDb::open_with(&db.url, 1).await;
    let events = set_up(&db).await;
    // For timing one of them alone under a profiler.
    let only_tracked = std::env::var_os("ONLY_TRACKED").is_some();
    for (n, job) in [Job::Create, Job::Update, Job::Delete].into_iter().enumerate() {
        let mut rounds = Vec::new();
        for round in 0..ROUNDS {
            let first = round * ROWS + 1;
            let [bare, by_row] = if only_tracked {
                [1.0, 1.0]
            } else {
                let bare = bare_seconds(&db, job, first).await;
                // Rows of their own in the same table.
                [bare, row_by_row_seconds(&db, job, first + 10_000_000).await]
            };
            let tracked = tracked_seconds(&events, job, first).await;
            // The first round fills the statement cache.
            if round > 0 || n > 0 {
                rounds.push((bare, by_row, tracked));
            }
        }
        let of = |figure: fn(&(f64, f64, f64)) -> f64| median(rounds.iter().map(figure).collect());
        println!(
            "{name:<10} {:<6} {ROWS} rows: {:.2} x bare {}_many, {:.2} x bare saves row by row; us a row: tracked {:.1}, bare {:.1}, row by row {:.1}",
            format!("{job:?}").to_lowercase(),
            of(|(bare, _, tracked)| tracked / bare),
            match job {
                Job::Create => "insert",
                Job::Update => "update",
                Job::Delete => "delete",
            },
            of(|(_, by_row, tracked)| tracked / by_row),
            of(|(_, _, tracked)| tracked * 1e6 / ROWS as f64),
            of(|(bare, _, _)| bare * 1e6 / ROWS as f64),
            of(|(_, by_row, _)| by_row * 1e6 / ROWS as f64),
        );
    }
    db.drop().await;
}
