//! A real workload: the Sakila rental chain through tracked saves, eight tasks at once, the store as the team. A fold
//! over the events alone must give the tables back.
//!
//! `EVENTS_SAKILA_DIR` names the folder with the CSV files; without it the test says that it skipped.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::Arc,
    time::Instant,
};

use events_sea_orm::{Context, EntityEvents, Events, Tracked, event};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, ExprTrait, IntoActiveModel,
    PaginatorTrait, QueryFilter, QueryOrder, Set, prelude::*, sea_query::Expr,
};
use serde_json::Value as Json;
use tests::TestDb;

tests::conformance! { events_rebuild_the_tables }

mod rental {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "rental")]
    #[tracked(team = "store_id", all)]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub rental_id: i32,
        pub store_id: i32,
        pub rental_date: DateTime,
        pub inventory_id: i32,
        pub customer_id: i32,
        pub return_date: Option<DateTime>,
        pub staff_id: i32,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

mod payment {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "payment")]
    #[tracked(team = context, all)]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub payment_id: i32,
        pub customer_id: i32,
        pub staff_id: i32,
        pub rental_id: i32,
        // SQLite has no decimals: its column is a float, which would write 4.99 in its own way.
        #[sea_orm(column_type = "String(StringLen::N(16))")]
        pub amount: String,
        pub payment_date: DateTime,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

mod staff {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "staff")]
    #[tracked(team = "store_id", all)]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub staff_id: i32,
        pub store_id: i32,
        pub username: String,
        pub email: String,
        pub active: bool,
        #[track(redact)]
        pub password: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

mod film_actor {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "film_actor")]
    #[tracked(team = context, all)]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub actor_id: i32,
        #[sea_orm(primary_key, auto_increment = false)]
        pub film_id: i32,
        pub last_update: DateTime,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

type Row = HashMap<String, String>;

/// Each customer's rentals and payments.
type Customers = BTreeMap<i32, (Vec<Row>, Vec<Row>)>;

fn read(name: &str) -> Vec<Row> {
    let folder = PathBuf::from(std::env::var_os("EVENTS_SAKILA_DIR").expect("checked before"));
    let mut reader = csv::Reader::from_path(folder.join(format!("{name}.csv"))).expect("a CSV file");
    reader.deserialize().map(|row| row.expect("a row")).collect()
}

fn int(row: &Row, name: &str) -> i32 {
    row[name].parse().expect("a number")
}

