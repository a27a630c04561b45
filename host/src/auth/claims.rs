use serde::Deserialize;
use serde_json::Value;
use time::OffsetDateTime;
use url::Url;

use super::verifier::VerifierSettings;
use crate::domain::{Email, Kind, OrgKey};
use crate::{Error, Result};

/// 9999-12-31T23:59:59Z, the last second that `time` and Postgres both write plainly.
const LAST_SECOND: i64 = 253_402_300_799;
/// Of `sub` and `iss`, which are stored and indexed.
const MAX_IDENTITY_BYTES: usize = 512;
const MAX_NAME_CHARS: usize = 200;
const MAX_PICTURE_BYTES: usize = 2048;
/// Of `zoneinfo`, `locale` and each of `roles`.
const MAX_TAG_BYTES: usize = 64;
/// How many of `roles` are kept.
const MAX_ROLES: usize = 32;

/// What a verified token says of its bearer.
#[derive(Clone, Debug)]
pub struct Claims {
    /// `sub`, or the e-mail's key where there is none. At most 512 bytes.
    pub subject: String,
    /// `sub` is missing or spells the e-mail.
    pub subject_is_email: bool,
    pub email: Email,
    /// `iss`; empty where there is none. At most 512 bytes.
    pub issuer: String,
    /// `orgId` as claimed; not checked against anything.
    pub org: Option<String>,
    pub kind: Kind,
    /// `roles` holds `admin`. Counts only together with the key's `may_admin`:
    /// [`Verified::is_admin`](super::Verified::is_admin).
    pub roles_admin: bool,
    /// All that `roles` holds: at most 32 of at most 64 bytes, no control characters; what
    /// breaks that is left out.
    pub roles: Vec<String>,
    /// At most 200 characters, no control characters; what breaks that is left out.
    pub name: Option<String>,
    /// An http or https address of at most 2048 bytes; anything else is left out.
    pub picture: Option<String>,
    /// At most 64 bytes each, no control characters; what breaks that is left out.
    pub zoneinfo: Option<String>,
    pub locale: Option<String>,
    pub issued_at: OffsetDateTime,
    pub expires_at: OffsetDateTime,
}

/// The claims as they came, each still of any type, so that every fault has its own words.
/// A claim written twice is an error; one that is `null` counts as absent.
#[derive(Deserialize)]
pub(super) struct RawClaims {
    sub: Option<Value>,
    email: Option<Value>,
    email_verified: Option<Value>,
    iss: Option<Value>,
    aud: Option<Value>,
    exp: Option<Value>,
    iat: Option<Value>,
    nbf: Option<Value>,
    #[serde(rename = "orgId")]
    org_id: Option<Value>,
    kind: Option<Value>,
    roles: Option<Value>,
    name: Option<Value>,
    picture: Option<Value>,
    zoneinfo: Option<Value>,
    locale: Option<Value>,
}

impl RawClaims {
    pub(super) fn read(payload: &[u8]) -> Result<Self> {
        serde_json::from_slice(payload)
            .map_err(|_| Error::Unauthorized("the token's claims cannot be read"))
    }

    /// Holds `iss` and `aud` to what the key asks for, if it does.
    pub(super) fn check_key(&self, key: &OrgKey) -> Result<()> {
        let issuer_is = |wanted: &String| is_text(self.iss.as_ref(), wanted);
        if !key.issuer.as_ref().is_none_or(issuer_is) {
            return Err(Error::Unauthorized("the token is from another issuer"));
        }
        let meant_for = |wanted: &String| names(self.aud.as_ref(), wanted);
        if !key.audience.as_ref().is_none_or(meant_for) {
            return Err(Error::Unauthorized("the token is meant for another audience"));
        }
        Ok(())
    }

    pub(super) fn check(self, settings: &VerifierSettings, now: OffsetDateTime) -> Result<Claims> {
        let (issued_at, expires_at) = self.check_times(settings, now)?;
        let email = self.email()?;
        let (subject, subject_is_email) = subject(self.sub, &email)?;
        Ok(Claims {
            subject,
            subject_is_email,
            email,
            issuer: issuer(self.iss)?,
            org: org(self.org_id)?,
            kind: kind(self.kind.as_ref())?,
            roles_admin: holds_admin(self.roles.as_ref())?,
            roles: roles(self.roles),
            name: name(self.name),
            picture: picture(self.picture),
            zoneinfo: tag(self.zoneinfo),
            locale: tag(self.locale),
            issued_at,
            expires_at,
        })
    }

    fn check_times(
        &self,
        settings: &VerifierSettings,
        now: OffsetDateTime,
    ) -> Result<(OffsetDateTime, OffsetDateTime)> {
        let expires_at = moment(self.exp.as_ref(), "the token's exp must be a time in seconds")?
            .ok_or(Error::Unauthorized("the token has no exp"))?;
        let issued_at = moment(self.iat.as_ref(), "the token's iat must be a time in seconds")?
            .ok_or(Error::Unauthorized("the token has no iat"))?;
        let starts_at = moment(self.nbf.as_ref(), "the token's nbf must be a time in seconds")?;
        // Reckoned from now: an `exp` at the end of 9999 leaves no room to add.
        if expires_at <= now - settings.exp_leeway {
            return Err(Error::Unauthorized("the token has expired"));
        }
        let latest = now + settings.clock_skew;
        if issued_at > latest {
            return Err(Error::Unauthorized("the token was issued in the future"));
        }
        if starts_at.is_some_and(|start| start > latest) {
            return Err(Error::Unauthorized("the token is not valid yet"));
        }
        Ok((issued_at, expires_at))
    }

