//! Decision receipts: why plugins decided as they did, and all that it takes to ask them again.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::{
    Value as Json,
    value::{RawValue, to_raw_value},
};
use sha2::{Digest, Sha256};

use super::{EntryId, MessageId, Phase, Step, ThreadId};

/// What is hashed before a recorded text, so that nobody can guess a short one by its hash. It
/// lies with the content and goes with it: the hash stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Salt(String);

impl Salt {
    const BYTES: usize = 16;

    /// At random.
    ///
    /// # Panics
    /// Where the system has no randomness.
    pub fn new() -> Self {
        let mut salt = [0; Self::BYTES];
        getrandom::fill(&mut salt).expect("the system has had randomness since it started");
        Self(hex(&salt))
    }

    /// SHA-256, in hex, of this salt and a JSON text with sorted keys and no white space.
    pub fn sha256_of(&self, json: &str) -> String {
        let digest = Sha256::new().chain_update(&self.0).chain_update(json);
        hex(&digest.finalize())
    }
}

/// Two lower-case digits for each byte.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digits = |byte: &u8| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
    bytes.iter().flat_map(digits).collect()
}

/// A configuration, kept once for all receipts that name it.
#[derive(Debug)]
pub struct ConfigRecord {
    pub sha256: String,
    pub config: Json,
}

impl ConfigRecord {
    pub fn new(config: &BTreeMap<String, String>) -> Self {
        let pairs = config.iter().map(|(key, value)| (key.clone(), Json::from(value.as_str())));
        let config = Json::Object(pairs.collect());
        Self { sha256: hex(&Sha256::digest(config.to_string())), config }
    }
}

/// What a guest was asked in one call, what it was told and what it answered.
#[derive(Clone, Debug)]
pub struct Run {
    pub record: RunRecord,
    /// A [`RunContent`].
    pub content: Box<RawValue>,
    /// The earlier messages that it was shown.
    pub shown: Vec<MessageId>,
    pub config: Option<Arc<ConfigRecord>>,
    /// The guest knew a secret's value: what it says may hold it.
    pub repeats_secret: bool,
}

/// What stays of a call when its content is taken away.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunRecord {
    /// Of the salt and the input.
    pub input_sha256: String,
    /// Of the salt and the answer; `None`: the answer may hold a secret.
    pub answer_sha256: Option<String>,
    /// The guest's own verdict, or the fault of its call. What counted may be another: a
    /// modification that leaves invalid content is a fault.
    pub answered: String,
    /// The call's only clock.
    pub now_ms: u64,
    /// What all its randomness came from, in hex; `None`: it asked for none.
    pub seed: Option<String>,
    pub terms: RunTerms,
    /// What it asked the server for, in order.
    pub imports: Vec<String>,
    /// Why the call cannot be run again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_replayable: Option<String>,
}

/// What a call and its answer were held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunTerms {
    pub phase: Phase,
    /// The plugin owns the content's type.
    pub owns: bool,
    pub max_content_bytes: usize,
    pub http_attachments: bool,
    pub memory_bytes: usize,
    pub table_elements: usize,
    pub handed_over_bytes: usize,
    pub host_calls: u32,
    pub open_secrets: usize,
}

/// The part of a call that may hold what people write.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunContent {
    /// Receipts of before there was one have none.
    #[serde(default)]
    pub salt: Salt,
    pub input: Json,
    pub host_calls: Vec<HostCall>,
    pub answer: Json,
}

impl RunContent {
    /// The JSON form of a [`RunContent`], of parts that lie elsewhere.
    pub fn text(
        salt: &Salt,
        input: &RawValue,
        host_calls: &[HostCall],
        answer: &Json,
    ) -> Box<RawValue> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Parts<'a> {
            salt: &'a Salt,
            input: &'a RawValue,
            host_calls: &'a [HostCall],
            answer: &'a Json,
        }
        let parts = Parts { salt, input, host_calls, answer };
        to_raw_value(&parts).expect("words and numbers have a JSON form")
    }
}

/// What a guest asked of the server, and what the server said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostCall {
    pub import: String,
    pub asked: Json,
    pub answered: Json,
}

impl HostCall {
    /// Shows what other messages say.
    pub const HISTORY: &str = "history.previous";
}

/// One plugin's part in a receipt; no content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallRecord {
    #[serde(flatten)]
    pub step: Step,
    pub config_sha256: Option<String>,
    /// `None`: no guest ran.
    pub run: Option<RunRecord>,
}

/// Everything about one time that an org's plugins were asked about a draft.
#[derive(Clone, Debug)]
pub struct Receipt {
    pub id: EntryId,
    pub thread_id: ThreadId,
    pub is_edit: bool,
    /// More than 1: the server has asked before.
    pub attempt: u32,
    pub calls: Vec<CallRecord>,
    /// One [`RunContent`] for each call; `None`: no guest ran.
    pub contents: Vec<Option<Box<RawValue>>>,
    pub shown: Vec<MessageId>,
    pub configs: Vec<Arc<ConfigRecord>>,
}

impl Receipt {
    /// `None`: nobody was asked, or nothing was recorded.
    pub fn new(
        thread_id: ThreadId,
        (is_edit, attempt): (bool, u32),
        steps: &[Step],
        runs: Vec<Option<Box<Run>>>,
    ) -> Option<Self> {
        if steps.is_empty() {
            return None;
        }
        let mut receipt = Self {
            id: EntryId::new(),
            thread_id,
            is_edit,
            attempt,
            calls: Vec::with_capacity(steps.len()),
            contents: Vec::with_capacity(steps.len()),
            shown: Vec::new(),
            configs: Vec::new(),
        };
        for (step, run) in steps.iter().zip(runs) {
            receipt.add(step.clone(), run);
        }
        Some(receipt)
    }

    fn add(&mut self, mut step: Step, run: Option<Box<Run>>) {
        let (mut config_sha256, mut record, mut content) = (None, None, None);
        if let Some(run) = run {
            if run.repeats_secret {
                step.explanation = None;
            }
            self.shown.extend(run.shown);
            config_sha256 = run.config.as_ref().map(|config| config.sha256.clone());
            self.configs.extend(run.config);
            record = Some(run.record);
            content = Some(run.content);
        }
        self.calls.push(CallRecord { step, config_sha256, run: record });
        self.contents.push(content);
    }
}
