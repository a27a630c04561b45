//! One call into one guest, from waiting for a turn to an answer that has been read.

mod again;
mod events;

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use time::OffsetDateTime;
use tokio::{
    sync::{AcquireError, Semaphore, SemaphorePermit},
    time::timeout,
};
use uuid::Uuid;
use wasmtime::Store;

pub(super) use again::{Again, Repeated};

use super::{
    BeforeSend, Door, Fault, Limits, PluginHost,
    answer::{Decision, Rules},
    bindings::{before_send, types, unix_ms, validate_content},
    compile::Compiled,
    imports::{Reach, Served, Serving},
    input::Input,
    recording::{self, Answer, Recording, Terms},
    store::{Callee, Guest, store},
    validation::{ContentRules, Validity},
};
use crate::domain::{Body, Phase, Run, StagedWrites};

/// Where and until when a call may run.
pub(super) struct Turn<'a> {
    pub(super) host: &'a PluginHost,
    /// The org's share of the host's instances.
    pub(super) share: &'a Semaphore,
    /// The end of what all plugins of an org may take.
    pub(super) ends: Instant,
}

/// What one plugin of a chain is asked.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) ask: &'a BeforeSend<'a>,
    pub(super) messages_24h: u32,
    /// What the plugins before it left.
    pub(super) body: &'a Body,
    pub(super) phase: Phase,
    /// How long this call may take.
    pub(super) patience: Duration,
    /// `None`: a rehearsal.
    pub(super) serving: Option<Serving<'a>>,
}

/// How a call went.
pub(super) struct Called<T> {
    pub(super) outcome: Result<T, Fault>,
    /// Waiting included.
    pub(super) took: Duration,
    /// The guest's linear memory at the end.
    pub(super) memory_bytes: u64,
    /// False: no guest ran.
    pub(super) began: bool,
    /// What the guest wants stored with the message.
    pub(super) staged: Option<StagedWrites>,
    /// For the message's receipt, where that is kept.
    pub(super) run: Option<Box<Run>>,
}

/// A place among the running guests, and a fresh store for one of them.
pub(super) struct Entered<'a> {
    pub(super) store: Store<Guest>,
    pub(super) budget: Duration,
    began: Instant,
    _permits: (SemaphorePermit<'a>, SemaphorePermit<'a>),
}

impl<T> Called<T> {
    /// No guest ran.
    pub(super) fn never(fault: Fault, took: Duration) -> Self {
        Self::unasked(Err(fault), took)
    }

    /// The server had the answer by itself.
    pub(super) fn unasked(outcome: Result<T, Fault>, took: Duration) -> Self {
        Self { outcome, took, memory_bytes: 0, began: false, staged: None, run: None }
    }
}

