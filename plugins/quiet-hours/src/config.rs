//! What an org sets.

/// Minutes since midnight.
pub type Minutes = u16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Delay,
    List,
    Suppress,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Config {
    pub from: Minutes,
    pub to: Minutes,
    pub mode: Mode,
    /// `None`: no message is urgent.
    pub urgent: Option<String>,
    /// People of an unknown zone have the hours of UTC.
    pub assume_utc: bool,
}

const DAY: Minutes = 24 * 60;

impl Config {
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let get = |key: &str, default: &str| {
            let value = get(key).map(|value| value.trim().to_owned());
            value.filter(|value| !value.is_empty()).unwrap_or_else(|| default.to_owned())
        };
        let time = |key: &str, default: &str| {
            let text = get(key, default);
            parse_time(&text).ok_or(format!("`{key}` must be a time such as {default}"))
        };
        let (from, to) = (time("from", "22:00")?, time("to", "07:00")?);
        if from == to {
            return Err("`from` and `to` are the same: it would be quiet always, or never".into());
        }
        Ok(Self {
            from,
            to,
            mode: match get("mode", "delay").as_str() {
                "delay" => Mode::Delay,
                "list" => Mode::List,
                "suppress" => Mode::Suppress,
                _ => return Err("`mode` must be delay, list or suppress".to_owned()),
            },
            urgent: Some(get("urgent", "urgent")).filter(|key| key != "none"),
            assume_utc: match get("unknown-zone", "deliver").as_str() {
                "deliver" => false,
                "utc" => true,
                _ => return Err("`unknown-zone` must be deliver or utc".to_owned()),
            },
        })
    }

    /// How long it stays quiet from a time on; `None`: it is not quiet then.
    pub fn quiet_for(&self, now: Minutes) -> Option<Minutes> {
        let since = (now + DAY - self.from) % DAY;
        let length = (self.to + DAY - self.from) % DAY;
        (since < length).then(|| length - since)
    }
}

fn parse_time(text: &str) -> Option<Minutes> {
    let (hour, minute) = text.split_once(':')?;
    let digits = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(hour) || !digits(minute) {
        return None;
    }
    let (hour, minute): (Minutes, Minutes) = (hour.parse().ok()?, minute.parse().ok()?);
    (hour < 24 && minute < 60).then_some(hour * 60 + minute)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(entries: &[(&str, &str)]) -> Result<Config, String> {
        Config::read(|key| {
            let found = entries.iter().find(|(name, _)| *name == key);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_night_is_the_default_and_passes_midnight() {
        let config = read(&[]).unwrap();

        assert_eq!((config.mode, config.urgent.as_deref()), (Mode::Delay, Some("urgent")));
        for (hour, minute, left) in
            [(21, 59, None), (22, 0, Some(540)), (0, 0, Some(420)), (6, 59, Some(1)), (7, 0, None)]
        {
            assert_eq!(config.quiet_for(hour * 60 + minute), left, "{hour}:{minute}");
        }
    }

    #[test]
    fn a_quiet_noon_passes_no_midnight() {
        let config = read(&[("from", "12:00"), ("to", "13:30")]).unwrap();

        assert_eq!(config.quiet_for(12 * 60), Some(90));
        assert_eq!(config.quiet_for(13 * 60 + 30), None);
        assert_eq!(config.quiet_for(0), None);
    }

    #[test]
    fn what_cannot_be_meant_is_an_error() {
        for (key, value) in [
            ("from", "24:00"),
            ("from", "9:00"),
            ("to", "07.00"),
            ("to", "+7:00"),
            ("from", "07:00"),
            ("mode", "later"),
            ("unknown-zone", "home"),
        ] {
            let refused = read(&[(key, value)]).unwrap_err();
            assert!(refused.contains(&format!("`{key}`")), "{value}: {refused}");
        }
    }
}
