//! What guests find where they only rehearse: answers that were laid out for them, and reads of
//! the real server where there is one. Nobody is written to, nothing is sent, and no plugin's keys
//! change.

mod serving;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use serde::Serialize;

use super::{
    laid_out::LaidOut,
    services::{Asker, Earlier, Unserved},
};
use crate::domain::{
    BotDraft, Increment, Installed, KvEntry, KvError, KvKey, KvLimits, KvLook, KvUsage, KvWrite,
    OrgId, OutgoingError, OutgoingRequest, OutgoingResponse, StagedWrites, UserProfile,
};

/// Something that a guest asked for, and where its answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answered {
    /// As the real call would have been.
    Real,
    /// As it was laid out.
    LaidOut,
    /// By something that stands in: a key of its own, an error, a made-up secret.
    StandIn,
}

impl Answered {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Real => "real",
            Self::LaidOut => "laid-out",
            Self::StandIn => "stand-in",
        }
    }
}

/// How often an import was answered in one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ImportCount {
    pub import: &'static str,
    pub answered: Answered,
    pub count: u64,
}

/// What is really there, for reads that change nothing.
pub trait Reads: Send + Sync {
    /// As [`HostServices::previous`].
    fn previous(&self, org: OrgId, asker: Asker) -> BoxFuture<'_, Result<Vec<Earlier>, Unserved>>;

    fn find_person(
        &self,
        org: OrgId,
        email: String,
    ) -> BoxFuture<'_, Result<Option<UserProfile>, Unserved>>;

    fn find_entry<'a>(
        &'a self,
        plugin: Installed,
        key: &'a KvKey,
    ) -> BoxFuture<'a, Result<Option<KvEntry>, KvError>>;
}

/// Reads that an org has granted; of the others a guest finds nothing.
#[derive(Clone)]
pub struct GrantedReads {
    pub reads: Arc<dyn Reads>,
    pub history: bool,
    pub directory: bool,
    pub kv: bool,
}

/// What a rehearsal may use.
#[derive(Clone, Copy, Debug)]
pub struct StandInLimits {
    pub kv: KvLimits,
    pub requests_per_call: u32,
    /// That a guest may send as the bot.
    pub messages_per_call: u32,
}

/// The answers of one rehearsal. Keys that guests write live as long as it.
pub struct StandIn {
    limits: StandInLimits,
    /// `None`: only what is laid out is there.
    reads: Option<GrantedReads>,
    laid_out: LaidOut,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    entries: BTreeMap<(Installed, KvKey), Slot>,
    usage: KvUsage,
    revision: u64,
    answered: BTreeMap<(&'static str, Answered), u64>,
    sent: Vec<BotDraft>,
}

/// A key that guests of the rehearsal have written.
#[derive(Clone)]
struct Slot {
    /// `None`: deleted.
    entry: Option<KvEntry>,
    bytes: u64,
    until: Option<Instant>,
}

impl StandIn {
    pub fn new(limits: StandInLimits, laid_out: LaidOut, reads: Option<GrantedReads>) -> Self {
        Self { limits, reads, laid_out, kept: Mutex::default() }
    }

    /// What guests have asked for so far.
    pub fn answered(&self) -> Vec<ImportCount> {
        let kept = self.kept();
        let counts = kept.answered.iter();
        counts
            .map(|((import, answered), count)| ImportCount {
                import,
                answered: *answered,
                count: *count,
            })
            .collect()
    }

    /// The same, counted anew from now on.
    pub fn take_answered(&self) -> Vec<ImportCount> {
        let counts = self.answered();
        self.kept().answered.clear();
        counts
    }

    /// What the guest wanted to send.
    pub fn sent(&self) -> Vec<BotDraft> {
        self.kept().sent.clone()
    }

    /// What the store of a plugin holds by now, as text: what was laid out, and what its guests
    /// made of that.
    pub fn keys(&self) -> BTreeMap<String, String> {
        let mut keys = self.laid_out.kv.clone();
        let now = Instant::now();
        for ((_, key), slot) in &self.kept().entries {
            let is_over = slot.until.is_some_and(|until| until <= now);
            match slot.entry.as_ref().filter(|_| !is_over) {
                None => keys.remove(key.as_str()),
                Some(entry) => {
                    let text = String::from_utf8_lossy(&entry.value).into_owned();
                    keys.insert(key.as_str().to_owned(), text)
                }
            };
        }
        keys
    }

