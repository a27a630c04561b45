//! What an org sets.

use std::collections::HashSet;

use crate::names::{self, Allowed};

/// What a message meets that has a link elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Reject,
    Hold,
    Label,
}

#[derive(Debug)]
pub struct Config {
    pub allowed: Allowed,
    pub mode: Mode,
    /// What the sender of a refused message is told.
    pub message: String,
    pub endings: Endings,
}

/// The last parts of names that are links without a scheme and a path, in their canonical form.
#[derive(Debug)]
pub enum Endings {
    /// Those of [`ENDINGS`]. They are read where a name stands, not for each message.
    Usual,
    Listed(HashSet<String>),
}

/// Without those that are words or endings of files (`is`, `me`, `zip`, `md`): people forget the
/// space after a full stop. The last ones are рф, укр, бел and 中国.
pub const ENDINGS: &str = "com net org info biz edu gov int mil io co app dev xyz top site online \
    shop store club live link click icu vip pro ru su ua by kz cn jp kr hk tw sg th vn \
    de at ch fr es pt nl pl cz sk hu ro bg gr tr il ae sa ir pk lk bd br ar cl mx pe ve ca us uk eu \
    ie se dk fi ee lv lt nz au za ng ke eg ma tk ml ga cf gq gg gl ly cc tv ws \
    xn--p1ai xn--j1amh xn--90ais xn--fiqs8s";

impl Endings {
    fn parse(list: &str) -> Result<Self, String> {
        let parts = list.split(|c: char| c == ',' || c.is_whitespace());
        let parts = parts.filter(|part| !part.is_empty());
        let canonical = |part: &str| {
            names::canonical(part.trim_start_matches('.')).ok_or_else(|| {
                format!("`endings` must list endings such as com, or be none; `{part}` is none")
            })
        };
        parts.map(canonical).collect::<Result<_, _>>().map(Self::Listed)
    }

    /// Whether the last label of a name, behind a dot, is one of them.
    pub fn end(&self, name: &str) -> bool {
        let Some((_, end)) = name.rsplit_once('.') else { return false };
        match self {
            Self::Usual => ENDINGS.split(' ').any(|usual| usual == end),
            Self::Listed(listed) => listed.contains(end),
        }
    }
}

impl Config {
    /// Reads the configuration key by key. What cannot be meant is an error: to guess would let
    /// messages through that the org wants stopped.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let mode = match get("mode").as_deref().map(str::trim) {
            None | Some("" | "reject") => Mode::Reject,
            Some("hold") => Mode::Hold,
            Some("label") => Mode::Label,
            Some(_) => return Err("`mode` must be reject, hold or label".to_owned()),
        };
        let endings = match get("endings").as_deref().map(str::trim) {
            None | Some("") => Ok(Endings::Usual),
            Some("none") => Endings::parse(""),
            Some(list) => Endings::parse(list),
        };
        let message = get("message").filter(|message| !message.is_empty());
        Ok(Self {
            allowed: Allowed::parse(&get("allow").unwrap_or_default())?,
            mode,
            message: message.unwrap_or_else(|| "Links to that site are not allowed.".to_owned()),
            endings: endings?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(entries: &[(&str, &str)]) -> Result<Config, String> {
        Config::read(|key| {
            let entry = entries.iter().find(|(name, _)| *name == key);
            entry.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn refusing_is_the_default() {
        let config = read(&[]).unwrap();

        assert_eq!(config.mode, Mode::Reject);
        assert!(!config.allowed.contains("example.com"));
        assert!(config.endings.end("evil.com") && config.endings.end("a.xn--p1ai"));
        assert!(!config.endings.end("com") && !config.endings.end("well.then"));
    }

    #[test]
    fn the_usual_endings_are_canonical() {
        for ending in ENDINGS.split(' ') {
            assert_eq!(names::canonical(ending).as_deref(), Some(ending));
        }
        for written in ["рф", "укр", "бел", "中国"] {
            let ending = names::canonical(written).unwrap();
            assert!(ENDINGS.split(' ').any(|usual| usual == ending), "{written}: {ending}");
        }
    }

    #[test]
    fn endings_can_be_named_or_switched_off() {
        let config = read(&[("endings", "test, .Example")]).unwrap();
        assert!(config.endings.end("a.test") && config.endings.end("a.example"));
        assert!(!config.endings.end("a.com"));

        assert!(!read(&[("endings", "none")]).unwrap().endings.end("a.com"));
    }

    #[test]
    fn what_it_does_not_know_is_an_error() {
        assert!(read(&[("mode", "delete")]).unwrap_err().contains("reject, hold or label"));
        assert!(read(&[("allow", "https://a.example")]).is_err());
        assert!(read(&[("endings", "co/m")]).is_err());
    }
}
