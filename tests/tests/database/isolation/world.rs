//! Teams that use everything there is: tracked rows, events, threads, notifications and counts. On PostgreSQL through the role
//! of an application.

use std::sync::{Arc, Mutex};

use events_sea_orm::{
    Consumer, ConsumerError, ConsumerFuture, Context, Event, EventConnection, EventTransaction, Events,
    EventsBuilder, Subscription, Tracked,
    analytics::DailyCounts,
    event,
    migration::isolation::Roles,
    notifications::Notifications,
    threads::{Thread, Threads},
};
use sea_orm::{
    ActiveModelTrait, ConnectionTrait, DatabaseConnection, DbBackend, DbErr, EntityTrait, IntoActiveModel,
    Schema, Set, TransactionTrait,
};
use tests::{
    TestDb,
    roles::{TestRoles, quoted, run},
};

/// A tracked row with a thread of its own.
pub mod deal {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "deals")]
    #[tracked(object_type = "deal", team = "team_id", thread = "self")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub team_id: String,
        #[track]
        pub name: String,
        #[track(state)]
        pub status: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

pub const A: &str = "team-alpha";
pub const B: &str = "team-beta";

/// A text that only this team has. It stands in every place where a team may write one.
pub fn secret(team: &str) -> String {
    format!("secret of {team}")
}

/// What a text must not say to anybody else.
#[track_caller]
pub fn says_nothing_of(team: &str, text: &str) {
    assert!(!text.contains(team), "tells of {team}: {text}");
}

pub struct World {
    pub db: Arc<TestDb>,
    /// What the application connects with.
    pub pool: DatabaseConnection,
    pub events: Events,
    pub roles: Option<TestRoles>,
    pub seen: Seen,
}

/// What after-commit consumers saw through their connection: their team, and all that it showed.
#[derive(Clone, Default)]
pub struct Seen(pub Arc<Mutex<Vec<(String, String)>>>);

impl Consumer<EventConnection> for Seen {
    fn handle<'a>(&'a self, db: &'a EventConnection, event: &'a Event) -> ConsumerFuture<'a> {
        Box::pin(async move {
            let shown = db.feed().all().await?;
            self.0.lock().unwrap().push((event.team_id.clone(), format!("{shown:?}")));
            Ok(())
        })
    }

    fn name(&self) -> String {
        "seen".to_owned()
    }
}

/// One user of each team hears of everything.
async fn everybody(_: &EventTransaction, _: &Event) -> Result<Vec<String>, ConsumerError> {
    Ok(vec!["user".to_owned()])
}

impl World {
    pub async fn open(db: Arc<TestDb>) -> Self {
        Self::open_with(db, 4).await
    }

    /// With so many connections.
    pub async fn open_with(db: Arc<TestDb>, connections: u32) -> Self {
        crate::isolation::with_all_tables(&db).await;
        let backend = db.db.get_database_backend();
        db.db.execute(&Schema::new(backend).create_table_from_entity(deal::Entity)).await.unwrap();
        let (pool, roles) = match backend {
            DbBackend::Postgres => {
                let roles = TestRoles::create(&db).await;
                events_sea_orm::migration::isolation::up(&db.db, &roles.roles()).await.unwrap();
                own_tables(&db, &roles.roles(), &[&roles.app, &roles.delivery]).await;
                (db.open_as(&roles.app, connections).await, Some(roles))
            }
            _ => (db.db.clone(), None),
        };
        let seen = Seen::default();
        let events = Self::builder(&pool, roles.as_ref(), &seen).build().await.unwrap();
        Self { db, pool, events, roles, seen }
    }

    fn builder(pool: &DatabaseConnection, roles: Option<&TestRoles>, seen: &Seen) -> EventsBuilder {
        let builder = Events::builder(pool.clone())
            .without_registered_consumers()
            .consumer(Threads::new())
            .consumer(Notifications::new(everybody))
            .consumer(DailyCounts)
            .subscribe(Subscription::after_commit(seen.clone()));
        match roles {
            Some(roles) => builder.all_teams_role(&roles.delivery),
            None => builder,
        }
    }

