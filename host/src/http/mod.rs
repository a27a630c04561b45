//! REST: reads a request, calls one service, answers.

mod admin;
mod body;
mod caller;
mod cors;
mod error;
mod messages;
mod notifications;
mod operator;
mod page;
mod plugins;
mod review;
mod secrets;
mod stages;

use std::{borrow::Cow, convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Body,
    extract::{DefaultBodyLimit, Extension, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use serde_json::json;
use tower::{Layer, Service, ServiceExt};
use tower_http::catch_panic::CatchPanicLayer;

use crate::{Error, service::Services};
pub use cors::with_cors;
use error::ApiError;

/// What the transport itself is to do; each field is a setting of the server.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// The longest body of a request, in bytes.
    pub max_body_bytes: usize,
    /// The longest upload of a plugin, in bytes.
    pub max_plugin_bytes: usize,
    /// How long a request may take before it is answered 503.
    pub patience: Duration,
    /// What operators show; without it nobody is one.
    pub operator_token: Option<Arc<str>>,
}

/// What every handler may use.
#[derive(Clone)]
struct Http {
    services: Services,
    settings: Arc<HttpSettings>,
}

/// Every route, both prefixes, behind what all requests meet. Sockets are a layer that `app` adds.
///
/// What can be is around the router, not a layer of it: those are boxed, and each is cloned for
/// each request, with all that is below it.
pub fn rest(
    services: Services,
    settings: HttpSettings,
) -> impl Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send {
    let bodies = DefaultBodyLimit::max(settings.max_body_bytes);
    let panics = CatchPanicLayer::custom(error::panicked);
    let service = panics.layer(bodies.layer(router(services, settings)));
    ServiceExt::<Request>::map_response(service, |response: Response<_>| response.map(Body::new))
}

fn router(services: Services, settings: HttpSettings) -> Router {
    let uploads = DefaultBodyLimit::max(settings.max_plugin_bytes);
    let http = Http { services, settings: Arc::new(settings) };
    let upload = Router::new().route("/admin/plugins/{name}", put(plugins::upload)).layer(uploads);
    let api = Router::new()
        .merge(community())
        .nest("/client", community().layer(Extension(caller::CustomersOnly)))
        .merge(admin_routes())
        .layer(middleware::from_fn_with_state(http.clone(), in_time));
    Router::new()
        .merge(api)
        .merge(upload)
        .route("/", get(index))
        .route("/health", get(health))
        .fallback(|| async { ApiError(Error::NotFound(Cow::Borrowed("this path"))) })
        .method_not_allowed_fallback(error::method_not_allowed)
        .with_state(http)
}

fn community() -> Router<Http> {
    Router::new()
        .route("/community/messages", post(messages::send))
        .route("/community/messages/threads", get(messages::threads))
        .route("/community/messages/thread/{peer}", get(messages::thread))
        .route("/community/messages/thread/{peer}/read", post(messages::mark_thread))
        .route("/community/messages/read", post(messages::mark))
        .route("/community/messages/unread-count", get(messages::unread_count))
        .route("/community/messages/sync", get(messages::sync))
        .route(
            "/community/messages/{id}",
            get(messages::find).patch(messages::edit).delete(messages::delete),
        )
        .route("/community/notifications", get(notifications::list))
        .route("/community/notifications/read", post(notifications::mark_read))
}

fn admin_routes() -> Router<Http> {
    Router::new()
        .route("/admin/settings", get(admin::settings).patch(admin::change_settings))
        .route("/admin/users/rebind", post(admin::rebind))
        .route("/admin/users/revoke", post(admin::revoke))
        .route("/admin/plugins", get(plugins::list))
        .route("/admin/plugins/{name}", get(plugins::find).delete(plugins::remove))
        .route("/admin/plugins/{name}/config", put(plugins::configure))
        .route("/admin/plugins/{name}/order", put(plugins::order))
        .route("/admin/plugins/{name}/grants", put(plugins::grant))
        .route("/admin/plugins/{name}/rollback", post(plugins::roll_back))
        .route("/admin/plugins/{name}/log", get(plugins::log))
        .route("/admin/plugins/{name}/test", post(stages::test))
        .route(
            "/admin/plugins/{name}/trial",
            get(stages::trial).post(stages::start_trial).delete(stages::end_trial),
        )
        .route("/admin/plugins/{name}/trial/results", get(stages::trial_results))
        .route("/admin/plugins/{name}/canary", post(stages::set_canary).delete(stages::end_canary))
        .route("/admin/plugins/{name}/canary/promote", post(stages::promote_canary))
        .route("/admin/plugins/{name}/backtests", post(stages::start_backtest))
        .route(
            "/admin/plugins/{name}/backtests/{id}",
            get(stages::backtest).delete(stages::cancel_backtest),
        )
        .route("/admin/plugins/{name}/backtests/{id}/results", get(stages::backtest_results))
        .route("/admin/plugins/{name}/activate", post(plugins::activate))
        .route("/admin/plugins/{name}/disable", post(plugins::disable))
        .route("/admin/held", get(review::held))
        .route("/admin/held/{id}/release", post(review::release))
        .route("/admin/held/{id}/refuse", post(review::refuse))
        .route("/admin/flagged", get(review::flagged))
        .route("/admin/messages/{id}/decision", get(review::decision))
        .route("/admin/refusals", get(review::refusals))
        .route("/admin/refusals/{id}", get(review::refusal))
        .route("/admin/refusals/{id}/receipt", get(review::refusal_receipt))
        .route("/admin/messages/{id}/receipt", get(review::receipt))
        .route("/admin/audit", get(review::audit))
        .route("/admin/plugins/{name}/secrets", get(secrets::list))
        .route("/admin/plugins/{name}/secrets/{secret}", put(secrets::set).delete(secrets::remove))
        .route("/admin/orgs", get(operator::list).post(operator::create))
        .route("/admin/orgs/{org}", get(operator::find).patch(operator::change))
        .route("/admin/orgs/{org}/keys", get(operator::list_keys).post(operator::add_key))
        .route("/admin/orgs/{org}/keys/{id}", axum::routing::delete(operator::retire_key))
        .route("/admin/orgs/{org}/users/rebind", post(operator::rebind))
        .route("/admin/orgs/{org}/users/revoke", post(operator::revoke))
}

/// Answers 503 where the database hangs, so that nobody waits for ever.
async fn in_time(State(http): State<Http>, request: Request, next: Next) -> Response {
    tokio::time::timeout(http.settings.patience, next.run(request))
        .await
        .unwrap_or_else(|_| ApiError(Error::Unavailable(None)).into_response())
}

/// `GET /`: what somebody sees who follows the link that the server prints.
async fn index() -> &'static str {
    concat!(
        "Duologue ",
        env!("CARGO_PKG_VERSION"),
        " is up.\n\n",
        "GET  /health                       whether its database answers\n",
        "POST /community/messages           send (header orgid, Authorization: Bearer <token>)\n",
        "GET  /community/messages/threads   the caller's threads\n",
        "     /community-chat               the Socket.IO namespace\n",
        "PUT  /admin/plugins/<name>         upload a plugin (role admin)\n\n",
        "`duologue --help` and the README tell the rest.\n",
    )
}

/// `GET /health`: whether the database answers.
async fn health(State(http): State<Http>) -> Response {
    match tokio::time::timeout(Duration::from_secs(2), http.services.db.ping()).await {
        Ok(Ok(())) => Json(json!({ "status": "ok" })).into_response(),
        _ => ApiError(Error::Unavailable(None)).into_response(),
    }
}
