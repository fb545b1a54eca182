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

/// The INSERT without what MySQL does about a row that is there; with what it returns, where SeaORM has MariaDB do so.
pub(super) fn plain_insert(statement: &Statement) -> Option<Statement> {
    let (insert, action) = statement.sql.split_once(ON_DUPLICATE_KEY)?;
    let returning = action.find(" RETURNING ").map_or("", |at| &action[at..]);
    let sql = format!("{insert}{returning}");
    Some(Statement { sql, values: statement.values.clone(), db_backend: statement.db_backend })
}

#[cfg(test)]
mod tests {
    use sea_orm::DbBackend;

    use super::*;

    #[test]
    fn a_plain_insert_returns_what_it_did() {
        let plain = |sql: &str| plain_insert(&Statement::from_string(DbBackend::MySql, sql)).map(|it| it.sql);
        let insert = "INSERT INTO `a` (`b`) VALUES (?)";
        let with = |rest: &str| plain(&format!("{insert}{rest}"));
        assert_eq!(with(" ON DUPLICATE KEY UPDATE `b` = `b`").as_deref(), Some(insert));
        let returning = with(" ON DUPLICATE KEY UPDATE `b` = `b` RETURNING `b`");
        assert_eq!(returning, Some(format!("{insert} RETURNING `b`")));
        assert_eq!(with(""), None);
    }

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
