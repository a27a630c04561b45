//! What an org sets.

use crate::words::Words;

/// What a message meets that holds one of the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Mask,
    Reject,
    Hold,
    Shadow,
    Label,
}

#[derive(Debug)]
pub struct Config {
    pub words: Words,
    pub mode: Mode,
    /// What the sender of a refused message is told.
    pub message: String,
}

impl Config {
    /// Reads the configuration key by key. An unknown mode is an error: to guess would let
    /// messages through that the org wants stopped.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let mode = match get("mode").as_deref().map(str::trim) {
            None | Some("" | "mask") => Mode::Mask,
            Some("reject") => Mode::Reject,
            Some("hold") => Mode::Hold,
            Some("shadow") => Mode::Shadow,
            Some("label") => Mode::Label,
            Some(_) => {
                return Err("`mode` must be mask, reject, hold, shadow or label".to_owned());
            }
        };
        let message = get("message").filter(|message| !message.is_empty());
        Ok(Self {
            words: Words::parse(&get("words").unwrap_or_default()),
            mode,
            message: message.unwrap_or_else(|| "Please choose other words.".to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masking_is_the_default() {
        let config = Config::read(|_| None).unwrap();

        assert_eq!(config.mode, Mode::Mask);
        assert!(config.words.is_empty());
    }

    #[test]
    fn an_unknown_mode_is_an_error() {
        assert!(Config::read(|key| (key == "mode").then(|| "delete".to_owned())).is_err());
    }
}
