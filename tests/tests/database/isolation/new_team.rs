//! `Context::new_team()` as the application's role: it becomes the team that it makes, and no other.

use std::sync::Arc;

use events_sea_orm::{ActiveModelEvents, Context, EntityEvents, Event, Events, Refused};
use sea_orm::ConnectionTrait;
use sea_orm::{
    ActiveModelTrait, DatabaseConnection, EntityTrait, ModelTrait, Schema, Set, TransactionTrait, Unchanged,
};
use tests::{
    TestDb,
    entities::tenant,
    roles::{TestRoles, quoted, run},
};

use crate::isolation::{as_team, isolated};

tests::on_postgres! {
    a_team_is_made_where_the_teams_have_policies,
    no_team_that_is_there_is_had_by_its_key,
}

/// A tenant whose key the application chooses.
mod shop {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "shops")]
    #[tracked(object_type = "shop", team = "id")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        #[track]
        pub name: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

async fn set_up(db: &TestDb) -> (TestRoles, DatabaseConnection, Events) {
    let roles = isolated(db).await;
    db.db
        .execute(&Schema::new(sea_orm::DbBackend::Postgres).create_table_from_entity(shop::Entity))
        .await
        .unwrap();
    run(&db.db, "ALTER TABLE shops ALTER COLUMN id SET DEFAULT gen_random_uuid()").await;
    let app = quoted(&roles.app);
    for table in ["tenants", "shops"] {
        roles.roles().team_policies(table, "id").up(&db.db).await.unwrap();
        run(&db.db, &format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {app}")).await;
    }
    // The key that the database makes is drawn before the row is there.
    run(&db.db, &format!("GRANT USAGE ON SEQUENCE tenants_id_seq TO {app}")).await;
    let pool = db.open_as(&roles.app, 2).await;
    let events = Events::builder(pool.clone()).build().await.unwrap();
    (roles, pool, events)
}

fn acme() -> tenant::ActiveModel {
    tenant::ActiveModel { name: Set("acme".to_owned()), ..Default::default() }
}

async fn a_team_is_made_where_the_teams_have_policies(db: Arc<TestDb>) {
    let (_, pool, events) = set_up(&db).await;
    let mut teams = Vec::new();
    // A number, and a key that the table makes.
    let txn = events.begin(Context::new_team().actor("ada")).await.unwrap();
    let made = acme().insert(&txn).await.unwrap();
    txn.emit(Event::custom("signed_up").about(&made)).await.unwrap();
    assert_eq!(tenant::Entity::find().all(&txn).await.unwrap(), std::slice::from_ref(&made));
    txn.commit().await.unwrap();
    teams.extend([made.id.to_string(), made.id.to_string()]);
    let unnamed = shop::ActiveModel { name: Set("corner".to_owned()), ..Default::default() };
    let made = unnamed.create_with_event(&events.connection(Context::new_team())).await.unwrap();
    teams.push(made.id.to_string());
    // A key that the application chose.
    let id = uuid::Uuid::now_v7();
    let txn = events.begin(Context::new_team()).await.unwrap();
    let named = shop::ActiveModel { id: Set(id), name: Set("market".to_owned()) };
    named.insert(&txn).await.unwrap();
    txn.commit().await.unwrap();
    teams.push(id.to_string());
    // In a savepoint that is rolled back it takes its team with it.
    let txn = events.begin(Context::new_team()).await.unwrap();
    let nested = txn.begin().await.unwrap();
    acme().insert(&nested).await.unwrap();
    nested.rollback().await.unwrap();
    assert_eq!(tenant::Entity::find().all(&txn).await.unwrap(), []);
    assert!(txn.emit(Event::custom("x")).await.is_err());
    let kept = acme().insert(&txn).await.unwrap();
    txn.commit().await.unwrap();
    teams.push(kept.id.to_string());
    // In a scope.
    let scope = events.scope(Context::new_team(), async {
        let txn = pool.begin().await.unwrap();
        let made = acme().insert(&txn).await.unwrap();
        assert_eq!(tenant::Entity::find().all(&txn).await.unwrap(), std::slice::from_ref(&made));
        txn.commit().await.unwrap();
        made.id
    });
    teams.push(scope.await.unwrap().to_string());
    assert_eq!(db.log().await.into_iter().map(|row| row.team_id).collect::<Vec<_>>(), teams);
    assert_eq!(as_team(&pool, &teams[0], "SELECT * FROM tenants").await.unwrap(), 1);
    pool.close().await.unwrap();
}

async fn no_team_that_is_there_is_had_by_its_key(db: Arc<TestDb>) {
    let (_, pool, events) = set_up(&db).await;
    let txn = events.begin(Context::new_team()).await.unwrap();
    let theirs = acme().insert(&txn).await.unwrap();
    txn.emit(Event::custom("secret")).await.unwrap();
    txn.commit().await.unwrap();
    let row = || tenant::ActiveModel { id: Unchanged(theirs.id), name: Set("eve's".to_owned()) };
    let taken = || tenant::ActiveModel { id: Set(theirs.id), name: Set("eve's".to_owned()) };
    let keep = sea_orm::sea_query::OnConflict::column(tenant::Column::Id).do_nothing().to_owned();
    for way in 0..7 {
        let txn = events.begin(Context::new_team().actor("eve")).await.unwrap();
        let nested = txn.begin().await.unwrap();
        let failed = match way {
            0 => row().update(&nested).await.is_err(),
            1 => row().update_without_returning(&nested).await.is_err(),
            2 => row().delete(&nested).await.is_err(),
            3 => theirs.clone().delete(&nested).await.is_err(),
            4 => taken().insert(&nested).await.is_err(),
            5 => tenant::Entity::insert_many_with_events([taken()]).exec(&nested).await.is_err(),
            // Under the policies it is not there for this unit: nothing is inserted, and no team made.
            _ => {
                tenant::Entity::insert_many_with_events([taken()])
                    .on_conflict(keep.clone())
                    .exec_without_returning(&nested)
                    .await
                    .unwrap_or(0)
                    == 0
            }
        };
        assert!(failed, "{way}");
        nested.rollback().await.unwrap();
        for sql in ["SELECT * FROM tenants", "SELECT * FROM events"] {
            let rows = txn
                .query_all_raw(sea_orm::Statement::from_string(sea_orm::DbBackend::Postgres, sql))
                .await
                .unwrap();
            assert_eq!(rows.len(), 0, "{way}: {sql}");
        }
        let error = txn.emit(Event::custom("x")).await.unwrap_err();
        assert!(matches!(Refused::of(&error), Some(Refused::UnknownTeam { .. })), "{way}: {error}");
        txn.rollback().await.unwrap();
        // The same without a savepoint: the unit is over, and leaves nothing to whoever has the connection next.
        let txn = events.begin(Context::new_team().actor("eve")).await.unwrap();
        let _ = taken().insert(&txn).await;
        let _ = txn.commit().await;
        assert_eq!(as_team(&pool, "", "SELECT * FROM events").await.unwrap(), 0, "{way}");
    }
    assert_eq!(tenant::Entity::find().all(&db.db).await.unwrap(), [theirs]);
    assert_eq!(db.log().await.len(), 2);
    pool.close().await.unwrap();
}