    /// The same world, asked over one connection by way of this URL.
    pub async fn by_way_of(self, url: &str) -> Self {
        self.pool.close_by_ref().await.unwrap();
        let pool = TestDb::open_with(url, 1).await;
        let events = Self::builder(&pool, self.roles.as_ref(), &self.seen).build().await.unwrap();
        Self { pool, events, ..self }
    }

    /// Whether the database itself keeps teams apart.
    pub fn is_isolated(&self) -> bool {
        self.roles.is_some()
    }

    pub fn team(&self, team: &str) -> EventConnection {
        self.events.connection(Context::team(team).actor("writer").reason(secret(team)))
    }

    /// A deal of this team with all that follows from it.
    pub async fn fill(&self, team: &str) -> deal::Model {
        let deal = self.deal(team).await.unwrap();
        let db = self.team(team);
        Thread::of(team, deal.object()).post(&db, secret(team)).await.unwrap();
        let inbox = events_sea_orm::notifications::Inbox::of(team, "user");
        inbox.set_preference(&db, events_sea_orm::notifications::Topic::everything(), true).await.unwrap();
        deal
    }

    async fn deal(&self, team: &str) -> Result<deal::Model, DbErr> {
        let txn = self.team(team).begin().await?;
        let deal = deal::ActiveModel {
            team_id: Set(team.to_owned()),
            name: Set(secret(team)),
            status: Set("open".to_owned()),
            ..Default::default()
        };
        let deal = deal.insert(&txn).await?;
        let mut active = deal.into_active_model();
        active.status = Set("won".to_owned());
        let deal = active.update(&txn).await?;
        txn.emit(Event::custom("noted").about(&deal).data(&secret(team)).unwrap()).await?;
        txn.commit().await?;
        Ok(deal)
    }

    /// All rows of a team, as the administrator sees them.
    pub async fn all_of(&self, team: &str) -> String {
        use events_sea_orm::{
            analytics::daily_count,
            notifications::{notification, preference},
            threads::{message, thread},
        };
        use sea_orm::{ColumnTrait, QueryFilter};
        let db = &self.db.db;
        format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {:?}",
            event::Entity::find().filter(event::Column::TeamId.eq(team)).all(db).await.unwrap(),
            deal::Entity::find().filter(deal::Column::TeamId.eq(team)).all(db).await.unwrap(),
            thread::Entity::find().filter(thread::Column::TeamId.eq(team)).all(db).await.unwrap(),
            message::Entity::find().filter(message::Column::TeamId.eq(team)).all(db).await.unwrap(),
            notification::Entity::find().filter(notification::Column::TeamId.eq(team)).all(db).await.unwrap(),
            preference::Entity::find().filter(preference::Column::TeamId.eq(team)).all(db).await.unwrap(),
            daily_count::Entity::find().filter(daily_count::Column::TeamId.eq(team)).all(db).await.unwrap(),
        )
    }

    pub async fn close(self) {
        self.events.shutdown(std::time::Duration::from_secs(10)).await.unwrap();
        if self.is_isolated() {
            self.pool.close_by_ref().await.unwrap();
        }
    }
}

/// The policies of the application's own table, and the rights that it needs.
async fn own_tables(db: &TestDb, roles: &Roles, grantees: &[&str]) {
    roles.team_policies("deals", "team_id").up(&db.db).await.unwrap();
    for role in grantees {
        let role = quoted(role);
        run(&db.db, &format!("GRANT SELECT, INSERT, UPDATE, DELETE ON deals TO {role}")).await;
        run(&db.db, &format!("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}")).await;
    }
    // Those of the event log are not the application's.
    events_sea_orm::migration::isolation::up(&db.db, roles).await.unwrap();
}
