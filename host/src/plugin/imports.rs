//! What guests import, as the bindings want it: each import passes a guest's words on to
//! [`HostServices`], with the org, plugin and grants of its call.

mod asking;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use wasmtime::component::{Resource, ResourceTable};

use super::{
    Limits,
    bindings::{directory, history, http, kv, messages, secrets, types, unix_ms},
    services::{Asker, Correspondence, Earlier, HostServices},
    store::Guest,
    tape::Tape,
};
use crate::domain::{
    Body, BotDraft, BotError, ContentType, Email, HeaderText, HostPattern, Increment, Installed,
    InvalidField, KvEntry, KvError, KvWrite, Org, OutgoingError, OutgoingMethod, OutgoingRequest,
    OutgoingResponse, PluginId, RequestsLeft, Secret, StagedWrites, UserProfile,
};

/// Who answers the guest of one call, for whom it asks, and what it has asked for so far.
pub(super) struct Served {
    services: Arc<dyn HostServices>,
    org: Arc<Org>,
    plugin: Installed,
    asker: Option<Asker>,
    granted: Arc<[HostPattern]>,
    reach: Reach,
    /// The end of the call.
    ends: Instant,
    /// `None`: its writes wait for nothing.
    pub(super) staged: Option<StagedWrites>,
    requests_left: RequestsLeft,
    secrets: ResourceTable,
    /// `None`: nothing is recorded.
    pub(super) tape: Option<Tape>,
    /// `None`: it cannot send messages.
    pub(super) correspondence: Option<Arc<dyn Correspondence>>,
}

/// Whose call it is, for whom, and what it may do.
#[derive(Clone, Copy)]
pub(super) struct Serving<'a> {
    pub(super) services: &'a Arc<dyn HostServices>,
    pub(super) org: &'a Arc<Org>,
    pub(super) plugin: PluginId,
    /// `None`: the call is about no thread.
    pub(super) asker: Option<Asker>,
    pub(super) granted: &'a Arc<[HostPattern]>,
    pub(super) reach: Reach,
}

impl Serving<'_> {
    /// What decides about a message leaves a receipt, unless the org wants none.
    fn is_recorded(&self) -> bool {
        self.org.settings.receipt_days > 0 && self.reach != Reach::Acting
    }
}

/// How far the imports of a hook reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// It looks and judges: nothing kept, nobody called.
    Looking,
    /// What it writes waits for the message that it decides about.
    Deciding,
    /// What it does is done at once.
    Acting,
}

impl Served {
    pub(super) fn new(serving: &Serving<'_>, ends: Instant, limits: &Limits) -> Self {
        let mut secrets = ResourceTable::new();
        secrets.set_max_capacity(limits.open_secrets);
        let plugin = Installed { org_id: serving.org.id, plugin_id: serving.plugin };
        let is_deciding = serving.reach == Reach::Deciding;
        Self {
            services: Arc::clone(serving.services),
            org: Arc::clone(serving.org),
            plugin,
            asker: serving.asker,
            granted: Arc::clone(serving.granted),
            reach: serving.reach,
            ends,
            staged: is_deciding.then(|| serving.services.stage(plugin)),
            requests_left: serving.services.requests_per_call(),
            secrets,
            tape: serving.is_recorded().then(|| Tape::new(limits.tape_bytes)),
            correspondence: None,
        }
    }

    pub(super) fn may_act(&self) -> bool {
        self.reach != Reach::Looking
    }

    /// With each secret behind the handle that stands for it.
    fn read_headers(
        &self,
        headers: Vec<(String, http::HeaderValue)>,
    ) -> wasmtime::Result<Vec<(String, HeaderText)>> {
        let read = |(name, value)| {
            let text = match value {
                http::HeaderValue::Plain(text) => HeaderText::Plain(text),
                http::HeaderValue::Secret(handle) => {
                    HeaderText::Secret(Arc::clone(&self.secrets.get(&handle)?.0))
                }
                http::HeaderValue::Bearer(handle) => {
                    HeaderText::Bearer(Arc::clone(&self.secrets.get(&handle)?.0))
                }
            };
            Ok((name, text))
        };
        headers.into_iter().map(read).collect()
    }
}

