//! From a request's headers to the person who makes it.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};

use super::{Http, error::ApiError};
use crate::{
    Error, Result,
    domain::{Caller, Kind},
    service,
};

/// Marks the routes under `/client`: staff tokens are refused there.
#[derive(Clone, Copy)]
pub(super) struct CustomersOnly;

/// Whoever a verified token names.
pub(super) struct Signed(pub(super) Caller);

/// The same, with one request taken from their allowance.
pub(super) struct Reader(pub(super) Caller);

/// The same, with one send or edit taken from their allowance.
pub(super) struct Sender(pub(super) Caller);

/// The same, with the role `admin`.
pub(super) struct Admin(pub(super) Caller);

/// Somebody who knows the credential that the server was started with.
pub(super) struct OperatorAccess;

impl FromRequestParts<Http> for Signed {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, http: &Http) -> Result<Self, ApiError> {
        let org = single(&parts.headers, "orgid")?.filter(|org| !org.is_empty());
        let token = bearer(&parts.headers)?;
        let session = http.services.identity.authenticate(org, token).await?;
        let caller = session.caller.clone();
        if parts.extensions.get::<CustomersOnly>().is_some() && caller.kind != Kind::Customer {
            return Err(ApiError(Error::Forbidden(
                "/client is for customers; use the same path without it".into(),
            )));
        }
        let origin = single(&parts.headers, header::ORIGIN.as_str())?;
        if !caller.org.settings.admits_origin(origin) {
            return Err(ApiError(Error::OriginRefused));
        }
        Ok(Self(caller))
    }
}

impl FromRequestParts<Http> for Reader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, http: &Http) -> Result<Self, ApiError> {
        let Signed(caller) = Signed::from_request_parts(parts, http).await?;
        http.services.limits.read(caller.user.id, &caller.org.settings.limits)?;
        Ok(Self(caller))
    }
}

impl FromRequestParts<Http> for Sender {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, http: &Http) -> Result<Self, ApiError> {
        let Signed(caller) = Signed::from_request_parts(parts, http).await?;
        http.services.sending.admit(&caller)?;
        Ok(Self(caller))
    }
}

impl FromRequestParts<Http> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, http: &Http) -> Result<Self, ApiError> {
        let Reader(caller) = Reader::from_request_parts(parts, http).await?;
        if !caller.admin {
            return Err(ApiError(Error::Forbidden(
                "this needs a token with the role admin, of a key that may vouch for it".into(),
            )));
        }
        // A browser's page may administer only from where the org says it lives.
        if caller.org.settings.origins.is_empty()
            && single(&parts.headers, header::ORIGIN.as_str())?.is_some()
        {
            return Err(ApiError(Error::OriginRefused));
        }
        Ok(Self(caller))
    }
}

impl FromRequestParts<Http> for OperatorAccess {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, http: &Http) -> Result<Self, ApiError> {
        let Some(expected) = &http.settings.operator_token else {
            return Err(ApiError(Error::Forbidden(
                "this server was started without an operator credential".into(),
            )));
        };
        let shown = bearer(&parts.headers)?;
        if !service::same_secret(shown.as_bytes(), expected.as_bytes()) {
            return Err(ApiError(Error::Unauthorized("this is not the operator's credential")));
        }
        Ok(Self)
    }
}

fn bearer(headers: &HeaderMap) -> Result<&str> {
    const MISSING: Error = Error::Unauthorized("send Authorization: Bearer <token>");

    let value = single(headers, header::AUTHORIZATION.as_str())?.ok_or(MISSING)?;
    let (scheme, token) = value.split_once(' ').ok_or(MISSING)?;
    if !scheme.eq_ignore_ascii_case("bearer") || token.trim().is_empty() {
        return Err(MISSING);
    }
    Ok(token.trim())
}

/// A header that may come once: which of two counts is nothing to guess at.
pub(super) fn single<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Error::Malformed(format!("the header {name} may come only once")));
    }
    value
        .to_str()
        .map(Some)
        .map_err(|_| Error::Malformed(format!("the header {name} must be plain text")))
}
