//! Who calls. Two headers stand in for authentication.

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
};

/// A user of a team.
#[derive(Debug, Clone)]
pub struct Caller {
    pub team: String,
    pub user: String,
}

impl Caller {
    /// The caller whom the headers name.
    pub fn of(request: &Parts) -> Result<Self, StatusCode> {
        let header = |name| {
            let value = request.headers.get(name).and_then(|value| value.to_str().ok());
            value.filter(|value| !value.is_empty()).map(str::to_owned).ok_or(StatusCode::UNAUTHORIZED)
        };
        Ok(Self { team: header("x-team")?, user: header("x-user")? })
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = StatusCode;

    async fn from_request_parts(request: &mut Parts, _state: &S) -> Result<Self, StatusCode> {
        Self::of(request)
    }
}