impl Turn<'_> {
    /// Asks about a draft. Each call has a fresh instance, dropped with its store.
    pub(super) async fn before_send(
        &self,
        compiled: &Compiled,
        callee: Arc<Callee>,
        question: Question<'_>,
    ) -> Called<Decision> {
        let Some(hook) = &compiled.exports.before_send else {
            return Called::never(Fault::Unloadable, Duration::ZERO);
        };
        let mut entered =
            match self.enter(callee, question.ask.now, question.patience, question.serving).await {
                Ok(entered) => entered,
                Err(never) => return never,
            };
        let input = Input {
            context: context(&question, entered.budget).into(),
            to: Some(question.ask.to.email.as_str().to_owned()),
            reply_to: question.ask.reply_to.map(|id| id.to_string()),
            body: question.body.into(),
            previous: question.ask.previous.map(Into::into),
        };
        let rules =
            Rules { body: question.body, limits: question.ask.limits, phase: question.phase };
        let recording = entered.recording(&input, rules.into(), &self.host.0.limits);
        let answer = entered.before_send(compiled, hook, input).await;
        let outcome = answer.and_then(|answer| Decision::parse(answer, rules));
        entered.end_recorded(outcome, recording)
    }

    /// Asks whether a body is valid content of its type.
    pub(super) async fn validate(
        &self,
        compiled: &Compiled,
        callee: Arc<Callee>,
        question: Question<'_>,
        rules: ContentRules<'_>,
    ) -> Called<Validity> {
        let Some(hook) = &compiled.exports.validate_content else {
            return Called::never(Fault::Unloadable, Duration::ZERO);
        };
        let mut entered =
            match self.enter(callee, question.ask.now, question.patience, question.serving).await {
                Ok(entered) => entered,
                Err(never) => return never,
            };
        let input = Input {
            context: context(&question, entered.budget).into(),
            to: None,
            reply_to: None,
            body: question.body.into(),
            previous: None,
        };
        let recording = entered.recording(&input, rules.into(), &self.host.0.limits);
        let answer = entered.validate(compiled, hook, input).await;
        let outcome = answer.and_then(|answer| Validity::parse(answer, rules));
        entered.end_recorded(outcome, recording)
    }

    /// Asks a version which content types it judges; `None`: it does not take part there.
    pub(super) async fn content_types(
        &self,
        compiled: &Compiled,
        callee: Arc<Callee>,
    ) -> Option<Called<Vec<validate_content::ContentType>>> {
        let hook = compiled.exports.validate_content.as_ref()?;
        let said = self.ask_alone(callee, async |store| {
            let instance = compiled.instances.instantiate_async(&mut *store).await?;
            hook.load(&mut *store, &instance)?.call_content_types(&mut *store).await
        });
        Some(said.await)
    }

    /// Lets a version check its configuration; `None`: it has nothing to say.
    pub(super) async fn check(
        &self,
        compiled: &Compiled,
        callee: Arc<Callee>,
    ) -> Option<Called<Result<(), String>>> {
        let lifecycle = compiled.exports.lifecycle.as_ref()?;
        let said = self.ask_alone(callee, async |store| {
            let instance = compiled.instances.instantiate_async(&mut *store).await?;
            lifecycle.load(&mut *store, &instance)?.call_check(&mut *store).await
        });
        Some(said.await)
    }

    /// A call about the version itself: the server has nothing to tell it.
    async fn ask_alone<T>(
        &self,
        callee: Arc<Callee>,
        call: impl AsyncFnOnce(&mut Store<Guest>) -> wasmtime::Result<T>,
    ) -> Called<T> {
        let (now, patience) = (OffsetDateTime::now_utc(), self.host.0.limits.call_timeout);
        let mut entered = match self.enter(callee, now, patience, None).await {
            Ok(entered) => entered,
            Err(never) => return never,
        };
        let said = within(entered.budget, call(&mut entered.store)).await;
        entered.end(said)
    }

    /// Waits for an instance.
    pub(super) async fn enter<T>(
        &self,
        callee: Arc<Callee>,
        now: OffsetDateTime,
        patience: Duration,
        serving: Option<Serving<'_>>,
    ) -> Result<Entered<'_>, Called<T>> {
        // Calls run better right after each other: what one needs is still in the processor's caches.
        tokio::task::yield_now().await;
        let began = Instant::now();
        let limits = &self.host.0.limits;
        let is_off_the_path = serving.is_some_and(|serving| serving.reach == Reach::Acting);
        // Where no message waits, a busy moment is no reason to go without the plugin.
        let most = if is_off_the_path { patience } else { limits.wait_for_instance };
        match self.wait(most).await {
            Ok(permits) => {
                let budget = self.left().min(patience);
                let served =
                    serving.map(|serving| Served::new(&serving, Instant::now() + budget, limits));
                let store = store(&self.host.0.engine, limits, callee, served, unix_ms(now));
                Ok(Entered { store, budget, began, _permits: permits })
            }
            Err(fault) => Err(Called::never(fault, began.elapsed())),
        }
    }

    /// First for one of the org's share, so that an org which has used that up takes nothing from
    /// others while it waits.
    async fn wait(
        &self,
        most: Duration,
    ) -> Result<(SemaphorePermit<'_>, SemaphorePermit<'_>), Fault> {
        let left = self.left();
        if left.is_zero() {
            return Err(Fault::TimedOut);
        }
        let permits = async {
            let share = self.share.acquire().await?;
            Ok::<_, AcquireError>((share, self.host.0.instances.acquire().await?))
        };
        let entered = timeout(left.min(most), permits).await;
        entered.map_err(|_| Fault::Busy)?.map_err(|_| Fault::Busy)
    }

    pub(super) fn left(&self) -> Duration {
        self.ends.saturating_duration_since(Instant::now())
    }
}

