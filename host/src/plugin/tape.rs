//! What a guest asks of the server in one call and what it is told, in order: what a receipt
//! keeps, and what a replay answers from. Secrets are on it by name only.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use time::OffsetDateTime;

use super::{
    bindings::unix_ms,
    services::{Earlier, Unserved},
};
use crate::domain::{
    Email, HeaderText, HostCall, Increment, InvalidField, Kind, KvEntry, KvWrite, MessageId,
    OutgoingRequest, OutgoingResponse, Secret, UserProfile,
};

/// In the place of what is never recorded.
const WITHHELD: &str = "[withheld]";

/// Names of headers that carry credentials hold one of these.
const CREDENTIALS: &[&str] =
    &["auth", "cookie", "token", "secret", "password", "api-key", "apikey", "api_key"];

/// Grows while a guest runs.
#[derive(Default)]
pub(super) struct Tape {
    calls: Vec<HostCall>,
    imports: Vec<String>,
    bytes: usize,
    most: usize,
    shown: Vec<MessageId>,
    /// Opened in this call: what holds one of their values is never kept.
    secrets: Vec<Arc<Secret>>,
    flaw: Option<String>,
    repeats_secret: bool,
}

/// What is on it at the end of the call.
pub(super) struct Recorded {
    pub(super) calls: Vec<HostCall>,
    pub(super) imports: Vec<String>,
    pub(super) shown: Vec<MessageId>,
    /// Why the guest cannot be told the same again.
    pub(super) flaw: Option<String>,
    /// The guest knows one, so what it answers may hold it.
    pub(super) repeats_secret: bool,
}

impl Tape {
    /// `most`: the bytes of all that is asked and answered.
    pub(super) fn new(most: usize) -> Self {
        Self { most, ..Self::default() }
    }

    pub(super) fn add(&mut self, import: &str, asked: Json, answered: Json) {
        if self.repeats(&asked) || self.repeats(&answered) {
            return self.withhold(import);
        }
        self.imports.push(import.to_owned());
        self.bytes += asked.to_string().len() + answered.to_string().len();
        if self.bytes > self.most {
            let most = self.most;
            self.spoil(format!("what it asked of the server comes to more than {most} bytes"));
        } else if self.flaw.is_none() {
            self.calls.push(HostCall { import: import.to_owned(), asked, answered });
        }
    }

    /// These messages are on it.
    pub(super) fn show(&mut self, messages: impl Iterator<Item = MessageId>) {
        self.shown.extend(messages);
    }

    /// This secret is open from here on. The guest may have been told its value before.
    pub(super) fn open(&mut self, secret: &Arc<Secret>) {
        self.secrets.push(Arc::clone(secret));
        let said = |call: &HostCall| self.repeats(&call.asked) || self.repeats(&call.answered);
        if let Some(first) = self.calls.iter().position(said) {
            self.calls.truncate(first);
            self.learn_secret();
        }
    }

    /// An answer that the guest is told and that no receipt may hold.
    pub(super) fn withhold(&mut self, import: &str) {
        self.imports.push(import.to_owned());
        self.learn_secret();
    }

    fn learn_secret(&mut self) {
        self.repeats_secret = true;
        self.spoil("a secret was repeated to it or by it, which is never recorded".to_owned());
    }

    /// Whether an answer repeats an open secret, as a server may that echoes what it gets, now or
    /// a request later. The answer's recorded form may lack what its headers say.
    pub(super) fn is_told_secret(&self, response: &OutgoingResponse) -> bool {
        self.holds_secret(&response.body)
            || response.headers.iter().any(|(_, text)| self.holds_secret(text.as_bytes()))
    }

    fn holds_secret(&self, bytes: &[u8]) -> bool {
        let mut values = self.secrets.iter().map(|secret| secret.value.as_bytes());
        // A value is never empty but in a replay, which keeps nothing.
        values
            .any(|value| !value.is_empty() && bytes.windows(value.len()).any(|part| part == value))
    }

