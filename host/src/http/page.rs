use std::borrow::Cow;

use axum::{
    Json,
    extract::{FromRequestParts, Path},
    http::{HeaderMap, HeaderName, HeaderValue, Uri, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::error::ApiError;
use crate::Error;

/// One segment of a path; what is not UTF-8 names nothing.
pub(super) struct Segment(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(text)) => Ok(Self(text)),
            Err(_) => Err(ApiError(Error::NotFound(Cow::Borrowed("this path")))),
        }
    }
}

/// Two segments of a path, likewise.
pub(super) struct Segments(pub(super) String, pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Segments {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::<(String, String)>::from_request_parts(parts, state).await {
            Ok(Path((first, second))) => Ok(Self(first, second)),
            Err(_) => Err(ApiError(Error::NotFound(Cow::Borrowed("this path")))),
        }
    }
}

/// A bare array, and in its headers where the list goes on.
pub(super) struct PageResponse<T> {
    pub(super) items: Vec<T>,
    pub(super) next: Option<Next>,
}

/// What says where in a list a page lies; the rest of a query says which list it is.
const PLACES: [&str; 5] = ["limit", "cursor", "before", "after", "around"];

/// The part of a query that the next page needs as well, ready to be followed by more.
fn filters(uri: &Uri) -> String {
    let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    let is_filter = |pair: &&str| {
        let name = pair.split('=').next().unwrap_or_default();
        !PLACES.contains(&name)
    };
    pairs.filter(is_filter).flat_map(|pair| [pair, "&"]).collect()
}

/// The next page: the query parameter that asks for it, and its value.
pub(super) struct Next {
    pub(super) path: Uri,
    pub(super) limit: i64,
    pub(super) parameter: &'static str,
    pub(super) cursor: String,
}

impl Next {
    /// The page behind an entry of a list that goes on by `cursor`.
    pub(super) fn behind(path: Uri, limit: i64, entry: &impl ToString) -> Self {
        Self { path, limit, parameter: "cursor", cursor: entry.to_string() }
    }
}

impl<T: Serialize> IntoResponse for PageResponse<T> {
    fn into_response(self) -> Response {
        let mut headers = HeaderMap::new();
        if let Some(Next { path, limit, parameter, cursor }) = self.next {
            let (filters, path) = (filters(&path), path.path());
            let link =
                format!("<{path}?{filters}limit={limit}&{parameter}={cursor}>; rel=\"next\"");
            // Both are made of what a URL and an id may hold.
            if let (Ok(link), Ok(cursor)) =
                (HeaderValue::from_str(&link), HeaderValue::from_str(&cursor))
            {
                headers.insert(header::LINK, link);
                headers.insert(HeaderName::from_static("x-next-cursor"), cursor);
            }
        }
        (headers, Json(self.items)).into_response()
    }
}