impl Entered<'_> {
    async fn before_send(
        &mut self,
        compiled: &Compiled,
        hook: &before_send::GuestIndices,
        input: Input,
    ) -> Result<Result<types::Decision, types::Failure>, Fault> {
        let store = &mut self.store;
        let (context, draft, previous) = input.into_arguments();
        let call = async {
            let instance = compiled.instances.instantiate_async(&mut *store).await?;
            let guest = hook.load(&mut *store, &instance)?;
            let answer = guest.call_before_send(&mut *store, &context, &draft, previous.as_ref());
            let answer = answer.await?;
            store.data_mut().note_declined(&answer);
            Ok(answer)
        };
        within(self.budget, call).await
    }

    async fn validate(
        &mut self,
        compiled: &Compiled,
        hook: &validate_content::GuestIndices,
        input: Input,
    ) -> Result<Result<validate_content::Validity, types::Failure>, Fault> {
        let store = &mut self.store;
        let (body, context) = (input.body.into(), input.context.into());
        let call = async {
            let instance = compiled.instances.instantiate_async(&mut *store).await?;
            let guest = hook.load(&mut *store, &instance)?;
            let answer = guest.call_validate(&mut *store, &context, &body).await?;
            store.data_mut().note_declined(&answer);
            Ok(answer)
        };
        within(self.budget, call).await
    }

    /// `None`: the call leaves no receipt.
    fn recording(&mut self, input: &Input, terms: Terms<'_>, limits: &Limits) -> Option<Recording> {
        let guest = self.store.data_mut();
        let is_recorded = guest.served().is_some_and(|served| served.tape.is_some());
        is_recorded.then(|| Recording::new(input, terms, limits))
    }

    pub(super) fn end<T>(mut self, outcome: Result<T, Fault>) -> Called<T> {
        let memory_bytes = self.store.data().memory_bytes();
        let (staged, _) = self.store.data_mut().take_served();
        Called { outcome, took: self.began.elapsed(), memory_bytes, began: true, staged, run: None }
    }

    fn end_recorded<T: Answer>(
        mut self,
        outcome: Result<T, Fault>,
        recording: Option<Recording>,
    ) -> Called<T> {
        let took = self.began.elapsed();
        let memory_bytes = self.store.data().memory_bytes();
        let (staged, tape) = self.store.data_mut().take_served();
        let seed = self.store.data().runtime.seed();
        let run = recording.zip(tape).map(|(recording, tape)| {
            Box::new(recording.end(recording::form(&outcome), tape, seed))
        });
        Called { outcome, took, memory_bytes, began: true, staged, run }
    }
}

/// A panic in the engine costs this call, not the connection that made it.
pub(super) async fn within<T>(
    budget: Duration,
    call: impl Future<Output = wasmtime::Result<T>>,
) -> Result<T, Fault> {
    let outcome = AssertUnwindSafe(timeout(budget, call))
        .catch_unwind()
        .await
        .map_err(|_| Fault::Trapped("the engine panicked".to_owned()))?
        .map_err(|_| Fault::TimedOut)?;
    Ok(outcome?)
}

fn context(question: &Question<'_>, budget: Duration) -> types::Context {
    let ask = question.ask;
    types::Context {
        org: ask.caller.org.slug.as_str().to_owned(),
        call_id: Uuid::now_v7().to_string(),
        caller: types::Caller::new(ask.caller, question.messages_24h),
        door: match ask.door {
            Door::Rest => types::Door::Rest,
            Door::Socket => types::Door::Socket,
            Door::Plugin => types::Door::Plugin,
        },
        attempt: ask.attempt,
        now_ms: unix_ms(ask.now),
        budget_ms: budget_ms(budget),
    }
}

fn budget_ms(budget: Duration) -> u32 {
    u32::try_from(budget.as_millis()).unwrap_or(u32::MAX)
}