    /// Whether some text of a recorded form holds an open secret.
    fn repeats(&self, form: &Json) -> bool {
        if self.secrets.is_empty() {
            return false;
        }
        match form {
            Json::String(text) => self.holds_secret(text.as_bytes()),
            Json::Array(items) => items.iter().any(|item| self.repeats(item)),
            Json::Object(fields) => fields.iter().any(|(name, value)| {
                let bytes = value.as_str().filter(|_| name == Bytes::BASE64);
                let bytes = bytes.and_then(|text| STANDARD.decode(text).ok());
                self.holds_secret(name.as_bytes())
                    || self.repeats(value)
                    || bytes.is_some_and(|bytes| self.holds_secret(&bytes))
            }),
            Json::Null | Json::Bool(_) | Json::Number(_) => false,
        }
    }

    /// From here on nothing is kept but what was asked for.
    fn spoil(&mut self, why: String) {
        self.flaw.get_or_insert(why);
    }

    /// `answer`: what the guest makes of it all.
    pub(super) fn end(mut self, answer: &Json) -> Recorded {
        if self.repeats(answer) {
            self.learn_secret();
        }
        let Self { calls, imports, shown, flaw, repeats_secret, .. } = self;
        Recorded { calls, imports, shown, flaw, repeats_secret }
    }
}

/// `{"ok": …}` or `{"error": …}`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Told<T, E> {
    Ok(T),
    Error(E),
}

impl<T, E> Told<T, E> {
    /// The recorded form of an answer.
    pub(super) fn json<R, F>(answer: &Result<R, F>, form: impl FnOnce(&R) -> T) -> Json
    where
        T: Serialize,
        E: From<F> + Serialize,
        F: Clone,
    {
        let told = match answer {
            Ok(answer) => Self::Ok(form(answer)),
            Err(error) => Self::Error(error.clone().into()),
        };
        serde_json::to_value(told).expect("words and numbers have a JSON form")
    }

    /// The answer that was recorded.
    pub(super) fn into_result<F: From<E>>(self) -> Result<T, F> {
        match self {
            Self::Ok(answer) => Ok(answer),
            Self::Error(error) => Err(error.into()),
        }
    }
}

/// Readable where they are text.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Bytes {
    Text(String),
    Base64(String),
}

impl Bytes {
    /// The name of that form.
    const BASE64: &str = "base64";
}

impl From<&Vec<u8>> for Bytes {
    fn from(bytes: &Vec<u8>) -> Self {
        let text = String::from_utf8(bytes.clone());
        text.map_or_else(|_| Self::Base64(STANDARD.encode(bytes)), Self::Text)
    }
}

impl TryFrom<Bytes> for Vec<u8> {
    type Error = base64::DecodeError;

