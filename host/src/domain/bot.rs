use super::{Body, Email, Kind, MessageId};

/// Somebody of an org, as plugins are told of them.
#[derive(Clone, Debug)]
pub struct Person {
    pub email: Email,
    pub kind: Kind,
    pub name: Option<String>,
}

/// What a plugin wants to send; its body is not held to any limit yet.
#[derive(Clone, Debug)]
pub struct BotDraft {
    pub to: Email,
    pub body: Body,
    pub reply_to: Option<MessageId>,
}

/// Why a plugin's message was not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BotError {
    /// It breaks a rule, which the text names.
    Invalid(String),
    /// A plugin of the org refused or held it; the text is its code.
    Refused(String),
    /// Not from here; the text says why.
    Denied(String),
    /// The call, or the org, has sent as many as it may for now.
    QuotaExceeded,
    /// Not now.
    Unavailable,
}
