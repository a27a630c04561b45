use serde::{Deserialize, Serialize};

/// What one plugin may keep. Each field is a setting of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KvLimits {
    pub max_value_bytes: u32,
    pub max_keys: u32,
    /// Of all keys and values together, each as [`KvLimits::entry_bytes`] counts it.
    pub max_bytes: u64,
    pub max_ttl_seconds: u32,
}

impl KvLimits {
    /// A counter has room to grow, so that counting on changes no usage.
    const MIN_VALUE_BYTES: usize = 20;

    /// What an entry counts.
    pub fn entry_bytes(key: &KvKey, value: &[u8]) -> u64 {
        (key.as_str().len() + value.len().max(Self::MIN_VALUE_BYTES)) as u64
    }

    /// Holds a guest's write to the limits that need no look at what is stored.
    pub fn check(&self, write: &KvWrite) -> Result<(), KvError> {
        if write.value.as_ref().is_some_and(|value| value.len() > self.max_value_bytes as usize) {
            return Err(KvError::TooLarge);
        }
        self.check_ttl(write.ttl_seconds)
    }

    pub fn check_ttl(&self, seconds: Option<u32>) -> Result<(), KvError> {
        let valid = seconds.is_none_or(|ttl| (1..=self.max_ttl_seconds).contains(&ttl));
        let most = self.max_ttl_seconds;
        valid
            .then_some(())
            .ok_or_else(|| KvError::Invalid(format!("the TTL must be 1 to {most} s")))
    }

    pub fn admit(&self, usage: KvUsage) -> bool {
        usage.keys <= u64::from(self.max_keys) && usage.bytes <= self.max_bytes
    }
}

/// 1 to 256 bytes, no NUL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KvKey(String);

impl KvKey {
    /// Part of the plugin interface, and what an index entry has room for.
    pub const MAX_BYTES: usize = 256;

    pub fn parse(text: String) -> Result<Self, KvError> {
        let valid = (1..=Self::MAX_BYTES).contains(&text.len()) && !text.contains('\0');
        valid
            .then_some(Self(text))
            .ok_or_else(|| KvError::Invalid("a key must be 1 to 256 bytes without U+0000".into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a plugin reads. A revision of 0 stands for a key that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvEntry {
    pub value: Vec<u8>,
    pub revision: u64,
}

/// A new value, or none to delete the key.
#[derive(Clone, Debug)]
pub struct KvWrite {
    pub value: Option<Vec<u8>>,
    /// From the write on; `None`: the entry stays.
    pub ttl_seconds: Option<u32>,
    /// Only where the key is at this revision; `None`: wherever it is.
    pub expect: Option<u64>,
}

/// A step of a counter.
#[derive(Clone, Copy, Debug)]
pub struct Increment {
    pub delta: i64,
    /// For a counter that begins with this; one that is there keeps its end.
    pub ttl_seconds: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KvUsage {
    pub keys: u64,
    pub bytes: u64,
}

impl KvUsage {
    /// With an entry of so many bytes in place of another; 0 stands for none.
    #[must_use]
    pub fn with(self, now: u64, before: u64) -> Self {
        Self {
            keys: (self.keys + u64::from(now > 0)).saturating_sub(u64::from(before > 0)),
            bytes: (self.bytes + now).saturating_sub(before),
        }
    }

    pub fn grows_from(self, before: Self) -> bool {
        self.keys > before.keys || self.bytes > before.bytes
    }
}

/// What one look at a key finds.
#[derive(Debug)]
pub struct KvLook {
    pub entry: Option<KvEntry>,
    /// What the stored row counts, also where it has expired; 0: there is none.
    pub stored_bytes: u64,
    /// What all of the plugin's entries count.
    pub usage: KvUsage,
}

/// Why a plugin's store did not do as it was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum KvError {
    #[error("{0}")]
    Invalid(String),
    #[error("the value is too large")]
    TooLarge,
    #[error("the plugin's store is full")]
    QuotaExceeded,
    /// The key is not at the revision that was expected.
    #[error("the key has changed meanwhile")]
    Conflict,
    #[error("the value is no whole number, or would leave the range of 64 bits")]
    NotANumber,
    #[error("the store cannot be reached right now")]
    Unavailable,
}
