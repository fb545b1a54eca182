//! Names that a secret is likely to have: `all` must not record one by accident, for what is recorded stays.

use heck::ToSnakeCase;
use syn::{Type, ext::IdentExt};

use super::{
    check::type_name,
    model::{Field, Model},
    transitions::in_option,
};
use crate::errors::Errors;

/// Words of a name, and what it then holds. Whole words, in singular: `tokenizer` and `secretary` are no secrets.
const NAMES: [(&str, &str); 32] = [
    ("password", PASSWORD),
    ("passwd", PASSWORD),
    ("pwd", PASSWORD),
    ("passphrase", PASSWORD),
    ("passcode", PASSWORD),
    ("pin", PASSWORD),
    ("pin_code", PASSWORD),
    // Whoever knows one is taken for its owner, as long as it is valid.
    ("token", TOKEN),
    ("jwt", TOKEN),
    ("otp", TOKEN),
    ("totp", TOKEN),
    ("cookie", TOKEN),
    ("session_id", TOKEN),
    ("recovery_code", TOKEN),
    ("backup_code", TOKEN),
    ("reset_code", TOKEN),
    ("verification_code", TOKEN),
    ("secret", SECRET),
    ("credential", SECRET),
    ("salt", SECRET), // worth as much as the hash that it belongs to
    ("api_key", KEY),
    ("apikey", KEY),
    ("access_key", KEY),
    ("auth_key", KEY),
    ("session_key", KEY),
    ("secret_key", KEY),
    ("private_key", KEY),
    ("signing_key", KEY),
    ("encryption_key", KEY),
    ("ssh_key", KEY),
    // Card schemes forbid to store it.
    ("cvv", CARD),
    ("cvc", CARD),
];

const PASSWORD: &str = "a password";
const TOKEN: &str = "a token";
const SECRET: &str = "a secret";
const KEY: &str = "a secret key";
const CARD: &str = "the code of a card";

/// `all` tracks what nobody named: where that may be a secret, somebody must say so.
pub(super) fn are_named(model: &Model, errors: &mut Errors) {
    if model.all.is_none() {
        return;
    }
    for field in model.tracked().filter(|field| field.track.is_none()) {
        if let Some(what) = secret_in(field) {
            errors.at(
                &field.ident,
                format!(
                    "by its name this is {what}, and `all` would record it for good: write `#[track(redact)]` to record that it \
                     changed and never its value, `#[track(skip)]` to leave it out, or `#[track]` if the log may hold it"
                ),
            );
        }
    }
}

/// What a field holds, if its name or its column's is that of a secret and its type can hold one.
fn secret_in(field: &Field) -> Option<&'static str> {
    if cannot_hold_one(&field.ty) {
        return None;
    }
    let names = [field.ident.unraw().to_string(), field.column.name.clone()];
    names.iter().find_map(|name| secret_named(name))
}

fn secret_named(name: &str) -> Option<&'static str> {
    let singular = |word: &str| word.strip_suffix('s').unwrap_or(word).to_owned();
    let words: Vec<String> = name.to_snake_case().split('_').map(singular).collect();
    let has = |secret: &str| {
        let secret: Vec<&str> = secret.split('_').collect();
        words.windows(secret.len()).any(|words| words == secret)
    };
    NAMES.iter().find(|(secret, _)| has(secret)).map(|(_, what)| *what)
}

/// `has_password: bool`, `token_expires_at: DateTimeUtc`.
fn cannot_hold_one(ty: &Type) -> bool {
    let name = type_name(in_option(ty).unwrap_or(ty));
    name.is_some_and(|name| name == "bool" || name.contains("Date") || name.contains("Time"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_whole_words() {
        for name in [
            "password",
            "password_hash",
            "passwords",
            "hashedPassword",
            "api_key",
            "apiKey",
            "stripe_api_keys",
            "reset_token",
            "totp_secret",
            "client_secret",
            "pin",
            "recovery_codes",
            "cvv",
        ] {
            assert!(secret_named(name).is_some(), "{name}");
        }
        for name in [
            "name",
            "key",
            "tokenizer",
            "secretary",
            "spin",
            "pinned",
            "key_api",
            "compass",
            "asset",
            "access",
        ] {
            assert!(secret_named(name).is_none(), "{name}");
        }
    }
}
