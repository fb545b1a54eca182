//! Policies that an application wrote itself, with a setting of its own name: units of work, reads and scopes join them.

use std::sync::{Arc, Mutex};

use events_sea_orm::{
    BuildError, Consumer, ConsumerFuture, Context, EntityEvents, Event, EventConnection, Events, Outcome,
    Refused, Subscription, event, testing,
};
use futures_util::StreamExt;
use sea_orm::{
    ActiveModelTrait, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, IntoActiveModel,
    PaginatorTrait, Set, StreamTrait, TransactionTrait,
};
use tests::{
    TestDb,
    entities::{campaign, tenant},
};

mod postgres {
    macro_rules! cases {
        ($($case:ident),* $(,)?) => { $(#[test] fn $case() { tests::run(stringify!($case), Some("POSTGRES_URL"), super::$case); })* };
    }
    cases! {
        a_unit_of_work_sees_and_writes_its_team_alone,
        reads_and_streams_are_of_the_connections_team,
        without_a_team_nothing_is_shown,
        a_new_team_is_told_as_soon_as_it_is_made,
        a_rolled_back_savepoint_keeps_the_team,
        scopes_tell_the_team_with_each_save,
        all_teams_take_a_role,
        a_lost_commit_is_found_out,
        after_commit_consumers_read_their_team,
        captures_see_what_was_recorded,
    }
}

#[tokio::test]
async fn where_there_is_none_it_cannot_be_asked_for() {
    let db = TestDb::sqlite().await;
    let asked = Events::builder(db.db.clone()).row_level_security(true).build().await;
    assert!(matches!(asked, Err(BuildError::NoRowLevelSecurity)), "{asked:?}");
    Events::builder(db.db.clone()).row_level_security(false).build().await.unwrap();
    db.drop().await;
}

#[tokio::test]
async fn a_pool_that_was_never_connected_is_refused() {
    let built = Events::builder(DatabaseConnection::default()).build().await;
    assert!(matches!(built, Err(BuildError::SelfCheck(DbErr::Conn(_)))), "{built:?}");
}

/// A role that owns nothing, on tables whose policies compare `shop.tenant`.
struct Shop {
    owner: Arc<TestDb>,
    pool: DatabaseConnection,
    events: Events,
    roles: [String; 2],
    url: String,
}

impl Shop {
    async fn open(owner: Arc<TestDb>) -> Self {
        owner.with_tables().await;
        let suffix = uuid::Uuid::new_v4().simple().to_string();
        let [app, jobs] = ["app", "jobs"].map(|kind| format!("events_test_{kind}_{suffix}"));
        let mut sql = format!(
            "CREATE ROLE {jobs} NOLOGIN; CREATE ROLE {app} LOGIN PASSWORD 'app' IN ROLE {jobs} NOINHERIT;"
        );
        for (table, team) in [("events", "team_id"), ("campaigns", "team_id"), ("tenants", "id")] {
            sql += &format!(
                "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY; ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
                 GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {app}, {jobs};
                 CREATE POLICY own ON {table} TO {app} USING ({team}::text = nullif(current_setting('shop.tenant', true), ''));
                 CREATE POLICY every ON {table} TO {jobs} USING (true);"
            );
        }
        // Who makes a tenant does not know its key yet.
        sql += &format!(
            "CREATE POLICY sign_up ON tenants FOR INSERT TO {app} WITH CHECK (true);
             CREATE POLICY see_signed_up ON tenants FOR SELECT TO {app} USING (true);
             REVOKE UPDATE, DELETE ON events FROM {app}, {jobs};
             GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {app}, {jobs}"
        );
        owner.db.execute_unprepared(&sql).await.unwrap();
        let (scheme, rest) = owner.url.split_once("://").unwrap();
        let address = rest.split_once('@').map_or(rest, |(_, address)| address);
        let url = format!("{scheme}://{app}:app@{address}");
        let pool = TestDb::open_with(&url, 2).await;
        let events = Self::builder(&pool).all_teams_role(&jobs).build().await.unwrap();
        Self { owner, pool, events, roles: [app, jobs], url }
    }

    fn builder(pool: &DatabaseConnection) -> events_sea_orm::EventsBuilder {
        Events::builder(pool.clone()).team_setting("shop.tenant").start_despite_dangers()
    }

    async fn pool_of_one(&self) -> DatabaseConnection {
        TestDb::open_with(&self.url, 1).await
    }

    fn team(&self, team: i32) -> EventConnection {
        self.events.connection(Context::team(team).actor("ada"))
    }

    async fn close(self) {
        self.events.shutdown(std::time::Duration::from_secs(5)).await.unwrap();
        self.pool.close_by_ref().await.unwrap();
        let [app, jobs] = &self.roles;
        let sql = format!("DROP OWNED BY {app}, {jobs}; DROP ROLE {app}, {jobs}");
        self.owner.db.execute_unprepared(&sql).await.unwrap();
    }
}

fn campaign(team: i32, key: &str) -> campaign::ActiveModel {
    campaign::ActiveModel {
        team_id: Set(Some(team)),
        name: Set("Spring".to_owned()),
        status: Set(campaign::Status::Draft),
        budget: Set(1_000),
        api_key: Set(key.to_owned()),
        ..Default::default()
    }
}

async fn insert(db: &EventConnection, team: i32, key: &str) -> Result<campaign::Model, DbErr> {
    let txn = db.begin().await?;
    let saved = campaign(team, key).insert(&txn).await?;
    txn.commit().await?;
    Ok(saved)
}

async fn a_unit_of_work_sees_and_writes_its_team_alone(db: Arc<TestDb>) {
    let shop = Shop::open(db).await;
    let saved = insert(&shop.team(1), 1, "a").await.unwrap();
    let txn = shop.team(2).begin().await.unwrap();
    assert_eq!(campaign::Entity::find().all(&txn).await.unwrap(), []);
    assert_eq!(event::Entity::find().count(&txn).await.unwrap(), 0);
    // By its key it is not there either.
    let mut active = saved.into_active_model();
    active.name = Set("Stolen".to_owned());
    assert!(matches!(active.update(&txn).await, Err(DbErr::RecordNotUpdated)));
    drop(txn);
    assert!(insert(&shop.team(2), 1, "b").await.is_err());
    let log = shop.owner.log().await;
    assert_eq!(log.iter().map(|event| event.team_id.as_str()).collect::<Vec<_>>(), ["1"]);
    shop.close().await;
}

async fn reads_and_streams_are_of_the_connections_team(db: Arc<TestDb>) {
    let shop = Shop::open(db).await;
    for (team, key) in [(1, "a"), (1, "b"), (1, "c"), (2, "d")] {
        insert(&shop.team(team), team, key).await.unwrap();
    }
    for _ in 0..20 {
        for (team, count) in [(1, 3), (2, 1), (3, 0)] {
            let db = shop.team(team);
            assert_eq!(campaign::Entity::find().all(&db).await.unwrap().len(), count);
            let rows = db.stream(&sea_orm::QueryTrait::into_query(event::Entity::find())).await.unwrap();
            let rows: Vec<_> = rows.collect().await;
            assert_eq!(rows.len(), count);
            // One that is not read to its end gives its connection back.
            let mut rows = db.stream(&sea_orm::QueryTrait::into_query(event::Entity::find())).await.unwrap();
            assert_eq!(rows.next().await.is_some(), count > 0);
        }
    }
    let connection = shop.team(1);
    let error = connection.stream_raw(sea_orm::Statement::from_string(
        sea_orm::DbBackend::Postgres,
        "SELECT 1 / (count(*) - 3) FROM events",
    ));
    let rows: Vec<_> = error.await.unwrap().collect().await;
    assert!(matches!(rows.as_slice(), [Err(DbErr::Query(_))]), "{rows:?}");
    shop.close().await;
}

async fn without_a_team_nothing_is_shown(db: Arc<TestDb>) {
    let shop = Shop::open(db).await;
    insert(&shop.team(1), 1, "a").await.unwrap();
    let nobody = shop.events.connection(Context::default());
    assert_eq!(event::Entity::find().count(&nobody).await.unwrap(), 0);
    assert_eq!(event::Entity::find().count(&shop.pool).await.unwrap(), 0);
    // Nor what somebody has left to the session.
    let shared = shop.pool_of_one().await;
    shared.execute_unprepared("SET shop.tenant = '1'").await.unwrap();
    assert_eq!(event::Entity::find().count(&shared).await.unwrap(), 1);
    let events = Shop::builder(&shared).build().await.unwrap();
    assert_eq!(event::Entity::find().count(&events.connection(Context::default())).await.unwrap(), 0);
    let new_team = events.begin(Context::new_team()).await.unwrap();
    assert_eq!(event::Entity::find().count(&new_team).await.unwrap(), 0);
    new_team.rollback().await.unwrap();
    shared.close().await.unwrap();
    let refused = nobody.begin().await.unwrap_err();
    assert!(matches!(Refused::of(&refused), Some(Refused::NoTeam)), "{refused}");
    let single = Shop::builder(&shop.pool).single_team("1").build().await.unwrap();
    let db = single.connection(Context::default());
    assert_eq!(event::Entity::find().count(&db).await.unwrap(), 1);
    assert_eq!(event::Entity::find().count(&db.begin().await.unwrap()).await.unwrap(), 1);
    shop.close().await;
}

async fn a_new_team_is_told_as_soon_as_it_is_made(db: Arc<TestDb>) {
    let shop = Shop::open(db).await;
    let txn = shop.events.begin(Context::new_team().actor("ada")).await.unwrap();
    let nested = txn.begin().await.unwrap();
    let tenant = tenant::ActiveModel { name: Set("Acme".to_owned()), ..Default::default() };
    let tenant = tenant.insert(&nested).await.unwrap();
    nested.commit().await.unwrap();
    campaign(tenant.id, "a").insert(&txn).await.unwrap();
    txn.commit().await.unwrap();
    let own = tenant.id.to_string();
    assert!(shop.owner.log().await.iter().all(|event| event.team_id == own));

    // A savepoint that is rolled back takes team and setting with it.
    let txn = shop.events.begin(Context::new_team().actor("ada")).await.unwrap();
    let nested = txn.begin().await.unwrap();
    let lost = tenant::ActiveModel { name: Set("Lost".to_owned()), ..Default::default() };
    lost.insert(&nested).await.unwrap();
    nested.rollback().await.unwrap();
    let kept = tenant::ActiveModel { name: Set("Kept".to_owned()), ..Default::default() };
    let kept = kept.insert(&txn).await.unwrap();
    txn.emit(Event::custom("signed_up").about(&kept)).await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(shop.owner.log().await.len(), 4);

    let before = shop.pool.begin().await.unwrap();
    let scope = shop.events.scope(Context::new_team().actor("ada"), async {
        let tenant = tenant::ActiveModel { name: Set("Scoped".to_owned()), ..Default::default() };
        let tenant = tenant.insert(&before).await?;
        campaign(tenant.id, "b").insert(&before).await
    });
    scope.await.unwrap().unwrap();
    before.commit().await.unwrap();
    assert_eq!(shop.owner.log().await.len(), 6);
    shop.close().await;
}

async fn a_rolled_back_savepoint_keeps_the_team(db: Arc<TestDb>) {
    let shop = Shop::open(db).await;
    let connection = shop.team(1);
    let txn = connection.begin().await.unwrap();
    campaign(1, "a").insert(&txn).await.unwrap();
    let nested = txn.begin().await.unwrap();
    assert!(nested.execute_unprepared("SELECT 1 / 0").await.is_err());
    nested.rollback().await.unwrap();
    assert_eq!(campaign::Entity::find().count(&txn).await.unwrap(), 1);
    campaign(1, "b").insert(&txn).await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(event::Entity::find().count(&connection).await.unwrap(), 2);
    shop.close().await;
}

async fn scopes_tell_the_team_with_each_save(db: Arc<TestDb>) {
    let shop = Shop::open(db).await;
    let work = async {
        let txn = shop.pool.begin().await?;
        let saved = campaign(1, "a").insert(&txn).await?;
        let savepoint = txn.begin().await?;
        campaign(1, "b").insert(&savepoint).await?;
        savepoint.rollback().await?;
        let mut active = saved.into_active_model();
        active.name = Set("Summer".to_owned());
        active.update(&txn).await?;
        txn.commit().await?;
        let txn = shop.pool.begin().await?;
        let other = campaign(2, "c").insert(&txn).await;
        assert!(matches!(Refused::of(&other.unwrap_err()), Some(Refused::OtherTeam { .. })));
        txn.rollback().await
    };
    shop.events.scope(Context::team(1), work).await.unwrap().unwrap();
    assert_eq!(shop.owner.log().await.len(), 2);

    // On the pool the setting would be lost before the save.
    let on_pool = Shop::builder(&shop.pool).scope_on_pool(true).build().await.unwrap();
    let refused = on_pool.scope(Context::team(1), campaign(1, "d").insert(&shop.pool)).await.unwrap();
    assert!(matches!(Refused::of(&refused.unwrap_err()), Some(Refused::NotATransaction { .. })));
    shop.close().await;
}

async fn all_teams_take_a_role(db: Arc<TestDb>) {
    let shop = Shop::open(db).await;
    insert(&shop.team(1), 1, "a").await.unwrap();
    insert(&shop.team(2), 2, "b").await.unwrap();
    let context = || Context::all_teams("job:nightly", "nightly totals");
    let all = shop.events.connection(context());
    assert_eq!(event::Entity::find().count(&all).await.unwrap(), 2);
    let txn = all.begin().await.unwrap();
    for campaign in campaign::Entity::find().all(&txn).await.unwrap() {
        let mut active = campaign.into_active_model();
        active.budget = Set(5_000);
        active.update(&txn).await.unwrap();
    }
    txn.commit().await.unwrap();
    assert_eq!(event::Entity::find().count(&shop.team(1)).await.unwrap(), 2);
    // The role ends with the transaction.
    assert_eq!(event::Entity::find().count(&shop.pool).await.unwrap(), 0);

    let without = Shop::builder(&shop.pool).build().await.unwrap();
    let refused = without.begin(context()).await.unwrap_err();
    assert!(matches!(Refused::of(&refused), Some(Refused::NoAllTeamsRole)), "{refused}");
    let refused = event::Entity::find().count(&without.connection(context())).await.unwrap_err();
    assert!(matches!(Refused::of(&refused), Some(Refused::NoAllTeamsRole)), "{refused}");
    shop.close().await;
}

async fn a_lost_commit_is_found_out(db: Arc<TestDb>) {
    let shop = Shop::open(db).await;
    let txn = shop.team(1).begin().await.unwrap();
    let unit_id = txn.unit_id();
    campaign(1, "a").insert(&txn).await.unwrap();
    assert_eq!(shop.events.outcome_of(uuid::Uuid::now_v7()).await.unwrap(), Outcome::RolledBack);
    txn.commit().await.unwrap();
    assert_eq!(shop.events.outcome_of(unit_id).await.unwrap(), Outcome::Committed);
    assert_eq!(shop.owner.log().await.len(), 1);
    shop.close().await;
}

/// How many events its connection shows, and how many it was called with.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<(u64, usize)>>>);

impl Consumer<EventConnection> for Seen {
    fn handle<'a>(&'a self, db: &'a EventConnection, _: &'a Event) -> ConsumerFuture<'a> {
        Box::pin(async move {
            let shown = event::Entity::find().count(db).await?;
            let mut seen = self.0.lock().unwrap();
            let calls = seen.len() + 1;
            seen.push((shown, calls));
            Ok(())
        })
    }

