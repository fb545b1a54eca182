//! The team ends with the transaction that it was set for, however that ends: whoever gets the connection next is of no team.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context as Waker, Poll},
};

use events_sea_orm::{
    ActiveModelEvents, Context, EventConnection, Tracked, event, notifications::Inbox, threads::Thread,
};
use sea_orm::{
    ActiveModelTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel, PaginatorTrait, Set, StreamTrait,
    TransactionTrait,
};
use tests::{TestDb, proxy::Proxy};

use crate::isolation::{
    texts,
    world::{A, B, World, deal, secret},
};

tests::on_postgres! {
    after_an_error_the_team_is_gone,
    a_savepoint_that_is_rolled_back_keeps_the_team_of_its_unit,
    a_request_dropped_at_any_point_leaves_no_team,
    a_thousand_reuses_of_two_connections_mix_up_no_teams,
    a_team_left_by_the_applications_own_sql_is_found,
}

/// Of every connection of the pool at once.
async fn no_team_is_left(world: &World, connections: usize) {
    let mut held = Vec::new();
    for _ in 0..connections {
        held.push(world.pool.begin().await.unwrap());
    }
    for txn in &held {
        assert_eq!(texts(txn, "SELECT coalesce(current_setting('app.team_id', true), '')").await, [""]);
        assert_eq!(
            texts(txn, "SELECT current_user::text").await,
            [world.roles.as_ref().unwrap().app.as_str()]
        );
        assert_eq!(texts(txn, "SELECT team_id::text FROM events").await, Vec::<String>::new());
    }
    for txn in held {
        txn.rollback().await.unwrap();
    }
}

async fn after_an_error_the_team_is_gone(db: Arc<TestDb>) {
    let world = World::open_with(db, 1).await;
    world.fill(A).await;
    let a = world.team(A);
    assert!(a.execute_unprepared("SELECT 1 / 0").await.is_err());
    no_team_is_left(&world, 1).await;
    assert!(
        a.query_one_raw(sea_orm::Statement::from_string(
            sea_orm::DbBackend::Postgres,
            "SELECT 1 / count(*) * 0 / 0 FROM events"
        ))
        .await
        .is_err()
    );
    no_team_is_left(&world, 1).await;
    let txn = a.begin().await.unwrap();
    assert!(
        txn.query_one_raw(sea_orm::Statement::from_string(sea_orm::DbBackend::Postgres, "SELECT 1 / 0"))
            .await
            .is_err()
    );
    assert!(txn.commit().await.is_err());
    no_team_is_left(&world, 1).await;
    let txn = a.begin().await.unwrap();
    let too_long = deal::ActiveModel {
        team_id: Set(A.to_owned()),
        name: Set("x\0".to_owned()),
        status: Set(String::new()),
        ..Default::default()
    };
    assert!(too_long.insert(&txn).await.is_err());
    drop(txn);
    no_team_is_left(&world, 1).await;
    let failed: Result<(), DbErr> =
        world.events.transaction(Context::team(A), async |_| Err(DbErr::Custom("no".to_owned()))).await;
    assert!(failed.is_err());
    no_team_is_left(&world, 1).await;
    world.close().await;
}

async fn a_savepoint_that_is_rolled_back_keeps_the_team_of_its_unit(db: Arc<TestDb>) {
    let world = World::open_with(db, 1).await;
    world.fill(A).await;
    world.fill(B).await;
    let txn = world.team(B).begin().await.unwrap();
    for drops in [false, true] {
        let nested = txn.begin().await.unwrap();
        assert_eq!(event::Entity::find().count(&nested).await.unwrap(), 3);
        if drops {
            drop(nested)
        } else {
            nested.rollback().await.unwrap()
        }
        let rows = event::Entity::find().all(&txn).await.unwrap();
        assert!(rows.len() == 3 && rows.iter().all(|row| row.team_id == B), "{rows:?}");
    }
    txn.commit().await.unwrap();
    no_team_is_left(&world, 1).await;
    world.close().await;
}

