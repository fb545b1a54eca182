//! An event as a sentence: pure functions, no database.

use std::collections::HashMap;

use events_core::{Event, EventType, ObjectRef, ThreadRef};
use serde_json::{Value as Json, json};

use super::{
    text::{line, list, words},
    values::show,
};
use crate::{tracked::Definition, value::Kind};

/// The most characters of a name, of an object, of a reason.
const NAME: usize = 80;
const REASON: usize = 500;

/// So many changes are told, and of the others how many there are.
const CHANGES: usize = 12;

/// What is posted.
#[derive(Debug, PartialEq)]
pub(super) struct Sentence {
    /// Plain text.
    pub(super) body: String,
    /// The same in parts, for a client that shows it in its own way.
    pub(super) data: Json,
}

/// One field of it.
struct Change {
    field: String,
    label: String,
    shown: Shown,
}

enum Shown {
    /// From what to what.
    Changed(String, String),
    Set(String),
    Cleared,
    /// That it changed, and no more.
    Hidden,
}

/// The sentence of an event, as this thread reads it.
pub(super) fn sentence(
    event: &Event,
    definition: Option<&Definition>,
    thread: &ThreadRef,
    names: &HashMap<String, String>,
) -> Sentence {
    let actor = Actor::of(event, names);
    let object = event.object.as_ref().map(shown_object);
    // In its own thread an object need not be named over and over.
    let of = match &object {
        Some(object) if event.object.as_ref() != Some(&thread.object) => format!(" of {object}"),
        _ => String::new(),
    };
    let object = object.unwrap_or_else(|| "something".to_owned());
    let (changes, told) = match &event.event_type {
        EventType::Created => (Vec::new(), format!("created {object}")),
        EventType::Deleted => (Vec::new(), format!("deleted {object}")),
        EventType::Restored => (Vec::new(), format!("restored {object}")),
        EventType::Updated => {
            let changes = changes(event, definition);
            let told = if changes.is_empty() { format!("changed {object}") } else { told(&changes, &of) };
            (changes, told)
        }
        EventType::StateChanged => moved(event, definition, &object, &of),
        custom => (Vec::new(), custom.as_str().replace(['_', '.'], " ")),
    };
    let reason = reason(event);
    let because = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let body = match &event.event_type {
        EventType::Custom(_) => {
            let of = of.strip_prefix(" of ").map(|object| format!(", {object}")).unwrap_or_default();
            let because = reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
            format!("{}: {told}{of}{because}", actor.shown)
        }
        _ => format!("{} {told}{because}", actor.shown),
    };
    Sentence { body, data: data(event, &actor, &changes, reason) }
}

/// The parts, as they are in the body: escaped nowhere, shortened and made harmless.
fn data(event: &Event, actor: &Actor, changes: &[Change], reason: Option<String>) -> Json {
    let mut data = json!({
        "event_type": event.event_type.as_str(),
        "actor": actor.shown,
        "occurred_at": event.occurred_at,
    });
    if let Some(object) = &event.object {
        data["object_type"] = json!(object.object_type);
        data["object_id"] = json!(object.object_id);
        data["object"] = json!(shown_object(object));
    }
    if !changes.is_empty() {
        data["changes"] = changes.iter().map(Change::data).collect();
    }
    if let Some(reason) = reason {
        data["reason"] = json!(reason);
    }
    data
}

impl Change {
    fn of(field: &str, old: &Json, new: &Json, definition: Option<&Definition>) -> Self {
        let (mut kind, mut format, mut label, mut redacted) = (Kind::Text, None, None, false);
        if let Some((definition, place)) = place_of(definition, field) {
            let of = &definition.fields()[place];
            (kind, format, label, redacted) =
                (definition.kind(place), of.format(), of.label(), of.is_redacted());
            if of.is_state() && kind == Kind::Text {
                kind = Kind::Other; // a state is a word, not a text
            }
        }
        let label = line(label.unwrap_or(&words(field)), NAME);
        let shown = if redacted {
            // By an event of another time: what it held then is not to be seen now.
            Shown::Hidden
        } else {
            Shown::of(show(old, kind, format), show(new, kind, format))
        };
        Self { field: line(field, NAME), label, shown }
    }

    fn hidden(field: &str, definition: Option<&Definition>) -> Self {
        let mut change = Self::of(field, &Json::Null, &Json::Null, definition);
        change.shown = Shown::Hidden;
        change
    }

    /// Its part of the sentence, after the verb.
    fn part(&self, of: &str) -> String {
        let label = &self.label;
        match &self.shown {
            Shown::Changed(old, new) => format!("{label}{of} from {old} to {new}"),
            Shown::Set(new) => format!("{label}{of} to {new}"),
            Shown::Cleared | Shown::Hidden => format!("{label}{of}"),
        }
    }

