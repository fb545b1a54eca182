//! The table in the docs, held against the tests and against SeaORM's source.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const TABLE: &str = include_str!("../../../../events-sea-orm/src/writes.md");

/// What takes a connection and is no call of the user's.
const HELPERS: [&str; 24] = [
    "compute_pages_number",
    "cur_page",
    "exec_delete",
    "exec_delete_only",
    "exec_delete_with_returning_many",
    "exec_delete_with_returning_one",
    "exec_insert",
    "exec_insert_with_returning",
    "exec_insert_with_returning_keys",
    "exec_insert_with_returning_many",
    "exec_insert_without_returning",
    "exec_update_and_return_updated",
    "exec_update_with_returning",
    "find_updated_model_by_id",
    "fmt",
    "load_from",
    "load_nest",
    "load_nest_nest",
    "loader_impl",
    "loader_impl_impl",
    "next",
    "run_async_transaction_callback",
    "set_page",
    "sqlite_keyword",
];

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The Rust files under a folder, each with its text.
fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    found
}

/// What stands in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The rows of the table, each as its cells.
fn rows() -> Vec<Vec<&'static str>> {
    let rows = TABLE.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| SeaORM |"));
    rows.map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect()).collect()
}

#[test]
fn table_names_tests_that_exist() {
    let mut tests = sources(&root().join("tests/tests"));
    tests.extend(sources(&root().join("events-sea-orm/src")));
    let exists = |name: &str| tests.iter().any(|(_, text)| text.contains(&format!("fn {name}(")));
    assert!(rows().len() > 30);
    for row in rows() {
        assert_eq!(row.len(), 5, "{row:?}");
        let named: Vec<_> = quoted(row[4]).collect();
        assert!(!named.is_empty(), "no test shows {}", row[0]);
        for name in named {
            assert!(exists(name), "there is no test `{name}`, which is to show {}", row[0]);
        }
    }
}

/// Every function of SeaORM that takes a connection, and every method of its builders.
#[test]
fn table_names_every_call_of_seaorm() {
    let words: BTreeSet<&str> = quoted(TABLE)
        .flat_map(|text| text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')))
        .filter(|word| !word.is_empty())
        .collect();
    let calls = calls();
    assert!(calls.len() > 80, "{calls:?}");
    let missing: Vec<_> = calls
        .iter()
        .filter(|call| !words.contains(call.as_str()) && !HELPERS.contains(&call.as_str()))
        .collect();
    assert!(missing.is_empty(), "say in writes.md what becomes of {missing:?}");
    for helper in HELPERS {
        assert!(calls.contains(helper), "SeaORM has no `{helper}` any more");
    }
}

/// Read from the source of the very version that is compiled in.
fn calls() -> BTreeSet<String> {
    let mut calls = BTreeSet::new();
    for (package, folders) in [
        ("sea-orm", &["database/connection.rs", "database/executor.rs", "database/transaction.rs"][..]),
        (
            "sea-orm",
            &["database/db_connection.rs", "dynamic", "entity", "executor", "query", "rbac", "schema"],
        ),
        ("sea-orm-macros", &["derives/active_model_ex.rs", "derives/entity_loader.rs"]),
    ] {
        let source = source_of(package);
        for folder in folders {
            let path = source.join(folder);
            let files = if path.is_dir() {
                sources(&path)
            } else {
                let text = fs::read_to_string(&path).unwrap();
                vec![(path, text)]
            };
            for (path, text) in files {
                calls.extend(calls_in(&path, &text));
            }
        }
    }
    calls
}

fn calls_in(path: &Path, text: &str) -> Vec<String> {
    let text = text.split("\nmod tests {").next().unwrap_or_default();
    let code: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let code = code.join("\n");
    let is = |names: &[&str]| names.iter().any(|name| path.ends_with(name));
    // Here the connection stands on the type, or comes with a later call.
    let all = is(&["executor/paginator.rs", "database/connection.rs"]);
    let public = is(&["query/insert.rs", "query/update.rs", "query/delete.rs"]);
    let mut calls = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let signature = &code[at + 3..];
        let signature = &signature[..signature.find(['{', ';']).unwrap_or(signature.len())];
        let name: String = signature.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        let takes = ["ConnectionTrait", "TransactionTrait", "StreamTrait", "&DbConn", "AsyncFnOnce"];
        let takes = takes.iter().any(|word| signature.contains(word));
        if !name.is_empty() && (takes || all || (public && code[..at].ends_with("pub "))) {
            calls.push(name);
        }
    }
    calls
}

fn source_of(package: &str) -> PathBuf {
    // Of this platform alone: the sources of others need not be here.
    let host = run(Command::new("rustc").args(["--print", "host-tuple"]));
    let metadata = run(Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--filter-platform", host.trim()])
        .current_dir(root()));
    let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
    let found =
        metadata["packages"].as_array().unwrap().iter().find(|found| found["name"] == package).unwrap();
    Path::new(found["manifest_path"].as_str().unwrap()).with_file_name("src")
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
