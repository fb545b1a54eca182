//! What this library and its tests say through `tracing`, as text.

use std::{
    fmt::{Debug, Write},
    sync::{Mutex, MutexGuard, Once, PoisonError},
};

use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{Layer, layer::Context, prelude::*};

/// SeaORM's and sqlx's own statement logging is the application's to configure.
const TARGETS: [&str; 4] = ["events_sea_orm", "events_core", "tests", "properties"];

static SAID: Mutex<String> = Mutex::new(String::new());

fn said() -> MutexGuard<'static, String> {
    SAID.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Everything that was said since the first call, by every test of this process.
pub fn captured() -> String {
    static START: Once = Once::new();
    START.call_once(|| {
        let subscriber = tracing_subscriber::registry().with(Capture);
        tracing::subscriber::set_global_default(subscriber).expect("the only subscriber");
    });
    said().clone()
}

struct Capture;

impl<S: Subscriber> Layer<S> for Capture {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        let target = metadata.target().split("::").next().unwrap_or_default();
        TARGETS.contains(&target)
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        let mut said = said();
        let _ = write!(said, "\nspan {:?}", attributes.metadata());
        attributes.record(&mut Fields(&mut said));
    }

    fn on_record(&self, _: &Id, values: &Record<'_>, _: Context<'_, S>) {
        values.record(&mut Fields(&mut said()));
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut said = said();
        let _ = write!(said, "\nevent {:?}", event.metadata());
        event.record(&mut Fields(&mut said));
    }
}

struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, " {field}={value:?} {value:#?}");
    }
}
