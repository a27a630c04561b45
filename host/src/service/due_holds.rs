//! Holds whose time has come: those that expire, and those whose plugins gave no answer.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use serde::Deserialize;
use time::OffsetDateTime;

use super::{
    holding::{Ends, Holding, Judged, Ruling},
    plugins::Plugins,
    receipts::{self, Receipts},
    registry::Registry,
    sending::Letter,
    terms::{Asked, ReviewSettings, shadow_as_hold},
};
use crate::{
    Error, Result,
    db::{
        Db, due,
        held::{self, Ending},
    },
    domain::{
        BodyLimits, Caller, Held, HoldCause, Judgement, MessageId, MessageState, OnExpiry, Org,
        Outcome,
    },
    plugin::BeforeSend,
};

#[derive(Clone)]
pub struct DueHolds {
    pub(super) db: Db,
    pub(super) registry: Registry,
    pub(super) plugins: Plugins,
    pub(super) holding: Holding,
    pub(super) receipts: Receipts,
    pub(super) settings: ReviewSettings,
}

impl DueHolds {
    /// Orgs looked after at a time, so that one whose plugins are slow does not hold up all others.
    const ORGS_AT_ONCE: usize = 4;
    /// Expired holds of one org in a round.
    const EXPIRED: i64 = 200;
    /// Messages taken on at a time to ask about again, and for how long no other server does.
    const ASKED: i64 = 8;
    const LEASE: Duration = Duration::from_mins(1);

    /// Runs until it is dropped.
    pub(super) async fn run(&self) {
        loop {
            tokio::time::sleep(self.settings.interval).await;
            if let Err(error) = self.round().await {
                tracing::debug!(%error, "holds could not be looked after");
            }
        }
    }

    /// Looks after all that is due now. Every server does; each hold ends once.
    pub async fn round(&self) -> Result<()> {
        let due = due::list_due_orgs(&self.db).await?;
        stream::iter(due)
            .for_each_concurrent(Self::ORGS_AT_ONCE, async |slug| {
                if let Err(error) = Box::pin(self.look_after(&slug)).await {
                    tracing::warn!(%error, org.slug = slug, "an org's holds could not be looked after");
                }
            })
            .await;
        Ok(())
    }

    async fn look_after(&self, slug: &str) -> Result<()> {
        let Some(state) = self.registry.find(slug).await? else { return Ok(()) };
        self.expire(&state.org).await?;
        Box::pin(self.ask_again(&state.org)).await
    }

