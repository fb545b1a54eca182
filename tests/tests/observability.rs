//! The spans and counters are those of the documented table. One process, one test: recorders are global.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use events_sea_orm::{
    Event, EventTransaction, Events, Subscription,
    testing::{Failing, Recorder},
};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use sea_orm::ActiveModelTrait;
use tests::{TestDb, context, new_campaign};
use tracing::span::{Attributes, Id};
use tracing_subscriber::{Layer, layer::Context, prelude::*, registry::LookupSpan};

const TABLES: &str = include_str!("../../events-sea-orm/src/observability.md");

type Names = BTreeSet<String>;

/// Names of spans, with their fields and their parents.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<BTreeMap<String, (Names, Names)>>>);

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let name = attributes.metadata().name();
        if !name.starts_with("events.") {
            return;
        }
        let mut spans = self.0.lock().unwrap();
        let (fields, parents) = spans.entry(name.to_owned()).or_default();
        fields.extend(attributes.metadata().fields().iter().map(|field| field.name().to_owned()));
        let parent = context.span(id).and_then(|span| span.parent().map(|parent| parent.name()));
        parents.insert(parent.unwrap_or("none").to_owned());
    }
}

/// The rows of the table under this heading, their cells trimmed.
fn rows(heading: &str) -> Vec<Vec<&'static str>> {
    let (_, section) = TABLES.split_once(heading).unwrap();
    let lines =
        section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    lines.skip(2).map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect()).collect()
}

/// What stands in backticks.
fn quoted(cell: &str) -> Names {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

async fn leave_a_commit(txn: &EventTransaction, _: &Event) -> Result<(), events_sea_orm::ConsumerError> {
    Ok(txn.emit(Event::custom("left")).await?)
}

async fn work(db: &TestDb) {
    db.with_tables().await;
    let once = Subscription::in_transaction(leave_a_commit).on([events_sea_orm::EventType::Created]);
    let builder = Events::builder(db.db.clone()).without_registered_consumers().subscribe(once);
    let failing = Subscription::in_transaction(Failing::new("no")).on_custom("bad");
    let after = Subscription::after_commit(Recorder::new());
    let events = builder.subscribe(failing).subscribe(after).build().await.unwrap();
    let txn = events.begin(context()).await.unwrap();
    new_campaign("a").insert(&txn).await.unwrap();
    txn.commit().await.unwrap();
    let txn = events.begin(context()).await.unwrap();
    txn.emit(Event::custom("bad")).await.unwrap();
    txn.commit().await.unwrap_err();
    events.begin(context()).await.unwrap().rollback().await.unwrap();
    drop(events.begin(context()).await.unwrap());
    events.drain().await;
}

#[test]
fn spans_and_counters_are_the_documented_ones() {
    let spans = Spans::default();
    tracing_subscriber::registry().with(spans.clone()).init();
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    recorder.install().unwrap();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        work(&TestDb::sqlite().await).await;
    });

    let spans = spans.0.lock().unwrap();
    let documented = rows("# Spans");
    assert_eq!(documented.len(), spans.len(), "{:?}", spans.keys());
    for row in documented {
        let name = row[0].trim_matches('`');
        let (fields, parents) = &spans[name];
        let told = quoted(row[3]);
        assert!(fields.iter().all(|field| told.contains(field)), "{name}: {fields:?} and {told:?}");
        for parent in parents {
            assert!(row[4].contains(parent.as_str()) || row[4] == "the caller's", "{name} in {parent}");
        }
    }

    let mut counted = BTreeMap::new();
    for (key, _, _, value) in snapshotter.snapshot().into_vec() {
        let labels: Vec<String> =
            key.key().labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let DebugValue::Counter(value) = value else { panic!("no counter: {key:?}") };
        counted.insert((key.key().name().to_owned(), labels.join(" ")), value);
    }
    let count = |name: &str, labels: &str| counted.get(&(name.to_owned(), labels.to_owned())).copied();
    assert_eq!(count("events_written_total", "event_type=CREATED object_type=campaign"), Some(1));
    assert_eq!(count("events_written_total", "event_type=left object_type="), Some(1));
    assert_eq!(count("events_units_total", "outcome=committed"), Some(1));
    assert_eq!(count("events_units_total", "outcome=refused"), Some(1));
    assert_eq!(count("events_units_total", "outcome=rolled_back"), Some(2));
    let of = |consumer, delivery, outcome| {
        let labels = format!("consumer={consumer} delivery={delivery} outcome={outcome}");
        count("events_consumed_total", &labels)
    };
    assert_eq!(of("leave_a_commit", "in_transaction", "handled"), Some(1));
    assert_eq!(of("Failing", "in_transaction", "failed"), Some(1));
    assert_eq!(of("Recorder", "after_commit", "handled"), Some(2));
    let documented: Names = rows("# Counters").iter().flat_map(|row| quoted(row[0])).collect();
    assert!(counted.keys().all(|(name, _)| documented.contains(name)), "{counted:?}");
}
