use std::any::Any;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::cors::OriginRefused;
use crate::{Error, wire::Problem};

/// [`Error`] as an HTTP response.
pub(super) struct ApiError(pub(super) Error);

impl<E: Into<Error>> From<E> for ApiError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = answer(Problem::new(&self.0));
        if let Some(after) = self.0.retry_after() {
            // Whole seconds, rounded up: earlier would be refused again.
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        if matches!(self.0, Error::Unauthorized(_)) {
            let bearer = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
        }
        if matches!(self.0, Error::OriginRefused) {
            response.extensions_mut().insert(OriginRefused);
        }
        response
    }
}

fn answer(problem: Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, Json(problem)).into_response();
    let kind = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

pub(super) async fn method_not_allowed() -> Response {
    let error = Error::Malformed("this path does not take that method".into());
    answer(Problem::new(&error).with_status(405))
}

/// A body of another type than the one wanted.
pub(super) fn unsupported_media_type(wanted: &str) -> Response {
    let error = Error::Malformed(format!("the body must be sent as Content-Type: {wanted}"));
    answer(Problem::new(&error).with_status(415))
}

/// A panic is a bug of ours; its request alone fails.
#[expect(clippy::needless_pass_by_value, reason = "the layer hands it over so")]
pub(super) fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no text");
    ApiError(Error::internal(format!("a handler panicked: {text}"))).into_response()
}
