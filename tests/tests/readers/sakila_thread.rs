//! A customer's thread over real rentals: the Sakila sample database. `EVENTS_SAKILA_DIR` names the folder with the CSV
//! files; without it the test says that it skipped.

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use events_sea_orm::{
    ActiveModelEvents, ConsumerError, Context, EventTransaction, Events, migration,
    threads::{Thread, Threads},
};
use sea_orm::{ConnectionTrait, IntoActiveModel, Set, prelude::*};
use tests::TestDb;

tests::conformance! { a_customers_thread_reads_well }

mod customer {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "clients")]
    #[tracked(object_type = "client", team = "store_id", thread = "self")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub customer_id: i32,
        pub store_id: i32,
        #[track]
        pub first_name: String,
        #[track(redact, label = "e-mail address")]
        pub email: String,
        #[track(state)]
        pub active: bool,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

mod rental {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "loans")]
    #[tracked(object_type = "loan", team = "store_id", thread(object_type = "client", id = "customer_id"))]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub rental_id: i32,
        pub store_id: i32,
        pub customer_id: i32,
        #[track]
        pub film: String,
        #[track(label = "return date")]
        pub return_date: Option<DateTime>,
        #[track(label = "late fee", format = "number")]
        pub fee: Option<i32>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

/// Whose names the actors have. Not tracked.
mod staff {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "staff")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        pub name: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

async fn names(txn: &EventTransaction, ids: &[String]) -> Result<HashMap<String, String>, ConsumerError> {
    let known = staff::Entity::find().filter(staff::Column::Id.is_in(ids.iter().map(String::as_str)));
    Ok(known.all(txn).await?.into_iter().map(|person| (person.id, person.name)).collect())
}

type Row = HashMap<String, String>;

fn read(name: &str) -> Vec<Row> {
    let folder = PathBuf::from(std::env::var_os("EVENTS_SAKILA_DIR").expect("checked before"));
    let mut reader = csv::Reader::from_path(folder.join(format!("{name}.csv"))).expect("a CSV file");
    reader.deserialize().map(|row| row.expect("a row")).collect()
}

fn int(row: &Row, name: &str) -> i32 {
    row[name].parse().expect("a number")
}

async fn a_customers_thread_reads_well(db: Arc<TestDb>) {
    if std::env::var_os("EVENTS_SAKILA_DIR").is_none() {
        eprintln!("!! a_customers_thread_reads_well SKIPPED: EVENTS_SAKILA_DIR is not set");
        return;
    }
    migration::up(&db.db).await.unwrap();
    migration::threads::up(&db.db).await.unwrap();
    let threads = Threads::new().actor_names(names);
    let events = Events::builder(db.db.clone()).consumer(threads).build().await.unwrap();
    let schema = sea_orm::Schema::new(db.db.get_database_backend());
    for table in [
        schema.create_table_from_entity(customer::Entity),
        schema.create_table_from_entity(rental::Entity),
        schema.create_table_from_entity(staff::Entity),
    ] {
        db.db.execute(&table).await.unwrap();
    }
    for row in read("staff") {
        let person = staff::ActiveModel {
            id: Set(row["staff_id"].clone()),
            name: Set(format!("{} {}", row["first_name"], row["last_name"])),
        };
        person.insert(&db.db).await.unwrap();
    }
    let films: HashMap<String, String> =
        read("film").into_iter().map(|row| (row["film_id"].clone(), row["title"].clone())).collect();
    let inventory: HashMap<String, (String, i32)> = read("inventory")
        .into_iter()
        .map(|row| (row["inventory_id"].clone(), (films[&row["film_id"]].clone(), int(&row, "store_id"))))
        .collect();
    let row = read("customer").into_iter().find(|row| row["customer_id"] == "148").unwrap();
    let store = int(&row, "store_id");
    let by = |staff: &str| events.connection(Context::team(store).actor(staff));
    let client = customer::ActiveModel {
        customer_id: Set(148),
        store_id: Set(store),
        first_name: Set(row["first_name"].clone()),
        email: Set(row["email"].clone()),
        active: Set(true),
    };
    let client = client.create_with_event(&by("1")).await.unwrap();
    let mut rentals: Vec<Row> = read("rental")
        .into_iter()
        .filter(|row| row["customer_id"] == "148" && inventory[&row["inventory_id"]].1 == store)
        .collect();
    rentals.sort_by_key(|row| row["rental_date"].clone());
    let count = rentals.len();
    for row in rentals {
        let loan = rental::ActiveModel {
            rental_id: Set(int(&row, "rental_id")),
            store_id: Set(store),
            customer_id: Set(148),
            film: Set(inventory[&row["inventory_id"]].0.clone()),
            return_date: Set(None),
            fee: Set(None),
        };
        let loan = loan.create_with_event(&by(&row["staff_id"])).await.unwrap();
        let mut active = loan.into_active_model();
        let returned = DateTime::parse_from_str(&row["return_date"], "%Y-%m-%d %H:%M:%S").unwrap();
        active.return_date = Set(Some(returned));
        if returned.format("%u").to_string() == "7" {
            active.fee = Set(Some(1250));
        }
        active.update_with_event(&by("1")).await.unwrap();
    }
    let thread = Thread::of_row(store, &client).unwrap();
    thread.post(&by("2"), "She asks whether BREAKFAST is in.").await.unwrap();
    let mut active = client.into_active_model();
    active.email = Set("eleanor@example.org".to_owned());
    active.active = Set(false);
    active.update_with_event(&by("2")).await.unwrap();
    let messages = thread.messages().limit(1_000).all(&db.db).await.unwrap();
    assert_eq!(messages.len(), 1 + 2 * count + 1 + 2);
    for (i, message) in messages.iter().enumerate() {
        if i < 9 || i + 5 > messages.len() {
            println!("{:>3}  {}", i + 1, message.body);
        }
    }
    let all = format!("{messages:?}");
    assert!(!all.contains("sakilacustomer.org") && !all.contains("example.org"));
    let told: Vec<&str> = messages.iter().map(|message| message.body.as_str()).collect();
    assert_eq!(told[0], "Mike Hillyer created client 148");
    assert!(told.contains(&"Jon Stephens changed e-mail address"));
    assert!(told.contains(&"Jon Stephens moved active from yes to no"));
    assert!(told[1].ends_with(&format!("created loan {}", messages[1].data["object_id"].as_str().unwrap())));
}
