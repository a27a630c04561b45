//! Calls of the hook `on-event`.

use std::{sync::Arc, time::Duration};

use time::OffsetDateTime;
use uuid::Uuid;

use super::{Called, Turn, budget_ms, within};
use crate::{
    domain::EventKind,
    plugin::{
        Fault,
        bindings::{types, unix_ms},
        compile::Compiled,
        events::OnEvent,
        imports::Serving,
        store::Callee,
    },
};

impl Turn<'_> {
    /// Tells a plugin of an event.
    pub(in crate::plugin) async fn on_event(
        &self,
        compiled: &Compiled,
        callee: Arc<Callee>,
        told: &OnEvent<'_>,
        serving: Option<Serving<'_>>,
    ) -> Called<()> {
        let Some(hook) = &compiled.exports.on_event else {
            return Called::never(Fault::Unloadable, Duration::ZERO);
        };
        let now = OffsetDateTime::now_utc();
        let patience = self.host.0.limits.event_timeout;
        let mut entered = match self.enter(callee, now, patience, serving).await {
            Ok(entered) => entered,
            Err(never) => return never,
        };
        let call = types::Call {
            org: told.org.slug.as_str().to_owned(),
            id: Uuid::now_v7().to_string(),
            attempt: told.attempt,
            now_ms: unix_ms(now),
            budget_ms: budget_ms(entered.budget),
        };
        let event = told.event();
        let store = &mut entered.store;
        if let Some(served) = store.data_mut().served() {
            served.correspondence = Some(Arc::clone(&told.correspondence));
        }
        let telling = async {
            let instance = compiled.instances.instantiate_async(&mut *store).await?;
            let guest = hook.load(&mut *store, &instance)?;
            let answer = guest.call_on_event(&mut *store, &call, &event).await?;
            store.data_mut().note_declined(&answer);
            Ok(answer)
        };
        let outcome = within(entered.budget, telling).await;
        entered.end(
            outcome
                .and_then(|answer| answer.map_err(|types::Failure::Declined(_)| Fault::Declined)),
        )
    }

    /// Asks a version what it wants to hear of; `None`: it hears of nothing.
    pub(in crate::plugin) async fn kinds(
        &self,
        compiled: &Compiled,
        callee: Arc<Callee>,
    ) -> Option<Called<Vec<EventKind>>> {
        let hook = compiled.exports.on_event.as_ref()?;
        let said = self.ask_alone(callee, async |store| {
            let instance = compiled.instances.instantiate_async(&mut *store).await?;
            let kinds = hook.load(&mut *store, &instance)?.call_kinds(&mut *store).await?;
            Ok(kinds.into_iter().map(Into::into).collect())
        });
        Some(said.await)
    }
}
