//! Secrets of plugins, as admins set and see them.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::message::time_text;
use crate::service::{NewSecret, SecretEntry};

// No `Debug`: it would show the value.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretRequest {
    value: String,
    hosts: Vec<String>,
}

impl From<SecretRequest> for NewSecret {
    fn from(request: SecretRequest) -> Self {
        Self { value: Zeroizing::new(request.value), hosts: request.hosts }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretView {
    name: String,
    hosts: Vec<String>,
    created_at: String,
}

impl From<SecretEntry> for SecretView {
    fn from(entry: SecretEntry) -> Self {
        Self { name: entry.name, hosts: entry.hosts, created_at: time_text(entry.created_at) }
    }
}
