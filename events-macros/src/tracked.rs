//! `#[derive(Tracked)]`: the whole story.

mod check;
mod column;
mod expand;
mod model;
mod secrets;
mod thread;
mod transitions;

use proc_macro2::TokenStream;
use syn::DeriveInput;

use crate::errors::Errors;

pub(crate) fn derive(input: TokenStream) -> TokenStream {
    let input: DeriveInput = match syn::parse2(input) {
        Ok(input) => input,
        Err(error) => return error.into_compile_error(),
    };
    let mut errors = Errors::default();
    // `#[sea_orm::model]` copies the derive to the struct that it makes beside `Model`, relations included.
    if input.ident == "ModelEx" {
        check::relations(&input, &mut errors);
        return errors.into_tokens();
    }
    let model = model::Model::parse(&input, &mut errors);
    if let Some(model) = &model {
        check::model(model, &mut errors);
    }
    match model {
        Some(model) if errors.is_empty() => expand::model(&model),
        model => expand::fallback(model.as_ref(), errors),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errors::messages;

    /// Derives on a model with this attribute and these fields; answers the messages of the errors, in order.
    #[track_caller]
    fn errors(attribute: &str, fields: &str) -> Vec<String> {
        let model = format!(
            "#[sea_orm(table_name = \"campaigns\")] {attribute} pub struct Model {{ #[sea_orm(primary_key)] pub id: i32, pub team_id: i32, {fields} }}"
        );
        messages(derive(model.parse().unwrap()))
    }

    #[track_caller]
    fn check(attribute: &str, fields: &str, expected: &str) {
        let found = errors(attribute, fields);
        assert!(found.len() == 1 && found[0].contains(expected), "{found:?}");
    }

    const TRACKED: &str = "#[tracked(team = \"team_id\")]";

    #[test]
    fn a_sound_model_has_no_errors() {
        for (attribute, fields) in [
            (TRACKED, "#[track] pub name: String"),
            (
                "#[tracked(team = context, all, object_type = \"x\")]",
                "pub r#type: String, #[track(skip)] pub a: i32",
            ),
            (
                "#[tracked(team = \"team_id\", crate = my::events)]",
                "#[track(state, rename = \"s\")] pub a: S, #[track(with = f)] pub b: i32",
            ),
            (
                "#[tracked(team = \"team_id\", soft_delete = \"gone\")]",
                "#[track] pub gone: Option<DateTimeUtc>",
            ),
            (
                "#[tracked(team = \"team_id\", all, soft_delete = \"was_gone\")]",
                "#[sea_orm(column_name = \"was_gone\")] pub gone: Own",
            ),
            (
                TRACKED,
                "#[track(state, transitions(A => [B, C], B => [C],), enforce)] pub s: Option<S>, #[track] pub b: i32",
            ),
            (
                "#[tracked(team = \"team_id\", thread = \"self\")]",
                "#[track(label = \"daily budget\", format = \"number\")] pub a: i32, #[track(redact, label = \"key\")] pub b: String",
            ),
            (
                "#[tracked(team = \"team_id\", thread(object_type = \"customer\", id = \"customer_id\", scope = \"campaign_id\"))]",
                "#[track(state, format = shown)] pub a: i32, pub customer_id: i32, pub campaign_id: Option<i32>",
            ),
            (
                "#[tracked(team = \"team_id\", thread(id = [\"film\", \"lang\"],))]",
                "#[track(format = my::shown)] pub film: i32, pub lang: String",
            ),
            ("#[tracked(team = \"tenant\")]", "#[sea_orm(column_name = \"tenant\")] #[track] pub t: i32"),
        ] {
            assert_eq!(errors(attribute, fields), [] as [&str; 0]);
        }
    }

    #[test]
    fn each_mistake_is_named_with_its_mend() {
        let field = "#[track] pub name: String";
        check("", field, "say whose rows these are: `#[tracked(team = \"team_id\")]`");
        check("#[tracked]", field, "say whose rows these are");
        check("#[tracked(all)]", field, "say whose rows these are");
        check(
            "#[tracked(team = \"tema_id\")]",
            field,
            "expected one of `id`, `team_id`, `name`, or `team = context`",
        );
        check("#[tracked(team = team_id)]", field, "expected a field's name in quotes, `team = \"team_id\"`");
        check(
            "#[tracked(team = \"team_id\", tem = 1)]",
            field,
            "expected `object_type`, `team`, `soft_delete`, `thread`, `behavior`, `all` or `crate`",
        );
        check("#[tracked(team = \"team_id\", team = context)]", field, "said twice");
        check("#[tracked(team = \"team_id\", object_type = \"\")]", field, "at least one character");
        let long = format!("#[tracked(team = \"team_id\", object_type = \"{}\")]", "x".repeat(192));
        check(&long, field, "at most 191 characters");
        check(
            "#[tracked(team = \"team_id\", object_type = 1)]",
            field,
            "expected text in quotes: `object_type = \"..\"`",
        );
        check(
            "#[tracked(team = \"team_id\", behavior = \"own\")]",
            field,
            "expected `behavior = \"custom\"`",
        );
        check("#[tracked(team = \"team_id\", all = true)]", field, "`all` stands alone");
        check("#[tracked = \"team_id\"]", field, "keys stand in parentheses: `#[tracked(..)]`");
        check(TRACKED, "pub name: String", "nothing is tracked");
        check(
            TRACKED,
            "#[track(redacted)] pub name: String",
            "expected `rename`, `renamed_from`, `skip`, `state`, `transitions`, `enforce`, `redact`, `digest`, `with`, `label` or `format`",
        );
        check(TRACKED, "#[track = \"x\"] pub name: String", "keys stand in parentheses: `#[track(..)]`");
        check(TRACKED, "#[track(state = 1)] pub name: String", "`state` stands alone");
        check(
            TRACKED,
            "#[track(rename = name)] pub name: String",
            "expected text in quotes: `rename = \"..\"`",
        );
        check(TRACKED, "#[track(rename = \"\")] pub name: String", "at least one character");
        check(TRACKED, "#[track] pub a: i32, #[track(rename = \"a\")] pub b: i32", "recorded as `a` already");
        check(TRACKED, "#[track] #[track(state)] pub name: String", "one `#[track(..)]` a field");
        check(TRACKED, "#[track(redact, state)] pub name: String", "drop `redact` or `state`");
        check(TRACKED, "#[track(redact, with = f)] pub name: String", "drop one of them");
        check(TRACKED, "#[track(redact, digest)] pub name: String", "a digest neither: drop one of them");
        check(TRACKED, "#[track(digest, state)] pub name: String", "drop `digest` or `state`");
        check(TRACKED, "#[track(digest, with = f)] pub name: String", "drop `digest` or `with`");
        check(TRACKED, "#[track(digest, format = \"number\")] pub name: String", "drop `digest` or `format`");
        check(TRACKED, "#[track(renamed_from = \"\")] pub name: String", "at least one character");
        check(TRACKED, "#[track(renamed_from = \"name\")] pub name: String", "is recorded as `name` now");
        check(
            TRACKED,
            "#[track(renamed_from = \"x\")] pub a: i32, #[track(renamed_from = \"x\")] pub b: i32",
            "another field was recorded as `x` already",
        );
        check(TRACKED, "#[track(skip)] pub name: String", "only under `#[tracked(all)]`");
        let all = "#[tracked(team = \"team_id\", all)]";
        check(all, "#[track(skip, state)] pub name: String", "takes no other key");
        check(
            TRACKED,
            "#[track(redact)] #[sea_orm(primary_key)] pub key: String",
            "a key cannot be redacted",
        );
        check("#[tracked(team = \"t\")]", "#[track(redact)] pub t: i32", "the team cannot be redacted");
        check(TRACKED, "#[track] #[sea_orm(ignore)] pub name: String", "this field is no column");
        check(TRACKED, "#[track] pub posts: HasMany<super::post::Entity>", "a relation is no column");
    }

    #[test]
    fn a_soft_delete_column_can_mark_a_row() {
        let marked = |attribute: &str| format!("#[tracked(team = \"team_id\", all, {attribute})]");
        let gone = marked("soft_delete = \"gone\"");
        check(&gone, "pub a: i32", "expected one of `id`, `team_id`, `a`");
        check(
            &marked("soft_delete = gone"),
            "pub gone: bool",
            "expected text in quotes: `soft_delete = \"..\"`",
        );
        check(&marked("soft_delete = \"id\""), "pub a: i32", "a key names its row");
        check(&marked("soft_delete = \"team_id\""), "pub a: i32", "the team of a row never changes");
        check(&gone, "#[track(redact)] pub gone: bool", "drop `redact`");
        check(&gone, "#[track(state)] pub gone: bool", "drop `state`");
        for ty in ["i32", "String", "Option<String>", "Option<Option<bool>>", "Vec<bool>", "Uuid", "(bool,)"]
        {
            check(&gone, &format!("pub gone: {ty}"), "cannot mark a row as deleted");
        }
        for ty in ["DateTimeUtc", "chrono::DateTime<Utc>", "OffsetDateTime", "Date"] {
            check(&gone, &format!("pub gone: {ty}"), "cannot say that a row is alive");
        }
        for ty in
            ["bool", "Option<bool>", "Option<chrono::DateTime<Utc>>", "Option<Date>", "Own", "Option<Own>"]
        {
            assert_eq!(errors(&gone, &format!("pub gone: {ty}")), [] as [&str; 0]);
        }
    }

    #[test]
    fn a_thread_is_told_by_columns() {
        let check = |thread: &str, expected: &str| {
            let attribute = format!("#[tracked(team = \"team_id\", {thread})]");
            check(&attribute, "#[track] pub a: i32, #[track(redact)] pub secret: i32", expected);
        };
        for thread in ["thread", "thread()", "thread = \"other\"", "thread = self", "thread = 1"] {
            check(thread, "expected `thread = \"self\"`, or `thread(object_type");
        }
        check("thread(ids = \"a\")", "no such key: expected `object_type`, `id` or `scope`");
        check("thread(id = \"a\", id = \"a\")", "said twice");
        check("thread(id = a)", "expected text in quotes, or several");
        check("thread(id = [])", "expected text in quotes, or several");
        check("thread(id = [\"a\", 1])", "expected text in quotes, or several");
        check("thread(scope = a)", "expected text in quotes: `scope = \"..\"`");
        check("thread(object_type = \"\")", "at least one character");
        check("thread(id = \"b\")", "expected one of `id`, `team_id`, `a`, `secret`");
        check("thread(scope = \"b\")", "expected one of `id`, `team_id`, `a`, `secret`");
        check("thread(id = \"secret\")", "stands in every event of the thread: drop `redact`");
        let several = "#[tracked(team = \"team_id\", thread(ids = \"a\", object_type = \"\", id = [\"b\", \"c\"], scope = \"d\"))]";
        assert_eq!(errors(several, "#[track] pub a: i32").len(), 5);
    }

    #[test]
    fn labels_and_formats_are_of_what_is_shown() {
        let check = |keys: &str, expected: &str| {
            check(TRACKED, &format!("#[track({keys})] pub name: String"), expected);
        };
        check("label = name", "expected text in quotes: `label = \"..\"`");
        check("label = \" \"", "a label has at least one character that can be seen");
        for format in ["format", "format = \"money\"", "format = 1", "format = |v| v.to_string()"] {
            check(format, "expected `\"plain\"`, `\"number\"`, `\"date\"`");
        }
        check("redact, format = \"number\"", "drop `redact` or `format`");
        let all = "#[tracked(team = \"team_id\", all)]";
        let found = errors(all, "#[track(skip, label = \"x\")] pub name: String");
        assert!(found.len() == 1 && found[0].contains("takes no other key"), "{found:?}");
    }

    #[test]
    fn transitions_are_declared_once_and_of_a_state() {
        let state = |keys: &str| format!("#[track({keys})] pub status: Status");
        let check = |keys: &str, expected: &str| check(TRACKED, &state(keys), expected);
        check("transitions(A => [B])", "add `state`");
        check("state, enforce", "add `transitions(..)`");
        check("state, enforce = true, transitions(A => [B])", "`enforce` stands alone");
        for keys in ["state, transitions", "state, transitions()", "state, transitions = \"A\""] {
            check(keys, "where each may go: `transitions(Draft => [Live])`");
        }
        check("state, transitions(A => B)", "expected a list of variants: `A => [..]`");
        check("state, transitions(A -> [B])", "expected `=>`");
        check("state, transitions(A => [])", "leave it out");
        check("state, transitions(A => [B], A => [C])", "join the two lists of `A`");
        check("state, transitions(A => [B, C, B])", "`B` is listed twice");
        check("state, transitions(A => [A, B])", "remove `A`");
        check("state, with = f, transitions(A => [B])", "drop `with` or `transitions`");
        check("stat, transitions(A => [B])", "no such key");
        check("state, transition(A => [B]), enforce", "no such key");
        check("state = 1, transitions(A => [B])", "`state` stands alone");
        let several = state("transitions(A => [A], B => [], A => [C, C]), rename = \"\"");
        assert_eq!(errors(TRACKED, &several).len(), 6);
    }

    #[test]
    fn all_tracks_no_secret_by_accident() {
        let all = "#[tracked(team = \"team_id\", all)]";
        check(all, "pub password_hash: String", "by its name this is a password, and `all` would record it");
        check(all, "#[sea_orm(column_name = \"apiKey\")] pub external: Option<String>", "a secret key");
        check(all, "pub reset_token: Vec<u8>", "`#[track(skip)]`");
        for fields in [
            "#[track] pub api_key: String",
            "#[track(redact)] pub api_key: String",
            "pub a: i32, #[track(skip)] pub api_key: String",
            "pub a: i32, #[sea_orm(ignore)] pub api_key: String",
            "#[sea_orm(primary_key)] pub token: String, pub a: i32",
            "pub has_password: bool, pub password_changed_at: Option<DateTimeUtc>",
        ] {
            assert_eq!(errors(all, fields), [] as [&str; 0]);
        }
        assert_eq!(errors(TRACKED, "#[track] pub a: i32, pub password: String"), [] as [&str; 0]);
    }

    #[test]
    fn all_mistakes_of_a_model_are_reported_together() {
        let found = errors(
            "#[tracked(team = \"nobody\")]",
            "#[track(redact, state)] pub a: i32, #[track(colour)] pub b: i32, #[track(skip)] pub c: i32",
        );
        assert_eq!(found.len(), 4, "{found:?}");
    }

    #[test]
    fn what_is_no_model_is_refused() {
        for (input, expected) in [
            ("#[tracked(team = context)] enum Model { A }", "goes on the `Model` struct"),
            ("#[tracked(team = context)] union Model { a: i32 }", "goes on the `Model` struct"),
            ("#[tracked(team = context)] struct Model(i32);", "named fields"),
            ("#[tracked(team = context)] struct Model;", "named fields"),
            ("#[tracked(team = context)] struct Model<T> { #[track] a: T }", "no generic parameters"),
        ] {
            let found = messages(derive(input.parse().unwrap()));
            assert!(found.len() == 1 && found[0].contains(expected), "{found:?}");
        }
    }

    #[test]
    fn a_mistake_causes_no_other() {
        for (attribute, fields, expected) in [
            ("#[tracked(tem = \"team_id\")]", "#[track] pub a: i32", "no such key"),
            ("#[tracked(team = \"team_id\", al)]", "pub a: i32", "no such key"),
            ("#[tracked(team = )]", "pub a: i32", "a value is missing"),
            ("#[tracked(team = \"team_id\", all(a))]", "#[track(skip)] pub a: i32", "`all` stands alone"),
            ("#[tracked(object_type = \"x\" team = \"team_id\")]", "#[track] pub a: i32", "expected `,`"),
        ] {
            check(attribute, fields, expected);
        }
    }

    /// SeaORM's own derive says what is wrong with them; ours must not stop the compiler from getting there.
    #[test]
    fn what_sea_orm_refuses_is_left_to_it() {
        for fields in ["#[track] pub _1: i32", "#[track] #[sea_orm(enum_name = \"two words\")] pub a: i32"] {
            assert_eq!(errors(TRACKED, fields), [] as [&str; 0]);
        }
    }

    #[test]
    fn a_team_may_be_written_as_the_field_is() {
        for name in ["r#abstract", "abstract"] {
            let attribute = format!("#[tracked(team = \"{name}\", all)]");
            assert_eq!(errors(&attribute, "pub r#abstract: i32, pub a: i32"), [] as [&str; 0]);
        }
    }

    #[test]
    fn the_struct_that_sea_orm_adds_expands_to_nothing() {
        let quiet = "#[tracked(team = context)] struct ModelEx { #[track] name: String }";
        assert!(derive(quiet.parse().unwrap()).is_empty());
        let relation = "struct ModelEx { #[track] posts: HasMany<super::post::Entity> }";
        assert_eq!(messages(derive(relation.parse().unwrap())).len(), 1);
    }
}