/// Polls a future so many times and drops it; answers whether it was done by then.
async fn drop_after<F: Future>(polls: usize, work: F) -> bool {
    let mut work = pin!(work);
    let mut left = polls;
    std::future::poll_fn(|context: &mut Waker<'_>| match work.as_mut().poll(context) {
        Poll::Ready(_) => Poll::Ready(true),
        Poll::Pending if left == 0 => Poll::Ready(false),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

/// What a request does.
async fn request(db: &EventConnection, team: &str, kind: usize) -> Result<(), DbErr> {
    match kind {
        0 => drop(event::Entity::find().all(db).await?),
        1 => drop(db.stream(&sea_orm::QueryTrait::into_query(event::Entity::find())).await?),
        2 => {
            let deal = deal::ActiveModel {
                team_id: Set(team.to_owned()),
                name: Set(secret(team)),
                status: Set("open".to_owned()),
                ..Default::default()
            };
            deal.create_with_event(db).await?;
        }
        3 => {
            let txn = db.begin().await?;
            for deal in deal::Entity::find().all(&txn).await? {
                let nested = txn.begin().await?;
                let mut active = deal.into_active_model();
                active.status = Set("kept".to_owned());
                active.update(&nested).await?;
                nested.rollback().await?;
            }
            txn.commit().await?;
        }
        4 => drop(Thread::of(team, events_sea_orm::ObjectRef::new("deal", 1)).post(db, secret(team)).await?),
        5 => drop(Inbox::of(team, "user").mark_all_read(db, i64::MAX).await?),
        6 => drop(db.execute_unprepared("SELECT 1 / 0").await),
        _ => {
            let txn = db.begin().await?;
            drop(
                txn.query_one_raw(sea_orm::Statement::from_string(
                    sea_orm::DbBackend::Postgres,
                    "SELECT 1 / 0",
                ))
                .await,
            );
            drop(txn.commit().await);
        }
    }
    Ok(())
}

const KINDS: usize = 8;

async fn a_request_dropped_at_any_point_leaves_no_team(db: Arc<TestDb>) {
    let world = World::open_with(db, 1).await;
    world.fill(A).await;
    // Answers come bit by bit, so that there are many points whatever the server's speed.
    let proxy = Proxy::to(&world.db.url_as(&world.roles.as_ref().unwrap().app)).await;
    let world = world.by_way_of(&proxy.url).await;
    proxy.answer_in_pieces(30);
    let mut points = 0;
    for kind in 0..KINDS {
        let mut ran = false;
        for polls in 0..400 {
            let connection = world.team(A);
            ran = drop_after(polls, request(&connection, A, kind)).await;
            // The one connection there is: what was left open is closed before anybody gets it.
            assert_eq!(event::Entity::find().all(&world.pool).await.unwrap(), [], "{kind} after {polls}");
            if ran {
                points += polls;
                break;
            }
        }
        assert!(ran, "{kind} takes more polls than are tried");
        no_team_is_left(&world, 1).await;
    }
    assert!(points > 100, "dropped at {points} points");
    let b = world.team(B);
    assert_eq!(b.feed().count().await.unwrap(), 0);
    world.close().await;
}

/// The same each time: a test that failed fails again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }
}

async fn a_thousand_reuses_of_two_connections_mix_up_no_teams(db: Arc<TestDb>) {
    let world = Arc::new(World::open_with(db, 2).await);
    let teams = ["team-1", "team-2", "team-3", "team-4"];
    for team in teams {
        world.fill(team).await;
    }
    let mut clients = tokio::task::JoinSet::new(); // dropped, it stops them
    for client in 0..4 {
        let world = Arc::clone(&world);
        clients.spawn(async move {
            let mut dice = Dice(client + 1);
            for _ in 0..250 {
                let team = teams[dice.roll(4)];
                let connection = world.team(team);
                let (kind, polls) = (dice.roll(KINDS), dice.roll(30));
                let cancelled = dice.roll(2) == 0;
                if cancelled {
                    drop_after(polls, request(&connection, team, kind)).await;
                } else {
                    // A refusal of another request's lock is fine; what is seen afterwards counts.
                    let _ = request(&connection, team, kind).await;
                }
                let seen = event::Entity::find().all(&connection).await.unwrap();
                assert!(
                    !seen.is_empty() && seen.iter().all(|row| row.team_id == team),
                    "{team} after {kind}"
                );
                assert_eq!(event::Entity::find().all(&world.pool).await.unwrap(), [], "{team} after {kind}");
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    no_team_is_left(&world, 2).await;
    // Nothing came into the log of a team that it did not do itself.
    for row in world.db.log().await {
        assert!(teams.contains(&row.team_id.as_str()));
        let text = format!("{row:?}");
        assert!(teams.iter().all(|team| *team == row.team_id || !text.contains(team)), "{text}");
    }
    Arc::into_inner(world).unwrap().close().await;
}

/// A session-level setting is the one thing that outlives a transaction, and only the application's own SQL can make it.
async fn a_team_left_by_the_applications_own_sql_is_found(db: Arc<TestDb>) {
    let world = World::open_with(db, 1).await;
    let deal = world.fill(A).await;
    tests::roles::run(&world.pool, &format!("SET app.team_id = '{A}'")).await;
    // Whoever names a team is of that team.
    assert_eq!(world.team(B).feed().count().await.unwrap(), 0);
    assert_eq!(world.team(B).timeline(deal.object()).count().await.unwrap(), 0);
    let report = world.events.verify().await.unwrap();
    let left = report.dangers().next().unwrap();
    assert!(left.to_string().contains("`app.team_id` has a value before a team is set"), "{left}");
    tests::roles::run(&world.pool, &left.mend().unwrap()).await;
    no_team_is_left(&world, 1).await;
    world.close().await;
}