    fn data(&self) -> Json {
        let (old, new) = match &self.shown {
            Shown::Changed(old, new) => (Some(old), Some(new)),
            Shown::Set(new) => (None, Some(new)),
            Shown::Cleared => (None, None),
            Shown::Hidden => return json!({"field": self.field, "label": self.label, "hidden": true}),
        };
        json!({"field": self.field, "label": self.label, "old": old, "new": new})
    }
}

impl Shown {
    fn of(old: Option<String>, new: Option<String>) -> Self {
        match (old, new) {
            // Shortened or cut to the second both may look alike.
            (Some(old), Some(new)) if old == new => Self::Hidden,
            (Some(old), Some(new)) => Self::Changed(old, new),
            (None, Some(new)) => Self::Set(new),
            (Some(_), None) => Self::Cleared,
            (None, None) => Self::Hidden,
        }
    }

    fn verb(&self) -> &'static str {
        match self {
            Self::Changed(..) | Self::Hidden => "changed",
            Self::Set(_) => "set",
            Self::Cleared => "cleared",
        }
    }
}

/// The field of this recorded name.
fn place_of<'a>(definition: Option<&'a Definition>, field: &str) -> Option<(&'a Definition, usize)> {
    let definition = definition?;
    let place = definition.fields().iter().position(|known| known.name() == field)?;
    Some((definition, place))
}

/// The changes of an UPDATED, in the order in which the model has its fields.
fn changes(event: &Event, definition: Option<&Definition>) -> Vec<Change> {
    let data = &event.event_data;
    // A plain object of changes is what older systems wrote.
    let changed = data.get("changes").unwrap_or(data).as_object();
    let changed = changed
        .into_iter()
        .flatten()
        .filter_map(|(field, change)| Some((field.as_str(), Some((change.get("old")?, change.get("new")?)))));
    let hidden = data.get("redacted").and_then(Json::as_array);
    let hidden = hidden.into_iter().flatten().filter_map(|field| Some((field.as_str()?, None)));
    let mut found: Vec<_> = changed.chain(hidden).collect();
    found.sort_by_key(|(field, _)| place_of(definition, field).map_or(usize::MAX, |(_, place)| place));
    let change = |(field, values): (&str, Option<(&Json, &Json)>)| match values {
        Some((old, new)) => Change::of(field, old, new, definition),
        None => Change::hidden(field, definition),
    };
    found.into_iter().map(change).collect()
}

/// "changed budget from 1 to 2 and api key; set name to “B”; cleared notes". The object is named with the first field.
fn told(changes: &[Change], mut of: &str) -> String {
    let (shown, rest) = changes.split_at(changes.len().min(CHANGES));
    let mut groups = Vec::new();
    let mut several = false;
    for verb in ["changed", "set", "cleared"] {
        let of_verb = shown.iter().filter(|change| change.shown.verb() == verb);
        let parts: Vec<String> = of_verb.map(|change| change.part(std::mem::take(&mut of))).collect();
        several |= parts.len() > 1;
        if !parts.is_empty() {
            groups.push(format!("{verb} {}", list(&parts)));
        }
    }
    let told = if several { groups.join("; ") } else { list(&groups) };
    match rest.len() {
        0 => told,
        1 => format!("{told}, and 1 more field"),
        more => format!("{told}, and {more} more fields"),
    }
}

/// A STATE_CHANGED: "moved status from draft to live".
fn moved(event: &Event, definition: Option<&Definition>, object: &str, of: &str) -> (Vec<Change>, String) {
    let data = &event.event_data;
    let null = Json::Null;
    let value = |which: &str| data.get("state").and_then(|state| state.get(which)).unwrap_or(&null);
    let field = data.get("field").and_then(Json::as_str);
    let mut change = Change::of(field.unwrap_or("state"), value("old"), value("new"), definition);
    if place_of(definition, field.unwrap_or_default()).is_none() {
        let bare = |which| show(value(which), Kind::Other, None);
        change.shown = Shown::of(bare("old"), bare("new"));
    }
    let what = match field {
        Some(_) => format!("{}{of}", change.label),
        None => object.to_owned(),
    };
    let told = match &change.shown {
        Shown::Changed(old, new) => format!("moved {what} from {old} to {new}"),
        Shown::Set(new) => format!("set {what} to {new}"),
        Shown::Cleared => format!("cleared {what}"),
        Shown::Hidden => format!("changed {what}"),
    };
    (vec![change], told)
}

