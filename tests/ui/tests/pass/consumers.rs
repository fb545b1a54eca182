//! Functions and types that `#[event_consumer]` must take, and what it registers.

use std::collections::BTreeMap;

use events_sea_orm::{ConsumerError, Event, EventConnection, EventTransaction, Subscription, event_consumer};

/// What is registered in this program, by its name.
fn registered() -> BTreeMap<String, String> {
    use events_sea_orm::__private::{RegisteredConsumer, inventory};

    let subscriptions: Vec<Subscription> =
        inventory::iter::<RegisteredConsumer>().map(|registered| (registered.0)()).collect();
    let texts = subscriptions.iter().map(|subscription| format!("{subscription:?}"));
    let by_name = texts.map(|text| {
        let rest = text.strip_prefix("Subscription { name: \"").unwrap();
        let (name, rest) = rest.split_once("\", delivery: ").unwrap();
        (name.to_owned(), rest.to_owned())
    });
    let count = subscriptions.len();
    let by_name: BTreeMap<_, _> = by_name.collect();
    assert_eq!(by_name.len(), count, "a name is registered twice: {by_name:?}");
    by_name
}

#[track_caller]
fn is(name: &str, delivery: &str, types: &str, objects: &str) {
    let found = registered();
    let filter = format!("filter: EventFilter {{ types: [{types}], object_types: [{objects}] }}");
    assert_eq!(found.get(name), Some(&format!("{delivery}, {filter}, .. }}")), "{name}, {found:?}");
}

mod campaign {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "consumed_campaigns")]
    #[tracked(object_type = "consumed campaign", team = context, all)]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub name: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

mod brand {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "consumed_brands")]
    #[tracked(team = context, all)]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub name: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

#[event_consumer]
async fn private(_txn: &EventTransaction, _event: &Event) -> Result<(), ConsumerError> {
    Ok(())
}

/// Its name is its own, whatever stands beside it.
#[event_consumer()]
#[inline]
#[must_use = "as any result"]
pub async fn r#yield(_: &EventTransaction, Event { id, .. }: &Event) -> Result<(), ConsumerError> {
    tell(id.to_string()).await
}

async fn tell(text: String) -> Result<(), ConsumerError> {
    if text.is_empty() { Err(text.into()) } else { Ok(()) }
}

#[event_consumer(
    on(Created, custom("launch_approved"), Restored),
    object(campaign::Entity, brand::Entity),
    delivery = "in_transaction",
    name = "with every option",
    order = -10,
    on_error = "log",
    time_budget_ms = 2_000,
)]
async fn every_option(_txn: &EventTransaction, _event: &Event) -> Result<(), ConsumerError> {
    Ok(())
}

#[event_consumer(delivery = "after_commit", object = crate::consumers::campaign::Entity, on(StateChanged))]
async fn after(db: &EventConnection, _event: &Event) -> Result<(), ConsumerError> {
    let _ = db;
    Ok(())
}

#[event_consumer(name = "with lifetimes")]
async fn lifetimes<'a>(_txn: &'a EventTransaction, _event: &'a Event) -> Result<(), ConsumerError> {
    Ok(())
}

type Txn = EventTransaction;
type Answer = Result<(), ConsumerError>;

#[event_consumer(name = "with names of its own")]
async fn aliases(_txn: &Txn, _event: &events_sea_orm::Event) -> Answer {
    Ok(())
}

/// Twice, as two consumers.
#[event_consumer(on(Updated), name = "first of two")]
#[event_consumer(on(Deleted), name = "second of two")]
async fn twice(_txn: &EventTransaction, _event: &Event) -> Result<(), ConsumerError> {
    Ok(())
}

mod types {
    use events_sea_orm::{
        Consumer, ConsumerFuture, Event, EventConnection, EventTransaction, event_consumer,
    };

    struct Unit;
    pub struct Empty {}
    type Other = Unit;

    #[event_consumer]
    impl Consumer for Unit {
        fn handle<'a>(&'a self, _txn: &'a EventTransaction, _event: &'a Event) -> ConsumerFuture<'a> {
            Box::pin(async { Ok(()) })
        }
    }

    #[event_consumer(delivery = "after_commit", name = "Unit after the commit", on(Created))]
    impl events_sea_orm::Consumer<EventConnection> for Other {
        fn handle<'a>(&'a self, _db: &'a EventConnection, _event: &'a Event) -> ConsumerFuture<'a> {
            Box::pin(async { Ok(()) })
        }
    }

    #[event_consumer(on(custom("emptied")))]
    impl Consumer<EventTransaction> for self::Empty {
        fn handle<'a>(&'a self, _txn: &'a EventTransaction, _event: &'a Event) -> ConsumerFuture<'a> {
            Box::pin(async { Ok(()) })
        }
    }
}

mod conditions {
    use events_sea_orm::{ConsumerError, Event, EventTransaction, event_consumer};

