//! The one error type that services return.

use std::{borrow::Cow, time::Duration};

use crate::domain::{InvalidField, Rejection};

pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a request could not be carried out.
///
/// Every variant but [`Error::Internal`] is something that a client can act on, and its
/// text is safe to show. `Internal` is logged where it is answered and never shown.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No token, or one that proves nothing here. The text never says which check failed
    /// beyond what the bearer could tell themselves.
    #[error("{0}")]
    Unauthorized(&'static str),

    #[error("{0}")]
    Forbidden(String),

    /// A browser's page asks that does not belong to the org; it may not read the answer.
    #[error("this page's origin is not one that the org names in its setting `origins`")]
    OriginRefused,

    #[error("this org is suspended")]
    OrgSuspended,

    /// It does not exist, or the caller may not know that it does.
    #[error("{0} does not exist")]
    NotFound(Cow<'static, str>),

    /// The request cannot be read at all: broken JSON, a missing header, a wrong type.
    #[error("{0}")]
    Malformed(String),

    /// The request can be read, but breaks a rule.
    #[error("{}", .0.first().map_or_else(|| "the request is invalid".to_owned(), ToString::to_string))]
    Invalid(Vec<InvalidField>),

    #[error("{0}")]
    Conflict(String),

    #[error("{0}")]
    TooLarge(String),

    #[error("too many {what}; try again in {} s", retry_after.as_secs_f32().ceil())]
    RateLimited { what: &'static str, retry_after: Duration },

    #[error("refused by the org's rules: {}", .0.reason)]
    Rejected(Rejection),

    /// Not now: the database is away, or more is waiting than can be taken.
    #[error("the server cannot do this right now; try again")]
    Unavailable(#[source] Option<Source>),

    #[error("internal error")]
    Internal(#[source] Source),
}

impl Error {
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid(vec![InvalidField::new(field, message)])
    }

    pub fn internal(source: impl Into<Source>) -> Self {
        Self::Internal(source.into())
    }

    pub fn unavailable(source: impl Into<Source>) -> Self {
        Self::Unavailable(Some(source.into()))
    }

    /// The stable word that clients match on, the same over REST and in acks.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unauthorized(_) => "unauthorized",
            Self::Forbidden(_) | Self::OriginRefused => "forbidden",
            Self::OrgSuspended => "org_suspended",
            Self::NotFound(_) => "not_found",
            Self::Malformed(_) | Self::Invalid(_) => "invalid",
            Self::Conflict(_) => "conflict",
            Self::TooLarge(_) => "too_large",
            Self::RateLimited { .. } => "rate_limited",
            Self::Rejected(_) => "rejected",
            Self::Unavailable(_) => "unavailable",
            Self::Internal(_) => "internal",
        }
    }

    /// How long to wait before a retry makes sense.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } => Some(*retry_after),
            Self::Unavailable(_) => Some(Duration::from_secs(1)),
            _ => None,
        }
    }
}

impl From<InvalidField> for Error {
    fn from(field: InvalidField) -> Self {
        Self::Invalid(vec![field])
    }
}
