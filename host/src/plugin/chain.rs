//! What the plugins of an org together make of a draft.

use std::{mem, ops::ControlFlow, sync::Arc};

use super::{
    BeforeSend, Fault, Limits,
    answer::{Decision, Verdict},
    call::{Called, Question, Turn},
    catalog::Hook,
    hooks::{Installed, OrgPlugins, Watch},
    imports::{Reach, Serving},
    services::{Asker, HostServices},
    validation::{Validation, judge_modification},
};
use crate::domain::{
    Body, Hold, HoldCause, Judgement, Label, OnExpiry, OnFault, Outcome, Overheard, Rejection, Step,
};

/// The plugins of an org, about to be asked about one draft.
pub(super) struct Chain<'a> {
    pub(super) plugins: &'a OrgPlugins,
    pub(super) turn: Turn<'a>,
    pub(super) services: Option<&'a Arc<dyn HostServices>>,
    pub(super) ask: &'a BeforeSend<'a>,
    pub(super) messages_24h: u32,
}

impl Chain<'_> {
    /// First those who judge the content's type, then each transform, which sees what the one
    /// before it left, then guards. A rejection ends the round; of all else the strictest counts.
    pub(super) async fn judge(&self) -> Judgement {
        let mut round = Round(Judgement::unasked(self.ask.body.clone()));
        let (original, mut placed) = self.watches();
        self.overhear(&mut round, original);
        if let Some(validation) = self.validate(self.ask.body).await
            && round.take_validation(validation).is_break()
        {
            return round.0;
        }
        for (place, plugin) in self.plugins.placed_at(Hook::BeforeSend) {
            let here = placed.partition_point(|watch| watch.place <= place);
            self.overhear(&mut round, &placed[..here]);
            placed = &placed[here..];
            if !plugin.takes(self.ask) {
                continue;
            }
            // Boxed, so that messages which no plugin judges do not carry it along.
            let (called, again) = Box::pin(self.before_send(plugin, &round.0.body)).await;
            plugin.count(Hook::BeforeSend, &called, |decision| decision.verdict.as_str());
            if round.take_both(plugin, called, again).is_break() {
                return round.0;
            }
        }
        self.overhear(&mut round, placed);
        round.0
    }

    /// Those that see what the sender wrote, and those that see what comes to their place.
    fn watches(&self) -> (&[Watch], &[Watch]) {
        let watches = self.plugins.watches();
        watches.split_at(watches.partition_point(|watch| watch.sees_original))
    }

    /// Keeps the draft as it is now for candidates.
    fn overhear(&self, round: &mut Round, watches: &[Watch]) {
        let overheard = watches.iter().map(|watch| Overheard {
            plugin: watch.plugin,
            body: round.0.body.clone(),
            messages_24h: self.messages_24h,
        });
        let overheard: Vec<_> = overheard.collect();
        round.0.overheard.extend(overheard);
    }

    /// Asks one plugin, and those who judge the content's type about what it modified: what is
    /// invalid then is its fault.
    async fn before_send(
        &self,
        plugin: &Installed,
        body: &Body,
    ) -> (Called<Decision>, Option<Validation>) {
        let question = self.question(plugin, body, Reach::Deciding);
        let mut again = None;
        let asking = plugin.ask(Hook::BeforeSend, self.ask.caller.user.id, async |compiled| {
            let guest = Arc::clone(&plugin.callee);
            let mut called = self.turn.before_send(compiled, guest, question).await;
            if let Ok(Decision { verdict: Verdict::Modify(body), .. }) = &called.outcome {
                again = self.validate(body).await;
            }
            if let Some(validation) = &again {
                judge_modification(&mut called, validation);
            }
            called
        });
        let called = asking.await;
        (called, again)
    }

    pub(super) fn question<'a>(
        &'a self,
        plugin: &'a Installed,
        body: &'a Body,
        reach: Reach,
    ) -> Question<'a> {
        let serving = self.services.map(|services| Serving {
            services,
            org: &self.ask.caller.org,
            plugin: plugin.id,
            asker: Some(Asker { caller: self.ask.caller.user.id, peer: self.ask.to.id }),
            granted: &plugin.granted_hosts,
            reach,
        });
        Question {
            ask: self.ask,
            messages_24h: self.messages_24h,
            body,
            phase: plugin.phase,
            patience: plugin.patience(Hook::BeforeSend, self.limits()),
            serving,
        }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.turn.host.0.limits
    }
}

/// A draft on its way through the plugins.
struct Round(Judgement);

impl Round {
    /// Adds what one plugin made of it, and what was made of its modification.
    fn take_both(
        &mut self,
        plugin: &Installed,
        called: Called<Decision>,
        again: Option<Validation>,
    ) -> ControlFlow<()> {
        match again {
            // Nothing of it is kept but the record, which ends with the plugin that is to blame.
            Some(refused) if refused.is_invalid => {
                self.0.steps.extend(refused.steps);
                self.0.runs.extend(refused.runs);
                self.take(plugin, called)
            }
            Some(validation) => {
                self.take(plugin, called)?;
                self.take_validation(validation)
            }
            None => self.take(plugin, called),
        }
    }

    fn take_validation(&mut self, validation: Validation) -> ControlFlow<()> {
        self.0.body = validation.body;
        self.0.steps.extend(validation.steps);
        self.0.runs.extend(validation.runs);
        self.tighten(validation.outcome)
    }

    /// Adds what one plugin made of it. A break: nobody else is to be asked.
    fn take(&mut self, plugin: &Installed, called: Called<Decision>) -> ControlFlow<()> {
        let mut step = step(plugin, Hook::BeforeSend, &called);
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
                let policy = Unanswered {
                    on_fault: plugin.on_fault,
                    rejection: Rejection::moderation_unavailable(),
                };
                without_answer(plugin, policy, &fault)
            }
        };
        self.0.steps.push(step);
        self.0.runs.push(called.run);
        self.tighten(outcome)
    }

    fn tighten(&mut self, outcome: Outcome) -> ControlFlow<()> {
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

/// The record of a call; what a plugin answered is yet to be added.
pub(super) fn step<T>(plugin: &Installed, hook: Hook, called: &Called<T>) -> Step {
    Step {
        plugin: plugin.callee.name.clone(),
        version: plugin.callee.version.clone(),
        config_revision: plugin.config_revision,
        hook: hook.as_str().to_owned(),
        verdict: "fault".to_owned(),
        fault: called.outcome.as_ref().err().map(|fault| fault.as_str().to_owned()),
        why: called.outcome.as_ref().err().map(ToString::to_string),
        explanation: None,
        changed: Vec::new(),
        micros: u64::try_from(called.took.as_micros()).unwrap_or(u64::MAX),
        memory_bytes: called.memory_bytes,
    }
}

/// What a message meets where a plugin says nothing about it at a hook.
pub(super) struct Unanswered {
    pub(super) on_fault: OnFault,
    /// For its sender, where it is refused.
    pub(super) rejection: Rejection,
}

/// What the org has chosen for a message about which its plugin says nothing.
pub(super) fn without_answer(plugin: &Installed, policy: Unanswered, fault: &Fault) -> Outcome {
    match policy.on_fault {
        OnFault::Allow => Outcome::Send,
        OnFault::Reject => Outcome::Reject(policy.rejection),
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
