use std::collections::BTreeMap;

use super::{KvEntry, KvError, KvKey, KvLimits, KvLook, KvUsage, KvWrite, PluginId};

/// Writes of one call that are to commit with its message. Reads of the call see them.
///
/// A write whose key the call has read, or that named a revision, is good only as long as the
/// key stays at that revision. The others replace whatever they meet.
#[derive(Clone, Debug)]
pub struct StagedWrites {
    plugin_id: PluginId,
    limits: KvLimits,
    slots: BTreeMap<KvKey, Slot>,
    /// Of all that is stored, as last looked at.
    usage: KvUsage,
    staged: u64,
}

/// What the call knows of a key, and wants with it.
#[derive(Clone, Debug)]
struct Slot {
    stored: u64,
    stored_bytes: u64,
    /// The guest may have decided by what was stored.
    was_shown: bool,
    write: Option<Staged>,
}

#[derive(Clone, Debug)]
struct Staged {
    write: KvWrite,
    /// The revision that the guest sees until the commit gives the real one.
    provisional: u64,
}

impl StagedWrites {
    /// Above every stored revision, which count writes from 1 on, and those that a rehearsal
    /// finds; so far below 2^53 that a JavaScript number tells any two apart.
    const PROVISIONAL: u64 = 1 << 52;

    pub fn new(plugin_id: PluginId, limits: KvLimits) -> Self {
        let (slots, usage) = (BTreeMap::new(), KvUsage::default());
        Self { plugin_id, limits, slots, usage, staged: 0 }
    }

    pub fn plugin_id(&self) -> PluginId {
        self.plugin_id
    }

    pub fn limits(&self) -> &KvLimits {
        &self.limits
    }

    /// By key, so that all commits take their locks in one order. Each write expects the
    /// revision that it was based on.
    pub fn writes(&self) -> impl Iterator<Item = (&KvKey, &KvWrite)> {
        self.slots.iter().filter_map(|(key, slot)| Some((key, &slot.write.as_ref()?.write)))
    }

    pub fn is_empty(&self) -> bool {
        self.writes().next().is_none()
    }

    /// Whether the key has been looked at in this call.
    pub fn knows(&self, key: &KvKey) -> bool {
        self.slots.contains_key(key)
    }

    /// The call's own write to a key; the inner `None`: it deletes it.
    pub fn find(&self, key: &KvKey) -> Option<Option<KvEntry>> {
        let staged = self.slots.get(key)?.write.as_ref()?;
        let entry =
            |value: &Vec<u8>| KvEntry { value: value.clone(), revision: staged.provisional };
        Some(staged.write.value.as_ref().map(entry))
    }

    /// Takes over what is stored under a key. The first look counts: where a later one differs,
    /// the commit is to find out.
    pub fn learn(&mut self, key: &KvKey, look: &KvLook, was_shown: bool) {
        self.usage = look.usage;
        let slot = self.slots.entry(key.clone()).or_insert_with(|| Slot {
            stored: look.entry.as_ref().map_or(0, |entry| entry.revision),
            stored_bytes: look.stored_bytes,
            was_shown: false,
            write: None,
        });
        slot.was_shown |= was_shown;
    }

    /// An increment acted at once on a key. If nobody else came between, the call's own
    /// increment is no reason for a conflict.
    pub fn incremented(&mut self, key: &KvKey, revision: u64) {
        if let Some(slot) = self.slots.get_mut(key)
            && slot.stored + 1 == revision
        {
            slot.stored = revision;
        }
    }

    /// Stages a write of a key that [`StagedWrites::learn`] knows; the revision is good within
    /// this call.
    pub fn stage(&mut self, key: &KvKey, mut write: KvWrite) -> Result<u64, KvError> {
        let slot = self.slots.get(key).ok_or(KvError::Unavailable)?;
        let current = match &slot.write {
            None => slot.stored,
            Some(Staged { write: KvWrite { value: None, .. }, .. }) => 0,
            Some(staged) => staged.provisional,
        };
        if write.expect.is_some_and(|expected| expected != current) {
            return Err(KvError::Conflict);
        }
        let based_on_stored = slot.was_shown
            || match &slot.write {
                None => write.expect.is_some(),
                Some(staged) => staged.write.expect.is_some(),
            };
        write.expect = based_on_stored.then_some(slot.stored);
        self.require_room(key, &write)?;
        self.staged += 1;
        let deletes = write.value.is_none();
        let provisional = Self::PROVISIONAL + self.staged;
        if let Some(slot) = self.slots.get_mut(key) {
            slot.write = Some(Staged { write, provisional });
        }
        Ok(if deletes { 0 } else { provisional })
    }