    fn name(&self) -> String {
        "seen".to_owned()
    }
}

async fn after_commit_consumers_read_their_team(db: Arc<TestDb>) {
    let mut shop = Shop::open(db).await;
    insert(&shop.team(1), 1, "a").await.unwrap();
    let seen = Seen::default();
    let subscription = Subscription::after_commit(seen.clone());
    shop.events = Shop::builder(&shop.pool).subscribe(subscription).build().await.unwrap();
    insert(&shop.team(2), 2, "b").await.unwrap();
    shop.events.drain().await;
    assert_eq!(seen.0.lock().unwrap().as_slice(), [(1, 1)]);

    // So many that they are read back from the table.
    let txn = shop.team(2).begin().await.unwrap();
    let rows = (0..5_001).map(|n| campaign(2, &format!("key {n}")));
    campaign::Entity::insert_many_with_events(rows).exec(&txn).await.unwrap();
    txn.commit().await.unwrap();
    shop.events.drain().await;
    assert_eq!(seen.0.lock().unwrap().last(), Some(&(5_002, 5_002)));
    shop.close().await;
}

async fn captures_see_what_was_recorded(db: Arc<TestDb>) {
    let shop = Shop::open(db).await;
    let work = async {
        insert(&shop.team(1), 1, "a").await.unwrap();
        insert(&shop.team(2), 2, "b").await.unwrap();
    };
    let ((), recorded) = testing::capture(&shop.events, work).await.unwrap();
    assert_eq!(recorded.iter().map(|event| event.team_id.as_str()).collect::<Vec<_>>(), ["1", "2"]);
    shop.close().await;
}
