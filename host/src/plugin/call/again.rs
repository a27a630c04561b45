//! A recorded call, made once more.

use std::{sync::Arc, time::Duration};

use serde_json::Value as Json;

use super::{Entered, Turn};
use crate::{
    domain::{Body, BodyLimits, RunTerms},
    plugin::{
        Compiled, Fault,
        answer::{Decision, Rules},
        catalog::Hook,
        imports::Serving,
        input::Input,
        recording,
        runtime::Seed,
        store::Callee,
        tape::from_ms,
        validation::{ContentRules, Validity},
    },
};

/// What was recorded of a call.
pub(in crate::plugin) struct Again<'a> {
    pub(in crate::plugin) hook: Hook,
    pub(in crate::plugin) input: Input,
    pub(in crate::plugin) body: Body,
    pub(in crate::plugin) terms: RunTerms,
    pub(in crate::plugin) seed: Option<Seed>,
    pub(in crate::plugin) serving: Serving<'a>,
}

/// How it went this time.
pub(in crate::plugin) struct Repeated {
    pub(in crate::plugin) answered: &'static str,
    pub(in crate::plugin) answer: Json,
    pub(in crate::plugin) took: Duration,
    pub(in crate::plugin) memory_bytes: u64,
}

impl Turn<'_> {
    pub(in crate::plugin) async fn again(
        &self,
        compiled: &Compiled,
        callee: Arc<Callee>,
        again: Again<'_>,
    ) -> Result<Repeated, Fault> {
        let Again { hook, input, body, terms, seed, serving } = again;
        let patience = self.host.0.limits.call_timeout;
        let now = from_ms(input.context.now_ms);
        let mut entered = match self.enter::<()>(callee, now, patience, Some(serving)).await {
            Ok(entered) => entered,
            Err(never) => return Err(never.outcome.err().unwrap_or(Fault::Busy)),
        };
        if let Some(seed) = seed {
            entered.store.data_mut().runtime.reseed(seed);
        }
        let limits = BodyLimits {
            max_content_bytes: terms.max_content_bytes,
            http_attachments: terms.http_attachments,
        };
        let (answered, answer) = if hook == Hook::ValidateContent {
            let rules = ContentRules { body: &body, limits: &limits, owns: terms.owns };
            entered.validate_again(compiled, input, rules).await?
        } else {
            let rules = Rules { body: &body, limits: &limits, phase: terms.phase };
            entered.judge_again(compiled, input, rules).await?
        };
        Ok(Repeated {
            answered,
            answer,
            took: entered.began.elapsed(),
            memory_bytes: entered.store.data().memory_bytes(),
        })
    }
}

impl Entered<'_> {
    async fn judge_again(
        &mut self,
        compiled: &Compiled,
        input: Input,
        rules: Rules<'_>,
    ) -> Result<(&'static str, Json), Fault> {
        let hook = compiled.exports.before_send.as_ref().ok_or(Fault::Unloadable)?;
        let answer = self.before_send(compiled, hook, input).await;
        Ok(recording::form(&answer.and_then(|answer| Decision::parse(answer, rules))))
    }

    async fn validate_again(
        &mut self,
        compiled: &Compiled,
        input: Input,
        rules: ContentRules<'_>,
    ) -> Result<(&'static str, Json), Fault> {
        let hook = compiled.exports.validate_content.as_ref().ok_or(Fault::Unloadable)?;
        let answer = self.validate(compiled, hook, input).await;
        Ok(recording::form(&answer.and_then(|answer| Validity::parse(answer, rules))))
    }
}
