//! Short ways to say what the hook `before-send` answers.

use crate::{Decision, Hold, Label, OnExpiry, Patch, Rejection, Severity, Verdict};

impl Decision {
    /// The draft may go.
    pub fn pass() -> Self {
        Verdict::Pass.into()
    }

    /// It may go with changes.
    pub fn modify(patch: Patch) -> Self {
        Verdict::Modify(patch).into()
    }

    /// It may not go; the sender's app reads the code, the sender the message.
    ///
    /// A code has 1 to 64 characters of `a-z 0-9 _ . -`.
    pub fn reject(code: impl Into<String>, user_message: impl Into<String>) -> Self {
        Rejection::new(code, user_message).into()
    }

    /// It waits until somebody has looked at it.
    pub fn hold(reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Verdict::Hold(Hold { reason, ttl_seconds: None, on_expiry: OnExpiry::Refuse }).into()
    }

    /// Its sender alone sees it sent.
    pub fn shadow() -> Self {
        Verdict::Shadow.into()
    }

    /// With one more note for those who review; at most 16.
    #[must_use]
    pub fn label(mut self, name: impl Into<String>, severity: Severity) -> Self {
        self.labels.push(Label { name: name.into(), score: None, severity });
        self
    }

    /// With a word for those who review.
    #[must_use]
    pub fn explain(mut self, explanation: impl Into<String>) -> Self {
        self.explanation = Some(explanation.into());
        self
    }
}

impl From<Verdict> for Decision {
    fn from(verdict: Verdict) -> Self {
        Self { verdict, labels: Vec::new(), explanation: None }
    }
}

impl From<Rejection> for Decision {
    fn from(rejection: Rejection) -> Self {
        Verdict::Reject(rejection).into()
    }
}

impl Rejection {
    /// Without details, and without a word on when to try again.
    pub fn new(code: impl Into<String>, user_message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            user_message: Some(user_message.into()),
            details: None,
            retry_after_ms: None,
        }
    }
}

impl Patch {
    /// Other content, and all else as it was.
    pub fn content(content: impl Into<String>) -> Self {
        Self { content: Some(content.into()), attachments: None, metadata: Vec::new() }
    }
}
