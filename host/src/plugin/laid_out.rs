//! Answers for guests that are written down beforehand, in a fixture or a test.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Deserializer, de::Error as _};
use time::OffsetDateTime;

use super::services::Earlier;
use crate::domain::{
    Email, Kind, MessageId, OutgoingMethod, OutgoingRequest, OutgoingResponse, UserProfile,
};

/// Answers for guests, by import.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LaidOut {
    /// Of the thread, oldest first.
    history: Vec<LaidMessage>,
    /// Values as text.
    pub(super) kv: BTreeMap<String, String>,
    http: Vec<LaidResponse>,
    /// Names that can be opened.
    pub(super) secrets: Vec<String>,
    directory: Vec<LaidPerson>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LaidMessage {
    from_caller: bool,
    content: String,
    #[serde(default = "text_type")]
    content_type: String,
    #[serde(default)]
    created_at_ms: u64,
}

/// The answer to a request; the first that fits counts.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LaidResponse {
    /// Such as `POST`; left out, any.
    method: Option<String>,
    url: String,
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LaidPerson {
    #[serde(deserialize_with = "email")]
    email: Email,
    #[serde(default)]
    kind: Kind,
    name: Option<String>,
    picture: Option<String>,
    zoneinfo: Option<String>,
    locale: Option<String>,
    first_seen_ms: Option<u64>,
}

fn text_type() -> String {
    "text".to_owned()
}

fn email<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Email, D::Error> {
    Email::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

fn from_unix_ms(ms: u64) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH
        .checked_add(time::Duration::try_from(Duration::from_millis(ms)).unwrap_or_default())
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

impl LaidOut {
    pub(super) fn history(&self) -> Vec<Earlier> {
        let earlier = self.history.iter().map(|laid| Earlier {
            id: MessageId::new(),
            from_caller: laid.from_caller,
            content: laid.content.clone(),
            content_type: laid.content_type.clone(),
            created_at: from_unix_ms(laid.created_at_ms),
        });
        earlier.collect()
    }

    pub(super) fn find_person(&self, email: &Email) -> Option<UserProfile> {
        let laid = self.directory.iter().find(|laid| laid.email == *email)?.clone();
        Some(UserProfile {
            email: laid.email,
            kind: laid.kind,
            name: laid.name,
            picture: laid.picture,
            zoneinfo: laid.zoneinfo,
            locale: laid.locale,
            first_seen_at: laid.first_seen_ms.map(from_unix_ms),
        })
    }

    pub(super) fn respond(&self, request: &OutgoingRequest) -> Option<OutgoingResponse> {
        let method = word(request.method);
        let laid = self.http.iter().find(|laid| {
            let fits = |wanted: &String| wanted.eq_ignore_ascii_case(method);
            laid.url == request.url && laid.method.as_ref().is_none_or(fits)
        })?;
        let headers = laid.headers.iter();
        Some(OutgoingResponse {
            status: laid.status,
            headers: headers.map(|(name, value)| (name.to_lowercase(), value.clone())).collect(),
            body: laid.body.clone().into_bytes(),
        })
    }
}

fn word(method: OutgoingMethod) -> &'static str {
    match method {
        OutgoingMethod::Get => "GET",
        OutgoingMethod::Post => "POST",
        OutgoingMethod::Put => "PUT",
        OutgoingMethod::Patch => "PATCH",
        OutgoingMethod::Delete => "DELETE",
    }
}
