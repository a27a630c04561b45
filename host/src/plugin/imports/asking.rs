//! What a guest asks of the server, put on the tape of its call where it has one.

use std::{sync::Arc, time::Instant};

use serde_json::{Value as Json, json};

use super::Served;
use crate::{
    domain::{
        HostCall, Increment, KvEntry, KvError, KvKey, KvWrite, OutgoingError, OutgoingRequest,
        OutgoingResponse, Secret, UserProfile,
    },
    plugin::{
        Earlier, Unserved,
        tape::{self, EarlierForm, EntryForm, ProfileForm, ResponseForm, Told, UnservedForm},
    },
};

impl Served {
    /// Puts on the tape what a guest was told, where there is one.
    fn note(&mut self, import: &str, asked: Option<Json>, told: impl FnOnce() -> Json) {
        if let (Some(tape), Some(asked)) = (&mut self.tape, asked) {
            tape.add(import, asked, told());
        }
    }

    /// What a guest asks, as the tape has it.
    fn asked(&self, form: impl FnOnce() -> Json) -> Option<Json> {
        self.tape.is_some().then(form)
    }

    pub(super) async fn previous(&mut self) -> Result<Vec<Earlier>, Unserved> {
        let Some(asker) = self.asker else { return Ok(Vec::new()) };
        let earlier = self.services.previous(self.org.id, asker).await;
        let nothing = self.asked(|| json!({}));
        self.note(HostCall::HISTORY, nothing, || {
            let forms = |earlier: &Vec<Earlier>| earlier.iter().map(EarlierForm::from).collect();
            Told::<Vec<_>, UnservedForm>::json(&earlier, forms)
        });
        if let (Some(tape), Ok(earlier)) = (&mut self.tape, &earlier) {
            tape.show(earlier.iter().map(|message| message.id));
        }
        earlier
    }

    pub(super) async fn find_person(
        &mut self,
        email: String,
    ) -> Result<Option<UserProfile>, Unserved> {
        let asked = self.asked(|| json!({ "email": email }));
        let found = self.services.find_person(self.org.id, email).await;
        self.note("directory.find", asked, || {
            let form = |found: &Option<UserProfile>| found.as_ref().map(ProfileForm::from);
            Told::<_, UnservedForm>::json(&found, form)
        });
        found
    }

    pub(super) async fn find_entry(&mut self, key: String) -> Result<Option<KvEntry>, KvError> {
        let key = KvKey::parse(key)?;
        let found = self.services.find_entry(self.plugin, &key, self.staged.as_mut()).await;
        let asked = self.asked(|| json!({ "key": key.as_str() }));
        self.note("kv.get", asked, || {
            let form = |found: &Option<KvEntry>| found.as_ref().map(EntryForm::from);
            Told::<_, KvError>::json(&found, form)
        });
        found
    }

    pub(super) async fn write_entry(
        &mut self,
        key: String,
        write: KvWrite,
    ) -> Result<u64, KvError> {
        let key = KvKey::parse(key)?;
        let import = if write.value.is_some() { "kv.set" } else { "kv.delete" };
        let asked = self.asked(|| tape::write(key.as_str(), &write));
        let written =
            self.services.write_entry(self.plugin, &key, write, self.staged.as_mut()).await;
        self.note(import, asked, || Told::<u64, KvError>::json(&written, u64::clone));
        written
    }

    pub(super) async fn increment(&mut self, key: String, step: Increment) -> Result<i64, KvError> {
        let key = KvKey::parse(key)?;
        let counted = self.services.increment(self.plugin, &key, step, self.staged.as_mut()).await;
        let asked = self.asked(|| tape::step(key.as_str(), &step));
        self.note("kv.increment", asked, || Told::<i64, KvError>::json(&counted, i64::clone));
        counted
    }

    pub(super) async fn open_secret(
        &mut self,
        name: String,
    ) -> Result<Option<Arc<Secret>>, Unserved> {
        let asked = self.asked(|| json!({ "name": name }));
        let opened = self.services.open_secret(self.plugin, name).await;
        self.note("secrets.open", asked, || {
            // Whether there is one, and nothing of it.
            Told::<bool, UnservedForm>::json(&opened, Option::is_some)
        });
        if let (Some(tape), Ok(Some(secret))) = (&mut self.tape, &opened) {
            tape.open(secret);
        }
        opened
    }

    pub(super) async fn send(
        &mut self,
        request: OutgoingRequest,
    ) -> Result<OutgoingResponse, OutgoingError> {
        let asked = self.asked(|| tape::request(&request));
        let answer = self.request(request).await;
        match (&mut self.tape, &answer) {
            (Some(tape), Ok(answer)) if tape.is_told_secret(answer) => tape.withhold("http.send"),
            _ => self.note("http.send", asked, || {
                Told::<_, OutgoingError>::json(&answer, |answer| ResponseForm::from(answer))
            }),
        }
        answer
    }

    async fn request(
        &mut self,
        request: OutgoingRequest,
    ) -> Result<OutgoingResponse, OutgoingError> {
        self.requests_left.take()?;
        let left = self.ends.saturating_duration_since(Instant::now());
        self.services.request(&self.org, &self.granted, request, left).await
    }
}
