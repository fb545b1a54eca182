//! What a request can fail with, and the response that it makes.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};

use crate::entities::campaign::Status;

type Source = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug)]
pub enum Error {
    NoSuchCampaign,
    Transition { from: Status, to: Status },
    Internal(Source),
}

impl<E: Into<Source>> From<E> for Error {
    fn from(error: E) -> Self {
        Self::Internal(error.into())
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        match self {
            Self::NoSuchCampaign => (StatusCode::NOT_FOUND, "no such campaign").into_response(),
            Self::Transition { from, to } => {
                let message = format!("a campaign that is {from:?} cannot become {to:?}");
                (StatusCode::CONFLICT, message).into_response()
            }
            Self::Internal(source) => {
                eprintln!("internal error: {source}");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}
