//! A day of the service: requests that it sends to itself.

use std::{error::Error, fmt};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Method, Request, StatusCode},
};
use serde_json::{Value, json};
use tower::ServiceExt;

/// A request and what was answered.
#[derive(Debug)]
pub struct Exchange {
    pub method: Method,
    pub path: String,
    /// Team and user.
    pub caller: (&'static str, &'static str),
    pub status: StatusCode,
    /// JSON, or a string of the text that was answered.
    pub answer: Value,
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, path, caller: (team, user), status, answer } = self;
        write!(f, "{:<6} {path:<22} {team}/{user:<6} {} {answer}", method.as_str(), status.as_u16())
    }
}

/// Sends one request as this user of this team.
pub async fn send(
    app: &Router,
    caller: (&'static str, &'static str),
    method: Method,
    path: &str,
    body: Value,
) -> Result<Exchange, Box<dyn Error>> {
    let request = Request::builder()
        .method(method.clone())
        .uri(path)
        .header("x-team", caller.0)
        .header("x-user", caller.1)
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))?;
    let response = app.clone().oneshot(request).await?;
    let status = response.status();
    let bytes = to_bytes(response.into_body(), 1 << 20).await?;
    let answer = serde_json::from_slice(&bytes)
        .unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned().into());
    Ok(Exchange { method, path: path.to_owned(), caller, status, answer })
}

/// Two campaigns of one team and a nosy other team.
pub async fn run(app: &Router) -> Result<Vec<Exchange>, Box<dyn Error>> {
    const ADA: (&str, &str) = ("acme", "ada");
    const GRACE: (&str, &str) = ("acme", "grace");
    const EVE: (&str, &str) = ("other", "eve");

    let spring =
        send(app, ADA, Method::POST, "/campaigns", json!({"name": "Spring", "budget": 100_000})).await?;
    let path = format!("/campaigns/{}", spring.answer["id"]);
    let (status, comments) = (format!("{path}/status"), format!("{path}/comments"));
    let mut exchanges = vec![spring];
    for (caller, method, path, body) in [
        (ADA, Method::PATCH, &path, json!({"budget": 250_000})),
        (GRACE, Method::POST, &comments, json!({"text": "the new budget is fine"})),
        (GRACE, Method::POST, &status, json!({"status": "live", "comment": "launch day"})),
        (GRACE, Method::POST, &status, json!({"status": "draft", "comment": "too late for that"})),
        (EVE, Method::PATCH, &path, json!({"budget": 1})),
        (ADA, Method::GET, &comments, Value::Null),
        (ADA, Method::DELETE, &path, Value::Null),
        (ADA, Method::GET, &path, Value::Null),
    ] {
        exchanges.push(send(app, caller, method, path, body).await?);
    }
    Ok(exchanges)
}
