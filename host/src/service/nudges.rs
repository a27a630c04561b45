//! From a commit to who looks after what was committed: at once, not at the next look around.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Notify as Bell;

use crate::domain::OrgSlug;

/// How the recipient of a message is told of it, beside the message itself.
#[derive(Clone, Debug)]
pub enum Notify {
    /// By the list of notifications alone.
    Quiet,
    /// By the event `notification` at once: the org asks for it.
    Live,
    /// As plugins decide, who are asked once the message is stored.
    Asked(Nudge),
}

impl Notify {
    pub(super) fn is_live(&self) -> bool {
        matches!(self, Self::Live)
    }

    pub(super) fn is_asked(&self) -> bool {
        matches!(self, Self::Asked(_))
    }

    /// The message is stored: whoever asks the plugins may begin.
    pub(super) fn stored(&self) {
        if let Self::Asked(nudge) = self {
            nudge.nudges.add(nudge.org.clone());
        }
    }
}

/// A word to whoever looks after an org's notifications.
#[derive(Clone, Debug)]
pub struct Nudge {
    org: OrgSlug,
    nudges: Nudges,
}

/// The orgs in which something has become due. A clone is the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Nudges(Arc<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    orgs: Mutex<HashSet<OrgSlug>>,
    bell: Bell,
}

impl Nudges {
    pub(super) fn for_org(&self, org: &OrgSlug) -> Nudge {
        Nudge { org: org.clone(), nudges: self.clone() }
    }

    /// Waits for the next ones.
    pub(super) async fn take(&self) -> HashSet<OrgSlug> {
        // Who is nudged before this waits has left the bell ringing.
        self.0.bell.notified().await;
        std::mem::take(&mut *self.0.orgs.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, org: OrgSlug) {
        self.0.orgs.lock().unwrap_or_else(PoisonError::into_inner).insert(org);
        self.0.bell.notify_one();
    }
}