    fn require_room(&self, key: &KvKey, write: &KvWrite) -> Result<(), KvError> {
        let bytes = |key: &KvKey, write: &KvWrite| {
            write.value.as_ref().map_or(0, |value| KvLimits::entry_bytes(key, value))
        };
        let others = self.slots.iter().filter(|(other, _)| *other != key);
        let before = others.fold(self.usage, |usage, (key, slot)| match &slot.write {
            Some(staged) => usage.with(bytes(key, &staged.write), slot.stored_bytes),
            None => usage,
        });
        let stored_bytes = self.slots.get(key).map_or(0, |slot| slot.stored_bytes);
        let after = before.with(bytes(key, write), stored_bytes);
        let fits = self.limits.admit(after) || !after.grows_from(before);
        fits.then_some(()).ok_or(KvError::QuotaExceeded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: KvLimits =
        KvLimits { max_value_bytes: 100, max_keys: 2, max_bytes: 100, max_ttl_seconds: 60 };

    fn staging() -> StagedWrites {
        StagedWrites::new(PluginId::new(), LIMITS)
    }

    fn key(text: &str) -> KvKey {
        KvKey::parse(text.to_owned()).unwrap()
    }

    fn put(value: &str, expect: Option<u64>) -> KvWrite {
        KvWrite { value: Some(value.into()), ttl_seconds: None, expect }
    }

    fn delete() -> KvWrite {
        KvWrite { value: None, ttl_seconds: None, expect: None }
    }

    fn stored(revision: u64) -> KvLook {
        let entry = Some(KvEntry { value: b"old".to_vec(), revision });
        KvLook { entry, stored_bytes: 21, usage: KvUsage { keys: 1, bytes: 21 } }
    }

    fn absent(usage: KvUsage) -> KvLook {
        KvLook { entry: None, stored_bytes: 0, usage }
    }

    fn expected(staged: &StagedWrites) -> Vec<Option<u64>> {
        staged.writes().map(|(_, write)| write.expect).collect()
    }

    #[test]
    fn a_call_reads_what_it_wrote_and_may_build_on_it() {
        let mut staged = staging();
        staged.learn(&key("a"), &stored(7), false);

        let first = staged.stage(&key("a"), put("one", Some(7))).unwrap();
        assert_eq!(staged.stage(&key("a"), put("no", Some(7))), Err(KvError::Conflict));
        let second = staged.stage(&key("a"), put("two", Some(first))).unwrap();

        let entry = KvEntry { value: b"two".to_vec(), revision: second };
        assert_eq!(staged.find(&key("a")), Some(Some(entry)));
        assert_eq!(expected(&staged), [Some(7)]);
        staged.stage(&key("a"), delete()).unwrap();
        assert_eq!(staged.find(&key("a")), Some(None));
        assert!(staged.stage(&key("a"), put("new", Some(0))).is_ok());
        assert_eq!(staged.find(&key("b")), None);
    }

    #[test]
    fn a_number_of_javascript_holds_each_revision_and_none_is_a_stored_one() {
        let mut staged = staging();
        staged.learn(&key("a"), &stored(7), true);

        let revisions = [1, 2, 3].map(|_| staged.stage(&key("a"), put("x", None)).unwrap());

        let exact = |revision: &u64| *revision < 1 << 53 && *revision > 1 << 52;
        assert!(revisions.iter().all(exact), "{revisions:?}");
        assert!(revisions.is_sorted_by(|one, next| one < next));
    }

    #[test]
    fn only_what_the_guest_saw_or_named_is_compared() {
        let mut staged = staging();
        staged.learn(&key("blind"), &stored(7), false);
        staged.learn(&key("shown"), &stored(8), true);

        staged.stage(&key("blind"), put("x", None)).unwrap();
        staged.stage(&key("shown"), put("x", None)).unwrap();

        assert_eq!(expected(&staged), [None, Some(8)]);
    }

    #[test]
    fn its_own_increment_is_no_conflict_but_another_one_is() {
        let mut staged = staging();
        staged.learn(&key("a"), &stored(7), true);
        staged.learn(&key("b"), &stored(7), true);

        staged.incremented(&key("a"), 8);
        staged.incremented(&key("b"), 9);
        staged.stage(&key("a"), put("x", None)).unwrap();
        staged.stage(&key("b"), put("x", None)).unwrap();

        assert_eq!(expected(&staged), [Some(8), Some(7)]);
    }

    #[test]
    fn staged_writes_count_together_and_a_full_store_can_still_shrink() {
        let mut staged = staging();
        staged.learn(&key("a"), &stored(7), false);
        staged.learn(&key("b"), &absent(KvUsage { keys: 1, bytes: 21 }), false);
        staged.learn(&key("c"), &absent(KvUsage { keys: 1, bytes: 21 }), false);

        let b = staged.stage(&key("b"), put("x", None));
        let c = staged.stage(&key("c"), put("x", None));
        assert!(b.is_ok());
        assert_eq!(c, Err(KvError::QuotaExceeded));
        assert_eq!(
            staged.stage(&key("a"), put(&"x".repeat(90), None)),
            Err(KvError::QuotaExceeded)
        );
        staged.stage(&key("a"), delete()).unwrap();
        assert!(staged.stage(&key("c"), put("x", None)).is_ok());
    }
}
