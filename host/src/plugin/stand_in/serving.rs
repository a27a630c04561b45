//! The stand-in as guests meet it.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};

use super::{Answered, StandIn, looked};
use crate::{
    domain::{
        BotDraft, BotError, Email, HostPattern, Increment, Installed, KvEntry, KvError, KvKey,
        KvWrite, MessageId, Org, OrgId, OutgoingError, OutgoingRequest, OutgoingResponse,
        RequestsLeft, Secret, StagedWrites, UserProfile,
    },
    plugin::services::{Asker, Correspondence, Earlier, HostServices, Unserved},
};

impl HostServices for StandIn {
    fn previous(&self, org: OrgId, asker: Asker) -> BoxFuture<'_, Result<Vec<Earlier>, Unserved>> {
        match &self.reads {
            Some(granted) if granted.history => {
                self.note("history", Answered::Real);
                granted.reads.previous(org, asker)
            }
            Some(_) => {
                self.note("history", Answered::StandIn);
                async { Ok(Vec::new()) }.boxed()
            }
            None => {
                self.note("history", Answered::LaidOut);
                let earlier = self.laid_out.history();
                async move { Ok(earlier) }.boxed()
            }
        }
    }

    fn find_person(
        &self,
        org: OrgId,
        email: String,
    ) -> BoxFuture<'_, Result<Option<UserProfile>, Unserved>> {
        match &self.reads {
            Some(granted) if granted.directory => {
                self.note("directory", Answered::Real);
                granted.reads.find_person(org, email)
            }
            Some(_) => {
                self.note("directory", Answered::StandIn);
                async { Err(Unserved) }.boxed()
            }
            None => {
                self.note("directory", Answered::LaidOut);
                let wanted = Email::parse(&email).ok();
                let found = wanted.and_then(|email| self.laid_out.find_person(&email));
                async move { Ok(found) }.boxed()
            }
        }
    }

    fn open_secret(
        &self,
        _plugin: Installed,
        name: String,
    ) -> BoxFuture<'_, Result<Option<Arc<Secret>>, Unserved>> {
        // No request leaves, so any value does; the real one stays where it is.
        let is_there = self.reads.is_some() || self.laid_out.secrets.contains(&name);
        self.note("secrets", Answered::StandIn);
        let secret = || Secret { value: "stand-in".to_owned().into(), hosts: Vec::new() };
        let opened = is_there.then(|| Arc::new(secret()));
        async move { Ok(opened) }.boxed()
    }

    fn requests_per_call(&self) -> RequestsLeft {
        RequestsLeft::new(self.limits.requests_per_call)
    }

    fn request<'a>(
        &'a self,
        _org: &'a Org,
        _granted: &'a [HostPattern],
        request: OutgoingRequest,
        _budget: Duration,
    ) -> BoxFuture<'a, Result<OutgoingResponse, OutgoingError>> {
        let response = self.respond(&request);
        async move { response }.boxed()
    }

    fn stage(&self, plugin: Installed) -> StagedWrites {
        StagedWrites::new(plugin.plugin_id, self.limits.kv)
    }

    fn find_entry<'a>(
        &'a self,
        plugin: Installed,
        key: &'a KvKey,
        staged: Option<&'a mut StagedWrites>,
    ) -> BoxFuture<'a, Result<Option<KvEntry>, KvError>> {
        async move {
            if let Some(own) = staged.as_ref().and_then(|staged| staged.find(key)) {
                return Ok(own);
            }
            let entry = self.read(plugin, key).await?;
            if let Some(staged) = staged {
                staged.learn(key, &looked(entry.clone()), true);
            }
            Ok(entry)
        }
        .boxed()
    }

    fn write_entry<'a>(
        &'a self,
        plugin: Installed,
        key: &'a KvKey,
        write: KvWrite,
        staged: Option<&'a mut StagedWrites>,
    ) -> BoxFuture<'a, Result<u64, KvError>> {
        self.write(plugin, key, write, staged).boxed()
    }

    fn increment<'a>(
        &'a self,
        plugin: Installed,
        key: &'a KvKey,
        step: Increment,
        staged: Option<&'a mut StagedWrites>,
    ) -> BoxFuture<'a, Result<i64, KvError>> {
        self.add(plugin, key, step, staged).boxed()
    }
}

impl Correspondence for StandIn {
    fn send(&self, draft: BotDraft) -> BoxFuture<'_, Result<MessageId, BotError>> {
        self.note("messages", Answered::StandIn);
        let mut kept = self.kept();
        let has_room = kept.sent.len() < self.limits.messages_per_call as usize;
        if has_room {
            kept.sent.push(draft);
        }
        let answer = if has_room { Ok(MessageId::new()) } else { Err(BotError::QuotaExceeded) };
        async { answer }.boxed()
    }
}
