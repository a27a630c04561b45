//! One call into one guest, from waiting for a turn to an answer that has been read.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Instant};

use futures_util::FutureExt;
use tokio::{
    sync::{AcquireError, Semaphore, SemaphorePermit},
    time::timeout,
};

use super::{
    BeforeSend, Door, Fault, PluginHost,
    answer::Answer,
    bindings::{log, types},
    compile::Compiled,
    store::{Callee, store},
};
use crate::domain::Body;

/// Where and until when a call may run.
pub(super) struct Turn<'a> {
    pub(super) host: &'a PluginHost,
    /// The org's share of the host's instances.
    pub(super) share: &'a Semaphore,
    /// The end of what all plugins of an org may take.
    pub(super) ends: Instant,
}

impl Turn<'_> {
    /// Asks about a draft with this body. Each call has a fresh instance, dropped with its store.
    pub(super) async fn before_send(
        &self,
        compiled: &Compiled,
        callee: Arc<Callee>,
        ask: &BeforeSend<'_>,
        body: &Body,
    ) -> Result<Answer, Fault> {
        let Some(hook) = &compiled.before_send else {
            return Ok(Answer::Pass);
        };
        let _permits = self.enter().await?;
        let budget = self.left().min(self.host.0.limits.call_timeout);
        let context = context(ask, u32::try_from(budget.as_millis()).unwrap_or(u32::MAX));
        let draft = draft(ask, body);
        let previous = ask.previous.map(Into::into);

        let mut store = store(&self.host.0.engine, &self.host.0.limits, callee, context.now_ms);
        let call = async {
            let instance = compiled.instances.instantiate_async(&mut store).await?;
            let guest = hook.load(&mut store, &instance)?;
            guest.call_before_send(&mut store, &context, &draft, previous.as_ref()).await
        };
        // A panic in the engine costs this message, not the connection that sent it.
        let answer = AssertUnwindSafe(timeout(budget, call))
            .catch_unwind()
            .await
            .map_err(|_| Fault::Trapped("the engine panicked".to_owned()))?
            .map_err(|_| Fault::TimedOut)??;
        if let Err(types::Failure::Declined(reason)) = &answer {
            log::Host::write(store.data_mut(), log::Level::Warn, reason.clone());
        }
        Answer::parse(answer, body, ask.limits)
    }

    /// Waits for an instance: first of the org's share, so that an org which has used that up
    /// takes nothing from others while it waits.
    async fn enter(&self) -> Result<(SemaphorePermit<'_>, SemaphorePermit<'_>), Fault> {
        let left = self.left();
        if left.is_zero() {
            return Err(Fault::TimedOut);
        }
        let permits = async {
            let share = self.share.acquire().await?;
            Ok::<_, AcquireError>((share, self.host.0.instances.acquire().await?))
        };
        let entered = timeout(left.min(self.host.0.limits.wait_for_instance), permits).await;
        entered.map_err(|_| Fault::Busy)?.map_err(|_| Fault::Busy)
    }

    fn left(&self) -> std::time::Duration {
        self.ends.saturating_duration_since(Instant::now())
    }
}

fn context(ask: &BeforeSend<'_>, budget_ms: u32) -> types::Context {
    let now_ms = ask.now.unix_timestamp_nanos() / 1_000_000;
    types::Context {
        org: ask.caller.org.slug.as_str().to_owned(),
        caller: ask.caller.into(),
        door: match ask.door {
            Door::Rest => types::Door::Rest,
            Door::Socket => types::Door::Socket,
        },
        attempt: ask.attempt,
        now_ms: u64::try_from(now_ms).unwrap_or(0),
        budget_ms,
    }
}

fn draft(ask: &BeforeSend<'_>, body: &Body) -> types::Draft {
    types::Draft {
        to: ask.to.as_str().to_owned(),
        reply_to: ask.reply_to.map(|id| id.to_string()),
        body: body.into(),
    }
}
