//! What a statement costs on its way through the guard, and how much of a save that is.

use std::{hint::black_box, time::Instant};

use events_sea_orm::__private::{look_at, look_at_text};
use sea_orm::{
    ColumnTrait, DbBackend, EntityTrait, QueryFilter, QueryTrait, Set, StatementBuilder,
    sea_query::{Expr, InsertStatement, Query, UpdateStatement},
};
use tests::TestDb;

use super::{Job, UNITS, at, bare, median, set_up, tracked_seconds};

const RUNS: u32 = 2_000;
const TURNS: u32 = 151;
const SAVES: i64 = 10;

fn nanoseconds(run: &mut dyn FnMut()) -> f64 {
    let start = Instant::now();
    (0..RUNS).for_each(|_| run());
    start.elapsed().as_nanos() as f64 / f64::from(RUNS)
}

/// What looking at a statement adds to building it, which SeaORM does in any case: by turns, since others may be at
/// work on this machine.
fn typed<S: StatementBuilder>(statement: &S, backend: DbBackend) -> f64 {
    let mut build = || drop(black_box(StatementBuilder::build(black_box(statement), &backend)));
    let mut both = || assert!(black_box(look_at(black_box(statement), backend)));
    median((0..TURNS).map(|_| nanoseconds(&mut both) - nanoseconds(&mut build)).collect())
}

fn insert() -> InsertStatement {
    let row = bare::ActiveModel {
        id: Set(1),
        name: Set("Spring sale of the northern shops".to_owned()),
        status: Set("draft".to_owned()),
        budget: Set(1_000),
        starts_at: Set(at()),
        notes: Set(Some("x".repeat(127))),
        updated_at: Set(at()),
    };
    let mut insert = bare::Entity::insert(row).into_query();
    insert.returning(Query::returning().columns([
        bare::Column::Id,
        bare::Column::Name,
        bare::Column::Status,
    ]));
    insert
}

fn update() -> UpdateStatement {
    let update = bare::Entity::update_many().col_expr(bare::Column::Status, Expr::value("live"));
    let update = update.col_expr(bare::Column::Budget, Expr::value(2_000)).filter(bare::Column::Id.eq(1));
    let mut update = update.into_query();
    update.returning(Query::returning().columns([
        bare::Column::Id,
        bare::Column::Name,
        bare::Column::Status,
    ]));
    update
}

pub async fn measure(name: &str, mut db: TestDb) {
    db.db = TestDb::open_with(&db.url, 1).await;
    let events = set_up(&db).await;
    let backend = sea_orm::ConnectionTrait::get_database_backend(&db.db);
    let select = typed(&bare::Entity::find_by_id(1).into_query(), backend);
    let insert = typed(&insert(), backend);
    let update = typed(&update(), backend);
    let delete = typed(&bare::Entity::delete_many().filter(bare::Column::Id.eq(1)).into_query(), backend);
    let text = "SELECT b.name, count(*) FROM bare b JOIN shops s ON s.id = b.id WHERE b.status = 'live' GROUP BY b.name";
    let mut look = || assert!(black_box(look_at_text(black_box(text), backend)));
    let text = median((0..TURNS).map(|_| nanoseconds(&mut look)).collect());
    println!(
        "{name:<10} guard, ns a statement: SELECT {select:.0}, INSERT {insert:.0}, UPDATE {update:.0}, DELETE {delete:.0}, raw text of 103 characters {text:.0}"
    );
    for (job, guard) in
        [(Job::Create, insert), (Job::Update, select + update), (Job::Delete, select + delete)]
    {
        let mut micros = Vec::new();
        for round in 0..6 {
            let seconds = tracked_seconds(&events, job, round * UNITS * SAVES, SAVES).await;
            if round > 0 {
                micros.push(seconds * 1e6 / (UNITS * SAVES) as f64);
            }
        }
        let micros = median(micros);
        println!(
            "{name:<10} {:<6} {micros:.0} us a save, {SAVES} a unit, its load included: the guard is {:.2} % of it",
            format!("{job:?}").to_lowercase(),
            guard / micros / 10.0,
        );
    }
    db.drop().await;
}
