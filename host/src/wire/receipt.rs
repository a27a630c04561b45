//! Decision receipts as admins get them, and as `duologue plugin replay` reads them.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::message::time_text;
use crate::{
    domain::{EntryId, HostCall, MessageId, RunContent, RunRecord, Salt, Step},
    service::{ReceiptCall, ReceiptEntry},
};

/// All that is kept about one message or one refused draft, newest first.
#[derive(Debug, Serialize, Deserialize)]
pub struct ReceiptsView {
    pub receipts: Vec<ReceiptView>,
}

/// One time that plugins were asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReceiptView {
    pub id: EntryId,
    /// `null`: the draft was refused, and never became a message.
    pub message_id: Option<MessageId>,
    /// What the sender of a refused draft read.
    pub request_id: Option<EntryId>,
    /// `message`, or `edit` of one.
    pub kind: String,
    pub attempt: i32,
    pub asked_at: String,
    /// `null`: it can be run again, unless a call says otherwise.
    pub not_replayable: Option<String>,
    pub calls: Vec<CallView>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallView {
    #[serde(flatten)]
    pub step: Step,
    pub config: Option<Json>,
    pub config_sha256: Option<String>,
    /// `null`: no guest ran.
    pub run: Option<RunRecord>,
    /// These four are `null` where `notReplayable` of the receipt says why.
    #[serde(default)]
    pub salt: Option<Salt>,
    pub input: Option<Json>,
    pub host_calls: Option<Vec<HostCall>>,
    pub answer: Option<Json>,
}

impl CallView {
    /// What it takes to run it again; `None`: no guest ran, or it is not shown.
    pub fn recorded(&self) -> Option<(&RunRecord, RunContent)> {
        let content = RunContent {
            salt: self.salt.clone().unwrap_or_default(),
            input: self.input.clone()?,
            host_calls: self.host_calls.clone()?,
            answer: self.answer.clone().unwrap_or_default(),
        };
        Some((self.run.as_ref()?, content))
    }
}

impl From<Vec<ReceiptEntry>> for ReceiptsView {
    fn from(entries: Vec<ReceiptEntry>) -> Self {
        Self { receipts: entries.into_iter().map(Into::into).collect() }
    }
}

impl From<ReceiptEntry> for ReceiptView {
    fn from(entry: ReceiptEntry) -> Self {
        let ReceiptEntry { row, calls, not_replayable } = entry;
        Self {
            id: row.id,
            message_id: row.message_id,
            request_id: row.request_id,
            kind: if row.is_edit { "edit" } else { "message" }.to_owned(),
            attempt: row.attempt,
            asked_at: time_text(row.created_at),
            not_replayable: not_replayable.map(str::to_owned),
            calls: calls.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<ReceiptCall> for CallView {
    fn from(call: ReceiptCall) -> Self {
        let ReceiptCall { record, config, content } = call;
        let (salt, input, host_calls, answer) = match content {
            None => (None, None, None, None),
            Some(RunContent { salt, input, host_calls, answer }) => {
                (Some(salt), Some(input), Some(host_calls), Some(answer))
            }
        };
        Self {
            step: record.step,
            config,
            config_sha256: record.config_sha256,
            run: record.run,
            salt,
            input,
            host_calls,
            answer,
        }
    }
}
