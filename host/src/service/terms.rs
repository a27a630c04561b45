//! On which terms a message waits for a review.

use std::sync::Arc;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::sending::Via;
use crate::{
    Error,
    db::held::Quota,
    domain::{Caller, EntryId, Held, Hold, HoldCause, Kind, OnExpiry, Org, Rejection, Step},
    plugin::Door,
};

/// How holds are looked after; each field is a setting of the server.
#[derive(Clone, Copy, Debug)]
pub struct ReviewSettings {
    /// How often a server looks for holds whose time has come.
    pub interval: Duration,
    /// How long plugins that gave no answer are left alone: at first, and at most.
    pub ask_again: Duration,
    pub ask_again_most: Duration,
    /// Refusals that wait to be noted.
    pub refusals_queue: usize,
}

/// What it takes to ask the plugins about a held message again.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Asked {
    door: AskedDoor,
    pub kind: Kind,
    pub admin: bool,
    pub roles: Arc<[String]>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum AskedDoor {
    Rest,
    Socket,
    Plugin,
}

impl Asked {
    pub(super) fn of(caller: &Caller, via: Via) -> Self {
        let door = match via {
            Via::Rest => AskedDoor::Rest,
            Via::Socket(_) => AskedDoor::Socket,
            Via::Plugin(_) => AskedDoor::Plugin,
        };
        Self { door, kind: caller.kind, admin: caller.admin, roles: caller.roles.clone() }
    }

    pub(super) fn door(&self) -> Door {
        match self.door {
            AskedDoor::Rest => Door::Rest,
            AskedDoor::Socket => Door::Socket,
            AskedDoor::Plugin => Door::Plugin,
        }
    }
}

pub(super) fn quota(org: &Org) -> Quota {
    let limits = &org.settings.limits;
    Quota { of_sender: limits.held_per_user, of_org: limits.held_per_org }
}

/// The terms on which an edited message goes on to wait: an edit that passes does not end a
/// review, and a plugin that is silent about it does not end what another one asked for.
pub(super) fn sterner(earlier: &Held, new: Option<Hold>) -> Hold {
    let left = earlier.expires_at.map(|at| at - OffsetDateTime::now_utc());
    let earlier_hold = Hold {
        cause: earlier.cause,
        plugin: earlier.plugin.clone(),
        version: earlier.version.clone(),
        reason: earlier.reason.clone(),
        shadow: earlier.shadow,
        ttl: left.map(|left| Duration::try_from(left).unwrap_or_default()),
        on_expiry: earlier.on_expiry,
    };
    match new {
        Some(new) if new.cause == HoldCause::Verdict || earlier.cause == HoldCause::Fault => {
            Hold { shadow: new.shadow || earlier.shadow, ..new }
        }
        Some(new) => Hold { shadow: new.shadow || earlier.shadow, ..earlier_hold },
        None => earlier_hold,
    }
}

/// The answer where no more may wait for a review.
pub(super) fn no_room(cause: HoldCause) -> Error {
    let (reason, user_message) = match cause {
        HoldCause::Verdict => {
            ("review_full", "Too many of your messages wait for a review. Please try again later.")
        }
        HoldCause::Fault => (
            "moderation_unavailable",
            "Your message could not be checked just now. Please try again.",
        ),
    };
    Error::Rejected(Rejection {
        id: EntryId::new(),
        reason: reason.to_owned(),
        user_message: Some(user_message.to_owned()),
        details: None,
        retry_after_ms: Some(60_000),
    })
}

/// A sent message cannot be shadowed any more, so the shadow of its edit is a hold; a message that
/// still waits is shadowed when it is released.
pub(super) fn shadow_as_hold(steps: &[Step]) -> Hold {
    let step = steps.iter().find(|step| step.verdict == "shadow");
    Hold {
        cause: HoldCause::Verdict,
        plugin: step.map(|step| step.plugin.clone()).unwrap_or_default(),
        version: step.map(|step| step.version.clone()).unwrap_or_default(),
        reason: "shadow".to_owned(),
        shadow: true,
        ttl: None,
        on_expiry: OnExpiry::default(),
    }
}
