use std::sync::Arc;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use unicode_normalization::UnicodeNormalization;

use super::{Org, UserId};

/// An e-mail address: shown as its owner writes it, compared by its key.
///
/// The key is NFC and lower case, so that two spellings are one person.
#[derive(Clone, Debug)]
pub struct Email {
    shown: String,
    key: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an e-mail address of at most 320 bytes")]
pub struct InvalidEmail;

impl Email {
    /// RFC 5321 allows 64 + 1 + 255.
    pub const MAX_BYTES: usize = 320;
    const BOT: &str = "bot@duologue.invalid";

    pub fn parse(text: &str) -> Result<Self, InvalidEmail> {
        if text.len() > Self::MAX_BYTES || text.chars().any(char::is_control) {
            return Err(InvalidEmail);
        }
        let shown = nfc(text);
        let options =
            email_address::Options::default().without_display_text().without_domain_literal();
        email_address::EmailAddress::parse_with_options(&shown, options)
            .map_err(|_| InvalidEmail)?;
        // Lower-casing can leave NFC (U+0130), so the key is normalised again.
        let key = nfc(&shown.to_lowercase());
        Ok(Self { shown, key })
    }

    /// The address of each org's bot, as which its plugins send.
    pub fn bot() -> Self {
        Self { shown: Self::BOT.to_owned(), key: Self::BOT.to_owned() }
    }

    /// Whether it can be nobody's but the bot's.
    pub fn is_reserved(&self) -> bool {
        self.key == Self::BOT
    }

    /// From a row that [`Email::parse`] once made.
    pub(crate) fn stored(shown: String, key: String) -> Self {
        Self { shown, key }
    }

    pub fn as_str(&self) -> &str {
        &self.shown
    }

    pub fn key(&self) -> &str {
        &self.key
    }
}

fn nfc(text: &str) -> String {
    // As it is, and by far the most.
    if text.is_ascii() { text.to_owned() } else { text.nfc().collect() }
}

impl PartialEq for Email {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Email {}

/// What a token says its bearer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    #[default]
    Customer,
    Staff,
}

/// A person in an org.
#[derive(Clone, Debug)]
pub struct User {
    pub id: UserId,
    pub email: Email,
    pub name: Option<String>,
    pub picture: Option<String>,
    /// `None`: has been written to, but has never signed in.
    pub first_seen_at: Option<OffsetDateTime>,
    pub last_seen_at: Option<OffsetDateTime>,
}

/// What a plugin may know of a person: what their tokens say of them, never the tokens.
#[derive(Clone, Debug)]
pub struct UserProfile {
    pub email: Email,
    pub kind: Kind,
    pub name: Option<String>,
    pub picture: Option<String>,
    pub zoneinfo: Option<String>,
    pub locale: Option<String>,
    /// `None`: has been written to, but has never signed in.
    pub first_seen_at: Option<OffsetDateTime>,
}

/// The person making this request, as a verified token names them.
#[derive(Clone, Debug)]
pub struct Caller {
    pub org: Arc<Org>,
    pub user: Arc<User>,
    pub kind: Kind,
    /// The token says `admin`, and its key may vouch for that.
    pub admin: bool,
    /// What the token's claim `roles` holds, within bounds. `admin` in it proves nothing.
    pub roles: Arc<[String]>,
    pub issued_at: OffsetDateTime,
    pub expires_at: OffsetDateTime,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_composition_do_not_make_another_person() {
        let composed = Email::parse("Zoë@Example.com").unwrap();
        let decomposed = Email::parse("zoe\u{308}@example.COM").unwrap();

        assert_eq!(composed, decomposed);
        assert_eq!(composed.as_str(), "Zoë@Example.com");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for bad in ["", "bob", "@b.c", "a@", "a b@c.d", "Bob <b@c.d>", "a\0@b.c", "org:acme"] {
            assert!(Email::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Email::parse(&format!("{}@b.c", "a".repeat(400))).is_err());
    }

    #[test]
    fn the_bots_address_is_reserved_however_it_is_written() {
        for spelled in ["bot@duologue.invalid", "Bot@Duologue.INVALID"] {
            assert!(Email::parse(spelled).unwrap().is_reserved(), "{spelled}");
        }
        assert!(Email::bot() == Email::parse("bot@duologue.invalid").unwrap());
        assert!(!Email::parse("bot@duologue.example").unwrap().is_reserved());
    }

    #[test]
    fn a_plus_is_part_of_the_address() {
        assert_ne!(Email::parse("a+b@c.d"), Email::parse("a@c.d"));
    }
}
