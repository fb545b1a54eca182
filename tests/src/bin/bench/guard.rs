//! What a statement costs on its way through the guard, and how much of a save that is.

use std::{hint::black_box, time::Instant};

use events_sea_orm::__private::look_at;
use sea_orm::{
    ColumnTrait, DbBackend, EntityTrait, QueryFilter, QueryTrait, Set, StatementBuilder,
    sea_query::{Expr, InsertStatement, Query, UpdateStatement},
};
use tests::TestDb;

use super::{Job, UNITS, at, bare, median, set_up, tracked_seconds};

const RUNS: u32 = 20_000;
const TURNS: u32 = 15;
const SAVES: i64 = 10;

fn nanoseconds(mut run: impl FnMut()) -> f64 {
    let turn = |run: &mut dyn FnMut()| {
        let start = Instant::now();
        (0..RUNS).for_each(|_| run());
        start.elapsed().as_nanos() as f64 / f64::from(RUNS)
    };
    median((0..TURNS).map(|_| turn(&mut run)).collect())
}

/// What looking at a statement adds to building it, which SeaORM does in any case.
fn typed<S: StatementBuilder>(statement: &S, backend: DbBackend) -> f64 {
    let build = nanoseconds(|| drop(black_box(StatementBuilder::build(black_box(statement), &backend))));
    let both = nanoseconds(|| assert!(black_box(look_at(black_box(statement), backend))));
    both - build
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
    let text = nanoseconds(|| {
        let text = sea_orm::Statement::from_string(backend, black_box(text));
        assert!(black_box(events_sea_orm::__private::look_at_text(&text.sql, backend)));
    });
    println!(
        "{name:<10} guard, ns a statement: SELECT {select:.0}, INSERT {insert:.0}, UPDATE {update:.0}, DELETE {delete:.0}, raw text of 106 characters {text:.0}"
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