/// What a guest's handle stands for.
#[expect(unreachable_pub, reason = "the generated code re-exports it")]
pub struct OpenSecret(Arc<Secret>);

impl history::Host for Guest {
    async fn previous(&mut self) -> wasmtime::Result<Vec<history::Earlier>> {
        self.take_host_call()?;
        // Nobody to look for where a call is a rehearsal.
        let Some(served) = self.served() else { return Ok(Vec::new()) };
        let earlier = served.previous().await?;
        Ok(earlier.into_iter().map(Into::into).collect())
    }
}

impl directory::Host for Guest {
    async fn find(
        &mut self,
        email: String,
    ) -> wasmtime::Result<Result<Option<directory::Profile>, directory::Error>> {
        self.take_host_call()?;
        let Some(served) = self.served() else { return Ok(Err(directory::Error::Unavailable)) };
        let found = served.find_person(email).await;
        Ok(found.map(|found| found.map(Into::into)).map_err(|_| directory::Error::Unavailable))
    }
}

impl kv::Host for Guest {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<kv::Entry>, kv::Error>> {
        self.take_host_call()?;
        let Some(served) = self.acting() else { return Ok(Err(kv::Error::Unavailable)) };
        let found = served.find_entry(key).await;
        Ok(found.map(|found| found.map(Into::into)).map_err(Into::into))
    }

    async fn set(
        &mut self,
        key: String,
        value: Vec<u8>,
        ttl_seconds: Option<u32>,
        expected: Option<u64>,
    ) -> wasmtime::Result<Result<u64, kv::Error>> {
        self.take_host_call()?;
        let Some(served) = self.acting() else { return Ok(Err(kv::Error::Unavailable)) };
        let write = KvWrite { value: Some(value), ttl_seconds, expect: expected };
        Ok(served.write_entry(key, write).await.map_err(Into::into))
    }

    async fn delete(&mut self, key: String) -> wasmtime::Result<Result<(), kv::Error>> {
        self.take_host_call()?;
        let Some(served) = self.acting() else { return Ok(Err(kv::Error::Unavailable)) };
        let write = KvWrite { value: None, ttl_seconds: None, expect: None };
        Ok(served.write_entry(key, write).await.map(drop).map_err(Into::into))
    }

    async fn increment(
        &mut self,
        key: String,
        delta: i64,
        ttl_seconds: Option<u32>,
    ) -> wasmtime::Result<Result<i64, kv::Error>> {
        self.take_host_call()?;
        let Some(served) = self.acting() else { return Ok(Err(kv::Error::Unavailable)) };
        Ok(served.increment(key, Increment { delta, ttl_seconds }).await.map_err(Into::into))
    }
}

impl secrets::Host for Guest {
    async fn open(
        &mut self,
        name: String,
    ) -> wasmtime::Result<Result<Resource<OpenSecret>, secrets::Error>> {
        self.take_host_call()?;
        let Some(served) = self.acting() else { return Ok(Err(secrets::Error::Unavailable)) };
        match served.open_secret(name).await {
            Ok(Some(secret)) => Ok(Ok(served.secrets.push(OpenSecret(secret))?)),
            Ok(None) => Ok(Err(secrets::Error::Unknown)),
            Err(_) => Ok(Err(secrets::Error::Unavailable)),
        }
    }
}

impl secrets::HostSecret for Guest {
    async fn drop(&mut self, handle: Resource<OpenSecret>) -> wasmtime::Result<()> {
        if let Some(served) = self.served() {
            served.secrets.delete(handle)?;
        }
        Ok(())
    }
}

impl http::Host for Guest {
    async fn send(
        &mut self,
        request: http::Request,
    ) -> wasmtime::Result<Result<http::Response, http::Error>> {
        self.take_host_call()?;
        let Some(served) = self.acting() else {
            let why = "no request is made in a rehearsal, nor by `validate-content`";
            return Ok(Err(http::Error::Denied(why.to_owned())));
        };
        let request = OutgoingRequest {
            method: request.method.into(),
            url: request.url,
            headers: served.read_headers(request.headers)?,
            body: request.body,
            timeout: request.timeout_ms.map(|ms| Duration::from_millis(ms.into())),
        };
        Ok(served.send(request).await.map(Into::into).map_err(Into::into))
    }
}

