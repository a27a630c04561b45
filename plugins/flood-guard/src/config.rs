//! What an org sets.

use std::str::FromStr;

/// How many messages in how much time; 0: any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub per_minute: u32,
    pub per_hour: u32,
}

/// How one text to many people is told from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copies {
    /// People who may get it; 0: any number.
    pub people: u32,
    pub minutes: u32,
    /// Letters and digits below which a text says too little to be a copy.
    pub letters: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strangers {
    pub new: bool,
    pub unanswered: bool,
    pub days: u32,
}

#[derive(Debug)]
pub struct Config {
    pub everybody: Limits,
    pub strangers_limits: Limits,
    pub strangers: Strangers,
    pub copies: Copies,
    pub exempt: Vec<String>,
    /// What the sender of a refused message is told.
    pub message: String,
}

const DAY_MINUTES: u32 = 24 * 60;

impl Config {
    /// Reads the configuration key by key. What cannot be meant is an error: a guess would be
    /// no guard, or one that stops everybody.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let message = get("message").filter(|message| !message.is_empty());
        let copies = Copies {
            people: number(&get, "copies", 5)?,
            minutes: number(&get, "copies-minutes", 10)?,
            letters: number(&get, "copies-letters", 20)?,
        };
        if !(1..=DAY_MINUTES).contains(&copies.minutes) {
            return Err(format!("`copies-minutes` must be 1 to {DAY_MINUTES}"));
        }
        let limits = |minute: (&str, u32), hour: (&str, u32)| {
            let per_minute = number(&get, minute.0, minute.1)?;
            Ok::<_, String>(Limits { per_minute, per_hour: number(&get, hour.0, hour.1)? })
        };
        Ok(Self {
            everybody: limits(("per-minute", 30), ("per-hour", 500))?,
            strangers_limits: limits(("strangers-per-minute", 6), ("strangers-per-hour", 60))?,
            strangers: Strangers::parse(
                &words(&get, "strangers", "new, unanswered"),
                number(&get, "stranger-days", 3)?,
            )?,
            copies,
            exempt: words(&get, "exempt", "staff"),
            message: message
                .unwrap_or_else(|| "You are sending too fast. Please wait a little.".to_owned()),
        })
    }
}

impl Strangers {
    fn parse(words: &[String], days: u32) -> Result<Self, String> {
        if words.iter().any(|word| word != "new" && word != "unanswered") {
            return Err("`strangers` must be of new and unanswered, or none".to_owned());
        }
        let has = |kind: &str| words.iter().any(|word| word == kind);
        Ok(Self { new: has("new"), unanswered: has("unanswered"), days })
    }
}

fn number<T: FromStr>(
    get: impl Fn(&str) -> Option<String>,
    key: &str,
    default: T,
) -> Result<T, String> {
    match get(key).as_deref().map(str::trim) {
        None | Some("") => Ok(default),
        Some(text) => text.parse().map_err(|_| format!("`{key}` must be a whole number")),
    }
}

/// What commas separate; `none` is nothing.
fn words(get: impl Fn(&str) -> Option<String>, key: &str, default: &str) -> Vec<String> {
    let list = get(key).filter(|list| !list.trim().is_empty());
    let list = list.unwrap_or_else(|| default.to_owned());
    let words = list.split(',').map(|word| word.trim().to_owned());
    words.filter(|word| !word.is_empty() && word != "none").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(key: &str, value: &str) -> Result<Config, String> {
        Config::read(|name| (name == key).then(|| value.to_owned()))
    }

    #[test]
    fn the_defaults_are_as_documented() {
        let config = Config::read(|_| None).unwrap();

        assert_eq!(config.everybody, Limits { per_minute: 30, per_hour: 500 });
        assert_eq!(config.strangers_limits, Limits { per_minute: 6, per_hour: 60 });
        assert_eq!(config.strangers, Strangers { new: true, unanswered: true, days: 3 });
        assert_eq!(config.copies, Copies { people: 5, minutes: 10, letters: 20 });
        assert_eq!(config.exempt, ["staff"]);
    }

    #[test]
    fn what_it_does_not_know_is_an_error() {
        for (key, value) in [
            ("per-minute", "many"),
            ("per-hour", "-1"),
            ("strangers", "new, old"),
            ("stranger-days", "0.5"),
            ("copies-minutes", "0"),
            ("copies-minutes", "1441"),
        ] {
            assert!(read(key, value).unwrap_err().contains(&format!("`{key}`")), "{key}");
        }
        assert!(!read("strangers", "none").unwrap().strangers.new);
        assert!(read("exempt", "none").unwrap().exempt.is_empty());
        assert_eq!(read("exempt", "admins, vip").unwrap().exempt, ["admins", "vip"]);
    }
}
