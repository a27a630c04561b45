//! What admins who review send and get.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{message::time_text, request::parse_limit};
use crate::{
    Error, Result,
    domain::{
        Attachment, Body, Decision, EntryId, HoldCause, HoldState, Label, MessageId, MessageState,
        Metadata, OnExpiry, PendingBody, Step,
    },
    service::{AuditEntry, HeldEntry, Letter, REVIEW_PAGE, Refusal, ReviewCommand, Reviewed},
};

/// `?limit&cursor&state` of the review queue and of the lists beside it.
#[derive(Debug, Default, Deserialize)]
pub struct ReviewQuery {
    limit: Option<String>,
    cursor: Option<String>,
    #[serde(default)]
    state: HoldState,
}

impl ReviewQuery {
    pub fn limit(&self) -> Result<i64> {
        parse_limit(self.limit.as_deref(), REVIEW_PAGE)
    }

    pub fn state(&self) -> HoldState {
        self.state
    }

    /// Where the list goes on; a cursor is what the page before said.
    pub fn cursor<T: std::str::FromStr>(&self) -> Result<Option<T>> {
        let given = self.cursor.as_deref().filter(|cursor| !cursor.is_empty());
        given
            .map(str::parse)
            .transpose()
            .map_err(|_| Error::invalid("cursor", "must be the X-Next-Cursor of the page before"))
    }
}

/// A decision about what waits.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DecideRequest {
    revision: i32,
    note: Option<String>,
    reason: Option<String>,
}

impl From<DecideRequest> for ReviewCommand {
    fn from(request: DecideRequest) -> Self {
        Self { revision: request.revision, note: request.note, reason: request.reason }
    }
}

/// What a decision led to; what the message says is not part of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DecidedView {
    message_id: MessageId,
    state: MessageState,
    seq: Option<i64>,
    reason: Option<String>,
}

impl From<&Letter> for DecidedView {
    fn from(letter: &Letter) -> Self {
        let message = &letter.message;
        Self {
            message_id: message.id,
            state: message.state,
            seq: message.seq,
            reason: message.refused_reason.clone(),
        }
    }
}

/// What a message says, to an admin who may read it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BodyView {
    content: String,
    content_type: String,
    attachments: Vec<Attachment>,
    metadata: Metadata,
}

impl From<&Body> for BodyView {
    fn from(body: &Body) -> Self {
        Self {
            content: body.content.clone(),
            content_type: body.content_type.as_str().to_owned(),
            attachments: body.attachments.clone(),
            metadata: body.metadata.clone(),
        }
    }
}

/// A message that plugins judged.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DecisionView {
    message_id: MessageId,
    from: String,
    to: String,
    state: MessageState,
    shadowed: bool,
    reason: Option<String>,
    pending_revision: Option<i32>,
    created_at: String,
    edited_at: Option<String>,
    deleted_at: Option<String>,
    labels: Vec<Label>,
    steps: Vec<Step>,
    /// `null` where the org's setting `adminReads` keeps it from admins.
    message: Option<BodyView>,
}

impl From<&Reviewed> for DecisionView {
    fn from(reviewed: &Reviewed) -> Self {
        let Reviewed { letter, decision, readable } = reviewed;
        let message = &letter.message;
        let Decision { labels, steps } = decision.clone().unwrap_or_default();
        Self {
            message_id: message.id,
            from: letter.sender.email.as_str().to_owned(),
            to: letter.recipient.email.as_str().to_owned(),
            state: message.state,
            shadowed: message.shadowed,
            reason: message.refused_reason.clone(),
            pending_revision: message.pending_revision,
            created_at: time_text(message.created_at),
            edited_at: message.edited_at.map(time_text),
            deleted_at: message.deleted_at.map(time_text),
            labels,
            steps,
            message: readable.then(|| BodyView::from(&message.body)),
        }
    }
}

/// What waits, or has waited, for a review.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldView {
    message_id: MessageId,
    revision: i32,
    /// `message`, or `edit` of one that stands.
    kind: &'static str,
    from: String,
    to: String,
    state: HoldState,
    cause: HoldCause,
    plugin: String,
    version: String,
    reason: String,
    shadow: bool,
    held_at: String,
    expires_at: Option<String>,
    on_expiry: OnExpiry,
    attempts: i32,
    /// When plugins that gave no answer are asked again, at the earliest.
    next_attempt_at: Option<String>,
    decided_at: Option<String>,
    /// An e-mail; `null` where time decided, or plugins that were asked again.
    decided_by: Option<String>,
    note: Option<String>,
    labels: Vec<Label>,
    steps: Vec<Step>,
    /// The message as it is; `null` where the org's setting keeps it from admins.
    message: Option<BodyView>,
    /// What a pending edit would put in its place.
    edit: Option<PendingBody>,
}

impl From<HeldEntry> for HeldView {
    fn from(entry: HeldEntry) -> Self {
        let HeldEntry { held, reviewed, decided_by } = entry;
        let Reviewed { letter, readable, .. } = reviewed;
        let Decision { labels, steps } = held.decision.unwrap_or_default();
        Self {
            message_id: held.message_id,
            revision: held.revision,
            kind: if held.is_edit { "edit" } else { "message" },
            from: letter.sender.email.as_str().to_owned(),
            to: letter.recipient.email.as_str().to_owned(),
            state: held.state,
            cause: held.cause,
            plugin: held.plugin,
            version: held.version,
            reason: held.reason,
            shadow: held.shadow,
            held_at: time_text(held.created_at),
            expires_at: held.expires_at.map(time_text),
            on_expiry: held.on_expiry,
            attempts: held.attempts,
            next_attempt_at: held.ask_at.map(time_text),
            decided_at: held.decided_at.map(time_text),
            decided_by: decided_by.map(|user| user.email.as_str().to_owned()),
            note: held.note,
            labels,
            steps,
            message: readable.then(|| BodyView::from(&letter.message.body)),
            edit: held.body.filter(|_| readable),
        }
    }
}

/// A draft or an edit that plugins refused; what it said is nowhere.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RefusalView {
    id: EntryId,
    from: String,
    to: String,
    /// The message that an edit was to change.
    message_id: Option<MessageId>,
    reason: String,
    labels: Vec<Label>,
    steps: Vec<Step>,
    created_at: String,
}

impl From<Refusal> for RefusalView {
    fn from(refusal: Refusal) -> Self {
        let Refusal { row, sender, recipient } = refusal;
        Self {
            id: row.id,
            from: sender.email.as_str().to_owned(),
            to: recipient.email.as_str().to_owned(),
            message_id: row.message_id,
            reason: row.reason,
            labels: row.decision.labels,
            steps: row.decision.steps,
            created_at: time_text(row.created_at),
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditView {
    id: EntryId,
    /// A user's id, `operator` or `system`.
    actor: String,
    action: String,
    subject: String,
    detail: Json,
    created_at: String,
}

impl From<AuditEntry> for AuditView {
    fn from(entry: AuditEntry) -> Self {
        Self {
            id: entry.id,
            actor: entry.actor,
            action: entry.action,
            subject: entry.subject,
            detail: entry.detail,
            created_at: time_text(entry.created_at),
        }
    }
}