fn time(row: &Row, name: &str) -> Option<DateTime> {
    let text = &row[name];
    (!text.is_empty()).then(|| DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").expect("a time"))
}

async fn events_rebuild_the_tables(db: Arc<TestDb>) {
    if std::env::var_os("EVENTS_SAKILA_DIR").is_none() {
        eprintln!("!! events_rebuild_the_tables SKIPPED: EVENTS_SAKILA_DIR is not set");
        return;
    }
    events_sea_orm::migration::up(&db.db).await.unwrap();
    let schema = sea_orm::Schema::new(db.db.get_database_backend());
    for table in [
        schema.create_table_from_entity(rental::Entity),
        schema.create_table_from_entity(payment::Entity),
        schema.create_table_from_entity(staff::Entity),
        schema.create_table_from_entity(film_actor::Entity),
    ] {
        db.db.execute(&table).await.unwrap();
    }
    let events = Events::builder(db.db.clone()).build().await.unwrap();
    let stores: HashMap<i32, i32> =
        read("inventory").iter().map(|row| (int(row, "inventory_id"), int(row, "store_id"))).collect();

    // A customer's rentals and payments are one task's, so that their order is the file's.
    let mut work: Vec<Customers> = vec![Customers::new(); 8];
    for row in read("rental") {
        let customer = int(&row, "customer_id");
        work[customer as usize % 8].entry(customer).or_default().0.push(row);
    }
    for row in read("payment") {
        let customer = int(&row, "customer_id");
        work[customer as usize % 8].entry(customer).or_default().1.push(row);
    }
    let start = Instant::now();
    let mut saves = 0;
    let secrets: Vec<String> = read("staff").iter().map(|row| row["password"].clone()).collect();
    for row in read("staff") {
        let txn = events.begin(Context::team(int(&row, "store_id"))).await.unwrap();
        let active = staff::ActiveModel {
            staff_id: Set(int(&row, "staff_id")),
            store_id: Set(int(&row, "store_id")),
            username: Set(row["username"].clone()),
            email: Set(row["email"].clone()),
            active: Set(row["active"] == "t"),
            password: Set(row["password"].clone()),
        };
        let mut active = active.insert(&txn).await.unwrap().into_active_model();
        active.password = Set(format!("new-{}", row["password"]));
        active.update(&txn).await.unwrap();
        txn.commit().await.unwrap();
        saves += 2;
    }
    let links = read("film_actor");
    for links in links.chunks(500) {
        let txn = events.begin(Context::team("catalogue")).await.unwrap();
        for row in links {
            let active = film_actor::ActiveModel {
                actor_id: Set(int(row, "actor_id")),
                film_id: Set(int(row, "film_id")),
                last_update: Set(time(row, "last_update").unwrap()),
            };
            active.insert(&txn).await.unwrap();
            saves += 1;
        }
        txn.commit().await.unwrap();
    }
    let mut tasks = tokio::task::JoinSet::new();
    for customers in work {
        let (events, stores) = (events.clone(), stores.clone());
        tasks.spawn(async move {
            let mut saves = 0;
            for (customer, (rentals, payments)) in customers {
                saves += rent(&events, &stores, customer, &rentals).await;
                saves += pay(&events, customer, &payments).await;
            }
            saves
        });
    }
    while let Some(task) = tasks.join_next().await {
        saves += task.unwrap();
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{:?}: {saves} tracked saves, {:.0} a second",
        db.db.get_database_backend(),
        f64::from(saves) / seconds
    );

    compare::<rental::Entity>(&db).await;
    compare::<payment::Entity>(&db).await;
    double_the_payments(&db, &events).await;
    compare::<payment::Entity>(&db).await;
    delete_the_rentals_of_a_store(&db, &events).await;
    compare::<rental::Entity>(&db).await;
    compare::<staff::Entity>(&db).await;
    compare::<film_actor::Entity>(&db).await;
    for row in db.log().await {
        let shown = format!("{row:?}");
        assert!(secrets.iter().all(|secret| !shown.contains(secret)), "{shown}");
    }
}

/// Each rental is created; the returned ones are updated, all rentals of a store in one unit.
async fn rent(events: &Events, stores: &HashMap<i32, i32>, customer: i32, rentals: &[Row]) -> i32 {
    let mut saves = 0;
    for store in [1, 2] {
        let txn = events.begin(Context::team(store).actor(customer)).await.unwrap();
        for row in rentals.iter().filter(|row| stores[&int(row, "inventory_id")] == store) {
            let active = rental::ActiveModel {
                rental_id: Set(int(row, "rental_id")),
                store_id: Set(store),
                rental_date: Set(time(row, "rental_date").unwrap()),
                inventory_id: Set(int(row, "inventory_id")),
                customer_id: Set(customer),
                return_date: Set(None),
                staff_id: Set(int(row, "staff_id")),
            };
            let model = active.insert(&txn).await.unwrap();
            saves += 1;
            if let Some(returned) = time(row, "return_date") {
                let mut active = model.into_active_model();
                active.return_date = Set(Some(returned));
                active.update(&txn).await.unwrap();
                saves += 1;
            }
        }
        txn.commit().await.unwrap();
    }
    saves
}

/// A customer's payments, in one unit.
async fn pay(events: &Events, customer: i32, payments: &[Row]) -> i32 {
    let txn = events.begin(Context::team("till").actor(customer)).await.unwrap();
    for row in payments {
        let active = payment::ActiveModel {
            payment_id: Set(int(row, "payment_id")),
            customer_id: Set(customer),
            staff_id: Set(int(row, "staff_id")),
            rental_id: Set(int(row, "rental_id")),
            amount: Set(row["amount"].clone()),
            payment_date: Set(time(row, "payment_date").unwrap()),
        };
        active.insert(&txn).await.unwrap();
    }
    txn.commit().await.unwrap();
    payments.len() as i32
}

/// One tracked `update_many` over all payments, which are the till's.
async fn double_the_payments(db: &TestDb, events: &Events) {
    let backend = db.db.get_database_backend();
    let text = match backend {
        DbBackend::MySql => "char", // it knows no cast to `text`
        _ => "text",                // `char` is one character to PostgreSQL
    };
    let doubled = Expr::col(payment::Column::Amount).cast_as("decimal(10, 2)").mul(2).cast_as(text);
    let start = Instant::now();
    let updated = payment::Entity::update_many_with_events()
        .col_expr(payment::Column::Amount, doubled)
        .exec(&events.connection(Context::team("till").actor("audit")))
        .await
        .unwrap();
    let rate = updated.rows_affected as f64 / start.elapsed().as_secs_f64();
    println!("{backend:?}: update_many of {} payments, {rate:.0} rows a second", updated.rows_affected);
    assert_eq!(updated.rows_affected, payment::Entity::find().count(&db.db).await.unwrap());
    let free = payment::Entity::find().filter(payment::Column::Amount.is_in(["0", "0.0", "0.00"]));
    let changed = event::Entity::find().filter(event::Column::EventType.eq("UPDATED"));
    let changed = changed.filter(event::Column::ObjectType.eq("payment")).count(&db.db).await.unwrap();
    // What costs nothing costs nothing twice, but `0` may be `0.00` in other digits.
    assert!(updated.rows_affected - free.count(&db.db).await.unwrap() <= changed);
}

/// One tracked `delete_many` of the rentals of a store. No foreign key holds on to them.
async fn delete_the_rentals_of_a_store(db: &TestDb, events: &Events) {
    let of_store = |store: i32| rental::Entity::find().filter(rental::Column::StoreId.eq(store));
    let [going, staying] =
        [of_store(1).count(&db.db).await.unwrap(), of_store(2).count(&db.db).await.unwrap()];
    // The store is the team, and the team is part of every filter.
    let delete = rental::Entity::delete_many_with_events().reason("the store closed");
    let connection = events.connection(Context::team(1).actor("audit"));
    let start = Instant::now();
    let deleted = delete.exec(&connection).await.unwrap().rows_affected;
    let rate = deleted as f64 / start.elapsed().as_secs_f64();
    let backend = db.db.get_database_backend();
    println!("{backend:?}: delete_many of {deleted} rentals, {rate:.0} rows a second");
    assert_eq!((deleted, rental::Entity::find().count(&db.db).await.unwrap()), (going, staying));
}

/// The table as it is, and as the events alone tell it.
async fn compare<E: EntityTrait>(db: &TestDb)
where
    E::Model: Tracked,
{
    let rows = E::find().all(&db.db).await.unwrap();
    let table: BTreeMap<String, BTreeMap<String, Json>> =
        rows.iter().map(|row| (row.object().object_id, row.snapshot().unwrap())).collect();
    let definition = <E::Model as Tracked>::definition();
    let log = event::Entity::find().filter(event::Column::ObjectType.eq(definition.object_type()));
    let log = log.order_by_asc(event::Column::Seq).all(&db.db).await.unwrap();
    let mut folded: BTreeMap<String, BTreeMap<String, Json>> = BTreeMap::new();
    for row in log {
        let id = row.object_id.expect("an object");
        match row.event_type.as_str() {
            "CREATED" => {
                let values = row.event_data["initial_values"].as_object().unwrap();
                folded.insert(id, values.clone().into_iter().collect());
            }
            "UPDATED" => {
                let object = folded.get_mut(&id).expect("created before it changed");
                for (name, change) in row.event_data["changes"].as_object().unwrap() {
                    assert_eq!(object[name], change["old"]);
                    object.insert(name.clone(), change["new"].clone());
                }
            }
            "DELETED" => {
                let values = row.event_data["final_values"].as_object().unwrap();
                let object = folded.remove(&id).expect("created before it went");
                assert_eq!(object, values.clone().into_iter().collect());
            }
            other => panic!("{other}"),
        }
    }
    assert!(!table.is_empty());
    assert_eq!(folded, table, "{}", definition.table());
}
