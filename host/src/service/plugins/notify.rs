//! How recipients are told, as an org's plugins want it.

use std::time::Duration;

use super::Plugins;
use crate::{
    Result,
    domain::{NotificationEvents, Notified, Org, OrgId},
    plugin::{Hook, OnNotify},
    service::nudges::{Notify, Nudges},
};

impl Plugins {
    /// How the recipient of a message of this org is told of it.
    pub(in crate::service) async fn notify(&self, org: &Org) -> Result<Notify> {
        self.require_ready(org.id).await?;
        if self.hooks.asks(org.id, Hook::OnNotify) {
            return Ok(Notify::Asked(self.nudges.for_org(&org.slug)));
        }
        Ok(match org.settings.notification_events {
            NotificationEvents::All => Notify::Live,
            NotificationEvents::Changed => Notify::Quiet,
        })
    }

    /// Where messages wait for that decision.
    pub(in crate::service) fn nudges(&self) -> Nudges {
        self.nudges.clone()
    }

    /// Whether an org's plugins are in place, so that asking them needs no compiling first.
    pub(in crate::service) fn is_ready(&self, org_id: OrgId) -> bool {
        self.ready.contains_key(&org_id)
    }

    /// How long an org's plugins, which are in place then, may take over one notification.
    pub(in crate::service) async fn notify_patience(&self, org_id: OrgId) -> Result<Duration> {
        self.require_ready(org_id).await?;
        Ok(self.hooks.notify_patience(org_id))
    }

    /// Asks an org's plugins about one recipient of a stored message.
    pub(in crate::service) async fn on_notify(&self, ask: &OnNotify<'_>) -> Result<Notified> {
        self.require_ready(ask.org.id).await?;
        let notified = self.hooks.on_notify(ask).await;
        if notified.faulted {
            self.roll_back_failing(ask.org.id);
        }
        Ok(notified)
    }
}
