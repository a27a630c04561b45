use std::sync::Arc;

use serde::Serialize;
use serde_json::Value as Json;
use time::OffsetDateTime;

use super::{Message, MessageId, User};

/// What a person is told of a message, beside the message itself.
#[derive(Clone, Debug)]
pub struct Notification {
    pub id: MessageId,
    pub from: Arc<User>,
    /// The words of plugins, if there are any.
    pub words: Words,
    pub message: Message,
    pub suppressed_reason: Option<String>,
    pub created_at: OffsetDateTime,
    pub read_at: Option<OffsetDateTime>,
}

/// What plugins say in place of what an app would say by itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Words {
    pub title: Option<String>,
    pub body: Option<String>,
    /// A JSON object.
    pub data: Option<Json>,
    pub priority: Option<Priority>,
}

impl Words {
    /// Takes over what is named there.
    pub fn replace(&mut self, words: Self) {
        let Self { title, body, data, priority } = words;
        self.title = title.or(self.title.take());
        self.body = body.or(self.body.take());
        self.data = data.or(self.data.take());
        self.priority = priority.or(self.priority);
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    Low,
    #[default]
    Normal,
    High,
}

impl Priority {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }

    /// From a row: the column's check constraint admits nothing else.
    pub(crate) fn stored(text: &str) -> Self {
        match text {
            "low" => Self::Low,
            "high" => Self::High,
            _ => Self::Normal,
        }
    }
}

/// The ways by which a notification goes out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Channels {
    /// What the app asks for.
    pub list: bool,
    /// At once, to open sockets.
    pub socket: bool,
}

impl Channels {
    /// `None`: there is no way of one of these names.
    pub fn parse(names: &[impl AsRef<str>]) -> Option<Self> {
        let mut channels = Self::default();
        for name in names {
            match name.as_ref() {
                "list" => channels.list = true,
                "socket" => channels.socket = true,
                _ => return None,
            }
        }
        Some(channels)
    }

    pub fn names(self) -> Vec<&'static str> {
        let ways = [("list", self.list), ("socket", self.socket)];
        ways.into_iter().filter(|(_, taken)| *taken).map(|(name, _)| name).collect()
    }
}

/// When a notification goes out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    #[default]
    Now,
    Later(OffsetDateTime),
    /// Never; why is kept with it.
    Suppressed(String),
}

/// What plugins together made of a notification.
#[derive(Clone, Debug, Default)]
pub struct Notified {
    pub words: Words,
    /// `None`: all.
    pub channels: Option<Channels>,
    pub delivery: Delivery,
    /// One of them gave no answer.
    pub faulted: bool,
}

impl Notified {
    /// The longest delay counts.
    pub fn delay(&mut self, until: OffsetDateTime) {
        if let Delivery::Later(before) = self.delivery
            && before >= until
        {
            return;
        }
        self.delivery = Delivery::Later(until);
    }

    /// Whether open sockets are told of it at once: where a plugin changed something, or the org
    /// wants it of each message (`always`).
    pub fn tells_sockets(&self, always: bool) -> bool {
        let is_changed = self.channels.is_some() || self.words != Words::default();
        self.delivery == Delivery::Now
            && (always || is_changed)
            && self.channels.is_none_or(|channels| channels.socket)
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn only_what_is_named_is_replaced() {
        let mut words = Words { title: Some("a".to_owned()), ..Words::default() };

        words.replace(Words {
            body: Some("b".to_owned()),
            priority: Some(Priority::High),
            ..Words::default()
        });

        assert_eq!((words.title.as_deref(), words.body.as_deref()), (Some("a"), Some("b")));
        assert_eq!((words.data, words.priority), (None, Some(Priority::High)));
    }

    #[test]
    fn a_way_is_named_once_and_known() {
        let both = Channels { list: true, socket: true };

        assert_eq!(Channels::parse(&["socket", "list", "socket"]), Some(both));
        assert_eq!(both.names(), ["list", "socket"]);
        assert_eq!(Channels::parse(&[""; 0]), Some(Channels::default()));
        for unknown in ["push", "List", ""] {
            assert_eq!(Channels::parse(&["list", unknown]), None, "{unknown}");
        }
    }

    #[test]
    fn the_longest_delay_counts() {
        let (early, late) = (datetime!(2026-11-22 12:00 UTC), datetime!(2026-11-22 13:00 UTC));
        for order in [[early, late], [late, early]] {
            let mut notified = Notified::default();
            for until in order {
                notified.delay(until);
            }

            assert_eq!(notified.delivery, Delivery::Later(late));
        }
    }

    #[test]
    fn sockets_are_told_what_changed_or_all_where_that_way_is_open() {
        let ways = |channels| Notified { channels, ..Notified::default() };
        let socket = Some(Channels { socket: true, list: false });
        let list = Some(Channels { list: true, socket: false });
        let told = |notified: &Notified| [false, true].map(|all| notified.tells_sockets(all));

        assert_eq!(told(&ways(None)), [false, true]);
        assert_eq!(told(&ways(socket)), [true, true]);
        assert_eq!(told(&ways(list)), [false, false]);
        let title = Words { title: Some("a".to_owned()), ..Words::default() };
        assert_eq!(told(&Notified { words: title, ..ways(None) }), [true, true]);
        let suppressed = Delivery::Suppressed("why".to_owned());
        assert_eq!(told(&Notified { delivery: suppressed, ..ways(socket) }), [false, false]);
    }
}