/// Who did it.
struct Actor {
    shown: String,
}

impl Actor {
    fn of(event: &Event, names: &HashMap<String, String>) -> Self {
        let name = |id: &str| {
            let name = names.get(id).map(|name| line(name, NAME)).filter(|name| !name.is_empty());
            name.unwrap_or_else(|| line(id, NAME))
        };
        let principal = principal(event).map(name);
        let shown = match (event.actor_id.as_deref().map(name), principal) {
            (Some(actor), Some(principal)) => format!("{actor} for {principal}"),
            (Some(actor), None) => actor,
            (None, _) => "The system".to_owned(),
        };
        Self { shown }
    }
}

/// For whom the actor did it.
pub(super) fn principal(event: &Event) -> Option<&str> {
    event.context.get("on_behalf_of").and_then(Json::as_str)
}

/// "rental 12"; of several key columns "price 12, en".
fn shown_object(object: &ObjectRef) -> String {
    let id = match serde_json::from_str(&object.object_id) {
        Ok(Json::Array(parts)) => {
            let part = |part: &Json| part.as_str().map_or_else(|| part.to_string(), str::to_owned);
            parts.iter().map(part).collect::<Vec<_>>().join(", ")
        }
        _ => object.object_id.clone(),
    };
    line(&format!("{} {id}", words(&object.object_type)), NAME)
}

