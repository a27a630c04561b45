//! What guests may ask of the server while they are asked.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use time::OffsetDateTime;

use crate::domain::{
    BotDraft, BotError, HostPattern, Increment, Installed, KvEntry, KvError, KvKey, KvWrite,
    MessageId, Org, OrgId, OutgoingError, OutgoingRequest, OutgoingResponse, RequestsLeft, Secret,
    StagedWrites, UserId, UserProfile,
};

/// What the server does for guests. The rest of the server implements it.
///
/// Each call counts against the guest's number of calls, and ends with its time.
pub trait HostServices: Send + Sync {
    /// The newest messages between two people that the caller may see, oldest first.
    fn previous(&self, org: OrgId, asker: Asker) -> BoxFuture<'_, Result<Vec<Earlier>, Unserved>>;

    /// The person of an org with that e-mail.
    fn find_person(
        &self,
        org: OrgId,
        email: String,
    ) -> BoxFuture<'_, Result<Option<UserProfile>, Unserved>>;

    /// A secret of a plugin; `None`: it has none of that name.
    fn open_secret(
        &self,
        plugin: Installed,
        name: String,
    ) -> BoxFuture<'_, Result<Option<Arc<Secret>>, Unserved>>;

    /// How many requests one call may make.
    fn requests_per_call(&self) -> RequestsLeft;

    /// Makes a request for a plugin that was granted these hosts.
    fn request<'a>(
        &'a self,
        org: &'a Org,
        granted: &'a [HostPattern],
        request: OutgoingRequest,
        budget: Duration,
    ) -> BoxFuture<'a, Result<OutgoingResponse, OutgoingError>>;

    // Where a method takes [`StagedWrites`], they are those of the running call, if its writes wait
    // for a message; without them a write acts at once.

    /// For a call whose writes are to wait for its message.
    fn stage(&self, plugin: Installed) -> StagedWrites;

    fn find_entry<'a>(
        &'a self,
        plugin: Installed,
        key: &'a KvKey,
        staged: Option<&'a mut StagedWrites>,
    ) -> BoxFuture<'a, Result<Option<KvEntry>, KvError>>;

    /// Answers the new revision, 0 for a deletion.
    fn write_entry<'a>(
        &'a self,
        plugin: Installed,
        key: &'a KvKey,
        write: KvWrite,
        staged: Option<&'a mut StagedWrites>,
    ) -> BoxFuture<'a, Result<u64, KvError>>;

    /// Acts at once, whatever waits.
    fn increment<'a>(
        &'a self,
        plugin: Installed,
        key: &'a KvKey,
        step: Increment,
        staged: Option<&'a mut StagedWrites>,
    ) -> BoxFuture<'a, Result<i64, KvError>>;
}

/// Sends messages for the plugin that hears of one event, in one call.
pub trait Correspondence: Send + Sync {
    /// Sends one as the org's bot.
    fn send(&self, draft: BotDraft) -> BoxFuture<'_, Result<MessageId, BotError>>;
}

/// For whom a guest asks. It cannot say this itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// Whose draft is being judged.
    pub caller: UserId,
    pub peer: UserId,
}

/// A message before the one that is being judged.
#[derive(Clone, Debug)]
pub struct Earlier {
    /// For the server's own records: no guest sees it.
    pub id: MessageId,
    pub from_caller: bool,
    pub content: String,
    pub content_type: String,
    pub created_at: OffsetDateTime,
}

/// The server could not do what a guest asked of it; why is in the server's log.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the server could not answer the guest")]
pub struct Unserved;
