//! What runs beside the requests: news of changed orgs, and clearing up.

use std::time::Duration;

use time::OffsetDateTime;

use super::Services;
use crate::{
    Result,
    db::{
        audit, changes, due,
        notices::{Notice, Notices},
        orgs, receipts, refusals,
    },
    domain::{Org, OrgId},
    events::{Event, Events},
};

pub struct Upkeep {
    services: Services,
    events: Events,
}

impl Upkeep {
    /// How long a change may stay unseen whose notice was missed.
    const POLL: Duration = Duration::from_secs(15);
    const SWEEP: Duration = Duration::from_mins(1);
    const DAY: Duration = Duration::from_hours(24);
    const PRUNE: Duration = Duration::from_hours(1);
    /// Changes removed in one statement.
    const PRUNE_ROWS: i64 = 10_000;

    pub fn new(services: Services, events: Events) -> Self {
        Self { services, events }
    }

    /// Runs until it is dropped.
    pub async fn run(self) {
        let holds = self.services.due_holds.run();
        let events = self.services.due_events.run();
        let notifying = self.services.notifying.run();
        let timers = async { tokio::join!(holds, events, notifying, self.renew()) };
        tokio::join!(self.hear(), self.poll(), self.sweep(), self.prune(), timers);
    }

    async fn hear(&self) {
        loop {
            match self.listen().await {
                Ok(never) => match never {},
                Err(error) => {
                    tracing::warn!(%error, "notices of changed orgs cannot be heard; polling goes on");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    async fn listen(&self) -> Result<std::convert::Infallible> {
        let mut notices = Notices::listen(&self.services.db).await?;
        // Something may have changed before we began to listen.
        self.changed_anywhere().await;
        loop {
            match notices.next().await? {
                Notice::Changed(org_id) => self.changed(org_id).await,
                Notice::Missed => self.changed_anywhere().await,
            }
        }
    }

    async fn poll(&self) {
        loop {
            tokio::time::sleep(Self::POLL).await;
            if let Err(error) = self.compare().await {
                tracing::debug!(%error, "orgs could not be compared");
            }
        }
    }

    /// Finds the orgs whose revision has moved on.
    async fn compare(&self) -> Result<()> {
        let at_hand = self.services.registry.revisions();
        if at_hand.is_empty() {
            return Ok(());
        }
        let stored: std::collections::HashMap<OrgId, i64> =
            orgs::list_revisions(&self.services.db).await?.into_iter().collect();
        for (org_id, revision) in at_hand {
            if stored.get(&org_id) != Some(&revision) {
                self.changed(org_id).await;
            }
        }
        Ok(())
    }

    /// Goes by an org's change: sockets first, for plugins may have to be compiled.
    async fn changed(&self, org_id: OrgId) {
        self.services.registry.forget(org_id).await;
        self.events.publish(Event::OrgChanged(Some(org_id))).await;
        let plugins = self.services.plugins.clone();
        tokio::spawn(async move {
            if let Err(error) = plugins.refresh(org_id).await {
                tracing::warn!(%error, org.id = %org_id, "plugins could not be refreshed; the next message tries again");
            }
        });
    }

    async fn changed_anywhere(&self) {
        self.services.registry.forget_all();
        self.events.publish(Event::OrgChanged(None)).await;
        let plugins = self.services.plugins.clone();
        tokio::spawn(async move {
            if let Err(error) = plugins.refresh_all().await {
                tracing::warn!(%error, "plugins could not be refreshed; the next message tries again");
            }
        });
    }

    async fn sweep(&self) {
        loop {
            tokio::time::sleep(Self::SWEEP).await;
            self.services.limits.sweep();
            self.services.typing.sweep();
            self.services.identity.forget_ended();
        }
    }

    async fn prune(&self) {
        loop {
            tokio::time::sleep(Self::PRUNE).await;
            if let Err(error) = self.prune_all().await {
                tracing::warn!(%error, "old changes could not be removed");
            }
            if let Err(error) = self.sweep_kv().await {
                tracing::warn!(%error, "expired keys of plugins could not be removed");
            }
        }
    }

    /// Sees to it that no secret needs a former key. At the start too: keys change at a restart.
    async fn renew(&self) {
        loop {
            if let Err(error) = self.renew_secrets().await {
                tracing::warn!(%error, "secrets under a former key could not be sealed anew");
            }
            tokio::time::sleep(Self::PRUNE).await;
        }
    }

    async fn renew_secrets(&self) -> Result<()> {
        for org in self.services.operator.list_orgs().await? {
            self.services.secrets.renew(org.org.id).await?;
        }
        Ok(())
    }

    async fn sweep_kv(&self) -> Result<()> {
        for org in self.services.operator.list_orgs().await? {
            self.services.kv.sweep(org.org.id).await?;
        }
        Ok(())
    }

    /// Removes the changes that no cursor may point to any more.
    async fn prune_all(&self) -> Result<()> {
        for org in self.services.operator.list_orgs().await? {
            let lifetime = Duration::from_secs(u64::from(org.org.settings.sync_days) * 86_400);
            let before = OffsetDateTime::now_utc() - lifetime;
            loop {
                let mut tx = self.services.db.begin(org.org.id).await?;
                let gone = changes::prune(&mut tx.conn(), before, Self::PRUNE_ROWS).await?;
                tx.commit().await?;
                if gone < Self::PRUNE_ROWS {
                    break;
                }
            }
            self.prune_reviews(&org.org).await?;
        }
        Ok(())
    }

    /// Removes what an org need not remember any longer of refusals, reviews and who did what.
    async fn prune_reviews(&self, org: &Org) -> Result<()> {
        let ago =
            |days: u32| OffsetDateTime::now_utc() - Duration::from_secs(u64::from(days) * 86_400);
        let (review, log) = (ago(org.settings.review_days), ago(org.settings.audit_days));
        let most = u64::try_from(Self::PRUNE_ROWS).unwrap_or(u64::MAX);
        let mut handle = self.services.db.org(org.id).await?;
        let conn = &mut handle.conn();
        while refusals::prune(conn, review, Self::PRUNE_ROWS).await? == most {}
        while due::prune(conn, review, Self::PRUNE_ROWS).await? == most {}
        let receipts = ago(org.settings.receipt_days);
        while receipts::prune(conn, receipts, Self::PRUNE_ROWS).await? == most {}
        // What names one may have been written a day after it was marked as used.
        receipts::prune_configs(conn, receipts - 2 * Self::DAY).await?;
        while audit::prune(conn, log, Self::PRUNE_ROWS).await? == most {}
        Ok(())
    }
}
