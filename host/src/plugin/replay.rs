//! Runs a recorded call again: the same question, clock and randomness, and for each thing that
//! the guest asks of the server the answer that was recorded. Nothing outside is asked.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures_util::{FutureExt, future::BoxFuture};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value as Json, json};
use tokio::sync::Semaphore;

use super::{
    Asker, Compiled, Earlier, Fault, Hook, HostServices, Limits, PluginHost, Unserved,
    call::{Again, Repeated, Turn},
    imports::{Reach, Serving},
    input::Input,
    lines::GuestLog,
    recording::read_seed,
    store::Callee,
    tape::{self, EarlierForm, EntryForm, ProfileForm, ResponseForm, Told, UnservedForm},
};
use crate::domain::{
    Body, HostCall, HostPattern, Increment, Installed, KvEntry, KvError, KvKey, KvLimits, KvWrite,
    Org, OrgId, OrgSettings, OrgSlug, OutgoingError, OutgoingRequest, OutgoingResponse, PluginId,
    RequestsLeft, RunContent, RunRecord, RunTerms, Secret, StagedWrites, UserId, UserProfile,
};

/// What a guest made of the same question.
#[derive(Debug)]
pub struct Replayed {
    /// A verdict, or a fault.
    pub answered: &'static str,
    /// All of it, in the form in which a receipt keeps it.
    pub answer: Json,
    /// It asked the server for something else than it did then, which nobody can answer.
    pub diverged: Option<String>,
    pub took: Duration,
    pub memory_bytes: u64,
}

/// Why a call cannot be run again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReplayable {
    #[error("the receipt cannot be read: {0}")]
    Unreadable(String),
    #[error("this component has no such hook")]
    NoHook,
    #[error("the call cannot be made: {0}")]
    Fault(Fault),
}

/// The limits that a recorded call had, with time enough for a slow machine: only a call that
/// was out of time is held to the server's usual time again.
pub fn replay_limits(terms: &RunTerms, was_out_of_time: bool) -> Limits {
    let defaults = Limits::default();
    let slow = |time: Duration| if was_out_of_time { time } else { time * 100 };
    Limits {
        call_timeout: slow(defaults.call_timeout),
        call_cpu: slow(defaults.call_cpu),
        wait_for_instance: Duration::from_secs(10),
        memory_bytes: terms.memory_bytes,
        table_elements: terms.table_elements,
        handed_over_bytes: terms.handed_over_bytes,
        host_calls: terms.host_calls,
        open_secrets: terms.open_secrets,
        instances: 1,
        ..defaults
    }
}

impl PluginHost {
    /// Runs a call of a receipt again, with its configuration; the host has [`replay_limits`].
    pub async fn replay(
        &self,
        compiled: &Compiled,
        hook: Hook,
        (run, content): (&RunRecord, &RunContent),
        config: BTreeMap<String, String>,
    ) -> Result<Replayed, NotReplayable> {
        let unreadable = |why: &dyn ToString| NotReplayable::Unreadable(why.to_string());
        let input = Input::deserialize(&content.input).map_err(|e| unreadable(&e))?;
        let body = Body::try_from(&input.body).map_err(|e| unreadable(&e))?;
        let seed = match &run.seed {
            None => None,
            Some(text) => {
                Some(read_seed(text).ok_or(unreadable(&"the seed is not 64 hex digits"))?)
            }
        };
        let org = org(&input.context.org).map_err(|e| unreadable(&e))?;
        let teller = Arc::new(Teller::new(&content.host_calls));
        let services: Arc<dyn HostServices> = teller.clone();
        let serving = Serving {
            services: &services,
            org: &Arc::new(org),
            plugin: PluginId::new(),
            asker: Some(Asker { caller: UserId::new(), peer: UserId::new() }),
            granted: &Arc::from([]),
            reach: if hook == Hook::ValidateContent { Reach::Looking } else { Reach::Deciding },
        };
        let again = Again { hook, input, body, terms: run.terms, seed, serving };
        let share = Semaphore::new(1);
        let ends = Instant::now() + self.0.limits.call_timeout + self.0.limits.wait_for_instance;
        let turn = Turn { host: self, share: &share, ends };
        let repeated = turn.again(compiled, self.replayed(compiled, config), again).await;
        let Repeated { answered, answer, took, memory_bytes } =
            repeated.map_err(|fault| match fault {
                Fault::Unloadable => NotReplayable::NoHook,
                fault => NotReplayable::Fault(fault),
            })?;
        Ok(Replayed { answered, answer, diverged: teller.diverged(), took, memory_bytes })
    }

    fn replayed(&self, compiled: &Compiled, config: BTreeMap<String, String>) -> Arc<Callee> {
        let Limits { log_kept_lines, log_kept_bytes, .. } = self.0.limits;
        Arc::new(Callee {
            org: "replay".to_owned(),
            name: "replay".to_owned(),
            version: compiled.report.sha256.clone(),
            config,
            log: Arc::new(GuestLog::new(log_kept_lines, log_kept_bytes)),
        })
    }
}

/// The org as a guest may know it.
fn org(slug: &str) -> Result<Org, crate::domain::InvalidSlug> {
    Ok(Org {
        id: OrgId::new(),
        slug: OrgSlug::parse(slug)?,
        name: slug.to_owned(),
        suspended: false,
        // A replay leaves no receipt.
        settings: OrgSettings { receipt_days: 0, ..OrgSettings::default() },
    })
}

/// Answers a guest from a tape, in its order.
struct Teller(Mutex<Telling>);

