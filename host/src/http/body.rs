use axum::{
    body::Bytes,
    extract::{FromRequest, Request, rejection::BytesRejection},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::error::{ApiError, unsupported_media_type};
use crate::Error;

/// A JSON body, not yet looked at.
pub(super) struct JsonBody(pub(super) Json);

/// A JSON body of a given shape; an empty one is the empty object.
pub(super) struct Shaped<T>(pub(super) T);

/// A body's bytes.
pub(super) struct RawBody(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        if !is_json(&request) {
            return Err(unsupported_media_type("application/json"));
        }
        let RawBody(bytes) = RawBody::from_request(request, state).await?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            ApiError(Error::Malformed(format!("the body is no valid JSON: {error}")))
                .into_response()
        })
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Shaped<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let typed = request.headers().contains_key(header::CONTENT_TYPE);
        if typed && !is_json(&request) {
            return Err(unsupported_media_type("application/json"));
        }
        let RawBody(bytes) = RawBody::from_request(request, state).await?;
        let text = if bytes.is_empty() { &b"{}"[..] } else { &bytes };
        serde_json::from_slice(text).map(Self).map_err(|error| {
            let error = if error.is_data() {
                Error::invalid("body", error.to_string())
            } else {
                Error::Malformed(format!("the body is no valid JSON: {error}"))
            };
            ApiError(error).into_response()
        })
    }
}

impl<S: Send + Sync> FromRequest<S> for RawBody {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        Bytes::from_request(request, state)
            .await
            .map(Self)
            .map_err(|rejection| ApiError(unreadable(&rejection)).into_response())
    }
}

fn unreadable(rejection: &BytesRejection) -> Error {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        Error::TooLarge("the body is larger than this server takes".into())
    } else {
        Error::Malformed("the body could not be read".into())
    }
}

/// `application/json` or `application/*+json`, with any parameters.
fn is_json(request: &Request) -> bool {
    let Some(value) = request.headers().get(header::CONTENT_TYPE) else { return false };
    let Ok(text) = value.to_str() else { return false };
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}
