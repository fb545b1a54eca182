//! Every mistake that the macros know, with the message that it gets.
//!
//! `TRYBUILD=overwrite cargo test -p ui --test ui` writes the messages anew; read them before they are committed.

use std::{fs, path::Path};

#[test]
fn mistakes() {
    trybuild::TestCases::new().compile_fail("fail/*.rs");
}

/// The messages of each case, by its name.
fn messages() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fail");
    let cases = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut messages: Vec<_> = cases
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let text = fs::read_to_string(path.with_extension("stderr"));
            let text = text.unwrap_or_else(|_| panic!("`{name}` has no messages yet"));
            (name, text)
        })
        .collect();
    messages.sort();
    messages
}

#[test]
fn a_mistake_is_one_error() {
    let messages = messages();
    assert!(messages.len() >= 193, "{} cases", messages.len());
    for (name, text) in messages {
        let count = text.lines().filter(|line| line.starts_with("error")).count();
        let expected = match name.as_str() {
            "all_mistakes_at_once" => 17,
            "consumer_all_mistakes_at_once" => 13,
            // One for each secret.
            "all_tracks_secrets" => 4,
            // An attribute does not see what it stands in.
            "consumer_in_an_impl" => 2,
            // The compiler's own, and ours that says what to do.
            "hooks_without_custom" => 2,
            // One for each variant that there is not.
            "transitions_of_no_enum" => 2,
            _ => 1,
        };
        assert_eq!(count, expected, "{name}:\n{text}");
        assert!(!text.lines().any(|line| line.starts_with("warning")), "{name}:\n{text}");
    }
}

#[test]
fn an_error_points_at_what_the_user_wrote() {
    for (name, text) in messages() {
        // The derive is what is wrong: it stands beside an impl that does the same.
        if name == "generated_impl_is_still_there" || name == "hooks_without_custom" {
            continue;
        }
        let error = text.split("\nhelp:").next().unwrap();
        let lines: Vec<_> = error.lines().collect();
        for pair in lines.windows(2).filter(|pair| pair[1].contains('^')) {
            let call_site = pair[0].contains("#[derive(") || pair[0].contains("#[tracked_behavior]");
            assert!(!call_site, "{name}:\n{text}");
            // What is wrong with a consumer's options stands in the same line, further right.
            let attribute = pair[0].find("#[event_consumer");
            assert!(attribute.is_none() || attribute != pair[1].find('^'), "{name}:\n{text}");
        }
    }
}

#[test]
fn messages_are_the_same_on_every_machine() {
    for (name, text) in messages() {
        let path = text.lines().any(|line| line.contains("--> /") || line.contains("::: /"));
        assert!(!path && !text.contains("$CARGO") && !text.contains(".cargo"), "{name}:\n{text}");
    }
}
