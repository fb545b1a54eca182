//! Requests: the context made once for each, through the layer and the extractor, on every database.

use std::{
    fmt::Write,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Path, State},
    http::{Method, Request, StatusCode, request::Parts},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use events_sea_orm::{CommitError, Context, EventConnection, Events, EventsLayer, Refused, status_of};
use futures_util::future::join_all;
use sea_orm::{
    ActiveModelTrait, ConnectionTrait, DatabaseConnection, DbBackend, DbErr, EntityTrait, PaginatorTrait,
    Set, TransactionTrait, Unchanged,
};
use serde_json::json;
use tests::{TestDb, entities::campaign, new_campaign, types};
use tokio::sync::{Barrier, Notify};
use tower::ServiceExt;
use tracing::instrument::WithSubscriber;
use tracing_subscriber::{Layer, layer::SubscriberExt};

tests::conformance! {
    request_leaves_its_event,
    request_without_a_user_does_not_reach_the_handler,
    missing_layer_is_named,
    context_without_a_team_reads_only,
    row_of_another_team_is_not_found,
    concurrent_requests_do_not_mix,
    dropped_request_leaves_nothing,
    scoped_request_records_on_plain_transactions,
    concurrent_scoped_requests_do_not_mix,
    scoped_request_with_an_unusable_context_does_not_run,
    scoped_save_without_an_event_is_no_success,
    scoped_save_that_failed_keeps_its_answer,
    conflicts_have_their_status,
}

const CONCURRENT: usize = 16;

/// Whom `authenticate` leaves in the request's extensions.
#[derive(Clone)]
struct User {
    team: Option<i32>,
    name: String,
}

/// Reads `x-user: 7/ada`, and takes its time, as a look-up of a session would.
async fn authenticate(mut request: Request<Body>, next: Next) -> Response {
    tokio::task::yield_now().await;
    let header = request.headers().get("x-user").map(|user| user.to_str().unwrap().to_owned());
    if let Some((team, name)) = header.as_deref().and_then(|user| user.split_once('/')) {
        request.extensions_mut().insert(User { team: team.parse().ok(), name: name.to_owned() });
    }
    next.run(request).await
}

fn context_of(request: &Parts) -> Result<Context, StatusCode> {
    let User { team, name } = request.extensions.get().ok_or(StatusCode::UNAUTHORIZED)?;
    let context = team.map_or_else(Context::default, Context::team);
    Ok(context.actor(name).request("path", request.uri.path()))
}

struct Failure(DbErr);

impl<E: Into<DbErr>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        status_of(&self.0).into_response()
    }
}

#[derive(Clone)]
struct App {
    pool: DatabaseConnection,
    barrier: Arc<Barrier>,
    reached: Arc<Notify>,
}

/// A campaign of the team that the last part of `name` says: `spring-7`.
fn campaign_of(name: &str) -> campaign::ActiveModel {
    let team = name.rsplit_once('-').and_then(|(_, team)| team.parse().ok());
    campaign::ActiveModel { team_id: Set(team), ..new_campaign(name) }
}

async fn count(db: EventConnection) -> Result<String, Failure> {
    Ok(campaign::Entity::find().count(&db).await?.to_string())
}

async fn create(db: EventConnection, Path(name): Path<String>) -> Result<String, Failure> {
    let txn = db.begin().await?;
    let campaign = campaign_of(&name).insert(&txn).await?;
    txn.commit().await?;
    Ok(campaign.id.to_string())
}

async fn create_together(
    State(app): State<App>,
    db: EventConnection,
    name: Path<String>,
) -> Result<String, Failure> {
    app.barrier.wait().await;
    create(db, name).await
}

async fn create_and_hang(State(app): State<App>, db: EventConnection) -> Result<String, Failure> {
    let txn = db.begin().await?;
    campaign_of("hanging-7").insert(&txn).await?;
    app.reached.notify_one();
    std::future::pending::<()>().await;
    txn.commit().await?;
    Ok(String::new())
}

async fn raise(db: EventConnection, Path((id, budget)): Path<(i32, i64)>) -> Result<String, Failure> {
    let txn = db.begin().await?;
    let active = campaign::ActiveModel { id: Unchanged(id), budget: Set(budget), ..Default::default() };
    let campaign = active.update(&txn).await?;
    txn.commit().await?;
    Ok(campaign.budget.to_string())
}

