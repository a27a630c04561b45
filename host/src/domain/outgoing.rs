use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::HostPattern;

/// A request that a plugin makes of another server.
#[derive(Debug)]
pub struct OutgoingRequest {
    pub method: OutgoingMethod,
    pub url: String,
    pub headers: Vec<(String, HeaderText)>,
    pub body: Vec<u8>,
    /// `None`: as long as the call may still take.
    pub timeout: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutgoingMethod {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

/// A header's value, as a plugin can say it.
#[derive(Debug)]
pub enum HeaderText {
    Plain(String),
    /// The secret's value.
    Secret(Arc<Secret>),
    /// `Bearer ` and the secret's value.
    Bearer(Arc<Secret>),
}

/// What the other server answered.
#[derive(Debug, PartialEq, Eq)]
pub struct OutgoingResponse {
    pub status: u16,
    /// Values that are no text are left out.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// Why a plugin got no answer. The texts are for its author and say nothing of our network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum OutgoingError {
    /// It may not be asked for at all.
    #[error("denied: {0}")]
    Denied(String),
    #[error("the other server took too long")]
    Timeout,
    #[error("the request or its answer is too large")]
    TooLarge,
    /// The call, or the org, has made as many requests as it may for now.
    #[error("too many requests")]
    QuotaExceeded,
    #[error("no answer: {0}")]
    Transport(Cow<'static, str>),
}

impl OutgoingError {
    pub fn denied(why: impl Into<String>) -> Self {
        Self::Denied(why.into())
    }
}

/// How many requests one call of a plugin may still make.
#[derive(Debug)]
pub struct RequestsLeft(u32);

impl RequestsLeft {
    pub fn new(per_call: u32) -> Self {
        Self(per_call)
    }

    pub fn take(&mut self) -> Result<(), OutgoingError> {
        self.0 = self.0.checked_sub(1).ok_or(OutgoingError::QuotaExceeded)?;
        Ok(())
    }
}

/// An opened secret: what a guest holds a handle to.
pub struct Secret {
    pub value: Zeroizing<String>,
    /// Where it may be sent.
    pub hosts: Vec<HostPattern>,
}

// By hand, so that no log can show the value.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_as_many_requests_as_it_was_given() {
        let mut left = RequestsLeft::new(2);

        assert_eq!([left.take(), left.take()], [Ok(()), Ok(())]);
        assert_eq!(left.take(), Err(OutgoingError::QuotaExceeded));
    }

    #[test]
    fn a_secret_does_not_show_its_value() {
        let hosts = vec![HostPattern::parse("a.example").unwrap()];
        let secret = Secret { value: Zeroizing::new("hush".to_owned()), hosts };

        let shown = format!("{:?}", HeaderText::Bearer(Arc::new(secret)));

        assert!(shown.contains("a.example") && !shown.contains("hush"), "{shown}");
    }
}
