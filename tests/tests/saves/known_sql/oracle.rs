//! Texts put together at random: what a parser of somebody else's says is a write does not pass for a read.

use proptest::prelude::*;
use sea_orm::DbBackend;

#[path = "second_opinion.rs"]
mod second_opinion;

const PIECES: &[&str] = &[
    "SELECT",
    "1",
    "name",
    "*",
    "FROM",
    "campaigns",
    "plain",
    "WHERE",
    "=",
    "'x'",
    "\"x\"",
    "`x`",
    "(",
    ")",
    ",",
    ";",
    "WITH",
    "RECURSIVE",
    "a",
    "AS",
    "MATERIALIZED",
    "INSERT INTO",
    "INSERT",
    "VALUES",
    "UPDATE",
    "SET",
    "DELETE FROM",
    "DELETE",
    "REPLACE INTO",
    "MERGE INTO",
    "USING",
    "ON",
    "WHEN MATCHED THEN",
    "INTO",
    "RETURNING",
    "UNION",
    "EXPLAIN",
    "ANALYZE",
    "FOR UPDATE",
    "FOR",
    "NO KEY",
    "ON CONFLICT DO",
    "NOTHING",
    "ON DUPLICATE KEY",
    "JOIN",
    "TABLE",
    "set_config(",
    "lower(",
    "count(*)",
    "DISTINCT ON (a)",
    "::text",
    "E'\\\\'",
    "'\\'",
    "$$",
    "$1",
    "?",
    "--",
    "/*",
    "*/",
    "\n",
    "#",
    "@a",
    ":=",
    "CASE",
    "END",
    "LIMIT",
    "ORDER BY",
    "PRAGMA",
    "SHOW",
    "COMMIT",
    "DROP",
    "CALL",
    "IN",
    "EXISTS",
    "AND",
    "id",
    ".",
    "t",
    "ONLY",
    "SEARCH DEPTH FIRST BY a SET b",
    "CYCLE a SET b USING c",
    "LATERAL",
    "FILTER (WHERE",
    "OVER (",
];

/// Whole forms that a piece may break.
const FORMS: &[&str] = &[
    "SELECT a FROM b WHERE c IN (SELECT d FROM e) ORDER BY f",
    "WITH a(x) AS (SELECT 1), b AS (SELECT 2) SELECT * FROM a, b",
    "WITH a AS (DELETE FROM campaigns RETURNING *) SELECT * FROM a",
    "INSERT INTO plain (id) SELECT id FROM campaigns ON CONFLICT (id) DO UPDATE SET note = 'x'",
    "UPDATE plain SET note = (SELECT name FROM campaigns)",
    "UPDATE plain JOIN campaigns ON true SET note = 'x'",
    "DELETE FROM plain WHERE id = 1",
    "EXPLAIN ANALYZE SELECT 1",
    "SELECT set_config('a', 'b', true)",
    "(SELECT 1) UNION (SELECT 2)",
];

fn text() -> impl Strategy<Value = String> {
    let piece = || proptest::sample::select(PIECES);
    let random = proptest::collection::vec(piece(), 1..24).prop_map(|pieces| pieces.join(" "));
    let broken = (proptest::sample::select(FORMS), any::<proptest::sample::Index>(), piece(), any::<bool>())
        .prop_map(|(form, at, piece, replaces)| {
            let mut words: Vec<&str> = form.split(' ').collect();
            let at = at.index(words.len());
            if replaces {
                words[at] = piece;
            } else {
                words.insert(at, piece);
            }
            words.join(" ")
        });
    prop_oneof![random, broken]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_another_parser_takes_for_a_write_does_not_pass(sql in text()) {
        for backend in [DbBackend::Postgres, DbBackend::MySql, DbBackend::Sqlite] {
            if let Err(error) = second_opinion::compare(&sql, backend) {
                prop_assert!(false, "{error}");
            }
        }
    }
}

#[test]
fn both_opinions_are_asked() {
    for backend in [DbBackend::Postgres, DbBackend::MySql, DbBackend::Sqlite] {
        for sql in ["SELECT 1", "WITH a AS (SELECT 1) SELECT * FROM a", "DELETE FROM a WHERE b = 1"] {
            assert_eq!(second_opinion::compare(sql, backend), Ok(true), "{backend:?}: {sql}");
        }
    }
}