async fn plain_create(State(app): State<App>, Path(name): Path<String>) -> Result<String, Failure> {
    let txn = app.pool.begin().await?;
    let campaign = campaign_of(&name).insert(&txn).await?;
    txn.commit().await?;
    Ok(campaign.id.to_string())
}

async fn plain_create_together(state: State<App>, name: Path<String>) -> Result<String, Failure> {
    state.barrier.wait().await;
    plain_create(state, name).await
}

async fn plain_blind_raise(
    State(app): State<App>,
    Path((id, budget)): Path<(i32, i64)>,
) -> Result<String, Failure> {
    let txn = app.pool.begin().await?;
    let active = campaign::ActiveModel { id: Unchanged(id), budget: Set(budget), ..Default::default() };
    active.update_without_returning(&txn).await?;
    txn.commit().await?;
    Ok("raised".to_owned())
}

fn routes() -> Router<App> {
    Router::new()
        .route("/campaigns", get(count))
        .route("/campaigns/{name}", post(create))
        .route("/together/{name}", post(create_together))
        .route("/hang", post(create_and_hang))
        .route("/raise/{id}/{budget}", put(raise))
        .route("/plain/{name}", post(plain_create))
        .route("/plain-together/{name}", post(plain_create_together))
        .route("/plain-blind-raise/{id}/{budget}", put(plain_blind_raise))
}

struct Service {
    router: Router,
    reached: Arc<Notify>,
}

impl Service {
    async fn new(db: &TestDb, layer: impl FnOnce(Events) -> EventsLayer<MakeContext>) -> Self {
        db.with_tables().await;
        let layer = layer(Events::builder(db.db.clone()).build().await.unwrap());
        let reached = Arc::new(Notify::new());
        let barrier = Arc::new(Barrier::new(CONCURRENT));
        let app = App { pool: db.db.clone(), barrier, reached: Arc::clone(&reached) };
        let router = routes().with_state(app).layer(layer).layer(from_fn(authenticate));
        Self { router, reached }
    }

    async fn units(db: &TestDb) -> Self {
        Self::new(db, |events| EventsLayer::new(events, context_of as MakeContext)).await
    }

    async fn scoped(db: &TestDb) -> Self {
        Self::new(db, |events| EventsLayer::scoped(events, context_of as MakeContext)).await
    }

    async fn send(&self, user: &str, method: Method, path: &str) -> (u16, String) {
        let mut request = Request::builder().method(method).uri(path);
        if !user.is_empty() {
            request = request.header("x-user", user);
        }
        answer(self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()).await
    }
}

type MakeContext = fn(&Parts) -> Result<Context, StatusCode>;

async fn answer(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), 1 << 16).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn rows(db: &TestDb) -> Vec<campaign::Model> {
    campaign::Entity::find().all(&db.db).await.unwrap()
}

async fn request_leaves_its_event(db: Arc<TestDb>) {
    let service = Service::units(&db).await;
    let (status, id) = service.send("7/ada", Method::POST, "/campaigns/spring-7").await;
    assert_eq!(status, 200);
    let log = db.log().await;
    assert_eq!(types(&log), ["CREATED"]);
    assert_eq!((log[0].team_id.as_str(), log[0].actor_id.as_deref()), ("7", Some("ada")));
    assert_eq!(log[0].object_id, Some(id));
    assert_eq!(log[0].context, json!({"request": {"path": "/campaigns/spring-7"}}));
}

async fn request_without_a_user_does_not_reach_the_handler(db: Arc<TestDb>) {
    let service = Service::units(&db).await;
    assert_eq!(service.send("", Method::POST, "/campaigns/spring-7").await, (401, String::new()));
    assert!(rows(&db).await.is_empty() && db.log().await.is_empty());
}

