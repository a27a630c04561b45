//! The words of the hook `on-notify`.

pub use crate::bindings::on_notify::exports::duologue::plugin::on_notify::{
    Decision, LocalTime, Notification, Priority, Recipient, Verdict, Words,
};

impl Decision {
    /// As it is.
    pub fn deliver() -> Self {
        Verdict::Deliver.into()
    }

    /// In other words.
    pub fn rewrite(words: Words) -> Self {
        Verdict::Rewrite(words).into()
    }

    /// Nobody is told.
    pub fn suppress(reason: impl Into<String>) -> Self {
        Verdict::Suppress(reason.into()).into()
    }

    /// Not before then, in milliseconds since 1970 UTC.
    pub fn delay(until_ms: u64) -> Self {
        Verdict::Delay(until_ms).into()
    }

    /// By these ways alone: `list`, `socket`.
    #[must_use]
    pub fn by<const N: usize>(mut self, channels: [&str; N]) -> Self {
        self.channels = Some(channels.map(str::to_owned).into());
        self
    }
}

impl From<Verdict> for Decision {
    fn from(verdict: Verdict) -> Self {
        Self { verdict, channels: None }
    }
}

impl Words {
    /// A title and a text.
    pub fn new(title: impl Into<String>, body: impl Into<String>) -> Self {
        Self { title: Some(title.into()), body: Some(body.into()), data: None, priority: None }
    }
}