    #[event_consumer]
    #[cfg(any())]
    async fn below(_txn: &NoSuchType, _event: &Event) -> Result<(), ConsumerError> {
        no_such_function()
    }

    #[cfg(any())]
    #[event_consumer(no_such_key)]
    async fn above(_txn: &EventTransaction, _event: &Event) -> Result<(), ConsumerError> {
        Ok(())
    }

    #[event_consumer]
    #[cfg_attr(all(), cfg(any()), inline)]
    async fn conditional(_txn: &EventTransaction, _event: &Event) -> Result<(), ConsumerError> {
        Ok(())
    }

    #[cfg_attr(all(), event_consumer(name = "under a true condition"))]
    #[cfg(test)]
    #[cfg_attr(any(), cfg(any()))]
    async fn always(_txn: &EventTransaction, _event: &Event) -> Result<(), ConsumerError> {
        Ok(())
    }

    #[event_consumer]
    #[cfg(any())]
    impl events_sea_orm::Consumer for NoSuchType {}
}

macro_rules! consumer {
    ($name:ident, $db:ty, $($option:ident = $value:expr, $kind:ident, $object:expr)?) => {
        #[event_consumer(name = "made by a macro", $($option = $value, on($kind), object = $object)?)]
        async fn $name(_db: &$db, _event: &Event) -> Result<(), ConsumerError> {
            Ok(())
        }
    };
}

consumer!(made, EventConnection, delivery = "after_commit", Deleted, campaign::Entity);

macro_rules! consumers {
    ($name:literal, $order:literal, $event:ident, $custom:literal, $function:item $block:item) => {
        #[event_consumer(name = $name, order = -$order, on($event, custom($custom)))]
        $function

        #[event_consumer]
        $block
    };
}

struct Whole;

consumers!(
    "given to a macro",
    10,
    Created,
    "given",
    async fn given(_txn: &EventTransaction, _event: &Event) -> Result<(), ConsumerError> {
        Ok(())
    }
    impl events_sea_orm::Consumer for Whole {
        fn handle<'a>(
            &'a self,
            _txn: &'a EventTransaction,
            _event: &'a Event,
        ) -> events_sea_orm::ConsumerFuture<'a> {
            Box::pin(async { Ok(()) })
        }
    }
);

#[allow(dead_code)]
fn never_called() {
    struct Inner;

    #[event_consumer(name = "in a function's body")]
    async fn inner(_txn: &EventTransaction, _event: &Event) -> Result<(), ConsumerError> {
        Ok(())
    }

    #[event_consumer(name = "a type in a function's body")]
    impl events_sea_orm::Consumer for Inner {
        fn handle<'a>(
            &'a self,
            _txn: &'a EventTransaction,
            _event: &'a Event,
        ) -> events_sea_orm::ConsumerFuture<'a> {
            Box::pin(async { Ok(()) })
        }
    }
}

#[test]
fn what_the_attribute_says_is_registered() {
    is("private", "InTransaction", "", "");
    is("yield", "InTransaction", "", "");
    is(
        "with every option",
        "InTransaction",
        "Created, Restored, Custom(CustomName(\"launch_approved\"))",
        "\"consumed campaign\", \"consumed_brands\"",
    );
    is("after", "AfterCommit", "StateChanged", "\"consumed campaign\"");
    is("with lifetimes", "InTransaction", "", "");
    is("with names of its own", "InTransaction", "", "");
    is("first of two", "InTransaction", "Updated", "");
    is("second of two", "InTransaction", "Deleted", "");
    is("given to a macro", "InTransaction", "Created, Custom(CustomName(\"given\"))", "");
    is("Whole", "InTransaction", "", "");
    is("made by a macro", "AfterCommit", "Deleted", "\"consumed campaign\"");
}

#[test]
fn types_are_registered_as_functions_are() {
    is("Unit", "InTransaction", "", "");
    is("Unit after the commit", "AfterCommit", "Created", "");
    is("Empty", "InTransaction", "Custom(CustomName(\"emptied\"))", "");
}

#[test]
fn what_is_not_compiled_is_not_registered() {
    is("under a true condition", "InTransaction", "", "");
    for name in ["below", "above", "conditional", "NoSuchType"] {
        assert!(!registered().contains_key(name), "{name}");
    }
}

#[test]
fn what_stands_in_a_body_is_registered_without_a_call() {
    is("in a function's body", "InTransaction", "", "");
    is("a type in a function's body", "InTransaction", "", "");
}

#[test]
fn names_beside_a_consumer_are_not_taken_for_others() {
    is("hostile", "AfterCommit", "Created, Custom(CustomName(\"a\"))", "\"hostile entity\"");
    is("hostile type", "InTransaction", "", "");
    is("found from the root", "InTransaction", "", "");
    is("found beside", "AfterCommit", "", "");
}
