//! The module `security` says what is so: its SQL is what the library prints, its tests are there.

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
    let sources = [
        include_str!("../../saves/bulk.rs"),
        include_str!("../../saves/conformance/saves.rs"),
        include_str!("../../properties/secrets.rs"),
        include_str!("connections.rs"),
        include_str!("migration.rs"),
        include_str!("new_team.rs"),
        include_str!("plans.rs"),
        include_str!("pooler.rs"),
        include_str!("rights.rs"),
        include_str!("side_channels.rs"),
        include_str!("startup.rs"),
        include_str!("surface.rs"),
        include_str!("tables.rs"),
        include_str!("verify.rs"),
        include_str!("../../saves/conformance/teams.rs"),
        include_str!("../text.rs"),
        include_str!("../../saves/known_sql/attacks.rs"),
        include_str!("../../saves/known_sql/hidden.rs"),
    ];
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
