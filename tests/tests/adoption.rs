//! The first days of an application that is being made tracked. A process of its own: `adopt` holds for all of it.

use std::sync::{Arc, Mutex};

use events_sea_orm::{ActiveModelEvents, Events, adopt, unrecorded_saves};
use sea_orm::{ActiveModelTrait, IntoActiveModel, Set, TransactionTrait};
use tests::{TestDb, context, new_campaign, types};
use tracing_subscriber::{Layer, layer::SubscriberExt, util::SubscriberInitExt};

/// The messages of our own warnings.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl<S: tracing::Subscriber> Layer<S> for Warnings {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        let ours = event.metadata().target().starts_with("events_sea_orm");
        if ours && *event.metadata().level() == tracing::Level::WARN {
            let mut text = Text::default();
            event.record(&mut text);
            self.0.lock().unwrap().push(text.0);
        }
    }
}

#[derive(Default)]
struct Text(String);

impl tracing::field::Visit for Text {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!("{field}={value:?} "));
    }
}

#[test]
fn sqlite_saves_without_a_context_pass_and_are_counted() {
    let warnings = Warnings::default();
    tracing_subscriber::registry().with(warnings.clone()).init();
    tests::run("adopt", None, async move |db: Arc<TestDb>| {
        db.with_tables().await;
        let events = Events::builder(db.db.clone()).build().await.unwrap();
        new_campaign("refused").insert(&db.db).await.unwrap_err();
        adopt();
        let mut active = new_campaign("a").insert(&db.db).await.unwrap().into_active_model();
        let txn = db.db.begin().await.unwrap();
        active.budget = Set(5);
        let model = active.update(&txn).await.unwrap();
        txn.commit().await.unwrap();
        assert_eq!(unrecorded_saves(), 2);
        let warned = warnings.0.lock().unwrap().clone();
        assert!(warned.len() == 1 && warned[0].contains("campaign"), "once for each entity: {warned:?}");
        // What has a context is recorded as ever.
        model.into_active_model().delete_with_event(&events.connection(context())).await.unwrap();
        assert_eq!(types(&db.log().await), ["DELETED"]);
        assert_eq!(unrecorded_saves(), 2);
    });
}
