//! What the server calls.

use crate::config::{Config, Minutes, Mode};

use duologue_plugin::{
    Call, Failure, Plugin, config,
    notify::{Decision, LocalTime, Notification, Recipient},
};

const MINUTE_MS: u64 = 60_000;

struct QuietHours;

impl Plugin for QuietHours {
    fn on_notify(
        call: Call,
        notification: Notification,
        recipient: Recipient,
    ) -> Result<Decision, Failure> {
        let config = Config::read(config::get).map_err(Failure::Declined)?;
        let metadata = &notification.message.body.metadata;
        let is_urgent =
            config.urgent.as_ref().is_some_and(|key| metadata.iter().any(|(name, _)| name == key));
        let time = time_of(&call, &config, recipient.local.as_ref());
        let quiet_for = time.and_then(|time| config.quiet_for(time)).filter(|_| !is_urgent);
        let Some(minutes) = quiet_for else { return Ok(Decision::deliver()) };
        Ok(match config.mode {
            Mode::Delay => Decision::delay(end(call.now_ms, minutes)),
            Mode::List => Decision::deliver().by(["list"]),
            Mode::Suppress => Decision::suppress("quiet hours"),
        })
    }

    fn check() -> Result<(), String> {
        Config::read(config::get).map(drop)
    }
}

/// What the recipient's clock shows, if that is known.
fn time_of(call: &Call, config: &Config, local: Option<&LocalTime>) -> Option<Minutes> {
    match local {
        Some(local) => Some(Minutes::from(local.hour) * 60 + Minutes::from(local.minute)),
        None if config.assume_utc => Minutes::try_from(call.now_ms / MINUTE_MS % (24 * 60)).ok(),
        None => None,
    }
}

/// The beginning of the minute in which it is over.
fn end(now_ms: u64, minutes: Minutes) -> u64 {
    (now_ms / MINUTE_MS + u64::from(minutes)) * MINUTE_MS
}

duologue_plugin::export!(QuietHours: on_notify, lifecycle);

#[cfg(test)]
mod tests {
    use duologue_plugin::testing;

    use super::*;

    fn at(hour: u8, minute: u8, urgent: bool) -> Decision {
        let mut notification = testing::notification("hi");
        if urgent {
            notification.message.body.metadata.push(("urgent".to_owned(), "yes".to_owned()));
        }
        let recipient = testing::recipient(Some(testing::local_time(hour, minute)));
        QuietHours::on_notify(testing::call(), notification, recipient).unwrap()
    }

    #[test]
    fn a_night_is_slept_through_and_what_is_urgent_is_told() {
        testing::set_config([]);
        let now = testing::call().now_ms;

        assert_eq!(at(23, 30, false), Decision::delay(now + 450 * MINUTE_MS));
        assert_eq!(at(23, 30, true), Decision::deliver());
        assert_eq!(at(12, 0, false), Decision::deliver());
    }

    #[test]
    fn an_unknown_zone_is_nobodys_night() {
        let told = || {
            let recipient = testing::recipient(None);
            QuietHours::on_notify(testing::call(), testing::notification("hi"), recipient).unwrap()
        };

        // It is noon in UTC.
        testing::set_config([("from", "11:00"), ("to", "13:00"), ("mode", "suppress")]);
        assert_eq!(told(), Decision::deliver());
        testing::set_config([
            ("from", "11:00"),
            ("to", "13:00"),
            ("mode", "suppress"),
            ("unknown-zone", "utc"),
        ]);
        assert_eq!(told(), Decision::suppress("quiet hours"));
    }
}
