//! Names and texts as they stand in SQL.

/// The types that a column of teams may have for policies of the library's: what a team's text is cast to, and how the database
/// prints the comparison, are known. Two teams never compare as one, as they do in `citext`, `char(n)` or `name`.
pub(crate) const TEAM_TYPES: [&str; 6] =
    ["text", "character varying", "integer", "bigint", "smallint", "uuid"];

/// Such a type as the database prints it, by the names that it has in SQL.
#[cfg(feature = "migration")]
pub(crate) fn team_type(name: &str) -> Option<&'static str> {
    let name = name.trim().to_ascii_lowercase();
    let name = match name.as_str() {
        "varchar" => "character varying",
        "int" | "int4" => "integer",
        "int8" => "bigint",
        "int2" => "smallint",
        other => other,
    };
    TEAM_TYPES.into_iter().find(|known| *known == name)
}

/// A name, so that it is taken as it is.
pub(crate) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text. A backslash means itself, whatever the server is set to.
pub(crate) fn literal(text: &str) -> String {
    let quoted = format!("'{}'", text.replace('\'', "''").replace('\\', "\\\\"));
    if text.contains('\\') { format!("E{quoted}") } else { quoted }
}

/// Why this cannot be the name of a role that is granted rights.
#[cfg(feature = "migration")]
pub(crate) fn check_role(name: &str) -> Result<(), String> {
    let problem = match name {
        "" => "is empty",
        // To a GRANT they mean everybody and nobody, in quotes too.
        "public" | "none" => "is a word of SQL",
        _ if name.starts_with("pg_") => "begins with `pg_`, which the database keeps to itself",
        _ if name.len() > 63 => "is longer than the 63 bytes that a name may have",
        _ if name.contains('\0') => "contains a NUL",
        _ => return Ok(()),
    };
    Err(format!("the role name `{}` {problem}: choose another", name.escape_debug()))
}

/// Why this cannot be the name of a setting of an application's own.
pub(crate) fn check_setting(name: &str) -> Result<(), String> {
    let is_word = |word: &str| {
        !word.starts_with(|first: char| first.is_ascii_digit() || first == '$')
            && !word.is_empty()
            && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$')
    };
    if name.len() <= 63 && name.contains('.') && name.split('.').all(is_word) {
        return Ok(());
    }
    Err(format!(
        "the setting `{}` cannot be: expected words of letters, digits and `_` with a dot between, such as `app.team_id`",
        name.escape_debug()
    ))
}

/// A table as SQL names it: `campaigns`, `sales.campaigns`, `"Odd.Name"."t"`. Parts without quotes are taken as they are,
/// as SeaORM takes them.
#[cfg(feature = "migration")]
pub(crate) fn table(name: &str) -> Result<String, String> {
    let parts = parts(name).filter(|parts| parts.len() <= 2 && parts.iter().all(|part| !part.is_empty()));
    let parts = parts.ok_or_else(|| {
        format!(
            "`{}` is no table: expected `table` or `schema.table`, parts with a dot or a quote in double quotes",
            name.escape_debug()
        )
    })?;
    Ok(parts.iter().map(|part| identifier(part)).collect::<Vec<_>>().join("."))
}

#[cfg(feature = "migration")]
fn parts(name: &str) -> Option<Vec<String>> {
    let (mut parts, mut rest) = (Vec::new(), name);
    loop {
        let (part, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_part(quoted)?,
            None => {
                let end = rest.find('.').unwrap_or(rest.len());
                let (part, after) = rest.split_at(end);
                if part.contains('"') {
                    return None;
                }
                (part.to_owned(), after)
            }
        };
        if part.contains('\0') {
            return None;
        }
        parts.push(part);
        rest = match after.strip_prefix('.') {
            Some(rest) => rest,
            None if after.is_empty() => return Some(parts),
            None => return None,
        };
    }
}

/// What stands before the closing quote, and what comes after it.
#[cfg(feature = "migration")]
fn quoted_part(quoted: &str) -> Option<(String, &str)> {
    let (mut part, mut rest) = (String::new(), quoted);
    loop {
        let (before, after) = rest.split_once('"')?;
        part.push_str(before);
        match after.strip_prefix('"') {
            Some(more) => {
                part.push('"');
                rest = more;
            }
            None => return Some((part, after)),
        }
    }
}

/// A body between dollar quotes that do not occur in it.
#[cfg(feature = "migration")]
pub(crate) fn dollar_quoted(body: &str) -> String {
    let tag = std::iter::successors(Some(String::from("$$")), |tag| Some(format!("$_{}", &tag[1..])))
        .find(|tag| !body.contains(tag.as_str()))
        .unwrap_or_default();
    format!("{tag}{body}{tag}")
}

#[cfg(all(test, feature = "migration"))]
mod tests {
    use super::*;

    #[test]
    fn tables_are_quoted_part_by_part() {
        for (given, expected) in [
            ("campaigns", r#""campaigns""#),
            ("Sales.Campaigns", r#""Sales"."Campaigns""#),
            (r#""a.b"."c""d""#, r#""a.b"."c""d""#),
            (r#"a."b c""#, r#""a"."b c""#),
        ] {
            assert_eq!(table(given).unwrap(), expected);
        }
        for given in ["", ".", "a.", ".a", "a.b.c", r#"a"b"#, r#""a"#, r#""a"b"#, r#""""#, "a\0"] {
            assert!(table(given).is_err(), "{given}");
        }
    }

    #[test]
    fn names_that_mean_something_else_are_refused() {
        for name in ["", "public", "none", "pg_monitor", "a\0b", &"x".repeat(64)] {
            assert!(check_role(name).is_err(), "{name}");
        }
        for name in ["shop_app", "Shop App", "o'brien", r#"a"b"#, r"a\b", "été", &"x".repeat(63)] {
            check_role(name).unwrap();
        }
        for name in ["", "team_id", "app.", ".a", "app.team id", "app.1", "app.a'b", "app.$a", "app..a"] {
            assert!(check_setting(name).is_err(), "{name}");
        }
        for name in ["app.team_id", "App.Team", "my.own.team1"] {
            check_setting(name).unwrap();
        }
    }

    #[test]
    fn texts_and_bodies_end_where_they_should() {
        assert_eq!(literal("o'brien"), "'o''brien'");
        assert_eq!(literal(r"a\'"), r"E'a\\'''");
        assert_eq!(identifier(r#"a"b"#), r#""a""b""#);
        assert_eq!(dollar_quoted("x"), "$$x$$");
        assert_eq!(dollar_quoted("a $$ b"), "$_$a $$ b$_$");
    }
}