async fn missing_layer_is_named(db: Arc<TestDb>) {
    let app = App { pool: db.db.clone(), barrier: Arc::new(Barrier::new(1)), reached: Arc::default() };
    let said = Said::default();
    let request = Request::post("/campaigns/spring-7").body(Body::empty()).unwrap();
    let response = routes().with_state(app).oneshot(request);
    let response = response.with_subscriber(tracing_subscriber::registry().with(said.clone())).await.unwrap();
    let (status, text) = answer(response).await;
    assert_eq!(status, 500);
    assert!(text.contains("`EventsLayer`"), "{text}");
    assert!(said.errors().contains("`EventsLayer`"), "{}", said.errors());
}

async fn context_without_a_team_reads_only(db: Arc<TestDb>) {
    let service = Service::units(&db).await;
    assert_eq!(service.send("none/ada", Method::GET, "/campaigns").await, (200, "0".to_owned()));
    assert_eq!(service.send("none/ada", Method::POST, "/campaigns/spring-7").await, (403, String::new()));
    assert!(rows(&db).await.is_empty() && db.log().await.is_empty());
}

async fn row_of_another_team_is_not_found(db: Arc<TestDb>) {
    let service = Service::units(&db).await;
    let (_, id) = service.send("7/ada", Method::POST, "/campaigns/spring-7").await;
    let before = rows(&db).await;
    assert_eq!(service.send("8/eve", Method::PUT, &format!("/raise/{id}/1")).await, (404, String::new()));
    assert_eq!(service.send("8/eve", Method::POST, "/campaigns/planted-7").await, (404, String::new()));
    assert_eq!(rows(&db).await, before);
    assert_eq!(types(&db.log().await), ["CREATED"]);
    let raised = service.send("7/ada", Method::PUT, &format!("/raise/{id}/1")).await;
    assert_eq!(raised, (200, "1".to_owned()));
}

async fn concurrent_requests_do_not_mix(db: Arc<TestDb>) {
    let service = Service::units(&db).await;
    two_teams_at_once(&db, &service, "together").await;
}

async fn concurrent_scoped_requests_do_not_mix(db: Arc<TestDb>) {
    let service = Service::scoped(&db).await;
    two_teams_at_once(&db, &service, "plain-together").await;
}

/// All in one task, so that nothing but the library keeps them apart.
async fn two_teams_at_once(db: &TestDb, service: &Service, route: &str) {
    let requests = (0..CONCURRENT).map(|n| async move {
        let team = 7 + n % 2;
        let path = format!("/{route}/c{n}-{team}");
        let (status, id) = service.send(&format!("{team}/user{n}"), Method::POST, &path).await;
        assert_eq!(status, 200);
        (id, team.to_string(), format!("user{n}"), path)
    });
    let mut expected = join_all(requests).await;
    let of_event = |event: events_sea_orm::event::Model| {
        let path = event.context["request"]["path"].as_str().unwrap().to_owned();
        (event.object_id.unwrap(), event.team_id, event.actor_id.unwrap(), path)
    };
    let mut recorded: Vec<_> = db.log().await.into_iter().map(of_event).collect();
    expected.sort();
    recorded.sort();
    assert_eq!(recorded, expected);
}

async fn dropped_request_leaves_nothing(db: Arc<TestDb>) {
    let service = Service::units(&db).await;
    tokio::select! {
        _ = service.send("7/ada", Method::POST, "/hang") => panic!("it waits for ever"),
        () = service.reached.notified() => {} // as when the client goes away
    }
    let (status, id) = service.send("7/ada", Method::POST, "/campaigns/spring-7").await;
    assert_eq!(status, 200);
    let rows = rows(&db).await;
    assert_eq!(rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["spring-7"]);
    let log = db.log().await;
    assert_eq!((types(&log), log[0].object_id.clone()), (vec!["CREATED"], Some(id)));
}

async fn scoped_request_records_on_plain_transactions(db: Arc<TestDb>) {
    let service = Service::scoped(&db).await;
    let (status, id) = service.send("7/ada", Method::POST, "/plain/spring-7").await;
    assert_eq!(status, 200);
    // Handlers that take the connection find it as well.
    assert_eq!(service.send("7/ada", Method::PUT, &format!("/raise/{id}/1")).await, (200, "1".to_owned()));
    assert_eq!(service.send("8/eve", Method::POST, "/plain/planted-7").await.0, 404);
    let log = db.log().await;
    assert_eq!(types(&log), ["CREATED", "UPDATED"]);
    assert!(log.iter().all(|event| event.team_id == "7" && event.actor_id.as_deref() == Some("ada")));
    assert_eq!(log[0].context, json!({"request": {"path": "/plain/spring-7"}}));
    assert_eq!(rows(&db).await.len(), 1);
}

