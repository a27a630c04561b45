//! What the plugins of an org together make of a draft.

use std::{mem, ops::ControlFlow};

use super::{
    Fault,
    answer::{Decision, Verdict},
    call::Called,
    hooks::Installed,
};
use crate::domain::{
    Body, Hold, HoldCause, Judgement, Label, OnExpiry, OnFault, Outcome, Rejection, Step,
};

/// A draft on its way through the plugins.
pub(super) struct Round(Judgement);

impl Round {
    pub(super) fn new(body: Body) -> Self {
        Self(Judgement::unasked(body))
    }

    /// As the plugins so far have left it.
    pub(super) fn body(&self) -> &Body {
        &self.0.body
    }

    pub(super) fn into_judgement(self) -> Judgement {
        self.0
    }

    /// Adds what one plugin made of it. A break: nobody else is to be asked.
    pub(super) fn take(&mut self, plugin: &Installed, called: Called<Decision>) -> ControlFlow<()> {
        let mut step = Step {
            plugin: plugin.callee.name.clone(),
            version: plugin.callee.version.clone(),
            config_revision: plugin.config_revision,
            verdict: "fault".to_owned(),
            fault: None,
            explanation: None,
            changed: Vec::new(),
            micros: u64::try_from(called.took.as_micros()).unwrap_or(u64::MAX),
            memory_bytes: called.memory_bytes,
        };
        let outcome = match called.outcome {
            Ok(decision) => {
                decision.verdict.as_str().clone_into(&mut step.verdict);
                step.explanation.clone_from(&decision.explanation);
                self.note(plugin, &decision);
                // Of a call without an answer nothing is kept.
                self.0.staged.extend(called.staged.filter(|staged| !staged.is_empty()));
                self.decide(plugin, decision.verdict, &mut step)
            }
            Err(fault) => {
                step.fault = Some(fault.as_str().to_owned());
                without_answer(plugin, &fault)
            }
        };
        self.0.steps.push(step);
        let before = mem::replace(&mut self.0.outcome, Outcome::Send);
        self.0.outcome = before.tighten(outcome);
        match self.0.outcome {
            Outcome::Reject(_) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }

    fn note(&mut self, plugin: &Installed, decision: &Decision) {
        let labels = decision.labels.iter().map(|note| Label {
            plugin: plugin.callee.name.clone(),
            name: note.name.clone(),
            score: note.score,
            severity: note.severity,
        });
        self.0.labels.extend(labels);
    }

    fn decide(&mut self, plugin: &Installed, verdict: Verdict, step: &mut Step) -> Outcome {
        match verdict {
            Verdict::Pass => Outcome::Send,
            Verdict::Modify(patched) => {
                step.changed = changed(&self.0.body, &patched);
                self.0.body = patched;
                Outcome::Send
            }
            Verdict::Reject(rejection) => Outcome::Reject(rejection),
            Verdict::Hold(wish) => Outcome::Hold(Hold {
                reason: wish.reason,
                ttl: wish.ttl,
                on_expiry: wish.on_expiry,
                ..hold(plugin, HoldCause::Verdict)
            }),
            Verdict::Shadow => Outcome::Shadow,
        }
    }
}

/// The fields in which two bodies differ.
fn changed(before: &Body, after: &Body) -> Vec<String> {
    let fields = [
        ("content", before.content != after.content),
        ("attachments", before.attachments != after.attachments),
        ("metadata", before.metadata != after.metadata),
    ];
    fields.into_iter().filter(|(_, differs)| *differs).map(|(field, _)| field.to_owned()).collect()
}

/// What the org has chosen for a message about which its plugin says nothing.
fn without_answer(plugin: &Installed, fault: &Fault) -> Outcome {
    match plugin.on_fault {
        OnFault::Allow => Outcome::Send,
        OnFault::Reject => Outcome::Reject(Rejection::moderation_unavailable()),
        OnFault::Hold => Outcome::Hold(Hold {
            reason: format!("no answer: {}", fault.as_str()),
            ..hold(plugin, HoldCause::Fault)
        }),
    }
}

/// A hold until somebody decides.
fn hold(plugin: &Installed, cause: HoldCause) -> Hold {
    Hold {
        cause,
        plugin: plugin.callee.name.clone(),
        version: plugin.callee.version.clone(),
        reason: String::new(),
        shadow: false,
        ttl: None,
        on_expiry: OnExpiry::Refuse,
    }
}