    /// Keeps what a call staged, as if its message had been stored.
    pub fn commit(&self, plugin: Installed, staged: &StagedWrites) {
        for (key, write) in staged.writes() {
            // One that no longer fits is left out, as its message would not have been stored.
            let _ = self.put(plugin, key, write);
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, import: &'static str, how: Answered) {
        *self.kept().answered.entry((import, how)).or_default() += 1;
    }

    fn put(&self, plugin: Installed, key: &KvKey, write: &KvWrite) -> Result<u64, KvError> {
        let mut kept = self.kept();
        let value = write.value.as_ref();
        // A deleted key takes room as well: it hides what is really there.
        let bytes = KvLimits::entry_bytes(key, value.map_or(&[], Vec::as_slice));
        let place = (plugin, key.clone());
        let before = kept.entries.get(&place).map_or(0, |slot| slot.bytes);
        let after = kept.usage.with(bytes, before);
        if after.grows_from(kept.usage) && !self.limits.kv.admit(after) {
            return Err(KvError::QuotaExceeded);
        }
        kept.usage = after;
        kept.revision += 1;
        let revision = kept.revision;
        let entry = value.map(|value| KvEntry { value: value.clone(), revision });
        let ttl = write.ttl_seconds.map(|seconds| Duration::from_secs(seconds.into()));
        let until = ttl.map(|ttl| Instant::now() + ttl);
        kept.entries.insert(place, Slot { entry, bytes, until });
        Ok(if value.is_some() { revision } else { 0 })
    }

    /// What guests of this rehearsal have made of a key; `None`: nothing.
    fn own(&self, plugin: Installed, key: &KvKey) -> Option<Slot> {
        let mut slot = self.kept().entries.get(&(plugin, key.clone()))?.clone();
        if slot.until.is_some_and(|until| until <= Instant::now()) {
            slot.entry = None;
        }
        Some(slot)
    }

    /// What is under a key, and where that comes from.
    async fn look(
        &self,
        plugin: Installed,
        key: &KvKey,
    ) -> Result<(Option<KvEntry>, Answered), KvError> {
        if let Some(own) = self.own(plugin, key) {
            return Ok((own.entry, Answered::StandIn));
        }
        let (found, how) = match &self.reads {
            Some(granted) if granted.kv => {
                (granted.reads.find_entry(plugin, key).await?, Answered::Real)
            }
            Some(_) => (None, Answered::StandIn),
            None => {
                let laid = self.laid_out.kv.get(key.as_str());
                let laid = laid.map(|value| value.clone().into_bytes());
                (laid.map(|value| KvEntry { value, revision: 1 }), Answered::LaidOut)
            }
        };
        // Above every revision of the rehearsal's own, so that none is met twice.
        let found = found.map(|entry| KvEntry { revision: entry.revision | FOUND, ..entry });
        Ok((found, how))
    }

    async fn read(&self, plugin: Installed, key: &KvKey) -> Result<Option<KvEntry>, KvError> {
        let (entry, how) = self.look(plugin, key).await?;
        self.note("kv", how);
        Ok(entry)
    }

    async fn write(
        &self,
        plugin: Installed,
        key: &KvKey,
        write: KvWrite,
        staged: Option<&mut StagedWrites>,
    ) -> Result<u64, KvError> {
        self.limits.kv.check(&write)?;
        let (entry, how) = self.look(plugin, key).await?;
        // What is really there matters to a write that expects something alone.
        let is_blind = how == Answered::Real && write.expect.is_none();
        self.note("kv", if is_blind { Answered::StandIn } else { how });
        if let Some(staged) = staged {
            if !staged.knows(key) {
                staged.learn(key, &looked(entry), false);
            }
            return staged.stage(key, write);
        }
        let revision = entry.map_or(0, |entry| entry.revision);
        if write.expect.is_some_and(|expected| expected != revision) {
            return Err(KvError::Conflict);
        }
        self.put(plugin, key, &write)
    }

    async fn add(
        &self,
        plugin: Installed,
        key: &KvKey,
        step: Increment,
        staged: Option<&mut StagedWrites>,
    ) -> Result<i64, KvError> {
        self.limits.kv.check_ttl(step.ttl_seconds)?;
        if staged.is_some_and(|staged| staged.find(key).is_some()) {
            let why = "this call has written the key, which waits for its message";
            return Err(KvError::Invalid(why.to_owned()));
        }
        let (stored, how) = self.look(plugin, key).await?;
        let is_new = stored.is_none();
        // A counter that begins here is the rehearsal's own from the start.
        let begins = how == Answered::Real && is_new;
        self.note("kv", if begins { Answered::StandIn } else { how });
        let before = stored.map_or(Ok(0), |entry| {
            let text = String::from_utf8(entry.value).map_err(|_| KvError::NotANumber)?;
            text.parse::<i64>().map_err(|_| KvError::NotANumber)
        })?;
        let sum = before.checked_add(step.delta).ok_or(KvError::NotANumber)?;
        let value = sum.to_string().into_bytes();
        if !is_new && self.count_on(plugin, key, &value) {
            return Ok(sum);
        }
        let ttl_seconds = step.ttl_seconds.filter(|_| is_new);
        self.put(plugin, key, &KvWrite { value: Some(value), ttl_seconds, expect: None })?;
        Ok(sum)
    }

    /// A counter that is the rehearsal's own keeps its end; false: it is not.
    fn count_on(&self, plugin: Installed, key: &KvKey, value: &[u8]) -> bool {
        let mut kept = self.kept();
        let revision = kept.revision + 1;
        let Some(slot) = kept.entries.get_mut(&(plugin, key.clone())) else { return false };
        slot.entry = Some(KvEntry { value: value.to_vec(), revision });
        kept.revision = revision;
        true
    }

    fn respond(&self, request: &OutgoingRequest) -> Result<OutgoingResponse, OutgoingError> {
        let Some(response) = self.laid_out.respond(request) else {
            self.note("http", Answered::StandIn);
            let why = "this is a rehearsal, and no answer to this request is laid out";
            return Err(OutgoingError::denied(why));
        };
        self.note("http", Answered::LaidOut);
        Ok(response)
    }
}

/// Marks the revision of what a rehearsal has found: above all that count writes, and below those
/// of staged writes.
const FOUND: u64 = 1 << 51;

fn looked(entry: Option<KvEntry>) -> KvLook {
    KvLook { entry, stored_bytes: 0, usage: KvUsage::default() }
}
