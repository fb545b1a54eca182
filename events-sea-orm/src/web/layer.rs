//! The tower layer.

use std::{
    future::Future,
    pin::Pin,
    task::{self, Poll},
};

use events_core::Context;
use http::{Request, Response, StatusCode, request::Parts};
use tower_layer::Layer;
use tower_service::Service;

use super::status_of;
use crate::{events::Events, scope::ScopeError};

/// Makes the context once per request: the handlers find an [`EventConnection`](crate::EventConnection) in the
/// request's extensions. In axum they take it as an argument (feature `axum`), or as `Extension<EventConnection>`.
///
/// `make_context` reads the request's head. Put the layer *inside* the authentication, which may be asynchronous and
/// leaves the user in the extensions. `Err` is the answer to a request without a usable user: the handler does not
/// run.
///
/// A context without a team, or with an identifier that cannot be stored, lets a request read. What it writes is
/// refused.
///
/// # Examples
/// ```
/// use events_sea_orm::{Context, EventConnection, Events, EventsLayer};
/// use http::{Request, Response, StatusCode};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// #[derive(Clone)]
/// struct User {
///     team: u32,
///     name: &'static str,
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut options = sea_orm::ConnectOptions::new("sqlite::memory:");
/// # options.max_connections(1);
/// # let pool = sea_orm::Database::connect(options).await?;
/// let events = Events::builder(pool).build().await?;
/// let layer = EventsLayer::new(events, |request| {
///     let user = request.extensions.get::<User>().ok_or(StatusCode::UNAUTHORIZED)?;
///     let agent = request.headers.get("user-agent").and_then(|agent| agent.to_str().ok());
///     Ok(Context::team(user.team).actor(user.name).request("user_agent", agent))
/// });
/// let service = layer.layer(service_fn(async |request: Request<String>| {
///     let db = request.extensions().get::<EventConnection>().ok_or("the layer put it there")?;
///     Ok::<_, &str>(Response::new(db.context().actor_id().unwrap_or_default().to_owned()))
/// }));
///
/// let authenticated = Request::builder().extension(User { team: 7, name: "ada" }).body(String::new())?;
/// assert_eq!(service.clone().oneshot(authenticated).await?.into_body(), "ada");
/// assert_eq!(service.oneshot(Request::new(String::new())).await?.status(), StatusCode::UNAUTHORIZED);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct EventsLayer<F> {
    events: Events,
    make_context: F,
    scoped: bool,
}

impl<F> EventsLayer<F>
where
    F: Fn(&Parts) -> Result<Context, StatusCode>,
{
    /// For handlers that take the connection.
    pub fn new(events: Events, make_context: F) -> Self {
        Self { events, make_context, scoped: false }
    }

    /// For handlers that keep plain transactions as well: the whole request runs inside [`Events::scope`], and what
    /// is promised there holds for it. What a streamed response body does, and tasks that a handler spawns, run
    /// outside.
    ///
    /// An unusable context is answered with [`status_of`] its refusal, before the handler runs.
    ///
    /// Where a save left no event ([`ScopeError::Unfinished`]), a response that claims success is replaced by an
    /// empty one of status 500, and an error that names the objects is logged. The handler has committed or rolled
    /// back by then: this tells of a missing event and undoes nothing. A response of status 400 and above stands,
    /// with a warning: a save that failed is the usual reason for both.
    pub fn scoped(events: Events, make_context: F) -> Self {
        Self { events, make_context, scoped: true }
    }
}

impl<F> std::fmt::Debug for EventsLayer<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventsLayer").field("scoped", &self.scoped).finish_non_exhaustive()
    }
}

impl<S, F: Clone> Layer<S> for EventsLayer<F> {
    type Service = EventsService<S, F>;

    fn layer(&self, inner: S) -> Self::Service {
        EventsService { layer: self.clone(), inner }
    }
}

/// What [`EventsLayer`] makes of a service.
#[derive(Debug, Clone)]
pub struct EventsService<S, F> {
    layer: EventsLayer<F>,
    inner: S,
}

impl<S, F, B, C> Service<Request<B>> for EventsService<S, F>
where
    S: Service<Request<B>, Response = Response<C>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    F: Fn(&Parts) -> Result<Context, StatusCode>,
    C: Default + Send + 'static,
{
    type Response = Response<C>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<C>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        let context = match (self.layer.make_context)(&head) {
            Ok(context) => context,
            Err(status) => return Box::pin(async move { Ok(empty(status)) }),
        };
        let events = self.layer.events.clone();
        head.extensions.insert(events.connection(context.clone()));
        let answer = self.inner.call(Request::from_parts(head, body));
        if self.layer.scoped {
            Box::pin(async move { events.scope(context, answer).await.unwrap_or_else(told) })
        } else {
            Box::pin(answer)
        }
    }
}

/// What is answered instead, where a scope did not end well.
fn told<C: Default, E>(error: ScopeError<Result<Response<C>, E>>) -> Result<Response<C>, E> {
    let log = "saves in a request left no event";
    match error {
        ScopeError::Refused(refused) => {
            tracing::error!(%refused, "the context of a request cannot be used");
            Ok(empty(status_of(&refused.into())))
        }
        ScopeError::Unfinished { output, objects, cause } => {
            let cause = cause.as_ref().map(tracing::field::display);
            let status = output.as_ref().map(Response::status);
            if status.is_ok_and(|status| !status.is_client_error() && !status.is_server_error()) {
                tracing::error!(?objects, cause, "{log}; it is answered with status 500");
                Ok(empty(StatusCode::INTERNAL_SERVER_ERROR))
            } else {
                tracing::warn!(?objects, cause, "{log}; it was not answered with success");
                output
            }
        }
    }
}

fn empty<C: Default>(status: StatusCode) -> Response<C> {
    let mut response = Response::new(C::default());
    *response.status_mut() = status;
    response
}
