//! Threads, labels and formats as models say them.

use events_sea_orm::{Format, ObjectRef, Subject, ThreadRef, ThreadSource, Tracked};

/// An entity with this `thread`.
macro_rules! threaded {
    ($module:ident, $($thread:tt)*) => {
        mod $module {
            use events_sea_orm::Tracked;
            use sea_orm::entity::prelude::*;

            #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
            #[sea_orm(table_name = "threaded")]
            #[tracked(object_type = "threaded", team = context, $($thread)*)]
            pub struct Model {
                #[sea_orm(primary_key)]
                pub id: i32,
                #[track]
                pub r#type: String,
                #[sea_orm(column_name = "buyer")]
                pub customer_id: Option<i32>,
                pub campaign: Option<String>,
            }

            #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
            pub enum Relation {}

            pub fn model(customer_id: Option<i32>, campaign: Option<&str>) -> Model {
                let campaign = campaign.map(str::to_owned);
                Model { id: 5, r#type: "x".to_owned(), customer_id, campaign }
            }
        }
    };
}

threaded!(none, all);
threaded!(own, all, thread = "self");
threaded!(foreign, thread(object_type = "customer", id = "customer_id", scope = "campaign"));
threaded!(by_column, thread(object_type = "customer", id = "buyer"));
threaded!(scoped, thread(scope = "campaign"));
threaded!(parent, thread(id = "customer_id"));
threaded!(twin, thread(object_type = "customer"));
threaded!(pair, thread(object_type = "price", id = ["customer_id", "type"],));

fn thread<M: Tracked>(model: &M) -> Option<ThreadRef>
where
    for<'a> &'a M: Into<Subject>,
{
    model.into().thread
}

#[test]
fn a_subject_knows_the_thread_of_its_row() {
    let customer = || ThreadRef::of(ObjectRef::new("customer", 148));
    assert_eq!(thread(&none::model(Some(148), None)), None);
    // What its object tells by itself is not told twice.
    assert_eq!(thread(&own::model(Some(148), None)), None);
    assert_eq!(thread(&foreign::model(Some(148), Some("spring"))), Some(customer().scoped("spring")));
    assert_eq!(thread(&foreign::model(Some(148), None)), Some(customer()));
    assert_eq!(thread(&foreign::model(None, Some("spring"))), None);
    assert_eq!(thread(&by_column::model(Some(148), Some("spring"))), Some(customer()));
    let own = |id| ThreadRef::of(ObjectRef::new("threaded", id));
    assert_eq!(thread(&scoped::model(None, Some("spring"))), Some(own(5).scoped("spring")));
    assert_eq!(thread(&scoped::model(None, None)), Some(own(5)));
    assert_eq!(thread(&parent::model(Some(3), None)), Some(own(3)));
    assert_eq!(thread(&twin::model(None, None)), Some(ThreadRef::of(ObjectRef::new("customer", 5))));
    let price = ThreadRef::of(ObjectRef::new("price", r#"[148,"x"]"#));
    assert_eq!(thread(&pair::model(Some(148), None)), Some(price));
}

#[test]
fn the_definition_says_what_was_written() {
    assert_eq!(none::Model::definition().thread(), None);
    assert_eq!(own::Model::definition().thread(), Some(&ThreadSource::default()));
    let expected = ThreadSource { object_type: Some("customer"), id: vec!["buyer"], scope: Some("campaign") };
    assert_eq!(foreign::Model::definition().thread(), Some(&expected));
}

mod shown {
    use events_sea_orm::Tracked;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
    #[sea_orm(table_name = "shown")]
    #[tracked(team = context)]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        #[track(label = "daily budget", format = "number")]
        pub budget: i64,
        #[track(format = "plain", rename = "y")]
        pub year: i32,
        #[track(state, format = "date")]
        pub starts: Date,
        #[track(format = super::shout)]
        pub name: String,
        #[track(redact, label = "API key")]
        pub api_key: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

fn shout(value: &serde_json::Value) -> String {
    value.to_string().to_uppercase()
}

#[test]
fn labels_and_formats_are_known() {
    let fields = shown::Model::definition().fields();
    let labels: Vec<_> = fields.iter().map(|field| field.label()).collect();
    assert_eq!(labels, [Some("daily budget"), None, None, None, Some("API key")]);
    assert!(matches!(fields[0].format(), Some(Format::Number)));
    assert!(matches!(fields[1].format(), Some(Format::Plain)));
    assert!(matches!(fields[2].format(), Some(Format::Date)));
    let Some(Format::With(with)) = fields[3].format() else { panic!("a function") };
    assert_eq!(with(&serde_json::json!("x")), "\"X\"");
    assert!(fields[4].format().is_none());
}
