use serde::Serialize;
use serde_json::Value as Json;
use uuid::Uuid;

use crate::Error;

/// An error as clients get it (RFC 9457), over REST and in acks alike.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    pub status: u16,
    detail: String,
    pub code: &'static str,
    request_id: Uuid,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

#[derive(Debug, Serialize)]
struct FieldView {
    field: String,
    message: String,
}

impl Problem {
    /// The error as the client may see it; what it may not see is logged here, once.
    pub fn new(error: &Error) -> Self {
        // An admin finds a refusal by it.
        let request_id = match error {
            Error::Rejected(rejection) => rejection.id.as_uuid(),
            _ => Uuid::now_v7(),
        };
        match error {
            Error::Internal(source) => {
                tracing::error!(request.id = %request_id, error = source.as_ref(), "request failed");
            }
            Error::Unavailable(Some(source)) => {
                tracing::warn!(request.id = %request_id, error = source.as_ref(), "request put off");
            }
            _ => {}
        }
        let code = error.code();
        let (status, title) = status_of(error);
        let rejection = match error {
            Error::Rejected(rejection) => Some(rejection),
            _ => None,
        };
        let retry_after_ms =
            rejection.and_then(|rejection| rejection.retry_after_ms.map(u64::from)).or_else(|| {
                error
                    .retry_after()
                    .map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX))
            });
        Self {
            kind: format!("urn:duologue:error:{code}"),
            title,
            status,
            detail: error.to_string(),
            code,
            request_id,
            errors: fields_of(error),
            reason: rejection.map(|rejection| rejection.reason.clone()),
            user_message: rejection.and_then(|rejection| rejection.user_message.clone()),
            details: rejection.and_then(|rejection| rejection.details.clone()),
            retry_after_ms,
        }
    }

    /// The same problem under another status, where HTTP has a closer one.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }
}

fn fields_of(error: &Error) -> Vec<FieldView> {
    let Error::Invalid(fields) = error else { return Vec::new() };
    let view = |field: &crate::domain::InvalidField| FieldView {
        field: field.field.clone(),
        message: field.message.clone(),
    };
    fields.iter().map(view).collect()
}

fn status_of(error: &Error) -> (u16, &'static str) {
    match error {
        Error::Unauthorized(_) => (401, "Not signed in"),
        Error::Forbidden(_) | Error::OriginRefused => (403, "Not allowed"),
        Error::OrgSuspended => (403, "Org suspended"),
        Error::NotFound(_) => (404, "Not found"),
        Error::Malformed(_) => (400, "Unreadable request"),
        Error::Invalid(_) => (422, "Invalid request"),
        Error::Conflict(_) => (409, "Conflict"),
        Error::TooLarge(_) => (413, "Too large"),
        Error::RateLimited { .. } => (429, "Too many requests"),
        Error::Rejected(_) => (422, "Refused by the org's rules"),
        Error::Unavailable(_) => (503, "Unavailable"),
        Error::Internal(_) => (500, "Internal error"),
    }
}
