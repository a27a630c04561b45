//! Versions that do not simply decide: canaries, which do for a share of the threads, and
//! candidates, for which messages are only overheard.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{BeforeSend, Hook, Hooks, Installation, Installed, OrgPlugins};
use crate::domain::{Judgement, OrgId, PluginId, ThreadId};

/// Of which threads' messages a plugin is asked.
#[derive(Clone, Debug, Default)]
pub enum Threads {
    #[default]
    All,
    /// Of a share of them, as the canary of that plugin.
    Share { of: PluginId, share: Share },
    /// Of all the others.
    Others(Share),
}

/// A share of the threads, which only grows with its per cent: each thread has a fixed place,
/// another one for each salt.
#[derive(Clone, Debug)]
pub struct Share {
    pub salt: Arc<[u8]>,
    pub percent: u8,
}

impl Share {
    /// Whether the thread is in it.
    pub fn holds(&self, thread: ThreadId) -> bool {
        let digest =
            Sha256::new().chain_update(&self.salt).chain_update(thread.as_uuid()).finalize();
        let place = u64::from(u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]));
        place * 100 < u64::from(self.percent) << 32
    }
}

/// Where a candidate would be asked that is not: what comes there is kept for it.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    pub plugin: PluginId,
    /// How many of the installed plugins are asked before it.
    pub place: usize,
    /// It judges content: it sees what the sender wrote.
    pub sees_original: bool,
}

impl Hooks {
    /// What is kept from the next message on for candidates beside those that are asked.
    pub fn watch(&self, org: OrgId, mut watches: Vec<Watch>) {
        watches.sort_by_key(|watch| (!watch.sees_original, watch.place));
        if let Some(mut plugins) = self.orgs.get_mut(&org) {
            plugins.watches = watches.into();
        }
    }

    /// Whether anything is.
    pub fn is_watched(&self, org: OrgId) -> bool {
        self.orgs.get(&org).is_some_and(|plugins| !plugins.watches.is_empty())
    }

    /// The same by those plugins alone that are here, whoever owns the content's type.
    pub async fn rehearse(&self, ask: &BeforeSend<'_>, messages_24h: u32) -> Judgement {
        match self.plugins_of(ask.caller.org.id) {
            Some(plugins) => self.ask_all(&plugins, ask, messages_24h).await,
            None => Judgement::unasked(ask.body.clone()),
        }
    }
}

impl OrgPlugins {
    pub(in crate::plugin) fn watches(&self) -> &[Watch] {
        &self.watches
    }

    /// Those that take part there, each with its place among all, in the order in which they
    /// are asked.
    pub(in crate::plugin) fn placed_at(
        &self,
        hook: Hook,
    ) -> impl Iterator<Item = (usize, &Installed)> {
        let placed = self.installed.iter().enumerate();
        placed.filter(move |(_, plugin)| plugin.post(hook).is_some())
    }
}

impl Installation {
    /// The plugin with whose lines its own stand.
    pub(super) fn log_id(&self) -> PluginId {
        match self.threads {
            Threads::Share { of, .. } => of,
            _ => self.id,
        }
    }
}

impl Installed {
    /// Whether it is asked about the messages of that thread.
    pub(in crate::plugin) fn takes(&self, ask: &BeforeSend<'_>) -> bool {
        let holds = |share: &Share| share.holds(ThreadId::of(ask.caller.user.id, ask.to.id));
        match &self.threads {
            Threads::All => true,
            Threads::Share { share, .. } => holds(share),
            Threads::Others(share) => !holds(share),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::UserId;

    fn share(salt: &[u8], percent: u8) -> Share {
        Share { salt: salt.into(), percent }
    }

    #[test]
    fn a_share_holds_its_per_cent_grows_only_and_is_each_salts_own() {
        let threads: Vec<ThreadId> =
            (0..20_000).map(|_| ThreadId::of(UserId::new(), UserId::new())).collect();
        let within = |salt: &[u8], percent| {
            let share = share(salt, percent);
            threads.iter().map(|thread| share.holds(*thread)).collect::<Vec<_>>()
        };
        let count = |held: &[bool]| held.iter().filter(|held| **held).count();

        let mut smaller = within(b"a", 1);
        for percent in [1, 5, 10, 25, 50, 90, 99, 100] {
            let held = within(b"a", percent);
            let off = count(&held).abs_diff(usize::from(percent) * threads.len() / 100);

            assert!(off * 100 <= threads.len(), "{percent} %: off by {off}");
            assert!(smaller.iter().zip(&held).all(|(before, now)| *now || !*before));
            assert_eq!(held, within(b"a", percent));
            smaller = held;
        }
        let both = within(b"a", 10).iter().zip(within(b"b", 10)).filter(|(a, b)| **a && *b).count();
        assert!(both * 20 < threads.len(), "{both} in both");
    }
}