    /// Some issuers write `email_verified` as a string. The bot has no tokens.
    fn email(&self) -> Result<Email> {
        match &self.email_verified {
            None | Some(Value::Null | Value::Bool(true)) => {}
            Some(Value::String(text)) if text == "true" => {}
            Some(_) => return Err(Error::Unauthorized("the token's e-mail is not verified")),
        }
        match &self.email {
            None | Some(Value::Null) => Err(Error::Unauthorized("the token has no email")),
            Some(Value::String(text)) => match Email::parse(text) {
                Ok(email) if email.is_reserved() => {
                    Err(Error::Unauthorized("the token's email is the address of the org's bot"))
                }
                parsed => parsed
                    .map_err(|_| Error::Unauthorized("the token's email is not an e-mail address")),
            },
            Some(_) => Err(Error::Unauthorized("the token's email must be a string")),
        }
    }
}

/// Whole seconds since 1970, up to the year 9999.
fn moment(claim: Option<&Value>, refusal: &'static str) -> Result<Option<OffsetDateTime>> {
    match claim {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value
            .as_i64()
            .filter(|seconds| (0..=LAST_SECOND).contains(seconds))
            .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
            .map(Some)
            .ok_or(Error::Unauthorized(refusal)),
    }
}

fn subject(claim: Option<Value>, email: &Email) -> Result<(String, bool)> {
    match claim {
        None | Some(Value::Null) => Ok((email.key().to_owned(), true)),
        Some(Value::String(text)) if is_identity(&text) => {
            let is_email = Email::parse(&text).is_ok_and(|spelled| spelled == *email);
            Ok((text, is_email))
        }
        Some(_) => Err(Error::Unauthorized("the token's sub must be a string of 1 to 512 bytes")),
    }
}

fn issuer(claim: Option<Value>) -> Result<String> {
    match claim {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) if is_identity(&text) => Ok(text),
        Some(_) => Err(Error::Unauthorized("the token's iss must be a string of 1 to 512 bytes")),
    }
}

fn org(claim: Option<Value>) -> Result<Option<String>> {
    match claim {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Error::Unauthorized("the token's orgId must be a string")),
    }
}

fn kind(claim: Option<&Value>) -> Result<Kind> {
    match claim {
        None | Some(Value::Null) => Ok(Kind::default()),
        Some(Value::String(text)) if text == "customer" => Ok(Kind::Customer),
        Some(Value::String(text)) if text == "staff" => Ok(Kind::Staff),
        Some(_) => Err(Error::Unauthorized("the token's kind must be customer or staff")),
    }
}

/// `roles` may be a list of strings or one string, which is one role.
fn holds_admin(claim: Option<&Value>) -> Result<bool> {
    let refusal = Error::Unauthorized("the token's roles must be strings");
    match claim {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Array(roles)) if !roles.iter().all(Value::is_string) => Err(refusal),
        Some(Value::Array(_) | Value::String(_)) => Ok(names(claim, "admin")),
        Some(_) => Err(refusal),
    }
}

fn roles(claim: Option<Value>) -> Vec<String> {
    let all = match claim {
        Some(Value::Array(all)) => all,
        one => one.into_iter().collect(),
    };
    all.into_iter().filter_map(|role| tag(Some(role))).take(MAX_ROLES).collect()
}

fn name(claim: Option<Value>) -> Option<String> {
    plain(claim, MAX_NAME_CHARS * 4).filter(|text| text.chars().count() <= MAX_NAME_CHARS)
}

fn picture(claim: Option<Value>) -> Option<String> {
    plain(claim, MAX_PICTURE_BYTES)
        .filter(|text| Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https")))
}

fn tag(claim: Option<Value>) -> Option<String> {
    plain(claim, MAX_TAG_BYTES)
}

/// Text for showing: trimmed, not empty, no control characters.
fn plain(claim: Option<Value>, max_bytes: usize) -> Option<String> {
    let Some(Value::String(text)) = claim else {
        return None;
    };
    let text = text.trim();
    let fits = !text.is_empty() && text.len() <= max_bytes && !text.chars().any(char::is_control);
    fits.then(|| text.to_owned())
}

fn is_identity(text: &str) -> bool {
    (1..=MAX_IDENTITY_BYTES).contains(&text.len()) && !text.chars().any(char::is_control)
}

fn is_text(value: Option<&Value>, wanted: &str) -> bool {
    value.and_then(Value::as_str) == Some(wanted)
}

/// Whether a claim that may be one string or a list of them (RFC 7519 §4.1.3) holds that one.
fn names(claim: Option<&Value>, wanted: &str) -> bool {
    match claim {
        Some(Value::Array(list)) => list.iter().any(|value| is_text(Some(value), wanted)),
        one => is_text(one, wanted),
    }
}