async fn scoped_request_with_an_unusable_context_does_not_run(db: Arc<TestDb>) {
    let service = Service::scoped(&db).await;
    assert_eq!(service.send("none/ada", Method::GET, "/campaigns").await, (403, String::new()));
    assert_eq!(service.send("", Method::GET, "/campaigns").await, (401, String::new()));
}

async fn scoped_save_without_an_event_is_no_success(db: Arc<TestDb>) {
    let service = Service::scoped(&db).await;
    let (_, id) = service.send("7/ada", Method::POST, "/plain/spring-7").await;
    let said = Said::default();
    let path = format!("/plain-blind-raise/{id}/1");
    let request = service.send("7/ada", Method::PUT, &path);
    let answer = request.with_subscriber(tracing_subscriber::registry().with(said.clone())).await;
    assert_eq!(answer, (500, String::new()));
    // The handler's own commit stands: that is why it is an error, and why the log names the row.
    assert_eq!(rows(&db).await[0].budget, 1);
    assert_eq!(types(&db.log().await), ["CREATED"]);
    assert!(said.errors().contains(&format!("`campaign` {id}")), "{}", said.errors());
}

async fn scoped_save_that_failed_keeps_its_answer(db: Arc<TestDb>) {
    let service = Service::scoped(&db).await;
    assert_eq!(service.send("7/ada", Method::POST, "/plain/spring-7").await.0, 200);
    let said = Said::default();
    let request = service.send("7/ada", Method::POST, "/plain/spring-7"); // its key is taken
    let answer = request.with_subscriber(tracing_subscriber::registry().with(said.clone())).await;
    assert_eq!(answer, (409, String::new()));
    assert_eq!(said.errors(), "");
    assert_eq!(types(&db.log().await), ["CREATED"]);
}

async fn conflicts_have_their_status(db: Arc<TestDb>) {
    let service = Service::units(&db).await;
    assert_eq!(service.send("7/ada", Method::POST, "/campaigns/spring-7").await.0, 200);
    // The key is redacted, so that the error has lost the database's words.
    assert_eq!(service.send("7/ada", Method::POST, "/campaigns/spring-7").await, (409, String::new()));
    assert_eq!(service.send("7/ada", Method::PUT, "/raise/4711/1").await, (404, String::new()));

    let serialization = match db.db.get_database_backend() {
        DbBackend::Postgres => "DO $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END $$",
        DbBackend::MySql => "SIGNAL SQLSTATE '40001'",
        _ => return,
    };
    let error = db.db.execute_unprepared(serialization).await.unwrap_err();
    assert_eq!(status_of(&error), 409);
    assert_eq!(status_of(&CommitError::Failed(error).into()), 409);
}

#[test]
fn refusals_have_their_status() {
    let status = |refused: Refused| status_of(&refused.into()).as_u16();
    let object = || events_sea_orm::ObjectRef::new("campaign", "1");
    assert_eq!(status(Refused::OtherTeam { object: object() }), 404);
    assert_eq!(status(Refused::TeamChanged { object: object() }), 403);
    assert_eq!(status(Refused::NoTeam), 403);
    assert_eq!(status(Refused::NestedOpen), 500);
    assert_eq!(status_of(&DbErr::RecordNotFound("secret".to_owned())), 404);
    assert_eq!(status_of(&DbErr::RecordNotInserted), 409);
    assert_eq!(status_of(&DbErr::ConnectionAcquire(sea_orm::ConnAcquireErr::Timeout)), 503);
}

/// What was logged as an error.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<String>>);

impl Said {
    fn errors(&self) -> String {
        self.0.lock().unwrap().clone()
    }
}

impl<S: tracing::Subscriber> Layer<S> for Said {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        let from_here = event.metadata().target().starts_with("events_sea_orm");
        if from_here && *event.metadata().level() == tracing::Level::ERROR {
            let mut said = self.0.lock().unwrap();
            event.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
                writeln!(said, "{field}: {value:?}").unwrap();
            });
        }
    }
}