    fn try_from(bytes: Bytes) -> Result<Self, base64::DecodeError> {
        match bytes {
            Bytes::Text(text) => Ok(text.into_bytes()),
            Bytes::Base64(text) => STANDARD.decode(text),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EarlierForm {
    id: MessageId,
    from_caller: bool,
    content: String,
    content_type: String,
    created_at_ms: u64,
}

impl From<&Earlier> for EarlierForm {
    fn from(earlier: &Earlier) -> Self {
        Self {
            id: earlier.id,
            from_caller: earlier.from_caller,
            content: earlier.content.clone(),
            content_type: earlier.content_type.clone(),
            created_at_ms: unix_ms(earlier.created_at),
        }
    }
}

impl From<EarlierForm> for Earlier {
    fn from(form: EarlierForm) -> Self {
        Self {
            id: form.id,
            from_caller: form.from_caller,
            content: form.content,
            content_type: form.content_type,
            created_at: from_ms(form.created_at_ms),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProfileForm {
    email: String,
    kind: Kind,
    name: Option<String>,
    picture: Option<String>,
    zoneinfo: Option<String>,
    locale: Option<String>,
    first_seen_ms: Option<u64>,
}

impl From<&UserProfile> for ProfileForm {
    fn from(profile: &UserProfile) -> Self {
        Self {
            email: profile.email.as_str().to_owned(),
            kind: profile.kind,
            name: profile.name.clone(),
            picture: profile.picture.clone(),
            zoneinfo: profile.zoneinfo.clone(),
            locale: profile.locale.clone(),
            first_seen_ms: profile.first_seen_at.map(unix_ms),
        }
    }
}

impl TryFrom<ProfileForm> for UserProfile {
    type Error = InvalidField;

    fn try_from(form: ProfileForm) -> Result<Self, InvalidField> {
        let email = Email::parse(&form.email);
        Ok(Self {
            email: email.map_err(|invalid| InvalidField::new("email", invalid.to_string()))?,
            kind: form.kind,
            name: form.name,
            picture: form.picture,
            zoneinfo: form.zoneinfo,
            locale: form.locale,
            first_seen_at: form.first_seen_ms.map(from_ms),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct EntryForm {
    value: Bytes,
    revision: u64,
}

impl From<&KvEntry> for EntryForm {
    fn from(entry: &KvEntry) -> Self {
        Self { value: (&entry.value).into(), revision: entry.revision }
    }
}

impl TryFrom<EntryForm> for KvEntry {
    type Error = base64::DecodeError;

    fn try_from(form: EntryForm) -> Result<Self, base64::DecodeError> {
        Ok(Self { value: form.value.try_into()?, revision: form.revision })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct ResponseForm {
    status: u16,
    headers: Vec<(String, String)>,
    body: Bytes,
}

impl From<&OutgoingResponse> for ResponseForm {
    fn from(response: &OutgoingResponse) -> Self {
        let headers = response.headers.iter().map(|(name, value)| {
            let value = if carries_credentials(name) { WITHHELD } else { value };
            (name.clone(), value.to_owned())
        });
        Self { status: response.status, headers: headers.collect(), body: (&response.body).into() }
    }
}

impl TryFrom<ResponseForm> for OutgoingResponse {
    type Error = base64::DecodeError;

    fn try_from(form: ResponseForm) -> Result<Self, base64::DecodeError> {
        Ok(Self { status: form.status, headers: form.headers, body: form.body.try_into()? })
    }
}

/// The recorded form of [`Unserved`]: the guest traps.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum UnservedForm {
    Unserved,
}

impl From<UnservedForm> for Unserved {
    fn from(_: UnservedForm) -> Self {
        Self
    }
}

impl From<Unserved> for UnservedForm {
    fn from(_: Unserved) -> Self {
        Self::Unserved
    }
}

pub(super) fn write(key: &str, write: &KvWrite) -> Json {
    json!({
        "key": key,
        "value": write.value.as_ref().map(Bytes::from),
        "ttlSeconds": write.ttl_seconds,
        "expected": write.expect,
    })
}

pub(super) fn step(key: &str, step: &Increment) -> Json {
    json!({ "key": key, "delta": step.delta, "ttlSeconds": step.ttl_seconds })
}

/// With nothing of the headers that carry credentials but their names.
pub(super) fn request(request: &OutgoingRequest) -> Json {
    let headers = request.headers.iter().map(|(name, text)| match text {
        HeaderText::Plain(_) if carries_credentials(name) => json!([name, { "withheld": true }]),
        HeaderText::Plain(text) => json!([name, text]),
        HeaderText::Secret(_) => json!([name, { "secret": true }]),
        HeaderText::Bearer(_) => json!([name, { "bearer": true }]),
    });
    json!({
        "method": request.method,
        "url": request.url,
        "headers": headers.collect::<Vec<_>>(),
        "body": Bytes::from(&request.body),
        "timeoutMs": request.timeout.map(|timeout| timeout.as_millis()),
    })
}

fn carries_credentials(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    CREDENTIALS.iter().any(|word| name.contains(word))
}

pub(super) fn from_ms(ms: u64) -> OffsetDateTime {
    let nanos = i128::from(ms) * 1_000_000;
    OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::OutgoingMethod;

    #[test]
    fn headers_that_carry_credentials_leave_their_names_alone() {
        let secret = Secret { value: "hush".to_owned().into(), hosts: Vec::new() };
        let plain = |name: &str, value: &str| (name.to_owned(), HeaderText::Plain(value.into()));
        let asked = OutgoingRequest {
            method: OutgoingMethod::Post,
            url: "https://a.example/".to_owned(),
            headers: vec![
                plain("Authorization", "Basic hush"),
                plain("X-Api-Key", "hush"),
                plain("Cookie", "hush"),
                plain("Accept", "text/plain"),
                ("X-Signed".to_owned(), HeaderText::Secret(Arc::new(secret))),
            ],
            body: b"who?".to_vec(),
            timeout: None,
        };
        let answer = OutgoingResponse {
            status: 200,
            headers: vec![("Set-Cookie".into(), "hush".into()), ("Age".into(), "3".into())],
            body: vec![0xff],
        };

        let asked = request(&asked).to_string();
        let told = serde_json::to_string(&ResponseForm::from(&answer)).unwrap();

        assert!(!asked.contains("hush") && asked.contains("text/plain"), "{asked}");
        assert!(!told.contains("hush") && told.contains(r#"["Age","3"]"#), "{told}");
    }

    /// A tape on which the secret `hush` is open.
    fn knowing() -> Tape {
        let mut tape = Tape::new(4096);
        let value = "hush".to_owned().into();
        tape.open(&Arc::new(Secret { value, hosts: Vec::new() }));
        tape
    }

    #[test]
    fn an_answer_that_repeats_a_secret_is_noticed() {
        let answer = |body: &str, header: &str| OutgoingResponse {
            status: 200,
            headers: vec![("Set-Cookie".to_owned(), header.to_owned())],
            body: body.as_bytes().to_vec(),
        };
        let told = |body, header| knowing().is_told_secret(&answer(body, header));

        assert!(told("you said: hush!", "") && told("", "last=hush"));
        assert!(!told("you said: hus h", "hus") && !Tape::new(0).is_told_secret(&answer("", "")));
    }

    #[test]
    fn a_secret_that_comes_back_later_in_a_call_is_not_kept() {
        let told = |text: &str| json!({ "ok": { "value": { "text": text }, "revision": 1 } });
        let packed = json!({ "value": { "base64": STANDARD.encode(b"\xff hush") } });

        for (asked, answered) in [
            (json!({ "key": "k" }), told("a hush b")),
            (json!({ "key": "k", "value": { "text": "hush" } }), json!({ "ok": 1 })),
            (json!({ "url": "https://a.example/?t=hush" }), json!({ "ok": null })),
            (packed, json!({ "ok": 1 })),
            (json!({ "hush": 1 }), json!({ "ok": 1 })),
        ] {
            let mut tape = knowing();
            tape.add("kv.get", json!({ "key": "k" }), told("fine"));
            tape.add("any", asked, answered);
            tape.add("kv.get", json!({ "key": "k" }), told("fine"));
            let end = tape.end(&Json::Null);

            assert_eq!((end.calls.len(), end.imports.len()), (1, 3));
            assert!(end.repeats_secret && end.flaw.is_some());
        }
    }

    #[test]
    fn a_secret_that_was_told_before_it_is_opened_is_not_kept() {
        let mut tape = Tape::new(4096);
        tape.add("kv.get", json!({ "key": "k" }), json!({ "ok": null }));
        tape.add("kv.get", json!({ "key": "k" }), json!({ "ok": "hush" }));

        tape.open(&Arc::new(Secret { value: "hush".to_owned().into(), hosts: Vec::new() }));
        let end = tape.end(&Json::Null);

        assert_eq!((end.calls.len(), end.imports.len(), end.repeats_secret), (1, 2, true));
    }

    #[test]
    fn an_answer_that_says_a_secret_is_noticed() {
        let said = |text: &str| knowing().end(&json!({ "explanation": text }));

        assert!(said("because of hush").repeats_secret);
        assert!(!said("because").repeats_secret && said("because").flaw.is_none());
    }

    #[test]
    fn what_is_too_much_to_keep_is_said_and_not_cut() {
        let mut tape = Tape::new(40);

        tape.add("kv.get", json!("short"), json!({ "ok": null }));
        tape.add("kv.get", json!("k".repeat(40)), json!({ "ok": null }));
        tape.add("kv.get", json!("short"), json!({ "ok": null }));
        let end = tape.end(&Json::Null);

        assert_eq!((end.calls.len(), end.imports.len()), (1, 3));
        assert!(end.flaw.is_some());
    }
}
