//! Where events and expectations part, in lines that can be read.

use events_core::Event;

use super::expected::{Expected, event_line};

/// A line for each event and expectation, if they differ.
pub(super) fn between(events: &[Event], expected: &[Expected], and_more: bool) -> Option<String> {
    let pairs = align(events, expected);
    let last = pairs.iter().rposition(|(_, expected)| expected.is_some());
    let mut differ = false;
    let mut lines = Vec::new();
    for (place, pair) in pairs.iter().enumerate() {
        match *pair {
            (Some(event), Some(expected)) => {
                let mistakes = expected.mistakes(event);
                differ |= !mistakes.is_empty();
                lines.push(format!(
                    "  {} {}",
                    if mistakes.is_empty() { "  " } else { "! " },
                    event_line(event)
                ));
                lines.extend(mistakes.iter().map(|mistake| format!("         {mistake}")));
            }
            (Some(event), None) if and_more && last.is_none_or(|last| place > last) => {
                lines.push(format!("     {}", event_line(event)));
            }
            (Some(event), None) => {
                differ = true;
                lines.push(format!("  +  {}   (not expected)", event_line(event)));
            }
            (None, Some(expected)) => {
                differ = true;
                lines.push(format!("  -  {}   (missing)", expected.shown()));
            }
            (None, None) => {}
        }
    }
    differ.then(|| if lines.is_empty() { "  none".to_owned() } else { lines.join("\n") })
}

type Pair<'a> = (Option<&'a Event>, Option<&'a Expected>);

/// Puts beside each other what is alike: the longest common subsequence, so that one that is missing does not make all
/// that follow look wrong.
fn align<'a>(events: &'a [Event], expected: &'a [Expected]) -> Vec<Pair<'a>> {
    let alike = |i: usize, j: usize| expected[j].is_like(&events[i]);
    let mut longest = vec![vec![0_usize; expected.len() + 1]; events.len() + 1];
    for i in (0..events.len()).rev() {
        for j in (0..expected.len()).rev() {
            longest[i][j] = if alike(i, j) {
                longest[i + 1][j + 1] + 1
            } else {
                longest[i + 1][j].max(longest[i][j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut pairs = Vec::new();
    while i < events.len() || j < expected.len() {
        if i < events.len() && j < expected.len() && alike(i, j) {
            pairs.push((Some(&events[i]), Some(&expected[j])));
            (i, j) = (i + 1, j + 1);
        } else if j == expected.len() || (i < events.len() && longest[i + 1][j] >= longest[i][j + 1]) {
            pairs.push((Some(&events[i]), None));
            i += 1;
        } else {
            pairs.push((None, Some(&expected[j])));
            j += 1;
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use events_core::{EventType, ObjectRef};
    use serde_json::{Value as Json, json};
    use uuid::Uuid;

    use super::*;
    use crate::testing::{created, custom, deleted, state_changed, updated};

    fn event(event_type: EventType, event_data: Json) -> Event {
        Event {
            id: Uuid::nil(),
            team_id: "7".to_owned(),
            event_type,
            object: Some(ObjectRef::new("campaign", 1)),
            actor_id: Some("ada".to_owned()),
            unit_id: Uuid::nil(),
            event_data,
            context: json!({"reason": "spring"}),
            occurred_at: chrono::DateTime::UNIX_EPOCH,
        }
    }

    fn history() -> Vec<Event> {
        vec![
            event(EventType::Created, json!({"initial_values": {"name": "a"}, "redacted": ["key"]})),
            event(EventType::Updated, json!({"changes": {"budget": {"old": 1, "new": 2}}})),
            event(EventType::custom("approved").unwrap(), json!({"by": "grace"})),
            event(EventType::Deleted, json!({"final_values": {"name": "b"}})),
        ]
    }

    #[track_caller]
    fn check(expected: &[Expected], and_more: bool, difference: Option<&str>) {
        let found = between(&history(), expected, and_more);
        assert_eq!(found.as_deref(), difference, "{}", found.clone().unwrap_or_default());
    }

    #[test]
    fn what_is_as_expected_does_not_differ() {
        let all = [
            created("campaign")
                .value("name", "a")
                .redacted("key")
                .actor("ada")
                .team(7)
                .reason("spring")
                .id(1),
            updated("campaign").change("budget", 1, 2).unchanged("name"),
            custom("approved").object("campaign", 1).data(json!({"by": "grace"})),
            deleted("campaign").value("name", "b"),
        ];
        check(&all, false, None);
        check(&all[..2], true, None);
        check(&[], true, None);
    }

    #[test]
    fn what_differs_is_shown_where_it_is() {
        check(
            &[
                created("campaign").value("name", "b").redacted("other"),
                custom("approved"),
                state_changed("campaign").change("status", "draft", "live"),
                deleted("campaign").actor("grace"),
            ],
            false,
            Some(
                r#"  !  CREATED campaign 1 {"initial_values":{"name":"a"},"redacted":["key"]}
         name: expected "b", found "a"
         other: expected it among the redacted
  +  UPDATED campaign 1 {"changes":{"budget":{"new":2,"old":1}}}   (not expected)
     approved campaign 1 {"by":"grace"}
  -  STATE_CHANGED campaign, status "draft" -> "live"   (missing)
  !  DELETED campaign 1 {"final_values":{"name":"b"}}
         actor: expected grace, found ada"#,
            ),
        );
    }

    #[test]
    fn more_may_follow_but_not_go_before() {
        let difference = between(&history(), &[updated("campaign")], true).unwrap();
        assert!(
            difference.contains("+  CREATED")
                && !difference.contains("DELETED campaign 1 {\"final_values\":{\"name\":\"b\"}}   (not")
        );
        assert!(between(&[], &[custom("x")], false).unwrap().contains("-  x"));
    }
}
