//! What is remembered of a call for a plugin's admins.

use std::time::Instant;

use super::{Hooks, Installed, Post};
use crate::{
    domain::{OrgId, Step},
    plugin::{Fault, Hook, bindings::log::Level, call::Called, lines::GuestLog},
};

impl Hooks {
    /// Says in a plugin's lines that it gave no answer about a draft, once it is known what
    /// became of that.
    pub fn note_fault(&self, org: OrgId, step: &Step, about: &str) {
        let Some(fault) = &step.fault else { return };
        let plugins = self.plugins_of(org);
        if let Some(log) = plugins.as_ref().and_then(|plugins| plugins.log_of_step(step)) {
            note_fault(log, &step.version, (&step.hook, fault, about));
        }
    }
}

impl Installed {
    /// Adds a call to what its admins read; `word` names its outcome.
    pub(in crate::plugin) fn count<T>(
        &self,
        hook: Hook,
        called: &Called<T>,
        word: impl Fn(&T) -> &'static str,
    ) {
        let Some(post) = self.post(hook) else { return };
        if !called.began && called.outcome.is_ok() {
            post.meter.count_unasked();
            return;
        }
        let outcome = called.outcome.as_ref().map(word).map_err(Fault::as_str);
        post.meter.count(outcome, called.took, called.memory_bytes);
        if let Err(fault) = &called.outcome {
            self.warn(post, fault);
        }
    }

    /// Says in its lines that it gave no answer about something, which is named by an id.
    pub(in crate::plugin) fn note_fault(&self, hook: &str, fault: &str, about: &str) {
        note_fault(&self.callee.log, &self.callee.version, (hook, fault, about));
    }

    fn warn(&self, post: &Post, fault: &Fault) {
        if let Some(skipped) = post.faults.admit(Instant::now()) {
            tracing::warn!(
                org.id = %self.callee.org,
                plugin.id = %self.id,
                plugin.name = %self.callee.name,
                plugin.version = %self.callee.version,
                hook = post.hook.as_str(),
                fault = fault.as_str(),
                cause = %fault,
                skipped,
                "plugin gave no answer"
            );
        }
    }
}

fn note_fault(log: &GuestLog, version: &str, (hook, fault, about): (&str, &str, &str)) {
    // Spared it was not asked; what made it so is in its lines.
    if fault != Fault::BreakerOpen.as_str() {
        let line = format!("no answer: {fault} at {hook}, {about}");
        log.write(Level::Error, version, &line);
    }
}
