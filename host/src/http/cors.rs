use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, Method, Request, Response, header},
};
use tower::{Layer, Service, ServiceExt};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::service::Services;

/// Marks an answer that its page may not read: the org names other origins.
#[derive(Clone, Copy)]
pub(super) struct OriginRefused;

/// Any page may call with a bearer token; `/admin` answers the origins that orgs name.
/// Which org's they are is checked with the token. No cookies.
///
/// Around the service like [`super::rest`], sockets included.
pub fn with_cors<S, B>(
    service: S,
    services: Services,
) -> impl Service<Request<Body>, Response = Response<B>, Error = S::Error, Future: Send> + Clone + Send
where
    S: Service<Request<Body>, Response = Response<B>, Future: Send> + Clone + Send,
    B: Default,
{
    layer(services).layer(service).map_response(hide)
}

fn hide<B>(mut response: Response<B>) -> Response<B> {
    if response.extensions().get::<OriginRefused>().is_some() {
        response.headers_mut().remove(header::ACCESS_CONTROL_ALLOW_ORIGIN);
    }
    response
}

fn layer(services: Services) -> CorsLayer {
    let origin = AllowOrigin::async_predicate(
        move |origin: HeaderValue, parts: &axum::http::request::Parts| {
            let is_admin = parts.uri.path().starts_with("/admin");
            async move { !is_admin || is_named(&services, &origin).await }
        },
    );
    CorsLayer::new()
        .allow_origin(origin)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([
            HeaderName::from_static("orgid"),
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            HeaderName::from_static("idempotency-key"),
        ])
        .expose_headers([
            header::LINK,
            HeaderName::from_static("x-next-cursor"),
            header::RETRY_AFTER,
        ])
        .max_age(std::time::Duration::from_mins(10))
}

async fn is_named(services: &Services, origin: &HeaderValue) -> bool {
    let Ok(origin) = origin.to_str() else { return false };
    match services.operator.list_origins().await {
        Ok(named) => named.iter().any(|it| it == origin),
        Err(error) => {
            tracing::warn!(%error, "origins could not be looked up");
            false
        }
    }
}
