//! What a built INSERT does about rows that are there already: sea-query tells nobody but the text.

use sea_orm::Statement;

/// How MySQL begins it.
const ON_DUPLICATE_KEY: &str = " ON DUPLICATE KEY UPDATE ";

/// Whether it may change rows that are there.
pub(super) fn changes_rows(sql: &str) -> bool {
    if sql.starts_with("REPLACE") {
        return true;
    }
    if let Some((_, action)) = sql.split_once(" ON CONFLICT ") {
        return !action.contains(" DO NOTHING");
    }
    let Some((_, sets)) = sql.split_once(ON_DUPLICATE_KEY) else { return false };
    // Doing nothing is written as `a` = `a`.
    sets.split(", ").any(|set| set.split_once(" = ").is_none_or(|(column, value)| column != value))
}

/// The INSERT without what MySQL does about a row that is there.
pub(super) fn plain_insert(statement: &Statement) -> Option<Statement> {
    let (insert, _) = statement.sql.split_once(ON_DUPLICATE_KEY)?;
    Some(Statement { sql: insert.to_owned(), ..statement.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doing_nothing_changes_no_rows() {
        for sql in [
            r#"INSERT INTO "a" ("b") VALUES ($1)"#,
            r#"INSERT INTO "a" ("b") VALUES ($1) ON CONFLICT ("b") DO NOTHING RETURNING "b""#,
            "INSERT INTO `a` (`b`, `c`) VALUES (?, ?) ON DUPLICATE KEY UPDATE `b` = `b`, `c` = `c`",
        ] {
            assert!(!changes_rows(sql), "{sql}");
        }
        for sql in [
            "REPLACE INTO `a` (`b`) VALUES (?)",
            r#"INSERT INTO "a" ("b") VALUES ($1) ON CONFLICT ("b") DO UPDATE SET "c" = "excluded"."c""#,
            "INSERT INTO `a` (`b`) VALUES (?) ON DUPLICATE KEY UPDATE `b` = VALUES(`b`)",
            "INSERT INTO `a` (`b`) VALUES (?) ON DUPLICATE KEY UPDATE `b` = `b`, `c` = ?",
        ] {
            assert!(changes_rows(sql), "{sql}");
        }
    }
}
