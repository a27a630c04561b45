//! Calls that decide nothing: a first one of each hook when a version is uploaded, and the
//! version's own word on its configuration.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Serialize;
use time::OffsetDateTime;
use tokio::sync::Semaphore;

use super::{
    BeforeSend, Compiled, Door, Fault, Hook, Hooks, Limits, OnNotify, Standing,
    answer::Decision,
    call::{Called, Question, Turn},
    content::DeclaredType,
    lines::{GuestLine, GuestLog},
    notify,
    store::Callee,
    validation::{ContentRules, Validity},
};
use crate::domain::{
    Body, BodyLimits, Caller, ContentType, Message, MessageId, MessageState, Metadata, OrgId,
    Phase, PluginId, ThreadId, UserProfile, Words,
};

/// How a version did on a message that nobody has sent.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DryRun {
    pub hook: &'static str,
    /// A verdict, what it makes of a content, or `fault`.
    pub verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<&'static str>,
    /// The same in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What it wrote last, where it gave no answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
    pub micros: u64,
    pub memory_bytes: u64,
}

/// Why it is not known which content types a version judges.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeclareError {
    /// The version is to blame.
    #[error("asked for its content types, {0}")]
    Refused(String),
    #[error("too many calls were running")]
    Busy,
}

/// Why a version does not take its configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    #[error("{0}")]
    Refused(String),
    /// And what it wrote last.
    #[error("its lifecycle.check gave no answer: {0}{told}", told = told(.1))]
    Fault(Fault, Vec<String>),
}

fn told(lines: &[String]) -> String {
    if lines.is_empty() { String::new() } else { format!("; it logged: {}", lines.join("\n")) }
}

const MAX_REFUSAL_CHARS: usize = 500;
/// Of a guest's lines, those that are told where it gave no answer. What failed comes last.
const MOST_LINES: usize = 16;

impl DryRun {
    fn new<T>(
        hook: Hook,
        called: &Called<T>,
        log: &GuestLog,
        word: impl Fn(&T) -> &'static str,
    ) -> Self {
        let outcome = called.outcome.as_ref();
        Self {
            hook: hook.as_str(),
            verdict: outcome.map_or("fault", word),
            fault: outcome.err().map(Fault::as_str),
            why: outcome.err().map(ToString::to_string),
            log: if outcome.is_err() { newest(&log.page(0, usize::MAX).lines) } else { Vec::new() },
            micros: u64::try_from(called.took.as_micros()).unwrap_or(u64::MAX),
            memory_bytes: called.memory_bytes,
        }
    }
}

impl Hooks {
    /// The content types that a version judges; `None`: it does not take part there. Nothing is
    /// shown to it, so that the answer belongs to the version alone.
    pub async fn content_types(
        &self,
        compiled: &Compiled,
        admin: &Caller,
    ) -> Result<Option<Vec<DeclaredType>>, DeclareError> {
        let share = Semaphore::new(1);
        let turn = self.turn(&share, self.host().0.limits.chain_timeout);
        let guest = self.callee(compiled, admin.org.id, BTreeMap::new());
        let Some(called) = Box::pin(turn.content_types(compiled, guest)).await else {
            return Ok(None);
        };
        let said = called.outcome.map_err(|fault| match fault {
            Fault::Busy => DeclareError::Busy,
            fault => DeclareError::Refused(format!("there was no answer ({fault})")),
        })?;
        // Reading schemas may take a moment.
        let read = tokio::task::spawn_blocking(|| DeclaredType::parse_all(said)).await;
        let read = read.unwrap_or_else(|_| Err("its schemas cannot be read".to_owned()));
        read.map(Some).map_err(DeclareError::Refused)
    }

    /// Asks a version about a short text from the admin to themselves, within the limits of a
    /// real call: by `validate-content` where it tightens `text`, and by `before-send`. What
    /// would be right for a type of its own, the server does not know. Nothing of the org is
    /// shown to it but its configuration.
    pub async fn dry_run(
        &self,
        compiled: &Compiled,
        admin: &Caller,
        config: BTreeMap<String, String>,
        content_types: &[DeclaredType],
    ) -> Vec<DryRun> {
        let body = Body {
            content: "Hello".to_owned(),
            content_type: ContentType::Text,
            attachments: Vec::new(),
            metadata: Metadata::new(),
            preview: None,
        };
        // Each call has a log of its own.
        let guest = || self.callee(compiled, admin.org.id, config.clone());
        let mut runs =
            Box::pin(self.rehearse_send(compiled, admin, (&guest, content_types), &body)).await;
        if compiled.exports.on_notify.is_some() {
            runs.push(self.rehearse_notify(compiled, admin, guest(), body).await);
        }
        runs
    }

