//! A value's digest, for what is too large, or too much, to be recorded.

use std::fmt::Write;

use sea_orm::Value;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use super::{Kind, ValueError, is_null, odd, recorded};

/// SHA-256 in hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let mut digits = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        // Writing to a `String` does not fail.
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

/// The length in bytes and the SHA-256 of a value, as they are recorded in its place: of text and bytes as they are, of
/// anything else as the JSON text that would be recorded. NULL stays `null`.
pub(crate) fn digested(value: &Value, kind: Kind) -> Result<Json, ValueError> {
    let of = |bytes: &[u8]| json!({odd::DIGEST: sha256(bytes), "length": bytes.len()});
    Ok(match value {
        value if is_null(value) => Json::Null,
        Value::String(Some(text)) => of(text.as_bytes()),
        Value::Bytes(Some(bytes)) => of(bytes),
        Value::Json(Some(json)) => of(json.to_string().as_bytes()),
        other => of(recorded(other, kind)?.to_string().as_bytes()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_and_digest_stand_for_the_value() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let check = |value: Value, expected| assert_eq!(digested(&value, Kind::Text), Ok(expected));
        check("".into(), json!({"$sha256": empty, "length": 0}));
        check(Vec::<u8>::new().into(), json!({"$sha256": empty, "length": 0}));
        check(Value::String(None), Json::Null);
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        check("abc".into(), json!({"$sha256": abc, "length": 3}));
    }
}
