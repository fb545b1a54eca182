//! What a policy's condition says, as the database prints it: whether it compares the team's column with a setting.
//!
//! Known forms are read, and nothing else: a condition that says the same in other words is not recognised.

use super::sql::TEAM_TYPES;

/// The setting that this condition compares with the column, if it lets nothing through but rows of that team. Further
/// conditions that are joined to it by AND may stand beside it.
pub(crate) fn setting_compared(condition: &str, column: &str) -> Option<String> {
    conjuncts(condition).into_iter().find_map(|conjunct| {
        let [left, right] = split(unwrapped(conjunct), " = ").try_into().ok()?;
        match (is_column(left, column), is_column(right, column)) {
            (true, false) => setting(right),
            (false, true) => setting(left),
            _ => None,
        }
    })
}

/// The parts of a condition that must all hold.
fn conjuncts(condition: &str) -> Vec<&str> {
    let condition = unwrapped(condition);
    match split(condition, " AND ") {
        parts if parts.len() > 1 && split(condition, " OR ").len() == 1 => {
            parts.into_iter().flat_map(conjuncts).collect()
        }
        _ => vec![condition],
    }
}

/// Whether this is the column, as it is or as text: another cast could make two teams equal.
fn is_column(expression: &str, column: &str) -> bool {
    let quoted = super::sql::identifier(column);
    let name = without_cast(unwrapped(expression), &["text", "character varying"]);
    name == column || name == quoted
}

/// The setting whose value this is, in whatever type.
fn setting(expression: &str) -> Option<String> {
    let expression = without_cast(unwrapped(expression), &TEAM_TYPES);
    if let Some(selected) = expression.strip_prefix("SELECT ") {
        let value = split(selected, " AS ").into_iter().next()?;
        let is_more = [" FROM ", " WHERE ", " LIMIT "].iter().any(|word| split(selected, word).len() > 1);
        return if is_more { None } else { setting(value) };
    }
    if let Some(arguments) = arguments(expression, "NULLIF") {
        let [value, empty] = arguments.try_into().ok()?;
        return if without_cast(empty, &TEAM_TYPES) == "''" { setting(value) } else { None };
    }
    let name = *arguments(expression, "current_setting")?.first()?;
    let name = without_cast(name, &TEAM_TYPES).strip_prefix('\'')?.strip_suffix('\'')?;
    super::sql::check_setting(name).is_ok().then(|| name.to_owned())
}

/// What a call of this function is given.
fn arguments<'a>(expression: &'a str, function: &str) -> Option<Vec<&'a str>> {
    let inside = expression.strip_prefix(function)?.strip_prefix('(')?.strip_suffix(')')?;
    Some(split(inside, ", "))
}

/// Without a cast to one of these types.
fn without_cast<'a>(expression: &'a str, types: &[&str]) -> &'a str {
    match split(expression, "::").as_slice() {
        [value, name] if types.contains(name) => without_cast(unwrapped(value), types),
        _ => expression,
    }
}

/// Without the parentheses around all of it.
fn unwrapped(expression: &str) -> &str {
    let expression = expression.trim();
    let inside = expression.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    match inside {
        Some(inside) if is_balanced(inside) => unwrapped(inside),
        _ => expression,
    }
}

fn is_balanced(text: &str) -> bool {
    let mut lowest = 0;
    let end = walk(text, |_, depth| lowest = lowest.min(depth));
    lowest == 0 && end == 0
}

/// The parts between these words, outside of parentheses and quotes.
fn split<'a>(text: &'a str, word: &str) -> Vec<&'a str> {
    let mut places = Vec::new();
    walk(text, |at, depth| {
        if depth == 0 && text[at..].starts_with(word) {
            places.push(at);
        }
    });
    let mut parts = Vec::new();
    let mut from = 0;
    for at in places.into_iter().filter(|at| text.is_char_boundary(*at)) {
        if at >= from {
            parts.push(&text[from..at]);
            from = at + word.len();
        }
    }
    parts.push(&text[from..]);
    parts
}

/// Visits each character outside of quotes with the depth of parentheses after it; answers the last depth.
fn walk(text: &str, mut visit: impl FnMut(usize, i32)) -> i32 {
    let (mut depth, mut quote) = (0, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => {
                visit(at, depth);
                quote = Some(c);
            }
            (None, _) => {
                depth += i32::from(c == '(') - i32::from(c == ')');
                visit(at, depth);
            }
        }
    }
    depth
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(condition: &str, expected: Option<&str>) {
        assert_eq!(setting_compared(condition, "team_id").as_deref(), expected, "{condition}");
    }

    #[test]
    fn comparisons_with_a_setting_are_read() {
        for condition in [
            "((team_id)::text = NULLIF(current_setting('app.team_id'::text, true), ''::text))",
            "(team_id = (NULLIF(current_setting('app.team_id'::text, true), ''::text))::integer)",
            "(team_id = NULLIF(current_setting('app.team_id'::text, true), ''::text))",
            "(team_id = (current_setting('app.team_id'::text))::uuid)",
            "((current_setting('app.team_id'::text, true))::bigint = team_id)",
            "(team_id = ( SELECT (current_setting('app.team_id'::text))::uuid AS current_setting))",
            "((team_id = (current_setting('app.team_id'::text))::uuid) AND (NOT hidden))",
            "((name <> ')'::text) AND ((a = 1) OR (b = 2)) AND (team_id = (current_setting('app.team_id'::text))::uuid))",
        ] {
            check(condition, Some("app.team_id"));
        }
        check("((team_id)::text = current_setting('other.team'::text))", Some("other.team"));
        let quoted = "(\"The Team\" = current_setting('app.team_id'::text))";
        assert_eq!(setting_compared(quoted, "The Team").as_deref(), Some("app.team_id"));
    }

    #[test]
    fn whatever_lets_more_through_is_not_one() {
        for condition in [
            "true",
            "",
            "(team_id = 7)",
            "(team_id = team_id)",
            "(owner_id = (current_setting('app.team_id'::text))::uuid)",
            "((team_id = (current_setting('app.team_id'::text))::uuid) OR is_public)",
            "((team_id = (current_setting('app.team_id'::text))::uuid) OR (a AND b))",
            "(team_id <> (current_setting('app.team_id'::text))::uuid)",
            "(team_id = COALESCE((current_setting('app.team_id'::text, true))::uuid, team_id))",
            "(team_id = NULLIF(current_setting('app.team_id'::text, true), 'all'::text))",
            "(lower(team_id) = current_setting('app.team_id'::text))",
            "((team_id)::character varying(1) = current_setting('app.team_id'::text))",
            "((team_id)::citext = current_setting('app.team_id'::text))",
            "(team_id = ( SELECT current_setting('app.team_id'::text) AS current_setting FROM teams))",
            "(team_id = other('current_setting(''app.team_id'')'::text))",
            "(NOT (team_id = current_setting('app.team_id'::text)))",
            "((team_id = current_setting('app.team_id'::text)) = false)",
            "(NOT team_id = current_setting('app.team_id'::text))",
        ] {
            check(condition, None);
        }
    }
}