    async fn rehearse_send(
        &self,
        compiled: &Compiled,
        admin: &Caller,
        (guest, content_types): (&(impl Fn() -> Arc<Callee> + Sync), &[DeclaredType]),
        body: &Body,
    ) -> Vec<DryRun> {
        let share = Semaphore::new(1);
        let patience = self.host().0.limits.chain_timeout;
        let mut runs = Vec::new();
        let ask = BeforeSend {
            caller: admin,
            to: &admin.user,
            body,
            reply_to: None,
            previous: None,
            door: Door::Rest,
            attempt: 1,
            now: OffsetDateTime::now_utc(),
            limits: &BodyLimits::from(&admin.org.settings),
        };
        let question = Question {
            ask: &ask,
            messages_24h: 0,
            body,
            phase: Phase::Transform,
            patience: self.host().0.limits.call_timeout,
            serving: None,
        };
        if content_types.iter().any(|declared| declared.name == body.content_type.as_str()) {
            let rules = ContentRules { body, limits: ask.limits, owns: false };
            let turn = self.turn(&share, patience);
            let guest = guest();
            let called = turn.validate(compiled, Arc::clone(&guest), question, rules);
            let called = Box::pin(called).await;
            runs.push(DryRun::new(Hook::ValidateContent, &called, &guest.log, Validity::as_str));
        }
        if compiled.exports.before_send.is_some() {
            let turn = self.turn(&share, patience);
            let guest = guest();
            let called = Box::pin(turn.before_send(compiled, Arc::clone(&guest), question)).await;
            let word = |said: &Decision| said.verdict.as_str();
            runs.push(DryRun::new(Hook::BeforeSend, &called, &guest.log, word));
        }
        runs
    }

    /// About a message that nobody has stored.
    async fn rehearse_notify(
        &self,
        compiled: &Compiled,
        admin: &Caller,
        guest: Arc<Callee>,
        body: Body,
    ) -> DryRun {
        let share = Semaphore::new(1);
        let patience = self.host().0.limits.notify_timeout;
        let turn = self.turn(&share, patience);
        let now = OffsetDateTime::now_utc();
        let person = profile(admin);
        let ask = OnNotify {
            org: &admin.org,
            message: &made_up(admin, body, now),
            sender: &person,
            recipient: &person,
            standing: Standing { online: false, last_seen_at: None, unread: 1 },
            attempt: 1,
            now,
        };
        let words = Words::default();
        let question = notify::Question { ask: &ask, words: &words, patience, serving: None };
        let called = Box::pin(turn.on_notify(compiled, Arc::clone(&guest), question)).await;
        DryRun::new(Hook::OnNotify, &called, &guest.log, |decision| decision.verdict.as_str())
    }

    /// Lets a version say whether it can work with a configuration. What it writes meanwhile goes
    /// to the plugin's log.
    pub async fn check(
        &self,
        compiled: &Compiled,
        plugin: (OrgId, PluginId),
        config: BTreeMap<String, String>,
    ) -> Result<(), CheckError> {
        match self.ask_check(compiled, plugin, config).await {
            None => Ok(()),
            Some((called, lines)) => called
                .outcome
                .map_err(|fault| CheckError::Fault(fault, newest(&lines)))?
                .map_err(CheckError::Refused),
        }
    }

    /// The same; `None`: the version has nothing to say.
    pub(super) async fn ask_check(
        &self,
        compiled: &Compiled,
        (org, plugin): (OrgId, PluginId),
        config: BTreeMap<String, String>,
    ) -> Option<(Called<Result<(), String>>, Vec<GuestLine>)> {
        let share = Semaphore::new(1);
        let turn = self.turn(&share, self.host().0.limits.chain_timeout);
        let guest = self.callee(compiled, org, config);
        let mut called = Box::pin(turn.check(compiled, Arc::clone(&guest))).await?;
        if let Ok(Err(refusal)) = &mut called.outcome {
            *refusal = refusal.chars().take(MAX_REFUSAL_CHARS).collect();
        }
        let lines = guest.log.page(0, usize::MAX).lines;
        if !lines.is_empty() {
            self.log_of(org, plugin).append(&lines);
        }
        Some((called, lines))
    }

    pub(super) fn turn<'a>(&'a self, share: &'a Semaphore, patience: Duration) -> Turn<'a> {
        Turn { host: self.host(), share, ends: Instant::now() + patience }
    }

    pub(super) fn callee(
        &self,
        compiled: &Compiled,
        org: OrgId,
        config: BTreeMap<String, String>,
    ) -> Arc<Callee> {
        let Limits { log_kept_lines, log_kept_bytes, .. } = self.host().0.limits;
        Arc::new(Callee {
            org: org.to_string(),
            name: "rehearsal".to_owned(),
            version: compiled.report.sha256.clone(),
            config,
            log: Arc::new(GuestLog::new(log_kept_lines, log_kept_bytes)),
        })
    }
}

fn newest(lines: &[GuestLine]) -> Vec<String> {
    let skipped = lines.len().saturating_sub(MOST_LINES);
    lines.iter().skip(skipped).map(|line| line.text.clone()).collect()
}

fn profile(admin: &Caller) -> UserProfile {
    UserProfile {
        email: admin.user.email.clone(),
        kind: admin.kind,
        name: admin.user.name.clone(),
        picture: admin.user.picture.clone(),
        zoneinfo: None,
        locale: None,
        first_seen_at: admin.user.first_seen_at,
    }
}

fn made_up(admin: &Caller, body: Body, now: OffsetDateTime) -> Message {
    let user = admin.user.id;
    Message {
        id: MessageId::new(),
        thread_id: ThreadId::of(user, user),
        sender_id: user,
        recipient_id: user,
        client_id: None,
        body,
        reply_to: None,
        seq: Some(1),
        state: MessageState::Sent,
        shadowed: false,
        refused_reason: None,
        pending_revision: None,
        created_at: now,
        edited_at: None,
        deleted_at: None,
        read_at: None,
        hidden_for_sender: false,
        hidden_for_recipient: false,
    }
}
