//! A redacted value comes to light nowhere, whatever is done and whatever goes wrong.

mod bulk;
mod failures;
mod operations;
mod world;

use std::sync::Arc;

use proptest::prelude::*;
use sea_orm::DbBackend;
use tests::TestDb;
use world::World;

use crate::{capture::captured, check, vault};

tests::conformance! { a_secret_comes_to_light_nowhere }

mod at_commit {
    const NAME: &str = "a_refused_commit_quotes_no_secret";

    #[test]
    fn a_refused_commit_quotes_no_secret_on_sqlite() {
        tests::run(NAME, None, super::a_refused_commit_quotes_no_secret);
    }

    #[test]
    fn a_refused_commit_quotes_no_secret_on_postgres() {
        tests::run(NAME, Some("POSTGRES_URL"), super::a_refused_commit_quotes_no_secret);
    }
}

/// Names a function and what it is, so that a leak says where.
macro_rules! operations {
    ($($module:ident::$name:ident,)*) => {
        /// By their names: some modules have functions of the same name.
        const OPERATIONS: &[&str] = &[$(concat!(stringify!($module), "::", stringify!($name)),)*];

        async fn operate(operation: &str, world: &World) {
            match operation {
                $(concat!(stringify!($module), "::", stringify!($name)) => $module::$name(world).await,)*
                other => panic!("no operation {other}"),
            }
        }
    };
}

operations! {
    operations::insert,
    operations::save,
    operations::update,
    operations::update_without_returning,
    operations::delete,
    operations::with_event,
    operations::transition,
    operations::soft_delete,
    operations::emit,
    operations::savepoints,
    operations::rollback,
    operations::consume,
    operations::scope,
    operations::look_at_the_model,
    failures::undeclared_transition,
    failures::unique,
    failures::not_null,
    failures::check,
    failures::too_long,
    failures::foreign_key,
    failures::nul,
    failures::vetoed,
    failures::other_team,
    failures::wrong_connection,
    failures::poisoned,
    failures::dropped,
    failures::consumer,
    failures::in_a_scope,
    failures::unreadable,
    failures::reads,
    failures::by_code_of_the_database,
    failures::wrong_field,
    bulk::insert_many,
    bulk::update_many,
    bulk::delete_many,
    bulk::refused_by_the_database,
    bulk::unreadable,
    bulk::other_team,
    bulk::refused_by_the_guard,
    bulk::untracked,
    bulk::links,
    bulk::streams,
}

/// What a secret looks like: plain, and like what a database says around one.
const SHAPES: [&str; 10] = [
    "{}",
    "' constraint failed: {}",
    "UNIQUE constraint failed: {}",
    "x' for key '{}",
    "' for key '{}' for key '",
    "Duplicate entry '{}' for key 'x",
    "(a)=({}) already exists.",
    "\"{}\\\n",
    "{}%s{{}} $1 ?",
    "é\u{1F980}{}\u{10FFFF}",
];

async fn a_secret_comes_to_light_nowhere(db: Arc<TestDb>) {
    captured(); // from the start
    db.with_tables().await;
    vault::create_tables(&db.db).await;
    let cases = if db.db.get_database_backend() == DbBackend::Sqlite { 12 } else { 8 };
    let order = Just(OPERATIONS.to_vec()).prop_shuffle();
    let strategy = ("[A-Za-z0-9]{24}", prop::sample::select(SHAPES.to_vec()), order).no_shrink();
    check(cases, &strategy, async |(token, shape, order): (String, &str, Vec<&str>)| {
        let world = World::new(Arc::clone(&db), token, shape).await;
        let first = world.begin().await;
        let unit = first.unit_id();
        sea_orm::ActiveModelTrait::insert(world.vault(), &first).await.unwrap();
        first.commit().await.unwrap();
        for operation in order {
            let run = tokio::time::timeout(tests::PATIENCE, operate(operation, &world));
            run.await.unwrap_or_else(|_| panic!("{operation:?} did not finish in time"));
            world.look(&format!("{operation:?}")).await;
        }
        let said = captured();
        let commits = said.lines().filter(|line| line.starts_with("span") && line.contains("events.commit"));
        prop_assert!(commits.count() > 5 && said.contains(&unit.to_string()), "the library was listened to");
        Ok(())
    });
}

async fn a_refused_commit_quotes_no_secret(db: Arc<TestDb>) {
    captured();
    db.with_tables().await;
    vault::create_tables(&db.db).await;
    let token = uuid::Uuid::new_v4().simple().to_string();
    let world = World::new(db, token, "{}").await;
    failures::commit(&world).await;
    world.look("a refused commit").await;
}