impl messages::Host for Guest {
    async fn send(
        &mut self,
        draft: types::Draft,
    ) -> wasmtime::Result<Result<String, messages::Error>> {
        self.take_host_call()?;
        let correspondence = self.served().and_then(|served| served.correspondence.clone());
        let Some(correspondence) = correspondence else {
            return Ok(Err(messages::Error::Denied("only `on-event` can send".to_owned())));
        };
        let sent = match BotDraft::try_from(draft) {
            Ok(draft) => correspondence.send(draft).await.map_err(Into::into),
            Err(broken) => Err(messages::Error::Invalid(broken.to_string())),
        };
        Ok(sent.map(|id| id.to_string()))
    }
}

impl TryFrom<types::Draft> for BotDraft {
    type Error = InvalidField;

    fn try_from(draft: types::Draft) -> Result<Self, InvalidField> {
        let to = Email::parse(&draft.to);
        let reply_to = draft.reply_to.map(|id| id.parse()).transpose();
        let attachments = draft.body.attachments.into_iter().map(Into::into);
        Ok(Self {
            to: to.map_err(|invalid| InvalidField::new("to", invalid.to_string()))?,
            body: Body {
                content: draft.body.content,
                content_type: ContentType::parse(&draft.body.content_type)?,
                attachments: attachments.collect(),
                metadata: draft.body.metadata.into_iter().collect(),
                preview: None,
            },
            reply_to: reply_to
                .map_err(|_| InvalidField::new("reply-to", "must be the id of a message"))?,
        })
    }
}

impl From<BotError> for messages::Error {
    fn from(error: BotError) -> Self {
        match error {
            BotError::Invalid(why) => Self::Invalid(why),
            BotError::Refused(code) => Self::Refused(code),
            BotError::Denied(why) => Self::Denied(why),
            BotError::QuotaExceeded => Self::QuotaExceeded,
            BotError::Unavailable => Self::Unavailable,
        }
    }
}

impl From<Earlier> for history::Earlier {
    fn from(earlier: Earlier) -> Self {
        Self {
            from_caller: earlier.from_caller,
            content: earlier.content,
            content_type: earlier.content_type,
            created_at_ms: unix_ms(earlier.created_at),
        }
    }
}

impl From<UserProfile> for directory::Profile {
    fn from(profile: UserProfile) -> Self {
        Self {
            email: profile.email.as_str().to_owned(),
            kind: profile.kind.into(),
            name: profile.name,
            picture: profile.picture,
            zoneinfo: profile.zoneinfo,
            locale: profile.locale,
            first_seen_ms: profile.first_seen_at.map(unix_ms),
        }
    }
}

impl From<KvEntry> for kv::Entry {
    fn from(entry: KvEntry) -> Self {
        Self { value: entry.value, revision: entry.revision }
    }
}

impl From<KvError> for kv::Error {
    fn from(error: KvError) -> Self {
        match error {
            KvError::Invalid(why) => Self::Invalid(why),
            KvError::TooLarge => Self::TooLarge,
            KvError::QuotaExceeded => Self::QuotaExceeded,
            KvError::Conflict => Self::Conflict,
            KvError::NotANumber => Self::NotANumber,
            KvError::Unavailable => Self::Unavailable,
        }
    }
}

impl From<http::Method> for OutgoingMethod {
    fn from(method: http::Method) -> Self {
        match method {
            http::Method::Get => Self::Get,
            http::Method::Post => Self::Post,
            http::Method::Put => Self::Put,
            http::Method::Patch => Self::Patch,
            http::Method::Delete => Self::Delete,
        }
    }
}

impl From<OutgoingResponse> for http::Response {
    fn from(response: OutgoingResponse) -> Self {
        let OutgoingResponse { status, headers, body } = response;
        Self { status, headers, body }
    }
}

impl From<OutgoingError> for http::Error {
    fn from(error: OutgoingError) -> Self {
        match error {
            OutgoingError::Denied(why) => Self::Denied(why),
            OutgoingError::Timeout => Self::Timeout,
            OutgoingError::TooLarge => Self::TooLarge,
            OutgoingError::QuotaExceeded => Self::QuotaExceeded,
            OutgoingError::Transport(why) => Self::Transport(why.into_owned()),
        }
    }
}