struct Telling {
    left: VecDeque<HostCall>,
    diverged: Option<String>,
}

impl Teller {
    fn new(calls: &[HostCall]) -> Self {
        Self(Mutex::new(Telling { left: calls.to_vec().into(), diverged: None }))
    }

    fn diverged(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).diverged.clone()
    }

    /// What was told when the same was asked. `None`: it was not, or not at this point.
    fn tell<T: DeserializeOwned>(&self, import: &str, asked: &Json) -> Option<T> {
        let mut telling = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let diverged = match telling.left.pop_front() {
            None => format!("it asks for {import}, and the receipt holds no further answer"),
            Some(call) if call.import != import => {
                format!("it asks for {import}, where it asked for {} then", call.import)
            }
            Some(call) if call.asked != *asked => {
                format!("it asks {import} for something else than then")
            }
            Some(call) => match T::deserialize(call.answered) {
                Ok(told) => return Some(told),
                Err(_) => format!("the receipt's answer to {import} cannot be read"),
            },
        };
        // The first is what matters; the rest follows from it.
        telling.diverged.get_or_insert(diverged);
        telling.left.clear();
        None
    }

    fn kv<T: DeserializeOwned>(&self, import: &str, asked: &Json) -> Result<T, KvError> {
        let told = self.tell::<Told<T, KvError>>(import, asked);
        told.map_or(Err(KvError::Unavailable), Told::into_result)
    }

    fn look<T: DeserializeOwned>(&self, import: &str, asked: &Json) -> Result<T, Unserved> {
        let told = self.tell::<Told<T, UnservedForm>>(import, asked);
        told.map_or(Err(Unserved), Told::into_result)
    }
}

impl HostServices for Teller {
    fn previous(&self, _: OrgId, _: Asker) -> BoxFuture<'_, Result<Vec<Earlier>, Unserved>> {
        let told = self.look::<Vec<EarlierForm>>(HostCall::HISTORY, &json!({}));
        let told = told.map(|forms| forms.into_iter().map(Earlier::from).collect());
        async { told }.boxed()
    }

    fn find_person(
        &self,
        _: OrgId,
        email: String,
    ) -> BoxFuture<'_, Result<Option<UserProfile>, Unserved>> {
        let asked = json!({ "email": email });
        let told = self.look::<Option<ProfileForm>>("directory.find", &asked);
        let read = |form: Option<ProfileForm>| form.map(UserProfile::try_from).transpose();
        let told = told.and_then(|form| read(form).map_err(|_| Unserved));
        async { told }.boxed()
    }

    fn open_secret(
        &self,
        _: Installed,
        name: String,
    ) -> BoxFuture<'_, Result<Option<Arc<Secret>>, Unserved>> {
        let told = self.look::<bool>("secrets.open", &json!({ "name": name }));
        // There is nothing behind the handle: what spends it is answered from the tape.
        let secret = || Arc::new(Secret { value: String::new().into(), hosts: Vec::new() });
        let told = told.map(|found| found.then(secret));
        async { told }.boxed()
    }

    fn requests_per_call(&self) -> RequestsLeft {
        // A refusal of one too many is on the tape.
        RequestsLeft::new(u32::MAX)
    }

    fn request<'a>(
        &'a self,
        _: &'a Org,
        _: &'a [HostPattern],
        request: OutgoingRequest,
        _: Duration,
    ) -> BoxFuture<'a, Result<OutgoingResponse, OutgoingError>> {
        let asked = tape::request(&request);
        let told = self.tell::<Told<ResponseForm, OutgoingError>>("http.send", &asked);
        let unknown = || OutgoingError::Transport("the receipt holds no answer".into());
        let told = match told.map(Told::into_result::<OutgoingError>) {
            Some(told) => told.and_then(|form| form.try_into().map_err(|_| unknown())),
            None => Err(unknown()),
        };
        async { told }.boxed()
    }

    fn stage(&self, plugin: Installed) -> StagedWrites {
        // Nothing is staged on it.
        let limits = KvLimits { max_value_bytes: 0, max_keys: 0, max_bytes: 0, max_ttl_seconds: 0 };
        StagedWrites::new(plugin.plugin_id, limits)
    }

    fn find_entry<'a>(
        &'a self,
        _: Installed,
        key: &'a KvKey,
        _: Option<&'a mut StagedWrites>,
    ) -> BoxFuture<'a, Result<Option<KvEntry>, KvError>> {
        let told = self.kv::<Option<EntryForm>>("kv.get", &json!({ "key": key.as_str() }));
        let read = |form: Option<EntryForm>| form.map(KvEntry::try_from).transpose();
        let told = told.and_then(|form| read(form).map_err(|_| KvError::Unavailable));
        async { told }.boxed()
    }

    fn write_entry<'a>(
        &'a self,
        _: Installed,
        key: &'a KvKey,
        write: KvWrite,
        _: Option<&'a mut StagedWrites>,
    ) -> BoxFuture<'a, Result<u64, KvError>> {
        let import = if write.value.is_some() { "kv.set" } else { "kv.delete" };
        let told = self.kv(import, &tape::write(key.as_str(), &write));
        async { told }.boxed()
    }

    fn increment<'a>(
        &'a self,
        _: Installed,
        key: &'a KvKey,
        step: Increment,
        _: Option<&'a mut StagedWrites>,
    ) -> BoxFuture<'a, Result<i64, KvError>> {
        let told = self.kv("kv.increment", &tape::step(key.as_str(), &step));
        async { told }.boxed()
    }
}