    async fn expire(&self, org: &Org) -> Result<()> {
        let mut handle = self.db.org(org.id).await?;
        let expired = due::list_expired(&mut handle.conn(), Self::EXPIRED).await?;
        handle.done();
        for held in expired {
            let ends = match held.on_expiry {
                OnExpiry::Release => Ends::Release,
                OnExpiry::Refuse => Ends::Refuse { reason: "review_expired".to_owned() },
            };
            match self.decide(org, &held, ends).await {
                // Somebody else has decided meanwhile.
                Ok(()) | Err(Error::Conflict(_) | Error::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Oldest first within a thread; a thread whose plugins are silent again waits longer.
    async fn ask_again(&self, org: &Arc<Org>) -> Result<()> {
        loop {
            let mut handle = self.db.org(org.id).await?;
            let claimed =
                due::claim_unanswered(&mut handle.conn(), Self::LEASE, Self::ASKED).await?;
            handle.done();
            let mut answered = false;
            for (id, revision) in claimed {
                answered |= Box::pin(self.ask_about(org, id, revision)).await?;
            }
            // What is silent about so many is left alone until the next round.
            if !answered {
                return Ok(());
            }
        }
    }

    /// Whether the plugins gave an answer.
    async fn ask_about(&self, org: &Arc<Org>, id: MessageId, revision: i32) -> Result<bool> {
        let letter = self.holding.load(org.id, id).await?;
        let mut handle = self.db.org(org.id).await?;
        let held = held::lock_pending(&mut handle.conn(), id).await?;
        handle.done();
        let Some(held) = held.filter(|held| held.revision == revision) else { return Ok(true) };
        let judgement = match self.judge(org, &letter, &held).await {
            Ok(judgement) if !is_silent(&judgement) => judgement,
            // Invalid: no active plugin owns its content type now, so nobody can say.
            Ok(_) | Err(Error::Invalid(_)) => {
                self.put_off(org, &held).await?;
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        match Box::pin(self.act_on(org, &letter, &held, judgement)).await {
            // What a plugin had read has changed. Or somebody else has decided, and nothing waits.
            Err(Error::Conflict(_) | Error::NotFound(_)) => {
                self.put_off(org, &held).await?;
                Ok(false)
            }
            done => done.map(|()| true),
        }
    }

    async fn put_off(&self, org: &Org, held: &Held) -> Result<()> {
        let mut handle = self.db.org(org.id).await?;
        let pause = self.pause(held.attempts);
        Ok(due::put_off(&mut handle.conn(), held.message_id, held.revision, pause).await?)
    }

    async fn judge(&self, org: &Arc<Org>, letter: &Letter, held: &Held) -> Result<Judgement> {
        let asked = Asked::deserialize(&held.asked).map_err(Error::internal)?;
        let now = OffsetDateTime::now_utc();
        let caller = Caller {
            org: org.clone(),
            user: letter.sender.clone(),
            kind: asked.kind,
            admin: asked.admin,
            roles: asked.roles.clone(),
            issued_at: now,
            expires_at: now,
        };
        let standing = &letter.message.body;
        let body = held.body.clone().map(|pending| pending.over(standing));
        let limits = BodyLimits::from(&org.settings);
        let attempt = u32::try_from(held.attempts).unwrap_or(u32::MAX).saturating_add(1);
        let mut judgement = self
            .plugins
            .judge(&BeforeSend {
                caller: &caller,
                to: &letter.recipient,
                body: body.as_ref().unwrap_or(standing),
                reply_to: letter.message.reply_to,
                previous: body.as_ref().map(|_| standing),
                door: asked.door(),
                attempt,
                now,
                limits: &limits,
            })
            .await?;
        let recipient = letter.recipient.id;
        let judged = receipts::Judged { recipient, is_edit: body.is_some(), attempt };
        let mut receipts = None;
        self.receipts.add(&mut receipts, &caller, judged, &mut judgement);
        if let Some(receipts) = receipts {
            receipts.stored(letter.message.id);
        }
        Ok(judgement)
    }

    async fn act_on(
        &self,
        org: &Org,
        letter: &Letter,
        held: &Held,
        judgement: Judgement,
    ) -> Result<()> {
        let judged = Judged {
            decision: judgement.decision(),
            body: judgement.body,
            staged: judgement.staged,
        };
        let message = &letter.message;
        let may_shadow = message.state == MessageState::Held || message.shadowed;
        let ends = match judgement.outcome {
            Outcome::Send => Ends::Pass { judged, shadow: false },
            Outcome::Shadow if may_shadow => Ends::Pass { judged, shadow: true },
            Outcome::Shadow => {
                let again = shadow_as_hold(&judgement.steps);
                return self.holding.hold_again((org, letter), held, judged, again).await;
            }
            Outcome::Hold(again) => {
                return self.holding.hold_again((org, letter), held, judged, again).await;
            }
            Outcome::Reject(rejection) => Ends::Refuse { reason: rejection.reason },
        };
        self.decide(org, held, ends).await
    }

    async fn decide(&self, org: &Org, held: &Held, ends: Ends) -> Result<()> {
        let ruling = Ruling { revision: held.revision, ending: Ending::default(), ends };
        Box::pin(self.holding.decide(org, held.message_id, ruling)).await.map(drop)
    }

    fn pause(&self, attempts: i32) -> Duration {
        let doublings = u32::try_from(attempts).unwrap_or(0).min(16);
        (self.settings.ask_again * (1 << doublings)).min(self.settings.ask_again_most)
    }
}

/// Whether plugins gave no answer once more.
fn is_silent(judgement: &Judgement) -> bool {
    match &judgement.outcome {
        Outcome::Hold(again) => again.cause == HoldCause::Fault,
        Outcome::Reject(_) => judgement.is_fault(),
        Outcome::Send | Outcome::Shadow => false,
    }
}
