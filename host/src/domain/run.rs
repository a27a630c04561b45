use serde::Serialize;
use uuid::Uuid;

use super::{Body, EntryId, Label, MessageId, PluginId, Step};

/// How a version is tried on an org's messages before it decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunStage {
    /// Beside live messages.
    Trial,
    /// Over stored ones.
    Backtest,
}

impl RunStage {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trial => "trial",
            Self::Backtest => "backtest",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    Running,
    /// It has seen all the messages that it was to see.
    Finished,
    /// An admin ended it.
    Ended,
    /// The server that ran it went away.
    BrokenOff,
}

impl RunState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Ended => "ended",
            Self::BrokenOff => "broken_off",
        }
    }

    /// From a row: the column's check constraint admits nothing else.
    pub(crate) fn stored(text: &str) -> Self {
        match text {
            "finished" => Self::Finished,
            "ended" => Self::Ended,
            "broken_off" => Self::BrokenOff,
            _ => Self::Running,
        }
    }
}

/// What a candidate was asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    Message(MessageId),
    /// An edit of that message.
    Edit(MessageId),
    /// A draft that was refused; under which entry.
    Refusal(EntryId),
}

impl Subject {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Message(_) => "message",
            Self::Edit(_) => "edit",
            Self::Refusal(_) => "refusal",
        }
    }

    pub fn id(self) -> Uuid {
        match self {
            Self::Message(id) | Self::Edit(id) => id.as_uuid(),
            Self::Refusal(id) => id.as_uuid(),
        }
    }
}

/// What a candidate made of one message. It holds nothing of what the message says.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    pub id: EntryId,
    pub subject: &'static str,
    pub subject_id: Uuid,
    pub verdict: String,
    pub fault: Option<String>,
    /// What the active version made of it; `None`: none was asked.
    pub active_verdict: Option<String>,
    pub agrees: bool,
    pub labels: Vec<Label>,
    pub changed: Vec<String>,
    pub micros: u64,
    pub memory_bytes: u64,
}

impl Finding {
    /// Holds what a candidate made of a message against what the active version did.
    pub fn new(
        subject: Subject,
        (candidate, labels): (&Step, Vec<Label>),
        active: Option<&Step>,
    ) -> Self {
        let agrees = match active {
            Some(active) => {
                active.verdict == candidate.verdict && active.changed == candidate.changed
            }
            // Nobody stood in the way of the message.
            None => matches!(candidate.verdict.as_str(), "pass" | "valid"),
        };
        Self {
            id: EntryId::new(),
            subject: subject.as_str(),
            subject_id: subject.id(),
            verdict: candidate.verdict.clone(),
            fault: candidate.fault.clone(),
            active_verdict: active.map(|active| active.verdict.clone()),
            agrees,
            labels,
            changed: candidate.changed.clone(),
            micros: candidate.micros,
            memory_bytes: candidate.memory_bytes,
        }
    }
}

/// A draft as it came to where a candidate of a plugin would be asked.
#[derive(Clone, Debug)]
pub struct Overheard {
    pub plugin: PluginId,
    pub body: Body,
    pub messages_24h: u32,
}