/// Why: what the save said, else what the unit of work is done for.
fn reason(event: &Event) -> Option<String> {
    let said = match &event.event_type {
        EventType::Custom(_) => None, // its data is the application's own
        _ => event.event_data.get("reason").and_then(Json::as_str),
    };
    let said = said.or_else(|| event.context.get("reason").and_then(Json::as_str));
    said.map(|reason| line(reason, REASON)).filter(|reason| !reason.is_empty())
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::Tracked;

    mod campaign {
        use sea_orm::entity::prelude::*;

        use crate::Tracked;

        #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Tracked)]
        #[sea_orm(table_name = "campaigns")]
        #[tracked(crate = crate, object_type = "ad_campaign", team = context, thread = "self")]
        pub(super) struct Model {
            #[sea_orm(primary_key)]
            pub(super) id: i32,
            #[track]
            pub(super) name: String,
            #[track(label = "daily budget", format = "number")]
            pub(super) budget: i64,
            #[track]
            pub(super) year: Option<i32>,
            #[track(state)]
            pub(super) status: String,
            #[track(redact)]
            pub(super) api_key: String,
            #[track(format = "date")]
            pub(super) starts: Option<DateTimeUtc>,
            #[track(format = stars)]
            pub(super) rating: Option<i32>,
            #[track(rename = "is_public")]
            pub(super) public: bool,
        }

        fn stars(value: &serde_json::Value) -> String {
            "★".repeat(value.as_u64().unwrap_or_default() as usize)
        }

        #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
        pub(super) enum Relation {}
    }

    fn object() -> ObjectRef {
        ObjectRef::new("ad_campaign", 12)
    }

    fn event(event_type: &str, event_data: Json) -> Event {
        Event {
            id: Uuid::nil(),
            team_id: "7".to_owned(),
            event_type: event_type.parse().unwrap(),
            object: Some(object()),
            actor_id: Some("ada".to_owned()),
            unit_id: Uuid::nil(),
            event_data,
            context: json!({}),
            occurred_at: DateTime::UNIX_EPOCH,
        }
    }

    fn told_in(event: &Event, thread: ObjectRef) -> Sentence {
        let names = HashMap::from([("ada".to_owned(), "Ada".to_owned())]);
        sentence(event, Some(campaign::Model::definition()), &ThreadRef::of(thread), &names)
    }

    /// In the object's own thread.
    fn body(event: &Event) -> String {
        told_in(event, object()).body
    }

    /// In the thread of another object.
    fn elsewhere(event: &Event) -> String {
        told_in(event, ObjectRef::new("customer", 1)).body
    }

    fn updated(changes: Json, redacted: &[&str]) -> Event {
        event("UPDATED", json!({"changes": changes, "redacted": redacted}))
    }

    #[track_caller]
    fn check(event: &Event, own: &str, other: &str) {
        assert_eq!(body(event), own);
        assert_eq!(elsewhere(event), other);
    }

    #[test]
    fn rows_come_and_go() {
        for (event_type, own) in [
            ("CREATED", "Ada created ad campaign 12"),
            ("DELETED", "Ada deleted ad campaign 12"),
            ("RESTORED", "Ada restored ad campaign 12"),
        ] {
            check(&event(event_type, json!({"initial_values": {"name": "A"}})), own, own);
            let why = event(event_type, json!({"reason": "out of\nseason"}));
            check(&why, &format!("{own}: out of season"), &format!("{own}: out of season"));
        }
    }

    #[test]
    fn changes_are_one_sentence() {
        check(
            &updated(json!({"budget": {"old": 1000, "new": 2500}}), &[]),
            "Ada changed daily budget from 1,000 to 2,500",
            "Ada changed daily budget of ad campaign 12 from 1,000 to 2,500",
        );
        // In the model's order, not the alphabet's.
        check(
            &updated(
                json!({"budget": {"old": 1000, "new": 2500}, "name": {"old": "A", "new": "B"}}),
                &["api_key"],
            ),
            "Ada changed name from “A” to “B”, daily budget from 1,000 to 2,500 and api key",
            "Ada changed name of ad campaign 12 from “A” to “B”, daily budget from 1,000 to 2,500 and api key",
        );
        check(
            &updated(json!({"budget": {"old": null, "new": 5}}), &[]),
            "Ada set daily budget to 5",
            "Ada set daily budget of ad campaign 12 to 5",
        );
        check(
            &updated(json!({"year": {"old": 2005, "new": null}}), &[]),
            "Ada cleared year",
            "Ada cleared year of ad campaign 12",
        );
        check(
            &updated(
                json!({"year": {"old": 2005, "new": null}, "name": {"old": null, "new": "B"}, "is_public": {"old": false, "new": true}}),
                &[],
            ),
            "Ada changed is public from no to yes, set name to “B” and cleared year",
            "Ada changed is public of ad campaign 12 from no to yes, set name to “B” and cleared year",
        );
        check(
            &updated(
                json!({"budget": {"old": 1, "new": 2}, "rating": {"old": 1, "new": 3}, "year": {"old": null, "new": 2006}}),
                &[],
            ),
            "Ada changed daily budget from 1 to 2 and rating from ★ to ★★★; set year to 2006",
            "Ada changed daily budget of ad campaign 12 from 1 to 2 and rating from ★ to ★★★; set year to 2006",
        );
    }

    #[test]
    fn a_redacted_value_is_never_told() {
        check(
            &updated(json!({}), &["api_key"]),
            "Ada changed api key",
            "Ada changed api key of ad campaign 12",
        );
        // By an event of the time before it was redacted, or one that was emitted by hand.
        let old = updated(json!({"api_key": {"old": "s3cr3t", "new": "g3h31m"}}), &[]);
        let told = told_in(&old, object());
        assert_eq!(told.body, "Ada changed api key");
        assert_eq!(told.data["changes"], json!([{"field": "api_key", "label": "api key", "hidden": true}]));
        let cleared = updated(json!({"api_key": {"old": "s3cr3t", "new": null}}), &[]);
        assert_eq!(body(&cleared), "Ada changed api key");
        let created = told_in(&event("CREATED", json!({"initial_values": {"api_key": "s3cr3t"}})), object());
        assert!(!format!("{created:?}").contains("s3cr3t"));
    }

    #[test]
    fn values_that_look_alike_are_not_told() {
        let long = "x".repeat(100);
        let changes = json!({"name": {"old": format!("{long}a"), "new": format!("{long}b")}});
        assert_eq!(body(&updated(changes, &[])), "Ada changed name");
        let day = |hour| format!("2026-11-23T{hour}:00:00.000000Z");
        let changes = json!({"starts": {"old": day(10), "new": day(11)}});
        assert_eq!(body(&updated(changes, &[])), "Ada changed starts");
        let changes = json!({"starts": {"old": day(10), "new": "2026-12-01T00:00:00.000000Z"}});
        assert_eq!(body(&updated(changes, &[])), "Ada changed starts from 23 Nov 2026 to 1 Dec 2026");
    }

    #[test]
    fn many_changes_are_counted() {
        let changes = (0..15).map(|i| (format!("f{i:02}"), json!({"old": i, "new": i + 1})));
        let told = told_in(&updated(changes.collect::<serde_json::Map<_, _>>().into(), &[]), object());
        assert!(told.body.starts_with("Ada changed f00 from 0 to 1, f01"), "{}", told.body);
        assert!(told.body.ends_with("and f11 from 11 to 12, and 3 more fields"), "{}", told.body);
        assert_eq!(told.data["changes"].as_array().map(Vec::len), Some(15));
    }

    #[test]
    fn states_move() {
        let state = |field: Option<&str>, old: Json, new: Json| {
            event(
                "STATE_CHANGED",
                json!({"field": field, "state": {"old": old, "new": new}, "reason": "launch day"}),
            )
        };
        check(
            &state(Some("status"), json!("draft"), json!("live")),
            "Ada moved status from draft to live: launch day",
            "Ada moved status of ad campaign 12 from draft to live: launch day",
        );
        check(
            &state(None, json!("draft"), json!("live")),
            "Ada moved ad campaign 12 from draft to live: launch day",
            "Ada moved ad campaign 12 from draft to live: launch day",
        );
        assert_eq!(
            body(&state(Some("mood"), json!("a"), json!("b"))),
            "Ada moved mood from a to b: launch day"
        );
        assert_eq!(
            body(&state(Some("status"), json!(null), json!("draft"))),
            "Ada set status to draft: launch day"
        );
        assert_eq!(
            body(&state(Some("status"), json!("live"), json!(null))),
            "Ada cleared status: launch day"
        );
        assert_eq!(body(&event("STATE_CHANGED", json!(5))), "Ada changed ad campaign 12");
    }

    #[test]
    fn custom_events_are_called_by_their_names() {
        let mut approved = event("launch_approved", json!({"secret": "s3cr3t", "reason": "s3cr3t"}));
        check(&approved, "Ada: launch approved", "Ada: launch approved, ad campaign 12");
        approved.context = json!({"reason": "by the board"});
        check(
            &approved,
            "Ada: launch approved (by the board)",
            "Ada: launch approved, ad campaign 12 (by the board)",
        );
        assert!(!format!("{:?}", told_in(&approved, object())).contains("s3cr3t"));
    }

    #[test]
    fn actors_have_names() {
        let mut event = event("CREATED", json!({}));
        event.actor_id = Some("user:9".to_owned());
        assert_eq!(body(&event), "user:9 created ad campaign 12");
        event.context = json!({"on_behalf_of": "ada", "reason": "her call"});
        assert_eq!(body(&event), "user:9 for Ada created ad campaign 12: her call");
        event.actor_id = None;
        assert_eq!(body(&event), "The system created ad campaign 12: her call");
        event.object = None;
        assert_eq!(body(&event), "The system created something: her call");
    }

    #[test]
    fn plain_data_of_older_systems_is_read() {
        let plain = event("UPDATED", json!({"name": {"old": "Old", "new": "New"}, "note": 5}));
        assert_eq!(body(&plain), "Ada changed name from “Old” to “New”");
        for data in [json!(null), json!([1]), json!({"a": 1}), json!("x"), json!({"changes": 5})] {
            assert_eq!(body(&event("UPDATED", data)), "Ada changed ad campaign 12");
        }
    }

    #[test]
    fn an_unknown_object_is_told_as_well() {
        let mut event = updated(json!({"unit_price": {"old": "1.50", "new": null}}), &[]);
        event.object = Some(ObjectRef::new("price", r#"[12,"en"]"#));
        let told = sentence(&event, None, &ThreadRef::of(object()), &HashMap::new());
        assert_eq!(told.body, "ada cleared unit price of price 12, en");
    }

    #[test]
    fn what_strangers_wrote_stays_in_its_place() {
        let evil = "\u{202e}<b>\n\0\u{7}’\u{2028}";
        let mut event = updated(json!({evil: {"old": evil, "new": "x"}}), &[evil]);
        event.actor_id = Some(evil.to_owned());
        event.object = Some(ObjectRef::new(evil, evil));
        event.context = json!({"reason": evil.repeat(1000), "on_behalf_of": evil});
        let told = told_in(&event, object());
        let parts = [told.body.clone(), told.data["reason"].to_string(), told.data["changes"].to_string()];
        for text in parts {
            let is_bad = |c: char| c.is_control() || ['\u{202e}', '\u{2028}'].contains(&c);
            assert!(!text.contains(is_bad), "{text:?}");
        }
        assert!(told.body.chars().count() < 1_500, "{}", told.body.len());
    }

    #[test]
    fn the_parts_are_those_of_the_sentence() {
        let told = told_in(
            &updated(
                json!({"budget": {"old": 1000, "new": 2500}, "year": {"old": 1, "new": null}}),
                &["api_key"],
            ),
            object(),
        );
        assert_eq!(
            told.data,
            json!({
                "event_type": "UPDATED",
                "actor": "Ada",
                "occurred_at": "1970-01-01T00:00:00Z",
                "object_type": "ad_campaign",
                "object_id": "12",
                "object": "ad campaign 12",
                "changes": [
                    {"field": "budget", "label": "daily budget", "old": "1,000", "new": "2,500"},
                    {"field": "year", "label": "year", "old": null, "new": null},
                    {"field": "api_key", "label": "api key", "hidden": true},
                ],
            })
        );
    }
}
