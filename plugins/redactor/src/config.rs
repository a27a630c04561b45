//! What an org sets.

use crate::{phones::Patterns, redact::Kind};

/// What a message meets that holds something personal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Mask,
    Reject,
    Label,
}

#[derive(Debug)]
pub struct Config {
    pub kinds: Vec<Kind>,
    pub mode: Mode,
    /// What the sender of a refused message is told.
    pub message: String,
    pub national: Patterns,
}

/// Ways of writing that little else has: of North America, France and Britain.
pub const NATIONAL: &str = "(N##) N##-####, N##-N##-####, N##.N##.####, 0# ## ## ## ##, \
    0#.##.##.##.##, 0#### ######, 0## #### ####";

impl Config {
    /// Reads the configuration key by key. What cannot be meant is an error: to guess would let
    /// through what the org wants stopped.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let mode = match get("mode").as_deref().map(str::trim) {
            None | Some("" | "mask") => Mode::Mask,
            Some("reject") => Mode::Reject,
            Some("label") => Mode::Label,
            Some(_) => return Err("`mode` must be mask, reject or label".to_owned()),
        };
        let national = match get("national").as_deref().map(str::trim) {
            None | Some("") => Patterns::parse(NATIONAL),
            Some("none") => Patterns::parse(""),
            Some(list) => Patterns::parse(list),
        };
        let message = get("message").filter(|message| !message.is_empty());
        Ok(Self {
            kinds: parse_kinds(get("kinds").as_deref().unwrap_or_default())?,
            mode,
            message: message
                .unwrap_or_else(|| "Please leave out card, account and phone numbers.".to_owned()),
            national: national?,
        })
    }
}

fn parse_kinds(list: &str) -> Result<Vec<Kind>, String> {
    let names = list.split([',', ' ', '\n', '\r']).filter(|name| !name.is_empty());
    let parse = |name: &str| {
        // They are named in the plural here.
        let kind = Kind::ALL.into_iter().find(|kind| name.strip_suffix('s') == Some(kind.name()));
        kind.ok_or_else(|| {
            format!("`kinds` must be of cards, ibans, phones and emails; `{name}` is none")
        })
    };
    let kinds: Vec<Kind> = names.map(parse).collect::<Result<_, _>>()?;
    if kinds.is_empty() {
        return Ok(vec![Kind::Card, Kind::Iban, Kind::Phone]);
    }
    Ok(kinds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(key: &str, value: &str) -> Result<Config, String> {
        Config::read(|name| (name == key).then(|| value.to_owned()))
    }

    #[test]
    fn masking_without_emails_is_the_default() {
        let config = Config::read(|_| None).unwrap();

        assert_eq!(config.mode, Mode::Mask);
        assert_eq!(config.kinds, [Kind::Card, Kind::Iban, Kind::Phone]);
    }

    #[test]
    fn what_it_does_not_know_is_an_error() {
        assert!(read("mode", "hide").unwrap_err().contains("mask, reject or label"));
        assert!(read("kinds", "cards, names").unwrap_err().contains("`names`"));
        assert!(read("national", "12").unwrap_err().contains("`national`"));
        assert_eq!(read("kinds", "emails,cards").unwrap().kinds, [Kind::Email, Kind::Card]);
    }
}
