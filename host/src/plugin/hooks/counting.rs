//! What is remembered of a call for a plugin's admins.

use std::time::Instant;

use super::{Installed, Post};
use crate::plugin::{Fault, Hook, call::Called};

impl Installed {
    /// Adds a call to what its admins read; `word` names its outcome.
    pub(in crate::plugin) fn count<T>(
        &self,
        hook: Hook,
        called: &Called<T>,
        word: impl Fn(&T) -> &'static str,
    ) {
        let Some(post) = self.post(hook) else { return };
        let outcome = called.outcome.as_ref().map(word).map_err(Fault::as_str);
        post.meter.count(outcome, called.took, called.memory_bytes);
        if let Err(fault) = &called.outcome {
            self.warn(post, fault);
        }
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
