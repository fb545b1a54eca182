//! JSON as a reader compares it.

use serde_json::Value as Json;

/// `==`, and a number is the same in any spelling: PostgreSQL turns `1e16` into `10000000000000000`.
pub fn alike(left: &Json, right: &Json) -> bool {
    match (left, right) {
        (Json::Number(l), Json::Number(r)) if l.is_f64() || r.is_f64() => l.as_f64() == r.as_f64(),
        (Json::Array(l), Json::Array(r)) => {
            l.len() == r.len() && l.iter().zip(r).all(|(left, right)| alike(left, right))
        }
        (Json::Object(l), Json::Object(r)) => {
            l.len() == r.len()
                && l.iter().all(|(key, left)| r.get(key).is_some_and(|right| alike(left, right)))
        }
        _ => left == right,
    }
}
