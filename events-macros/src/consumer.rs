//! `#[event_consumer]`: the whole story.

mod check;
mod event_type;
mod expand;
mod model;

use proc_macro2::TokenStream;
use quote::quote;

use self::model::{Consumer, Options};
use crate::errors::Errors;

/// Registers the item, which stays as it is.
pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let options = Options::parse(arguments, &mut errors);
    let consumer = Consumer::parse(item.clone(), &mut errors);
    if let Some(consumer) = &consumer {
        check::consumer(consumer, &options, &mut errors);
    }
    let registration = match consumer {
        Some(consumer) if errors.is_empty() => expand::registration(&consumer, &options),
        _ => errors.into_tokens(),
    };
    quote!(#item #registration)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errors::messages;

    /// The messages of the errors of `#[event_consumer(arguments)]` on this item, in order.
    #[track_caller]
    fn errors(arguments: &str, item: &str) -> Vec<String> {
        messages(expand(arguments.parse().unwrap(), item.parse().unwrap()))
    }

    #[track_caller]
    fn check(arguments: &str, item: &str, expected: &str) {
        let found = errors(arguments, item);
        assert!(found.len() == 1 && found[0].contains(expected), "{arguments}, {item}: {found:?}");
    }

    const FUNCTION: &str =
        "async fn tell(txn: &EventTransaction, event: &Event) -> Result<(), ConsumerError> {}";
    const AFTER: &str = "async fn tell(db: &EventConnection, event: &Event) -> Result<(), ConsumerError> {}";
    const IMPL: &str = "impl Consumer for Tell {}";

    /// A consumer of these parameters.
    fn taking(parameters: &str) -> String {
        format!("async fn tell({parameters}) -> Result<(), ConsumerError> {{}}")
    }

    #[test]
    fn what_is_right_has_no_errors() {
        for (arguments, item) in [
            ("", FUNCTION),
            ("", IMPL),
            ("", "impl Consumer<EventTransaction> for a::Tell {}"),
            ("", "impl events_sea_orm::Consumer<events_sea_orm::EventTransaction> for crate::r#Tell {}"),
            ("delivery = \"in_transaction\",", FUNCTION),
            ("delivery = \"after_commit\"", AFTER),
            ("delivery = \"after_commit\"", "impl Consumer<EventConnection> for Tell {}"),
            ("delivery = \"after_commit\"", "impl Consumer<Pool> for Tell {}"),
            (
                "on(Created, Updated, StateChanged, Deleted, Restored, custom(\"a\"), custom(\"b.c_1\"),)",
                FUNCTION,
            ),
            ("object = campaign::Entity", FUNCTION),
            ("object(campaign::Entity, crate::brand::Entity,)", FUNCTION),
            ("order = 10", FUNCTION),
            ("order = -2147483648", FUNCTION),
            ("order = 2_147_483_647", FUNCTION),
            ("order = 0x7f", FUNCTION),
            ("on_error = \"abort\"", FUNCTION),
            ("on_error = \"log\", time_budget_ms = 1", FUNCTION),
            ("time_budget_ms = 18446744073709551615", FUNCTION),
            ("name = \"post to thread\", crate = crate::events", FUNCTION),
            ("", &taking("_: &events_sea_orm::EventTransaction, Event { id, .. }: &events_sea_orm::Event")),
            ("", &taking("txn: Transaction, event: Event2")),
            ("", "async fn tell<'a>(txn: &'a EventTransaction, event: &'a Event) -> Answer<'a> {}"),
        ] {
            assert_eq!(errors(arguments, item), [] as [&str; 0], "{arguments}, {item}");
        }
    }

    #[test]
    fn each_mistake_in_the_options_is_named_with_its_mend() {
        let check = |arguments: &str, expected: &str| check(arguments, FUNCTION, expected);
        let all =
            "expected `on`, `object`, `delivery`, `name`, `order`, `on_error`, `time_budget_ms` or `crate`";
        check("objekt = campaign::Entity", all);
        check("async", all);
        check("name = \"a\", name = \"b\"", "`name` is said twice");
        check("on(Created), on(Deleted)", "`on` is said twice");
        check("object = a::Entity, object(b::Entity)", "`object` is said twice");
        check("name = tell", "expected text in quotes: `name = \"..\"`");
        check("name = \"\"", "at least one character");
        check(&format!("name = \"{}\"", "ä".repeat(192)), "at most 191 characters");
        assert_eq!(errors(&format!("name = \"{}\"", "ä".repeat(191)), FUNCTION), [] as [&str; 0]);
        check("name = \"a\\0\"", "no NUL");
        check("delivery = after_commit", "expected text in quotes: `delivery = \"..\"`");
        check("delivery = \"after\"", "expected `\"in_transaction\"` or `\"after_commit\"`");
        check(
            "delivery = \"durable\"",
            "not yet: durable delivery is not built; `\"after_commit\"` is the nearest",
        );
        check("on_error = \"ignore\"", "expected `on_error = \"abort\"` or `on_error = \"log\"`");
        check("on_error = Log", "expected text in quotes: `on_error = \"..\"`");
        for order in
            ["order", "order = \"10\"", "order = FIRST", "order = -FIRST", "order = 1.0", "order(10)"]
        {
            check(order, "expected a whole number, lower ones run first: `order = 10`");
        }
        for order in ["order = 2147483648", "order = -2147483649", "order = 99999999999999999999999999999999"]
        {
            check(order, "an order is an `i32`");
        }
        for budget in
            ["time_budget_ms", "time_budget_ms = \"250\"", "time_budget_ms = -1", "time_budget_ms = 0.5"]
        {
            check(budget, "expected whole milliseconds: `time_budget_ms = 250`");
        }
        check("time_budget_ms = 0", "write at least 1");
        check("time_budget_ms = 18446744073709551616", "write a lower number");
        check("crate = \"events\"", "expected the path of `events_sea_orm`, without quotes");
        check("object", "expected the path of an entity, without quotes: `object = path`");
        check("object = \"campaign\"", "expected the path of an entity, without quotes: `object = path`");
        check("object()", "expected entities, `object(campaign::Entity)`");
        check("object(a::Entity, \"b\")", "expected the path of an entity, without quotes");
        check("object(a::Entity, b::Entity, a::Entity)", "`a::Entity` is listed twice");
        check("object(a::Entity b::Entity)", "expected `,`");
        check("object = a::Model", "name the entity");
        check("\"a\"", "expected a key");
    }

    #[test]
    fn each_mistake_in_the_event_types_is_named_with_its_mend() {
        let check = |list: &str, expected: &str| check(list, FUNCTION, expected);
        let all =
            "`Created`, `Updated`, `StateChanged`, `Deleted`, `Restored` or `custom(\"launch_approved\")`";
        for list in ["on", "on()", "on = Created"] {
            check(list, &format!("expected the types of the events that reach it, {all}"));
        }
        for list in
            ["on(Creatd)", "on(custom)", "on(5)", "on(Created())", "on(\"Approved!\")", "on(Kustom(\"a\"))"]
        {
            check(list, &format!("no such event type: expected {all}"));
        }
        check("on(created)", "expected `Created`");
        check("on(STATE_CHANGED)", "expected `StateChanged`");
        check("on(EventType::Deleted)", "expected `Deleted`");
        check("on(\"Created\")", "expected without quotes: `Created`");
        check("on(\"state_changed\")", "expected without quotes: `StateChanged`");
        for list in ["on(launch_approved)", "on(\"launch_approved\")"] {
            check(list, "a custom event is written `custom(\"launch_approved\")`");
        }
        for list in ["on(custom())", "on(custom(launch))", "on(custom(\"a\", \"b\"))", "on(custom(1))"] {
            check(list, "expected one name in quotes: `custom(\"launch_approved\")`");
        }
        let long = format!("a{}", "b".repeat(63));
        for name in ["", "Launch", "1st", "_a", "launch approved", "launch-approved", "für", &long] {
            check(
                &format!("on(custom(\"{name}\"))"),
                "a lower-case letter and at most 62 of `a-z`, `0-9`, `_` and `.`",
            );
        }
        check("on(Created, Deleted, Created)", "`Created` is listed twice");
        check("on(custom(\"a\"), custom(\"a\"))", "`custom(\"a\")` is listed twice");
        check("on(Created Deleted)", "expected `,`");
    }

    #[test]
    fn each_mistake_in_the_item_is_named_with_its_mend() {
        let check = |item: &str, expected: &str| check("", item, expected);
        check(
            "fn tell(txn: &EventTransaction, event: &Event) -> Result<(), ConsumerError> {}",
            "write `async fn`",
        );
        check(
            "async fn tell(txn: &EventTransaction, event: &Event) {}",
            "write `-> Result<(), ConsumerError>`",
        );
        for parameters in ["", "txn: &EventTransaction", "txn: &EventTransaction, event: &Event, third: u8"] {
            check(&taking(parameters), "takes two parameters: `&EventTransaction` and `&Event`");
        }
        for receiver in ["self", "&self", "self: Arc<Self>"] {
            check(
                &taking(&format!("{receiver}, txn: &EventTransaction, event: &Event")),
                "a consumer is no method",
            );
        }
        for item in [
            "async fn tell<T>(txn: &EventTransaction, event: &Event) -> Result<(), ConsumerError> {}",
            "async fn tell<const N: u8>(txn: &EventTransaction, event: &Event) -> Result<(), ConsumerError> {}",
            &taking("txn: &impl ConnectionTrait, event: &Event"),
            &taking("txn: &EventTransaction, event: impl AsRef<Event>"),
        ] {
            check(item, "a consumer has no generic parameters");
        }
        check(&taking("txn: EventTransaction, event: &Event"), "borrows it: write `&EventTransaction`");
        check(&taking("txn: &mut EventTransaction, event: &Event"), "borrows it: write `&EventTransaction`");
        check(&taking("txn: &EventTransaction, event: Event"), "borrows it: write `&Event`");
        check(&taking("event: &Event, txn: &EventTransaction"), "the first parameter is `&EventTransaction`");
        let long = FUNCTION.replace("tell", &"a".repeat(192));
        check(&long, "at most 191 characters: write a shorter `name = \"..\"`");
        check("impl<T> Consumer for Tell<T> {}", "a type with generic parameters is many consumers");
        for ty in
            ["Tell<Campaign>", "<Tell as Told>::By", "&'static Tell", "Box<Tell>", "(Tell,)", "[Tell; 1]"]
        {
            check(&format!("impl Consumer for {ty} {{}}"), "expected the name of a struct without fields");
        }
        for item in [
            "struct Tell;",
            "mod tell {}",
            "impl Tell {}",
            "impl Told for Tell {}",
            "static TELL: Tell = Tell;",
            "async fn tell(txn: &EventTransaction, event: &Event) -> Result<(), ConsumerError>;",
        ] {
            check(item, "`#[event_consumer]` goes on an `async fn(&EventTransaction, &Event)");
        }
    }

    #[test]
    fn what_a_consumer_is_given_fits_its_delivery() {
        check("", AFTER, "take `&EventTransaction`, or say `delivery = \"after_commit\"`");
        check("delivery = \"in_transaction\"", AFTER, "take `&EventTransaction`");
        check("delivery = \"after_commit\"", FUNCTION, "take `&EventConnection`, or drop");
        check("", "impl Consumer<EventConnection> for Tell {}", "implement `Consumer`, or say");
        check("delivery = \"after_commit\"", IMPL, "implement `Consumer<EventConnection>`, or drop");
        check(
            "delivery = \"after_commit\"",
            &taking("db: &EventConnection"),
            "`&EventConnection` and `&Event`",
        );
        check("delivery = \"after_commit\", on_error = \"log\"", AFTER, "failures are always logged");
        check("delivery = \"after_commit\", on_error = \"abort\"", AFTER, "nothing can be aborted");
    }

    #[test]
    fn a_mistake_causes_no_other() {
        for (arguments, expected) in [
            ("delivery = \"after\"", "no such delivery"),
            ("delivery = \"durable\"", "not yet"),
            ("delivery", "expected text in quotes"),
            ("delivry = \"after_commit\"", "no such key"),
            ("delivery = \"after_commit\" on_error = \"log\"", "expected `,`"),
            ("name = ", "a value is missing"),
        ] {
            check(arguments, AFTER, expected);
            check(arguments, "impl Consumer<EventConnection> for Tell {}", expected);
        }
    }

    #[test]
    fn all_mistakes_of_a_consumer_are_reported_together() {
        let found = errors(
            "on(created, Deleted, Deleted, custom(\"A\")), objekt = a::Entity, order = \"1\", name = \"\", time_budget_ms = 0",
            "fn tell<T>(db: &EventConnection, event: Event) {}",
        );
        assert_eq!(found.len(), 11, "{found:#?}");
    }

    #[test]
    fn the_item_stays_as_it_is() {
        for (arguments, item) in
            [("", FUNCTION), ("", IMPL), ("nam", FUNCTION), ("", "struct Tell;"), ("", "impl Tell {}")]
        {
            let item = format!("/// Tells. \n #[inline] {item}").parse::<TokenStream>().unwrap().to_string();
            let output = expand(arguments.parse().unwrap(), item.parse().unwrap()).to_string();
            assert!(output.starts_with(&item) && output.len() > item.len(), "{output}");
        }
    }
}
