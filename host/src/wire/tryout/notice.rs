use serde::Deserialize;
use time::OffsetDateTime;

use super::{event::MadeUpMessage, time};
use crate::{
    Result,
    domain::{Caller, Person, UserProfile},
    service::{MadeUpNotice, ShownMessage, Standing},
};

/// A recipient who is about to be told of a message, as if there were one.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct MadeUpNotification {
    message: MadeUpMessage,
    #[serde(default)]
    recipient: MadeUpStanding,
}

/// How it stands with the recipient.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct MadeUpStanding {
    online: bool,
    last_seen_ms: Option<u64>,
    unread: Option<u32>,
    zoneinfo: Option<String>,
}

impl MadeUpNotification {
    pub(super) fn parse(self, caller: &Caller, now: OffsetDateTime) -> Result<MadeUpNotice> {
        let MadeUpStanding { online, last_seen_ms, unread, zoneinfo } = self.recipient;
        let last_seen_at = last_seen_ms.map(|ms| time("notification.recipient.lastSeenMs", ms));
        let ShownMessage { mut message, sender, recipient } = self.message.parse(caller)?;
        // A delay counts from there.
        message.created_at = now;
        Ok(MadeUpNotice {
            message,
            sender: profile(sender),
            recipient: UserProfile { zoneinfo, ..profile(recipient) },
            standing: Standing {
                online,
                last_seen_at: last_seen_at.transpose()?,
                // The message itself is one.
                unread: unread.unwrap_or(1),
            },
        })
    }
}

fn profile(person: Person) -> UserProfile {
    let Person { email, kind, name } = person;
    let (picture, zoneinfo, locale, first_seen_at) = (None, None, None, None);
    UserProfile { email, kind, name, picture, zoneinfo, locale, first_seen_at }
}
