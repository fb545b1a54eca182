//! `EventConnection` as an argument of axum handlers.

use axum_core::extract::FromRequestParts;
use http::{StatusCode, request::Parts};

use crate::connection::EventConnection;

const MISSING: &str = "no `EventConnection` in the request: add `EventsLayer` around this route";

/// The connection that `EventsLayer` (feature `tower`), or a middleware of your own, put into the request's
/// extensions.
///
/// # Errors
/// Status 500 with a text that names the layer, where nothing put it there. That is a mistake in the router, so it is
/// logged as an error too.
///
/// # Examples
/// ```
/// use axum::{Router, body::Body, http::Request, middleware::{Next, from_fn_with_state}, routing::get};
/// use axum::{extract::State, response::Response};
/// use events_sea_orm::{Context, EventConnection, Events};
/// use tower::ServiceExt;
///
/// async fn whoami(db: EventConnection) -> String {
///     db.context().actor_id().unwrap_or_default().to_owned()
/// }
///
/// // `EventsLayer` does this too. Written by hand, it may wait for something.
/// async fn context(State(events): State<Events>, mut request: Request<Body>, next: Next) -> Response {
///     let db = events.connection(Context::team(7).actor("ada"));
///     request.extensions_mut().insert(db);
///     next.run(request).await
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut options = sea_orm::ConnectOptions::new("sqlite::memory:");
/// # options.max_connections(1);
/// # let pool = sea_orm::Database::connect(options).await?;
/// let events = Events::builder(pool).build().await?;
/// let app = Router::new().route("/", get(whoami));
/// assert_eq!(app.clone().oneshot(Request::new(Body::empty())).await?.status(), 500);
///
/// let app = app.layer(from_fn_with_state(events, context));
/// assert_eq!(app.oneshot(Request::new(Body::empty())).await?.status(), 200);
/// # Ok(()) }
/// ```
impl<S: Sync> FromRequestParts<S> for EventConnection {
    type Rejection = (StatusCode, &'static str);

    async fn from_request_parts(request: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        request.extensions.get().cloned().ok_or_else(|| {
            tracing::error!(path = request.uri.path(), "{MISSING}");
            (StatusCode::INTERNAL_SERVER_ERROR, MISSING)
        })
    }
}
