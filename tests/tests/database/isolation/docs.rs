//! The module `security` says what is so: its SQL is what the library prints, its tests are there.

use std::{fs, path::Path};

use events_sea_orm::migration::isolation::Roles;

const SECURITY: &str = include_str!("../../../../events-sea-orm/src/security.md");

#[test]
fn the_sql_is_what_the_library_prints() {
    let roles = Roles::app("shop_app").owner("shop_owner").delivery("shop_delivery").auditor("shop_auditor");
    let sql = roles.create_sql();
    assert!(SECURITY.contains(&format!("```sql\n{sql}```")), "{sql}");
}

#[test]
fn every_test_that_is_named_is_there() {
    let mut sources = Vec::new();
    sources_below(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests")), &mut sources);
    // Names of tests are statements: they have more words than any other name in the text.
    let is_name = |word: &&str| {
        word.matches('_').count() >= 4 && word.chars().all(|c| c.is_ascii_lowercase() || c == '_')
    };
    let named: Vec<_> = SECURITY.split('`').filter(is_name).collect();
    assert!(named.len() > 30, "{named:?}");
    for name in named {
        let of_test = format!("async fn {name}(");
        assert!(sources.iter().any(|source| source.contains(&of_test)), "there is no test `{name}`");
    }
}

fn sources_below(folder: &Path, sources: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources_below(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push(fs::read_to_string(path).unwrap());
        }
    }
}
